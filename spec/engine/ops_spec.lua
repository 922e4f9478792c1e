-- A document that writes as a client: what it emits and what it becomes, byte for byte.
local any = require "support.any"
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"

local hex, unhex = vectors.hex, vectors.unhex

local function start(case)
  local doc = engine.new { client = case.client_id, gc = case.gc }
  if type(case.base_v1_hex) == "string" then assert(doc:apply(unhex(case.base_v1_hex))) end
  return doc
end

local function run(doc, step, what)
  local emitted, kind, text = doc:transact(any.encode(step.tx))
  assert(emitted, ("%s: %s %s"):format(what, tostring(kind), tostring(text)))
  assert(doc:check())
  return emitted
end

local function same_update(want_v1, want_v2, emitted, what)
  if want_v1 == json.null then
    assert.are.equal("", hex(emitted), what)
    return
  end
  assert.are.equal(want_v1, hex(emitted), what)
  assert.are.equal(want_v2, hex(assert(engine.state_v2(emitted))), what .. ", V2")
end

local function reloaded(doc, gc)
  local again = engine.new { gc = gc }
  assert(again:apply(doc:state()))
  assert(again:check())
  return again
end

describe("vectors ops", function()
  for _, case in ipairs(vectors.load("ops").cases) do
    it(case.name, function()
      local doc = start(case)
      for i, step in ipairs(case.steps) do
        local what = "step " .. i
        same_update(step.update_v1_hex, step.update_v2_hex, run(doc, step, what), what)
      end
      assert.are.equal(case.state_vector_hex, hex(doc:sv()))
      assert.are.equal(case.state_v1_hex, hex(doc:state()))
      assert.are.equal(case.state_v1_hex, hex(reloaded(doc, case.gc):state()))
    end)

    it("a replica follows: " .. case.name, function()
      local doc, replica = start(case), engine.new { gc = case.gc }
      if type(case.base_v1_hex) == "string" then assert(replica:apply(unhex(case.base_v1_hex))) end
      for i, step in ipairs(case.steps) do
        local emitted = run(doc, step, "step " .. i)
        if emitted ~= "" then assert(replica:apply(emitted)) end
        assert.are.equal(hex(doc:state()), hex(replica:state()), "step " .. i)
      end
    end)

    it("taken back and done again: " .. case.name, function()
      local doc = start(case)
      for i, step in ipairs(case.steps) do
        local before, what = hex(doc:state()), "step " .. i
        step.tx[#step.tx + 1] = json.decode('{"op":"array.delete","path":["nowhere"],"index":7,"length":1}')
        local nothing, kind, text = doc:transact(any.encode(step.tx))
        step.tx[#step.tx] = nil
        assert.is_nil(nothing)
        assert.are.equal("ENOTFOUND", kind)
        assert.are.equal(("operation %d:"):format(#step.tx + 1), text:match("^operation %d+:"))
        assert(doc:check())
        assert.are.equal(before, hex(doc:state()), what)
        same_update(step.update_v1_hex, step.update_v2_hex, run(doc, step, what), what)
      end
      assert.are.equal(case.state_v1_hex, hex(doc:state()))
    end)
  end
end)

describe("text without formats of its own", function()
  it("is as the text around it, also where a value is not even equal to itself", function()
    local doc = engine.new { client = 7 }
    local function run_ops(ops)
      return assert(doc:transact(any.encode(json.decode(ops))))
    end
    run_ops '[{"op":"text.insert","path":["t"],"index":0,"text":"ab","attrs":{"link":{"n":[1]}}}]'
    assert.are.equal("010107" .. "04" .. "c407010702" .. "0163" .. "00",
      hex(run_ops '[{"op":"text.insert","path":["t"],"index":1,"text":"c"}]'))
    assert.are.equal('[{"insert":"acb","attributes":{"link":{"n":[1]}}}]', doc:read("t", "delta"))
  end)
end)
