-- A document that was never there: plugins bring it from elsewhere, say what it begins with, or refuse it.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("a document that was never there", function()
  local world, folder

  local function ask(method, where, body)
    local answer = http.request(world.port, method, "/api/v1/orgs/default/docs" .. where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function text(name) return ask("GET", "/" .. name .. "/content") end
  local function logged(what)
    local count = 0
    for line in io.lines(world.log) do if line:find(what, 1, true) then count = count + 1 end end
    return count
  end
  local function plugin(name, manifest, code)
    World.plugin(folder, name, {
      ["plugin.lua"] = ("return { name = '%s', version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, manifest),
      ["init.lua"] = "local ml = require 'moonloom' local P = {}\n" .. code .. "\nreturn P",
    })
  end
  local function starts(config, args)
    local all = { "--plugins", folder }
    for _, arg in ipairs(args or {}) do all[#all + 1] = arg end
    world = World.new { args = all, config = config .. "\n" }
  end

  before_each(function() folder = process.folder() end)
  after_each(function() if world then world:close() end world = nil end)
  teardown(process.clean)

  describe("that create_document is asked about", function()
    before_each(function()
      plugin("birth", "needs = { 'kv' }, hooks = { create_document = {}, document_loaded = {} }", [[
        function P:create_document(d)
          ml.log.info('ASKED|' .. d.org .. '|' .. d.id .. '|' .. tostring(d.template) .. '|' .. tostring(d.identity ~= nil) .. '|')
          if d.id == 'barred' then return ml.deny('barred', 'Not this name, please.') end
          if d.id == 'broken' then error 'no idea' end
          if d.id == 'half' then
            d:transact(function(tx) tx:text('content'):insert(0, 'half') end)
            d:transact(function() error 'and no more' end)
          end
          if d.id == 'plain' then return end
          if d.id == 'kept' then self.state.d = d return end
          if d.id == 'later' then
            local ok, why = pcall(function() self.state.d:transact(function() end) end)
            ml.log.info('KEPT|' .. tostring(ok) .. '|' .. tostring(why))
            return
          end
          ml.kv.set('waited', d.id)
          d:transact(function(tx) tx:text('content'):insert(0, 'Welcome to ' .. d.id .. '. ') end)
        end
        function P:document_loaded(doc) ml.log.info('LOADED|' .. doc.id .. '|' .. doc.seq .. '|') end]])
      starts "plugins = { birth = {} }"
    end)

    it("begins with what the plugin wrote, once, and everybody sees it from the start", function()
      local anna = world:client "anna":joins "notes":sees "Welcome to notes. "
      local ben = world:client "ben":joins "notes":sees "Welcome to notes. "
      anna:types(0, "A: "):is_acknowledged()
      ben:sees "A: Welcome to notes. "
      assert.equal(1, logged "ASKED|default|notes|nil|true|")
      assert.equal(1, logged "LOADED|notes|1|")
      world:stop()
      world:start()
      world:client "eve":joins "notes":sees "A: Welcome to notes. "
      assert.equal(1, logged "ASKED|default|notes|")
    end)

    it("is asked about once, however many come at the same moment", function()
      local clients = {}
      for i = 1, 8 do clients[i] = world:client("c" .. i):joins("crowd", { wait = false }) end
      for _, client in ipairs(clients) do client:sees "Welcome to crowd. " end
      assert.equal(1, logged "ASKED|default|crowd|")
    end)

    it("may be one without content, and is there all the same", function()
      world:client "anna":joins "plain":sees ""
      world:client "ben":joins "plain":sees ""
      assert.equal(1, logged "ASKED|default|plain|")
      assert.equal(200, ask("GET", "/plain").status)
    end)

    it("is refused with the plugin's words, on the socket and over HTTP, and is not there", function()
      local anna = world:client "anna":joins("barred", { wait = false })
      local code, reason = anna:is_closed()
      assert.equal(4403, code)
      assert.equal("Not this name, please.", reason)
      local answer = ask("POST", "", { name = "barred", content = "x" })
      assert.equal(403, answer.status)
      assert.equal("birth.barred", answer.json.error.code)
      assert.equal("Not this name, please.", answer.json.error.message)
      assert.equal(404, ask("GET", "/barred").status)
    end)

    it("is put off while the plugin fails, and nothing half is made", function()
      for _, name in ipairs { "broken", "half" } do
        local code = world:client(name):joins(name, { wait = false }):is_closed()
        assert.equal(1013, code)
        local answer = ask("POST", "", { name = name })
        assert.equal(503, answer.status)
        assert.equal("policy_unavailable", answer.json.error.code)
        assert.equal(404, ask("GET", "/" .. name).status)
      end
    end)

    it("has what POST and a template give it, too", function()
      assert.equal(201, ask("POST", "", { name = "a", content = "Mine." }).status)
      assert.equal("Welcome to a. Mine.", text("a").body)
      assert.equal(201, ask("POST", "", { name = "b", template = "a" }).status)
      assert.equal("Welcome to b. Welcome to a. Mine.", text("b").body)
      assert.equal(1, logged "ASKED|default|b|a|true|")
      assert.equal(409, ask("POST", "", { name = "a" }).status)
    end)

    it("cannot be written by a plugin that kept it", function()
      assert.equal(201, ask("POST", "", { name = "kept" }).status)
      assert.equal(201, ask("POST", "", { name = "later" }).status)
      world:wait(function() return logged "KEPT|false|" == 1 end, "the plugin has tried")
      assert.equal(1, logged "view\\x20expired:\\x20the\\x20document\\x20is\\x20made")
    end)
  end)

  describe("that load_document is asked about", function()
    before_each(function()
      -- An update as Yjs writes it: client 1 writes "old" into the text `content`.
      plugin("import", "needs = { 'kv' }, hooks = { load_document = {} }", [[
        local OLD = "\1\1\1\0\4\1\7content\3old\0"
        function P:load_document(ref)
          ml.log.info('WANTED|' .. ref.org .. '|' .. ref.id .. '|')
          if ref.id == 'broken' then error 'the archive is down' end
          if ref.id == 'wrong' then return 7 end
          if ref.id == 'noise' then return 'this is no update' end
          if ref.id == 'hole' then return "\1\1\1\5\4\1\7content\3old\0" end
          ml.kv.set('asked', ref.id)
          if ref.id:sub(1, 4) == 'old/' then return ml.bytes(OLD) end
        end]])
    end)

    it("is what it was elsewhere, imported once", function()
      starts "plugins = { import = {} }"
      local anna = world:client "anna":joins "old/1":sees "old"
      anna:types(3, "er"):is_acknowledged()
      world:stop()
      world:start()
      world:client "ben":joins "old/1":sees "older"
      assert.equal(1, logged "WANTED|default|old/1|")
      world:client "eve":joins "new":sees ""
      assert.equal(1, logged "WANTED|default|new|")
    end)

    it("does not open while it cannot be brought, and nothing is saved over it", function()
      starts "plugins = { import = {} }"
      for _, name in ipairs { "broken", "wrong", "noise", "hole" } do
        assert.equal(1013, (world:client(name):joins(name, { wait = false }):is_closed()))
        assert.equal(404, ask("GET", "/" .. name).status)
        assert.equal(503, ask("POST", "", { name = name, content = "x" }).status)
      end
    end)

    it("is there for POST, which makes no other one of that name", function()
      starts "plugins = { import = {} }"
      assert.equal(409, ask("POST", "", { name = "old/2", content = "x" }).status)
      assert.equal("old", text("old%2F2").body)
    end)

    it("comes before create_document, which is asked about what is nowhere", function()
      plugin("birth", "hooks = { create_document = {} }", [[
        function P:create_document(d) d:transact(function(tx) tx:text('content'):insert(0, 'new') end) end]])
      starts "plugins = { import = {}, birth = {} }"
      world:client "anna":joins "old/1":sees "old"
      world:client "ben":joins "other":sees "new"
    end)

    it("works on several loops", function()
      plugin("birth", "hooks = { create_document = {} }", [[
        function P:create_document(d)
          if d.id == 'barred' then return ml.deny('barred', 'Not this name.') end
          d:transact(function(tx) tx:text('content'):insert(0, 'new') end)
        end]])
      starts("plugins = { import = {}, birth = {} }\nloops = 4")
      for i = 1, 12 do
        world:client("a" .. i):joins("old/" .. i):sees "old"
        world:client("b" .. i):joins("n" .. i):sees "new"
      end
      for i = 1, 6 do
        local code, reason = world:client("x" .. i):joins("barred", { wait = false }):is_closed()
        assert.equal(4403, code)
        assert.equal("Not this name.", reason)
      end
    end)
  end)
end)
