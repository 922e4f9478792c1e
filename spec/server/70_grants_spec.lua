-- What a plugin may reach is what the operator granted; what ships with the binary needs no grant.
local process = require "process"
local World = require "world"

describe("what a plugin asks for", function()
  local world
  after_each(function()
    if world then world:close() end
    world = nil
  end)
  teardown(process.clean)

  local function folder()
    local at = process.folder()
    World.plugin(at, "asker", {
      ["plugin.lua"] = "return { name = 'asker', version = '1.0.0', api = 1, summary = 'of a spec', hooks = {}, needs = { 'kv', http = { 'a.example', 'b.example' } } }",
      ["init.lua"] = "return {}" })
    return at
  end

  local function check(text)
    local config = process.write(process.folder() .. "/moonloom.lua", ("plugins_dir = %q\n"):format(folder()) .. text)
    local status, out, err = process.run { World.BIN, "check-config", config }
    return status, out .. err
  end

  it("is refused with the sentence to write, until it is granted", function()
    local status, text = check "plugins = { asker = {} }"
    assert.equal(1, status)
    assert.truthy(text:find('asker: asks for "kv", "http a.example", "http b.example", which is not granted', 1, true), text)
    local sentence = assert(text:match "write in moonloom.lua: (grants = [^\n]+)")
    assert.equal('grants = { asker = { "kv", "http a.example", "http b.example" } }', sentence)
    status, text = check("plugins = { asker = {} }\n" .. sentence)
    assert.equal(0, status, text)
    status, text = check 'plugins = { asker = {} }\ngrants = { asker = { "kv", "http a.example" } }'
    assert.equal(1, status)
    assert.truthy(text:find('asks for "http b.example", which', 1, true), text)
    for _, all in ipairs { '"*"', '{ asker = "*" }', '{ asker = { "kv", "http" } }' } do
      status, text = check("plugins = { asker = {} }\ngrants = " .. all)
      assert.equal(0, status, text)
    end
  end)

  it("is granted by words that exist", function()
    local status, text = check 'plugins = { asker = {} }\ngrants = { asker = { "kvv" } }'
    assert.equal(1, status)
    assert.truthy(text:find("unknown capability 'kvv', did you mean 'kv'?", 1, true) or text:find("did you mean 'kv'", 1, true), text)
    status, text = check 'plugins = { asker = {} }\ngrants = { asker = 1 }'
    assert.equal(1, status)
    assert.truthy(text:find('grants["asker"]', 1, true), text)
  end)

  it("needs no grant if it ships with the binary, and none under --dev", function()
    local status, text = check 'plugins = { webhook = { config = { url = "https://crm.example/hook" } } }'
    assert.equal(0, status, text)
    world = World.new { config = "plugins = { asker = {} }\ngrants = {}\n", args = { "--dev", "--plugins", folder() } }
  end)

  it("is shown by plugin list", function()
    world = World.new { config = 'plugins = { asker = {} }\ngrants = { asker = "*" }', args = { "--plugins", folder() } }
    local status, out = process.run { World.BIN, "plugin", "list", "--needs", "--url", "http://127.0.0.1:" .. world.port }
    assert.equal(0, status)
    assert.truthy(out:find("asker +kv, http a.example, http b.example"), out)
  end)
end)
