-- What plugins say about snapshots: when, how they are called, how long they and the records stay.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("snapshots", function()
  local world

  local function path(name, rest) return "/api/v1/orgs/default/docs/" .. name .. (rest or "") end
  local function ask(method, where, body)
    local answer = http.request(world.port, method, where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function write(name, text) return assert(ask("POST", path(name, "/ops"), { ops = { { "text.insert", "content", 0, text or "x" } } }).json.seq) end
  local function versions(name) return ask("GET", path(name, "/versions")).json.items end
  local function wait_versions(name, n)
    world:wait(function() return #versions(name) >= n end, n .. " versions", 15)
    return versions(name)
  end
  local function said(what)
    local n = 0
    for line in io.lines(world.log) do if line:find(what, 1, true) then n = n + 1 end end
    return n
  end

  local function with(hooks, code)
    local folder = process.folder()
    World.plugin(folder, "keeper", {
      ["plugin.lua"] = ("return { name = 'keeper', version = '1.0.0', api = 1, summary = 'of a spec', hooks = { %s } }"):format(hooks),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. code .. "\nreturn P\n",
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { keeper = {} }" }
  end
  local EAGER = "function P:snapshot_policy() return { every_ops = 1, min_gap = 0, on_unload = false } end\n"

  after_each(function() world:close() end)
  teardown(process.clean)

  it("are taken when a plugin finds one due, and it is asked no more than once a second", function()
    with("snapshot_policy = {}, snapshot_due = {}", [[
      function P:snapshot_policy() return { every_ops = 0, every_bytes = 0, idle = 0, min_gap = 0 } end
      function P:snapshot_due(s)
        ml.log.info("ASKED")
        return s.ops >= 3 and s.idle >= 0 and s.age >= 0 and s.trigger == "every" or nil
      end
    ]])
    local anna = world:client "anna":joins "doc"
    write "doc"
    world:wait(function() return said "ASKED" >= 1 end, "the question", 5)
    assert.equal(0, #versions "doc")
    write "doc"
    write "doc"
    local list = wait_versions("doc", 1)
    assert.equal(3, list[1].seq)
    assert.truthy(said "ASKED" <= 6)
    anna:is_acknowledged()
  end)

  it("have the name and labels that plugins give them, and it is told when they are there", function()
    with("snapshot_policy = {}, snapshot_name = {}, before_snapshot = {}, after_snapshot = {}", EAGER .. [[
      function P:snapshot_name(s) return "at " .. s.seq .. " " .. s.labels.reason end
      function P:before_snapshot(s)
        if s.seq == 2 then return ml.deny("later", "Not now.") end
        return { reason = "because", n = 3 }
      end
      function P:after_snapshot(s) ml.log.info(("TOLD|%s|%d|%d|"):format(s.name, s.version, s.seq)) end
    ]])
    local anna = world:client "anna":joins "doc"
    write "doc"
    local list = wait_versions("doc", 1)
    assert.equal("at 1 because", list[1].name)
    assert.same({ reason = "because", n = 3 }, list[1].labels)
    assert.is_false(list[1].named)
    write "doc"
    write "doc"
    list = wait_versions("doc", 2)
    assert.equal("at 3 because", list[1].name)
    world:wait(function() return said "TOLD|at" >= 2 end, "to be told", 5)
    anna:is_acknowledged()
  end)

  it("know who wrote since the one before, the newest last", function()
    with("snapshot_policy = {}, snapshot_due = {}, before_snapshot = {}", [[
      function P:snapshot_policy() return { every_ops = 0, every_bytes = 0, idle = 0, min_gap = 0, on_unload = false } end
      function P:snapshot_due(s) return #s.authors >= 2 or nil end
      function P:before_snapshot(s) return { by = table.concat(s.authors, " ") } end
    ]])
    local anna, ben = world:client "anna":joins "doc", world:client "ben":joins "doc"
    anna:types(0, "a"):is_acknowledged()
    ben:types(0, "b"):is_acknowledged()
    anna:types(0, "c"):is_acknowledged()
    local first, second = wait_versions("doc", 1)[1].labels.by:match "^(%S+) (%S+)$"
    assert.is_truthy(first)
    assert.are_not.equal(first, second)
  end)

  it("of a plugin that answers nonsense are as if it had said nothing", function()
    with("snapshot_policy = {}, snapshot_name = {}, before_snapshot = {}, snapshot_due = {}", EAGER .. [[
      function P:snapshot_name() return "12" end
      function P:before_snapshot() return { a = {} } end
      function P:snapshot_due(s) return s.nothing end
    ]])
    world:client "anna":joins "doc"
    write "doc"
    local list = wait_versions("doc", 1)
    assert.truthy(list[1].name:match "^000001%-")
    assert.same({}, list[1].labels)
  end)

  local function age(hours)
    world:stop()
    world:sql(("UPDATE versions SET at_ms = at_ms - %d; UPDATE records SET at_ms = at_ms"):format(hours * 3600000))
    world:start()
  end

  it("stay all where a plugin retains, but for those it does not name, after a day", function()
    with("snapshot_policy = {}, retain = {}", EAGER .. [[
      function P:retain(r)
        local keep = {}
        for _, s in ipairs(r.snapshots) do if s.version % 2 == 0 then keep[#keep + 1] = s.name end end
        return keep
      end
    ]])
    world:client "anna":joins "doc"
    for i = 1, 8 do
      write "doc"
      wait_versions("doc", i)
    end
    ask("POST", path("doc", "/versions"), { name = "mine", seq = 3 })
    ask("POST", path("doc", "/versions/1"), { pinned = true })
    age(25)
    world:client "ben":joins "doc"
    write "doc"
    local seen
    world:wait(function()
      local numbers = {}
      for _, v in ipairs(versions "doc") do numbers[#numbers + 1] = v.version end
      seen = table.concat(numbers, " ")
      return seen == "10 9 8 6 4 2 1"
    end, "the odd ones to go", 10)
  end)

  it("keep all when the plugin fails", function()
    with("snapshot_policy = {}, retain = {}", EAGER .. "function P:retain() error 'no' end")
    world:client "anna":joins "doc"
    for i = 1, 6 do
      write "doc"
      wait_versions("doc", i)
    end
    assert.equal(6, #versions "doc")
  end)

  it("let records go as far as plugins say, and no further than three snapshots reach", function()
    with("snapshot_policy = {}, compact = {}", EAGER .. [[
      function P:compact(c)
        ml.log.info(("COMPACT|%d|%d|"):format(c.safe_seq, c.journal_rows))
        return { keep_history = 0 }
      end
    ]])
    world:client "anna":joins "doc"
    for i = 1, 6 do write("doc", tostring(i)) end
    wait_versions("doc", 3)
    world:stop()
    world:start() -- house is kept once an hour and life of the room
    world:client "ben":joins "doc"
    write "doc"
    world:wait(function() return tonumber(world:sql("SELECT min(seq) FROM records")[1]) > 1 end, "records to go", 10)
    assert.equal("x654321", world:get(path("doc", "/content")).body)
    assert.equal(410, ask("GET", path("doc", "/content?seq=1")).status)
    assert.equal("x", world:get(path("doc", "/versions/" .. versions("doc")[1].version .. "/content")).body:sub(1, 1))
    world:kill()
    world:start()
    assert.equal("x654321", world:get(path("doc", "/content")).body)
  end)
end)
