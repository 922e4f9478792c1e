-- Recorded editing, replayed through the program: the log gives the bytes that Yjs wrote, and what a
-- reader of Yjs saw. MOONLOOM_TRACES names the folder; without it a generated trace takes its place.
local json = require "support.json"
local tool = require "support.tool"
local vectors = require "support.vectors"

local folder = os.getenv("MOONLOOM_TRACES") or "../shared/data/traces"

local function traces()
  local names = {}
  local pipe = io.popen("ls " .. tool.quote(folder) .. " 2>/dev/null")
  for line in pipe:lines() do
    names[#names + 1] = line:match("^(.*)%.log%.gz$")
  end
  pipe:close()
  return names
end

local function update(...)
  local out, code, complaint = tool.run("update", ...)
  assert.are.equal("", complaint)
  assert.are.equal(0, code)
  return out
end

-- Long strings are compared without printing them.
local function same(want, got, what)
  assert.is_true(want == got, ("%s: %d bytes expected, %d bytes there"):format(what, #want, #got))
end

local names = traces()

teardown(tool.clean)

describe("the traces", function()
  if #names == 0 then
    it("are not here (" .. folder .. "): a generated one is replayed instead", function()
      local log, text = tool.path("made.log"), tool.path("made.txt")
      assert.are.equal(0, os.execute(("luajit scripts/gen-trace %s %s 20000"):format(tool.quote(log), tool.quote(text))))
      local state = tool.write("made.v1", update("apply", "--log", log))
      same(tool.slurp(text), update("show", "--log", "--root", "text", "--as", "text", log), "text")
      same(tool.slurp(text), update("show", "--root", "text", "--as", "text", state), "text of the state")
      same(tool.slurp(state), update("apply", state), "state of the state")
    end)
    return
  end

  local manifest = json.decode(tool.slurp(folder .. "/manifest.json")).workloads
  local by_name = {}
  for key, row in pairs(manifest) do by_name[row.name or key] = row end

  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    local log = path .. ".log.gz"

    it(name .. " gives the state of Yjs in both formats", function()
      local v1, v2 = vectors.gunzip(path .. ".v1.gz"), vectors.gunzip(path .. ".v2.gz")
      local reloaded = by_name[name].v1Reloaded
      local got = update("apply", "--log", log)
      if reloaded and reloaded.bytes ~= #v1 then
        -- Yjs joins neighbouring collected ranges only when it loads a state again.
        assert.are.equal(reloaded.bytes, #got)
        same(update("apply", path .. ".v1.gz"), got, "reloaded V1")
        same(update("apply", "--format", "v2", path .. ".v2.gz"), got, "reloaded V2")
      else
        same(v1, got, "V1")
        same(v2, update("apply", "--log", "--out", "v2", log), "V2")
        same(v1, update("apply", "--format", "v2", path .. ".v2.gz"), "V1 from V2")
      end
    end)

    it(name .. " reads as in Yjs", function()
      local text = vectors.gunzip(path .. ".txt.gz")
      if text then
        same(text, update("show", "--log", "--root", "text", "--as", "text", log), "text")
        return
      end
      local roots, seen = json.decode(vectors.gunzip(path .. ".json.gz")), 0
      for root, want in pairs(roots) do
        local got = json.decode(update("show", "--log", "--root", root, "--as", "json", log))
        local equal, where = json.same(want, got)
        assert(equal, where)
        seen = seen + 1
      end
      assert.is_true(seen > 0)
    end)

    it(name .. " merges to the same without a document", function()
      local merged = tool.write("merged.v1", update("merge", "--log", log))
      same(update("apply", "--log", log), update("apply", merged), "state")
    end)
  end
end)
