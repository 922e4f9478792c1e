/* SPDX-License-Identifier: MIT */
/* One Lua state per org: who shares what, when states go, and what a broken one says. */
#include <string.h>

#include "world.h"

#define ORG(text) ML_SLICE(text)

static const struct ml_slice no_document = {0};

/* Counts in a module variable and denies with what it counted. */
static const char counting[] =
    "local ml = require 'moonloom'\nlocal n = 0\nlocal P = {}\n"
    "function P:before_update(u) n = n + 1\n"
    "  self.state.n = (self.state.n or 0) + 1\n"
    "  return ml.deny('n' .. n, (self.org and self.org.id or 'nobody') .. self.state.n) end\n"
    "return P\n";

struct life {
    struct world world;
    struct ml_cells *cells;
};

static void start_with(struct life *life, uint32_t states, const char *server)
{
    struct ml_deploy_options deploy = {.plugins_dir = life->world.options.plugins_dir,
                                       .server_json = ml_slice_str(server)};
    struct ml_cells_options options = {.script = life->world.options, .states = states};

    life->world.err = ml_deploy_new(&deploy, NULL, &life->world.diag, &options.deploy);
    if (!life->world.err)
        life->world.err = ml_cells_new(&options, &life->world.diag, &life->cells);
    ml_deploy_unref(options.deploy);
}

static void start(struct life *life, uint32_t states)
{
    start_with(life, states, life->world.plugin_count ? "{\"plugins\":{\"count\":{}}}" : "");
}

static void begin(struct life *life, const char *init)
{
    *life = (struct life){0};
    world_init(&life->world);
    world_plugin(&life->world, "count", "phase = 'validate', hooks = { before_update = {} }", init);
    start(life, 0);
}

static void end(struct life *life)
{
    ml_cells_free(life->cells);
    life->cells = NULL;
    world_release(&life->world);
}

/* One update in `org`; life->world.denial says more. */
static enum ml_err update(struct life *life, struct ml_slice org)
{
    struct ml_script *script = ml_cells_script(life->cells, org, ML_SLICE("doc"));

    if (!script)
        return ML_ENOTFOUND;
    life->world.script = script;
    return world_insert(&life->world, "content", "x");
}

static bool denied_as(const struct life *life, const char *code, const char *reason)
{
    return ml_slice_equal(life->world.denial.code, ml_slice_str(code)) &&
           ml_slice_equal(life->world.denial.reason, ml_slice_str(reason));
}

static void orgs_share_nothing(void **state)
{
    struct life life;

    (void)state;
    begin(&life, counting);
    EXPECT(&life.world, !life.world.err);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n1", "acme1"));
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n2", "acme2"));
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n1", "beta1"));
    EXPECT(&life.world, ml_cells_script(life.cells, ORG("acme"), no_document) !=
                            ml_cells_script(life.cells, ORG("beta"), no_document));
    life.world.script = NULL;
    end(&life);
}

static void an_org_without_plugins_has_no_state(void **state)
{
    struct life life = {0};

    (void)state;
    world_init(&life.world);
    start(&life, 0);
    EXPECT(&life.world, !life.world.err);
    EXPECT(&life.world, !ml_cells_script(life.cells, ORG("acme"), no_document));
    EXPECT(&life.world, ml_cells_hooks(life.cells) == 0);
    end(&life);
}

static void an_idle_state_goes_and_a_held_one_stays(void **state)
{
    struct life life;
    struct ml_script *held;

    (void)state;
    begin(&life, counting);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_EDENIED);
    held = ml_cells_script(life.cells, ORG("beta"), no_document);
    ml_script_hold(held);
    world_mono_ms += 9 * 60 * 1000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n2", "acme2"));
    world_mono_ms += 10 * 60 * 1000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n1", "acme1")); /* a new state */
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n2", "beta2")); /* the old one */
    ml_script_let_go(held);
    world_mono_ms += 10 * 60 * 1000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n1", "beta1"));
    life.world.script = NULL;
    end(&life);
}

static void many_orgs_cost_no_more_than_the_ceiling(void **state)
{
    struct life life = {0};
    struct ml_script_stats few, many;
    char org[16];

    (void)state;
    world_init(&life.world);
    world_plugin(&life.world, "count", "phase = 'validate', hooks = { before_update = {} }",
                 counting);
    start(&life, 4);
    for (int i = 0; i < 20; i++) {
        snprintf(org, sizeof(org), "org-%d", i);
        EXPECT(&life.world, update(&life, ml_slice_str(org)) == ML_EDENIED);
        world_mono_ms += 50;
        ml_cells_tick(life.cells);
        if (i == 3)
            ml_cells_stats(life.cells, &few);
    }
    ml_cells_stats(life.cells, &many);
    EXPECT(&life.world, many.calls == 20 && many.denials == 20);
    EXPECT(&life.world, many.memory_bytes < few.memory_bytes * 11 / 10);
    EXPECT(&life.world, update(&life, ORG("org-19")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n2", "org-192"));
    life.world.script = NULL;
    end(&life);
}

static void what_cannot_start_for_one_org_fails_there_and_is_tried_again(void **state)
{
    /* Starts for anybody but acme; for acme after an hour. */
    static const char picky[] =
        "local ml = require 'moonloom'\nlocal P = {}\n"
        "function P:setup()\n"
        "  if self.org and self.org.id == 'acme' and ml.time.mono() < 4000 then\n"
        "    error('the service is away') end\nend\n"
        "function P:before_update(u) end\nreturn P\n";
    struct life life;

    (void)state;
    begin(&life, picky);
    EXPECT(&life.world, !life.world.err);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_ESCRIPT);
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_OK);
    world_mono_ms += 2000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_ESCRIPT);
    world_mono_ms += 3600 * 1000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_OK);
    life.world.script = NULL;
    end(&life);
}

