-- SPDX-License-Identifier: MIT
local ml = require "moonloom"
local check = require "p.lib.check"
local same, raises = check.same, check.raises
local compile = ml.re.compile

local P = {}

-- pattern, text, first, last (nil: no match), groups…
local FOUND = {
  { "b", "abc", 2, 2 }, { "", "abc", 1, 0 }, { "a*", "baa", 1, 0 }, { "a+", "baa", 2, 3 }, { "a+?", "baa", 2, 2 },
  { "a|ab", "ab", 1, 1 }, { "ab|a", "ab", 1, 2 }, { "(a|ab)(c|bcd)", "abcd", 1, 4, "a", "bcd" },
  { "(a+)(a*)", "aaa", 1, 3, "aaa", "" }, { "(a+?)(a*)", "aaa", 1, 3, "a", "aa" }, { "(a)|(b)", "b", 1, 1, false, "b" },
  { "^b", "ab" }, { "a$", "ab" }, { "b$", "ab", 2, 2 }, { "^$", "", 1, 0 }, { "(?m)^b$", "a\nb\nc", 3, 3 }, { "\\Ab", "a\nb" },
  { "(?m)a$", "a\nb", 1, 1 }, { "a\\z", "a\nb" }, { "a.b", "a\nb" }, { "(?s)a.b", "a\nb", 1, 3 }, { "(?i)ÄB", "äb", 1, 3 },
  { "(?i)[a-c]+", "xABCd", 2, 4 }, { "(?i)[^a]", "Ab", 2, 2 }, { "\\bcat\\b", "a cat.", 3, 5 }, { "\\bcat\\b", "concat" },
  { "\\Bat", "cat", 2, 3 }, { "x{2,3}", "xxxx", 1, 3 }, { "x{2,3}?", "xxxx", 1, 2 }, { "x{2}", "xxxx", 1, 2 }, { "x{3,}", "xxxx", 1, 4 },
  { "x{0}", "xx", 1, 0 }, { "a{,2}", "a{,2}", 1, 5 }, { "{", "{", 1, 1 }, { "a}", "a}", 1, 2 }, { "]", "]", 1, 1 },
  { "[]", "a" }, { "[^]", "\n", 1, 1 }, { "[a\\]]+", "a]b", 1, 2 }, { "[-a]+", "a-b", 1, 2 }, { "[a-]+", "a-b", 1, 2 }, { "[\\b]", "\b", 1, 1 },
  { "[^a-y]", "az", 2, 2 }, { "\\d+", "a12b", 2, 3 }, { "[\\d.]+", "v1.2", 2, 4 }, { "\\S+", " \194\160x", 4, 4 }, { "\\w", "é_", 3, 3 },
  { "\\p{Lu}", "aÉ", 2, 3 }, { "\\P{L}", "é1", 3, 3 }, { "[\\p{N}x]+", "ax²", 2, 4 }, { ".", "😀", 1, 4 }, { "^..$", "😀é", 1, 6 },
  { "\\u{1F600}", "a😀", 2, 5 }, { "\\x41\\u0042", "AB", 1, 2 }, { "\\$\\.\\/\\-", "$./-", 1, 4 }, { "(?<year>\\d{4})-(?<month>\\d\\d)", "on 2026-01", 4, 10, "2026", "01" },
  { "(?:ab)+", "ababa", 1, 4 }, { "(|a)+", "aa", 1, 2, "a" }, { "(a*)*", "b", 1, 0, false }, { "(a*)+", "aa", 1, 2, "aa" }, { "(a|b)*c", "abac", 1, 4, "a" },
  { "x*", "\255x", 1, 0 }, { ".", "\255", 1, 1 }, { "[^a]", "\195", 1, 1 }, { "\195\169", "\195x" }, { "a\0b", "xa\0b", 2, 4 }, { "\t", "a\tb", 2, 2 },
  { "-----BEGIN [A-Z ]*PRIVATE KEY-----", "x -----BEGIN RSA PRIVATE KEY-----", 3, 33 },
}

local BAD = {
  "(", ")", "a)", "(?:a", "[", "[a", "[^", "[b-a]", "[a-\\d]", "*", "+a", "?", "a**", "a+*", "a{2}{3}", "^*", "\\b+", "{2}", "a{3,2}", "a{1001}", "a{2,1001}",
  "\\", "\\1", "(a)\\1", "\\q", "\\x4", "\\u12", "\\u{}", "\\u{110000}", "\\u{12", "\\p", "\\pL", "\\p{}", "\\p{Xx}", "\\p{Lux}", "[\\p]", "(?=a)", "(?!a)", "(?<=a)",
  "(?<!a)", "(?>a)", "(?<>a)", "(?<1a>a)", "(?<a", "(?i", "(?x)a", "(?P<n>a)", "\255", "(?", "[\\q]", "a|*", "(*)", "(?i)(?m)*",
}

