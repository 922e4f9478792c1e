/* SPDX-License-Identifier: MIT */
/* Endless code in every form is stopped, and the state is fine afterwards; also on several threads.
 */
#include "world.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/*
 * Each is a statement list that never ends by itself.
 *
 * ThreadSanitizer delivers a signal only when the thread next calls something it knows, such as
 * realloc; code that allocates nothing is never stopped under it. What is left there is what it is
 * good for: watching the two threads.
 */
static const char *const endless[] = {
#ifdef __SANITIZE_THREAD__
    "while true do local t = {} end",
    "while true do local s = ('x'):rep(1000) .. tostring(math.random()) end",
    "while true do local c = coroutine.wrap(function() return {} end) c() end",
#else
    "while true do end",
    "for i = 1, 1e18 do end",
    "repeat until false",
    "::again:: goto again",
    "local function f() return f() end f()",
    "local x = 0 while true do x = x + math.sin(x) end",
    "local t = {} while true do t.x = (t.x or 0) + 1 end",
    "while true do local s = ('x'):rep(1000) end",
    "while true do (('x'):rep(20000)):gsub('.', string.upper) end",
    "while true do pcall(string.find, ('ab'):rep(2000), '.-.-.-.-z') end",
    "local t = {} for i = 1, 20000 do t[i] = i % 7 end while true do table.sort(t, function(a, b) "
    "return a > b end) end",
    "local t = {} for i = 1, 100000 do t[i] = -i end while true do table.sort(t) end",
    "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) while true do "
    "pcall(function() return t[1] end) end",
    "while true do local ok, why = pcall(error, 'x') end",
    "while true do for k, v in pairs({ 1, 2, 3 }) do tostring(k) end end",
    "while true do ml.json.encode({ 1, 2, { 3 } }) end",
    "while true do ml.json.decode('[1,2,{\"a\":3}]') end",
    "while true do for w in (('word '):rep(100)):gmatch('%a+') do end end",
    "while true do local c = coroutine.create(function() coroutine.yield() end) "
    "coroutine.resume(c) end",
    "while true do select('#', unpack({ 1, 2, 3 })) end",
    "while true do string.format('%s %d', 'x', 1) end",
    "while true do for e in u:edits() do local k = e.kind end end",
    "while true do ml.set({ 1, 2 }):sorted() end",
    "while true do ml.glob.match('**/a*/b', 'x/y/z/aa/c') end",
#endif
};

/* How it is wrapped up, so as not to be stopped. %s is the loop. */
static const char *const wraps[] = {
    "%s",
    "while true do pcall(function() %s end) end",
    "pcall(function() while true do pcall(function() pcall(function() %s end) end) end end) while "
    "true do end",
    "while true do xpcall(function() %s end, function() while true do local t = {} end end) end",
    "while true do local c = coroutine.wrap(function() pcall(function() %s end) end) pcall(c) end",
};

#define LOOPS (sizeof(endless) / sizeof(*endless))
#define WRAPS (sizeof(wraps) / sizeof(*wraps))

