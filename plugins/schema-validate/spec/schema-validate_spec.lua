local t = require "moonloom.test"

describe("schema-validate", function()
  local META = [[{ "additionalProperties": false, "properties": {
    "title": { "type": "string", "minLength": 1, "maxLength": 10 }, "status": { "enum": ["draft", "done"] },
    "size": { "type": "integer", "minimum": 0, "maximum": 9 }, "ratio": { "type": "number" },
    "code": { "type": "string", "pattern": "^[A-Z]{3}$" }, "any": { "anyOf": [{ "type": "null" }, { "type": "string" }] },
    "tags": { "type": "array", "maxItems": 3, "items": { "type": "string" } },
    "author": { "type": "object", "additionalProperties": false, "properties": { "name": { "type": "string" } } } } }]]

  local function plugin(config)
    config = config or {}
    config.schemas = config.schemas or { { root = "meta", schema = META } }
    return t.instance("schema-validate", config)
  end

  local function set(key, value, opts)
    opts = opts or {}
    return t.update { { "map.set", path = opts.path or "meta", key = key, value = value }, origin = opts.origin, doc_id = opts.doc }
  end

  local function fits(key, value) assert.is_nil(plugin():before_update(set(key, value))) end
  local function fails(key, value, reason)
    local answer = plugin():before_update(set(key, value))
    assert.denied("schema", answer)
    if reason then assert.equal(reason, answer.reason) end
  end

  it("lets through what fits", function()
    fits("title", "Plan")
    fits("status", "done")
    fits("size", 9)
    fits("ratio", 0.5)
    fits("ratio", 2)
    fits("code", "ABC")
    fits("any", "x")
    fits("tags", { "a", "b" })
    fits("author", { name = "Ana" })
  end)

  it("refuses what does not, and says which and why", function()
    fails("title", "", "title is too short.")
    fails("title", "a title too long", "title is too long.")
    fails("title", 7, "title is not of its type.")
    fails("status", "open", "status is not one of the values it may be.")
    fails("size", 10, "size is too large.")
    fails("size", -1, "size is too small.")
    fails("size", 1.5, "size is not of its type.")
    fails("code", "ABCD", "code does not look as it should.")
    fails("any", 1, "any fits none of its forms.")
    fails("tags", { "a", "b", "c", "d" }, "tags has too many items.")
    fails("tags", { "a", 1 })
    fails("author", { name = 1 }, "author name: is not of its type.")
    fails("author", { name = "Ana", age = 7 })
    fails("extra", 1, "extra does not belong here.")
  end)

  it("looks at nested places and at texts", function()
    assert.denied("schema", plugin():before_update(set("name", 1, { path = "meta/author" })))
    assert.is_nil(plugin():before_update(set("name", "Ana", { path = "meta/author" })))
    assert.denied("schema", plugin():before_update(t.update { { "text.insert", path = "meta/size", text = "x" } }))
    assert.is_nil(plugin():before_update(t.update { { "text.insert", path = "meta/title", text = "x" } }))
    assert.denied("schema", plugin():before_update(t.update { { "text.insert", path = "meta/other", text = "x" } }))
  end)

  it("has nothing to say about other roots and other documents", function()
    assert.is_nil(plugin():before_update(set("extra", 1, { path = "content" })))
    local p = plugin { schemas = { { docs = "boards/*", root = "meta", schema = META } } }
    assert.is_nil(p:before_update(set("extra", 1, { doc = "notes/1" })))
    assert.denied("schema", p:before_update(set("extra", 1, { doc = "boards/1" })))
  end)

  it("repairs what can be repaired, and takes back the rest", function()
    local p = plugin { on_violation = "repair" }
    local u = set("title", "a title too long")
    assert.is_nil(p:before_update(u))
    assert.same({ "a title to" }, u.replaced)
    u = set("extra", 1)
    assert.is_nil(p:before_update(u))
    assert.truthy(u.undone)
    u = set("author", { name = "Ana", age = 7 })
    assert.is_nil(p:before_update(u))
    assert.truthy(u.undone)
  end)

  it("repairs offline edits instead of refusing them, unless told otherwise", function()
    local u = set("author", { name = "Ana", age = 7 }, { origin = "sync" })
    assert.is_nil(plugin():before_update(u))
    assert.truthy(u.undone)
    assert.denied("schema", plugin { sync_grace = false }:before_update(set("extra", 1, { origin = "sync" })))
  end)

  it("only logs when it reports", function()
    local p = plugin { on_violation = "report" }
    local u = set("extra", 1)
    assert.is_nil(p:before_update(u))
    assert.is_nil(u.undone)
    assert.truthy(p:logs():find("does not fit its schema", 1, true))
  end)

  it("bounds depth and length of every value", function()
    local deep = {}
    for _ = 1, 40 do deep = { deep } end
    local open = { { root = "meta", schema = [[{ "properties": { "x": { "items": { "items": { "items": {} } } }, "s": {} } }]] } }
    assert.is_nil(plugin { schemas = open }:before_update(set("x", { { { 1 } } })))
    assert.denied("schema", plugin { schemas = open, max_depth = 2 }:before_update(set("x", { { { 1 } } })))
    assert.denied("schema", plugin { schemas = open, max_string = 10 }:before_update(set("s", ("x"):rep(11))))
  end)

  it("says what is wrong with a schema", function()
    local function refused(schema)
      assert.has_error(function() plugin { schemas = { { root = "meta", schema = schema } } } end)
    end
    refused "{"
    refused [[{ "type": "text" }]]
    refused [[{ "required": ["a"] }]]
    refused [[{ "pattern": "a**" }]]
    refused [[{ "properties": { "a": 1 } }]]
    assert.has_error(function() t.instance("schema-validate") end)
  end)
end)
