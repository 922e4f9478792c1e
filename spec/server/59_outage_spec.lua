-- What everything stands on is gone: Redis, and then PostgreSQL, in which accounts, sessions and documents are. Who holds a valid token goes
-- on; nobody is sent to sign in because of it; nothing that was acknowledged is lost. Run by spec/support/with-postgres and with-redis.
local Accounts = require "accounts"
local Outage = require "outage"
local process = require "process"
local World = require "world"

local DOCS = "/api/v1/orgs/default/docs/"
local OPS = { ops = { { "text.insert", "content", 0, "x" } } }

describe("on two nodes", function()
  local here, there, people, ana, ben, anna, bella
  local typed = 0

  setup(function()
    local redis = assert(os.getenv "MOONLOOM_TEST_REDIS", "run this with spec/support/with-redis")
    local store, env = Outage.store "outage", { MOONLOOM_SEAL_KEY = ("5e"):rep(32) }
    local function node()
      return World.new {
        args = { "--store", store }, env = env,
        config = ("auth = { mode = 'password' }\nloops = 2\nbus = 'redis://127.0.0.1:%s'\n"):format(redis),
      }
    end
    here = node()
    there = node()
    there.ids = 200 -- no two clients with one id
    people = Accounts.new(here)
    people.store, people.env = { "--store", store }, env
    people:add("ana", "owner")
    people:add("ben", "editor")
    for _, name in ipairs { "eve", "new-gone", "new-frozen" } do people:add(name, "editor") end
    ana, ben = people:login "ana", people:login("ben", nil, nil, there.port)
    anna, bella = people:joins(ana, "plan", here), people:joins(ben, "plan", there)
  end)
  teardown(function()
    for _, back in ipairs { Outage.redis.thaw, Outage.postgres.thaw } do pcall(back) end
    if there then there:close() end
    if here then here:close() end
    process.clean()
  end)

  local function types(client)
    typed = typed + 1
    client:types(0, ("<%d>"):format(typed))
  end
  -- The clients are of two worlds: whoever waits pumps both.
  local function eventually(what, question, seconds)
    here:wait(function()
      there:wait(function() return true end, "")
      return question()
    end, what, seconds or 30)
  end
  local function is_acknowledged(client) return client.echoed >= client.text:clock(client.id) end
  local function both_have(count)
    eventually("everything is on both sides", function()
      for _, client in ipairs { anna, bella } do
        local text = client.text:string()
        for n = 1, count do if not text:find(("<%d>"):format(n), 1, true) then return false end end
      end
      return is_acknowledged(anna) and is_acknowledged(bella)
    end, 60)
    assert.is_nil(anna.closed or anna.socket.closed)
    assert.is_nil(bella.closed or bella.socket.closed)
  end
  -- 503 with Retry-After, and no cookie is touched: the browser keeps what it has.
  local function is_not_now(answer, what)
    assert.equal(503, answer.status, what)
    assert.truthy(answer.head:find "\r\nRetry%-After: %d+\r\n", what)
    assert.falsy(answer.head:find("Set-Cookie", 1, true), what)
    return answer.json.error.code
  end

  it("Redis dies: all goes on", function()
    types(anna)
    types(bella)
    both_have(typed)
    Outage.redis.freeze()
    types(anna)
    types(bella)
    both_have(typed)
    Outage.redis.thaw()
    Outage.redis.kill()
    types(anna)
    types(bella)
    both_have(typed)
    for _, node in ipairs { here, there } do
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", ana, nil, node.port).status)
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", ben, nil, node.port).status)
    end
    local eve = people:login "eve"
    assert.equal(200, eve.status)
    eve = people:ask("POST", "/auth/refresh", eve, {}, there.port)
    assert.equal(200, eve.status)
    assert.equal(204, people:ask("POST", "/auth/logout", eve, {}, there.port).status)
    eventually("she is out on both", function() return people:ask("GET", DOCS .. "plan/content", eve).status == 401 end)
  end)

  -- A ticket is given to whoever may open the document, and nothing of the document is read for it.
  local function may_open(who, node) return people:ask("POST", "/auth/ticket", who, { org = "default", doc = "plan" }, node.port) end

  local function with_the_store(stop, start, how)
    it("the store is " .. how .. ": who is in stays in, who comes is asked to come again, what was taken away stays away", function()
      -- Known here: that ben may read, that this session is over, that this link was there, and is no more.
      local left, eve = people:login "ben", people:login("eve", nil, nil, there.port)
      assert.equal(200, eve.status)
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", left).status)
      assert.equal(204, people:ask("POST", "/auth/logout", left, {}).status)
      assert.equal(401, people:raw("GET", DOCS .. "plan/content", people:jar(left)).status)
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", ben).status)
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", ana).status)
      assert.equal(200, people:ask("GET", "/auth/session", ana).status)
      local link = people:ask("PUT", DOCS .. "plan/shares/link", ana, { kind = "link", role = "editor" })
      assert.equal(200, link.status)
      local guest = people:raw("POST", "/auth/guest", {}, { token = link.json.token })
      assert.equal(200, guest.status)
      for _, node in ipairs { here, there } do -- that there is a link again the other node hears within seconds
        eventually("the guest is in", function() return people:ask("GET", DOCS .. "plan/content", guest, nil, node.port).status == 200 end)
      end
      assert.equal(204, people:ask("DELETE", DOCS .. "plan/shares/link", ana).status)
      eventually("the other has heard of it", function() return people:ask("GET", DOCS .. "plan/content", guest, nil, there.port).status ~= 200 end)
      local unseen = people:token("--org", "default", "--user", "new-" .. how)
      types(anna)
      types(bella)
      both_have(typed)
      local acknowledged = typed
      stop()

      for who, node in pairs { [ana] = here, [ben] = there } do -- a page is loaded anew, while nothing waits to be written there
        local more = people:joins(who, "plan", node)
        assert.truthy(more.text:string():find(("<%d>"):format(acknowledged), 1, true))
        more:leaves()
      end
      -- What is typed now is not acknowledged, and nobody is thrown out.
      types(anna)
      types(bella)
      anna:shows { cursor = 1 }
      -- Who holds a token.
      assert.equal(200, may_open(ana, here).status)
      assert.equal(200, may_open(ben, there).status)
      local session = people:ask("GET", "/auth/session", ana)
      assert.equal(200, session.status)
      assert.equal("ana", session.json.user.id)
      -- A session that is over stays so, or (somebody may have changed something about him since) it is not known now.
      local over = may_open(left, here).status
      assert.is_true(over == 401 or over == 503, "a session that was over: " .. over)
      -- Nothing of it is taken for a "no", and nothing that was taken away is there again.
      assert.equal("policy_unavailable", is_not_now(may_open(guest, here), "a link that was taken back"))
      assert.equal("policy_unavailable", is_not_now(may_open(unseen, here), "a token that was never seen"))
      local asked = {}
      local function asks(what, who, path, body, node)
        asked[what] = people:sends("POST", path, who and people:jar(who, nil, node.port) or {}, body, node.port)
      end
      asks("login", nil, "/auth/login", { user = "eve", password = Accounts.PASSWORD }, here)
      asks("login, wrong", nil, "/auth/login", { user = "eve", password = "not her password" }, there)
      asks("login of nobody", nil, "/auth/login", { user = "nobody", password = "not a password" }, there)
      asks("refresh", ana, "/auth/refresh", {}, here)
      asks("logout", eve, "/auth/logout", {}, there)
      asks("logout everywhere", eve, "/auth/logout-everywhere", {}, there)
      asks("a new password", eve, "/auth/password", { old = Accounts.PASSWORD, new = "battery staple" }, there)
      asks("a guest", nil, "/auth/guest", { token = link.json.token }, here)
      for what, answer in pairs(asked) do is_not_now(answer(), what) end
      -- A forged token is no question of the store.
      assert.equal(401, may_open(unseen:sub(1, -9) .. "AAAAAAAA", here).status)
      eventually("time goes by", function() return true end)
      assert.is_nil(anna.socket.closed)
      assert.is_nil(bella.socket.closed)
      assert.is_false(is_acknowledged(anna))
      assert.is_false(is_acknowledged(bella))

      start()
      both_have(typed)
      assert.is_true(acknowledged < typed)
      -- And now everything is decided again.
      eventually("the guest is out", function()
        local status = people:ask("GET", DOCS .. "plan/content", guest).status
        assert.is_true(status == 503 or status == 401 or status == 404, "a link that was taken back: " .. status)
        return status ~= 503
      end)
      eventually("the unseen one is in", function() return people:ask("GET", DOCS .. "plan/content", unseen).status == 200 end)
      ana = people:ask("POST", "/auth/refresh", ana, {})
      assert.equal(200, ana.status)
      assert.equal(200, people:ask("POST", DOCS .. "plan/ops", ana, OPS).status)
      -- What was asked in vain may have been done or not: signing in works in either case.
      local again = people:login("eve", nil, nil, there.port)
      if again.status ~= 200 then again = people:login("eve", "battery staple", nil, there.port) end
      assert.equal(200, again.status)
    end)
  end
  with_the_store(Outage.postgres.stop, Outage.postgres.start, "gone")
  with_the_store(Outage.postgres.freeze, Outage.postgres.thaw, "frozen")
end)
