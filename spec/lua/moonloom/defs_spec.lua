local hooks = require "moonloom.defs.hooks"
local library = require "moonloom.defs.library"

local KINDS = { decision = true, observer = true, work = true }
local RULES = { first = true, veto = true, fold = true, merge = true, each = true, one = true }
local FAILS = { refuse = true, hold = true, default = true, skip = true, retry = true, phase = true }

describe("the tables of the contract", function()
  it("say everything about every hook, once", function()
    local seen = {}
    for _, hook in ipairs(hooks) do
      assert.is_nil(seen[hook.name], hook.name)
      seen[hook.name] = true
      assert.is_true(KINDS[hook.kind] and RULES[hook.rule] and FAILS[hook.fails], hook.name)
      assert.is_boolean(hook.waits, hook.name)
    end
  end)

  it("call hooks in the past tense observers", function()
    for _, hook in ipairs(hooks) do
      local observes = hook.name:find("ed$") or hook.name:find("^after_") or hook.name == "audit"
        or hook.name == "cluster_event" or hook.name == "left"
      assert.equal(observes ~= nil and observes ~= false, hook.kind == "observer", hook.name)
    end
  end)

  it("know the five hooks that this version calls", function()
    local available = {}
    for _, hook in ipairs(hooks) do if hook.since then available[#available + 1] = hook.name end end
    table.sort(available)
    assert.same({ "after_update", "authenticate", "authorize", "before_update", "snapshot_policy" }, available)
  end)

  it("list what the library lacks, once", function()
    local seen = {}
    for _, def in ipairs(library) do
      assert.is_nil(seen[def.name], def.name)
      seen[def.name] = true
    end
  end)
end)
