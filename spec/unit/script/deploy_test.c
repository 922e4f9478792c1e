/* SPDX-License-Identifier: MIT */
/* What runs: instances of every org out of files, what is refused, and which generation is whose.
 */
#include <string.h>

#include "world.h"

static const char saying[] = "local ml = require 'moonloom'\nlocal P = {}\n"
                             "function P:before_update(u)\n"
                             "  return ml.deny('said', self.name .. ' ' .. self.config.word .. "
                             "self.generation .. (self.org.plan or '')) end\n"
                             "return P\n";
static const char word[] = "phase = 'validate', hooks = { before_update = {} }, "
                           "config = { fields = { { 'word', type = 'string', max_len = 5, default "
                           "= 'hi', doc = 'a' } } }";

struct scene {
    struct world world;
    struct ml_deploy *deploy, *before;
    struct ml_deploy_org orgs[4];
    size_t org_count;
    struct ml_cells *cells;
    struct ml_writer report;
    struct ml_deploy_part part; /* of the next deployment */
};

static void begin(struct scene *s)
{
    *s = (struct scene){0};
    world_init(&s->world);
    ml_writer_init(&s->report, 1 << 16);
    world_plugin(&s->world, "say", word, saying);
}

static void org(struct scene *s, const char *name, const char *json)
{
    s->orgs[s->org_count++] = (struct ml_deploy_org){ml_slice_str(name), ml_slice_str(json)};
}

static bool deploy(struct scene *s, const char *server)
{
    struct ml_deploy_options options = {.plugins_dir = s->world.options.plugins_dir,
                                        .server_json = ml_slice_str(server),
                                        .orgs = s->orgs,
                                        .org_count = s->org_count,
                                        .before = s->deploy,
                                        .part = s->part};
    struct ml_deploy *next = NULL;

    s->report.len = 0;
    s->world.diag.text[0] = '\0';
    s->world.err = ml_deploy_new(&options, &s->report, &s->world.diag, &next);
    if (s->world.err)
        return false;
    ml_deploy_unref(s->before);
    s->before = s->deploy;
    s->deploy = next;
    return true;
}

static bool has(const struct scene *s, const char *text)
{
    return memmem(s->report.ptr, s->report.len, text, strlen(text)) != NULL;
}

static bool reported(const struct scene *s, const char *text)
{
    if (!has(s, text))
        fprintf(stderr, "report: %.*s\n", ML_PRINT(ml_writer_slice(&s->report)));
    return has(s, text);
}

static void end(struct scene *s)
{
    s->world.script = NULL;
    ml_cells_free(s->cells);
    ml_deploy_unref(s->deploy);
    ml_deploy_unref(s->before);
    ml_writer_release(&s->report);
    world_release(&s->world);
}

/* A part of the deployment before. */
static bool roll_back(struct scene *s, const char *plugins, const char *in)
{
    struct ml_deploy_part part = {ml_slice_str(plugins), ml_slice_str(in)};
    struct ml_deploy *next = NULL;

    s->world.err = ml_deploy_mix(s->deploy, s->before, &part, &s->world.diag, &next);
    if (s->world.err)
        return false;
    ml_deploy_unref(s->deploy);
    s->deploy = next;
    return true;
}

/* What is said to an update of that document; empty: nobody objects. */
static const char *said(struct scene *s, const char *in, const char *document)
{
    static char text[128];
    struct ml_cells_options options = {.deploy = s->deploy, .script = s->world.options};

    if (!s->cells)
        assert_int_equal(ml_cells_new(&options, &s->world.diag, &s->cells), ML_OK);
    s->world.script = ml_cells_script(s->cells, ml_slice_str(in), ml_slice_str(document));
    if (!s->world.script || !(ml_script_hooks(s->world.script) & ML_HOOK_BEFORE_UPDATE))
        return "";
    if (world_insert(&s->world, "content", "x") != ML_EDENIED)
        return "?";
    snprintf(text, sizeof(text), "%.*s", ML_PRINT(s->world.denial.reason));
    return text;
}

