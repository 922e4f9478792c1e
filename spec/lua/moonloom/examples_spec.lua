-- The plugins of docs/examples/plugins pass their own specs, and lint, in the binary.
local json = require "moonloom.test.json"

local BIN = os.getenv("MOONLOOM_BIN") or "build/dev/moonloom"

local function run(args)
  local f = assert(io.popen(("env -u LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 %s plugin %s 2>&1"):format(BIN, args)))
  local text = f:read("*a")
  f:close()
  return text
end

for _, name in ipairs { "board-merge", "paste-guard", "change-digest" } do
  describe(name, function()
    local path = "docs/examples/plugins/" .. name
    local loads = run("check " .. path .. (name == "change-digest" and [[ --config '{"webhook":"https://chat.example/hook"}']] or ""))

    it("can be loaded and has nothing for lint", function()
      assert.equal(name .. ": fine\n", loads)
      assert.equal("1 plugin: nothing found\n", run("lint " .. path))
    end)

    local text = run("test --json " .. path)
    local results = json.decode(text:match("{.*}") or "") or { tests = {} }
    it("has a spec that runs", function() assert.is_true(#results.tests > 0, text) end)
    for _, one in ipairs(results.tests) do
      it(one.name, function() assert.equal("ok", one.status, one.message) end)
    end
  end)
end
