-- The runner inside the binary and busted read the same file alike: same names, same outcomes.
local json = require "moonloom.test.json"

local BIN = os.getenv("MOONLOOM_BIN") or "build/dev/moonloom"

local SPEC = [[
local order = {}
describe("outer", function()
  setup(function() order[#order + 1] = "setup" end)
  teardown(function() order[#order + 1] = "teardown" end)
  before_each(function() order[#order + 1] = "before" end)
  after_each(function() order[#order + 1] = "after" end)
  it("first", function() assert.same({ "setup", "before" }, order) end)
  describe("inner", function()
    before_each(function() order[#order + 1] = "inner" end)
    it("second", function() assert.same({ "setup", "before", "after", "before", "inner" }, order) end)
    it("fails", function() assert.is_nil(1) end)
  end)
  it("raises", function() error("boom") end)
  pending("not yet")
  it("gives up", function() pending("because") end)
  it("finally", function()
    finally(function() order.done = true end)
    error({ code = 1 })
  end)
  it("was cleaned", function() assert.is_true(order.done) end)
end)
describe("assertions", function()
  local function raises() error("text") end
  it("hold", function()
    assert.equal(1, 1) assert.equals(1, 1) assert.are.equal(1, 1) assert.are_equal(1, 1) assert.is_not.equal(1, 2) assert.are_not.equal(1, 2)
    assert.same({ a = { 1 } }, { a = { 1 } }) assert.are.same({}, {}) assert.is_not.same({ 1 }, { 2 }) assert.not_same({ 1 }, { 2 })
    assert.is_nil(nil) assert.is_not_nil(1) assert.is_true(true) assert.is_false(false) assert.truthy(1) assert.is_truthy(1) assert.falsy(nil)
    assert.is_string("") assert.is_number(1) assert.is_table({}) assert.is_function(raises) assert.is_boolean(true) assert.is_not_string(1)
    assert.has_error(raises) assert.has_error(raises, "text") assert.has.errors(raises) assert.has_no.errors(function() end) assert.has_no_error(function() end)
    assert.error_matches(raises, "^.*te?xt") assert.has.error(function() error({ 1 }) end, { 1 })
    assert.matches("%d", "a1") assert.not_matches("%d", "a") assert.near(1, 1.05, 0.1) assert.unique({ 1, 2 }) assert.not_unique({ 1, 1 })
    assert(true) assert.equal(2, (select(2, assert(1, 2)))) assert.has_error(function() assert(false, "no") end)
  end)
  for name, fn in pairs {
    equal = function() assert.equal(1, 2) end, same = function() assert.same({ 1 }, { 1, 2 }) end, is_nil = function() assert.is_nil(false) end,
    is_not_nil = function() assert.is_not_nil(nil) end, is_true = function() assert.is_true(1) end, truthy = function() assert.truthy(false) end,
    has_error = function() assert.has_error(function() end) end, other_error = function() assert.has_error(raises, "other") end,
    no_error = function() assert.has_no_error(raises) end, matches = function() assert.matches("b", "a") end, plain = function() assert(nil, "why") end,
    near = function() assert.near(1, 2, 0.5) end, type = function() assert.is_string(1) end, unknown = function() assert.no_such_thing(1) end,
    table_equal = function() assert.equal({}, {}) end,
  } do
    it("do not hold: " .. name, fn)
  end
end)
]]

describe("the runner inside the binary", function()
  it("agrees with busted on every test of a file", function()
    local path = os.tmpname()
    os.remove(path)
    os.execute("mkdir -p " .. path .. "/spec")
    local f = assert(io.open(path .. "/spec/some_spec.lua", "wb"))
    f:write(SPEC)
    f:close()
    f = assert(io.popen(("env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s plugin test --json %s/spec/some_spec.lua"):format(BIN, path)))
    local ours, own, our_pending = {}, assert(json.decode(f:read("*a"))), 0
    f:close()
    for _, one in ipairs(own.tests) do
      if one.status == "pending" then our_pending = our_pending + 1 else ours[one.name] = one.status == "ok" and "ok" or "not ok" end
    end
    f = assert(io.popen(("busted -o TAP %s/spec/some_spec.lua 2>/dev/null"):format(path)))
    local theirs, their_pending = {}, 0
    for line in f:lines() do
      local status, name = line:match("^(n?o?t? ?ok) %d+ %- (.*)$")
      if status and name:find("# SKIP", 1, true) then their_pending = their_pending + 1 elseif status then theirs[name] = status end
    end
    f:close()
    os.execute("rm -rf " .. path)
    assert.is_not_nil(next(theirs))
    assert.same(theirs, ours)
    assert.equal(2, our_pending)
    assert.equal(their_pending, our_pending)
  end)
end)
