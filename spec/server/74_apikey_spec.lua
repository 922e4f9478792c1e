-- plugins/auth-apikey: programs with keys, over HTTP and on sockets of both kinds.
local cjson = require "cjson"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local Collab = require "collab"
local World = require "world"

local HI = Collab.unhex "01016500040101740248 6900" -- client 101 writes "Hi"

-- "boss" is who makes the keys.
local DOOR = [[
  local P = {}
  function P:authenticate(req)
    if req.token == "boss" then return { user = "boss", name = "Boss", roles = { "admin" } } end
  end
  return P
]]

describe("auth-apikey", function()
  local world, open

  setup(function()
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {} } }",
      ["init.lua"] = DOOR,
    })
    open = {}
    world = World.new { args = { "--plugins", folder },
      config = "plugins = { door = {}, ['auth-apikey'] = { config = { grants = 'roles' } } }\nauth = { mode = 'plugins' }\nlog = 'info'\n" }
  end)
  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    open = {}
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function ask(method, path, token, body)
    local answer = http.request(world.port, method, path, { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" }, body and cjson.encode(body))
    return answer.status, answer.body:sub(1, 1) == "{" and cjson.decode(answer.body) or answer.body
  end
  local function make(body)
    local status, made = ask("POST", "/x/auth-apikey/keys", "boss", body)
    assert.equal(201, status)
    return made
  end
  local function remove(key) assert.equal(204, (ask("DELETE", "/x/auth-apikey/keys/" .. key.id, "boss"))) end
  local function document(name) return "/api/v1/orgs/default/docs/" .. name end
  local function collab(name, key)
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    it.socket:send(lib0.bytes(name) .. "\2\0" .. lib0.bytes(key))
    return it
  end

  it("lets a program write over HTTP and on sockets, until its key is taken back", function()
    local key, other = make { name = "ci", roles = { "editor" } }, make { name = "ci", roles = { "editor" } }
    assert.equal(201, (ask("POST", "/api/v1/orgs/default/docs", key.key, { name = "a", content = "x" })))
    assert.equal(200, (ask("POST", document "a/ops", key.key, { ops = { { "text.insert", "content", 0, "y" } } })))
    local bearer = { headers = { Authorization = "Bearer " .. key.key } }
    local ywebsocket = world:client "ci":joins("b", bearer)
    ywebsocket:types(0, "Hi"):is_acknowledged()
    local hocuspocus, stays = collab("b", key.key), collab("b", other.key)
    assert.equal("02020a726561642d7772697465", hocuspocus:awaits("b", "0202"))
    assert.equal("02020a726561642d7772697465", stays:awaits("b", "0202"))
    remove(key)
    assert.equal(401, (ask("GET", document "a", key.key)))
    assert.equal(4401, ywebsocket:is_closed(20))
    hocuspocus:awaits("b", "07", 20)
    assert.error_matches(function() world:client "ci":joins("b", bearer) end, "401")
    -- Another key of the same name goes on.
    stays:sends("b", 0, 2, HI)
    assert.equal("0801", stays:awaits("b", "08"))
    assert.equal(200, (ask("GET", document "a", other.key)))
    remove(other)
  end)

  it("keeps a key to its documents, its roles and its addresses", function()
    local key = make { name = "reader", roles = { "viewer" }, docs = { "pub/*" } }
    local writer = make { name = "writer", roles = { "editor" } }
    for _, name in ipairs { "pub/1", "own/1" } do assert.equal(201, (ask("POST", "/api/v1/orgs/default/docs", writer.key, { name = name }))) end
    assert.equal(200, (ask("GET", document "pub%2F1", key.key)))
    assert.equal(404, (ask("GET", document "own%2F1", key.key)))
    assert.equal(404, (ask("GET", "/api/v1/orgs/default/docs", key.key)))
    assert.equal(403, (ask("POST", document "pub%2F1/ops", key.key, { ops = { { "text.insert", "content", 0, "y" } } })))
    local it = collab("pub/1", key.key)
    assert.equal("020208726561646f6e6c79", it:awaits("pub/1", "0202"))
    it:sends("pub/1", 0, 2, HI)
    assert.equal("0800", it:awaits("pub/1", "08"))
    local far = make { name = "far", roles = { "editor" }, cidrs = { "203.0.113.0/24" } }
    assert.equal(401, (ask("GET", document "pub%2F1", far.key)))
    assert.equal(401, (ask("GET", document "pub%2F1", key.key:sub(1, -2) .. (key.key:sub(-1) == "0" and "1" or "0"))))
  end)

  it("takes no key from an address, and does not let one ask too often", function()
    local key = make { name = "often", roles = { "editor" }, rate = "5/d" }
    assert.error_matches(function() world:client "often":joins("c", { query = "token=" .. key.key }) end, "404")
    for _ = 1, 5 do assert.equal(404, (ask("GET", document "none", key.key))) end
    local status, body = ask("GET", document "none", key.key)
    assert.equal(429, status)
    assert.equal("auth-apikey.too_often", body.error.code)
  end)

  it("ends sockets of a key that is over", function()
    local key = make { name = "short", roles = { "editor" }, expires = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 8) }
    local it = world:client "short":joins("d", { headers = { Authorization = "Bearer " .. key.key } })
    assert.equal(4401, it:is_closed(60))
  end)
end)
