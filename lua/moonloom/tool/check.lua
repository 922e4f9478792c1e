-- SPDX-License-Identifier: MIT
-- `moonloom plugin check`: manifest, code and configuration, loaded as the server does it.
local folder = require "moonloom.tool.folder"
local json = require "moonloom.test.json"

local check = {}

--- The value of --config: JSON, or a file of it.
function check.config_of(text)
  if not text then return nil end
  if not text:find("^%s*{") then
    local whole, wrong = folder.read(text)
    if not whole then folder.fail(wrong) end
    text = whole
  end
  local value, wrong = json.decode(text)
  if value == nil then folder.fail("--config: " .. wrong) end
  return value
end

function check.run(options, words)
  local t = require "moonloom.test"
  local config, bad, out = check.config_of(options.config), 0, json.list {}
  for _, plugin in ipairs(folder.all(words)) do
    t.plugins_dir = plugin.dir
    local ok, wrong = pcall(t.instance, plugin.name, config)
    if ok then wrong:close() end
    local text = not ok and (type(wrong) == "table" and tostring(wrong.message) or tostring(wrong)) or nil
    if not ok then bad = bad + 1 end
    out[#out + 1] = { plugin = plugin.name, path = plugin.path, ok = ok, message = text }
    if not options.json then io.stdout:write(ok and ("%s: fine\n"):format(plugin.name) or text .. "\n") end
  end
  if options.json then io.stdout:write(json.encode(out), "\n") end
  return bad > 0 and 1 or 0
end

return check
