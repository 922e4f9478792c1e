/* SPDX-License-Identifier: MIT */
/* Every type of the config language with good and bad values; rules across fields; what Lua is
 * given. */
#include "world.h"

#include <string.h>

struct value {
    const char *field; /* without its name */
    const char *given; /* JSON, NULL: not given */
    const char *lua;   /* an expression over `v` that must hold, or NULL: refused */
    const char *why;   /* of a refusal */
};

static const struct value values[] = {
    {"type = 'string'", "\"x\"", "v == 'x'", NULL},
    {"type = 'string'", "\"h\\u00e4 \\ud83d\\ude42\"", "v == 'h\\195\\164 \\240\\159\\153\\130'",
     NULL},
    {"type = 'string', default = 'd'", NULL, "v == 'd'", NULL},
    {"type = 'string', default = 'd'", "null", "v == 'd'", NULL},
    {"type = 'string'", NULL, "v == nil", NULL},
    {"type = 'string'", "7", NULL, "f = 7: must be text, not a number"},
    {"type = 'string', min_len = 3", "\"ab\"", NULL, "must have at least 3 bytes"},
    {"type = 'string', max_len = 3", "\"abcd\"", NULL, "must have at most 3 bytes"},
    {"type = 'string', pattern = '^%d+$'", "\"12\"", "v == '12'", NULL},
    {"type = 'string', pattern = '^%d+$'", "\"1x\"", NULL, "must match the pattern"},
    {"type = 'string', required = true", NULL, NULL, "f: must be given"},
    {"type = 'string', required = true, example = 'abc'", NULL, NULL, "for example \"abc\""},
    {"type = 'integer'", "7", "v == 7", NULL},
    {"type = 'integer'", "7.5", NULL, "f = 7.5: must be a whole number"},
    {"type = 'integer'", "\"7\"", NULL, "write it without quotes"},
    {"type = 'integer', min = 1, max = 9", "0", NULL, "f = 0: must be at least 1"},
    {"type = 'integer', min = 1, max = 9", "10", NULL, "f = 10: must be at most 9"},
    {"type = 'number'", "-2.5e3", "v == -2500", NULL},
    {"type = 'number'", "true", NULL, "must be a number, not a boolean"},
    {"type = 'boolean', default = true", "false", "v == false", NULL},
    {"type = 'boolean'", "\"yes\"", NULL, "must be true or false"},
    {"type = 'enum', of = { 'lax', 'strict' }", "\"lax\"", "v == 'lax'", NULL},
    {"type = 'enum', of = { 'lax', 'strict' }", "\"strct\"", NULL,
     "must be one of \"lax\", \"strict\"; did you mean \"strict\"?"},
    {"type = 'duration'", "\"90s\"", "v == 90", NULL},
    {"type = 'duration'", "\"1h30m\"", "v == 5400", NULL},
    {"type = 'duration'", "\"250ms\"", "v == 0.25", NULL},
    {"type = 'duration'", "\"7d\"", "v == 604800", NULL},
    {"type = 'duration'", "15", "v == 15", NULL},
    {"type = 'duration', default = '15m'", NULL, "v == 900", NULL},
    {"type = 'duration'", "\"soon\"", NULL, "f = \"soon\": is not a duration; write \"90s\""},
    {"type = 'duration'", "\"5 parsecs\"", NULL, "is not a duration"},
    {"type = 'duration'", "-5", NULL, "is not a duration"},
    {"type = 'duration', min = '1m'", "\"5s\"", NULL, "must be at least 1m"},
    {"type = 'size'", "\"64KiB\"", "v == 65536", NULL},
    {"type = 'size'", "\"2MB\"", "v == 2000000", NULL},
    {"type = 'size', max = '1MiB'", "\"1GiB\"", NULL, "must be at most 1MiB"},
    {"type = 'size'", "\"64kilos\"", NULL, "is not a size"},
    {"type = 'rate'", "\"30/s\"", "v.n == 30 and v.per == 1", NULL},
    {"type = 'rate'", "\"600/m\"", "v.n == 600 and v.per == 60", NULL},
    {"type = 'rate'", "\"2GiB/d\"", "v.n == 2147483648 and v.per == 86400", NULL},
    {"type = 'rate'", "\"30\"", NULL, "is not a rate; write \"30/s\""},
    {"type = 'url'", "\"https://id.example.com/x?y=1\"", "v == 'https://id.example.com/x?y=1'",
     NULL},
    {"type = 'url'", "\"https://[::1]:8080/\"", "v", NULL},
    {"type = 'url'", "\"example.com\"", NULL, "is not a URL"},
    {"type = 'url', schemes = { 'https' }", "\"http://example.com\"", NULL,
     "must begin with \"https\""},
    {"type = 'url'", "\"https://u:p@example.com\"", NULL, "must not carry a user or password"},
    {"type = 'url'", "\"https://exa mple.com\"", NULL, "is not a URL"},
    {"type = 'host'", "\"docs.example.com\"", "v == 'docs.example.com'", NULL},
    {"type = 'host'", "\"10.0.0.1\"", "v == '10.0.0.1'", NULL},
    {"type = 'host'", "\"10.0.0.300\"", NULL, "is not a host name"},
    {"type = 'host'", "\"-x.com\"", NULL, "is not a host name"},
    {"type = 'cidr'", "\"10.0.0.0/8\"", "v == '10.0.0.0/8'", NULL},
    {"type = 'cidr'", "\"2001:db8::/32\"", "v", NULL},
    {"type = 'cidr'", "\"10.0.0.0/33\"", NULL, "is not an address range"},
    {"type = 'cidr'", "\"2001:db8::1::/32\"", NULL, "is not an address range"},
    {"type = 'email'", "\"ana@example.com\"", "v", NULL},
    {"type = 'email'", "\"ana@\"", NULL, "is not a mail address"},
    {"type = 'role'", "\"org.admin\"", "v == 'org.admin'", NULL},
    {"type = 'role'", "\"org admin\"", NULL, "is not a role"},
    {"type = 'glob'", "\"boards/**\"", "v == 'boards/**'", NULL},
    {"type = 'glob'", "\"/boards\"", NULL, "is not a pattern of document ids"},
    {"type = 'path'", "\"meta/*\"", "v == 'meta/*'", NULL},
    {"type = 'path'", "\"\"", NULL, "is not a path pattern"},
    {"type = 'regex'", "\"^[a-z]+(x|y)$\"", "v", NULL},
    {"type = 'regex'", "\"(a)\\\\1\"", NULL, "back-references are not part of the dialect"},
    {"type = 'regex'", "\"a(?=b)\"", NULL, "look-around is not part of the dialect"},
    {"type = 'regex'", "\"a**\"", NULL, "is not a regular expression of ml.re: nothing to repeat"},
    {"type = 'regex'", "\"\\\\q\"", NULL, "is not a regular expression of ml.re: unknown escape"},
    {"type = 'regex'", "\"[a\"", NULL, "has a '[' that is not closed"},
    {"type = 'regex'", "\"(a\"", NULL, "has a '(' that is not closed"},
    {"type = 'cron'", "\"0 3 * * 1-5\"", "v", NULL},
    {"type = 'cron'", "\"*/15 * 1,15 jan-mar mon\"", "v", NULL},
    {"type = 'cron'", "\"0 3 * *\"", NULL, "must have five fields"},
    {"type = 'cron'", "\"0 25 * * *\"", NULL, "field \"25\" (hour) must be within 0 to 23"},
    {"type = 'secret'", "\"hush\"", "tostring(v) == 'secret:***' and v ~= 'hush'", NULL},
    {"type = 'secret'", "\"hush\"",
     "tostring('Bearer ' .. v) == 'secret:***' and tostring(v .. 'x' .. v) == 'secret:***' and "
     "not pcall(function() return v .. {} end)",
     NULL},
    {"type = 'secret'", "\"secret://missing\"", NULL,
     "f = ***: names a secret that is not there: missing"},
    {"type = 'secret'", "\"\"", NULL, "f = ***: must not be empty"},
    {"type = 'string', secret = true", "\"hush\"", "tostring(v) == 'secret:***'", NULL},
    {"type = 'integer', secret = true", "\"hush\"", NULL, "f = ***: must be a number"},
    {"type = 'array', items = { type = 'integer' }", "[1, 2, 3]", "#v == 3 and v[3] == 3", NULL},
    {"type = 'array'", "[]", "#v == 0", NULL},
    {"type = 'array', items = { type = 'duration' }", "[\"1m\", \"x\"]", NULL,
     "f[2] = \"x\": is not a duration"},
    {"type = 'array', min_items = 2", "[\"a\"]", NULL, "must have at least 2 entries"},
    {"type = 'array', max_items = 1", "[\"a\", \"b\"]", NULL, "must have at most 1 entries"},
    {"type = 'array', unique = true", "[\"a\", \"b\", \"a\"]", NULL, "entry 3 repeats entry 1"},
    {"type = 'array'", "{\"a\": 1}", NULL, "must be a list"},
    {"type = 'map', values = { type = 'integer' }", "{\"a\": 1}", "v.a == 1", NULL},
    {"type = 'map', values = { type = 'integer' }", "{\"a\": \"x\"}", NULL,
     "f.a = \"x\": must be a number"},
    {"type = 'map', keys = { type = 'role' }", "{\"a b\": \"x\"}", NULL, "is not a role"},
    {"type = 'record', fields = { { 'g', type = 'integer', default = 4 } }", "{}", "v.g == 4",
     NULL},
    {"type = 'record', fields = { { 'gap', type = 'integer' } }", "{\"gpa\": 1}", NULL,
     "f.gpa: unknown field; did you mean \"gap\"?"},
    {"type = 'record', fields = { { 'g', type = 'integer', min = 1 } }", "{\"g\": 0}", NULL,
     "f.g = 0: must be at least 1"},
    {"type = 'record', fields = { { 'a', type = 'string' }, { 'b', type = 'string' } }, rules = { "
     "{ 'one_of', 'a', 'b' } }",
     "{}", NULL, "f: exactly one of \"a\", \"b\" must be given"},
    {"type = 'any_of', of = { { type = 'integer' }, { type = 'duration' } }", "\"5m\"", "v == 300",
     NULL},
    {"type = 'any_of', of = { { type = 'integer' }, { type = 'boolean' } }", "\"x\"", NULL,
     "must be one of these: integer, boolean"},
    /* the file itself */
    {"type = 'string'", "\"x\", \"g\": 1", NULL, "g: unknown field"},
    {"type = 'string'", "\"x\" oops", NULL, "JSON: ',' or '}' expected at byte"},
    {"type = 'string'", "\"\\ud83d\"", NULL, "JSON: half a surrogate pair"},
    {"type = 'number'", "01", NULL, "JSON: unexpected character"},
};

