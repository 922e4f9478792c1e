-- Orgs as a whole: made, listed, suspended, removed, beside a running server. With MOONLOOM_TEST_PG over PostgreSQL, else
-- over SQLite.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

-- Everybody may do everything, in every org.
local DOOR = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate() return { user = "somebody", name = "Somebody" } end
  function P:authorize() return ml.grant { read = true, write = true, presence = true } end
  return P
]]

-- Says what it hears of orgs, and in whose state.
local EAR = [[
  local ml = require "moonloom"
  local P = {}
  for _, hook in ipairs { "created", "changed", "suspended", "resumed", "deleted" } do
    P["org_" .. hook] = function(self, o) ml.log.info(("heard;%s;%s;%s."):format(hook, o.id, self.org.id)) end
  end
  return P
]]

describe("orgs", function()
  local world, store

  local function heard(hook, name, where)
    local text = ("heard;%s;%s;%s."):format(hook, name, where)
    world:wait(function() return process.read(world.log):find(text, 1, true) end, text, 60)
  end

  -- Status, what was printed, what was complained about.
  local function org(...)
    local argv = { World.BIN, "org", ... }
    argv[#argv + 1] = store and "--store" or "--data"
    argv[#argv + 1] = store or world.data
    local folder = process.folder()
    for i, word in ipairs(argv) do argv[i] = "'" .. word .. "'" end
    local status = process.run { "sh", "-c", table.concat(argv, " ") .. (" > '%s/out' 2> '%s/err'"):format(folder, folder) }
    return status, process.read(folder .. "/out"), process.read(folder .. "/err")
  end

  local function listed(name)
    local status, out, complaint = org("ls", "--json")
    assert.equal(0, status, complaint)
    for line in out:gmatch "[^\n]+" do
      local item = cjson.decode(line)
      if item.org == name then return item end
    end
  end

  local function request(method, path, body)
    return http.request(world.port, method, "/api/v1/orgs/" .. path, { ["Content-Type"] = "application/json" }, body and cjson.encode(body))
  end

  local function make(name, count)
    for i = 1, count do
      local answer = request("POST", name .. "/docs", { name = "doc" .. i, content = "hello" })
      assert.equal(201, answer.status, answer.body)
    end
  end

  setup(function()
    local pg = os.getenv "MOONLOOM_TEST_PG"
    if pg then
      assert(process.run { "psql", pg .. " dbname=postgres", "-Xqc", "CREATE DATABASE orgs" } == 0)
      store = ("postgres:///orgs?host=%s&user=moonloom"):format(pg:match "host=(%S+)")
    end
    local plugins = process.folder()
    World.plugin(plugins, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth',
        hooks = { authenticate = {}, authorize = {} } }]],
      ["init.lua"] = DOOR,
    })
    World.plugin(plugins, "ear", {
      ["plugin.lua"] = [[return { name = 'ear', version = '1.0.0', api = 1, summary = 'of a spec',
        hooks = { org_created = {}, org_changed = {}, org_suspended = {}, org_resumed = {}, org_deleted = {} } }]],
      ["init.lua"] = EAR,
    })
    local args = { "--plugins", plugins }
    if store then args[3], args[4] = "--store", store end
    world = World.new { args = args, config = "plugins = { door = {}, ear = {} }\nauth = { mode = 'plugins' }\n" }
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  it("are made, and made once", function()
    assert.equal(0, (org("add", "acme")))
    assert.equal("open", listed("acme").state)
    local status, _, complaint = org("add", "acme")
    assert.equal(1, status)
    assert.truthy(complaint:find("there is such an org", 1, true), complaint)
  end)

  it("have names, and commands have arguments", function()
    for _, argv in ipairs { { "add" }, { "add", "Acme" }, { "ls", "acme" }, { "rm", "acme" }, { "lift", "acme" }, {}, { "add", "a", "b" } } do
      local status, _, complaint = org(unpack(argv))
      assert.equal(2, status, table.concat(argv, " "))
      assert.is_not.equal("", complaint)
    end
    local status, _, complaint = org("add", "elsewhere", "--primary", "b")
    assert.equal(1, status)
    assert.truthy(complaint:find("one place", 1, true), complaint)
  end)

  it("that are suspended are shut, and all is there when they are not any more", function()
    make("acme", 3)
    local anna = world:client("anna"):joins("doc1", { org = "acme" })
    anna:types(0, "well, "):is_acknowledged()
    assert.equal(0, (org("suspend", "acme")))
    assert.equal("suspended", listed("acme").state)
    assert.equal(4403, (anna:is_closed(60))) -- by itself, without a word typed
    for _, path in ipairs { "acme/docs", "acme/docs/doc1/content?root=content&as=text", "acme/docs/doc2" } do
      local answer = request("GET", path)
      assert.equal(403, answer.status, path .. answer.body)
      assert.equal("suspended", cjson.decode(answer.body).error.code)
    end
    local answer = request("POST", "acme/docs", { name = "doc9" })
    assert.equal(403, answer.status, answer.body)
    make("other", 1) -- nobody else's business
    assert.equal(0, (org("resume", "acme")))
    anna:joins("doc1", { org = "acme" }):sees "well, hello"
    assert.equal(200, request("GET", "acme/docs/doc2").status)
  end)

  it("that are removed are gone with their documents, and nobody brings them back", function()
    make("gone", 5)
    local ben = world:client("ben"):joins("doc1", { org = "gone" })
    ben:types(0, "my "):is_acknowledged()
    assert.equal(5, listed("gone").documents)
    assert.equal(0, (org("rm", "gone", "--yes")))
    assert.equal("removed", listed("gone").state)
    assert.equal(0, listed("gone").documents)
    assert.equal(4404, (ben:is_closed(60)))
    local answer = request("POST", "gone/docs", { name = "again" })
    assert.equal(404, answer.status, answer.body)
    assert.equal(404, request("GET", "gone/docs/doc2").status)
    local status, _, complaint = org("rm", "gone", "--yes")
    assert.equal(1, status)
    assert.truthy(complaint:find("was removed", 1, true), complaint)
    assert.equal(1, (org("suspend", "gone")))
    -- Made anew it is empty.
    assert.equal(0, (org("add", "gone")))
    assert.equal(0, #cjson.decode(request("GET", "gone/docs").body).items)
    make("gone", 1)
  end)

  it("are news to plugins, each once, in its own state, and a removed one in that of default", function()
    assert.equal(0, (org("add", "tidings")))
    heard("created", "tidings", "tidings")
    assert.equal(0, (org("suspend", "tidings")))
    heard("suspended", "tidings", "tidings")
    assert.equal(0, (org("resume", "tidings")))
    heard("resumed", "tidings", "tidings")
    assert.equal(0, (org("rm", "tidings", "--yes")))
    heard("deleted", "tidings", "default")
    for _, hook in ipairs { "created", "suspended", "resumed", "deleted" } do
      local _, count = process.read(world.log):gsub("heard;" .. hook .. ";tidings", "")
      assert.equal(1, count, hook)
    end
    -- What failed is no news.
    assert.equal(1, (org("suspend", "nobody")))
    assert.is_nil(process.read(world.log):find(";nobody", 1, true))
  end)

  it("that are not there, and the one that always is, are refused", function()
    for _, argv in ipairs { { "suspend", "nobody" }, { "resume", "nobody" }, { "rm", "nobody", "--yes" } } do
      local status, _, complaint = org(unpack(argv))
      assert.equal(1, status)
      assert.truthy(complaint:find("no such org", 1, true), complaint)
    end
    local status, _, complaint = org("rm", "default", "--yes")
    assert.equal(1, status)
    assert.truthy(complaint:find("always there", 1, true), complaint)
  end)
end)
