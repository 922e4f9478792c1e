-- Back to a version whose bytes were kept, on a document that has collected what it deleted since.
local engine = require "moonloom.engine"
local json = require "support.json"
local vectors = require "support.vectors"
local views = require "support.views"

local hex, unhex = vectors.hex, vectors.unhex

local function load(state)
  local doc = engine.new {}
  assert(doc:apply(state))
  return doc
end

describe("vectors revert", function()
  for _, case in ipairs(vectors.load("revert").cases) do
    it(case.name, function()
      local old, doc = load(unhex(case.old_state_v1_hex)), load(unhex(case.current_state_v1_hex))
      local update = assert(doc:revert(unhex(case.old_state_v1_hex), case.revert_client_id))
      assert.are.equal(case.revert_update_v1_hex, hex(update))
      assert.are.equal(case.current_state_v1_hex, hex(doc:state()))
      assert(doc:apply(update))
      assert(doc:check())
      assert.are.equal(case.after_v1_hex, hex(doc:state()))
      views.check(function(root, view) return doc:read(root, view) end, case, "reverted")
      for _, root in ipairs(case.roots) do
        for _, view in ipairs { "text", "delta", "json", "xml" } do
          if root.type ~= "map" or view == "json" then
            local want, got = old:read(root.name, view), doc:read(root.name, view)
            if view == "json" or view == "delta" then want, got = json.decode(want), json.decode(got) end
            assert.are.same(want, got, root.name .. " as " .. view)
          end
        end
      end
    end)
  end
end)

describe("going back", function()
  local abc = unhex "010101000401017403616263" .. "\0"

  it("to what is, changes nothing", function()
    local doc = load(abc)
    local update = assert(doc:revert(doc:state(), 99))
    assert.are.equal("", doc:apply(update))
  end)

  it("to nothing, deletes everything, later roots included", function()
    local doc = load(abc)
    doc:apply(unhex "0101020004010175016100")
    local update = assert(doc:revert(unhex "0000", 99))
    doc:apply(update)
    assert.are.equal("", doc:read("t", "text"))
    assert.are.equal("", doc:read("u", "text"))
    assert.are.equal("020201000101010003", hex(doc:state()):sub(-18))
  end)

  it("needs a client that has not written, and a state that is one", function()
    local doc = load(abc)
    assert.are.equal("ECONFLICT", select(2, doc:revert(unhex "0000", 1)))
    assert.are.equal("ECONFLICT", select(2, doc:revert(unhex "0000", 0)))
    assert.are.equal("ECONFLICT", select(2, engine.new {}:revert(abc, 1)))
    assert.are.equal("EFORMAT", select(2, doc:revert(unhex "0001", 99)))
    assert.are.equal("EFORMAT", select(2, doc:revert("", 99)))
  end)
end)
