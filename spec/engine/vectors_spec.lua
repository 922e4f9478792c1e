-- Every case of the vectors that concerns documents and updates, at the strict level: bytes.
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"

local hex, unhex = vectors.hex, vectors.unhex

local function same_bytes(want_hex, got, what)
  assert.are.equal(want_hex, got and hex(got), what)
end

local function to_v1(bytes)
  return assert(engine.convert(bytes, "v2"))
end

local function is_empty(value)
  return type(value) == "table" and value ~= json.null and next(value) == nil
end

local function check_views(doc, case, what)
  for name, text in pairs(case.expected_text or {}) do
    local got = doc:read(name, "text")
    if got ~= case.also_allowed_text and not (type(case.also_allowed_text) == "table"
      and got == case.also_allowed_text[name]) then
      assert.are.equal(text, got, what .. " text of " .. name)
    end
  end
  for name, xml in pairs(case.expected_xml or {}) do
    assert.are.equal(xml, doc:read(name, "xml"), what .. " xml of " .. name)
  end
  for name, value in pairs(case.expected_json or {}) do
    local got = json.decode(doc:read(name, "json"))
    -- A root is untyped: one that is empty may show as a list or as an object.
    if not (is_empty(value) and is_empty(got)) then
      local same, where = json.same(vectors.plain(value), got)
      assert(same, ("%s json of %s: %s"):format(what, name, tostring(where)))
    end
  end
  for name, delta in pairs(case.expected_delta or {}) do
    local got = json.decode(doc:read(name, "delta"))
    for _, op in ipairs(got) do op.attributes = op.attributes or {} end
    local same, where = json.same(vectors.join_delta(delta), got)
    assert(same, ("%s delta of %s: %s"):format(what, name, tostring(where)))
  end
end

local function replay(case, updates)
  local doc = engine.new { gc = case.gc }
  for _, update in ipairs(updates) do
    assert(doc:apply(update))
    assert(doc:check())
  end
  return doc
end

-- Fisher and Yates with a generator of our own, so that a failure can be repeated.
local function shuffled(list, seed)
  local out, state = {}, seed
  for i, v in ipairs(list) do out[i] = v end
  for i = #out, 2, -1 do
    state = (state * 16807) % 2147483647
    local j = state % i + 1
    out[i], out[j] = out[j], out[i]
  end
  return out
end

local function reversed(list)
  local out = {}
  for i = #list, 1, -1 do out[#out + 1] = list[i] end
  return out
end

local function check_state(doc, case, what)
  same_bytes(case.state_vector_hex, doc:sv(), what .. " state vector")
  if case.state_v1_hex then
    same_bytes(case.state_v1_hex, doc:state(), what .. " state")
  end
  check_views(doc, case, what)
end