static uint64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* A plugin whose function is chosen by the text that is inserted. */
static char *make_init(void)
{
    size_t size = 1 << 20, used = 0;
    char *init = malloc(size);

    assert_non_null(init);
    used += (size_t)snprintf(init, size, "local ml = require 'moonloom'\nlocal forms = {}\n");
    for (size_t w = 0; w < WRAPS; w++) {
        for (size_t l = 0; l < LOOPS; l++) {
            const char *gap = strstr(wraps[w], "%s");

            used += (size_t)snprintf(init + used, size - used,
                                     "forms['%zu.%zu'] = function(u) %.*s%s%s end\n", w, l,
                                     (int)(gap - wraps[w]), wraps[w], endless[l], gap + 2);
        }
    }
    snprintf(init + used, size - used,
             "return { before_update = function(_, u)\n"
             "  local form for e in u:edits() do form = forms[e.text] end\n"
             "  if form then form(u) end end }\n");
    return init;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* All forms once; CPU time beyond the deadline goes to `over_us`. */
static void run_all(struct world *w, uint64_t *over_us)
{
    for (size_t i = 0; i < WRAPS * LOOPS; i++) {
        struct ml_script_stats before, after;
        char text[32];
        uint64_t start;

        snprintf(text, sizeof(text), "%zu.%zu", i / LOOPS, i % LOOPS);
        ml_script_stats(w->script, &before);
        start = cpu_us();
        EXPECT(w, world_insert(w, "body", text) == ML_ESCRIPT);
        over_us[i] = cpu_us() - start;
        over_us[i] = over_us[i] > 10000 ? over_us[i] - 10000 : 0;
        ml_script_stats(w->script, &after);
        if (after.timeouts != before.timeouts + 1)
            fprintf(stderr, "form %s\n", text);
        EXPECT(w, after.timeouts == before.timeouts + 1);
        world_mono_ms += 61000; /* the breaker is another test */
        w->log[0] = '\0';
        EXPECT(w, world_insert(w, "body", "harmless") == ML_OK);
    }
}

static void endless_code_is_stopped(void **state)
{
    static uint64_t over_us[WRAPS * LOOPS];
    struct world w;
    char *init = make_init();
    size_t n = WRAPS * LOOPS;

    (void)state;
    world_init(&w);
    world_plugin(&w, "p", "phase = 'validate', hooks = { before_update = {} }", init);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    run_all(&w, over_us);
    qsort(over_us, n, sizeof(*over_us), compare);
    print_message(
        "%zu forms stopped; CPU time beyond 10 ms: median %.1f, p99 %.1f, worst %.1f ms\n", n,
        (double)over_us[n / 2] / 1000, (double)over_us[n * 99 / 100] / 1000,
        (double)over_us[n - 1] / 1000);
    /* Far above what is measured: sanitizers are slow, and the machine may be busy. */
    assert_true(over_us[n - 1] < 200000);
    world_release(&w);
    free(init);
}

struct runner {
    struct world world;
    uint64_t over_us[WRAPS * LOOPS];
};

static void *run_on_thread(void *arg)
{
    struct runner *runner = arg;

    run_all(&runner->world, runner->over_us);
    return NULL;
}

static void every_thread_has_its_own_limit(void **state)
{
    enum { THREADS = 3 };
    static struct runner runners[THREADS];
    pthread_t threads[THREADS];
    char *init = make_init();

    (void)state;
    for (int i = 0; i < THREADS; i++) { /* made here, used there */
        world_init(&runners[i].world);
        world_plugin(&runners[i].world, "p", "phase = 'validate', hooks = { before_update = {} }",
                     init);
        world_start(&runners[i].world);
        EXPECT(&runners[i].world, runners[i].world.err == ML_OK);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_on_thread, &runners[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        world_release(&runners[i].world);
    free(init);
}

static void the_watchdog_sleeps_and_wakes(void **state)
{
    struct world w;
    struct ml_script_stats stats;

    (void)state;
    world_init(&w);
    world_plugin(&w, "p", "phase = 'validate', hooks = { before_update = {} }",
                 "return { before_update = function() while true do local t = {} end end }");
    world_start(&w);
    for (int i = 1; i <= 3; i++) {
        struct timespec pause = {.tv_nsec = 150000000}; /* longer than it stays awake */

        nanosleep(&pause, NULL);
        EXPECT(&w, world_insert(&w, "body", "x") == ML_ESCRIPT);
        ml_script_stats(w.script, &stats);
        assert_int_equal(stats.timeouts, i);
    }
    world_release(&w);
}

static void loading_is_limited_too(void **state)
{
    static const struct {
        const char *manifest, *init, *why;
    } cases[] = {
        {"hooks = {}", "while true do local t = {} end", "over its time limit"},
        {"hooks = {}", "return { validate = function() while true do local t = {} end end }",
         "over its time limit"},
        {"hooks = {}, summary = ('x'):rep(10) .. ({ (function() end)() })", "return {}",
         "cannot define functions"},
    };
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        world_plugin(&w, "p", cases[i].manifest, cases[i].init);
        world_start(&w);
        EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, cases[i].why));
        world_stop(&w);
    }
    world_write(&w, "p/plugin.lua", "while true do local x = {} end");
    world_write(&w, "p/init.lua", "return {}");
    world_enable(&w, "p", NULL);
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "too many instructions"));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_code_is_stopped),
        cmocka_unit_test(every_thread_has_its_own_limit),
        cmocka_unit_test(the_watchdog_sleeps_and_wakes),
        cmocka_unit_test(loading_is_limited_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
