/* SPDX-License-Identifier: MIT */
/* What a manifest may say; every error names the field, the value and the nearest known word. */
#include "world.h"

#include <string.h>

struct bad {
    const char *manifest, *why;
};

#define HEAD "name = 'p', version = '1.0.0', api = 1, "

static const struct bad bad[] = {
    {"", "plugin.lua: must return a table, not a nil"},
    {"return 7", "must return a table, not a number"},
    {"return {", "unexpected symbol near '<eof>'"},
    {"return { x = function() end }",
     "p/plugin.lua:1: a manifest is data, it cannot define functions"},
    {"return { x = print('x') }", "attempt to call global 'print' (a nil value)"},
    {"return { x = require 'moonloom' }", "attempt to call global 'require' (a nil value)"},
    {"for i = 1, 1e9 do end return {}", "too many instructions"},
    {"return { x = ('x'):rep(1e9) }", "resulting string too large"},
    {"return { version = '1.0.0', api = 1 }", "name: must be given"},
    {"return { name = 'p', api = 1 }", "version: must be given"},
    {"return { name = 'p', version = '1.0.0' }", "api: must be given"},
    {"return { name = 'q', version = '1.0.0', api = 1 }",
     "name: 'q' must equal the folder name 'p'"},
    {"return { name = 'P', version = '1.0.0', api = 1 }", "name: must be a-z, 0-9 and '-'"},
    {"return { name = 'p', version = '1.0', api = 1 }", "version: must have three parts"},
    {"return { name = 'p', version = '1.0.0', api = '1' }", "api: must be a whole number"},
    {"return { name = 'p', version = '1.0.0', api = 2 }",
     "api: level 2 is newer than this server, which speaks 1"},
    {"return { " HEAD "verson = 1 }", "plugin.lua: unknown key 'verson'; did you mean 'version'?"},
    {"return { " HEAD "hook = {} }", "unknown key 'hook'; did you mean 'hooks'?"},
    {"return { " HEAD "zzzzzz = 1 }", "unknown key 'zzzzzz'"},
    {"return { " HEAD "{} }", "unknown key '1'"},
    {"return { " HEAD "summary = 7 }", "summary: must be text"},
    {"return { " HEAD "authors = 7 }", "authors: must be a list of text"},
    {"return { " HEAD "tier = 'root' }", "tier: must be \"org\" or \"operator\""},
    {"return { " HEAD "jit = 1 }", "jit: must be true or false"},
    {"return { " HEAD "jit = true }", "jit: compiled plugins are not available in this version"},
    {"return { " HEAD "phase = 'validat' }",
     "phase: unknown phase 'validat'; did you mean 'validate'?"},
    {"return { " HEAD "order = { befor = {} } }",
     "order: unknown key 'befor'; did you mean 'before'?"},
    {"return { " HEAD "order = { after = 'x' } }", "order.after: must be a list of text"},
    {"return { " HEAD "hooks = 'x' }", "hooks: must be a table"},
    {"return { " HEAD "hooks = { before_updat = {} } }",
     "hooks: unknown hook 'before_updat'; did you mean 'before_update'?"},
    {"return { " HEAD "hooks = { authenicate = {} } }",
     "unknown hook 'authenicate'; did you mean 'authenticate'?"},
    {"return { " HEAD "hooks = { rpc = { x = {} } } }",
     "hooks.rpc[\"x\"]: must be dotted, as \"p.lock\""},
    {"return { " HEAD "hooks = { rpc = { ['q.lock'] = {} } } }",
     "hooks.rpc[\"q.lock\"]: must begin with \"p.\""},
    {"return { " HEAD "hooks = { routes = { ['/x'] = {} } } }",
     "hooks.routes[\"/x\"]: must be a method and a path"},
    {"return { " HEAD "hooks = { jobs = { send = { retrys = 3 } } } }",
     "hooks.jobs[\"send\"].retrys: unknown option; did you mean 'retries'?"},
    {"return { " HEAD "hooks = { jobs = { send = { backoff = '5m..2s' } } } }",
     "hooks.jobs[\"send\"].backoff: must be text such as \"2s..10m\""},
    {"return { " HEAD "hooks = { cron = { night = {} } } }",
     "hooks.cron[\"night\"]: needs one of every and at"},
    {"return { " HEAD "hooks = { cron = { night = { at = '61 * * * *' } } } }",
     "hooks.cron[\"night\"].at: minute: '61' cannot be read"},
    {"return { " HEAD "hooks = { before_update = 7 } }",
     "hooks.before_update: must be a table of options, {} or true"},
    {"return { " HEAD "hooks = { before_update = { kind = {} } } }",
     "hooks.before_update: unknown option 'kind'; did you mean 'kinds'?"},
    {"return { " HEAD "hooks = { before_update = { kinds = { 'txt' } } } }",
     "unknown edit kind 'txt'; did you mean 'text'?"},
    {"return { " HEAD "hooks = { before_update = { kinds = { 'text.insrt' } } } }",
     "did you mean 'text.insert'?"},
    {"return { " HEAD "hooks = { before_update = { origins = { 'clinet' } } } }",
     "unknown origin 'clinet'; did you mean 'client'?"},
    {"return { " HEAD "hooks = { before_update = { min_bytes = 'big' } } }",
     "min_bytes: is not a size"},
    {"return { " HEAD "hooks = { before_update = { paths = 'x' } } }",
     "paths: must be a list of text"},
    {"return { " HEAD "hooks = { before_update = { strict = true } } }",
     "strict: known, but not available in this version"},
    {"return { " HEAD "hooks = { before_update = { phase = 'x' } } }",
     "hooks.before_update.phase: unknown phase 'x'"},
    {"return { " HEAD "hooks = { before_update = { on_error = 'hodl' } } }",
     "unknown failure mode 'hodl'; did you mean 'hold'?"},
    {"return { " HEAD "phase = 'auth', hooks = { before_update = { on_error = 'skip' } } }",
     "'skip' is laxer than 'hold'; only the operator may choose that"},
    {"return { " HEAD "hooks = { authorize = { on_error = 'skip' } } }",
     "'skip' is laxer than 'refuse'"},
    {"return { " HEAD "hooks = { after_update = { durable = 1 } } }",
     "durable: must be true or false"},
    {"return { " HEAD "hooks = { after_update = { when = { 'pahts' } } }, config = { version = 1, "
     "fields = { { 'paths', type = 'string' } } } }",
     "hooks.after_update.when: unknown setting 'pahts'; did you mean 'paths'?"},
    {"return { " HEAD "hooks = { after_update = { when = 1 } } }",
     "hooks.after_update.when: must be a list of text"},
    {"return { " HEAD "needs = { 'kvv' } }", "needs: unknown capability 'kvv'; did you mean 'kv'?"},
    {"return { " HEAD "needs = { 'http' } }", "needs.http: must list hosts"},
    {"return { " HEAD "needs = { http = 'x' } }", "needs.http: must be a list of text"},
    {"return { " HEAD "budget = { sinc = 1 } }",
     "budget: unknown key 'sinc'; did you mean 'sync'?"},
    {"return { " HEAD "budget = { memory = 'x' } }", "budget.memory: is not a size"},
    {"return { " HEAD "metrics = { X = {} } }", "metrics.X: a metric name is made of"},
    {"return { " HEAD "metrics = { x = { type = 'count' } } }",
     "metrics.x.type: must be \"counter\""},
    {"return { " HEAD "rpc_prefix = 'A' }", "rpc_prefix: must be"},
    {"return { " HEAD "requires = { moonlom = '1' } }",
     "requires: unknown key 'moonlom'; did you mean 'moonloom'?"},
    {"return { " HEAD "requires = { moonloom = '>=99.0' } }",
     "requires.moonloom: needs >=99.0, this is "},
    {"return { " HEAD "requires = { moonloom = 'new' } }", "requires.moonloom: is not a version"},
    {"return { " HEAD "requires = { plugins = { other = '>=1.0' } } }",
     "p requires the plugin other, which is not switched on"},
    {"return { " HEAD "config = {} }", "config.fields: must be given"},
    {"return { " HEAD "config = { feilds = {} } }",
     "config: unknown key 'feilds'; did you mean 'fields'?"},
    {"return { " HEAD "config = { fields = { { type = 'string' } } } }",
     "config.fields[1]: must begin with the name of the field"},
    {"return { " HEAD
     "config = { fields = { { 'a', type = 'string' }, { 'a', type = 'string' } } } }",
     "config.a: is there twice"},
    {"return { " HEAD "config = { fields = { { 'a' } } } }", "config.a.type: must be given"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'strng' } } } }",
     "config.a.type: unknown type \"strng\"; did you mean \"string\"?"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'integer', mni = 1 } } } }",
     "config.a.mni: unknown key for type integer; did you mean \"min\"?"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'string', min = 1 } } } }",
     "config.a.min: unknown key for type string"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'enum' } } } }",
     "config.a.of: must list the words"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'integer', default = 'x' } } } }",
     "config.a.default = \"x\": must be a number"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'integer', min = 5, default = 1 } } } }",
     "config.a.default = 1: must be at least 5"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'duration', min = 'soon' } } } }",
     "config.a.min: \"soon\" is not a duration"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'string', pattern = '[' } } } }",
     "config.a.pattern: is not a Lua pattern"},
    {"return { " HEAD "config = { fields = { { 'a', type = 'array', items = { type = 'x' } } } } }",
     "config.a.items.type: unknown type \"x\""},
    {"return { " HEAD
     "config = { fields = { { 'a', type = 'record', fields = { { 'b', type = 'q' } } } } } }",
     "config.a.b.type: unknown type"},
    {"return { " HEAD
     "config = { fields = { { 'a', type = 'string' } }, rules = { { 'oneof', 'a', 'b' } } } }",
     "config.rules[1]: unknown rule \"oneof\"; did you mean \"one_of\"?"},
    {"return { " HEAD "config = { fields = { { 'key', type = 'string' } }, rules = { { 'one_of', "
     "'key', 'kee' } } } }",
     "config.rules[1]: names an unknown field \"kee\"; did you mean \"key\"?"},
    {"return { " HEAD
     "config = { fields = { { 'a', type = 'string' } }, rules = { { 'together', 'a' } } } }",
     "config.rules[1]: must name at least two fields"},
};

