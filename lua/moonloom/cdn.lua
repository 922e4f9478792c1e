-- SPDX-License-Identifier: MIT
-- require "moonloom.cdn": what plugins that tell a CDN what to forget have in common. It runs in the environment of the
-- plugin that asks for it: its requests, its limits, its log.
--
--   purge(p) -- is_wanted --> collect --> the plugin's requests, each with an id -- deliver --> nil: done, or ml.retry
--
-- A purge comes again, whole, until everything of it was taken; what was taken already is not sent twice.
local ml = require "moonloom"

local cdn = {}

local UNDER_WAY_MAX = 1000 -- purges that wait
local COLLECTED = 1        -- seconds that the server itself collects
local VERIFY_WAIT = 5      -- seconds from one look to the next
local VERIFY_TRIES = 5

--- Is this purge for us? Patterns are about addresses without their host.
function cdn.is_wanted(config, p)
  local reason_fits = false
  for _, reason in ipairs(config.reasons) do reason_fits = reason_fits or reason == p.reason end
  if not reason_fits then return false end
  for _, prefix in ipairs(p.prefixes) do
    local path = prefix:gsub("^https?://[^/]*", "")
    for _, pattern in ipairs(config.only) do
      if ml.glob.match(pattern, (path:gsub("^/", ""))) then return true end
    end
  end
  return #p.prefixes == 0
end

--- Up to `size` of a list at a time.
function cdn.batches(list, size)
  local all = {}
  for i = 1, #list, size do
    local part = {}
    for k = i, math.min(i + size - 1, #list) do part[#part + 1] = list[k] end
    all[#all + 1] = part
  end
  return all
end

local function under_way(self, key)
  local state = self.state
  if not state.cdn or state.cdn_count >= UNDER_WAY_MAX then state.cdn, state.cdn_count = {}, 0 end
  local one = state.cdn[key]
  if not one then
    one = { since = ml.time.now(), sent = {} }
    state.cdn[key], state.cdn_count = one, state.cdn_count + 1
  end
  return one
end

local function over(self, key, one)
  if self.state.cdn[key] ~= one then return end
  self.state.cdn[key], self.state.cdn_count = nil, self.state.cdn_count - 1
end

--- What is not urgent waits for more of the same document, `batch_wait` in all: the answer of the hook, or nil: now.
function cdn.collect(self, p)
  local wait = (self.config.batch_wait or 0) - COLLECTED
  if wait <= 0 or p.urgent then return nil end
  local one, now = under_way(self, "collect " .. (p.prefixes[1] or p.keys[1] or "")), ml.time.now()
  one.due = one.due or now + wait
  if now < one.due then return ml.retry("collects more", one.due - now) end
  over(self, "collect " .. (p.prefixes[1] or p.keys[1] or ""), one)
end

--- What shows that a purge has worked: an address to look at, with `verify`. Before the first wait.
function cdn.proof(config, p)
  local path = config.verify and config.site and p.urls[1] and p.urls[1]:gsub("^https?://[^/]*", "")
  if not path then return nil end
  return { url = config.site:gsub("/$", "") .. path, is_gone = p.reason == "deleted" or p.reason == "made_private" }
end

-- Nil: the CDN shows nothing older than the purge. Else what is wrong.
local function look(proof, since)
  local answer, kind = ml.http.request { method = "GET", url = proof.url, max_body = "1MiB" }
  if not answer then return kind == "ELIMIT" and nil or "no answer: " .. tostring(kind) end
  local is_there = answer.status >= 200 and answer.status < 300
  if proof.is_gone then return is_there and "it is still there" or nil end
  local age = tonumber(answer.headers.age)
  if age and age > ml.time.now() - since + 1 then return "what is there is older" end
end

-- Nil: it has worked, or is not to be shown; else the answer of the hook, and all is sent again.
local function verify(self, one, proof)
  if not proof then return nil end
  one.taken = one.taken or ml.time.now()
  local wrong = look(proof, one.taken)
  if not wrong then return nil end
  one.looks = (one.looks or 0) + 1
  if one.looks >= VERIFY_TRIES then
    ml.log.error("a purge does not work", { plugin = self.name, url = proof.url, why = wrong })
    return nil
  end
  one.sent, one.taken = {}, nil
  return ml.retry(wrong, VERIFY_WAIT)
end

-- Nil: taken. Else why not, and how long to wait.
local function send(self, request)
  if self.config.rate then
    local limit = self.config.rate
    self.state.cdn_limit = self.state.cdn_limit or ml.limiter.new {
      rate = ("%g/%gs"):format(limit.n, limit.per), burst = math.max(1, math.ceil(limit.n / limit.per)), scope = "cluster",
    }
    local may, wait = self.state.cdn_limit:take("purge")
    if not may then return "as fast as it may", math.max(wait, 0.1) end
  end
  local answer, kind, text = ml.http.request(request)
  if not answer then return ("%s: %s"):format(kind, text or "") end
  if answer.status == 429 or answer.status >= 500 then return "status " .. answer.status, tonumber(answer.headers["retry-after"]) end
  if answer.status >= 300 then return "status " .. answer.status, 60 end
end

--- Sends what was not taken yet of the purge `key` (any text that says which one it is). `requests`: a list of
--- { id =, request = }. `proof`: of cdn.proof. The answer is that of the hook; every request was taken if it is nil.
function cdn.deliver(self, key, requests, proof)
  local one = under_way(self, key)
  for _, item in ipairs(requests) do
    if not one.sent[item.id] then
      local why, wait = send(self, item.request)
      if why then
        if ml.time.now() - one.since >= self.config.alert_after and not one.is_late then
          one.is_late = true
          local seconds = math.floor(ml.time.now() - one.since)
          ml.log.error("a purge is late", { plugin = self.name, why = why, seconds = seconds })
        end
        return ml.retry(why, wait)
      end
      one.sent[item.id] = true
    end
  end
  local again = verify(self, one, proof)
  if again then return again end
  over(self, key, one)
end

--- What says which purge this is. Before the first wait: `p` is not there any more after it.
function cdn.key(p) return p.reason .. " " .. table.concat(p.keys, " ") .. " " .. table.concat(p.urls, " ") end

return cdn
