-- Moments of a document: bytes as Yjs writes them, what was to be seen then, what changed between two.
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"
local views = require "support.views"

local hex, unhex = vectors.hex, vectors.unhex

local function play(case, count, doc)
  doc = doc or engine.new { gc = case.gc }
  for i = 1, count or #case.updates_v1_hex do
    assert(doc:apply(unhex(case.updates_v1_hex[i])))
    assert(doc:check())
  end
  return doc
end

describe("vectors snapshot", function()
  for _, case in ipairs(vectors.load("snapshot").cases) do
    it("bytes: " .. case.name, function()
      local then_ = play(case, case.taken_after)
      assert.are.equal(case.snapshot_v1_hex, hex(then_:snapshot()))
      assert.are.equal(case.snapshot_v2_hex, hex(then_:snapshot("v2")))
      local v1, v2 = unhex(case.snapshot_v1_hex), unhex(case.snapshot_v2_hex)
      assert.are.equal(case.snapshot_v2_hex, hex(engine.snapshot(v1, "v1", "v2")))
      assert.are.equal(case.snapshot_v1_hex, hex(engine.snapshot(v2, "v2", "v1")))
    end)

    it("restored: " .. case.name, function()
      local doc, moment = play(case), unhex(case.snapshot_v1_hex)
      local before = doc:state()
      local restored = engine.new {}
      assert(restored:apply(assert(doc:restore(moment))))
      assert(restored:check())
      assert.are.equal(case.restored_state_vector_hex, hex(restored:sv()))
      assert.are.equal(0, restored:stats().pending_structs)
      views.check(function(root, view) return restored:read(root, view) end, case, "restored")
      views.check(function(root, view) return doc:read_at(moment, root, view) end, case, "read")
      -- The document of that time says the same.
      local then_ = play(case, case.taken_after)
      for _, root in ipairs(case.roots) do
        for _, view in ipairs { "text", "delta", "json", "xml" } do
          assert.are.equal(then_:read(root.name, view), doc:read_at(moment, root.name, view))
        end
      end
      assert.are.equal(hex(before), hex(doc:state()))
      assert(doc:check())
    end)

    it("contains: " .. case.name, function()
      local moment = unhex(case.snapshot_v1_hex)
      for i, update in ipairs(vectors.unhex_all(case.updates_v1_hex)) do
        local then_ = play(case, case.taken_after)
        assert.are.equal(then_:contains(update), engine.snapshot_contains(moment, update), "update " .. i)
      end
    end)

    if case.diff_delta then
      it("between two: " .. case.name, function()
        local doc = play(case)
        local got = json.decode(assert(doc:read_changes(unhex(case.snapshot_v1_hex),
          unhex(case.snapshot_later_v1_hex), "t")))
        for _, op in ipairs(got) do op.attributes = op.attributes or {} end
        local same, where = json.same(vectors.join_delta(case.diff_delta), got)
        assert(same, tostring(where))
      end)
    end
  end
end)

describe("a snapshot", function()
  -- Client 1 typed "abc" into t.
  local abc = unhex "010101000401017403616263" .. "\0"
  local delete_b = unhex "000101010101"

  it("shows what is collected to nobody", function()
    local doc = engine.new {}
    doc:apply(abc)
    local moment = doc:snapshot()
    assert.are.equal("abc", doc:read_at(moment, "t", "text"))
    doc:apply(delete_b)
    for _, try in ipairs {
      function() return doc:restore(moment) end,
      function() return doc:read_at(moment, "t", "text") end,
      function() return doc:read_changes(moment, doc:snapshot(), "t") end,
    } do
      local got, kind = try()
      assert.is_nil(got)
      assert.are.equal("ENOTFOUND", kind)
    end
    -- What was deleted before may be gone.
    assert.are.equal("ac", doc:read_at(doc:snapshot(), "t", "text"))
  end)

  it("of a document that has come further is refused", function()
    local doc, later = engine.new { gc = false }, engine.new { gc = false }
    later:apply(abc)
    assert.are.equal("ENOTFOUND", select(2, doc:restore(later:snapshot())))
    assert.are.equal("", doc:read_at(doc:snapshot(), "t", "text"))
  end)

  it("may end inside a run, a list of values and a character", function()
    local doc = engine.new { gc = false }
    doc:apply(abc)
    -- "a😀b" by client 2 in u, [1, "x", true] by client 3 in l.
    doc:apply(unhex "01010200040101750661f09f988062" .. "\0")
    doc:apply(unhex "0101030008" .. "\1\1l\3" .. unhex "7d01770178" .. "\x78" .. "\0")
    local function at(client, clock)
      return "\0\1" .. string.char(client, clock)
    end
    assert.are.equal("ab", doc:read_at(at(1, 2), "t", "text"))
    assert.are.equal("a\u{FFFD}", doc:read_at(at(2, 2), "u", "text"))
    assert.are.equal("a😀", doc:read_at(at(2, 3), "u", "text"))
    assert.are.equal('[1,"x"]', doc:read_at(at(3, 2), "l", "json"))
    assert.are.equal("a😀b", doc:read("u", "text"))
    local delta = json.decode(doc:read_changes(at(2, 2), at(2, 4), "u"))
    assert.are.equal("a\u{FFFD}", delta[1].insert)
    assert.are.equal("\u{FFFD}b", delta[2].insert)
    assert.are.equal("added", delta[2].attributes.ychange.type)
    assert(doc:check())
  end)

  it("is refused when it is broken, cut off or too long", function()
    local doc = engine.new {}
    doc:apply(abc)
    doc:apply(delete_b)
    for _, format in ipairs { "v1", "v2" } do
      local whole = doc:snapshot(format)
      assert.are.equal(whole, engine.snapshot(whole, format, format))
      for n = 0, #whole - 1 do
        assert.are.equal("EFORMAT", select(2, engine.snapshot(whole:sub(1, n), format, format)), n)
      end
      assert.are.equal("EFORMAT", select(2, engine.snapshot(whole .. "\0", format, format)))
      assert.are.equal("ELIMIT", select(2, engine.snapshot(whole, format, format, { update_bytes = 4 })))
    end
    -- Two states of one client; a million clients in four bytes; ranges beyond 2^53.
    assert.are.equal("EFORMAT", select(2, engine.snapshot("\0\2\1\1\1\2", "v1", "v1")))
    assert.are.equal("EFORMAT", select(2, engine.snapshot(unhex "c0843d00", "v1", "v1")))
    assert.are.equal("EFORMAT", select(2, engine.snapshot(unhex "00c0843d", "v1", "v1")))
    assert.are.equal("EFORMAT",
      select(2, engine.snapshot(unhex "010101ffffffffffffff0f0100", "v1", "v1")))
    assert.are.equal("EFORMAT",
      select(2, engine.snapshot(unhex "010102ffffffffffffff0f00000000", "v2", "v2")))
  end)

  it("takes ranges in any order, of length zero and on top of each other", function()
    -- Client 1: 5+2, 0+0, 1+2, 2+4.
    assert.are.equal("01010101" .. "06" .. "00",
      hex(engine.snapshot(unhex "0101040502000001020204" .. "\0", "v1", "v1")))
  end)
end)
