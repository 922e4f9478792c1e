-- Policies at work in the real process: refused edits go back on every screen, doors have reasons, snapshots a cadence.
local cjson = require "cjson"
local process = require "process"
local WebSocket = require "websocket"
local World = require "world"

describe("plugins", function()
  local world

  --- A server with one plugin of the spec's own.
  local function with(name, manifest, code, extra)
    local folder = process.folder()
    World.plugin(folder, name, {
      ["plugin.lua"] = ("return { name = %q, version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, manifest),
      ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\n" .. code .. "\nreturn P\n",
    })
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { [%q] = {} }\n%s"):format(name, extra or ""),
    }
  end

  after_each(function()
    world:close()
  end)
  teardown(process.clean)

  local function records(name)
    local all = {}
    for _, row in ipairs(world:sql(("SELECT hex(bytes) FROM records r JOIN documents d USING (org, document) WHERE name = '%s' ORDER BY seq"):format(name))) do
      all[#all + 1] = (row:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
    end
    return all
  end

  describe("that refuse an edit", function()
    before_each(function()
      with("no-secrets", "phase = 'policy', hooks = { before_update = {} }", [[
        function P:before_update(u)
          if u.inserted_bytes > 100 then return ml.deny("too_long", "Please write less at once.") end
        end
      ]])
    end)

    local LONG = ("secret"):rep(30)

    it("take it back on the writer's screen, show it to nobody and journal none of it", function()
      local anna, ben = world:client "anna":joins "notes", world:client "ben":joins "notes"
      anna:types(0, "fine "):is_acknowledged()
      ben:sees "fine "
      anna:types(5, LONG)
      anna:sees "fine "
      anna:is_acknowledged()
      ben:catches_up()
      assert.equal("fine ", ben.text:string())
      for _, frame in ipairs(ben.frames) do assert.falsy((frame.payload or ""):find("secret", 1, true)) end
      for _, bytes in ipairs(records "notes") do assert.falsy(bytes:find("secret", 1, true)) end
      local late = world:client "late":joins "notes"
      assert.equal("fine ", late.text:string())
      -- The writer's clock has no gap: what it types next leans on what was refused, and is there.
      anna:types(5, "and short"):is_acknowledged()
      ben:sees "fine and short"
      anna:sees "fine and short"
      world:stop()
      world:start()
      world:client "after":joins "notes":sees "fine and short"
    end)

    it("take back what leans on the refused edit only if it is refused itself", function()
      local anna, ben = world:client "anna":joins "lean", world:client "ben":joins "lean"
      anna:types(0, LONG)
      anna:types(3, "ok") -- inside what is about to be refused
      ben:sees "ok"
      anna:sees "ok"
    end)

    it("undo a deletion that came with it", function()
      local anna, ben = world:client "anna":joins "deleted", world:client "ben":joins "deleted"
      anna:types(0, "keep me"):is_acknowledged()
      ben:sees "keep me"
      local gone = anna.text:delete(0, 7)
      local typed = anna.text:insert(0, LONG)
      -- One update that deletes and inserts: the structs of the one, the ranges of the other.
      anna:sends(0, 2, typed:sub(1, -2) .. gone:sub(2))
      anna:sees "keep me"
      ben:sees "keep me"
      world:client "late":joins "deleted":sees "keep me"
    end)

    it("refuse it as well in the first sync of somebody who wrote offline", function()
      local anna, ben = world:client "anna", world:client "ben":joins "offline"
      anna.text:insert(0, LONG)
      anna:joins "offline"
      anna:sees ""
      assert.equal("", ben:catches_up().text:string())
      for _, bytes in ipairs(records "offline") do assert.falsy(bytes:find("secret", 1, true)) end
    end)

    it("confirm a status after a refused edit: what became of it is durable", function()
      local anna = world:client "anna":joins "status"
      anna:types(0, LONG):asks(3)
      world:wait(function() return anna.status == 3 end, "the status")
      anna:sees ""
    end)
  end)

  it("that fence make the session read-only: 4403, nothing taken", function()
    with("fence", "phase = 'policy', hooks = { before_update = {} }", [[
      function P:before_update() return ml.deny("no", "Not here.", { mode = "fence" }) end
    ]])
    local anna, ben = world:client "anna":joins "fenced", world:client "ben":joins "fenced"
    anna:types(0, "x")
    assert.equal(4403, (anna:is_closed()))
    assert.truthy(anna.denied)
    ben:catches_up()
    assert.equal("", ben.text:string())
    assert.equal(0, #records "fenced")
  end)

  it("that fail hold the edit: neither told nor acknowledged, and taken when they work again", function()
    with("moody", "phase = 'validate', hooks = { before_update = {} }", [[
      local tries = 0
      function P:before_update()
        tries = tries + 1
        if tries <= 3 then error "not in the mood" end
      end
    ]])
    local anna, ben = world:client "anna":joins "moody", world:client "ben":joins "moody"
    anna:types(0, "patience")
    ben:catches_up()
    assert.equal("", ben.text:string())
    assert.equal(0, anna.echoed)
    anna:is_acknowledged(8)
    ben:sees "patience"
  end)

  it("that never end are stopped; others go on meanwhile", function()
    with("endless", "phase = 'policy', hooks = { before_update = {} }", [[
      function P:before_update(u) if u.inserted_bytes == 7 then while true do end end end
    ]])
    local anna, ben = world:client "anna":joins "endless", world:client "ben":joins "other"
    anna:types(0, "endless")
    ben:types(0, "quick"):is_acknowledged(2)
    anna:is_acknowledged(8) -- phase policy: skipped
  end)

  describe("that decide who comes in", function()
    local function status(query, headers)
      local ws, code, _, body = WebSocket.open { port = world.port, path = "/sync/default/door" .. (query or ""), headers = headers }
      if ws then
        ws:drop()
        return 101
      end
      local ok, decoded = pcall(cjson.decode, body)
      return code, ok and decoded.error or body
    end

    it("answer with the HTTP status and the words of the plugin", function()
      with("door", "phase = 'auth', hooks = { authenticate = {}, authorize = {} }", [[
        function P:authenticate(req)
          if req.query.token == "anna" then return { user = "u1", name = "Anna", roles = { "editor" } } end
          if req.query.token == "reader" then return { user = "u2", name = "Ben" } end
          if req.query.token == "stranger" then return { user = "u3", name = "Cleo" } end
          if req.query.token == "expired" then return ml.deny("expired", "Please sign in again.", { status = 401 }) end
          if req.query.token == "broken" then error "boom" end
        end
        function P:authorize(ask)
          if ask.action ~= "doc.open" then return end
          if ask.identity.user == "u1" then return ml.grant { read = true, write = true, presence = true } end
          if ask.identity.user == "u2" then return ml.grant { read = true, presence = true } end
          if ask.identity.user == "u3" then return ml.deny("stranger", "You are not on the list.") end
        end
      ]], "auth = { mode = 'plugins' }")
      assert.equal(101, (status "?token=anna"))
      local code, err = status "?token=expired"
      assert.equal(401, code)
      assert.equal("door.expired", err.code)
      assert.equal("Please sign in again.", err.message)
      code, err = status "?token=stranger"
      assert.equal(403, code)
      assert.equal("You are not on the list.", err.message)
      assert.equal(503, (status "?token=broken"))
      code = status ""
      assert.truthy(code == 401 or code == 403 or code == 404, "nobody: " .. code)

      local session = cjson.decode(world:get("/auth/session?token=anna").body)
      assert.equal("Anna", session.user.name)
    end)

    it("give some only to read: they see everything, their edits are refused with a reason", function()
      with("readers", "phase = 'auth', hooks = { authenticate = {}, authorize = {} }", [[
        function P:authenticate(req) return { user = req.query.token, name = req.query.token } end
        function P:authorize(ask)
          return ml.grant { read = true, presence = true, write = ask.identity.user == "writer" }
        end
      ]], "auth = { mode = 'plugins' }")
      local writer = world:client "writer":joins("room", { query = "token=writer" })
      local reader = world:client "reader":joins("room", { query = "token=reader" })
      writer:types(0, "to be read"):is_acknowledged()
      reader:sees "to be read"
      reader:shows { name = "Reader" }
      writer:sees_person(reader)
      reader:catches_up() -- its Step2 with nothing new was fine
      reader:types(0, "graffiti ")
      assert.equal(4403, (reader:is_closed()))
      assert.truthy(reader.denied and #reader.denied > 0)
      writer:catches_up()
      assert.equal("to be read", writer.text:string())
      assert.equal(1, #records "room")
      assert.equal("writer", world:sql("SELECT author FROM records")[1])
    end)
  end)

  describe("that set the cadence of snapshots", function()
    local function snapshots(name)
      local seqs = {}
      for _, row in ipairs(world:sql(("SELECT seq FROM snapshots s JOIN documents d USING (org, document) WHERE d.name = '%s' ORDER BY seq"):format(name))) do
        seqs[#seqs + 1] = tonumber(row)
      end
      return seqs
    end

    local function cadence(fields)
      world = World.new {
        args = { "--plugins", World.ROOT .. "/plugins" },
        config = ("plugins = { ['snapshot-cadence'] = { config = { %s } } }"):format(fields),
      }
    end

    it("have one taken every so many operations", function()
      cadence "ops = 10, min_gap = '0s', idle = '1h', every = '1h', on_unload = false, on_shutdown = false"
      local anna = world:client "anna":joins "often"
      for i = 1, 50 do
        anna:types(i - 1, "x"):is_acknowledged()
        if i % 10 == 9 then -- none before its time
          local seqs = snapshots "often"
          assert.equal(i > 9 and i - 9 or nil, seqs[#seqs])
        elseif i % 10 == 0 then
          process.until_true(function()
            local seqs = snapshots "often"
            return seqs[#seqs] == i
          end, "a snapshot of " .. i .. " operations", 5, 0.05)
        end
      end
      assert.truthy(#snapshots "often" >= 3, "older good ones are kept")
      anna:leaves()
      world:stop()
      local seqs = snapshots "often"
      assert.equal(50, seqs[#seqs])
      world:start()
      world:client "late":joins "often":sees(("x"):rep(50))
    end)

    it("have none taken before its time, then one at the end", function()
      cadence "ops = 10, min_gap = '1h', idle = '1h', every = '1h', on_unload = false, on_shutdown = true"
      local anna = world:client "anna":joins "seldom"
      for i = 1, 30 do anna:types(i - 1, "x"):is_acknowledged() end
      assert.truthy(#snapshots "seldom" <= 1)
      anna:leaves()
      world:stop()
      local seqs = snapshots "seldom"
      assert.equal(30, seqs[#seqs])
      world:start()
      world:client "late":joins "seldom":sees(("x"):rep(30))
    end)

    it("have one taken when nobody types any more", function()
      cadence "ops = 0, bytes = 0, min_gap = '0s', idle = '1s', every = '1h', on_unload = false, on_shutdown = false"
      local anna = world:client "anna":joins "idle"
      anna:types(0, "and then silence"):is_acknowledged()
      assert.same({}, snapshots "idle")
      process.until_true(function() return snapshots("idle")[1] == 1 end, "a snapshot after a second", 4, 0.05)
      anna:leaves()
    end)

    it("differ by document", function()
      cadence [[ops = 0, bytes = 0, min_gap = '0s', idle = '1h', every = '1h', on_unload = false, on_shutdown = false,
        per_docs = { { docs = "board/*", ops = 5 } }]]
      local anna, ben = world:client "anna":joins "board/1", world:client "ben":joins "text/1"
      for i = 1, 10 do
        anna:types(i - 1, "x"):is_acknowledged()
        ben:types(i - 1, "x"):is_acknowledged()
      end
      process.until_true(function() return #snapshots "board/1" == 2 end, "two snapshots", 5, 0.05)
      assert.same({}, snapshots "text/1")
    end)
  end)
end)
