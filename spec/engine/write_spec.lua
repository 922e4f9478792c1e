-- Writing as a client: what calls mean, what they refuse, what they leave behind.
local engine = require "moonloom.engine"
local vectors = require "support.vectors"

-- Several lists of arguments, as JSON text, in one transaction.
local function transact(doc, ...)
  local any = assert(engine.any("[" .. table.concat({ ... }, ",") .. "]"))
  return doc:transact(any)
end

local function writer(client)
  return engine.new { client = client or 1 }
end

local function read(doc, root, view)
  return assert(doc:read(root, view))
end

describe("an operation", function()
  it("has its arguments in order, or by name", function()
    local doc = writer()
    assert(transact(doc, '["text.insert","t",0,"Hi",{"bold":true}]', '["map.set","m","k",[1,2]]',
      '{"op":"text.insert","path":["t"],"index":2,"text":"!","attrs":{}}'))
    assert.are.equal('[{"insert":"Hi","attributes":{"bold":true}},{"insert":"!"}]', read(doc, "t", "delta"))
    assert.are.equal('{"k":[1,2]}', read(doc, "m", "json"))
  end)

  it("finds types by keys and indexes, in a list or in text", function()
    local doc = writer()
    assert(transact(doc,
      [=[["map.set","m","a/b~",{"$new":"array","values":[0,{"$new":"map","entries":{"7":{"$new":"text","text":"x"}}}]}]]=],
      '["text.insert",["m","a/b~",1,"7"],1,"y"]', '["text.insert","m/a~1b~0/1/7",2,"z"]',
      '["array.push","m/a~1b~0",[{"$new":"text"}]]', '["text.insert","m/a~1b~0/2",0,"last"]'))
    assert.are.equal('{"a/b~":[0,{"7":"xyz"},"last"]}', read(doc, "m", "json"))
    for _, path in ipairs { '"m/none"', '"m/a~1b~0/9"', '"m/a~1b~0/0"', '["m",0]', '"m/"' } do
      local nothing, kind = transact(doc, '["text.insert",' .. path .. ',0,"x"]')
      assert.is_nil(nothing)
      assert.are.equal("ENOTFOUND", kind, path)
    end
  end)

  it("is refused with its number and a reason, and nothing has happened", function()
    local doc = writer()
    assert(transact(doc, '["text.insert","t",0,"abc"]', '["array.push","a",[1,2,3]]'))
    local before = doc:state()
    for op, want in pairs {
      ['["text.insert","t",4,"x"]'] = "ENOTFOUND",
      ['["text.delete","t",2,2]'] = "ENOTFOUND",
      ['["text.delete","t",4294967295,4294967295]'] = "ENOTFOUND",
      ['["text.format","t",4,1,{"b":1}]'] = "ENOTFOUND",
      ['["text.delta","t",[{"retain":1},{"insert":"x"},{"delete":3}]]'] = "ENOTFOUND",
      ['["array.insert","a",4,[1]]'] = "ENOTFOUND",
      ['["array.delete","a",1,3]'] = "ENOTFOUND",
      ['["xml.delete","nothing",0,1]'] = "ENOTFOUND",
      ['["text.insert","t",-1,"x"]'] = "EFORMAT",
      ['["text.insert","t",0.5,"x"]'] = "EFORMAT",
      ['["text.insert","t",4294967296,"x"]'] = "EFORMAT",
      ['["text.insert","t",0]'] = "EFORMAT",
      ['["text.insert",7,0,"x"]'] = "EFORMAT",
      ['["text.insert",[],0,"x"]'] = "EFORMAT",
      ['["text.nothing","t",0,"x"]'] = "EFORMAT",
      ['["map.set","m",1,1]'] = "EFORMAT",
      ['["map.set","m","k"]'] = "EFORMAT",
      ['["map.set","m","k",{"$new":"thing"}]'] = "EFORMAT",
      ['["map.set","m","k",{"$new":"doc"}]'] = "EFORMAT",
      ['["map.set","m","k",{"$new":"map","entries":[1]}]'] = "EFORMAT",
      ['["text.delta","t",[{}]]'] = "EFORMAT",
      ['["text.insert","t",0,"x",7]'] = "EFORMAT",
      ['{}'] = "EFORMAT",
      ['7'] = "EFORMAT",
    } do
      local nothing, kind, text = transact(doc, '["text.insert","other",0,"before"]', '["map.set","new root","k",1]', op)
      assert.is_nil(nothing, op)
      assert.are.equal(want, kind, op .. " " .. tostring(text))
      assert.is_truthy(text:find("^operation 3: "), text)
      assert(doc:check())
      assert.are.equal(before, doc:state())
      assert.are.same({ "t", "a" }, doc:roots())
    end
    local nothing, kind = doc:transact("\118\0")
    assert.is_nil(nothing)
    assert.are.equal("EFORMAT", kind)
    assert.is_nil((doc:transact("\117\5")))
    assert.is_nil((doc:transact("")))
  end)

  it("that changes nothing emits nothing", function()
    local doc = writer()
    assert(transact(doc, '["text.insert","t",0,"😀",{"b":true}]', '["array.push","a",[1]]'))
    for _, op in ipairs {
      '["text.insert","t",1,""]', '["text.delete","t",1,0]', '["text.format","t",1,0,{"b":null}]',
      '["text.format","t",0,2,{"b":true}]', '["text.format","t",1,1,{"b":true}]', '["text.format","t",0,1,{}]',
      '["text.delta","t",[]]', '["text.delta","t",[{"retain":1}]]', '["array.insert","a",1,[]]', '["array.push","a",[]]',
      '["array.delete","a",1,0]', '["map.delete","m","none"]', '["map.clear","m"]', '["map.clear","a"]',
    } do
      local before = doc:state()
      assert.are.equal("", (assert(transact(doc, op))), op)
      assert.are.equal(before, doc:state())
      assert(doc:check())
    end
    assert.are.equal("", (assert(transact(doc))))
    assert.are.same({ "t", "a" }, doc:roots())
  end)

  it("needs a client id to write with", function()
    local doc = engine.new()
    local nothing, kind = transact(doc, '["text.insert","t",0,"x"]')
    assert.is_nil(nothing)
    assert.are.equal("EDENIED", kind)
    doc:set_client(5)
    assert.are.equal("010105000401017401" .. "7800", vectors.hex((assert(transact(doc, '["text.insert","t",0,"x"]')))))
  end)

  it("does not cut characters", function()
    local doc = writer()
    local function text() return read(doc, "t", "text") end
    assert(transact(doc, '["text.insert","t",0,"a😀b😀c"]'))
    assert(transact(doc, '["text.insert","t",2,"X"]'))
    assert.are.equal("aX😀b😀c", text())
    assert(transact(doc, '["text.delete","t",3,2]')) -- half of a character, and b
    assert.are.equal("aX😀c", text())
    assert(transact(doc, '["text.delete","t",2,1]')) -- its first half
    assert.are.equal("aXc", text())
    assert(transact(doc, '["text.insert","t",3,"😀d"]', '["text.format","t",3,1,{"b":1}]'))
    assert.are.equal('[{"insert":"aXc"},{"insert":"😀","attributes":{"b":1}},{"insert":"d"}]', read(doc, "t", "delta"))
    assert(transact(doc, '["text.delta","t",[{"retain":4},{"insert":"Y"},{"retain":1},{"insert":"Z"}]]'))
    assert.are.equal("aXcY😀Zd", text())
    assert(transact(doc, '["text.delta","t",[{"retain":5},{"delete":1},{"insert":"W"}]]'))
    assert.are.equal("aXcYWZd", text())
    assert(doc:check())
  end)
end)

