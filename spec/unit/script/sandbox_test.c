/* SPDX-License-Identifier: MIT */
/* Ways out of the sandbox. Each is expected to fail, and with the reason that is named beside it.
 */
#include "world.h"

#include <string.h>

struct escape {
    const char *code, *why;
};

/* Bodies of a hook; `ml`, `self` and `u` are at hand. */
static const struct escape in_a_hook[] = {
    /* what is absent */
    {"io.open('/etc/passwd')", "global 'io' (a nil value)"},
    {"os.execute('id')", "global 'os' (a nil value)"},
    {"os.exit(1)", "global 'os' (a nil value)"},
    {"package.loadlib('x', 'y')", "global 'package' (a nil value)"},
    {"package.loaded.os.exit()", "global 'package' (a nil value)"},
    {"debug.getregistry()", "global 'debug' (a nil value)"},
    {"debug.sethook()", "global 'debug' (a nil value)"},
    {"ffi.cdef('int x;')", "global 'ffi' (a nil value)"},
    {"jit.on()", "global 'jit' (a nil value)"},
    {"load('return 1')", "global 'load' (a nil value)"},
    {"loadstring('return 1')", "global 'loadstring' (a nil value)"},
    {"loadfile('x')", "global 'loadfile' (a nil value)"},
    {"dofile('x')", "global 'dofile' (a nil value)"},
    {"rawset({}, 1, 1)", "global 'rawset' (a nil value)"},
    {"rawset(string, 'x', 1)", "global 'rawset' (a nil value)"},
    {"collectgarbage('stop')", "global 'collectgarbage' (a nil value)"},
    {"gcinfo()", "global 'gcinfo' (a nil value)"},
    {"newproxy(true)", "global 'newproxy' (a nil value)"},
    {"getfenv(0)", "global 'getfenv' (a nil value)"},
    {"getfenv(print).x = 1", "global 'getfenv' (a nil value)"},
    {"setfenv(1, {})", "global 'setfenv' (a nil value)"},
    {"module('x')", "global 'module' (a nil value)"},
    {"_G.print = nil", "global '_G' (a nil value)"},
    {"_ENV.print = nil", "global '_ENV' (a nil value)"},
    {"string.dump(print)", "field 'dump' (a nil value)"},
    {"('').dump(print)", "field 'dump' (a nil value)"},
    {"string.gfind('a', 'a')", "field 'gfind' (a nil value)"},
    {"table.foreach({}, print)", "field 'foreach' (a nil value)"},
    {"table.move({}, 1, 1e15, 2)", "field 'move' (a nil value)"},
    {"math.randomseed(1)", "field 'randomseed' (a nil value)"},
    {"coroutine.close()", "field 'close' (a nil value)"},
    /* require */
    {"require 'os'", "module 'os' is not available"},
    {"require 'io'", "module 'io' is not available"},
    {"require 'ffi'", "module 'ffi' is not available"},
    {"require 'jit'", "module 'jit' is not available"},
    {"require 'jit.util'", "module 'jit.util' is not available"},
    {"require 'debug'", "module 'debug' is not available"},
    {"require 'table.new'", "module 'table.new' is not available"},
    {"require 'string.buffer'", "module 'string.buffer' is not available"},
    {"require 'moonloom.schema'", "module 'moonloom.schema' is not available"},
    {"require 'moonloom.manifest'", "module 'moonloom.manifest' is not available"},
    {"require 'p.init'", "module 'p.init' is not available"},
    {"require 'p.plugin'", "module 'p.plugin' is not available"},
    {"require 'p.lib...etc.passwd'", "is not available"},
    {"require 'p.lib./etc/passwd'", "is not available"},
    {"require 'p.lib.a\\0b'", "is not available"},
    {"require 'other.lib.x'", "module 'other.lib.x' is not available"},
    {"require 'p.lib.late'", "must be required while the plugin is loaded"},
    {"require {}", "string expected"},
    /* the library tables and the metatable of strings */
    {"string.find = nil", "string is read-only"},
    {"string.evil = 1", "string is read-only"},
    {"math.pi = 3", "math is read-only"},
    {"table.insert = nil", "table is read-only"},
    {"bit.band = nil", "bit is read-only"},
    {"coroutine.wrap = nil", "coroutine is read-only"},
    {"table.insert(string, 1)", "this table is read-only"},
    {"table.insert(math, 1, 1)", "this table is read-only"},
    {"table.remove(string)", "this table is read-only"},
    {"table.sort(string)", "this table is read-only"},
    {"setmetatable(string, {})", "cannot change a protected metatable"},
    {"setmetatable(string, nil)", "cannot change a protected metatable"},
    {"getmetatable(string).__index.evil = 1", "index a boolean value"},
    {"getmetatable('').__index = {}", "index a boolean value"},
    {"getmetatable('').__index.find = 1", "index a boolean value"},
    {"getmetatable(('x'):rep(3)).__add = 1", "index a boolean value"},
    {"setmetatable('', {})", "table expected, got string"},
    {"setmetatable(1, {})", "table expected, got number"},
    {"setmetatable(print, {})", "table expected, got function"},
    {"setmetatable(nil, {})", "table expected, got nil"},
    {"setmetatable({}, { __gc = function() end })", "'__gc' is not available"},
    {"setmetatable(setmetatable({}, { __metatable = 1 }), {})",
     "cannot change a protected metatable"},
    {"('').evil.x = 1", "index field 'evil' (a nil value)"},
    {"('x').y = 1", "index a string value"},
    {"assert(next(string), 'nothing to see')", "nothing to see"},
    {"assert(rawget(string, 'find'), 'nothing behind the face')", "nothing behind the face"},
    /* globals */
    {"evil = 1", "global write: 'evil'"},
    {"string = nil", "global write: 'string'"},
    {"print = nil", "global write: 'print'"},
    {"function evil() end", "global write: 'evil'"},
    {"require = function() end", "global write: 'require'"},
    /* the library of ours */
    {"ml.log = nil", "moonloom is read-only"},
    {"ml.deny = function() end", "moonloom is read-only"},
    {"ml.log.info = print", "ml.log is read-only"},
    {"ml.time.now = function() return 0 end", "ml.time is read-only"},
    {"ml.json.decode = nil", "ml.json is read-only"},
    {"table.insert(ml, 1)", "this table is read-only"},
    {"table.insert(ml.log, 1)", "this table is read-only"},
    {"setmetatable(ml, {})", "cannot change a protected metatable"},
    {"setmetatable(ml.json, {})", "cannot change a protected metatable"},
    {"getmetatable(ml).__index.deny = 1", "index a boolean value"},
    {"getmetatable(ml.kv).__index = 1", "index a boolean value"},
    {"ml.kv.evil = 1", "ml.kv is read-only"},
    {"table.insert(ml.kv, 1)", "this table is read-only"},
    {"ml.array(ml)", "this table is read-only"},
    {"ml.array(ml.deny('a', 'b'))", "protected metatable"},
    {"ml.array(string)", "this table is read-only"},
    {"getmetatable(ml.set {}).__index = 1", "index a boolean value"},
    {"setmetatable(ml.set {}, {})", "cannot change a protected metatable"},
    {"ml.set({}).x = 1", "a set is read-only"},
    {"table.insert(ml.set {}, 1)", "this table is read-only"},
    {"ml.set({}).has({}, 1)", "a set expected"},
    {"ml.set { {} }", "not a table"},
    {"getmetatable(ml.glob.set {}).__index = 1", "index a boolean value"},
    {"ml.null.x = 1", "index field 'null' (a userdata value)"},
    {"ml.kv.get('x')", "ml.kv.get needs needs = { \"kv\" } in plugin.lua"},
    {"ml.cache.set('x', 1)", "ml.cache.set needs needs = { \"cache\" } in plugin.lua"},
    {"ml.http.get('http://169.254.169.254/')",
     "ml.http.get needs http = { \"api.example.com\" } in plugin.lua"},
    {"ml.docs.get('x')", "ml.docs.get needs needs = { \"doc.read\" } in plugin.lua"},
    {"ml.sessions.revoke {}", "ml.sessions.revoke needs"},
    {"ml.crypto.random(0)", "1 to 65536 bytes"},
    {"ml.all { print }", "before_update cannot wait: ml.all"},
    {"ml.spawn(1)", "function expected"},
    {"ml.timer.every('soon', print)", "ml.timer.every: soon"},
    {"ml.timer.after(-1, print)", "ml.timer.after: -1"},
    {"ml.jobs.push('x')", "'x' is not among the jobs in plugin.lua"},
    {"ml.jason.encode(1)", "moonloom has no member 'jason', did you mean 'json'?"},
    /* views */
    {"u.author = 1", "a view is read-only"},
    {"u.doc.id = 'other'", "a view is read-only"},
    {"u.author.user = 'root'", "a view is read-only"},
    {"u.author.roles = { 'admin' }", "a view is read-only"},
    {"getmetatable(u).__index = 1", "index a boolean value"},
    {"getmetatable(u.doc).__index = 1", "index a boolean value"},
    {"for e in u:edits() do getmetatable(e).__index = 1 end", "index a boolean value"},
    {"setmetatable(u, {})", "table expected, got userdata"},
    {"rawget(u, 'doc')", "table expected, got userdata"},
    {"next(u)", "table expected, got userdata"},
    {"table.insert(u, 1)", "table expected, got userdata"},
    {"u.edits('x')", "belongs to another view"},
    {"u.edits(u.doc)", "belongs to another view"},
    {"u.edits(ml.null)", "belongs to another view"},
    {"u.edits(self)", "belongs to another view"},
    {"u.doc.text(u, 'body')", "belongs to another view"},
    {"u.doc.json(u.author, 'body')", "belongs to another view"},
    {"u.author.has_role(u, 'admin')", "belongs to another view"},
    {"u.doc:text('body').len(u.doc)", "belongs to another view"},
    {"local next_edit, e = u:edits() next_edit(u)", "belongs to another view"},
    {"local next_edit = u:edits() next_edit({})", "belongs to another view"},
    {"u.nothing()", "update has no such field: 'nothing'; it has amend, at, author, "},
    {"u[1] = 1", "a view is read-only"},
    {"u[{}]()", "update has no such field"},
    {"u:undo()", "belongs to another view"},
    {"u:undo(u, 'a', 'b')", "belongs to another view"},
    {"u:replace({}, 'x')", "belongs to another view"},
    {"for e in u:edits() do u.edits(e) end", "belongs to another view"},
    {"for e in u:edits() do u:undo(e, ('x'):rep(200)) end",
     "undo: the code must be UTF-8 text of 1 to 64 bytes"},
    {"u:label(('x'):rep(65), 1)", "a key has 1 to 64 bytes"},
    {"u:label('a', ('x'):rep(2000))", "at most 1024 bytes"},
    {"for i = 1, 99 do u:label(tostring(i), i) end", "at most 32 labels"},
    {"u:amend(1)", "function expected"},
    {"for i = 1, 9 do u:amend(function() end) end", "at most 8 times for one update"},
    {"u.member:close()", "member:close is not available in this version"},
    {"u.doc:transact(function() end)", "a decision amends or answers instead"},
    {"u.doc.transact(u, function() end)", "belongs to another view"},
    {"u.doc.map(u.doc, 'a').get(u.doc:array('a'), 'k')", "belongs to another view"},
    {"u.doc:map('a'):get('k')", "this document is not at hand"},
    {"u.doc:xml('a'):find('p')", "this document is not at hand"},
    {"u.doc:text('body'):len()", "this document is not at hand"},
    {"u:edits('evil')", "unknown edit kind 'evil'"},
    {"coroutine.wrap(function() getmetatable(u).x = 1 end)()", "index a boolean value"},
    /* the instance and its config */
    {"self.config = {}", "self (use self.state) is read-only"},
    {"self.evil = 1", "self (use self.state) is read-only"},
    {"self.before_update = nil", "self (use self.state) is read-only"},
    {"self.config.limit = 9", "self.config is read-only"},
    {"self.config.inner.limit = 9", "self.config.inner is read-only"},
    {"table.insert(self, 1)", "this table is read-only"},
    {"table.insert(self.config, 1)", "this table is read-only"},
    {"setmetatable(self, {})", "cannot change a protected metatable"},
    {"getmetatable(self).__index = 1", "index a boolean value"},
    {"getmetatable(self.config).__index = 1", "index a boolean value"},
    {"error(tostring(self.config.token))", "secret:***"},
    {"self.config.token:reveal()", "secret:reveal needs"},
    {"self.config.token.x = 1", "a secret is read-only"},
    {"getmetatable(self.config.token).__index = 1", "index a boolean value"},
    {"error(ml.json.encode(self.config.token .. ''))", "init.lua:2: {}"},
    {"error(tostring('Bearer ' .. self.config.token))", "secret:***"},
    {"error((self.config.token .. ''):sub(1, 2))", "sub"},
    {"(self.config.token .. ''):reveal()", "secret:reveal needs"},
    /* answers */
    {"setmetatable(ml.deny('a', 'b'), nil)", "cannot change a protected metatable"},
    {"getmetatable(ml.deny('a', 'b')).x = 1", "index a boolean value"},
    {"setmetatable({}, getmetatable(ml.deny('a', 'b')))", "nil or table expected"},
    {"return { code = 'a', reason = 'b' }", "must answer ml.deny or nil, not a table"},
    {"return ml.grant { write = true }", "must answer ml.deny or nil, not a table"},
    {"return u", "must answer ml.deny or nil, not a userdata"},
    {"return false", "must answer ml.deny or nil, not a boolean"},
    {"ml.deny('a b', 'c')", "a code is made of"},
    {"ml.deny('a', ('x'):rep(501))", "reason must be UTF-8 text of 1 to 500 bytes"},
    {"ml.deny('a', 'b\\255')", "reason must be UTF-8"},
    {"ml.deny('a', 'b', { mode = 'explode' })", "invalid option 'explode'"},
    {"ml.deny('a', 'b', { evil = 1 })", "unknown key 'evil'"},
    {"local d = ml.deny('a', 'b') d.code = nil return d", "a denial needs code and reason"},
    /* addresses */
    {"error(tostring({}))", ": table"},
    {"error(tostring(print))", ": function"},
    {"error(tostring(u))", ": view: update"},
    {"error(('%s'):format({}))", ": table"},
    {"string.format('%p', {})", "invalid option '%p'"},
    {"string.format('%-10p', print)", "invalid option '%p'"},
    {"error(setmetatable({}, { __tostring = function() while true do end end }))",
     "an error object of type table"},
    {"error(nil)", "an error object of type nil"},
    /* what would be long or large inside C */
    {"('x'):rep(1e9)", "resulting string too large"},
    {"('x'):rep(1e300)", "resulting string too large"},
    {"('x'):rep(2, ('y'):rep(16e6) .. ('z'):rep(1e6))", "memory"},
    {"string.format('%999999d', 1)", "invalid"},
    {"string.format(('%d'):rep(3000), 1)", "format too long"},
    {"unpack({}, 1, 1e8)", "too many results"},
    {"string.byte(('x'):rep(1e6), 1, -1)", "string slice too long"},
    {"local t = {} for i = 29, 0, -1 do t[2 ^ i] = 1 end table.insert(t, 1, 1)", "table too long"},
    {"local t = {} for i = 29, 0, -1 do t[2 ^ i] = 1 end table.remove(t, 1)", "table too long"},
    {"local t = {} for i = 29, 0, -1 do t[2 ^ i] = 1 end table.sort(t)", "table too long"},
    {"table.concat({}, '', 1, 2 ^ 40)", "table too long"},
    {"table.concat({}, 'x', 1, 10)", "invalid value (nil) at index 1"},
    {"table.insert({}, 2 ^ 40, 1)", "position out of bounds"},
    {"table.insert({}, 0 / 0, 1)", "position out of bounds"},
    {"(('a'):rep(24)):find(('a?'):rep(24) .. ('a'):rep(24) .. 'b')", "pattern too costly"},
    {"(('a'):rep(3000)):find('.-.-.-.-b')", "pattern too costly"},
    {"(('a'):rep(30000)):match('(.-)%1b')", "pattern too costly"},
    {"('x'):find(('x'):rep(5000) .. '*')", "pattern too long"},
    {"('x'):find(('('):rep(40))", "too many captures"},
    {"('x'):find('[')", "missing ']'"},
    {"('x'):find('%')", "ends with '%'"},
    {"('x'):find('%b')", "missing arguments to '%b'"},
    {"('x'):find('%f')", "missing '[' after '%f'"},
    {"('x'):find('(')", "unfinished capture"},
    {"('x'):find(')')", "invalid pattern capture"},
    {"('x'):find('%1')", "invalid capture index"},
    {"('x'):find('()%1')", "invalid capture index"},
    {"('x'):gsub('x', '%2')", "invalid capture index"},
    {"('x'):gsub('x', function() return {} end)", "invalid replacement value (a table)"},
    {"local t = {} for i = 1, 200 do t = { t } end ml.json.encode(t)", "nested too deeply"},
    {"local t = {} t.t = t ml.json.encode(t)", "nested too deeply"},
    {"ml.json.encode(print)", "a function has no JSON"},
    {"ml.json.encode(0 / 0)", "not finite"},
    {"ml.json.encode({ 1, x = 2 })", "both a list and an object"},
    {"ml.json.encode(u)", "a userdata has no JSON"},
    {"local _, kind, why = ml.json.decode(('['):rep(1000)) error(why)", "nested too deeply"},
    {"local function f() return f() + 1 end f()", "stack overflow"},
    {"local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x.y", "loop in gettable"},
    {"coroutine.yield()", "attempt to yield"},
    /* metatables of basic types: nobody may give one to all numbers, functions, nils */
    {"getmetatable(1).__index = {}", "index a nil value"},
    {"getmetatable(nil).__index = {}", "index a nil value"},
    {"getmetatable(true).__index = {}", "index a nil value"},
    {"getmetatable(print).__index = {}", "index a nil value"},
    {"getmetatable(coroutine.create(print)).__index = {}", "index a nil value"},
    {"setmetatable(true, { __index = {} })", "table expected, got boolean"},
    {"setmetatable(coroutine.create(print), {})", "table expected, got thread"},
    {"getmetatable(ml.null).__index = {}", "index a"},
    {"getmetatable(u.author).__newindex = print", "index a boolean value"},
    {"getmetatable(ml).__metatable = nil", "index a boolean value"},
    {"setmetatable({}, { __metatable = false }).x.y = 1", "index field 'x' (a nil value)"},
    {"setmetatable({}, setmetatable({ __gc = print }, {}))", "'__gc' is not available"},
    {"pcall(setmetatable, string, {}) string.evil = 1", "string is read-only"},
    {"xpcall(function() getmetatable('').x = 1 end, error) string.x = 1", "string is read-only"},
    /* comparators that lie, raise, yield or change what is sorted */
    {"table.sort({ 3, 1, 2 }, function() error('out') end)", "out"},
    {"table.sort({ 3, 1, 2 }, coroutine.yield)", "attempt to yield"},
    {"table.sort({ 3, 1, 2 }, 1)", "function expected"},
    {"table.sort({ 3, 'a', {} })", "attempt to compare"},
    {"table.sort({ 1, 2 }, function() getmetatable(u).x = 1 end)", "index a boolean value"},
    /* errors and coroutines */
    {"pcall(error, u) u.author = 1", "a view is read-only"},
    {"coroutine.wrap(function() evil = 1 end)()", "global write: 'evil'"},
    {"coroutine.wrap(function() pcall(coroutine.yield) u.x = 1 end)() u.y = 1",
     "a view is read-only"},
    {"local co = coroutine.wrap(function() end) co() co()", "cannot resume dead coroutine"},
    {"coroutine.resume(1)", "coroutine expected"},
    {"('x'):gsub('.', coroutine.yield)", "attempt to yield"},
    {"('x'):gsub('.', setmetatable({}, { __index = function() evil = 1 end }))",
     "global write: 'evil'"},
};

