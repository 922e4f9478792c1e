-- Requests as they are written, answers as they come.
local socket = require "socket"
local M = {}

--- Write `text`, read one answer: { status, head, fields (lower-case name → value), body }; nil when there was none.
function M.raw(port, text, seconds)
  local sock = assert(socket.tcp())
  sock:settimeout(seconds or 10)
  assert(sock:connect("127.0.0.1", port))
  sock:send(text)
  local answer = M.read(sock)
  sock:close()
  return answer
end

function M.read(sock, is_head)
  local lines = {}
  repeat
    local line = sock:receive "*l"
    if not line then return nil end
    lines[#lines + 1] = line
  until line == ""
  local answer = { head = table.concat(lines, "\n"), fields = {}, body = "" }
  answer.status = tonumber(lines[1]:match "^HTTP/1.1 (%d%d%d)")
  for _, line in ipairs(lines) do
    local name, value = line:match "^([^:]+): *(.*)$"
    if name then answer.fields[name:lower()] = value end
  end
  local length = tonumber(answer.fields["content-length"] or 0)
  if length > 0 and not is_head and answer.status ~= 304 then
    local body, err, part = sock:receive(length)
    answer.body, answer.error = body or part, err
  end
  return answer
end

function M.text(port, method, path, headers, body)
  local lines = { method .. " " .. path .. " HTTP/1.1" }
  headers = headers or {}
  if headers.Host == nil then lines[2] = "Host: 127.0.0.1:" .. port end
  for name, value in pairs(headers) do
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

function M.request(port, method, path, headers, body)
  local sock = assert(socket.tcp())
  sock:settimeout(30)
  assert(sock:connect("127.0.0.1", port))
  local text, sent, err = M.text(port, method, path, headers, body), 0, nil
  while sent < #text and not err do
    local last, what, part = sock:send(text, sent + 1)
    sent, err = last or part, what -- a server that refuses does not read to the end
  end
  local answer = M.read(sock, method == "HEAD")
  sock:close()
  return answer
end

function M.get(port, path, headers)
  return M.request(port, "GET", path, headers)
end

return M
