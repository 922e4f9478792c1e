-- How roots look to a reader, where the vectors say nothing: untyped roots, odd contents, foreign
-- writers, numbers without JSON.
local engine = require "moonloom.engine"
local vectors = require "support.vectors"

local unhex = vectors.unhex

local function str(s)
  return ("%02x"):format(#s) .. vectors.hex(s)
end

-- One client's structs under clock 0.
local function doc_of(structs, deletes)
  local doc = engine.new()
  assert(doc:apply(unhex(("01%02x0100"):format(#structs) .. table.concat(structs) .. (deletes or "00"))))
  assert(doc:check())
  return doc
end

local function root(kind, name, body)
  return kind .. "01" .. str(name) .. body
end

describe("a root", function()
  it("that nobody wrote is empty", function()
    local doc = engine.new()
    assert.are.equal("", doc:read("x", "text"))
    assert.are.equal("[]", doc:read("x", "delta"))
    assert.are.equal("[]", doc:read("x", "json"))
    assert.are.equal("", doc:read("x", "xml"))
  end)

  it("is an object if it has keys, else a list", function()
    local doc = doc_of {
      "2801" .. str "m" .. str "k" .. "017d01", -- m.k = 1
      root("08", "a", "027d017e"),               -- a = [1, null]
      root("08", "m", "017d05"),                 -- m also has a child
    }
    assert.are.equal('{"k":1}', doc:read("m", "json"))
    assert.are.equal("[1,null]", doc:read("a", "json"))
  end)

  it("is an object without members after its keys were deleted", function()
    local doc = doc_of({ "2801" .. str "m" .. str "k" .. "017d01" }, "010101" .. "0001")
    assert.are.equal("{}", doc:read("m", "json"))
  end)

  it("is a string as JSON if it holds text", function()
    local doc = doc_of { root("04", "t", str 'a"b') }
    assert.are.equal('"a\\"b"', doc:read("t", "json"))
    assert.are.equal('[{"insert":"a\\"b"}]', doc:read("t", "delta"))
  end)

  it("with attributes prints as the element Yjs makes of it", function()
    local doc = doc_of { "2801" .. str "x" .. str "a" .. "017d01", root("07", "x", "0301" .. "50") }
    assert.are.equal('<undefined a="1"><p></p></undefined>', doc:read("x", "xml"))
  end)
end)

describe("JSON", function()
  it("shows bytes, bigints and subdocuments in words, and leaves undefined out", function()
    local doc = doc_of {
      "2801" .. str "m" .. str "bytes" .. "0174020708",
      "2801" .. str "m" .. str "big" .. "017afffffffffffffffb",
      "2801" .. str "m" .. str "none" .. "017f",
      "2901" .. str "m" .. str "sub" .. str "guid-1" .. "7600",
      "2801" .. str "m" .. str "nan" .. "017b7ff8000000000000",
      root("08", "a", "037f7d407e"),
    }
    assert.are.equal('{"big":"-5","bytes":{"$bytes":"0708"},"nan":null,"sub":"guid-1"}', doc:read("m", "json"))
    assert.are.equal("[null,0,null]", doc:read("a", "json"))
  end)

  it("sorts keys as JavaScript sorts strings", function()
    -- U+FF5E comes after a pair, whose first unit is D83D, although its UTF-8 is smaller.
    local doc = doc_of {
      "2801" .. str "m" .. str "\239\189\158" .. "017d01",
      "2801" .. str "m" .. str "\240\159\152\128" .. "017d02",
      "2801" .. str "m" .. str "a" .. "017d03",
    }
    assert.are.equal('{"a":3,"\240\159\152\128":2,"\239\189\158":1}', doc:read("m", "json"))
  end)

  it("shows the last unit of a key's value", function()
    local doc = doc_of {
      "2801" .. str "m" .. str "list" .. "027d017d02",
      "2401" .. str "m" .. str "text" .. str "ab",
      "2201" .. str "m" .. str "old" .. "02" .. str "1" .. str "[2]",
      "2401" .. str "m" .. str "pair" .. str "\240\159\152\128",
    }
    assert.are.equal('{"list":2,"old":[2],"pair":"\\ude00","text":"b"}', doc:read("m", "json"))
  end)

  it("takes a type that holds other things as it looks", function()
    -- Yjs 14 writes every nested type with ref 4.
    local doc = doc_of {
      "2701" .. str "m" .. str "map" .. "04", "2701" .. str "m" .. str "text" .. "04",
      "2701" .. str "m" .. str "list" .. "04",
      "280001" .. "00" .. str "k" .. "017d01", "040001" .. "01" .. str "hi", "080001" .. "02" .. "017d07",
    }
    assert.are.equal('{"list":[7],"map":{"k":1},"text":"hi"}', doc:read("m", "json"))
  end)
end)

describe("a delta", function()
  local bold = root("06", "t", str "bold" .. str "true")

  it("joins neighbours with equal attributes, whatever happened between", function()
    local doc = doc_of {
      bold, "840100" .. str "a", "860101" .. str "bold" .. str "null", "860102" .. str "bold" .. str "true",
      "840103" .. str "b", "860104" .. str "i" .. str "1", "860105" .. str "i" .. str "null", "840106" .. str "c",
    }
    assert.are.equal('[{"insert":"abc","attributes":{"bold":true}}]', doc:read("t", "delta"))
    assert.are.equal("abc", doc:read("t", "text"))
    assert.are.equal("<bold>a</bold><bold>b</bold><bold>c</bold>", doc:read("t", "xml"))
  end)

  it("sorts attributes and shows embeds and types as values", function()
    local doc = doc_of {
      root("06", "t", str "z" .. str '"1"'), "860100" .. str "a" .. str "[1]", "850101" .. str '{"image":"u"}',
      "870102" .. "01", "280001" .. "03" .. str "k" .. "0178", "840103" .. str "x",
    }
    assert.are.equal('[{"insert":{"image":"u"},"attributes":{"a":[1],"z":"1"}},'
      .. '{"insert":{"k":true},"attributes":{"a":[1],"z":"1"}},{"insert":"x","attributes":{"a":[1],"z":"1"}}]',
      doc:read("t", "delta"))
  end)

  it("stays cheap with many attributes that come and go", function()
    local structs, clock = { root("06", "t", str "k" .. str "1") }, 0
    for i = 1, 2000 do
      structs[#structs + 1] = "8601" .. vectors.hex(string.char(clock % 128 + (clock > 127 and 128 or 0))
        .. (clock > 127 and string.char(math.floor(clock / 128)) or "")) .. str("k" .. i) .. str(i % 2 == 0 and "null" or "1")
      clock = clock + 1
    end
    local count = #structs
    local doc = engine.new()
    assert(doc:apply(unhex("01" .. ("%02x%02x"):format(count % 128 + 128, math.floor(count / 128)) .. "0100"
      .. table.concat(structs) .. "00")))
    assert.are.equal("[]", doc:read("t", "delta"))
  end)
end)

describe("XML", function()
  it("prints attributes as JavaScript's strings, and members of formats", function()
    local doc = doc_of {
      root("07", "x", "03" .. str "DIV"),
      "280001" .. "00" .. str "list" .. "0175037d017e770179", "280001" .. "00" .. str "obj" .. "017600",
      "280001" .. "00" .. str "none" .. "017f", "280001" .. "00" .. str "f" .. "017c3f000000",
      "070001" .. "00" .. "06",
      "060001" .. "05" .. str "a" .. str '{"href":"u","b":[1,null]}', "840106" .. str "hi",
    }
    assert.are.equal('<div f="0.5" list="1,,y" none="undefined" obj="[object Object]">'
      .. '<a b="1," href="u">hi</a></div>', doc:read("x", "xml"))
  end)

  it("counts the units of a format's string as Yjs does", function()
    local doc = doc_of {
      root("06", "x", str "s" .. str '"abcdefghijkl"'), "840100" .. str "t",
    }
    assert.are.equal('<s 0="a" 1="b" 10="k" 11="l" 2="c" 3="d" 4="e" 5="f" 6="g" 7="h" 8="i" 9="j">t</s>',
      doc:read("x", "xml"))
  end)
end)

describe("types in types", function()
  it("are followed to the document's ceiling and refused beyond", function()
    local function nested(depth)
      local structs = { root("07", "a", "00") }
      for i = 1, depth - 1 do structs[#structs + 1] = "070001" .. ("%02x"):format(i - 1) .. "00" end
      return unhex(("01%02x0100"):format(#structs) .. table.concat(structs) .. "00")
    end
    local doc = engine.new { limits = { type_depth = 20 } }
    assert(doc:apply(nested(20)))
    assert.are.equal(("["):rep(21) .. ("]"):rep(21), doc:read("a", "json"))
    assert(doc:check())
    local other = engine.new { limits = { type_depth = 20 } }
    other:apply(nested(100))
    assert(other:check())
    assert.is_true(#other:read("a", "json") <= 2 * 22)
  end)
end)