static void hooks_cannot_get_out(void **state)
{
    struct world w;
    size_t n = sizeof(in_a_hook) / sizeof(*in_a_hook), escaped = 0;

    (void)state;
    world_init(&w);
    w.options.limits.hook_ms = 2000; /* the time limit is another test */
    for (size_t i = 0; i < n; i++) {
        char init[2048];
        bool stopped;

        snprintf(init, sizeof(init),
                 "local ml = require 'moonloom'\n"
                 "return { before_update = function(self, u) do %s end end }",
                 in_a_hook[i].code);
        world_plugin(&w, "p",
                     "phase = 'validate', hooks = { before_update = {} }, config = { fields = {\n"
                     "{ 'limit', type = 'integer', default = 3 }, { 'token', type = 'secret', "
                     "default = 'hush' },\n"
                     "{ 'inner', type = 'record', default = {}, fields = { { 'limit', type = "
                     "'integer', default = 3 } } } } }",
                     init);
        world_start(&w);
        EXPECT(&w, w.err == ML_OK);
        stopped = world_insert(&w, "body", "x") == ML_ESCRIPT && strstr(w.log, in_a_hook[i].why);
        if (!stopped)
            fprintf(stderr, "%s\n  expected: %s\n  log: %s\n", in_a_hook[i].code, in_a_hook[i].why,
                    w.log);
        escaped += !stopped;
        EXPECT(&w, !strstr(w.log, "hush"));
        world_stop(&w);
    }
    print_message("%zu attempts\n", n);
    assert_int_equal(escaped, 0);
    world_release(&w);
}

