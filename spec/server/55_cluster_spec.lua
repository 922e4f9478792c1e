-- ml.cluster on two nodes over one PostgreSQL. Run by spec/support/with-postgres and with-redis: over both buses.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local MANIFEST = [[return { name = '%s', version = '1.0.0', api = 1, summary = 'of a spec', needs = { "cluster", "cache" },
  hooks = { cluster_event = {}, rpc = { ["%s.ask"] = { args = { { "what", type = "string", required = true }, { "text", type = "string" }, { "times", type = "integer" } } } } } }]]

-- What one state heard all loops of the node know.
local CODE = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  function P:setup()
    ml.cluster.subscribe("news", function(data) ml.cache.incr("heard:" .. data.text) end)
  end
  function P:cluster_event(e)
    if e.kind == "draining" then ml.log.warn "draining;told." end
    ml.cache.incr(("heard:%%s %%s"):format(e.kind, e.node or ""))
  end
  P.rpc["%s.ask"] = function(self, call)
    local what, text = call.args.what, call.args.text
    if what == "say" then
      local ok, kind = ml.cluster.publish("news", { text = text, more = ("x"):rep(call.args.times or 0) })
      return { ok = ok or false, kind = kind }
    end
    if what == "heard" then return { times = ml.cache.get("heard:" .. text) or 0 } end
    if what == "once" then
      local mine, kind = ml.cluster.once(text, "1m", function() return "mine" end)
      return { mine = mine == "mine", kind = kind }
    end
    return { node = ml.cluster.node, nodes = ml.cluster.nodes() }
  end
  return P
]]

