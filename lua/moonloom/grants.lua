-- SPDX-License-Identifier: MIT
-- What a plugin asks for (`needs` of its manifest) and what the operator grants (`grants` of the server file):
--
--   grants = { ["change-digest"] = { "kv", "doc.read", "http chat.example" }, webhook = "*" }   -- "http": any host
--   grants = "*"                         -- whatever stands in the folder of plugins
--
-- What ships with the binary and is as it shipped needs no grant.
local manifest = require "moonloom.manifest"
local nearest = require "moonloom.nearest"

local grants = {}

local function contains(list, word)
  for _, item in ipairs(list or {}) do if item == word then return true end end
  return false
end

local function key(name) return name:find("-", 1, true) and ("[%q]"):format(name) or name end

--- What a manifest asks for, in order: capabilities, then "http HOST" for every host.
function grants.asked(needs)
  local words = {}
  for need in pairs(needs) do if need ~= "http" then words[#words + 1] = need end end
  table.sort(words)
  for _, host in ipairs(type(needs.http) == "table" and needs.http or { needs.http }) do words[#words + 1] = "http " .. tostring(host) end
  return words
end

--- The same for a person: "kv, http a.example".
function grants.describe(needs) return table.concat(grants.asked(needs), ", ") end

--- The sentence about what is not granted; nil: all is.
---@param out table  a checked manifest
---@param given any  `grants` of the server file; nil or "*": everything
function grants.missing(out, given)
  if given == nil or given == "*" then return nil end
  local entry = type(given) == "table" and given[out.name] or nil
  if entry == "*" then return nil end
  if type(entry) ~= "table" then entry = {} end
  local lacks, wants = {}, {}
  for _, word in ipairs(grants.asked(out.needs)) do
    wants[#wants + 1] = ("%q"):format(word)
    local all_hosts = word:find "^http " and contains(entry, "http")
    if not contains(entry, word) and not all_hosts then lacks[#lacks + 1] = ("%q"):format(word) end
  end
  if #lacks == 0 then return nil end
  return ("%s: asks for %s, which is not granted; if you trust it, write in moonloom.lua: grants = { %s = { %s } }")
    :format(out.name, table.concat(lacks, ", "), key(out.name), table.concat(wants, ", "))
end

--- What is wrong with the table itself: sentences for a person.
function grants.check(given, report)
  if given == nil or given == "*" then return end
  if type(given) ~= "table" then return report:add("grants", 'must be a table of plugins, or "*"') end
  local names = {}
  for name in pairs(given) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for _, name in ipairs(names) do
    local entry, field = given[name], ("grants[%q]"):format(name)
    if type(entry) ~= "table" and entry ~= "*" then
      report:add(field, 'must be a list such as { "kv" }, or "*"')
    elseif type(entry) == "table" then
      for _, need in ipairs(entry) do
        local word = type(need) == "string" and need:match "^(http) %S+$" or need
        if not contains(manifest.NEEDS, word) then
          local near = nearest(tostring(word), manifest.NEEDS)
          report:add(field, ("unknown capability '%s'"):format(tostring(word)), near and ("did you mean '%s'?"):format(near) or nil)
        end
      end
      if #entry == 0 and next(entry) ~= nil then report:add(field, 'must be a list such as { "kv", "http api.example.com" }') end
    end
  end
end

return grants
