-- Functions of plugins that are about a document: they read it, and what they write is an edit of who calls. One loop and four.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

local JSON = "application/json"
local MANIFEST = [[return { name = "stamps", version = "1.0.0", api = 1, summary = "of a spec", phase = "auth",
  hooks = { authenticate = {}, authorize = {}, before_update = {}, rpc = {
    ["stamps.read"] = { doc = true }, ["stamps.write"] = { doc = true, args = { { "text", type = "string", required = true }, { "sign", type = "boolean" } } },
    ["stamps.fail"] = { doc = true }, ["stamps.no"] = { doc = true }, ["stamps.nil"] = { doc = true }, ["stamps.half"] = { doc = true },
    ["stamps.late"] = { doc = true }, ["stamps.slow"] = { doc = true }, ["stamps.often"] = { doc = true }, ["stamps.plain"] = {} } },
  needs = { "kv" } }]]
local CODE = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  function P:authenticate(req) if req.token then return { user = req.token, name = req.token } end end
  function P:authorize(ask)
    if ask.identity.user == "eve" then return ml.deny("stranger", "You are not known here.") end
    if ask.identity.user == "paul" then return ml.grant { read = true, write = { "other/**" } } end
    return ml.grant { read = true, write = ask.identity.user ~= "rita", history = ask.identity.user == "anna" }
  end
  function P:before_update(u)
    if u.inserted_bytes > 5000 then return ml.deny("long", "Too long for " .. u.author.user .. ".") end
  end
  local function stamp(call, text) call.doc:transact(function(tx) tx:text("content"):insert(0, text) end) end
  P.rpc["stamps.read"] = function(_, call)
    return { text = call.doc:get "content", id = call.doc.id, by = call.identity.user, read = call.grant.read, write = call.grant.write, history = call.grant.history }
  end
  P.rpc["stamps.write"] = function(_, call)
    stamp(call, call.args.text)
    if call.args.sign then call.doc:transact(function(tx) tx:map("meta"):set("by", call.identity.user) end) end
    return { text = call.doc:get "content" }
  end
  P.rpc["stamps.fail"] = function(_, call) stamp(call, "fail") error "boom" end
  P.rpc["stamps.no"] = function(_, call) stamp(call, "no") return ml.deny("never", "Not this.") end
  P.rpc["stamps.nil"] = function(_, call) stamp(call, "nil") return nil, "ECONFLICT", "not now" end
  P.rpc["stamps.half"] = function(_, call)
    local ok = pcall(function() call.doc:transact(function(tx) tx:text("content"):insert(0, "half") error "boom" end) end)
    return { ok = ok, text = call.doc:get "content" }
  end
  P.rpc["stamps.late"] = function(_, call)
    ml.kv.get "x"
    local ok, why = pcall(stamp, call, "late")
    return { ok = ok, why = why }
  end
  P.rpc["stamps.slow"] = function(_, call) stamp(call, "slow ") ml.kv.set("x", 1) ml.kv.get "x" return true end
  P.rpc["stamps.often"] = function(_, call)
    for _ = 1, 64 do stamp(call, "x") end
    local ok, why = pcall(stamp, call, "x")
    return { ok = ok, why = why }
  end
  P.rpc["stamps.plain"] = function(_, call) return { doc = call.doc ~= nil, grant = call.grant ~= nil } end
  return P
]]

