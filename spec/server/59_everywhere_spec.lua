-- What ends on one node ends on the other: sessions, shares, tickets (SEC-SS-02, SEC-WS-06). Two nodes over one PostgreSQL and one
-- Redis; run by spec/support/with-postgres and spec/support/with-redis.
local socket = require "socket"
local Accounts = require "accounts"
local Collab = require "collab"
local http = require "http"
local process = require "process"
local World = require "world"

local DOC = "/api/v1/orgs/default/docs/plan"
local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
-- It has to be 4 s; a machine that does much else at once is given more.
local MOST = World.LONG and 4 or 12

describe("on two nodes", function()
  local here, there, people, ana, slowest

  local function took(since, what)
    local seconds = socket.gettime() - since
    if seconds > slowest[1] then slowest = { seconds, what } end
    assert.is_true(seconds <= MOST, ("%s: %.1f s"):format(what, seconds))
  end

  setup(function()
    local pg, redis = os.getenv "MOONLOOM_TEST_PG", os.getenv "MOONLOOM_TEST_REDIS"
    assert(pg and redis, "run this with spec/support/with-postgres and spec/support/with-redis")
    local name = "everywhere_" .. tostring(os.time()) .. tostring(math.random(1000))
    assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE " .. name } == 0)
    local store = ("postgres:///%s?host=%s&user=moonloom"):format(name, pg:match "host=(%S+)")
    local env = { MOONLOOM_SEAL_KEY = ("5e"):rep(32) }
    local function node()
      return World.new {
        args = { "--store", store }, env = env,
        config = ("auth = { mode = 'password' }\nloops = 2\nbus = 'redis://127.0.0.1:%s'\n"):format(redis),
      }
    end
    here, slowest = node(), { 0, "" }
    there = node()
    people = Accounts.new(here)
    people.store, people.env = { "--store", store }, env
    people:add("ana", "owner")
    people:add("ben", "viewer")
    people:add("sue", "editor")
    ana = people:login "ana"
    assert.equal(200, people:ask("POST", DOC .. "/ops", ana, OPS).status)
  end)
  teardown(function()
    if there then there:close() end
    if here then here:close() end
    process.clean()
  end)

  local function is_in(who) return people:ask("GET", DOC .. "/content", who, nil, there.port).status == 200 end
  local function gone(since, who, sockets, what)
    for _, client in ipairs(sockets) do assert.equal(4401, (client:is_closed(20))) end
    took(since, what .. ", sockets")
    there:wait(function() return not is_in(who) end, what, 20)
    took(since, what .. ", requests")
    assert.equal(401, people:ask("GET", DOC .. "/content", who, nil, there.port).status)
    assert.equal(401, people:ask("POST", "/auth/refresh", who, {}, there.port).status)
  end

  it("a session ends on both, and no other", function()
    local ben, other = people:login "ben", people:login "ben"
    local stays = people:joins(other, "plan", there)
    local sockets = { people:joins(ben, "plan", there), people:joins(ben, "more", there), people:joins(ben, "plan", here) }
    local collab = assert(Collab.open(there, { headers = { Cookie = people:jar(ben).Cookie, Origin = people:jar(ben, nil, there.port).Origin } }))
    collab:joins("plan", "")
    sockets[#sockets + 1] = collab
    assert.is_true(is_in(ben))
    local since = socket.gettime()
    assert.equal(204, people:ask("POST", "/auth/logout", ben, {}).status)
    gone(since, ben, sockets, "logout")
    assert.is_true(is_in(other))
    assert.is_nil(stays.closed)
    -- Everywhere.
    since = socket.gettime()
    assert.equal(204, people:ask("POST", "/auth/logout-everywhere", other, {}).status)
    gone(since, other, { stays }, "logout everywhere")
    assert.is_true(is_in(ana))
  end)

  it("a user is suspended on both", function()
    local sue = people:login("sue", nil, nil, there.port)
    local stays = people:joins(ana, "plan", there)
    local sockets = { people:joins(sue, "plan", there), people:joins(sue, "plan", here), people:joins(sue, "more", there) }
    assert.is_true(is_in(sue))
    local since = socket.gettime()
    assert.equal(0, (people:user(nil, "user", "suspend", "sue")))
    gone(since, sue, sockets, "suspension")
    assert.equal(401, people:login("sue", nil, nil, there.port).status)
    stays:types(0, "still here "):is_acknowledged()
  end)

  it("a share is given and taken away on both", function()
    local ben = people:login("ben", nil, nil, there.port)
    local client = people:joins(ben, "plan", there)
    local function share(id, method, body) return people:ask(method, DOC .. "/shares/" .. id, ana, body) end
    local function writes() return people:ask("POST", DOC .. "/ops", ben, OPS, there.port).status == 200 end
    local function becomes(scope, since)
      there:wait(function()
        for i = #client.frames, 1, -1 do
          local frame = client.frames[i]
          if frame.type == 2 and frame.subtype == 2 then return frame.payload == scope end
        end
      end, "becomes " .. scope, 20)
      took(since, "a share, " .. scope)
    end
    assert.is_false(writes())
    local since = socket.gettime()
    assert.equal(200, share("ben", "PUT", { kind = "user", role = "editor" }).status)
    becomes("read-write", since)
    there:wait(writes, "may write", 20)
    took(since, "a share, requests")
    since = socket.gettime()
    assert.equal(204, share("ben", "DELETE").status)
    becomes("readonly", since)
    there:wait(function() return not writes() end, "may not write", 20)
    took(since, "a share taken away, requests")
    -- A link: its guest has nothing left.
    local token = share("link", "PUT", { kind = "link", role = "editor" }).json.token
    local guest = people:raw("POST", "/auth/guest", {}, { token = token }, there.port)
    assert.equal(200, guest.status)
    local theirs = people:joins(guest, "plan", there)
    theirs:types(0, "a guest "):is_acknowledged()
    since = socket.gettime()
    assert.equal(204, share("link", "DELETE").status)
    theirs:is_closed(20)
    took(since, "a link, sockets")
    there:wait(function() return not is_in(guest) end, "the guest is out", 20)
    took(since, "a link, requests")
    there:wait(function() return people:raw("POST", "/auth/guest", {}, { token = token }, there.port).status == 401 end, "the link is over", 20)
    took(since, "a link, new guests")
  end)

  it("a ticket opens one socket of both", function()
    local nodes = { here, there }
    local function ticket(port)
      local answer = people:ask("POST", "/auth/ticket", ana, { org = "default", doc = "plan" }, port)
      assert.equal(200, answer.status)
      return answer.json.ticket
    end
    local function shown(text, world)
      local sock = assert(socket.tcp())
      sock:settimeout(30)
      assert(sock:connect("127.0.0.1", world.port))
      sock:send(("GET /sync/default/plan?token=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(text, world.port))
      return sock
    end
    -- One after the other.
    for i = 1, 2 do
      local text = ticket(nodes[i].port)
      local first = http.read(shown(text, nodes[i]), true)
      assert.equal(101, first.status)
      for _, world in ipairs(nodes) do assert.equal(401, http.read(shown(text, world)).status) end
    end
    -- At once.
    for round = 1, 10 do
      local text, socks, opened = ticket(nodes[round % 2 + 1].port), {}, 0
      for i = 1, 8 do socks[i] = shown(text, nodes[i % 2 + 1]) end
      for i = 1, 8 do
        local status = http.read(socks[i], true).status
        if status == 101 then opened = opened + 1 else assert.equal(401, status) end
      end
      for i = 1, 8 do socks[i]:close() end
      assert.equal(1, opened, "round " .. round)
    end
    print(("# the slowest: %s after %.1f s"):format(slowest[2], slowest[1]))
  end)
end)
