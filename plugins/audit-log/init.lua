-- plugins/audit-log/init.lua: events and changes of documents become records in one chain, and go to a sink.
--
--   audit, after_update --> record n, with the hash of record n - 1 --log--> one line of the server's log
--                           (numbers from one transaction)          --kv---> r/N in the store, for `retain`
--                                                                   --http-> q/N in the store --send--> the service
--
-- Numbers and hashes are given in a transaction on "head", so that loops and nodes write one chain. What is hashed is
-- the text of a record as it stands in the store, on a line of the log or in a request, byte for byte.
local ml = require "moonloom"
local AuditLog = { jobs = {}, cron = {}, routes = {} }

local HEAD, SALT = "head", "salt"
local LINES = 80      -- of the log in a second; the server writes 100 and counts the rest
local PATHS = 50      -- of one record
local PAGE = 200
local USERS = { actor = true, user = true, users = true, authors = true, name = true, invited = true, by = true }

function AuditLog.validate(config)
  for i, kind in ipairs(config.kinds) do
    local star = kind:find("*", 1, true)
    if star and kind:sub(-2) ~= ".*" then
      return { { ("kinds[%d]"):format(i), "a star stands for all of a noun, as in session.*" } }
    end
  end
end

-- The salt is made once, by whichever loop is first.
local function salt()
  local made = ml.enc.hex.encode(ml.crypto.random(32))
  ml.kv.set(SALT, made, { if_absent = true })
  return (ml.kv.get(SALT))
end

function AuditLog:setup()
  local kinds, nouns = ml.set {}, ml.set {}
  for _, kind in ipairs(self.config.kinds) do
    local noun = kind:match "^(.-)%.%*$"
    if noun then nouns = nouns + ml.set { noun } else kinds = kinds + ml.set { kind } end
  end
  self.state.kinds, self.state.nouns = kinds, nouns
  if self.config.hash_users then self.state.salt = assert(salt(), "the store cannot be read") end
end

local function is_wanted(self, kind)
  return #self.config.kinds == 0 or self.state.kinds:has(kind) or self.state.nouns:has(kind:match "^[^.]*")
end

-- ---- A record -------------------------------------------------------------------------------------------------------

local function stand_in(self, user)
  return "u-" .. ml.enc.hex.encode(ml.crypto.hmac(self.state.salt, user)):sub(1, 24)
end

-- `data` with users under other names, where a field says that it is one.
local function hide(self, data, is_user)
  if type(data) == "string" then return is_user and stand_in(self, data) or data end
  if type(data) ~= "table" then return data end
  local out = {}
  for key, value in pairs(data) do out[key] = hide(self, value, type(key) == "number" and is_user or USERS[key]) end
  return #data > 0 and ml.array(out) or out
end

local function record_of(self, event)
  local record = { at = event.at, kind = event.kind, org = event.org, actor = event.actor, ip = event.ip, subject = event.subject,
                   result = event.result, data = event.data, event = event.n }
  if not self.config.include_ip then record.ip = nil end
  if self.config.hash_users then
    if record.actor then record.actor = stand_in(self, record.actor) end
    record.data = hide(self, record.data, false)
  end
  return record
end

local function hash(text) return ml.enc.hex.encode(ml.crypto.sha256(text)) end
local function key_of(prefix, n) return ("%s%016x"):format(prefix, n) end

-- Gives the records their numbers; their texts. `put(tx, n, text)` stands in the same write.
local function append(self, records, put)
  local texts
  local _, kind = ml.kv.txn(function(tx)
    local head = tx:get(HEAD) or { n = 0 }
    texts = {}
    for i, record in ipairs(records) do
      head.n = head.n + 1
      record.n, record.prev = head.n, head.hash
      texts[i] = ml.json.encode(record)
      head.hash = self.config.chain and hash(texts[i]) or nil
      if put then put(tx, head.n, texts[i]) end
    end
    tx:set(HEAD, head)
    if self.config.sink == "http" then tx:push("send", {}, { key = "send" }) end
    return true
  end)
  if kind then error("the store takes no records: " .. kind) end
  return texts
end

-- ---- Sinks ----------------------------------------------------------------------------------------------------------

-- False: not in this second.
local function has_room(state, count)
  local second = math.floor(ml.time.mono())
  if state.second ~= second then state.second, state.lines = second, 0 end
  if state.lines > 0 and state.lines + count > LINES then return false end
  state.lines = state.lines + count
  return true
end

