-- Plugins say whether a document may be deleted, and are told when it was.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("deleting a document", function()
  local world

  local function ask(method, where, body)
    local answer = http.request(world.port, method, "/api/v1/orgs/default/docs" .. where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function make(name) assert.equal(201, ask("POST", "", { name = name, content = "x" }).status) end
  local function logged(text)
    for line in io.lines(world.log) do if line:find(text, 1, true) then return true end end
    return false
  end
  before_each(function()
    local folder = process.folder()
    World.plugin(folder, "guard", {
      ["plugin.lua"] = "return { name = 'guard', version = '1.0.0', api = 1, summary = 'of a spec', needs = { 'kv' }, hooks = { delete_document = {}, document_deleted = {} } }",
      ["init.lua"] = [[
        local ml = require 'moonloom'
        local P = {}
        function P:delete_document(ref)
          if ref.id == 'kept' then return ml.deny('kept', 'This one stays.') end
          if ref.id == 'broken' then error 'no idea' end
          if ref.id == 'wrong' then return 7 end
          if ref.id == 'slow' then ml.kv.set('asked', ref.org) if ml.kv.get('asked') ~= 'default' then return ml.deny('odd', 'Odd.') end end
        end
        function P:document_deleted(ref) ml.log.info('GONE|' .. ref.org .. '|' .. ref.id .. '|') end
        return P]],
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { guard = {} }\n" }
  end)
  after_each(function() world:close() end)
  teardown(process.clean)

  it("is refused with the plugin's words, and the document stays", function()
    make "kept"
    local answer = ask("DELETE", "/kept")
    assert.equal(403, answer.status)
    assert.equal("guard.kept", answer.json.error.code)
    assert.equal("This one stays.", answer.json.error.message)
    assert.equal(200, ask("GET", "/kept").status)
    assert.is_false(logged "GONE|")
  end)

  it("is put off while the plugin fails, and nothing goes", function()
    for _, name in ipairs { "broken", "wrong" } do
      make(name)
      local answer = ask("DELETE", "/" .. name)
      assert.equal(503, answer.status)
      assert.equal("policy_unavailable", answer.json.error.code)
      assert.equal(200, ask("GET", "/" .. name).status)
    end
  end)

  it("may wait for the answer, and is told afterwards", function()
    make "slow"
    make "plain"
    assert.equal(204, ask("DELETE", "/slow").status)
    assert.equal(204, ask("DELETE", "/plain").status)
    assert.equal(404, ask("GET", "/slow").status)
    world:wait(function() return logged "GONE|default|slow|" and logged "GONE|default|plain|" end, "document_deleted", 30)
  end)

  it("is told after a crash that came between", function()
    make "doc"
    assert.equal(204, ask("DELETE", "/doc").status)
    world:kill()
    world:wait(function() return world.server:ended() end, "the end", 20)
    world:start()
    world:wait(function() return logged "GONE|default|doc|" end, "document_deleted", 60)
  end)
end)
