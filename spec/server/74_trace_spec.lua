-- What plugins were asked lately, what they say to the same question from disk, and why somebody may not open a document.
local cjson = require "cjson"
local process = require "process"
local World = require "world"

describe("what plugins were asked", function()
  local world, folder

  local function write(limit)
    World.plugin(folder, "guard", {
      ["plugin.lua"] = "return { name = 'guard', version = '1.0.0', api = 1, phase = 'policy', summary = 'of a spec', hooks = { before_update = {}, authorize = {} } }",
      ["init.lua"] = ([[
        local ml = require "moonloom"
        local P = {}
        function P:before_update(u)
          for e in u:edits "text.insert" do if #e.text == 13 then error("thirteen") end end
          if u.inserted_bytes > %d then return ml.deny("long", "Too long.") end
        end
        function P:authorize(ask)
          if ask.doc_id == "secret" then return ml.deny("secret", "Nobody reads this.") end
          for _, role in ipairs(ask.identity and ask.identity.roles or {}) do
            if role == "editor" then return ml.grant { read = true, write = { "body/**" } } end
          end
        end
        return P
      ]]):format(limit) })
  end

  before_each(function()
    folder = process.folder()
    write(20)
    world = World.new { args = { "--plugins", folder }, config = "plugins = { guard = {} }" }
  end)
  after_each(function() world:close() end)
  teardown(process.clean)

  local function plugin(...)
    local argv = { World.BIN, "plugin", ... }
    argv[#argv + 1] = "--url"
    argv[#argv + 1] = "http://127.0.0.1:" .. world.port
    return process.run(argv)
  end

  local function trace(...)
    local status, out, err = plugin("trace", "--json", ...)
    assert(status == 0, err)
    return cjson.decode(out)
  end

  local function provoke()
    local anna = world:client "anna":joins "notes"
    anna:types(0, "short")
    anna:is_acknowledged()
    anna:types(0, "a secret that is too long")
    anna:is_acknowledged()
    anna:leaves()
    local ben = world:client "ben":joins "notes"
    ben:types(0, "thirteen here")
    ben:is_acknowledged()
    ben:leaves()
  end

  it("is kept of what was denied or failed, without the text, and not of what was simply let through", function()
    provoke()
    local denied = trace("--verdict", "deny").items
    assert.equal(1, #denied)
    local one = denied[1]
    assert.same({ "before_update", "guard", "default", "notes", "guard.long", "Too long." },
      { one.hook, one.plugin, one.org, one.document, one.code, one.text })
    assert.equal(1, one.generation)
    assert.equal("text.insert", one.input.edits[1].kind)
    assert.equal(("x"):rep(25), one.input.edits[1].text)
    local failed = trace("--verdict", "error", "--hook", "before_update").items
    assert.equal(1, #failed)
    assert.truthy(failed[1].text:find("thirteen", 1, true))
    assert.equal(0, #trace("--doc", "other").items)
    assert.equal(0, #trace("--verdict", "ok").items)
    local _, out = plugin "trace"
    assert.truthy(out:find("guard.long", 1, true))
    assert.is_nil(out:find("a secret", 1, true))
    assert.is_nil(cjson.encode(trace()):find("a secret", 1, true))
  end)

  it("is every call while somebody watches, and each of them is told once", function()
    provoke()
    trace("--all", "--org", "default")
    local anna = world:client "anna":joins "notes"
    anna:types(0, "ok")
    anna:is_acknowledged()
    local ok = trace("--verdict", "ok", "--hook", "before_update")
    assert.equal(1, #ok.items)
    local process_answer = world:get("/api/v1/plugins/trace?verdict=ok&hook=before_update&after=" .. ("%.0f"):format(ok.until_us))
    assert.equal(0, #cjson.decode(process_answer.body).items)
  end)

  it("outlives a reload", function()
    provoke()
    write(30)
    assert.equal(0, (plugin "reload"))
    assert.equal(1, #trace("--verdict", "deny").items)
  end)

  it("can be asked again of what is on disk, and a difference is an exit code", function()
    provoke()
    local file = folder .. "/records.json"
    local f = assert(io.open(file, "w"))
    f:write(cjson.encode(trace("--hook", "before_update")))
    f:close()
    local function replay()
      local status, out, err = process.run { World.BIN, "plugin", "replay", file, folder .. "/guard", "--json" }
      assert(status < 2, err)
      return status, cjson.decode(out)
    end
    local status, results = replay()
    assert.equal(0, status)
    assert.equal(2, #results)
    write(1000)
    status, results = replay()
    assert.equal(1, status)
    assert.same({ "deny", "ok", false }, { results[1]["then"].verdict, results[1].now.verdict, results[1].same })
    assert.same({ "error", "error", true }, { results[2]["then"].verdict, results[2].now.verdict, results[2].same })
  end)

  it("is explained for a person and a document, without counting as a call", function()
    local function why(...)
      local status, out, err = plugin("why", "--json", "--org", "default", ...)
      assert(status == 0, err)
      return cjson.decode(out)
    end
    local granted = why("--doc", "notes", "--user", "ben", "--role", "reader,editor")
    assert.equal("grant", granted.outcome)
    assert.equal("guard", granted.answers[1].instance)
    assert.same({ "body/**" }, granted.answers[1].detail.write)
    assert.equal("no_grant", why("--doc", "notes", "--user", "ben").outcome)
    local denied = why("--doc", "secret", "--user", "ben", "--role", "editor")
    assert.equal("deny", denied.outcome)
    assert.equal("Nobody reads this.", denied.answers[1].detail.reason)
    assert.equal(1, (plugin("why", "--org", "default", "--doc", "secret", "--user", "ben")))
    assert.equal(2, (plugin("why", "--org", "default")))
  end)
end)
