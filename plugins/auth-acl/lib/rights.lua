-- plugins/auth-acl/lib/rights.lua: what a role gives, how the rights of several roles add up, and what a grant says of them.
local ml = require "moonloom"
local rights = {}

local PLACES = { "insert", "remove", "format" } -- beside `write`: paths for one operation each
local FLAGS = { "history", "export", "create", "delete", "share" }

rights.PREDEFINED = {
  viewer = { read = true },
  commenter = { read = true, role = "commenter" },
  suggester = { read = true, role = "suggester", history = true },
  editor = { read = true, write = true, history = true },
  owner = { read = true, write = true, history = true, export = true, delete = true, share = true },
}
rights.READ, rights.WRITE = { read = true }, { read = true, write = true }
rights.ALL = rights.PREDEFINED.owner

local function contains(list, value)
  for _, item in ipairs(list) do if item == value then return true end end
  return false
end

-- Lists of paths add up; true is more than any list.
local function add_paths(sum, more)
  if more == true or sum == true then return true end
  if not more then return sum end
  local out = {}
  for _, path in ipairs(sum or {}) do out[#out + 1] = path end
  for _, path in ipairs(more) do if not contains(out, path) then out[#out + 1] = path end end
  return out
end

local function may_create(role)
  if role.create ~= nil then return role.create end
  return role.write == true
end

--- Adds what `role` gives to `sum`. A role that may not read gives nothing.
function rights.add(sum, role)
  if role.read == false then return end
  sum.read = true
  sum.write = add_paths(sum.write, role.write)
  for _, name in ipairs(PLACES) do sum[name] = add_paths(sum[name], role[name]) end
  if sum.role ~= "suggester" then sum.role = role.role or sum.role end
  sum.presence = sum.presence or role.presence ~= false
  sum.messages = sum.messages or role.messages ~= false
  for _, name in ipairs(FLAGS) do sum[name] = sum[name] or role[name] == true end
  sum.create = sum.create or may_create(role)
  sum.rpc = add_paths(sum.rpc, role.rpc or true)
end

-- Is every path of `paths` in what `held` has?
local function has_paths(held, paths)
  if not paths or held == true then return true end
  if paths == true then return false end
  for _, path in ipairs(paths) do if not contains(held or {}, path) then return false end end
  return true
end

--- Does `held` have all that `role` gives? Nobody gives more than they have.
function rights.covers(held, role)
  local sum = {}
  rights.add(sum, role)
  if not sum.read then return true end
  if not held.read or not has_paths(held.write, sum.write) or not has_paths(held.rpc, sum.rpc) then return false end
  for _, name in ipairs(PLACES) do
    if held.write ~= true and not has_paths(held[name], sum[name]) then return false end
  end
  for _, name in ipairs { "presence", "messages", "history", "export", "create", "delete", "share" } do
    if sum[name] and not held[name] then return false end
  end
  return not sum.role or held.write == true or held.role == sum.role or held.role == "suggester"
end

local function places(sum)
  if sum.write == true then return true end
  local out, some = {}, false
  for i, path in ipairs(sum.write or {}) do out[i], some = path, true end
  for _, name in ipairs(PLACES) do
    local list = sum[name]
    if list and #list > 0 then out[name == "remove" and "delete" or name], some = list, true end
  end
  return some and out or false
end

-- Per question of the server: may it change something, may it see earlier versions?
local CHANGES = {
  ["doc.create"] = function(sum) return sum.create end,
  ["doc.delete"] = function(sum) return sum.delete end,
  ["doc.export"] = function(sum) return sum.export end,
  ["doc.history"] = function(sum) return sum.history and sum.write == true end,
  ["doc.restore"] = function(sum) return sum.history and sum.write == true end,
}

--- The answer to a question about a document; nil: it is none that these rights are about.
function rights.grant(sum, action, ttl)
  if action == "doc.open" then
    return ml.grant { role = sum.role, read = true, write = places(sum), presence = sum.presence, messages = sum.messages,
                      history = sum.history or false, ttl = ttl }
  end
  if action == "doc.share" then return ml.grant { read = sum.share or false, ttl = ttl } end
  local changes = CHANGES[action]
  if not changes then return nil end
  return ml.grant { read = sum.read, write = changes(sum) or false, history = sum.history or false, ttl = ttl }
end

return rights
