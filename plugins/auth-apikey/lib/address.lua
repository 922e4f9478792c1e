-- Is an address in a range? Both kinds as lists of 16-bit groups; an IPv4 address is ::ffff:a.b.c.d.
local address = {}

local function v4(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if not a then return nil end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then return nil end
  return { 0, 0, 0, 0, 0, 0xffff, a * 256 + b, c * 256 + d }
end

local function groups_of(text)
  local list = {}
  if text == "" then return list end
  for part in (text .. ":"):gmatch("(.-):") do
    if part:find(".", 1, true) then
      local four = v4(part)
      if not four then return nil end
      list[#list + 1], list[#list + 2] = four[7], four[8]
    else
      if not part:find("^%x%x?%x?%x?$") then return nil end
      list[#list + 1] = tonumber(part, 16)
    end
  end
  return list
end

local function v6(text)
  local head, tail = text:match("^(.-)::(.*)$")
  if not head then
    local list = groups_of(text)
    return list and #list == 8 and list or nil
  end
  local a, b = groups_of(head), groups_of(tail)
  if not a or not b or #a + #b > 7 then return nil end
  local list = {}
  for i = 1, 8 do list[i] = a[i] or 0 end
  for i = 1, #b do list[8 - #b + i] = b[i] end
  return list
end

local function parse(text)
  return v4(text) or v6(text)
end

--- nil: one of the two is no address.
function address.is_in(text, range)
  local base, bits = range:match("^([^/]+)/(%d+)$")
  local ip, net = parse(text), parse(base or range)
  if not ip or not net then return nil end
  bits = tonumber(bits) or 128
  if base and v4(base) then bits = bits + 96 end
  for i = 1, 8 do
    local take = math.max(0, math.min(16, bits - (i - 1) * 16))
    local unit = 2 ^ (16 - take)
    if math.floor(ip[i] / unit) ~= math.floor(net[i] / unit) then return false end
  end
  return true
end

return address
