-- SPDX-License-Identifier: MIT
-- ml.kv: durable, one for the cluster, per org and instance (plugin-api 10). Values are JSON in the store.
--
-- A transaction reads as it goes and remembers what it saw: the rev of every key, and of every stretch of
-- a scan how many keys it has and the newest rev among them. What it writes is kept until the end. The
-- commit carries both; if anything seen has changed meanwhile nothing is written and the function runs again.
local units = require "moonloom.units"

local VALUE_MAX = 256 * 1024
local KEY_MAX = 512
local PAGE = 100
local TRIES = 20
local RETRY_SECONDS = 0.005

local function check_key(key, what)
  if type(key) ~= "string" or key == "" or #key > KEY_MAX then
    error(("%s: a key is text of 1 to %d bytes"):format(what, KEY_MAX), 3)
  end
  return key
end

local function check_prefix(prefix, what)
  if type(prefix) ~= "string" or #prefix > KEY_MAX then
    error(("%s: a prefix is text of at most %d bytes"):format(what, KEY_MAX), 3)
  end
  return prefix
end

local function check_options(options, known, what)
  if options == nil then return {} end
  if type(options) ~= "table" then error(what .. ": options are a table", 3) end
  for name in pairs(options) do
    if not known[name] then error(("%s: unknown option '%s'"):format(what, tostring(name)), 3) end
  end
  return options
end

local function ttl_ms(options, what)
  if options.ttl == nil then return 0 end
  local seconds, wrong = units.duration(options.ttl)
  if not seconds or seconds <= 0 then error(("%s: ttl %s"):format(what, wrong or "must be more than nothing"), 3) end
  return math.ceil(seconds * 1000)
end

local SET = { ttl = true, if_rev = true, if_absent = true }
local DELETE = { if_rev = true }
local INCR = { ttl = true }
local SCAN = { after = true, limit = true }

