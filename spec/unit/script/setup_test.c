/* SPDX-License-Identifier: MIT */
/* Setups that wait: side by side, failing, once more, beside a state that serves. */
#include "world.h"

#include <string.h>

#define ASKED_MAX 64

static struct {
    struct {
        struct ml_script *script;
        uint64_t ticket;
        char key[32];
        int is_cancelled;
    } list[ASKED_MAX];
    size_t count;
} outside;

static enum ml_err begin(void *arg, struct ml_script *script, uint64_t ticket,
                         const struct ml_script_op *op)
{
    (void)arg;
    assert_true(outside.count < ASKED_MAX);
    outside.list[outside.count].script = script;
    outside.list[outside.count].ticket = ticket;
    outside.list[outside.count].is_cancelled = 0;
    snprintf(outside.list[outside.count].key, sizeof(outside.list[0].key), "%.*s",
             ML_PRINT(op->key));
    outside.count++;
    return ML_OK;
}

static void cancel(void *arg, struct ml_script *script, uint64_t ticket)
{
    (void)arg;
    for (size_t i = 0; i < outside.count; i++)
        if (outside.list[i].script == script && outside.list[i].ticket == ticket)
            outside.list[i].is_cancelled = 1;
}

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    memset(&outside, 0, sizeof(outside));
    world.options.org = ML_SLICE("acme");
    world.options.port = (struct ml_script_port){.begin = begin, .cancel = cancel};
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_release(*state);
    return 0;
}

static void answer(size_t i, const char *json)
{
    struct ml_script_item item = {.key = ML_SLICE("k"), .value = ml_slice_str(json), .rev = 1};
    struct ml_script_answer a = {.items = &item, .item_count = 1};

    assert_true(i < outside.count);
    ml_script_resume(outside.list[i].script, outside.list[i].ticket, &a);
}

static void advance(struct world *w, uint64_t ms)
{
    world_mono_ms += ms;
    ml_script_tick(w->script);
}

/* Waits for the key of its name, and then refuses every edit with what it was answered. */
static void plugin(struct world *w, const char *name, const char *more)
{
    char init[1024];

    snprintf(init, sizeof(init),
             "local ml = require 'moonloom'\nlocal P = {}\n"
             "function P:setup()\n"
             "  self.state.tries = (self.state.tries or 0) + 1\n"
             "  %s\n"
             "  self.state.word = ml.kv.get('%s')\n"
             "  if self.state.word == 'wrong' then error('no such word') end end\n"
             "function P:before_update(u)\n"
             "  return ml.deny('no', self.state.word .. self.state.tries) end\nreturn P\n",
             more, name);
    world_plugin(w, name, "phase = 'validate', needs = { 'kv' }, hooks = { before_update = {} }",
                 init);
}

static int refuses(struct world *w, const char *word)
{
    return world_insert(w, "content", "x") == ML_EDENIED &&
           ml_slice_equal(w->denial.reason, ml_slice_str(word));
}

static void instances_come_up_side_by_side_and_fail_until_then(void **state)
{
    struct world *w = *state;

    plugin(w, "b", "");
    plugin(w, "a", "");
    world_start(w);
    EXPECT(w, w->err == ML_OK && outside.count == 2);
    EXPECT(w, world_insert(w, "content", "x") == ML_ESCRIPT);
    answer(0, "\"bee\"");
    EXPECT(w, world_insert(w, "content", "x") == ML_ESCRIPT); /* a is asked first */
    answer(1, "\"ant\"");
    EXPECT(w, refuses(w, "ant1"));
    advance(w, 60000);
    EXPECT(w, outside.count == 2 && !strstr(w->log, "failed"));
}

static void one_that_fails_goes_once_more_from_an_empty_state(void **state)
{
    struct world *w = *state;

    plugin(w, "a", "ml.timer.every('100ms', function() ml.log.info('tick') end)");
    world_start(w);
    answer(0, "\"wrong\"");
    EXPECT(w, strstr(w->log, "no such word"));
    EXPECT(w, world_insert(w, "content", "x") == ML_ESCRIPT);
    advance(w, 10);
    advance(w, 500);
    EXPECT(w, !strstr(w->log, "tick") && outside.count == 1); /* its timer went with it */
    advance(w, 500);
    EXPECT(w, outside.count == 2);
    answer(1, "\"wrong\"");
    advance(w, 1900);
    EXPECT(w, outside.count == 2); /* two seconds now */
    advance(w, 200);
    EXPECT(w, outside.count == 3);
    answer(2, "\"ant\"");
    EXPECT(w, refuses(w, "ant1"));
}

