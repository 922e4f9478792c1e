-- What plugins that tell a CDN have in common: run here beside a made-up library.

describe("moonloom.cdn", function()
  local now, answers, sent, logged, may, self, cdn

  local function library()
    return {
      time = { now = function() return now end },
      glob = { match = function(pattern, path) return pattern == "**" or pattern == path end },
      retry = function(why, wait) return { why = why, wait = wait } end,
      log = { error = function(text, fields) logged[#logged + 1] = { text = text, fields = fields } end },
      limiter = { new = function() return { take = function() return may(), 0.5 end } end },
      http = { request = function(request)
        sent[#sent + 1] = request
        local answer = table.remove(answers, 1) or { status = 200, headers = {} }
        if answer.kind then return nil, answer.kind, "" end
        return answer
      end },
    }
  end

  before_each(function()
    now, answers, sent, logged = 1000, {}, {}, {}
    may = function() return true end
    self = { name = "cdn", state = {}, config = { alert_after = 300, reasons = { "published" }, only = { "**" } } }
    local ml = library()
    local chunk = assert(loadfile "lua/moonloom/cdn.lua")
    setfenv(chunk, setmetatable({ require = function() return ml end }, { __index = _G }))
    cdn = chunk()
  end)

  local function deliver(...)
    local list = {}
    for i, id in ipairs { ... } do list[i] = { id = id, request = id } end
    return cdn.deliver(self, "key", list)
  end
  local function status(n, after) return { status = n, headers = { ["retry-after"] = after } } end

  it("is done when everything was taken", function()
    assert.is_nil(deliver("a", "b"))
    assert.same({ "a", "b" }, sent)
    assert.is_nil(deliver("a"))
    assert.same({ "a", "b", "a" }, sent) -- another time is another purge
  end)

  it("does not send again what was taken, and stops at what was not", function()
    answers = { status(200), status(503, "7") }
    assert.same({ why = "status 503", wait = 7 }, deliver("a", "b", "c"))
    assert.is_nil(deliver("a", "b", "c"))
    assert.same({ "a", "b", "b", "c" }, sent)
  end)

  it("says why: no answer, a refusal", function()
    answers = { { kind = "ETIMEDOUT" }, status(403) }
    assert.truthy(deliver("a").why:find("ETIMEDOUT", 1, true))
    assert.same({ why = "status 403", wait = 60 }, deliver("a"))
  end)

  it("is an error in the log when it is late, once", function()
    for _ = 1, 4 do
      answers = { status(500) }
      deliver("a")
      now = now + 200
    end
    assert.equal(1, #logged)
    assert.equal("a purge is late", logged[1].text)
    assert.is_true(logged[1].fields.seconds >= 300)
  end)

  it("goes as fast as it may, and on from there", function()
    local left = 2
    may = function() left = left - 1 return left >= 0 end
    self.config.rate = { n = 2, per = 1 }
    assert.same({ why = "as fast as it may", wait = 0.5 }, deliver("a", "b", "c"))
    left = 2
    assert.is_nil(deliver("a", "b", "c"))
    assert.same({ "a", "b", "c" }, sent)
  end)

  it("remembers a limited number of purges", function()
    for i = 1, 3000 do
      answers = { status(500) }
      cdn.deliver(self, "key" .. i, { { id = "a", request = "a" } })
    end
    local count = 0
    for _ in pairs(self.state.cdn) do count = count + 1 end
    assert.is_true(count <= 1000 and count == self.state.cdn_count)
  end)

  it("is for the reasons and addresses of its config", function()
    local p = { reason = "published", prefixes = { "https://x.example/d/a" }, keys = { "d-1" }, urls = {} }
    assert.is_true(cdn.is_wanted(self.config, p))
    self.config.only = { "d/b" }
    assert.is_false(cdn.is_wanted(self.config, p))
    self.config.only = { "d/a" }
    assert.is_true(cdn.is_wanted(self.config, p))
    p.reason = "manual"
    assert.is_false(cdn.is_wanted(self.config, p))
  end)

  local function purge(more)
    local p = { keys = { "d-1" }, urls = { "https://docs.example.com/d/a/b" }, prefixes = { "https://docs.example.com/d/a/b" }, reason = "published", urgent = false }
    for name, value in pairs(more or {}) do p[name] = value end
    return p
  end

  it("waits for more of one document, and not for what is urgent", function()
    self.config.batch_wait = 1
    assert.is_nil(cdn.collect(self, purge()))
    self.config.batch_wait = 5
    assert.same({ why = "collects more", wait = 4 }, cdn.collect(self, purge()))
    now = now + 1
    assert.same({ why = "collects more", wait = 3 }, cdn.collect(self, purge { keys = { "d-1", "s-2" } }))
    assert.is_nil(cdn.collect(self, purge { urgent = true }))
    now = now + 3
    assert.is_nil(cdn.collect(self, purge()))
    assert.equal(4, cdn.collect(self, purge()).wait) -- the next ones
  end)

  it("looks whether it has worked, and sends all again if it has not", function()
    assert.is_nil(cdn.proof(self.config, purge()))
    self.config.verify, self.config.site = true, "https://cdn.example/"
    local proof = cdn.proof(self.config, purge { reason = "deleted" })
    assert.same({ url = "https://cdn.example/d/a/b", is_gone = true }, proof)
    local list = { { id = "a", request = "a" } }
    answers = { status(200), status(200), status(200), status(404) }
    assert.same({ why = "it is still there", wait = 5 }, cdn.deliver(self, "key", list, proof))
    now = now + 5
    assert.is_nil(cdn.deliver(self, "key", list, proof))
    assert.equal(4, #sent)
    -- What is there may not be older than the purge.
    proof = cdn.proof(self.config, purge())
    answers = { status(200), { status = 200, headers = { age = "90" } }, status(200), { status = 200, headers = { age = "1" } } }
    assert.equal("what is there is older", cdn.deliver(self, "key", list, proof).why)
    assert.is_nil(cdn.deliver(self, "key", list, proof))
    -- One that never works is given up, and is in the log.
    answers = {}
    for i = 1, 10, 2 do answers[i], answers[i + 1] = status(200), { status = 200, headers = { age = "90" } } end
    for _ = 1, 4 do assert.equal(5, cdn.deliver(self, "key", list, proof).wait) end
    assert.is_nil(cdn.deliver(self, "key", list, proof))
    assert.equal("a purge does not work", logged[#logged].text)
  end)
end)