static void bad_manifests_are_refused_with_a_reason(void **state)
{
    struct world w;
    size_t wrong = 0;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        world_write(&w, "p/plugin.lua", bad[i].manifest);
        world_write(&w, "p/init.lua", "return {}");
        world_enable(&w, "p", NULL);
        world_start(&w);
        if (w.err != ML_ESCRIPT || !strstr(w.diag.text, bad[i].why)) {
            fprintf(stderr, "%s\n  expected: %s\n  diag:     %s\n", bad[i].manifest, bad[i].why,
                    w.diag.text);
            wrong++;
        }
        world_stop(&w);
    }
    assert_int_equal(wrong, 0);
    world_release(&w);
}

static void a_full_manifest_is_accepted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_plugin(&w, "other", "hooks = {}", "return {}");
    world_plugin(
        &w, "p",
        "tier = 'org', jit = false, phase = 'limit', order = { after = { 'other', 'unknown' } },\n"
        "summary = 'x', license = 'MIT', authors = { 'A', 'B' }, homepage = "
        "'https://example.com',\n"
        "needs = { 'kv', http = { 'api.example.com' } }, budget = { sync = '5ms', memory = '8MiB' "
        "},\n"
        "metrics = { hits = { type = 'counter', help = 'x', labels = { kind = { 'a', 'b' } } } },\n"
        "rpc_prefix = 'pp', requires = { moonloom = '>=0.1', plugins = { other = '>=1.0' }, "
        "conflicts = { 'none' } },\n"
        "hooks = { authenticate = {}, authorize = true, before_update = { kinds = { 'text', "
        "'map.set' },\n"
        "  paths = { 'a/**' }, min_bytes = '1KiB', origins = { 'client', 'sync' }, on_error = "
        "'hold', phase = 'policy' } },\n"
        "config = { version = 2, fields = { { 'a', type = 'string', default = 'x', doc = 'x' } } }",
        "local P = {} function P:authenticate() end function P:authorize() end function "
        "P:before_update() end return P");
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    world_release(&w);
}

