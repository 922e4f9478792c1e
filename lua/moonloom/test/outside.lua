-- SPDX-License-Identifier: MIT
-- The outside world of a t.app: HTTP, the store of plugins, calls from outside. Plugins ask through the port of
-- script/ (script/port.h); the answers are made here.
local json = require "moonloom.test.json"

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

local function new(app)
  local self = setmetatable({ app = app, waiting = {} }, Outside)
  self.http = setmetatable({ routes = {}, calls = {} }, Http)
  self.kv, self.jobs = setmetatable({ app = app }, Kv), setmetatable({ app = app }, Jobs)
  self.cache, self.metrics = {}, {}
  return self
end

function Outside:begin(event)
  self.waiting[#self.waiting + 1] = event
end

function Outside:cancel(ticket)
  for i, event in ipairs(self.waiting) do if event.ticket == ticket then table.remove(self.waiting, i) return end end
end

local answers = { http = answer_http }

--- Answers what waits. Did anything move?
function Outside:step()
  if #self.waiting == 0 then return false end
  local list = self.waiting
  self.waiting = {}
  for _, event in ipairs(list) do
    local answer = answers[event.op] and answers[event.op](self, event) or { err = "EIO", text = event.op .. " is not available in t.app" }
    self.app.core:resume(event.ticket, answer)
  end
  return true
end

local function not_yet(what)
  return function() error(("t.app: %s is not available in this version"):format(what), 4) end
end

Outside.request, Outside.call = not_yet "asking a route", not_yet "rpc"

return { new = new }
