-- `moonloom doc` against a running server and against its store.
local cjson = require "cjson"
local process = require "process"
local World = require "world"

describe("moonloom doc", function()
  local world

  setup(function()
    world = World.new()
    local anna = world:client "anna":joins "notes"
    anna:types(0, "first words"):is_acknowledged()
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local function doc(words, where)
    local argv = { World.BIN, "doc" }
    for _, word in ipairs(words) do argv[#argv + 1] = word end
    for _, word in ipairs(where or { "--url", "http://127.0.0.1:" .. world.port }) do argv[#argv + 1] = word end
    return process.run(argv)
  end

  local function check_both_ways(where)
    local status, out, err = doc({ "ls" }, where())
    assert.equal(0, status, err)
    assert.truthy(("\n" .. out):find("\nnotes\n", 1, true))
    local listed
    status, out = doc({ "ls", "not", "--json" }, where())
    assert.equal(0, status)
    for line in out:gmatch "[^\n]+" do listed = cjson.decode(line) end
    assert.equal("notes", listed.name)
    assert.equal(1, listed.seq)

    status, out = doc({ "cat", "notes" }, where())
    assert.same({ 0, "first words" }, { status, out })
    status, out = doc({ "cat", "notes", "--as", "html" }, where())
    assert.same({ 0, "<p>first words</p>\n" }, { status, out })
    local file = process.folder() .. "/state"
    assert.equal(0, (doc({ "export", "notes", file }, where())))
    status, out = doc({ "state", "notes" }, where())
    assert.equal(0, status)
    assert.equal(process.read(file), out)
    assert.truthy(#out > 10)
    status, out = doc({ "import", "copied/" .. #where(), file, "--json" }, where())
    assert.same({ 0, '{"seq":1}\n' }, { status, out })
    assert.equal("first words", select(2, doc({ "cat", "copied/" .. #where() }, where())))
    local md = process.folder() .. "/notes.md"
    assert.equal(0, (doc({ "export", "notes", md }, where())))
    assert.equal("first words\n", process.read(md))
    status, out = doc({ "history", "notes", "--json" }, where())
    assert.equal(0, status)
    assert.equal(1, cjson.decode(out).seq)

    assert.equal(0, (doc({ "rm", "copied/" .. #where() }, where())))
    local gone, _, why = doc({ "cat", "copied/" .. #where() }, where())
    assert.equal(1, gone)
    assert.truthy(why:find "deleted")
    assert.equal(1, (doc({ "rm", "copied/" .. #where() }, where())))
    assert.equal(0, (doc({ "undelete", "copied/" .. #where() }, where())))
    assert.equal("first words", select(2, doc({ "cat", "copied/" .. #where() }, where())))
    assert.equal(1, (doc({ "cat", "nothing" }, where())))
    assert.equal(1, (doc({ "cat", "notes", "--as", "pdf" }, where())))
    local junk = process.write(process.folder() .. "/junk", "junk")
    assert.equal(1, (doc({ "import", "x", junk }, where())))
    assert.equal(1, (doc({ "import", "x", "/does/not/exist" }, where())))
  end

  it("works on a running server", function()
    check_both_ways(function() return { "--url", "http://127.0.0.1:" .. world.port .. "/" } end)
  end)

  it("works on a store, unless a server has it open", function()
    local status, _, err = doc({ "ls" }, { "--store", "sqlite:" .. world.data .. "/moonloom.db" })
    assert.equal(1, status)
    assert.truthy(err:find "open for writing")
    world:stop()
    check_both_ways(function() return { "--store", "sqlite:" .. world.data .. "/moonloom.db", "--org", "default" } end)
    assert.equal(1, (doc({ "ls" }, { "--store", "sqlite:" .. world.data .. "/other.db" })))
    assert.equal(1, (doc({ "ls" }, { "--store", "postgres://x" })))
    world:start()
  end)

  it("tells usage and an unreachable server by its exit code", function()
    for _, words in ipairs { {}, { "lick" }, { "cat" }, { "ls", "a", "b" }, { "cat", "x", "--as" }, { "cat", "x", "--no" }, { "import", "x" }, { "cat", ".." },
      { "ls", "--org", "Not An Org" } } do
      assert.equal(2, (doc(words, {})), table.concat(words, " "))
    end
    local status, _, err = doc({ "ls" }, { "--url", "http://127.0.0.1:1" })
    assert.equal(3, status)
    assert.truthy(err:find "127.0.0.1:1")
  end)
end)
