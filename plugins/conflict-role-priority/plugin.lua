return {
  name = "conflict-role-priority", version = "1.2.0", api = 1, phase = "policy",
  summary = "Of two writers the one with the stronger role wins",
  hooks = {
    conflict = { kinds = { "map", "attr", "block", "delete" } },
    before_update = { kinds = { "map.set", "map.delete", "xml.attr" } },
  },
  config = { version = 1, fields = {
    { "order", type = "array", items = { type = "role" }, required = true, min_items = 1, unique = true,
      example = { "owner", "editor" }, doc = "Roles, the strongest first; who has none of them is weakest" },
    { "paths", type = "array", items = { type = "path" }, default = { "**" }, doc = "Containers it decides about" },
    { "kinds", type = "array", items = { type = "enum", of = { "map", "attr", "block", "delete" } },
      default = { "map", "attr" }, doc = "What may have collided" },
    { "tie", type = "enum", of = { "natural", "server_clock", "next" }, default = "next",
      doc = "Equally strong: the CRDT's own choice, the later one, or the next plugin in the chain" },
    { "protect", type = "duration", default = "0s", max = "24h",
      doc = "For so long a weaker role cannot change what a stronger one wrote, even having seen it; 0: only collisions are decided" },
  } },
}
