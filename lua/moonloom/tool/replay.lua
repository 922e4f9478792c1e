-- SPDX-License-Identifier: MIT
-- `moonloom plugin replay FILE`: what the flight recorder took down (`trace --json`) is asked once more, of the
-- plugin as it is on disk, and what it says now stands beside what it said then.
local check = require "moonloom.tool.check"
local folder = require "moonloom.tool.folder"
local json = require "moonloom.test.json"

local replay = {}

-- ---- The records of a file: one, a list, an answer of `trace`, or one a line ----------------------------------

local function records_of(path)
  local text, wrong = folder.read(path)
  if not text then folder.fail(wrong) end
  local whole = json.decode(text)
  if type(whole) == "table" and whole.hook then return { whole } end
  if type(whole) == "table" then return whole.items or whole end
  local out = {}
  for line in text:gmatch("[^\n]+") do
    local one, bad = json.decode(line)
    if type(one) ~= "table" then folder.fail(("%s: line %d: %s"):format(path, #out + 1, tostring(bad or "no record"))) end
    out[#out + 1] = one
  end
  return out
end

-- ---- From a record to the view that the hook takes --------------------------------------------------------------

local function plain(value)
  if value == json.null then return nil end
  if type(value) ~= "table" then return value end
  local out = {}
  for key, one in pairs(value) do out[key] = plain(one) end
  return out
end

local EDIT = { "path", "key", "index", "len", "text", "value" }

local function edit_of(given)
  local out = { given.kind }
  for _, name in ipairs(EDIT) do out[name] = given[name] end
  if out.value == nil and given.value_bytes then out.value = ("x"):rep(given.value_bytes) end
  return out
end

local function update_of(input)
  local out = { author = input.author, origin = input.origin, doc = input.doc, bytes = input.bytes, inserted_bytes = input.inserted_bytes }
  for i, one in ipairs(input.edits or {}) do out[i] = edit_of(one) end
  return out
end

local makers = {
  authenticate = function(t, input) return t.request(input) end,
  authorize = function(t, input) return t.ask(input) end,
  before_update = function(t, input) return t.update(update_of(input)) end,
  authorize_edit = function(t, input)
    local edit = edit_of((input.edits or {})[1] or folder.fail("the record has no edit"))
    edit.author = input.author
    return t.edit(edit)
  end,
  after_update = function(t, input)
    return t.batch { doc = input.doc, count = input.count, bytes = input.bytes, from_seq = input.from_seq, to_seq = input.to_seq,
                     authors = input.authors, gap = input.gap }
  end,
  snapshot_policy = function(t, input) return t.ref(input) end,
}

-- ---- One record -------------------------------------------------------------------------------------------------

--- What the plugin says now: verdict, and code or text.
local function ask_again(t, record, config)
  local make = makers[record.hook]
  if not make then return nil, ("%s cannot be asked again from a record"):format(record.hook) end
  local input = plain(record.input)
  if type(input) ~= "table" then return nil, "the record does not say what was asked" end
  local plugin = t.instance(record.plugin, config)
  local view = make(t, input)
  local ok, answer = pcall(function() return plugin[record.hook](plugin, view) end)
  plugin:close()
  if not ok then return { verdict = "error", text = type(answer) == "table" and tostring(answer.message) or tostring(answer) } end
  if type(answer) == "table" and answer.denied then return { verdict = "deny", code = answer.code, text = answer.reason } end
  return { verdict = "ok" }
end

-- A call that was only slow said as much as one that was not.
local function is_same(before, now)
  local verdict = before.verdict == "slow" and "ok" or before.verdict
  return verdict == now.verdict and (verdict ~= "deny" or before.code == now.code)
end

local function line_of(verdict, code, text)
  return verdict .. (code and code ~= "" and " " .. code or "") .. (text and text ~= "" and ": " .. text or "")
end

local function print_one(record, result)
  io.stdout:write(("%s %s  %s/%s\n"):format(record.instance, record.hook, record.org, record.document))
  io.stdout:write("  then  ", line_of(record.verdict, record.code, record.text), "\n")
  if result.now then
    io.stdout:write("  now   ", line_of(result.now.verdict, result.now.code, result.now.text), result.same and "" or "   <- differs", "\n")
  else
    io.stdout:write("  now   not asked: ", result.why, "\n")
  end
end

function replay.run(options, words)
  local t = require "moonloom.test"
  local config = check.config_of(options.config)
  local dirs = {}
  if #words > 1 then
    for _, plugin in ipairs(folder.all({ unpack(words, 2) })) do dirs[plugin.name] = plugin.dir end
  end
  local out, different, asked, masked = json.list {}, 0, 0, false
  for _, record in ipairs(records_of(words[1])) do
    if type(record) ~= "table" or type(record.hook) ~= "string" then folder.fail(words[1] .. ": a record without hook") end
    if #words == 1 or dirs[record.plugin] then
      t.plugins_dir = dirs[record.plugin] or "plugins"
      local ok, now, why = pcall(ask_again, t, record, config)
      if not ok then now, why = nil, type(now) == "table" and tostring(now.message or now.usage) or tostring(now) end
      local result = { hook = record.hook, instance = record.instance, now = now, why = why, same = now and is_same(record, now) }
      out[#out + 1] = { hook = record.hook, instance = record.instance, document = record.document, ["then"] = {
        verdict = record.verdict, code = record.code, text = record.text }, now = now or json.null, why = why, same = result.same or false }
      asked = asked + (now and 1 or 0)
      masked = masked or type(record.input) == "table" and record.input.masked == true
      if not result.same then different = different + 1 end
      if not options.json then print_one(record, result) end
    end
  end
  if options.json then io.stdout:write(json.encode(out), "\n")
  else
    if masked then io.stdout:write("what people wrote is masked in these records: a hook that reads it may answer otherwise\n") end
    io.stdout:write(("%d asked again, %d differ\n"):format(asked, different))
  end
  return different > 0 and 1 or 0
end

return replay
