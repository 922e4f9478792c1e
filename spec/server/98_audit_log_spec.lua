-- The plugin audit-log in the real process: to a service that records what it is sent, in its own store, over a crash.
local Accounts = require "accounts"
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local World = require "world"

describe("the plugin audit-log", function()
  local world
  after_each(function() world:close() end)
  teardown(process.clean)

  local function sink(...)
    local file = process.folder() .. "/requests"
    local server = process.spawn({ "luajit", World.ROOT .. "/spec/support/lua/sink.lua", file, ... }, { log = process.folder() .. "/sink" })
    local port = server:prints "(%d+)\n"
    return port, function()
      local all, f = {}, io.open(file)
      if not f then return all end
      for line in f:lines() do all[#all + 1] = cjson.decode(line) end
      f:close()
      return all
    end
  end

  local function ask(method, path, body)
    local answer = http.request(world.port, method, path, { ["Content-Type"] = body and "application/json" or nil }, body and cjson.encode(body))
    if answer.body and answer.body:sub(1, 1) == "{" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function make_and_delete(name)
    assert.equal(201, ask("POST", "/api/v1/orgs/default/docs", { name = name, content = "secret words" }).status)
    assert.equal(204, ask("DELETE", "/api/v1/orgs/default/docs/" .. name).status)
  end

  local function sha256(text)
    local path = process.folder() .. "/text"
    process.write(path, text)
    local status, out = process.run { "sha256sum", path }
    assert.equal(0, status)
    return out:match "^%x+"
  end

  --- Records of all requests that were answered 200, in order; each is there once.
  local function records(requests, from)
    local out = {}
    for i = from or 1, #requests do
      for line in requests[i].body:gmatch "[^\n]+" do out[#out + 1] = { text = line, value = cjson.decode(line) } end
    end
    return out
  end

  local CONFIG = "plugins = { ['audit-log'] = { config = { sink = '%s', %s } } }\noutgoing = { '127.0.0.0/8' }\nlog = 'info'"

  it("posts events and changes in one chain, and again after a crash", function()
    local port, requests = sink("503", "503", "503", "503", "503", "200")
    world = World.new { config = CONFIG:format("http", ("http = { url = 'http://127.0.0.1:%s/in', token = 'tok' }"):format(port)) }
    make_and_delete "a"
    local anna = world:client("anna"):joins "notes"
    anna:types(0, "hidden text")
    anna:is_acknowledged()
    make_and_delete "b"
    world:wait(function() return #world:sql "SELECT 1 FROM kv WHERE CAST(key AS TEXT) LIKE 'q/%'" >= 2 end, "two records in the store", 30)
    world.server:kill()
    world:start()
    -- Nobody opens the document; its change is told all the same, if it was not before.
    local function all() return records(requests(), 6) end
    local function kinds()
      local found = {}
      for _, record in ipairs(all()) do found[record.value.kind] = (found[record.value.kind] or 0) + 1 end
      return found
    end
    world:wait(function()
      local found = kinds()
      return (found["document.deleted"] or 0) >= 2 and (found["document.edited"] or 0) >= 1
    end, "all records at the service", 90)
    local list = all()
    for i, record in ipairs(list) do
      assert.equal(i, record.value.n)
      if i > 1 then assert.equal(sha256(list[i - 1].text), record.value.prev) end
      assert.is_nil(record.text:find("hidden", 1, true))
      assert.is_nil(record.text:find("secret words", 1, true))
    end
    local sent = requests()
    assert.equal("Bearer tok", sent[1].headers.authorization)
    assert.equal("application/x-ndjson", sent[1].headers["content-type"])
  end)

  it("keeps them in its own store, and sees that one was changed; that is for owners and admins", function()
    world = World.new { config = CONFIG:format("kv", "edits = 'none', kinds = { 'session.*' }") .. "\nauth = { mode = 'password' }" }
    local people = Accounts.new(world)
    people:add("ana", "owner")
    people:add("ben", "editor")
    local ana
    for _ = 1, 3 do ana = people:login "ana" end
    local ben = people:login "ben"
    local function stored() return world:sql "SELECT CAST(value AS TEXT) FROM kv WHERE CAST(key AS TEXT) LIKE 'r/%' ORDER BY key" end
    world:wait(function() return #stored() >= 4 end, "four records", 30)
    for i, text in ipairs(stored()) do
      local record = cjson.decode(cjson.decode("[" .. text .. "]")[1])
      assert.equal(i, record.n)
      assert.equal("session.sign_in", record.kind)
    end
    local function verify(who)
      local answer = people:ask("GET", "/x/audit-log/verify", who)
      return answer.json and answer.status == 200 and answer.json or answer.status
    end
    assert.equal(403, verify(ben))
    assert.is_true(verify(ana).whole)
    world:sql "UPDATE kv SET value = CAST(replace(CAST(value AS TEXT), 'ana', 'eve') AS BLOB) WHERE CAST(key AS TEXT) LIKE 'r/%2'"
    local found = verify(ana)
    assert.is_false(found.whole)
    assert.equal("record 2 was changed", found.why)
  end)
end)
