-- SPDX-License-Identifier: MIT
-- `moonloom plugin types`: writes the editor stubs beside each plugin.
local folder = require "moonloom.tool.folder"
local host = require "moonloom.host"
local json = require "moonloom.test.json"
local types = require "moonloom.tool.types"

local stubs = {}

function stubs.run(options, words)
  local made = json.list {}
  local function write(path, text)
    folder.write(path, text)
    made[#made + 1] = path
    if not options.json then io.stdout:write(path, "\n") end
  end
  for _, plugin in ipairs(folder.all(words)) do
    local manifest, report, short = folder.manifest(plugin)
    if not manifest and not short then
      for _, line in ipairs(report) do io.stderr:write(plugin.name, "/plugin.lua: ", line, "\n") end
      return 1
    end
    local dir = options.out or plugin.path .. "/types"
    local ok, wrong = host.mkdir(dir)
    if not ok then folder.fail(wrong) end
    write(dir .. "/moonloom.lua", types.api())
    if manifest then write(("%s/%s.lua"):format(dir, manifest.name), types.plugin(manifest)) end
    if not options.out and not folder.exists(plugin.path .. "/.luarc.json") then write(plugin.path .. "/.luarc.json", types.settings) end
  end
  if options.json then io.stdout:write(json.encode(made), "\n") end
  return 0
end

return stubs
