-- Tickets: one socket, one document, once, for a minute (SEC-JWT-06, SEC-JWT-10).
local Accounts = require "accounts"
local Collab = require "collab"
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

describe("a ticket", function()
  local world, people, ana

  setup(function()
    world = World.new { config = "auth = { mode = 'password' }\nloops = 3\n" }
    people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("vic", "viewer")
    ana = people:login "ana"
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function ask(who, doc, org) return people:ask("POST", "/auth/ticket", who, { org = org or "default", doc = doc }) end
  local function ticket(who, doc)
    local answer = ask(who, doc)
    assert.equal(200, answer.status)
    local left = answer.json.expires / 1000 - os.time()
    assert.truthy(left > 30 and left <= 61, left)
    return answer.json.ticket
  end
  --- nil and the status, if it does not open.
  local function open(text, doc, origin)
    return WebSocket.open { port = world.port, path = "/sync/default/" .. doc .. "?token=" .. text, headers = { Origin = origin } }
  end

  it("opens one socket, with the rights of whoever asked", function()
    local text = ticket(ana, "notes")
    local client = world:client "ana":joins("notes", { query = "token=" .. text })
    client:types(0, "hello"):is_acknowledged()
    local again, status = open(text, "notes")
    assert.falsy(again)
    assert.equal(401, status)
    local reader = world:client "vic":joins("notes", { query = "token=" .. ticket(people:login "vic", "notes") })
    reader:types(0, "x")
    assert.equal(4403, (reader:is_closed(20)))
    client:types(5, " again"):is_acknowledged()
  end)

  it("that comes over an open socket counts for what stands behind it, in the same segment too", function()
    local function roles(role) return ticket(people:token("--org", "default", "--user", "ana", "--role", role), "notes") end
    local client, reader = people:joins(ana, "notes"), people:joins(ana, "notes")
    local before = reader.text:string()
    --- A credential and an edit in one write: one segment.
    local function both(text, edit)
      local update = client.text:insert(0, edit)
      client.socket:raw(WebSocket.frame(World.message(2, 0, text)) .. WebSocket.frame(World.message(0, 2, update)))
    end
    both(roles "editor", "may ")
    client:is_acknowledged()
    both(roles "viewer", "may not ")
    assert.equal(4403, (client:is_closed(20)))
    reader:catches_up()
    assert.equal("may " .. before, reader.text:string())
    -- And the other way round.
    client = world:client "ana":joins("notes", { query = "token=" .. roles "viewer" })
    both(roles "editor", "again ")
    client:is_acknowledged()
    reader:sees("again may " .. before)
  end)

  it("opens one of twenty that show it at once", function()
    local text, socks, count = ticket(ana, "race"), {}, 0
    local socket = require "socket"
    for i = 1, 20 do
      socks[i] = assert(socket.tcp())
      socks[i]:settimeout(30)
      assert(socks[i]:connect("127.0.0.1", world.port))
      socks[i]:send(("GET /sync/default/race?token=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(text, world.port))
    end
    for i = 1, 20 do
      if socks[i]:receive "*l":find(" 101 ", 1, true) then count = count + 1 end
      socks[i]:close()
    end
    assert.equal(1, count)
  end)

  it("opens no other document, and is no token for anything else", function()
    local text = ticket(ana, "notes")
    assert.falsy((open(text, "other")))
    local good = ticket(ana, "notes")
    assert.equal(401, people:ask("GET", "/api/v1/orgs/default/docs/notes/content", good).status)
    assert.equal(401, people:ask("POST", "/auth/ticket", good, { org = "default", doc = "notes" }).status)
    assert.falsy((open(good:sub(1, -2), "notes")))
    for _, body in ipairs { {}, { org = "default" }, { org = 1, doc = "a" }, { org = "default", doc = "a", more = 1 } } do
      assert.equal(400, people:ask("POST", "/auth/ticket", ana, body).status)
    end
    assert.equal(404, ask(ana, "notes", "acme").status)
    assert.equal(404, ask(ana, "..").status)
    assert.equal(404, ask(nil, "notes").status)
    assert.equal(403, people:raw("POST", "/auth/ticket", people:jar(ana, { ["X-ML-CSRF"] = false }), { org = "default", doc = "notes" }).status)
    assert.falsy(process.read(world.log):find("eyJ", 1, true))
  end)

  it("opens a document of a provider, and ends with the session that it came of", function()
    local who = people:login "ana"
    local collab = assert(Collab.open(world))
    collab:joins("notes", ticket(who, "notes"))
    local client = world:client "ana":joins("more", { query = "token=" .. ticket(who, "more") })
    local unused = ticket(who, "notes")
    assert.equal(204, people:ask("POST", "/auth/logout", who, {}).status)
    assert.equal(4401, (client:is_closed(20)))
    assert.equal(4401, (collab:is_closed(20)))
    assert.falsy((open(unused, "notes")))
  end)
end)