static void ten_seconds_are_enough_for_a_setup(void **state)
{
    struct world *w = *state;

    plugin(w, "b", "");
    plugin(w, "a", "");
    world_start(w);
    answer(0, "\"bee\"");
    advance(w, 9000);
    EXPECT(w, !outside.list[1].is_cancelled);
    advance(w, 1001);
    EXPECT(w, outside.list[1].is_cancelled && strstr(w->log, "over its deadline"));
    advance(w, 1000);
    EXPECT(w, outside.count == 3 && strcmp(outside.list[2].key, "a") == 0);
    answer(2, "\"ant\"");
    EXPECT(w, refuses(w, "ant1"));
}

static void what_fails_before_it_has_waited_is_an_error_at_once(void **state)
{
    struct world *w = *state;

    plugin(w, "b", "");
    plugin(w, "a", "error('not today')");
    world_start(w);
    EXPECT(w,
           w->err == ML_ESCRIPT && strstr(w->diag.text, "a") && strstr(w->diag.text, "not today"));
    EXPECT(w, outside.count == 1 && outside.list[0].is_cancelled);
}

static const struct ml_script_request request = {.method = {(const uint8_t *)"GET", 3},
                                                 .path = {(const uint8_t *)"/", 1}};

static void a_question_of_access_waits_for_the_setup(void **state)
{
    struct world *w = *state;
    struct ml_access *access, *dropped;

    world_plugin(w, "door", "phase = 'auth', needs = { 'kv' }, hooks = { authenticate = {} }",
                 "local ml = require 'moonloom'\nlocal P = {}\n"
                 "function P:setup() self.state.who = ml.kv.get 'who' end\n"
                 "function P:authenticate() return { user = self.state.who } end\nreturn P\n");
    world_start(w);
    access = ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w);
    dropped = ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w);
    EXPECT(w, access && dropped && w->access_count == 0);
    ml_access_drop(dropped);
    answer(0, "\"ana\"");
    EXPECT(w, w->access_count == 1 && !w->access.err &&
                  ml_slice_equal(w->access.identity.user, ML_SLICE("ana")));
}

static void a_question_that_waits_is_answered_when_the_setup_fails_or_the_state_goes(void **state)
{
    struct world *w = *state;

    world_plugin(w, "door", "phase = 'auth', needs = { 'kv' }, hooks = { authenticate = {} }",
                 "local ml = require 'moonloom'\nlocal P = {}\n"
                 "function P:setup() ml.kv.get 'who' error('gone') end\n"
                 "function P:authenticate() return { user = 'x' } end\nreturn P\n");
    world_start(w);
    (void)ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w);
    answer(0, "1");
    EXPECT(w, w->access_count == 1 && w->access.err == ML_ESCRIPT);
    advance(w, 1000);
    (void)ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w);
    EXPECT(w, w->access_count == 1 && outside.count == 2);
    ml_script_free(w->script);
    w->script = NULL;
    EXPECT(w, w->access_count == 2 && w->access.err == ML_ESCRIPT);
}

/* ---- Beside a state that serves -------------------------------------------------------------- */

struct scene {
    struct ml_deploy *now, *next;
    struct ml_cells *cells;
    struct ml_cells_swap swap;
};

static void deploy(struct world *w, const struct ml_deploy *before, struct ml_deploy **out)
{
    struct ml_deploy_options options = {.plugins_dir = w->options.plugins_dir,
                                        .server_json = ML_SLICE("{\"plugins\":{\"a\":{}}}"),
                                        .before = before};

    assert_int_equal(ml_deploy_new(&options, NULL, &w->diag, out), ML_OK);
}

static void look_at(struct world *w, struct scene *s, const char *org)
{
    w->script = ml_cells_script(s->cells, ml_slice_str(org), ML_SLICE("d"));
}

