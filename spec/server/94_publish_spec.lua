-- What is published: who may read it, what caches are told, and that it is gone at once when it is hidden.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local JSON = "application/json"

describe("published", function()
  local world

  local function path(name, rest) return "/api/v1/orgs/default/docs/" .. name:gsub("/", "%%2F") .. (rest or "") end
  local function ask(method, where, body, headers)
    local all = { ["Content-Type"] = body and JSON or nil }
    for key, value in pairs(headers or {}) do all[key] = value end
    local answer = http.request(world.port, method, where, all, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function get(where, headers) return ask("GET", where, nil, headers) end
  local function ops(name, list) return assert(ask("POST", path(name, "/ops"), { ops = list }).json.seq) end
  local function publish(name, body)
    local answer = ask("POST", path(name, "/publish"), body or {})
    assert.equal(200, answer.status, answer.body)
    return answer.json
  end
  local function cached(answer) return answer.fields["cache-control"] end

  teardown(process.clean)

  describe("documents", function()
    setup(function() world = World.new() end)
    teardown(function() world:close() end)

    it("are none until somebody publishes them", function()
      ops("private", { { "text.insert", "content", 0, "secret" } })
      for _, where in ipairs { "/d/default/private", "/d/default/private/s/1-0123456789abcdef/content.txt", "/d/default/nothing", "/d/x/y" } do
        local answer = get(where)
        assert.equal(404, answer.status, where)
        assert.equal("no-store", cached(answer))
        assert.falsy(answer.body:find("secret", 1, true))
      end
      assert.equal("private", get(path("private", "/publish")).json.error.code)
      assert.equal(404, ask("POST", path("nothing", "/publish"), {}).status)
    end)

    it("lead to their newest version, whose files never change", function()
      ops("page", { { "text.insert", "content", 0, "first" } })
      local first = publish "page"
      assert.equal("/d/default/page", first.url)
      local pointer = get "/d/default/page"
      assert.equal(302, pointer.status)
      assert.equal(first.files["index.html"], pointer.fields.location)
      assert.equal("public, max-age=0, s-maxage=60", cached(pointer))
      local text = get(first.files["content.txt"])
      assert.equal("first", text.body)
      assert.equal("public, max-age=31536000, immutable", cached(text))
      ops("page", { { "text.insert", "content", 5, " second" } })
      assert.equal("first", get(first.files["content.txt"]).body)
      assert.equal(first.files["index.html"], get("/d/default/page").fields.location)
      local second = publish "page"
      assert.equal("first second", get(second.files["content.txt"]).body)
      assert.equal("first", get(first.files["content.txt"]).body)
      assert.equal(second.files["index.html"], get("/d/default/page").fields.location)
      local json = get "/d/default/page?format=json"
      assert.equal(second.version, json.json.version)
      assert.same(second.files, json.json.files)
      assert.same(second.files, get(path("page", "/publish")).json.files)
    end)

    it("are published as they were, by name or number of a version", function()
      ops("old", { { "text.insert", "content", 0, "one" } })
      ask("POST", path("old", "/versions"), { name = "v1" })
      ops("old", { { "text.insert", "content", 3, " two" } })
      local v1 = publish("old", { version = "v1" })
      assert.equal("one", get(v1.files["content.txt"]).body)
      assert.equal(v1.hash, publish("old", { version = 1 }).hash)
      assert.equal(404, ask("POST", path("old", "/publish"), { version = "v9" }).status)
      assert.equal(400, ask("POST", path("old", "/publish"), { version = true }).status)
      assert.equal(409, ask("DELETE", path("old", "/versions/v1")).status)
    end)

    it("come in every form, and an unknown file is not there", function()
      ops("forms", { { "text.insert", "content", 0, "Hi & <b>" } })
      local files = publish("forms").files
      assert.equal("Hi & <b>", get(files["content.txt"]).body)
      assert.equal('[{"insert":"Hi & <b>"}]', get(files["content.delta.json"]).body)
      assert.truthy(get(files["index.html"]).body:find("Hi &amp; &lt;b&gt;", 1, true))
      assert.equal(get(path("forms", "/state")).body, get(files["update.bin"]).body)
      assert.truthy(#get(files["content.md"]).body > 0)
      assert.equal(200, get(files["content.json"]).status)
      assert.equal(200, get(files["content.xml"]).status)
      assert.equal(404, get((files["content.txt"]:gsub("content.txt", "content.exe"))).status)
      assert.equal(404, get((files["content.txt"]:gsub("%-%x+/", "-0000000000000000/"))).status)
      assert.equal(404, get((files["content.txt"]:gsub("/s/%d+", "/s/99"))).status)
    end)

    it("run nothing, whatever they hold", function()
      local evil = '<script>alert(1)</script><img src=x onerror=alert(1)>'
      ops("%3C%2Ftitle%3E", { { "text.insert", "content", 0, evil } })
      for file, where in pairs(publish("%3C%2Ftitle%3E").files) do
        local answer = get(where)
        assert.equal("nosniff", answer.fields["x-content-type-options"], file)
        assert.truthy(answer.fields["content-security-policy"]:find("sandbox", 1, true), file)
        assert.truthy(answer.fields["content-security-policy"]:find("default-src 'none'", 1, true), file)
        assert.falsy(answer.fields["content-security-policy"]:find("allow-scripts", 1, true), file)
        if file == "index.html" then
          assert.falsy(answer.body:find("<script", 1, true) or answer.body:find("<img", 1, true))
          assert.truthy(answer.body:find("<title>&lt;/title&gt;</title>", 1, true))
        end
      end
    end)

    it("are not sent again to who has them", function()
      ops("tagged", { { "text.insert", "content", 0, "x" } })
      local files = publish("tagged").files
      for _, where in ipairs { files["content.txt"], files["index.html"], "/d/default/tagged?format=json" } do
        local tag = get(where).fields.etag
        local again = get(where, { ["If-None-Match"] = tag })
        assert.equal(304, again.status)
        assert.equal("", again.body)
        assert.equal(tag, again.fields.etag)
        assert.equal(304, get(where, { ["If-None-Match"] = '"other", ' .. tag }).status)
        assert.equal(200, get(where, { ["If-None-Match"] = '"other"' }).status)
      end
      local head = ask("HEAD", files["content.txt"])
      assert.equal("1", head.fields["content-length"])
    end)

    it("carry the keys by which caches forget them", function()
      ops("keys", { { "text.insert", "content", 0, "x" } })
      local files = publish("keys").files
      local keys = get("/d/default/keys").fields["surrogate-key"]
      local hash = keys:match "^o%-default d%-(%x+)$"
      assert.equal(16, #hash)
      assert.equal(("o-default d-%s s-%s-1"):format(hash, hash), get(files["content.txt"]).fields["surrogate-key"])
      ops("keys2", { { "text.insert", "content", 0, "x" } })
      publish "keys2"
      assert.not_equal(keys, get("/d/default/keys2").fields["surrogate-key"])
    end)

    it("are not public to who shows credentials", function()
      ops("cookie", { { "text.insert", "content", 0, "x" } })
      local files = publish("cookie").files
      assert.equal("private, max-age=31536000, immutable", cached(get(files["content.txt"], { Cookie = "a=b" })))
      assert.equal("private, max-age=31536000, immutable", cached(get(files["content.txt"], { Authorization = "Bearer x" })))
    end)

    it("are gone at once when they are hidden, deleted, and there again when they are published again", function()
      ops("hidden", { { "text.insert", "content", 0, "x" } })
      local files = publish("hidden").files
      assert.equal(200, get(files["content.txt"]).status)
      assert.equal(204, ask("DELETE", path("hidden", "/publish")).status)
      for _, where in ipairs { files["content.txt"], "/d/default/hidden" } do
        local answer = get(where, { ["If-None-Match"] = "*" })
        assert.equal(404, answer.status)
        assert.equal("no-store", cached(answer))
      end
      assert.equal(204, ask("DELETE", path("hidden", "/publish")).status)
      files = publish("hidden").files
      assert.equal("x", get(files["content.txt"]).body)
      assert.equal(204, ask("DELETE", path "hidden").status)
      assert.equal(404, get(files["content.txt"]).status)
    end)

    it("have names with slashes and other signs", function()
      for _, name in ipairs { "plans/q3", "a/s/1-aa/content.txt" } do
        ops(name:gsub("/", "%%2F"), { { "text.insert", "content", 0, name } })
        local published = publish(name)
        assert.equal("/d/default/" .. name:gsub("/", "%%2F"), published.url)
        assert.equal(name, get(published.files["content.txt"]).body)
        assert.equal(302, get(published.url).status)
      end
      assert.equal(302, get("/d/default/plans/q3").status)
    end)

    it("stay published through a crash", function()
      ops("crash", { { "text.insert", "content", 0, "x" } })
      local files = publish("crash").files
      world:kill()
      world:start()
      assert.equal("x", get(files["content.txt"]).body)
    end)
  end)

  describe("with plugins", function()
    local function with(manifest, code)
      local folder = process.folder()
      World.plugin(folder, "rules", {
        ["plugin.lua"] = ("return { name = 'rules', version = '1.0.0', api = 1, summary = 'of a spec', hooks = { %s } }"):format(manifest),
        ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. code .. "\nreturn P\n",
      })
      world = World.new { args = { "--plugins", folder }, config = "plugins = { rules = {} }" }
      ops("doc", { { "text.insert", "content", 0, "x" } })
      return publish("doc").files
    end
    after_each(function() world:close() end)

    it("say what a cache may keep", function()
      local files = with("cache_control = {}", [[
        function P:cache_control(res)
          if res.route == "published.latest" then
            return { store = "private", max_age = "5s", vary = { "accept-encoding" }, key_header = "cache-tag" }
          end
          return { max_age = "1h", shared_max_age = "2h", stale_while_revalidate = "30s", immutable = false, key_header = "cache-tag" }
        end
      ]])
      local pointer = get "/d/default/doc"
      assert.equal("private, max-age=5", cached(pointer))
      assert.equal("accept-encoding", pointer.fields.vary)
      local text = get(files["content.txt"])
      assert.equal("public, max-age=3600, s-maxage=7200, stale-while-revalidate=30", cached(text))
      assert.equal((text.fields["surrogate-key"]:gsub(" ", ",")), text.fields["cache-tag"])
    end)

    it("that fail make it no-store, and so does a wrong word", function()
      local files = with("cache_control = {}", [[
        function P:cache_control(res)
          if res.route == "published.latest" then return { stoer = "public" } end
          return res.no_such_field
        end
      ]])
      assert.equal("no-store", cached(get "/d/default/doc"))
      assert.equal("no-store", cached(get(files["content.txt"])))
    end)

    it("cannot make public what was asked for with credentials, nor the API", function()
      local files = with("cache_control = {}", "function P:cache_control() return { store = 'public', max_age = '1h' } end")
      assert.equal("private, max-age=3600, immutable", cached(get(files["content.txt"], { Cookie = "a=b" })))
      assert.equal("no-store", cached(get(path("doc", "/content"))))
    end)

    it("say where files are", function()
      local files = with("asset_url = {}", [[
        function P:asset_url(a)
          return ("https://cdn.example.com/%s/%s/%d-%s/%s"):format(a.org, a.doc_id, a.snapshot, a.hash:sub(1, 6), a.file)
        end
      ]])
      assert.truthy(files["content.txt"]:match "^https://cdn.example.com/default/doc/1%-%x%x%x%x%x%x/content.txt$")
      assert.equal(files["index.html"], get("/d/default/doc").fields.location)
    end)

    it("that answer no address are not listened to", function()
      local files = with("asset_url = {}", [[function P:asset_url(a) return "https://x/\r\nSet-Cookie: a=b" end]])
      assert.truthy(files["content.txt"]:match "^/d/default/doc/s/1%-%x+/content.txt$")
    end)
  end)
end)
