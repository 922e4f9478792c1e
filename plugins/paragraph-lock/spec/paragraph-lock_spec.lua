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
end)
