-- plugins/cdn-cloudfront on a server: what may be in progress at once, and the look afterwards.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

describe("a CDN", function()
  local world, receiver, file

  --- The CDN and what is looked at are one server here; it answers with these, one after the other.
  local function start(config, ...)
    file = process.folder() .. "/requests"
    receiver = process.spawn({ "luajit", World.ROOT .. "/spec/support/lua/sink.lua", file, ... }, { log = process.folder() .. "/sink" })
    local port = receiver:prints "(%d+)\n"
    world = World.new { config = ([[
      auth = { mode = "open" }
      outgoing = { "127.0.0.0/8" }
      plugins = { ["cdn-cloudfront"] = { config = { distribution = "E1", key_id = "K", key = "S", endpoint = "http://127.0.0.1:%s", site = "http://127.0.0.1:%s", %s } } }
    ]]):format(port, port, config) }
  end
  after_each(function()
    world:close()
    receiver:kill()
  end)
  teardown(process.clean)

  local function ask(method, path, body)
    return http.request(world.port, method, "/api/v1/orgs/default/docs" .. path, { ["Content-Type"] = body and "application/json" or nil }, body and cjson.encode(body)).status
  end
  local function requests()
    local list, handle = {}, io.open(file)
    for line in handle and handle:lines() or function() end do list[#list + 1] = cjson.decode(line).first end
    if handle then handle:close() end
    return list
  end
  local function waiting() return tonumber(world:sql("SELECT count(*) FROM purges")[1]) end
  local function publish(name)
    assert.equal(201, ask("POST", "", { name = name, content = "x" }))
    assert.equal(200, ask("POST", "/" .. name .. "/publish", {}))
  end

  it("looks whether what was hidden is gone, and purges again if it is not", function()
    start("verify = true, reasons = { 'made_private' }", "201", "200", "201", "404")
    publish "a"
    assert.equal(204, ask("DELETE", "/a/publish"))
    world:wait(function() return #requests() == 4 and waiting() == 0 end, "both rounds", 60)
    local list = requests()
    for i = 1, 3, 2 do assert.matches("^POST /2020", list[i]) end
    for i = 2, 4, 2 do assert.matches("^GET /d/default/a", list[i]) end
  end)

  it("has no more in progress than it may", function()
    start("max_wildcards = 1, by = 'wildcard', reasons = { 'made_private' }", "201")
    for _, name in ipairs { "a", "b" } do
      publish(name)
      assert.equal(204, ask("DELETE", "/" .. name .. "/publish"))
      world:wait(function() return #requests() == 1 end, "the first one", 60)
    end
    -- One that is with the plugin is due in two minutes, one that shall wait in half a one.
    local answered = "SELECT count(*) FROM purges WHERE try > 0 AND due_ms < at_ms + 100000"
    world:wait(function() return tonumber(world:sql(answered)[1]) > 0 end, "the second was asked about", 60)
    assert.equal(1, #requests())
  end)
end)
