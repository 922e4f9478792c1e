-- The security log: what it holds, that a change in it shows, that plugins are told of it.
local Accounts = require "accounts"
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("the security log", function()
  local world

  local function ask(method, where, body, org)
    local answer = http.request(world.port, method, "/api/v1/orgs/" .. (org or "default") .. where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function make(name, org) assert.equal(201, ask("POST", "/docs", { name = name, content = "secret words" }, org).status) end
  local function rm(name, org) assert.equal(204, ask("DELETE", "/docs/" .. name, nil, org).status) end
  local function events(org) return ask("GET", "/audit?limit=1000", nil, org).json.items end
  local function wait_for(n, org)
    world:wait(function() return #events(org) >= n end, n .. " events", 20)
    return events(org)
  end
  local function verify(org) return ask("GET", "/audit/verify", nil, org).json end
  after_each(function() world:close() end)
  teardown(process.clean)

  it("says who did what to what, and nothing of the content", function()
    world = World.new {}
    make "plan"
    rm "plan"
    assert.equal(204, ask("POST", "/docs/plan/undelete").status)
    local all = wait_for(2)
    assert.equal(2, #all)
    assert.equal("document.deleted", all[1].kind)
    assert.equal("document.undeleted", all[2].kind)
    assert.equal("plan", all[1].subject)
    assert.equal("default", all[1].org)
    assert.equal("ok", all[1].result)
    assert.equal("127.0.0.1", (all[1].ip:gsub("^::ffff:", "")))
    assert.is_true(all[1].at > 1.5e12)
    assert.same({ 1, 2 }, { all[1].n, all[2].n })
    assert.is_nil(cjson.encode(all):find("secret", 1, true))
    assert.same({ whole = true, first = 1, last = 2, why = cjson.null }, verify())
  end)

  it("comes in pages", function()
    world = World.new {}
    assert.same({ whole = true, first = 0, last = 0, why = cjson.null }, verify())
    for i = 1, 5 do make("a" .. i) rm("a" .. i) end
    wait_for(5)
    local page = ask("GET", "/audit?limit=3").json
    assert.equal(3, #page.items)
    local rest = ask("GET", "/audit?limit=3&after=" .. page.next).json
    assert.equal(4, rest.items[1].n)
    assert.equal(cjson.null, rest.next)
    assert.equal(400, ask("GET", "/audit?after=x").status)
  end)

  it("shows that an event was changed, cut out or cut off", function()
    world = World.new {}
    for i = 1, 4 do make("a" .. i) rm("a" .. i) end
    wait_for(4)
    assert.is_true(verify().whole)
    local function tampered(sql)
      world:sql("CREATE TABLE kept AS SELECT * FROM kv WHERE space = 'audit'")
      world:sql(sql)
      local found = verify()
      world:sql("DELETE FROM kv WHERE space = 'audit'")
      world:sql("INSERT INTO kv SELECT * FROM kept")
      world:sql("DROP TABLE kept")
      assert.is_true(verify().whole)
      return found
    end
    local at = "WHERE space = 'audit' AND CAST(key AS TEXT) = 'e/000000000000000%d'"
    assert.is_false(tampered("UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), 'a2', 'zz') AS BLOB) " .. at:format(2)).whole)
    assert.is_false(tampered("DELETE FROM kv " .. at:format(2)).whole)
    assert.is_false(tampered("DELETE FROM kv " .. at:format(4)).whole)
    assert.is_false(tampered("UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), 'a4', 'zz') AS BLOB) " .. at:format(4)).whole)
    -- The oldest may go: it expires.
    assert.same({ whole = true, first = 2, last = 4, why = cjson.null }, tampered("DELETE FROM kv " .. at:format(1)))
  end)

  it("goes on after a restart where it stopped", function()
    world = World.new {}
    make "a"
    rm "a"
    wait_for(1)
    world:stop()
    world:start()
    make "b"
    rm "b"
    assert.equal("b", wait_for(2)[2].subject)
    assert.same({ whole = true, first = 1, last = 2, why = cjson.null }, verify())
  end)

  it("is told to plugins, again after a failure", function()
    local folder = process.folder()
    World.plugin(folder, "watch", {
      ["plugin.lua"] = "return { name = 'watch', version = '1.0.0', api = 1, summary = 'of a spec', needs = { 'cache' }, hooks = { audit = {}, document_deleted = {} } }",
      ["init.lua"] = [[
        local ml = require 'moonloom'
        local P = {}
        function P:audit(events)
          if ml.cache.incr('tries', 1, 60) == 1 then error 'not yet' end
          for _, e in ipairs(events) do ml.log.info('TOLD|' .. e.kind .. '|' .. e.subject .. '|' .. e.n .. '|') end
        end
        function P:document_deleted(ref) ml.log.info('GONE|' .. ref.org .. '|' .. ref.id .. '|') end
        return P]],
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { watch = {} }\n" }
    make "a/b"
    rm "a%2Fb"
    local function logged(text)
      for line in io.lines(world.log) do if line:find(text, 1, true) then return true end end
    end
    world:wait(function() return logged "TOLD|document.deleted|a/b|1|" end, "the event", 30)
    world:wait(function() return logged "GONE|default|a/b|" end, "the hook", 30)
  end)
end)

describe("the security log of accounts", function()
  local DOC = "/api/v1/orgs/default/docs/plan"
  local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
  local world, people, ana

  setup(function()
    local folder = process.folder()
    World.plugin(folder, "quiet", {
      ["plugin.lua"] = "return { name = 'quiet', version = '1.0.0', api = 1, summary = 'of a spec', hooks = { document_loaded = {} } }",
      ["init.lua"] = "return { document_loaded = function() end }",
    })
    world = World.new { args = { "--plugins", folder },
      config = "auth = { mode = 'password' }\nloops = 1\nplugins = { quiet = {} }\nlimits = { updates_per_second = 2, updates_burst = 10 }\n" }
    people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("ben", "viewer")
    people:add("cyd", "editor")
    ana = people:login "ana"
    assert.equal(200, people:ask("POST", DOC .. "/ops", ana, OPS).status)
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  --- Waits for an event that has all of `want`; answers how many have.
  local function logs(want)
    local count
    world:wait(function()
      local items = people:ask("GET", "/api/v1/orgs/default/audit?limit=1000", ana).json.items
      count = 0
      for _, event in ipairs(items) do
        local fits = true
        for name, value in pairs(want) do fits = fits and event[name] == value end
        if fits then count = count + 1 end
      end
      return count > 0
    end, cjson.encode(want), 20)
    return count
  end

  it("has who signed in, who could not, and who left", function()
    assert.equal(1, logs { kind = "session.sign_in", actor = "ana", result = "ok" })
    assert.equal(401, people:login("ben", "wrong").status)
    assert.equal(401, people:login("nobody", "wrong").status)
    assert.equal(1, logs { kind = "session.refused", actor = "ben", result = "denied" })
    local ben = people:login "ben"
    assert.equal(200, ben.status)
    assert.equal(1, logs { kind = "session.sign_in", actor = "ben" })
    assert.equal(1, logs { kind = "session.refused" }) -- and nothing of who is not in the org
    assert.equal(204, people:ask("POST", "/auth/logout", ben, {}).status)
    assert.equal(1, logs { kind = "session.sign_out", actor = "ben", result = "ok" })
  end)

  it("has passwords that were changed, or not", function()
    local cyd = people:login "cyd"
    assert.equal(401, people:ask("POST", "/auth/password", cyd, { old = "not this one", new = "another horse" }).status)
    assert.equal(1, logs { kind = "password.changed", actor = "cyd", result = "denied" })
    assert.equal(204, people:ask("POST", "/auth/password", cyd, { old = Accounts.PASSWORD, new = "another horse" }).status)
    assert.equal(1, logs { kind = "password.changed", actor = "cyd", result = "ok" })
  end)

  it("has sessions that were used by two", function()
    local first = people:login "ben"
    local second = people:ask("POST", "/auth/refresh", first, {})
    assert.equal(200, second.status)
    assert.equal(200, people:ask("POST", "/auth/refresh", second, {}).status)
    assert.equal(401, people:ask("POST", "/auth/refresh", first, {}).status)
    assert.equal(1, logs { kind = "token.reused", actor = "ben", result = "denied" })
  end)

  it("has shares, invitations and roles", function()
    local share = DOC .. "/shares/"
    assert.equal(200, people:ask("PUT", share .. "ben", ana, { kind = "user", role = "editor" }).status)
    assert.equal(1, logs { kind = "share.granted", actor = "ana", subject = "plan" })
    assert.equal(204, people:ask("DELETE", share .. "ben", ana).status)
    assert.equal(1, logs { kind = "share.revoked", actor = "ana", subject = "plan" })
    local link = people:ask("PUT", share .. "link", ana, { kind = "link", role = "viewer" }).json.token
    assert.equal(200, people:raw("POST", "/auth/guest", {}, { token = link, name = "Gus" }).status)
    assert.equal(1, logs { kind = "session.sign_in", subject = "plan" })
    local invite = people:ask("POST", "/api/v1/orgs/default/invites", ana, { role = "editor" })
    assert.equal(201, invite.status)
    assert.equal(1, logs { kind = "invite.made", actor = "ana", subject = invite.json.id })
    assert.equal(200, people:raw("POST", "/auth/invite", {}, { token = invite.json.token, user = "dan", name = "Dan", password = "long enough" }).status)
    assert.equal(1, logs { kind = "role.changed", actor = "dan" })
  end)

  it("has documents that were taken out, once a minute", function()
    for _ = 1, 3 do
      assert.equal(200, people:ask("GET", DOC .. "/state", ana).status)
      assert.equal(200, people:ask("GET", DOC .. "/content", ana).status)
    end
    assert.equal(1, logs { kind = "document.exported", actor = "ana", subject = "plan" })
  end)

  it("has plugins that were reloaded", function()
    local status, _, err = process.run { World.BIN, "plugin", "reload", "--dry-run", "--url", "http://127.0.0.1:" .. world.port }
    assert.equal(0, status, err)
    status, _, err = process.run { World.BIN, "plugin", "reload", "--url", "http://127.0.0.1:" .. world.port }
    assert.equal(0, status, err)
    assert.equal(1, logs { kind = "plugins.reloaded", result = "ok" })
  end)

  it("has limits that somebody ran into", function()
    local anna = people:joins(ana, "plan")
    for _ = 1, 200 do anna:types(0, "z") end
    assert.equal(4529, (anna:is_closed()))
    assert.equal(1, logs { kind = "limit.reached", actor = "ana", subject = "plan", result = "denied" })
    world:wait(function() return people:login("ben", "wrong").status == 429 end, "too many tries", 60)
    assert.equal(429, people:login("ben", "wrong").status)
    assert.equal(1, logs { kind = "limit.reached", subject = "sign-in", result = "denied" })
  end)
end)
