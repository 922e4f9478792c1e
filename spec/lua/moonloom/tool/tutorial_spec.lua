-- docs/plugins/tutorial.md, followed to the letter in an empty folder: what it says comes out does come out.
local BIN = os.getenv("MOONLOOM_BIN") or "build/dev/moonloom"

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("*a")
  f:close()
  return text
end

describe("the tutorial", function()
  local page, dir, bin
  setup(function()
    page = read "docs/plugins/tutorial.md"
    local f = assert(io.popen "mktemp -d; pwd")
    dir = f:read "*l"
    local here = f:read "*l"
    f:close()
    bin = BIN:sub(1, 1) == "/" and BIN or here .. "/" .. BIN
  end)
  teardown(function() os.execute("rm -rf '" .. dir .. "'") end)

  local function write(path, text)
    local f = assert(io.open(dir .. "/" .. path, "wb"))
    f:write(text)
    f:close()
  end

  -- The nth code block of a language, 1-based.
  local function block(language, n)
    local i = 0
    for text in page:gmatch("```" .. language .. "\n(.-)```") do
      i = i + 1
      if i == n then return text end
    end
    error("no block " .. n)
  end

  -- Runs the commands of a block and compares what they print.
  local function follow(text)
    local parts = ("\n" .. text):gsub("\n%$ moonloom ", "\0")
    for part in parts:gmatch("%z([^%z]*)") do
      local command, printed = part:match("^([^\n]*)\n?(.*)$")
      if not command:find("^serve") then
        local f = assert(io.popen(("cd '%s' && env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s %s 2>&1"):format(dir, bin, command)))
        local out = f:read "*a"
        f:close()
        assert.equal(printed:gsub("%s*$", ""), (out:gsub("%s*$", "")), "moonloom " .. command)
      end
    end
  end

  it("comes out as it says", function()
    -- step 1: "$EDITOR" in what `new` prints is text, not a prompt
    local first = page:match "```\n(%$ moonloom plugin new.-)```"
    local f = assert(io.popen(("cd '%s' && env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s plugin new calm-titles --from validate"):format(dir, bin)))
    assert.equal(first:gsub("^[^\n]*\n", ""), f:read "*a")
    f:close()
    follow(page:match "```\n(%$ moonloom plugin test plugins/calm%-titles\n.-3 passed.-)```")

    local folder = "plugins/calm-titles/"
    write(folder .. "spec/calm-titles_spec.lua", block("lua", 1))
    write(folder .. "plugin.lua", block("lua", 2))
    write(folder .. "init.lua", block("lua", 3))
    follow(page:match "```\n(%$ moonloom plugin test plugins/calm%-titles\n[^`]-nothing found\n)```")

    local spec = block("lua", 1):gsub("end%)%s*$", "") .. "\n" .. block("lua", 4) .. "end)\n"
    write(folder .. "spec/calm-titles_spec.lua", spec)
    f = assert(io.popen(("cd '%s' && env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s plugin test 2>&1"):format(dir, bin)))
    local out = f:read "*a"
    f:close()
    assert.matches("4 passed, 0 failed, 0 pending", out, 1, true)

    write("moonloom.lua", block("lua", 5))
    follow(page:match "```\n(%$ moonloom check%-config.-)```")
  end)
end)