static void start_with(struct world *w, const char *schema, const char *lua, const char *config)
{
    char manifest[2048], init[1024];

    snprintf(manifest, sizeof(manifest), "hooks = { snapshot_policy = {} }, config = { %s }",
             schema);
    snprintf(init, sizeof(init),
             "return { snapshot_policy = function(self) local v = self.config.f\n"
             "  assert(%s) return { every_ops = 42 } end }",
             lua ? lua : "true");
    world_plugin(w, "p", manifest, init);
    w->plugins[0].config_json = config ? ml_slice_str(config) : (struct ml_slice){0};
    world_start(w);
}

static void every_type_takes_the_good_and_refuses_the_bad(void **state)
{
    struct world w;
    size_t wrong = 0;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        char schema[1024], config[256];
        struct ml_snapshot_policy policy = {0};
        bool fine;

        snprintf(schema, sizeof(schema), "fields = { { 'f', %s } }", values[i].field);
        snprintf(config, sizeof(config), "{\"f\": %s}", values[i].given ? values[i].given : "");
        start_with(&w, schema, values[i].lua, values[i].given ? config : NULL);
        if (values[i].lua) {
            if (!w.err)
                ml_script_snapshot_policy(w.script, ML_SLICE("o"), ML_SLICE("d"), &w.scratch,
                                          &policy);
            fine = !w.err && policy.every_ops == 42;
        } else {
            fine = w.err == ML_ESCRIPT && strstr(w.diag.text, values[i].why) &&
                   !strstr(w.diag.text, "hush");
        }
        if (!fine) {
            fprintf(stderr, "%s <- %s\n  diag: %s\n  log: %s\n", values[i].field, config,
                    w.diag.text, w.log);
            wrong++;
        }
        world_stop(&w);
    }
    print_message("%zu values\n", sizeof(values) / sizeof(*values));
    assert_int_equal(wrong, 0);
    world_release(&w);
}

