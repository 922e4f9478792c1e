/* SPDX-License-Identifier: MIT */
/* One deployment takes the place of another: handed over, failed on the way, put back. */
#include <string.h>

#include "world.h"

struct scene {
    struct world world;
    struct ml_deploy *now, *next;
    struct ml_cells *cells;
    struct ml_cells_swap swap;
    const char *config; /* of the server; NULL: both plugins */
};

static const char counting[] = "local ml = require 'moonloom'\nlocal P = {}\n"
                               "function P:before_update(u)\n"
                               "  self.state.n = (self.state.n or 0) + 1\n"
                               "  return ml.deny('n', VERSION .. self.generation .. ':' .. "
                               "self.state.n) end\n";

/* init.lua of version `v`, with `more` methods. */
static void source(struct scene *s, const char *v, const char *more)
{
    char text[2048];

    snprintf(text, sizeof(text), "local VERSION = '%s'\n%s%s\nreturn P\n", v, counting, more);
    world_write(&s->world, "count/init.lua", text);
}

static enum ml_err deploy(struct scene *s, const struct ml_deploy *before, struct ml_deploy **out)
{
    struct ml_deploy_options options = {
        .plugins_dir = s->world.options.plugins_dir,
        .server_json = s->config ? ml_slice_str(s->config)
                                 : ML_SLICE("{\"plugins\":{\"count\":{},\"other\":{}}}"),
        .before = before};

    return ml_deploy_new(&options, NULL, &s->world.diag, out);
}

static void begin(struct scene *s)
{
    struct ml_cells_options options;

    *s = (struct scene){0};
    world_init(&s->world);
    world_plugin(&s->world, "count", "phase = 'validate', hooks = { before_update = {} }", "");
    world_plugin(&s->world, "other", "phase = 'validate', hooks = {}", "return {}");
    source(s, "old", "");
    assert_int_equal(deploy(s, NULL, &s->now), ML_OK);
    options = (struct ml_cells_options){.deploy = s->now, .script = s->world.options};
    assert_int_equal(ml_cells_new(&options, &s->world.diag, &s->cells), ML_OK);
}

static void end(struct scene *s)
{
    s->world.script = NULL;
    ml_cells_free(s->cells);
    ml_deploy_unref(s->now);
    ml_deploy_unref(s->next);
    world_release(&s->world);
}

static bool says(struct scene *s, const char *org, const char *text)
{
    s->world.script = ml_cells_script(s->cells, ml_slice_str(org), ML_SLICE("d"));
    if (world_insert(&s->world, "content", "x") != ML_EDENIED ||
        !ml_slice_equal(s->world.denial.reason, ml_slice_str(text))) {
        fprintf(stderr, "said: %.*s\n", ML_PRINT(s->world.denial.reason));
        return false;
    }
    return true;
}

static enum ml_err offer(struct scene *s, const char *org)
{
    struct ml_script *script;
    enum ml_err err = ml_cells_build(s->cells, s->next, ml_slice_str(org), &s->world.diag, &script);

    if (!err)
        ml_cells_offer(s->cells, ml_slice_str(org), script);
    return err;
}

static enum ml_err swap(struct scene *s, bool force)
{
    enum ml_err err = ml_cells_prepare(s->cells, s->next, force, &s->world.diag);

    if (err) {
        ml_cells_withdraw(s->cells);
        return err;
    }
    return ml_cells_swap(s->cells, s->next, force, &s->world.diag, &s->swap);
}

static void the_new_one_begins_where_the_old_one_ended(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    source(&s, "old",
           "function P:handoff() return { n = self.state.n, deep = { 1, { x = 'ä\\0' } } } end\n");
    ml_cells_free(s.cells);
    ml_deploy_unref(s.now);
    assert_int_equal(deploy(&s, NULL, &s.now), ML_OK);
    struct ml_cells_options options = {.deploy = s.now, .script = s.world.options};
    assert_int_equal(ml_cells_new(&options, &s.world.diag, &s.cells), ML_OK);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    EXPECT(&s.world, says(&s, "acme", "old1:2"));
    source(&s, "new",
           "function P:adopt(t) self.state.n = t.n * 10\n"
           "  if t.deep[2].x ~= 'ä\\0' or #t.deep ~= 2 then error('lost') end end\n");
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !offer(&s, "acme"));
    EXPECT(&s.world, !swap(&s, false));
    EXPECT(&s.world, s.swap.states == 1 && s.swap.bytes > 0);
    EXPECT(&s.world, says(&s, "acme", "new2:21"));
    ml_cells_settle(s.cells);
    ml_cells_tick(s.cells);
    EXPECT(&s.world, says(&s, "acme", "new2:22"));
    EXPECT(&s.world, says(&s, "beta", "new2:1")); /* made after the swap */
    end(&s);
}

