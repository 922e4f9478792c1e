/* SPDX-License-Identifier: MIT */
/*
 * One org runs away, leaks and floods in every form; beside it another goes on as if nothing were.
 * Both live in cells of one loop. A case is a way to misbehave inside a way to hold on to it.
 */
#include <string.h>
#include <time.h>

#include "support/runaways.h"
#include "world.h"

#define WATCHED 20

struct town {
    struct world world;
    struct ml_deploy *deploy;
    struct ml_cells *cells;
};

static void begin(struct town *t, const char *server)
{
    struct ml_deploy_options deploy = {.server_json = ml_slice_str(server)};
    struct ml_deploy_org bad_org = {ML_SLICE("bad"), ML_SLICE("{\"plan\":\"small\"}")};
    struct ml_cells_options options = {0};
    char *init = runaway_init();

    world_init(&t->world);
    world_plugin(&t->world, "p", "phase = 'validate', hooks = { before_update = {} }", init);
    free(init);
    deploy.plugins_dir = t->world.options.plugins_dir;
    deploy.orgs = &bad_org;
    deploy.org_count = 1;
    t->world.err = ml_deploy_new(&deploy, NULL, &t->world.diag, &t->deploy);
    EXPECT(&t->world, !t->world.err);
    options.deploy = t->deploy;
    options.script = t->world.options;
    EXPECT(&t->world, !ml_cells_new(&options, &t->world.diag, &t->cells));
}

static void end(struct town *t)
{
    t->world.script = NULL;
    ml_cells_free(t->cells);
    ml_deploy_unref(t->deploy);
    world_release(&t->world);
}

static enum ml_err say(struct town *t, const char *org, const char *text)
{
    t->world.log[0] = '\0';
    t->world.script = ml_cells_script(t->cells, ml_slice_str(org), ML_SLICE("d"));
    return world_insert(&t->world, "content", text);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void every_form_is_contained_in_its_org(void **state)
{
    static uint64_t took_us[RUNAWAY_BAD * RUNAWAY_WRAPS];
    struct town t = {0};
    char text[32], count[32];
    size_t good = 0, held = 0, n = 0;

    (void)state;
    begin(&t, "{\"plugins\":{\"p\":{}},\"plans\":{\"small\":{}}}");
    for (size_t w = 0; w < RUNAWAY_WRAPS; w++) {
        for (size_t b = 0; b < RUNAWAY_BAD; b++) {
            uint64_t began;
            enum ml_err err;

            world_mono_ms += 120000; /* no breaker is open any more */
            ml_cells_tick(t.cells);
            (void)say(&t, "good", "x"); /* a cell that is idle for long would go */
            good++;
            snprintf(text, sizeof(text), "%zu.%zu", w, b);
            began = now_us();
            err = say(&t, "bad", text);
            took_us[n++] = now_us() - began;
            /* Failing (held), or an ordinary end after what it tried was refused inside. */
            EXPECT(&t.world, err == ML_ESCRIPT || err == ML_EDENIED);
            held += err == ML_ESCRIPT;
            EXPECT(&t.world, say(&t, "good", "x") == ML_EDENIED);
            snprintf(count, sizeof(count), "%zu", ++good);
            EXPECT(&t.world, ml_slice_equal(t.world.denial.reason, ml_slice_str(count)));
        }
    }
    world_mono_ms += 120000;
    ml_cells_tick(t.cells);
    EXPECT(&t.world, say(&t, "bad", "x") == ML_EDENIED);
    qsort(took_us, n, sizeof(*took_us), compare);
    print_message("%zu cases, %zu failed as they should; CPU of a case: median %.1f, p99 %.1f, "
                  "worst %.1f ms; the other org answered %zu times, all in order\n",
                  n, held, (double)took_us[n / 2] / 1000, (double)took_us[n * 99 / 100] / 1000,
                  (double)took_us[n - 1] / 1000, good);
    assert_true(n == 360);
    assert_true(held > 300);
    end(&t);
}

static void an_org_over_its_share_gets_a_tenth(void **state)
{
    uint64_t first_us, later_us = 0, least_us = UINT64_MAX;
    struct town t = {0};

    (void)state;
    begin(&t, "{\"plugins\":{\"p\":{}},\"plans\":{\"small\":{\"budget\":{\"cpu\":\"0.5%\"}}}}");
    (void)say(&t, "bad", "x");
    (void)say(&t, "good", "x"); /* which has a share that is not used up by being made */
    first_us = now_us();
    EXPECT(&t.world, say(&t, "good", "0.0") == ML_ESCRIPT);
    first_us = now_us() - first_us;
    for (int i = 0; i < 10; i++) { /* half a percent of 10 s is 50 ms */
        world_mono_ms += 120000;
        (void)say(&t, "bad", "0.0");
    }
    for (int i = 0; i < WATCHED; i++) {
        uint64_t began = now_us();

        world_mono_ms += 120000;
        EXPECT(&t.world, say(&t, "bad", "0.0") == ML_ESCRIPT);
        began = now_us() - began;
        later_us += began;
        least_us = began < least_us ? began : least_us;
        EXPECT(&t.world, say(&t, "good", "x") == ML_EDENIED);
    }
    print_message("an endless hook: %.1f ms, over its share %.1f ms\n", (double)first_us / 1000,
                  (double)later_us / WATCHED / 1000);
    assert_true(first_us > 9000);
    /* On a machine that is busy the watchdog comes late; once in so often it is in time. */
    assert_true(least_us < first_us / 2);
    /* Work that is small goes on. */
    EXPECT(&t.world, say(&t, "bad", "x") == ML_EDENIED);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_contained_in_its_org),
        cmocka_unit_test(an_org_over_its_share_gets_a_tenth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
