-- Adds what a fuzzer counted to spec/fuzz/executions.json; for scripts/fuzz.
--
--   fuzz-record.lua NAME LOG STATUS   one run: its final statistics, read from its log
--   fuzz-record.lua --total NAME      executions so far, of all commits
--   fuzz-record.lua --totals          the same for every target, for people
package.path = "./spec/?.lua;" .. package.path
local json = require "support.json"

local PATH = "spec/fuzz/executions.json"

local function load()
  local file = io.open(PATH)
  if not file then return {} end
  local text = file:read "*a"
  file:close()
  return json.decode(text)
end

-- One campaign a line, so that a merge of two branches is a merge of lines.
local function save(rows)
  local lines = {}
  for i, r in ipairs(rows) do
    lines[i] = ('  {"target": "%s", "commit": "%s", "executions": %.0f, "seconds": %.0f, "findings": %.0f}'):format(
      r.target, r.commit, r.executions, r.seconds, r.findings)
  end
  local file = assert(io.open(PATH .. ".new", "w"))
  file:write("[\n", table.concat(lines, ",\n"), "\n]\n")
  file:close()
  assert(os.rename(PATH .. ".new", PATH))
end

local function total(rows, target)
  local sum = { executions = 0, seconds = 0, findings = 0 }
  for _, r in ipairs(rows) do
    if r.target == target then
      for name in pairs(sum) do sum[name] = sum[name] + r[name] end
    end
  end
  return sum
end

local function commit()
  local pipe = assert(io.popen "git rev-parse --short=12 HEAD; git status --porcelain -uno -- src spec/fuzz/*.c spec/fuzz/*.h")
  local id, changed = pipe:read "*l", pipe:read "*l"
  pipe:close()
  return id .. (changed and "+" or "")
end

local function add(target, log, status)
  local file = assert(io.open(log))
  local text = file:read "*a"
  file:close()
  local executions = text:match "stat::number_of_executed_units:%s*(%d+)"
  local seconds = text:match "Done %d+ runs in (%d+) second"
  if not executions then io.stderr:write(log, ": no final statistics, nothing recorded\n") return end
  if not seconds then
    local rate = tonumber(text:match "stat::average_exec_per_sec:%s*(%d+)")
    seconds = rate and rate > 0 and math.floor(executions / rate) or 0
  end
  local rows, id, row = load(), commit(), nil
  for _, r in ipairs(rows) do
    if r.target == target and r.commit == id then row = r end
  end
  if not row then
    row = { target = target, commit = id, executions = 0, seconds = 0, findings = 0 }
    rows[#rows + 1] = row
  end
  row.executions = row.executions + tonumber(executions)
  row.seconds = row.seconds + tonumber(seconds)
  row.findings = row.findings + (status == "0" and 0 or 1)
  save(rows)
end

if arg[1] == "--total" then
  print(("%.0f"):format(total(load(), arg[2]).executions))
elseif arg[1] == "--totals" then
  local rows, seen = load(), {}
  for _, r in ipairs(rows) do
    if not seen[r.target] then
      seen[r.target] = true
      local t = total(rows, r.target)
      print(("%-16s %12.0f executions %8.0f s %3.0f findings"):format(r.target, t.executions, t.seconds, t.findings))
    end
  end
else
  add(arg[1], arg[2], arg[3])
end
