local t = require "moonloom.test"

describe("cache-rules", function()
  local function res(route, more)
    local all = { route = route, method = "GET", status = 200, is_api = false, has_cookie = false, authenticated = false, doc_id = "notes/1" }
    for k, v in pairs(more or {}) do all[k] = v end
    return all
  end

  it("keeps files for a year and the pointer for a minute", function()
    local plugin = t.instance "cache-rules"
    local file = plugin:cache_control(res "published.file")
    assert.equal("public", file.store)
    assert.equal(365 * 86400, file.max_age)
    assert.is_true(file.immutable)
    local latest = plugin:cache_control(res "published.latest")
    assert.equal(60, latest.shared_max_age)
    assert.equal(0, latest.max_age)
    assert.is_nil(plugin:cache_control(res "other"))
  end)

  it("keeps nothing of the API", function()
    assert.same({ store = "no-store" }, t.instance("cache-rules"):cache_control(res("getContent", { is_api = true })))
  end)

  it("uses the first rule that fits route and document", function()
    local plugin = t.instance("cache-rules", { rules = {
      { routes = { "published.file" }, docs = "secret/**", store = "no-store" }, { routes = { "*" }, store = "private", max_age = "5s" } } })
    assert.equal("no-store", plugin:cache_control(res("published.file", { doc_id = "secret/a/b" })).store)
    assert.equal("private", plugin:cache_control(res "published.file").store)
  end)

  it("refuses what is no rule", function()
    assert.has_error(function() t.config("cache-rules", { rules = { { store = "public" } } }) end)
    assert.has_error(function() t.config("cache-rules", { rules = { { routes = { "x" }, store = "everywhere" } } }) end)
  end)
end)
