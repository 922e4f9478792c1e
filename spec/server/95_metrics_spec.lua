-- What an operator sees: /metrics as Prometheus reads it, health, and the steps of one keystroke in the log.
local http = require "http"
local process = require "process"
local World = require "world"

describe("seeing it", function()
  local world

  after_each(function() world:close() end)
  teardown(process.clean)

  local function metrics()
    local answer = world:get "/metrics"
    assert.equal(200, answer.status)
    local values, types = {}, {}
    for line in answer.body:gmatch "[^\n]+" do
      if line:find "^# TYPE " then
        local name, kind = line:match "^# TYPE (%S+) (%S+)$"
        assert.is_nil(types[name], name .. " is declared twice")
        types[name] = kind
      elseif not line:find "^# HELP " then
        local name, labels, value = line:match '^([a-z_]+)(%b{}) (%S+)$'
        if not name then name, value = line:match "^([a-z_]+) (%S+)$" end
        assert.truthy(name and tonumber(value), "a line that is no sample: " .. line)
        local base = name:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
        assert.truthy(types[name] or types[base] == "histogram" or types[base] == "summary", name .. " has no type")
        values[name .. (labels or "")] = tonumber(value)
      end
    end
    return values, answer
  end

  it("counts what happens, over all loops, and names nobody", function()
    world = World.new { config = "loops = 2" }
    local anna, ben = world:client "anna":joins "secret-name", world:client "ben":joins "other-name"
    for i = 1, 5 do anna:types(0, "x" .. i) end
    anna:is_acknowledged()
    local values, answer
    world:wait(function()
      values, answer = metrics()
      return values.moonloom_sessions == 2
        and values.moonloom_updates_total >= 5
        and (values['moonloom_http_answers_total{status="2xx"}'] or 0) >= 1 -- the answer before this one
    end, "the counts of both loops", 10)
    assert.equal(2, values.moonloom_rooms)
    assert.equal(2, values.moonloom_members)
    assert.truthy(values.moonloom_journal_records_total >= 1)
    assert.truthy(values.moonloom_commit_seconds_count >= 1)
    assert.equal(values.moonloom_commit_seconds_count, values['moonloom_commit_seconds_bucket{le="+Inf"}'])
    assert.truthy(values['moonloom_commit_seconds_bucket{le="0.001"}'] <= values['moonloom_commit_seconds_bucket{le="5"}'])
    assert.truthy(values.moonloom_acknowledge_seconds_count >= 1)
    assert.falsy(answer.body:find("secret-name", 1, true))
    assert.equal("no-store", answer.fields["cache-control"])
    assert.truthy(answer.fields["content-type"]:find "^text/plain; version=0.0.4")
    ben:leaves()
  end)

  it("tells of every hook of every instance what became of its calls", function()
    local folder = process.folder()
    World.plugin(folder, "guard", {
      ["plugin.lua"] = "return { name = 'guard', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'policy', hooks = { before_update = {}, joined = {} } }",
      ["init.lua"] = [[
        local ml = require "moonloom"
        local P = {}
        function P:before_update(u)
          if u.inserted_bytes > 100 then return ml.deny("too_long", "Please write less at once.") end
        end
        function P:joined(m) error("oops") end
        return P
      ]],
    })
    world = World.new { args = { "--plugins", folder }, config = 'loops = 2\nplugins = { ["guard/one"] = {} }' }
    assert.falsy(world:get("/metrics").body:find("guard/one", 1, true), "nobody was asked yet")
    local anna, ben = world:client "anna":joins "secret-name", world:client "ben":joins "other-name"
    for _, person in ipairs { anna, ben } do
      person:types(0, "x"):is_acknowledged()
      person:types(0, ("y"):rep(200))
      person:sees "x"
      person:is_acknowledged()
    end
    local function calls(values, hook, outcome)
      return values[('moonloom_plugin_calls_total{plugin="guard/one",hook="%s",outcome="%s"}'):format(hook, outcome)] or -1
    end
    local values, answer
    world:wait(function()
      values, answer = metrics()
      return calls(values, "joined", "error") == 2 and calls(values, "before_update", "deny") == 2
    end, "the counts of both loops", 10)
    assert.truthy(calls(values, "before_update", "ok") >= 2)
    assert.equal(0, calls(values, "before_update", "error"))
    assert.equal(0, calls(values, "joined", "ok"))
    local labels = '{plugin="guard/one",hook="before_update"}'
    assert.equal(calls(values, "before_update", "ok") + 2, values["moonloom_plugin_seconds_count" .. labels])
    assert.truthy(values["moonloom_plugin_seconds_sum" .. labels] >= values["moonloom_plugin_max_seconds" .. labels])
    assert.equal(0, values["moonloom_plugin_breaker" .. labels])
    assert.truthy(values.moonloom_plugin_memory_bytes > 0)
    assert.falsy(answer.body:find("secret-name", 1, true))
  end)

  it("shows nothing to who comes through a proxy, or to a page that was rebound", function()
    world = World.new()
    for _, header in ipairs { "X-Forwarded-For", "Forwarded", "Via", "X-Real-IP" } do
      assert.equal(403, world:get("/metrics", { [header] = "10.0.0.1" }).status, header)
    end
    assert.equal(403, world:get("/metrics", { Host = "rebound.example" }).status)
    assert.equal(405, http.request(world.port, "POST", "/metrics", {}).status)
    for _, path in ipairs { "/healthz", "/readyz" } do
      local answer = world:get(path)
      assert.equal(200, answer.status)
      assert.truthy(#answer.body < 16, "reveals nothing")
    end
  end)

  it("follows one keystroke by one id through the log at trace level", function()
    world = World.new { args = { "--log", "trace" } }
    local anna = world:client "anna":joins "traced"
    anna:types(0, "k"):is_acknowledged()
    local wanted = { "room", "decode", "policy", "apply", "stage", "committed", "acknowledge" }
    local steps = {}
    world:wait(function()
      steps = {}
      for id, step in process.read(world.log):gmatch "keystroke%.passed id=(%S+) step=([%w]+)" do
        steps[id] = steps[id] or {}
        steps[id][#steps[id] + 1] = step
      end
      for _, list in pairs(steps) do
        if table.concat(list, " "):find(table.concat(wanted, " "), 1, true) then return true end
      end
    end, "one id with every step in order", 10)
    assert.falsy(process.read(world.log):find('"k"', 1, true))
  end)
end)