local function document_case(case)
  local v1, v2 = vectors.unhex_all(case.updates_v1_hex), vectors.unhex_all(case.updates_v2_hex)
  local from_v2 = {}
  for i, update in ipairs(v2) do from_v2[i] = to_v1(update) end

  -- One case can only be said in V2.
  local doc = replay(case, #v1 > 0 and v1 or from_v2)
  check_state(doc, case, "V1")
  if case.state_v1_hex then
    same_bytes(case.state_v2_hex, engine.state_v2(doc:state()), "state as V2")
    check_state(replay(case, { unhex(case.state_v1_hex) }), case, "reloaded")
    check_state(replay(case, { to_v1(unhex(case.state_v2_hex)) }), case, "reloaded from V2")
  end
  if #v2 > 0 then check_state(replay(case, from_v2), case, "V2") end
  -- Everything again changes nothing.
  local before = doc:state()
  for _, update in ipairs(v1) do
    local emitted = assert(doc:apply(update))
    assert.are.equal("", emitted)
    assert.is_true(doc:contains(update))
  end
  assert.are.equal(hex(before), hex(doc:state()))
end

-- Surrogate halves: which character is lost may depend on the order, so the order is kept there.
local function order_case(case)
  local v1 = vectors.unhex_all(case.updates_v1_hex)
  local merged = assert(engine.merge(v1))
  check_state(replay(case, { merged }), case, "merged")
  check_state(replay(case, reversed(v1)), case, "reversed")
  for seed = 1, 3 do
    check_state(replay(case, shuffled(v1, seed)), case, "shuffled " .. seed)
  end
  local twice = {}
  for _, update in ipairs(v1) do
    twice[#twice + 1] = update
    twice[#twice + 1] = update
  end
  check_state(replay(case, shuffled(twice, 7)), case, "twice and shuffled")
  -- One half by merge, the rest by what the state vector lacks.
  local half = {}
  for i = 1, math.floor(#v1 / 2) do half[i] = v1[i] end
  local doc = replay(case, { assert(engine.merge(half)) })
  if doc:stats().pending_structs == 0 then
    assert(doc:apply(assert(engine.diff(merged, doc:sv()))))
    check_state(doc, case, "half and diff")
  end
end

for _, name in ipairs { "basic", "text", "text-one-place", "format", "map", "array", "nested", "xml", "surrogate" } do
  describe("vectors " .. name, function()
    for _, case in ipairs(vectors.load(name).cases) do
      it("document: " .. case.name, function() document_case(case) end)
      if name ~= "surrogate" then
        it("orders: " .. case.name, function() order_case(case) end)
      end
    end
  end)
end

describe("vectors pending", function()
  for _, case in ipairs(vectors.load("pending").cases) do
    for _, format in ipairs { "v1", "v2" } do
      it(format .. ": " .. case.name, function()
        local doc = engine.new { gc = case.gc }
        for i, step in ipairs(case.steps) do
          local what = "step " .. i
          local update = unhex(step["apply_" .. format .. "_hex"])
          local emitted = assert(doc:apply(format == "v2" and to_v1(update) or update))
          assert(doc:check())
          same_bytes(step.state_vector_hex, doc:sv(), what)
          local stats = doc:stats()
          if step.has_pending ~= nil then
            assert.are.equal(step.has_pending, stats.pending_structs > 0, what .. " pending")
            assert.are.equal(step.has_pending_deletes, stats.pending_deletes > 0, what .. " pending deletes")
          end
          if step.emitted_v1_hex then
            assert.are.equal(table.concat(step.emitted_v1_hex), hex(emitted), what .. " emitted")
          end
          if step.state_v1_hex then same_bytes(step.state_v1_hex, doc:state(), what .. " state") end
          check_views(doc, step, what)
        end
      end)
      it(format .. " reloaded after every step: " .. case.name, function()
        local doc = engine.new { gc = case.gc }
        for i, step in ipairs(case.steps) do
          local update = unhex(step["apply_" .. format .. "_hex"])
          assert(doc:apply(format == "v2" and to_v1(update) or update))
          local again = engine.new { gc = case.gc }
          assert(again:apply(doc:state()))
          assert(again:check())
          assert.are.equal(hex(doc:state()), hex(again:state()), "step " .. i)
          doc = again
        end
      end)
    end
  end
end)

local function meta(update)
  local from, to = {}, {}
  for _, author in ipairs(assert(engine.authors(update))) do
    from[author.client], to[author.client] = author.from, author.to
  end
  return from, to
end

local function same_meta(want, got, what)
  local n = 0
  for k, v in pairs(want) do
    -- Either a list of pairs or an object keyed by client.
    local client, clock = k, v
    if type(v) == "table" then client, clock = v[1], v[2] end
    assert.are.equal(clock, got[tonumber(client)], what .. " of client " .. tostring(client))
    n = n + 1
  end
  local m = 0
  for _ in pairs(got) do m = m + 1 end
  assert.are.equal(n, m, what)
end

describe("vectors merge", function()
  for _, case in ipairs(vectors.load("merge").cases) do
    local v1, v2 = vectors.unhex_all(case.updates_v1_hex), {}
    it("merges V1: " .. case.name, function()
      same_bytes(case.merged_v1_hex, engine.merge(v1))
    end)
    it("merges V2: " .. case.name, function()
      for i, update in ipairs(case.updates_v2_hex) do v2[i] = to_v1(unhex(update)) end
      if #v2 == 1 then
        same_bytes(case.merged_v2_hex, unhex(case.updates_v2_hex[1]))
      else
        same_bytes(case.merged_v2_hex, engine.convert(assert(engine.merge(v2)), "v1"))
      end
    end)
    it("converts: " .. case.name, function()
      same_bytes(case.merged_v1_to_v2_hex, engine.convert(unhex(case.merged_v1_hex), "v1"))
      same_bytes(case.merged_v2_to_v1_hex, engine.convert(unhex(case.merged_v2_hex), "v2"))
    end)
    it("tells what it holds: " .. case.name, function()
      same_bytes(case.state_vector_of_merged_hex, engine.sv(unhex(case.merged_v1_hex)))
      local from, to = meta(unhex(case.merged_v1_hex))
      same_meta(case.meta_from, from, "from")
      same_meta(case.meta_to, to, "to")
    end)
    it("diffs: " .. case.name, function()
      assert.is_true(#case.diffs > 0)
      for _, row in ipairs(case.diffs) do
        local sv = unhex(row.state_vector_hex)
        same_bytes(row.diff_v1_hex, engine.diff(unhex(case.merged_v1_hex), sv))
        same_bytes(row.diff_v2_hex,
          engine.convert(assert(engine.diff(to_v1(unhex(case.merged_v2_hex)), sv)), "v1"))
      end
    end)
    it("means the same as one after the other: " .. case.name, function()
      local one, all = engine.new(), engine.new()
      assert(one:apply(unhex(case.merged_v1_hex)))
      for _, update in ipairs(v1) do assert(all:apply(update)) end
      assert(one:check())
      assert(all:check())
      assert.are.equal(hex(all:state()), hex(one:state()))
    end)
  end
end)

-- Every function that takes bytes from outside; answers what apply said.
local function try_everything(bytes, v)
  local update = bytes
  if v == 2 then
    local kind
    update, kind = engine.convert(bytes, "v2")
    if not update then return nil, kind end
  end
  local base = unhex("01010100040101740361626300")
  local doc = engine.new()
  assert(doc:apply(base))
  local before = doc:state()
  local emitted, why = doc:apply(update)
  assert(doc:check())
  if not emitted then assert.are.equal(hex(before), hex(doc:state()), "refused, but changed") end
  for _, root in ipairs(doc:roots()) do
    for _, view in ipairs { "text", "delta", "json", "xml" } do assert(doc:read(root, view)) end
  end
  local fresh = engine.new()
  local taken = fresh:apply(update)
  assert.are.equal(emitted ~= nil, taken ~= nil)
  assert(fresh:check())
  local ok = {
    merge = engine.merge { update }, twice = engine.merge { update, update }, base = engine.merge { base, update },
    sv = engine.sv(update), show = engine.show(update), diff = engine.diff(update, "\0"),
    convert = engine.convert(update, "v1"), split = engine.split(update, 16),
  }
  for name, result in pairs(ok) do
    if result and name ~= "show" and name ~= "sv" and name ~= "convert" and name ~= "split" then
      assert(engine.show(result), name)
    end
  end
  return emitted, why, ok
end

describe("vectors hostile", function()
  for _, case in ipairs(vectors.load("hostile").cases) do
    it(case.rule .. ": " .. case.name, function()
      local emitted, kind, others = try_everything(unhex(case.hex), case.v)
      if case.rule == "reject" then
        assert.is_nil(emitted)
        assert.is_true(kind == "EFORMAT" or kind == "ELIMIT", kind)
        for name, result in pairs(others or {}) do assert.is_falsy(result, name) end
      elseif case.rule ~= "limit" then
        assert.is_string(emitted, kind)
      end
    end)
  end
end)

describe("vectors mutated", function()
  for _, case in ipairs(vectors.load("mutated").cases) do
    it(case.name, function()
      local emitted = try_everything(unhex(case.hex), case.v)
      if case.yjs_decode == "throws" then assert.is_nil(emitted) end
    end)
  end
end)
