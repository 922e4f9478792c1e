/* SPDX-License-Identifier: MIT */
/*
 * Every way to run away, leak or flood inside every way to hold on to it: a plugin whose
 * before_update does what the text says that is written ("wrap.bad"), and denies with a count.
 */
#ifndef ML_SPEC_SUPPORT_RUNAWAYS_H
#define ML_SPEC_SUPPORT_RUNAWAYS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Statements that never end, or that eat. `u` is the update, `keep` lives in the state. */
static const char *const runaway_bad[] = {
    "while true do end",
    "for i = 1, 1e18 do end",
    "repeat until false",
    "::again:: goto again",
    "local function f() return f() end f()",
    "local function f() f() end f()",
    "local x = 0 while true do x = x + math.sin(x) end",
    "while true do local s = ('x'):rep(1000) end",
    "while true do (('x'):rep(20000)):gsub('.', string.upper) end",
    "while true do pcall(string.find, ('ab'):rep(2000), '.-.-.-.-z') end",
    "while true do ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30)) end",
    "local t = {} for i = 1, 100000 do t[i] = -i end while true do table.sort(t) end",
    "local t = {} for i = 1, 5000 do t[i] = i end while true do table.sort(t, function() return "
    "true end) end",
    "while true do ml.json.encode({ 1, 2, { 3 } }) end",
    "while true do ml.json.decode('[1,2,{\"a\":3}]') end",
    "while true do for w in (('word '):rep(100)):gmatch('%a+') do end end",
    "while true do select('#', unpack({ 1, 2, 3 })) end",
    "while true do for e in u:edits() do local k = e.kind end end",
    "while true do ml.glob.match('**/a*/b/**/c*', 'x/y/z/aa/c') end",
    "while true do error('x') end",
    /* memory */
    "local t = {} while true do t[#t + 1] = {} end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
    "local s = 'x' while true do s = s .. s end",
    "('x'):rep(1e9)",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "while true do keep[#keep + 1] = ('y'):rep(10000) .. #keep end",
    "local t = {} for i = 1, 1e7 do t['k' .. i] = i end",
    "string.format('%s', ('z'):rep(1e8))",
    "table.concat({ ('x'):rep(1e7), ('y'):rep(1e7) })",
    "local t = {} t[1] = t while true do local c = { t, {} } t[#t + 1] = c end",
    "local f = function() end while true do f = (function(g) return function() return g() end "
    "end)(f) keep[#keep + 1] = f end",
    "while true do keep[{}] = {} end",
    "ml.json.decode(('['):rep(100000))",
    "ml.json.encode((function() local t = {} for i = 1, 1e6 do t = { t } end return t end)())",
    "local t = {} for i = 1, 200 do t = setmetatable({}, { __index = t }) end while true do local "
    "x = t.missing end",
    "while true do coroutine.wrap(function() local t = {} for i = 1, 1000 do t[i] = {} end end)() "
    "end",
};

/* How it is held on to. %s is the statement. */
static const char *const runaway_wraps[] = {
    "%s",
    "while true do pcall(function() %s end) end",
    "pcall(function() while true do pcall(function() pcall(function() %s end) end) end end) while "
    "true do end",
    "while true do xpcall(function() %s end, function() while true do local t = {} end end) end",
    "while true do local c = coroutine.wrap(function() pcall(function() %s end) end) pcall(c) end",
    "local m = setmetatable({}, { __index = function() %s end }) while true do pcall(function() "
    "return m.x end) end",
    "local m = setmetatable({}, { __tostring = function() %s return '' end }) while true do "
    "pcall(tostring, m) end",
    "for _ in (function() %s end) do end",
    "local m = setmetatable({}, { __lt = function() %s return false end }) while true do "
    "pcall(function() return m < m end) end",
    "while true do pcall(string.gsub, 'a', 'a', function() %s end) end",
};

#define RUNAWAY_BAD   (sizeof(runaway_bad) / sizeof(*runaway_bad))
#define RUNAWAY_WRAPS (sizeof(runaway_wraps) / sizeof(*runaway_wraps))

/* The caller frees. */
static inline char *runaway_init(void)
{
    size_t size = 1 << 20, used = 0;
    char *init = malloc(size);

    if (!init)
        abort();
    used += (size_t)snprintf(init, size,
                             "local ml = require 'moonloom'\nlocal keep = {}\nlocal forms = {}\n");
    for (size_t w = 0; w < RUNAWAY_WRAPS; w++)
        for (size_t b = 0; b < RUNAWAY_BAD; b++) {
            const char *gap = strstr(runaway_wraps[w], "%s");

            used += (size_t)snprintf(
                init + used, size - used, "forms['%zu.%zu'] = function(u) %.*s%s%s end\n", w, b,
                (int)(gap - runaway_wraps[w]), runaway_wraps[w], runaway_bad[b], gap + 2);
        }
    snprintf(init + used, size - used,
             "local n = 0\nreturn { before_update = function(self, u)\n"
             "  n = n + 1\n"
             "  local form for e in u:edits() do form = forms[e.text] end\n"
             "  if form then form(u) end\n"
             "  return ml.deny('n', tostring(n)) end }\n");
    return init;
}

#endif
