-- Specs of one hook: what the views do, what the harness checks by itself. The plugin is written here.
local t = require "moonloom.test"

local DIR

local function plugin(name, manifest, code)
  os.execute(("mkdir -p '%s/%s'"):format(DIR, name))
  local f = assert(io.open(("%s/%s/plugin.lua"):format(DIR, name), "wb"))
  f:write(('return { name = %q, version = "1.0.0", api = 1, phase = "validate", %s }'):format(name, manifest))
  f:close()
  f = assert(io.open(("%s/%s/init.lua"):format(DIR, name), "wb"))
  f:write('local ml = require "moonloom"\nlocal P = {}\n' .. code .. "\nreturn P\n")
  f:close()
  return t.instance(name)
end

describe("one hook", function()
  local plugins_dir = t.plugins_dir
  setup(function()
    local f = assert(io.popen("mktemp -d"))
    DIR = f:read("*l")
    f:close()
    t.plugins_dir = DIR
  end)
  teardown(function()
    t.plugins_dir = plugins_dir
    os.execute("rm -rf '" .. DIR .. "'")
  end)

  local ALL = "hooks = { before_update = true }"

  it("sees what an update has", function()
    local p = plugin("sees", ALL, [[
function P:before_update(u)
  local e = u:edits("map.set")()
  local out = { u.author.user, u.author:has_role("lead"), u.origin, u.inserted, u.inserted_bytes, u.keys, u.deleted, e.path, e.key, e.value,
                u:touches("meta"), u:touches("x/**"), u.doc.id, u.doc:get("meta/title"), u.doc:text("body"):slice(1, 2) }
  for i = 1, 15 do out[i] = tostring(out[i]) end
  return ml.deny("seen", table.concat(out, " "))
end]])
    local answer = p:before_update(t.update { { "text.insert", path = "body", text = "añ😀" }, { "map.set", path = "meta", key = "title", value = "x" },
      author = { user = "eve", roles = { "lead" } }, origin = "sync", doc = { id = "n/2", content = { meta = { title = "T" }, body = "hello" } } })
    assert.equal("eve true sync 4 8 1 0 meta title x true false n/2 T el", answer.reason)
  end)

  it("takes down what the plugin did", function()
    local p = plugin("does", ALL, [[
function P.before_update(_, u)
  for e in u:edits("text.insert") do
    if e.text == "bad" then u:undo(e, "no", "No.") elseif e.text == "out" then u:remove(e) else u:replace(e, e.text:upper()) end
  end
  u:amend(function(tx) tx:map("meta"):set("checked", true) end)
  u:label("seen", 1)
end]])
    local u = t.update { { "text.insert", path = "a", text = "bad" }, { "text.insert", path = "a", text = "ok" }, { "text.insert", path = "a", text = "out" } }
    assert.is_nil(p:before_update(u))
    assert.same({ "OK" }, u.replaced)
    assert.equal("no", u.undone[1].code)
    assert.equal("out", u.removed[1].text)
    assert.same({ { "map.set", "meta", "checked", true } }, u.amended)
    assert.same({ seen = 1 }, u.labels)
  end)

  it("is asked only when the filters of the manifest fit", function()
    local p = plugin("filtered", 'hooks = { before_update = { kinds = { "text" }, paths = { "content/**" }, min_bytes = 10 } }',
      'function P.before_update() return ml.deny("asked", "Asked.") end')
    local function try(...) return p:before_update(t.update { ... }) end
    assert.denied("asked", try { "text.insert", path = "content/body", text = ("x"):rep(20) })
    assert.is_nil(try { "text.insert", path = "other/body", text = ("x"):rep(20) })
    assert.is_nil(try { "map.set", path = "content/body", key = "a", value = ("x"):rep(20) })
  end)

  it("lets views expire", function()
    local p = plugin("keeps", ALL, [[
function P:before_update(u)
  if self.state.u then return ml.deny("still", tostring(pcall(function() return self.state.u.bytes end))) end
  self.state.u = u
end]])
    local u = t.update {}
    assert.is_nil(p:before_update(u))
    assert.equal("false", p:before_update(u).reason)
  end)

  it("refuses fields that are not there, writes to views and globals", function()
    local p = plugin("typo", ALL, "function P.before_update(_, u) return u.atuhor end")
    assert.error_matches(function() p:before_update(t.update {}) end, "update has no such field: 'atuhor'; it has amend, ", 1, true)
    p = plugin("writes", ALL, "function P.before_update(_, u) u.bytes = 1 end")
    assert.error_matches(function() p:before_update(t.update {}) end, "a view is read-only", 1, true)
    p = plugin("global", ALL, "function P.before_update() count = 1 end")
    assert.error_matches(function() p:before_update(t.update {}) end, "global write: 'count'", 1, true)
  end)

  it("stops what never ends", function()
    local p = plugin("endless", ALL, "function P.before_update() while true do end end")
    assert.has_error(function() p:before_update(t.update {}) end)
  end)

  it("says of typing errors in specs what they are", function()
    assert.error_matches(function() t.update { { "text.insrt", path = "a" } } end, "'text.insrt' is no kind of edit", 1, true)
    assert.error_matches(function() t.update { auhtor = {} } end, "t.update: unknown key 'auhtor'", 1, true)
    assert.error_matches(function() t.ask { doc = "a" } end, "t.ask: unknown key 'doc'; it takes action, doc_id, ", 1, true)
    assert.error_matches(function() t.identity { role = "editor" } end, "t.identity: unknown key 'role'", 1, true)
    assert.error_matches(function() t.app { plugins = { hello = true } } end, 't.app: plugins["hello"] must be a table', 1, true)
    assert.error_matches(function() t.app { plugins = { { "hello", conifg = {} } } } end, "t.app: unknown key 'conifg' of a plugin", 1, true)
    t.plugins_dir = plugins_dir
    local ok, wrong = pcall(t.instance, "hello", { config = {} })
    t.plugins_dir = DIR
    assert.is_false(ok)
    assert.matches("give the settings themselves", wrong, 1, true)
    assert.error_matches(function() t.conflict { kee = "x" } end, "t.conflict: unknown key 'kee'", 1, true)
    local p = plugin("plain", ALL, "function P.before_update() end")
    assert.error_matches(function() p:befor_update(t.update {}) end, "the plugin has no befor_update", 1, true)
  end)

  it("measures hooks", function()
    local p = plugin("slow", ALL, "function P.before_update(_, u) local n = 0 for i = 1, u.bytes do n = n + i end end")
    assert.within_budget(function() p:before_update(t.update { bytes = 1 }) end)
    assert.not_within_budget(function() p:before_update(t.update { bytes = 3e6 }) end)
  end)

  it("counts what the manifest declares", function()
    local p = plugin("counts", [[hooks = { before_update = true }, metrics = { seen = { type = "counter", help = "Seen", labels = { how = { "ok", "bad" } } },
      size = { type = "histogram", help = "Size" } }]], [[
function P:before_update(u)
  self.metrics.seen:add(2, { how = u.origin == "sync" and "bad" or "ok" })
  self.metrics.size:observe(u.bytes)
  if u.origin == "import" then self.metrics.seen:add(1, { how = "other" }) end
  if u.bytes == 1 then self.metrics.sene:add(1) end
  if u.bytes == 2 then self.metrics.size:add(1) end
end]])
    p:before_update(t.update { bytes = 10 })
    p:before_update(t.update { bytes = 20, origin = "sync" })
    assert.same({ seen = { ["how=ok"] = 2, ["how=bad"] = 2 }, size = { [""] = { count = 2, sum = 30 } } }, p.metrics)
    assert.error_matches(function() p:before_update(t.update { origin = "import" }) end, "metrics.seen: the label how may not be 'other'", 1, true)
    assert.error_matches(function() p:before_update(t.update { bytes = 1 }) end, "declares no metric 'sene', did you mean 'seen'?", 1, true)
    assert.error_matches(function() p:before_update(t.update { bytes = 2 }) end, "metrics.size is a histogram, it has no add", 1, true)
  end)

  it("begins with the state it is given", function()
    local p = plugin("stateful", ALL, 'function P:before_update() if self.state.closed then return ml.deny("closed", "Closed.") end end')
    assert.is_nil(p:before_update(t.update {}))
    assert.denied("closed", t.instance("stateful", nil, { state = { closed = true } }):before_update(t.update {}))
  end)
end)

describe("helpers", function()
  it("orders gives every order once", function()
    local seen, n = {}, 0
    for order in t.orders { "a", "b", "c" } do
      n = n + 1
      seen[table.concat(order)] = true
    end
    assert.equal(6, n)
    assert.is_true(seen.abc and seen.cba and seen.bac)
  end)

  it("property makes failures small", function()
    local ok, wrong = pcall(t.property, function(random)
      local list = {}
      for i = 1, random(0, 30) do list[i] = random(0, 100) end
      return list
    end, function(list)
      for _, n in ipairs(list) do assert(n < 50, "too large") end
    end)
    assert.is_false(ok)
    assert.matches("^.*for %[50%] %(seed 1, run %d+%): .*too large$", type(wrong) == "table" and wrong.message or wrong)
    t.property(function(random) return random(1, 5) end, function(n) assert(n >= 1 and n <= 5) end)
  end)

  it("granted knows rights and paths", function()
    local grant = { kind = "grant", read = true, write = { "content/**", "comments/{user}/**" } }
    assert.granted("read", grant)
    assert.granted("content/a", grant)
    assert.granted("comments/ana/1", grant)
    assert.not_granted("comments/ben/1", grant)
    assert.not_granted("history", grant)
  end)
end)