static void manifest_and_code_must_agree_both_ways(void **state)
{
    static const struct {
        const char *hooks, *init, *why;
    } cases[] = {
        {"hooks = { authorize = {} }", "return {}",
         "declares the hook authorize, but init.lua has no function"},
        {"hooks = { authorize = {} }", "return { authorize = 7 }",
         "declares the hook authorize, but init.lua has no function"},
        {"hooks = {}", "return { authorize = function() end }",
         "init.lua has authorize, but plugin.lua does not declare it"},
        {"hooks = {}", "return { on_paths = function() end, helper = function() end }", NULL},
    };
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        world_plugin(&w, "p", cases[i].hooks, cases[i].init);
        world_start(&w);
        if (cases[i].why)
            EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, cases[i].why));
        else
            EXPECT(&w, w.err == ML_OK);
        world_stop(&w);
    }
    world_release(&w);
}

static void the_short_form_stands_in_the_code(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_write(
        &w, "p/init.lua",
        "local ml = require 'moonloom' local P = {}\n"
        "P.manifest = { name = 'p', version = '1.0.0', api = 1, hooks = { before_update = {} } }\n"
        "function P:before_update() return ml.deny('no', 'No.') end return P");
    world_enable(&w, "p", NULL);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    EXPECT(&w, world_insert(&w, "body", "x") == ML_EDENIED);
    world_stop(&w);

    world_write(&w, "p/init.lua", "return {}");
    world_enable(&w, "p", NULL);
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "neither plugin.lua nor a manifest"));
    world_release(&w);
}

