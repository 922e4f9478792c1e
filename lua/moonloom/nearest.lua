-- SPDX-License-Identifier: MIT
-- The known word that looks most like a mistyped one.

-- Edit distance of two short words, a swap of neighbours counted as one edit.
local function distance(a, b)
  local before, previous = {}, {}
  for j = 0, #b do previous[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local cost = math.min(row[j - 1] + 1, previous[j] + 1, previous[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        cost = math.min(cost, before[j - 2] + 1)
      end
      row[j] = cost
    end
    before, previous = previous, row
  end
  return previous[#b]
end

--- The nearest of `known` (a list) to `word`, or nil if none is near.
---@param word string
---@param known string[]
---@return string?
return function(word, known)
  word = tostring(word)
  local best, best_distance = nil, math.max(1, math.floor(#word / 3)) + 1
  if #word > 60 then return nil end
  for _, candidate in ipairs(known) do
    local d = distance(word:lower(), candidate:lower())
    if d < best_distance or (d == best_distance and best and candidate < best) then
      best, best_distance = candidate, d
    end
  end
  return best
end
