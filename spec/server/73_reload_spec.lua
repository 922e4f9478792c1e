-- Plugins change while people write: nobody is sent away, nothing is lost, no call sees two versions at once.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

describe("plugins that are reloaded", function()
  local world, folder

  --- Version `v`: module and init.lua have to agree, and say so in a denial if they do not.
  local function write(v, extra)
    World.plugin(folder, "guard", {
      ["plugin.lua"] = "return { name = 'guard', version = '1.0.0', api = 1, phase = 'validate', summary = 'of a spec', hooks = { before_update = {} },"
        .. " config = { fields = { { 'word', type = 'string', default = 'none', doc = 'a word' } } } }",
      ["init.lua"] = ([[
        local ml = require "moonloom"
        local part = require "guard.lib.part"
        local V = %d
        local P = {}
        function P:before_update(u)
          self.state.n = (self.state.n or 0) + 1
          if part.version ~= V or part.version2() ~= V then return ml.deny("mixed", "two versions at once") end
          if u.inserted_bytes > 50 then return ml.deny("v" .. V, self.config.word) end
        end
        function P:handoff() return { n = self.state.n, v = V } end
        function P:adopt(state) self.state.n = state.n end
        %s
        return P
      ]]):format(v, extra or "") })
    os.execute(("mkdir -p '%s/guard/lib'"):format(folder))
    process.write(folder .. "/guard/lib/part.lua", ("return { version = %d, version2 = function() return %d end }"):format(v, v))
  end

  local function start(config, args, env)
    folder = process.folder()
    write(1)
    World.plugin(folder, "other", { ["plugin.lua"] = "return { name = 'other', version = '1.0.0', api = 1, summary = 'of a spec', hooks = { after_update = {} } }",
      ["init.lua"] = "return { after_update = function() end }" })
    local all = { "--plugins", folder }
    for _, a in ipairs(args or {}) do all[#all + 1] = a end
    world = World.new { args = all, config = config or "plugins = { guard = {} }", env = env }
  end

  local function plugin(...)
    local argv = { World.BIN, "plugin", ... }
    argv[#argv + 1] = "--url"
    argv[#argv + 1] = "http://127.0.0.1:" .. world.port
    return process.run(argv)
  end

  local function list(...)
    local status, out, err = plugin("list", "--json", ...)
    assert(status == 0, err)
    return cjson.decode(out)
  end

  after_each(function() world:close() end)
  teardown(process.clean)

  it("lose no word and send nobody away, 12 times while four people write", function()
    start()
    local people, typed = {}, {}
    for i = 1, 4 do
      people[i] = world:client("p" .. i):joins(i < 4 and "shared" or "alone")
      typed[i] = 0
    end
    local function everybody_types()
      for i, person in ipairs(people) do
        person:types(0, string.char(96 + i))
        typed[i] = typed[i] + 1
      end
      local until_ = process.now() + 0.01
      world:wait(function() return process.now() > until_ end, "")
    end
    for v = 2, 13 do
      write(v)
      local answer = process.folder() .. "/answer"
      os.execute(("%s plugin reload --json --url http://127.0.0.1:%d > %s.new 2>&1 && mv %s.new %s &"):format(World.BIN, world.port, answer, answer, answer))
      local deadline = process.now() + 20
      local file
      repeat
        everybody_types()
        file = io.open(answer)
      until file or process.now() > deadline
      assert.truthy(file, "no answer to the reload")
      local said = cjson.decode(file:read "*a")
      file:close()
      assert.equal("done", said.state)
    end
    for i, person in ipairs(people) do
      person:is_acknowledged()
      assert.is_nil(person.socket.closed)
      assert.is_nil(person.denied)
      local count = select(2, people[i < 4 and 1 or 4]:catches_up().text:string():gsub(string.char(96 + i), ""))
      assert.equal(typed[i], count)
    end
    people[2]:sees(people[1].text:string())
    local n = 0
    for _, one in ipairs(list("--org", "default").instances) do
      assert.equal(13, one.generation)
      assert.equal(0, one.failures)
      assert.equal(0, one.denials)
      n = n + 1
    end
    assert.truthy(n >= 1)
  end)

  local LONG = ("x"):rep(60)

  local function refusal()
    local anna = world:client "anna":joins "notes"
    anna:types(0, LONG)
    anna:sees ""
    anna:is_acknowledged()
    anna:leaves()
    local best = {}
    for _, one in ipairs(list("--org", "default").instances) do best[#best + 1] = one.generation end
    return math.max(unpack(best))
  end

  it("stay as they are when the new version is broken, and say why", function()
    start()
    assert.equal(1, refusal())
    for _, broken in ipairs { "function P:setup() error('no service here') end", "function P:joined() end", "x = " } do
      write(2, broken)
      local status, _, err = plugin "reload"
      assert.equal(1, status)
      assert.truthy(err:find("guard", 1, true) or err:find("no service here", 1, true), err)
      assert.equal(1, refusal())
    end
    write(2)
    local status, out = plugin("reload", "--dry-run")
    assert.equal(0, status)
    assert.truthy(out:find("nothing was changed", 1, true))
    assert.equal(1, refusal())
    assert.equal(0, (plugin "reload"))
    assert.equal(2, refusal())
    assert.equal(0, (plugin("reload", "--rollback")))
    assert.equal(1, refusal())
    assert.equal(1, (plugin("reload", "--rollback")))
  end)

  it("are reloaded one by one, or for one org, and return alone", function()
    start "plugins = { guard = {}, other = {} }"
    World.plugin(folder, "other", { ["plugin.lua"] = "x =", ["init.lua"] = "x =" }) -- broken on disk: nobody looks
    assert.equal(1, refusal())
    write(2)
    assert.equal(1, (plugin "reload"))
    local status, out, err = plugin("reload", "guard")
    assert.equal(0, status, err)
    assert.truthy(out:find("guard 1.0.0", 1, true) and not out:find("other", 1, true), out)
    assert.equal(2, refusal())
    write(3)
    assert.equal(0, (plugin("reload", "guard", "--org", "acme")))
    assert.equal(2, refusal())
    local generations = {}
    for _, org in ipairs { "default", "acme" } do
      for _, one in ipairs(list("--org", org).instances) do generations[org .. " " .. one.instance] = one.generation end
    end
    assert.same({ ["default guard"] = 2, ["acme guard"] = 3, ["default other"] = 1, ["acme other"] = 1 }, generations)
    assert.equal(0, (plugin("reload", "guard", "--rollback"))) -- acme has again what the others have
    assert.equal(2, list("--org", "acme").instances[1].generation)
    assert.equal(2, refusal())
    assert.equal(0, (plugin("reload", "guard", "--rollback")))
    assert.equal(1, refusal())
    status, out, err = plugin("reload", "gaurd")
    assert.equal(1, status, out)
    assert.truthy(err:find("gaurd: no plugin of this name is switched on", 1, true), err)
    assert.equal(2, (plugin("list", "guard")))
    world:wait(function() return world.server:tail(20000):find("how=done plugins=guard org=acme", 1, true) end, "the log says which", 10)
  end)

  it("come back by themselves when they fail where the old ones did not", function()
    start()
    assert.equal(1, refusal())
    write(2, "local before = P.before_update function P:before_update(u) if u.inserted_bytes < 50 then error('oops') end return before(self, u) end")
    assert.equal(0, (plugin "reload"))
    local anna = world:client "anna":joins "busy"
    for i = 1, 130 do -- held: each is asked again and again
      anna:types(0, "a")
      if i % 10 == 0 then anna.socket:pump() end
    end
    world:wait(function() return world.server:tail(20000):find("how=automatic_rollback", 1, true) end, "the old one is back", 30)
    anna:is_acknowledged(30)
    assert.is_nil(anna.socket.closed)
    assert.equal(("a"):rep(130), anna.text:string())
  end)

  it("take the configuration and the files of orgs with them, on SIGHUP too", function()
    start()
    local config = world.server.argv and nil
    assert.equal(1, refusal())
    world.server:signal(require("posix.signal").SIGHUP)
    world:wait(function() return world.server:tail(20000):find("plugins.reloaded", 1, true) end, "the reload", 10)
    write(2)
    world.server:signal(require("posix.signal").SIGHUP)
    world:wait(function() return refusal() == 2 end, "version 2", 10)
    assert.is_nil(config)
  end)

  it("are reloaded by themselves under --dev when a file changes", function()
    start(nil, { "--dev" })
    assert.equal(1, refusal())
    write(2)
    world:wait(function() return refusal() == 2 end, "version 2", 15)
  end)

  it("are shown with their order, their faults and the org they are for", function()
    start()
    assert.equal(1, refusal())
    local status, out = plugin("list", "--org", "default", "--hooks")
    assert.equal(0, status)
    assert.truthy(out:find("before_update       1 guard (validate)", 1, true), out)
    assert.equal(2, (plugin("list", "--nonsense")))
    assert.equal(3, (process.run { World.BIN, "plugin", "list", "--url", "http://127.0.0.1:1" }))
  end)

  it("leave nothing behind, however often", function()
    local runs = World.LONG and 2500 or 20
    -- Else what was freed, or lies about in the pools of threads, counts as there.
    start(nil, nil, { ASAN_OPTIONS = "quarantine_size_mb=1", MALLOC_ARENA_MAX = "1" })
    local anna = world:client "anna":joins "notes"
    local first, slowest = nil, 0
    for i = 1, runs do
      write(i + 1)
      local answer
      repeat answer = http.request(world.port, "POST", "/api/v1/plugins/reload") until answer.status ~= 409 -- it looks how the new ones are
      local said = cjson.decode(answer.body)
      assert.equal("done", said.state)
      for _, loop in ipairs(said.loops) do slowest = math.max(slowest, loop.swap_us) end
      if i % 20 == 0 then anna:types(0, "a"):is_acknowledged() end
      if i == math.floor(runs / 5) then first = world.server:rss() end
    end
    local last = world.server:rss()
    print(("# %d reloads, %.1f MiB after a fifth, %.1f MiB at the end, slowest swap %d us"):format(runs, first / 1048576, last / 1048576, slowest))
    assert.is_nil(anna.socket.closed)
    local margin = (World.LONG and 8 or 32) * 1048576 -- few reloads say little; what is lost is found at the exit, too
    assert.truthy(last < first * 1.1 + margin, ("%d bytes, then %d"):format(first, last))
    assert.equal(runs + 1, list("--org", "default").instances[1].generation)
  end)

  it("are nobody's business elsewhere", function()
    start()
    local answer = world:get("/api/v1/plugins", { ["X-Forwarded-For"] = "10.1.1.1" })
    assert.equal(403, answer.status)
  end)
end)
