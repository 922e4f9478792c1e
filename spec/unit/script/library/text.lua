-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local text, words = ml.text, ml.words

local P = {}

local function units()
  same(5, text.len16 "aé€😀")
  same(3, text.to8("aé€", 2))
  same(3, text.to16("aé€", 6))
  same("aé", text.truncate("aé€", 2))
  same("a", text.truncate("a😀", 2))
  raises("not UTF-8", text.len16, "\255")
  raises("inside a character", text.to16, "é", 1)
  raises("out of range", text.to8, "a", 2)
  same({ "a", "b", "", "c\r" }, text.lines "a\r\nb\n\nc\r")
  same({ "" }, text.lines "")
  same({ "", "" }, text.lines "\n")
end

local function forms()
  same("é", text.nfc "e\204\129")
  same("abc", text.nfc "abc")
  same("", text.nfc "")
  same("가", text.nfc "\225\132\128\225\133\161")
  same("\204\163\204\135", text.nfc "\204\135\204\163") -- marks in canonical order
  same("strasse", text.fold "STRASSE")
  same("strasse", text.fold "Straße")
  same(text.fold "ΣΑΣ", text.fold "σας")
  same("é", text.fold "E\204\129")
  raises("not UTF-8", text.nfc, "\237\160\128")
  -- more than one piece, with a pair at every place a piece could end at
  local long = ("e\204\129x"):rep(60000)
  same(("éx"):rep(60000), text.nfc(long))
  local marks = "e" .. ("\204\129\204\163"):rep(3000)
  same(true, #text.nfc(marks) > 1000)
end

-- Apply what diff says to a, counting in UTF-16 units of a.
local function apply(a, edits)
  local out, done = {}, 0
  for _, e in ipairs(edits) do
    local from, to = text.to8(a, e.at), text.to8(a, e.at + e.delete)
    out[#out + 1] = a:sub(done + 1, from)
    out[#out + 1] = e.insert
    done = to
  end
  out[#out + 1] = a:sub(done + 1)
  return table.concat(out)
end

local function changes(edits)
  local n = 0
  for _, e in ipairs(edits) do n = n + e.delete + text.len16(e.insert) end
  return n
end

local function diffs()
  same({}, text.diff("", ""))
  same({}, text.diff("same", "same"))
  same({ { at = 1, delete = 0, insert = "X" } }, text.diff("ab", "aXb"))
  same({ { at = 1, delete = 1, insert = "" } }, text.diff("aXb", "ab"))
  same({ { at = 2, delete = 2, insert = "é" } }, text.diff("ab😀c", "abéc"))
  same({ { at = 0, delete = 0, insert = "new" } }, text.diff("", "new"))
  same({ { at = 0, delete = 3, insert = "" } }, text.diff("old", ""))
  same({ { at = 0, delete = 1, insert = "H" }, { at = 4, delete = 0, insert = "!" } }, text.diff("hell", "Hell!"))
  local seed = 7
  local function random(n) seed = (seed * 16807) % 2147483647 return seed % n end
  local letters = { "a", "b", "é", "😀", "\n" }
  for _ = 1, 400 do
    local a, b = {}, {}
    for i = 1, random(12) do a[i] = letters[random(5) + 1] end
    for i = 1, random(12) do b[i] = letters[random(5) + 1] end
    a, b = table.concat(a), table.concat(b)
    local edits = text.diff(a, b)
    same(b, apply(a, edits), a .. " -> " .. b)
    -- never more than replacing the whole
    same(true, changes(edits) <= text.len16(a) + text.len16(b))
  end
  local a, b = ("abcdefghij"):rep(500), ("klmnopqrst"):rep(500)
  same({ { at = 0, delete = 5000, insert = b } }, text.diff(a, b))
  same(b .. "x", apply(a .. "x", text.diff(a .. "x", b .. "x")))
  raises("not UTF-8", text.diff, "a", "\255")
end

local function lists()
  local set = words.set { "cat", "concat", "he", "hers", "she" }
  same({ "concat", 3, 8 }, { set:find "a concat" })
  same({ "she", 2, 4 }, { set:find "ushers" })
  same({ "hers", 3, 6 }, { set:find("ushers", 3) })
  same({ "hers", 1, 4 }, { set:find "hers" })
  same(nil, set:find "nothing")
  same(nil, set:find "")
  same(nil, set:find("cat", 4))
  same({ "a *** and a ******", 2 }, { set:mask "a cat and a concat" })
  same({ "##t c#t", 0 }, { set:mask("##t c#t", "#") })
  same({ "x", 1 }, { set:mask("xcat", "") })
  same({ "x●●●", 1 }, { set:mask("xcat", "●") })

  local whole = words.set({ "ass", "Über", "naïve" }, { fold = true, whole = true })
  same(nil, whole:find "class assign bass")
  same({ "ass", 3, 5 }, { whole:find "a ASS!" })
  same({ "Über", 1, 5 }, { whole:find "ÜBER alles" })
  same({ "Über", 3, 7 }, { whole:find "a über" })
  same(nil, whole:find "ass_x")
  same(nil, whole:find "ass\204\129")
  same(nil, whole:find "éass")
  same({ "ass", 1, 3 }, { whole:find "ass" })
  same({ "***, ****", 2 }, { whole:mask "ASS, über" })
  same({ "Straße", 1, 7 }, { words.set({ "Straße" }, { fold = true }):find "STRASSE" })
  same({ "STRASSE", 1, 7 }, { words.set({ "STRASSE" }, { fold = true }):find "Straße" })
  same(nil, words.set({ "s" }, { fold = true }):find "ß")
  same({ "σ", 1, 2 }, { words.set({ "σ" }, { fold = true }):find "ς" })
  same(nil, words.set { "Cat" }:find "cat")
  same({ "a", 1, 1 }, { words.set { "a", "a" }:find "a" })
  same(nil, words.set {}:find "a")
  -- the longer of two that begin together, unless it does not stand alone
  local both = words.set({ "new", "new york" }, { whole = true })
  same({ "new york", 1, 8 }, { both:find "new york" })
  same({ "new", 1, 3 }, { both:find "new yorker" })
  raises("word 2: a word is UTF-8 text", words.set, { "a", "" })
  raises("word 1: a word is UTF-8 text", words.set, { "\255" })
  raises("too long", words.set, { ("x"):rep(257) })
  raises("unknown option 'hole'", words.set, {}, { hole = true })
  raises("true or false", words.set, {}, { fold = 1 })
  raises("text expected", words.set, { 1 })
  raises("table expected", words.set, "a")
  raises("call its methods with ':'", set.find, "cat")
  raises("not UTF-8", set.find, set, "\255")
  raises("inside a character", set.find, set, "é", 2)
  raises("one character", set.mask, set, "cat", "toolong")
end

-- The same answer as looking for each word by itself, on random texts.
local function against_the_plain_way()
  local seed = 3
  local function random(n) seed = (seed * 16807) % 2147483647 return seed % n end
  for _ = 1, 300 do
    local list, s = {}, {}
    for i = 1, 1 + random(5) do
      local w = {}
      for j = 1, 1 + random(4) do w[j] = ("ab"):sub(random(2) + 1, -1):sub(1, 1) end
      list[i] = table.concat(w)
    end
    for i = 1, random(20) do s[i] = ("abc"):sub(random(3) + 1, -1):sub(1, 1) end
    s = table.concat(s)
    local best, first, last
    for _, w in ipairs(list) do
      local i, j = s:find(w, 1, true)
      if i and (not best or i < first or (i == first and j > last)) then best, first, last = w, i, j end
    end
    same({ best, first, last }, { words.set(list):find(s) }, s)
  end
end

local function times()
  local time = ml.time
  same(1700000000, time.now())
  same(0, time.parse "1970-01-01")
  same(1769854500, time.parse "2026-01-31T10:15:00Z")
  same(1769854500, time.parse "2026-01-31 10:15")
  same(1769854500, time.parse "2026-01-31T12:15:00+02:00")
  same(1769854500.25, time.parse "2026-01-31T10:15:00.250Z")
  same(951782400, time.parse "2000-02-29")
  same("2026-01-31T10:15:00Z", time.format(1769854500.9))
  same("1969-12-31T23:59:59Z", time.format(-1))
  for _, wrong in ipairs { "", "2026", "2026-1-31", "2026-13-01", "2026-00-01", "2026-02-29", "1900-02-29", "2026-01-32", "2026-01-31T",
                           "2026-01-31T10", "2026-01-31T24:00", "2026-01-31T10:60", "2026-01-31T10:15:61Z", "2026-01-31T10:15:00.Z", " 2026-01-31",
                           "2026-01-31 ", "2026-01-31T10:15:00ZZ", "2026-01-31T10:15:00+2", "2026-01-31T10:15:00+02:60", "2026-01-31T10:15:00*02:00",
                           "tomorrow", "2026-01-31T10:15\0" } do
    local value, kind = time.parse(wrong)
    same(nil, value, wrong)
    same("EFORMAT", kind)
  end
  raises("years 0 to 9999", time.format, 1e300)
  raises("years 0 to 9999", time.format, 0 / 0)
end

local function globs()
  local match = ml.glob.match
  same(true, match("a/**/z", "a/b/c/z"))
  same(true, match("notes/**", "notes"))
  same(false, match("*", "a/b"))
  -- many stars, and a text that fits none: all ways at once
  local stars = ("*a"):rep(40) .. "b"
  same(false, match(stars, ("a"):rep(8000)))
  same(true, match(stars, ("a"):rep(4000) .. "b"))
  same(false, match(("**a"):rep(30) .. "*b/c", ("a"):rep(8000)))
  same(true, match("**a*b**/c/**", ("a/"):rep(2000) .. "aab/x/c"))
  same(false, match("**a*b**/d/**", ("a/"):rep(2000) .. "aab/x/c"))
  raises("at most 1024 bytes", match, ("*"):rep(1025), "a")
  same({ "a/b", "", "c~" }, ml.path.split "a~1b//c~0")
  same("a~1b//c~0", ml.path.join("a/b", "", "c~"))
  same(true, ml.path.match("tasks/*", "tasks/7"))
end

function P:setup()
  units() forms() diffs() lists() against_the_plain_way() times() globs()
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
