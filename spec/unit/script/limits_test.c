/* SPDX-License-Identifier: MIT */
/* limits and over_limit: what plugins may answer, and what comes of several answers. */
#include "world.h"

#include <string.h>

struct told {
    unsigned count;
    bool is_none;
    struct ml_limits_answer answer;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_release(*state);
    free(*state);
    return 0;
}

static void keep(void *arg, const struct ml_limits_answer *answer)
{
    struct told *told = arg;

    told->count++;
    told->is_none = !answer;
    if (answer)
        told->answer = *answer;
}

static const struct ml_slice roles[] = {{(const uint8_t *)"editor", 6}};
static const struct ml_script_identity ana = {
    .user = {(const uint8_t *)"ana", 3}, .roles = roles, .role_count = 1};

static struct told ask(struct world *w)
{
    struct told told = {0};

    ml_script_limits(w->script, &ana, keep, &told);
    assert_int_equal(told.count, 1);
    return told;
}

static void the_smallest_of_each_counts(void **state)
{
    struct world *w = *state;
    struct told told;

    world_plugin(w, "a", "hooks = { limits = {} }",
                 "return { limits = function(self, who) return { updates = '30/s', burst = 2, "
                 "per = 'user', bytes = '1MiB/s', connections = 7, update_bytes = '1MiB' } end }");
    world_plugin(
        w, "b", "hooks = { limits = {} }",
        "return { limits = function(self, who) return { updates = '60/m', action = "
        "'refuse', close_after = 5, connections = 9, update_bytes = '64KiB', documents = 3,"
        " egress = '2GiB/d' } end }");
    world_plugin(w, "c", "hooks = { limits = {} }",
                 "return { limits = function(self, who) if who.user ~= 'ana' or who.roles[1] ~= "
                 "'editor' then return { updates = '0/s' } end end }");
    world_start(w);
    told = ask(w);
    assert_false(told.is_none);
    EXPECT(w, told.answer.rates[ML_RATE_UPDATES].per_second == 1);
    EXPECT(w, told.answer.rates[ML_RATE_UPDATES].burst == 480); /* 8 × 60 */
    EXPECT(w, told.answer.rates[ML_RATE_UPDATES].per == ML_PER_SESSION);
    EXPECT(w, told.answer.rates[ML_RATE_UPDATES].action == ML_LIMIT_REFUSE);
    EXPECT(w, told.answer.rates[ML_RATE_UPDATES].close_after == 5);
    EXPECT(w, told.answer.rates[ML_RATE_BYTES].per_second == 1 << 20);
    EXPECT(w, told.answer.rates[ML_RATE_BYTES].burst == 2 << 20);
    EXPECT(w, told.answer.rates[ML_RATE_BYTES].per == ML_PER_USER);
    EXPECT(w, !told.answer.rates[ML_RATE_RPC].is_set);
    EXPECT(w, told.answer.ceilings[ML_CEILING_CONNECTIONS] == 7);
    EXPECT(w, told.answer.ceilings[ML_CEILING_UPDATE_BYTES] == 65536);
    EXPECT(w, told.answer.ceilings[ML_CEILING_DOC_BYTES] == UINT64_MAX);
}

static void a_rate_below_one_lets_one_pass_at_once_and_zero_none(void **state)
{
    struct world *w = *state;
    struct told told;

    world_plugin(w, "a", "hooks = { limits = {} }",
                 "return { limits = function() return { rpc = { n = 0.5, per = 60 }, http = '0/s',"
                 " connects = '600/m', burst = 1, per = 'org' } end }");
    world_start(w);
    told = ask(w);
    EXPECT(w, told.answer.rates[ML_RATE_RPC].burst == 1);
    EXPECT(w, told.answer.rates[ML_RATE_RPC].per == ML_PER_ORG);
    EXPECT(w, told.answer.rates[ML_RATE_HTTP].is_set && told.answer.rates[ML_RATE_HTTP].burst == 0);
    EXPECT(w, told.answer.rates[ML_RATE_CONNECTS].per == ML_PER_ADDRESS);
    EXPECT(w, told.answer.rates[ML_RATE_CONNECTS].per_second == 10);
}