static void serve(struct world *w, struct scene *s)
{
    struct ml_cells_options options;

    *s = (struct scene){0};
    plugin(w, "a", "");
    w->options.org = (struct ml_slice){0};
    deploy(w, NULL, &s->now);
    options = (struct ml_cells_options){.deploy = s->now, .script = w->options};
    assert_int_equal(ml_cells_new(&options, &w->diag, &s->cells), ML_OK);
    EXPECT(w, outside.count == 0); /* a look at the start asks nobody */
    look_at(w, s, "acme");
    look_at(w, s, "beta");
    answer(0, "\"old\"");
    answer(1, "\"old\"");
    plugin(w, "a", "local version = 2");
    deploy(w, s->now, &s->next);
    EXPECT(w, ml_cells_prepare(s->cells, s->next, false, &w->diag) == ML_EBUSY);
    EXPECT(w, outside.count == 4); /* both at once */
}

static void close_scene(struct world *w, struct scene *s)
{
    w->script = NULL;
    ml_cells_free(s->cells);
    ml_deploy_unref(s->now);
    ml_deploy_unref(s->next);
}

static void the_old_ones_serve_until_all_new_ones_are_up(void **state)
{
    struct world *w = *state;
    struct scene s;

    serve(w, &s);
    answer(2, "\"new\"");
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_EBUSY);
    look_at(w, &s, "acme");
    EXPECT(w, refuses(w, "old1"));
    answer(3, "\"new\"");
    look_at(w, &s, "gamma"); /* comes first while the others wait */
    answer(4, "\"old\"");
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_EBUSY && outside.count == 6);
    answer(5, "\"new\"");
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_OK);
    look_at(w, &s, "delta"); /* and this one after everything was ready */
    answer(6, "\"old\"");
    EXPECT(w, ml_cells_swap(s.cells, s.next, false, &w->diag, &s.swap) == ML_OK);
    ml_cells_settle(s.cells);
    look_at(w, &s, "acme");
    EXPECT(w, refuses(w, "new1"));
    look_at(w, &s, "gamma");
    EXPECT(w, refuses(w, "new1"));
    look_at(w, &s, "delta");
    EXPECT(w, world_insert(w, "content", "x") == ML_ESCRIPT);
    answer(7, "\"new\"");
    EXPECT(w, refuses(w, "new1"));
    close_scene(w, &s);
}

static void a_setup_that_fails_or_hangs_leaves_the_old_ones(void **state)
{
    struct world *w = *state;
    struct scene s;

    serve(w, &s);
    answer(2, "\"wrong\"");
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_ESCRIPT);
    EXPECT(w, strstr(w->diag.text, "org acme") && strstr(w->diag.text, "no such word"));
    ml_cells_withdraw(s.cells);
    EXPECT(w, outside.list[3].is_cancelled);
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_EBUSY && outside.count == 6);
    answer(4, "\"new\"");
    world_mono_ms += 10001;
    ml_cells_tick(s.cells);
    EXPECT(w, ml_cells_prepare(s.cells, s.next, false, &w->diag) == ML_ESCRIPT);
    EXPECT(w, strstr(w->diag.text, "org beta") && strstr(w->diag.text, "deadline"));
    ml_cells_withdraw(s.cells);
    look_at(w, &s, "beta");
    EXPECT(w, refuses(w, "old1"));
    world_mono_ms += 5000;
    ml_cells_tick(s.cells);
    EXPECT(w, outside.count == 6); /* nothing of them goes on */
    close_scene(w, &s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(instances_come_up_side_by_side_and_fail_until_then),
        TEST(one_that_fails_goes_once_more_from_an_empty_state),
        TEST(ten_seconds_are_enough_for_a_setup),
        TEST(what_fails_before_it_has_waited_is_an_error_at_once),
        TEST(a_question_of_access_waits_for_the_setup),
        TEST(a_question_that_waits_is_answered_when_the_setup_fails_or_the_state_goes),
        TEST(the_old_ones_serve_until_all_new_ones_are_up),
        TEST(a_setup_that_fails_or_hangs_leaves_the_old_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