/* Whole files. */
static const struct escape as_a_chunk[] = {
    {"\x1bLJ\x02\x02", "this is bytecode"},
    {"\x1bLua", "this is bytecode"},
    {"local x = 1LL return {}", "64-bit and imaginary number literals"},
    {"local x = 0x10ULL return {}", "64-bit and imaginary number literals"},
    {"local x = 3i return {}", "64-bit and imaginary number literals"},
    {"local x = 1e3i return {}", "64-bit and imaginary number literals"},
    {"return { x = '\xff' }", "not UTF-8"},
    {"return 1", "must return the plugin table, not a number"},
    {"return nil", "must return the plugin table, not a nil"},
    {"return {", "unexpected symbol"},
    {"evil = 1 return {}", "global write: 'evil'"},
    {"return { joined = function() end }",
     "init.lua has joined, but plugin.lua does not declare it"},
    {"return { tasks = { x = function() end } }",
     "init.lua has tasks[\"x\"], but plugin.lua does not declare it"},
    {"return { setup = function(self) self.config = 1 end }", "is read-only"},
    {"local a = require 'p.lib.a' return {}", "module 'p.lib.a' requires itself"},
    {"local a = require 'p.lib.b' return {}", "module 'p.lib.b' not found"},
    {"local a = require 'p.lib.code' return {}", "this is bytecode"},
};