static void another_config_is_told_to_configure(void **state)
{
    static const char with_b[] = "{\"plugins\":{\"count\":{\"config\":{\"word\":\"b\"}}}}";
    static const char manifest[] = "phase = 'validate', hooks = { before_update = {} }, config = { "
                                   "fields = { { 'word', type = "
                                   "'string', default = 'a', doc = 'a word' } } }";
    struct scene s;

    (void)state;
    begin(&s);
    world_plugin(&s.world, "count", manifest, "");
    source(
        &s, "v",
        "function P:configure(old) if self.config.word == 'bad' then error('no such word') end\n"
        "  self.state.n = self.state.n + (old.word == 'a' and self.config.word == 'b' and 100 or "
        "1000) end\n");
    ml_cells_free(s.cells);
    ml_deploy_unref(s.now);
    assert_int_equal(deploy(&s, NULL, &s.now), ML_OK);
    struct ml_cells_options options = {.deploy = s.now, .script = s.world.options};
    assert_int_equal(ml_cells_new(&options, &s.world.diag, &s.cells), ML_OK);
    EXPECT(&s.world, says(&s, "acme", "v1:1"));

    s.config = "{\"plugins\":{\"count\":{\"config\":{\"word\":\"bad\"}}}}";
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, swap(&s, false) == ML_ESCRIPT);
    EXPECT(&s.world, strstr(s.world.diag.text, "count: configure: ") &&
                         strstr(s.world.diag.text, "no such word"));
    EXPECT(&s.world, says(&s, "acme", "v1:2"));
    ml_deploy_unref(s.next);

    s.config = with_b;
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !swap(&s, false));
    ml_cells_settle(s.cells);
    EXPECT(&s.world, says(&s, "acme", "v2:103"));
    end(&s);
}

static void who_is_not_well_does_not_come_in(void **state)
{
    struct scene s;
    struct ml_cells_watch now = {0}, before = {0};

    (void)state;
    begin(&s);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    source(&s, "new", "function P:health() return 'bad', 'no disk' end\n");
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, swap(&s, false) == ML_ESCRIPT);
    EXPECT(&s.world, strstr(s.world.diag.text, "count: health: no disk") != NULL);
    EXPECT(&s.world, says(&s, "acme", "old1:2"));
    EXPECT(&s.world, !swap(&s, true)); /* somebody insists */
    ml_cells_settle(s.cells);
    EXPECT(&s.world, says(&s, "acme", "new2:1"));
    ml_cells_tick(s.cells);
    ml_cells_watch(s.cells, &now, &before);
    EXPECT(&s.world, now.bad == 0); /* once is not enough */
    world_mono_ms += 5000;
    ml_cells_tick(s.cells);
    ml_cells_watch(s.cells, &now, &before);
    EXPECT(&s.world, now.bad == 1);
    end(&s);
}

static void what_did_not_change_keeps_its_state_and_its_generation(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    world_write(&s.world, "other/lib/x.lua", "return 1"); /* the other plugin is new */
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !swap(&s, false));
    ml_cells_settle(s.cells);
    EXPECT(&s.world, says(&s, "acme", "old1:2"));
    EXPECT(&s.world, s.swap.states == 1);
    end(&s);
}

static void an_org_without_a_change_keeps_its_state_as_it_is(void **state)
{
    struct scene s;
    struct ml_script *before;

    (void)state;
    begin(&s);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    before = s.world.script;
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !swap(&s, false));
    EXPECT(&s.world, s.swap.states == 0);
    ml_cells_settle(s.cells);
    EXPECT(&s.world, says(&s, "acme", "old1:2"));
    EXPECT(&s.world, s.world.script == before);
    end(&s);
}

