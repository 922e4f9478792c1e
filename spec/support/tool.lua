-- Runs `moonloom` and looks at what it answers. The program comes from MOONLOOM (ctest sets it).
local tool = {}

local program = os.getenv("MOONLOOM")

tool.program = program

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

tool.quote = quote

--- A file in the folder of this run.
function tool.path(name)
  if not tool.folder then
    tool.folder = os.tmpname()
    os.remove(tool.folder)
    assert(os.execute("mkdir -p " .. quote(tool.folder)) == 0)
  end
  return tool.folder .. "/" .. name
end

function tool.clean()
  if tool.folder then os.execute("rm -rf " .. quote(tool.folder)) end
  tool.folder = nil
end

function tool.write(name, bytes)
  local path = tool.path(name)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
  return path
end

function tool.slurp(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

--- moonloom ARGS…: answers what it wrote to standard output, its exit code, and what it complained.
-- A last argument that is a table may hold `stdin`, a file, and `prefix`, a shell prefix.
function tool.run(...)
  assert(program, "MOONLOOM names the program to test")
  local words, options = {}, {}
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if type(word) == "table" then options = word else words[#words + 1] = quote(word) end
  end
  local out, complaint, code = tool.path("stdout"), tool.path("stderr"), tool.path("code")
  os.execute(("%s %s %s <%s >%s 2>%s; echo $? >%s"):format(options.prefix or "", quote(program),
    table.concat(words, " "), quote(options.stdin or "/dev/null"), quote(out), quote(complaint), quote(code)))
  return tool.slurp(out), tonumber(tool.slurp(code)), tool.slurp(complaint)
end

return tool
