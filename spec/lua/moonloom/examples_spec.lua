-- The plugins of docs/examples/plugins pass their own specs, and lint, in the binary. They are pending for as
-- long as the server says itself that it lacks what they declare, and where PENDING says what is missing; a
-- test that passes all the same must be taken out of PENDING.
local json = require "moonloom.test.json"

local BIN = os.getenv("MOONLOOM_BIN") or "build/dev/moonloom"

-- plugin → test → what is missing
local PENDING = {
  ["paste-guard"] = {
    ["paste-guard the hook alone masks cards and leaves other numbers alone"] = "ml.cache",
    ["paste-guard with two people in a document shows nobody the number, not even for a moment"] = "ml.cache",
  },
}

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
    local missing = {}
    for what in loads:gmatch("([%w_%.]+): known, but not available in this version") do missing[#missing + 1] = what end

    it("can be loaded and has nothing for lint", function()
      if #missing > 0 then pending("not built yet: " .. table.concat(missing, ", ")) end
      assert.equal(name .. ": fine\n", loads)
      assert.equal("1 plugin: nothing found\n", run("lint " .. path))
    end)

    if #missing == 0 then
      local text = run("test --json " .. path)
      local results = json.decode(text:match("{.*}") or "") or { tests = {} }
      it("has a spec that runs", function() assert.is_true(#results.tests > 0, text) end)
      for _, one in ipairs(results.tests) do
        local why = PENDING[name] and PENDING[name][one.name]
        it(one.name, function()
          if why then
            assert.not_equal("ok", one.status, "take it out of PENDING")
            pending(why)
          end
          assert.equal("ok", one.status, one.message)
        end)
      end
    end
  end)
end
