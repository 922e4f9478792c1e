local t = require "moonloom.test"

describe("content-filter", function()
  local function insert(text, opts)
    opts = opts or {}
    return t.update { { "text.insert", path = opts.path or "content", text = text }, author = opts.author }
  end

  local function masked(config, text)
    local u = insert(text)
    assert.is_nil(t.instance("content-filter", config):before_update(u))
    return u.replaced and u.replaced[1] or text
  end

  it("does nothing until it is told what to look for", function()
    assert.equal("fuck 4111 1111 1111 1111", masked(nil, "fuck 4111 1111 1111 1111"))
  end)

  it("covers words, whatever their case, as whole words", function()
    local config = { words = { "darn" }, lists = { "de" } }
    assert.equal("**** it, Darning", masked(config, "DARN it, Darning"))
    assert.equal("so eine *******!", masked(config, "so eine Scheiße!"))
    assert.equal("****ing", masked({ words = { "darn" }, whole_words = false }, "darning"))
    assert.equal("DARN", masked({ words = { "darn" }, fold = false }, "DARN"))
  end)

  it("knows cards, accounts and keys from other numbers", function()
    local config = { builtin = { "card", "iban", "email", "phone", "ssn", "aws_key" }, keep_last = 4 }
    assert.equal("pay **** **** **** 1111 now", masked(config, "pay 4111 1111 1111 1111 now"))
    assert.equal("tel 4111 1111 1111 1112", masked(config, "tel 4111 1111 1111 1112"))
    assert.equal("**** **** **** **** **30 00", masked(config, "DE89 3704 0044 0532 0130 00"))
    assert.equal("DE88 3704 0044 0532 0130 00", masked(config, "DE88 3704 0044 0532 0130 00"))
    assert.equal("mail ***********.org", masked(config, "mail ana@example.org"))
    assert.equal("call *** ** ***4567", masked(config, "call +49 30 1234567"))
    assert.equal("*******6789", masked(config, "123-45-6789"))
    assert.equal("****************MPLE", masked(config, "AKIAIOSFODNN7EXAMPLE"))
  end)

  it("takes patterns of its own, with a check digit or entropy", function()
    local config = { patterns = { { name = "a ticket", regex = "T-\\d+" }, { name = "a secret", regex = "[A-Za-z0-9]{16,}", min_entropy = 3.5 } } }
    assert.equal("see *****", masked(config, "see T-123"))
    assert.equal("aaaaaaaaaaaaaaaaaaaa", masked(config, "aaaaaaaaaaaaaaaaaaaa"))
    assert.equal(("*"):rep(20), masked(config, "x8Kq2LmZ9vTr4WcY1bNs"))
    assert.equal("79927398713 ***", masked({ patterns = { { name = "n", regex = "\\d{3}\\b", luhn = true } } }, "79927398713 059"))
  end)

  it("covers several hits in one text, each once", function()
    assert.equal("*** a **** b ***", masked({ words = { "foo", "quux" }, patterns = { { name = "x", regex = "fo+" } } }, "foo a quux b foo"))
  end)

  it("refuses with a sentence for the person", function()
    local plugin = t.instance("content-filter", { builtin = { "private_key" }, words = { "darn" }, action = "refuse" })
    local answer = plugin:before_update(insert "-----BEGIN RSA PRIVATE KEY-----")
    assert.denied("unwanted", answer)
    assert.equal("This text was not added: it looks like a private key.", answer.reason)
    assert.denied("unwanted", plugin:before_update(t.update { { "map.set", path = "meta", key = "title", value = "darn" } }))
    assert.is_nil(plugin:before_update(insert "fine"))
  end)

  it("only says so when it reports, and never what was written", function()
    local plugin = t.instance("content-filter", { words = { "darn" }, action = "report" })
    local u = insert "darn it"
    assert.is_nil(plugin:before_update(u))
    assert.is_nil(u.replaced)
    assert.truthy(plugin:logs():find("unwanted text", 1, true))
    assert.is_nil(plugin:logs():find("darn", 1, true))
  end)

  it("rewrites values of maps", function()
    local u = t.update { { "map.set", path = "meta", key = "title", value = "a darn title" } }
    assert.is_nil(t.instance("content-filter", { words = { "darn" } }):before_update(u))
    assert.same({ "a **** title" }, u.replaced)
  end)

  it("leaves exempt people and other places alone", function()
    local plugin = t.instance("content-filter", { words = { "darn" }, action = "refuse", exempt = { "admin" }, paths = { "content/**" } })
    assert.is_nil(plugin:before_update(insert("darn", { author = { roles = { "admin" } } })))
    assert.is_nil(plugin:before_update(insert("darn", { path = "notes" })))
    assert.denied("unwanted", plugin:before_update(insert("darn", { path = "content" })))
  end)

  it("says what is wrong with its configuration", function()
    assert.has_error(function() t.config("content-filter", { patterns = { { name = "x", regex = "a**" } } }) end)
    assert.has_error(function() t.config("content-filter", { lists = { "xx" } }) end)
  end)

  describe("letter by letter", function()
    local app, ana
    local function start(config)
      app = t.app { plugins = { { "content-filter", config = config } } }
      ana = app:client { user = "ana", doc = "notes" }
    end
    local function types(text, path)
      for c in text:gmatch "." do
        ana:text(path or "content"):insert(ana:text(path or "content"):len(), c)
        app:advance "100ms"
      end
    end
    local function seen(path) return app:doc("notes"):text(path or "content"):tostring() end

    it("covers a word when something stands behind it, on every replica", function()
      start { words = { "darn" } }
      types "so darn"
      assert.equal("so darn", seen())
      types "ing"
      assert.equal("so darning", seen())
      types " darn it"
      assert.equal("so darning **** it", seen())
      app:settle()
      assert.equal("so darning **** it", ana:text("content"):tostring())
      assert.converged(app, "notes")
    end)

    it("takes it out where it refuses, and counts in the units of clients", function()
      start { words = { "darn" }, action = "refuse" }
      ana:text("content"):insert(0, "😀é ")
      app:settle()
      ana:text("content"):insert(4, "da")
      app:advance "1s"
      ana:text("content"):insert(6, "rn it")
      app:advance "1s"
      assert.equal("😀é  it", seen())
    end)

    it("looks at the end of a paragraph once somebody goes on elsewhere", function()
      start { words = { "darn" } }
      types "darn"
      assert.equal("darn", seen())
      types("x", "other")
      assert.equal("****", seen())
      types("darn\nx", "third")
      assert.equal("****\nx", seen "third")
    end)

    it("only reports, leaves exempt people alone, and can be switched off", function()
      start { words = { "darn" }, action = "report" }
      types "darn it"
      assert.equal("darn it", seen())
      local said = false
      for _, line in ipairs(app.logs) do said = said or line.text:find("unwanted text", 1, true) ~= nil end
      assert.is_true(said)
      start { words = { "darn" }, typed = false }
      types "darn it"
      assert.equal("darn it", seen())
      start { words = { "darn" }, exempt = { "admin" } }
      ana = app:client { user = "bo", doc = "notes", roles = { "admin" } }
      types "darn it"
      assert.equal("darn it", seen())
    end)
  end)
end)
