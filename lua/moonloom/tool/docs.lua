-- SPDX-License-Identifier: MIT
-- `moonloom plugin docs`: the reference page of hooks, library and views (docs/plugins/reference.md; a spec
-- fails when it is stale), or the page of one plugin.
local json = require "moonloom.test.json"
local read = require "moonloom.defs.read"

local docs = {}

local function cell(text) return (tostring(text):gsub("|", "\\|"):gsub("\n", " ")) end

local function since(one) return one.since and "" or " *Not in this version.*" end

local FAILS = { refuse = "refused, to be tried again", hold = "held", default = "the core's own answer", skip = "goes on without it",
                retry = "again later", phase = "`auth` and `validate` hold, others skip" }

local function write_hooks(out, all)
  out[#out + 1] = "## Hooks\n"
  out[#out + 1] = "`nil` always means \"no opinion\". A hook that may wait parks at waiting calls of the library; others raise there.\n"
  out[#out + 1] = "| Hook | Answer | Several answers | May wait | When it fails |"
  out[#out + 1] = "| --- | --- | --- | --- | --- |"
  for _, h in ipairs(all.hooks) do
    out[#out + 1] = ("| `%s(%s)`%s | %s | %s | %s | %s |"):format(h.name, h.arg[1], h.operator and " (operator)" or "",
      h.answer and "`" .. cell(h.answer) .. "`" or "–", h.rule, h.waits and "yes" or "no", FAILS[h.fails])
  end
  out[#out + 1] = ""
  for _, h in ipairs(all.hooks) do
    out[#out + 1] = ("### %s\n"):format(h.name)
    out[#out + 1] = h.text .. since(h)
    local facts = { ("argument `%s`: `%s`"):format(h.arg[1], h.arg[2]), "runs in: " .. h.runs }
    if h.options and #h.options > 0 then facts[#facts + 1] = "options in plugin.lua: `" .. table.concat(h.options, "`, `") .. "`" end
    facts[#facts + 1] = ("stopped after %s s"):format(h.hard or "0.01")
    out[#out + 1] = "\n" .. table.concat(facts, " · ") .. "\n"
    if h.example then out[#out + 1] = "```lua\n" .. h.example .. "\n```\n" end
  end
end

local function write_settings(out)
  out[#out + 1] = "## Settings\n"
  out[#out + 1] = "`config.fields` of plugin.lua has one line per setting: a name, a `type`, and what the type takes. Every field may have `default`, `required`, `doc`,"
  out[#out + 1] = "`example`, `secret` and `deprecated = { since, use, note }`. What an operator gives is checked before the plugin starts; `self.config` holds the result.\n"
  out[#out + 1] = "| Type | Takes | Such as |"
  out[#out + 1] = "| --- | --- | --- |"
  for _, row in ipairs(require "moonloom.defs.settings") do
    out[#out + 1] = ("| `%s` | %s | `%s` |"):format(row[1], cell(row[2]), cell(row[3]))
  end
  out[#out + 1] = "\n`config.rules` says how fields belong together: `{ \"one_of\", a, b }`, `{ \"at_least_one\", a, b }`, `{ \"together\", a, b }`, `{ \"required\", a }`,"
  out[#out + 1] = "`{ \"at_most\", a, b }` (a is no more than b) and `{ \"when\", a, value, RULE }`.\n"
end

local function member_line(path, m)
  local notes = {}
  if m.waits then notes[#notes + 1] = "waits" end
  if m.fails then notes[#notes + 1] = "`nil, kind, text` on failure" end
  if m.pure then notes[#notes + 1] = "pure" end
  if m.places then notes[#notes + 1] = "only in " .. table.concat(m.places, ", ") end
  if m.deprecated then notes[#notes + 1] = "deprecated: " .. m.deprecated[2] end
  return ("- `%s%s`%s%s%s"):format(path, m.params and m.signature or ": " .. m.signature, m.doc and " – " .. m.doc or "",
    #notes > 0 and " (" .. table.concat(notes, "; ") .. ")" or "", since(m))
end

local function write_class(out, class)
  out[#out + 1] = ("### %s\n"):format(class.class)
  out[#out + 1] = (class.doc or "") .. "\n"
  if #class.fields > 0 then
    out[#out + 1] = "| Field | Type | |"
    out[#out + 1] = "| --- | --- | --- |"
    for _, f in ipairs(class.fields) do
      out[#out + 1] = ("| `%s` | `%s` | %s%s |"):format(f.name, cell(f.type), cell(f.doc), since(f))
    end
    out[#out + 1] = ""
  end
  for _, m in ipairs(class.methods) do
    out[#out + 1] = member_line((class.arg or "") .. (class.plain and "." or ":") .. m.name, m)
    if m.example then out[#out + 1] = "\n  ```lua\n  " .. m.example:gsub("\n", "\n  ") .. "\n  ```" end
  end
  if #class.methods > 0 then out[#out + 1] = "" end
end

--- The reference page.
function docs.reference()
  local all, out = read.all(), {}
  out[#out + 1] = "# Plugin reference\n"
  out[#out + 1] = "Made by `moonloom plugin docs` from `lua/moonloom/defs`. Do not edit: change the definition.\n"
  out[#out + 1] = "What is marked *Not in this version* is part of the contract; using it is refused with that sentence.\n"
  write_hooks(out, all)
  write_settings(out)
  out[#out + 1] = "## Library\n"
  out[#out + 1] = "`local ml = require \"moonloom\"`. Expected failure is `nil, kind, text`; misuse raises. Durations and sizes are numbers"
  out[#out + 1] = "(seconds, bytes) or text (`\"10s\"`, `\"64KiB\"`).\n"
  local in_module = {}
  for _, module in ipairs(all.modules) do
    if #module.members > 0 then
      out[#out + 1] = ("### %s\n"):format(module.name and "ml." .. module.name or module.doc:gsub("%.$", ""))
      local line = module.name and module.doc or ""
      if module.need then line = line .. (" Needs `%s`."):format(module.need) end
      if line ~= "" then out[#out + 1] = line .. "\n" end
      for _, m in ipairs(module.members) do
        out[#out + 1] = member_line(m.path, m)
        if m.example then out[#out + 1] = "\n  ```lua\n  " .. m.example:gsub("\n", "\n  ") .. "\n  ```" end
      end
      out[#out + 1] = ""
    end
    for _, def in ipairs(require("moonloom.defs.lib." .. module.file).classes or {}) do
      in_module[def.class] = true
      write_class(out, all.by_class[def.class])
    end
  end
  out[#out + 1] = "## Views\n"
  out[#out + 1] = "What a hook is lent. A view expires when the hook returns or first waits: copy what you keep. Unknown fields raise.\n"
  for _, class in ipairs(all.classes) do if not in_module[class.class] then write_class(out, class) end end
  return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"):gsub("%s*$", "")) .. "\n"
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- The page of one plugin, from its manifest.
function docs.plugin(manifest)
  local out = { ("# %s\n"):format(manifest.name), (manifest.summary or "") .. "\n",
                ("Version %s, phase `%s`, tier `%s`.\n"):format(manifest.version, manifest.phase, manifest.tier), "## Settings\n" }
  if #manifest.config.fields == 0 then
    out[#out + 1] = "None.\n"
  else
    out[#out + 1] = "| Setting | Type | Default | Meaning |"
    out[#out + 1] = "| --- | --- | --- | --- |"
    for _, f in ipairs(manifest.config.fields) do
      local default = f.required and "must be given" or f.default == nil and "–"
        or "`" .. (type(f.default) == "table" and json.encode(f.default) or tostring(f.default)) .. "`"
      local meaning = f.deprecated and ("deprecated since %s: use `%s`"):format(tostring(f.deprecated.since), tostring(f.deprecated.use)) or f.doc or ""
      out[#out + 1] = ("| `%s` | %s | %s | %s |"):format(f[1], f.deprecated and "" or f.type or "", cell(default), cell(meaning))
    end
    out[#out + 1] = ""
  end
  out[#out + 1] = "## Hooks\n"
  local all = read.all()
  for _, name in ipairs(sorted(manifest.hooks)) do
    out[#out + 1] = ("- `%s` – %s"):format(name, all.by_hook[name] and all.by_hook[name].text or "")
  end
  local needs = sorted(manifest.needs)
  if #needs > 0 then out[#out + 1] = "\n## Needs\n\n`" .. table.concat(needs, "`, `") .. "`" end
  return table.concat(out, "\n") .. "\n"
end

function docs.run(options, words)
  local folder = require "moonloom.tool.folder"
  local text
  if words[1] then
    local plugin = folder.find(words[1])[1]
    local manifest, report, short = folder.manifest(plugin)
    if short then folder.fail(plugin.path .. ": there is no plugin.lua") end
    if not manifest then
      for _, line in ipairs(report) do io.stderr:write(plugin.name, "/plugin.lua: ", line, "\n") end
      return 1
    end
    text = docs.plugin(manifest)
  else
    text = docs.reference()
  end
  io.stdout:write(options.json and json.encode { markdown = text } .. "\n" or text)
  return 0
end

return docs
