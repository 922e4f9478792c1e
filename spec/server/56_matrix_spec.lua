-- Every route of the server's own description, asked by everybody in every way about every place (SEC-AZ-02). What must come out
-- is said by two small tables: what a route needs, and what a role has. A route that is not in the first one fails.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

-- What a route needs of who asks. "read", "edit", "write", "history": this right (edit: at least somewhere in the document); "open": nothing; "key": a key of a program;
-- "admin": role owner or admin; "nowhere": 404 to everybody;
-- "itself": credentials of its own in the body.
local NEEDS = {
  describe = "open",
  listDocuments = "read", createDocument = "write", getDocument = "read", deleteDocument = "write", undeleteDocument = "write",
  getState = "read", postUpdate = "edit", getContent = "read", postOps = "edit",
  getHistory = "history", getChanges = "history", listVersions = "history", createVersion = "history write",
  getVersion = "history", pinVersion = "history write", deleteVersion = "history write", getVersionState = "history",
  getVersionContent = "history", restoreDocument = "write",
  getPublished = "read", publishDocument = "write", hideDocument = "write", purgeDocument = "write",
  listSessions = "read", removeSession = "write",
  callPlugin = "nowhere", listAudit = "admin", verifyAudit = "admin", mintToken = "key",
  listPlugins = "open", tracePlugins = "open", whyPlugins = "open", reloadPlugins = "open", -- from the server's own machine
  login = "itself", refresh = "itself", logout = "itself", setup = "itself",
}

for id, need in pairs { logoutEverywhere = "itself", changePassword = "itself", publicKeys = "open",
  signInElsewhere = "itself", signedInElsewhere = "itself" } do NEEDS[id] = need end

for id, need in pairs { listShares = "admin", putShare = "admin", deleteShare = "admin", why = "read", listInvites = "admin",
  invite = "admin", deleteInvite = "admin", acceptInvite = "itself", guest = "itself", ticket = "itself" } do NEEDS[id] = need end

-- What routes answer that take credentials of their own, and are sent none.
local WITHOUT = { login = 400, refresh = 401, logout = 204, setup = 400 }

WITHOUT.logoutEverywhere, WITHOUT.changePassword = 401, 401
WITHOUT.signInElsewhere, WITHOUT.signedInElsewhere = 404, 404 -- no such provider

WITHOUT.acceptInvite, WITHOUT.guest, WITHOUT.ticket = 400, 400, 400

-- What a role has. Not more than that it has it: "none" has nothing at all.
local HAS = {
  none = {}, viewer = { read = true }, commenter = { read = true, edit = true },
  suggester = { read = true, history = true, edit = true },
  editor = { read = true, edit = true, write = true, history = true },
}
HAS.owner, HAS.admin = { read = true, edit = true, write = true, history = true, admin = true }, nil
HAS.admin = HAS.owner
local ROLES = { "none", "viewer", "commenter", "suggester", "editor", "owner", "admin" }
local SIGNED_IN = { "viewer", "editor", "owner", "admin" } -- roles of accounts
local LINKED = { "viewer", "commenter", "editor" } -- what a link gives its guests, for one document
local SAFE = { get = true }

-- Whatever a link gives: its guests delete, publish, hide and purge nothing, touch no version that is there and send nobody away (SEC-AZ-09).
local ADMINISTERS = {
  deleteDocument = true, undeleteDocument = true, publishDocument = true, hideDocument = true, purgeDocument = true,
  pinVersion = true, deleteVersion = true, removeSession = true,
}

