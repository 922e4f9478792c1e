/* SPDX-License-Identifier: MIT */
/* The flight recorder: what is noted, how much, and what of it is masked. */
#include "world.h"

#include <string.h>

#include "script/recorder.h"

static void start(struct world *w)
{
    world_plugin(w, "p", "phase = 'policy', hooks = { before_update = {} }",
                 "local ml = require 'moonloom'\n"
                 "return { before_update = function(self, u)\n"
                 "  for e in u:edits('text.insert') do\n"
                 "    if e.text == 'no' then return ml.deny('no', 'Not this.') end\n"
                 "    if e.text == 'boom' then error('broken') end\n"
                 "  end\n"
                 "end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    /* What takes a millisecond on a busy machine is not what this is about. */
    w->script->flight_us = UINT64_MAX;
}

static unsigned count_of(struct world *w, const char *verdict, const char *document,
                         struct ml_writer *out)
{
    struct ml_flight_filter filter = {.verdict = ml_slice_str(verdict),
                                      .document = ml_slice_str(document),
                                      .until_us = UINT64_MAX};
    unsigned n = 0;

    ml_writer_reset(out);
    ml_flight_print(w->script->flight, ML_SLICE("acme"), &filter, out);
    ml_write_u8(out, '\0');
    for (const char *at = (const char *)out->ptr; (at = strstr(at, "{\"at_us\"")); at++)
        n++;
    return n;
}

static void what_is_let_through_is_not_noted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    start(&w);
    EXPECT(&w, world_insert(&w, "body", "yes") == ML_OK);
    EXPECT(&w, w.script->flight == NULL);
    world_release(&w);
}

static void the_last_of_a_hook_are_kept_and_text_is_masked(void **state)
{
    struct world w;
    struct ml_writer out;

    (void)state;
    world_init(&w);
    ml_writer_init(&out, 1 << 20);
    start(&w);
    for (int i = 0; i < 100; i++)
        EXPECT(&w, world_insert(&w, "body", "no") == ML_EDENIED);
    EXPECT(&w, count_of(&w, "deny", "notes/1", &out) == 32);
    EXPECT(&w, strstr((char *)out.ptr, "\"text\":\"xx\"") != NULL);
    EXPECT(&w, strstr((char *)out.ptr, "\"code\":\"p.no\"") != NULL);
    EXPECT(&w, strstr((char *)out.ptr, "\"text\":\"no\"") == NULL);
    EXPECT(&w, count_of(&w, "", "notes/2", &out) == 0);
    w.script->keeps_text = true;
    EXPECT(&w, world_insert(&w, "body", "no") == ML_EDENIED);
    EXPECT(&w, count_of(&w, "deny", "", &out) == 32);
    EXPECT(&w, strstr((char *)out.ptr, "\"text\":\"no\"") != NULL);
    ml_writer_release(&out);
    world_release(&w);
}

static void failures_and_what_is_watched_are_noted(void **state)
{
    struct world w;
    struct ml_writer out;

    (void)state;
    world_init(&w);
    ml_writer_init(&out, 1 << 20);
    start(&w);
    EXPECT(&w, world_insert(&w, "body", "boom") == ML_OK);
    EXPECT(&w, count_of(&w, "error", "notes/1", &out) == 1);
    EXPECT(&w, strstr((char *)out.ptr, "broken") != NULL);
    ml_script_watch(w.script, 1000);
    EXPECT(&w, world_insert(&w, "body", "yes") == ML_OK);
    EXPECT(&w, count_of(&w, "", "notes/1", &out) == 2);
    world_mono_ms += 2000; /* nobody watches any more; the call that finds out is the last */
    EXPECT(&w, world_insert(&w, "body", "yes") == ML_OK);
    EXPECT(&w, w.script->flight_us == ML_FLIGHT_SLOW_US);
    ml_writer_release(&out);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_let_through_is_not_noted),
        cmocka_unit_test(the_last_of_a_hook_are_kept_and_text_is_masked),
        cmocka_unit_test(failures_and_what_is_watched_are_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
