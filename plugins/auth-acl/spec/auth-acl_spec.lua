local t = require "moonloom.test"

local function moment(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds) end

describe("auth-acl", function()
  local RULES = {
    { docs = "notes/**", users = { "ana" }, give = "owner" },
    { docs = "notes/**", groups = { "staff" }, give = "commenter" },
    { docs = "boards/*", roles = { "member" }, give = "editor" },
    { docs = "public/**", give = "viewer" },
    { docs = "notes/7", users = { "ben" }, give = "viewer" },
  }

  local function ask(config, who, doc)
    config = config or {}
    config.rules = config.rules or RULES
    return t.instance("auth-acl", config):authorize(t.ask { doc_id = doc, identity = who and t.identity(who) })
  end

  it("gives nobody anything without a rule", function()
    assert.is_nil(t.instance("auth-acl"):authorize(t.ask { doc_id = "notes/1" }))
    assert.is_nil(ask(nil, { user = "eve" }, "notes/1"))
    assert.is_nil(ask(nil, { user = "ana" }, "boards/1"))
    assert.is_nil(ask(nil, { user = "eve", roles = { "member" } }, "boards/a/b"))
    assert.is_nil(ask(nil, false, "public/1"))
  end)

  it("gives what the rule says, to users, groups and roles", function()
    assert.granted("read", ask(nil, { user = "ana" }, "notes/1"))
    assert.granted("write", ask(nil, { user = "ana" }, "notes/1"))
    assert.granted("history", ask(nil, { user = "ana" }, "notes/1"))
    local comment = ask(nil, { user = "eve", groups = { "staff" } }, "notes/1")
    assert.granted("comments/eve/3", comment, "eve")
    assert.not_granted("comments/ana/3", comment, "eve")
    assert.not_granted("content/body", comment)
    assert.granted("content", ask(nil, { user = "eve", roles = { "member" } }, "boards/1"))
    local view = ask(nil, { user = "anyone" }, "public/1")
    assert.granted("read", view)
    assert.not_granted("write", view)
    assert.not_granted("content", view)
  end)

  it("adds up what several rules give", function()
    local both = ask(nil, { user = "ben", groups = { "staff" } }, "notes/7")
    assert.granted("comments/ben/1", both, "ben")
    assert.granted("presence", both)
    assert.not_granted("content", both)
    local more = ask({ rules = { { docs = "**", users = { "eve" }, give = "commenter" }, { docs = "**", users = { "eve" }, give = "suggester" } } },
      { user = "eve" }, "x")
    assert.equal("suggester", more.role)
    assert.granted("suggestions/eve/1", more, "eve")
  end)

  it("lets admins do everything, and others what the default says", function()
    assert.granted("write", ask(nil, { user = "root", roles = { "admin" } }, "any/where"))
    assert.not_granted("write", ask({ admins = {} }, { user = "root", roles = { "admin" } }, "any/where"))
    assert.granted("read", ask({ default = "read" }, { user = "eve" }, "any"))
    assert.not_granted("write", ask({ default = "read" }, { user = "eve" }, "any"))
    assert.granted("write", ask({ default = "write" }, { user = "eve" }, "any"))
    assert.is_nil(ask({ default = "write" }, false, "any"))
  end)

  it("shows public documents to strangers only if it is told to", function()
    -- The server's way to say that nobody has signed in.
    assert.is_nil(ask(nil, { user = "", kind = "guest" }, "public/1"))
    assert.is_nil(ask({ default = "write" }, { user = "", kind = "guest" }, "any"))
    assert.granted("read", ask({ anonymous = "viewer" }, { user = "", kind = "guest" }, "public/1"))
    local seen = ask({ anonymous = "viewer" }, false, "public/1")
    assert.granted("read", seen)
    assert.not_granted("write", seen)
    assert.is_nil(ask({ anonymous = "viewer" }, false, "notes/1"))
  end)

  it("ends a rule at its moment", function()
    local plugin = t.instance("auth-acl", { rules = { { docs = "**", users = { "ana" }, give = "editor", ["until"] = "2026-01-01T01:00:00Z" } } })
    assert.granted("write", plugin:authorize(t.ask()))
    t.clock(1767225600 + 3600)
    assert.is_nil(plugin:authorize(t.ask()))
    t.reset()
  end)

  it("holds as long as the cache says, or until just after a rule ends", function()
    local plugin = t.instance("auth-acl", { default = "write", cache = "2m" })
    assert.equal(120, plugin:authorize(t.ask()).ttl)
    t.reset()
    local function ttl(seconds)
      local ends = moment(1767225600 + seconds)
      return t.instance("auth-acl", { cache = "1h", rules = { { docs = "**", give = "viewer", ["until"] = ends } } }):authorize(t.ask()).ttl
    end
    -- The server asks a minute before, or after half of a shorter one.
    assert.near(660.1, ttl(600), 0.01)
    assert.near(20.2, ttl(10), 0.01)
    t.reset()
  end)

  it("answers every question about a document from the same roles", function()
    local plugin = t.instance("auth-acl", { rules = RULES, roles = { clerk = { write = { "content/**" }, create = true, delete = true } } })
    local function asks(action, user, doc) return plugin:authorize(t.ask { action = action, doc_id = doc or "notes/1", identity = t.identity { user = user } }) end
    local function may(action, user, what)
      local answer = asks(action, user)
      return answer ~= nil and answer[what] == true
    end
    for action, what in pairs { ["doc.create"] = "write", ["doc.delete"] = "write", ["doc.export"] = "write", ["doc.restore"] = "write",
                                ["doc.history"] = "history", ["doc.share"] = "read" } do
      assert.is_true(may(action, "ana", what), action)
      assert.is_nil(asks(action, "eve"), action)
    end
    assert.is_nil(asks("org.invite", "ana"))
    local reader = plugin:authorize(t.ask { action = "doc.delete", doc_id = "notes/7", identity = t.identity { user = "ben" } })
    assert.is_true(reader.read)
    assert.is_false(reader.write)
  end)

  it("shows the names of documents to those who may read all of them", function()
    local function lists(config, identity) return t.instance("auth-acl", config):authorize(t.ask { action = "org.documents", doc_id = "", identity = t.identity(identity) }) end
    assert.is_nil(lists({ rules = RULES }, { user = "ana" }))
    assert.granted("read", lists({ rules = RULES }, { user = "ana", roles = { "admin" } }))
    assert.granted("read", lists({ default = "read" }, { user = "ana" }))
    assert.granted("read", lists({ rules = { { docs = "**", users = { "ana" }, give = "viewer" } } }, { user = "ana" }))
    assert.is_nil(lists({ rules = { { docs = "**", users = { "ben" }, give = "viewer" } } }, { user = "ana" }))
  end)

  it("gives operations their own places", function()
    local roles = { clerk = { write = { "notes/**" }, insert = { "log/**" }, remove = { "trash/**" }, format = { "content/**" } } }
    local answer = ask({ roles = roles, rules = { { docs = "**", give = "clerk" } } }, { user = "ana" }, "x")
    assert.same({ "notes/**", insert = { "log/**" }, delete = { "trash/**" }, format = { "content/**" } }, answer.write)
  end)

  it("keeps places for some roles, and some roles out of them", function()
    local plugin = t.instance("auth-acl", { paths = { { path = "meta/status", only = { "lead" } }, { path = "legal/**", never = { "intern" } } } })
    local function edit(path, key, roles)
      return plugin:authorize_edit(t.edit { "map.set", path = path, key = key, value = "x", author = { user = "ana", roles = roles } })
    end
    assert.denied("path", edit("meta", "status", {}))
    assert.denied("path", edit("meta", "status", { "editor" }))
    assert.is_nil(edit("meta", "status", { "lead" }))
    assert.is_nil(edit("meta", "status", { "admin" }))
    assert.is_nil(edit("meta", "title", {}))
    assert.denied("path", edit("legal/terms", "text", { "intern", "lead" }))
    assert.is_nil(edit("legal/terms", "text", { "lead" }))
  end)

  it("takes roles of its own, and refuses those it does not know", function()
    local own = { intern = { write = { "drafts/{user}/**" }, presence = false } }
    local answer = ask({ roles = own, rules = { { docs = "**", users = { "ana" }, give = "intern" } } }, { user = "ana" }, "x")
    assert.granted("drafts/ana/1", answer)
    assert.not_granted("presence", answer)
    assert.has_error(function() t.instance("auth-acl", { rules = { { docs = "**", give = "king" } } }) end)
    assert.has_error(function() t.instance("auth-acl", { anonymous = "king" }) end)
    assert.has_error(function() t.instance("auth-acl", { rules = { { docs = "**", give = "editor", ["until"] = "soon" } } }) end)
  end)

  it("adds what the server's accounts have shared to what a rule gives", function()
    local plugin = t.instance("auth-acl", { rules = RULES, links = { roles = { "viewer" } } })
    local function asks(role, from, doc) return plugin:authorize(t.ask { doc_id = doc or "public/1", role = role, from = from, identity = t.identity { user = "eve" } }) end
    assert.not_granted("write", asks("editor", "org"))
    assert.granted("write", asks("editor", "share"))
    assert.is_nil(asks("editor", "share", "boards/1")) -- no rule: the server decides
    assert.granted("read", asks("viewer", "link"))
    assert.denied("links", asks("editor", "link"))
    assert.denied("links", asks("editor", "link", "boards/1"))
    local off = t.instance("auth-acl", { links = { enabled = false } })
    assert.denied("links", off:authorize(t.ask { role = "viewer", from = "link", identity = t.identity { user = "guest-1", kind = "guest" } }))
  end)

  it("keeps calls to those that a role lists", function()
    local plugin = t.instance("auth-acl", { roles = { clerk = { rpc = { "board.add" } } }, rules = {
      { docs = "boards/*", users = { "ana", "ben" }, give = "clerk" }, { docs = "boards/*", users = { "ben" }, give = "viewer" } } })
    local function asks(user, call, doc) return plugin:authorize(t.ask { action = "rpc." .. call, doc_id = doc or "boards/1", identity = t.identity { user = user } }) end
    assert.is_nil(asks("ana", "board.add"))
    assert.denied("rpc", asks("ana", "board.drop"))
    assert.is_nil(asks("ben", "board.drop"))
    assert.is_nil(asks("eve", "board.drop"))
    assert.is_nil(asks("ana", "board.drop", ""))
  end)

  describe("with rules in the store", function()
    local app, boss, ana
    before_each(function()
      app = t.app { plugins = { ["auth-acl"] = { config = { source = "kv", rules = { { docs = "notes/1", users = { "ana" }, give = "owner" } } } } } }
      boss = app:client { user = "bo", roles = { "admin" }, doc = "notes/1" }
      ana = app:client { user = "ana", doc = "notes/1" }
      app:settle()
    end)
    after_each(function() app:close() end)
    local function put(client, id, rule) return app:request("PUT", "/x/auth-acl/rules/" .. id, rule, client) end

    it("takes rules from admins, and asks again about those who are there", function()
      assert.equal(403, put(ana, "r1", { docs = "**", users = { "eve" }, give = "editor" }).status)
      assert.equal(200, put(boss, "r1", { docs = "notes/*", users = { "eve" }, give = "editor" }).status)
      local eve = app:client { user = "eve", doc = "notes/1" }
      eve:text("content"):insert(0, "Hi")
      app:settle()
      assert.equal("Hi", app:doc("notes/1"):text("content"):tostring())
      assert.equal(1, #app:request("GET", "/x/auth-acl/rules", nil, boss).json.items)
      assert.equal(200, put(boss, "r1", { docs = "notes/*", users = { "eve" }, give = "viewer" }).status)
      local again = app:client { user = "eve", doc = "notes/1" }
      assert.is_true(again.readonly or false)
      assert.equal(204, app:request("DELETE", "/x/auth-acl/rules/r1", nil, boss).status)
      assert.equal(404, app:request("DELETE", "/x/auth-acl/rules/r1", nil, boss).status)
      assert.is_truthy(app:client { user = "eve", doc = "notes/1" }.closed)
    end)

    it("lets those who may share a document give what they have there, and no more", function()
      assert.equal(200, put(ana, "mine", { docs = "notes/1", users = { "eve" }, give = "editor" }).status)
      assert.equal(403, put(ana, "other", { docs = "notes/2", users = { "eve" }, give = "viewer" }).status)
      assert.equal(403, put(ana, "all", { docs = "notes/*", users = { "eve" }, give = "viewer" }).status)
      local eve = app:client { user = "eve", doc = "notes/1" }
      assert.equal(403, put(eve, "more", { docs = "notes/1", users = { "mal" }, give = "viewer" }).status)
      assert.equal(403, app:request("DELETE", "/x/auth-acl/rules/mine", nil, eve).status)
      assert.equal(403, app:request("GET", "/x/auth-acl/rules", nil, ana).status)
      assert.equal("mine", app:request("GET", "/x/auth-acl/rules?doc=notes/1", nil, ana).json.items[1].id)
      -- A rule about another document is not theirs to replace.
      assert.equal(200, put(boss, "b", { docs = "notes/2", users = { "ana" }, give = "viewer" }).status)
      assert.equal(403, put(ana, "b", { docs = "notes/1", users = { "eve" }, give = "viewer" }).status)
      assert.equal(204, app:request("DELETE", "/x/auth-acl/rules/mine", nil, ana).status)
    end)

    it("says what is wrong with a rule", function()
      for _, rule in ipairs { {}, { docs = "x" }, { docs = "x", give = "king" }, { docs = "/x", give = "viewer" }, { docs = "x", give = "viewer", users = "ana" },
                              { docs = "x", give = "viewer", users = { 1 } }, { docs = "x", give = "viewer", ["until"] = "soon" },
                              { docs = "x", give = "viewer", user = { "ana" } }, { docs = "x", give = "viewer", users = { a = "b" } } } do
        assert.equal(422, put(boss, "r", rule).status)
      end
      assert.equal(422, put(boss, "a.b", { docs = "x", give = "viewer" }).status)
      assert.equal(0, #app:request("GET", "/x/auth-acl/rules", nil, boss).json.items)
    end)
  end)

  describe("with a service that knows", function()
    local app
    before_each(function()
      app = t.app { plugins = { ["auth-acl"] = { config = { source = "http", http_url = "https://rights.example/ask", http_headers = { authorization = "Bearer s" } } } } }
    end)
    after_each(function() app:close() end)
    local function says(status, body)
      app.http:on("POST", "https://rights.example/ask"):reply(status, body)
    end
    local function count() return #app.http.calls end

    it("asks once, keeps the answer, and asks again when it is told to", function()
      says(200, '{"give":["editor"]}')
      app:client { user = "eve", doc = "notes/1" }
      app:settle()
      local first = count()
      assert.is_true(first >= 1)
      app:client { user = "eve", doc = "notes/1" }
      app:settle()
      assert.equal(first, count())
      local said = app.http.calls[1].json
      assert.equal("notes/1", said.doc)
      assert.equal("eve", said.user)
      says(200, '{"give":[]}')
      local boss = app:client { user = "bo", roles = { "admin" }, doc = "notes/1" }
      assert.equal(204, app:request("POST", "/x/auth-acl/changed", { doc = "notes/1" }, boss).status)
      assert.is_truthy(app:client { user = "eve", doc = "notes/1" }.closed)
    end)

    it("lets nobody in while the service is broken", function()
      says(500, "")
      local eve = app:client { user = "eve", doc = "notes/1" }
      app:settle()
      assert.is_truthy(eve.closed)
    end)
  end)

  it("makes whoever made a document its owner, and keeps others from making any", function()
    local app = t.app { plugins = { ["auth-acl"] = { config = { owner_role = "owner", roles = { filler = { write = true, create = false } },
      rules = { { docs = "**", users = { "ana" }, give = "editor" }, { docs = "**", users = { "eve" }, give = "filler" } } } } } }
    app:client { user = "ana", doc = "new/1" }:text("content"):insert(0, "x")
    app:settle()
    local born = app.kv:all "owner/"
    local count = 0
    for _, value in pairs(born) do count = count + 1; assert.equal("ana", (value.value or value).user) end
    assert.equal(1, count)
    local eve = app:client { user = "eve", doc = "new/2" }
    app:settle()
    assert.is_truthy(eve.closed)
    app:close()
  end)
end)
