local t = require "moonloom.test"

describe("rate-limit", function()
  before_each(function() t.reset() end)
  after_each(function() t.reset() end)

  local function edit(more)
    more = more or {}
    local u = { { "text.insert", path = "content", text = more.text or "x" } }
    u.author, u.doc, u.bytes = more.author, more.doc, more.bytes
    return t.update(u)
  end
  local function who(user, session, roles) return t.identity { user = user, session = session, roles = roles } end

  --- How many of `n` tries pass; what the first other one was answered.
  local function passing(n, try)
    local passed, refused = 0, nil
    for _ = 1, n do
      local answer = try()
      if answer == nil then passed = passed + 1 else refused = refused or answer end
    end
    return passed, refused
  end

  it("lets n changes pass, refuses the next with a reason, and has some again later", function()
    local plugin = t.instance("rate-limit", { updates = "2/s", burst = 3 })
    local passed, refused = passing(9, function() return plugin:before_update(edit()) end)
    assert.equal(6, passed)
    assert.equal("rate-limit.too_fast", refused.code)
    assert.truthy(refused.reason:find("too many changes", 1, true))
    t.clock(t.clock() + 1)
    assert.equal(2, (passing(5, function() return plugin:before_update(edit()) end)))
    t.clock(t.clock() + 60)
    assert.equal(6, (passing(9, function() return plugin:before_update(edit()) end)))
  end)

  it("counts messages apart from changes", function()
    local plugin = t.instance("rate-limit", { updates = "1/m", messages = "3/m", burst = 1 })
    local passed, refused = passing(5, function() return plugin:message(t.message {}) end)
    assert.equal(3, passed)
    assert.equal("rate-limit.too_fast", refused.code)
    assert.is_nil(plugin:before_update(edit()))
    assert.is_not_nil(plugin:before_update(edit()))
  end)

  it("counts by session, user, document or org", function()
    local tries = {
      { author = who("ana", "s-1"), doc = "a" }, { author = who("ana", "s-2"), doc = "a" },
      { author = who("ben", "s-3"), doc = "b" }, { author = who("ben", "s-3"), doc = "c" },
    }
    for per, want in pairs { session = 3, user = 2, document = 3, org = 1 } do
      local plugin, i = t.instance("rate-limit", { updates = "1/m", burst = 1, per = per }), 0
      local passed = passing(#tries, function()
        i = i + 1
        return plugin:before_update(edit(tries[i]))
      end)
      assert.equal(want, passed, per)
      plugin:close()
    end
  end)

  it("lets roles pass that are exempt", function()
    local plugin = t.instance("rate-limit", { updates = "1/m", messages = "1/m", burst = 1, exempt = { "owner" } })
    local ana = who("ana", "s-1", { "editor", "owner" })
    assert.equal(5, (passing(5, function() return plugin:before_update(edit { author = ana }) end)))
    assert.equal(5, (passing(5, function() return plugin:message(t.message { identity = ana }) end)))
    assert.equal(1, (passing(5, function() return plugin:before_update(edit { author = who("ben", "s-2", { "editor" }) }) end)))
  end)

  it("counts bytes, and what is larger than all of them passes once in a while", function()
    local plugin = t.instance("rate-limit", { bytes = "100/s", burst = 1 })
    assert.is_nil(plugin:before_update(edit { bytes = 60 }))
    assert.is_not_nil(plugin:before_update(edit { bytes = 60 }))
    assert.is_nil(plugin:before_update(edit { bytes = 40 }))
    t.clock(t.clock() + 1)
    assert.is_nil(plugin:before_update(edit { bytes = 5000 }))
    assert.is_not_nil(plugin:before_update(edit { bytes = 1 }))
  end)

  it("counts documents with the longest names there are", function()
    local plugin = t.instance("rate-limit", { updates = "1/m", burst = 1, per = "document" })
    assert.is_nil(plugin:before_update(edit { doc = ("a"):rep(512) }))
    assert.is_not_nil(plugin:before_update(edit { doc = ("a"):rep(512) }))
  end)

  it("lets nothing pass at a rate of 0", function()
    local plugin = t.instance("rate-limit", { messages = "0/s" })
    assert.is_not_nil(plugin:message(t.message {}))
    assert.is_nil(plugin:before_update(edit()))
  end)
end)
