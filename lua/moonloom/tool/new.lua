-- SPDX-License-Identifier: MIT
-- `moonloom plugin new`: a small plugin that works. Every template passes its own spec and lint unchanged
-- (spec/server/62_plugin_cli_spec.lua). @NAME@ is the plugin, @CLASS@ its table.
local folder = require "moonloom.tool.folder"
local host = require "moonloom.host"
local json = require "moonloom.test.json"
local nearest = require "moonloom.nearest"
local types = require "moonloom.tool.types"

local new = {}

new.order = { "blank", "auth", "acl", "validate", "conflict", "observe", "cdn", "route" }

local T = {}
new.templates = T

T.blank = {
  summary = "Nothing yet", phase = "policy", hook = "authorize",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Says who opens a document, and has no opinion on it",
  phase   = "policy",

  -- What it wants to hear about: one entry per hook, each a method in init.lua.
  hooks = { authorize = true },

  config = {
    version = 1,
    fields = {
      { "greeting", type = "string", default = "Hello", doc = "What the log line begins with" },
    },
  },
}
]],
  code = [[
local ml = require "moonloom"

---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

-- Returning nothing means "no opinion": other plugins decide.
function @CLASS@:authorize(ask)
  if ask.action == "doc.open" and ask.identity then
    ml.log.info(self.config.greeting .. ", " .. ask.identity.user, { doc = ask.doc_id })
  end
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  it("has no opinion, but says who came", function()
    local p = t.instance("@NAME@", { greeting = "Welcome" })
    assert.is_nil(p:authorize(t.ask { doc_id = "notes/7", identity = t.identity { user = "ben" } }))
    assert.equal("Welcome, ben doc=notes/7\n", p:logs())
  end)
end)
]],
}

T.auth = {
  summary = "Who is this?",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Lets people in with a key from a list",
  phase   = "auth",

  hooks = { authenticate = true },

  config = {
    version = 1,
    fields = {
      { "keys", type = "map", values = { type = "string" }, default = {},
        doc = "Key that a client sends as its token, and the id of the user it stands for" },
    },
  },
}
]],
  code = [[
local ml = require "moonloom"

---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

-- Nil: not my credential, the next plugin is asked. A denial ends the connection.
function @CLASS@:authenticate(req)
  local token = req.token
  if not token then return end
  local user = self.config.keys[token]
  if not user then
    return ml.deny("unknown_key", "This key is not known here.", { status = 401 })
  end
  return { user = user, name = user, roles = {}, kind = "user" }
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  local p
  before_each(function() p = t.instance("@NAME@", { keys = { secret = "ana" } }) end)

  it("knows people by their key", function()
    assert.equal("ana", p:authenticate(t.request { token = "secret" }).user)
  end)

  it("turns other keys away", function()
    assert.denied("unknown_key", p:authenticate(t.request { token = "guess" }))
  end)

  it("leaves requests without a key to others", function()
    assert.is_nil(p:authenticate(t.request()))
  end)
end)
]],
}

T.acl = {
  summary = "Who may do what?",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Everybody reads, editors write",
  phase   = "policy",

  hooks = { authorize = true },

  config = {
    version = 1,
    fields = {
      { "editors", type = "role", default = "editor", doc = "Who has this role may write" },
    },
  },
}
]],
  code = [[
local ml = require "moonloom"

---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

-- Lua runs once per document that somebody opens; C enforces the grant afterwards.
function @CLASS@:authorize(ask)
  if ask.action ~= "doc.open" or ask.identity.user == "" then return end -- nobody has signed in
  return ml.grant {
    read = true, presence = true,
    write = ask.identity:has_role(self.config.editors),
    ttl = "5m",
  }
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  local p
  before_each(function() p = t.instance("@NAME@") end)

  local function open(roles) return p:authorize(t.ask { identity = t.identity { roles = roles } }) end

  it("lets everybody who is known read", function()
    assert.granted("read", open {})
    assert.not_granted("write", open {})
  end)

  it("lets editors write", function()
    assert.granted("write", open { "editor" })
  end)

  it("has no opinion on strangers", function()
    assert.is_nil(p:authorize(t.ask { identity = false }))
  end)
end)
]],
}

