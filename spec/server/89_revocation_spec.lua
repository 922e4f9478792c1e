-- Sessions that end while somebody is there: what was given out counts no more, and what is open closes (SEC-SS-02, SEC-SS-03, SEC-WS-06).
local Accounts = require "accounts"
local Collab = require "collab"
local process = require "process"
local World = require "world"

local DOC = "/api/v1/orgs/default/docs/notes/content"

describe("a session ends", function()
  local world, people

  setup(function()
    world = World.new { config = "auth = { mode = 'password' }\nloops = 3\n" }
    people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("ben", "editor")
    people:add("vic", "editor")
    local first = people:joins(people:login "ana", "notes")
    first:types(0, "hello"):is_acknowledged()
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  -- Four logins at most: five tries for an account, and a right one takes none away.
  local function is_in(who)
    return people:ask("GET", DOC, who).status == 200
  end

  local function sockets_of(who)
    local list = {}
    for i = 1, 4 do list[i] = people:joins(who, "room" .. i) end
    return list
  end

  local function all_end(list)
    for _, client in ipairs(list) do assert.equal(4401, (client:is_closed(20))) end
  end

  it("by logout: its access token and its sockets on all loops, and no other session", function()
    local ben, other = people:login "ben", people:login "ben"
    local sockets, stays = sockets_of(ben), people:joins(other, "notes")
    local collab = assert(Collab.open(world, { headers = { Cookie = people:jar(ben).Cookie, Origin = people:jar(ben).Origin } }))
    collab:joins("notes", "")
    assert.is_true(is_in(ben))
    assert.equal(204, people:ask("POST", "/auth/logout", ben, {}).status)
    local gone = people:ask("GET", DOC, ben)
    assert.equal(401, gone.status)
    assert.equal("expired", gone.json.error.code)
    all_end(sockets)
    assert.equal(4401, (collab:is_closed(20)))
    stays:types(0, "still here "):is_acknowledged()
    assert.is_true(is_in(other))
  end)

  it("everywhere", function()
    local one, two, ana = people:login "ben", people:login "ben", people:joins(people:login "ana", "notes")
    local token = people:token("--org", "default", "--user", "ben")
    local sockets = sockets_of(one)
    for i, client in ipairs(sockets_of(two)) do sockets[4 + i] = client end
    sockets[#sockets + 1] = world:client "by token":joins("notes", { query = "token=" .. token })
    assert.equal(403, people:raw("POST", "/auth/logout-everywhere", people:jar(one, { ["X-ML-CSRF"] = "x" }), {}).status)
    assert.equal(401, people:raw("POST", "/auth/logout-everywhere", {}, {}).status)
    local out = people:ask("POST", "/auth/logout-everywhere", one, {})
    assert.equal(204, out.status)
    assert.truthy(out.lines.ml_at:find("Max-Age=0", 1, true))
    for _, who in ipairs { one, two, token } do assert.equal(401, people:ask("GET", DOC, who).status) end
    assert.equal(401, people:ask("POST", "/auth/refresh", two, {}).status)
    all_end(sockets)
    ana:types(0, "not me "):is_acknowledged()
    assert.is_true(is_in(people:login "ben"))
  end)

  it("with a new password, but not the one that changed it", function()
    local here, there = people:login "vic", people:login "vic"
    local sockets, stays = sockets_of(there), people:joins(here, "notes")
    local function change(old, new) return people:ask("POST", "/auth/password", here, { old = old, new = new }) end
    assert.equal(401, change("wrong horse", "battery staple").status)
    assert.equal(422, change("correct horse", "short").status)
    assert.equal(400, people:ask("POST", "/auth/password", here, { old = "correct horse" }).status)
    assert.equal(401, people:raw("POST", "/auth/password", {}, { old = "correct horse", new = "battery staple" }).status)
    assert.is_true(is_in(there))
    assert.equal(204, change("correct horse", "battery staple").status)
    all_end(sockets)
    assert.equal(401, people:ask("GET", DOC, there).status)
    assert.is_true(is_in(here))
    stays:types(0, "me "):is_acknowledged()
    assert.equal(200, people:ask("POST", "/auth/refresh", here, {}).status)
    assert.equal(401, people:login("vic").status)
    assert.equal(200, people:login("vic", "battery staple").status)
    assert.falsy(process.read(world.log):find("battery staple", 1, true))
  end)

  it("when a token that was used eleven seconds ago comes again", function()
    local first = people:login "ben"
    local second = people:ask("POST", "/auth/refresh", first, {})
    assert.equal(200, second.status)
    assert.equal(200, people:ask("POST", "/auth/refresh", first, {}).status) -- a moment ago: the same successor
    local socket = people:joins(second, "notes")
    -- Eleven seconds go by, in the store.
    local function go_by()
      if world.store then
        local handle = first.cookies.ml_rt:match "^(%x+)%."
        local changed = world:sql(([[WITH moved AS (UPDATE kv SET value = convert_to(regexp_replace(convert_from(value, 'UTF8'), '"rotated":"\d+"',
          '"rotated":"' || (substring(convert_from(value, 'UTF8') from '"rotated":"(\d+)"')::bigint - 11000) || '"'), 'UTF8')
          WHERE space = 'family' AND key = convert_to('%s', 'UTF8') RETURNING 1) SELECT count(*) FROM moved]]):format(handle))
        assert.same({ "1" }, changed)
        return
      end
      local sql = [[UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), substr(CAST(value AS TEXT), instr(CAST(value AS TEXT), '"rotated":"') + 11, 13),
        CAST(CAST(substr(CAST(value AS TEXT), instr(CAST(value AS TEXT), '"rotated":"') + 11, 13) AS INTEGER) - 11000 AS TEXT)) AS BLOB)
        WHERE space = 'family' AND CAST(key AS TEXT) = ']] .. first.cookies.ml_rt:match "^(%x+)%." .. [['; SELECT changes();]]
      local files = select(2, process.run { "sh", "-c", "ls '" .. world.data .. "'/*.db" })
      local changed = 0
      for file in files:gmatch "[^\n]+" do
        local _, out = process.run { "sqlite3", "-cmd", ".timeout 10000", file, sql }
        changed = changed + (tonumber(out) or 0)
      end
      assert.equal(1, changed)
    end
    go_by()
    local thief = people:ask("POST", "/auth/refresh", first, {})
    assert.equal(401, thief.status)
    assert.equal("reused", thief.json.error.code)
    assert.equal(4401, (socket:is_closed(20)))
    assert.equal(401, people:ask("GET", DOC, second).status)
    assert.equal(401, people:ask("POST", "/auth/refresh", second, {}).status)
  end)

  it("when the user is suspended, until they are resumed; and roles change at once", function()
    people:add("sue", "editor")
    local sue = people:login "sue"
    local sockets, ana = sockets_of(sue), people:joins(people:login "ana", "notes")
    local token = people:token("--org", "default", "--user", "sue")
    assert.equal(0, (people:user(nil, "user", "suspend", "sue")))
    all_end(sockets)
    assert.equal(401, people:ask("GET", DOC, sue).status)
    assert.equal(401, people:ask("GET", DOC, token).status)
    assert.equal(401, people:ask("GET", DOC, people:token("--org", "default", "--user", "sue")).status)
    assert.equal(401, people:login("sue").status)
    ana:types(0, "not me "):is_acknowledged()
    assert.equal(0, (people:user(nil, "user", "resume", "sue")))
    assert.equal(1, (people:user(nil, "user", "suspend", "nobody")))
    sue = people:login "sue"
    assert.equal(200, sue.status)
    world:wait(function() return is_in(sue) end, "the server has heard of it", 20)
    local socket = people:joins(sue, "notes")
    assert.equal(0, (people:user(nil, "user", "add", "sue", "--org", "default", "--role", "viewer")))
    world:wait(function()
      for _, frame in ipairs(socket.frames) do
        if frame.type == 2 and frame.subtype == 2 and frame.payload == "readonly" then return true end
      end
    end, "sue is told that she only reads", 20)
    assert.equal(403, people:ask("POST", "/api/v1/orgs/default/docs/notes/ops", sue, { ops = { { "text.insert", "content", 0, "x" } } }).status)
    assert.equal(0, (people:user(nil, "user", "rm", "sue")))
    assert.equal(4401, (socket:is_closed(20)))
    assert.equal(401, people:login("sue").status)
  end)

  it("and the public keys are there for others", function()
    local answer = people:raw("GET", "/auth/jwks", {})
    assert.equal(200, answer.status)
    assert.equal("EdDSA", answer.json.keys[1].alg)
    assert.is_nil(answer.json.keys[1].d)
  end)

  it("an account leaves every org", function()
    people:add("max", "editor")
    assert.equal(0, (people:user(nil, "user", "add", "max", "--org", "acme", "--role", "viewer")))
    assert.equal(0, (people:user(nil, "user", "add", "max", "--org", "third", "--role", "owner")))
    local status, _, err = people:user(nil, "user", "rm", "max")
    assert.equal(1, status)
    assert.truthy(err:find("last owner", 1, true))
    assert.equal(200, people:login("max", nil, "acme").status) -- nothing was taken away yet
    assert.equal(0, (people:user(nil, "user", "add", "ana", "--org", "third", "--role", "owner")))
    assert.equal(0, (people:user(nil, "user", "rm", "max")))
    for _, org in ipairs { "acme", "third" } do assert.falsy(select(2, people:user(nil, "user", "ls", "--org", org)):find("max", 1, true)) end
    assert.equal(1, (people:user(nil, "user", "rm", "max")))
  end)
end)