static void every_org_has_its_own_instances_and_config(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    org(&s, "acme", "{\"plan\":\"team\",\"plugins\":{\"say\":{\"config\":{\"word\":\"acme\"}}}}");
    org(&s, "beta", "{\"plugins\":{\"say\":false,\"say/b\":{\"config\":{\"word\":\"beta\"}}}}");
    org(&s, "none", "{\"plugins\":{\"say\":false}}");
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{}},\"plans\":{\"team\":{}}}"));
    assert_string_equal(said(&s, "default", "d"), "say hi1");
    assert_string_equal(said(&s, "acme", "d"), "say acme1team");
    assert_string_equal(said(&s, "beta", "d"), "say/b beta1");
    assert_string_equal(said(&s, "none", "d"), "");
    end(&s);
}

static void an_instance_is_for_the_documents_it_names(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    org(&s, "acme",
        "{\"plugins\":{\"say/a\":{\"docs\":[\"boards/**\"],\"config\":{\"word\":\"a\"}},"
        "\"say/b\":{\"docs\":[\"final/*\",\"boards/x/*\"],\"config\":{\"word\":\"b\"}}}}");
    EXPECT(&s.world, deploy(&s, ""));
    assert_string_equal(said(&s, "acme", "notes/1"), "");
    assert_string_equal(said(&s, "acme", "boards/1/2"), "say/a a1");
    assert_string_equal(said(&s, "acme", "final/1"), "say/b b1");
    assert_string_equal(said(&s, "acme", "final/1/2"), "");
    assert_string_equal(said(&s, "acme", "boards/x/1"), "say/a a1");
    assert_string_equal(said(&s, "acme", "final/1"), "say/b b1");
    end(&s);
}

static void a_change_is_checked_for_every_org_and_all_that_break_are_named(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    org(&s, "acme", "{\"plugins\":{\"say\":{\"config\":{\"word\":\"far too long\"}}}}");
    org(&s, "beta", "{\"plugins\":{\"say\":{\"config\":{\"wrd\":\"x\"}}}}");
    org(&s, "fine", "{\"plugins\":{\"say\":{\"config\":{\"word\":\"x\"}}}}");
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, reported(&s, "org acme: plugins[\"say\"].config.word = \"far too long\": must "
                                  "have at most 5 bytes"));
    EXPECT(&s.world, reported(&s, "org beta: plugins[\"say\"].config.wrd: unknown field; did you "
                                  "mean \"word\"?"));
    EXPECT(&s.world, !has(&s, "org fine"));
    end(&s);
}

static void what_cannot_be_loaded_is_refused_with_its_reason(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"sya\":{}}}"));
    EXPECT(&s.world, reported(&s, "there is no plugin 'sya'"));
    world_write(&s.world, "say/init.lua", "return { before_update = function( }");
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, reported(&s, "say/init.lua:1:"));
    world_write(&s.world, "say/init.lua", "return {}");
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, reported(&s, "declares the hook before_update"));
    world_write(&s.world, "say/init.lua", "while true do end");
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, reported(&s, "over its time limit"));
    world_write(
        &s.world, "say/init.lua",
        "return { before_update = function() end, validate = function(c) return { { 'word', "
        "'is rude: ' .. c.word } } end }");
    EXPECT(&s.world, !deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, reported(&s, "plugins[\"say\"].config.word: is rude: hi"));
    end(&s);
}

static void only_what_changed_has_a_new_generation(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    org(&s, "acme", "{\"plugins\":{\"say\":{\"config\":{\"word\":\"acme\"}}}}");
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, !ml_deploy_differs(s.before, s.deploy, ML_SLICE("acme")));
    s.orgs[0].json = ML_SLICE("{\"plugins\":{\"say\":{\"config\":{\"word\":\"new\"}}}}");
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, ml_deploy_differs(s.before, s.deploy, ML_SLICE("acme")));
    EXPECT(&s.world, !ml_deploy_differs(s.before, s.deploy, ML_SLICE("other")));
    assert_string_equal(said(&s, "acme", "d"), "say new2");
    assert_string_equal(said(&s, "other", "d"), "say hi1");
    world_write(&s.world, "say/lib/more.lua", "return 1");
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    EXPECT(&s.world, ml_deploy_differs(s.before, s.deploy, ML_SLICE("other")));
    end(&s);
}

/* Version `n` of the plugins say and tell: the first that is asked says so. */
static void write_version(struct scene *s, const char *name, int n)
{
    char code[512];

    snprintf(code, sizeof(code),
             "local ml = require 'moonloom'\nlocal P = {}\n"
             "function P:before_update(u) return ml.deny('said', self.name .. ' v%d ' .. "
             "self.config.word .. ' ' .. self.generation) end\nreturn P\n",
             n);
    world_plugin(&s->world, name, word, code);
}