T.validate = {
  summary = "What may be written?",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "No very long pastes",
  phase   = "validate",

  -- The server wakes the hook only for updates that insert text and have at least 1 KiB.
  hooks = { before_update = { kinds = { "text.insert" }, min_bytes = "1KiB" } },

  config = {
    version = 1,
    fields = {
      { "max_insert", type = "size", default = "64KiB", min = "1KiB", doc = "Most that one update may add" },
    },
  },
}
]],
  code = [[
local ml = require "moonloom"

---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

-- A denial takes the update back on the writer's screen and shows the sentence.
function @CLASS@:before_update(u)
  if u.inserted_bytes > self.config.max_insert then
    return ml.deny("too_long", "That is a lot of text at once. Please paste it in parts.")
  end
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  local p
  before_each(function() p = t.instance("@NAME@", { max_insert = "2KiB" }) end)

  local function paste(n) return p:before_update(t.update { { "text.insert", path = "body", text = ("x"):rep(n) } }) end

  it("lets people write", function()
    assert.is_nil(paste(1500))
  end)

  it("asks for shorter pastes", function()
    assert.denied("too_long", paste(3000))
  end)

  it("is not asked about small updates", function()
    assert.is_nil(t.instance("@NAME@", { max_insert = "1KiB" }):before_update(t.update { { "text.insert", path = "body", text = "x" } }))
  end)
end)
]],
}

T.conflict = {
  summary = "What wins when two people change the same thing?", needs_hook = "conflict",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "The larger number wins",
  phase   = "policy",

  hooks = { conflict = { kinds = { "map" }, paths = { "scores" } } },

  config = { version = 1, fields = {} },
}
]],
  code = [[
---@class @CLASS@ : moonloom.Plugin
local @CLASS@ = {}

-- Nil: the CRDT's own rule. The answer must depend on the argument, config and setup's state only.
function @CLASS@.conflict(_, c)
  local current, incoming = tonumber(c.current.value), tonumber(c.incoming.value)
  if current and incoming and current ~= incoming then
    return current > incoming and "current" or "incoming"
  end
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  local p
  before_each(function() p = t.instance("@NAME@") end)

  local function clash(current, incoming)
    return p:conflict(t.conflict { path = "scores", key = "ana", base = 0, current = current, incoming = incoming })
  end

  it("keeps the larger number, whoever came first", function()
    assert.equal("current", clash(5, 3))
    assert.equal("incoming", clash(3, 5))
  end)

  it("has no opinion on what is no number", function()
    assert.is_nil(clash("many", 5))
  end)
end)
]],
}

T.observe = {
  summary = "What has happened?",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Counts edits per document and says so in the log",
  phase   = "observe",

  hooks = { after_update = true },

  config = {
    version = 1,
    fields = {
      { "every", type = "integer", default = 100, min = 1, doc = "A line after so many updates of a document" },
    },
  },
}
]],
  code = [[
local ml = require "moonloom"

---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

function @CLASS@:setup()
  self.state.counts = {} -- of this worker: a cache, not a fact
end

-- What it sees is committed; it cannot refuse.
function @CLASS@:after_update(batch)
  local counts, id = self.state.counts, batch.doc.id
  local before = counts[id] or 0
  local after = before + batch.count
  counts[id] = after
  if math.floor(after / self.config.every) > math.floor(before / self.config.every) then
    ml.log.info("edited", { doc = id, updates = after })
  end
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  it("says so after every tenth update of a document", function()
    local p = t.instance("@NAME@", { every = 10 })
    p:after_update(t.batch { doc = "notes/1", count = 9 })
    assert.equal("", p:logs())
    p:after_update(t.batch { doc = "notes/2", count = 9 })
    assert.equal("", p:logs())
    p:after_update(t.batch { doc = "notes/1", count = 2 })
    assert.matches("updates=11", p:logs(), 1, true)
  end)
end)
]],
}

T.cdn = {
  summary = "What may caches keep?", needs_hook = "cache_control",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Shared caches keep published pages for a while",
  phase   = "policy",

  hooks = { cache_control = true },

  config = {
    version = 1,
    fields = {
      { "shared", type = "duration", default = "1h", doc = "How long shared caches keep a published page" },
    },
  },
}
]],
  code = [[
---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = {}

-- Asked once per route, status and variant; the strictest answer of all plugins counts.
function @CLASS@:cache_control(res)
  if res.is_api or res.authenticated or res.status ~= 200 then return end
  return { store = "public", max_age = 0, shared_max_age = self.config.shared, keys = { "doc" } }
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  it("lets shared caches keep pages", function()
    local rule = t.instance("@NAME@", { shared = "2h" }):cache_control(t.response())
    assert.equal("public", rule.store)
    assert.equal(7200, rule.shared_max_age)
  end)

  it("has no opinion on the API and on people who are signed in", function()
    local p = t.instance("@NAME@")
    assert.is_nil(p:cache_control(t.response { is_api = true }))
    assert.is_nil(p:cache_control(t.response { authenticated = true }))
  end)
end)
]],
}

