-- Children of a spec: started with pipes, waited for with deadlines, ended by their pid. Nothing outlives the spec.
local stdlib = require "posix.stdlib"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"
local signal = require "posix.signal"
local poll = require "posix.poll"
local socket = require "socket"

local ffi = require "ffi"
ffi.cdef "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);"
local PR_SET_PDEATHSIG = 1

local M = {}
local running, folders = {}, {}

M.now = socket.gettime

--- Ask until the answer is true; an error with `what` when the time is over.
function M.until_true(question, what, seconds, step)
  local deadline = M.now() + (seconds or 10)
  while true do
    local answer = question()
    if answer then return answer end
    if M.now() > deadline then error(("not within %g s: %s"):format(seconds or 10, what), 2) end
    socket.sleep(step or 0.005)
  end
end

function M.folder()
  local path = assert(stdlib.mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/moonloom-spec-XXXXXX"))
  folders[#folders + 1] = path
  return path
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function M.read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

local Process = {}
Process.__index = Process

--- argv[1] is the program. stderr goes to the file `log`; stdout is read with :prints, stdin written with :says.
function M.spawn(argv, options)
  options = options or {}
  local out_read, out_write = unistd.pipe()
  local in_read, in_write = unistd.pipe()
  local pid = assert(unistd.fork())
  if pid == 0 then
    ffi.C.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) -- also when the spec is killed
    unistd.dup2(in_read, 0)
    unistd.dup2(out_write, 1)
    local fcntl = require "posix.fcntl"
    local log = fcntl.open(options.log or "/dev/null", fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, tonumber("600", 8))
    unistd.dup2(log, 2)
    if options.folder then unistd.chdir(options.folder) end
    for name, value in pairs(options.env or {}) do stdlib.setenv(name, value) end
    for fd = 3, 255 do unistd.close(fd) end -- sockets of the spec are not the child's
    local args = {}
    for i = 2, #argv do args[i - 1] = argv[i] end
    unistd.execp(argv[1], args)
    unistd._exit(127)
  end
  unistd.close(out_write)
  unistd.close(in_read)
  local process = setmetatable({ pid = pid, out = out_read, input = in_write, text = "", log = options.log }, Process)
  running[pid] = process
  return process
end

--- How it ended ("exited", 0 or "killed", 9), or nil while it runs.
function Process:ended()
  if not self.how then
    local pid, how, status = wait.wait(self.pid, wait.WNOHANG)
    if pid == self.pid and how ~= "running" then
      self.how, self.status = how, status
      running[self.pid] = nil
      unistd.close(self.input)
    end
  end
  return self.how, self.status
end

function Process:wait(seconds)
  M.until_true(function() return self:ended() end, "process " .. self.pid .. " ends", seconds or 10)
  return self.how, self.status
end

function Process:signal(number)
  if not self:ended() then signal.kill(self.pid, number) end
end

function Process:kill()
  self:signal(signal.SIGKILL)
  return self:wait(10)
end

--- What it has printed so far, once it matches; an error if it ends or takes too long first.
function Process:prints(pattern, seconds)
  M.until_true(function()
    if poll.rpoll(self.out, 0) == 1 then
      local bytes = unistd.read(self.out, 65536)
      self.text = self.text .. (bytes or "")
    end
    if self.text:find(pattern) then return true end
    if self:ended() then
      error(("ended (%s %s) before it printed %q\n%s\n%s"):format(self.how, self.status, pattern, self.text, self:tail()), 0)
    end
  end, "prints " .. pattern, seconds or 20, 0.002)
  return self.text:match(pattern)
end

function Process:says(text)
  unistd.write(self.input, text)
end

function Process:tail(bytes)
  return self.log and M.read(self.log):sub(-(bytes or 3000)) or ""
end

--- Resident bytes; fields of /proc/PID/status by name.
function Process:rss()
  return tonumber(M.read("/proc/" .. self.pid .. "/status"):match "VmRSS:%s+(%d+)") * 1024
end

--- Run to the end: exit status, standard output, standard error.
function M.run(argv, options)
  options = options or {}
  options.log = options.log or (M.folder() .. "/stderr")
  local process = M.spawn(argv, options)
  local parts = {}
  local deadline = M.now() + (options.seconds or 20)
  while M.now() < deadline do
    if poll.rpoll(process.out, 50) == 1 then
      local bytes = unistd.read(process.out, 65536)
      if not bytes or #bytes == 0 then break end
      parts[#parts + 1] = bytes
    end
  end
  local ok, err = pcall(process.wait, process, math.max(1, deadline - M.now()))
  unistd.close(process.out)
  if not ok then
    process:kill()
    error(table.concat(argv, " ") .. ": " .. err)
  end
  return process.how == "exited" and process.status or -1, table.concat(parts), M.read(options.log)
end

--- End what still runs, remove what was made. The runner calls it once, at the end.
function M.clean()
  for _, process in pairs(running) do process:kill() end
  for _, path in ipairs(folders) do os.execute("rm -rf '" .. path .. "'") end
  folders = {}
end

return M
