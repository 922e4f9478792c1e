-- Whose edits may come under which client id (SEC-AZ-08), in every dialect, with updates made by hand. Run by spec/support/with-postgres.
local cjson = require "cjson"
local Collab = require "collab"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local World = require "world"

local DOOR = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate(req)
    if req.token == "visitor" then
      self.state.visitors = (self.state.visitors or 0) + 1
      return { user = "visitor-" .. self.state.visitors, name = "Visitor", kind = "guest" }
    end
    if req.token and req.token ~= "" then return { user = req.token, name = req.token } end
  end
  function P:authorize(ask) return ml.grant { role = ask.identity.user == "ada" and "owner" or "editor" } end
  return P
]]

--- One character of a client: the first in root "t", the others behind the one before. More arguments: more clients.
local function update(...)
  local parts, all = { ... }, {}
  for i = 1, #parts, 2 do
    local client, clock = lib0.uint(parts[i]), parts[i + 1]
    all[#all + 1] = "\1" .. client .. lib0.uint(clock)
      .. (clock > 0 and "\132" .. client .. lib0.uint(clock - 1) or "\4\1\1t") .. "\1x"
  end
  return lib0.uint(#all) .. table.concat(all) .. "\0"
end

local open = {}

-- Each: (world, user, document, bytes) → "taken" when it is durable, or "refused".
local DIALECTS = {
  ["y-websocket"] = function(world, user, document, bytes)
    local client = world:client(user):joins(document, { query = "token=" .. user })
    client.is_opaque = true
    client:sends(0, 2, bytes)
    local answers = client:received(0, 1)
    client:sends(0, 0, "\0") -- answered behind it
    world:wait(function() return client.socket.closed or client:received(0, 1) > answers end, "an answer", 20)
    if not client.socket.closed then
      client:leaves()
      return "taken"
    end
    assert.equal(4403, client.socket.closed.code)
    return "refused"
  end,
  ["y-sweet"] = function(world, user, document, bytes)
    local client = world:client(user):joins(document, { query = "token=" .. user })
    client.is_opaque = true
    client:sends(0, 2, bytes):asks(7)
    world:wait(function() return client.socket.closed or client.status == 7 end, "a status", 20)
    if not client.socket.closed then
      client:leaves()
      return "taken"
    end
    assert.equal(4403, client.socket.closed.code)
    assert.equal(-1, client.status)
    return "refused"
  end,
  hocuspocus = function(world, user, document, bytes)
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    it:joins(document, user)
    it:sends(document, 0, 2, bytes)
    return it:awaits(document, "08", 20) == "0801" and "taken" or "refused"
  end,
  http = function(world, user, document, bytes)
    local answer = http.request(world.port, "POST", ("/api/v1/orgs/default/docs/%s/updates"):format(document),
      { Authorization = "Bearer " .. user, ["Content-Type"] = "application/octet-stream" }, bytes)
    if answer.status == 200 then return "taken" end
    assert.equal(403, answer.status, answer.body)
    assert.truthy(answer.body:find("author.foreign", 1, true))
    return "refused"
  end,
}
local NAMES = { "y-websocket", "y-sweet", "hocuspocus", "http" }

local function node(config, store, bus)
  local folder = process.folder()
  World.plugin(folder, "door", {
    ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {}, authorize = {} } }",
    ["init.lua"] = DOOR,
  })
  local args = { "--plugins", folder }
  for _, more in ipairs { store and "--store" or false, store or false, bus and "--bus" or false, bus or false } do
    if more then args[#args + 1] = more end
  end
  return World.new { args = args, config = "plugins = { door = {} }\nauth = { mode = 'plugins' }\nloops = 2\n" .. (config or "") }
end

local function close(worlds)
  for _, it in ipairs(open) do it:drop() end
  open = {}
  for _, world in ipairs(worlds) do world:close() end
end

local function counts(world, name, wanted) -- they are added up once a second
  world:wait(function() return tonumber(world:get("/metrics").body:match("\nmoonloom_" .. name .. " (%d+)")) == wanted end, name .. " is " .. wanted, 20)
end

describe("a client id", function()
  for _, name in ipairs(NAMES) do
    local deliver = DIALECTS[name]

    it("belongs to the first user seen with it: " .. name, function()
      local world = node()
      local function does(user, document, ...) return deliver(world, user, document, update(...)) end
      -- One order, and the other.
      assert.equal("taken", does("ana", "one", 501, 0))
      assert.equal("refused", does("ben", "one", 501, 1))
      assert.equal("taken", does("ana", "one", 501, 1)) -- the clock is hers still; another session: a tab that was offline
      assert.equal("taken", does("ben", "two", 501, 0))
      assert.equal("refused", does("ana", "two", 501, 1))
      assert.equal("taken", does("ben", "two", 501, 1))
      -- His own beside hers; hers that is there already; his own alone.
      assert.equal("refused", does("ben", "one", 601, 0, 501, 2))
      assert.equal("taken", does("ben", "one", 602, 0, 501, 1))
      assert.equal("taken", does("ben", "one", 602, 1))
      -- And somebody without a name.
      assert.equal("refused", does("", "one", 501, 2))
      assert.equal("taken", does("", "one", 701, 0))
      -- Or with another one each time.
      assert.equal("taken", does("visitor", "three", 801, 0))
      assert.equal("taken", does("visitor", "three", 801, 1))
      counts(world, "updates_foreign_total", 4)
      world:stop()
      assert.same({ "501|ana", "602|ben" }, world:sql "SELECT client, author FROM authors JOIN documents USING (org, document) WHERE name = 'one' ORDER BY client")
      world:start()
      assert.equal("refused", does("ben", "one", 501, 2))
      assert.equal("taken", does("ana", "one", 501, 2))
      close { world }
    end)
  end

  it("is forged in no dialect by what another one has brought", function()
    local world = node()
    for i, first in ipairs(NAMES) do
      for k, second in ipairs(NAMES) do
        local document = ("d%d-%d"):format(i, k)
        assert.equal("taken", DIALECTS[first](world, "ana", document, update(501, 0)))
        assert.equal("refused", DIALECTS[second](world, "ben", document, update(501, 1)))
      end
    end
    close { world }
  end)

  it("of the server is nobody's: operations, restored versions", function()
    local world = node()
    local function api(user, method, path, body)
      local answer = http.request(world.port, method, "/api/v1/orgs/default/docs/one" .. path,
        { Authorization = "Bearer " .. user, ["Content-Type"] = "application/json" }, body)
      assert.truthy(answer.status < 300, answer.body)
    end
    for _, user in ipairs { "ana", "ben", "ana" } do -- one lane, and one id, for both
      api(user, "POST", "/ops", '{"ops":[["text.insert","t",0,"hello"]]}')
    end
    api("ben", "POST", "/ops", '{"ops":[["text.delete","t",0,15]]}')
    api("ana", "POST", "/restore", '{"seq":1}')
    world:stop()
    local rows = world:sql "SELECT client, author FROM authors"
    assert.truthy(#rows >= 2)
    for _, row in ipairs(rows) do assert.truthy(row:match "^%d+|$", row) end
    local id = tonumber(rows[1]:match "^%d+")
    world:start()
    assert.equal("refused", DIALECTS.http(world, "ben", "one", update(id, 1000)))
    close { world }
  end)

  it("of somebody else is taken where the org is lax, and counted", function()
    local world = node "authorship = { mode = 'strict', orgs = { default = 'lax' } }"
    for _, name in ipairs(NAMES) do
      assert.equal("taken", DIALECTS[name](world, "ana", name, update(501, 0)))
      assert.equal("taken", DIALECTS[name](world, "ben", name, update(501, 1)))
      local history = http.request(world.port, "GET", ("/api/v1/orgs/default/docs/%s/history"):format(name), { Authorization = "Bearer ada" })
      local items = cjson.decode(history.body).items
      assert.equal(2, #items, history.body)
      assert.same({ "ben", "ana" }, { items[1].user, items[2].user })
      assert.same({ ["author.relayed"] = true }, items[1].labels)
      assert.is_nil(items[2].labels)
    end
    counts(world, "updates_relayed_total", #NAMES)
    counts(world, "updates_foreign_total", 0)
    close { world }
  end)

  it("is nobody's in open mode: who comes back is somebody else, and goes on", function()
    local world = World.new {}
    for _, name in ipairs(NAMES) do
      for clock = 0, 2 do assert.equal("taken", DIALECTS[name](world, "", name, update(501, clock))) end
    end
    counts(world, "updates_relayed_total", 0)
    world:stop()
    assert.same({}, world:sql "SELECT client FROM authors")
    world:start()
    close { world }
  end)

  it("that a setting is wrong about is complained of", function()
    for _, wrong in ipairs { "'loose'", "{ mode = 1 }", "{ orgs = { acme = 'loose' } }", "{ orgs = { ['A B'] = 'lax' } }", "{ lax = true }", "true" } do
      local file = process.write(process.folder() .. "/moonloom.lua", "authorship = " .. wrong)
      local status, out, err = process.run { World.BIN, "check-config", file }
      assert.truthy(status ~= 0 and (out .. err):find("authorship", 1, true), wrong)
    end
  end)
end)

describe("a client id on two nodes", function()
  local here, there, store

  before_each(function()
    local pg = os.getenv "MOONLOOM_TEST_PG"
    assert(pg, "run this with spec/support/with-postgres")
    local name = "authors_" .. tostring(os.time()) .. tostring(math.random(10000))
    assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE " .. name } == 0)
    store = ("postgres:///%s?host=%s&user=moonloom"):format(name, pg:match "host=(%S+)")
    here, there = node("", store, "postgres"), node("", store, "postgres")
  end)
  after_each(function() close { here, there } end)

  it("belongs to the first user seen with it on either", function()
    for _, name in ipairs(NAMES) do
      local deliver = DIALECTS[name]
      assert.equal("taken", deliver(here, "ana", name, update(501, 0)))
      assert.equal("refused", deliver(there, "ben", name, update(501, 1)))
      assert.equal("taken", deliver(there, "ana", name, update(501, 1))) -- she moves
      assert.equal("taken", deliver(there, "ben", name, update(502, 0, 501, 1))) -- what the store has
      assert.equal("taken", deliver(here, "ana", name, update(501, 2)))
      assert.equal("refused", deliver(here, "ben", name, update(501, 3)))
    end
  end)

  it("is one user's when two begin at the same moment", function()
    local times, seats = { ana = 0, ben = 0 }, {}
    for round = 1, 20 do
      for user, world in pairs { ana = here, ben = there } do
        seats[user] = assert(Collab.open(world))
        seats[user]:joins("round" .. round, user)
      end
      -- What the other node has taken by then is a repeat of two units, and no news; three are.
      seats.ana:sends("round" .. round, 0, 2, "\1\1" .. lib0.uint(501) .. "\0\4\1\1a\2hi\0")
      seats.ben:sends("round" .. round, 0, 2, "\1\1" .. lib0.uint(501) .. "\0\4\1\1b\3you\0")
      local answers = {}
      for user, seat in pairs(seats) do
        answers[user] = seat:awaits("round" .. round, "08", 20)
        seat:drop()
      end
      local status, out = process.run { "psql", store, "-XAtc",
        ("SELECT r.author, a.author FROM documents d JOIN records r USING (org, document) JOIN authors a USING (org, document) WHERE d.name = 'round%d'"):format(round) }
      assert.equal(0, status)
      local wrote, owns = out:match "^(%a+)|(%a+)\n$" -- one record, one claim
      assert.equal(owns, wrote, out)
      assert.equal("0801", answers[wrote])
      if wrote == "ana" then assert.equal("0800", answers.ben) end
      times[wrote] = times[wrote] + 1
    end
    print(("# ana had it %d times, ben %d times"):format(times.ana, times.ben))
  end)
end)

teardown(process.clean)
