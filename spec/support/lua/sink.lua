-- A web server that answers what it was told to and notes what it was asked: luajit sink.lua FILE STATUS…
-- The first line of its output is its port. Each request is one JSON line in FILE. The last status repeats; "hang" never answers.
local socket = require "socket"
local cjson = require "cjson"

local file, answers = arg[1], {}
for i = 2, #arg do answers[#answers + 1] = arg[i] end
local server = assert(socket.bind("127.0.0.1", 0))
io.write(select(2, server:getsockname()), "\n")
io.flush()

local count, hanging = 0, {}
while true do
  local sock = server:accept()
  if sock then
    sock:settimeout(5)
    local line = sock:receive "*l"
    local request = { first = line, headers = {} }
    line = sock:receive "*l"
    while line and line ~= "" do
      local name, value = line:match "^([^:]+): *(.*)$"
      if name then request.headers[name:lower()] = value end
      line = sock:receive "*l"
    end
    local length = tonumber(request.headers["content-length"] or 0)
    request.body = length > 0 and sock:receive(length) or ""
    count = count + 1
    local answer = answers[math.min(count, #answers)]
    local status, extra = (answer ~= "hang" and answer or "200"):match "^(%d+)(.*)$"
    local out = assert(io.open(file, "a"))
    out:write(cjson.encode(request), "\n")
    out:close()
    local body = ("answer %d"):format(count)
    local location = extra ~= "" and ("Location: %s\r\n"):format(extra:sub(2)) or ""
    if answer == "hang" then table.insert(hanging, sock) else sock:send(("HTTP/1.1 %s X\r\nX-Count: %d\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(status, count, location, #body, body)) end
    if answer ~= "hang" then sock:close() end
  end
end
