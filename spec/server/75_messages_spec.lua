-- The hooks message and admit, and what clients are told of it (docs/plugins/messages.md).
local cjson = require "cjson"
local Collab = require "collab"
local lib0 = require "lib0"
local process = require "process"
local socket = require "socket"
local World = require "world"

local HI = Collab.unhex "010165000401017402486900" -- client 101: "Hi" in "t"

local PLUGIN = [[
  local ml = require "moonloom"
  local P = {}
  function P:authenticate(req)
    if req.token and req.token ~= "" then return { user = req.token, name = req.token } end
  end
  function P:authorize(ask)
    local user = ask.identity.user
    return ml.grant { read = true, write = user ~= "rita", messages = user ~= "mute", presence = true }
  end
  function P:message(m)
    if m.payload == "silent" then return end
    if m.payload == "boom" then error "boom" end
    if m.payload == "number" then return 5 end
    if m.payload == "text" then return "as it is" end
    if m.payload == "large" then return ("x"):rep(65537) end
    if m.topic == "count" then return { n = m.doc:text("t"):len(), by = m.identity.user } end
    if m.topic == "whisper" then return { to = m.to, said = m.payload.said } end
    if m.topic == "no" then return ml.deny("no", "Not here.") end
    return { echo = m.payload }
  end
  function P:admit(frame)
    local user = frame.session.identity.user
    if user == "slow" and frame.kind == "update" then return ml.slow(0.4) end
    if user == "bad" and frame.kind == "update" then return ml.deny("bad", "No.") end
    if user == "bad" and frame.kind == "message" then return ml.deny("bad", "No.") end
    if user == "broken" then error "boom" end
  end
  return P
]]

for _, loops in ipairs { 1, 2 } do
  describe(("with %d loops"):format(loops), function()
    local world, open

    setup(function()
      local folder = process.folder()
      World.plugin(folder, "talk", {
        ["plugin.lua"] = "return { name = 'talk', version = '1.0.0', api = 1, phase = 'auth', summary = 'of a spec', hooks = { authenticate = {}, authorize = {}, message = {}, admit = {} } }",
        ["init.lua"] = PLUGIN,
      })
      world = World.new { args = { "--plugins", folder }, config = ("plugins = { talk = {} }\nauth = { mode = 'plugins' }\nloops = %d"):format(loops) }
    end)
    teardown(function()
      world:close()
      process.clean()
    end)
    before_each(function() open = {} end)
    after_each(function() for _, it in ipairs(open) do it:drop() end end)

    local function collab(user, doc)
      local it = assert(Collab.open(world))
      open[#open + 1] = it
      return it:joins(doc, user)
    end

    --- The next stateless message, decoded if it is JSON.
    local function told(it, doc)
      local r = lib0.reader(Collab.unhex(it:awaits(doc, "05")):sub(2))
      local text = r:bytes()
      return text:sub(1, 1) == "{" and cjson.decode(text) or text
    end

    local function says(it, doc, payload)
      return it:sends(doc, 5, nil, type(payload) == "table" and cjson.encode(payload) or payload)
    end

    it("a message reaches everybody if a plugin says so, and nobody else's document", function()
      local ana, ben, far = collab("ana", "m1"), collab("ben", "m1"), collab("far", "m2")
      says(ana, "m1", { topic = "x", a = 1 })
      assert.same({ echo = { topic = "x", a = 1 } }, told(ana, "m1"))
      assert.same({ echo = { topic = "x", a = 1 } }, told(ben, "m1"))
      says(ana, "m1", "plain words")
      assert.same({ echo = "plain words" }, told(ben, "m1"))
      says(ana, "m1", "text")
      assert.equal("as it is", told(ben, "m1"))
      says(far, "m2", "ping")
      assert.same({ echo = "ping" }, told(far, "m2"))
    end)

    it("one that no plugin answers reaches nobody, one for somebody nobody else", function()
      local ana, ben, cid = collab("ana", "m3"), collab("ben", "m3"), collab("cid", "m3")
      says(ana, "m3", "silent")
      says(ana, "m3", { topic = "whisper", to = "ben", said = "psst" })
      says(ana, "m3", "last")
      assert.same({ to = "ben", said = "psst" }, told(ben, "m3"))
      assert.same({ echo = "last" }, told(ben, "m3"))
      assert.same({ echo = "last" }, told(cid, "m3"))
      assert.same({ echo = "last" }, told(ana, "m3"))
    end)

    it("a reader may send one, and the plugin sees the document", function()
      local ana, rita = collab("ana", "m4"), collab("rita", "m4")
      ana:sends("m4", 0, 2, HI):awaits("m4", "0801")
      says(rita, "m4", { topic = "count" })
      assert.same({ n = 2, by = "rita" }, told(ana, "m4"))
    end)

    it("what is refused is told its writer only: by the plugin, the grant, the size, a failure", function()
      local ana, ben, mute = collab("ana", "m5"), collab("ben", "m5"), collab("mute", "m5")
      says(ana, "m5", { topic = "no" })
      assert.same({ kind = "refused", message = true, code = "talk.no", reason = "Not here." }, told(ana, "m5"))
      says(mute, "m5", "hello")
      assert.equal("grant.not_allowed", told(mute, "m5").code)
      says(ana, "m5", ("x"):rep(65537))
      assert.equal("message.too_large", told(ana, "m5").code)
      for _, word in ipairs { "boom", "number", "large" } do
        says(ana, "m5", word)
        assert.equal("policy_unavailable", told(ana, "m5").code, word)
      end
      says(ana, "m5", ("x"):rep(60000))
      assert.equal(60000, #told(ben, "m5").echo)
    end)

    it("reaches and comes from y-websocket clients that asked for notices", function()
      local ana, ben = collab("ana", "m6"), world:client "ben"
      ben:joins("m6", { query = "token=ben" })
      ben.socket:send(lib0.uint(103) .. lib0.bytes "")
      ben.socket:send(lib0.uint(103) .. lib0.bytes "from ben")
      assert.same({ echo = "from ben" }, told(ana, "m6"))
    end)

    it("admit lets wait: nothing is lost, and order is kept", function()
      local slow, ben = collab("slow", "a1"), collab("ben", "a1")
      local began = socket.gettime()
      slow:sends("a1", 0, 2, HI)
      says(slow, "a1", "behind")
      assert.same({ echo = "behind" }, told(ben, "a1"))
      assert.is_true(socket.gettime() - began >= 0.39)
      slow:awaits("a1", "0801")
    end)

    it("admit refuses: nothing is stored, and others are not asked to pay", function()
      local bad, ben = collab("bad", "a2"), collab("ben", "a2")
      bad:sends("a2", 0, 2, HI):awaits("a2", "0800")
      says(bad, "a2", "dropped")
      says(ben, "a2", { topic = "count" })
      assert.same({ n = 0, by = "ben" }, told(bad, "a2"))
    end)

    it("an admit that fails has no opinion", function()
      local broken = collab("broken", "a3")
      broken:sends("a3", 0, 2, HI):awaits("a3", "0801")
    end)
  end)
end
