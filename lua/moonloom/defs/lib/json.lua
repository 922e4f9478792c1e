-- SPDX-License-Identifier: MIT
return {
  name = "json", doc = "JSON as documents have it.",
  { "encode", "(value: any): string", since = "0.1.0", pure = true, cost = "linear", alloc = true, doc = "Raises on what is no data.",
    example = 'assert(ml.json.encode { ml.null } == "[null]")' },
  { "decode", "(text: string): any", since = "0.1.0", pure = true, fails = true, cost = "linear", alloc = true,
    doc = "`nil, \"EFORMAT\", text` if it is not JSON.", example = 'assert(ml.json.decode("[1,2]")[2] == 2)' },
}
