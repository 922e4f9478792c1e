-- A large first sync leaves in parts, none of which takes too long: each is an update of its own.
local engine = require "moonloom.engine"

local function varuint(n)
  local out = {}
  while n >= 0x80 do
    out[#out + 1] = string.char(n % 0x80 + 0x80)
    n = math.floor(n / 0x80)
  end
  return table.concat(out) .. string.char(n)
end

local function varstring(s)
  return varuint(#s) .. s
end

-- One client that typed `text` into root "t" in one go.
local function typed(text)
  return "\1\1\7\0\4\1" .. varstring "t" .. varstring(text) .. "\0"
end

local function check(update, part_bytes)
  local parts = assert(engine.split(update, part_bytes))
  local whole, pieces = engine.new(), engine.new()
  assert(whole:apply(update))
  for _, part in ipairs(parts) do
    assert.is_true(#part <= part_bytes + 64, #part .. " bytes in a part of " .. part_bytes)
    assert(pieces:apply(part))
    assert(pieces:check())
  end
  assert.are.equal(whole:state(), pieces:state())
  return parts, pieces
end

describe("a split update", function()
  it("cuts a text that is one struct between its characters", function()
    local parts, doc = check(typed(("abcde"):rep(4000)), 1000)
    assert.is_true(#parts >= 20)
    assert.are.equal(("abcde"):rep(4000), doc:read("t", "text"))
  end)

  it("never cuts inside a character or a surrogate pair", function()
    for part_bytes = 90, 103 do
      local text = ("é€😀z"):rep(300)
      local _, doc = check(typed(text), part_bytes)
      assert.are.equal(text, doc:read("t", "text"))
    end
  end)

  it("arrives whole in any order", function()
    local update = typed(("0123456789"):rep(2000))
    local parts = assert(engine.split(update, 777))
    local doc = engine.new()
    for i = #parts, 1, -1 do assert(doc:apply(parts[i])) end
    assert(doc:check())
    assert.are.equal(("0123456789"):rep(2000), doc:read("t", "text"))
  end)

  it("leaves the value of a key whole", function()
    -- map "m", key "k", a String content: its value is the last unit, so a part would show another one
    local update = "\1\1\7\0\36\1" .. varstring "m" .. varstring "k" .. varstring(("x"):rep(5000)) .. "\0"
    local parts = assert(engine.split(update, 1000))
    assert.are.equal(1, #parts)
  end)
end)
