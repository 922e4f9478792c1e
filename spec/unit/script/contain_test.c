/* SPDX-License-Identifier: MIT */
/*
 * One org runs away, leaks and floods in every form; beside it another goes on as if nothing were.
 * Both live in cells of one loop. A case is a way to misbehave inside a way to hold on to it.
 */
#include <string.h>
#include <time.h>

#include "world.h"

/* Statements that never end, or that eat. `u` is the update, `keep` lives in the state. */
static const char *const bad[] = {
    "while true do end",
    "for i = 1, 1e18 do end",
    "repeat until false",
    "::again:: goto again",
    "local function f() return f() end f()",
    "local function f() f() end f()",
    "local x = 0 while true do x = x + math.sin(x) end",
    "while true do local s = ('x'):rep(1000) end",
    "while true do (('x'):rep(20000)):gsub('.', string.upper) end",
    "while true do pcall(string.find, ('ab'):rep(2000), '.-.-.-.-z') end",
    "while true do ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30)) end",
    "local t = {} for i = 1, 100000 do t[i] = -i end while true do table.sort(t) end",
    "local t = {} for i = 1, 5000 do t[i] = i end while true do table.sort(t, function() return "
    "true end) end",
    "while true do ml.json.encode({ 1, 2, { 3 } }) end",
    "while true do ml.json.decode('[1,2,{\"a\":3}]') end",
    "while true do for w in (('word '):rep(100)):gmatch('%a+') do end end",
    "while true do select('#', unpack({ 1, 2, 3 })) end",
    "while true do for e in u:edits() do local k = e.kind end end",
    "while true do ml.glob.match('**/a*/b/**/c*', 'x/y/z/aa/c') end",
    "while true do error('x') end",
    /* memory */
    "local t = {} while true do t[#t + 1] = {} end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
    "local s = 'x' while true do s = s .. s end",
    "('x'):rep(1e9)",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "while true do keep[#keep + 1] = ('y'):rep(10000) .. #keep end",
    "local t = {} for i = 1, 1e7 do t['k' .. i] = i end",
    "string.format('%s', ('z'):rep(1e8))",
    "table.concat({ ('x'):rep(1e7), ('y'):rep(1e7) })",
    "local t = {} t[1] = t while true do local c = { t, {} } t[#t + 1] = c end",
    "local f = function() end while true do f = (function(g) return function() return g() end "
    "end)(f) keep[#keep + 1] = f end",
    "while true do keep[{}] = {} end",
    "ml.json.decode(('['):rep(100000))",
    "ml.json.encode((function() local t = {} for i = 1, 1e6 do t = { t } end return t end)())",
    "local t = {} for i = 1, 200 do t = setmetatable({}, { __index = t }) end while true do local "
    "x = t.missing end",
    "while true do coroutine.wrap(function() local t = {} for i = 1, 1000 do t[i] = {} end end)() "
    "end",
};

/* How it is held on to. %s is the statement. */
static const char *const wraps[] = {
    "%s",
    "while true do pcall(function() %s end) end",
    "pcall(function() while true do pcall(function() pcall(function() %s end) end) end end) while "
    "true do end",
    "while true do xpcall(function() %s end, function() while true do local t = {} end end) end",
    "while true do local c = coroutine.wrap(function() pcall(function() %s end) end) pcall(c) end",
    "local m = setmetatable({}, { __index = function() %s end }) while true do pcall(function() "
    "return m.x end) end",
    "local m = setmetatable({}, { __tostring = function() %s return '' end }) while true do "
    "pcall(tostring, m) end",
    "for _ in (function() %s end) do end",
    "local m = setmetatable({}, { __lt = function() %s return false end }) while true do "
    "pcall(function() return m < m end) end",
    "while true do pcall(string.gsub, 'a', 'a', function() %s end) end",
};

#define BAD   (sizeof(bad) / sizeof(*bad))
#define WRAPS (sizeof(wraps) / sizeof(*wraps))

#define WATCHED 20

static char *make_init(void)
{
    size_t size = 1 << 20, used = 0;
    char *init = malloc(size);

    assert_non_null(init);
    used += (size_t)snprintf(init, size,
                             "local ml = require 'moonloom'\nlocal keep = {}\nlocal forms = {}\n");
    for (size_t w = 0; w < WRAPS; w++)
        for (size_t b = 0; b < BAD; b++) {
            const char *gap = strstr(wraps[w], "%s");

            used += (size_t)snprintf(init + used, size - used,
                                     "forms['%zu.%zu'] = function(u) %.*s%s%s end\n", w, b,
                                     (int)(gap - wraps[w]), wraps[w], bad[b], gap + 2);
        }
    snprintf(init + used, size - used,
             "local n = 0\nreturn { before_update = function(self, u)\n"
             "  n = n + 1\n"
             "  local form for e in u:edits() do form = forms[e.text] end\n"
             "  if form then form(u) end\n"
             "  return ml.deny('n', tostring(n)) end }\n");
    return init;
}

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
    char *init = make_init();

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
    static uint64_t took_us[BAD * WRAPS];
    struct town t = {0};
    char text[32], count[32];
    size_t good = 0, held = 0, n = 0;

    (void)state;
    begin(&t, "{\"plugins\":{\"p\":{}},\"plans\":{\"small\":{}}}");
    for (size_t w = 0; w < WRAPS; w++) {
        for (size_t b = 0; b < BAD; b++) {
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
