-- plugins/auth-acl/init.lua: rules become roles, roles become one grant. No rule, no rights.
--
--   rules of the configuration ─┐
--   rule/ID in kv, or the URL  ─┼─> that fit person and document ─> their roles ─> one sum ─> what is asked
--   owner/DOCUMENT in kv ───────┘
--
-- `rev` in kv grows with every change that reaches this plugin over HTTP. It is read at every question, so that no node
-- goes by rules or answers that are older; who is connected is asked about again.
local ml = require "moonloom"
local rights = require "auth-acl.lib.rights"
local rules = require "auth-acl.lib.rules"

local Acl = { routes = {} }

local RULES_MAX = 1000    -- in kv
local SAME_BIRTH = 10     -- seconds in which two who make one document make it together: the first is its owner
local ASKED_BEFORE = 60   -- seconds: docs/sessions.md, "Rights that change"

-- ---- Setup ------------------------------------------------------------------------------------------------------

function Acl.validate(config)
  if config.source == "http" and not config.http_url then return { { "http_url", "must be given with source = \"http\"" } } end
end

function Acl:setup()
  local roles, list = {}, {}
  for name, role in pairs(rights.PREDEFINED) do roles[name] = role end
  for name, role in pairs(self.config.roles) do roles[name] = role end
  local function known(name, where)
    if not roles[name] then error(("%s: there is no role '%s'"):format(where, name), 0) end
  end
  for i, rule in ipairs(self.config.rules) do
    known(rule.give, ("rules[%d].give"):format(i))
    local made, why = rules.compile(rule)
    if not made then error(("rules[%d].until: %s"):format(i, why), 0) end
    list[i] = made
  end
  if self.config.anonymous ~= "" then known(self.config.anonymous, "anonymous") end
  if self.config.owner_role ~= "" then known(self.config.owner_role, "owner_role") end
  self.state.roles, self.state.rules = roles, list
end

function Acl:handoff() return {} end

--- Its configuration or code is another one: what was granted before may not hold any more.
function Acl:adopt()
  if self.org then ml.timer.after(1, function() ml.sessions.recheck {} end) end
end

-- ---- Rules that stand elsewhere ---------------------------------------------------------------------------------

