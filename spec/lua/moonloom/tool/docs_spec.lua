-- docs/plugins/reference.md is what `moonloom plugin docs` prints.
local docs = require "moonloom.tool.docs"

describe("docs/plugins/reference.md", function()
  it("is not stale", function()
    local f = assert(io.open("docs/plugins/reference.md", "rb"))
    local text = f:read("*a")
    f:close()
    assert.is_true(text == docs.reference(), "make it anew: moonloom plugin docs > docs/plugins/reference.md")
  end)

  it("names every hook, function and class", function()
    local text, all = docs.reference(), require("moonloom.defs.read").all()
    for _, hook in ipairs(all.hooks) do assert.matches("### " .. hook.name .. "\n", text, 1, true) end
    for path in pairs(all.functions) do assert.matches("`" .. path, text, 1, true) end
    for name in pairs(all.by_class) do assert.matches("### " .. name, text, 1, true) end
  end)
end)
