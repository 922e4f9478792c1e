local t = require "moonloom.test"

describe("hello", function()
  it("greets people by name when they open a document", function()
    local hello = t.instance("hello", { greeting = "Welcome" })
    assert.is_nil(hello:authorize(t.ask { doc_id = "notes/7", identity = t.identity { name = "Ben" } }))
    assert.equal("Welcome, Ben doc=notes/7\n", hello:logs())
  end)

  it("has nothing to say to strangers", function()
    local hello = t.instance("hello")
    assert.is_nil(hello:authorize(t.ask { identity = false }))
    assert.equal("", hello:logs())
  end)

  it("lets people write", function()
    local hello = t.instance("hello")
    assert.is_nil(hello:before_update(t.update { { "text.insert", path = "body", text = ("word "):rep(400) } }))
  end)

  it("asks for shorter pastes", function()
    local hello = t.instance("hello", { max_paste = "2KiB" })
    assert.denied("too_long", hello:before_update(t.update { { "text.insert", path = "body", text = ("x"):rep(3000) } }))
    assert.not_denied("too_long", hello:before_update(t.update { { "text.insert", path = "body", text = ("x"):rep(1500) } }))
  end)

  it("says what is wrong with its configuration", function()
    assert.equal(1048576, t.config("hello").max_paste)
    assert.has_error(function() t.config("hello", { max_paste = "1B" }) end,
      'hello: config: max_paste = "1B": must be at least 1KiB')
    assert.has_error(function() t.config("hello", { greting = "Hi" }) end,
      'hello: config: greting: unknown field; did you mean "greeting"?')
  end)
end)
