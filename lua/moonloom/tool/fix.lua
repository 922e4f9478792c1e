-- SPDX-License-Identifier: MIT
-- `moonloom plugin lint --fix`: what can be mended without a decision of a person.
--
--   L14  a local that nobody reads goes, if its whole statement is one line and what it is set to only reads: a number, a
--        text, a name, a field, require "…"
--   L04  a capability that nothing uses is no longer asked for
--
-- A change stays only if the file still parses, and the finding is gone without a new one.
local folder = require "moonloom.tool.folder"

local fix = {}

local READS = { "^%-?[%d.]+$", '^"[^"\\]*"$', "^'[^'\\]*'$", "^true$", "^false$", "^nil$", "^{}$", "^[%a_][%w_]*$", "^[%a_][%w_.]*%.[%a_][%w_]*$",
                '^require%s*%(?%s*"[%w_.-]+"%s*%)?$', "^require%s*%(?%s*'[%w_.-]+'%s*%)?$", '^require%s*%(?%s*"[%w_.-]+"%s*%)?[%w_.]*$' }

-- The text without line `at`, if that is a local that can go.
local function without_local(text, at, name)
  local n, out, done = 0, {}, false
  for line in (text:sub(-1) == "\n" and text or text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    local value = n == at and line:match("^%s*local%s+" .. name .. "%s*=%s*(.-)%s*;?%s*$") or nil
    local reads = n == at and line:find("^%s*local%s+" .. name .. "%s*;?%s*$") ~= nil
    for _, pattern in ipairs(value and READS or {}) do reads = reads or value:find(pattern) ~= nil end
    if reads then done = true else out[#out + 1] = line end
  end
  return done and table.concat(out, "\n") .. "\n" or nil
end

-- plugin.lua without a need.
local function without_need(text, need)
  local from, to, list = text:find "needs%s*=%s*(%b{})"
  if not from or list:find("%-%-", 1) then return nil end
  local word = need:gsub("%p", "%%%0")
  local new, count
  if need == "http" then
    new, count = list:gsub(",?%s*http%s*=%s*%b{}", "", 1)
  else
    new, count = list:gsub(",%s*[\"']" .. word .. "[\"']", "", 1)
    if count == 0 then new, count = list:gsub("[\"']" .. word .. "[\"']%s*,?%s*", "", 1) end
  end
  new = new:gsub("^{%s*,", "{")
  if count == 0 then return nil end
  local eq = text:sub(from, to):match "^needs%s*=%s*"
  return text:sub(1, from - 1) .. eq .. new .. text:sub(to + 1)
end

local function attempt(finding, text)
  if finding.rule == "L14" then
    local name = finding.message:match "the local ([%w_]+)$"
    return name and without_local(text, finding.line, name)
  elseif finding.rule == "L04" then
    local need = finding.message:match "^needs ([%w.]+), but nothing here uses it$"
    return need and without_need(text, need)
  end
end

local function same(a, b) return a.rule == b.rule and a.message == b.message and a.file == b.file end

local function count_like(findings, one)
  local n = 0
  for _, other in ipairs(findings) do if same(one, other) then n = n + 1 end end
  return n
end

-- One change to one file, tried; answers the finding that is mended, or nil.
local function one_change(plugin, lint, strict)
  local before = lint.plugin(plugin, strict)
  for _, finding in ipairs(before) do
    local text = folder.read(finding.file)
    local new = text and attempt(finding, text)
    if new and new ~= text then
      folder.write(finding.file, new)
      local after = lint.plugin(plugin, strict)
      local good = count_like(after, finding) < count_like(before, finding)
      for _, other in ipairs(after) do
        -- What was read by a line that is gone may be unread now: the next round's.
        if other.rule ~= "L14" and other.rule ~= "L04" and count_like(before, other) < count_like(after, other) then good = false end
      end
      if good then return finding end
      folder.write(finding.file, text)
    end
  end
end

--- Mends what it can; answers the findings that are gone.
function fix.plugin(plugin, lint, strict)
  local done = {}
  for _ = 1, 1000 do
    local finding = one_change(plugin, lint, strict)
    if not finding then break end
    done[#done + 1] = finding
  end
  return done
end

return fix
