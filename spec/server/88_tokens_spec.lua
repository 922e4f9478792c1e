-- The server's own keys and tokens, keys of programs, and who may give what (docs/identity.md).
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

local CLOSED = "auth = { mode = 'plugins' }\n"

-- Nobody is known but by a token of the server's own.
local QUIET = {
  ["plugin.lua"] = "return { name = 'quiet', version = '1.0.0', api = 1, phase = 'auth', hooks = { authenticate = {} } }",
  ["init.lua"] = "local P = {}\nfunction P:authenticate() return nil end\nreturn P",
}

describe("tokens", function()
  local world

  local function moonloom(...)
    local argv = { World.BIN, ... }
    argv[#argv + 1] = "--data"
    argv[#argv + 1] = world.data
    return process.run(argv)
  end

  local function line(...)
    local status, out, err = moonloom(...)
    assert.equal(0, status, err)
    return (out:gsub("\n$", ""))
  end

  local function ask(method, path, bearer, body)
    local headers = { ["Content-Type"] = "application/json" }
    if bearer then headers.Authorization = "Bearer " .. bearer end
    local answer = http.request(world.port, method, path, headers, body and cjson.encode(body))
    if answer.fields["content-type"] == "application/json" and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end

  setup(function()
    local folder = process.folder()
    World.plugin(folder, "quiet", QUIET)
    world = World.new { args = { "--plugins", folder }, config = CLOSED .. "plugins = { quiet = {} }\n" }
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  local OPS = { ops = { { "text.insert", "content", 0, "x" } } }
  local function document(name) return "/api/v1/orgs/default/docs/" .. name end

  it("minted beside the running server are taken, for what their role may", function()
    local editor = line("token", "--org", "default", "--user", "ana", "--name", "Ana Bell")
    assert.equal(200, ask("POST", document "a/ops", editor, OPS).status)
    assert.same({ id = "ana", name = "Ana Bell", org = "default", roles = { "editor" } }, ask("GET", "/auth/session", editor).json.user)

    local viewer = line("token", "--org", "default", "--user", "vic", "--role", "viewer")
    assert.equal(200, ask("GET", document "a/content", viewer).status)
    assert.equal(403, ask("POST", document "a/ops", viewer, OPS).status)
  end)

  it("without one, or of another org, nothing is there", function()
    local none = ask("GET", document "a")
    assert.equal(404, none.status)
    local other = line("token", "--org", "acme", "--user", "ana")
    assert.equal(404, ask("GET", document "a", other).status)
    local robot = line("token", "--org", "default", "--user", "ana", "--role", "robot")
    assert.equal(404, ask("GET", document "a", robot).status)
  end)

  it("for a pattern open nothing else, and list nothing", function()
    local token = line("token", "--org", "default", "--user", "ana", "--doc", "plans/*")
    assert.equal(200, ask("POST", document "plans%2Fq3/ops", token, OPS).status)
    assert.equal(404, ask("POST", document "other/ops", token, OPS).status)
    assert.equal(404, ask("GET", document "plans%2Fq3%2Fdeep", token).status)
    assert.equal(404, ask("GET", "/api/v1/orgs/default/docs", token).status)
  end)

  it("for a pattern open nothing else, also where plugins give everything", function()
    local folder = process.folder()
    World.plugin(folder, "giver", {
      ["plugin.lua"] = "return { name = 'giver', version = '1.0.0', api = 1, phase = 'auth', hooks = { authorize = {} } }",
      ["init.lua"] = [[local ml = require "moonloom"
        local P = {}
        function P:authorize(ask)
          -- Nobody is somebody, too: without a name.
          if ask.identity.user == "" then return nil end
          return ml.grant { read = true, write = true }
        end
        return P]],
    })
    local outer = world
    world = World.new { args = { "--plugins", folder }, config = CLOSED .. "plugins = { giver = {} }\n" }
    local plans = line("token", "--org", "default", "--user", "ana", "--doc", "plans/*")
    assert.equal(200, ask("POST", document "plans%2Fq3/ops", plans, OPS).status)
    assert.equal(404, ask("POST", document "other/ops", plans, OPS).status)
    assert.equal(404, ask("GET", "/api/v1/orgs/default/docs", plans).status)
    assert.equal(200, ask("POST", document "other/ops", line("token", "--org", "default", "--user", "ana"), OPS).status)
    assert.equal(404, ask("GET", document "other").status)
    world:close()
    world = outer
  end)

  it("changed or cut are refused, and in no log", function()
    local token = line("token", "--org", "default", "--user", "ana")
    local dot = token:find(".", 1, true)
    local broken = token:sub(1, dot) .. (token:sub(dot + 1, dot + 1) == "e" and "f" or "e") .. token:sub(dot + 2)
    for _, bad in ipairs { broken, token:sub(1, -3), token .. "AA", token .. ".x" } do
      local answer = ask("GET", document "a", bad)
      assert.equal(401, answer.status)
      assert.equal("bad_token", answer.json.error.code)
    end
    assert.falsy(process.read(world.log):find("eyJ", 1, true))
  end)

  it("open a socket through ?token=, for a reader as a reader", function()
    local token = line("token", "--org", "default", "--user", "ana")
    local ana = world:client "ana"
    ana:joins("sock", { query = "token=" .. token })
    ana:types(0, "hello"):is_acknowledged()
  end)

  it("of too long a life are not minted", function()
    local status, _, err = moonloom("token", "--org", "default", "--user", "ana", "--ttl", "16m")
    assert.equal(2, status)
    assert.truthy(err:find("15m", 1, true))
    assert.equal(2, (moonloom("token", "--org", "default")))
    assert.equal(2, (moonloom("token", "--org", "default", "--user", "a", "--role", "no role")))
    assert.equal(0, (moonloom("token", "--org", "default", "--user", "a", "--ttl", "15m")))
  end)

  describe("from a program with a key", function()
    local TOKENS = "/api/v1/orgs/default/tokens"
    local key

    setup(function() key = line("key", "add", "--org", "default", "--name", "shop", "--role", "editor") end)

    it("are minted with no more than the key has", function()
      local answer = ask("POST", TOKENS, key, { user = "cus-7", name = "Cus", roles = { "viewer" }, ttl = 60 })
      assert.equal(201, answer.status)
      assert.truthy(answer.json.expires > os.time() * 1000)
      assert.equal(404, ask("GET", document "nothing-there", answer.json.token).status)
      assert.equal(200, ask("GET", document "a/content", answer.json.token).status)
      assert.equal(403, ask("POST", document "a/ops", answer.json.token, OPS).status)
      local all = ask("POST", TOKENS, key, { user = "cus-8" })
      assert.equal(200, ask("POST", document "a/ops", all.json.token, OPS).status)
      for _, role in ipairs { "owner", "admin", "robot" } do
        assert.equal(403, ask("POST", TOKENS, key, { user = "x", roles = { role } }).status)
      end
    end)

    it("not with a wrong key, one of another org, a token, or none", function()
      local last = key:sub(-1) == "0" and "1" or "0"
      local token = line("token", "--org", "default", "--user", "ana", "--role", "admin")
      for _, bearer in ipairs { key:sub(1, -2) .. last, key:sub(1, -2), token, "ml_", "" } do
        local answer = ask("POST", TOKENS, bearer, { user = "x" })
        assert.equal(401, answer.status)
        assert.equal("login_required", answer.json.error.code)
      end
      assert.equal(401, ask("POST", TOKENS, nil, { user = "x" }).status)
      assert.equal(401, ask("POST", "/api/v1/orgs/acme/tokens", key, { user = "x" }).status)
    end)

    it("not for a body that does not fit", function()
      local bad = { {}, { user = "" }, { user = 7 }, { user = ("x"):rep(257) }, { user = "x", ttl = 901 }, { user = "x", ttl = 0 },
        { user = "x", ttl = "60" }, { user = "x", roles = "editor" }, { user = "x", roles = { 1 } }, { user = "x", roles = { "a\nb" } },
        { user = "x", doc = "" }, { user = "x", more = 1 } }
      for _, body in ipairs(bad) do
        assert.equal(422, ask("POST", TOKENS, key, body).status, cjson.encode(body))
      end
    end)

    it("not when it was removed; its list tells no secret", function()
      local gone = line("key", "add", "--org", "default", "--name", "old")
      local listed = line("key", "ls", "--json")
      assert.truthy(listed:find('"name":"old"', 1, true))
      assert.truthy(listed:find('"kind":"signing"', 1, true))
      assert.falsy(listed:find("hash", 1, true))
      assert.equal(201, ask("POST", TOKENS, gone, { user = "x" }).status)
      assert.equal(0, (moonloom("key", "rm", "--org", "default", gone:sub(4, 19))))
      assert.equal(1, (moonloom("key", "rm", "--org", "default", gone:sub(4, 19))))
      assert.equal(401, ask("POST", TOKENS, gone, { user = "x" }).status)
    end)
  end)

  it("stay good when the keys change, and the keys do not change twice at once", function()
    local before = line("token", "--org", "default", "--user", "ana")
    line("key", "rotate")
    local after = line("token", "--org", "default", "--user", "ana")
    assert.equal(200, ask("GET", document "a/content", before).status)
    assert.equal(200, ask("GET", document "a/content", after).status)
    local status, _, err = moonloom("key", "rotate")
    assert.equal(1, status)
    assert.truthy(err:find("--force", 1, true))
    assert.equal(2, select(2, line("key", "ls"):gsub("signing", "")))
  end)
end)
