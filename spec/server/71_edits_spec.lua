-- Edits seen one by one in the real process: refused by path, rewritten, and written on top of.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

describe("plugins and single edits", function()
  local world

  local function with(name, manifest, code, extra)
    local folder = process.folder()
    World.plugin(folder, name, {
      ["plugin.lua"] = ("return { name = %q, version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, manifest),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. code .. "\nreturn P\n",
    })
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { [%q] = {} }\n%s"):format(name, extra or ""),
    }
  end

  after_each(function()
    world:close()
  end)
  teardown(process.clean)

  local function journal()
    local all = {}
    for _, row in ipairs(world:sql "SELECT hex(bytes) FROM records ORDER BY seq") do
      all[#all + 1] = (row:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
    end
    return table.concat(all, "\n")
  end

  it("mask what is typed before anybody sees it, and leave the rest to its author", function()
    with("mask", "phase = 'transform', hooks = { before_update = { kinds = { 'text.insert' }, paths = { 'content' } } }", [[
      function P:before_update(u)
        for e in u:edits("text.insert", "content") do
          local masked, hits = e.text:gsub("%d%d%d%d", "****")
          if hits > 0 then u:replace(e, masked) end
        end
      end
    ]])
    local anna, ben = world:client "anna":joins "pay", world:client "ben":joins "pay"
    anna:types(0, "pay 4111 now")
    ben:sees "pay **** now"
    anna:sees "pay **** now"
    anna:types(3, " ana"):is_acknowledged()
    ben:sees "pay ana **** now"
    assert.falsy(journal():find("4111", 1, true))
    for _, frame in ipairs(ben.frames) do assert.falsy((frame.payload or ""):find("4111", 1, true)) end
    world:stop()
    world:start()
    world:client "late":joins "pay":sees "pay ana **** now"
  end)

  it("write labels on a change, which stand in the history, also after a restart", function()
    with("notes", "phase = 'policy', hooks = { before_update = {} }", [[
      function P:before_update(u)
        if u.inserted > 3 then u:label("long", true) u:label('by "x"', { user = u.author.user, list = { 1, 2 } }) end
      end
    ]])
    world:client "anna":joins "log":types(0, "abc"):is_acknowledged()
    world:client "ben":joins "log":types(0, "abcdef"):is_acknowledged()
    local function history()
      local answer = http.get(world.port, "/api/v1/orgs/default/docs/log/history")
      assert.equal(200, answer.status)
      return cjson.decode(answer.body).items
    end
    for _ = 1, 2 do
      local items = history()
      assert.equal(2, #items)
      assert.is_true(items[1].labels.long)
      assert.same({ 1, 2 }, items[1].labels['by "x"'].list)
      assert.is_nil(items[2].labels)
      world:stop()
      world:start()
    end
  end)

  it("refuse one edit and keep the rest of the same update", function()
    with("pick", "phase = 'policy', hooks = { authorize_edit = { kinds = { 'text.insert' } } }", [[
      function P:authorize_edit(e)
        if e.text:find("secret", 1, true) then return ml.deny("secret", "Not here.") end
      end
    ]])
    local anna, ben = world:client "anna":joins "pick", world:client "ben":joins "pick"
    anna:types(0, "one "):is_acknowledged()
    anna:types(4, "secret ")
    anna:types(11, "two")
    ben:sees "one two"
    anna:sees "one two"
    assert.falsy(journal():find("secret", 1, true))
  end)

  it("tell why to a writer who asked for it, and to nobody else", function()
    with("why", "phase = 'policy', hooks = { authorize_edit = { kinds = { 'text.insert' } } }", [[
      function P:authorize_edit(e)
        if e.text:find("secret", 1, true) then return ml.deny("secret", "Not \"here\".") end
      end
    ]])
    local anna, ben = world:client "anna":joins "why", world:client "ben":joins "why"
    anna:asks_for_notices():types(0, "secret")
    world:wait(function() return #anna.notices == 1 end, "the notice")
    local notice = anna.notices[1]
    assert.same({ "refused", "why.secret", 'Not "here".', "undo" }, { notice.kind, notice.code, notice.reason, notice.mode })
    assert.same({ "content" }, notice.paths)
    ben:types(0, "secret") -- its client would not know what to do with one: the spec's raises
    ben:sees "":catches_up()
    anna:sees "":catches_up()
    assert.equal(1, #anna.notices)
  end)

  it("grant writing by path: what is elsewhere goes back, without a plugin being asked again", function()
    with("acl", "phase = 'auth', hooks = { authenticate = {}, authorize = {} }", [[
      function P:authenticate(req) return { user = req.query.token, name = req.query.token } end
      function P:authorize(ask)
        local where = ask.identity.user == "owner" and { "content" } or { "comments/{user}/**" }
        return ml.grant { read = true, presence = true, write = where }
      end
    ]], "auth = { mode = 'plugins' }")
    local owner = world:client "owner":joins("acl", { query = "token=owner" })
    local guest = world:client "guest":joins("acl", { query = "token=guest" })
    owner:types(0, "mine"):is_acknowledged()
    guest:sees "mine"
    guest:types(0, "graffiti ")
    guest:sees "mine"
    owner:catches_up()
    assert.equal("mine", owner.text:string())
    guest:deletes(0, 2)
    guest:sees "mine"
    owner:catches_up()
    assert.equal("mine", owner.text:string())
    assert.falsy(journal():find("graffiti", 1, true))
  end)

  it("write on top of an update, in the same record", function()
    with("stamp", "phase = 'transform', hooks = { before_update = { kinds = { 'text.insert' } } }", [[
      function P:before_update(u)
        u:amend(function(tx) tx:text("content"):insert(0, "> ") end)
      end
    ]])
    local anna, ben = world:client "anna":joins "stamp", world:client "ben":joins "stamp"
    anna:types(0, "words")
    ben:sees "> words"
    anna:sees "> words"
    assert.equal("1", world:sql("SELECT count(*) FROM records")[1])
  end)
end)
