-- Test vectors and traces: gzip files of JSON, bytes as hex.
local json = require "support.json"

local vectors = {}

local here = debug.getinfo(1, "S").source:match("^@(.*)/support/vectors.lua$") or "spec"

--- All bytes of a gzip file; nil if it is not there.
function vectors.gunzip(path)
  local probe = io.open(path, "rb")
  if not probe then return nil end
  probe:close()
  local pipe = assert(io.popen("gzip -dc '" .. path:gsub("'", "'\\''") .. "'", "r"))
  local bytes = pipe:read("*a")
  pipe:close()
  return bytes
end

function vectors.load(name)
  local path = here .. "/data/vectors/" .. name .. ".json.gz"
  local file = json.decode(assert(vectors.gunzip(path), "no " .. path))
  assert(file.cases == nil or #file.cases > 0, path .. " holds no case")
  return file
end

function vectors.unhex(hex)
  return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

function vectors.hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function vectors.unhex_all(list)
  local out = {}
  for i, hex in ipairs(list) do out[i] = vectors.unhex(hex) end
  return out
end

--- A value of the vectors as the engine's JSON shows it; nil: left out of objects.
function vectors.plain(v)
  if type(v) ~= "table" or v == json.null then return v end
  local kind = v["$y"]
  if kind == "undefined" then return nil end
  if kind == "num" then
    if v.v == "-0" then return 0 end
    return json.null
  end
  if kind == "bigint" then return v.v end
  if kind == "bytes" then return { ["$bytes"] = v.v } end
  if kind == "doc" then return v.guid end
  if v["$t"] then return vectors.tree(v) end
  local out = json.is_list(v) and json.list() or {}
  for k, x in pairs(v) do
    local p = vectors.plain(x)
    if p == nil and json.is_list(v) then p = json.null end
    out[k] = p
  end
  return out
end

--- A tree node ({"$t": …}) as toJSON shows it. Only what stands in deltas: maps, lists, texts.
function vectors.tree(node)
  local kind = node["$t"]
  if kind == "map" then return vectors.plain(node.a or {}) end
  if kind == "array" then return vectors.plain(node.c) end
  if kind == "text" then
    local text = {}
    for _, op in ipairs(node.d) do
      if type(op.insert) == "string" then text[#text + 1] = op.insert end
    end
    return table.concat(text)
  end
  error("no JSON for a tree node of type " .. tostring(kind))
end

--- Neighbouring strings with equal attributes joined, values plain.
function vectors.join_delta(delta)
  local out = json.list()
  for _, op in ipairs(delta) do
    local last = out[#out]
    local attributes = vectors.plain(op.attributes or {})
    if last and type(last.insert) == "string" and type(op.insert) == "string"
      and json.same(last.attributes, attributes) then
      last.insert = last.insert .. op.insert
    else
      local insert = vectors.plain(op.insert)
      if insert == nil then insert = json.null end
      out[#out + 1] = { insert = insert, attributes = attributes }
    end
  end
  return out
end

return vectors