for _, bus in ipairs { "redis", "postgres" } do
  describe("ml.cluster over " .. bus, function()
    local worlds, here, there = {}, nil, nil

    local function ask(world, what, text, more)
      more = more or {}
      local plugin = more.plugin or "one"
      local answer = http.request(world.port, "POST", ("/api/v1/orgs/%s/rpc/%s.ask"):format(more.org or "default", plugin),
        { ["Content-Type"] = "application/json" }, cjson.encode { what = what, text = text, times = more.times })
      assert.equal(200, answer.status, answer.body)
      return cjson.decode(answer.body)
    end

    local function node(store)
      local folder = process.folder()
      for _, name in ipairs { "one", "two" } do
        World.plugin(folder, name, { ["plugin.lua"] = MANIFEST:format(name, name), ["init.lua"] = CODE:format(name) })
      end
      local address = bus == "redis" and "redis://127.0.0.1:" .. os.getenv "MOONLOOM_TEST_REDIS" or "postgres"
      local world = World.new {
        args = { "--plugins", folder, "--store", store, "--bus", address }, config = "plugins = { one = {}, two = {} }\nloops = 2",
      }
      worlds[#worlds + 1] = world
      return world
    end

    -- Following and telling are two lines: said until it is heard, as what is a hint has to be.
    local function hears(world, from, more)
      local said = 0
      local last = 0
      world:wait(function()
        if os.time() ~= last then
          last, said = os.time(), said + 1
          ask(from, "say", "hello " .. said, more)
        end
        for i = 1, said do
          if ask(world, "heard", "hello " .. i, more).times > 0 then return true end
        end
      end, "the other node hears it", 20)
    end

    setup(function()
      local pg = os.getenv "MOONLOOM_TEST_PG"
      assert(pg and os.getenv "MOONLOOM_TEST_REDIS", "run this with spec/support/with-postgres and with-redis")
      local name = ("cluster_%s_%d_%d"):format(bus, os.time(), math.random(1000))
      assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE " .. name } == 0)
      local store = ("postgres:///%s?host=%s&user=moonloom"):format(name, pg:match "host=(%S+)")
      here, there = node(store), node(store)
    end)
    teardown(function()
      for _, world in ipairs(worlds) do world:close() end
      process.clean()
    end)

    it("names the nodes that are there, each once", function()
      local own, other = ask(here, "nodes").node, ask(there, "nodes").node
      assert.truthy(own:match "^%x+$" and other:match "^%x+$" and own ~= other)
      for world, first in pairs { [here] = own, [there] = other } do
        world:wait(function() return #ask(world, "nodes").nodes == 2 end, "two nodes are known", 20)
        local names = ask(world, "nodes").nodes
        assert.equal(first, names[1])
        assert.equal(first == own and other or own, names[2])
      end
      assert.equal(own, ask(here, "nodes").node)
    end)

    it("tells the same plugin of the same org on the other node, and nobody else", function()
      for _, world in ipairs { here, there } do
        ask(world, "heard", "nothing", { org = "acme" })
        ask(world, "heard", "nothing", { plugin = "two" })
      end
      hears(there, here)
      hears(here, there)
      hears(there, here, { org = "acme" }) -- it could hear, and so could that plugin
      hears(there, here, { plugin = "two" })
      assert.is_true(ask(here, "say", "secret").ok)
      there:wait(function() return ask(there, "heard", "secret").times > 0 end, "it is heard", 20)
      assert.is_true(ask(here, "say", "the end", { org = "acme" }).ok)
      assert.is_true(ask(here, "say", "the end", { plugin = "two" }).ok)
      there:wait(function()
        return ask(there, "heard", "the end", { org = "acme" }).times > 0 and ask(there, "heard", "the end", { plugin = "two" }).times > 0
      end, "what came after it is heard", 20)
      for _, world in ipairs { here, there } do
        assert.equal(0, ask(world, "heard", "secret", { org = "acme" }).times)
        assert.equal(0, ask(world, "heard", "secret", { plugin = "two" }).times)
        assert.is_true(ask(world, "heard", "secret").times <= 2) -- one state in each loop
      end
    end)

    it("carries what fits and refuses what does not", function()
      local most = bus == "redis" and 65000 or 4900
      assert.is_true(ask(here, "say", "large", { times = most }).ok)
      there:wait(function() return ask(there, "heard", "large").times > 0 end, "the large one is heard", 20)
      assert.same({ ok = false, kind = "ELIMIT" }, ask(here, "say", "too large", { times = bus == "redis" and 65536 or 5000 }))
    end)

    it("does a thing once", function()
      assert.is_true(ask(here, "once", "k").mine)
      assert.same({ mine = false, kind = "ECONFLICT" }, ask(there, "once", "k"))
      assert.is_true(ask(there, "once", "k", { plugin = "two" }).mine)
    end)

    it("tells plugins of nodes that come and go, of the bus, and of its own end", function()
      local own, other = ask(here, "nodes").node, ask(there, "nodes").node
      local function told(world, kind, id)
        world:wait(function() return ask(world, "heard", kind .. " " .. (id or "")).times > 0 end, kind .. " is told", 30)
      end
      told(here, "node_up", other)
      told(there, "node_up", own)
      assert.equal(0, ask(here, "heard", "node_up " .. own).times)
      assert.equal(0, ask(here, "heard", "node_down " .. other).times)
      if bus == "redis" then
        local redis = os.getenv "MOONLOOM_TEST_REDIS_PID"
        assert(process.run { "kill", "-STOP", redis } == 0)
        local ok, why = pcall(told, here, "bus_degraded")
        assert(process.run { "kill", "-CONT", redis } == 0)
        assert(ok, why)
        told(here, "bus_ok")
      end
      there:stop()
      assert.truthy(process.read(there.log):find("draining;told.", 1, true))
      told(here, "node_down", other)
      there:start()
      there:wait(function() return #ask(here, "nodes").nodes == 2 end, "two nodes are known", 20)
    end)

    it("forgets a node that has left", function()
      there.server:signal(15)
      here:wait(function() return #ask(here, "nodes").nodes == 1 end, "it is gone", 20)
    end)
  end)
end