local function read_rules(self)
  local list = {}
  for key, rule in ml.kv.scan("rule/", { limit = RULES_MAX }) do
    local made = self.state.roles[rule.give] and rules.compile(rule)
    if made then
      list[#list + 1] = made
    else
      ml.log.warn("auth-acl: a stored rule gives a role that is not there", { rule = key, give = rule.give })
    end
  end
  return list
end

-- 0: nothing was ever changed. Raises if the store is silent.
local function revision()
  local rev, kind, text = ml.kv.get "rev"
  if rev == nil and type(kind) == "string" then error(("rules: %s (%s)"):format(text, kind), 0) end
  return rev or 0
end

-- While the store is silent what was known last counts.
local function stored_rules(self)
  local kept = self.state.stored
  local ok, rev = pcall(revision)
  if ok and kept and kept.rev == rev then return kept.rules end
  local list
  if ok then ok, list = pcall(read_rules, self) end
  if ok then
    self.state.stored = { rev = rev, rules = list }
    return list
  end
  if kept then return kept.rules end
  error(rev, 0)
end

-- What the URL says about a person and a document: { give = { role, … }, ends? }.
local function ask_url(self, who, doc)
  local config = self.config
  local headers = {}
  for name, value in pairs(config.http_headers) do headers[name] = value end
  local res, kind = ml.http.post(config.http_url, { headers = headers, timeout = 3, max_body = "64KiB",
    json = { org = self.org and self.org.id, doc = doc, user = who.user, kind = who.kind, roles = who.roles, groups = who.groups } })
  if not res then error("http_url: no answer: " .. kind, 0) end
  if res.status == 204 or res.status == 404 then return { give = {} } end
  local said = res.status == 200 and res:json()
  if type(said) ~= "table" or type(said.give) ~= "table" then error(("http_url: status %d, or no { give }"):format(res.status), 0) end
  local give, ends = {}, nil
  for _, name in ipairs(said.give) do
    if self.state.roles[name] then
      give[#give + 1] = name
    else
      ml.log.warn("auth-acl: http_url gives a role that is not there", { give = tostring(name) })
    end
  end
  if type(said["until"]) == "string" then
    ends = ml.time.parse(said["until"])
    if not ends then error("http_url: until is not a moment", 0) end
  end
  return { give = give, ends = ends }
end

local function asked_rules(self, who, doc)
  local key = ml.json.encode { revision(), who.user, who.kind, who.roles, who.groups, doc }
  local said = ml.cache.once(ml.enc.hex.encode(ml.crypto.sha256(key)), self.config.cache, function() return ask_url(self, who, doc) end)
  local list = {}
  for i, name in ipairs(said.give) do
    list[i] = { docs = "**", give = name, ends = said.ends, users = { [who.user] = true }, groups = {}, roles = {} }
  end
  return list
end

local function owner_key(doc) return "owner/" .. ml.enc.hex.encode(ml.crypto.sha256(doc)) end

-- ---- What somebody may ------------------------------------------------------------------------------------------

-- A copy: what was lent is gone after the first wait. nil: nobody has signed in.
local function copy_of(identity)
  if not identity or identity.user == "" then return nil end
  local who = { user = identity.user, kind = identity.kind, roles = ml.array {}, groups = ml.array {} }
  for i, name in ipairs(identity.roles or {}) do who.roles[i] = name end
  for i, name in ipairs(identity.groups or {}) do who.groups[i] = name end
  return who
end

local function has_any(wanted, names)
  for _, name in ipairs(names) do for _, one in ipairs(wanted) do if one == name then return true end end end
  return false
end

local function is_admin(self, who) return who ~= nil and has_any(self.config.admins, who.roles) end

-- Adds what the rules give that fit; the first moment at which one of them ends, if that is before `ends`.
local function add_rules(self, sum, list, who, doc, ends)
  local now = ml.time.now()
  for _, rule in ipairs(list) do
    local role
    if (not rule.ends or now < rule.ends) and ml.glob.match(rule.docs, doc) then
      if who and rules.is_for(rule, who) then
        role = rule.give
      elseif not who and self.config.anonymous ~= "" and rule.is_open then
        role = self.config.anonymous
      end
    end
    if role then
      rights.add(sum, self.state.roles[role])
      sum.fits = true
      if rule.ends then ends = math.min(ends or rule.ends, rule.ends) end
    end
  end
  return ends
end

-- What rules, and having made it, give somebody in a document. sum.fits: something is said about them. May wait.
local function sum_of(self, who, doc)
  local sum = {}
  if is_admin(self, who) then
    rights.add(sum, rights.ALL)
    sum.fits = true
    return sum
  end
  local ends = add_rules(self, sum, self.state.rules, who, doc)
  if self.org and self.config.source == "kv" then
    ends = add_rules(self, sum, stored_rules(self), who, doc, ends)
  elseif self.org and self.config.source == "http" and who then
    ends = add_rules(self, sum, asked_rules(self, who, doc), who, doc, ends)
  end
  if who and self.org and self.config.owner_role ~= "" then
    local born = ml.kv.get(owner_key(doc))
    if born and born.user == who.user then
      rights.add(sum, self.state.roles[self.config.owner_role])
      sum.fits = true
    end
  end
  if who and not sum.fits and self.config.default ~= "none" then
    rights.add(sum, self.config.default == "write" and rights.WRITE or rights.READ)
    sum.fits = true
  end
  return sum, ends
end

-- The server asks again a minute before a grant is over, or after half of a shorter one: just after `ends`.
local function ttl_of(self, ends)
  local cache = self.config.cache
  if not ends then return cache end
  local left = math.max(0, ends - ml.time.now()) + 0.1
  return math.min(cache, left > ASKED_BEFORE and left + ASKED_BEFORE or 2 * left)
end

-- Names of documents are shown to those who may read all of them.
local function may_list(self, who)
  if is_admin(self, who) then return true end
  local sum, all = {}, {}
  local function take(list)
    for _, rule in ipairs(list) do if rule.docs == "**" then all[#all + 1] = rule end end
  end
  take(self.state.rules)
  if self.org and self.config.source == "kv" then take(stored_rules(self)) end
  add_rules(self, sum, all, who, "x")
  if who and not sum.fits and self.config.default ~= "none" then return true end
  return sum.read
end

local function may_call(sum, name)
  if sum.rpc == true then return true end
  for _, one in ipairs(sum.rpc or {}) do if one == name then return true end end
  return false
end

local function is_link_refused(self, from, role)
  local links = self.config.links
  return from == "link" and not (links.enabled and has_any(links.roles, { role }))
end

function Acl:authorize(ask)
  local action, doc, who, from, shared = ask.action, ask.doc_id, copy_of(ask.identity), ask.from, ask.role
  if is_link_refused(self, from, shared) then return ml.deny("links", "Links like this one open nothing here.") end
  if action == "org.documents" then return may_list(self, who) and ml.grant { read = true } or nil end
  if action == "org.audit" then return is_admin(self, who) and ml.grant { read = true } or nil end
  if not doc or doc == "" then return nil end
  local sum, ends = sum_of(self, who, doc)
  if not sum.fits then return nil end
  if from == "share" or from == "link" then rights.add(sum, self.state.roles[shared] or rights.ALL) end
  local call = action:match "^rpc%.(.+)$"
  if call then return not may_call(sum, call) and ml.deny("rpc", "You may not call this.") or nil end
  if not sum.read then return nil end
  return rights.grant(sum, action, ttl_of(self, ends))
end

-- ---- Making documents -------------------------------------------------------------------------------------------

function Acl:create_document(d)
  local doc, who = d.id, copy_of(d.identity)
  if not who or not self.org then return nil end
  local sum = sum_of(self, who, doc)
  if sum.fits and not sum.create then return ml.deny("create", "You may not make documents here.") end
  if self.config.owner_role == "" then return nil end
  local ok, kind, text = ml.kv.txn(function(tx)
    local key, now = owner_key(doc), ml.time.now()
    local born = tx:get(key)
    if born and now - born.at < SAME_BIRTH then return true end
    tx:set(key, { user = who.user, at = now })
    return true
  end)
  if not ok then error(("owner: %s (%s)"):format(text, kind), 0) end
end

-- ---- Edits ------------------------------------------------------------------------------------------------------

local function place_of(e)
  if not e.key then return e.path end
  return e.path == "" and ml.path.join(e.key) or e.path .. "/" .. ml.path.join(e.key)
end

function Acl:authorize_edit(e)
  local roles = e.author.roles
  if #self.config.paths == 0 or has_any(self.config.admins, roles) then return end
  local place = place_of(e)
  for _, rule in ipairs(self.config.paths) do
    if ml.path.match(rule.path, place)
      and (has_any(rule.never, roles) or (#rule.only > 0 and not has_any(rule.only, roles))) then
      return ml.deny("path", "You may not change this part of the document.")
    end
  end
end

-- ---- Rules over HTTP --------------------------------------------------------------------------------------------

local function answer(res, status, code, message) return res:status(status):json { error = { code = code, message = message } } end

-- Admins change every rule; who may share a document, those of that one document. sum: what they have there.
local function may_manage(self, who, docs)
  if is_admin(self, who) then return true, { is_admin = true } end
  if not docs or not rules.is_one(docs) then return false end
  local sum = sum_of(self, who, docs)
  return sum.share == true, sum
end

-- Whoever has this document open, or all, is asked about again, on every node.
local function changed(docs)
  ml.sessions.recheck(docs and rules.is_one(docs) and { doc = docs } or {})
end

Acl.routes["GET /rules"] = function(self, req, res)
  local doc = req.query.doc
  if not may_manage(self, copy_of(req.identity), doc) then return answer(res, 403, "denied", "You may not see these rules.") end
  local items = {}
  for key, rule in ml.kv.scan("rule/", { limit = RULES_MAX }) do
    if not doc or rule.docs == doc then
      rule.id = key:sub(6)
      items[#items + 1] = rule
    end
  end
  return res:json { items = ml.array(items) }
end

local function rule_key(req)
  local id = req.params.id
  return #id <= 64 and id:match "^[%w_-]+$" and "rule/" .. id or nil
end

Acl.routes["PUT /rules/:id"] = function(self, req, res)
  local key, who = rule_key(req), copy_of(req.identity)
  if self.config.source ~= "kv" then return answer(res, 409, "source", "The rules of this server stand elsewhere.") end
  if not key then return answer(res, 422, "bad_rule", "The id of a rule is 1 to 64 letters, digits, _ and -.") end
  local rule, why = rules.check(req:json(), self.state.roles)
  if not rule then return answer(res, 422, "bad_rule", why) end
  local may, held = may_manage(self, who, rule.docs)
  if not may or not (held.is_admin or rights.covers(held, self.state.roles[rule.give])) then
    return answer(res, 403, "denied", "You may not give this.")
  end
  rule.by, rule.at = who.user, ml.time.now()
  local before
  local done, kind, text = ml.kv.txn(function(tx)
    before = tx:get(key)
    if before and before.docs ~= rule.docs and not held.is_admin then return "denied" end
    if not before then
      local count = 0
      for _ in tx:scan("rule/", { limit = RULES_MAX }) do count = count + 1 end
      if count >= RULES_MAX then return "full" end
    end
    tx:set(key, rule)
    tx:incr("rev", 1)
    return "done"
  end)
  if not done then error(("rules: %s (%s)"):format(text, kind), 0) end
  if done == "denied" then return answer(res, 403, "denied", "This rule is about another document.") end
  if done == "full" then return answer(res, 409, "full", ("There are %d rules already."):format(RULES_MAX)) end
  changed(before and before.docs ~= rule.docs and "**" or rule.docs)
  rule.id = key:sub(6)
  return res:json(rule)
end

Acl.routes["DELETE /rules/:id"] = function(self, req, res)
  local key, who = rule_key(req), copy_of(req.identity)
  local rule = key and ml.kv.get(key)
  if not may_manage(self, who, rule and rule.docs) then return answer(res, 403, "denied", "You may not change these rules.") end
  if not rule then return answer(res, 404, "not_found", "There is no such rule.") end
  local done, kind, text = ml.kv.txn(function(tx)
    local now = tx:get(key)
    if not now or now.docs ~= rule.docs then return "gone" end
    tx:delete(key)
    tx:incr("rev", 1)
    return "done"
  end)
  if not done then error(("rules: %s (%s)"):format(text, kind), 0) end
  if done == "gone" then return answer(res, 404, "not_found", "There is no such rule.") end
  changed(rule.docs)
  return res:status(204)
end

--- What the service behind http_url says has changed: of a document, or of all. Its answers are asked for again.
Acl.routes["POST /changed"] = function(_, req, res)
  local body = req.body ~= "" and req:json() or {}
  local doc = type(body) == "table" and body.doc or nil
  if doc ~= nil and (type(doc) ~= "string" or doc == "") then return answer(res, 422, "bad_doc", "doc is the name of a document.") end
  local _, kind, text = ml.kv.incr("rev", 1)
  if kind then error(("rev: %s (%s)"):format(text, kind), 0) end
  ml.sessions.recheck(doc and { doc = doc } or {})
  return res:status(204)
end

return Acl