local function patterns()
  for _, case in ipairs(FOUND) do
    local got = { compile(case[1]):find(case[2]) }
    local want = {}
    for i = 3, #case do want[i - 2] = case[i] end
    same(want, got, case[1])
    same(want[1] ~= nil, compile(case[1]):test(case[2]), case[1])
  end
  for _, bad in ipairs(BAD) do raises("ml.re.compile: ", compile, bad) end
  raises("nested too deeply", compile, ("(?:"):rep(60) .. (")"):rep(60))
  raises("too many groups", compile, ("()"):rep(32))
  raises("too large", compile, "((a{1000}){1000}){1000}")
  raises("too large", compile, ("a{1000}"):rep(5))
  raises("at most 4096 bytes", compile, ("a"):rep(4097))
  raises("too large for so many groups", compile, ("(a{100})"):rep(31))
  raises("nothing to repeat at byte 5", compile, "ab**")
end

local function methods()
  local re = compile "(\\w+)=(\\d+)"
  same({ "a", "1" }, { re:match("a=1") })
  same({ "b", "2" }, { re:match("a=1, b=2", 3) })
  same(nil, re:match("a=1", 5))
  same(nil, re:match("a=1", 0))
  same("1", compile "\\d":match("a1"))
  local seen = {}
  for key, value in re:each "a=1, b=22, c" do seen[#seen + 1] = key .. value end
  same({ "a1", "b22" }, seen)
  seen = {}
  for m in compile "x*":each "axé" do seen[#seen + 1] = m end
  same({ "", "x", "", "" }, seen)
  same({ "1=a, 22=b", 2 }, { re:replace("a=1, b=22", "$2=$1") })
  same({ "<$a=1>", 1 }, { compile "\\w=\\d":replace("a=1", "<$$$0>") })
  same({ "-a-b-c-", 4 }, { compile "x*":replace("abc", "-") })
  same({ "-b--c-", 4 }, { compile "a*":replace("baaac", "-") })
  same("A=1 B", (re:replace("a=1 B", function(k, v) return k:upper() .. "=" .. v end)))
  same("a=1", (re:replace("a=1", function() return nil end)))
  same("a=7", (compile "\\d":replace("a=1", function() return 7 end)))
  raises("$0 to $2", re.replace, re, "a=1", "$3")
  raises("$0 to $2", re.replace, re, "a=1", "$")
  raises("must answer text, not a table", re.replace, re, "a=1", function() return {} end)
  raises("boom", re.replace, re, "a=1", function() error "boom" end)
  raises("call its methods with ':'", re.test, "a")
  raises("text expected, got nil", re.test, re, nil)
  same(false, getmetatable(re))
end

local function sets()
  local set = ml.re.set { "cat", "(?i)dog", "\\d{3}", "^x" }
  same(true, set:test "hotdog")
  same(false, set:test "12 y")
  same({ 1, 2, 3 }, set:which "123 DOG cat")
  same({ 4 }, set:which "x")
  same({}, set:which "")
  same(false, ml.re.set {}:test "a")
  same({}, ml.re.set {}:which "a")
  same(true, ml.re.set { "a" }:test "ba")
  same({ 1, 2 }, ml.re.set { "", "b" }:which "b")
  raises("pattern 2: ", ml.re.set, { "a", "(" })
  raises("table expected", ml.re.set, "a")
  raises("text expected", ml.re.set, { 1 })
  raises("at most 1000", ml.re.set, (function() local t = {} for i = 1, 1001 do t[i] = "a" end return t end)())
  raises("call its methods with ':'", set.test, compile "a", "a")
  local many = {}
  for i = 1, 1000 do many[i] = ("w%d\\b"):format(i) end
  same({ 7, 77, 777 }, ml.re.set(many):which "w777 w7 w77 w7777")
end

-- What makes a backtracking engine explode takes linear time.
local function linear()
  local text = ("a"):rep(20000)
  for _, pattern in ipairs { "(a*)*b", "(a|aa)+$x", "(a|a)*b", "(?:a?){30}a{30}b", "(.*)(.*)(.*)(.*)(.*)x" } do
    same(false, compile(pattern):test(text), pattern)
  end
end

function P:setup()
  patterns() methods() sets() linear()
  ml.log.info("checks", { n = check.count })
end

function P:before_update() end

return P
