-- SPDX-License-Identifier: MIT
-- `moonloom plugin test --coverage`: which lines of a plugin its specs reached. The lines that ran are counted in the
-- states of the plugins (script/coverage.c); the lines that could run are read from the compiled files.
local core = require "moonloom.test_core"
local folder = require "moonloom.tool.folder"
local util = require "jit.util"

local coverage = {}

function coverage.start() core.cover() end

-- Lines of a function and of those inside it that have an instruction.
local function add_lines(fn, lines)
  local info = util.funcinfo(fn)
  for pc = 1, info.bytecodes - 1 do
    local line = util.funcinfo(fn, pc).currentline
    if line and line > 0 then lines[line] = true end
  end
  -- `return nil` that the compiler puts at the end stands on the line of the last `end`.
  if info.lastlinedefined and info.lastlinedefined > info.linedefined then lines[info.lastlinedefined] = nil end
  if info.children then
    local n = -1
    while true do
      local constant = util.funck(fn, n)
      if constant == nil then break end
      if type(constant) == "proto" then add_lines(constant, lines) end
      n = n - 1
    end
  end
end

--- The lines of a file that could run: a set; nil and why if it does not parse.
function coverage.lines(text, name)
  local fn, wrong = loadstring(text, "=" .. name)
  if not fn then return nil, wrong end
  local lines = {}
  add_lines(fn, lines)
  return lines
end

local function ranges(list)
  local out, i = {}, 1
  while i <= #list do
    local k = i
    while list[k + 1] == list[k] + 1 do k = k + 1 end
    out[#out + 1] = k == i and tostring(list[i]) or ("%d-%d"):format(list[i], list[k])
    i = k + 1
  end
  return table.concat(out, ", ")
end

--- Files of plugins with what was reached; vendored code and specs apart.
---@return table[] files { file, lines, reached, missed = { line … } }
function coverage.report(plugins)
  local ran, out = core.covered(), {}
  for _, plugin in ipairs(plugins) do
    for _, file in ipairs(folder.files(plugin.path, ".lua")) do
      if file.name ~= "plugin.lua" and not file.name:find "^spec/" and not file.name:find "^vendor/" and not file.name:find "^types/" then
        local name = plugin.name .. "/" .. file.name
        local lines = coverage.lines(folder.read(file.path) or "", name) or {}
        local counts, one = ran[name] or {}, { file = name, lines = 0, reached = 0, missed = {} }
        for line in pairs(lines) do
          one.lines = one.lines + 1
          if counts[line] then one.reached = one.reached + 1 else one.missed[#one.missed + 1] = line end
        end
        table.sort(one.missed)
        out[#out + 1] = one
      end
    end
  end
  return out
end

local function percent(reached, lines) return lines == 0 and 100 or reached / lines * 100 end

--- Sum over all files, in percent.
function coverage.total(files)
  local lines, reached = 0, 0
  for _, one in ipairs(files) do lines, reached = lines + one.lines, reached + one.reached end
  return percent(reached, lines), lines, reached
end

function coverage.print(files)
  local total, lines, reached = coverage.total(files)
  io.stdout:write("\nFILE                                      LINES  REACHED        NOT REACHED\n")
  for _, one in ipairs(files) do
    io.stdout:write(("%-40s %6d %8d  %4.0f%%  %s\n"):format(one.file, one.lines, one.reached, math.floor(percent(one.reached, one.lines)), ranges(one.missed)))
  end
  io.stdout:write(("%-40s %6d %8d  %4.0f%%\n"):format("together", lines, reached, math.floor(total)))
end

return coverage
