-- Updates and documents through the Lua module: what it answers, and its ceilings.
local engine = require "moonloom.engine"
local vectors = require "support.vectors"

local hex, unhex = vectors.hex, vectors.unhex

local ABC, DEF = unhex("01010100040101740361626300"), unhex("010101038401020364656600")
local DELETE_B = unhex("000101010101")

describe("a document", function()
  it("answers what became visible as an update", function()
    local doc = engine.new()
    local emitted, change = doc:apply(ABC)
    assert.are.equal(hex(ABC), hex(emitted))
    assert.is_true(change.is_received)
    assert.are.equal(3, change.inserted_units)
    emitted, change = doc:apply(ABC)
    assert.are.equal("", emitted)
    assert.are.equal(0, change.inserted_units)
    emitted, change = doc:apply(DELETE_B)
    assert.are.equal(hex(DELETE_B), hex(emitted))
    assert.are.equal(1, change.deleted_units)
    assert.are.equal("ac", doc:read("t", "text"))
  end)

  it("parks what misses its predecessors and says so", function()
    local doc = engine.new()
    local emitted, change = doc:apply(DEF)
    assert.are.equal("", emitted)
    assert.is_true(change.was_pending)
    assert.are.equal(1, doc:stats().pending_structs)
    emitted, change = doc:apply(ABC)
    assert.are.equal("01010100040101740661626364656600", hex(emitted))
    assert.is_false(change.was_pending)
    assert.are.equal(0, doc:stats().pending_structs)
  end)

  it("knows what it contains", function()
    local doc = engine.new()
    assert.is_false(doc:contains(ABC))
    assert(doc:apply(ABC))
    assert.is_true(doc:contains(ABC))
    assert.is_false(doc:contains(DEF))
    assert.is_false(doc:contains(DELETE_B))
    assert(doc:apply(DELETE_B))
    assert.is_true(doc:contains(DELETE_B))
  end)

  it("answers a state vector with what its holder lacks", function()
    local doc = engine.new()
    assert(doc:apply(ABC))
    local sv = doc:sv()
    assert.are.equal("010103", hex(sv))
    assert.are.equal(hex(engine.sv(doc:state())), hex(sv))
    assert(doc:apply(DEF))
    assert.are.equal(hex(DEF), hex(doc:state(sv)))
    assert.are.equal("0000", hex(doc:state(doc:sv())))
    local nothing, kind = doc:state("\5")
    assert.is_nil(nothing)
    assert.are.equal("EFORMAT", kind)
  end)

  it("keeps deleted content only with gc off", function()
    for _, gc in ipairs { true, false } do
      local doc = engine.new { gc = gc }
      assert(doc:apply(ABC))
      assert(doc:apply(DELETE_B))
      assert.are.equal(gc == false, doc:state():find("b", 1, true) ~= nil)
    end
  end)

  it("undoes what a policy refuses, in the same change", function()
    local doc = engine.new { client = 99 }
    assert(doc:apply(ABC))
    local emitted, change = doc:apply(DEF, true)
    assert.is_true(change.undone)
    assert.are.equal("abc", doc:read("t", "text"))
    assert.are.equal("010106", hex(doc:sv()))
    local other = engine.new()
    assert(other:apply(ABC))
    assert(other:apply(emitted))
    assert.are.equal("abc", other:read("t", "text"))
    emitted = doc:apply(DELETE_B, true)
    assert.are.equal("abc", doc:read("t", "text"))
    assert(other:apply(emitted))
    assert.are.equal("abc", other:read("t", "text"))
    assert(doc:check())
  end)

  it("is unchanged by what it refuses", function()
    local doc = engine.new { limits = { clients = 1, pending_structs = 1 } }
    assert(doc:apply(ABC))
    local before = doc:state()
    local nothing, kind, text, offset = doc:apply(ABC:sub(1, 8))
    assert.is_nil(nothing)
    assert.are.equal("EFORMAT", kind)
    assert.is_true(#text > 0 and offset > 0)
    nothing, kind = doc:apply(unhex("01010200040101740178" .. "00")) -- a second client
    assert.is_nil(nothing)
    assert.are.equal("ELIMIT", kind)
    assert.are.equal(hex(before), hex(doc:state()))
    assert(doc:check())
  end)

  it("names its roots", function()
    local doc = engine.new()
    assert(doc:apply(ABC))
    assert(doc:apply(unhex("01010200" .. "2801016d016b017d01" .. "00")))
    assert.are.same({ "t", "m" }, doc:roots())
  end)

  it("cannot be used after it was closed", function()
    local doc = engine.new()
    doc:close()
    doc:close()
    assert.has_error(function() doc:sv() end)
  end)
end)

describe("what waits far ahead", function()
  -- Client 1 has "abc"; a struct of the same client waits for clock 2^38.
  local far = unhex("01010180808080802004010174016100")

  it("neither blocks the document nor gets lost", function()
    local doc = engine.new()
    assert(doc:apply(ABC))
    local _, change = doc:apply(far)
    assert.is_true(change.was_pending)
    local state = assert(doc:state())
    local again = engine.new()
    assert(again:apply(state))
    assert.are.equal(hex(state), hex(again:state()))
    assert.are.equal(1, again:stats().pending_structs)
    assert.are.equal("abc", again:read("t", "text"))
    assert(again:apply(DEF))
    assert.are.equal("abcdef", again:read("t", "text"))
    assert(again:check())
  end)
end)

describe("a struct that waits", function()
  it("does not hide its collected form in the state", function()
    local doc = engine.new()
    -- Others come before client 2 in both parts of the state, the merge of which must prefer the document.
    assert(doc:apply(unhex("01010900040101740161" .. "00")))
    assert(doc:apply(unhex("01010501840500016200"))) -- waits
    -- Client 2 wrote into a type of client 1 that is not there; somebody else has collected it since.
    local _, change = doc:apply(unhex("0101020004000100016100"))
    assert.is_true(change.was_pending)
    assert.are.equal("01010200000100", hex((doc:apply(unhex("01010200000100")))))
    local again = engine.new()
    assert(again:apply(doc:state()))
    assert.are.equal("0209010201", hex(doc:sv()))
    assert.are.equal("0209010201", hex(again:sv()))
  end)
end)

describe("an update", function()
  it("lists its edits", function()
    local edits, facts = engine.edits(unhex("01020100" .. "2801016d016b017d01" .. "0002" .. "0101010202"))
    assert.are.equal(2, #edits)
    assert.are.equal("any", edits[1].kind)
    assert.are.equal("m", edits[1].root)
    assert.are.equal("k", edits[1].key)
    assert.are.equal("gc", edits[2].kind)
    assert.are.equal(1, edits[2].clock)
    assert.are.equal(2, edits[2].len)
    assert.are.equal(2, facts.structs)
    assert.are.equal(1, facts.keys)
    assert.are.equal(1, facts.clients)
    assert.are.equal(2, facts.deleted_units)
  end)

  it("is cut into parts that mean the same in any order", function()
    for _, name in ipairs { "text", "map", "xml", "nested" } do
      for i, case in ipairs(vectors.load(name).cases) do
        if i <= 20 then
          local state = unhex(case.state_v1_hex)
          local parts = assert(engine.split(state, 48))
          local forward, backward = engine.new { gc = case.gc }, engine.new { gc = case.gc }
          for _, part in ipairs(parts) do assert(forward:apply(part)) end
          for j = #parts, 1, -1 do assert(backward:apply(parts[j])) end
          assert.are.equal(case.state_v1_hex, hex(forward:state()), case.name)
          assert.are.equal(case.state_v1_hex, hex(backward:state()), case.name)
          if #state > 200 then assert.is_true(#parts > 1, case.name) end
        end
      end
    end
    assert.are.equal(1, #engine.split("\0\0", 10))
  end)

  it("is refused by every function that reads it when it is broken", function()
    local broken = ABC:sub(1, -2)
    for name, call in pairs {
      merge = function() return engine.merge { ABC, broken } end,
      diff = function() return engine.diff(broken, "\0") end,
      sv = function() return engine.sv(broken) end,
      show = function() return engine.show(broken) end,
      convert = function() return engine.convert(broken, "v1") end,
      split = function() return engine.split(broken, 10) end,
      edits = function() return engine.edits(broken) end,
    } do
      local result, kind, text = call()
      assert.is_nil(result, name)
      assert.are.equal("EFORMAT", kind, name)
      assert.is_true(#text > 0, name)
    end
    assert.is_nil((engine.diff(ABC, "\5")))
    assert.is_true(engine.sv_check("\0"))
    assert.is_nil((engine.sv_check("\1\1")))
  end)

  it("has ceilings", function()
    local key = ("k"):rep(200)
    local named = unhex("010101000401") .. "\200\1" .. key .. "\1x\0"
    assert.is_string(engine.sv(named))
    local result, kind = engine.sv(named, { key_bytes = 100 })
    assert.is_nil(result)
    assert.are.equal("ELIMIT", kind)
    result, kind = engine.sv(named, { update_bytes = 50 })
    assert.is_nil(result)
    assert.are.equal("ELIMIT", kind)
    local deep = unhex("0101010008010161" .. "01") .. ("\117\1"):rep(10) .. "\126\0"
    assert.is_string(engine.sv(deep, { any_depth = 10 }))
    result, kind = engine.sv(deep, { any_depth = 9 })
    assert.is_nil(result)
    assert.are.equal("ELIMIT", kind)
    local bomb = unhex("0000010100000101050040feff070101000441feff07018080080000")
    result, kind = engine.convert(bomb, "v2", { update_structs = 1000 })
    assert.is_nil(result)
    assert.are.equal("ELIMIT", kind)
  end)
end)
