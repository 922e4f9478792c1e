-- Rights that change while somebody is connected (SEC-WS-05, SEC-WS-06).
local cjson = require "cjson"
local Collab = require "collab"
local http = require "http"
local lib0 = require "lib0"
local process = require "process"
local World = require "world"

local HI = Collab.unhex "010165000401017402486900"       -- client 101: "Hi" in "t"
local MORE = Collab.unhex "01016502846501012100"         -- and "!" behind it
local LATER = Collab.unhex "01016503846502013f00"        -- and "?"

--- Everybody may do what `mode` says of them; `door.mode` sets it.
local DOOR = [[
  local ml = require "moonloom"
  local P = { rpc = {} }
  function P:authenticate(req)
    if not req.token or req.token == "" then return end
    if req.token == "wrong" then return ml.deny("wrong", "No such key.") end
    local user, life = req.token:match "^(%a+):?(%d*)$"
    return { user = user, name = user, expires_at = life ~= "" and math.floor(ml.time.now()) + tonumber(life) or nil }
  end
  function P:authorize(ask)
    if ask.action:sub(1, 4) == "rpc." then return ml.grant { read = true, write = true } end
    if ask.action ~= "doc.open" then return end
    local mode = ml.cache.get(ask.identity.user) or "write"
    if mode == "broken" then error "boom" end
    if mode == "none" then return ml.deny("gone", "Not any more.") end
    return ml.grant { read = true, presence = true, write = mode == "write", ttl = ml.cache.get "ttl" }
  end
  P.rpc["door.mode"] = function(self, call)
    ml.cache.set(call.args.user, call.args.mode, "1h")
    return true
  end
  return P
]]

describe("rights", function()
  local world, open

  local function start(options)
    options = options or {}
    local folder = process.folder()
    World.plugin(folder, "door", {
      ["plugin.lua"] = [[return { name = 'door', version = '1.0.0', api = 1, summary = 'of a spec', phase = 'auth', needs = { "cache" },
        hooks = { authenticate = {}, authorize = {},
          rpc = { ["door.mode"] = { args = { { "user", type = "string", required = true }, { "mode", type = "string", required = true } } } } } }]],
      ["init.lua"] = DOOR,
    })
    world = World.new {
      args = { "--plugins", folder },
      config = ("plugins = { door = {} }\nauth = { mode = 'plugins' }\nloops = %d\nlimits = { %s }"):format(options.loops or 1, options.limits or ""),
    }
    open = {}
  end

  local function set(user, mode)
    local body = cjson.encode { user = user, mode = mode }
    local headers = { Authorization = "Bearer root", ["Content-Type"] = "application/json" }
    local answer = http.request(world.port, "POST", "/api/v1/orgs/default/rpc/door.mode", headers, body)
    assert.equal(200, answer.status, answer.body)
  end

  local function collab()
    local it = assert(Collab.open(world))
    open[#open + 1] = it
    return it
  end

  after_each(function()
    for _, it in ipairs(open) do it:drop() end
    world:close()
  end)
  teardown(process.clean)

  --- The newest frame of type 2: subtype and text.
  local function said(client, subtype, text)
    world:wait(function()
      for _, frame in ipairs(client.frames) do
        if frame.type == 2 and frame.subtype == subtype and (not text or frame.payload == text) then return true end
      end
    end, ("02 %02x %s"):format(subtype, text or ""), 20)
  end

  for _, loops in ipairs { 1, 2 } do
    describe(("on %d loops, "):format(loops), function()
      before_each(function()
        start { loops = loops }
        set("ttl", "2s")
      end)

      it("that are taken away and given back reach a provider, and it stays", function()
        local anna = collab():joins("notes", "anna")
        anna:sends("notes", 0, 2, HI)
        anna:awaits("notes", "0801")
        set("anna", "read")
        assert.equal("0202" .. Collab.hex(lib0.bytes "readonly"), anna:awaits("notes", "02", 20))
        anna:sends("notes", 0, 2, MORE)
        assert.equal("0800", anna:awaits("notes", "08"))
        set("anna", "write")
        assert.equal("0202" .. Collab.hex(lib0.bytes "read-write"), anna:awaits("notes", "02", 20))
        anna:sends("notes", 0, 2, MORE):sends("notes", 0, 2, LATER)
        assert.equal("0801", anna:awaits("notes", "08"))
        assert.equal("0801", anna:awaits("notes", "08"))
        set("anna", "none")
        assert.equal("07" .. Collab.hex(lib0.bytes "Not any more."), anna:awaits("notes", "07", 20))
        assert.equal(4403, (anna:is_closed(20)))
      end)

      it("that are taken away and given back reach y-websocket, and it stays", function()
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        anna:types(0, "one"):is_acknowledged()
        set("anna", "read")
        said(anna, 0)
        said(anna, 2, "readonly")
        set("anna", "write")
        said(anna, 2, "read-write")
        anna:types(3, " two"):is_acknowledged()
        set("anna", "none")
        local code, reason = anna:is_closed(20)
        assert.equal(4403, code)
        assert.equal("Not any more.", reason)
      end)

      it("that are gone are not had any more: what is written then is refused aloud", function()
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        set("anna", "read")
        said(anna, 2, "readonly")
        anna:types(0, "x")
        assert.equal(4403, (anna:is_closed(20)))
      end)
    end)
  end

  it("that nobody can judge hold until they end, and no longer", function()
    start()
    set("ttl", "3s")
    local anna = world:client "anna":joins("notes", { query = "token=anna" })
    set("anna", "broken")
    assert.equal(1013, (anna:is_closed(20)))
    set("anna", "write")
    anna:joins("notes", { query = "token=anna" })
    set("anna", "broken")
    set("anna", "write")
    anna:types(0, "still here"):is_acknowledged()
  end)

  describe("of a new credential", function()
    before_each(function() start() end)

    it("are asked for before the old one ends, and y-websocket can show one", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna:6" })
      said(anna, 3)
      anna:sends(2, 0, "anna:900")
      anna:types(0, "one"):is_acknowledged()
      local till = os.time() + 8
      world:wait(function() return os.time() > till or anna.socket.closed end, "the old one has ended", 20)
      anna:types(3, " two"):is_acknowledged()
    end)

    it("end the connection, if it is wrong or somebody else's", function()
      for _, token in ipairs { "wrong", "ben" } do
        local anna = world:client "anna":joins("notes", { query = "token=anna" })
        anna:sends(2, 0, token)
        assert.equal(4403, (anna:is_closed(20)))
      end
    end)

    it("end the connection, if there is none in time", function()
      local anna = world:client "anna":joins("notes", { query = "token=anna:3" })
      said(anna, 3)
      assert.equal(4401, (anna:is_closed(20)))
    end)
  end)
end)
