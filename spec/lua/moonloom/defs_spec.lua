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

  it("list what the library lacks, once", function()
    local seen = {}
    for _, def in ipairs(library) do
      assert.is_nil(seen[def.name], def.name)
      seen[def.name] = true
    end
  end)
end)

describe("the types of settings", function()
  local schema = require "moonloom.schema"

  it("are those that a schema knows, each with a field that is well made", function()
    local names = {}
    for i, row in ipairs(require "moonloom.defs.settings") do
      names[i] = row[1]
      local field = assert(loadstring("return " .. row[3]))()
      assert.equal(row[1], field.type)
      assert.same({}, schema.wrong { fields = { field } }, row[1])
    end
    table.sort(names)
    assert.same(schema.types, names)
  end)
end)

describe("the definition", function()
  local read = require "moonloom.defs.read"
  local t = require "moonloom.test"
  local all = read.all()

  it("has a text for every hook and for nothing else", function()
    for name in pairs(require "moonloom.defs.hook_texts") do assert.is_table(all.by_hook[name], name) end
    for _, hook in ipairs(all.hooks) do
      assert.is_string(hook.text, hook.name)
      assert.is_true(hook.arg[2] == "table" or all.by_class[(hook.arg[2]:gsub("%[%]$", ""))] ~= nil, hook.arg[2])
    end
  end)

  it("uses only types that are defined", function()
    local known = { ["moonloom.Duration"] = true, ["moonloom.Size"] = true, ["moonloom.EditKind"] = true, ["moonloom.ConflictAnswer"] = true }
    for _, name in ipairs(require("moonloom.tool.types").opaque) do known["moonloom." .. name] = true end
    for name in pairs(all.by_class) do known[name] = true end
    local function check(text, where)
      for name in text:gmatch("moonloom%.%a%w*") do assert.is_true(known[name] or false, where .. ": " .. name) end
    end
    for path, member in pairs(all.functions) do check(member.signature, path) end
    for _, class in ipairs(all.classes) do
      for _, field in ipairs(class.fields) do check(field.type, class.class .. "." .. field.name) end
      for _, method in ipairs(class.methods) do check(method.signature, method.path) end
    end
    for _, hook in ipairs(all.hooks) do if hook.answer then check(hook.answer, hook.name) end end
  end)

  it("and the library and views of C have the same names", function()
    -- "hello" asks for no capability, so modules that need one are not in what it can reach.
    local there, defined, needed = {}, {}, {}
    for _, module in ipairs(all.modules) do if module.name and module.need then needed[module.name] = true end end
    local p = t.instance "hello"
    for line in p.core:surface():gmatch("[^\n]+") do there[line] = true end
    p:close()
    for path, member in pairs(all.functions) do
      if member.since and member.signature == "moonloom.Codec" then
        defined[path .. ".encode"], defined[path .. ".decode"] = true, true
      elseif member.since then
        defined[path] = true
      end
    end
    for _, class in ipairs(all.classes) do
      for name, one in pairs(class.c and class.by_name or {}) do
        if one.since and not one.answered then defined[class.c .. "." .. name] = true end
      end
    end
    local wrong = {}
    for name in pairs(there) do
      if not defined[name] then wrong[#wrong + 1] = name .. " exists, but lua/moonloom/defs does not say so (no line, or no since)" end
    end
    for name in pairs(defined) do
      if not there[name] and not needed[name:match("^ml%.([^.]+)") or ""] then wrong[#wrong + 1] = name .. " is defined with a since, but does not exist" end
    end
    table.sort(wrong)
    assert.same({}, wrong)
  end)

  it("says of everything absent in the library that it is not built yet", function()
    local absent = {}
    for _, def in ipairs(library) do absent[def.name] = def end
    for _, module in ipairs(all.modules) do
      for _, member in ipairs(module.members) do
        local name = member.path:match("^ml%.([^.]+)")
        if absent[name] and not absent[name].need then assert.is_nil(member.since, member.path) end
      end
      if module.name and absent[module.name] then assert.equal(module.need, absent[module.name].need, module.name) end
    end
  end)

  it("has examples that run", function()
    for path, member in pairs(all.functions) do
      if member.example then assert.is_function(loadstring("local ml, self, u, e, c, args, id, cur, inc, removed = ...; " .. member.example, path)) end
    end
  end)
end)
