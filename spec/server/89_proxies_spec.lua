-- Behind a proxy: whose address it is that is counted, logged and told to plugins (SEC-SS-04, SEC-CK-02, SEC-LM-14). X-Forwarded-For says it,
-- if a proxy that is listed has written it.
local Accounts = require "accounts"
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

describe("behind a proxy", function()
  local world, people, names

  local function start(config)
    world = World.new { config = "auth = { mode = 'password' }\nloops = 2\n" .. config }
    people, names = Accounts.new(world), 0
  end
  after_each(function() world:close() end)
  teardown(process.clean)

  --- A wrong try, of somebody new if nobody is named; `field` may be several: lines of their own.
  local function try(field, user)
    names = names + 1
    return people:raw("POST", "/auth/login", { ["X-Forwarded-For"] = field }, { user = user or "nobody-" .. names, password = "a guess" }).status
  end
  local LISTED = "proxies = { '127.0.0.1/32', '10.0.0.0/8', '2001:db8:1::/48' }\n"

  it("that is not listed, the field says nothing: twenty tries are twenty tries", function()
    start ""
    for i = 1, 20 do assert.equal(401, try("203.0.113." .. i)) end
    assert.equal(429, try "203.0.113.99")
    assert.equal(429, try(nil))
  end)

  it("that is listed, each address has its own twenty tries, and only what listed proxies wrote counts", function()
    start(LISTED)
    for i = 1, 20 do assert.equal(401, try("203.0.113.7"), i) end
    for _, same in ipairs {
      "203.0.113.7", "  203.0.113.7\t", "203.0.113.7:4711", "::ffff:203.0.113.7",
      "198.51.100.1, 203.0.113.7", -- what stands before it anybody may have written
      "127.0.0.1, 203.0.113.7", "10.1.2.3,203.0.113.7", "unknown, 203.0.113.7", ",,203.0.113.7",
      "203.0.113.7, 10.1.2.3", "198.51.100.1, 203.0.113.7, 10.1.2.3, 10.200.0.1", "203.0.113.7, 2001:db8:1::5", "203.0.113.7,[2001:db8:1::5]:443",
      "198.51.100.1\r\nX-Forwarded-For: 203.0.113.7", "203.0.113.7\r\nX-Forwarded-For: 10.1.2.3",
    } do assert.equal(429, try(same), same) end
    for _, other in ipairs {
      "203.0.113.8", "203.0.113.7, 203.0.113.8", "203.0.113.7\r\nX-Forwarded-For: 203.0.113.8", "2001:db8:2::7", "[2001:db8:2::7]:1",
      "203.0.113.7, not an address", "203.0.113.7, 203.0.113.7.1", "203.0.113.7,", "", -- then it is the proxy's own
    } do assert.equal(401, try(other), other) end
    -- Other fields of the kind say nothing.
    local function with(name, value)
      names = names + 1
      return people:raw("POST", "/auth/login", { [name] = value }, { user = "nobody-" .. names, password = "a guess" }).status
    end
    assert.equal(401, with("Forwarded", "for=203.0.113.7"))
    assert.equal(401, with("X-Real-IP", "203.0.113.7"))
  end)

  it("five tries of an account are five from wherever they come", function()
    start(LISTED)
    people:add("ana", "owner")
    for i = 1, 5 do assert.equal(401, try("203.0.113." .. i, "ana")) end
    assert.equal(429, try("203.0.113.6", "ana"))
    assert.equal(429, people:raw("POST", "/auth/login", { ["X-Forwarded-For"] = "203.0.113.7" }, { user = "ana", password = Accounts.PASSWORD }).status)
  end)

  it("the security log has the client's address, and nothing is this machine that came through", function()
    start(LISTED)
    people:add("ana", "owner")
    local ana = people:raw("POST", "/auth/login", { ["X-Forwarded-For"] = "198.51.100.1, 203.0.113.7" }, { user = "ana", password = Accounts.PASSWORD })
    assert.equal(200, ana.status)
    local found
    world:wait(function()
      for _, item in ipairs(people:ask("GET", "/api/v1/orgs/default/audit?limit=1000", ana).json.items) do
        if item.kind == "session.sign_in" then found = item end
      end
      return found
    end, "the event is there", 20)
    assert.equal("203.0.113.7", found.ip)
    assert.equal(403, world:get("/metrics", { ["X-Forwarded-For"] = "127.0.0.1" }).status)
    assert.equal(200, world:get("/metrics").status)
  end)

  it("sockets are counted by client, not by proxy", function()
    start(LISTED .. "limits = { address_sessions = 3 }\n")
    people:add("ana", "owner")
    local ana = people:login "ana"
    local function open(from, document)
      local jar = people:jar(ana)
      local headers = { Cookie = jar.Cookie, Origin = jar.Origin, ["X-Forwarded-For"] = from }
      local it, status = WebSocket.open { port = world.port, path = "/sync/default/" .. document, headers = headers }
      return it, status
    end
    local open_ones = {}
    for i = 1, 3 do open_ones[i] = assert(open("203.0.113.7", "doc" .. i)) end
    local _, status = open("203.0.113.7", "doc4")
    assert.equal(503, status)
    open_ones[4] = assert(open("203.0.113.8", "doc4"))
    _, status = open("203.0.113.8, 203.0.113.7", "doc5")
    assert.equal(503, status)
    open_ones[1]:drop()
    world:wait(function()
      local it = open("203.0.113.7", "doc6")
      open_ones[5] = it
      return it
    end, "a place is free again", 20)
    for i = 2, 5 do open_ones[i]:drop() end
  end)

  it("what is no list of ranges is no configuration", function()
    start ""
    for _, wrong in ipairs { "'10.0.0.0/8'", "{ '10.0.0.1' }", "{ 'proxy.example' }", "{ '10.0.0.0/33' }", "{ 10 }" } do
      local file = process.write(process.folder() .. "/moonloom.lua", "proxies = " .. wrong .. "\n")
      local ended, _, err = process.run { World.BIN, "serve", "--config", file, "--listen", "127.0.0.1:0", "--data", process.folder() }
      assert.not_equal(0, ended)
      assert.truthy(err:find("proxies", 1, true), err)
    end
  end)
end)
