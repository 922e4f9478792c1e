-- Two people changed one number at once: add both changes, or take the larger, the smaller, the mean.
local ml = require "moonloom"
local Numeric = {}

local combine = {}

function combine.sum(base, current, incoming)
  return base and base + (current - base) + (incoming - base)
end

combine.clamp_sum = combine.sum

function combine.max(_, current, incoming) return math.max(current, incoming) end
function combine.min(_, current, incoming) return math.min(current, incoming) end
function combine.average(_, current, incoming) return (current + incoming) / 2 end

function Numeric.validate(config)
  for i, field in ipairs(config.fields) do
    if field.min and field.max and field.min > field.max then
      return { { ("fields[%d].min"):format(i), "must not be larger than max" } }
    end
    if field.mode == "clamp_sum" and not (field.min or field.max) then
      return { { ("fields[%d].mode"):format(i), "clamp_sum needs min or max" } }
    end
  end
end

local function find(self, c)
  for _, field in ipairs(self.config.fields) do
    if ml.glob.match(field.path, c.path) then
      if #field.keys == 0 then return field end
      for _, key in ipairs(field.keys) do if key == c.key then return field end end
    end
  end
end

-- What both had seen, as a number; nothing was there: 0. Nil: it is not known any more.
local function base_of(c)
  if not c.base.known then return nil end
  if c.base.value == nil then return 0 end
  return type(c.base.value) == "number" and c.base.value or nil
end

function Numeric:conflict(c)
  local field = find(self, c)
  local current, incoming = c.current.value, c.incoming.value
  if not field or type(current) ~= "number" or type(incoming) ~= "number" then return nil end
  local value = combine[field.mode](base_of(c), current, incoming)
  if not value then return nil end
  if field.min and value < field.min then value = field.min end
  if field.max and value > field.max then value = field.max end
  if field.integer then value = math.floor(value + 0.5) end
  return ml.merge(value)
end

return Numeric
