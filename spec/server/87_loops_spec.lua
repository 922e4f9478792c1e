-- Several loops in one process: who speaks to whom does not depend on where a document lives.
local cjson = require "cjson"
local signal = require "posix.signal"
local socket = require "socket"
local Collab = require "collab"
local http = require "http"
local process = require "process"
local World = require "world"

describe("a server with four loops", function()
  local world, open

  before_each(function()
    open = {}
    world = World.new { config = "loops = 4" }
  end)
  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
  end)
  teardown(process.clean)

  local function collab()
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    return it
  end

  --- Threads of the server by the CPU time they have used, in clock ticks.
  local function threads()
    local list = {}
    for task in io.popen("ls /proc/" .. world.server.pid .. "/task"):lines() do list[#list + 1] = task end
    return list
  end

  it("has four loops", function()
    assert.truthy(#threads() >= 4 + 2, #threads() .. " threads")
    assert.equal(200, world:get("/readyz").status)
  end)

  it("deals documents out, and everybody in one document hears each other", function()
    local clients = {}
    for i = 1, 24 do clients[i] = world:client("c" .. i):joins("doc/" .. i % 12) end
    for round = 1, 5 do
      for _, client in ipairs(clients) do client:types(0, ("<%d.%d>"):format(client.id, round)) end
    end
    for i = 1, 12 do
      local a, b = clients[i], clients[i + 12]
      world:wait(function() return #a.text:string() > 0 and a.text:string() == b.text:string() and select(2, a.text:string():gsub("<", "")) == 10 end,
        "the two of document " .. i % 12 .. " agree", 15)
    end
  end)

  it("lets one Hocuspocus socket write in documents of all loops, each acknowledged once", function()
    local anna = collab()
    local readers = {}
    for i = 1, 16 do
      readers[i] = world:client("r" .. i):joins("many/" .. i)
      anna:joins("many/" .. i)
    end
    for i = 1, 16 do
      -- Client 900 types "Hi" into the root "content".
      anna:sends("many/" .. i, 0, 2, Collab.unhex "010184070004 01 07 636f6e74656e74 02 4869 00")
    end
    for i = 1, 16 do
      readers[i]:sees "Hi"
      assert.equal("0801", anna:awaits("many/" .. i, "08"))
    end
    anna:catches_up()
    for i = 1, 16 do assert.same({}, anna:rest("many/" .. i)) end
  end)

  it("tells a Hocuspocus client what y-websocket clients of another loop type, and of their cursors", function()
    local anna = collab()
    local writers = {}
    for i = 1, 8 do
      anna:joins("mixed/" .. i)
      writers[i] = world:client("w" .. i):joins("mixed/" .. i)
    end
    for i = 1, 8 do
      writers[i]:types(0, "hello"):shows { name = "w" .. i }
      -- The cursor leaves with the commit, unless that takes long: then before it.
      local first = anna:awaits("mixed/" .. i, "0")
      while first:sub(1, 2) ~= "01" and first:sub(1, 4) ~= "0002" do first = anna:awaits("mixed/" .. i, "0") end
      assert.truthy(anna:awaits("mixed/" .. i, first:sub(1, 2) == "01" and "0002" or "01"))
    end
    for i = 1, 8 do writers[i]:vanishes() end
    for i = 1, 8 do assert.truthy(anna:awaits("mixed/" .. i, "01"):find "6e756c6c") end -- "null"
  end)

  it("gives the seats of a socket back when it goes", function()
    local anna = collab()
    local ben = world:client "ben":joins "seats/1"
    for i = 1, 8 do anna:joins("seats/" .. i) end
    anna:sends("seats/1", 1, nil, "\1\7\1\2{}")
    ben:sees_person { id = 7, name = "anna" }
    anna:drop()
    ben:misses_person({ id = 7, name = "anna" }, 5)
  end)

  it("answers one HTTP connection about documents of every loop", function()
    for i = 1, 12 do world:client("w" .. i):joins("http/" .. i):types(0, "text " .. i):is_acknowledged():leaves() end
    local sock = assert(socket.connect("127.0.0.1", world.port))
    sock:settimeout(10)
    for i = 1, 12 do
      sock:send(http.text(world.port, "GET", "/api/v1/orgs/default/docs/http%2F" .. i .. "/content?root=content&as=text"))
      local answer = http.read(sock)
      assert.equal(200, answer.status, answer.body)
      assert.truthy(answer.body:find("text " .. i, 1, true), answer.body)
      sock:send(http.text(world.port, "GET", "/healthz"))
      assert.equal(200, http.read(sock).status)
    end
    -- Two at once, for documents of different loops: the second goes along with the first.
    sock:send(http.text(world.port, "GET", "/api/v1/orgs/default/docs/http%2F1") .. http.text(world.port, "GET", "/api/v1/orgs/default/docs/http%2F2"))
    assert.equal("http/1", cjson.decode(http.read(sock).body).name)
    assert.equal("http/2", cjson.decode(http.read(sock).body).name)
    sock:close()
  end)

  it("drains all of them at SIGTERM, and everything acknowledged is there afterwards", function()
    local clients, sockets = {}, {}
    for i = 1, 20 do clients[i] = world:client("c" .. i):joins("drain/" .. i % 10) end
    for i = 1, 4 do
      sockets[i] = collab()
      for k = 0, 9 do sockets[i]:joins("drain/" .. k) end
    end
    for round = 1, 10 do
      for _, client in ipairs(clients) do client:types(0, ("<%d.%d>"):format(client.id, round)) end
    end
    world.server:signal(signal.SIGTERM)
    for _, client in ipairs(clients) do assert.equal(1001, (client:is_closed(20))) end
    world:ends()
    world:start()
    for i, client in ipairs(clients) do
      local fresh = world:client("fresh" .. i):joins(client.document)
      assert.truthy(fresh.text:clock(client.id) >= client.echoed, "acknowledged and lost")
      fresh:leaves()
    end
  end)
end)

describe("SIGHUP", function()
  it("changes limits while people are here; a broken file changes nothing", function()
    local config = process.write(process.folder() .. "/moonloom.lua", "loops = 3\nlimits = { members = 2 }\n")
    local world = World.new { args = { "--config", config } }
    local seats = {}
    local function join(name)
      local it = world:client(name)
      local ok = pcall(it.joins, it, "hup")
      if ok then seats[#seats + 1] = it end
      return ok
    end
    assert.truthy(join "a")
    assert.truthy(join "b")
    assert.falsy(join "c")
    process.write(config, "loops = 3\nlimits = { members = 0 }\n")
    world.server:signal(signal.SIGHUP)
    process.until_true(function() return world.server:tail():find "config%.kept" end, "the broken file is refused")
    assert.falsy(join "d")
    process.write(config, "loops = 3\nlimits = { members = 3 }\n")
    world.server:signal(signal.SIGHUP)
    process.until_true(function() return world.server:tail():find "config%.reloaded" end, "the file is read")
    process.until_true(function() return join "e" end, "one more may come in", 5, 0.1)
    assert.falsy(join "f")
    seats[1]:types(0, "still here")
    seats[3]:sees "still here"
    world:close()
    process.clean()
  end)
end)