return function(W, json, jobs, space)
  local kv = {}

  local function encode(value, what)
    if value == nil then error(what .. ": there is no value; use delete", 3) end
    local text = json.encode(value)
    if #text > VALUE_MAX then error(("%s: the value has more than %d bytes"):format(what, VALUE_MAX), 3) end
    return text
  end

  local function failed(answer) return nil, answer.err, answer.text end

  local function read(what, op)
    op.kind, op.space = "store.read", space
    return W.wait(what, op)
  end

  local function commit(what, items)
    return W.wait(what, { kind = "store.commit", space = space, items = items })
  end

  local function check_rev(items, key, options)
    if options.if_absent then items[#items + 1] = { kind = "check", key = key, rev = 0 } end
    if options.if_rev then items[#items + 1] = { kind = "check", key = key, rev = options.if_rev } end
  end

  function kv.get(key)
    local answer = read("ml.kv.get", { key = check_key(key, "ml.kv.get") })
    if answer.err then return failed(answer) end
    local item = answer.items[1]
    if item then return json.decode(item.value), item.rev end
  end

  function kv.set(key, value, options)
    local what = "ml.kv.set"
    check_key(key, what)
    options = check_options(options, SET, what)
    local items = {}
    check_rev(items, key, options)
    items[#items + 1] = { kind = "set", key = key, value = encode(value, what), ttl_ms = ttl_ms(options, what) }
    local answer = commit(what, items)
    if answer.err then return failed(answer) end
    return answer.number
  end

  function kv.delete(key, options)
    local what = "ml.kv.delete"
    check_key(key, what)
    options = check_options(options, DELETE, what)
    local items = {}
    check_rev(items, key, options)
    items[#items + 1] = { kind = "delete", key = key }
    local answer = commit(what, items)
    if answer.err then return failed(answer) end
    return answer.items[#items].rev == 1
  end

  function kv.incr(key, n, options)
    local what = "ml.kv.incr"
    check_key(key, what)
    if n == nil then n = 1 end
    if type(n) ~= "number" or n ~= n or math.abs(n) == math.huge then error(what .. ": a number is added", 2) end
    options = check_options(options, INCR, what)
    local answer = commit(what, { { kind = "incr", key = key, number = n, ttl_ms = ttl_ms(options, what) } })
    if answer.err then return failed(answer) end
    return answer.items[1].number
  end

  -- Pages of a scan, one item at a time. `seen(after, page, is_last)` is told of each page.
  local function pages(what, prefix, options, seen)
    options = check_options(options, SCAN, what)
    local after, left = options.after or "", options.limit or math.huge
    if type(after) ~= "string" then error(what .. ": after is a key", 3) end
    if type(left) ~= "number" or left < 0 then error(what .. ": limit is a number", 3) end
    local page, at, is_last = {}, 0, false
    return function()
      at = at + 1
      if not page[at] and not is_last and left > 0 then
        local want = math.min(PAGE, left)
        local answer = read(what, { prefix = prefix, after = after, limit = want })
        if answer.err then error(("%s: %s (%s)"):format(what, answer.text, answer.err), 0) end
        page, at = answer.items, 1
        is_last = answer.number == 0 -- else: there is more
        if seen then seen(after, page, is_last) end
        if #page > 0 then after = page[#page].key end
      end
      local item = page[at]
      if not item or left <= 0 then return nil end
      left = left - 1
      return item
    end
  end

  function kv.scan(prefix, options)
    local next_item = pages("ml.kv.scan", check_prefix(prefix or "", "ml.kv.scan"), options)
    return function()
      local item = next_item()
      if item then return item.key, json.decode(item.value), item.rev end
    end
  end

  -- ---- Transactions ------------------------------------------------------------------------------------

  local function new_txn()
    local checks, checked, writes, order, pushes = {}, {}, {}, {}, {}
    local tx = {}

    local function write(item)
      if not writes[item.key] then order[#order + 1] = item.key end
      writes[item.key] = item
    end

    function tx.get(_, key)
      check_key(key, "tx:get")
      local own = writes[key]
      if own then return own.value and json.decode(own.value) end
      local answer = read("tx:get", { key = key })
      if answer.err then error(("tx:get: %s (%s)"):format(answer.text, answer.err), 0) end
      local item = answer.items[1]
      local rev = item and item.rev or 0
      if checked[key] == nil then
        checked[key] = rev
        checks[#checks + 1] = { kind = "check", key = key, rev = rev }
      end
      if item then return json.decode(item.value), rev end
    end

    function tx.set(_, key, value, options)
      options = check_options(options, INCR, "tx:set")
      write { kind = "set", key = check_key(key, "tx:set"), value = encode(value, "tx:set"), ttl_ms = ttl_ms(options, "tx:set") }
    end

    function tx.delete(_, key) write { kind = "delete", key = check_key(key, "tx:delete") } end

    function tx.incr(_, key, n, options)
      local old = tx:get(key)
      if old ~= nil and type(old) ~= "number" then error("tx:incr: the value is no number", 2) end
      local new = (old or 0) + (n or 1)
      tx:set(key, new, options)
      return new
    end

    function tx.scan(_, prefix, options)
      prefix = check_prefix(prefix or "", "tx:scan")
      local next_item = pages("tx:scan", prefix, options, function(after, page, is_last)
        local newest = 0
        for _, item in ipairs(page) do newest = math.max(newest, item.rev) end
        checks[#checks + 1] = { kind = "range", key = prefix, value = after, upto = is_last and "" or page[#page].key,
                                count = #page, rev = newest }
      end)
      -- What this transaction has written itself, in order, beside what the store has.
      local own = {}
      for key, item in pairs(writes) do
        if item.kind == "set" and key:sub(1, #prefix) == prefix and key > (options and options.after or "") then
          own[#own + 1] = key
        end
      end
      table.sort(own)
      local at, pending = 1, next_item()
      return function()
        while true do
          local mine = own[at]
          if not pending and not mine then return nil end
          if mine and (not pending or mine <= pending.key) then
            at = at + 1
            if pending and mine == pending.key then pending = next_item() end
            local item = writes[mine]
            if item and item.value then return mine, json.decode(item.value), 0 end
          else
            local item = pending
            pending = next_item()
            local changed = writes[item.key]
            if not changed then return item.key, json.decode(item.value), item.rev end
            if changed.value then return item.key, json.decode(changed.value), 0 end
          end
        end
      end
    end

    function tx.push(_, name, args, options) pushes[#pushes + 1] = jobs.item("tx:push", name, args, options) end

    local function items()
      local list = {}
      for _, item in ipairs(checks) do list[#list + 1] = item end
      for _, key in ipairs(order) do list[#list + 1] = writes[key] end
      for _, item in ipairs(pushes) do list[#list + 1] = item end
      return list, #order + #pushes == 0 and #checks == 0
    end

    return setmetatable({}, { __index = tx, __newindex = function() error("a transaction is read-only", 2) end,
                              __metatable = false, __guard = true }), items
  end

  local function finish(ok, ...)
    if not ok then error((...), 0) end
    return { n = select("#", ...), ... }
  end

  function kv.txn(fn)
    if type(fn) ~= "function" then error("ml.kv.txn: a function is needed", 2) end
    local answer
    for try = 1, TRIES do
      local tx, items = new_txn()
      local results = finish(true, fn(tx))
      local list, nothing = items()
      if nothing then return unpack(results, 1, results.n) end
      answer = commit("ml.kv.txn", list)
      if not answer.err then
        if results.n == 0 then return true end
        return unpack(results, 1, results.n)
      end
      if answer.err ~= "ECONFLICT" then break end
      W.sleep("ml.kv.txn", RETRY_SECONDS * try * (0.5 + math.random()))
    end
    return failed(answer)
  end

  return kv
end