static void order_cycles_are_shown(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_plugin(&w, "a", "order = { after = { 'b' } }, hooks = { authorize = {} }",
                 "return { authorize = function() end }");
    world_plugin(&w, "b", "order = { after = { 'c' } }, hooks = { authorize = {} }",
                 "return { authorize = function() end }");
    world_plugin(&w, "c", "order = { after = { 'a' } }, hooks = { authorize = {} }",
                 "return { authorize = function() end }");
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "a -> b -> c -> a"));
    world_release(&w);
}

static void names_and_folders(void **state)
{
    static const struct {
        const char *name, *why;
    } cases[] = {
        {"../etc", "is not a plugin name"},
        {"Nope", "is not a plugin name"},
        {"", "is not a plugin name"},
        {"missing", "missing: there is no init.lua"},
    };
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        world_enable(&w, cases[i].name, NULL);
        world_start(&w);
        EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, cases[i].why));
        world_stop(&w);
    }
    world_enable(&w, "hello", NULL);
    world_enable(&w, "hello", NULL);
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "hello is there twice"));
    world_release(&w);
}

/* A hook that says `when` costs nothing where none of these settings is set. */
static void a_hook_is_there_when_a_setting_is(void **state)
{
    static const struct {
        const char *config;
        bool is_there;
    } cases[] = {
        {NULL, false},
        {"{}", false},
        {"{\"places\":[]}", false},
        {"{\"places\":[\"a\"]}", true},
        {"{\"name\":\"\"}", false},
        {"{\"name\":\"x\"}", true},
        {"{\"count\":0}", false},
        {"{\"count\":2}", true},
        {"{\"other\":true}", false},
    };
    struct world w;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        world_init(&w);
        world_write(&w, "p/plugin.lua",
                    "return { name = 'p', version = '1.0.0', api = 1, hooks = { before_update = { "
                    "when = { 'places', 'name', 'count' } }, after_update = { when = 'on' }, "
                    "keep_document = {} }, config = { version = 1, fields = {"
                    "{ 'places', type = 'array', items = { type = 'string' }, default = {} },"
                    "{ 'name', type = 'string', default = '' },"
                    "{ 'count', type = 'integer', default = 0 },"
                    "{ 'on', type = 'boolean', default = true },"
                    "{ 'other', type = 'boolean', default = false } } } }");
        world_write(&w, "p/init.lua",
                    "local function no() end return { before_update = no, after_update = no, "
                    "keep_document = no }");
        world_enable(&w, "p", cases[i].config);
        world_start(&w);
        EXPECT(&w, w.err == ML_OK);
        assert_int_equal(ml_script_hooks(w.script),
                         ML_HOOK_AFTER_UPDATE | ML_HOOK_KEEP_DOCUMENT |
                             (cases[i].is_there ? ML_HOOK_BEFORE_UPDATE : 0));
        world_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_manifests_are_refused_with_a_reason),
        cmocka_unit_test(a_full_manifest_is_accepted),
        cmocka_unit_test(manifest_and_code_must_agree_both_ways),
        cmocka_unit_test(the_short_form_stands_in_the_code),
        cmocka_unit_test(order_cycles_are_shown),
        cmocka_unit_test(names_and_folders),
        cmocka_unit_test(a_hook_is_there_when_a_setting_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
