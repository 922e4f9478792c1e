-- SPDX-License-Identifier: MIT
-- In which order plugins are asked: phases first, then `after` and `before` within a phase, then names.
local PHASES = { "edge", "auth", "limit", "validate", "policy", "transform", "observe" }
local RANK = {}
for i, name in ipairs(PHASES) do RANK[name] = i end

-- The cycle that holds up `stuck` (set of names), as "a -> b -> a".
local function describe_cycle(stuck, waits_for)
  local at = nil
  for name in pairs(stuck) do if not at or name < at then at = name end end
  local seen, path = {}, {}
  while not seen[at] do
    path[#path + 1] = at
    seen[at] = #path
    local nexts = {}
    for name in pairs(waits_for[at]) do if stuck[name] then nexts[#nexts + 1] = name end end
    table.sort(nexts)
    at = nexts[1]
  end
  path[#path + 1] = at
  return table.concat(path, " -> ", seen[at])
end

-- Sort one phase: always the first name, in order of the alphabet, that waits for nobody.
local function sort_phase(items)
  local waits_for, present, out = {}, {}, {}
  for _, item in ipairs(items) do
    waits_for[item.name] = {}
    present[item.name] = item
  end
  for _, item in ipairs(items) do
    for _, other in ipairs(item.after) do
      if present[other] then waits_for[item.name][other] = true end
    end
    for _, other in ipairs(item.before) do
      if present[other] then waits_for[other][item.name] = true end
    end
  end
  table.sort(items, function(a, b) return a.name < b.name end)
  while #out < #items do
    local chosen
    for _, item in ipairs(items) do
      if present[item.name] and next(waits_for[item.name]) == nil then chosen = item break end
    end
    if not chosen then return nil, describe_cycle(present, waits_for) end
    out[#out + 1] = chosen
    present[chosen.name] = nil
    for _, set in pairs(waits_for) do set[chosen.name] = nil end
  end
  return out
end

local order = { phases = PHASES, rank = RANK }

--- @param items { name: string, phase: string, after: string[], before: string[] }[]
--- @return table[]?  in order; or nil and the cycle
function order.sort(items)
  local out = {}
  for _, phase in ipairs(PHASES) do
    local members = {}
    for _, item in ipairs(items) do
      if item.phase == phase then members[#members + 1] = item end
    end
    local sorted, cycle = sort_phase(members)
    if not sorted then return nil, ("plugins of phase %s wait for each other: %s"):format(phase, cycle) end
    for _, item in ipairs(sorted) do out[#out + 1] = item end
  end
  return out
end

return order
