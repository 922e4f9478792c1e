-- Reads a verbose ctest log and prints what failed and the closing line. A case is counted where its
-- runner names it (cmocka, TAP, "N passed, N failed"); a program that ends badly without having named
-- a failed case counts as one failure.
local log = assert(io.open(arg[1]), "no log: " .. tostring(arg[1]))
local passed, failed, skipped = 0, 0, 0
local of = {} -- number of a test → what it printed and counted
local ended = 0

local function test(number)
  of[number] = of[number] or { passed = 0, failed = 0, lines = {} }
  return of[number]
end

for line in log:lines() do
  local number, text = line:match("^(%d+): (.*)$")
  if number then
    local t = test(number)
    t.lines[#t.lines + 1] = text
    local p, f, s = text:match("^(%d+) passed, (%d+) failed,? ?(%d*)")
    if p then
      t.passed, t.failed = t.passed + tonumber(p), t.failed + tonumber(f)
      skipped = skipped + (tonumber(s) or 0)
    elseif text:match("^%[       OK %]") or (text:match("^ok %d+") and not text:match("# SKIP")) then t.passed = t.passed + 1
    elseif text:match("^ok %d+.*# SKIP") then skipped = skipped + 1
    elseif text:match("^%[  FAILED  %] [^%d]") and not text:match("FAILED TEST") or text:match("^not ok %d+") then
      t.failed = t.failed + 1
    end
  end
  local index, name, verdict = line:match("^%s*%d+/%d+ Test%s+#(%d+): (%S+) %.*%s*(.-)%s+[%d.]+ sec")
  if index then
    ended = ended + 1
    local t = test(index)
    local good = verdict:match("^Passed") ~= nil
    if not good and t.failed == 0 then t.failed = 1 end
    if good and t.failed == 0 and t.passed == 0 then t.passed = 1 end
    if t.failed > 0 then
      print(("---- %s: %s"):format(name, verdict))
      for i = math.max(1, #t.lines - 60), #t.lines do print("  " .. t.lines[i]) end
    end
    passed, failed = passed + t.passed, failed + t.failed
  end
end
if ended == 0 then
  print("no test ran")
  failed = failed + 1
end
print(("%d passed, %d failed%s"):format(passed, failed, skipped > 0 and (", " .. skipped .. " skipped") or ""))
os.exit(failed == 0 and 0 or 1)
