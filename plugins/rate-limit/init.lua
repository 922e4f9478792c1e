-- plugins/rate-limit/init.lua: says how much; the server counts.
local Rates = {}

local RATES = { "updates", "bytes", "messages", "awareness", "rpc", "http", "connects" }

-- Of several roles with a rate of their own the largest counts.
local function rate_of(config, name, roles)
  local most
  for _, role in ipairs(roles) do
    local own = config.roles[role] and config.roles[role][name]
    if own and (not most or own.n / own.per > most.n / most.per) then most = own end
  end
  return most or config[name]
end

local function is_exempt(config, roles)
  for _, role in ipairs(config.exempt) do
    for _, held in ipairs(roles) do if held == role then return true end end
  end
  return false
end

function Rates:limits(who)
  local config = self.config
  if is_exempt(config, who.roles) then return nil end
  local answer = { burst = config.burst, per = config.per, action = config.action, close_after = config.close_after }
  for _, name in ipairs(RATES) do answer[name] = rate_of(config, name, who.roles) end
  return answer
end

return Rates
