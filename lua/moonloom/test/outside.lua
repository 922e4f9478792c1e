-- SPDX-License-Identifier: MIT
-- The outside world of a t.app: HTTP, the store of plugins, calls from outside. Plugins ask through the port of
-- script/ (script/port.h); the answers are made here.
local core = require "moonloom.test_core"
local engine = require "moonloom.engine"
local json = require "moonloom.test.json"
local paths = require "moonloom.test.paths"

local Outside = {}
Outside.__index = Outside

-- ---- HTTP -------------------------------------------------------------------------------------------------------

local Route = {}
Route.__index = Route

--- The network is broken: the next call fails with this kind ("EIO", "ETIMEDOUT").
function Route:fail(kind)
  self.replies[#self.replies + 1] = { err = kind or "EIO", body = "no route to host" }
  return self
end

--- What the next call is answered; the last reply stays. A table is sent as JSON.
function Route:reply(status, body, headers)
  self.replies[#self.replies + 1] = { status = status, body = body or "", headers = headers or {} }
  return self
end

local Http = {}
Http.__index = Http

--- Requests to this method and URL: `.calls` lists them, `:reply(status, body)` says what is answered.
function Http:on(method, url)
  local route = setmetatable({ method = method, url = url, calls = {}, replies = {} }, Route)
  self.routes[method .. " " .. url] = route
  return route
end

-- What is answered when nobody has said: the spec fails.
local function unexpected(app, what)
  app.broken = ("t.app: an unexpected request: %s (app.http:on(method, url):reply(status, body) would answer it)"):format(what)
end

local function answer_http(self, event)
  local headers, call = {}, { method = event.name, url = event.key, body = event.value, headers = {}, instance = event.instance }
  for _, item in ipairs(event.items) do call.headers[item.key:lower()] = item.value end
  if event.value and event.value ~= "" then call.json = json.decode(event.value) end
  self.http.calls[#self.http.calls + 1] = call
  local bare = event.key:match("^[^?#]*")
  local route = self.http.routes[event.name .. " " .. event.key] or self.http.routes[event.name .. " " .. bare]
  if not route then
    unexpected(self.app, event.name .. " " .. event.key)
    return { err = "EIO", text = "an unexpected request" }
  end
  route.calls[#route.calls + 1] = call
  local reply = route.replies[math.min(#route.calls, #route.replies)] or { status = 200, body = "", headers = {} }
  if reply.err then return { err = reply.err, text = reply.body } end
  local body = reply.body
  if type(body) == "table" then
    body = json.encode(body)
    headers[1] = { key = "content-type", value = "application/json" }
  end
  for name, value in pairs(reply.headers) do headers[#headers + 1] = { key = name:lower(), value = tostring(value) } end
  return { number = reply.status, value = body, items = headers }
end

-- ---- The store of plugins, to look at ----------------------------------------------------------------------------

local Kv = {}
Kv.__index = Kv

-- Instances of the app, or the one that is meant.
local function instance_of(app, instance)
  return instance or app.instances[1] and app.instances[1].name or ""
end

--- Value of a key of an instance (the first plugin's, if none is named); nil if there is none.
function Kv:get(key, instance)
  for _, pair in ipairs(self.app.core:store(self.app.org, instance_of(self.app, instance), "kv", key)) do
    if pair.key == key then return json.decode(pair.value) end
  end
end

--- All keys below a prefix, with their values.
function Kv:all(prefix, instance)
  local out = {}
  for _, pair in ipairs(self.app.core:store(self.app.org, instance_of(self.app, instance), "kv", prefix or "")) do
    out[pair.key] = json.decode(pair.value)
  end
  return out
end

local Jobs = {}
Jobs.__index = Jobs

local function list_jobs(self, instance, dead)
  local out = {}
  for i, job in ipairs(self.app.core:queue(self.app.org, instance_of(self.app, instance), dead)) do
    out[i] = { id = job.id, name = job.name, args = json.decode(job.args or "null"), try = job.try, why = job.why, due_at = job.due_ms / 1000 }
  end
  return out
end

--- Jobs that wait; those that were given up.
function Jobs:list(instance) return list_jobs(self, instance, false) end
function Jobs:dead(instance) return list_jobs(self, instance, true) end

local Metrics = {}
Metrics.__index = Metrics

--- What an instance (the first, if none is named) counted: a number, for histograms { count, sum }; by labels as
--- text ("result=ok") if it has some.
function Metrics:get(name, labels, instance)
  local internal = require("moonloom.test").internal
  local result = assert(self.app.core:probe(internal.inner(), { what = "metrics", name = instance_of(self.app, instance) }))
  return (result.value[name] or {})[labels or ""]
end

local function new(app)
  local self = setmetatable({ app = app, waiting = {}, running = {}, crons = {} }, Outside)
  self.http = setmetatable({ routes = {}, calls = {} }, Http)
  self.kv, self.jobs = setmetatable({ app = app }, Kv), setmetatable({ app = app }, Jobs)
  self.metrics = setmetatable({ app = app }, Metrics)
  return self
end

function Outside:begin(event)
  self.waiting[#self.waiting + 1] = event
end

function Outside:cancel(ticket)
  for i, event in ipairs(self.waiting) do if event.ticket == ticket then table.remove(self.waiting, i) return end end
end

-- ---- ml.docs, ml.sessions ------------------------------------------------------------------------------------------

local docs = {}

local function there(app, id)
  local doc = app.documents[id]
  return doc and (doc.records > 0 or doc.made) and not doc.deleted and doc or nil
end

local NO_DOCUMENT = { err = "ENOTFOUND", text = "there is no such document" }

function docs.get(self, event)
  local doc = there(self.app, event.key)
  if not doc then return NO_DOCUMENT end
  local value = paths.value(doc.replica, event.prefix)
  if value == nil then return {} end
  return { value = assert(engine.any(json.encode(value))) }
end

function docs.list(self, event)
  local ids, items = {}, {}
  for id in pairs(self.app.documents) do
    if there(self.app, id) and id:sub(1, #event.prefix) == event.prefix and id > event.after then ids[#ids + 1] = id end
  end
  table.sort(ids)
  for i = 1, math.min(#ids, event.limit) do
    local doc = self.app.documents[ids[i]]
    items[i] = { key = ids[i], value = json.encode { seq = doc.seq, bytes = #doc.replica:state(), created_at = doc.created_at, updated_at = doc.updated_at } }
  end
  return { items = items }
end

-- What changes documents is done by rooms and journal; the answer comes later.
function docs.create(self, event)
  local bytes, template = nil, nil
  for _, item in ipairs(event.items) do if item.key == "template" then template = item.value end end
  if template then
    local doc = there(self.app, template)
    if not doc then return { err = "ENOTFOUND", text = "there is no such template" } end
    bytes = doc.replica:state()
  elseif event.value and event.value ~= "" then
    local made, kind, text = engine.new({ client = 1 }):transact(event.value)
    if not made then return { err = kind, text = text } end
    bytes = made
  end
  self.app.core:docs(event.ticket, "create", event.key, event.instance, nil, bytes, template)
end

function docs.delete(self, event) self.app.core:docs(event.ticket, "delete", event.key, event.instance) end
function docs.apply(self, event) self.app.core:docs(event.ticket, "apply", event.key, event.instance, nil, event.value) end
function docs.run(self, event) self.app.core:docs(event.ticket, "run", event.key, event.instance, event.prefix, event.value) end

-- Fields of an operation as a table.
local function fields_of(event)
  local out = {}
  for _, item in ipairs(event.items) do out[item.key] = item.value end
  return out
end

local sessions = {}

local function fits(client, wanted)
  return client.seat and (not wanted.user or client.user == wanted.user) and (not wanted.document or client.doc == wanted.document)
    and (not wanted.session or client.identity.session == wanted.session)
end

local function each(app, event, fn)
  local wanted, found = fields_of(event), {}
  for _, client in ipairs(app.clients) do if fits(client, wanted) then found[#found + 1] = client end end
  for _, client in ipairs(found) do fn(client) end
  return { number = #found }
end

function sessions.list(self, event)
  local items = {}
  each(self.app, event, function(client)
    items[#items + 1] = { value = json.encode { session = client.identity.session, user = client.user, name = client.identity.name,
                                                doc = client.doc, write = not client.readonly } }
  end)
  return { items = items }
end

function sessions.revoke(self, event)
  return each(self.app, event, function(client)
    client:offline()
    client.closed = { code = "revoked" }
  end)
end

-- Who may still come in comes in again, with the rights of now.
function sessions.recheck(self, event)
  return each(self.app, event, function(client)
    client:offline()
    client:online()
  end)
end

function sessions.notify(self, event)
  local notice = json.decode(event.value)
  return each(self.app, event, function(client) client.notices[#client.notices + 1] = notice end)
end

local answers = { http = answer_http }
function answers.docs(self, event) return docs[event.name](self, event) end
function answers.sessions(self, event) return sessions[event.name](self, event) end

--- Answers what waits. Did anything move?
function Outside:step()
  if #self.waiting == 0 then return false end
  local list = self.waiting
  self.waiting = {}
  for _, event in ipairs(list) do
    local answer = answers[event.op](self, event)
    if answer then self.app.core:resume(event.ticket, answer) end
  end
  return true
end

-- ---- Work of plugins: what the server's worker does, by the app's clock ------------------------------------------------

local function now_ms() return math.floor(core.clock() * 1000 + 0.5) end

-- Begins work; `done` is told how it ended.
function Outside:start(kind, instance, name, input, done)
  self.next_id = (self.next_id or 0) + 1
  self.running[self.next_id] = done
  if not self.app.core:start(self.next_id, kind, instance, name, input) then
    self.running[self.next_id] = nil
    return false
  end
  return true
end

function Outside:ended(event)
  local done = self.running[event.id]
  self.running[event.id] = nil
  if done then done(event) end
end

-- The wait before the next try: doubles from the first to the last.
local function backoff_ms(work, try)
  local ms = work.backoff_first_ms
  for _ = 2, try do ms = math.min(ms * 2, work.backoff_last_ms) end
  return ms
end

function Outside:run_job(work, job)
  local input = { args = job.args, id = job.id, try = job.try, at_ms = job.queued_ms }
  local began = self:start("job", job.instance, job.name, input, function(event)
    local how, due = "done", 0
    if event.how == "again" or event.how == "failed" then
      how = job.try > work.retries and "dead" or "retry"
      due = now_ms() + (event.after_ms > 0 and event.after_ms or backoff_ms(work, job.try))
    elseif event.how == "dead" then
      how = "dead"
    end
    self.app.core:end_job(job, how, due, event.text)
  end)
  if not began then self.app.core:end_job(job, "retry", now_ms() + 60000, "there is no such job any more") end
end

--- Takes what is due: jobs and runs by the clock. Did anything begin?
function Outside:work()
  local began, by_instance = false, {}
  local app = self.app
  for _, work in ipairs(app.core:work()) do
    if work.kind == "job" then
      by_instance[work.instance] = by_instance[work.instance] or {}
      by_instance[work.instance][work.name] = work
    elseif work.kind == "cron" then
      local key = work.instance .. "#" .. work.name
      local entry = self.crons[key]
      if not entry then
        entry = { next = app.core:cron_next(work.instance, work.name, now_ms()) }
        self.crons[key] = entry
      end
      if entry.next > 0 and now_ms() >= entry.next and not entry.running then
        local due = entry.next
        entry.running, began = true, true
        entry.next = app.core:cron_next(work.instance, work.name, now_ms())
        self:start("cron", work.instance, work.name, { at_ms = due }, function() entry.running = false end)
      end
    end
  end
  for instance, works in pairs(by_instance) do
    for _, job in ipairs(app.core:take_jobs(app.org, instance, 16)) do
      began = true
      self:run_job(works[job.name] or { retries = 0, backoff_first_ms = 1000, backoff_last_ms = 1000 }, job)
    end
  end
  return began
end

-- ---- Asked from outside --------------------------------------------------------------------------------------------

local function may(work, client)
  if #work.roles == 0 then return true end
  for _, role in ipairs(work.roles) do
    for _, own in ipairs(client.identity.roles) do if own == role then return true end end
  end
  return false
end

local function unescape(s) return (s:gsub("+", " "):gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)) end

-- Runs until `box.event` is there, or nothing moves any more.
local function finish(self, box)
  self.app:settle()
  return box.event or error("t.app: it waits for something that does not come; app:advance first, or app.http:on(…):reply(…)", 4)
end

function Outside:request(method, url, value, client, headers)
  local instance, path = url:match("^/x/([^/?]+)(/[^?]*)")
  local answer = { status = 404, headers = {}, body = "" }
  if not instance then return answer end
  local work, params = self.app.core:find_route(instance, method, path)
  if not work then return answer end
  if not work.is_public and not may(work, client) then
    answer.status = 403
    return answer
  end
  local query, sent = {}, {}
  for name, one in (url:match("%?(.*)$") or ""):gmatch("([^&=]+)=?([^&]*)") do query[unescape(name)] = unescape(one) end
  for name, one in pairs(headers or {}) do sent[name:lower()] = one end
  local box, body = {}, value
  if value ~= nil and type(value) ~= "string" then
    body = json.encode(value)
    sent["content-type"] = sent["content-type"] or "application/json"
  end
  self:start("route", work.instance, work.name, { method = method, path = path, headers = sent, query = query, cookies = {}, params = params,
                                                  body = body or "", identity = client.identity }, function(event) box.event = event end)
  local event = finish(self, box)
  if event.how == "failed" then
    answer.status = 500
    return answer
  end
  answer.status, answer.body = event.status > 0 and event.status or 200, event.value or ""
  for name, one in pairs(event.headers) do answer.headers[name:lower()] = one end
  answer.json = answer.body ~= "" and json.decode(answer.body) or nil
  return answer
end

--- Its value, or nil, kind, text.
function Outside:call(name, args, client)
  local found
  for _, work in ipairs(self.app.core:work()) do if work.kind == "rpc" and work.name == name then found = work end end
  if not found then return nil, "ENOTFOUND", "there is no rpc " .. name end
  if not may(found, client) then return nil, "EDENIED", "not for this role" end
  local box = {}
  self:start("rpc", found.instance, name, { args = args and json.encode(args) or "{}", identity = client.identity, session = client.identity.session,
                                            document = found.wants_doc and client.doc or nil }, function(event) box.event = event end)
  local event = finish(self, box)
  if event.how == "done" then return json.decode(event.value or "null") end
  if event.how == "denied" then return nil, event.code, event.reason end
  return nil, event.err or "ESCRIPT", event.text
end

return { new = new }
