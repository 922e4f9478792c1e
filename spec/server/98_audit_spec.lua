-- The security log: what it holds, that a change in it shows, that plugins are told of it.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("the security log", function()
  local world

  local function ask(method, where, body, org)
    local answer = http.request(world.port, method, "/api/v1/orgs/" .. (org or "default") .. where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function make(name, org) assert.equal(201, ask("POST", "/docs", { name = name, content = "secret words" }, org).status) end
  local function rm(name, org) assert.equal(204, ask("DELETE", "/docs/" .. name, nil, org).status) end
  local function events(org) return ask("GET", "/audit?limit=1000", nil, org).json.items end
  local function wait_for(n, org)
    world:wait(function() return #events(org) >= n end, n .. " events", 20)
    return events(org)
  end
  local function verify(org) return ask("GET", "/audit/verify", nil, org).json end
  after_each(function() world:close() end)
  teardown(process.clean)

  it("says who did what to what, and nothing of the content", function()
    world = World.new {}
    make "plan"
    rm "plan"
    assert.equal(204, ask("POST", "/docs/plan/undelete").status)
    local all = wait_for(2)
    assert.equal(2, #all)
    assert.equal("document.deleted", all[1].kind)
    assert.equal("document.undeleted", all[2].kind)
    assert.equal("plan", all[1].subject)
    assert.equal("default", all[1].org)
    assert.equal("ok", all[1].result)
    assert.equal("127.0.0.1", (all[1].ip:gsub("^::ffff:", "")))
    assert.is_true(all[1].at > 1.5e12)
    assert.same({ 1, 2 }, { all[1].n, all[2].n })
    assert.is_nil(cjson.encode(all):find("secret", 1, true))
    assert.same({ whole = true, first = 1, last = 2, why = cjson.null }, verify())
  end)

  it("comes in pages", function()
    world = World.new {}
    assert.same({ whole = true, first = 0, last = 0, why = cjson.null }, verify())
    for i = 1, 5 do make("a" .. i) rm("a" .. i) end
    wait_for(5)
    local page = ask("GET", "/audit?limit=3").json
    assert.equal(3, #page.items)
    local rest = ask("GET", "/audit?limit=3&after=" .. page.next).json
    assert.equal(4, rest.items[1].n)
    assert.equal(cjson.null, rest.next)
    assert.equal(400, ask("GET", "/audit?after=x").status)
  end)

  it("shows that an event was changed, cut out or cut off", function()
    world = World.new {}
    for i = 1, 4 do make("a" .. i) rm("a" .. i) end
    wait_for(4)
    assert.is_true(verify().whole)
    local function tampered(sql)
      world:sql("CREATE TABLE kept AS SELECT * FROM kv WHERE space = 'audit'")
      world:sql(sql)
      local found = verify()
      world:sql("DELETE FROM kv WHERE space = 'audit'")
      world:sql("INSERT INTO kv SELECT * FROM kept")
      world:sql("DROP TABLE kept")
      assert.is_true(verify().whole)
      return found
    end
    local at = "WHERE space = 'audit' AND CAST(key AS TEXT) = 'e/000000000000000%d'"
    assert.is_false(tampered("UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), 'a2', 'zz') AS BLOB) " .. at:format(2)).whole)
    assert.is_false(tampered("DELETE FROM kv " .. at:format(2)).whole)
    assert.is_false(tampered("DELETE FROM kv " .. at:format(4)).whole)
    assert.is_false(tampered("UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), 'a4', 'zz') AS BLOB) " .. at:format(4)).whole)
    -- The oldest may go: it expires.
    assert.same({ whole = true, first = 2, last = 4, why = cjson.null }, tampered("DELETE FROM kv " .. at:format(1)))
  end)

  it("goes on after a restart where it stopped", function()
    world = World.new {}
    make "a"
    rm "a"
    wait_for(1)
    world:stop()
    world:start()
    make "b"
    rm "b"
    assert.equal("b", wait_for(2)[2].subject)
    assert.same({ whole = true, first = 1, last = 2, why = cjson.null }, verify())
  end)

  it("is told to plugins, again after a failure", function()
    local folder = process.folder()
    World.plugin(folder, "watch", {
      ["plugin.lua"] = "return { name = 'watch', version = '1.0.0', api = 1, summary = 'of a spec', needs = { 'cache' }, hooks = { audit = {}, document_deleted = {} } }",
      ["init.lua"] = [[
        local ml = require 'moonloom'
        local P = {}
        function P:audit(events)
          if ml.cache.incr('tries', 1, 60) == 1 then error 'not yet' end
          for _, e in ipairs(events) do ml.log.info('TOLD|' .. e.kind .. '|' .. e.subject .. '|' .. e.n .. '|') end
        end
        function P:document_deleted(ref) ml.log.info('GONE|' .. ref.org .. '|' .. ref.id .. '|') end
        return P]],
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { watch = {} }\n" }
    make "a/b"
    rm "a%2Fb"
    local function logged(text)
      for line in io.lines(world.log) do if line:find(text, 1, true) then return true end end
    end
    world:wait(function() return logged "TOLD|document.deleted|a/b|1|" end, "the event", 30)
    world:wait(function() return logged "GONE|default|a/b|" end, "the hook", 30)
  end)
end)
