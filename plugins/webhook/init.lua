-- plugins/webhook/init.lua: what happens becomes a message in the store, and a job that posts it until it has arrived.
--
--   change --> due/LANE --collect, when the document is still--> out/LANE/ID --deliver--> the receiver
--
-- A lane is a document, or with ordering = "none" one message. Of one lane one job runs at a time, oldest first.
local ml = require "moonloom"
local Webhook = { jobs = {}, routes = {} }

local STATE = "state" -- { failing_since, disabled, why }
local BATCH = 20      -- messages in one run of deliver

function Webhook.validate(config)
  local first, last = config.backoff:match "^(.-)%.%.(.+)$"
  local units = { s = 1, m = 60, h = 3600, d = 86400 }
  local function seconds(text) return tonumber(text:sub(1, -2)) * units[text:sub(-1)] end
  if config.secret_old and not config.secret then return { { "secret_old", "needs secret, the one that counts" } } end
  if seconds(first) == 0 or seconds(first) > seconds(last) then
    return { { "backoff", 'must be two times, the shorter one first, such as "5s..1h"' } }
  end
end

function Webhook:setup()
  local state, config = self.state, self.config
  state.docs = #config.docs > 0 and ml.glob.set(config.docs) or nil
  state.events = ml.set(config.events)
  local first, last = config.backoff:match "^(.-)%.%.(.+)$"
  state.first, state.last = ml.time.duration(first), ml.time.duration(last)
end

local function lane_of(id) return ml.enc.hex.encode(ml.crypto.sha256(id)):sub(1, 32) end

local function is_wanted(self, event, id)
  return self.state.events:has(event) and (not self.state.docs or self.state.docs:match(id))
end

-- Into the lane, and a job for it. `tx`: what else belongs to it is committed together.
local function put(self, tx, message)
  local state = tx:get(STATE)
  if state and state.disabled then return end
  message.id, message.at = ml.crypto.uuid7(), ml.time.now()
  local lane = self.config.ordering == "per_doc" and lane_of(message.doc or "") or message.id
  tx:set(("out/%s/%s"):format(lane, message.id), { message = message, tries = 0 })
  tx:push("deliver", { lane = lane }, { key = lane })
end

local function tell(self, message)
  ml.kv.txn(function(tx) put(self, tx, message) end)
end

-- ---- What happens ---------------------------------------------------------------------------------------------------

local function touches(self, batch)
  if #self.config.paths == 0 or batch.gap then return true end
  for _, pattern in ipairs(self.config.paths) do if batch:touched(pattern) then return true end end
  return false
end

local function has_origin(self, batch)
  if #self.config.origins == 0 then return true end
  for _, origin in ipairs(batch.origins) do
    for _, wanted in ipairs(self.config.origins) do if origin == wanted then return true end end
  end
  return false
end

local function merge_authors(list, more)
  local seen = {}
  for _, user in ipairs(list) do seen[user] = true end
  for _, user in ipairs(more) do
    if not seen[user] and #list < 100 then list[#list + 1] = user end
  end
  return ml.array(list)
end

function Webhook:after_update(batch)
  local id, org = batch.doc.id, batch.org
  local is_new = batch.from_seq == 1 and is_wanted(self, "created", id)
  local tells = is_wanted(self, "updated", id) and has_origin(self, batch) and touches(self, batch)
  if not is_new and not tells then return end
  local seq, count, authors, delay = batch.to_seq, batch.count, batch.authors, self.config.debounce
  local key = "due/" .. lane_of(id)
  ml.kv.txn(function(tx) -- the batch is not there any more after the first wait
    if is_new then put(self, tx, { event = "created", org = org, doc = id, seq = 1, authors = ml.array(authors) }) end
    if not tells then return end
    local now = ml.time.now()
    local due = tx:get(key) or { first = now, changes = 0, authors = {}, doc = id, org = org }
    due.last, due.seq, due.changes, due.authors = now, seq, due.changes + count, merge_authors(due.authors, authors)
    tx:set(key, due)
    tx:push("collect", { key = key }, { key = key, delay = delay })
  end)
end

function Webhook:after_snapshot(s)
  if not is_wanted(self, "snapshot", s.doc_id) then return end
  tell(self, { event = "snapshot", org = self.org and self.org.id, doc = s.doc_id, seq = s.seq, name = s.name, version = s.version,
               bytes = s.bytes, labels = s.labels })
end

local function seat(self, event, member)
  local id = member.doc.id
  if not is_wanted(self, event, id) then return end
  tell(self, { event = event, org = member.doc.org, doc = id, user = member.identity.user, session = member.session })
end

function Webhook:document_deleted(ref)
  if is_wanted(self, "deleted", ref.id) then tell(self, { event = "deleted", org = ref.org, doc = ref.id }) end
end

-- The document that an event is about; nil: about none.
local function document_of(event)
  local family = event.kind:match "^(%w+)%."
  return (family == "document" or family == "version" or family == "share") and event.subject or nil
end

--- What the security log has as denied.
function Webhook:audit(events)
  if not self.state.events:has "denied" then return end
  local messages = {}
  for _, event in ipairs(events) do
    local doc = document_of(event)
    local fits = not self.state.docs or (doc ~= nil and self.state.docs:match(doc))
    if event.result == "denied" and fits then
      messages[#messages + 1] = { event = "denied", org = event.org, kind = event.kind, doc = doc, subject = event.subject,
                                  user = event.actor, ip = event.ip }
    end
  end
  if #messages == 0 then return end
  ml.kv.txn(function(tx) for _, message in ipairs(messages) do put(self, tx, message) end end)
