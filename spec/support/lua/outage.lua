-- Servers that a spec runs beside (spec/support/with-postgres, with-redis) go away and come back: they are stopped, or frozen, which is
-- worse, because nobody is told.
local process = require "process"
local signal = require "posix.signal"

local Outage = {}

local function postgres(what)
  local status, _, err = process.run({ (os.getenv "MOONLOOM_ROOT" or ".") .. "/spec/support/with-bus", "--do", what },
    { env = { MOONLOOM_TEST_BUS_KIND = "postgres", MOONLOOM_TEST_BUS_FOLDER = "" } })
  assert(status == 0, err)
end

--- stop (at once, as in a crash), start, freeze, thaw.
Outage.postgres = { stop = function() postgres "stop" end, start = function() postgres "start" end,
  freeze = function() postgres "freeze" end, thaw = function() postgres "thaw" end }

local function redis(number) return function() assert(signal.kill(tonumber(os.getenv "MOONLOOM_TEST_REDIS_PID"), number)) end end
Outage.redis = { kill = redis(signal.SIGKILL), freeze = redis(signal.SIGSTOP), thaw = redis(signal.SIGCONT) }

--- An empty database: the address of a store in it.
function Outage.store(prefix)
  local pg = assert(os.getenv "MOONLOOM_TEST_PG", "run this with spec/support/with-postgres")
  local name = ("%s_%d_%d"):format(prefix, os.time(), math.random(1000000))
  assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE " .. name } == 0)
  return ("postgres:///%s?host=%s&user=moonloom"):format(name, pg:match "host=(%S+)"), name
end

return Outage
