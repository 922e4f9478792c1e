/* SPDX-License-Identifier: MIT */
/* Memory bombs fail the call, not the process; a state that does not recover is made anew. */
#include "world.h"

#include <string.h>

static const char *const bombs[] = {
    "local s = 'x' while true do s = s .. s end",
    "local t = {} for i = 1, 1e9 do t[i] = i end",
    "local t = {} while true do t = { t, t } t[3] = ('x'):rep(1e5) .. tostring(math.random()) end",
    "local t = {} for i = 1, 1e9 do t[i] = {} end",
    "local t = {} for i = 1, 1e9 do t['k' .. i] = true end",
    "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
    "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
    "local parts = {} for i = 1, 2000 do parts[i] = ('x'):rep(8000) end local all = {} for i = 1, "
    "100 do all[i] = table.concat(parts) end",
    "local s = ('x'):rep(1e6) for i = 1, 30 do s = s .. s end",
    "local s = ('x'):rep(1e6) s = s:gsub('.', ('y'):rep(1000))",
    "local t = {} for i = 1, 1000 do t[i] = string.format('%s', ('x'):rep(1e5) .. i) end",
    "local s = ('[1,2,3],'):rep(2e5) local v = ml.json.decode('[' .. s .. '0]')",
    "local t = {} for i = 1, 1e6 do t[i] = 'a long enough string ' .. (i % 10) end "
    "ml.json.encode(t)",
    "local t = {} pcall(function() while true do t[#t + 1] = ('x'):rep(1e4) .. #t end end) local s "
    "= ('y'):rep(9e6) s = s .. 'z'",
};

static void bombs_are_contained(void **state)
{
    struct world w;
    char init[8192];
    size_t used;

    (void)state;
    world_init(&w);
    w.options.limits.hook_ms = 60000;
    used =
        (size_t)snprintf(init, sizeof(init), "local ml = require 'moonloom'\nlocal bombs = {}\n");
    for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++)
        used += (size_t)snprintf(init + used, sizeof(init) - used,
                                 "bombs['%zu'] = function() %s end\n", i, bombs[i]);
    snprintf(init + used, sizeof(init) - used,
             "return { before_update = function(_, u) for e in u:edits() do\n"
             "  local bomb = bombs[e.text] if bomb then bomb() end end end }");
    world_plugin(&w, "p", "phase = 'validate', hooks = { before_update = {} }", init);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++) {
        struct ml_script_stats before, after;
        char text[16];

        snprintf(text, sizeof(text), "%zu", i);
        ml_script_stats(w.script, &before);
        EXPECT(&w, world_insert(&w, "body", text) == ML_ESCRIPT);
        ml_script_stats(w.script, &after);
        if (after.memory_faults != before.memory_faults + 1)
            fprintf(stderr, "bomb %zu\n", i);
        /* Some are refused by size before memory runs out. */
        EXPECT(&w, after.memory_faults + after.errors == before.memory_faults + before.errors + 1);
        EXPECT(&w, after.memory_bytes < (size_t)16 << 20);
        world_mono_ms += 61000;
        w.log[0] = '\0';
        EXPECT(&w, world_insert(&w, "body", "harmless") == ML_OK);
    }
    world_release(&w);
}

static void a_state_that_leaks_is_made_anew(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.options.limits.hook_ms = 60000;
    world_plugin(
        &w, "p",
        "phase = 'validate', hooks = { before_update = { min_bytes = 1 }, snapshot_policy = {} }",
        "local kept, calls = {}, 0\n"
        "local P = {}\n"
        "function P:before_update(u) calls = calls + 1\n"
        "  for e in u:edits() do if e.text == 'leak' then while true do kept[#kept + 1] = "
        "('x'):rep(1e4) .. #kept end end end end\n"
        "function P:snapshot_policy() return { every_ops = calls + 1 } end\n"
        "return P");
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    EXPECT(&w, world_insert(&w, "body", "fine") == ML_OK);
    EXPECT(&w, world_insert(&w, "body", "leak") == ML_ESCRIPT);
    EXPECT(&w, strstr(w.log, "out of memory") && strstr(w.log, "the Lua state was made anew"));
    {
        struct ml_snapshot_policy policy = {0};

        EXPECT(&w, world_insert(&w, "body", "fine") == ML_OK);
        ml_script_snapshot_policy(w.script, ML_SLICE("o"), ML_SLICE("d"), &w.scratch, &policy);
        assert_int_equal(policy.every_ops, 2); /* a new module, one call */
    }
    world_release(&w);
}

static void three_faults_in_a_minute_make_it_anew(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.options.limits.hook_ms = 60000;
    world_plugin(
        &w, "p", "phase = 'validate', hooks = { before_update = {} }",
        "return { before_update = function() local s = 'x' while true do s = s .. s end end }");
    world_start(&w);
    for (int i = 1; i <= 3; i++) {
        EXPECT(&w, world_insert(&w, "body", "x") == ML_ESCRIPT);
        EXPECT(&w, (strstr(w.log, "made anew") != NULL) == (i == 3));
    }
    world_release(&w);
}

/* From a state too small to hold the library up to one that fits: never a crash, always a message.
 */
static void starting_with_little_memory_is_an_error(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_plugin(&w, "p", "hooks = { before_update = {} }",
                 "local t = {} for i = 1, 1e6 do t[i] = { i } end return { before_update = "
                 "function() end }");
    w.options.limits.memory_bytes = 1;
    world_start(&w);
    EXPECT(&w, w.err == ML_ESCRIPT && strstr(w.diag.text, "out of memory"));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bombs_are_contained),
        cmocka_unit_test(a_state_that_leaks_is_made_anew),
        cmocka_unit_test(three_faults_in_a_minute_make_it_anew),
        cmocka_unit_test(starting_with_little_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
