-- Rights that change on one node reach sessions on another, without a bus. Run by spec/support/with-postgres.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local DOOR = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  function P:authenticate(req)
    if req.token and req.token ~= "" then return { user = req.token, name = req.token } end
  end
  function P:authorize(ask)
    return ml.grant { read = true, presence = true, write = not self.closed and ask.identity.user ~= "reader" }
  end
  P.rpc["door.ask"] = function(self, call) return { count = ml.sessions[call.args.what] { user = call.args.user } } end
  return P
]]

describe("rights that change on one node", function()
  local worlds = {}

  local function node(config)
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', needs = { "sessions" },
        hooks = { authenticate = {}, authorize = {},
          rpc = { ["door.ask"] = { args = { { "what", type = "string", required = true }, { "user", type = "string", required = true } } } } } }]],
      ["init.lua"] = config .. DOOR,
    })
    local world = World.new {
      args = { "--plugins", folder, "--store", worlds.store }, config = "plugins = { door = {} }\nauth = { mode = 'plugins' }\nloops = 2",
    }
    worlds[#worlds + 1] = world
    return world
  end

  setup(function()
    local pg = os.getenv "MOONLOOM_TEST_PG"
    assert(pg, "run this with spec/support/with-postgres")
    local name = "nodes_" .. tostring(os.time()) .. tostring(math.random(1000))
    assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE " .. name } == 0)
    worlds.store = ("postgres:///%s?host=%s&user=moonloom"):format(name, pg:match "host=(%S+)")
  end)
  teardown(function()
    for _, world in ipairs(worlds) do world:close() end
    process.clean()
  end)

  it("end sessions on another, and do not end who came back", function()
    local here, there = node "", node ""
    local anna, ben = there:client "anna":joins("notes", { query = "token=anna" }), there:client "ben":joins("notes", { query = "token=ben" })
    local headers = { Authorization = "Bearer root", ["Content-Type"] = "application/json" }
    local answer = http.request(here.port, "POST", "/api/v1/orgs/default/rpc/door.ask", headers, cjson.encode { what = "revoke", user = "anna" })
    assert.equal(200, answer.status, answer.body)
    assert.equal(0, cjson.decode(answer.body).count) -- of this node
    assert.equal(4403, (anna:is_closed(30)))
    anna:joins("notes", { query = "token=anna" })
    local till = os.time() + 6
    there:wait(function() return os.time() > till end, "the other node has looked again", 20)
    anna:types(0, "back"):is_acknowledged()
    ben:types(0, "here all the time"):is_acknowledged()
    -- Through the API, of a session that is elsewhere.
    local list = cjson.decode(there:get("/api/v1/orgs/default/docs/notes/sessions", headers).body).items
    for _, item in ipairs(list) do
      if item.user == "ben" then
        answer = http.request(here.port, "DELETE", "/api/v1/orgs/default/docs/notes/sessions/" .. item.id, headers)
        assert.equal(202, answer.status, answer.body)
      end
    end
    assert.equal(4403, (ben:is_closed(30)))
    anna:types(0, "still "):is_acknowledged()
  end)
end)
