local ml = require "moonloom"

---@class ChangeDigest : moonloom.Plugin
---@field config ChangeDigest.Config
local Digest = { cron = {}, jobs = {}, routes = {} }
local PREFIX = "edits/"

function Digest:setup()
  self.state.seen  = {}
  self.state.quiet = ml.glob.set(self.config.quiet)
  ml.timer.every("10s", function() self:flush() end)
end

function Digest:after_update(batch)
  local id, seen = batch.doc.id, self.state.seen
  if not self.state.quiet:match(id) then seen[id] = (seen[id] or 0) + batch.count end
end

function Digest:flush()
  local seen = self.state.seen
  self.state.seen = {}
  for id, n in pairs(seen) do ml.kv.incr(PREFIX .. id, n, { ttl = "7d" }) end
end

-- A reload passes the unflushed numbers to the next generation.
function Digest:handoff() return { seen = self.state.seen } end
function Digest:adopt(old) self.state.seen = old.seen end

-- Reading, deleting and queueing commit together, so a crash neither loses nor repeats a summary.
function Digest.cron.post()
  ml.kv.txn(function(tx)
    local lines = {}
    for key, n in tx:scan(PREFIX) do
      lines[#lines + 1] = ("%s: %d"):format(key:sub(#PREFIX + 1), n)
      tx:delete(key)
    end
    if #lines > 0 then tx:push("deliver", { text = table.concat(lines, "\n") }) end
  end)
end

function Digest.jobs.deliver(self, args, job)
  local res, err = ml.http.post(self.config.webhook, { json = { text = args.text }, idempotency_key = job.id })
  if not res then return ml.retry(err) end
  if res.status == 429 then return ml.retry("throttled", res.headers["retry-after"]) end
  if res.status >= 500 then return ml.retry("status " .. res.status) end
end

Digest.routes["GET /digest"] = function(_, _, res)
  local waiting = {}
  for key, n in ml.kv.scan(PREFIX) do waiting[key:sub(#PREFIX + 1)] = n end
  return res:json(waiting)
end

return Digest