static void rules_look_across_fields(void **state)
{
    static const char fields[] = "fields = { { 'f', type = 'string', default = '' }, { 'url', type "
                                 "= 'string' }, { 'key', type = 'string' },\n"
                                 "{ 'user', type = 'string' }, { 'password', type = 'secret' }, { "
                                 "'burst', type = 'integer' },\n"
                                 "{ 'per_minute', type = 'integer' }, { 'mode', type = 'string' }, "
                                 "{ 'schema', type = 'string' } }, rules = { %s }";
    static const struct {
        const char *rule, *config, *why;
    } cases[] = {
        {"{ 'one_of', 'url', 'key' }", "{\"url\": \"x\"}", NULL},
        {"{ 'one_of', 'url', 'key' }", "{}", "exactly one of \"url\", \"key\" must be given"},
        {"{ 'one_of', 'url', 'key' }", "{\"url\": \"x\", \"key\": \"y\"}", "exactly one of"},
        {"{ 'at_least_one', 'url', 'key' }", "{}", "at least one of"},
        {"{ 'at_least_one', 'url', 'key' }", "{\"key\": \"y\"}", NULL},
        {"{ 'together', 'user', 'password' }", "{\"user\": \"x\"}", "must be given together"},
        {"{ 'together', 'user', 'password' }", "{}", NULL},
        {"{ 'at_most', 'burst', 'per_minute' }", "{\"burst\": 5, \"per_minute\": 3}",
         "\"burst\" must be at most \"per_minute\""},
        {"{ 'at_most', 'burst', 'per_minute' }", "{\"burst\": 3, \"per_minute\": 3}", NULL},
        {"{ 'when', 'mode', 'strict', { 'required', 'schema' } }", "{\"mode\": \"strict\"}",
         "when \"mode\" is \"strict\", \"schema\" must be given"},
        {"{ 'when', 'mode', 'strict', { 'required', 'schema' } }", "{\"mode\": \"lax\"}", NULL},
    };
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char schema[1024];

        snprintf(schema, sizeof(schema), fields, cases[i].rule);
        start_with(&w, schema, NULL, cases[i].config);
        if (cases[i].why)
            EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, cases[i].why));
        else
            EXPECT(&w, w.err == ML_OK);
        world_stop(&w);
    }
    world_release(&w);
}

