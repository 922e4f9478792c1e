-- SPDX-License-Identifier: MIT
-- ml.sessions: who is connected, in this org (plugin-api 10). What is asked goes to the sessions of all loops; `recheck`
-- and `revoke` reach other nodes too, but only those of this node are listed and counted.
local FILTERS = {
  list = { user = true, doc = true, session = true },
  revoke = { user = true, session = true, doc = true },
  recheck = { user = true, doc = true, session = true, org = true },
  notify = { user = true, session = true, doc = true, code = true, data = true },
}
local FIELDS = { user = "user", session = "session", doc = "document" }
local TEXT_MAX = 512

return function(W, json, org)
  local sessions = {}

  local function read_filter(name, filter)
    local what = "ml.sessions." .. name
    if filter == nil then filter = {} end
    if type(filter) ~= "table" then error(what .. ": the filter is a table", 3) end
    for field, value in pairs(filter) do
      if not FILTERS[name][field] then error(("%s: unknown field '%s'"):format(what, tostring(field)), 3) end
      if field ~= "data" and (type(value) ~= "string" or value == "" or #value > TEXT_MAX) then
        error(("%s: %s is text of 1 to %d bytes"):format(what, field, TEXT_MAX), 3)
      end
    end
    if filter.org and filter.org ~= org then error(what .. ": only sessions of its own org can be asked for", 3) end
    return filter, what
  end

  local function ask(name, filter, what, value)
    local items = {}
    for field, key in pairs(FIELDS) do
      if filter[field] then items[#items + 1] = { kind = "field", key = key, value = filter[field] } end
    end
    return W.wait(what, { kind = "sessions", name = name, items = items, value = value })
  end

  local function count(name, filter, what, value)
    local answer = ask(name, filter, what, value)
    if answer.err then return nil, answer.err, answer.text end
    return answer.number
  end

  function sessions.list(filter)
    local what
    filter, what = read_filter("list", filter)
    local answer = ask("list", filter, what)
    if answer.err then return nil, answer.err, answer.text end
    local list = {}
    for i, item in ipairs(answer.items) do list[i] = json.decode(item.value) end
    return list
  end

  function sessions.recheck(filter)
    local what
    filter, what = read_filter("recheck", filter)
    return count("recheck", filter, what)
  end

  --- Somebody has to be named: ending everybody's session by a forgotten filter is no accident to have.
  function sessions.revoke(filter)
    local what
    filter, what = read_filter("revoke", filter)
    if not next(filter) then error(what .. ": whose? give user, session or doc", 2) end
    return count("revoke", filter, what)
  end

  function sessions.notify(filter)
    local what
    filter, what = read_filter("notify", filter)
    if not filter.code then error(what .. ": code must be given", 2) end
    local text = json.encode { kind = "notice", code = filter.code, data = filter.data }
    if #text > 16384 then error(what .. ": the notice has more than 16384 bytes", 2) end
    return count("notify", filter, what, text)
  end

  return sessions
end
