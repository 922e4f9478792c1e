-- SPDX-License-Identifier: MIT
-- Lua 5.1 (with LuaJIT's goto) as a tree, with every name resolved to the declaration it means. For lint.
--
--   parse.chunk(text, name) → { kind = "chunk", body = block, decls = { decl, … } } | nil, "name:line: what"
--
-- A node has kind, line, column and `block`, the block it stands in; a block has parent, func and loop (the
-- innermost loop it is in). Names: { kind = "name", name, decl = nil for a global }. A decl: { name, line,
-- func, level (0: of the chunk), value = expression, uses, writes }.
local parse = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
               until while]]):gmatch("%a+") do KEYWORDS[word] = true end

local DEPTH_MAX = 180

-- ---- Tokens -----------------------------------------------------------------------------------------------------

local Lexer = {}
Lexer.__index = Lexer

function Lexer:fail(what, line) error({ syntax = ("%s:%d: %s"):format(self.name, line or self.line, what) }, 0) end

function Lexer:count_lines(from, to)
  for at in self.text:sub(from, to):gmatch("()\n") do
    self.line = self.line + 1
    self.line_start = from + at
  end
end

function Lexer:long(pos)
  local level = self.text:match("^%[(=*)%[", pos)
  if not level then return nil end
  local _, stop = self.text:find("]" .. level .. "]", pos + #level + 2, true)
  if not stop then self:fail("a long bracket does not end") end
  return self.text:sub(pos + #level + 2, stop - #level - 2), stop + 1
end

function Lexer:skip()
  while true do
    local from = self.pos
    local _, stop = self.text:find("^%s+", from)
    if stop then
      self:count_lines(from, stop)
      self.pos = stop + 1
    elseif self.text:sub(from, from + 1) == "--" then
      local _, after = self:long(from + 2)
      local line = self.line
      if after then
        self:count_lines(from, after - 1)
        self.pos = after
      else
        self.pos = (self.text:find("\n", from, true) or #self.text + 1)
      end
      self.comments[#self.comments + 1] = { line = line, text = self.text:sub(from, self.pos - 1) }
    else
      return
    end
  end
end

local ESCAPES = { n = "\n", t = "\t", r = "\r", a = "\a", b = "\b", f = "\f", v = "\v" }

function Lexer:string(quote)
  local out, i = {}, self.pos + 1
  while true do
    local c = self.text:sub(i, i)
    if c == quote then break end
    if c == "" or c == "\n" then self:fail("a string does not end") end
    if c == "\\" then
      local e = self.text:sub(i + 1, i + 1)
      local digits = self.text:match("^%d%d?%d?", i + 1)
      local hex = self.text:match("^x(%x%x)", i + 1)
      if digits then
        out[#out + 1] = string.char(tonumber(digits) % 256)
        i = i + 1 + #digits
      elseif hex then
        out[#out + 1] = string.char(tonumber(hex, 16))
        i = i + 4
      elseif e == "z" then
        local _, stop = self.text:find("^%s*", i + 2)
        self:count_lines(i, stop)
        i = stop + 1
      else
        if e == "\n" then self:count_lines(i + 1, i + 1) end
        out[#out + 1] = ESCAPES[e] or e
        i = i + 2
      end
    else
      local _, stop = self.text:find("^[^\\\n\"']+", i)
      stop = stop or i
      out[#out + 1] = self.text:sub(i, stop)
      i = stop + 1
    end
  end
  self.pos = i + 1
  return table.concat(out)
end

local OPERATORS = { "...", "..", "==", "~=", "<=", ">=", "::", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{", "}", "[", "]",
                    ";", ":", ",", "." }

function Lexer:read()
  self:skip()
  local text, pos = self.text, self.pos
  local token = { line = self.line, column = pos - self.line_start + 1 }
  if pos > #text then
    token.kind = "eof"
    return token
  end
  local word = text:match("^[%a_\128-\255][%w_\128-\255]*", pos)
  if word then
    self.pos = pos + #word
    token.kind, token.value = KEYWORDS[word] and word or "name", word
    return token
  end
  local number = text:match("^0[xX][%x%.]+[pP]?[+-]?%d*", pos) or text:match("^%d+%.?%d*[eE][+-]?%d+", pos) or text:match("^%.%d+[eE][+-]?%d+", pos)
    or text:match("^%d+%.?%d*", pos) or text:match("^%.%d+", pos)
  if number then
    self.pos = pos + #number
    local suffix = text:match("^[uUlLiI]+", self.pos)
    if suffix then self.pos = self.pos + #suffix end
    token.kind, token.value = "number", number
    return token
  end
  local c = text:sub(pos, pos)
  if c == '"' or c == "'" then
    token.kind, token.value = "string", self:string(c)
    return token
  end
  if c == "[" then
    local body, after = self:long(pos)
    if body then
      self:count_lines(pos, after - 1)
      self.pos = after
      token.kind, token.value = "string", body
      return token
    end
  end
  for _, op in ipairs(OPERATORS) do
    if text:sub(pos, pos + #op - 1) == op then
      self.pos = pos + #op
      token.kind = op
      return token
    end
  end
  self:fail(("unexpected '%s'"):format(c))
end

-- ---- Parser -----------------------------------------------------------------------------------------------------

local P = {}
P.__index = P

function P:next()
  local token = self.token
  self.token = self.ahead or self.lexer:read()
  self.ahead = nil
  return token
end

function P:peek()
  if not self.ahead then self.ahead = self.lexer:read() end
  return self.ahead
end

function P:fail(what) self.lexer:fail(what, self.token.line) end

local function shown(token)
  if token.kind == "eof" then return "the end of the file" end
  return "'" .. tostring(token.value or token.kind) .. "'"
end

function P:accept(kind)
  if self.token.kind == kind then return self:next() end
end

function P:expect(kind, opened)
  if self.token.kind == kind then return self:next() end
  local what = kind == "name" and "a name" or "'" .. kind .. "'"
  self:fail(("%s expected near %s%s"):format(what, shown(self.token), opened and (" (to close line %d)"):format(opened) or ""))
end

function P:node(kind, token, fields)
  fields.kind, fields.line, fields.column, fields.block = kind, token.line, token.column, self.block
  return fields
end

function P:open_block(loop)
  self.depth = self.depth + 1
  if self.depth > DEPTH_MAX then self:fail("nested too deeply") end
  self.block = { parent = self.block, func = self.func, names = {}, loop = loop or (self.block and self.block.func == self.func and self.block.loop), nodes = {} }
  return self.block
end

function P:close_block()
  self.depth = self.depth - 1
  local block = self.block
  self.block = block.parent
  return block
end

function P:declare(name, token, how)
  local decl = { name = name, line = token.line, column = token.column, func = self.func, level = self.func.level, how = how, uses = 0, writes = 0 }
  self.block.names[name] = decl
  self.decls[#self.decls + 1] = decl
  return decl
end

function P:resolve(name)
  local block = self.block
  while block do
    if block.names[name] then return block.names[name] end
    block = block.parent
  end
end

function P:name_node(token)
  local decl = self:resolve(token.value)
  if decl then decl.uses = decl.uses + 1 end
  return self:node("name", token, { name = token.value, decl = decl })
end

function P:body(token, params, is_method)
  local func = self:node("function", token, { params = {}, level = self.func.level + 1, parent = self.func })
  local outer = self.func
  self.func = func
  self:open_block(false)
  if is_method then func.params[1] = self:declare("self", token, "self") end
  if params then
    self:expect("(")
    while self.token.kind ~= ")" do
      if self:accept("...") then
        func.vararg = true
        break
      end
      local name = self:expect("name")
      func.params[#func.params + 1] = self:declare(name.value, name, "param")
      if not self:accept(",") then break end
    end
    self:expect(")")
  end
  func.body = self:statements()
  self:expect("end", token.line)
  self:close_block()
  self.func = outer
  self.functions[#self.functions + 1] = func
  return func
end

function P:table_constructor()
  local token = self:expect("{")
  local out = self:node("table", token, { items = {} })
  while self.token.kind ~= "}" do
    local item = { line = self.token.line }
    if self.token.kind == "name" and self:peek().kind == "=" then
      local key = self:next()
      self:next()
      item.key = self:node("string", key, { value = key.value })
      item.value = self:expr()
    elseif self.token.kind == "[" then
      self:next()
      item.key = self:expr()
      self:expect("]")
      self:expect("=")
      item.value = self:expr()
    else
      item.value = self:expr()
    end
    out.items[#out.items + 1] = item
    if not (self:accept(",") or self:accept(";")) then break end
  end
  self:expect("}", token.line)
  return out
end

function P:arguments()
  local token = self.token
  if token.kind == "string" then
    self:next()
    return { self:node("string", token, { value = token.value }) }
  elseif token.kind == "{" then
    return { self:table_constructor() }
  end
  self:expect("(")
  local list = self.token.kind ~= ")" and self:exprs() or {}
  self:expect(")", token.line)
  return list
end

function P:prefix()
  local token = self.token
  local node
  if token.kind == "name" then
    self:next()
    node = self:name_node(token)
  elseif token.kind == "(" then
    self:next()
    node = self:node("paren", token, { expr = self:expr() })
    self:expect(")", token.line)
  else
    self:fail("unexpected " .. shown(token))
  end
  while true do
    local at = self.token
    if at.kind == "." then
      self:next()
      local key = self:expect("name")
      node = self:node("index", at, { object = node, key = self:node("string", key, { value = key.value }), dot = true })
    elseif at.kind == "[" then
      self:next()
      local key = self:expr()
      self:expect("]")
      node = self:node("index", at, { object = node, key = key })
    elseif at.kind == ":" then
      self:next()
      local name = self:expect("name")
      node = self:node("method", at, { object = node, name = name.value, args = self:arguments() })
    elseif at.kind == "(" or at.kind == "string" or at.kind == "{" then
      node = self:node("call", at, { fn = node, args = self:arguments() })
    else
      return node
    end
  end
end

local SIMPLE = { ["nil"] = true, ["true"] = true, ["false"] = true, ["..."] = "vararg" }

function P:simple()
  local token = self.token
  if token.kind == "number" or token.kind == "string" then
    self:next()
    return self:node(token.kind, token, { value = token.value })
  elseif SIMPLE[token.kind] then
    self:next()
    return self:node(SIMPLE[token.kind] == true and token.kind or SIMPLE[token.kind], token, {})
  elseif token.kind == "{" then
    return self:table_constructor()
  elseif token.kind == "function" then
    self:next()
    return self:body(token, true)
  end
  return self:prefix()
end

local BINARY = { ["or"] = { 1, 1 }, ["and"] = { 2, 2 }, ["<"] = { 3, 3 }, [">"] = { 3, 3 }, ["<="] = { 3, 3 }, [">="] = { 3, 3 }, ["~="] = { 3, 3 },
                 ["=="] = { 3, 3 }, [".."] = { 5, 4 }, ["+"] = { 6, 6 }, ["-"] = { 6, 6 }, ["*"] = { 7, 7 }, ["/"] = { 7, 7 }, ["%"] = { 7, 7 },
                 ["^"] = { 10, 9 } }
local UNARY = { ["not"] = true, ["-"] = true, ["#"] = true }

function P:expr(limit)
  self.depth = self.depth + 1
  if self.depth > DEPTH_MAX then self:fail("nested too deeply") end
  local left
  local token = self.token
  if UNARY[token.kind] then
    self:next()
    left = self:node("unary", token, { op = token.kind, expr = self:expr(8) })
  else
    left = self:simple()
  end
  while BINARY[self.token.kind] and BINARY[self.token.kind][1] > (limit or 0) do
    local op = self:next()
    left = self:node("binary", op, { op = op.kind, left = left, right = self:expr(BINARY[op.kind][2]) })
  end
  self.depth = self.depth - 1
  return left
end

function P:exprs()
  local list = { self:expr() }
  while self:accept(",") do list[#list + 1] = self:expr() end
  return list
end

local S = {} -- statements by their first word

function S.local_(p, token)
  if p:accept("function") then
    local name = p:expect("name")
    local decl = p:declare(name.value, name, "function")
    local func = p:body(token, true)
    decl.value = func
    func.name = name.value
    return p:node("local_function", token, { decl = decl, func = func })
  end
  local names = {}
  repeat names[#names + 1] = p:expect("name") until not p:accept(",")
  local values = p:accept("=") and p:exprs() or {}
  local decls = {}
  for i, name in ipairs(names) do
    decls[i] = p:declare(name.value, name, "local")
    decls[i].value = values[i]
    decls[i].unpacked = #values < i and values[#values] or nil
  end
  return p:node("local", token, { decls = decls, values = values })
end

function S.function_(p, token)
  local name = p:expect("name")
  local target = p:name_node(name)
  local is_method = false
  while p.token.kind == "." or p.token.kind == ":" do
    local dot = p:next()
    local key = p:expect("name")
    target = p:node("index", dot, { object = target, key = p:node("string", key, { value = key.value }), dot = true })
    if dot.kind == ":" then
      is_method = true
      break
    end
  end
  local func = p:body(token, true, is_method)
  if target.kind == "name" and target.decl then target.decl.writes = target.decl.writes + 1 end
  return p:node("assign", token, { targets = { target }, values = { func } })
end

function S.if_(p, token)
  local out = p:node("if", token, { clauses = {} })
  local condition = p:expr()
  p:expect("then")
  p:open_block()
  local body = p:statements()
  out.clauses[1] = { condition = condition, body = body, block = p:close_block() }
  while true do
    if p:accept("elseif") then
      condition = p:expr()
      p:expect("then")
      p:open_block()
      body = p:statements()
      out.clauses[#out.clauses + 1] = { condition = condition, body = body, block = p:close_block() }
    elseif p:accept("else") then
      p:open_block()
      body = p:statements()
      out.clauses[#out.clauses + 1] = { body = body, block = p:close_block() }
      p:expect("end", token.line)
      return out
    else
      p:expect("end", token.line)
      return out
    end
  end
end

function S.while_(p, token)
  local out = p:node("while", token, {})
  out.condition = p:expr()
  p:expect("do")
  p:open_block(out)
  out.body = p:statements()
  p:close_block()
  p:expect("end", token.line)
  return out
end

function S.repeat_(p, token)
  local out = p:node("repeat", token, {})
  p:open_block(out)
  out.body = p:statements()
  p:expect("until", token.line)
  out.condition = p:expr()
  p:close_block()
  return out
end

function S.for_(p, token)
  local first = p:expect("name")
  local out
  if p:accept("=") then
    out = p:node("fornum", token, { values = p:exprs() })
    p:expect("do")
    p:open_block(out)
    out.decls = { p:declare(first.value, first, "loop") }
  else
    local names = { first }
    while p:accept(",") do names[#names + 1] = p:expect("name") end
    p:expect("in")
    out = p:node("forin", token, { values = p:exprs(), decls = {} })
    p:expect("do")
    p:open_block(out)
    for i, name in ipairs(names) do
      out.decls[i] = p:declare(name.value, name, "loop")
      out.decls[i].iterates = out.values[1]
    end
  end
  out.body = p:statements()
  p:close_block()
  p:expect("end", token.line)
  return out
end

function S.do_(p, token)
  p:open_block()
  local body = p:statements()
  p:close_block()
  p:expect("end", token.line)
  return p:node("do", token, { body = body })
end

function S.return_(p, token)
  local kind = p.token.kind
  local values = {}
  if kind ~= "end" and kind ~= "eof" and kind ~= "else" and kind ~= "elseif" and kind ~= "until" and kind ~= ";" then values = p:exprs() end
  p:accept(";")
  return p:node("return", token, { values = values })
end

function S.break_(p, token) return p:node("break", token, {}) end

function S.goto_(p, token)
  p:expect("name")
  return p:node("goto", token, {})
end

function P:statement()
  local token = self.token
  local fn = S[token.kind .. "_"]
  if fn then
    self:next()
    return fn(self, token)
  end
  if token.kind == "name" and token.value == "goto" and self:peek().kind == "name" then
    self:next()
    self:next()
    return self:node("goto", token, {})
  end
  if self:accept("::") then
    self:expect("name")
    self:expect("::")
    return self:node("label", token, {})
  end
  local first = self:prefix()
  if self.token.kind == "=" or self.token.kind == "," then
    local targets = { first }
    while self:accept(",") do targets[#targets + 1] = self:prefix() end
    self:expect("=")
    for _, target in ipairs(targets) do
      if target.kind ~= "name" and target.kind ~= "index" then self:fail("cannot assign to this") end
      if target.decl then
        target.decl.uses = target.decl.uses - 1
        target.decl.writes = target.decl.writes + 1
      end
    end
    return self:node("assign", token, { targets = targets, values = self:exprs() })
  end
  if first.kind ~= "call" and first.kind ~= "method" then self:fail("a statement expected near " .. shown(token)) end
  return self:node("do_call", token, { call = first })
end

local ENDS = { ["end"] = true, eof = true, ["else"] = true, ["elseif"] = true, ["until"] = true }

function P:statements()
  local list = {}
  while not ENDS[self.token.kind] do
    if not self:accept(";") then
      local statement = self:statement()
      list[#list + 1] = statement
      if statement.kind == "return" then break end
    end
  end
  return list
end

--- The tree of a text; nil and the first thing wrong with it.
function parse.chunk(text, name)
  local lexer = setmetatable({ text = (text:gsub("^#[^\n]*", "")), name = name, pos = 1, line = 1, line_start = 1, comments = {} }, Lexer)
  local chunk = { kind = "chunk", level = 0, params = {}, name = name }
  local p = setmetatable({ lexer = lexer, depth = 0, func = chunk, decls = {}, functions = {} }, P)
  local ok, wrong = pcall(function()
    p.token = lexer:read()
    p:open_block(false)
    chunk.body = p:statements()
    if p.token.kind ~= "eof" then p:fail("unexpected " .. shown(p.token)) end
    p:close_block()
  end)
  if not ok then
    if type(wrong) == "table" and wrong.syntax then return nil, wrong.syntax end
    error(wrong, 0)
  end
  chunk.decls, chunk.comments, chunk.functions = p.decls, lexer.comments, p.functions
  return chunk
end

-- ---- Walking ----------------------------------------------------------------------------------------------------

--- Calls fn(node, context) for every node in source order; nested functions too, unless `shallow`.
function parse.walk(list, fn, shallow)
  local expr, block

  local function exprs(some) for _, one in ipairs(some) do expr(one) end end

  function expr(node)
    if fn(node) == false then return end
    local kind = node.kind
    if kind == "index" then
      expr(node.object)
      expr(node.key)
    elseif kind == "call" then
      expr(node.fn)
      exprs(node.args)
    elseif kind == "method" then
      expr(node.object)
      exprs(node.args)
    elseif kind == "table" then
      for _, item in ipairs(node.items) do
        if item.key then expr(item.key) end
        expr(item.value)
      end
    elseif kind == "binary" then
      expr(node.left)
      expr(node.right)
    elseif kind == "unary" or kind == "paren" then
      expr(node.expr)
    elseif kind == "function" and not shallow then
      block(node.body)
    end
  end

  function block(statements)
    for _, node in ipairs(statements) do
      if fn(node) ~= false then
        local kind = node.kind
        if kind == "local" or kind == "return" then
          exprs(node.values)
        elseif kind == "assign" then
          exprs(node.targets)
          exprs(node.values)
        elseif kind == "local_function" then
          expr(node.func)
        elseif kind == "do_call" then
          expr(node.call)
        elseif kind == "do" then
          block(node.body)
        elseif kind == "while" then
          expr(node.condition)
          block(node.body)
        elseif kind == "repeat" then
          block(node.body)
          expr(node.condition)
        elseif kind == "if" then
          for _, clause in ipairs(node.clauses) do
            if clause.condition then expr(clause.condition) end
            block(clause.body)
          end
        elseif kind == "fornum" or kind == "forin" then
          exprs(node.values)
          block(node.body)
        end
      end
    end
  end

  block(list)
end

return parse
