-- What a checked token says, as an identity. A claim counts by its value and its type: a role is a text in a list, and
-- nothing else is one.
local claims = {}

local ml = require "moonloom"

-- Groups that begin so are ours: that the identity is one of a token, the documents it is for, and which token (by a hash of its jti). They
-- come first, so that they are kept when there are many, and what a token calls a group cannot be one.
local MARK = "jwt."
local OURS, DOC, JTI = MARK .. "token", MARK .. "doc=", MARK .. "jti="

local USER_MAX, NAME_MAX, LIST_MAX, GROUP_MAX, DOC_MAX, SCOPE_MAX = 256, 127, 32, 64, 200, 450

--- The value at "a.b"; a claim whose own name has a dot is found, too.
function claims.at(table_, path)
  if path == "" or type(table_) ~= "table" then return nil end
  if table_[path] ~= nil then return table_[path] end
  local value = table_
  for part in path:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    value = value[part]
  end
  return value
end

-- Texts of a list, or the one text.
local function texts(value)
  if type(value) == "string" then return { value } end
  local out = {}
  if type(value) ~= "table" then return out end
  for _, item in ipairs(value) do
    if type(item) == "string" and #out < LIST_MAX then out[#out + 1] = item end
  end
  return out
end

local function is_name(text) return #text <= 64 and text:find("^[%w_.-]+$") ~= nil end

local function is_line(text, max) return #text > 0 and #text <= max and not text:find("[%c\127]") end

local function add(list, seen, value)
  if value and not seen[value] then
    seen[value] = true
    list[#list + 1] = value
  end
end

--- The longest beginning that fits and ends with a whole character.
local function cut(text, max)
  if #text <= max then return text end
  local len = max
  while len > 0 and (text:byte(len + 1) or 0) >= 0x80 and (text:byte(len + 1) or 0) < 0xc0 do len = len - 1 end
  return text:sub(1, len)
end

local function roles_of(issuer, value)
  local roles, seen = {}, {}
  for _, name in ipairs(texts(value)) do
    if issuer.roles then
      add(roles, seen, issuer.roles[name])
    elseif is_name(name) then
      add(roles, seen, name)
    end
  end
  if #roles == 0 then add(roles, seen, issuer.default_role) end
  return roles
end

--- By what a token is known while its sockets are open; nil: it has no jti.
function claims.mark(jti)
  if type(jti) ~= "string" or #jti > 256 then return nil end
  return ml.enc.hex.encode(ml.crypto.sha256(jti)):sub(1, 16)
end

-- The documents, the token, then the groups. nil: more patterns than can be kept.
local function groups_of(value, documents, mark)
  local groups, seen, size = {}, {}, 0
  add(groups, seen, OURS)
  if documents ~= nil then
    local patterns = texts(documents)
    if #patterns == 0 then patterns = { "" } end -- for nothing
    for _, pattern in ipairs(patterns) do
      if #pattern > DOC_MAX or pattern:find("[%c\127]") then return nil end
      add(groups, seen, DOC .. pattern)
      size = size + #DOC + #pattern + 1
    end
    if size > SCOPE_MAX then return nil end
  end
  add(groups, seen, mark and JTI .. mark)
  for _, name in ipairs(texts(value)) do
    if is_line(name, GROUP_MAX) and name:sub(1, #MARK) ~= MARK then add(groups, seen, name) end
  end
  return groups
end

--- The identity, and its org (nil: the token does not say); or nil and why.
function claims.identity(issuer, names, token, leeway)
  local user, name = claims.at(token, names.user), claims.at(token, names.name)
  if type(user) ~= "string" or not is_line(issuer.prefix .. user, USER_MAX - 1) or user == "" then return nil, "no user" end
  local groups = groups_of(claims.at(token, names.groups), claims.at(token, names.documents), claims.mark(token.jti))
  if not groups then return nil, "documents" end
  local org = issuer.org
  if not org then
    org = claims.at(token, names.org)
    if org ~= nil and type(org) ~= "string" then return nil, "org" end
  end
  if type(name) ~= "string" or name == "" then name = nil end
  return {
    user = issuer.prefix .. user, name = name and cut(name, NAME_MAX), roles = roles_of(issuer, claims.at(token, names.roles)),
    groups = groups, expires_at = token.exp + leeway,
  }, org
end

--- Is it an identity of a token? And the patterns of documents it is for; nil: all. And the mark of the token; nil: it has none.
function claims.scope(groups)
  local ours, list, mark = false, nil, nil
  for _, group in ipairs(groups or {}) do
    if group == OURS then ours = true end
    if group:sub(1, #DOC) == DOC then
      list = list or {}
      list[#list + 1] = group:sub(#DOC + 1)
    end
    if group:sub(1, #JTI) == JTI then mark = group:sub(#JTI + 1) end
  end
  return ours, list, mark
end

return claims
