-- Reads verbose ctest logs and prints what failed and the closing line. A case is counted where its
-- runner names it (cmocka, TAP, "N passed, N failed"); a program that ends badly without having named
-- a failed case counts as one failure, one that ends well without having named any as one pass.
local passed, failed, skipped, ended = 0, 0, 0, 0

local function case(text, t)
  local p, f, s = text:match("^(%d+) passed, (%d+) failed,? ?(%d*)")
  if p then
    t.passed, t.failed = t.passed + tonumber(p), t.failed + tonumber(f)
    skipped = skipped + (tonumber(s) or 0)
  elseif text:match("^ok %d+.*# SKIP") or text:match("^%[  SKIPPED %] [^%d]") then skipped = skipped + 1
  elseif text:match("^ok %d+") or text:match("^%[       OK %]") then t.passed = t.passed + 1
  elseif text:match("^not ok %d+") then t.failed = t.failed + 1
  elseif text:match("^%[  FAILED  %] [^%d]") and not t.named[text] then
    t.named[text] = true -- cmocka names it again in its summary
    t.failed = t.failed + 1
  end
end

local function finish(t, name, verdict)
  local good = verdict:match("^Passed") ~= nil
  if not good and t.failed == 0 then t.failed = 1 end
  if good and t.failed == 0 and t.passed == 0 then t.passed = 1 end
  if t.failed > 0 then
    print(("---- %s: %s"):format(name, verdict))
    for i = math.max(1, #t.lines - 60), #t.lines do print("  " .. t.lines[i]) end
  end
  passed, failed, ended = passed + t.passed, failed + t.failed, ended + 1
end

for _, path in ipairs(arg) do
  local of = {} -- number of a test → what it printed and counted
  local function test(number)
    of[number] = of[number] or { passed = 0, failed = 0, lines = {}, named = {} }
    return of[number]
  end
  for line in assert(io.lines(path)) do
    local number, text = line:match("^(%d+): (.*)$")
    if number then
      local t = test(number)
      t.lines[#t.lines + 1] = text
      case(text, t)
    end
    local index, name, verdict = line:match("^%s*%d+/%d+ Test%s+#(%d+): (%S+) %.*%s*(.-)%s+[%d.]+ sec")
    if index then finish(test(index), name, verdict) end
  end
end
if ended == 0 then
  print("no test ran")
  failed = failed + 1
end
print(("%d passed, %d failed%s"):format(passed, failed, skipped > 0 and (", " .. skipped .. " skipped") or ""))
os.exit(failed == 0 and 0 or 1)
