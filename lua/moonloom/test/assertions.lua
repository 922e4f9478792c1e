-- SPDX-License-Identifier: MIT
-- Assertions of moonloom.test, for busted and for the runner inside the binary alike.
local core = require "moonloom.test_core"

local assertions = {}

local function code_of(answer)
  return type(answer) == "table" and (answer.kind == "deny" or answer.denied) and answer.code or nil
end

-- assert.denied("closed", answer): a denial with that code, with or without the plugin's name before it.
local function denied(_, args)
  local code = code_of(args[2])
  return code ~= nil and (code == args[1] or code:match("^[^.]+%.(.+)$") == args[1])
end

local RIGHTS = { read = true, write = true, presence = true, messages = true, history = true }

-- Where roles write that may not write everywhere, as a server has it that is not told otherwise.
local OWN = { commenter = { "comments/{user}/**" }, suggester = { "comments/{user}/**", "suggestions/{user}/**" } }

local function any_fits(patterns, path, user)
  for _, pattern in ipairs(patterns) do
    if core.matches((pattern:gsub("{user}", user or "ana")), path) then return true end
  end
  return false
end

-- assert.granted("write", answer) or assert.granted("content/body", answer): may that be written?
local function granted(_, args)
  local what, answer = args[1], args[2]
  if type(answer) ~= "table" or code_of(answer) or answer.kind == "restrict" then return false end
  if what == "write" and OWN[answer.role] then return true end
  if RIGHTS[what] then return answer[what] ~= nil and answer[what] ~= false end
  local write = answer.write
  if write == true then return true end
  if OWN[answer.role] and any_fits(OWN[answer.role], what, args[3]) then return true end
  if type(write) ~= "table" then return false end
  if write[1] ~= nil then return any_fits(write, what, args[3]) end
  for _, patterns in pairs(write) do
    if patterns == true or type(patterns) == "table" and any_fits(patterns, what, args[3]) then return true end
  end
  return false
end

local function same(a, b, depth)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" or (depth or 0) > 30 then return false end
  for key, value in pairs(a) do if not same(value, b[key], (depth or 0) + 1) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

assertions.same = same

--- `t`: the table of moonloom.test; `luassert`, `say`: busted's, or those of the runner.
function assertions.register(t, luassert, say)
  local function add(name, fn, positive, negative)
    say:set(("assertion.%s.positive"):format(name), positive)
    say:set(("assertion.%s.negative"):format(name), negative)
    luassert:register("assertion", name, fn, ("assertion.%s.positive"):format(name), ("assertion.%s.negative"):format(name))
  end

  add("denied", denied, "Expected a denial %s, got:\n%s", "Expected no denial %s, got:\n%s")
  add("granted", granted, "Expected %s to be granted, got:\n%s", "Expected %s not to be granted, got:\n%s")
  add("converged", function(_, args) return args[1]:why_not_converged(args[2]) == nil end,
    "Expected all replicas to be equal: %s %s", "Expected replicas to differ: %s %s")
  add("never_seen", function(_, args) return not args[1]:has_seen(args[2]) end,
    "Expected never to be seen: %s %s", "Expected to be seen at some time: %s %s")
  add("waits", function(_, args) return t.measure(args[1]).waited end,
    "Expected the hook to wait", "Expected the hook not to wait")
  add("within_budget", function(_, args)
    local m = t.measure(args[1])
    return m.calls > 0 and m.over == nil
  end, "Expected every hook to stay below its soft limit", "Expected a hook above its soft limit")
  add("pure", function(_, args)
    local a, b = args[1](), args[1]()
    return same(a, b)
  end, "Expected the same answer twice", "Expected two different answers")
end

return assertions
