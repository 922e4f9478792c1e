-- People with passwords, for specs: commands beside the server, cookies, requests as a page of ours makes them.
--
--   local people = Accounts.new(world)
--   people:add("ana", "owner")                  `moonloom user add`; the password is "correct horse"
--   local ana = people:login "ana"              an answer with .cookies
--   people:ask("POST", "/auth/logout", ana, {}) with her cookies, Origin and X-ML-CSRF
local cjson = require "cjson"
local http = require "http"
local process = require "process"
local socket = require "socket"
local World = require "world"

local Accounts = {}
Accounts.__index = Accounts
Accounts.PASSWORD = "correct horse"

function Accounts.new(world) return setmetatable({ world = world }, Accounts) end

--- `moonloom user …`: status, output, errors. The password stands in a file: a spec has no terminal.
function Accounts:user(password, ...)
  local argv = { World.BIN, ... }
  argv[#argv + 1] = "--data"
  argv[#argv + 1] = self.world.data
  for _, argument in ipairs(self.store or {}) do argv[#argv + 1] = argument end
  if not password then return process.run(argv, { env = self.env }) end
  argv[#argv + 1] = "--password-stdin"
  local file = process.write(process.folder() .. "/password", password .. "\n")
  for i, word in ipairs(argv) do argv[i] = "'" .. word .. "'" end
  return process.run({ "sh", "-c", table.concat(argv, " ") .. " < '" .. file .. "'" }, { env = self.env })
end

function Accounts:add(id, role, org)
  local status, _, err = self:user(Accounts.PASSWORD, "user", "add", id, "--org", org or "default", "--role", role)
  assert(status == 0, err)
end

--- A token of the server's own, from the command line.
function Accounts:token(...)
  local status, out, err = self:user(nil, "token", ...)
  assert(status == 0, err)
  return (out:gsub("\n$", ""))
end

--- Sends a request; what is answered waits for the answer. Set-Cookie may come several times; the fields of http.lua keep one.
function Accounts:sends(method, path, headers, body, port)
  port = port or self.world.port
  local sock = assert(socket.tcp())
  sock:settimeout(30)
  assert(sock:connect("127.0.0.1", port))
  headers["Content-Type"] = headers["Content-Type"] or "application/json"
  headers.Connection = "close"
  sock:send(http.text(port, method, path, headers, body and (type(body) == "string" and body or cjson.encode(body)) or nil))
  return function() return Accounts.answer(sock) end
end

function Accounts:raw(...) return self:sends(...)() end

function Accounts.answer(sock)
  local all = sock:receive "*a"
  sock:close()
  local head, rest = all:match "^(.-\r\n)\r\n(.*)$"
  local answer = { status = tonumber(head:match "^HTTP/1.1 (%d+)"), head = head, cookies = {}, lines = {} }
  for line in head:gmatch "Set%-Cookie: ([^\r]*)\r" do
    local name, value = line:match "^([^=]+)=([^;]*)"
    answer.cookies[name], answer.lines[name] = value, line
  end
  if rest ~= "" and head:find("application/json", 1, true) then answer.json = cjson.decode(rest) end
  return answer
end

function Accounts:login(id, password, org, port)
  return self:raw("POST", "/auth/login", {}, { user = id, password = password or Accounts.PASSWORD, org = org }, port)
end

--- The headers of a page that has these cookies; `more` over them, false takes one away.
function Accounts:jar(answer, more, port)
  port = port or self.world.port
  local list = {}
  for name, value in pairs(answer.cookies) do list[#list + 1] = name .. "=" .. value end
  local headers = { Cookie = table.concat(list, "; "), ["X-ML-CSRF"] = answer.cookies.ml_csrf, Origin = "http://127.0.0.1:" .. port,
    Host = "127.0.0.1:" .. port }
  for name, value in pairs(more or {}) do headers[name] = value or nil end
  for name, value in pairs(more or {}) do if value == false then headers[name] = nil end end
  return headers
end

--- `who`: an answer with cookies, a bearer, or nil.
function Accounts:ask(method, path, who, body, port)
  if type(who) == "table" then return self:raw(method, path, self:jar(who, nil, port), body, port) end
  return self:raw(method, path, who and { Authorization = "Bearer " .. who } or {}, body, port)
end

--- A y-websocket client that comes with these cookies.
function Accounts:joins(who, document, world)
  world = world or self.world
  local headers = self:jar(who, nil, world.port)
  return world:client(document):joins(document, { headers = { Cookie = headers.Cookie, Origin = headers.Origin } })
end

return Accounts
