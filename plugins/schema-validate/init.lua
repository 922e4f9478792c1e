-- plugins/schema-validate/init.lua: every value that is written is checked against the schema of its place.
local ml = require "moonloom"
local jsonschema = require "schema-validate.lib.jsonschema"

local Validate = {}

function Validate:setup()
  local compiled = {}
  for i, one in ipairs(self.config.schemas) do
    compiled[i] = { docs = one.docs, root = one.root, schema = jsonschema.compile(one.schema, ("schemas[%d].schema"):format(i)) }
  end
  self.state.schemas = compiled
end

-- Segments below the root, and the key that is written.
local function place_of(e)
  local path = ml.path.split(e.path)
  table.remove(path, 1)
  if e.key then path[#path + 1] = e.key elseif e.kind == "array.insert" then path[#path + 1] = "0" end
  return path
end

-- What is wrong with an edit, and the schema of its place; nil: nothing.
local function wrong_with(self, entry, e)
  local schema = jsonschema.at(entry.schema, place_of(e))
  if schema == nil then return nil end
  if schema == false then return "does not belong here", schema end
  if e.kind == "text.insert" then
    if schema.types and not schema.types.string then return "is text, where none may be", schema end
    return nil
  end
  if e.value == nil then return nil end -- a shared type: what is written into it comes by itself
  return jsonschema.check(schema, e.value, self.config, 1), schema
end

local function name_of(e)
  return e.key and ml.path.join(e.key) or e.path
end

-- A text that is too long is cut; everything else that does not fit is taken back.
local function repair(self, u, e, schema)
  local kept = schema and type(e.value) == "string" and e.key and jsonschema.repair(schema, e.value, self.config) or nil
  if kept then
    u:replace(e, kept)
  else
    u:undo(e, "schema", ("%s was taken back: it does not fit the document."):format(name_of(e)))
  end
end

function Validate:before_update(u)
  for _, entry in ipairs(self.state.schemas) do
    if ml.glob.match(entry.docs, u.doc.id) then
      for e in u:edits() do
        if e.path and e.root == entry.root then
          local wrong, schema = wrong_with(self, entry, e)
          if wrong then
            local action = self.config.on_violation
            if action == "refuse" and self.config.sync_grace and u.origin == "sync" then action = "repair" end
            if action == "refuse" then return ml.deny("schema", ("%s %s."):format(name_of(e), wrong)) end
            if action == "repair" then repair(self, u, e, schema) end
            ml.log.warn("a value does not fit its schema", { doc = u.doc.id, path = e.path, key = e.key or "", action = action })
          end
        end
      end
    end
  end
end

return Validate
