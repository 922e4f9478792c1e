-- plugins/webhook/init.lua: what changed becomes a durable job; the job posts it and tries again.
local ml = require "moonloom"
local Webhook = { jobs = {} }

function Webhook:setup()
  self.state.docs = #self.config.docs > 0 and ml.glob.set(self.config.docs) or nil
end

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

function Webhook:after_update(batch)
  local id = batch.doc.id
  if self.state.docs and not self.state.docs:match(id) then return end
  if not has_origin(self, batch) or not touches(self, batch) then return end
  local message = { event = "updated", org = batch.org, doc = id, seq = batch.to_seq, changes = batch.count,
                    authors = ml.array(batch.authors) }
  local key = self.config.ordering == "per_doc" and "updated/" .. id or nil
  ml.jobs.push("deliver", message, { key = key, delay = self.config.debounce })
end

function Webhook.jobs.deliver(self, message, job)
  local opts = { json = message, timeout = self.config.timeout, idempotency_key = job.id }
  if self.config.secret then opts.sign = { header = self.config.signature_header, key = self.config.secret } end
  local res, kind = ml.http.post(self.config.url, opts)
  if not res then return ml.retry("no answer: " .. kind) end
  if res.status >= 200 and res.status < 300 then return nil end
  if res.status == 410 then return ml.dead("the receiver is gone (410)") end
  if res.status == 429 or res.status == 503 then return ml.retry("told to wait", tonumber(res.headers["retry-after"])) end
  return ml.retry("status " .. res.status)
end

return Webhook
