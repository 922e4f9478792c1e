-- The plugin rate-limit in the real process: n pass, the next is refused, and the person is told.
local cjson = require "cjson"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local World = require "world"

local DAY = 86400 -- a rate of a few a day gives nothing back while a spec runs

describe("rate-limit", function()
  local world

  local function start(config, more)
    world = World.new { args = { "--plugins", os.getenv "MOONLOOM_ROOT" .. "/plugins" },
      config = ("plugins = { ['rate-limit'] = { config = { %s } } }\n%s"):format(config, more or "") }
  end
  after_each(function() world:close() end)
  teardown(process.clean)

  local function ops(doc, text)
    local answer = http.request(world.port, "POST", "/api/v1/orgs/default/docs/" .. doc .. "/ops", { ["Content-Type"] = "application/json" },
      cjson.encode { ops = { { "text.insert", "content", 0, text } } })
    return answer.status, answer.body
  end

  for _, loops in ipairs { 1, 2 } do
    it(("of %d loops takes back the change that is one too many, and says so to its writer"):format(loops), function()
      start(("updates = '5/%ds', burst = 1, action = 'refuse'"):format(DAY), "loops = " .. loops)
      local anna, ben = world:client "anna":joins "a", world:client "ben":joins "a"
      anna:asks_for_notices()
      ben:asks_for_notices()
      for i = 1, 5 do anna:types(i - 1, tostring(i)):is_acknowledged() end
      ben:sees "12345"
      assert.same({}, anna.notices)
      anna:types(5, "6")
      world:wait(function() return #anna.notices > 0 end, "the notice", 20)
      local notice = anna.notices[1]
      assert.same({ "refused", "too_fast", "These were too many changes at once. Please wait a moment." },
        { notice.kind, notice.code, notice.reason })
      anna:sees "12345"
      ben:sees "12345"
      assert.same({}, ben.notices)
      -- Another session has a rate of its own.
      ben:types(5, "6"):is_acknowledged()
      anna:sees "123456"
    end)
  end

  it("makes a change wait that is one too many, reads no further, and loses nothing", function()
    start("updates = '5/2s', burst = 1, close_after = 0")
    local anna, ben = world:client "anna":joins "a", world:client "ben":joins "a"
    for i = 1, 12 do anna:types(i - 1, string.char(96 + i)) end
    ben:sees "abcdefghijkl"
    anna:is_acknowledged()
  end)

  it("ends a connection that goes on and on", function()
    start(("messages = '2/%ds', burst = 1, action = 'refuse', close_after = 3"):format(DAY))
    local anna = world:client "anna":joins "a"
    anna:asks_for_notices()
    for _ = 1, 6 do anna.socket:send(lib0.uint(103) .. lib0.bytes "hi") end
    assert.equal(4529, (anna:is_closed(20)))
  end)

  it("ends it at once where that is wanted", function()
    start(("messages = '2/%ds', burst = 1, action = 'close'"):format(DAY))
    local anna = world:client "anna":joins "a"
    for _ = 1, 2 do anna.socket:send(lib0.uint(103) .. lib0.bytes "hi") end
    anna:types(0, "x"):is_acknowledged()
    anna.socket:send(lib0.uint(103) .. lib0.bytes "hi")
    assert.equal(4529, (anna:is_closed(20)))
  end)

  it("answers the request that is one too many 429, and when to come back", function()
    start(("http = '3/%ds', burst = 1, per = 'user'"):format(DAY))
    for i = 1, 3 do assert.equal(200, (ops("a" .. i, "x"))) end
    local answer = http.request(world.port, "GET", "/api/v1/orgs/default/docs")
    assert.equal(429, answer.status)
    assert.truthy(answer.body:find('"too_fast"', 1, true), answer.body)
    assert.truthy(tonumber(answer.fields["retry-after"]) > 1000)
  end)

  it("counts by address for the whole org, and sends away who connects too often", function()
    start(("connects = '2/%ds', burst = 1"):format(DAY))
    world:client "anna":joins "a"
    world:client "ben":joins "b"
    local third = world:client "cem":joins("c", { wait = false })
    assert.equal(4529, (third:is_closed(20)))
  end)

  it("refuses the message that is one too many", function()
    start(("messages = '2/%ds', burst = 1, action = 'refuse'"):format(DAY))
    local anna = world:client "anna":joins "a"
    anna:asks_for_notices()
    for _ = 1, 3 do anna.socket:send(lib0.uint(103) .. lib0.bytes "hi") end
    world:wait(function() return #anna.notices > 0 end, "the notice", 20)
    assert.same({ "refused", true, "too_fast" }, { anna.notices[1].kind, anna.notices[1].message, anna.notices[1].code })
    anna:types(0, "x"):is_acknowledged()
    assert.equal(1, #anna.notices) -- the first two passed
  end)

  -- A plugin of its own, with both hooks.
  local function start_own(limits, verdict)
    local plugins = process.folder()
    World.plugin(plugins, "soft", {
      ["plugin.lua"] = [[return { name = 'soft', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'limit',
        hooks = { limits = {}, over_limit = {}, rpc = { ["soft.hi"] = {} } } }]],
      ["init.lua"] = ([[local ml = require "moonloom"
        local P = { rpc = {} }
        function P:limits() return { %s } end
        function P:over_limit(l) return %s end
        P.rpc["soft.hi"] = function() return "hi" end
        return P]]):format(limits, verdict),
    })
    world = World.new { args = { "--plugins", plugins }, config = "plugins = { soft = {} }\n" }
  end

  it("leaves what happens to over_limit: its own words, or nothing at all", function()
    start_own(("updates = '1/%ds', burst = 1, action = 'close'"):format(DAY), "ml.deny('mine', 'Not so fast.')")
    local anna = world:client "anna":joins "a"
    anna:asks_for_notices()
    anna:types(0, "1"):is_acknowledged()
    anna:types(1, "2")
    world:wait(function() return #anna.notices > 0 end, "the notice", 20)
    assert.same({ "soft.mine", "Not so fast." }, { anna.notices[1].code, anna.notices[1].reason })
    anna:sees "1"
    world:close()
    start_own(("updates = '1/%ds', burst = 1, action = 'close'"):format(DAY), "ml.allow()")
    local ben = world:client "ben":joins "a"
    for i = 1, 3 do ben:types(i - 1, tostring(i)):is_acknowledged() end
    ben:sees "123"
  end)

  it("counts calls of plugins' functions among requests, and by themselves", function()
    start_own(("rpc = '2/%ds', burst = 1"):format(DAY), "nil")
    local function call()
      return http.request(world.port, "POST", "/api/v1/orgs/default/rpc/soft.hi", { ["Content-Type"] = "application/json" }, "{}")
    end
    for _ = 1, 2 do
      local answer = call()
      assert.equal(200, answer.status, answer.body)
    end
    local answer = call()
    assert.equal(429, answer.status, answer.body)
    assert.truthy(tonumber(answer.fields["retry-after"]) > 1000)
    assert.equal(200, http.request(world.port, "GET", "/api/v1/orgs/default/docs").status)
  end)
end)
