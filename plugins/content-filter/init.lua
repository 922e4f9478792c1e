-- plugins/content-filter/init.lua: one scan for everything that was inserted, then refuse, cover or report.
-- What comes letter by letter is found in the paragraph, when something stands behind it or somebody goes on elsewhere.
local ml = require "moonloom"
local builtin = require "content-filter.lib.builtin"
local checks = require "content-filter.lib.checks"
local lists = require "content-filter.lib.lists"

local Filter = {}

local REMEMBERED_MAX = 1000 -- exempt people, documents with an unfinished end

-- A pattern that is found first with all others in one pass, then by itself where it stands.
local function rule(name, regex, check)
  return { name = name, source = regex, regex = ml.re.compile(regex), check = check }
end

local function check_of(pattern)
  if not pattern.luhn and pattern.min_entropy == 0 then return nil end
  return function(text)
    if pattern.luhn and not checks.luhn(text) then return false end
    return checks.entropy(text) >= pattern.min_entropy
  end
end

function Filter:setup()
  local config, rules, words, sources = self.config, {}, {}, {}
  for _, name in ipairs(config.builtin) do rules[#rules + 1] = rule(name, builtin[name].regex, builtin[name].check) end
  for _, p in ipairs(config.patterns) do rules[#rules + 1] = rule(p.name, p.regex, check_of(p)) end
  for _, word in ipairs(config.words) do words[#words + 1] = ml.text.nfc(word) end
  for _, list in ipairs(config.lists) do
    for _, word in ipairs(lists[list]) do words[#words + 1] = word end
  end
  for i, one in ipairs(rules) do sources[i] = one.source end
  self.state.rules = rules
  self.state.set = ml.re.set(sources)
  self.state.words = ml.words.set(words, { fold = config.fold, whole = config.whole_words })
  self.state.any_word = #words > 0
  self.state.exempt, self.state.exempt_count = {}, 0
  self.state.unfinished, self.state.unfinished_count = {}, 0
end

-- Everything unwanted in a text: list of { from, to, name } (bytes, 1-based), in order, apart from each other.
function Filter.scan(self, text)
  local state, hits = self.state, {}
  for _, i in ipairs(state.set:which(text)) do
    local one, from = state.rules[i], 1
    while true do
      local first, last = one.regex:find(text, from)
      if not first or last < first then break end
      if not one.check or one.check(text:sub(first, last)) then hits[#hits + 1] = { from = first, to = last, name = one.name } end
      from = last + 1
    end
  end
  local from = 1
  while state.any_word do
    local _, first, last = state.words:find(text, from)
    if not first then break end
    hits[#hits + 1] = { from = first, to = last, name = "word" }
    from = last + 1
  end
  table.sort(hits, function(a, b) return a.from < b.from or (a.from == b.from and a.to > b.to) end)
  local apart = {}
  for _, hit in ipairs(hits) do
    local before = apart[#apart]
    if not before or hit.from > before.to then
      apart[#apart + 1] = hit
    elseif hit.to > before.to then
      before.to = hit.to
    end
  end
  return apart
end

-- White space stays, and does not count.
local function cover(text, char, keep)
  local total, n = 0, 0
  for _ in text:gmatch("[^%s\128-\191]") do total = total + 1 end
  return (text:gsub("[^%s\128-\191][\128-\191]*", function(c)
    n = n + 1
    return n > total - keep and c or char
  end))
end

function Filter.mask(self, text, hits)
  local out, done = {}, 0
  for _, hit in ipairs(hits) do
    out[#out + 1] = text:sub(done + 1, hit.from - 1)
    out[#out + 1] = cover(text:sub(hit.from, hit.to), self.config.mask_char, self.config.keep_last)
    done = hit.to
  end
  out[#out + 1] = text:sub(done + 1)
  return table.concat(out)
end

local function is_exempt(self, author)
  for _, role in ipairs(self.config.exempt) do if author:has_role(role) then return true end end
  return false
end

-- Edits whose bytes do not tell where they stand are looked at wherever the filter looks.
local function is_watched(self, path)
  if not path then return true end
  for _, pattern in ipairs(self.config.paths) do if ml.path.match(pattern, path) then return true end end
  return false
end

local function text_of(e)
  if e.kind == "text.insert" then return e.text end
  if type(e.value) == "string" then return e.value end
end

-- Roles are not known any more when an edit has been committed.
local function remember_exempt(state, user)
  if state.exempt[user] then return end
  if state.exempt_count >= REMEMBERED_MAX then state.exempt, state.exempt_count = {}, 0 end
  state.exempt[user], state.exempt_count = true, state.exempt_count + 1
end

function Filter:before_update(u)
  if is_exempt(self, u.author) then return remember_exempt(self.state, u.author.user) end
  for e in u:edits() do
    local text = text_of(e)
    if text and #text > 0 and is_watched(self, e.path) then
      local hits = Filter.scan(self, text)
      if #hits > 0 then
        local action = self.config.action
        if action == "refuse" then
          return ml.deny("unwanted", ("This text was not added: %s."):format(checks.people(hits[1].name)))
        elseif action == "mask" then
          u:replace(e, Filter.mask(self, text, hits))
        else
          ml.log.warn("unwanted text", { doc = u.doc.id, user = u.author.user, what = hits[1].name, hits = #hits })
        end
      end
    end
  end
end

-- ---- Letter by letter -----------------------------------------------------------------------------------------------

-- What stands in one paragraph and should not, the last first, so that the places of the others do not move.
-- A hit at the end may be half a word: it is not one yet, unless `is_over`.
local function bad_parts(self, text, is_over)
  local parts, is_unfinished = {}, false
  local hits = Filter.scan(self, text)
  for i = #hits, 1, -1 do
    local hit = hits[i]
    if hit.to == #text and not is_over then
      is_unfinished = true
    else
      parts[#parts + 1] = { at = ml.text.len16(text:sub(1, hit.from - 1)), len = ml.text.len16(text:sub(hit.from, hit.to)), name = hit.name,
                            text = text:sub(hit.from, hit.to) }
    end
  end
  return parts, is_unfinished
end

local function treat(self, doc, path, from, parts)
  local config = self.config
  if #parts == 0 then return end
  ml.log.warn("unwanted text", { doc = doc.id, what = parts[1].name, hits = #parts, typed = true })
  if config.action == "report" then return end
  doc:transact(function(tx)
    for _, part in ipairs(parts) do
      local shown = config.action == "mask" and cover(part.text, config.mask_char, config.keep_last) or ""
      if shown ~= part.text then tx:text(path):replace(from + part.at, part.len, shown) end
    end
  end, { reason = "content-filter" })
end

-- Look at the paragraph around a place. Answers whether its end has to be looked at again.
local function look(self, doc, path, index, is_over)
  local ok, text, from, len = pcall(function() return doc:text(path):block_at(index) end)
  if not ok or not text then return false end -- it is gone
  local all = doc:text(path):len()
  local parts, is_unfinished = bad_parts(self, text, is_over or from + len < all)
  treat(self, doc, path, from, parts)
  return is_unfinished
end

-- Paragraphs whose end was looked at too early, once somebody goes on elsewhere.
local function look_again(self, doc, places)
  local late = self.state.unfinished[doc.id]
  for path, index in pairs(late or {}) do
    if not places[path] then
      late[path] = nil
      look(self, doc, path, index, true)
    end
  end
end

local function note_unfinished(state, id, path, index)
  local late = state.unfinished[id]
  if not late then
    if state.unfinished_count >= REMEMBERED_MAX then state.unfinished, state.unfinished_count = {}, 0 end
    late = {}
    state.unfinished[id], state.unfinished_count = late, state.unfinished_count + 1
  end
  late[path] = index
end

function Filter:after_update(batch)
  if not self.config.typed or (#self.state.rules == 0 and not self.state.any_word) then return end
  local doc, places = batch.doc, {}
  for change in batch:changes() do
    if change.index and is_watched(self, change.path) and not self.state.exempt[change.author.user] then
      places[change.path] = places[change.path] or {}
      table.insert(places[change.path], change.index)
    end
  end
  look_again(self, doc, places)
  for path, indexes in pairs(places) do
    for _, index in ipairs(indexes) do
      if look(self, doc, path, index, false) then note_unfinished(self.state, doc.id, path, index) end
    end
  end
end

return Filter
