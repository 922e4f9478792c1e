-- SPDX-License-Identifier: MIT
-- Members of `moonloom` that are in the contract but not in this version, and those that are there only for
-- who asks for the capability they need. What exists is in src/script/api.c; a test checks that nothing is in both.
return {
  { name = "kv",       need = "kv" },
  { name = "cache",    need = "cache" },
  { name = "limiter",  need = "limiter" },
  { name = "http",     need = "http", example = 'http = { "api.example.com" }' },
  { name = "cluster",  need = "cluster" },
  { name = "docs",     need = "doc.read" },
  { name = "sessions", need = "sessions" },
}