static void each_way_to_fail_leaves_the_old_one_serving(void **state)
{
    static const struct {
        const char *old_more, *new_more, *why;
    } cases[] = {
        {"", "function P:setup() error('no service') end", "no service"},
        {"", "function P:setup() while true do end end", "over its time limit"},
        {"function P:handoff() error('not now') end", "", "handoff"},
        {"function P:handoff() return 7 end", "", "table expected"},
        {"function P:handoff() return { f = print } end", "", "function"},
        {"function P:handoff() local t = {} t.t = t return t end", "", "nested"},
        {"function P:handoff() return { s = ('x'):rep(2000000) } end", "", "1 MiB"},
        {"function P:handoff() return {} end", "function P:adopt() error('what is this') end",
         "what is this"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;

        begin(&s);
        source(&s, "old", cases[i].old_more);
        ml_cells_free(s.cells);
        ml_deploy_unref(s.now);
        assert_int_equal(deploy(&s, NULL, &s.now), ML_OK);
        struct ml_cells_options options = {.deploy = s.now, .script = s.world.options};
        assert_int_equal(ml_cells_new(&options, &s.world.diag, &s.cells), ML_OK);
        EXPECT(&s.world, says(&s, "acme", "old1:1"));
        EXPECT(&s.world, says(&s, "beta", "old1:1"));
        source(&s, "new", cases[i].new_more);
        assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
        EXPECT(&s.world, !offer(&s, "acme"));
        EXPECT(&s.world, swap(&s, false) == ML_ESCRIPT);
        EXPECT(&s.world, strstr(s.world.diag.text, cases[i].why));
        EXPECT(&s.world, says(&s, "acme", "old1:2"));
        EXPECT(&s.world, says(&s, "beta", "old1:2"));
        EXPECT(&s.world, says(&s, "new-org", "old1:1"));
        end(&s);
    }
}

static void force_goes_on_without_what_cannot_be_handed_over(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    source(&s, "old", "function P:handoff() error('not now') end");
    ml_cells_free(s.cells);
    ml_deploy_unref(s.now);
    assert_int_equal(deploy(&s, NULL, &s.now), ML_OK);
    struct ml_cells_options options = {.deploy = s.now, .script = s.world.options};
    assert_int_equal(ml_cells_new(&options, &s.world.diag, &s.cells), ML_OK);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    source(&s, "new", "");
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !swap(&s, true));
    ml_cells_settle(s.cells);
    EXPECT(&s.world, says(&s, "acme", "new2:1"));
    end(&s);
}

static void a_swap_can_be_put_back(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    source(&s, "new", "");
    assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
    EXPECT(&s.world, !swap(&s, false));
    EXPECT(&s.world, says(&s, "acme", "new2:1"));
    ml_cells_swap_back(s.cells);
    EXPECT(&s.world, says(&s, "acme", "old1:2"));
    EXPECT(&s.world, says(&s, "other", "old1:1"));
    end(&s);
}

static void the_last_words_are_said_once_and_nothing_is_left(void **state)
{
    struct scene s;
    struct ml_script_stats before, after;
    size_t said = 0;

    (void)state;
    begin(&s);
    source(&s, "old", "function P:teardown(why) ml.log.info('bye ' .. why) end");
    ml_cells_free(s.cells);
    ml_deploy_unref(s.now);
    assert_int_equal(deploy(&s, NULL, &s.now), ML_OK);
    struct ml_cells_options options = {.deploy = s.now, .script = s.world.options};
    assert_int_equal(ml_cells_new(&options, &s.world.diag, &s.cells), ML_OK);
    EXPECT(&s.world, says(&s, "acme", "old1:1"));
    for (int i = 0; i < 200; i++) {
        char version[16], all[32];

        snprintf(version, sizeof(version), "v%d-", i);
        source(&s, version, "function P:teardown(why) ml.log.info('bye ' .. why) end");
        ml_deploy_unref(s.next);
        s.next = NULL;
        assert_int_equal(deploy(&s, s.now, &s.next), ML_OK);
        EXPECT(&s.world, !swap(&s, false));
        ml_cells_settle(s.cells);
        ml_cells_tick(s.cells);
        ml_deploy_unref(s.now);
        s.now = ml_deploy_ref(s.next);
        world_mono_ms += 1000;
        snprintf(all, sizeof(all), "%s%d:1", version, i + 2);
        EXPECT(&s.world, says(&s, "acme", all));
        ml_cells_stats(s.cells, i == 10 ? &before : &after);
        if (i < 20) /* the log of the world is small */
            for (const char *at = s.world.log; (at = strstr(at, "bye reload")); at++)
                said++;
        s.world.log[0] = '\0';
    }
    assert_int_equal(said, 20);
    EXPECT(&s.world, after.memory_bytes < before.memory_bytes * 11 / 10);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_new_one_begins_where_the_old_one_ended),
        cmocka_unit_test(another_config_is_told_to_configure),
        cmocka_unit_test(who_is_not_well_does_not_come_in),
        cmocka_unit_test(what_did_not_change_keeps_its_state_and_its_generation),
        cmocka_unit_test(an_org_without_a_change_keeps_its_state_as_it_is),
        cmocka_unit_test(each_way_to_fail_leaves_the_old_one_serving),
        cmocka_unit_test(force_goes_on_without_what_cannot_be_handed_over),
        cmocka_unit_test(a_swap_can_be_put_back),
        cmocka_unit_test(the_last_words_are_said_once_and_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
