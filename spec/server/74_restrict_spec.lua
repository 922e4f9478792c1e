-- A plugin that only takes away: from the roles of accounts, and from open mode.
local Accounts = require "accounts"
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local DOCS = "/api/v1/orgs/default/docs/"
local FREEZE = [[
  local ml = require "moonloom"
  return { authorize = function(_, ask)
    if ask.doc_id == "frozen" then return ml.restrict { write = true, code = "frozen", reason = "Frozen." } end
    if ask.doc_id == "hidden" then return ml.restrict { read = true } end
    if ask.doc_id == "contract" then return ml.restrict { write = { "legal/**", "legal" }, code = "legal", reason = "Not the legal text." } end
  end }
]]

describe("what a plugin takes away", function()
  local world

  local function start(auth)
    local folder = process.folder()
    World.plugin(folder, "freeze", {
      ["plugin.lua"] = "return { name = 'freeze', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'validate', hooks = { authorize = {} } }",
      ["init.lua"] = FREEZE,
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { freeze = {} }\n" .. auth }
  end
  after_each(function()
    world:close()
    process.clean()
  end)

  local function ops(root) return { ops = { { "text.insert", root, 0, "x" } } } end

  -- `ask(method, path, body)` of somebody who writes everywhere otherwise.
  local function holds(ask)
    assert.equal(200, ask("POST", "free/ops", ops "content").status)
    assert.equal(403, ask("POST", "frozen/ops", ops "content").status)
    assert.equal(200, ask("POST", "contract/ops", ops "content").status)
    local answer = ask("POST", "contract/ops", ops "legal")
    assert.same({ 403, "freeze.legal" }, { answer.status, answer.json.error.code })
    assert.equal(200, ask("GET", "contract/content?root=content").status)
    assert.equal(404, ask("GET", "hidden/content").status)
    assert.equal(404, ask("POST", "hidden/ops", ops "content").status)
  end

  it("is taken from a role", function()
    start "auth = { mode = 'password' }\n"
    local people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("sue", "suggester")
    local ana, sue = people:login "ana", people:login "sue"
    holds(function(method, path, body) return people:ask(method, DOCS .. path, ana, body) end)
    -- Who writes in some places only has no more places for it.
    local own = { ops = { { "map.set", "suggestions/sue", "x", 1 } } }
    assert.equal(403, people:ask("POST", DOCS .. "frozen/ops", sue, own).status)
    assert.equal(403, people:ask("POST", DOCS .. "contract/ops", sue, ops "legal").status)
    assert.equal(403, people:ask("POST", DOCS .. "contract/ops", sue, ops "content").status)
  end)

  it("is taken from everybody in open mode", function()
    start ""
    holds(function(method, path, body)
      local answer = http.request(world.port, method, DOCS .. path, { ["Content-Type"] = body and "application/json" or nil }, body and cjson.encode(body))
      if answer.body:sub(1, 1) == "{" then answer.json = cjson.decode(answer.body) end
      return answer
    end)
  end)
end)
