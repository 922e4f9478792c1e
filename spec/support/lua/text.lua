-- The naive model of one Yjs text: a linked list of UTF-16 units, each with its id. Slow, short, and written without a
-- look at the engine, so that the two check each other. Knows text, deleted content, GC and Skip; anything else in an
-- update is an error.
--
-- Source: YATA (Nicolaescu et al., GROUP 2016), with Yjs' way of breaking ties (Item.integrate, 13.6), unit by unit.
local lib0 = require "lib0"

local Text = {}
Text.__index = Text

local function id_of(client, clock)
  return ("%.0f:%.0f"):format(client, clock)
end

function Text.new(client, root)
  return setmetatable({
    client = client, root = root or "content",
    units = {}, -- id → unit
    clocks = {}, -- client → next clock
    waiting = {}, -- structs whose origins are not here
    doomed = {}, -- ids to delete that are not here
    head = { next = nil }, -- before the first unit
    writers = {}, -- clients in the order they were met
  }, Text)
end

--- UTF-16 units of a UTF-8 text, as a list of UTF-8 pieces; a pair is its four bytes and then "".
local function split(text)
  local out = {}
  for piece in text:gmatch "[%z\1-\127\194-\247][\128-\191]*" do
    out[#out + 1] = piece
    if #piece == 4 then out[#out + 1] = "" end
  end
  return out
end

function Text:clock(client)
  return self.clocks[client] or 0
end

local function advance(self, client, clock)
  if not self.clocks[client] then self.writers[#self.writers + 1] = client end
  self.clocks[client] = clock
end

--- Where `unit` goes between `left` (a unit or the head) and `right` (a unit or nil).
local function place(unit, left, right)
  local before, conflicting = {}, {}
  local other = left.next
  while other and other ~= right do
    before[other.id], conflicting[other.id] = true, true
    if other.origin == unit.origin then
      if other.client < unit.client then
        left, conflicting = other, {}
      elseif other.right_origin == unit.right_origin then
        break
      end
    elseif other.origin and before[other.origin] then
      if not conflicting[other.origin] then left, conflicting = other, {} end
    else
      break
    end
    other = other.next
  end
  unit.next = left.next
  left.next = unit
end

--- A run of the wire: { client, clock, len, origin, right_origin, pieces | nil = deleted, gc }.
local function integrate(self, run)
  local known = self:clock(run.client)
  if known >= run.clock + run.len then return true end
  if known < run.clock then return false end
  for _, id in ipairs { run.origin or "", run.right_origin or "" } do
    if id ~= "" and not self.units[id] then return false end
  end
  local previous
  for i = known - run.clock, run.len - 1 do
    local unit = {
      id = id_of(run.client, run.clock + i), client = run.client, clock = run.clock + i,
      origin = i == 0 and run.origin or i > 0 and not run.gc and id_of(run.client, run.clock + i - 1) or nil,
      right_origin = run.right_origin, text = run.pieces and run.pieces[i + 1] or "",
      deleted = run.pieces == nil, gc = run.gc,
    }
    local left = unit.origin and self.units[unit.origin]
    unit.gc = unit.gc or left and left.gc
    if unit.gc then
      unit.deleted = true
    elseif previous and left == previous then
      unit.next = previous.next -- nothing can have come between them yet
      previous.next = unit
    else
      place(unit, left or self.head, unit.right_origin and self.units[unit.right_origin])
    end
    if self.doomed[unit.id] then unit.deleted, self.doomed[unit.id] = true, nil end
    self.units[unit.id] = unit
    previous = unit
  end
  advance(self, run.client, run.clock + run.len)
  return true
end

local function read_run(r, client, clock)
  local info = r:u8()
  local kind = info % 32
  local run = { client = client, clock = clock }
  if kind == 0 or kind == 10 then
    run.len, run.gc, run.skip = r:uint(), kind == 0, kind == 10
    return run
  end
  local has_left, has_right = info >= 128, math.floor(info / 64) % 2 == 1
  if has_left then run.origin = id_of(r:uint(), r:uint()) end
  if has_right then run.right_origin = id_of(r:uint(), r:uint()) end
  if not has_left and not has_right then
    assert(r:uint() == 1, "the naive model knows roots only")
    run.root = r:bytes()
    assert(math.floor(info / 32) % 2 == 0, "the naive model knows no keys")
  end
  if kind == 1 then
    run.len = r:uint()
  elseif kind == 4 then
    run.pieces = split(r:bytes())
    run.len = #run.pieces
  else
    error("the naive model knows text only, not content " .. kind)
  end
  return run
end

--- The parts of an update: list of runs, list of { client, clock, len } to delete.
function Text.decode(update)
  local r = lib0.reader(update)
  local runs, ranges = {}, {}
  for _ = 1, r:uint() do
    local count, client, clock = r:uint(), r:uint(), r:uint()
    for _ = 1, count do
      local run = read_run(r, client, clock)
      clock = clock + run.len
      if not run.skip then runs[#runs + 1] = run end
    end
  end
  for _ = 1, r:uint() do
    local client = r:uint()
    for _ = 1, r:uint() do ranges[#ranges + 1] = { client = client, clock = r:uint(), len = r:uint() } end
  end
  assert(r:left() == 0, "bytes after the end of an update")
  return runs, ranges
end

function Text:apply(update)
  local runs, ranges = Text.decode(update)
  for _, run in ipairs(runs) do self.waiting[#self.waiting + 1] = run end
  local moved
  repeat
    moved = false
    local still = {}
    for _, run in ipairs(self.waiting) do
      if integrate(self, run) then moved = true else still[#still + 1] = run end
    end
    self.waiting = still
  until not moved or #still == 0
  for _, range in ipairs(ranges) do
    for clock = range.clock, range.clock + range.len - 1 do
      local id = id_of(range.client, clock)
      if self.units[id] then self.units[id].deleted = true else self.doomed[id] = true end
    end
  end
  return runs, ranges
end

function Text:string()
  local out, unit = {}, self.head.next
  while unit do
    if not unit.deleted then out[#out + 1] = unit.text end
    unit = unit.next
  end
  return table.concat(out)
end

local function at(self, index)
  local unit = self.head
  while index > 0 do
    unit = assert(unit.next, "index past the end")
    if not unit.deleted then index = index - 1 end
  end
  return unit
end

local function struct(self, run)
  local function id(text)
    local client, clock = text:match "(%d+):(%d+)"
    return lib0.uint(tonumber(client)) .. lib0.uint(tonumber(clock))
  end
  local info = (run.origin and 128 or 0) + (run.right_origin and 64 or 0)
  if run.gc then return "\0" .. lib0.uint(run.len) end
  local parent = run.origin and id(run.origin) or ""
  parent = parent .. (run.right_origin and id(run.right_origin) or "")
  if parent == "" then parent = "\1" .. lib0.bytes(self.root) end
  if run.pieces then return string.char(info + 4) .. parent .. lib0.bytes(table.concat(run.pieces)) end
  return string.char(info + 1) .. parent .. lib0.uint(run.len)
end

--- Type `text` at `index` (UTF-16 units); answers the update that says so.
function Text:insert(index, text)
  local left = at(self, index)
  local run = {
    client = self.client, clock = self:clock(self.client), pieces = split(text),
    origin = left.id, right_origin = left.next and left.next.id,
  }
  run.len = #run.pieces
  assert(integrate(self, run))
  return "\1\1" .. lib0.uint(run.client) .. lib0.uint(run.clock) .. struct(self, run) .. "\0"
end

--- Delete `len` units at `index`; answers the update that says so.
function Text:delete(index, len)
  local unit, ranges = at(self, index).next, {}
  while len > 0 do
    assert(unit, "index past the end")
    if not unit.deleted then
      unit.deleted, len = true, len - 1
      ranges[unit.client] = ranges[unit.client] or {}
      table.insert(ranges[unit.client], unit.clock)
    end
    unit = unit.next
  end
  local clients, body = 0, {}
  for client, clocks in pairs(ranges) do
    clients = clients + 1
    body[#body + 1] = lib0.uint(client) .. lib0.uint(#clocks)
    for _, clock in ipairs(clocks) do body[#body + 1] = lib0.uint(clock) .. "\1" end
  end
  return "\0" .. lib0.uint(clients) .. table.concat(body)
end

function Text:state_vector()
  local out = { lib0.uint(#self.writers) }
  for _, client in ipairs(self.writers) do out[#out + 1] = lib0.uint(client) .. lib0.uint(self.clocks[client]) end
  return table.concat(out)
end

function Text.read_vector(bytes)
  local r, vector = lib0.reader(bytes), {}
  for _ = 1, r:uint() do vector[r:uint()] = r:uint() end
  return vector
end

--- What a holder of the state vector lacks, a struct a unit, and every deletion.
function Text:diff(vector)
  local sections, deleted = {}, {}
  for _, client in ipairs(self.writers) do
    local from, to = vector[client] or 0, self.clocks[client]
    if from < to then
      local out = {}
      local clock = from
      while clock < to do
        local unit = self.units[id_of(client, clock)]
        local len = #unit.text == 4 and not unit.deleted and 2 or 1 -- a pair stays together
        out[#out + 1] = struct(self, {
          origin = unit.origin, right_origin = unit.right_origin, gc = unit.gc, len = len,
          pieces = not unit.deleted and { unit.text } or nil,
        })
        clock = clock + len
      end
      local head = lib0.uint(#out) .. lib0.uint(client) .. lib0.uint(from)
      sections[#sections + 1] = { client = client, text = head .. table.concat(out) }
    end
    local gone = {}
    for clock = 0, to - 1 do
      if self.units[id_of(client, clock)].deleted then gone[#gone + 1] = lib0.uint(clock) .. "\1" end
    end
    if #gone > 0 then deleted[#deleted + 1] = lib0.uint(client) .. lib0.uint(#gone) .. table.concat(gone) end
  end
  table.sort(sections, function(a, b) return a.client > b.client end)
  local out = { lib0.uint(#sections) }
  for _, section in ipairs(sections) do out[#out + 1] = section.text end
  out[#out + 1] = lib0.uint(#deleted)
  return table.concat(out) .. table.concat(deleted)
end

return Text
