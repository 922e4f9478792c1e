-- A WebSocket client with nothing between a spec and the bytes: it can also do what no client should.
local socket = require "socket"
local bit = require "bit"
local ffi = require "ffi"
local now = socket.gettime

local WebSocket = {}
WebSocket.__index = WebSocket

-- The key of RFC 6455 1.3 and its answer, so that no SHA-1 is needed here.
WebSocket.KEY, WebSocket.ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

local function connect(port)
  local sock = assert(socket.tcp())
  sock:settimeout(10)
  assert(sock:connect("127.0.0.1", port))
  sock:setoption("tcp-nodelay", true)
  return sock
end
WebSocket.connect = connect

function WebSocket.request(options)
  local lines = {
    "GET " .. options.path .. " HTTP/1.1", "Host: " .. (options.host or "127.0.0.1:" .. options.port),
  }
  local fields = {
    Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13",
    ["Sec-WebSocket-Key"] = WebSocket.KEY,
  }
  for name, value in pairs(options.headers or {}) do fields[name] = value end
  for name, value in pairs(fields) do
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- Opens; or answers nil, status, head and body of the refusal. options: port, path, headers, host.
function WebSocket.open(options)
  local sock = connect(options.port)
  if options.receive_buffer then sock:setoption("recv-buffer-size", options.receive_buffer) end
  sock:send(WebSocket.request(options))
  local head = {}
  repeat
    local line, err = sock:receive "*l"
    if not line then
      sock:close()
      return nil, 0, table.concat(head, "\n") .. tostring(err), ""
    end
    head[#head + 1] = line
  until line == ""
  local text = table.concat(head, "\n")
  local status = tonumber(text:match "^HTTP/1.1 (%d+)")
  if status ~= 101 then
    local length = tonumber(text:lower():match "content%-length: (%d+)") or 0
    local body = length > 0 and sock:receive(length) or ""
    sock:close()
    return nil, status, text, body
  end
  assert(text:find("Sec-WebSocket-Accept: " .. WebSocket.ACCEPT, 1, true) or text:lower():find("sec-websocket-accept: " .. WebSocket.ACCEPT:lower(), 1, true), "wrong accept: " .. text)
  sock:settimeout(0)
  return setmetatable({ sock = sock, head = text, buffer = "", messages = {}, pongs = 0 }, WebSocket)
end

local function mask(payload, key)
  local out = ffi.new("uint8_t[?]", #payload)
  ffi.copy(out, payload, #payload)
  for i = 0, #payload - 1 do out[i] = bit.bxor(out[i], key:byte(i % 4 + 1)) end
  return ffi.string(out, #payload)
end

--- The bytes of one frame. options: opcode (2), final (true), masked (true), reserved (0), length (claimed), long (length form).
function WebSocket.frame(payload, options)
  options = options or {}
  local first = (options.final == false and 0 or 128) + (options.reserved or 0) + (options.opcode or 2)
  local masked = options.masked ~= false
  local n = options.length or #payload
  local bits = masked and 128 or 0
  local head
  if n < 126 then
    head = string.char(first, bits + n)
  elseif n < 65536 then
    head = string.char(first, bits + 126, math.floor(n / 256), n % 256)
  else
    local parts = {}
    for i = 7, 0, -1 do parts[#parts + 1] = string.char(math.floor(n / 256 ^ i) % 256) end
    head = string.char(first, bits + 127) .. table.concat(parts)
  end
  if not masked then return head .. payload end
  -- A key of zeros is as good as any and needs no work on megabytes.
  local key = #payload > 65536 and "\0\0\0\0" or string.char(math.random(0, 255), math.random(0, 255), math.random(0, 255), math.random(0, 255))
  return head .. key .. (key == "\0\0\0\0" and payload or mask(payload, key))
end

--- Write bytes as they are; stops quietly when the other side has gone. Answers how many were written.
function WebSocket:raw(bytes, seconds)
  local at, deadline = 1, now() + (seconds or 20)
  while at <= #bytes do
    local sent, err, part = self.sock:send(bytes, at)
    if sent then return #bytes end
    at = (part or at - 1) + 1
    if err ~= "timeout" or now() > deadline then return at - 1 end
    socket.select(nil, { self.sock }, 0.05)
  end
  return #bytes
end

function WebSocket:send(payload, options)
  return self:raw(WebSocket.frame(payload, options))
end

local function take_frame(self)
  local b = self.buffer
  if #b < 2 then return false end
  local first, second, third, fourth = b:byte(1, 4)
  local opcode, n, at = first % 16, second % 128, 3
  assert(second < 128, "the server masked a frame")
  if n == 126 then
    if #b < 4 then return false end
    n, at = third * 256 + fourth, 5
  elseif n == 127 then
    if #b < 10 then return false end
    n, at = 0, 11
    for i = 3, 10 do n = n * 256 + b:byte(i) end
  end
  if #b < at + n - 1 then return false end
  local payload = b:sub(at, at + n - 1)
  self.buffer = b:sub(at + n)
  if opcode == 9 then
    self:send(payload, { opcode = 10 })
  elseif opcode == 10 then
    self.pongs = self.pongs + 1
  elseif opcode == 8 then
    local code = #payload >= 2 and payload:byte(1) * 256 + payload:byte(2) or 1005
    self.closed = self.closed or { code = code, reason = payload:sub(3), at = now() }
    self:send(payload:sub(1, 2), { opcode = 8 })
  else
    assert(first >= 128, "the server sent a fragment")
    self.messages[#self.messages + 1] = { opcode = opcode, payload = payload, at = now() }
  end
  return true
end

--- Take in what has arrived, without waiting. False once the connection has ended.
function WebSocket:pump()
  if self.ended then return false end
  local parts = { self.buffer }
  while true do
    local bytes, err, part = self.sock:receive(262144)
    parts[#parts + 1] = bytes or part
    if not bytes then
      if err ~= "timeout" then
        self.ended = true
        self.closed = self.closed or { code = 1006, reason = err, at = now() }
      end
      break
    end
  end
  self.buffer = table.concat(parts)
  while take_frame(self) do end
  return not self.ended
end

--- Pump until `question()` is true.
function WebSocket:wait(question, what, seconds)
  local deadline = now() + (seconds or 10)
  while true do
    self:pump()
    local answer = question()
    if answer then return answer end
    if now() > deadline then error(("not within %g s: %s"):format(seconds or 10, what), 2) end
    socket.select({ self.sock }, nil, self.ended and 0.005 or 0.05)
  end
end

--- Code and reason with which the server closed.
function WebSocket:wait_close(seconds)
  self:wait(function() return self.closed end, "the server closes", seconds)
  return self.closed.code, self.closed.reason
end

--- As a killed process ends: no close frame.
function WebSocket:drop()
  self.ended = true
  self.sock:close()
end

function WebSocket:close()
  if not self.ended then self:send("\3\232", { opcode = 8 }) end
  self:drop()
end

return WebSocket
