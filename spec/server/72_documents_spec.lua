-- Plugins that read and write documents, and hear what became of them, in the real process.
local process = require "process"
local World = require "world"

describe("plugins with documents", function()
  local world, folder

  --- A server with plugins of the spec's own: name -> { manifest, code }.
  local function with(plugins, extra)
    folder = process.folder()
    local names = {}
    for name, plugin in pairs(plugins) do
      World.plugin(folder, name, {
        ["plugin.lua"] = ("return { name = %q, version = '1.0.0', api = 1, summary = 'of a spec', %s }"):format(name, plugin[1]),
        ["init.lua"] = "local ml = require 'moonloom'\nlocal P = {}\nlocal function say(...) local t = { ... } for i = 1, select('#', ...) do t[i] = tostring(t[i]) end ml.log.info(table.concat(t, ';')) end\n"
          .. plugin[2] .. "\nreturn P\n",
      })
      names[#names + 1] = ("[%q] = {}"):format(name)
    end
    world = World.new {
      args = { "--plugins", folder, "--log", "info" },
      config = ("plugins = { %s }\n%s"):format(table.concat(names, ", "), extra or ""),
    }
  end

  after_each(function() world:close() end)
  teardown(process.clean)

  --- What plugins said: lists of words (a line of the log is short).
  local function said()
    local all = {}
    for text in process.read(world.log):gmatch "plugin%.said plugin=%S+ text=([^\n]+)" do
      local words = {}
      for word in (text .. ";"):gmatch "(.-);" do words[#words + 1] = word end
      all[#all + 1] = words
    end
    return all
  end

  local function says(question, what)
    local ok, one = pcall(world.wait, world, function()
      for _, one in ipairs(said()) do if question(one) then return one end end
    end, what, 5)
    return ok and one or error(what .. " was not said:\n" .. process.read(world.log):sub(-1500), 2)
  end

  local function authors(name)
    return world:sql(("SELECT coalesce(author, '') FROM records r JOIN documents d USING (org, document) WHERE name = '%s' ORDER BY seq"):format(name))
  end

  it("write in after_update: one record of the plugin's, on every screen", function()
    with({ bot = { "hooks = { after_update = { every = '0s' } }", [[
      function P:after_update(batch)
        if batch.doc:text("content"):find("Checked") then return end
        batch.doc:transact(function(tx)
          tx:text("content"):insert(0, "Chcked. ")
          tx:text("content"):insert(2, "e")
        end, { reason = "review" })
        say("saw", batch.doc.seq, #batch.doc:sessions(), #batch.authors, batch.origins[1])
      end
    ]] } })
    local anna, ben = world:client "anna":joins "notes", world:client "ben":joins "notes"
    anna:types(0, "hello"):is_acknowledged()
    anna:sees "Checked. hello"
    ben:sees "Checked. hello"
    local list = authors "notes"
    assert.equal(2, #list)
    assert.equal("plugin:bot", list[2])
    assert.same({ "saw", "1", "2", "1", "client" }, says(function(t) return t[1] == "saw" end, "what the plugin saw"))
    world:stop()
    world:start()
    world:client "late":joins "notes":sees "Checked. hello"
  end)

  it("leave the document as it was if they fail inside", function()
    with({ bad = { "hooks = { after_update = { every = '0s' } }", [[
      function P:after_update(batch)
        local ok, err = pcall(batch.doc.transact, batch.doc, function(tx)
          tx:text("content"):insert(0, "never ")
          error("on-purpose", 0)
        end)
        say("failed", ok, err, batch.doc:text("content"):tostring())
      end
    ]] } })
    local anna = world:client "anna":joins "notes"
    anna:types(0, "hello"):is_acknowledged()
    assert.same({ "failed", "false", "on-purpose", "hello" }, says(function(t) return t[1] == "failed" end, "the failure"))
    assert.equal("hello", anna:catches_up().text:string())
    assert.equal(1, #authors "notes")
  end)

  it("that react to each other are cut after four", function()
    with({ echo = { "hooks = { after_update = { every = '0s' } }", [[
      function P:after_update(batch)
        local ok, err = pcall(batch.doc.transact, batch.doc, function(tx) tx:text("content"):insert(0, "+") end)
        say("echo", ok, batch.doc:text("content"):len() - 1, (tostring(err):find("cut after 4", 1, true)))
      end
    ]] } })
    world:client "anna":joins "loop":types(0, "x"):is_acknowledged()
    local last = says(function(t) return t[1] == "echo" and t[2] == "false" end, "the cut")
    assert.equal("4", last[3])
    assert.truthy(tonumber(last[4]))
    assert.equal(5, #authors "loop")
  end)

  it("are told in batches, in order, of what their filter lets through", function()
    with({
      all = { "hooks = { after_update = { every = '200ms' } }", [[
        function P:after_update(b) say("all", b.from_seq, b.to_seq, b.count) end
      ]] },
      few = { "hooks = { after_update = { every = '1h', max = 5 } }", [[
        function P:after_update(b) say("few", b.from_seq, b.to_seq, b.count) end
      ]] },
      picky = { "hooks = { after_update = { every = '0s', paths = { 'content' }, kinds = { 'text.delete' } } }", [[
        function P:after_update(b)
          for e in b:changes() do
            say("picky", e.kind, e.path, e.index, e.len, e.before, b:touched "content", b:touched "other")
          end
        end
      ]] },
      never = { "hooks = { after_update = { origins = { 'import' } } }", "function P:after_update() say('never') end" },
    })
    local anna = world:client "anna":joins "notes"
    for i = 1, 12 do anna:types(i - 1, "x"):is_acknowledged() end
    anna:deletes(3, 2):is_acknowledged()
    assert.same({ "picky", "text.delete", "content", "3", "2", "xx", "true", "false" },
      says(function(t) return t[1] == "picky" end, "the deletion"))
    says(function(t) return t[1] == "all" and t[3] == "13" end, "the last batch")
    local next_seq = { all = 1, few = 1 }
    local batches = 0
    for _, one in ipairs(said()) do
      local who, from, to, count = one[1], tonumber(one[2]), tonumber(one[3]), tonumber(one[4])
      if next_seq[who] then
        assert.equal(next_seq[who], from, who)
        assert.equal(to - from + 1, count)
        next_seq[who] = to + 1
        if who == "all" then batches = batches + 1 else assert.truthy(count >= 5) end
      end
      assert.not_equal("never", who)
    end
    assert.equal(14, next_seq.all)
    assert.truthy(batches < 13)
    assert.equal(11, next_seq.few)
    -- What is left is told when the room goes.
    anna:leaves()
    world:stop()
    local left = 0
    for _, one in ipairs(said()) do if one[1] == "few" and one[2] == "11" then left = tonumber(one[4]) end end
    assert.equal(3, left)
  end)

  it("that are durable are told after a crash what they had not confirmed", function()
    with({ keeper = { "hooks = { after_update = { every = '100ms', durable = true } }", [[
      function P:after_update(b)
        if b.doc:text("content"):find("fail") and not b.gap then error("not-yet", 0) end
        say("kept", b.from_seq, b.to_seq, b.gap)
      end
    ]] } })
    local anna = world:client "anna":joins "durable"
    anna:types(0, "one "):is_acknowledged()
    says(function(t) return t[3] == "1" end, "the first")
    process.until_true(function()
      return world:sql "SELECT count(*) FROM kv WHERE space = 'observer'"[1] ~= "0"
    end, "the cursor", 5, 0.05)
    anna:types(4, "fail"):is_acknowledged()
    world:wait(function() return process.read(world.log):find("not-yet", 1, true) end, "the failure")
    world:kill()
    world.clients = {}
    world:start()
    world:client "ben":joins "durable":sees "one fail"
    assert.same({ "kept", "2", "2", "true" }, says(function(t) return t[2] == "2" end, "what was missed"))
  end)

  local KEEPER = { "hooks = { after_update = { every = '100ms', durable = true } }", [[
    function P:after_update(b)
      if not b.gap and b.doc:text("content"):find("fail") then error("not-yet", 0) end
      say("kept", b.doc.id, b.from_seq, b.to_seq, b.gap, b.authors[1])
    end
  ]] }
  local DOOR = { "phase = 'auth', hooks = { authenticate = {}, authorize = {} }", [[
    function P:authenticate() return { user = "anna" } end
    function P:authorize() return ml.grant { read = true, write = true } end
  ]] }
  local function cursor(name)
    local text = world.store and "encode(%s, 'escape')" or "CAST(%s AS TEXT)"
    return world:sql(("SELECT %s FROM kv WHERE space = 'observer' AND %s = '%s'"):format(text:format "value", text:format "key", name))[1]
  end
  local function count(name)
    local n = 0
    for _, one in ipairs(said()) do if one[1] == "kept" and one[2] == name then n = n + 1 end end
    return n
  end

  local function author(name)
    for _, one in ipairs(said()) do if one[1] == "kept" and one[2] == name then return one[6] end end
  end

  for _, loops in ipairs { 1, 2 } do
    it(("that are durable are told after a crash though nobody opens the document, with %d loops"):format(loops), function()
      with({ keeper = KEEPER, door = DOOR }, "auth = { mode = 'plugins' }\nloops = " .. loops)
      world:client("ben"):joins "told":types(0, "one "):is_acknowledged()
      world:wait(function() return cursor "told" == "1" end, "what was told", 30)
      local before = count "told"
      for i = 1, 6 do -- these make it fail, and its breaker with it
        local name = "alone" .. i
        local anna = world:client("anna" .. i):joins(name, { org = i > 4 and "acme" or "default" })
        world:wait(function() return cursor(name) end, "the first cursor", 30)
        anna:types(0, "fail"):is_acknowledged()
        anna:types(4, "more"):is_acknowledged()
      end
      world:kill()
      for i = 1, 6 do assert.equal("0", cursor("alone" .. i)) end
      -- That "acme" has some is known from the store.
      assert.equal("1", cursor "acme")
      world.clients = {}
      world:start()
      for i = 1, 6 do
        local name = "alone" .. i
        world:wait(function() return cursor(name) == "2" end, "that " .. name .. " was told", 150) -- PostgreSQL: another node may be at it
        assert.equal(1, count(name))
        assert.equal("anna", author(name))
      end
      world:wait(function() return process.read(world.log):find("observers.caught_up documents=6 failed=0", 1, true) end, "the end of it", 30)
      assert.equal(before, count "told")
    end)
  end

  it("that are durable are owed nothing that their filter did not let through", function()
    with({ keeper = { "hooks = { after_update = { every = '100ms', durable = true, paths = { 'title' } } }", [[
      function P:after_update(b) say("kept", b.doc.id, b.from_seq, b.to_seq, b.gap) end
    ]] } })
    local anna = world:client "anna":joins "body"
    anna:types(0, "text"):is_acknowledged()
    world:wait(function() return cursor "body" == "0" end, "the first cursor", 30)
    world:stop()
    assert.equal("1", cursor "body")
    world.clients = {}
    world:start()
    world:client "ben":joins "body":sees "text"
    assert.equal(0, count "body")
  end)

  it("do so on the loop of the document, however many loops there are", function()
    with({ bot = { "hooks = { after_update = { every = '0s' } }", [[
      function P:after_update(batch)
        if batch.origins[1] == "plugin" then return end
        batch.doc:transact(function(tx) tx:text("content"):insert(0, "+") end)
      end
    ]] } }, "loops = 2")
    local clients = {}
    for i = 1, 6 do
      clients[i] = world:client("c" .. i):joins("doc" .. i)
      clients[i]:types(0, "hi")
    end
    for i = 1, 6 do clients[i]:sees "+hi" end
    for i = 1, 6 do assert.equal(2, #authors("doc" .. i)) end
  end)

  it("are told who comes and goes, and when the document does", function()
    with({ host = { "hooks = { joined = {}, left = {}, document_loaded = {}, document_unloaded = {} }", [[
      function P:joined(m) say("joined", m.identity.user == m.doc:sessions()[1].user, #m.doc:sessions()) end
      function P:left(m) say("left", m.session ~= nil) end
      function P:document_loaded(doc)
        say("loaded", doc.id, doc.seq)
        if doc.seq == 0 then doc:transact(function(tx) tx:text("content"):insert(0, "Welcome. ") end) end
      end
      function P:document_unloaded(ref) say("unloaded", ref.id, ref.org) end
    ]] } })
    local anna = world:client "anna":joins "lobby"
    anna:sees "Welcome. "
    assert.same({ "plugin:host" }, authors "lobby")
    assert.same({ "loaded", "lobby", "0" }, says(function(t) return t[1] == "loaded" end, "the load"))
    assert.same({ "joined", "true", "1" }, says(function(t) return t[1] == "joined" end, "who came"))
    anna:leaves()
    assert.same({ "left", "true" }, says(function(t) return t[1] == "left" end, "who went"))
    world:stop()
    assert.same({ "unloaded", "lobby", "default" }, says(function(t) return t[1] == "unloaded" end, "the end"))
  end)

  it("that are typing errors in a hook are failing, and nobody is hurt", function()
    with({ host = { "hooks = { joined = {} }", "function P:joined(m) return m.nmae end" } })
    local anna = world:client "anna":joins "lobby"
    anna:types(0, "x"):is_acknowledged()
    world:wait(function() return process.read(world.log):find("no%X*such%X*field") or process.read(world.log):find("joined", 1, true) end, "the fault")
  end)

  it("that look at cursors change what others see of them, or hide them", function()
    with({ veil = { "hooks = { awareness = {} }", [[
      function P:awareness(a)
        if a.state.name == "Ghost" then return ml.drop end
        a.state.name = a.state.name .. " of " .. a.doc_id
        return a.state
      end
    ]] } })
    local anna, ben, ghost = world:client "anna":joins "notes", world:client "ben":joins "notes", world:client "ghost":joins "notes"
    ghost:shows { name = "Ghost" }
    anna:shows { name = "Anna" }
    ben:sees_person(anna, function(state) return state.name == "Anna of notes" end)
    ben:misses_person(ghost)
  end)

  it("that keep a document keep it in memory", function()
    with({ keeper = { "hooks = { keep_document = {} }", "function P:keep_document(doc) return doc.id == 'kept' and 3600 or nil end" } },
      "limits = { grace_ms = 100 }")
    world:client "anna":joins "kept":leaves()
    world:client "ben":joins "gone":leaves()
    local function rooms() return tonumber(world:get "/metrics".body:match "\nmoonloom_rooms (%d+)") end
    world:wait(function() return rooms() == 1 end, "one of them goes", 8)
  end)
end)