local function keep(self, records)
  local sink, config = self.config.sink, self.config
  if sink == "log" then
    if not has_room(self.state, #records) then return false end
    local texts = config.chain and append(self, records)
    for i, record in ipairs(records) do ml.log.info("audit", { record = texts and texts[i] or ml.json.encode(record) }) end
    return true
  end
  local prefix = sink == "kv" and "r/" or "q/"
  append(self, records, function(tx, n, text) tx:set(key_of(prefix, n), text, { ttl = config.retain }) end)
  return true
end

function AuditLog:audit(events)
  local records = {}
  for _, event in ipairs(events) do
    if is_wanted(self, event.kind) then records[#records + 1] = record_of(self, event) end
  end
  if #records > 0 and not keep(self, records) then return ml.retry("the log takes no more in this second", 1) end
end

local function paths_of(batch)
  local seen, list, more = {}, {}, false
  for change in batch:changes() do
    local path = change.key and change.path .. "/" .. change.key or change.path
    if path and not seen[path] then
      more = more or #list == PATHS
      seen[path] = true
      if not more then list[#list + 1] = path end
    end
  end
  table.sort(list)
  return ml.array(list), more or batch.gap or nil
end

function AuditLog:after_update(batch)
  if self.config.edits == "none" or not is_wanted(self, "document.edited") then return end
  local authors = {}
  for i, author in ipairs(batch.authors) do authors[i] = author end
  local event = { kind = "document.edited", at = math.floor(ml.time.now() * 1000), org = batch.org, subject = batch.doc.id, result = "ok",
                  actor = #authors == 1 and authors[1] or nil,
                  data = { changes = batch.count, bytes = batch.bytes, from = batch.from_seq, to = batch.to_seq,
                           authors = #authors > 1 and ml.array(authors) or nil } }
  if self.config.edits == "paths" then event.data.paths, event.data.more = paths_of(batch) end
  if not keep(self, { record_of(self, event) }) then error("the log takes no more in this second") end -- told again soon
end

-- ---- To a service ---------------------------------------------------------------------------------------------------

--- The oldest records, one a line, until all have arrived.
function AuditLog.jobs.send(self)
  local http = self.config.http
  if self.config.sink ~= "http" then return end
  local keys, lines = {}, {}
  for key, text in ml.kv.scan("q/", { limit = http.batch }) do
    keys[#keys + 1], lines[#lines + 1] = key, text
  end
  if #keys == 0 then return end
  local headers = { ["content-type"] = "application/x-ndjson" }
  if http.token then headers.authorization = "Bearer " .. http.token end
  local body = table.concat(lines, "\n") .. "\n"
  local res, kind = ml.http.post(http.url, { body = body, headers = headers, timeout = 30, idempotency_key = hash(body) })
  if not res then return ml.retry("no answer: " .. kind) end
  if res.status < 200 or res.status >= 300 then return ml.retry("status " .. res.status, tonumber(res.headers["retry-after"])) end
  for at = 1, #keys, 100 do
    ml.kv.txn(function(tx) for i = at, math.min(at + 99, #keys) do tx:delete(keys[i]) end end)
  end
  if #keys == http.batch then ml.jobs.push("send", {}, { key = "send" }) end
end

--- Records whose job has used up its tries.
function AuditLog.cron.sweep(self)
  if self.config.sink ~= "http" then return end
  for _ in ml.kv.scan("q/", { limit = 1 }) do ml.jobs.push("send", {}, { key = "send" }) end
end

-- ---- For people who look --------------------------------------------------------------------------------------------

AuditLog.routes["GET /records"] = function(_, req, res)
  local after = tonumber(req.query.after or "0")
  if not after or after < 0 or after > 2 ^ 52 then return res:status(400):json { error = "after is the number of a record" } end
  local items, last = {}, nil
  for _, text in ml.kv.scan("r/", { after = key_of("r/", after), limit = PAGE }) do
    items[#items + 1] = ml.json.decode(text)
    last = items[#items].n
  end
  return res:json { items = ml.array(items), next = #items == PAGE and last or nil }
end

--- Walks along the records that are kept: is each the one that the next speaks of, and is the last the head?
AuditLog.routes["GET /verify"] = function(self, _, res)
  local head = ml.kv.get(HEAD) or { n = 0 }
  local first, last, before, why
  for _, text in ml.kv.scan("r/") do
    local record = ml.json.decode(text)
    if record.n > head.n then break end -- written since
    first = first or record.n
    if last and record.n ~= last + 1 then why = ("record %d is missing"):format(last + 1) break end
    if last and self.config.chain and record.prev and record.prev ~= before then why = ("record %d was changed"):format(last) break end
    last, before = record.n, hash(text)
  end
  if not why and last and last ~= head.n then why = ("record %d is missing"):format(last + 1) end
  if not why and last and head.hash and head.hash ~= before then why = ("record %d was changed"):format(last) end
  return res:json { whole = not why, first = first or 0, last = last or 0, why = why }
end

return AuditLog
