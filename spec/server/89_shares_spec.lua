-- Shares, links, guests, invitations, and why somebody may do what they may (docs/identity.md, SEC-AZ-03, SEC-AZ-09, SEC-WS-06).
local Accounts = require "accounts"
local process = require "process"
local World = require "world"

local DOCS = "/api/v1/orgs/default/docs/"
local OPS = { ops = { { "text.insert", "content", 0, "x" } } }

describe("a document", function()
  local world, people, ana, ben

  setup(function()
    world = World.new { config = "auth = { mode = 'password' }\nloops = 2\n" }
    people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("ben", "viewer")
    people:add("eve", "editor")
    ana, ben = people:login "ana", people:login "ben"
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function share(doc, id, body, who) return people:ask("PUT", DOCS .. doc .. "/shares/" .. id, who or ana, body) end
  local function unshare(doc, id, who) return people:ask("DELETE", DOCS .. doc .. "/shares/" .. id, who or ana) end
  local function list(doc, who) return people:ask("GET", DOCS .. doc .. "/shares", who or ana) end
  local function why(doc, who, user) return people:ask("GET", DOCS .. doc .. "/why" .. (user and "?user=" .. user or ""), who).json end
  local function write(doc, who) return people:ask("POST", DOCS .. doc .. "/ops", who, OPS).status end
  local function link(doc, body, id)
    body.kind = "link"
    local answer = share(doc, id or "link", body)
    assert.equal(200, answer.status)
    return answer.json.token
  end
  local function guest(token, name, headers) return people:raw("POST", "/auth/guest", headers or {}, { token = token, name = name }) end

  local function becomes(client, scope)
    world:wait(function()
      for i = #client.frames, 1, -1 do
        local frame = client.frames[i]
        if frame.type == 2 and frame.subtype == 2 then return frame.payload == scope end
      end
    end, "becomes " .. scope, 20)
  end

  it("is shared with a person, who has the higher of both roles, at once and until it is taken back", function()
    assert.equal(200, people:ask("POST", DOCS .. "plan/ops", ana, OPS).status)
    local client = people:joins(ben, "plan")
    assert.equal(403, write("plan", ben))
    assert.same({ "viewer", "org" }, { why("plan", ben).role, why("plan", ben).from })
    assert.is_false(why("plan", ben).proposals)
    local made = share("plan", "ben", { kind = "user", role = "editor" })
    assert.equal(200, made.status)
    assert.same({ "ben", "user", "ben", "ben", "editor", "ana" },
      { made.json.id, made.json.kind, made.json.user, made.json.name, made.json.role, made.json.by })
    assert.truthy(math.abs(made.json.at / 1000 - os.time()) < 60)
    becomes(client, "read-write")
    client:types(1, "by ben"):is_acknowledged()
    assert.equal(200, write("plan", ben))
    assert.equal(403, write("other", ben))
    assert.same({ "editor", "share" }, { why("plan", ben).role, why("plan", ben).from })
    assert.same({ "editor", "share" }, { why("plan", ana, "ben").role, why("plan", ana, "ben").from })
    assert.same({ "", "none" }, { why("plan", ana, "stranger").role, why("plan", ana, "stranger").from })
    assert.same({ "viewer", "org" }, { why("other", ana, "ben").role, why("other", ana, "ben").from })
    assert.same({ "owner", "org" }, { why("plan", ana).role, why("plan", ana).from })
    assert.equal(403, people:ask("GET", DOCS .. "plan/why?user=ana", ben).status)
    assert.equal(1, #list("plan").json.items)
    -- A lower role takes nothing from what the org gives.
    assert.equal(200, share("plan", "ben", { kind = "user", role = "viewer" }).status)
    becomes(client, "readonly")
    assert.equal(204, unshare("plan", "ben").status)
    assert.equal(404, unshare("plan", "ben").status)
    assert.equal(403, write("plan", ben))
    assert.same({}, list("plan").json.items)
  end)

  it("is shared by its owners, with no more than they have, and in proper words", function()
    local eve = people:login "eve"
    for _, who in ipairs { eve, ben } do
      assert.equal(403, list("plan", who).status)
      assert.equal(403, share("plan", "ben", { kind = "user", role = "viewer" }, who).status)
      assert.equal(403, unshare("plan", "ben", who).status)
      assert.equal(403, people:ask("POST", "/api/v1/orgs/default/invites", who, { role = "viewer" }).status)
    end
    assert.equal(404, people:raw("GET", DOCS .. "plan/shares", {}).status)
    assert.equal(404, people:ask("GET", "/api/v1/orgs/acme/docs/plan/shares", ana).status)
    local now = os.time() * 1000
    local bad = { {}, { kind = "user" }, { kind = "user", role = "admin" }, { kind = "user", role = "robot" }, { kind = "group", role = "viewer" },
      { kind = "user", role = "viewer", user = "eve" }, { kind = "link", role = "owner" }, { kind = "link", role = "viewer", user = "ben" },
      { kind = "user", role = "viewer", expires = now - 1000 }, { kind = "user", role = "viewer", expires = "soon" },
      { kind = "user", role = "viewer", expires = now + 400 * 86400000 }, { kind = "user", role = "viewer", more = 1 }, { kind = "user", role = true } }
    for i, body in ipairs(bad) do assert.equal(422, share("plan", "ben", body).status, "case " .. i) end
    assert.equal(422, share("plan", "nobody-here", { kind = "user", role = "viewer" }).status)
    assert.equal(422, share("plan", "a%2Fb", { kind = "link", role = "viewer" }).status)
    assert.same({}, list("plan").json.items)
    -- An owner of the document alone has it like one of the org.
    assert.equal(200, share("plan", "eve", { kind = "user", role = "owner" }).status)
    assert.equal(200, share("plan", "ben", { kind = "user", role = "commenter" }, eve).status)
    assert.equal(403, share("other", "ben", { kind = "user", role = "commenter" }, eve).status)
    assert.equal(204, unshare("plan", "ben", eve).status)
    assert.equal(204, unshare("plan", "eve").status)
    assert.equal(403, list("plan", eve).status)
  end)

  it("keeps its last owner", function()
    local owner = people:token("--org", "acme", "--user", "tom", "--role", "owner")
    local at = "/api/v1/orgs/acme/docs/plan/shares/"
    people:add("una", "viewer")
    local function put(id, body) return people:ask("PUT", at .. id, owner, body).status end
    assert.equal(200, put("una", { kind = "user", role = "owner" }))
    assert.equal(409, put("una", { kind = "user", role = "editor" }))
    local last = people:ask("DELETE", at .. "una", owner)
    assert.equal(409, last.status)
    assert.equal("last_owner", last.json.error.code)
    assert.equal(200, put("eve", { kind = "user", role = "owner" }))
    assert.equal(204, people:ask("DELETE", at .. "una", owner).status)
  end)

  it("opens for the guest of a link, who does what the link says, nothing else, and nothing when it is taken back", function()
    local token = link("plan", { role = "viewer" })
    assert.is_nil(share("plan", "link", { kind = "link", role = "viewer" }).json.token)
    assert.equal("exists", share("plan", "link", { kind = "user", role = "viewer" }).json.error.code)
    local visitor = guest(token, "Gus Tav")
    assert.equal(200, visitor.status)
    assert.truthy(visitor.json.user.id:find "^guest%-%x+$")
    assert.same({ "Gus Tav", "default", "viewer", "default", "plan" },
      { visitor.json.user.name, visitor.json.user.org, visitor.json.user.roles[1], visitor.json.org, visitor.json.doc })
    assert.is_nil(visitor.cookies.ml_rt)
    assert.truthy(visitor.lines.ml_at:find("HttpOnly", 1, true))
    assert.equal(visitor.json.user.id, guest(token, nil, people:jar(visitor)).json.user.id)
    assert.equal(200, people:ask("GET", DOCS .. "plan/content", visitor).status)
    assert.equal(403, write("plan", visitor))
    assert.equal(404, people:ask("GET", DOCS .. "other/content", visitor).status)
    assert.equal(404, people:ask("GET", "/api/v1/orgs/default/docs", visitor).status)
    assert.same({ "viewer", "link" }, { why("plan", visitor).role, why("plan", visitor).from })
    assert.equal(403, list("plan", visitor).status)
    local client = people:joins(visitor, "plan")
    assert.equal(200, share("plan", "link", { kind = "link", role = "editor" }).status)
    becomes(client, "read-write")
    assert.equal(200, write("plan", visitor))
    assert.equal(403, share("plan", "ben", { kind = "user", role = "viewer" }, visitor).status)
    assert.equal(404, people:ask("POST", "/api/v1/orgs/default/invites", visitor, { role = "viewer" }).status)
    assert.equal(204, unshare("plan", "link").status)
    assert.equal(4403, (client:is_closed(20)))
    assert.equal(404, people:ask("GET", DOCS .. "plan/content", visitor).status)
    assert.equal("link", guest(token).json.error.code)
    -- Made anew it is another link.
    local other = link("plan", { role = "viewer" })
    assert.equal(401, guest(token).status)
    assert.equal(404, people:ask("GET", DOCS .. "plan/content", visitor).status)
    assert.equal(200, guest(other).status)
    assert.equal(204, unshare("plan", "link").status)
  end)

  it("may have a long name, and its link is good for it", function()
    local doc = ("n*"):rep(150)
    local visitor = guest(link(doc, { role = "editor" }))
    assert.equal(200, visitor.status)
    assert.equal(doc, visitor.json.doc)
    assert.equal(200, write(doc, visitor))
    assert.equal(404, people:ask("GET", DOCS .. ("nx"):rep(150) .. "/content", visitor).status)
    assert.equal(200, people:ask("POST", "/auth/ticket", visitor, { org = "default", doc = doc }).status)
  end)

  it("opens for as long as its link says, and for no other kind of token", function()
    local token = link("plan", { role = "editor", expires = (os.time() + 6) * 1000 }, "short")
    local visitor = guest(token)
    assert.equal(200, visitor.status)
    local client = people:joins(visitor, "plan")
    client:types(0, "in time "):is_acknowledged()
    assert.truthy(client:is_closed(40))
    assert.equal(401, guest(token).status)
    local access = people:token("--org", "default", "--user", "ana")
    local made = people:ask("POST", "/api/v1/orgs/default/invites", ana, { role = "viewer" }).json
    local invite = made.token
    local good = link("plan", { role = "viewer" }, "good")
    for _, wrong in ipairs { access, invite, good .. "x", good:sub(1, -2), "", "x.y.z" } do assert.equal(401, guest(wrong).status) end
    for _, wrong in ipairs { good, invite } do
      assert.equal(401, people:ask("GET", DOCS .. "plan/content", wrong).status)
      assert.falsy(people:raw("POST", "/auth/invite", {}, { token = wrong == good and good or access, user = "mia", password = "correct horse" }).status == 200)
    end
    local signed_in = guest(good, nil, people:jar(ana))
    assert.equal(409, signed_in.status)
    assert.same({}, signed_in.cookies)
    assert.equal(204, people:ask("DELETE", "/api/v1/orgs/default/invites/" .. made.id, ana).status)
    assert.falsy(process.read(world.log):find("eyJ", 1, true))
  end)

  it("is administered by no guest, though the link lets them write", function()
    local visitor = guest(link("kept", { role = "editor" }))
    assert.equal(200, write("kept", visitor))
    local session = people:joins(ana, "kept") and people:ask("GET", DOCS .. "kept/sessions", visitor).json.items[1].id
    local version = people:ask("POST", DOCS .. "kept/versions", ana, { name = "one" }).json
    for _, call in ipairs {
      { "DELETE", "" }, { "POST", "/undelete", {} }, { "POST", "/publish", {} }, { "DELETE", "/publish" }, { "POST", "/purge", {} },
      { "DELETE", "/sessions/" .. session }, { "POST", "/versions/one", { pinned = true } }, { "DELETE", "/versions/one" },
      { "PUT", "/shares/mine", { kind = "link", role = "viewer" } }, { "GET", "/shares" },
    } do
      local answer = people:ask(call[1], DOCS .. "kept" .. call[2], visitor, call[3])
      assert.equal(403, answer.status, call[1] .. call[2])
      assert.equal("denied", answer.json.error.code)
    end
    assert.truthy(version)
    assert.equal(200, write("kept", visitor))
    assert.equal(200, people:ask("GET", DOCS .. "kept/versions/one", ana).status)
  end)

  it("that is deleted opens for nobody, and has its shares again when it is not", function()
    assert.equal(200, people:ask("POST", DOCS .. "gone/ops", ana, OPS).status)
    assert.equal(200, share("gone", "ben", { kind = "user", role = "editor" }).status)
    local token = link("gone", { role = "editor" })
    local visitor = guest(token)
    local clients = { people:joins(ben, "gone"), people:joins(visitor, "gone") }
    assert.equal(204, people:ask("DELETE", DOCS .. "gone", ana).status)
    for _, client in ipairs(clients) do assert.equal(4404, (client:is_closed(20))) end
    for _, who in ipairs { ben, visitor } do
      assert.equal(404, write("gone", who))
      assert.equal(404, people:ask("GET", DOCS .. "gone/content", who).status)
    end
    assert.equal(403, people:ask("POST", DOCS .. "gone/undelete", visitor, {}).status)
    assert.is_true(people:ask("POST", DOCS .. "gone/undelete", ana, {}).status < 300)
    assert.equal(2, #list("gone").json.items)
    for _, who in ipairs { ben, visitor } do assert.equal(200, write("gone", who)) end
  end)

  it("goes with its org for good, and so do its shares, links and invitations", function()
    local function org(...) assert.equal(0, (people:user(nil, "org", ...))) end
    local DOC, INVITES = "/api/v1/orgs/brief/docs/plan", "/api/v1/orgs/brief/invites"
    org("add", "brief")
    local owner = people:token("--org", "brief", "--user", "tom", "--role", "owner")
    assert.equal(200, people:ask("POST", DOC .. "/ops", owner, OPS).status)
    assert.equal(200, people:ask("PUT", DOC .. "/shares/una", owner, { kind = "user", role = "editor" }).status)
    local shared = people:ask("PUT", DOC .. "/shares/link", owner, { kind = "link", role = "editor" }).json.token
    local invited = people:ask("POST", INVITES, owner, { role = "editor" }).json.token
    local visitor = guest(shared)
    assert.equal(200, people:ask("POST", DOC .. "/ops", visitor, OPS).status)
    org("rm", "brief", "--yes")
    -- Nobody brings them back with what they still have in hand.
    assert.is_true(people:ask("PUT", DOC .. "/shares/late", owner, { kind = "link", role = "editor" }).status >= 400)
    assert.is_true(people:ask("POST", DOC .. "/ops", visitor, OPS).status >= 400)
    org("add", "brief")
    world:wait(function() return people:ask("POST", DOC .. "/ops", owner, OPS).status == 200 end, "the org is there again", 20)
    assert.same({}, people:ask("GET", DOC .. "/shares", owner).json.items)
    assert.same({}, people:ask("GET", INVITES, owner).json.items)
    assert.equal(401, guest(shared).status)
    -- What is known of a link is known for two seconds.
    world:wait(function() return people:ask("POST", DOC .. "/ops", visitor, OPS).status == 404 end, "the guest is out", 20)
    assert.equal(401, people:raw("POST", "/auth/invite", {}, { token = invited, user = "uma", password = "correct horse" }).status)
    assert.same({ "", "none" }, { people:ask("GET", DOC .. "/why?user=una", owner).json.role, people:ask("GET", DOC .. "/why?user=una", owner).json.from })
  end)

  describe("belongs to an org that", function()
    local function invite(body) return people:ask("POST", "/api/v1/orgs/default/invites", ana, body) end
    local function accept(body, who) return people:raw("POST", "/auth/invite", who and people:jar(who) or {}, body) end

    it("somebody new joins with an invitation, once", function()
      local made = invite { role = "editor" }
      assert.equal(201, made.status)
      local listed = people:ask("GET", "/api/v1/orgs/default/invites", ana).json.items
      assert.same({ 1, made.json.id, "editor", "ana" }, { #listed, listed[1].id, listed[1].role, listed[1].by })
      local new = { token = made.json.token, user = "mia", name = "Mia Wu", password = "correct horse" }
      local function with(more)
        local body = {}
        for key, value in pairs(new) do body[key] = value end
        for key, value in pairs(more) do body[key] = value end
        return accept(body)
      end
      assert.equal(422, with { password = "short" }.status)
      assert.equal(422, with { user = "Mia Wu" }.status)
      assert.equal(409, with { user = "ana" }.status)
      assert.equal(401, with { token = made.json.token .. "x" }.status)
      assert.equal(400, accept({ token = made.json.token, user = "mia" }).status)
      local mia = accept(new)
      assert.equal(200, mia.status)
      assert.same({ id = "mia", name = "Mia Wu", org = "default", roles = { "editor" } }, mia.json.user)
      assert.equal(200, write("plan", mia))
      assert.equal(401, with { user = "max" }.status)
      assert.equal(401, people:login("max").status)
      assert.equal(200, people:login("mia").status)
    end)

    it("gives no more than its owners have, for a while, and takes back", function()
      for _, body in ipairs { {}, { role = "commenter" }, { role = "robot" }, { role = "viewer", expires = 1 }, { role = "viewer", more = 1 },
        { role = "viewer", expires = (os.time() + 40 * 86400) * 1000 } } do
        assert.equal(422, invite(body).status)
      end
      assert.equal(403, invite({ role = "admin" }).status)
      local back = invite { role = "viewer" }
      assert.equal(204, people:ask("DELETE", "/api/v1/orgs/default/invites/" .. back.json.id, ana).status)
      assert.equal(404, people:ask("DELETE", "/api/v1/orgs/default/invites/" .. back.json.id, ana).status)
      assert.equal("invite", accept({ token = back.json.token, user = "zoe", password = "correct horse" }).json.error.code)
    end)

    it("somebody with an account joins as who they are", function()
      people:add("olga", "owner", "acme")
      local olga = people:login("olga", nil, "acme")
      local made = invite { role = "viewer" }
      assert.equal(401, accept({ token = made.json.token }).status)
      assert.equal(403, people:raw("POST", "/auth/invite", people:jar(olga, { ["X-ML-CSRF"] = "x" }), { token = made.json.token }).status)
      local joined = accept({ token = made.json.token }, olga)
      assert.equal(200, joined.status)
      assert.same({ id = "olga", name = "olga", org = "default", roles = { "viewer" } }, joined.json.user)
      assert.equal(401, people:ask("POST", "/auth/refresh", olga, {}).status)
      assert.equal(200, people:ask("GET", DOCS .. "plan/content", joined).status)
      assert.equal(200, people:login("olga", nil, "acme").status)
      -- Who has more keeps it.
      assert.same({ "owner" }, accept({ token = invite({ role = "viewer" }).json.token }, ana).json.user.roles)
    end)
  end)
end)
