-- SPDX-License-Identifier: MIT
-- `moonloom plugin test`: the specs of plugins, in this process.
local app = require "moonloom.test.app"
local busted = require "moonloom.tool.busted"
local coverage = require "moonloom.tool.coverage"
local folder = require "moonloom.tool.folder"
local host = require "moonloom.host"
local json = require "moonloom.test.json"

local run = {}

local MARKS = { ok = "ok", failed = "FAILED", error = "ERROR", pending = "pending" }

local function indent(text) return "      " .. text:gsub("\n", "\n      ") end

local function print_result(r)
  io.stdout:write(("  %-8s%s\n"):format(MARKS[r.status], r.name))
  if r.where then io.stdout:write(indent(r.where), "\n") end
  if r.message then io.stdout:write(indent(tostring(r.message)), "\n") end
  if r.trace and r.trace ~= "" then io.stdout:write(indent(r.trace), "\n") end
  for _, line in ipairs(r.logged or {}) do io.stdout:write(indent(line), "\n") end
end

local function print_budget(t)
  local list = {}
  for _, one in pairs(t.timings) do list[#list + 1] = one end
  table.sort(list, function(a, b) return a.plugin .. a.hook < b.plugin .. b.hook end)
  if #list == 0 then return end
  io.stdout:write("\nHOOK                                      CALLS   AVERAGE     WORST      SOFT\n")
  for _, one in ipairs(list) do
    io.stdout:write(("%-40s %6d %8.0fus %8.0fus %8.0fus%s\n"):format(one.plugin .. "#" .. one.hook, one.calls,
      one.total / one.calls * 1e6, one.worst * 1e6, one.soft * 1e6, one.worst > one.soft and "  over" or ""))
  end
end

-- Runs everything once; answers the exit code and the results.
local function once(options, words)
  local t = require "moonloom.test"
  local results, counts = {}, { ok = 0, failed = 0, error = 0, pending = 0 }
  local files = 0
  t.timings = {}
  for _, plugin in ipairs(folder.all(words)) do
    local specs = plugin.only and { { path = plugin.only } } or folder.files(plugin.path .. "/spec", "_spec.lua")
    t.plugins_dir = plugin.dir
    local path = package.path
    package.path = ("%s/?.lua;%s/spec/?.lua"):format(plugin.dir, plugin.path)
    for _, spec in ipairs(specs) do
      files = files + 1
      if not options.json then io.stdout:write(spec.path, "\n") end
      t.reset()
      busted.run(spec.path, { filter = options.filter }, function(r)
        if r.status == "failed" or r.status == "error" then r.logged = app.complaints end
        app.complaints = {}
        results[#results + 1] = r
        counts[r.status] = counts[r.status] + 1
        if not options.json then print_result(r) end
      end)
    end
    package.path = path
    if #specs == 0 and not options.json then io.stdout:write(("%s: no spec/*_spec.lua\n"):format(plugin.path)) end
  end
  local bad = counts.failed + counts.error
  local covered = options.coverage and coverage.report(folder.all(words)) or nil
  local reached = covered and coverage.total(covered)
  if options.json then
    local list = json.list {}
    for i, r in ipairs(results) do
      list[i] = { name = r.name, file = r.file, status = r.status, message = r.message and tostring(r.message) or nil, where = r.where,
                  seconds = r.seconds }
    end
    io.stdout:write(json.encode { ok = counts.ok, failed = counts.failed, errors = counts.error, pending = counts.pending, tests = list,
                                  coverage = covered and json.list(covered) or nil }, "\n")
  else
    if options.budget then print_budget(t) end
    if covered then coverage.print(covered) end
    io.stdout:write(("\n%d passed, %d failed, %d pending\n"):format(counts.ok, bad, counts.pending))
    if #results == 0 then io.stdout:write(files == 0 and "there was nothing to run\n" or "no test has that in its name\n") end
  end
  local is_short = reached and options.min and reached < tonumber(options.min)
  if is_short and not options.json then
    io.stdout:write(("%.1f %% of the lines are reached, %s %% are wanted\n"):format(reached, options.min))
  end
  io.stdout:flush()
  return (bad > 0 or #results == 0 or is_short) and 1 or 0
end

-- When did anything of these plugins change last?
local function newest(words)
  local last, n = 0, 0
  for _, plugin in ipairs(folder.all(words)) do
    for _, file in ipairs(folder.files(plugin.path, ".lua")) do
      local _, at = host.stat(file.path)
      n = n + 1
      if at and at > last then last = at end
    end
  end
  return last, n
end

local function watch(options, words)
  local last, count = -1, -1
  while true do
    local at, n = newest(words)
    if at ~= last or n ~= count then
      if last >= 0 then io.stdout:write("\n---- ", os.date("%H:%M:%S"), " ----\n") end
      last, count = at, n
      local ok, wrong = pcall(once, options, words)
      if not ok then io.stdout:write(type(wrong) == "table" and wrong.usage or tostring(wrong), "\n") end
    end
    host.sleep(0.3)
  end
end

function run.run(options, words)
  if options.min then
    local min = tonumber(options.min)
    if not min or min < 0 or min > 100 then folder.fail("--min: a number from 0 to 100 is wanted, in percent") end
    options.coverage = true
  end
  if options.coverage then coverage.start() end
  busted.install()
  if options.watch then watch(options, words) end
  return once(options, words)
end

return run
