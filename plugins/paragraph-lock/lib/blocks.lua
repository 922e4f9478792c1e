-- Which block a place is in. A block has a name that stays while positions move: that of its element (a paragraph, a row of a
-- table), or of the heading above it.
local blocks = {}

local HEADINGS = { "heading", "h1", "h2", "h3", "h4", "h5", "h6" }
local ROWS = { tableRow = true, table_row = true, tr = true }

local function parent_of(path) return path:match("^(.*)/[^/]*$") end

-- The list that a path goes through first, and where in it: "content/3/0" → "content", 3.
local function top_of(path)
  local container, index = path:match("^([^/]+)/(%d+)%f[/%z]")
  if container then return container, tonumber(index) end
  local at = 1
  while true do
    local from, to, digits = path:find("/(%d+)%f[/%z]", at)
    if not from then return nil end
    if from > 1 then return path:sub(1, from - 1), tonumber(digits) end
    at = to + 1
  end
end

local function section(doc, container, index)
  local xml, found = doc:xml(container), nil
  for _, tag in ipairs(HEADINGS) do
    local at = index >= 0 and xml:above(index, tag)
    if at and (not found or at > found) then found = at end
  end
  return found and doc:xml(("%s/%d"):format(container, found)):id() or "top " .. container
end

local function row(doc, path)
  while path do
    local xml = doc:xml(path)
    if ROWS[xml:tag() or ""] then return xml:id() end
    path = parent_of(path)
  end
end

local find = {}

function find.paragraph(doc, path)
  if doc:xml(path):tag() then return doc:xml(path):id() end
  local parent = parent_of(path)
  return parent and doc:xml(parent):id()
end

function find.heading_section(doc, path)
  local container, index = top_of(path)
  return container and section(doc, container, index)
end

function find.table_row(doc, path) return row(doc, path) or find.paragraph(doc, path) end

--- The block of a place in a document; nil: none.
---@param kind "paragraph"|"heading_section"|"table_row"
---@param path string  of a text or an element
function blocks.at(kind, doc, path) return find[kind](doc, path) end

-- ---- Of an edit ---------------------------------------------------------------------------------------------------------

local of = {}

-- An element that goes takes with it what stands in it.
local function inside(doc, path)
  local out = { doc:xml(path):id() }
  for at in doc:xml(path):each_block() do out[#out + 1] = doc:xml(at):id() end
  return out
end

function of.paragraph(doc, e)
  if e.kind == "xml.delete" then return inside(doc, ("%s/%d"):format(e.path, e.index)) end
  if e.kind == "xml.attr" then return { doc:xml(e.path):id() } end
  return { e.block }
end

-- Is it in an element that comes with the same update? Its path then says where that will be, not what is there now.
local function is_in_new(doc, e, fresh)
  if e.kind:sub(1, 5) == "text." then
    local parent = parent_of(e.path)
    return parent ~= nil and e.block ~= doc:xml(parent):id()
  end
  local path = e.path
  while path do
    if fresh[path] then return true end
    path = parent_of(path)
  end
  return false
end

function of.heading_section(doc, e, fresh)
  if is_in_new(doc, e, fresh) then return {} end
  if e.kind ~= "xml.insert" and e.kind ~= "xml.delete" or top_of(e.path) then return { find.heading_section(doc, e.path) } end
  return { section(doc, e.path, e.kind == "xml.insert" and e.index - 1 or e.index) }
end

function of.table_row(doc, e, fresh)
  if is_in_new(doc, e, fresh) then return of.paragraph(doc, e) end
  local mine = row(doc, e.path)
  if mine then return { mine } end
  local path = e.kind == "xml.delete" and ("%s/%d"):format(e.path, e.index)
  if path and ROWS[doc:xml(path):tag() or ""] then return { doc:xml(path):id() } end
  return of.paragraph(doc, e)
end

--- The blocks that an edit of a text or an element is about; may be none. `fresh`: paths of the elements that have come so far
--- with the same update; the caller keeps it.
function blocks.of(kind, doc, e, fresh)
  local found = of[kind](doc, e, fresh)
  if e.kind == "xml.insert" and e.tag then fresh[("%s/%d"):format(e.path, e.index)] = true end
  return found
end

return blocks
