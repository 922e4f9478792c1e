-- What caches have to forget: told to plugins until they have done it, whatever happens in between.
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

local JSON = "application/json"

describe("purges", function()
  local world

  local function path(name, rest) return "/api/v1/orgs/default/docs/" .. name .. (rest or "") end
  local function ask(method, where, body)
    local answer = http.request(world.port, method, where, { ["Content-Type"] = body and JSON or nil }, body and cjson.encode(body))
    if answer.fields["content-type"] == JSON and answer.body ~= "" then answer.json = cjson.decode(answer.body) end
    return answer
  end
  local function write(name) assert(ask("POST", path(name, "/ops"), { ops = { { "text.insert", "content", 0, "x" } } }).json.seq) end
  local function publish(name)
    local answer = ask("POST", path(name, "/publish"), {})
    assert.equal(200, answer.status, answer.body)
    return answer.json
  end
  local function hide(name) assert.equal(204, ask("DELETE", path(name, "/publish")).status) end

  --- Every p that the plugin was told, in order.
  local function told()
    local all = {}
    for line in io.lines(world.log) do
      local reason, urgent, count, key, prefix = line:match "PURGE|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|"
      if reason then all[#all + 1] = { reason = reason, urgent = urgent == "true", count = tonumber(count), key = key, prefix = prefix, urls = {} } end
      local url = line:match "URL|([^|]*)|"
      if url then all[#all].urls[url] = true end
    end
    return all
  end
  local function wait_told(n, seconds)
    world:wait(function() return #told() >= n end, "purge " .. n, seconds or 10)
    return told()
  end
  local function waiting() return tonumber(world:sql("SELECT count(*) FROM purges")[1]) end
  local function wait_done() world:wait(function() return waiting() == 0 end, "all purges done", 20) end

  local function with(code, config)
    local folder = process.folder()
    World.plugin(folder, "cdn", {
      ["plugin.lua"] = "return { name = 'cdn', version = '1.0.0', api = 1, summary = 'of a spec', hooks = { purge = {} } }",
      ["init.lua"] = ([[
        local ml = require 'moonloom'
        local P = {}
        function P:purge(p)
          ml.log.info(("PURGE|%%s|%%s|%%d|%%s|%%s|"):format(p.reason, tostring(p.urgent), #p.urls, table.concat(p.keys, " "), table.concat(p.prefixes, " ")))
          for i, url in ipairs(p.urls) do
            if i == 1 or url:find "content.txt" then ml.log.info("URL|" .. url .. "|") end
          end
          %s
        end
        return P]]):format(code or ""),
    })
    world = World.new { args = { "--plugins", folder }, config = "plugins = { cdn = {} }\n" .. (config or "") }
  end
  after_each(function() world:close() end)
  teardown(process.clean)

  it("name the document by key, address and prefix", function()
    with("", 'public_url = "https://docs.example.com/"')
    write "doc"
    local files = publish("doc").files
    local p = wait_told(1)[1]
    assert.equal("published", p.reason)
    assert.is_false(p.urgent)
    assert.equal("https://docs.example.com/d/default/doc", p.prefix)
    assert.truthy(http.request(world.port, "GET", "/d/default/doc", {}).fields["surrogate-key"]:find(p.key, 1, true))
    world:wait(function() return told()[1].urls["https://docs.example.com" .. files["content.txt"]] end, "the file's address")
    assert.truthy(told()[1].urls["https://docs.example.com/d/default/doc"])
    wait_done()
  end)

  it("of one document are collected for a second and become one", function()
    with()
    write "doc"
    for _ = 1, 5 do publish "doc" end
    write "other"
    publish "other"
    wait_done()
    assert.equal(2, #told())
  end)

  it("for privacy are told at once, and nothing is kept anywhere until they are done", function()
    with "if p.urgent then self.state.n = (self.state.n or 0) + 1; if self.state.n < 3 then return ml.retry('the CDN is down', 0.2) end end"
    write "doc"
    publish "doc"
    wait_done()
    local began = socket.gettime()
    hide "doc"
    local all = wait_told(2)
    assert.truthy(socket.gettime() - began < 0.9)
    assert.equal("made_private", all[2].reason)
    assert.is_true(all[2].urgent)
    assert.truthy(all[2].count > 2) -- the files that were public
    publish "doc"
    local pointer = http.request(world.port, "GET", "/d/default/doc", {})
    assert.equal(302, pointer.status)
    assert.equal("no-store", pointer.fields["cache-control"])
    assert.falsy(pointer.fields["surrogate-key"])
    wait_done()
    assert.equal("public, max-age=0, s-maxage=60", http.request(world.port, "GET", "/d/default/doc", {}).fields["cache-control"])
  end)

  it("follow a deletion", function()
    with()
    write "doc"
    publish "doc"
    wait_done()
    ask("DELETE", path "doc")
    assert.equal("deleted", wait_told(2)[2].reason)
    wait_done()
    write "unknown"
    ask("DELETE", path "unknown") -- never published: nobody has it
    socket.sleep(0.5)
    assert.equal(2, #told())
  end)

  it("can be asked for", function()
    with()
    write "doc"
    assert.equal(202, ask("POST", path("doc", "/purge")).status)
    assert.equal("manual", wait_told(1)[1].reason)
    wait_done()
  end)

  it("survive a plugin that fails, and kill -9 at any moment", function()
    with "error 'no'"
    write "doc"
    publish "doc"
    hide "doc"
    wait_told(1)
    assert.truthy(waiting() > 0)
    world:kill()
    world:start()
    local before = #told()
    wait_told(before + 1)
    assert.truthy(waiting() > 0)
  end)

  it("are over at once where nobody has a cache", function()
    world = World.new()
    write "doc"
    publish "doc"
    hide "doc"
    wait_done()
  end)
end)
