-- moonloom plugin repl: a prompt in the sandbox, with a copy of a document of a running server.
local process = require "process"
local World = require "world"

describe("moonloom plugin repl", function()
  local world

  setup(function()
    world = World.new {}
    world:client "anna":joins "notes/1":types(0, "hello"):is_acknowledged():leaves()
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function repl(...)
    local argv = { World.BIN, "plugin", "repl", "--doc", "notes/1", "--url", "http://127.0.0.1:" .. world.port, ... }
    local status, out, err = process.run(argv, { seconds = 60 })
    return out .. err, status
  end

  local function typed(lines)
    local file = process.write(process.folder() .. "/lines", table.concat(lines, "\n") .. "\n")
    local command = ("%s plugin repl --doc notes/1 --url http://127.0.0.1:%d < %s"):format(World.BIN, world.port, file)
    local status, out, err = process.run({ "sh", "-c", command }, { seconds = 60 })
    return out .. err, status
  end

  it("shows what a document has, and keeps self.state from line to line", function()
    local out, status = typed { 'doc:get("content")', "1 +", "1", "self.state.x = 5", "self.state.x", 'doc:text("content"):len()' }
    assert.equal(0, status, out)
    assert.equal('"hello"\n2\n5\n5\n', out)
  end)

  it("is a sandbox", function()
    for code, wanted in pairs { ["os.exit(7)"] = "global 'os'", ["io.open('/etc/passwd')"] = "global 'io'", ["while true do end"] = "over its time limit",
                                ["getmetatable('').__index.rep"] = "nil", ["ml.kv.get('a')"] = 'needs needs = { "kv" }', ["1 +"] = "unexpected symbol",
                                ["end) os.exit(7) (function()"] = "expected" } do
      local out, status = repl("--eval", code)
      assert.truthy(out:find(wanted, 1, true) or out:find("index", 1, true), code .. ": " .. out)
      assert.equal(1, status, code .. ": " .. out)
    end
  end)

  it("writes only with --write, and then as an edit that everybody sees", function()
    local code = 'doc:transact(function(tx) tx:text("content"):insert(0, "> ") end)'
    local out, status = repl("--eval", code)
    assert.equal(0, status, out)
    assert.truthy(out:find("start with --write", 1, true), out)
    local ben = world:client "ben":joins "notes/1":sees "hello"
    out, status = repl("--write", "--eval", code)
    assert.equal(0, status, out)
    assert.truthy(out:find("written: 1 operation, record", 1, true), out)
    ben:sees "> hello"
  end)

  it("says what it cannot do", function()
    local out, status = repl("--write", "--eval", 'doc:transact(function(tx) tx:text("content"):insert(99, "x") end)')
    assert.equal(1, status)
    assert.truthy(out:find("cannot be written", 1, true), out)
    status, out = (function()
      local s, o, e = process.run { World.BIN, "plugin", "repl", "--write", "--eval", "1" }
      return s, o .. e
    end)()
    assert.equal(2, status)
    assert.truthy(out:find("--doc NAME", 1, true), out)
    status = process.run { World.BIN, "plugin", "repl", "--doc", "none", "--url", "http://127.0.0.1:" .. world.port, "--eval", "1" }
    assert.equal(2, status)
  end)
end)
