-- What a change did, type by type: told so that the view before and the events give the view after.
local any = require "support.any"
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"

local unhex = vectors.unhex

-- Characters of UTF-8 text, as UTF-16 counts them: a pair is a character and an empty one.
local function units(text)
  local out = {}
  for c in text:gmatch("[%z\1-\127\194-\244][\128-\191]*") do
    out[#out + 1] = c
    if #c == 4 then out[#out + 1] = "" end
  end
  return out
end

-- A delta as a list of units with their attributes.
local function spread(delta)
  local out = {}
  for _, op in ipairs(delta) do
    local attributes = op.attributes or {}
    if type(op.insert) == "string" then
      for _, c in ipairs(units(op.insert)) do out[#out + 1] = { c, attributes } end
    else
      out[#out + 1] = { op.insert, attributes }
    end
  end
  return out
end

local function with(attributes, changes)
  local out = {}
  for k, v in pairs(attributes) do out[k] = v end
  for k, v in pairs(changes or {}) do
    if v == json.null then out[k] = nil else out[k] = v end
  end
  return out
end

-- The units before, after the steps of an event.
local function follow(before, list)
  local out, at = {}, 1
  for _, op in ipairs(list) do
    local formats = op.formats and json.decode(op.formats)
    local content = op.text and units(op.text) or op.values and json.decode(op.values)
    for i = 1, op.retain or op.delete or 0 do
      local unit = assert(before[at], "beyond the end")
      at = at + 1
      if op.retain then
        out[#out + 1] = { unit[1], with(unit[2], formats) }
      else
        assert(json.same(unit[1], content[i]), "something else was deleted")
      end
    end
    for i = 1, op.insert or 0 do out[#out + 1] = { content[i], formats or {} } end
    if op.insert or op.delete then assert.are.equal(op.insert or op.delete, #content) end
  end
  for i = at, #before do out[#out + 1] = before[i] end
  return out
end

local function event_of(events, root)
  for _, e in ipairs(events) do
    if #e.path == 1 and e.path[1] == root then return e end
  end
  return { keys = {}, list = {} }
end

-- Apply an update; check what is told of one root.
local function check_step(doc, root, update, what)
  local view = root.type == "text" and "delta" or "json"
  local before, emitted = json.decode(doc:read(root.name, view)), nil
  local events = assert(doc:listen(function() emitted = assert(doc:apply(update)) end))
  assert(doc:check())
  local after, e = json.decode(doc:read(root.name, view)), event_of(events, root.name)
  if emitted == "" then assert.are.equal(0, #events) end
  if root.type == "text" then
    local want, got = spread(after), follow(spread(before), e.list)
    assert.are.equal(#want, #got, what)
    for i, unit in ipairs(want) do
      local same, where = json.same(unit, got[i])
      assert(same, ("%s, unit %d: %s"):format(what, i, tostring(where)))
    end
  elseif root.type == "array" then
    local list = {}
    for i, v in ipairs(before) do list[i] = { v, {} } end
    local got = json.list()
    for i, unit in ipairs(follow(list, e.list)) do got[i] = unit[1] end
    assert(json.same(after, got), what)
  else
    local got = {}
    for k, v in pairs(before) do got[k] = v end
    for _, k in ipairs(e.keys) do
      assert.are.equal(k.action ~= "added", k.before ~= nil, what)
      assert.are.equal(k.action ~= "deleted", k.after ~= nil, what)
      if k.before and k.before ~= "null" and before[k.key] ~= nil then
        assert(json.same(before[k.key], json.decode(k.before)), what)
      end
      if k.after then got[k.key] = json.decode(k.after) else got[k.key] = nil end
    end
    -- A value that JSON leaves out (undefined) is told as null.
    for k, v in pairs(got) do
      if v == json.null and after[k] == nil then got[k] = nil end
    end
    local same, where = json.same(after, got)
    assert(same or next(after) == nil and next(got) == nil, ("%s: %s"):format(what, tostring(where)))
  end
end

for _, name in ipairs { "text", "text-one-place", "format", "array", "map" } do
  describe("events of vectors " .. name, function()
    for _, case in ipairs(vectors.load(name).cases) do
      it(case.name, function()
        for _, gc in ipairs { true, false } do
          local doc = engine.new { gc = gc }
          for i, update in ipairs(vectors.unhex_all(case.updates_v1_hex)) do
            for _, root in ipairs(case.roots) do
              local probe = engine.new { gc = gc }
              probe:apply(doc:state())
              check_step(probe, root, update, "update " .. i)
            end
            doc:apply(update)
          end
        end
      end)
    end
  end)
end

describe("events", function()
  local doc

  before_each(function() doc = engine.new { client = 7 } end)

  local function told(ops)
    return assert(doc:listen(function() assert(doc:transact(any.encode(json.decode(ops)))) end))
  end

  it("tell the path of a nested type, and nothing of new and deleted ones", function()
    local events = told [=[[{"op":"map.set","path":["m"],"key":"k","value":
      {"$new":"array","values":[1,{"$new":"text","text":"ab"}]}}]]=]
    assert.are.same({ { path = { "m" }, list = {}, keys = {
      { key = "k", action = "added", after = '[1,"ab"]' } } } }, events)
    events = told '[{"op":"text.insert","path":["m","k",1],"index":1,"text":"X","attrs":{"b":true}}]'
    assert.are.same({ { path = { "m", "k", 1 }, type_ref = 2, keys = {},
      list = { { retain = 1 }, { insert = 1, text = "X", formats = '{"b":true}' } } } }, events)
    events = told '[{"op":"text.format","path":["m","k",1],"index":1,"length":1,"attrs":{"b":null}}]'
    assert.are.same({ { retain = 1 }, { retain = 1, formats = '{"b":null}' } }, events[1].list)
    events = told [=[[{"op":"array.insert","path":["m","k"],"index":0,"values":["x"]},
      {"op":"text.delete","path":["m","k",2],"index":0,"length":1},
      {"op":"map.set","path":["m"],"key":"z","value":1}]]=]
    assert.are.equal(3, #events)
    table.sort(events, function(a, b) return #a.path < #b.path end)
    assert.are.same({ { insert = 1, values = '["x"]' } }, events[2].list)
    assert.are.same({ "m", "k", 2 }, events[3].path)
    assert.are.same({ { delete = 1, text = "a" } }, events[3].list)
    events = told '[{"op":"map.delete","path":["m"],"key":"k"}]'
    assert.are.equal(1, #events)
    assert.are.equal("deleted", events[1].keys[1].action)
  end)

  it("tell old and new value of a key", function()
    told '[{"op":"map.set","path":["m"],"key":"k","value":{"a":[1]}}]'
    local events = told '[{"op":"map.set","path":["m"],"key":"k","value":2}]'
    assert.are.same({ { key = "k", action = "updated", before = '{"a":[1]}', after = "2" } }, events[1].keys)
    -- Set and deleted at once: nothing has changed.
    events = told '[{"op":"map.set","path":["m"],"key":"n","value":2},{"op":"map.delete","path":["m"],"key":"n"}]'
    assert.are.same({}, events)
    events = told '[{"op":"map.set","path":["m"],"key":"k","value":3},{"op":"map.delete","path":["m"],"key":"k"}]'
    assert.are.same({ { key = "k", action = "deleted", before = "2" } }, events[1].keys)
  end)

  it("tell attributes and children of an element by its name", function()
    told '[{"op":"xml.insert","path":["x"],"index":0,"nodes":[{"$new":"xmlelement","name":"p"}]}]'
    local events = told [=[[{"op":"attr.set","path":["x",0],"key":"id","value":"i"},
      {"op":"xml.insert","path":["x",0],"index":0,"nodes":[{"$new":"xmltext","text":"t"}]}]]=]
    assert.are.same({ { path = { "x", 0 }, type_ref = 3, name = "p",
      keys = { { key = "id", action = "added", after = '"i"' } },
      list = { { insert = 1, values = '["t"]' } } } }, events)
  end)

  it("tell what undo does", function()
    doc:track { origins = { 1 } }
    doc:origin(1, 1)
    told '[{"op":"text.insert","path":["t"],"index":0,"text":"abc"}]'
    told '[{"op":"text.delete","path":["t"],"index":1,"length":1}]'
    local events = assert(doc:listen(function() assert(doc:undo()) end))
    assert.are.same({ { retain = 1 }, { insert = 1, text = "b" } }, events[1].list)
  end)

  it("of a refused update show nothing that was put back where it was", function()
    told '[{"op":"text.insert","path":["t"],"index":0,"text":"abc"}]'
    local events = assert(doc:listen(function()
      assert(doc:apply(unhex "0101010084070201" .. "X" .. unhex "0107010001", true))
    end))
    assert(doc:check())
    assert.are.equal("abc", doc:read("t", "text"))
    assert.are.same({ { delete = 1, text = "a" }, { insert = 1, text = "a" } }, events[1].list)
  end)

  it("that do not fit are missing, the document is not", function()
    local big = ("x"):rep(10000)
    local got, kind = doc:listen(function()
      assert(doc:transact(any.encode(json.decode(
        '[{"op":"text.insert","path":["t"],"index":0,"text":"' .. big .. '"}]'))))
    end, 4096)
    assert.is_nil(got)
    assert.are.equal("ELIMIT", kind)
    assert(doc:check())
    assert.are.equal(big, doc:read("t", "text"))
  end)
end)
