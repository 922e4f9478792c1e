-- Plugins that wait in the real process: the store, time, requests to the outside.
local process = require "process"
local World = require "world"

describe("plugins that wait", function()
  local world, folder

  local function write(name, manifest, code)
    folder = folder or process.folder()
    World.plugin(folder, name, {
      ["plugin.lua"] = ("return { name = %q, version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, manifest),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = { rpc = {}, routes = {}, jobs = {}, cron = {} }\n" .. code .. "\nreturn P\n",
    })
  end

  local function start(name, extra)
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { [%q] = {} }\nloops = 2\nlog = 'info'\n%s"):format(name, extra or ""),
    }
  end

  --- Wait until the log says so; every match of `pattern`.
  local function logged(pattern)
    local function read()
      local f = assert(io.open(world.log))
      local text = f:read "*a" or ""
      f:close()
      text = text:gsub("\\x(%x%x)", function(h) return string.char(tonumber(h, 16)) end)
      return text:match(pattern)
    end
    local ok, why = pcall(world.wait, world, read, "the log: " .. pattern)
    if not ok then error(why .. "\n" .. process.read(world.log):sub(-1500)) end
    return read()
  end

  after_each(function()
    world:close()
    folder = nil
  end)
  teardown(process.clean)

  it("keep what they write, and count together on several loops", function()
    write("counter", "needs = { 'kv' }, hooks = { before_update = {} }", [[
      function P:before_update(u)
        local name = u.doc.id
        ml.spawn(function()
          local n = ml.kv.incr("sum")
          ml.kv.set("seen/" .. name, { n = n }, { ttl = "1h" })
          local names = {}
          for key in ml.kv.scan("seen/") do names[#names + 1] = key:sub(6) end
          ml.log.info("sum=" .. n .. ",names=" .. table.concat(names, ","))
        end)
      end
    ]])
    start "counter"
    for i = 1, 4 do world:client("c" .. i):joins("doc" .. i):types(0, "x"):is_acknowledged() end
    logged "sum=4"
    local rows = world:sql "SELECT CAST(value AS TEXT) FROM kv WHERE org = 'default' AND CAST(key AS TEXT) = 'sum'"
    assert.same({ "4" }, rows)
    world:stop()
    world:start()
    world:client("later"):joins("doc5"):types(0, "x"):is_acknowledged()
    assert.equal("doc1,doc2,doc3,doc4,doc5", logged "sum=5,names=([%w,]+)")
  end)

  it("run timers without anybody knocking, and stop with the server", function()
    write("ticker", "hooks = { before_update = {} }", [[
      function P:setup() ml.timer.every("20ms", function() self.state.n = (self.state.n or 0) + 1 ml.log.info("tick=" .. self.state.n) end) end
      function P:before_update() end
    ]])
    start "ticker"
    world:client("anna"):joins("notes"):types(0, "x"):is_acknowledged()
    logged "tick=5"
  end)
end)
