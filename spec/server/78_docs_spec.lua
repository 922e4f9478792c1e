-- Plugins and other documents: ml.docs, and tasks where a document is live. One loop and four.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

for _, loops in ipairs { 1, 4 } do
  describe(("ml.docs with %d loops"):format(loops), function()
    local world

    local function ask(method, where, body)
      local answer = http.request(world.port, method, "/api/v1/orgs/default" .. where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
      if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
      return answer
    end
    local function make(name, content) assert.equal(201, ask("POST", "/docs", { name = name, content = content }).status) end
    local function content(name) return ask("GET", "/docs/" .. name:gsub("/", "%%2F") .. "/content").body end
    -- What ml.docs answered, as a list with its length.
    local function call(...)
      local answer = ask("POST", "/rpc/clerk.call", { list = cjson.encode { ... } })
      assert.equal(200, answer.status, answer.body .. world.server:tail())
      return answer.json
    end

    before_each(function()
      local folder = process.folder()
      World.plugin(folder, "clerk", {
        ["plugin.lua"] = [[return { name = 'clerk', version = '1.0.0', api = 1, summary = 'of a spec', needs = { 'doc.read', 'doc.write', 'kv' },
          hooks = { rpc = { ['clerk.call'] = { args = { { 'list', type = 'string' } } } }, tasks = { title = {}, broken = {}, late = {}, no = {}, greedy = {} },
                    before_update = {}, after_update = {}, delete_document = {}, document_deleted = {}, create_document = {} } }]],
        ["init.lua"] = [[
          local ml = require 'moonloom'
          local P = { rpc = {}, tasks = {} }
          P.rpc['clerk.call'] = function(_, call)
            local list = ml.json.decode(call.args.list)
            local function tail(...) return { n = select('#', ...), ... } end
            local out = tail(ml.docs[(list[1])](unpack(list, 2)))
            local n, values = out.n, {}
            for i = 1, n do values[i] = out[i] == nil and ml.null or out[i] end
            if out[1] == false then values[1] = false end
            return { values = ml.array(values), n = n }
          end
          function P.tasks.title(self, doc, args)
            local before = doc:get 'content'
            doc:transact(function(tx) tx:map('meta'):set('title', args.title) end)
            return { before = before, after = doc:get 'meta/title', sessions = #doc:sessions() }
          end
          function P.tasks.broken() error 'on purpose' end
          function P.tasks.no(self, doc, args) if args then return ml.deny('never', 'Not this.') end return nil, 'ENOTFOUND', 'nothing here' end
          function P.tasks.late(self, doc)
            ml.kv.set('a', 1)
            local ok, why = pcall(function() return doc:get 'content' end)
            return { ok = ok, why = why }
          end
          function P.tasks.greedy(self, doc) while true do end end
          function P:before_update(u) if u.author.user == 'plugin:clerk' then return ml.deny('loop', 'Asked about its own.') end end
          function P:after_update(batch) ml.log.info('SAW|' .. batch.doc.id .. '|' .. table.concat(batch.authors, ',') .. '|') end
          function P:delete_document(ref) if ref.id == 'kept' then return ml.deny('kept', 'This one stays.') end end
          function P:document_deleted(ref) ml.log.info('GONE|' .. ref.id .. '|') end
          function P:create_document(d)
            if d.id == 'barred' then return ml.deny('barred', 'Not this name.') end
            if d.id:sub(1, 6) == 'chain/' then ml.docs.create(d.id .. 'x') end
          end
          return P]],
      })
      world = World.new { args = { "--plugins", folder }, config = ("plugins = { clerk = {} }\nloops = %d\n"):format(loops) }
    end)
    after_each(function() world:close() end)
    teardown(process.clean)

    local function logged(what)
      for line in io.lines(world.log) do if line:find(what, 1, true) then return true end end
      return false
    end

    it("reads values of documents, and says what is not there", function()
      for i = 1, 6 do
        make("d" .. i, "text " .. i)
        assert.same({ "text " .. i }, call("get", "d" .. i, "content").values)
      end
      assert.same({ cjson.null }, call("get", "d1", "content/nothing").values)
      assert.equal("ENOTFOUND", call("get", "nowhere", "content").values[2])
    end)

    it("lists, page by page", function()
      for i = 1, 5 do make("list/" .. i, "x") end
      make("other", "x")
      local page = call("list", { prefix = "list/", limit = 3 }).values[1]
      assert.equal(3, #page)
      assert.equal("list/1", page[1].id)
      assert.equal(1, page[1].seq)
      assert.truthy(page[1].created_at > 1.6e9)
      local rest = call("list", { prefix = "list/", after = page[3].id }).values[1]
      assert.equal(2, #rest)
      assert.equal("list/5", rest[2].id)
    end)

    it("makes documents, once, with content, operations or a template", function()
      assert.same({ true }, call("create", "a", { content = "Hello" }).values)
      assert.same({ false }, call("create", "a", { content = "again" }).values)
      assert.equal("Hello", content "a")
      assert.same({ true }, call("create", "b", { template = "a" }).values)
      assert.equal("Hello", content "b")
      assert.same({ true }, call("create", "c", { ops = { { "text.insert", "content", 0, "by ops" } } }).values)
      assert.equal("by ops", content "c")
      assert.same({ true }, call("create", "d").values)
      assert.equal(200, ask("GET", "/docs/d").status)
      assert.equal("ENOTFOUND", call("create", "e", { template = "nowhere" }).values[2])
      assert.same({ cjson.null, "EFORMAT" }, { unpack(call("create", "f", { ops = { { "text.boil", "content" } } }).values, 1, 2) })
      assert.equal(404, ask("GET", "/docs/f").status)
    end)

    it("asks create_document, whose own making of documents ends", function()
      assert.same({ cjson.null, "EDENIED", "Not this name." }, call("create", "barred").values)
      assert.equal(404, ask("GET", "/docs/barred").status)
      call("create", "chain/")
      assert.truthy(world:documents()["chain/x"] or not world:documents()["chain/"])
    end)

    it("writes where the document is live: who has it open sees it, and it is durable when it answers", function()
      local anna = world:client "anna":joins "live":types(0, "Hi"):is_acknowledged()
      local answer = call("apply", "live", { { "text.insert", "content", 2, " there" } })
      assert.truthy(answer.values[1] >= 2)
      anna:sees "Hi there"
      world:wait(function()
        for line in io.lines(world.log) do if line:find "SAW|live|.*plugin:clerk" then return true end end
      end, "after_update is told")
      world:kill()
      world:wait(function() return world.server:ended() end, "the end", 20)
      world:start()
      assert.equal("Hi there", content "live")
    end)

    it("applies all or nothing, to what is there", function()
      make("doc", "abc")
      local answer = call("apply", "doc", { { "text.insert", "content", 0, "x" }, { "text.delete", "content", 50, 3 } })
      assert.same(cjson.null, answer.values[1])
      assert.equal("abc", content "doc")
      assert.equal("ENOTFOUND", call("apply", "nowhere", { { "map.set", "m", "k", 1 } }).values[2])
      assert.equal(404, ask("GET", "/docs/nowhere").status)
    end)

    it("runs a task with the document at hand", function()
      for i = 1, 6 do
        make("t" .. i, "body " .. i)
        local answer = call("run", "t" .. i, "title", { title = "Plan " .. i })
        assert.same({ before = "body " .. i, after = "Plan " .. i, sessions = 0 }, answer.values[1])
        assert.same({ "Plan " .. i }, call("get", "t" .. i, "meta/title").values)
      end
      assert.equal("ESCRIPT", call("run", "t1", "broken").values[2])
      assert.same({ cjson.null, "ENOTFOUND", "nothing here" }, call("run", "t1", "no").values)
      assert.same({ cjson.null, "EDENIED", "Not this." }, call("run", "t1", "no", 1).values)
      assert.equal("ENOTFOUND", call("run", "t1", "missing").values[2])
      assert.equal("ENOTFOUND", call("run", "nowhere", "title", { title = "x" }).values[2])
      local late = call("run", "t1", "late").values[1]
      assert.is_false(late.ok)
      assert.truthy(late.why:find "view expired")
      assert.equal("ESCRIPT", call("run", "t1", "greedy").values[2])
      assert.equal(200, ask("GET", "/docs/t1").status)
    end)

    it("deletes, unless a policy says no; who has it open is told", function()
      make("gone", "x")
      make("kept", "x")
      local anna = world:client "anna":joins "gone"
      assert.same({ true }, call("delete", "gone").values)
      assert.equal(4404, (anna:is_closed()))
      assert.same({ false }, call("delete", "gone").values)
      assert.same({ false }, call("delete", "never").values)
      assert.same({ cjson.null, "EDENIED", "This one stays." }, call("delete", "kept").values)
      world:wait(function() return logged "GONE|gone|" end, "document_deleted", 30)
      local audit = ask("GET", "/audit").json
      assert.equal("plugin:clerk", audit.items[#audit.items].actor)
    end)
  end)
end

describe("ml.docs and capabilities", function()
  teardown(process.clean)
  it("is refused to who did not ask for it, part by part", function()
    local folder = process.folder()
    World.plugin(folder, "reader", {
      ["plugin.lua"] = "return { name = 'reader', version = '1.0.0', api = 1, summary = 'of a spec', needs = { 'doc.read' }, hooks = { rpc = { ['reader.try'] = {} } } }",
      ["init.lua"] = [[
        local ml = require 'moonloom'
        local P = { rpc = {} }
        P.rpc['reader.try'] = function()
          local _, why = pcall(ml.docs.create, 'x')
          local list = ml.docs.list()
          return { why = why, count = #list }
        end
        return P]],
    })
    local world = World.new { args = { "--plugins", folder }, config = "plugins = { reader = {} }\n" }
    local answer = http.request(world.port, "POST", "/api/v1/orgs/default/rpc/reader.try", { ["Content-Type"] = JSON }, "{}")
    local json = cjson.decode(answer.body)
    assert.equal(0, json.count)
    assert.truthy(json.why:find('needs = { "doc.write" }', 1, true), json.why)
    world:close()
  end)
end)
