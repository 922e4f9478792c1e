-- SPDX-License-Identifier: MIT
-- The outside world of a t.app: HTTP, the store of plugins, calls from outside. Plugins ask through the port of
-- script/ (script/port.h); the answers are made here.
local core = require "moonloom.test_core"

local Outside = {}
Outside.__index = Outside

-- ---- HTTP -------------------------------------------------------------------------------------------------------

local Route = {}
Route.__index = Route

--- What the next call is answered; the last reply stays.
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

local function new(app)
  local self = setmetatable({ app = app, waiting = {} }, Outside)
  self.http = setmetatable({ routes = {}, calls = {} }, Http)
  self.kv, self.cache, self.jobs, self.metrics = {}, {}, {}, {}
  return self
end

function Outside:begin(event)
  self.waiting[#self.waiting + 1] = event
end

function Outside:cancel(ticket)
  for i, event in ipairs(self.waiting) do if event.ticket == ticket then table.remove(self.waiting, i) return end end
end

local answers = {}

function answers.http()
  return { err = "EIO", text = "t.app: http is not available in this version" }
end

--- Answers what waits. Did anything move?
function Outside:step()
  if #self.waiting == 0 then return false end
  local list = self.waiting
  self.waiting = {}
  for _, event in ipairs(list) do
    local answer = answers[event.op] and answers[event.op](self, event) or { err = "EIO", text = "not available in t.app" }
    self.app.core:resume(event.ticket, answer)
  end
  return true
end

local function not_yet(what)
  return function() error(("t.app: %s is not available in this version"):format(what), 4) end
end

Outside.request, Outside.call, Outside.reload = not_yet "asking a route", not_yet "rpc", not_yet "reload"

return { new = new, core = core }
