-- SPDX-License-Identifier: MIT
-- What C calls for the work hooks: makes call, req and res out of plain facts, and plain answers out of what
-- the plugin says. Runs on the coroutine of the call, so the plugin may wait anywhere in it.
local cron = require "moonloom.cron"
local schema = require "moonloom.schema"
local units = require "moonloom.units"

local BODY_MAX = 16 * 1024 * 1024
local HEADERS_MAX = 64
-- Headers that are the server's own.
local OURS = { ["content-length"] = true, ["transfer-encoding"] = true, ["connection"] = true, ["date"] = true, ["upgrade"] = true }

local work = {}

local function list(names)
  local out = {}
  for _, name in ipairs(names) do out[#out + 1] = name end
  return out
end

local function identity_of(given)
  if not given then return nil end
  local roles = list(given.roles or {})
  local who = { user = given.user, name = given.name, roles = roles, kind = given.kind, session = given.session }
  function who.has_role(_, role)
    for _, one in ipairs(roles) do if one == role then return true end end
    return false
  end
  return who
end

-- ---- Cron -------------------------------------------------------------------------------------------------

--- Milliseconds of the next run, or nil.
function work.cron_next(options, config, after)
  local every = options.every
  if type(every) == "string" then
    every = config[every:match("^config%.(.+)$")]
    if type(every) ~= "number" or every <= 0 then return nil end
  elseif every then
    every = every / 1000
  end
  local at = cron.next(options, every, after / 1000)
  return at and at * 1000
end

-- ---- rpc ---------------------------------------------------------------------------------------------------

--- value | nil, kind, text
function work.rpc(fn, self, fields, facts, guard, null, json)
  local args
  if facts.args_json then
    local kind, text
    args, kind, text = json.decode(facts.args_json)
    if args == nil and kind then return nil, kind, text end
  end
  if args == nil or args == null then args = {} end
  if type(args) ~= "table" then return nil, "EFORMAT", "the arguments must be an object" end
  if fields then
    local checked, errors = schema.check({ fields = fields }, args, { guard = guard, null = null })
    if not checked then return nil, "EFORMAT", schema.describe(errors[1]) end
    args = checked
  end
  return fn(self, { args = args, identity = identity_of(facts.identity), session = { id = facts.session },
                    doc_id = facts.document, doc = facts.doc, grant = facts.grant })
end

-- ---- Routes --------------------------------------------------------------------------------------------------

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

local function form_of(body)
  local out = {}
  for part in body:gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    out[unescape(name)] = unescape(value)
  end
  return out
end

local function cookie_of(name, value, options)
  options = options or {}
  if not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error("res:cookie: that is no name of a cookie", 3) end
  if value:find('[%c;,%s"\\]') then error("res:cookie: the value has characters that a cookie cannot have", 3) end
  local parts = { name .. "=" .. value }
  parts[#parts + 1] = "Path=" .. (options.path or "/")
  if options.max_age then parts[#parts + 1] = "Max-Age=" .. math.floor(units.duration(options.max_age) or 0) end
  if options.domain then parts[#parts + 1] = "Domain=" .. options.domain end
  if options.http_only ~= false then parts[#parts + 1] = "HttpOnly" end
  if options.secure ~= false then parts[#parts + 1] = "Secure" end
  parts[#parts + 1] = "SameSite=" .. ({ strict = "Strict", lax = "Lax", none = "None" })[options.same_site or "lax"]
  local line = table.concat(parts, "; ")
  if line:find("%c") then error("res:cookie: one line", 3) end
  return line
end

local function new_response(json)
  local answer = { status = 200, headers = {}, body = "" }
  local res = {}
  local function set(name, value)
    answer.headers[#answer.headers + 1] = name
    answer.headers[#answer.headers + 1] = value
    if #answer.headers > 2 * HEADERS_MAX then error("res:header: more than " .. HEADERS_MAX .. " headers", 3) end
  end
  local function body(kind, text)
    if #text > BODY_MAX then error("res: the body has more than " .. BODY_MAX .. " bytes", 3) end
    answer.kind, answer.body = kind, text
    return res
  end
  function res.status(_, code)
    if type(code) ~= "number" or code ~= math.floor(code) or code < 200 or code > 599 then error("res:status: 200 to 599", 2) end
    answer.status = code
    return res
  end
  function res.header(_, name, value)
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error("res:header: that is no name of a header", 2) end
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" or value:find("%c") then error("res:header: the value is text of one line", 2) end
    if OURS[name:lower()] then error("res:header: " .. name .. " is the server's", 2) end
    if name:lower() == "content-type" then answer.given_kind = value else set(name, value) end
    return res
  end
  function res.json(_, value) return body("application/json; charset=utf-8", json.encode(value)) end
  function res.text(_, text)
    if type(text) ~= "string" then error("res:text: text expected", 2) end
    return body("text/plain; charset=utf-8", text)
  end
  function res.redirect(_, url)
    if type(url) ~= "string" or url:find("[%c%s]") then error("res:redirect: an address expected", 2) end
    if answer.status < 300 or answer.status > 399 then answer.status = 303 end
    set("location", url)
    return res
  end
  function res.cookie(_, name, value, options)
    set("set-cookie", cookie_of(name, tostring(value), options))
    return res
  end
  function res.stream(_, fn)
    local parts, bytes = {}, 0
    fn(function(text)
      bytes = bytes + #text
      if bytes > BODY_MAX then error("res:stream: the body has more than " .. BODY_MAX .. " bytes", 2) end
      parts[#parts + 1] = text
    end)
    return body(answer.kind or "text/plain; charset=utf-8", table.concat(parts))
  end
  local face = setmetatable({}, { __index = res, __newindex = function() error("res is read-only", 2) end,
                                  __metatable = false, __guard = true })
  for name, method in pairs(res) do
    res[name] = function(_, ...)
      method(face, ...)
      return face
    end
  end
  return face, answer
end

local function lower_keys(t)
  return setmetatable({}, { __index = function(_, name) return type(name) == "string" and t[name:lower()] or nil end,
                            __newindex = function() error("read-only", 2) end, __metatable = false, __guard = true })
end

--- status, headers (name, value, name, value …), body
function work.route(fn, self, facts, json)
  local res, answer = new_response(json)
  local request = facts.request
  local req = { method = request.method, path = request.path, ip = request.ip, host = request.host, origin = request.origin,
                headers = lower_keys(request.headers), query = request.query, cookies = request.cookies, params = facts.params,
                body = facts.body, identity = identity_of(facts.identity) }
  function req.json() return json.decode(facts.body) end
  function req.form() return form_of(facts.body) end
  fn(self, req, res)
  local kind = answer.given_kind or answer.kind
  if kind then
    answer.headers[#answer.headers + 1] = "content-type"
    answer.headers[#answer.headers + 1] = kind
  end
  return answer.status, answer.headers, answer.body
end

return work
