-- plugins/auth-acl/init.lua: rules become roles, roles become one grant. No rule, no rights.
local ml = require "moonloom"
local Acl = {}

local PREDEFINED = {
  viewer = { read = true },
  commenter = { read = true, role = "commenter" },
  suggester = { read = true, role = "suggester", history = true },
  editor = { read = true, write = true, history = true },
  owner = { read = true, write = true, history = true },
}
local READ, WRITE, ALL = { read = true }, { read = true, write = true }, { read = true, write = true, history = true }

function Acl:setup()
  local roles, ends = {}, {}
  for name, rights in pairs(PREDEFINED) do roles[name] = rights end
  for name, rights in pairs(self.config.roles) do roles[name] = rights end
  for i, rule in ipairs(self.config.rules) do
    if not roles[rule.give] then error(("rules[%d].give: there is no role '%s'"):format(i, rule.give), 0) end
    if rule.until_ ~= "" then
      ends[i] = ml.time.parse(rule.until_) or error(("rules[%d].until_: not a moment; write 2026-12-31T18:00:00Z"):format(i), 0)
    end
  end
  if self.config.anonymous ~= "" and not roles[self.config.anonymous] then
    error(("anonymous: there is no role '%s'"):format(self.config.anonymous), 0)
  end
  self.state.roles, self.state.ends = roles, ends
end

local function contains(list, value)
  for _, item in ipairs(list or {}) do if item == value then return true end end
  return false
end

local function share_any(a, b)
  for _, item in ipairs(a or {}) do if contains(b, item) then return true end end
  return false
end

local function names_nobody(rule)
  return #rule.users == 0 and #rule.groups == 0 and #rule.roles == 0
end

-- A rule that names nobody is for everybody who is signed in.
local function is_for(rule, identity)
  return names_nobody(rule) or contains(rule.users, identity.user) or share_any(rule.groups, identity.groups)
    or share_any(rule.roles, identity.roles)
end

-- Lists of paths add up; true is more than any list.
local function add_write(sum, write)
  if write == true or sum == true then return true end
  if not write then return sum end
  local out = {}
  for _, path in ipairs(sum or {}) do out[#out + 1] = path end
  for _, path in ipairs(write) do if not contains(out, path) then out[#out + 1] = path end end
  return out
end

local function add(sum, rights)
  sum.read = sum.read or rights.read ~= false
  sum.write = add_write(sum.write, rights.write)
  if sum.role ~= "suggester" then sum.role = rights.role or sum.role end
  sum.presence = sum.presence or rights.presence ~= false
  sum.messages = sum.messages or rights.messages ~= false
  sum.history = sum.history or rights.history == true
end

local function granted(self, sum)
  if not sum.read then return nil end
  return ml.grant { role = sum.role, read = true, write = sum.write or false, presence = sum.presence, messages = sum.messages,
                    history = sum.history, ttl = self.config.cache }
end

function Acl:authorize(ask)
  if ask.action ~= "doc.open" then return nil end
  local identity, doc, sum, any = ask.identity, ask.doc_id, {}, false
  if identity and identity.user == "" then identity = nil end -- nobody has signed in
  if identity and share_any(self.config.admins, identity.roles) then
    add(sum, ALL)
    return granted(self, sum)
  end
  local now = ml.time.now()
  for i, rule in ipairs(self.config.rules) do
    local over = self.state.ends[i] and now >= self.state.ends[i]
    if not over and ml.glob.match(rule.docs, doc) then
      if identity and is_for(rule, identity) then
        add(sum, self.state.roles[rule.give])
        any = true
      elseif not identity and self.config.anonymous ~= "" and names_nobody(rule) then
        add(sum, self.state.roles[self.config.anonymous])
        any = true
      end
    end
  end
  if identity and not any and self.config.default ~= "none" then
    add(sum, self.config.default == "write" and WRITE or READ)
  end
  return granted(self, sum)
end

local function place_of(e)
  if not e.key then return e.path end
  return e.path == "" and ml.path.join(e.key) or e.path .. "/" .. ml.path.join(e.key)
end

function Acl:authorize_edit(e)
  local roles = e.author.roles
  if #self.config.paths == 0 or share_any(self.config.admins, roles) then return end
  local place = place_of(e)
  for _, rule in ipairs(self.config.paths) do
    if ml.path.match(rule.path, place)
      and (share_any(rule.never, roles) or (#rule.only > 0 and not share_any(rule.only, roles))) then
      return ml.deny("path", "You may not change this part of the document.")
    end
  end
end

return Acl