static void what_cannot_start_for_anybody_is_said_at_once(void **state)
{
    struct life life;

    (void)state;
    begin(&life, "return { before_update = 1 }\n");
    EXPECT(&life.world, life.world.err == ML_ESCRIPT);
    EXPECT(&life.world, strstr(life.world.diag.text, "count"));
    end(&life);
}

static const struct ml_hook_row *row_of(struct life *life, const char *plugin, const char *hook)
{
    const struct ml_ledger *ledger = ml_cells_ledger(life->cells);

    for (size_t i = 0; i < ml_ledger_count(ledger); i++)
        if (strcmp(ml_ledger_at(ledger, i)->plugin, plugin) == 0 &&
            strcmp(ml_ledger_at(ledger, i)->hook, hook) == 0)
            return ml_ledger_at(ledger, i);
    return NULL;
}

static void calls_are_counted_by_instance_and_hook_and_outlive_their_states(void **state)
{
    struct life life;
    const struct ml_hook_row *row;

    (void)state;
    begin(&life, counting);
    EXPECT(&life.world, !row_of(&life, "count", "before_update")); /* nobody was asked yet */
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, update(&life, ORG("beta")) == ML_EDENIED);
    row = row_of(&life, "count", "before_update");
    EXPECT(&life.world, row && row->outcomes[ML_HOOK_DENIED] == 3 && row->timed == 3);
    EXPECT(&life.world, row->outcomes[ML_HOOK_OK] == 0 && row->outcomes[ML_HOOK_ERROR] == 0);
    EXPECT(&life.world, row->max_us <= row->sum_us);
    world_mono_ms += 11 * 60 * 1000;
    ml_cells_tick(life.cells);
    EXPECT(&life.world, row_of(&life, "count", "before_update") == row);
    EXPECT(&life.world, row->outcomes[ML_HOOK_DENIED] == 3);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_EDENIED);
    EXPECT(&life.world, denied_as(&life, "count.n1", "acme1")); /* a new state, the same row */
    EXPECT(&life.world, row->outcomes[ML_HOOK_DENIED] == 4 && row->timed == 4);
    EXPECT(&life.world, ml_ledger_count(ml_cells_ledger(life.cells)) == 1);
    life.world.script = NULL;
    end(&life);
}

static void a_breaker_that_is_open_is_seen_until_a_call_goes_well(void **state)
{
    /* Fails in the first five calls, of an hour or so. */
    static const char failing[] =
        "local n = 0\nlocal P = {}\nfunction P:before_update(u)\n"
        "  n = n + 1\n  if n <= 5 then error('oops') end\nend\nreturn P\n";
    struct life life;
    const struct ml_hook_row *row;

    (void)state;
    begin(&life, failing);
    for (int i = 0; i < 5; i++)
        EXPECT(&life.world, update(&life, ORG("acme")) == ML_ESCRIPT);
    row = row_of(&life, "count", "before_update");
    EXPECT(&life.world, row && row->outcomes[ML_HOOK_ERROR] == 5 && row->open == 1);
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_ESCRIPT);
    EXPECT(&life.world, row->outcomes[ML_HOOK_OPEN] == 1 && row->outcomes[ML_HOOK_ERROR] == 5);
    EXPECT(&life.world, row->timed == 5);
    world_mono_ms += 1001;
    EXPECT(&life.world, update(&life, ORG("acme")) == ML_OK);
    (void)ml_cells_ledger(life.cells);
    EXPECT(&life.world, row->outcomes[ML_HOOK_OK] == 1 && row->open == 0);
    life.world.script = NULL;
    end(&life);
}

static void names_above_the_ceiling_count_as_other(void **state)
{
    struct ml_ledger *ledger = ml_ledger_new();
    struct ml_hook_row *first = NULL, *row = NULL, *other;
    char name[32];

    (void)state;
    for (int i = 0; i < ML_LEDGER_ROWS_MAX; i++) {
        snprintf(name, sizeof(name), "webhook/n%d", i);
        row = ml_ledger_row(ledger, name, "authorize");
        assert_string_equal(row->plugin, name);
        first = first ? first : row;
    }
    other = ml_ledger_row(ledger, "webhook/more", "authorize");
    assert_string_equal(other->plugin, "other");
    assert_ptr_equal(ml_ledger_row(ledger, "webhook/yet-more", "authorize"), other);
    assert_ptr_not_equal(ml_ledger_row(ledger, "webhook/more", "joined"), other);
    assert_ptr_equal(ml_ledger_row(ledger, "webhook/n0", "authorize"), first);
    assert_int_equal(ml_ledger_count(ledger), ML_LEDGER_ROWS_MAX + 2);
    ml_ledger_free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orgs_share_nothing),
        cmocka_unit_test(an_org_without_plugins_has_no_state),
        cmocka_unit_test(an_idle_state_goes_and_a_held_one_stays),
        cmocka_unit_test(many_orgs_cost_no_more_than_the_ceiling),
        cmocka_unit_test(what_cannot_start_for_one_org_fails_there_and_is_tried_again),
        cmocka_unit_test(what_cannot_start_for_anybody_is_said_at_once),
        cmocka_unit_test(calls_are_counted_by_instance_and_hook_and_outlive_their_states),
        cmocka_unit_test(a_breaker_that_is_open_is_seen_until_a_call_goes_well),
        cmocka_unit_test(names_above_the_ceiling_count_as_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