T.route = {
  summary = "A page or an API of its own", needs_hook = "routes",
  manifest = [[
return {
  name    = "@NAME@",
  version = "0.1.0",
  api     = 1,
  summary = "Answers GET /x/@NAME@/hello/NAME",
  phase   = "policy",

  hooks = { routes = { ["GET /hello/:name"] = { public = true } } },

  config = {
    version = 1,
    fields = {
      { "greeting", type = "string", default = "Hello", doc = "What it says" },
    },
  },
}
]],
  code = [[
---@class @CLASS@ : moonloom.Plugin
---@field config @CLASS@.Config
local @CLASS@ = { routes = {} }

@CLASS@.routes["GET /hello/:name"] = function(self, req, res)
  return res:json { text = self.config.greeting .. ", " .. req.params.name }
end

return @CLASS@
]],
  spec = [[
local t = require "moonloom.test"

describe("@NAME@", function()
  it("greets", function()
    local p = t.instance("@NAME@", { greeting = "Hi" })
    local res = p:routes("GET /hello/:name", t.request { params = { name = "Ana" } })
    assert.equal(200, res.status)
    assert.same({ text = "Hi, Ana" }, res.json)
  end)
end)
]],
}

local README = [[
# @NAME@

@SUMMARY@.

| Setting | Default | Meaning |
| --- | --- | --- |
@SETTINGS@

```
moonloom plugin test @PATH@
moonloom plugin lint @PATH@
```

Switch it on in `moonloom.lua`:

```lua
plugins = { ["@NAME@"] = {} }
```
]]

local function fill(text, words)
  return (text:gsub("@(%u+)@", function(word) return words[word] end))
end

local function settings(manifest)
  local rows = {}
  for _, field in ipairs(manifest.config.fields) do
    local default = field.default
    rows[#rows + 1] = ("| `%s` | %s | %s |"):format(field[1], default == nil and "must be given"
      or "`" .. (type(default) == "table" and json.encode(default) or tostring(default)) .. "`", field.doc or "")
  end
  return #rows > 0 and table.concat(rows, "\n") or "| – | | it has none |"
end

--- The files of a template: { path, text } in order.
function new.files(name, template, path)
  local t = T[template]
  local words = { NAME = name, CLASS = types.class_name(name), PATH = path }
  local manifest = assert(loadstring(fill(t.manifest, words)))()
  words.SUMMARY, words.SETTINGS = manifest.summary, settings(manifest)
  return {
    { "plugin.lua", fill(t.manifest, words) },
    { "init.lua", fill(t.code, words) },
    { "spec/" .. name .. "_spec.lua", fill(t.spec, words) },
    { "README.md", fill(README, words) },
    { "types/moonloom.lua", types.api() },
    { "types/" .. name .. ".lua", types.plugin(manifest) },
    { ".luarc.json", types.settings },
  }
end

local function list_templates()
  for _, name in ipairs(new.order) do io.stdout:write(("  %-9s %s\n"):format(name, T[name].summary)) end
end

function new.run(options, words)
  local name, from = words[1], options.from or "blank"
  if not T[from] then
    local near = nearest(from, new.order)
    folder.fail(("there is no template %s%s: %s"):format(from, near and (", did you mean " .. near .. "?") or "", table.concat(new.order, ", ")))
  end
  local hook = T[from].needs_hook
  for _, def in ipairs(require "moonloom.defs.hooks") do
    if def.name == hook and not def.since then folder.fail(("the template %s needs the hook %s, which this version does not have"):format(from, hook)) end
  end
  if not name then
    io.stdout:write("usage: moonloom plugin new NAME [--from TEMPLATE] [--dir plugins]\n\ntemplates:\n")
    list_templates()
    return 2
  end
  if not name:find("^[a-z][a-z0-9-]*$") or #name > 40 then
    folder.fail(("'%s' is not a name for a plugin: a-z, 0-9 and '-', beginning with a letter, at most 40"):format(name))
  end
  local dir = options.dir or "plugins"
  local path = dir .. "/" .. name
  if folder.exists(path) then folder.fail(path .. " is there already") end
  for _, one in ipairs { dir, path, path .. "/spec", path .. "/types" } do
    local ok, wrong = host.mkdir(one)
    if not ok then folder.fail(wrong) end
  end
  local made = json.list {}
  for i, file in ipairs(new.files(name, from, path)) do
    folder.write(path .. "/" .. file[1], file[2])
    made[i] = path .. "/" .. file[1]
  end
  if options.json then
    io.stdout:write(json.encode { path = path, files = made }, "\n")
  else
    io.stdout:write(("%s is there. Next:\n\n  moonloom plugin test %s\n  moonloom plugin lint %s\n  $EDITOR %s/init.lua\n"):format(path, path, path, path))
  end
  return 0
end

return new
