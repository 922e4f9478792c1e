-- SPDX-License-Identifier: MIT
-- Plugins on disk, for tools: which folders a command means, their files, their manifests.
local host = require "moonloom.host"
local manifest = require "moonloom.manifest"

local folder = {}

function folder.fail(text) error({ usage = text, status = 2 }, 0) end

function folder.read(path)
  local f, wrong = io.open(path, "rb")
  if not f then return nil, wrong end
  local text = f:read("*a")
  f:close()
  return text
end

function folder.write(path, text)
  local f, wrong = io.open(path, "wb")
  local ok = f and f:write(text)
  if f then ok = f:close() and ok end
  if not ok then error({ usage = wrong or path .. ": could not be written", status = 1 }, 0) end
end

function folder.exists(path) return host.stat(path) ~= nil end

local function is_plugin(path) return folder.exists(path .. "/init.lua") or folder.exists(path .. "/plugin.lua") end

--- All files below `path` whose name ends in .lua, in order; hidden folders and node_modules apart.
function folder.files(path, ending)
  local out = {}
  local function walk(at, rest, depth)
    local names = host.list(at) or {}
    table.sort(names)
    for _, name in ipairs(names) do
      local full = at .. "/" .. name
      local kind = host.stat(full)
      if kind == "directory" and depth < 12 and not name:find("^%.") and name ~= "node_modules" then
        walk(full, rest .. name .. "/", depth + 1)
      elseif kind == "file" and name:sub(-#ending) == ending then
        out[#out + 1] = { path = full, name = rest .. name }
      end
    end
  end
  walk(path, "", 0)
  return out
end

--- What a word of the command line means: plugins { path, name, dir } below it, or one spec file.
function folder.find(word)
  word = word:gsub("(.)/+$", "%1")
  local kind = host.stat(word)
  if not kind then
    if not word:find("/", 1, true) and is_plugin("plugins/" .. word) then return folder.find("plugins/" .. word) end
    folder.fail(("there is no %s here%s"):format(word, word:find("/", 1, true) and "" or ", nor plugins/" .. word))
  end
  if kind == "file" then
    local at = word:match("^(.*)/spec/[^/]+$")
    if not at or not is_plugin(at) then at = word:match("^(.*)/[^/]+$") end
    return { { path = at or ".", name = (at or "."):match("[^/]+$"), dir = (at or "."):match("^(.*)/[^/]+$") or ".", only = word } }
  end
  if is_plugin(word) then
    local full = host.absolute(word)
    return { { path = word, name = full:match("[^/]+$"), dir = word:match("^(.*)/[^/]+$") or (word == "." and ".." or ".") } }
  end
  local out = {}
  local names = host.list(word)
  table.sort(names)
  for _, name in ipairs(names) do
    if is_plugin(word .. "/" .. name) then out[#out + 1] = { path = word .. "/" .. name, name = name, dir = word } end
  end
  if #out == 0 then folder.fail(("no plugin in %s: there is neither plugin.lua nor init.lua in it or one folder below"):format(word)) end
  return out
end

--- Plugins that a command line means; without words those of this folder, or of ./plugins.
function folder.all(words)
  if #words == 0 then
    if is_plugin(".") then return folder.find(".") end
    if folder.exists("plugins") then return folder.find("plugins") end
    folder.fail("say which plugin: there is no plugin.lua here and no folder plugins")
  end
  local out = {}
  for _, word in ipairs(words) do
    for _, one in ipairs(folder.find(word)) do out[#out + 1] = one end
  end
  return out
end

--- The manifest as checked; nil and sentences. Only data is run: no library, no functions.
function folder.manifest(plugin)
  local text = folder.read(plugin.path .. "/plugin.lua")
  if not text then return nil, {}, true end -- the short form: in init.lua
  if text:byte(1) == 27 then return nil, { "plugin.lua: this is bytecode; only source text is loaded" } end
  local chunk, wrong = loadstring(text, "@" .. plugin.path .. "/plugin.lua")
  if not chunk then return nil, { wrong } end
  setfenv(chunk, {})
  debug.sethook(function() error("plugin.lua: more than 10000 instructions; a manifest is data", 0) end, "", 10000)
  local ok, given = pcall(chunk)
  debug.sethook()
  if not ok then return nil, { tostring(given) } end
  local out, report = manifest.check(given, plugin.name)
  return out, report, false, given
end

return folder
