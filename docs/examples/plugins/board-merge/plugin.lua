return {
  name    = "board-merge",
  version = "1.0.0",
  api     = 1,
  summary = "Merge rules for task boards",
  phase   = "policy",

  hooks = {
    conflict = { kinds = { "map" }, paths = { "tasks/*" }, keys = { "status", "labels", "title" } },
  },

  config = {
    version = 1,
    fields = {
      { "workflow", type = "array", items = { type = "string" }, min_items = 2,
        default = { "todo", "doing", "review", "done" },
        doc = "Steps from first to last; of two concurrent moves the one further along wins" },
      { "lead_role", type = "role", default = "lead",
        doc = "If exactly one of two writers has this role, that title wins" },
    },
  },
}
