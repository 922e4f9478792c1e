-- The plugin quotas in the real process: two orgs, and what one has used up is nobody else's affair.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local DOOR = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate() return { user = "somebody", name = "Somebody" } end
  function P:authorize() return ml.grant { read = true, write = true, presence = true } end
  return P
]]

describe("quotas", function()
  local world

  local function start(config)
    local plugins = process.folder()
    World.plugin(plugins, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth',
        hooks = { authenticate = {}, authorize = {} } }]],
      ["init.lua"] = DOOR,
    })
    world = World.new { args = { "--plugins", plugins },
      config = ("plugins = { door = {}, quotas = { config = { %s } } }\nauth = { mode = 'plugins' }\n"):format(config) }
  end
  after_each(function() world:close() end)
  teardown(process.clean)

  local function request(method, path, body)
    return http.request(world.port, method, "/api/v1/orgs/" .. path, { ["Content-Type"] = "application/json" }, body and cjson.encode(body))
  end

  it("lets n documents be made, and refuses the next until one is deleted", function()
    start "documents = 2"
    for i = 1, 2 do assert.equal(201, request("POST", "acme/docs", { name = "d" .. i, content = "x" }).status) end
    local answer = request("POST", "acme/docs", { name = "d3", content = "x" })
    assert.equal(429, answer.status, answer.body)
    local denial = cjson.decode(answer.body).error
    assert.equal("quotas.quota_documents", denial.code)
    assert.equal("Your organization has 2 documents, and may not have more.", denial.message)
    -- Those that are there stay as they are, and another org has a quota of its own.
    world:client("anna"):joins("d1", { org = "acme" }):types(0, "x"):is_acknowledged()
    assert.equal(201, request("POST", "other/docs", { name = "d1", content = "x" }).status)
    assert.equal(204, request("DELETE", "acme/docs/d2").status)
    assert.equal(201, request("POST", "acme/docs", { name = "d3", content = "x" }).status)
    assert.equal(429, request("POST", "acme/docs", { name = "d4", content = "x" }).status)
  end)

  it("makes an org whose storage is used up read-only, and disturbs no other", function()
    start "storage = '64KiB'"
    local anna = world:client("anna"):joins("a", { org = "acme" })
    local ben = world:client("ben"):joins("a", { org = "other" })
    anna:asks_for_notices()
    anna:types(0, ("x"):rep(80000)):is_acknowledged()
    ben:types(0, "mine"):is_acknowledged()
    -- It is seen while people write.
    local text = 0
    world:wait(function()
      if #anna.notices > 0 then return true end
      text = text + 1
      anna:types(0, "y"):is_acknowledged()
    end, "the notice", 60)
    assert.same({ "refused", "quotas.quota_storage", "undo" }, { anna.notices[1].kind, anna.notices[1].code, anna.notices[1].mode })
    assert.equal(429, request("POST", "acme/docs", { name = "b", content = "x" }).status)
    local answer = request("POST", "acme/docs/a/ops", { ops = { { "text.insert", "content", 0, "z" } } })
    assert.equal(429, answer.status, answer.body)
    assert.equal(200, request("GET", "acme/docs/a/content?root=content&as=text").status)
    ben:types(4, " too"):is_acknowledged()
    ben:sees "mine too"
    assert.equal(201, request("POST", "other/docs", { name = "b", content = "x" }).status)
    assert.truthy(process.read(world.log):find("quota", 1, true))
  end)

  it("lets n connections be open, and sends the next away until one has gone", function()
    start "connections = 2"
    local anna = world:client("anna"):joins("a", { org = "acme" })
    world:client("ben"):joins("a", { org = "acme" })
    local third = world:client("cem"):joins("a", { org = "acme", wait = false })
    assert.equal(1013, (third:is_closed(20)))
    world:client("dan"):joins("a", { org = "other" })
    anna:leaves()
    world:wait(function()
      local again = world:client "eva"
      return pcall(again.joins, again, "a", { org = "acme" })
    end, "a place", 60)
  end)

  it("takes a change of so many bytes, and no larger one", function()
    start "update_bytes = '2KiB'"
    local anna = world:client("anna"):joins("a", { org = "acme" })
    anna:types(0, ("x"):rep(2000)):is_acknowledged()
    anna:types(0, ("x"):rep(2100))
    assert.equal(4413, (anna:is_closed(20)))
  end)
end)
