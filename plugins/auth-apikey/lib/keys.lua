-- plugins/auth-apikey/lib/keys.lua: what a key is made of, and what of one may come over HTTP.
--
--   PREFIX ID _ SECRET     ID: 16 digits, names the entry key/ID in the store; SECRET: 64 digits, 256 random bits
--
-- Kept is the SHA-256 of the whole text. A random secret of that size needs no slow hash: nobody guesses it.
local ml = require "moonloom"
local address = require "auth-apikey.lib.address"
local keys = {}

local PER = { s = 1, m = 60, h = 3600, d = 86400 }
local LIST_MAX, NAME_MAX, TEXT_MAX = 64, 60, 256

local function hex(bytes) return ml.enc.hex.encode(bytes) end

--- A new one: its id, its text (shown once) and its hash.
function keys.make(prefix)
  local id = hex(ml.crypto.random(8))
  local text = prefix .. id .. "_" .. hex(ml.crypto.random(32))
  return id, text, keys.hash(text)
end

function keys.hash(text) return hex(ml.crypto.sha256(text)) end

--- The id in a text that has the form of a key; nil: it has another.
function keys.id_of(text, prefix)
  local rest = text:sub(#prefix + 1)
  return #rest == 81 and rest:match "^(%x+)_%x+$" and rest:sub(17, 17) == "_" and rest:sub(1, 16) or nil
end

--- "600/m" as { n, per }; nil: it is no rate.
function keys.rate(text)
  local n, unit = text:match "^(%d+)/([smhd])$"
  n = tonumber(n)
  if not n or n < 1 or n > 1e6 then return nil end
  return { n = n, per = PER[unit] }
end

-- ---- What comes over HTTP --------------------------------------------------------------------------------------

local function is_text(value, max) return type(value) == "string" and #value >= 1 and #value <= max and not value:find "%c" end

local function list(value, fits)
  if type(value) ~= "table" or #value > LIST_MAX then return nil end
  local out, count = {}, 0
  for _ in pairs(value) do count = count + 1 end
  for i, item in ipairs(value) do
    if not is_text(item, TEXT_MAX) or not fits(item) then return nil end
    out[i] = item
  end
  return count == #out and out or nil
end

local FIELDS = {
  roles = { function(value)
    return list(value, function(item) return #item <= 64 and item:find "^[%w_.:-]+$" ~= nil end)
  end, "a list of roles" },
  groups = { function(value) return list(value, function(item) return item:sub(1, 4) ~= "key:" end) end, "a list of names" },
  docs = { function(value) return list(value, function(item) return item:sub(1, 1) ~= "/" end) end,
           'a list of documents or patterns such as "notes/**"' },
  cidrs = { function(value) return list(value, function(item) return address.is_in("127.0.0.1", item) ~= nil end) end,
            'a list of address ranges such as "10.0.0.0/8"' },
  expires = { function(value) return type(value) == "string" and ml.time.parse(value) and value or nil end, "a moment such as 2026-12-31" },
  rate = { function(value) return type(value) == "string" and keys.rate(value) and value or nil end, 'a rate such as "600/m"' },
}

--- The entry for a body, or nil and what is wrong with it.
function keys.check(body)
  if type(body) ~= "table" then return nil, "a key is an object" end
  if not is_text(body.name, NAME_MAX) then return nil, ("name is text of 1 to %d bytes"):format(NAME_MAX) end
  local entry = { name = body.name }
  for key, value in pairs(body) do
    local field = FIELDS[key]
    if field and value ~= ml.null then
      entry[key] = field[1](value)
      if entry[key] == nil then return nil, ("%s is %s"):format(key, field[2]) end
    elseif not field and key ~= "name" then
      return nil, ("there is no field '%s'"):format(tostring(key):sub(1, 60))
    end
  end
  if entry.expires and ml.time.parse(entry.expires) <= ml.time.now() then return nil, "expires is over" end
  return entry
end

return keys