describe("ceilings", function()
  local function refused(limits, op, prepare)
    local doc = engine.new { client = 1, limits = limits }
    if prepare then assert(transact(doc, prepare)) end
    local before = doc:state()
    local nothing, kind = transact(doc, op)
    assert.is_nil(nothing, op)
    assert.are.equal("ELIMIT", kind, op)
    assert(doc:check())
    assert.are.equal(before, doc:state())
  end

  local function nested(depth)
    return '["array.push","a",[' .. ('{"$new":"array","values":['):rep(depth) .. ("]}"):rep(depth) .. "]]"
  end

  it("hold for what is written, one more is refused", function()
    assert(transact(engine.new { client = 1, limits = { key_bytes = 5 } }, '["map.set","m","12345",1]'))
    refused({ key_bytes = 5 }, '["map.set","m","123456",1]')
    refused({ key_bytes = 5 }, '["map.set","123456","k",1]')
    refused({ key_bytes = 5 }, '["text.insert","t",0,"x",{"123456":1}]')
    refused({ key_bytes = 5 }, '["xml.insert","x",0,[{"$new":"xmlelement","name":"123456"}]]')
    refused({ key_bytes = 5 }, '["xml.insert","x",0,[{"$new":"xmlelement","name":"p","attrs":{"123456":1}}]]')
    assert(transact(engine.new { client = 1, limits = { type_depth = 5 } }, nested(4)))
    refused({ type_depth = 5 }, nested(5))
    refused({ type_depth = 5 }, '["map.set","a/0/0/0/0","k",{"$new":"map"}]', nested(4):gsub("%[%]", "[]"))
    refused({ any_depth = 3, type_depth = 3 }, '["map.set","m","k",[[[[1]]]]]')
    refused({ doc_bytes = 100000 }, '["text.insert","t",0,"' .. ("x"):rep(100000) .. '"]')
    refused({ doc_bytes = 100000 }, '["text.format","t",0,200000,{"b":1}]', '["text.insert","t",0,"x"]')
    refused({ doc_bytes = 100000 }, '["text.delta","t",[{"retain":4294967295}]]', '["text.insert","t",0,"x"]')
    refused({ doc_bytes = 100000 }, '["text.format","t",0,4294967295,{"b":1}]', '["text.insert","t",0,"x"]')
  end)

  it("of clocks: a client that has none left writes nothing", function()
    local doc = writer()
    -- Client 1 has written 2^32 - 4 units that were collected.
    assert(doc:apply("\1\1\1\0\0\252\255\255\255\15\0"))
    assert(transact(doc, '["text.insert","t",0,"ab"]'))
    local before = doc:state()
    local nothing, kind = transact(doc, '["text.insert","t",0,"abcd"]')
    assert.is_nil(nothing)
    assert.are.equal("ELIMIT", kind)
    assert.are.equal(before, doc:state())
    assert(doc:check())
  end)
end)