static void files_cannot_get_out(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(as_a_chunk) / sizeof(*as_a_chunk); i++) {
        world_write(&w, "p/lib/a.lua", "return require 'p.lib.a'");
        world_write(&w, "p/lib/code.lua", "\x1bLJ\x02");
        world_plugin(&w, "p", "hooks = {}", as_a_chunk[i].code);
        world_start(&w);
        if (w.err != ML_ESCRIPT || !strstr(w.diag.text, as_a_chunk[i].why))
            fprintf(stderr, "%s\n  expected: %s\n", as_a_chunk[i].code, as_a_chunk[i].why);
        EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, as_a_chunk[i].why));
        world_stop(&w);
    }
    world_release(&w);
}

/* What looks like a refused literal inside text and comments is none. */
static void harmless_text_is_not_refused(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_write(&w, "p/plugin.lua",
                "-- function 1LL\n--[==[ function ]] 2ULL ]==]\n"
                "return { name = \"p\", version = \"1.0.0\", api = 1, hooks = {},\n"
                "  summary = 'function \\' 1LL' .. [[ function ]] .. \"3i\" }");
    world_write(&w, "p/init.lua",
                "-- 1LL\nlocal x, i1 = 0x1F + 1e-3 + 0x1p4 + .5, 3 return { x = x, y = '1LL', z = "
                "[[2ULL]] }");
    world_enable(&w, "p", NULL);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    world_release(&w);
}

static void plugins_do_not_see_each_other(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_plugin(
        &w, "a", "phase = 'auth', hooks = { before_update = {} }",
        "local seen\n"
        "return { before_update = function(self, u) self.state.secret = 'alpha' seen = u end }");
    world_plugin(&w, "b", "phase = 'validate', hooks = { before_update = {} }",
                 "local ml = require 'moonloom'\n"
                 "return { before_update = function(self, u)\n"
                 "  assert(self.state.secret == nil and self.name == 'b')\n"
                 "  assert(not pcall(require, 'a.lib.x'))\n"
                 "  ml.log.info('alone') end }");
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    EXPECT(&w, world_insert(&w, "body", "x") == ML_OK);
    EXPECT(&w, strstr(w.log, "b: alone"));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_cannot_get_out),
        cmocka_unit_test(files_cannot_get_out),
        cmocka_unit_test(harmless_text_is_not_refused),
        cmocka_unit_test(plugins_do_not_see_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
