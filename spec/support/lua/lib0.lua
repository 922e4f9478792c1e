-- The primitive encodings of the wire (protocols.md 0.1), for numbers up to 2^53.
local M = {}
local char, byte, floor = string.char, string.byte, math.floor

function M.uint(n)
  if n < 128 then return char(n) end
  local out = {}
  while n >= 128 do
    out[#out + 1] = char(128 + n % 128)
    n = floor(n / 128)
  end
  out[#out + 1] = char(n)
  return table.concat(out)
end

function M.bytes(text)
  return M.uint(#text) .. text
end

local Reader = {}
Reader.__index = Reader

function M.reader(text)
  return setmetatable({ text = text, at = 1 }, Reader)
end

function Reader:left()
  return #self.text - self.at + 1
end

function Reader:u8()
  local b = byte(self.text, self.at)
  assert(b, "unexpected end of the bytes")
  self.at = self.at + 1
  return b
end

function Reader:uint()
  local n, scale = 0, 1
  while true do
    local b = self:u8()
    n = n + b % 128 * scale
    if b < 128 then return n end
    scale = scale * 128
  end
end

function Reader:bytes()
  local n = self:uint()
  assert(n <= self:left(), "a length points past the end")
  local text = self.text:sub(self.at, self.at + n - 1)
  self.at = self.at + n
  return text
end

return M
