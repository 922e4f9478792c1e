local byte, sub = string.byte, string.sub
local luhn = {}

local function digit(b) return b and b >= 48 and b <= 57 end

local function valid(text, pos, n)
  local sum = 0
  for i = n, 1, -1 do
    local d = byte(text, pos[i]) - 48
    if (n - i) % 2 == 1 then d = d * 2; if d > 9 then d = d - 9 end end
    sum = sum + d
  end
  return sum % 10 == 0
end

--- Replaces all but the last four digits of every card number.
---@param text string
---@return string masked, integer hits
function luhn.mask(text)
  local out, hits, from, i = {}, 0, 1, 1
  while i <= #text do
    local pos, n = {}, 0
    while digit(byte(text, i)) or (n > 0 and (byte(text, i) == 32 or byte(text, i) == 45) and digit(byte(text, i + 1))) do
      if digit(byte(text, i)) then n = n + 1; pos[n] = i end
      i = i + 1
    end
    if n >= 13 and n <= 19 and valid(text, pos, n) then
      hits = hits + 1
      out[#out + 1] = sub(text, from, pos[1] - 1)
      out[#out + 1] = (sub(text, pos[1], pos[n - 4]):gsub("%d", "*"))
      from = pos[n - 4] + 1
    end
    i = i + 1
  end
  out[#out + 1] = sub(text, from)
  return table.concat(out), hits
end

return luhn
