local t = require "moonloom.test"

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
    local plugin = t.instance("auth-acl", { rules = { { docs = "**", users = { "ana" }, give = "editor", until_ = "2026-01-01T01:00:00Z" } } })
    assert.granted("write", plugin:authorize(t.ask()))
    t.clock(1767225600 + 3600)
    assert.is_nil(plugin:authorize(t.ask()))
    t.reset()
  end)

  it("has no opinion on other actions, and holds as long as the cache says", function()
    local plugin = t.instance("auth-acl", { default = "write", cache = "2m" })
    assert.is_nil(plugin:authorize(t.ask { action = "doc.delete" }))
    assert.equal(120, plugin:authorize(t.ask()).ttl)
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
    assert.has_error(function() t.instance("auth-acl", { rules = { { docs = "**", give = "editor", until_ = "soon" } } }) end)
  end)
end)
