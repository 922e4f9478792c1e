-- plugins/auth-acl/lib/rules.lua: who a rule is for and where, and what a rule may say that comes over HTTP.
local ml = require "moonloom"
local rules = {}

local NAMES_MAX, NAME_MAX, GLOB_MAX = 100, 256, 512

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do set[name] = true end
  return set
end

--- A rule that was checked, ready to be asked. nil, why: its end is no moment.
function rules.compile(rule)
  local ends
  if rule["until"] and rule["until"] ~= "" then
    ends = ml.time.parse(rule["until"])
    if not ends then return nil, "not a moment; write 2026-12-31T18:00:00Z" end
  end
  local users, groups, roles = rule.users or {}, rule.groups or {}, rule.roles or {}
  return { docs = rule.docs, give = rule.give, ends = ends, users = set_of(users), groups = set_of(groups), roles = set_of(roles),
           is_open = #users + #groups + #roles == 0 }
end

local function any(set, names)
  for _, name in ipairs(names) do if set[name] then return true end end
  return false
end

--- Is it for this person? A rule that names nobody is for everybody who is signed in.
function rules.is_for(rule, who)
  return rule.is_open or rule.users[who.user] == true or any(rule.groups, who.groups) or any(rule.roles, who.roles)
end

--- `docs` names one document.
function rules.is_one(docs) return not docs:find("*", 1, true) end

-- ---- What comes over HTTP --------------------------------------------------------------------------------------

local function is_text(value, max) return type(value) == "string" and #value >= 1 and #value <= max and not value:find "%c" end

local function names(value, what)
  if value == nil then return {} end
  if type(value) ~= "table" or #value > NAMES_MAX then return nil, ("%s is a list of at most %d names"):format(what, NAMES_MAX) end
  local out, count = {}, 0
  for _ in pairs(value) do count = count + 1 end
  for i, name in ipairs(value) do
    if not is_text(name, NAME_MAX) then return nil, ("%s[%d] is text of 1 to %d bytes"):format(what, i, NAME_MAX) end
    out[i] = name
  end
  if count ~= #out then return nil, what .. " is a list" end
  return out
end

local KNOWN = { docs = true, users = true, groups = true, roles = true, give = true, ["until"] = true, id = true, by = true, at = true }

--- The rule in a body, or nil and what is wrong with it. `roles`: those that are there.
function rules.check(body, roles)
  if type(body) ~= "table" then return nil, "a rule is an object" end
  for key in pairs(body) do
    if not KNOWN[key] then return nil, ("there is no field '%s'"):format(tostring(key):sub(1, 60)) end
  end
  if not is_text(body.docs, GLOB_MAX) or body.docs:sub(1, 1) == "/" then return nil, "docs is a document, or a pattern such as notes/**" end
  if type(body.give) ~= "string" or not roles[body.give] then return nil, "give is one of the roles that are there" end
  local rule = { docs = body.docs, give = body.give }
  for _, field in ipairs { "users", "groups", "roles" } do
    local list, why = names(body[field], field)
    if not list then return nil, why end
    rule[field] = list
  end
  if body["until"] ~= nil and body["until"] ~= ml.null then
    if type(body["until"]) ~= "string" then return nil, "until is a moment such as 2026-12-31T18:00:00Z" end
    rule["until"] = body["until"]
  end
  local _, not_a_moment = rules.compile(rule)
  if not_a_moment then return nil, "until: " .. not_a_moment end
  return rule
end

return rules
