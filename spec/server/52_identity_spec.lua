-- Whose cursor it is says the server (SEC-AZ-10).
local cjson = require "cjson"
local lib0 = require "lib0"
local process = require "process"
local World = require "world"

local DOOR = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate(req)
    if not req.token or req.token == "" then return end
    local user, name = req.token:match "^([^:]*):?(.*)$"
    if user == "u_pat" then return { user = user, color = "#12AB9f", avatar = "https://img.example/p.png?s=64" } end
    if user == "u_red" then return { user = user, color = "red" } end
    if user == "u_js" then return { user = user, avatar = "javascript:alert(1)" } end
    if user == "u_rel" then return { user = user, avatar = "//evil.example/x" } end
    return { user = user, name = name ~= "" and name or nil }
  end
  function P:authorize(ask)
    if ask.action == "doc.open" then return ml.grant { read = true, write = true, presence = true } end
  end
  return P
]]

describe("whose cursor it is", function()
  local world

  local function start(config)
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {}, authorize = {} } }",
      ["init.lua"] = DOOR,
    })
    world = World.new {
      args = { "--plugins", folder },
      config = "plugins = { door = {} }\nauth = { mode = 'plugins' }\n" .. (config or ""),
    }
  end
  after_each(function() world:close() end)
  teardown(process.clean)

  local function raw(client, json, clock)
    client.clock = clock or client.clock + 1
    client:sends(1, nil, "\1" .. lib0.uint(client.id) .. lib0.uint(client.clock) .. lib0.bytes(json))
  end

  --- What the other one sees of what `json` said.
  local function seen(watcher, author, json)
    author.round = (author.round or 0) + 1
    raw(author, json:sub(1, -2) .. (json == "{}" and "" or ",") .. '"round":' .. author.round .. "}")
    watcher:sees_person(author, function(state) return state.round == author.round end)
    return watcher.people[author.id].state
  end

  describe("with accounts", function()
    before_each(function() start() end)

    it("is said by the server, whatever a client claims", function()
      local anna = world:client "anna":joins("p/who", { query = "token=u_anna:Anna" })
      local eve = world:client "eve":joins("p/who", { query = "token=u_eve:Eve" })
      for _, claim in ipairs {
        '{"user":{"id":"u_anna","name":"Anna","avatar":"https://evil.example/a.png"}}',
        '{"\\u0075ser":{"\\u0069d":"u_anna","nam\\u0065":"Anna","avatar":"x"}}',
        '{"user":{"name":"x"},"user":{"id":"u_anna","name":"Anna"}}',
        '{"user":{"id":"u_anna","id":{"a":[1,{"b":2}]},"name":["Anna"]}}',
        '{"user":"Anna"}', '{"user":null}', '{"user":[{"id":"u_anna"}]}', "{}",
      } do
        local state = seen(anna, eve, claim)
        assert.equal("u_eve", state.user.id, claim)
        assert.equal("Eve", state.user.name, claim)
        assert.is_nil(state.user.avatar, claim)
        assert.truthy(state.user.color:match "^#%x%x%x%x%x%x$", claim)
      end
    end)

    it("keeps a colour of a client only if it is one", function()
      local anna = world:client "anna":joins("p/color", { query = "token=u_anna" })
      local ben = world:client "ben":joins("p/color", { query = "token=u_ben" })
      local own = seen(anna, ben, "{}").user.color
      assert.equal("#a1B2c3", seen(anna, ben, '{"user":{"color":"#a1B2c3","colorLight":"#a1b2c333"}}').user.color)
      assert.equal("#a1b2c333", anna.people[ben.id].state.user.colorLight)
      for _, color in ipairs {
        "</style><script>", "url(https://evil.example)", "#a1b2c", "#a1b2c3d", "#a1b2c3;x", "red", "#gggggg", "", "#a1b2c3\\n",
        "\\u0023a1b2c3\\u003b", "expression(alert(1))",
      } do
        local user = seen(anna, ben, '{"user":{"color":"' .. color .. '","colorLight":"' .. color .. '"}}').user
        assert.equal(own, user.color, color)
        assert.is_nil(user.colorLight, color)
      end
      assert.equal(own, seen(anna, ben, '{"user":{"color":7,"colorLight":{}}}').user.color)
    end)

    it("has the colour and the picture that the identity has, whatever the client says", function()
      local anna = world:client "anna":joins("p/looks", { query = "token=u_anna" })
      local pat = world:client "pat":joins("p/looks", { query = "token=u_pat" })
      for _, claim in ipairs { "{}", '{"user":{"color":"#000000","avatar":"https://evil.example/x.png"}}' } do
        local user = seen(anna, pat, claim).user
        assert.equal("#12AB9f", user.color)
        assert.equal("https://img.example/p.png?s=64", user.avatar)
      end
      for _, user in ipairs { "u_red", "u_js", "u_rel" } do -- an answer that is none: a policy that fails
        local WebSocket = require "websocket"
        local ws, status = WebSocket.open { port = world.port, path = "/sync/default/p/looks?token=" .. user }
        assert.is_nil(ws, user)
        assert.equal(503, status, user)
      end
    end)

    it("leaves all else of the state as it came", function()
      local anna = world:client "anna":joins("p/rest", { query = "token=u_anna" })
      local ben = world:client "ben":joins("p/rest", { query = "token=u_ben:Ben" })
      raw(ben, '{"cursor":{"anchor":[1,2.50e3,"\\ud83c\\udf19"],"head":null},"user":{"name":"x","role":"author"},"n":-0.5}')
      anna:sees_person(ben)
      local state = anna.people[ben.id].state
      assert.same({ 1, 2500, "🌙" }, state.cursor.anchor)
      assert.equal(cjson.null, state.cursor.head)
      assert.equal("author", state.user.role)
      assert.equal(-0.5, state.n)
    end)

    it("lets an identity without a name choose one", function()
      local anna = world:client "anna":joins("p/name", { query = "token=u_anna" })
      local ben = world:client "ben":joins("p/name", { query = "token=u_ben" })
      local user = seen(anna, ben, '{"user":{"id":"u_anna","name":"  Be\\u0000n\\u202e\\u0007 "}}').user
      assert.equal("Ben", user.name)
      assert.equal("u_ben", user.id)
      assert.equal(126, #seen(anna, ben, '{"user":{"name":"' .. ("é"):rep(200) .. '"}}').user.name)
      assert.equal("u_ben", seen(anna, ben, '{"user":{"name":"\\u0001 "}}').user.name) -- nothing is left of it
    end)

    it("drops what is no state at all, and the connection goes on", function()
      local anna = world:client "anna":joins("p/broken", { query = "token=u_anna" })
      local ben = world:client "ben":joins("p/broken", { query = "token=u_ben" })
      for _, json in ipairs {
        "1", '"x"', "[]", "true", "{", "{}}", '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":+1}',
        '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"\n"}', '{"a":nul}', '{"a":[1 2]}', '{"a":[}', '{"a":{]}',
        '{"a":' .. ("["):rep(5000) .. ("]"):rep(5000) .. "}", '{"a":"', "{\"a\":1}x", "",
      } do
        raw(ben, json)
      end
      local clock = ben.clock
      assert.truthy(seen(anna, ben, "{}"))
      assert.equal(clock + 1, anna.people[ben.id].clock)
    end)
  end)

  it("has a state within its budget: what nobody needs goes first, then the state", function()
    start "limits = { presence_state_bytes = 400 }"
    local anna = world:client "anna":joins("p/size", { query = "token=u_anna" })
    local ben = world:client "ben":joins("p/size", { query = "token=u_ben" })
    raw(ben, '{"cursor":5,"user":{},"more":"' .. ("x"):rep(400) .. '"}')
    anna:sees_person(ben, function(state) return state.cursor == 5 end)
    assert.is_nil(anna.people[ben.id].state.more)
    raw(ben, '{"cursor":"' .. ("x"):rep(400) .. '"}')
    raw(ben, '{"more":"' .. ("x"):rep(1e6) .. '"}')
    raw(ben, '{"cursor":6}')
    anna:sees_person(ben, function(state) return state.cursor == 6 end)
  end)

  it("does not take a clock that nobody could go on from", function()
    start()
    local anna = world:client "anna":joins("p/clock", { query = "token=u_anna" })
    local ben = world:client "ben":joins("p/clock", { query = "token=u_ben" })
    raw(ben, '{"cursor":1}', 4294967296)
    raw(ben, '{"cursor":2}', 9007199254740991)
    raw(ben, '{"cursor":3}', 1)
    anna:sees_person(ben, function(state) return state.cursor == 3 end)
  end)

  it("of somebody else cannot be moved or taken away", function()
    start()
    local anna = world:client "anna":joins("p/other", { query = "token=u_anna" })
    local eve = world:client "eve":joins("p/other", { query = "token=u_eve" })
    raw(anna, '{"cursor":1}')
    eve:sees_person(anna)
    for _, json in ipairs { '{"cursor":2}', "null" } do
      eve:sends(1, nil, "\1" .. lib0.uint(anna.id) .. lib0.uint(50) .. lib0.bytes(json))
    end
    raw(anna, '{"cursor":3}')
    eve:sees_person(anna, function(state) return state.cursor == 3 and state.user.id == "u_anna" end)
  end)
end)
