local t = require "moonloom.test"

describe("suggestion-mode", function()
  local app, sue, eve

  local function start(config)
    app = t.app { plugins = { { "suggestion-mode", config = config } } }
    eve = app:client { user = "eve", doc = "d", roles = { "editor" } }
    sue = app:client { user = "sue", doc = "d", roles = { "suggester" } }
    eve:text("content"):insert(0, "pay on Monday")
    app:settle()
  end
  before_each(function() t.reset() start() end)
  after_each(function() t.reset() end)

  -- pay on {Monday}[Tuesday]: struck, added
  local function shown(client)
    local out = {}
    for _, op in ipairs(client:text("content"):delta()) do
      local a = op.attributes or {}
      local text = a.insertion and "[" .. op.insert .. "]" or op.insert
      out[#out + 1] = a.deletion and "{" .. text .. "}" or text
    end
    return table.concat(out)
  end
  local function open()
    local out = {}
    for _, entry in pairs(eve:map("suggestions"):json()) do out[#out + 1] = entry end
    table.sort(out, function(a, b) return a.at < b.at or a.at == b.at and a.id < b.id end)
    return out
  end
  local function is(expected)
    app:settle()
    assert.converged(app, "d")
    assert.equal(expected, shown(eve))
    assert.equal(expected, shown(sue))
  end

  it("marks what a suggester types, and lists it", function()
    sue:text("content"):insert(3, " him")
    is "pay[ him] on Monday"
    local entry = open()[1]
    assert.equal("insertion", entry.kind)
    assert.equal(" him", entry.excerpt)
    assert.equal("sue", entry.author)
    assert.equal("content", entry.path)
    assert.is_true(entry.at > 0)
    local mark = eve:text("content"):delta()[2].attributes.insertion
    assert.equal("sue", mark.author)
    assert.equal(entry.id, mark.id)
  end)

  it("brings back what a suggester deletes, struck, with the formats that it had", function()
    eve:text("content"):format(7, 6, { bold = true })
    app:settle()
    sue:text("content"):delete(5, 4)
    is "pay o{n }{Mo}nday" -- two runs: bold begins in it
    assert.equal("deletion", open()[1].kind)
    assert.equal("n Mo", open()[1].excerpt)
    local delta = sue:text("content"):delta()
    assert.is_nil(delta[2].attributes.bold)
    assert.is_true(delta[3].attributes.bold)
    assert.is_true(delta[4].attributes.bold)
  end)

  it("leaves others alone, and other places", function()
    eve:text("content"):insert(0, "Please ")
    sue:text("notes"):insert(0, "mine")
    is "Please pay on Monday"
    assert.same({}, open())
  end)

  it("takes a burst of typing as one suggestion, by time and place", function()
    for i, letter in ipairs { " ", "h", "i", "m" } do
      sue:text("content"):insert(2 + i, letter)
      app:advance "1s"
    end
    is "pay[ him] on Monday"
    assert.equal(1, #open())
    assert.equal(" him", open()[1].excerpt)
    app:advance "5s"
    sue:text("content"):insert(7, "!")
    is "pay[ him][!] on Monday"
    assert.equal(2, #open())
    sue:text("content"):insert(0, "So: ")
    app:settle()
    assert.equal(3, #open())
  end)

  it("takes a replacement as one suggestion", function()
    sue:write { { "text.delete", "content", 7, 6 }, { "text.insert", "content", 7, "Tuesday" } }
    app:settle()
    assert.equal(1, #open())
    assert.equal("replacement", open()[1].kind)
    assert.equal("Tuesday", open()[1].excerpt)
    assert.equal("Monday", open()[1].removed)
  end)

  it("strikes letter by letter, as one suggestion", function()
    for _ = 1, 3 do
      -- The last letter that is not struck yet.
      local at = 0
      for _, op in ipairs(sue:text("content"):delta()) do
        if not (op.attributes or {}).deletion then at = at + #op.insert end
      end
      sue:text("content"):delete(at - 1, 1)
      app:settle()
    end
    is "pay on Mon{day}"
    assert.equal(1, #open())
    assert.equal("day", open()[1].excerpt)
  end)

  it("lets suggesters take back what is theirs", function()
    sue:text("content"):insert(3, " him")
    app:settle()
    sue:text("content"):delete(5, 2)
    is "pay[ h] on Monday"
    assert.equal(" h", open()[1].excerpt)
    sue:text("content"):delete(3, 2)
    is "pay on Monday"
    assert.same({}, open())
  end)

  it("takes a deletion back that is undone: the same text comes beside what is struck", function()
    sue:text("content"):delete(7, 6)
    is "pay on {Monday}"
    sue:text("content"):insert(7, "Monday")
    is "pay on Monday"
    assert.same({}, open())
    assert.same({ { insert = "pay on Monday" } }, sue:text("content"):delta())
  end)

  it("does not strike twice", function()
    sue:text("content"):delete(7, 6)
    app:settle()
    sue:text("content"):delete(7, 6)
    is "pay on {Monday}"
    assert.equal(1, #open())
  end)

  it("keeps two suggesters apart", function()
    local tom = app:client { user = "tom", doc = "d", roles = { "suggester" } }
    sue:text("content"):insert(3, " him")
    app:settle()
    tom:text("content"):insert(5, "XX")
    tom:text("content"):delete(3, 2)
    app:settle()
    local by = {}
    for _, op in ipairs(eve:text("content"):delta()) do
      local a = op.attributes or {}
      by[#by + 1] = ("%s:%s%s"):format(op.insert, a.insertion and a.insertion.author or "-", a.deletion and "/" .. a.deletion.author or "")
    end
    assert.same({ "pay:-", " h:sue/tom", "XX:tom", "im:sue", " on Monday:-" }, by)
    assert.converged(app, "d")
  end)

  it("refuses what is no text, all of the update", function()
    sue:text("content"):format(0, 3, { bold = true })
    is "pay on Monday"
    assert.is_nil(eve:text("content"):delta()[1].attributes)
    assert.equal("suggestion-mode.not_a_suggestion", sue.notices[#sue.notices].code)
  end)

  it("suggests in paragraphs, and in an empty one; not paragraphs", function()
    app = t.app { plugins = { "suggestion-mode" } }
    eve = app:client { user = "eve", doc = "x", roles = { "editor" } }
    sue = app:client { user = "sue", doc = "x", roles = { "suggester" } }
    eve:xml("content"):insert(0, { tag = "paragraph", children = { "text" } }, { tag = "paragraph" })
    app:settle()
    sue:write { { "text.insert", "content/0/0", 4, " more" } }
    sue:write { { "xml.insert", "content/1", 0, { { ["$new"] = "xmltext", text = "first" } } } }
    app:settle()
    assert.converged(app, "x")
    local xml = eve:xml("content"):tostring()
    assert.truthy(xml:find("<insertion", 1, true), xml)
    assert.truthy(xml:find(">first</insertion>", 1, true), xml)
    assert.equal(2, #(function() local out = {} for k in pairs(eve:map("suggestions"):json()) do out[#out + 1] = k end return out end)())
    sue:xml("content"):insert(2, { tag = "paragraph", children = { "new" } })
    app:settle()
    assert.equal("suggestion-mode.not_a_suggestion", sue.notices[#sue.notices].code)
    assert.converged(app, "x")
    assert.equal(xml, eve:xml("content"):tostring())
    sue:xml("content"):delete(0, 1)
    app:settle()
    assert.converged(app, "x")
    assert.truthy(eve:xml("content"):tostring():find("text", 1, true))
  end)

  it("does not list without bound", function()
    start { max_open = 2, merge_window = "0s" }
    for i = 1, 3 do
      sue:text("content"):insert(0, "x" .. i)
      app:advance "1s"
    end
    assert.equal(2, #open())
    assert.equal("suggestion-mode.too_many", sue.notices[#sue.notices].code)
    is "[x2][x1]pay on Monday"
  end)

  it("tells when the place of a suggestion is deleted, or drops it", function()
    for choice, left in pairs { keep_text = 1, drop = 0 } do
      start { on_source_deleted = choice }
      sue:text("content"):insert(3, " him")
      app:settle()
      eve:text("content"):delete(0, 17)
      app:advance "3s"
      assert.equal(left, #open())
      if left == 1 then
        assert.is_true(open()[1].detached)
        assert.equal(" him", open()[1].excerpt)
      end
      assert.converged(app, "d")
    end
  end)

  it("holds what suggesters write while it is broken, and loses nothing", function()
    app:fault("suggestion-mode", "before_update", "boom")
    sue:text("content"):insert(0, "hi ")
    app:settle()
    assert.equal("pay on Monday", shown(eve))
    app:fault("suggestion-mode", "before_update", nil)
    app:advance "5s"
    is "[hi ]pay on Monday"
  end)

  it("marks what was written offline, beside what others wrote meanwhile", function()
    sue:offline()
    sue:text("content"):insert(3, " him")
    sue:text("content"):delete(11, 6)
    eve:text("content"):insert(0, "Please ")
    app:settle()
    sue:online()
    is "Please pay[ him] on {Monday}"
  end)

  -- What a plain text would be if all suggestions were rejected, or accepted.
  local function view(client, accepted)
    local out = {}
    for _, op in ipairs(client:text("content"):delta()) do
      local a = op.attributes or {}
      if accepted and not a.deletion or not accepted and not a.insertion then out[#out + 1] = op.insert end
    end
    return table.concat(out)
  end

  it("is, accepted, what a plain editor would have written, and, rejected, what was there: histories by chance", function()
    t.property(function(random)
      local steps = {}
      for i = 1, random(1, 12) do steps[i] = { random(1, 3), random(0, 1000), random(1, 4), random(97, 122) } end
      return steps
    end, function(steps)
      app = t.app { plugins = { "suggestion-mode" } }
      eve = app:client { user = "eve", doc = "d", roles = { "editor" } }
      sue = app:client { user = "sue", doc = "d", roles = { "suggester" } }
      eve:text("content"):insert(0, "one two three")
      app:settle()
      local plain = "one two three"
      for _, step in ipairs(steps) do
        local what, where, len, letter = step[1], step[2], step[3], step[4]
        -- A suggester sees struck text, too; the plain editor does not.
        local units = {}
        for _, op in ipairs(sue:text("content"):delta()) do
          for c in op.insert:gmatch "." do units[#units + 1] = { c, (op.attributes or {}).deletion ~= nil } end
        end
        local function before(n) local k = 0 for i = 1, n do if not units[i][2] then k = k + 1 end end return k end
        if what == 1 or #units == 0 then
          local at = where % (#units + 1)
          local text = string.char(letter):upper():rep(len)
          sue:text("content"):insert(at, text)
          plain = plain:sub(1, before(at)) .. text .. plain:sub(before(at) + 1)
        else
          local at = where % #units
          local n = math.min(len, #units - at)
          sue:text("content"):delete(at, n)
          plain = plain:sub(1, before(at)) .. plain:sub(before(at + n) + 1)
        end
        app:settle()
      end
      assert.converged(app, "d")
      assert.equal(plain, view(eve, true))
      assert.equal("one two three", view(eve, false))
    end)
  end)

  it("converges in every order of coming back", function()
    for order in t.orders { "eve", "sue", "tom" } do
      start()
      app:client { user = "tom", doc = "d", roles = { "suggester" } }
      app:offline()
      app:user("eve"):text("content"):insert(4, "them ")
      app:user("sue"):text("content"):delete(0, 4)
      app:user("sue"):text("content"):insert(0, "give ")
      app:user("tom"):text("content"):delete(2, 6)
      for _, name in ipairs(order) do app:user(name):online() app:settle() end
      assert.converged(app, "d")
      assert.equal("pay on Monday", (view(eve, false):gsub("them ", "")))
    end
  end)
end)
