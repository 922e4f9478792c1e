local t = require "moonloom.test"

describe("paragraph-lock", function()
  local plugin
  before_each(function()
    t.reset()
    plugin = t.instance("paragraph-lock")
  end)
  after_each(function() t.reset() end)

  local function write(user, block, opts)
    opts = opts or {}
    local u = t.update { { "text.insert", path = opts.path or "content/0", block = block, text = "x" }, doc_id = opts.doc,
                         author = { user = user, name = user:upper(), roles = opts.roles or {} } }
    assert.is_nil(plugin:before_update(u))
    return u.undone and u.undone[1] or nil
  end

  it("takes back what others write where somebody is writing", function()
    assert.is_nil(write("ana", "p1"))
    local undone = write("ben", "p1")
    assert.truthy(undone)
    assert.is_nil(write("ana", "p1"))
  end)

  it("leaves other paragraphs, documents and places free", function()
    assert.is_nil(write("ana", "p1"))
    assert.is_nil(write("ben", "p2"))
    assert.is_nil(write("ben", "p1", { doc = "notes/2" }))
    assert.is_nil(write("ben", "p1", { path = "comments/0" }))
    assert.is_nil(write("ben", nil))
  end)

  it("lets go after a while, counted from the last keystroke", function()
    assert.is_nil(write("ana", "p1"))
    t.clock(1767225600 + 19)
    assert.is_nil(write("ana", "p1"))
    t.clock(1767225600 + 38)
    assert.truthy(write("ben", "p1"))
    t.clock(1767225600 + 39)
    assert.is_nil(write("ben", "p1"))
    assert.truthy(write("ana", "p1"))
  end)

  it("lets owners write anywhere, and take it", function()
    assert.is_nil(write("ana", "p1"))
    assert.is_nil(write("eve", "p1", { roles = { "owner" } }))
    assert.truthy(write("ana", "p1"))
  end)

  it("takes back only the edits of the paragraph that is taken", function()
    assert.is_nil(write("ana", "p1"))
    local u = t.update { { "text.insert", path = "content/0", block = "p1", text = "x" }, { "text.insert", path = "content/1", block = "p2", text = "y" },
                         author = { user = "ben" } }
    assert.is_nil(plugin:before_update(u))
    assert.equal(1, #u.undone)
  end)

  it("does not keep locks without bound", function()
    for i = 1, 300 do assert.is_nil(write("ana", "p" .. i, { doc = "d" .. i })) end
    t.clock(1767225600 + 3600)
    assert.is_nil(write("ben", "p1", { doc = "d1" }))
  end)

  describe("when people leave", function()
    -- Three windows of a document with one paragraph: two of ana's, one of ben's.
    local function start(config)
      local app = t.app { plugins = { { "paragraph-lock", config = config } } }
      local one, two = app:client { user = "ana", doc = "d" }, app:client { user = "ana", doc = "d" }
      local ben = app:client { user = "ben", doc = "d" }
      app:settle()
      ben:xml("content"):insert(0, { tag = "paragraph", children = { "text" } })
      app:advance "30s"
      one:write { { "text.insert", "content/0/0", 0, "A" } }
      app:settle()
      return app, one, two, ben
    end
    local function try(app, ben)
      ben:write { { "text.insert", "content/0/0", 0, "B" } }
      app:settle()
      return app:doc("d"):xml("content"):tostring():find("B", 1, true) ~= nil
    end

    it("their paragraphs are free, once their last window is closed", function()
      local app, one, two, ben = start()
      assert.is_false(try(app, ben))
      one:offline()
      app:settle()
      assert.is_false(try(app, ben))
      two:offline()
      app:settle()
      assert.is_true(try(app, ben))
    end)

    it("or stay theirs for their time", function()
      local app, one, two, ben = start { on_disconnect = "keep" }
      one:offline()
      two:offline()
      app:settle()
      assert.is_false(try(app, ben))
      app:advance "30s"
      assert.is_true(try(app, ben))
    end)
  end)

  describe("in a document", function()
    local app, ana, ben
    local function p(text, tag) return { tag = tag or "paragraph", children = { text } } end
    -- heading, a, b, heading, c, a table of two rows
    local function start(config, more)
      local plugins = { { "paragraph-lock", config = config } }
      for _, one in ipairs(more or {}) do plugins[#plugins + 1] = one end
      app = t.app { plugins = plugins }
      ana, ben = app:client { user = "ana", doc = "d", roles = { "editor" } }, app:client { user = "ben", doc = "d", roles = { "editor" } }
      local function cell(text) return { tag = "tableCell", children = { p(text) } } end
      local function row(text) return { tag = "tableRow", children = { cell(text), cell(text) } } end
      ana:xml("content"):insert(0, p("one", "heading"), p "a", p "b", p("two", "heading"), p "c", { tag = "table", children = { row "r", row "s" } })
      app:advance "30s"
    end
    local function put(client, path, text)
      client:write { { "text.insert", path, 0, text } }
      app:settle()
      return app:doc("d"):xml("content"):tostring():find(text, 1, true) ~= nil
    end
    local function notice(client) return client.notices[#client.notices] end

    it("takes a section, from one heading to the next", function()
      start { block = "heading_section" }
      assert.is_true(put(ana, "content/1/0", "A"))
      assert.is_false(put(ben, "content/2/0", "B"))
      assert.is_false(put(ben, "content/0/0", "H"))
      assert.is_true(put(ben, "content/4/0", "C"))
      assert.is_false(put(ana, "content/5/0/0/0/0", "T"))
      ben:xml("content"):insert(2, p "new")
      app:settle()
      assert.falsy(app:doc("d"):xml("content"):tostring():find("new", 1, true))
      ben:xml("content"):delete(2, 1)
      app:settle()
      assert.truthy(app:doc("d"):xml("content"):tostring():find("<paragraph>b</paragraph>", 1, true))
      assert.converged(app, "d")
    end)

    it("takes what stands above the first heading", function()
      start { block = "heading_section" }
      ana:xml("content"):insert(0, p "zero")
      app:settle()
      assert.is_false(put(ben, "content/0/0", "B"))
      assert.is_true(put(ben, "content/2/0", "C"))
    end)

    it("takes the row of a table, elsewhere the paragraph", function()
      start { block = "table_row" }
      assert.is_true(put(ana, "content/5/0/0/0/0", "A"))
      assert.is_false(put(ben, "content/5/0/1/0/0", "B"))
      assert.is_true(put(ben, "content/5/1/0/0/0", "C"))
      assert.is_true(put(ben, "content/1/0", "D"))
      assert.is_false(put(ana, "content/1/0", "E"))
      ben:xml("content/5"):delete(0, 1)
      app:settle()
      assert.truthy(app:doc("d"):xml("content"):tostring():find("Ar", 1, true))
      assert.converged(app, "d")
    end)

    it("keeps a paragraph that is taken from being deleted, alone or with what it stands in", function()
      start()
      assert.is_true(put(ana, "content/5/0/0/0/0", "A"))
      assert.is_true(put(ana, "content/1/0", "B"))
      ben:xml("content"):delete(5, 1)
      app:settle()
      assert.truthy(app:doc("d"):xml("content"):tostring():find("Ar", 1, true))
      ben:xml("content"):delete(1, 1)
      app:settle()
      assert.truthy(app:doc("d"):xml("content"):tostring():find("Ba", 1, true))
      ben:xml("content"):delete(2, 1)
      app:settle()
      assert.falsy(app:doc("d"):xml("content"):tostring():find("<paragraph>b</paragraph>", 1, true))
      assert.converged(app, "d")
    end)

    it("hands over to suggestion-mode, and refuses without it", function()
      start({ mode = "suggest" }, { "suggestion-mode" })
      assert.is_true(put(ana, "content/1/0", "A"))
      assert.is_true(put(ben, "content/1/0", "B"))
      assert.truthy(app:doc("d"):xml("content"):tostring():find("<insertion [^>]*>B</insertion>"))
      assert.is_true(put(ben, "content/2/0", "C"))
      assert.falsy(app:doc("d"):xml("content"):tostring():find("<insertion [^>]*>C</insertion>"))
      assert.converged(app, "d")
      start { mode = "suggest" }
      assert.is_true(put(ana, "content/1/0", "A"))
      assert.is_false(put(ben, "content/1/0", "B"))
      assert.equal("paragraph-lock.locked", notice(ben).code)
      assert.converged(app, "d")
    end)

    it("shows who has what in their presence, and lets nobody else say so", function()
      start()
      put(ana, "content/1/0", "A")
      ana:awareness { cursor = 1 }
      ben:awareness { cursor = 2, locked_by = { user = "ana", blocks = { "x" } } }
      app:settle()
      local shown = ben.presences[ana.id].locked_by
      assert.equal("ana", shown.user)
      assert.equal(1, #shown.blocks)
      assert.is_nil(ana.presences[ben.id].locked_by)
      app:advance "30s"
      ana:awareness { cursor = 2 }
      app:settle()
      assert.is_nil(ben.presences[ana.id].locked_by)
      start { show = false }
      put(ana, "content/1/0", "A")
      ana:awareness { cursor = 1 }
      app:settle()
      assert.is_nil(ben.presences[ana.id].locked_by)
    end)

    it("lets people change the map of locks only as the calls would", function()
      start()
      local function lock(user, ends, reason) return { user = user, name = user, reason = reason or "", ends = t.clock() + ends } end
      local function has(block) return app:doc("d"):get("locks/" .. block) ~= nil end
      ana:map("locks"):set("1-1", lock("ana", 3600))
      ana:map("locks"):set("1-2", lock("ben", 3600))
      ana:map("locks"):set("1-3", lock("ana", 9 * 3600))
      ana:map("locks"):set("1-4", "mine")
      app:settle()
      assert.same({ true, false, false, false }, { has "1-1", has "1-2", has "1-3", has "1-4" })
      ben:map("locks"):delete("1-1")
      ben:map("locks"):set("1-1", lock("ben", 60))
      app:settle()
      assert.equal("ana", app:doc("d"):get("locks/1-1").user)
      app:client { user = "olga", doc = "d", roles = { "owner" } }:map("locks"):delete("1-1")
      app:settle()
      assert.is_false(has "1-1")
      assert.converged(app, "d")
    end)
  end)
end)