describe("who may do what where", function()
  local world, routes, tokens, keys, cookies
  local cells, mistakes = 0, {}

  local sock
  local function ask(method, path, headers, body)
    for _ = 1, 2 do
      if not sock then
        sock = socket.tcp()
        sock:settimeout(30)
        assert(sock:connect("127.0.0.1", world.port))
      end
      sock:send(http.text(world.port, method, path, headers, body))
      local answer = http.read(sock, method == "HEAD")
      if not answer or answer.fields.connection == "close" then
        sock:close()
        sock = nil
      end
      if answer then return answer end
    end
    error("no answer: " .. method .. " " .. path)
  end
  local function json(method, path, headers, body)
    headers = headers or {}
    headers["Content-Type"] = "application/json"
    local answer = ask(method, path, headers, body and cjson.encode(body))
    return answer.body ~= "" and cjson.decode(answer.body) or {}, answer
  end
  local function moonloom(...)
    local argv = { World.BIN, ... }
    argv[#argv + 1], argv[#argv + 2] = "--data", world.data
    local status, out, err = process.run(argv)
    assert(status == 0, err)
    return (out:gsub("\n$", ""))
  end

  -- The cookies of an answer; those of a session that a page would send.
  local function cookies_of(path, body)
    local all = socket.tcp()
    all:settimeout(30)
    assert(all:connect("127.0.0.1", world.port))
    all:send(http.text(world.port, "POST", path, { ["Content-Type"] = "application/json", Connection = "close" }, cjson.encode(body)))
    local text, jar, csrf = all:receive "*a", {}, nil
    all:close()
    for name, value in text:gmatch "Set%-Cookie: ([^=]+)=([^;\r]*)" do
      if name == "ml_at" then jar[#jar + 1] = name .. "=" .. value end -- not the one that /auth/refresh would spend
      if name == "ml_csrf" then csrf = value end
    end
    assert(#jar == 1 and csrf, text)
    return { cookie = table.concat(jar, "; "), csrf = csrf }
  end

  local function sign_in(role)
    local file = process.write(process.folder() .. "/password", "correct horse\n")
    local status, _, err = process.run { "sh", "-c", ("'%s' user add u-%s --org default --role %s --password-stdin --data '%s' < '%s'")
      :format(World.BIN, role, role, world.data, file) }
    assert(status == 0, err)
    return cookies_of("/auth/login", { user = "u-" .. role, password = "correct horse" })
  end

  -- Whoever has a link of document "live".
  local function comes_by_link(role)
    local link = json("PUT", "/api/v1/orgs/default/docs/live/shares/link-" .. role, { Authorization = "Bearer " .. tokens.default }, { kind = "link", role = role })
    return cookies_of("/auth/guest", { token = assert(link.token, cjson.encode(link)), name = "Guest" })
  end

  setup(function()
    world = World.new { config = "auth = { mode = 'password' }\n" }
    keys, tokens, cookies = {}, {}, {}
    for _, org in ipairs { "default", "acme" } do
      keys[org] = moonloom("key", "add", "--org", org, "--name", "shop", "--role", "admin")
      tokens[org] = json("POST", ("/api/v1/orgs/%s/tokens"):format(org), { Authorization = "Bearer " .. keys[org] },
        { user = "root", roles = { "admin" } }).token
    end
    for _, role in ipairs(ROLES) do
      for _, pattern in ipairs { "all", "plans/*" } do
        local given = json("POST", "/api/v1/orgs/default/tokens", { Authorization = "Bearer " .. keys.default },
          { user = "t-" .. role, roles = { role == "none" and "robot" or role }, doc = pattern ~= "all" and pattern or nil })
        tokens[role .. " " .. pattern] = given.token or (role == "none" and moonloom("token", "--org", "default", "--user", "t-none",
          "--role", "robot", "--doc", pattern == "all" and "**" or pattern)) or error(cjson.encode(given))
      end
    end
    for _, role in ipairs(SIGNED_IN) do cookies[role] = sign_in(role) end
    for _, org in ipairs { "default", "acme" } do
      for _, name in ipairs { "live", "dead" } do
        local _, answer = json("POST", ("/api/v1/orgs/%s/docs"):format(org), { Authorization = "Bearer " .. tokens[org] }, { name = name, content = "text" })
        assert(answer.status == 201, answer.body)
      end
      assert(ask("DELETE", ("/api/v1/orgs/%s/docs/dead"):format(org), { Authorization = "Bearer " .. tokens[org] }).status < 300)
    end
    for _, role in ipairs(LINKED) do cookies["link " .. role] = comes_by_link(role) end
    routes = {}
    for path, methods in pairs(cjson.decode(world:get("/api/v1/openapi.json").body).paths) do
      for method, operation in pairs(methods) do
        if type(operation) == "table" and operation.operationId then
          routes[#routes + 1] = { path = path, method = method, id = operation.operationId, has_body = operation.requestBody ~= nil }
        end
      end
    end
    table.sort(routes, function(a, b) return a.id < b.id end)
  end)
  teardown(function()
    if sock then sock:close() end
    world:close()
    process.clean()
  end)

  -- ---- What is asked --------------------------------------------------------------------------------------------------

  local PLACES = {
    { name = "live", org = "default", doc = "live" }, { name = "absent", org = "default", doc = "absent" },
    { name = "dead", org = "default", doc = "dead" }, { name = "elsewhere", org = "acme", doc = "live" },
    { name = "elsewhere, absent", org = "acme", doc = "absent" },
  }

  -- Who asks and how: { headers, role (nil: nobody), query, broken = true, scope = pattern, unsafe = false: may only look }
  local function carriers()
    local list = {}
    local function add(one) list[#list + 1] = one end
    for _, role in ipairs(ROLES) do
      add { name = role .. ", bearer", role = role, headers = { Authorization = "Bearer " .. tokens[role .. " all"] } }
      add { name = role .. ", bearer for plans", role = role, is_narrow = true, headers = { Authorization = "Bearer " .. tokens[role .. " plans/*"] } }
    end
    local origin = "http://127.0.0.1:" .. world.port
    local function add_cookies(name, role, jar, linked)
      add { name = name .. ", cookie", role = role, linked = linked, is_cookie = true, headers = { Cookie = jar.cookie, ["X-ML-CSRF"] = jar.csrf, Origin = origin } }
      add { name = name .. ", cookie without its token", role = role, linked = linked, is_cookie = true, is_unproven = true, headers = { Cookie = jar.cookie, Origin = origin } }
      add { name = name .. ", cookie without origin", role = role, linked = linked, is_cookie = true, is_unproven = true, headers = { Cookie = jar.cookie, ["X-ML-CSRF"] = jar.csrf } }
    end
    for _, role in ipairs(SIGNED_IN) do add_cookies(role, role, cookies[role]) end
    for _, role in ipairs(LINKED) do add_cookies("guest as " .. role, role, cookies["link " .. role], "live") end
    add { name = "nobody", headers = {} }
    add { name = "a query", query = "token=" .. tokens["admin all"], headers = {} }
    add { name = "a key", is_key = true, headers = { Authorization = "Bearer " .. keys.default } }
    add { name = "a broken token", is_broken = true, headers = { Authorization = "Bearer " .. tokens["admin all"]:gsub("%.(.)([^.]*)$", function(c, rest)
      return "." .. (c == "A" and "B" or "A") .. rest
    end) } }
    return list
  end

  local function has(role, need)
    for right in need:gmatch "%a+" do if not HAS[role][right] then return false end end
    return true
  end

  -- What must come out: "yes", or a status.
  local function verdict(route, who, place)
    local need = NEEDS[route.id]
    if need == "itself" then return WITHOUT[route.id] end
    if need == "key" then return who.is_key and place.org == "default" and "yes" or 401 end
    if who.is_broken then return need == "open" and "any" or 401 end
    if who.is_unproven and not SAFE[route.method] then return 403 end
    if need == "open" then return "yes" end
    if not who.role or not has(who.role, "read") or who.is_narrow or place.org ~= "default" or need == "nowhere" then return 404 end
    if who.linked then
      -- To a guest nothing exists but the document of the link.
      if place.doc ~= who.linked or not route.path:find("{doc}", 1, true) then return 404 end
      if ADMINISTERS[route.id] then return 403 end
    end
    return has(who.role, need) and "yes" or 403
  end

  local function fits(wanted, status, route, place)
    if wanted == "any" then return true end
    if wanted ~= "yes" then return status == wanted end
    if status == 401 or status == 403 or status >= 500 then return false end
    -- What is not there is not there for those who may, too.
    return status ~= 404 or place.doc ~= "live" or route.path:find("{version}", 1, true) ~= nil or route.path:find("{id}", 1, true) ~= nil
      or route.path:find("/undelete", 1, true) ~= nil or route.path:find("/publish", 1, true) ~= nil
  end

  -- The state of the world is that of before.
  local function repair(route, place)
    local root = { Authorization = "Bearer " .. tokens[place.org] }
    if route.id == "deleteDocument" and place.doc == "live" then
      json("POST", ("/api/v1/orgs/%s/docs/live/undelete"):format(place.org), root, {})
    elseif route.id == "undeleteDocument" and place.doc == "dead" then
      ask("DELETE", ("/api/v1/orgs/%s/docs/dead"):format(place.org), root)
    end
  end

  local serial = 0
  local function cell(route, who, place)
    local path = route.path:gsub("{org}", place.org):gsub("{doc}", place.doc):gsub("{version}", "999999"):gsub("{id}", "nobody")
    if who.query then path = path .. "?" .. who.query end
    local headers, body = {}, nil
    for name, value in pairs(who.headers) do headers[name] = value end
    if not SAFE[route.method] then
      headers["Content-Type"] = route.id == "postUpdate" and "application/octet-stream" or "application/json"
    end
    if route.has_body then
      serial = serial + 1
      body = route.id == "createDocument" and cjson.encode { name = "new-" .. serial } or route.id == "mintToken" and '{"user":"x"}' or "{}"
    end
    local answer = ask(route.method:upper(), path, headers, body)
    local wanted = verdict(route, who, place)
    cells = cells + 1
    if not fits(wanted, answer.status, route, place) then
      mistakes[#mistakes + 1] = ("%s by %s at %s: %s, not %s: %s"):format(route.id, who.name, place.name, answer.status, wanted, answer.body:sub(1, 120))
    elseif wanted == 404 and cjson.decode(answer.body).error.code ~= "not_found" then
      mistakes[#mistakes + 1] = ("%s by %s at %s: a 404 of its own: %s"):format(route.id, who.name, place.name, answer.body:sub(1, 120))
    end
    if wanted == "yes" then repair(route, place) end
  end

  it("is in the table for every route", function()
    local seen = {}
    for _, route in ipairs(routes) do
      seen[route.id] = true
      assert.is_string(NEEDS[route.id], route.id .. " (" .. route.method .. " " .. route.path .. ") is not in NEEDS")
    end
    for id in pairs(NEEDS) do assert.is_true(seen[id], id .. " is in NEEDS and no route") end
    for id in pairs(ADMINISTERS) do assert.is_string(NEEDS[id], id .. " is in ADMINISTERS and no route") end
  end)

  it("is what the table says, in every cell", function()
    local everybody = carriers()
    for _, route in ipairs(routes) do
      local is_somewhere = route.path:find("{doc}", 1, true) or route.path:find("{org}", 1, true)
      for i, place in ipairs(PLACES) do
        for _, who in ipairs((is_somewhere or i == 1) and everybody or {}) do
          if not (NEEDS[route.id] == "itself" and who.is_cookie) then cell(route, who, place) end
        end
      end
    end
    if #mistakes > 0 then error(("%d of %d cells:\n%s"):format(#mistakes, cells, table.concat(mistakes, "\n", 1, math.min(#mistakes, 60)))) end
    print(("# %d cells, %d routes"):format(cells, #routes))
    assert.is_true(cells >= 2000, cells .. " cells")
  end)
end)
