-- Nothing of the definition may be missing in specs of plugins: every function of the library is there in t.instance and
-- t.app, what waits is answered in t.app, and every method of a view is faked or listed here with its reason.
local t = require "moonloom.test"
local all = require("moonloom.defs.read").all()

local NEEDS = { "cache", "kv", "limiter", "doc.read", "doc.write", "cluster", "sessions", "secrets.reveal" }

--- A plugin in a folder of its own, beside those that ship.
local function plugin(code)
  local dir = os.tmpname()
  os.remove(dir)
  os.execute(("mkdir -p '%s/every'"):format(dir))
  local function write(name, text)
    local file = assert(io.open(dir .. "/every/" .. name, "w"))
    file:write(text)
    file:close()
  end
  local needs = {}
  for i, need in ipairs(NEEDS) do needs[i] = ("%q"):format(need) end
  write("plugin.lua", ([[return { name = "every", version = "1.0.0", api = 1, summary = "of a spec", rpc_prefix = "every",
    needs = { %s, http = { "api.example" } }, hooks = { rpc = { ["every.call"] = {} }, jobs = { later = {} }, tasks = { count = {} } } }]])
    :format(table.concat(needs, ", ")))
  write("init.lua", code)
  return dir
end

--- A call for every function that waits; each answers something that is not nil and no failure.
local WAITS = {
  ["ml.kv.get"] = [[ml.kv.set("a", 1) return ml.kv.get("a")]],
  ["ml.kv.set"] = [[return ml.kv.set("a", 1)]],
  ["ml.kv.delete"] = [[return ml.kv.delete("a")]],
  ["ml.kv.incr"] = [[return ml.kv.incr("n")]],
  ["ml.kv.scan"] = [[ml.kv.set("s/1", 5) for _, value in ml.kv.scan("s/") do return value end]],
  ["ml.kv.txn"] = [[return ml.kv.txn(function(tx) tx:set("b", 2) return 2 end)]],
  ["ml.cache.once"] = [[return ml.cache.once("k", "1m", function() return 1 end)]],
  ["ml.cluster.publish"] = [[return (ml.cluster.publish("topic", 1))]],
  ["ml.cluster.once"] = [[return ml.cluster.once("k", "1m", function() return 1 end)]],
  ["ml.cluster.nodes"] = [[return ml.cluster.nodes()[1] ]],
  ["ml.jobs.push"] = [[return ml.jobs.push("later", {})]],
  ["ml.http.request"] = [[return ml.http.request({ method = "GET", url = "https://api.example/x" }).status]],
  ["ml.http.get"] = [[return ml.http.get("https://api.example/x").status]],
  ["ml.http.post"] = [[return ml.http.post("https://api.example/x", { json = {} }).status]],
  ["ml.http.put"] = [[return ml.http.put("https://api.example/x", { body = "x" }).status]],
  ["ml.http.delete"] = [[return ml.http.delete("https://api.example/x").status]],
  ["ml.sessions.list"] = [[return #ml.sessions.list {}]],
  ["ml.sessions.revoke"] = [[return ml.sessions.revoke { user = "ben" }]],
  ["ml.sessions.recheck"] = [[return ml.sessions.recheck { user = "ana" }]],
  ["ml.sessions.notify"] = [[return ml.sessions.notify { user = "ana", code = "hello" }]],
  ["ml.docs.create"] = [[return ml.docs.create("made", { content = "hi" })]],
  ["ml.docs.get"] = [[ml.docs.create("made", { content = "hi" }) return ml.docs.get("made", "content")]],
  ["ml.docs.list"] = [[ml.docs.create("made") return ml.docs.list({ prefix = "ma" })[1].id]],
  ["ml.docs.apply"] = [[ml.docs.create("made") return ml.docs.apply("made", { { "text.insert", "content", 0, "x" } })]],
  ["ml.docs.run"] = [[ml.docs.create("made", { content = "four" }) return ml.docs.run("made", "count", { root = "content" })]],
  ["ml.docs.usage"] = [[ml.docs.create("made") return ml.docs.usage().documents]],
  ["ml.docs.delete"] = [[ml.docs.create("made") return ml.docs.delete("made")]],
  ["ml.all"] = [[return ml.all({ function() return 1 end })]],
  ["ml.race"] = [[return ml.race({ function() return 1 end })]],
  ["ml.deadline"] = [[return ml.deadline(1, function() return 1 end)]],
  ["ml.shield"] = [[return ml.shield(function() return 1 end)]],
}

local function code(body)
  return ([[
    local ml = require "moonloom"
    local P = {}
    P.rpc = { ["every.call"] = function(self, args, call)
      %s
    end }
    P.jobs = { later = function() end }
    P.tasks = { count = function(self, doc, args) return doc:text(args.root):len() end }
    return P
  ]]):format(body)
end

--- Names of the library, as Lua would find them.
local function members()
  local out = {}
  for path, one in pairs(all.functions) do if one.since and path:find "^ml%." then out[#out + 1] = path end end
  table.sort(out)
  return out
end

-- Answers the names that are not there.
local function look(paths)
  local lines = { "local missing = {}" }
  for _, path in ipairs(paths) do
    local at = path:gsub("^ml%.", "")
    lines[#lines + 1] = ("do local at = ml for part in (%q):gmatch '[^.]+' do at = at ~= nil and at[part] end if at == nil then missing[#missing + 1] = %q end end")
      :format(at, path)
  end
  lines[#lines + 1] = "return { missing = missing }"
  return table.concat(lines, "\n")
end

describe("the definition of the library", function()
  local before, dirs = t.plugins_dir, {}
  local function use(body)
    t.plugins_dir = plugin(code(body))
    dirs[#dirs + 1] = t.plugins_dir
  end
  after_each(function()
    t.plugins_dir = before
    for _, dir in ipairs(dirs) do os.execute(("rm -rf '%s'"):format(dir)) end
    dirs = {}
  end)

  it("is there in t.instance", function()
    assert.is_true(#members() > 80)
    use(look(members()))
    local p = t.instance "every"
    assert.same({}, p:rpc("every.call", t.call {}).missing)
    p:close()
  end)

  it("is there in t.app", function()
    use(look(members()))
    local app = t.app { plugins = { "every" } }
    assert.same({}, app:client { user = "ana", doc = "d" }:rpc("every.call").missing)
    app:close()
  end)

  it("is answered in t.app, all that waits", function()
    local waits = {}
    for path, one in pairs(all.functions) do if one.since and one.waits then waits[#waits + 1] = path end end
    table.sort(waits)
    for _, path in ipairs(waits) do
      local body = WAITS[path] or error(path .. " waits and is called nowhere in this spec: is it answered in t.app?")
      use(body)
      local app = t.app { plugins = { "every" } }
      for _, method in ipairs { "GET", "POST", "PUT", "DELETE" } do app.http:on(method, "https://api.example/x"):reply(200, "fine") end
      local ana = app:client { user = "ana", doc = "d" }
      app:client { user = "ben", doc = "d" }
      local value, kind, text = ana:rpc "every.call"
      assert(value ~= nil, ("%s: %s %s"):format(path, tostring(kind), tostring(text)))
      app:close()
    end
  end)

  it("says where it can be called when one hook alone cannot wait", function()
    use [[return ml.kv.get("a")]]
    local p = t.instance "every"
    assert.error_matches(function() p:rpc("every.call", t.call {}) end, "t.app")
    p:close()
  end)

  it("is reached by every method over HTTP, and by rpc", function()
    use [[return 1]]
    local app = t.app { plugins = { "every" } }
    local ana = app:client { user = "ana", doc = "d" }
    assert.equal(404, ana:get("/x/every/none").status)
    assert.equal(404, ana:put("/x/every/none", {}).status)
    assert.equal(404, ana:patch("/x/every/none", {}).status)
    assert.equal(404, ana:delete("/x/every/none").status)
    assert.equal(1, ana:rpc "every.call")
    app:close()
  end)
end)

--- Methods that one hook alone cannot fake: what they answer is made by the whole server.
-- Content of t.doc is plain data: it has no elements and no blocks.
local function is_only_in_app(class, path) return class == "moonloom.DocXml" or path == "DocText:block_at" end

describe("the definition of views", function()
  it("is faked in specs of one hook, method by method", function()
    local p = t.instance "hello"
    local fakes = t.internal.fakes(p)
    p:close()
    local missing, extra = {}, {}
    for _, class in ipairs(all.classes) do
      for _, method in ipairs(class.methods) do
        local path = class.class:gsub("^moonloom%.", "") .. ":" .. method.name
        local has = fakes[class.class] and fakes[class.class][method.name]
        if method.since and not has and not is_only_in_app(class.class, path) and class.c then missing[#missing + 1] = path end
        if has and is_only_in_app(class.class, path) and class.class ~= "moonloom.DocXml" then extra[#extra + 1] = path end
      end
    end
    table.sort(missing)
    assert.same({}, missing)
    assert.same({}, extra)
  end)
end)
