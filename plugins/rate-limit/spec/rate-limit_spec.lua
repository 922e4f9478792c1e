local t = require "moonloom.test"

describe("rate-limit", function()
  local function limits(config, roles)
    local plugin = t.instance("rate-limit", config)
    local answer = plugin:limits(t.identity { user = "ana", roles = roles or {} })
    plugin:close()
    return answer
  end

  it("answers every rate of its configuration", function()
    local answer = limits({})
    local want = { updates = { 120, 1 }, bytes = { 512 * 1024, 1 }, messages = { 10, 1 }, awareness = { 20, 1 },
                   rpc = { 10, 1 }, http = { 20, 1 }, connects = { 600, 60 } }
    for name, rate in pairs(want) do
      assert.same(rate, { answer[name].n, answer[name].per }, name)
    end
    assert.same({ 8, "session", "slow", 20 }, { answer.burst, answer.per, answer.action, answer.close_after })
    answer = limits({ updates = "5/h", per = "address", action = "refuse", close_after = 0, burst = 2 })
    assert.same({ 5, 3600 }, { answer.updates.n, answer.updates.per })
    assert.same({ 2, "address", "refuse", 0 }, { answer.burst, answer.per, answer.action, answer.close_after })
  end)

  it("has no opinion about roles that are exempt", function()
    assert.is_nil(limits({ exempt = { "owner" } }, { "editor", "owner" }))
    assert.is_not_nil(limits({ exempt = { "owner" } }, { "editor" }))
  end)

  it("gives a role rates of its own, and of several the largest", function()
    local config = { updates = "10/s", roles = { bot = { updates = "100/s" }, editor = { updates = "50/s", http = "1/s" } } }
    assert.equal(10, limits(config).updates.n)
    assert.equal(50, limits(config, { "editor" }).updates.n)
    assert.equal(100, limits(config, { "editor", "bot" }).updates.n)
    local answer = limits(config, { "editor" })
    assert.same({ 1, 20 }, { answer.http.n, answer.awareness.n })
  end)

  it("refuses a configuration that cannot be meant", function()
    assert.has_error(function() t.config("rate-limit", { per = "document" }) end)
    assert.has_error(function() t.config("rate-limit", { action = "wait" }) end)
    assert.has_error(function() t.config("rate-limit", { roles = { bot = { update = "1/s" } } }) end)
    assert.has_error(function() t.config("rate-limit", { burst = 0 }) end)
  end)
end)
