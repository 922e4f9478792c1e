-- Undo: the same steps, the same bytes as Yjs' UndoManager, and what it must not leave behind.
local any = require "support.any"
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"
local views = require "support.views"

local hex, unhex = vectors.hex, vectors.unhex

local US, THEM = 1, 2

local function roots_of(case)
  local names = {}
  for i, root in ipairs(case.roots) do names[i] = root.name end
  return names
end

-- One step of a case; answers the emitted updates, as the case counts them.
local function play(doc, step, what)
  local emitted, kind, text
  if step.tx then
    doc:origin(US, 1)
    emitted, kind, text = doc:transact(any.encode(step.tx))
  elseif step.apply_v1_hex then
    doc:origin(THEM, 1)
    emitted, kind, text = doc:apply(unhex(step.apply_v1_hex))
  elseif step.undo ~= nil then
    emitted, kind, text = doc:undo()
    assert.are.equal(step.undo, emitted ~= nil, what .. ": " .. tostring(kind))
  else
    emitted, kind, text = doc:redo()
    assert.are.equal(step.redo, emitted ~= nil, what .. ": " .. tostring(kind))
  end
  assert(emitted or kind == "ENOTFOUND", ("%s: %s %s"):format(what, tostring(kind), tostring(text)))
  assert(doc:check())
  return (emitted == nil or emitted == "") and {} or { hex(emitted) }
end

local function new(case)
  local doc = engine.new { client = case.client_id, gc = case.gc }
  doc:track { roots = roots_of(case), origins = { US } }
  return doc
end

describe("vectors undo", function()
  for _, case in ipairs(vectors.load("undo").cases) do
    it(case.name, function()
      local doc, replica = new(case), engine.new {}
      for i, step in ipairs(case.steps) do
        local what = "step " .. i
        local emitted = play(doc, step, what)
        assert.are.same({ unpack(step.emitted_v1_hex) }, emitted, what)
        views.check(function(root, view) return doc:read(root, view) end, step, what)
        for _, update in ipairs(emitted) do assert(replica:apply(unhex(update))) end
        views.check(function(root, view) return replica:read(root, view) end, step, what .. ", replica")
      end
      assert.are.equal(case.state_vector_hex, hex(doc:sv()))
      -- Nobody goes back any more: the same bytes as on a replica that never did.
      doc:untrack()
      assert(doc:check())
      assert.are.equal(hex(replica:state()), hex(doc:state()))
      assert.are.equal(case.gc, doc:stats().deleted_runs == replica:stats().deleted_runs)
    end)
  end
end)

