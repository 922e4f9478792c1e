-- SPDX-License-Identifier: MIT
-- ml.http: requests to the hosts that plugin.lua names (plugin-api 10). The server checks the address it
-- connects to; here it is checked that the host was asked for, again for every redirect.
local schema = require "moonloom.schema"
local units = require "moonloom.units"

local REDIRECTS = 3
local RETRIES_MAX = 10
local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true }
local OPTIONS = { method = true, url = true, headers = true, query = true, body = true, json = true, form = true,
                  timeout = true, max_body = true, retries = true, idempotency_key = true, sign = true }
-- What must not go along to another host.
local PRIVATE = { authorization = true, cookie = true, ["proxy-authorization"] = true }
local OURS = { ["host"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["connection"] = true }

-- What a secret hides, or the value itself.
local function reveal(value)
  local text = schema.reveal(value)
  if text ~= nil then return text end
  return value
end

local function escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function pairs_of(map, what)
  if type(map) ~= "table" then error(what .. " is a table", 4) end
  local names, parts = {}, {}
  for name in pairs(map) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = escape(name) .. "=" .. escape(map[name]) end
  return table.concat(parts, "&")
end

--- Scheme, host (lower case), port of an address, or nil.
local function parts_of(url)
  local scheme, authority = url:match("^(%a[%w+.-]*)://([^/?#]*)")
  if not scheme then return nil end
  scheme = scheme:lower()
  if scheme ~= "http" and scheme ~= "https" then return nil end
  if authority:find("[@%s\\]") or url:find("[%c ]") then return nil end
  local host, port = authority:match("^(%[[%x:.]+%]):?(%d*)$")
  if not host then host, port = authority:match("^([%w.-]+):?(%d*)$") end
  if not host then return nil end
  return scheme, (host:lower():gsub("%.$", "")), port, scheme .. "://" .. authority
end

local function absolute(base, location)
  if location:find("^%a[%w+.-]*://") then return location end
  local scheme, _, _, origin = parts_of(base)
  if location:sub(1, 2) == "//" then return scheme .. ":" .. location end
  if location:sub(1, 1) == "/" then return origin .. location end
  return origin .. (base:sub(#origin + 1):match("^(/[^?#]*/)") or "/") .. location
end

return function(W, ml, plugin, manifest, native)
  local http = {}
  local hosts -- of needs.http; made at the first request, since config is not there before

  -- Addresses of a field of the config, through lists and records ("issuers.jwks_url").
  local function collect(value, path, made)
    local text = reveal(value) -- a secret is a table too
    if type(text) == "string" then
      local _, host = parts_of(text)
      if host and not path then made[host] = true end
    elseif type(text) == "table" and text[1] ~= nil then
      for _, item in ipairs(text) do collect(item, path, made) end
    elseif type(text) == "table" and path then
      local name, rest = path:match("^([^.]+)%.?(.*)$")
      collect(text[name], rest ~= "" and rest or nil, made)
    end
  end

  local function granted()
    if hosts then return hosts end
    local made = {}
    for _, need in ipairs(manifest.needs.http) do
      local field, rest = need:match("^config%.([^.]+)%.?(.*)$")
      if field then
        collect(native.config(field), rest ~= "" and rest or nil, made)
      else
        made[need:lower()] = true
      end
    end
    hosts = made
    return made
  end

  local function check_host(what, url, level)
    local _, host = parts_of(url)
    if not host then error(("%s: this is not an address of http or https"):format(what), level + 1) end
    local allowed = granted()
    if allowed[host] then return host end
    local suffix = host:match("^[^.]+(%..+)$")
    if suffix and allowed["*" .. suffix] then return host end
    error(('%s: %s needs http = { "%s" } in plugin.lua'):format(plugin, what, host), level + 1)
  end

  local function answer_of(answer)
    local headers = {}
    for _, field in ipairs(answer.items) do
      local old = headers[field.key]
      headers[field.key] = old and (old .. ", " .. field.value) or field.value
    end
    local fields = { status = answer.number, headers = headers, body = answer.value or "" }
    function fields.json() return ml.json.decode(fields.body) end
    return fields
  end

  -- One request, redirects followed.
  local function send(what, method, url, headers, body, options)
    for _ = 0, REDIRECTS do
      local host = check_host(what, url, 4)
      local items, at = {}, { kind = "http", name = method, key = url, value = body, timeout_ms = options.timeout_ms,
                              limit = options.max_body }
      for name, value in pairs(headers) do items[#items + 1] = { kind = "field", key = name, value = value } end
      at.items = items
      local answer = W.wait(what, at)
      if answer.err then return nil, answer.err, answer.text end
      local location
      for _, field in ipairs(answer.items) do if field.key == "location" then location = field.value end end
      local status = answer.number
      if not location or not (status == 301 or status == 302 or status == 303 or status == 307 or status == 308) then
        return answer_of(answer)
      end
      url = absolute(url, location)
      local _, next_host = parts_of(url)
      if not next_host then return nil, "EFORMAT", "redirected to what is no address" end
      if next_host ~= host then
        for name in pairs(headers) do if PRIVATE[name:lower()] then headers[name] = nil end end
      end
      if status == 303 or (method == "POST" and status < 303) then
        method, body = "GET", nil
        headers["content-type"] = nil
      end
    end
    return nil, "ELIMIT", "more than " .. REDIRECTS .. " redirects"
  end

  local function may_repeat(res, kind)
    if res then return res.status == 429 or res.status == 502 or res.status == 503 or res.status == 504 end
    return kind == "EIO" or kind == "ETIMEDOUT"
  end

  local function body_of(options, headers, what)
    local given = (options.body ~= nil and 1 or 0) + (options.json ~= nil and 1 or 0) + (options.form ~= nil and 1 or 0)
    if given > 1 then error(what .. ": one of body, json and form", 4) end
    if options.json ~= nil then
      headers["content-type"] = headers["content-type"] or "application/json"
      return ml.json.encode(options.json)
    elseif options.form ~= nil then
      headers["content-type"] = headers["content-type"] or "application/x-www-form-urlencoded"
      return pairs_of(options.form, what .. ": form")
    end
    if options.body ~= nil and type(options.body) ~= "string" then error(what .. ": body is text", 4) end
    return options.body
  end

  local function headers_of(given, what)
    local headers = {}
    if given == nil then return headers end
    if type(given) ~= "table" then error(what .. ": headers are a table", 4) end
    for name, value in pairs(given) do
      if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then error(what .. ": that is no name of a header", 4) end
      value = reveal(value)
      if type(value) == "number" then value = tostring(value) end
      if type(value) ~= "string" or value:find("[%c]") then error(("%s: header %s is no text of one line"):format(what, name), 4) end
      if OURS[name:lower()] then error(("%s: header %s is the server's"):format(what, name), 4) end
      headers[name:lower()] = value
    end
    return headers
  end

  local function sign(options, headers, body, what)
    if options.sign == nil then return end
    local with = options.sign
    if type(with) ~= "table" or type(with.header) ~= "string" or with.key == nil then
      error(what .. ": sign is { header =, key = }", 4)
    end
    local at = tostring(math.floor(ml.time.now()))
    headers[with.header:lower()] = ("t=%s,v1=%s"):format(at, ml.enc.hex.encode(ml.crypto.hmac(reveal(with.key), at .. "." .. (body or ""))))
  end

  local function request(what, options)
    if type(options) ~= "table" then error(what .. ": options are a table", 3) end
    for name in pairs(options) do if not OPTIONS[name] then error(("%s: unknown option '%s'"):format(what, tostring(name)), 3) end end
    local url = reveal(options.url)
    if type(url) ~= "string" then error(what .. ": url is text", 3) end
    local method = (options.method or "GET"):upper()
    if not METHODS[method] then error(("%s: unknown method '%s'"):format(what, method), 3) end
    if options.query then url = url .. (url:find("?", 1, true) and "&" or "?") .. pairs_of(options.query, what .. ": query") end
    check_host(what, url, 3)
    local timeout, wrong = units.duration(options.timeout or 10)
    if not timeout then error(("%s: timeout %s"):format(what, wrong), 3) end
    local max_body
    max_body, wrong = units.size(options.max_body or "1MiB")
    if not max_body then error(("%s: max_body %s"):format(what, wrong), 3) end
    local retries = options.retries or 0
    if type(retries) ~= "number" or retries < 0 or retries > RETRIES_MAX then
      error(("%s: retries is a number from 0 to %d"):format(what, RETRIES_MAX), 3)
    end
    local headers = headers_of(options.headers, what)
    local body = body_of(options, headers, what)
    if options.idempotency_key ~= nil then headers["idempotency-key"] = tostring(options.idempotency_key) end
    sign(options, headers, body, what)
    local res, kind, text
    for try = 0, retries do
      res, kind, text = send(what, method, url, headers, body, { timeout_ms = math.max(1, timeout * 1000), max_body = max_body })
      if try == retries or not may_repeat(res, kind) then break end
      W.sleep(what, math.min(0.2 * 2 ^ try, 5) * (0.5 + math.random()))
    end
    return res, kind, text
  end

  function http.request(options) return request("ml.http.request", options) end

  for _, method in ipairs { "GET", "POST", "PUT", "DELETE" } do
    local name = method:lower()
    http[name] = function(url, options)
      local all = {}
      for key, value in pairs(options or {}) do all[key] = value end
      all.url, all.method = url, method
      return request("ml.http." .. name, all)
    end
  end

  return http, check_host
end
