-- Positions that stay put while others edit.
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"

local hex, unhex = vectors.hex, vectors.unhex

describe("vectors relpos", function()
  for _, case in ipairs(vectors.load("relpos").cases) do
    it(case.name, function()
      local doc = engine.new {}
      for i, update in ipairs(vectors.unhex_all(case.updates_v1_hex)) do
        assert(doc:apply(update))
        assert(doc:check())
        if i == case.positions_after then
          for n, p in ipairs(case.positions) do
            local bytes, text = doc:position(case.target, p.index, p.assoc)
            assert.are.equal(p.hex, hex(bytes), "position " .. n)
            assert(json.same(p.json, json.decode(text)))
            assert.are.equal(p.index, doc:resolve(bytes))
            assert.are.equal(p.hex, hex(engine.position_json(text)))
          end
        end
      end
      for n, p in ipairs(case.positions) do
        assert.are.equal(p.resolved, doc:resolve(unhex(p.hex)), "position " .. n)
        assert.are.equal(p.hex, hex(engine.position(unhex(p.hex))))
      end
    end)
  end
end)

describe("a relative position", function()
  local abc = unhex "010101000401017403616263" .. "\0"

  it("of a unit that is not there yet is found later", function()
    local doc = engine.new {}
    local p = unhex "00010200"
    assert.are.equal("ENOTFOUND", select(2, doc:resolve(p)))
    doc:apply(abc)
    assert.are.equal(2, doc:resolve(p))
    assert.are.equal(3, doc:resolve(unhex "00010241"))
    -- Old ones end without an association.
    assert.are.equal(2, doc:resolve(unhex "000102"))
  end)

  it("in a root that is empty is its start and its end", function()
    local doc = engine.new {}
    assert.are.equal("01017400", hex(doc:position({ "t" }, 0, 0)))
    assert.are.equal("01017400", hex(doc:position({ "t" }, 7, 0)))
    assert.are.equal(0, doc:resolve(unhex "01017400"))
    doc:apply(abc)
    assert.are.equal(3, doc:resolve(unhex "01017400"))
    assert.are.equal(0, doc:resolve(unhex "01017441"))
    assert.are.equal("01017400", hex(doc:position({ "t" }, 1000000, 0)))
    assert.are.equal("ENOTFOUND", select(2, doc:position({ "t", "k" }, 0, 0)))
  end)

  it("in a root without a name is one, too", function()
    local bytes, text = engine.position(unhex "010000")
    assert.are.equal("010000", hex(bytes))
    assert.are.equal('{"tname":"","assoc":0}', text)
    assert.are.equal("010000", hex(engine.position_json(text)))
  end)

  it("inside a deleted type is nowhere", function()
    local doc = engine.new {}
    -- A text "hi" at m.t, by client 1; then the key is deleted.
    doc:apply(unhex "010201002701016d0174020400010002686900")
    local p = doc:position({ "m", "t" }, 1, 0)
    local the_end = doc:position({ "m", "t" }, 2, 0)
    assert.are.equal("02010000", hex(the_end))
    assert.are.equal(1, doc:resolve(p))
    doc:apply(unhex "000101010001")
    assert.are.equal("ENOTFOUND", select(2, doc:resolve(p)))
    assert.are.equal("ENOTFOUND", select(2, doc:resolve(the_end)))
    assert.are.equal("ENOTFOUND", select(2, doc:position({ "m", "t" }, 0, 0)))
  end)

  it("beside the value of a key is nowhere", function()
    local doc = engine.new {}
    doc:apply(unhex "010201002701016d0174020400010002686900")
    assert.are.equal("ENOTFOUND", select(2, doc:resolve(unhex "00010041")))
    assert.are.equal(0, doc:resolve(unhex "00010100"))
  end)

  it("is refused when it is broken, cut off or too long", function()
    for _, bad in ipairs { "", "03010100", "00", "0001", "0101", "010174ff", "0001020000",
      "00ffffffffffffffffff0100", "0101ff00", "0001028080808080808080808000" } do
      assert.are.equal("EFORMAT", select(2, engine.position(unhex(bad))), bad)
    end
    for _, bad in ipairs { "", "{}", "null", "[]", "1", '{"assoc":1}', '{"item":{}}', '{"item":1}',
      '{"item":{"client":1}}', '{"item":{"client":1,"clock":-1}}', '{"item":{"client":1.5,"clock":1}}',
      '{"item":{"client":1,"clock":1e300}}', '{"tname":1}', '{"tname":"t","assoc":"x"}',
      '{"tname":"t"', '{"tname":null,"type":null,"item":null}' } do
      assert.are.equal("EFORMAT", select(2, engine.position_json(bad)), bad)
    end
    assert.are.equal("00010241",
      hex(engine.position_json('{"x":[{}],"type":null,"tname":"t","item":{"client":1,"clock":2,"y":[]},"assoc":-1}')))
  end)
end)