describe("undo", function()
  local function edit(doc, origin, at, ops)
    doc:origin(origin, at)
    local emitted = assert(doc:transact(any.encode(json.decode(ops))))
    assert(doc:check())
    return emitted
  end

  local function insert(at, text, root)
    return ('[{"op":"text.insert","path":["%s"],"index":%d,"text":"%s"}]'):format(root or "t", at, text)
  end

  local function delete(at, n)
    return ('[{"op":"text.delete","path":["t"],"index":%d,"length":%d}]'):format(at, n)
  end

  local function tracked(options)
    local doc = engine.new { client = 7 }
    options = options or {}
    options.origins = { US }
    doc:track(options)
    return doc
  end

  local function back(doc, want)
    assert(doc:undo())
    assert(doc:check())
    assert.are.equal(want, doc:read("t", "text"))
  end

  local function forth(doc, want)
    assert(doc:redo())
    assert(doc:check())
    assert.are.equal(want, doc:read("t", "text"))
  end

  it("goes back and forth, and says when there is nothing", function()
    local doc = tracked()
    assert.are.equal("ENOTFOUND", select(2, doc:undo()))
    assert.are.equal("ENOTFOUND", select(2, doc:redo()))
    edit(doc, US, 1, insert(0, "hello"))
    edit(doc, US, 2, delete(1, 3))
    for _ = 1, 20 do
      back(doc, "hello")
      back(doc, "")
      assert.are.equal("ENOTFOUND", select(2, doc:undo()))
      forth(doc, "hello")
      forth(doc, "ho")
      assert.are.equal("ENOTFOUND", select(2, doc:redo()))
    end
    assert.are.same({ 2, 0 }, { doc:steps() })
    edit(doc, US, 3, insert(2, "!"))
    back(doc, "ho")
    edit(doc, US, 4, insert(0, "a"))
    assert.are.equal("ENOTFOUND", select(2, doc:redo()))
  end)

  it("joins what comes soon after, by the clock of the caller", function()
    local doc = tracked { join_ms = 500 }
    edit(doc, US, 1000, insert(0, "a"))
    edit(doc, US, 1499, insert(1, "b"))
    edit(doc, US, 1998, delete(0, 1))
    edit(doc, US, 2498, insert(1, "c"))
    assert.are.same({ 2, 0 }, { doc:steps() })
    doc:stop_joining()
    edit(doc, US, 2499, insert(2, "d"))
    back(doc, "bc")
    edit(doc, US, 2500, insert(2, "e"))
    back(doc, "bc")
    back(doc, "b")
    back(doc, "")
  end)

  it("is about one author and the roots of its scope", function()
    local doc = tracked { roots = { "t" } }
    edit(doc, US, 1, insert(0, "ours"))
    edit(doc, THEM, 2, insert(4, " theirs"))
    edit(doc, 0, 3, insert(0, "nobody's "))
    edit(doc, US, 4, insert(0, "elsewhere", "u"))
    assert.are.same({ 1, 0 }, { doc:steps() })
    back(doc, "nobody's  theirs")
    assert.are.equal("elsewhere", doc:read("u", "text"))
    forth(doc, "nobody's ours theirs")
  end)

  it("puts back what others have typed around, and leaves what they have deleted", function()
    local doc, other = tracked(), engine.new { client = 8 }
    other:apply(edit(doc, US, 1, insert(0, "hello")))
    local ours = edit(doc, US, 2, delete(1, 3))
    doc:origin(THEM, 3)
    doc:apply(edit(other, 1, 3, insert(3, "XX")))
    other:apply(ours)
    assert.are.equal("hXXo", doc:read("t", "text"))
    other:apply((doc:undo()))
    assert(doc:check())
    assert.are.equal(doc:read("t", "text"), other:read("t", "text"))
    assert.are.equal(7, #doc:read("t", "text"))
    doc:apply(edit(other, 1, 4, delete(0, 7)))
    assert.are.equal("ENOTFOUND", select(2, doc:undo()))
    assert.are.equal("", doc:read("t", "text"))
  end)

  it("gives a position back with what it was in", function()
    local doc = tracked()
    edit(doc, US, 1, insert(0, "hello"))
    local p = doc:position({ "t" }, 2, 0)
    edit(doc, US, 2, delete(0, 5))
    assert.are.equal(0, doc:resolve(p))
    back(doc, "hello")
    assert.are.equal(2, doc:resolve(p))
    edit(doc, US, 3, insert(0, "ab"))
    assert.are.equal(4, doc:resolve(p))
  end)

  it("brings nested types back with what was in them, again and again", function()
    local doc = tracked()
    local deep = '{"$new":"map","entries":{"a":{"$new":"array","values":[1,{"$new":"text","text":"x"},2]},"b":3}}'
    edit(doc, US, 1, '[{"op":"map.set","path":["m"],"key":"k","value":' .. deep .. "}]")
    local full = doc:read("m", "json")
    edit(doc, US, 2, '[{"op":"array.delete","path":["m","k","a"],"index":0,"length":1}]')
    local less = doc:read("m", "json")
    edit(doc, US, 3, '[{"op":"map.delete","path":["m"],"key":"k"}]')
    for _ = 1, 5 do
      for _, want in ipairs { less, full, "{}" } do
        assert(doc:undo())
        assert(doc:check())
        assert.are.equal(want, doc:read("m", "json"))
      end
      for _, want in ipairs { full, less, "{}" } do
        assert(doc:redo())
        assert(doc:check())
        assert.are.equal(want, doc:read("m", "json"))
      end
    end
    doc:untrack()
    assert(doc:check())
  end)

  it("keeps no more steps than it may, and collects what only old ones needed", function()
    local doc = tracked { steps_max = 8 }
    for i = 1, 100 do
      edit(doc, US, i, insert(0, ("x"):rep(10000)))
      edit(doc, US, i, delete(0, 10000))
    end
    assert(({ doc:steps() })[1] <= 8)
    assert(doc:stats().memory_bytes < 400000, doc:stats().memory_bytes)
    assert(doc:undo())
    assert.are.equal(10000, #doc:read("t", "text"))
    doc:forget_steps()
    assert(doc:check())
    assert.are.same({ 0, 0 }, { doc:steps() })
    -- A step with more ranges than all may have cannot be undone.
    doc:track { origins = { US }, ranges_max = 3 }
    edit(doc, US, 1, insert(0, "y"))
    assert.are.same({ 1, 0 }, { doc:steps() })
    local ops = {}
    for i = 1, 5 do ops[i] = delete(i, 1):sub(2, -2) end
    edit(doc, US, 2, "[" .. table.concat(ops, ",") .. "]")
    assert.are.same({ 0, 0 }, { doc:steps() })
  end)

  it("refuses at a ceiling of the document, which stays as it was", function()
    local doc = engine.new { client = 7, limits = { doc_bytes = 300000 } }
    doc:track { origins = { US } }
    edit(doc, US, 1, insert(0, ("x"):rep(100000)))
    edit(doc, US, 2, delete(0, 100000))
    for i = 3, 100 do
      edit(doc, 0, i, '[{"op":"text.insert","path":["u"],"index":0,"text":"' .. ("y"):rep(9000) .. '"}]')
      if doc:stats().memory_bytes > 230000 then break end
    end
    local before = doc:state()
    local got, kind = doc:undo()
    assert.is_nil(got)
    assert.are.equal("ELIMIT", kind)
    assert(doc:check())
    assert.are.equal(before, doc:state())
    assert.are.same({ 2, 0 }, { doc:steps() })
  end)

  it("brings long rows back in their order, whichever they were made in", function()
    for _, place in ipairs { function(i) return i - 1 end, function() return 0 end,
      function(i) return i * 7919 % i end, function(i) return math.floor((i - 1) / 2) end } do
      local doc, ops = tracked(), {}
      edit(doc, US, 1, '[{"op":"map.set","path":["m"],"key":"a","value":{"$new":"array"}}]')
      for i = 1, 500 do
        ops[i] = ('{"op":"array.insert","path":["m","a"],"index":%d,"values":[{"$new":"map","entries":{"i":%d}}]}')
          :format(place(i), i)
      end
      edit(doc, US, 2, "[" .. table.concat(ops, ",") .. "]")
      local full = doc:read("m", "json")
      edit(doc, US, 3, '[{"op":"map.delete","path":["m"],"key":"a"}]')
      for _ = 1, 2 do
        assert(doc:undo())
        assert(doc:check())
        assert.are.equal(full, doc:read("m", "json"))
        assert(doc:redo())
      end
    end
  end)

  it("and two authors at random: replicas agree, and nothing stays behind", function()
    for seed = 1, 40 do
      local state = seed * 7907
      local function random(n)
        state = (state * 16807) % 2147483647
        return state % n
      end
      local docs = { engine.new { client = 1 }, engine.new { client = 2 } }
      local plain = engine.new {}
      for _, doc in ipairs(docs) do doc:track { origins = { US }, join_ms = 2, steps_max = 4 } end
      local nested = '{"$new":"map","entries":{"l":{"$new":"array","values":[{"$new":"text","text":"ab"},1]},"v":1}}'
      local kinds = {
        function(doc)
          return insert(random(#doc:read("t", "text") + 1), ("xyz"):sub(1, random(3) + 1))
        end,
        function(doc)
          local n = #doc:read("t", "text")
          return n > 1 and delete(random(n), 1) or insert(0, "q")
        end,
        function()
          return ('[{"op":"map.set","path":["m"],"key":"%d","value":%s}]')
            :format(random(2), random(2) == 0 and nested or tostring(random(9)))
        end,
        function() return ('[{"op":"map.delete","path":["m"],"key":"%d"}]'):format(random(2)) end,
        function(doc)
          local m = json.decode(doc:read("m", "json"))
          if type(m["0"]) ~= "table" or not m["0"].l then return "[]" end
          return '[{"op":"array.insert","path":["m","0","l"],"index":0,"values":[7]},'
            .. '{"op":"array.delete","path":["m","0","l"],"index":0,"length":1},'
            .. '{"op":"array.push","path":["m","0","l"],"values":[{"$new":"map"}]}]'
        end,
      }
      for i = 1, 40 do
        local d = random(2) + 1
        local doc, other = docs[d], docs[3 - d]
        local what = random(10)
        local emitted
        if what < 6 then
          emitted = edit(doc, US, i, kinds[random(#kinds) + 1](doc))
        elseif what < 9 then
          emitted = doc:undo()
        else
          emitted = doc:redo()
        end
        assert(doc:check())
        if emitted and emitted ~= "" then
          other:origin(THEM, i)
          assert(other:apply(emitted))
          assert(other:check())
          assert(plain:apply(emitted))
        end
        for _, root in ipairs { "t", "m" } do
          assert.are.equal(plain:read(root, "json"), doc:read(root, "json"), "seed " .. seed .. " step " .. i)
          assert.are.equal(plain:read(root, "json"), other:read(root, "json"), "seed " .. seed .. " step " .. i)
        end
      end
      for _, doc in ipairs(docs) do
        doc:untrack()
        assert(doc:check())
        assert.are.equal(hex(plain:state()), hex(doc:state()), "seed " .. seed)
      end
    end
  end)

  it("leaves no trace in a document that was tracked", function()
    local doc, plain = tracked(), engine.new {}
    for i = 1, 30 do
      plain:apply(edit(doc, US, i, insert(0, "abc")))
      plain:apply(edit(doc, US, i, delete(1, 1)))
      if i % 3 == 0 then plain:apply((assert(doc:undo()))) end
      if i % 6 == 0 then plain:apply((assert(doc:redo()))) end
    end
    doc:untrack()
    assert(doc:check())
    assert.are.equal(hex(plain:state()), hex(doc:state()))
  end)
end)
