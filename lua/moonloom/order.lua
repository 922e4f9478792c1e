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

-- Plugin first, then instance.
local function by_name(a, b)
  local p, q = a.plugin or a.name, b.plugin or b.name
  if p ~= q then return p < q end
  return a.name < b.name
end

-- Sort one phase: always the first name, in order of the alphabet, that waits for nobody. `after` and
-- `before` name plugins and mean all their instances.
local function sort_phase(items)
  local waits_for, present, instances, out = {}, {}, {}, {}
  for _, item in ipairs(items) do
    local plugin = item.plugin or item.name
    waits_for[item.name] = {}
    present[item.name] = item
    instances[plugin] = instances[plugin] or {}
    instances[plugin][#instances[plugin] + 1] = item.name
  end
  for _, item in ipairs(items) do
    for _, other in ipairs(item.after) do
      for _, name in ipairs(instances[other] or {}) do waits_for[item.name][name] = true end
      if instances[other] then item.reason = "after " .. other end
    end
    for _, other in ipairs(item.before) do
      for _, name in ipairs(instances[other] or {}) do waits_for[name][item.name] = true end
      if instances[other] then item.reason = "before " .. other end
    end
  end
  table.sort(items, by_name)
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

--- Pin some of `sorted`: they change places among themselves, until they stand as in `names` (of
--- plugins or instances); the others stay where they are.
function order.pin(sorted, names)
  local places, pinned = {}, {}
  for _, name in ipairs(names) do
    for i, item in ipairs(sorted) do
      if (item.plugin == name or item.name == name) and not places[i] then
        places[i] = true
        pinned[#pinned + 1] = item
      end
    end
  end
  local out, n = {}, 0
  for i, item in ipairs(sorted) do
    if places[i] then
      n = n + 1
      item = pinned[n]
      item.reason = "pinned"
    end
    out[i] = item
  end
  return out
end

return order
