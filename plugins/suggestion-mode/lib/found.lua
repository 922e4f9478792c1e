-- Where the marks of suggestions are in a document: all texts of a root, and what of them carries an id.
local runs = require "suggestion-mode.lib.runs"
local found = {}

local DEPTH_MAX = 64

local function walk(doc, path, depth, fn)
  for i, child in ipairs(doc:xml(path):children()) do
    local at = ("%s/%d"):format(path, i - 1)
    if type(child) == "string" then fn(at) elseif depth < DEPTH_MAX then walk(doc, at, depth + 1, fn) end
  end
end

-- Calls fn(path, runs) for the text at `hint`, and for every text of the elements below its root.
local function each_text(doc, hint, fn)
  local seen = {}
  local function look(path)
    if seen[path] then return end
    seen[path] = true
    local ok, delta = pcall(function() return doc:text(path):delta() end)
    if ok and #delta > 0 then fn(path, runs.of(delta)) end
  end
  look(hint)
  local root = hint:match("^[^/]+")
  pcall(walk, doc, root, 1, look)
end

--- Does a run carry the id, in the mark `kind`?
function found.has(run, kind, id)
  local mark = run.attrs[kind]
  return type(mark) == "table" and mark.id == id
end

--- Everything of these suggestions: list of { path, from, len, kind, id }, in the order of each text.
---@param entries table[]  as in the list: each has an id and a path
function found.places(doc, entries)
  local wanted, hints, out = {}, {}, {}
  for _, entry in ipairs(entries) do
    wanted[entry.id] = true
    hints[entry.path] = true
  end
  local seen = {}
  for hint in pairs(hints) do
    each_text(doc, hint, function(path, list)
      if seen[path] then return end
      seen[path] = true
      local at = 0
      for _, run in ipairs(list) do
        for _, kind in ipairs { "insertion", "deletion" } do
          local mark = run.attrs[kind]
          if type(mark) == "table" and wanted[mark.id] then
            out[#out + 1] = { path = path, from = at, len = run.len, kind = kind, id = mark.id }
          end
        end
        at = at + run.len
      end
    end)
  end
  return out
end

return found
