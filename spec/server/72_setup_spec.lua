-- Plugins whose setup waits in the real process: at the start, at a reload, and when what it waits for fails.
local http = require "http"
local process = require "process"
local World = require "world"

describe("a setup that waits", function()
  local world, folder

  local function write(version, code)
    World.plugin(folder, "fetcher", {
      ["plugin.lua"] = "return { name = 'fetcher', version = '1.0.0', api = 1, phase = 'validate', summary = 'of a spec',"
        .. " needs = { 'kv', http = { '127.0.0.1' } }, hooks = { before_update = {}, authorize = {}, routes = { ['GET /word'] = { public = true } } } }",
      ["init.lua"] = ([[
        local ml = require "moonloom"
        local P = { routes = {} }
        function P:setup()
          %s
          ml.kv.set("up", %d)
        end
        function P:authorize(ask)
          if ask.action == "doc.open" and self.state.word then return ml.grant { read = true, write = true, presence = true } end
          if self.state.word then return ml.grant { read = true, write = true } end
        end
        function P:before_update(u)
          if u.inserted_bytes > 50 then return ml.deny("long", self.state.word) end
        end
        P.routes["GET /word"] = function(self, req, res) return res:text(self.state.word) end
        return P
      ]]):format(code, version) })
  end

  local function fetch(port)
    return ([[
      local res = assert(ml.http.get("http://127.0.0.1:%d/word"))
      if res.status ~= 200 then error("status " .. res.status) end
      self.state.word = res.body
    ]]):format(port)
  end

  --- A server that answers each request with the next of these statuses.
  local function sink(...)
    local server = process.spawn({ "luajit", World.ROOT .. "/spec/support/lua/sink.lua", process.folder() .. "/requests", ... },
      { log = process.folder() .. "/sink" })
    return tonumber((server:prints "(%d+)\n"))
  end

  local function start()
    world = World.new { args = { "--plugins", folder }, config = "plugins = { fetcher = {} }\nloops = 1\noutgoing = { '127.0.0.0/8' }\nlog = 'info'" }
  end

  local function reload()
    return process.run { World.BIN, "plugin", "reload", "--url", "http://127.0.0.1:" .. world.port }
  end

  local function word()
    local answer = http.request(world.port, "GET", "/x/fetcher/word")
    return answer.status == 200 and answer.body or answer.status
  end

  before_each(function() folder = process.folder() end)
  after_each(function() world:close() end)
  teardown(process.clean)

  it("lets the first who comes wait", function()
    write(1, fetch(sink "200"))
    start()
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    assert.equal("answer 1", word())
  end)

  it("goes once more when what it asks for fails; until then nobody is let in", function()
    write(1, fetch(sink("503", "503", "200")))
    start()
    world:wait(function() return word() == "answer 3" end, "the word of the third try")
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    local log = process.read(world.log)
    assert.truthy(log:find("plugins.failing org=default", 1, true))
    assert.truthy(log:find("plugins.recovered org=default instance=fetcher", 1, true))
  end)

  it("keeps the old generation serving until the new one is up, and for good if that fails", function()
    write(1, fetch(sink "200"))
    start()
    world:wait(function() return word() == "answer 1" end, "the first generation")
    local anna = world:client("anna"):joins("notes")

    write(2, fetch(sink "500"))
    local status, _, err = reload()
    assert.equal(1, status)
    assert.truthy(err:find("status 500", 1, true), err)
    assert.equal("answer 1", word())
    anna:types(0, "x"):is_acknowledged()

    write(3, fetch(sink "200") .. "self.state.word = 'three'")
    assert.equal(0, (reload()))
    assert.equal("three", word())
    anna:types(0, "y"):is_acknowledged()
    assert.is_nil(anna.socket.closed)
  end)

  it("does not begin without end: after ten seconds the reload is over and the old one goes on", function()
    write(1, "self.state.word = 'one'")
    start()
    world:wait(function() return word() == "one" end, "the first generation")
    write(2, ("ml.http.request { url = 'http://127.0.0.1:%d/', timeout = 60 }"):format(sink "hang"))
    local answer = process.folder() .. "/answer"
    os.execute(("(%s plugin reload --url http://127.0.0.1:%d; echo done) > %s 2>&1 &"):format(World.BIN, world.port, answer))
    local anna = world:client("anna"):joins "notes"
    local said = 0
    world:wait(function()
      said = said + 1
      anna:types(0, "x"):is_acknowledged()
      return process.read(answer):find("done", 1, true)
    end, "the end of the reload", 60)
    assert.truthy(process.read(answer):find("deadline", 1, true), process.read(answer))
    assert.equal("one", word())
    assert.is_nil(anna.socket.closed)
  end)
end)