static void what_is_no_answer_is_a_failure_that_says_why(void **state)
{
    static const struct {
        const char *answer, *why;
    } rows[] = {
        {"{ update = '30/s' }", "unknown limit 'update'"},
        {"{ updates = '30' }", "is not a rate"},
        {"{ updates = true }", "must be a rate"},
        {"{ updates = { n = -1, per = 1 } }", "must be a rate"},
        {"{ updates = { n = 1, per = 0 } }", "must be a rate"},
        {"{ updates = '1/s', burst = 0 }", "limits.burst must be a number from 1"},
        {"{ updates = '1/s', burst = 1001 }", "limits.burst must be a number from 1"},
        {"{ per = 'planet' }", "limits.per cannot be 'planet'"},
        {"{ action = 1 }", "limits.action cannot be"},
        {"{ connections = {} }", "limits.connections must be"},
        {"{ connections = -1 }", "connections is not a size"},
        {"{ '30/s' }", "a name is text"},
        {"'30/s'", "must answer a table of limits"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char init[256];

        (void)snprintf(init, sizeof init, "return { limits = function() return %s end }",
                       rows[i].answer);
        world_plugin(w, "a", "hooks = { limits = {} }", init);
        world_start(w);
        w->log[0] = '\0';
        assert_true(ask(w).is_none);
        if (!strstr(w->log, rows[i].why))
            fail_msg("%s: %s", rows[i].answer, w->log);
        world_stop(w);
    }
}

static struct ml_over_answer over(struct world *w)
{
    const struct ml_script_over facts = {
        .what = "updates", .used = 1, .limit = 30, .scope = "session", .identity = &ana};
    struct ml_over_answer out;

    ml_script_over_limit(w->script, &facts, &w->scratch, &out);
    return out;
}

static void the_first_who_has_an_opinion_says_what_happens(void **state)
{
    struct world *w = *state;
    struct ml_over_answer out;

    world_plugin(
        w, "a", "hooks = { over_limit = {} }",
        "return { over_limit = function(self, l) assert(l.what == 'updates' and l.used == "
        "1 and l.limit == 30 and l.scope == 'session' and l.identity.user == 'ana') end }");
    world_plugin(w, "b", "hooks = { over_limit = {} }",
                 "local ml = require 'moonloom' return { over_limit = function(self) "
                 "self.state.n = (self.state.n or 0) + 1 local n = self.state.n "
                 "if n == 1 then return ml.slow('250ms') elseif n == 2 then return ml.allow() "
                 "elseif n == 3 then return ml.deny('no', 'No more.') elseif n == 4 then return "
                 "ml.deny('out', 'Go.', { mode = 'fence' }) elseif n == 5 then return 7 end end }");
    world_start(w);
    out = over(w);
    EXPECT(w, out.verdict == ML_OVER_SLOW && out.slow_ms == 250);
    EXPECT(w, over(w).verdict == ML_OVER_ALLOW);
    out = over(w);
    EXPECT(w, out.verdict == ML_OVER_REFUSE && ml_slice_equal(out.denial.code, ML_SLICE("b.no")));
    EXPECT(w, over(w).verdict == ML_OVER_CLOSE);
    EXPECT(w, over(w).verdict == ML_OVER_NIL);
    EXPECT(w, strstr(w->log, "must answer ml.slow") != NULL);
    EXPECT(w, over(w).verdict == ML_OVER_NIL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_smallest_of_each_counts),
        TEST(a_rate_below_one_lets_one_pass_at_once_and_zero_none),
        TEST(what_is_no_answer_is_a_failure_that_says_why),
        TEST(the_first_who_has_an_opinion_says_what_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
