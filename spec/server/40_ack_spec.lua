-- What an acknowledgement means: in the journal, on disk. The echo of one's own update is one, a y-sweet status another.
local process = require "process"
local Text = require "text"
local World = require "world"

describe("an acknowledgement", function()
  local world

  before_each(function() world = World.new() end)
  after_each(function() world:close() end)
  teardown(process.clean)

  --- The text that the records of a document fold to.
  local function journalled(name)
    local text = Text.new(1)
    for _, row in ipairs(world:sql(("SELECT hex(bytes) FROM records r JOIN documents d USING (org, document) WHERE name = '%s' ORDER BY seq"):format(name))) do
      text:apply((row:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)))
    end
    return text:string()
  end

  it("is the echo, to the sender and only after the commit", function()
    local anna, ben = world:client "anna":joins "notes", world:client "ben":joins "notes"
    anna:types(0, "a"):is_acknowledged()
    assert.equal("a", journalled "notes")
    local other = world:locks_store()
    anna:types(1, "b"):asks(1)
    -- The server has read it: it answers what was sent after it. Only the answer that needs the document waits.
    anna:shows { name = "Anna" }
    ben:sees_person(anna)
    assert.equal(1, anna.echoed)
    assert.equal(-1, anna.status)
    assert.equal("a", ben.text:string())
    other:release()
    anna:is_acknowledged()
    world:wait(function() return anna.status == 1 end, "the status")
    ben:sees "ab"
    assert.equal("ab", journalled "notes")
  end)

  it("is not given to a joiner as content either: a first sync has what is committed", function()
    local anna = world:client "anna":joins "notes":types(0, "committed"):is_acknowledged()
    local other = world:locks_store()
    anna:types(9, " staged"):shows { name = "Anna" }
    anna:sees_person(anna)
    local ben = world:client "ben":joins("notes", { wait = false })
    ben:shows { name = "Ben" }
    anna:sees_person(ben)
    assert.falsy(ben.text:string():find "staged")
    other:release()
    ben:sees "committed staged"
  end)

  it("survives kill -9 at once, every time", function()
    local text = ""
    for i = 1, 15 do
      local anna = world:client "anna":joins "killed"
      anna:sees(text)
      anna:types(#text, ("<%d>"):format(i))
      if i % 2 == 0 then
        anna:asks(i)
        world:wait(function() return anna.status == i end, "the status")
      else
        anna:is_acknowledged()
      end
      text = anna.text:string()
      world:kill()
      assert.equal(text, journalled "killed")
      world:start()
    end
  end)

  it("comes with what others did, in one frame for one commit", function()
    local clients = {}
    for i = 1, 8 do clients[i] = world:client("c" .. i):joins "busy" end
    local other = world:locks_store()
    for round = 1, 10 do
      for i, client in ipairs(clients) do client:types(0, ("<%d.%d>"):format(i, round)) end
    end
    clients[1]:shows { name = "One" }
    clients[8]:sees_person(clients[1])
    other:release()
    for _, client in ipairs(clients) do client:is_acknowledged() end
    world:wait(function()
      for _, client in ipairs(clients) do
        if client.text:string() ~= clients[1].text:string() or select(2, client.text:string():gsub("<", "")) ~= 80 then return false end
      end
      return true
    end, "all agree")
    assert.truthy(clients[1]:received(0, 2) <= 20, "80 updates in " .. clients[1]:received(0, 2) .. " frames")
    assert.equal(clients[1].text:string(), journalled "busy")
  end)

  it("for a status comes at once when nothing is under way, unchanged and in order", function()
    local anna = world:client "anna":joins "status"
    for _, version in ipairs { 0, 1, 127, 128, 2 ^ 32, 2 ^ 53 - 1 } do
      anna:asks(version)
      world:wait(function() return anna.status == version end, "status " .. version)
    end
    anna:sends(102, nil, "anything"):sends(102, nil, "")
    world:wait(function() return anna:received(102) == 8 end, "whatever was in it")
    assert.equal("anything", anna.frames[#anna.frames - 1].payload)
    assert.equal("", anna.frames[#anna.frames].payload)
  end)

  it("for a repeated update that is still under way comes with it, not before", function()
    local anna, ben = world:client "anna":joins "again", world:client "ben":joins "again"
    anna:types(0, "x"):is_acknowledged()
    ben:sees "x"
    local other = world:locks_store()
    local update = anna.text:insert(1, "y")
    anna:sends(0, 2, update):shows { name = "Anna" }
    ben:sees_person(anna)
    ben:sends(0, 2, update):asks(5):shows { name = "Ben" } -- a relay, as between two tabs
    anna:sees_person(ben)
    assert.equal(-1, ben.status)
    other:release()
    world:wait(function() return ben.status == 5 end, "then it comes")
    assert.equal("xy", journalled "again")
    assert.equal("2", world:sql("SELECT head FROM documents WHERE name = 'again'")[1])
  end)

  it("is made up for after a long hold: presence works meanwhile, then all is committed once", function()
    local anna, ben = world:client "anna":joins "held", world:client "ben":joins "held"
    anna:types(0, "before "):is_acknowledged()
    local other = world:locks_store()
    for i = 1, 50 do anna:types(0, ("<%d>"):format(i)) end
    local deadline = process.now() + 8 -- longer than any busy time-out of SQLite: the append itself has failed
    local beat = 0
    world:wait(function()
      if process.now() > deadline then return true end
      if process.now() > deadline - 8 + beat then
        beat = beat + 1
        anna:shows { beat = beat }
      end
    end, "time passes", 20)
    ben:sees_person(anna, function(state) return state.beat == beat end)
    assert.equal(7, anna.echoed)
    assert.equal("before ", ben.text:string())
    other:release()
    anna:is_acknowledged(6)
    ben:sees(anna.text:string())
    assert.equal(anna.text:string(), journalled "held")
    assert.equal("51", world:sql("SELECT head FROM documents WHERE name = 'held'")[1])
  end)
end)
