-- Which instances an org has: what the server file, plan and org say, each over the one before.
local layers = require "moonloom.layers"
local order = require "moonloom.order"

describe("layers", function()
  local known, server

  local function plugin(name, manifest)
    manifest = manifest or {}
    return { manifest = { name = name, tier = manifest.tier or "org", config = { version = manifest.version or 1, fields = manifest.fields or {} } },
      migrate = manifest.migrate or function() return false, "no migration" end,
      check = manifest.check or function() return {} end }
  end

  before_each(function()
    known = { ["rate-limit"] = plugin("rate-limit", { fields = {
        { "updates", type = "rate" }, { "burst", type = "integer" }, { "window", type = "duration" },
        { "sub", type = "record", fields = { { "a", type = "integer" }, { "b", type = "integer" } } } } }),
      webhook = plugin "webhook", ["audit-log"] = plugin "audit-log", ["auth-jwt"] = plugin("auth-jwt", { tier = "operator" }) }
    server = { plugins = {
        ["rate-limit"] = { config = { updates = "30/s", sub = { a = 1, b = 2 } }, lock = { "burst" }, bounds = { updates = { max = "60/s" } } },
        ["audit-log"] = { enforce = true, hidden = true, config = { sink = "log" } },
        ["auth-jwt"] = { enforce = true },
      },
      plans = { team = { allow = { "webhook" }, budget = { cpu = "5%", memory = "16MiB" } }, small = { allow = {} } } }
  end)

  local function named(list, name)
    for _, one in ipairs(list) do if one.name == name then return one end end
  end

  local function wrong(settings, name)
    local _, errors = layers.org(name or "acme", settings, server, known)
    return table.concat(errors, "\n")
  end

  it("give every org what the server file switches on", function()
    local list, errors = layers.org(nil, nil, server, known)
    assert.same({}, { unpack(errors) })
    assert.equal(3, #list)
    assert.equal("30/s", named(list, "rate-limit").config.updates)
    assert.equal("live", named(list, "rate-limit").mode)
  end)

  it("are laid over each other field by field, records inside too", function()
    local list, errors, facts = layers.org("acme", { plan = "team", plugins = {
      ["rate-limit"] = { config = { updates = "50/s", sub = { b = 3 } } } } }, server, known)
    assert.same({}, { unpack(errors) })
    assert.same({ updates = "50/s", sub = { a = 1, b = 3 } }, named(list, "rate-limit").config)
    assert.same({ updates = "org", sub = "server", ["sub.b"] = "org" }, named(list, "rate-limit").from)
    assert.equal(0.05, facts.cpu)
    assert.equal(16 * 2 ^ 20, facts.memory)
  end)

  it("know a plan's own plugins between the two", function()
    server.plans.team.plugins = { ["rate-limit"] = { config = { updates = "40/s", window = "1m" } } }
    local list = layers.org("acme", { plan = "team", plugins = { ["rate-limit"] = { config = { window = "2m" } } } }, server, known)
    assert.equal("40/s", named(list, "rate-limit").config.updates)
    assert.equal("2m", named(list, "rate-limit").config.window)
  end)

  it("let a plugin have many instances, each with its own documents", function()
    local list, errors = layers.org("acme", { plugins = {
      ["webhook/crm"] = { plugin = "webhook", config = { url = "a" } },
      ["webhook/archive"] = { docs = { "final/**" }, mode = "shadow", config = { url = "b" } } } }, server, known)
    assert.same({}, { unpack(errors) })
    assert.equal("webhook", named(list, "webhook/archive").plugin)
    assert.same({ "final/**" }, named(list, "webhook/archive").docs)
    assert.equal("shadow", named(list, "webhook/archive").mode)
    assert.equal("a", named(list, "webhook/crm").config.url)
  end)

  it("let an org switch off what is not enforced", function()
    assert.is_nil(named(layers.org("acme", { plugins = { ["rate-limit"] = false } }, server, known), "rate-limit"))
    server.plugins["rate-limit"].enforce = true
    assert.equal('org acme: plugins["rate-limit"]: is enforced by the operator and cannot be switched off',
      wrong { plugins = { ["rate-limit"] = false } })
  end)

  it("keep what an operator locked, bounded, hid or kept for the whole server", function()
    assert.equal('org acme: plugins["rate-limit"].config.burst: is locked by the operator',
      wrong { plugins = { ["rate-limit"] = { config = { burst = 3 } } } })
    assert.equal('org acme: plugins["rate-limit"].config.updates = 90/s: must be at most 60/s here',
      wrong { plugins = { ["rate-limit"] = { config = { updates = "90/s" } } } })
    assert.equal("", wrong { plugins = { ["rate-limit"] = { config = { updates = "3000/m" } } } })
    assert.equal("org acme: plugins[\"audit-log\"]: there is no plugin 'audit-log'", wrong { plugins = { ["audit-log"] = { config = {} } } })
    assert.truthy(wrong { plugins = { ["auth-jwt"] = { config = {} } } }:find("only the server file", 1, true))
  end)

  it("let an org's file name no secret but the org's own", function()
    server.plans.team.allow = { "webhook" }
    local function with(secret) return wrong { plan = "team", plugins = { webhook = { config = { deep = { { token = secret } } } } } } end
    for _, bad in ipairs { "secret://crm", "secret://other/crm", "secret://acme", "secret://acmee/x", "secret:///x" } do
      assert.truthy(with(bad):find("secret://acme/NAME", 1, true), bad)
    end
    assert.falsy(with("secret://acme/crm"):find("secret://acme/NAME", 1, true))
    assert.falsy(with("a text"):find("secret://acme/NAME", 1, true))
  end)

  it("enable only what the plan allows", function()
    assert.equal("", wrong { plan = "team", plugins = { webhook = {} } })
    assert.equal('org acme: plugins["webhook"]: is not among the plugins that this plan allows',
      wrong { plan = "small", plugins = { webhook = {} } })
    assert.equal("org acme: plan: there is no plan 'teem'; did you mean 'team'?", wrong { plan = "teem" })
  end)

  it("say what is wrong with a word", function()
    assert.equal("org acme: orgs file: unknown key 'plugin'; did you mean 'plugins'?", wrong { plugin = {} })
    assert.equal("org acme: plugins[\"webhook\"]: unknown key 'confg'; did you mean 'config'?", wrong { plugins = { webhook = { confg = {} } } })
    assert.equal("org acme: plugins[\"webhok\"]: there is no plugin 'webhok'; did you mean 'webhook'?", wrong { plugins = { webhok = {} } })
    assert.truthy(wrong { plugins = { ["web hook/Ä"] = {} } }:find("is not the name of an instance", 1, true))
    assert.truthy(wrong { plugins = { webhook = { mode = "dark" } } }:find('must be "live" or "shadow"', 1, true))
  end)

  it("pass on what the schema says about the result, with org and instance", function()
    known.webhook.check = function(config)
      return config.url and {} or { { field = "url", rule = "must be given" } }
    end
    assert.equal('org acme: plugins["webhook/crm"].config.url: must be given', wrong { plugins = { ["webhook/crm"] = {} } })
  end)

  it("bring an older config to the current version, one step at a time", function()
    known.webhook = plugin("webhook", { version = 3, migrate = function(n, config)
      if n == 2 and config.bad then return false, "no way" end
      return true, { url = config.url .. n }
    end })
    local list, errors = layers.org("acme", { plugins = { webhook = { version = 1, config = { url = "u" } } } }, server, known)
    assert.same({}, { unpack(errors) })
    assert.equal("u12", named(list, "webhook").config.url)
    assert.truthy(wrong { plugins = { webhook = { version = 2, config = { url = "u", bad = true } } } }
      :find("cannot be brought from version 2 to 3; no way", 1, true))
    assert.truthy(wrong { plugins = { webhook = { version = 4, config = {} } } }:find("is newer than", 1, true))
  end)

  it("find what is wrong in the server file itself", function()
    server.plans.team.budget.cpu = "500%"
    server.plans.small.alow = {}
    server.plugins["rate-limit"].bounds = 3
    local text = table.concat(layers.server(server), "\n")
    assert.truthy(text:find('plans["team"].budget.cpu: must be a share of one core, as "5%"', 1, true))
    assert.truthy(text:find("unknown key 'alow'; did you mean 'allow'?", 1, true))
    assert.truthy(text:find('plugins["rate-limit"].bounds', 1, true))
  end)
end)

describe("the order of instances", function()
  local function item(name, plugin) return { name = name, plugin = plugin, phase = "policy", after = {}, before = {} } end

  it("is by plugin, then by instance, and after means all instances", function()
    local c = item("a", "a")
    c.after = { "webhook" }
    local sorted = order.sort { c, item("webhook/x", "webhook"), item("webhook", "webhook"), item("b", "b") }
    local names = {}
    for i, one in ipairs(sorted) do names[i] = one.name end
    assert.equal("b webhook webhook/x a", table.concat(names, " "))
    assert.equal("after webhook", sorted[4].reason)
  end)

  it("can be pinned: those named change places, the others stay", function()
    local pinned = order.pin({ item("a", "a"), item("b", "b"), item("c", "c") }, { "c", "ghost", "a" })
    local names = {}
    for i, one in ipairs(pinned) do names[i] = one.name end
    assert.equal("c b a", table.concat(names, " "))
    assert.equal("pinned", pinned[1].reason)
  end)
end)
