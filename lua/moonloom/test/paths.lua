-- SPDX-License-Identifier: MIT
-- Paths in replicas of the engine, for t.app: a root, then keys and indexes; "/" inside a key is ~1, "~" is ~0.
local json = require "moonloom.test.json"

local paths = {}

function paths.split(path)
  local list = {}
  for part in (path .. "/"):gmatch("(.-)/") do list[#list + 1] = (part:gsub("~1", "/"):gsub("~0", "~")) end
  return list
end

--- The first n parts as a path.
function paths.join(parts, n)
  local out = {}
  for i = 1, n do out[i] = parts[i]:gsub("~", "~0"):gsub("/", "~1") end
  return table.concat(out, "/")
end

--- JSON text of a root: what it is is told by what it holds.
function paths.read(replica, root)
  local text = replica:read(root, "json")
  if text == nil or text == "{}" or text == "[]" then
    local plain = replica:read(root, "text")
    if plain and plain ~= "" then return json.encode(plain) end
  end
  return text or "null"
end

--- Plain value at a path, nil if there is none.
function paths.value(replica, path)
  local parts = paths.split(path)
  local value = json.decode(paths.read(replica, parts[1]))
  for i = 2, #parts do
    if type(value) ~= "table" then return nil end
    local index = tonumber(parts[i])
    local inner = value[parts[i]]
    if inner == nil and index then inner = value[index + 1] end
    value = inner
  end
  if value == json.null then return nil end
  return value
end

--- The text at a path; "" if there is none.
function paths.text(replica, path)
  if not path:find("/", 1, true) then return replica:read(path, "text") or "" end
  local value = paths.value(replica, path)
  return type(value) == "string" and value or ""
end

function paths.len16(s)
  local n = 0
  for lead in s:gmatch("[^\128-\191]") do n = n + (lead:byte() >= 0xf0 and 2 or 1) end
  return n
end

return paths
