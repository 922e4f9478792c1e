local t = require "moonloom.test"
local CARD, MASKED = "pay 4111 1111 1111 1111 now", "pay **** **** **** 1111 now"
local KEY = "-----BEGIN RSA PRIVATE KEY-----"

describe("paste-guard", function()
  describe("the hook alone", function()
    local guard
    before_each(function() guard = t.instance("paste-guard") end)

    it("masks cards and leaves other numbers alone", function()
      local u = t.update { { "text.insert", path = "content/body", text = CARD },
                           { "text.insert", path = "content/body", text = "tel 4111 1111 1111 1112" } }
      assert.is_nil(guard:before_update(u))
      assert.same({ MASKED }, u.replaced)
    end)

    it("refuses private keys and oversized pastes", function()
      assert.denied("secret", guard:before_update(t.update { { "text.insert", path = "content/body", text = KEY } }))
      local big = ("x"):rep(65 * 1024)
      assert.denied("too_large", guard:before_update(t.update { { "text.insert", path = "content/body", text = big } }))
    end)
  end)

  describe("with two people in a document", function()
    local app, ana, ben
    before_each(function()
      app = t.app { plugins = { "paste-guard" } }
      ana = app:client { user = "ana", doc = "notes/1" }
      ben = app:client { user = "ben", doc = "notes/1" }
    end)

    it("shows nobody the number, not even for a moment", function()
      ana:text("content/body"):insert(0, CARD)
      app:settle()
      assert.converged(app, "notes/1")
      assert.equal(MASKED, ben:text("content/body"):tostring())
      assert.never_seen(ben, "4111 1111")
    end)

    it("takes a refused paste back and says why", function()
      ana:text("content/body"):insert(0, "hello ")
      ana:text("content/body"):insert(6, KEY)
      ana:text("content/body"):insert(6 + #KEY, "world")
      app:settle()
      assert.equal("hello world", ana:text("content/body"):tostring())
      assert.equal("hello world", ben:text("content/body"):tostring())
      assert.equal("paste-guard.secret", ana.notices[1].code)
    end)

    it("holds edits while it is broken and loses none", function()
      app:fault("paste-guard", "before_update", "boom")
      ana:text("content/body"):insert(0, "hi")
      app:settle()
      assert.equal("", ben:text("content/body"):tostring())
      assert.is_true(ana.held)

      app:fault("paste-guard", "before_update", nil)
      app:advance("5s")
      assert.equal("hi", ben:text("content/body"):tostring())
      assert.is_false(ana.held)
    end)
  end)
end)
