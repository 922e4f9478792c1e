-- SPDX-License-Identifier: MIT
return {
  doc = "Sets of values.",
  { "set", "(list?: any[]): moonloom.Set", since = "0.1.0", pure = true, cost = "linear", alloc = true, doc = "A set; nil is the empty one.",
    example = 'assert((ml.set { "a", "b" } - ml.set { "a" }):has "b")' },
  classes = {
    { class = "moonloom.Set", doc = "`+` union, `-` difference, `*` intersection.",
      operators = { { "add", "moonloom.Set", "moonloom.Set" }, { "sub", "moonloom.Set", "moonloom.Set" }, { "mul", "moonloom.Set", "moonloom.Set" } },
      methods = {
        { "has", "(value: any): boolean", since = "0.1.0", pure = true, doc = "Is it in?" },
        { "sorted", "(): any[]", since = "0.1.0", pure = true, cost = "linear", alloc = true, doc = "A list in order." },
        { "size", "(): integer", since = "0.1.0", pure = true, doc = "How many." },
      } },
  },
}
