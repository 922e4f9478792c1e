-- SPDX-License-Identifier: MIT
-- `moonloom plugin COMMAND …`: options apart from words, then one function per command. Exit codes: 0 fine,
-- 1 findings or failed specs, 2 usage, 3 the server cannot be reached.
local nearest = require "moonloom.nearest"

local main = {}

local commands = {
  { "new", "NAME [--from TEMPLATE] [--dir plugins]", "a plugin that passes its spec: manifest, code, spec, README", "moonloom.tool.new",
    options = { from = "text", dir = "text", json = "flag" }, words = { 0, 1 } },
  { "test", "[PATH…] [--filter TEXT] [--watch] [--budget] [--coverage] [--min PERCENT] [--json]", "run the specs of plugins", "moonloom.tool.run",
    options = { filter = "text", watch = "flag", budget = "flag", coverage = "flag", min = "text", json = "flag" }, words = { 0, 99 } },
  { "lint", "[PATH…] [--strict] [--fix] [--json]", "what is wrong with a plugin before it runs; --fix mends unread locals and unused needs", "moonloom.tool.lint",
    options = { strict = "flag", fix = "flag", json = "flag" }, words = { 0, 99 } },
  { "check", "PATH… [--config JSON|FILE] [--json]", "load a plugin as the server would, with this configuration", "moonloom.tool.check",
    options = { config = "text", json = "flag" }, words = { 0, 99 } },
  { "replay", "FILE [PATH…] [--config JSON|FILE] [--json]", "ask a plugin on disk again what `trace --json` took down", "moonloom.tool.replay",
    options = { config = "text", json = "flag" }, words = { 1, 99 } },
  { "repl", "[PATH] [--doc NAME] [--org ORG] [--url URL | --store URL] [--config JSON|FILE] [--eval CODE] [--write]",
    "a prompt in the sandbox of a plugin, with a copy of a document", "moonloom.tool.repl",
    options = { doc = "text", org = "text", url = "text", store = "text", config = "text", eval = "text", write = "flag" }, words = { 0, 1 } },
  { "schema", "PATH", "JSON Schema of its configuration", "moonloom.tool.schema", options = { json = "flag" }, words = { 1, 1 } },
  { "types", "[PATH…] [--out DIR]", "editor stubs: types/moonloom.lua and types/NAME.lua", "moonloom.tool.stubs",
    options = { out = "text", json = "flag" }, words = { 0, 99 } },
  { "docs", "[PATH]", "the reference page, or the page of one plugin", "moonloom.tool.docs", options = { json = "flag" }, words = { 0, 1 } },
}

local function usage(out)
  out:write("moonloom plugin COMMAND …\n\n")
  for _, c in ipairs(commands) do out:write(("  %-7s%s\n         %s\n"):format(c[1], c[2], c[3])) end
  out:write("\n--json prints one JSON value instead of text. Exit: 0 fine, 1 findings, 2 usage, 3 no server.\n")
end

local function complain(text)
  io.stderr:write("moonloom plugin: ", text, "\n")
  return 2
end

--- Options and words of a command line; nil and what is wrong.
function main.parse(args, from, known)
  local options, words, i = {}, {}, from
  while i <= #args do
    local arg = args[i]
    if arg == "--" then
      for k = i + 1, #args do words[#words + 1] = args[k] end
      break
    elseif arg:find("^%-%-") then
      local name, value = arg:match("^%-%-([^=]+)=(.*)$")
      name = name or arg:sub(3)
      local kind = known[name]
      if not kind then
        local names = {}
        for one in pairs(known) do names[#names + 1] = one end
        local near = nearest(name, names)
        return nil, ("unknown option --%s%s"):format(name, near and ("; did you mean --%s?"):format(near) or "")
      end
      if kind == "text" and value == nil then
        i = i + 1
        value = args[i]
        if value == nil then return nil, ("--%s needs a value"):format(name) end
      elseif kind == "flag" and value ~= nil then
        return nil, ("--%s takes no value"):format(name)
      end
      options[name] = kind == "flag" or value
    elseif arg:find("^%-.") then
      return nil, ("unknown option %s"):format(arg)
    else
      words[#words + 1] = arg
    end
    i = i + 1
  end
  return options, words
end

local function run(args)
  local name = args[1]
  if name == nil or name == "help" or name == "--help" or name == "-h" then
    usage(name == nil and io.stderr or io.stdout)
    return name == nil and 2 or 0
  end
  local names = {}
  for _, c in ipairs(commands) do
    names[#names + 1] = c[1]
    if c[1] == name then
      for _, arg in ipairs(args) do
        if arg == "--help" or arg == "-h" then
          io.stdout:write(("moonloom plugin %s %s\n  %s\n"):format(c[1], c[2], c[3]))
          return 0
        end
      end
      local options, words = main.parse(args, 2, c.options)
      if not options then return complain(("%s: %s"):format(name, words)) end
      if #words < c.words[1] or #words > c.words[2] then
        return complain(("usage: moonloom plugin %s %s"):format(c[1], c[2]))
      end
      return require(c[4]).run(options, words)
    end
  end
  local near = nearest(name, names)
  return complain(("unknown command \"%s\"%s; see moonloom plugin help"):format(name, near and (", did you mean \"%s\"?"):format(near) or ""))
end

return function(args)
  local ok, status = xpcall(function() return run(args) end, function(e)
    if type(e) == "table" and e.usage then return e end
    return { usage = tostring(e), trace = debug.traceback("", 2), status = 1 }
  end)
  if ok then return status end
  io.stderr:write("moonloom plugin: ", status.usage, "\n")
  if status.trace and os.getenv("MOONLOOM_TRACE") then io.stderr:write(status.trace, "\n") end
  return status.status or 2
end
