-- plugins/webhook on a server: what comes from the store, the security log and documents.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

describe("webhook", function()
  local world, receiver, file

  local function start(config)
    file = process.folder() .. "/requests"
    receiver = process.spawn({ "luajit", World.ROOT .. "/spec/support/lua/sink.lua", file, "200" }, { log = process.folder() .. "/sink" })
    local port = receiver:prints "(%d+)\n"
    -- Who may delete: not ben.
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = "return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', hooks = { authenticate = {}, authorize = {}, delete_document = {} } }",
      ["init.lua"] = [[local ml = require "moonloom"
        local P = {}
        function P:authenticate(req) if req.token then return { user = req.token, name = req.token } end end
        function P:authorize() return ml.grant { read = true, write = true, history = true } end
        function P:delete_document(ref) if ref.id:find "kept" then return ml.deny("kept", "This stays.") end end
        return P]],
    })
    world = World.new { args = { "--plugins", folder }, config = ([[
      auth = { mode = "plugins" }
      outgoing = { "127.0.0.0/8" }
      plugins = { door = {}, webhook = { config = { url = "http://127.0.0.1:%s/hook", debounce = "0.1s", max_wait = "1s", %s } } }
    ]]):format(port, config) }
  end
  after_each(function()
    world:close()
    receiver:kill()
  end)
  teardown(process.clean)

  local function ask(method, path, body)
    return http.request(world.port, method, "/api/v1/orgs/default/docs" .. path, { Authorization = "Bearer ana", ["Content-Type"] = "application/json" },
      body and cjson.encode(body)).status
  end
  local function told(event)
    local list, handle = {}, io.open(file)
    for line in handle and handle:lines() or function() end do
      local message = cjson.decode(cjson.decode(line).body)
      if message.event == event then list[#list + 1] = message end
    end
    if handle then handle:close() end
    return list
  end
  local function awaits(event, count)
    world:wait(function() return #told(event) >= count end, event .. " " .. count, 60)
    return told(event)[count]
  end

  it("tells what was deleted, and what the security log has as denied", function()
    start "events = { 'deleted', 'denied' }"
    for _, name in ipairs { "a", "kept" } do assert.equal(201, ask("POST", "", { name = name, content = "x" })) end
    assert.equal(403, ask("DELETE", "/kept"))
    assert.equal(204, ask("DELETE", "/a"))
    local gone = awaits("deleted", 1)
    assert.equal("a", gone.doc)
    assert.equal("default", gone.org)
    local denied = awaits("denied", 1)
    assert.equal("document.deleted", denied.kind)
    assert.equal("kept", denied.doc)
    assert.equal("ana", denied.user)
    assert.equal("127.0.0.1", denied.ip)
  end)

  it("sends what stands in a document as text, as it is when the message goes", function()
    start "payload = 'text', max_payload = '64B', events = { 'created', 'updated' }"
    assert.equal(201, ask("POST", "", { name = "a", content = "Hello" }))
    assert.equal(200, ask("POST", "/a/ops", { ops = { { "text.insert", "content", 5, " you" } } }))
    world:wait(function()
      local list = told "updated"
      return #list > 0 and list[#list].content == "Hello you"
    end, "the newest text", 60)
    assert.equal(200, ask("POST", "/a/ops", { ops = { { "text.insert", "content", 0, ("long"):rep(50) } } }))
    world:wait(function()
      local list = told "updated"
      return #list > 0 and list[#list].too_large
    end, "that it is too large", 60)
    local list = told "updated"
    assert.equal(cjson.null, list[#list].content)
  end)

  it("sends what stands in a document as JSON, and null for what is no text", function()
    start "payload = 'json', root = 'meta', events = { 'updated' }"
    assert.equal(201, ask("POST", "", { name = "a", content = "Hello" }))
    assert.equal(200, ask("POST", "/a/ops", { ops = { { "text.insert", "content", 5, " you" } } }))
    assert.equal(cjson.null, awaits("updated", 1).content)
    assert.equal(200, ask("POST", "/a/ops", { ops = { { "map.set", "meta", "title", "Plan" }, { "map.set", "meta", "n", 3 } } }))
    world:wait(function()
      local list = told "updated"
      local last = list[#list]
      return last.content ~= cjson.null and last.content.title == "Plan" and last.content.n == 3
    end, "the map", 60)
  end)
end)
