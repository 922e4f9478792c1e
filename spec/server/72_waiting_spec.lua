-- Plugins that wait in the real process: the store, time, requests to the outside.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

describe("plugins that wait", function()
  local world, folder

  local function write(name, manifest, code)
    folder = folder or process.folder()
    World.plugin(folder, name, {
      ["plugin.lua"] = ("return { name = %q, version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, manifest),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = { rpc = {}, routes = {}, jobs = {}, cron = {} }\n" .. code .. "\nreturn P\n",
    })
  end

  local function start(name, extra)
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { [%q] = {} }\nloops = 2\nlog = 'info'\n%s"):format(name, extra or ""),
    }
  end

  --- Wait until the log says so; every match of `pattern`.
  local function logged(pattern)
    local function read()
      local f = assert(io.open(world.log))
      local text = f:read "*a" or ""
      f:close()
      text = text:gsub("\\x(%x%x)", function(h) return string.char(tonumber(h, 16)) end)
      return text:match(pattern)
    end
    local ok, why = pcall(world.wait, world, read, "the log: " .. pattern)
    if not ok then error(why .. "\n" .. process.read(world.log):sub(-1500)) end
    return read()
  end

  after_each(function()
    world:close()
    folder = nil
  end)
  teardown(process.clean)

  it("keep what they write, and count together on several loops", function()
    write("counter", "needs = { 'kv' }, hooks = { before_update = {} }", [[
      function P:before_update(u)
        local name = u.doc.id
        ml.spawn(function()
          local n = ml.kv.incr("sum")
          ml.kv.set("seen/" .. name, { n = n }, { ttl = "1h" })
          local names = {}
          for key in ml.kv.scan("seen/") do names[#names + 1] = key:sub(6) end
          ml.log.info("sum=" .. n .. ",names=" .. table.concat(names, ","))
        end)
      end
    ]])
    start "counter"
    for i = 1, 4 do world:client("c" .. i):joins("doc" .. i):types(0, "x"):is_acknowledged() end
    logged "sum=4"
    local rows = world:sql "SELECT CAST(value AS TEXT) FROM kv WHERE org = 'default' AND CAST(key AS TEXT) = 'sum'"
    assert.same({ "4" }, rows)
    world:stop()
    world:start()
    world:client("later"):joins("doc5"):types(0, "x"):is_acknowledged()
    assert.equal("doc1,doc2,doc3,doc4,doc5", logged "sum=5,names=([%w,]+)")
  end)

  it("run timers without anybody knocking, and stop with the server", function()
    write("ticker", "hooks = { before_update = {} }", [[
      function P:setup() ml.timer.every("20ms", function() self.state.n = (self.state.n or 0) + 1 ml.log.info("tick=" .. self.state.n) end) end
      function P:before_update() end
    ]])
    start "ticker"
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    logged "tick=5"
  end)

  -- ---- Work ----------------------------------------------------------------------------------------------

  --- A web server beside ours: its port, and what it was asked so far.
  local function sink(...)
    local file = process.folder() .. "/requests"
    local server = process.spawn({ "luajit", World.ROOT .. "/spec/support/lua/sink.lua", file, ... }, { log = process.folder() .. "/sink" })
    local port = server:prints "(%d+)\n"
    return port, function()
      local all, f = {}, io.open(file)
      if not f then return all end
      for line in f:lines() do all[#all + 1] = cjson.decode(line) end
      f:close()
      return all
    end
  end

  local LOOPBACK = "outgoing = { '127.0.0.0/8' }"

  it("deliver by jobs, again with the same key when the other side fails", function()
    local port, requests = sink("503", "200")
    write("sender", "needs = { http = { '127.0.0.1' } }, hooks = { before_update = {}, jobs = { deliver = { backoff = '100ms..1s' } } }", ([[
      function P:before_update(u)
        local id = u.doc.id
        ml.spawn(function() ml.jobs.push("deliver", { text = id }) end)
      end
      function P.jobs.deliver(self, args, job)
        local res, kind = ml.http.post("http://127.0.0.1:%s/hook", { json = args, idempotency_key = job.id, sign = { header = "X-Signed", key = "k" } })
        if not res then return ml.retry(kind) end
        if res.status ~= 200 then return ml.retry("status " .. res.status) end
        ml.log.info("delivered=" .. res.body .. "," .. job.try)
      end
    ]]):format(port))
    start("sender", LOOPBACK)
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    assert.equal("answer 2,2", logged "delivered=([^\n]+)")
    local all = requests()
    assert.equal(2, #all)
    assert.equal("POST /hook HTTP/1.1", all[1].first)
    assert.equal('{"text":"notes"}', all[1].body)
    assert.equal("application/json", all[1].headers["content-type"])
    assert.equal(32, #all[1].headers["idempotency-key"])
    assert.equal(all[1].headers["idempotency-key"], all[2].headers["idempotency-key"])
    assert.truthy(all[1].headers["x-signed"]:find "^t=%d+,v1=%x+$")
    world:wait(function() return #world:sql "SELECT 1 FROM jobs" == 0 end, "an empty queue")
  end)

  it("reach no private address that the operator has not listed, and no host that the manifest has not", function()
    local port, requests = sink "200"
    write("prober", "needs = { http = { '127.0.0.1', 'localhost', '[::1]' } }, hooks = { before_update = {} }", ([[
      function P:before_update()
        ml.spawn(function()
          for _, host in ipairs { "127.0.0.1", "localhost", "[::1]" } do
            local res, kind = ml.http.get("http://" .. host .. ":%s/")
            ml.log.info("probe=" .. tostring(res) .. "," .. tostring(kind))
          end
          local ok, why = pcall(ml.http.get, "http://169.254.169.254/")
          ml.log.info("meta=" .. tostring(why:find('needs http = { "169.254.169.254" }', 1, true) ~= nil))
          ok, why = pcall(ml.http.get, "http://127.0.0.1@evil.example/")
          ml.log.info("user=" .. tostring(why:find("not an address", 1, true) ~= nil))
          ml.log.info("end=1")
        end)
      end
    ]]):format(port))
    start "prober"
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    logged "end=1"
    assert.equal("nil,EDENIED", logged "probe=([^\n]+)")
    assert.falsy(process.read(world.log):find("probe=table", 1, true))
    assert.equal("true", logged "meta=(%a+)")
    assert.equal("true", logged "user=(%a+)")
    assert.equal(0, #requests())
  end)

  it("look at every redirect anew", function()
    local second, asked = sink "200"
    local port, requests = sink("302 http://localhost:" .. second .. "/next", "302 http://127.0.0.1:" .. second .. "/next")
    write("follower", "needs = { http = { '127.0.0.1' } }, hooks = { before_update = {} }", ([[
      function P:before_update()
        ml.spawn(function()
          local ok, why = pcall(ml.http.get, "http://127.0.0.1:%s/")
          ml.log.info("away=" .. tostring(tostring(why):find('needs http = { "localhost" }', 1, true) ~= nil))
          local res = ml.http.get("http://127.0.0.1:%s/", { headers = { Authorization = "secret" } })
          ml.log.info("here=" .. res.status .. res.body)
        end)
      end
    ]]):format(port, port))
    start("follower", LOOPBACK)
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    assert.equal("true", logged "away=(%a+)")
    assert.equal("200answer 1", logged "here=([^\n]+)")
    assert.equal(2, #requests())
    assert.equal(1, #asked())
  end)

  it("run by the clock, once for all loops", function()
    write("clock", "needs = { 'kv' }, hooks = { cron = { tick = { every = '1s' } } }", [[
      function P.cron.tick(self, run)
        local n = ml.kv.incr("runs")
        ml.log.info(("run=%d,%d"):format(n, run.at * 1000))
      end
    ]])
    start "clock"
    logged "run=3,"
    local times, last = {}, 0
    for at in process.read(world.log):gsub("\\x(%x%x)", function(h) return string.char(tonumber(h, 16)) end):gmatch "run=%d+,(%d+)" do
      assert.is_true(tonumber(at) > last)
      last = tonumber(at)
      times[#times + 1] = last
    end
    assert.is_true(#times >= 3)
  end)

  it("lose no job when the process is killed between its work and its end, and double nothing that a transaction wrote", function()
    write("worker", "needs = { 'kv' }, hooks = { before_update = {}, jobs = { add = { concurrency = 8 } } }", [[
      function P:before_update(u)
        ml.spawn(function()
          ml.kv.txn(function(tx) for i = 1, 20 do tx:push("add", { n = 1 }) end end)
          ml.log.info("pushed=1")
        end)
      end
      function P.jobs.add(self, args, job)
        ml.kv.txn(function(tx)
          if tx:get("done/" .. job.id) then return end
          tx:set("done/" .. job.id, true)
          tx:incr("sum", args.n)
        end)
      end
    ]])
    start "worker"
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    logged "pushed=1"
    for _ = 1, 5 do
      world.server:kill()
      world:start()
      socket.sleep(0.15)
    end
    world:wait(function() return #world:sql "SELECT 1 FROM jobs" == 0 end, "an empty queue", 20)
    assert.same({ "20" }, world:sql "SELECT CAST(value AS TEXT) FROM kv WHERE CAST(key AS TEXT) = 'sum'")
    assert.same({ "20" }, world:sql "SELECT count(*) FROM kv WHERE CAST(key AS TEXT) LIKE 'done/%'")
  end)

  describe("answer", function()
    before_each(function()
      write("board", [[needs = { 'kv' }, phase = 'auth', hooks = { authenticate = {},
        rpc = { ['board.add'] = { args = { { "n", type = "integer", required = true, min = 1 } }, roles = { "editor" } }, ['board.who'] = {} },
        routes = { ['GET /report/:name'] = { roles = { "admin" } }, ['POST /hook'] = { public = true, csrf = false, max_body = "1KiB" },
                   ['GET /boom'] = { public = true }, ['GET /slow'] = { public = true } } }]], [[
        function P:authenticate(req)
          if not req.token then return nil end
          return { user = req.token, roles = { req.token == "ana" and "admin" or "editor" } }
        end
        P.rpc["board.add"] = function(_, call)
          if call.args.n > 100 then return ml.deny("too_much", "Less, please.") end
          if call.args.n == 13 then return nil, "EUNLUCKY", "Not this one." end
          return { sum = ml.kv.incr("sum", call.args.n), by = call.identity.user }
        end
        P.rpc["board.who"] = function(_, call) return call.identity.roles end
        P.routes["GET /report/:name"] = function(_, req, res)
          local sum = ml.kv.get("sum")
          return res:header("X-Name", req.params.name):cookie("seen", "1"):json { sum = sum or 0, q = req.query.q }
        end
        P.routes["POST /hook"] = function(_, req, res)
          local data = req:json()
          ml.kv.set("hook", data)
          return res:status(201):text("got " .. data.a .. " from " .. tostring(req.headers["X-From"]))
        end
        P.routes["GET /boom"] = function() error("secret detail") end
        P.routes["GET /slow"] = function()
          local ok, why = pcall(function() for i = 1, 200 do ml.deadline("100ms", function() ml.race { function() for j = 1, 1e9 do ml.kv.get("x") end end } end) end end)
          ml.log.info("slow=" .. tostring(why):match("cancelled"))
          ml.kv.get("never")
        end
      ]])
      start "board"
    end)

    local function ask(method, path, token, body)
      local headers = { Authorization = token and "Bearer " .. token, ["Content-Type"] = body and "application/json", ["X-From"] = "spec" }
      local answer = http.request(world.port, method, path, headers, body)
      if answer.fields["content-type"] and answer.fields["content-type"]:find "json" then answer.json = cjson.decode(answer.body) end
      return answer
    end

    it("calls by name, their arguments checked and their roles", function()
      local rpc = "/api/v1/orgs/default/rpc/"
      local answer = ask("POST", rpc .. "board.add", "eve", '{"n":5}')
      assert.same({ 200, { sum = 5, by = "eve" } }, { answer.status, answer.json })
      assert.equal(7, ask("POST", rpc .. "board.add", "eve", '{"n":2}').json.sum)
      answer = ask("POST", rpc .. "board.add", "eve", '{"n":"x"}')
      assert.same({ 400, "EFORMAT" }, { answer.status, answer.json.error.code })
      answer = ask("POST", rpc .. "board.add", "eve", '{"n":101}')
      assert.same({ 403, "board.too_much" }, { answer.status, answer.json.error.code })
      answer = ask("POST", rpc .. "board.add", "eve", '{"n":13}')
      assert.same({ 422, "EUNLUCKY" }, { answer.status, answer.json.error.code })
      assert.equal(403, ask("POST", rpc .. "board.add", "ana", '{"n":1}').status)
      assert.same({ "admin" }, ask("POST", rpc .. "board.who", "ana").json)
      assert.equal(404, ask("POST", rpc .. "board.no", "ana").status)
      assert.equal(400, ask("POST", rpc .. "board.add", "eve", "{").status)
    end)

    it("routes below /x/, to whom they are for", function()
      local answer = ask("GET", "/x/board/report/q1?q=a%20b", "ana")
      assert.same({ 200, { sum = 0, q = "a b" } }, { answer.status, answer.json })
      assert.equal("q1", answer.fields["x-name"])
      assert.equal("no-store", answer.fields["cache-control"])
      assert.equal("seen=1; Path=/; HttpOnly; Secure; SameSite=Lax", answer.fields["set-cookie"])
      assert.equal(403, ask("GET", "/x/board/report/q1", "eve").status)
      assert.equal(404, ask("GET", "/x/board/report", "ana").status)
      assert.equal(404, ask("GET", "/x/other/report/q1", "ana").status)
      answer = ask("POST", "/x/board/hook", nil, '{"a":"b"}')
      assert.same({ 201, "got b from spec" }, { answer.status, answer.body })
      assert.equal(413, ask("POST", "/x/board/hook", nil, '{"a":"' .. ("b"):rep(2000) .. '"}').status)
      answer = ask("GET", "/x/board/boom")
      assert.same({ 500, "policy_unavailable" }, { answer.status, answer.json.error.code })
      assert.falsy(answer.body:find("secret", 1, true))
    end)

    it("each org with its own, below the org's address", function()
      local other = "/api/v1/orgs/other/x/board/"
      local answer = ask("GET", other .. "report/q1", "ana")
      assert.same({ 200, { sum = 0 } }, { answer.status, answer.json })
      assert.equal(200, ask("POST", "/api/v1/orgs/other/rpc/board.add", "eve", '{"n":7}').status)
      assert.equal(7, ask("GET", other .. "report/q1", "ana").json.sum)
      assert.equal(0, ask("GET", "/x/board/report/q1", "ana").json.sum)
      assert.equal(0, ask("GET", "/api/v1/orgs/default/x/board/report/q1", "ana").json.sum)
      assert.equal(201, ask("POST", other .. "hook", nil, '{"a":"b"}').status)
      assert.same({ "other" }, world:sql "SELECT org FROM kv WHERE CAST(key AS TEXT) = 'hook'")
      assert.equal(403, ask("GET", other .. "report/q1", "eve").status)
      for _, address in ipairs { "other/x/board/no", "other/x/", "other/x", "OTHER/x/board/report/q1", "/x/board/report/q1", "a%2Fb/x/board/report/q1", "x/board/report/q1" } do
        assert.equal(404, ask("GET", "/api/v1/orgs/" .. address, "ana").status, address)
      end
    end)

    it("and stop when the client has gone", function()
      local sock = assert(socket.tcp())
      assert(sock:connect("127.0.0.1", world.port))
      sock:send("GET /x/board/slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
      socket.sleep(0.3)
      sock:close()
      assert.equal("cancelled", logged "slow=(%a+)")
    end)
  end)
end)