static const char *newly_said(struct scene *s, const char *in)
{
    ml_cells_free(s->cells);
    s->cells = NULL;
    return said(s, in, "d");
}

static void a_part_is_taken_and_the_rest_stays_as_it_is(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    write_version(&s, "say", 1);
    write_version(&s, "tell", 1);
    org(&s, "beta", "{\"plugins\":{\"say\":false}}");
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{},\"tell\":{}}}"));
    assert_string_equal(newly_said(&s, "acme"), "say v1 hi 1");
    assert_string_equal(newly_said(&s, "beta"), "tell v1 hi 1");

    /* The code of one; the other is broken on disk, and nobody looks. */
    write_version(&s, "say", 2);
    world_plugin(&s.world, "tell", word, "x =");
    s.part = (struct ml_deploy_part){.plugins = ML_SLICE("say")};
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{},\"tell\":{\"config\":{\"word\":1}}}}"));
    assert_string_equal(newly_said(&s, "acme"), "say v2 hi 2");
    assert_string_equal(newly_said(&s, "beta"), "tell v1 hi 1");
    assert_false(ml_deploy_differs(s.before, s.deploy, ML_SLICE("beta")));
    assert_true(ml_deploy_differs(s.before, s.deploy, ML_SLICE("acme")));

    /* One org only, then one plugin of it back, then everybody. */
    write_version(&s, "say", 3);
    write_version(&s, "tell", 3);
    s.part = (struct ml_deploy_part){.org = ML_SLICE("acme")};
    EXPECT(&s.world,
           deploy(&s, "{\"plugins\":{\"say\":{\"config\":{\"word\":\"ho\"}},\"tell\":{}}}"));
    assert_string_equal(newly_said(&s, "acme"), "say v3 ho 3");
    assert_string_equal(newly_said(&s, "other"), "say v2 hi 2");
    assert_string_equal(newly_said(&s, "beta"), "tell v1 hi 1");
    EXPECT(&s.world, roll_back(&s, "say", "acme"));
    assert_string_equal(newly_said(&s, "acme"), "say v2 hi 2");
    assert_false(roll_back(&s, "say", "acme"));
    s.part = (struct ml_deploy_part){0};
    write_version(&s, "say", 4);
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say\":{},\"tell\":{}}}"));
    assert_string_equal(newly_said(&s, "acme"), "say v4 hi 4");
    assert_string_equal(newly_said(&s, "other"), "say v4 hi 4"); /* 3 was other code */
    assert_string_equal(newly_said(&s, "beta"), "tell v3 hi 3");
    assert_false(ml_deploy_differs(s.deploy, s.deploy, ML_SLICE("acme")));

    s.part.plugins = ML_SLICE("say,sya");
    assert_false(deploy(&s, "{\"plugins\":{\"say\":{}}}"));
    assert_true(reported(&s, "sya: no plugin of this name is switched on"));
    end(&s);
}

static void an_operator_pins_the_order(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say/a\":{},\"say/b\":{}}}"));
    assert_string_equal(said(&s, "default", "d"), "say/a hi1");
    end(&s);
    begin(&s);
    EXPECT(&s.world, deploy(&s, "{\"plugins\":{\"say/a\":{},\"say/b\":{}},\"order\":{\"before_"
                                "update\":[\"say/b\",\"say/a\"]}}"));
    assert_string_equal(said(&s, "default", "d"), "say/b hi1");
    EXPECT(&s.world, !deploy(&s, "{\"order\":{\"befor_update\":[\"a\"]}}"));
    EXPECT(&s.world, reported(&s, "did you mean 'before_update'?"));
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_org_has_its_own_instances_and_config),
        cmocka_unit_test(an_instance_is_for_the_documents_it_names),
        cmocka_unit_test(a_change_is_checked_for_every_org_and_all_that_break_are_named),
        cmocka_unit_test(what_cannot_be_loaded_is_refused_with_its_reason),
        cmocka_unit_test(only_what_changed_has_a_new_generation),
        cmocka_unit_test(a_part_is_taken_and_the_rest_stays_as_it_is),
        cmocka_unit_test(an_operator_pins_the_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
