-- Documents on the wire: who has what, and how the rest gets there.
local lib0 = require "lib0"
local process = require "process"
local Text = require "text"
local World = require "world"

describe("sync", function()
  local world

  setup(function() world = World.new() end)
  teardown(function()
    world:close()
    process.clean()
  end)

  it("brings a late reader up to date", function()
    local anna, ben = world:client "anna", world:client "ben"
    anna:joins "notes"
    anna:types(0, "hello")
    ben:joins "notes"
    ben:sees "hello"
  end)

  it("answers the first question about an empty document with an empty update", function()
    local anna = world:client "anna":joins "empty"
    assert.equal(1, anna:received(0, 1))
    for _, frame in ipairs(anna.frames) do
      if frame.type == 0 and frame.subtype == 1 then assert.equal("\0\0", frame.payload) end
    end
  end)

  it("asks what the client has, and takes it", function()
    local anna, ben = world:client "anna", world:client "ben"
    anna.text:insert(0, "written offline")
    anna:joins "offline":is_acknowledged()
    assert.equal(1, anna:received(0, 0))
    ben:joins "offline":sees "written offline"
  end)

  it("carries both ways at once: two writers at one place", function()
    local anna, ben = world:client "anna":joins "two", world:client "ben":joins "two"
    for i = 0, 19 do
      anna:types(i, "a")
      ben:types(0, "b")
    end
    world:wait(function() return #anna.text:string() == 40 and anna.text:string() == ben.text:string() end, "both agree")
    anna:deletes(3, 10)
    ben:deletes(0, 5)
    ben:types(ben.text.head.next and 0, "🌙 ü")
    world:wait(function()
      local text = anna.text:string()
      return text == ben.text:string() and text:find "🌙 ü" and #text <= 40
    end, "both agree again")
    local late = world:client "late":joins "two"
    assert.equal(anna.text:string(), late.text:string())
  end)

  it("heals after a connection was lost, in both directions", function()
    local anna, ben = world:client "anna":joins "lost", world:client "ben":joins "lost"
    anna:types(0, "one "):is_acknowledged()
    anna:vanishes()
    anna.text:insert(4, "two ")
    ben:sees "one ":types(4, "three ")
    anna:joins "lost"
    world:wait(function() return anna.text:string() == ben.text:string() and #anna.text:string() == 14 end, "both have it all")
  end)

  it("keeps what came too early until the rest comes", function()
    local anna, ben = world:client "anna", world:client "ben"
    local first, second = anna.text:insert(0, "first "), anna.text:insert(6, "second")
    anna.is_mute = true -- it must not heal by answering the server's question
    anna:joins("early", { wait = false })
    ben:joins "early"
    anna:sends(0, 2, second):catches_up()
    assert.equal("", ben:catches_up().text:string())
    assert.truthy(anna:received(0, 0) >= 2, "the server asks for what is missing")
    anna:sends(0, 2, first)
    ben:sees "first second"
    world:client "late":joins "early":sees "first second"
  end)

  it("takes the same update any number of times and tells nobody", function()
    local anna, ben = world:client "anna":joins "twice", world:client "ben":joins "twice"
    local update = anna.text:insert(0, "once")
    anna:sends(0, 2, update):is_acknowledged()
    ben:sees "once"
    local echoes, heard = anna:received(0, 2), ben:received(0, 2)
    for _ = 1, 10 do anna:sends(0, 2, update):sends(0, 1, update) end
    anna:catches_up()
    ben:catches_up()
    assert.equal(echoes, anna:received(0, 2))
    assert.equal(heard, ben:received(0, 2))
    assert.equal("1", world:sql("SELECT head FROM documents WHERE name = 'twice'")[1])
  end)

  it("answers an empty update with nothing, and an empty Step2 too", function()
    local anna = world:client "anna":joins "nothing"
    local before = anna:received(0, 2)
    anna:sends(0, 2, "\0\0"):sends(0, 1, "\0\0"):catches_up()
    assert.equal(before, anna:received(0, 2))
    assert.is_nil(anna.socket.closed)
  end)

  it("answers every question, also the tenth", function()
    local anna = world:client "anna":joins "questions":types(0, "answer")
    for i = 1, 10 do
      anna:sends(0, 0, "\0")
      world:wait(function() return anna:received(0, 1) == i + 1 end, "answer " .. i)
    end
  end)

  it("answers only what is lacking", function()
    local anna = world:client "anna":joins "lacking":types(0, ("x"):rep(10000)):is_acknowledged()
    anna:types(0, "new"):is_acknowledged()
    local ben = world:client "ben"
    ben.is_opaque = true
    ben:joins("lacking", { wait = false })
    ben:sends(0, 0, "\1" .. lib0.uint(anna.id) .. lib0.uint(10000))
    world:wait(function() return ben:received(0, 1) == 2 end, "two answers")
    local sizes = {}
    for _, frame in ipairs(ben.frames) do
      if frame.type == 0 and frame.subtype == 1 then sizes[#sizes + 1] = frame.bytes end
    end
    assert.truthy(sizes[1] > 10000 and sizes[2] < 100, table.concat(sizes, " and "))
  end)

  it("ignores what it does not know: types, sub-types' absence, its own word", function()
    local anna = world:client "anna":joins "unknown"
    for _, bytes in ipairs { "\42\1\2\3", "\127", "\255\1junk", "\2\0\6denied" } do anna.socket:send(bytes) end
    anna:types(0, "still here"):is_acknowledged()
    assert.is_nil(anna.socket.closed)
  end)

  it("reads several messages of one frame, in order", function()
    local anna, ben = world:client "anna":joins "joined", world:client "ben":joins "joined"
    local parts = {}
    for i = 0, 9 do parts[#parts + 1] = anna.message(0, 2, anna.text:insert(i, tostring(i))) end
    parts[#parts + 1] = anna.message(102, nil, lib0.uint(7))
    anna.socket:send(table.concat(parts))
    ben:sees "0123456789"
    world:wait(function() return anna.status == 7 end, "the status at the end")
  end)

  it("reads a message in pieces, cut anywhere", function()
    local anna, ben = world:client "anna":joins "pieces", world:client "ben":joins "pieces"
    local bytes = anna.socket.frame(anna.message(0, 2, anna.text:insert(0, ("piece "):rep(50))))
    for i = 1, #bytes, 7 do anna.socket:raw(bytes:sub(i, i + 6)) end
    ben:sees(("piece "):rep(50))
    local message = anna.message(0, 2, anna.text:insert(0, "fragments "))
    for i = 1, #message do
      anna.socket:send(message:sub(i, i), { opcode = i == 1 and 2 or 0, final = i == #message })
    end
    ben:sees("fragments " .. ("piece "):rep(50))
  end)

  it("takes client ids of 53 bits", function()
    local big = world:client "big"
    big.id = 2 ^ 53 - 1
    big.text = Text.new(big.id)
    big:joins "ids":types(0, "nine quadrillion"):is_acknowledged()
    world:client "ben":joins "ids":sees "nine quadrillion"
    assert.equal("nine quadrillion", world:client "c":joins("ids").text:string())
  end)

  describe("a large document", function()
    local COUNT, SIZE = 40, 100000 -- 4 MB

    local function chunk(i) return ("[%05d]"):format(i) .. ("x"):rep(SIZE - 7) end

    --- Joins with nothing and answers the frames of the first sync: all Updates but the last.
    local function first_sync(name)
      local reader = world:client "reader"
      reader.is_opaque = true
      reader:joins(name, { wait = false })
      world:wait(function() return reader.synced end, "synced", 30)
      local parts, last = {}, nil
      for _, frame in ipairs(reader.frames) do
        if frame.type == 0 and frame.subtype ~= 0 then
          assert.is_nil(last, "nothing of the first sync comes after its Step2")
          parts[#parts + 1] = frame
          if frame.subtype == 1 then last = frame end
        end
      end
      reader:leaves()
      return parts
    end

    --- Every chunk is in it once; and each part is an update of its own.
    local function check(parts)
      local all = {}
      for _, frame in ipairs(parts) do
        assert.truthy(frame.bytes <= 1048576 + 64, "a part of " .. frame.bytes .. " bytes")
        Text.decode(frame.payload)
        all[#all + 1] = frame.payload
      end
      local text = table.concat(all)
      for i = 1, COUNT do
        local _, times = text:gsub(("%%[%05d%%]"):format(i), "")
        assert.equal(1, times, "chunk " .. i)
      end
      local _, letters = text:gsub("x", "")
      assert.truthy(letters >= COUNT * (SIZE - 7), "all letters")
    end

    it("arrives in parts of bounded size, Updates and a final Step2", function()
      local anna = world:client "anna"
      anna.is_opaque = true
      anna:joins "large/many"
      for i = 1, COUNT do -- each at the front: forty structs that cannot become one
        local origin = i > 1 and "\68" .. lib0.uint(anna.id) .. lib0.uint((i - 2) * SIZE) or "\4\1\7content"
        anna:sends(0, 2, "\1\1" .. lib0.uint(anna.id) .. lib0.uint((i - 1) * SIZE) .. origin .. lib0.bytes(chunk(i)) .. "\0")
      end
      anna:asks(1)
      world:wait(function() return anna.status == 1 end, "all is durable", 30)
      local parts = first_sync "large/many"
      assert.truthy(#parts >= 4, #parts .. " parts")
      check(parts)
      world:stop()
      world:start()
      check(first_sync "large/many")
    end)

    it("arrives in parts also if it was typed in one go and is one struct", function()
      local anna = world:client "anna"
      anna.is_opaque = true
      anna:joins "large/one"
      for i = 1, COUNT do
        local origin = i > 1 and "\132" .. lib0.uint(anna.id) .. lib0.uint((i - 1) * SIZE - 1) or "\4\1\7content"
        anna:sends(0, 2, "\1\1" .. lib0.uint(anna.id) .. lib0.uint((i - 1) * SIZE) .. origin .. lib0.bytes(chunk(i)) .. "\0")
      end
      anna:asks(1)
      world:wait(function() return anna.status == 1 end, "all is durable", 30)
      check(first_sync "large/one")
    end)
  end)
end)
