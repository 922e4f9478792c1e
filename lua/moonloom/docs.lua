-- SPDX-License-Identifier: MIT
-- ml.docs: documents of the own org, other than the one in the hook (plugin-api 9.5). All of it waits. What is read is
-- committed; what is written is durable when the call answers.
local ID_MAX, PATH_MAX, PREFIX_MAX, LIST_MAX, TEXT_MAX, AT_ONCE = 512, 4096, 512, 1000, 4 * 1024 * 1024, 16

local function check_text(value, what, name, most, least)
  if type(value) ~= "string" or #value < least or #value > most then
    error(("%s: %s is text of %d to %d bytes"):format(what, name, least, most), 3)
  end
  return value
end

local function check_options(options, known, what)
  if options == nil then return {} end
  if type(options) ~= "table" then error(what .. ": options are a table", 3) end
  for name in pairs(options) do
    if not known[name] then error(("%s: unknown option '%s'"):format(what, tostring(name)), 3) end
  end
  return options
end

local LIST = { prefix = true, after = true, limit = true }
local CREATE = { content = true, root = true, ops = true, template = true }

return function(W, json, null, native, needs)
  local docs, running = {}, 0

  local function finish(ok, ...)
    running = running - 1
    if not ok then error((...), 0) end
    return ...
  end

  local function ask(what, op)
    if running >= AT_ONCE then return { err = "EBUSY", text = "more than " .. AT_ONCE .. " of this plugin's calls are under way" } end
    running = running + 1
    op.kind = "docs"
    return finish(pcall(W.wait, what, op))
  end

  local function need(name, what)
    if not needs[name] then error(('%s needs needs = { "%s" } in plugin.lua'):format(what, name), 3) end
  end

  local function ops_bytes(ops, what)
    if type(ops) ~= "table" then error(what .. ": ops are a list of operations", 3) end
    local bytes = native.to_any(ops)
    if #bytes > TEXT_MAX then error(("%s: more than %d bytes of operations"):format(what, TEXT_MAX), 3) end
    return bytes
  end

  --- Plain value at the path; nil: nothing is there.
  function docs.get(id, path)
    need("doc.read", "ml.docs.get")
    check_text(id, "ml.docs.get", "id", ID_MAX, 1)
    check_text(path, "ml.docs.get", "path", PATH_MAX, 1)
    local answer = ask("ml.docs.get", { name = "get", key = id, prefix = path })
    if answer.err then return nil, answer.err, answer.text end
    if answer.value == nil or answer.value == "" then return nil end
    return native.from_any(answer.value)
  end

  --- What all documents of the org are together.
  function docs.usage()
    need("doc.read", "ml.docs.usage")
    local answer = W.wait("ml.docs.usage", { kind = "store.read", name = "usage", limit = 1 })
    if answer.err then return nil, answer.err, answer.text end
    local row = answer.items[1]
    return { documents = tonumber(row.key), bytes = tonumber(row.value) }
  end

  function docs.list(options)
    need("doc.read", "ml.docs.list")
    options = check_options(options, LIST, "ml.docs.list")
    local limit = options.limit or 100
    if type(limit) ~= "number" or limit ~= math.floor(limit) or limit < 1 or limit > LIST_MAX then
      error(("ml.docs.list: limit is a whole number from 1 to %d"):format(LIST_MAX), 2)
    end
    local answer = ask("ml.docs.list", { name = "list", limit = limit,
      prefix = check_text(options.prefix or "", "ml.docs.list", "prefix", PREFIX_MAX, 0),
      after = check_text(options.after or "", "ml.docs.list", "after", ID_MAX, 0) })
    if answer.err then return nil, answer.err, answer.text end
    local list = {}
    for i, item in ipairs(answer.items) do
      list[i] = json.decode(item.value)
      list[i].id = item.key
    end
    return list
  end

  --- True: it was made; false: it is there already (or was deleted).
  function docs.create(id, options)
    need("doc.write", "ml.docs.create")
    check_text(id, "ml.docs.create", "id", ID_MAX, 1)
    options = check_options(options, CREATE, "ml.docs.create")
    local given = 0
    for _, one in ipairs { "content", "ops", "template" } do if options[one] ~= nil then given = given + 1 end end
    if given > 1 then error("ml.docs.create: one of content, ops and template", 2) end
    local op = { name = "create", key = id, items = {} }
    if options.template ~= nil then
      op.items[1] = { kind = "field", key = "template", value = check_text(options.template, "ml.docs.create", "template", ID_MAX, 1) }
    elseif options.content ~= nil then
      local root = check_text(options.root or "content", "ml.docs.create", "root", PATH_MAX, 1)
      local text = check_text(options.content, "ml.docs.create", "content", TEXT_MAX, 0)
      if text ~= "" then op.value = ops_bytes({ { "text.insert", root, 0, text } }, "ml.docs.create") end
    elseif options.ops ~= nil then
      op.value = ops_bytes(options.ops, "ml.docs.create")
    end
    local answer = ask("ml.docs.create", op)
    if answer.err then return nil, answer.err, answer.text end
    return answer.number == 1
  end

  --- True: it was deleted; false: it was not there.
  function docs.delete(id)
    need("doc.write", "ml.docs.delete")
    check_text(id, "ml.docs.delete", "id", ID_MAX, 1)
    local answer = ask("ml.docs.delete", { name = "delete", key = id })
    if answer.err then return nil, answer.err, answer.text end
    return answer.number == 1
  end

  --- Number of a record in which all of it stands.
  function docs.apply(id, ops)
    need("doc.write", "ml.docs.apply")
    check_text(id, "ml.docs.apply", "id", ID_MAX, 1)
    local answer = ask("ml.docs.apply", { name = "apply", key = id, value = ops_bytes(ops, "ml.docs.apply") })
    if answer.err then return nil, answer.err, answer.text end
    return answer.number
  end

  --- What Plugin.tasks[task] answers, where the document is live.
  function docs.run(id, task, args)
    need("doc.write", "ml.docs.run")
    check_text(id, "ml.docs.run", "id", ID_MAX, 1)
    check_text(task, "ml.docs.run", "task", 60, 1)
    local text = args == nil and "null" or json.encode(args)
    if #text > TEXT_MAX then error(("ml.docs.run: more than %d bytes of arguments"):format(TEXT_MAX), 2) end
    local answer = ask("ml.docs.run", { name = "run", key = id, prefix = task, value = text })
    if answer.err then
      local kind = answer.items[1] and answer.items[1].value
      return nil, kind or answer.err, answer.text
    end
    local value = json.decode(answer.value)
    if value == null then return nil end
    return value
  end

  return docs
end