end

function Webhook:joined(member) seat(self, "joined", member) end
function Webhook:left(member) seat(self, "left", member) end

-- ---- Jobs -----------------------------------------------------------------------------------------------------------

--- The changes of a document become a message when it is still, or has been changing for long enough.
function Webhook.jobs.collect(self, args)
  local config, wait = self.config, nil
  ml.kv.txn(function(tx)
    wait = nil
    local due, now = tx:get(args.key), ml.time.now()
    if not due then return end
    local left = math.min(due.last + config.debounce, due.first + config.max_wait) - now
    if left > 0.001 then
      wait = math.max(left, config.max_wait / 50) -- fewer tries than a job has
      return
    end
    tx:delete(args.key)
    put(self, tx, { event = "updated", org = due.org, doc = due.doc, seq = due.seq, changes = due.changes,
                    authors = ml.array(due.authors) })
  end)
  if wait then return ml.retry("still changing", wait) end
end

--- One part for each secret that receivers may know.
function Webhook.signature(self, at, body)
  local parts = { "t=" .. at }
  for _, key in ipairs { self.config.secret, self.config.secret_old } do
    parts[#parts + 1] = "v1=" .. ml.enc.hex.encode(ml.crypto.hmac(key, at .. "." .. body))
  end
  return table.concat(parts, ",")
end

local HAS_PAYLOAD = { created = true, updated = true }

-- What stands in the document now, which is the record of the message or a later one. Nil, why: not to be had at the moment.
local function add_payload(self, message)
  local config = self.config
  if config.payload == "meta" or not HAS_PAYLOAD[message.event] then return true end
  local value, kind, text = ml.docs.get(message.doc, config.root)
  if value == nil and kind and kind ~= "ENOTFOUND" then return nil, ("content: %s (%s)"):format(text, kind) end
  if config.payload == "text" and type(value) ~= "string" then value = nil end
  if value ~= nil and #ml.json.encode(value) > config.max_payload then
    message.too_large, value = true, nil
  end
  message.content = value == nil and ml.null or value
  return true
end

-- The timestamp is that of this try; the id is the same for all.
local function post(self, message)
  local config, headers = self.config, { ["content-type"] = "application/json" }
  local has, why = add_payload(self, message)
  if not has then return nil, why end
  local body = ml.json.encode(message)
  for name, value in pairs(config.headers) do headers[name] = value end
  if config.secret then headers[config.signature_header] = Webhook.signature(self, math.floor(ml.time.now()), body) end
  return ml.http.post(config.url, { body = body, headers = headers, timeout = config.timeout, idempotency_key = message.id })
end

-- Nil: it has arrived; else why not, and how long the receiver wants to be left alone; "gone": for good.
local function try(self, message)
  local sent = {}
  for name, value in pairs(message) do sent[name] = value end -- what is read now is not kept for the next try
  local res, kind = post(self, sent)
  if not res then return "no answer: " .. kind end
  if res.status >= 200 and res.status < 300 then return nil end
  if res.status == 410 then return "gone" end
  local wait = (res.status == 429 or res.status == 503) and tonumber(res.headers["retry-after"]) or nil
  return "status " .. res.status, wait and math.max(1, math.min(wait, 86400))
end

local function switch_off(self, why)
  ml.kv.set(STATE, { disabled = true, why = why, at = ml.time.now() })
  ml.log.error("webhook is switched off", { why = why, enable = "POST /x/" .. self.name .. "/enable" })
end

-- Written only when it changes: most messages arrive.
local function note_outcome(self, why)
  local state = ml.kv.get(STATE)
  if not why then
    if state then ml.kv.delete(STATE) end
  elseif not state then
    ml.kv.set(STATE, { failing_since = ml.time.now(), why = why })
  elseif not state.disabled and ml.time.now() - state.failing_since >= self.config.disable_after then
    switch_off(self, why)
  end
end

local function dropped(message, why)
  ml.log.warn("webhook: a message is dropped", { event = message.event, doc = message.doc, id = message.id, why = why })
end

--- The messages of a lane, the oldest first, each until it has arrived or has failed too often.
function Webhook.jobs.deliver(self, args)
  local prefix, again = "out/" .. args.lane .. "/", false
  local count = 0
  for key, entry in ml.kv.scan(prefix, { limit = BATCH }) do
    local state = ml.kv.get(STATE)
    count = count + 1
    if state and state.disabled then
      dropped(entry.message, "switched off")
    else
      local why, wait = try(self, entry.message)
      if why == "gone" then
        switch_off(self, "the receiver is gone (410)")
      else
        note_outcome(self, why)
      end
      if why and why ~= "gone" then
        entry.tries = entry.tries + 1
        if entry.tries <= self.config.retries then
          ml.kv.set(key, entry)
          return ml.retry(why, wait or math.min(self.state.first * 2 ^ (entry.tries - 1), self.state.last))
        end
        dropped(entry.message, why)
        again = true -- the next one begins with a job of its own: this one has used up its tries
      end
    end
    ml.kv.delete(key)
    if again then break end
  end
  if again or count == BATCH then ml.jobs.push("deliver", args, { key = args.lane }) end
end

-- ---- For people who run it --------------------------------------------------------------------------------------

Webhook.routes["GET /status"] = function(_, _, res)
  local state = ml.kv.get(STATE) or {}
  return res:json { disabled = state.disabled or false, why = state.why, failing_since = state.failing_since }
end

Webhook.routes["POST /enable"] = function(_, _, res)
  ml.kv.delete(STATE)
  return res:json { disabled = false }
end

return Webhook
