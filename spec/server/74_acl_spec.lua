-- plugins/auth-acl: rules that change while people are connected.
local cjson = require "cjson"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local Collab = require "collab"
local World = require "world"

local HI = Collab.unhex "01016500040101740248 6900" -- client 101 writes "Hi"

-- A token is an id, and roles behind a colon: "ana", "boss:admin".
local DOOR = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  P.rpc["door.ping"] = function() return {} end
  P.rpc["door.pong"] = function() return {} end
  function P:authenticate(req)
    local user, role = (req.token or ""):match "^(%w+):?(%w*)$"
    if not user then return nil end
    return { user = user, name = user, roles = role ~= "" and { role } or {} }
  end
  return P
]]

describe("auth-acl", function()
  local world, folder, file, open, config

  local function start(acl)
    folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {}, rpc = { ['door.ping'] = {}, ['door.pong'] = {} } } }",
      ["init.lua"] = DOOR,
    })
    open = {}
    config = function(rules) return ("plugins = { door = {}, ['auth-acl'] = { config = { %s } } }\nauth = { mode = 'plugins' }\nlog = 'info'\n"):format(rules) end
    file = process.write(folder .. ".lua", config(acl))
    world = World.new { args = { "--plugins", folder, "--config", file } }
  end
  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
    world = nil
  end)
  teardown(process.clean)

  local function ask(method, path, token, body)
    local answer = http.request(world.port, method, path, { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" }, body and cjson.encode(body))
    return answer.status, answer.body
  end
  local function rule(id, body) return ask("PUT", "/x/auth-acl/rules/" .. id, "boss:admin", body) end
  local function joins(name, doc) return world:client(name):joins(doc, { query = "token=" .. name }) end
  local function is_told(client, count, what)
    world:wait(function() client:pump(); return client:received(2, 2) >= count end, client.name .. " is told " .. what, 30)
  end
  local function moment(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds) end

  it("changes the rights of open sockets of both kinds with the rules in the store", function()
    start "source = 'kv'"
    assert.equal(200, rule("team", { docs = "notes/*", users = { "ana", "cleo" }, give = "editor" }))
    local ana = joins("ana", "notes/1")
    ana:types(0, "Hi"):is_acknowledged()
    local cleo = assert(Collab.open(world))
    open[#open + 1] = cleo
    cleo.socket:send(lib0.bytes "notes/1" .. "\2\0" .. lib0.bytes "cleo")
    assert.equal("02020a726561642d7772697465", cleo:awaits("notes/1", "0202"))
    -- Readers from now on.
    assert.equal(200, rule("team", { docs = "notes/*", users = { "ana", "cleo" }, give = "viewer" }))
    assert.equal("020208726561646f6e6c79", cleo:awaits("notes/1", "0202"))
    cleo:sends("notes/1", 0, 2, HI)
    assert.equal("0800", cleo:awaits("notes/1", "08"))
    is_told(ana, 1, "that she only reads")
    -- And again writers.
    assert.equal(200, rule("team", { docs = "notes/*", users = { "ana", "cleo" }, give = "editor" }))
    assert.equal("02020a726561642d7772697465", cleo:awaits("notes/1", "0202"))
    is_told(ana, 2, "that she writes")
    ana:types(2, "!"):is_acknowledged()
    -- Gone.
    assert.equal(204, (ask("DELETE", "/x/auth-acl/rules/team", "boss:admin")))
    assert.equal(4403, ana:is_closed())
    cleo:awaits("notes/1", "07")
    assert.equal(404, (ask("GET", "/api/v1/orgs/default/docs/notes%2F1", "ana")))
  end)

  it("ends what a rule gave at its moment, and not what another gives", function()
    start "source = 'kv'"
    assert.equal(200, rule("long", { docs = "**", users = { "ana" }, give = "viewer" }))
    assert.equal(200, rule("short", { docs = "**", users = { "ana", "ben" }, give = "editor" }))
    local ana, ben = joins("ana", "a"), joins("ben", "a")
    ana:types(0, "Hi"):is_acknowledged()
    ben:sees "Hi"
    -- They are inside by now, however slow this machine is.
    assert.equal(200, rule("short", { docs = "**", users = { "ana", "ben" }, give = "editor", ["until"] = moment(3) }))
    assert.equal(4403, ben:is_closed(60))
    is_told(ana, 1, "that she only reads")
    assert.equal(200, (ask("GET", "/api/v1/orgs/default/docs/a", "ana")))
  end)

  it("decides about routes, and about making documents, by the same roles", function()
    start [[owner_role = 'owner', rules = { { docs = 'team/*', users = { 'ana', 'ben' }, give = 'editor' }, { docs = 'team/*', users = { 'eve' }, give = 'filler' },
      { docs = 'team/*', users = { 'vic' }, give = 'viewer' } }, roles = { filler = { write = true, create = false } }]]
    local ana = joins("ana", "team/1")
    ana:types(0, "Hi"):is_acknowledged()
    local doc = "/api/v1/orgs/default/docs/team%2F1"
    assert.equal(200, (ask("GET", doc .. "/history", "ben")))
    assert.equal(403, (ask("GET", doc .. "/history", "vic")))
    assert.equal(404, (ask("GET", doc .. "/history", "mal")))
    assert.equal(403, (ask("DELETE", doc, "ben")))
    assert.equal(403, (ask("POST", "/api/v1/orgs/default/docs", "eve", { name = "team/2" })))
    assert.equal(403, (ask("POST", "/api/v1/orgs/default/docs", "vic", { name = "team/2" })))
    -- By opening it, too.
    assert.error_matches(function() joins("eve", "team/3") end, "4403 You may not make documents here")
    joins("eve", "team/1"):sees "Hi"
    assert.equal(404, (ask("GET", "/api/v1/orgs/default/docs", "ana")))
    assert.equal(200, (ask("GET", "/api/v1/orgs/default/docs", "boss:admin")))
    assert.equal(204, (ask("DELETE", doc, "ana"))) -- she made it
  end)

  it("keeps calls by name to those that a role lists", function()
    start [[roles = { clerk = { write = true, rpc = { 'door.ping' } } }, rules = { { docs = 'a', users = { 'ana' }, give = 'clerk' }, { docs = 'a', users = { 'ben' }, give = 'editor' } }]]
    local function call(user, name, doc) return (ask("POST", "/api/v1/orgs/default/rpc/" .. name .. (doc and "?doc=" .. doc or ""), user, {})) end
    assert.equal(200, call("ana", "door.ping", "a"))
    assert.equal(403, call("ana", "door.pong", "a"))
    assert.equal(200, call("ben", "door.pong", "a"))
    assert.equal(200, call("ana", "door.pong")) -- about no document
  end)

  it("asks again about who is connected when its configuration has changed", function()
    start "rules = { { docs = '**', users = { 'ana' }, give = 'editor' } }"
    local ana = joins("ana", "a")
    ana:types(0, "Hi"):is_acknowledged()
    process.write(file, config "rules = { { docs = '**', users = { 'ben' }, give = 'editor' } }")
    assert.equal(200, (ask("POST", "/api/v1/plugins/reload", "boss:admin")))
    assert.equal(4403, ana:is_closed(30))
  end)
end)