for _, loops in ipairs { 1, 4 } do
  describe(("a function about a document, %d loops"):format(loops), function()
    local world

    setup(function()
      local folder = process.folder()
      World.plugin(folder, "stamps", { ["plugin.lua"] = MANIFEST, ["init.lua"] = CODE })
      world = World.new { args = { "--plugins", folder }, config = ("plugins = { stamps = {} }\nauth = { mode = 'plugins' }\nloops = %d\n"):format(loops) }
    end)
    teardown(function() world:close() process.clean() end)

    local function ask(method, where, who, body)
      local answer = http.request(world.port, method, "/api/v1/orgs/default" .. where,
        { Authorization = who and "Bearer " .. who, ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
      if answer.body ~= "" and answer.fields["content-type"] == JSON then answer.json = cjson.decode(answer.body) end
      return answer
    end
    local function call(name, who, doc, args) return ask("POST", "/rpc/stamps." .. name .. (doc and "?doc=" .. doc or ""), who, args or {}) end
    local function make(name) assert.equal(201, ask("POST", "/docs", "anna", { name = name, content = "hello" }).status) end
    local function content(name) return ask("GET", "/docs/" .. name .. "/content", "anna").body end
    local function history(name) return ask("GET", "/docs/" .. name .. "/history", "anna").json.items end

    it("reads it, and knows who asks and what they may", function()
      make "read"
      assert.same({ text = "hello", id = "read", by = "anna", read = true, write = true, history = true }, call("read", "anna", "read").json)
      local rita = call("read", "rita", "read").json
      assert.same({ true, false, false }, { rita.read, rita.write, rita.history })
      assert.is_true(call("read", "paul", "read").json.write)
      assert.equal(1, #history "read")
      assert.same({ doc = false, grant = false }, call("plain", "anna").json)
    end)

    it("writes as the caller, and is answered when that is on disk; who has it open sees it", function()
      make "write"
      local bert = world:client "bert":joins("write", { query = "?token=bert" })
      local answer = call("write", "anna", "write", { text = "well, " })
      assert.equal(200, answer.status, answer.body)
      assert.equal("well, hello", answer.json.text)
      assert.equal('"2"', answer.fields.etag)
      assert.equal("well, hello", content "write")
      local items = history "write"
      assert.equal(2, #items)
      assert.equal("anna", items[1].user)
      bert:sees "well, hello"
      assert.equal(200, call("write", "bert", "write", { text = "oh " }).status)
      assert.equal("bert", history "write"[1].user)
    end)

    it("is held to the caller's rights", function()
      make "rights"
      assert.equal(403, call("write", "rita", "rights", { text = "x" }).status)
      assert.equal(1, #history "rights")
      local places = call("write", "paul", "rights", { text = "x" })
      assert.equal(403, places.status, places.body)
      assert.equal("hello", content "rights")
      assert.equal(403, call("read", "eve", "rights").status)
      assert.equal(401, call("read", nil, "rights").status)
    end)

    it("meets what plugins say about edits", function()
      make "hooks"
      local refused = call("write", "anna", "hooks", { text = ("x"):rep(10000) })
      assert.equal(403, refused.status)
      assert.truthy(refused.body:find("Too long for anna", 1, true), refused.body)
      assert.equal("hello", content "hooks")
      assert.equal(200, call("write", "anna", "hooks", { text = "then ", sign = true }).status)
      assert.equal("then hello", content "hooks")
      assert.equal("anna", cjson.decode(ask("GET", "/docs/hooks/content?root=meta&as=json", "anna").body).by)
      assert.equal(3, #history "hooks") -- of the refused one there is a record, without what it said
    end)

    it("writes nothing when it fails, denies or gives a reason", function()
      make "fails"
      assert.equal(503, call("fail", "anna", "fails").status)
      local denied = call("no", "anna", "fails")
      assert.equal(403, denied.status)
      assert.equal("stamps.never", denied.json.error.code)
      assert.equal(422, call("nil", "anna", "fails").status)
      assert.same({ ok = false, text = "hello" }, call("half", "anna", "fails").json)
      assert.equal(1, #history "fails")
      assert.equal("hello", content "fails")
    end)

    it("has the document until it waits; what it wrote before counts", function()
      make "waits"
      local late = call("late", "anna", "waits").json
      assert.is_false(late.ok)
      assert.truthy(late.why:find("view expired", 1, true), late.why)
      assert.equal(1, #history "waits")
      assert.equal(200, call("slow", "anna", "waits").status)
      assert.equal("slow hello", content "waits")
    end)

    it("writes at most 64 times in one call, as one edit", function()
      make "often"
      local answer = call("often", "anna", "often")
      assert.equal(200, answer.status, answer.body)
      assert.is_false(answer.json.ok)
      assert.truthy(answer.json.why:find("more than 64 transactions", 1, true), answer.json.why)
      assert.equal(("x"):rep(64) .. "hello", content "often")
      assert.equal(2, #history "often")
    end)

    it("is asked by many at once, and loses and doubles nothing", function()
      make "many"
      local socks = {}
      for i = 1, 24 do
        socks[i] = assert(socket.tcp())
        socks[i]:settimeout(60)
        assert(socks[i]:connect("127.0.0.1", world.port))
      end
      for i = 1, 24 do
        local body = cjson.encode { text = ("[w%d]"):format(i) }
        assert(socks[i]:send(http.text(world.port, "POST", "/api/v1/orgs/default/rpc/stamps." .. (i % 4 == 0 and "slow" or "write") .. "?doc=many",
          { Authorization = "Bearer anna", ["Content-Type"] = JSON }, body)))
      end
      for i = 1, 24 do
        local answer = http.read(socks[i])
        assert.equal(200, answer.status, answer.body)
        socks[i]:close()
      end
      local text = content "many"
      for i = 1, 24 do
        local _, count = text:gsub("%[w" .. i .. "%]", "")
        assert.equal(i % 4 == 0 and 0 or 1, count, text)
      end
      local _, slow = text:gsub("slow ", "")
      assert.equal(6, slow)
      assert.equal(25, #history "many")
    end)

    it("goes on when a caller went away", function()
      make "gone"
      for _ = 1, 3 do
        local sock = assert(socket.tcp())
        assert(sock:connect("127.0.0.1", world.port))
        assert(sock:send(http.text(world.port, "POST", "/api/v1/orgs/default/rpc/stamps.slow?doc=gone", { Authorization = "Bearer anna", ["Content-Type"] = JSON }, "{}")))
        sock:close()
      end
      assert.equal(200, call("write", "anna", "gone", { text = "still " }).status)
      assert.truthy(content "gone":find("still ", 1, true))
    end)

    it("needs a document that is there", function()
      assert.equal(404, call("read", "anna", "nowhere").status)
      assert.equal(404, call("write", "anna", "nowhere", { text = "x" }).status)
      assert.equal(404, ask("GET", "/docs/nowhere", "anna").status)
      assert.equal(400, call("read", "anna").status)
      assert.equal(400, call("read", "anna", "a%00b").status)
      assert.equal(404, call("read", "anna", ("n"):rep(2000)).status)
      make "deleted"
      assert.equal(204, ask("DELETE", "/docs/deleted", "anna").status)
      assert.equal(404, call("read", "anna", "deleted").status)
    end)

    it("has been durable when it was answered", function()
      make "durable"
      assert.equal(200, call("write", "anna", "durable", { text = "kept " }).status)
      world:kill()
      world:wait(function() return world.server:ended() end, "the end", 20)
      world:start()
      assert.equal("kept hello", content "durable")
    end)
  end)
end