static void old_names_move_and_are_warned_about(void **state)
{
    struct world w;
    struct ml_snapshot_policy policy = {0};

    (void)state;
    world_init(&w);
    start_with(&w,
               "fields = { { 'old', type = 'integer', deprecated = { since = '1.1', use = 'f', "
               "note = 'shorter' } }, { 'f', type = 'integer' } }",
               "v == 7 and self.config.old == nil", "{\"old\": 7}");
    EXPECT(&w, w.err == ML_OK);
    EXPECT(&w, strstr(w.log, "old is deprecated since 1.1, use f: shorter"));
    ml_script_snapshot_policy(w.script, ML_SLICE("o"), ML_SLICE("d"), &w.scratch, &policy);
    EXPECT(&w, policy.every_ops == 42);
    world_release(&w);
}

static void validate_has_the_last_word(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_plugin(&w, "p",
                 "hooks = {}, config = { fields = { { 'a', type = 'integer', default = 3 } } }",
                 "return { validate = function(config) if config.a % 2 == 1 then return { { 'a', "
                 "'must be even' } } end end }");
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "config: a: must be even"));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_takes_the_good_and_refuses_the_bad),
        cmocka_unit_test(rules_look_across_fields),
        cmocka_unit_test(old_names_move_and_are_warned_about),
        cmocka_unit_test(validate_has_the_last_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
