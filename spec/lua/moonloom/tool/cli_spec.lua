-- `moonloom plugin …` as a person uses it: the built binary in a fresh folder.
local json = require "moonloom.test.json"
local hooks = require "moonloom.defs.hooks"

local BIN = os.getenv("MOONLOOM_BIN") or "build/dev/moonloom"
local dir

local function sh(command)
  local f = assert(io.popen(("cd '%s' && %s 2>&1; echo \"::$?\""):format(dir, command)))
  local text = f:read("*a")
  f:close()
  local out, status = text:match("^(.*)::(%d+)\n$")
  return out, tonumber(status)
end

local function moonloom(args)
  local bin = BIN:sub(1, 1) == "/" and BIN or assert(io.popen("pwd")):read("*l") .. "/" .. BIN
  return sh(("env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s plugin %s"):format(bin, args))
end

local function write(path, text)
  local f = assert(io.open(dir .. "/" .. path, "wb"))
  f:write(text)
  f:close()
end

local function available(hook)
  for _, def in ipairs(hooks) do if def.name == hook then return def.since ~= nil end end
end

describe("moonloom plugin", function()
  setup(function()
    local f = assert(io.popen("mktemp -d"))
    dir = f:read("*l")
    f:close()
  end)
  teardown(function() os.execute("rm -rf '" .. dir .. "'") end)

  for template, hook in pairs { blank = "authorize", auth = "authenticate", acl = "authorize", validate = "before_update", observe = "after_update",
                                conflict = "conflict", cdn = "cache_control", route = "routes" } do
    it("new --from " .. template .. " makes a plugin that passes test and lint", function()
      local out, status = moonloom("new my-" .. template .. " --from " .. template)
      if not available(hook) then
        assert.equal(2, status, out)
        pending("the hook " .. hook .. " is not built yet")
      end
      assert.equal(0, status, out)
      out, status = moonloom("test plugins/my-" .. template)
      assert.equal(0, status, out)
      assert.matches(" passed, 0 failed, 0 pending", out)
      out, status = moonloom("lint --strict plugins/my-" .. template)
      assert.equal(0, status, out)
      out, status = moonloom("check plugins/my-" .. template)
      assert.equal(0, status, out)
    end)
  end

  it("says what is wrong with the command line and ends with 2", function()
    for line, wanted in pairs {
      ["tst"] = 'unknown command "tst", did you mean "test"?',
      ["test --fliter x"] = "unknown option --fliter; did you mean --filter?",
      ["test --filter"] = "--filter needs a value",
      ["schema"] = "usage: moonloom plugin schema PATH",
      ["new Bad_Name"] = "is not a name for a plugin",
      ["new x --from vaidate"] = "did you mean validate?",
      ["test nowhere"] = "there is no nowhere here, nor plugins/nowhere",
    } do
      local out, status = moonloom(line)
      assert.equal(2, status, line .. ": " .. out)
      assert.matches(wanted, out, 1, true)
    end
  end)

  it("test ends with 1 when a spec fails, says where, and prints JSON when asked", function()
    moonloom("new broken --from validate")
    write("plugins/broken/spec/more_spec.lua", [[
describe("more", function()
  it("fails", function() assert.equal(1, 2) end)
  it("raises", function() error("boom") end)
  it("works", function() assert.is_true(true) end)
  pending("later")
end)
]])
    local out, status = moonloom("test plugins/broken")
    assert.equal(1, status)
    assert.matches("FAILED  more fails\n      plugins/broken/spec/more_spec.lua:2\n", out, 1, true)
    assert.matches("ERROR   more raises\n      plugins/broken/spec/more_spec.lua:3: boom\n", out, 1, true)
    assert.matches("4 passed, 2 failed, 1 pending", out, 1, true)
    out, status = moonloom("test plugins/broken --json --filter 'more '")
    assert.equal(1, status)
    local value = assert(json.decode(out))
    assert.same({ 1, 1, 1, 1 }, { value.ok, value.failed, value.errors, value.pending })
    assert.equal("more fails", value.tests[1].name)
    out, status = moonloom("test plugins/broken --filter works")
    assert.equal(0, status, out)
    assert.matches("1 passed, 0 failed", out, 1, true)
    out, status = moonloom("test plugins/broken --filter nothing-of-that-name")
    assert.equal(1, status, out)
  end)

  it("test --coverage shows the lines that no spec reached", function()
    assert.equal(0, select(2, moonloom "new covered --from validate"))
    write("plugins/covered/init.lua", [[
local ml = require "moonloom"
local Covered = {}

function Covered:before_update(u)
  if u.inserted_bytes > 100000 then
    return ml.deny("never", "no spec comes here")
  end
  if u.inserted_bytes > self.config.max_insert then return ml.deny("paste_too_large", "Please paste less.") end
end

return Covered
]])
    write("plugins/covered/spec/covered_spec.lua", [[
local t = require "moonloom.test"
describe("covered", function()
  it("lets people write", function()
    local p = t.instance("covered", { max_insert = "1KiB" })
    assert.denied("paste_too_large", p:before_update(t.update { { "text.insert", path = "a", text = ("x"):rep(2000) } }))
  end)
end)
]])
    local out = moonloom "test --coverage plugins/covered"
    local status
    assert.matches("covered/init.lua +%d+ +%d+ +%d+%%  6", out)
    out, status = moonloom "test --min 100 plugins/covered"
    assert.equal(1, status, out)
    assert.matches("100 %% are wanted", out)
    out, status = moonloom "test --min much plugins/covered"
    assert.equal(2, status, out)
    local covered = json.decode((moonloom "test --coverage --json plugins/covered")).coverage
    assert.equal("covered/init.lua", covered[1].file)
    assert.same({ 6 }, covered[1].missed)
  end)

  it("lint --fix mends unread locals and unused needs, and nothing else", function()
    assert.equal(0, select(2, moonloom "new mended --from blank"))
    write("plugins/mended/plugin.lua", [[
return { name = "mended", version = "1.0.0", api = 1, summary = "of a spec", hooks = { after_update = {} },
  needs = { "kv", "cache", http = { "a.example" } } }
]])
    write("plugins/mended/init.lua", [[
local ml = require "moonloom"
local format = string.format
local other = format
local made = ml.time.now()
local limit = 5

local Mended = {}

function Mended:after_update(batch)
  local copy = batch.count
  ml.cache.set("n", 1)
  total = 1
end

return Mended
]])
    local out, status = moonloom "lint --fix plugins/mended"
    assert.equal(1, status, out)
    for _, wanted in ipairs { "L14 mended: nobody reads the local other", "L14 mended: nobody reads the local format", "L14 mended: nobody reads the local limit",
                              "L14 mended: nobody reads the local copy", "L04 mended: needs kv", "L04 mended: needs http",
                              "nobody reads the local made", "L03 the global total is written" } do
      assert.truthy(out:find(wanted, 1, true), wanted .. "\n" .. out)
    end
    assert.falsy(out:find("mended: nobody reads the local made", 1, true))
    local file = io.open(dir .. "/plugins/mended/init.lua")
    assert.equal([[
local ml = require "moonloom"
local made = ml.time.now()

local Mended = {}

function Mended:after_update(batch)
  ml.cache.set("n", 1)
  total = 1
end

return Mended
]], file:read "*a")
    file:close()
    file = io.open(dir .. "/plugins/mended/plugin.lua")
    assert.truthy(file:read("*a"):find('needs = { "cache" } }', 1, true))
    file:close()
    local again = moonloom "lint --fix plugins/mended"
    assert.falsy(again:find("mended:", 1, true))
  end)

  it("test shows what the plugin logged when a spec fails, and how a hook that cannot wait can be mended", function()
    assert.equal(0, select(2, moonloom "new logged --from route"))
    write("plugins/logged/plugin.lua", [[
return { name = "logged", version = "1.0.0", api = 1, summary = "of a spec", needs = { "kv" }, hooks = { before_update = {}, routes = { ["GET /x"] = {} } } }
]])
    write("plugins/logged/init.lua", [[
local ml = require "moonloom"
local P = {}
function P:before_update() return ml.kv.get("a") end
P.routes = { ["GET /x"] = function() error("the list is not there") end }
return P
]])
    write("plugins/logged/spec/logged_spec.lua", [[
local t = require "moonloom.test"
describe("logged", function()
  it("answers", function()
    local app = t.app { plugins = { "logged" } }
    assert.equal(200, app:client { user = "ana", doc = "d" }:get("/x/logged/x").status)
  end)
  it("waits", function() t.instance("logged"):before_update(t.update { { "map.set", path = "a", key = "k", value = 1 } }) end)
end)
]])
    local out, status = moonloom "test plugins/logged"
    assert.equal(1, status)
    assert.truthy(out:find("the list is not there", 1, true), out)
    assert.truthy(out:find("before_update cannot wait: ml.kv.get. Use ml.cache", 1, true), out)
  end)

  it("test says which plugin is broken and how", function()
    moonloom("new typo --from validate")
    write("plugins/typo/plugin.lua", 'return { name = "typo", version = "1.0.0", api = 1, hokos = {} }')
    local out, status = moonloom("test plugins/typo")
    assert.equal(1, status)
    assert.matches("typo/plugin.lua: plugin.lua: unknown key 'hokos'; did you mean 'hooks'?", out, 1, true)
    out, status = moonloom("check plugins/typo")
    assert.equal(1, status)
    assert.matches("did you mean 'hooks'?", out, 1, true)
  end)

  it("schema prints JSON Schema", function()
    moonloom("new paste --from validate")
    local out, status = moonloom("schema plugins/paste")
    assert.equal(0, status, out)
    local value = assert(json.decode(out))
    assert.equal("https://json-schema.org/draft/2020-12/schema", value["$schema"])
    assert.same({ "string", "number" }, { unpack(value.properties.max_insert.type) })
    assert.equal("64KiB", value.properties.max_insert.default)
    assert.is_false(value.additionalProperties)
  end)

  it("types writes stubs that are Lua", function()
    moonloom("new typed --from acl")
    local out, status = moonloom("types plugins/typed")
    assert.equal(0, status, out)
    local api = assert(io.open(dir .. "/plugins/typed/types/moonloom.lua")):read("*a")
    assert.is_function(assert(loadstring(api)))
    assert.matches("function moonloom_Update:edits(kind, pattern) end", api, 1, true)
    assert.matches("---@class Typed.Config\n---@field editors string", assert(io.open(dir .. "/plugins/typed/types/typed.lua")):read("*a"), 1, true)
  end)

  it("check takes a configuration and says what is wrong with it", function()
    moonloom("new conf --from validate")
    local out, status = moonloom([[check plugins/conf --config '{"max_insert":"1B"}']])
    assert.equal(1, status)
    assert.matches('conf: config: max_insert = "1B": must be at least 1KiB', out, 1, true)
    out, status = moonloom([[check plugins/conf --config '{"max_insert":"2KiB"}' --json]])
    assert.equal(0, status, out)
    assert.is_true(json.decode(out)[1].ok)
  end)
end)
