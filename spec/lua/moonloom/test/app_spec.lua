-- t.app: the whole server in a spec. Runs under busted and inside the binary.
local t = require "moonloom.test"

describe("t.app", function()
  it("brings what one writes to the others, and to the journal", function()
    local app = t.app {}
    local ana, ben = app:client { user = "ana", doc = "notes/1" }, app:client { user = "ben", doc = "notes/1" }
    ana:text("body"):insert(0, "hello")
    assert.equal("", ben:text("body"):tostring())
    app:settle()
    assert.equal("hello", ben:text("body"):tostring())
    assert.equal("hello", app:doc("notes/1"):text("body"):tostring())
    assert.converged(app, "notes/1")
    assert.equal(1, app:doc("notes/1").records)
  end)

  it("takes plugins by name, as the server file does", function()
    local app = t.app { plugins = { ["paragraph-lock"] = {}, ["content-filter"] = { config = { words = { "darn" } } } } }
    local ana = app:client { user = "ana", doc = "notes/1" }
    ana:text("content"):insert(0, "darn")
    app:settle()
    assert.equal("****", app:doc("notes/1"):text("content"):tostring())
  end)

  it("knows nested maps, lists and texts by their paths", function()
    local app = t.app {}
    local ana, ben = app:client { user = "ana", doc = "b" }, app:client { user = "ben", doc = "b" }
    ana:map("tasks/7"):assign { status = "todo", labels = { "bug" } }
    ana:text("content/body"):insert(0, "hi")
    ana:array("list"):push(1, "two")
    app:settle()
    ben:map("tasks/7"):set("status", "done")
    ben:text("content/body"):insert(2, "!")
    app:settle()
    assert.equal("done", app:doc("b"):get("tasks/7/status"))
    assert.same({ "bug" }, { unpack(app:doc("b"):get("tasks/7/labels")) })
    assert.equal("hi!", ana:text("content/body"):tostring())
    assert.equal("two", ben:array("list"):get(1))
    assert.converged(app, "b")
  end)

  it("lets people write offline and brings it in when they are back", function()
    local app = t.app {}
    local ana, ben = app:client { user = "ana", doc = "notes/1" }, app:client { user = "ben", doc = "notes/1" }
    ana:text("body"):insert(0, "ab")
    app:settle()
    app:offline()
    ana:text("body"):insert(1, "X")
    ben:text("body"):insert(2, "Y")
    app:settle()
    assert.equal("ab", app:doc("notes/1"):text("body"):tostring())
    app:online()
    assert.converged(app, "notes/1")
    assert.equal("aXbY", app:doc("notes/1"):text("body"):tostring())
  end)

  it("shows cursors", function()
    local app = t.app {}
    local ana, ben = app:client { user = "ana", doc = "n" }, app:client { user = "ben", doc = "n" }
    ana:awareness { name = "Ana" }
    app:settle()
    assert.equal("Ana", ben.presences[ana.id].name)
  end)

  it("says what a client has seen at any time", function()
    local app = t.app {}
    local ana, ben = app:client { user = "ana", doc = "n" }, app:client { user = "ben", doc = "n" }
    ana:text("body"):insert(0, "secret")
    app:settle()
    ana:text("body"):delete(0, 6)
    app:settle()
    assert.equal("", ben:text("body"):tostring())
    assert.is_true(ben:has_seen("secret"))
    assert.never_seen(ben, "other")
  end)

  it("takes a refused edit back and says why", function()
    local app = t.app { plugins = { { "hello", config = { max_paste = "2KiB" } } }, open = true }
    local ana, ben = app:client { user = "ana", doc = "n" }, app:client { user = "ben", doc = "n" }
    ana:text("body"):insert(0, "short")
    ana:text("body"):insert(5, ("x"):rep(3000))
    ana:text("body"):insert(3005, " and sweet")
    app:settle()
    assert.equal("short and sweet", ana:text("body"):tostring())
    assert.converged(app, "n")
    assert.never_seen(ben, "xxx")
    assert.equal("hello.too_long", ana.notices[1].code)
  end)

  it("asks authorize before somebody gets a seat", function()
    local app = t.app { plugins = { "hello" } }
    local ana = app:client { user = "ana", doc = "n" }
    assert.matches("Hello, ana", app.logs[1].text, 1, true)
    assert.is_table(ana.closed) -- nobody granted anything
    app = t.app { plugins = { "hello" }, open = true }
    assert.is_nil(app:client { user = "ana", doc = "n" }.closed)
  end)

  it("holds edits while a validator is broken and loses none", function()
    local dir, plugins_dir = os.tmpname(), t.plugins_dir
    os.remove(dir)
    os.execute("mkdir -p " .. dir .. "/strict")
    for name, text in pairs { plugin = 'return { name = "strict", version = "1.0.0", api = 1, phase = "validate", hooks = { before_update = true } }',
                              init = "return { before_update = function() end }" } do
      local f = assert(io.open(("%s/strict/%s.lua"):format(dir, name), "wb"))
      f:write(text)
      f:close()
    end
    t.plugins_dir = dir
    local app = t.app { plugins = { "strict" } }
    t.plugins_dir = plugins_dir
    os.execute("rm -r " .. dir)
    local ana, ben = app:client { user = "ana", doc = "n" }, app:client { user = "ben", doc = "n" }
    app:fault("strict", "before_update", "boom")
    ana:text("body"):insert(0, "hi")
    app:settle()
    assert.equal("", ben:text("body"):tostring())
    local held = ana.held
    app:fault("strict", "before_update", nil)
    app:advance "5s"
    assert.equal("hi", ben:text("body"):tostring())
    assert.is_false(ana.held)
    assert.is_true(held)
    assert.error_matches(function() app:fault("strict", "conflict", "boom") end, "strict has no hook conflict here", 1, true)
  end)

  it("is the same for the same seed, and converges whatever they write", function()
    local states = {}
    for run = 1, 2 do
      local app = t.app { seed = 7 }
      local clients = {}
      for i, name in ipairs { "ana", "ben", "eve" } do clients[i] = app:client { user = name, doc = "n" } end
      for round = 1, 5 do
        for _, client in ipairs(clients) do t.random_edits(client, 4) end
        if round == 3 then clients[2]:offline() end
        app:settle()
      end
      clients[2]:online()
      assert.converged(app, "n")
      states[run] = app:doc("n").replica:state()
    end
    assert.equal(states[1], states[2])
  end)

  it("reloads a plugin with another configuration, or keeps the old one", function()
    local app = t.app { plugins = { { "hello", config = { max_paste = "2KiB" } } }, open = true }
    local ana = app:client { user = "ana", doc = "n" }
    local function paste()
      local before = #ana.notices
      ana:text("body"):insert(0, ("x"):rep(3000))
      app:settle()
      return #ana.notices == before
    end
    assert.is_false(paste())
    app:reload("hello", { config = { max_paste = "4KiB" } })
    assert.is_true(paste())
    assert.error_matches(function() app:reload("hello", { config = { max_paste = "1B" } }) end, "must be at least 1KiB", 1, true)
    assert.is_true(paste())
    app:rollback "hello"
    assert.is_false(paste())
  end)

  it("says of typing errors in specs what they are", function()
    assert.has_error(function() t.app { plugin = {} } end, "t.app: unknown key 'plugin'")
    assert.error_matches(function() t.app { plugins = { "helo" } } end, "helo")
    local app = t.app {}
    assert.has_error(function() app:client { user = "x" } end, "app:client: which doc?")
    assert.has_error(function() app:user "nobody" end, "nobody called nobody is here")
  end)
end)
