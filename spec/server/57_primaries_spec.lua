-- Several primaries, each a PostgreSQL server of its own, and two nodes over them. Run by spec/support/with-primaries.
local process = require "process"
local World = require "world"

local DOOR = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate() return { user = "somebody", name = "Somebody" } end
  function P:authorize() return ml.grant { read = true, write = true, presence = true } end
  return P
]]

describe("several primaries", function()
  local worlds, config, folders = {}, nil, {}

  local function org(...)
    local argv = { World.BIN, "org", ... }
    argv[#argv + 1] = "--config"
    argv[#argv + 1] = config
    return argv
  end

  local function done(...)
    local status, out, complaint = process.run(org(...))
    assert.equal(0, status, complaint)
    return out
  end

  local function ask(shard, sql)
    local status, out, complaint = process.run { "psql", ("host=%s user=moonloom dbname=moonloom"):format(folders[shard]), "-XAtqc", sql }
    assert.equal(0, status, complaint)
    return (out:gsub("%s+$", ""))
  end

  local function pg_ctl(shard, ...)
    local ctl = os.getenv "MOONLOOM_TEST_PG_CTL"
    local line = ("%s '%s/data' %s > /dev/null 2>&1"):format(ctl, folders[shard], table.concat({ ... }, " "))
    assert.equal(0, (process.run({ "sh", "-c", line }, { seconds = 60 })), line)
  end

  setup(function()
    folders.a, folders.b = assert(os.getenv "MOONLOOM_TEST_PG_A", "run this with spec/support/with-primaries"), os.getenv "MOONLOOM_TEST_PG_B"
    for _, folder in pairs(folders) do
      assert.equal(0, (process.run { "psql", ("host=%s user=moonloom dbname=postgres"):format(folder), "-Xqc", "CREATE DATABASE moonloom" }))
    end
    local plugins = process.folder()
    World.plugin(plugins, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth',
        hooks = { authenticate = {}, authorize = {} } }]],
      ["init.lua"] = DOOR,
    })
    config = process.write(process.folder() .. "/moonloom.lua", ([[
      store = { primaries = { a = "postgres:///moonloom?host=%s&user=moonloom", b = "postgres:///moonloom?host=%s&user=moonloom" } }
      plugins = { door = {} }
      auth = { mode = "plugins" }
    ]]):format(folders.a, folders.b))
    for i = 1, 2 do
      worlds[i] = World.new { args = { "--plugins", plugins, "--config", config } }
      worlds[i].ids = 100 * i -- clients of both meet in one document
    end
  end)
  teardown(function()
    for _, world in ipairs(worlds) do world:close() end
    process.clean()
  end)

  it("an org is where the command puts it, and moves while people on two nodes write", function()
    done("add", "acme", "--primary", "a")
    assert.truthy(done("ls"):find("acme .- on a"))
    local anna = worlds[1]:client "anna":joins("notes", { org = "acme" })
    local ben = worlds[2]:client "ben":joins("notes", { org = "acme" })
    anna:types(0, "A"):is_acknowledged()
    assert.equal("1", ask("a", "SELECT count(*) FROM documents WHERE org = 'acme'"))
    for _, to in ipairs { "b", "a", "b" } do
      local mover = process.spawn(org("move", "acme", "--to", to), { log = process.folder() .. "/log" })
      local till = process.now() + 60
      repeat
        anna:types(0, "a"):is_acknowledged(30)
        ben:types(0, "b"):is_acknowledged(30)
        assert(process.now() < till, "the move does not end")
      until mover:ended()
      local how, status = mover:ended()
      assert.equal("exited 0", ("%s %s"):format(how, status), mover:tail())
      local other = to == "a" and "b" or "a"
      anna:types(0, "x"):is_acknowledged(30)
      assert.equal("1 0", ask(to, "SELECT count(*) FROM documents WHERE org = 'acme'") .. " "
        .. ask(other, "SELECT count(*) FROM documents WHERE org = 'acme'"))
    end
    local text
    worlds[1]:wait(function()
      text = anna.text:string()
      ben:pump()
      return text == ben.text:string()
    end, "both see the same", 30)
    local carla = worlds[2]:client "carla":joins("notes", { org = "acme" })
    carla:sees(text, 30)
    assert.equal(tostring(#text), ask("b", "SELECT sum(head) FROM documents WHERE org = 'acme'")) -- a letter is a record
  end)

  it("one that stops disturbs only its own orgs, and they go on when it is back", function()
    done("add", "here", "--primary", "a")
    done("add", "there", "--primary", "b")
    local anna = worlds[1]:client "anna":joins("notes", { org = "here" })
    local ben = worlds[1]:client "ben":joins("notes", { org = "there" })
    anna:types(0, "h"):is_acknowledged(30)
    ben:types(0, "t"):is_acknowledged(30)
    pg_ctl("a", "-m", "immediate", "stop")
    anna:types(0, "later ")
    for _ = 1, 20 do ben:types(0, "."):is_acknowledged(30) end
    worlds[2]:client "carla":joins("notes", { org = "there" }):sees(("."):rep(20) .. "t", 30) -- a node that asks for it the first time
    anna:pump()
    assert.is_true(anna.echoed < anna.text:clock(anna.id))
    pg_ctl("a", "-w", "-l", folders.a .. "/data/server.log", "-o",
      ("'-c listen_addresses= -c unix_socket_directories=%s -c fsync=off -c max_connections=100'"):format(folders.a), "start")
    anna:is_acknowledged(60)
    assert.equal("2", ask("a", "SELECT sum(head) FROM documents WHERE org = 'here'"))
  end)
end)
