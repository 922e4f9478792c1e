-- A text as a list of runs { text | embed, len (UTF-16 units), attrs }, as text:delta() shows it.
local ml = require "moonloom"
local runs = {}

local NONE = {}

--- From what text:delta() answers.
function runs.of(delta)
  local out = {}
  for i, op in ipairs(delta) do
    local text = type(op.insert) == "string" and op.insert or nil
    local len = text and ml.text.len16(text) or 1
    out[i] = { text = text, embed = text == nil and op.insert or nil, len = len, attrs = op.attributes or NONE }
  end
  return out
end

local function cut(run, from, to)
  if from == 0 and to == run.len then return run end
  local text = run.text:sub(ml.text.to8(run.text, from) + 1, ml.text.to8(run.text, to))
  return { text = text, len = to - from, attrs = run.attrs }
end

--- Units [from, from + len).
function runs.slice(list, from, len)
  local out, at, to = {}, 0, from + len
  for _, run in ipairs(list) do
    local first, last = math.max(from, at), math.min(to, at + run.len)
    if first < last then out[#out + 1] = cut(run, first - at, last - at) end
    at = at + run.len
    if at >= to then break end
  end
  return out
end

--- What is left without some ranges { from, to } (in any order, they may overlap): runs that know where they stand, `from`.
function runs.outside(list, ranges)
  table.sort(ranges, function(a, b) return a.from < b.from end)
  local out, at, next_range, until_ = {}, 0, 1, 0 -- everything before `until_` is inside of a range
  for _, run in ipairs(list) do
    local from, last = at, at + run.len
    while from < last do
      while ranges[next_range] and ranges[next_range].from <= from do
        until_ = math.max(until_, ranges[next_range].to)
        next_range = next_range + 1
      end
      local to = math.min(last, ranges[next_range] and ranges[next_range].from or last)
      if until_ > from then
        to = math.min(last, until_)
      else
        out[#out + 1] = { from = from, len = to - from, attrs = run.attrs }
      end
      from = to
    end
    at = last
  end
  return out
end

--- Two lists of as many units side by side: calls fn(a, b, from, len) for each stretch, `from` of b's.
function runs.side_by_side(a, b, fn)
  local i, k, done_a, done_b = 1, 1, 0, 0
  while a[i] and b[k] do
    local len = math.min(a[i].len - done_a, b[k].len - done_b)
    fn(a[i], b[k], b[k].from + done_b, len)
    done_a, done_b = done_a + len, done_b + len
    if done_a == a[i].len then i, done_a = i + 1, 0 end
    if done_b == b[k].len then k, done_b = k + 1, 0 end
  end
end

--- The formats that turn `from` into `to`.
function runs.change(from, to)
  local out
  for key in pairs(from) do
    if to[key] == nil then
      out = out or {}
      out[key] = ml.null
    end
  end
  for key, value in pairs(to) do
    if from[key] == nil or runs.signature(from[key]) ~= runs.signature(value) then
      out = out or {}
      out[key] = value
    end
  end
  return out
end

--- The formats of one unit; none outside of the text.
function runs.attrs_at(list, index)
  local at = 0
  for _, run in ipairs(list) do
    if index >= at and index < at + run.len then return run.attrs end
    at = at + run.len
  end
  return NONE
end

--- Plain text, embeds left out.
function runs.text(list)
  local out = {}
  for _, run in ipairs(list) do out[#out + 1] = run.text end
  return table.concat(out)
end

-- The same value always gives the same text.
local function write(value, out)
  if type(value) ~= "table" then
    out[#out + 1] = ml.json.encode(value)
    return
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  out[#out + 1] = "{"
  for _, key in ipairs(keys) do
    out[#out + 1] = ml.json.encode(tostring(key))
    out[#out + 1] = ":"
    write(value[key], out)
    out[#out + 1] = ","
  end
  out[#out + 1] = "}"
end

function runs.signature(value)
  local out = {}
  write(value, out)
  return table.concat(out)
end

--- The attributes without some of them.
function runs.without(attrs, ...)
  local out = {}
  for key, value in pairs(attrs) do out[key] = value end
  for _, key in ipairs { ... } do out[key] = nil end
  return out
end

--- What runs show, so that two texts are the same if and only if these are; `look(run)` answers the formats that
--- count, or nil: the run does not.
function runs.shown(list, look)
  local out, before = {}, nil
  for _, run in ipairs(list) do
    local attrs = look(run)
    if attrs then
      local formats = runs.signature(attrs)
      if formats ~= before or not run.text then out[#out + 1] = "\n" .. formats .. "\n" end
      before = run.text and formats or nil
      out[#out + 1] = run.text and (run.text:gsub("\n", "\n\n")) or runs.signature(run.embed)
    end
  end
  return table.concat(out)
end

return runs