describe("a type that is deleted", function()
  it("cannot be written to", function()
    local doc = writer()
    assert(transact(doc, '["map.set","m","k",{"$new":"array","values":[{"$new":"text","text":"x"}]}]'))
    local nothing, kind = transact(doc, '["map.delete","m","k"]', '["array.push","m/k",[1]]')
    assert.is_nil(nothing)
    assert.are.equal("ENOTFOUND", kind)
    assert.are.equal('{"k":["x"]}', read(doc, "m", "json"))
    assert(transact(doc, '["array.push","m/k",[1]]', '["text.insert","m/k/0",1,"y"]', '["map.set","m","k",{"$new":"map"}]',
      '["map.set","m/k","in",1]'))
    assert.are.equal('{"k":{"in":1}}', read(doc, "m", "json"))
    assert(doc:check())
  end)
end)

describe("subdocuments", function()
  local function guids(list)
    local out = {}
    for _, s in ipairs(list) do out[#out + 1] = (s.removed and "-" or "+") .. s.guid end
    table.sort(out)
    return table.concat(out, " ")
  end

  it("are listed, and reported when they come and go", function()
    local doc, replica = writer(), engine.new()
    local function both(...)
      local emitted, change = assert(transact(doc, ...))
      local _, there = assert(replica:apply(emitted))
      assert.are.equal(guids(change.subdocs), guids(there.subdocs))
      assert(doc:check())
      assert.are.equal(guids(doc:subdocs()), guids(replica:subdocs()))
      return guids(change.subdocs), change.subdocs
    end
    local said, list = both('["map.set","m","a",{"$new":"doc","guid":"one","opts":{"autoLoad":true,"meta":{"x":1},"other":2}}]')
    assert.are.equal("+one", said)
    assert.are.equal("\118\2\8autoLoad\120\4meta\118\1\1x\125\1", list[1].options)
    assert.are.equal("+one +two", (both('["map.set","m","b",{"$new":"doc","guid":"two"}]',
      '["array.push","l",[{"$new":"doc","guid":"one"}]]')))
    assert.are.equal("+one +one +two", guids(doc:subdocs()))
    assert.are.equal("", (both('["map.set","m","c",{"$new":"doc","guid":"three"}]', '["map.delete","m","c"]')))
    assert.are.equal("+four -two", (both('["map.set","m","b",{"$new":"doc","guid":"four"}]')))
    assert.are.equal("-one", (both('["array.delete","l",0,1]')))
    assert.are.equal("+five", (both('["map.set","m","d",{"$new":"map","entries":{"in":{"$new":"doc","guid":"five"}}}]')))
    assert.are.equal("-five", (both('["map.delete","m","d"]')))
    assert.are.equal("+four +one", guids(doc:subdocs()))
    local again = engine.new()
    assert(again:apply(doc:state()))
    assert.are.equal("+four +one", guids(again:subdocs()))
    assert.are.equal("", guids(engine.new():subdocs()))
  end)

  it("come back when a policy refuses their deletion", function()
    local doc, server = writer(2), writer(9)
    assert(server:apply((transact(doc, '["map.set","m","a",{"$new":"doc","guid":"one"}]'))))
    local _, change = assert(server:apply((transact(doc, '["map.delete","m","a"]')), true))
    assert.are.equal("+one -one", guids(change.subdocs))
    assert.are.equal("+one", guids(server:subdocs()))
    assert(server:check())
  end)
end)

describe("JSON as Any", function()
  it("is checked", function()
    assert.are.equal("\117\2\125\1\119\1x", engine.any('[1,"x"]'))
    for _, text in ipairs { "", "[", "[1,]", "nul", '"\1"', "{1:2}" } do
      local nothing, kind = engine.any(text)
      assert.is_nil(nothing, text)
      assert.are.equal("EFORMAT", kind)
    end
    assert.is_nil((engine.any(("["):rep(100) .. ("]"):rep(100))))
  end)
end)
