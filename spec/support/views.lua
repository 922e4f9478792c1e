-- What the vectors expect to see of a document, compared with what somebody reads.
local assert = require "luassert"

local json = require "support.json"
local vectors = require "support.vectors"

local views = {}

local function is_empty(value)
  return type(value) == "table" and value ~= json.null and next(value) == nil
end

--- Compare the `expected_*` of a case. `read(root, view)` answers text.
function views.check(read, case, what)
  for name, text in pairs(case.expected_text or {}) do
    assert.are.equal(text, read(name, "text"), what .. " text of " .. name)
  end
  for name, xml in pairs(case.expected_xml or {}) do
    assert.are.equal(xml, read(name, "xml"), what .. " xml of " .. name)
  end
  for name, value in pairs(case.expected_json or {}) do
    local got = json.decode(read(name, "json"))
    -- A root is untyped: one that is empty may show as a list or as an object.
    if not (is_empty(value) and is_empty(got)) then
      local same, where = json.same(vectors.plain(value), got)
      assert(same, ("%s json of %s: %s"):format(what, name, tostring(where)))
    end
  end
  for name, delta in pairs(case.expected_delta or {}) do
    local got = json.decode(read(name, "delta"))
    for _, op in ipairs(got) do op.attributes = op.attributes or {} end
    local same, where = json.same(vectors.join_delta(delta), got)
    assert(same, ("%s delta of %s: %s"):format(what, name, tostring(where)))
  end
end

return views
