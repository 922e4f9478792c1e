/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "support/test.h"

#include <stdio.h>

static char last[2048];
static int lines;

static void keep(enum ml_log_level level, const char *line)
{
    (void)level;
    lines++;
    (void)snprintf(last, sizeof last, "%s", line);
}

static void a_line_is_an_event_and_its_pairs(void **state)
{
    (void)state;
    ml_log_set_sink(keep);
    ml_log(ML_LOG_INFO, "room.loaded", "updates=%d", 812);
    assert_string_equal(last, "room.loaded updates=812");
}

static void lines_above_the_level_do_not_exist(void **state)
{
    (void)state;
    ml_log_set_sink(keep);
    lines = 0;
    ml_log(ML_LOG_DEBUG, "x.y", "a=1");
    assert_int_equal(lines, 0);
    ml_log_set_level(ML_LOG_TRACE);
    ml_log(ML_LOG_TRACE, "x.y", "a=1");
    assert_int_equal(lines, 1);
    ml_log_set_level(ML_LOG_INFO);
}

static void text_from_outside_cannot_make_a_line(void **state)
{
    struct ml_slice evil = ML_SLICE("a\nroom.loaded x=1 \x1b[31m\"");

    (void)state;
    assert_string_equal(ml_log_escape(evil).text,
                        "a\\x0aroom.loaded\\x20x\\x3d1\\x20\\x1b[31m\\x22");
}

static void long_text_is_cut(void **state)
{
    char text[500];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(strlen(ml_log_escape(ml_slice_make(text, sizeof text)).text), 99);
    memset(text, '\n', sizeof text);
    assert_true(strlen(ml_log_escape(ml_slice_make(text, sizeof text)).text) < 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_an_event_and_its_pairs),
        cmocka_unit_test(lines_above_the_level_do_not_exist),
        cmocka_unit_test(text_from_outside_cannot_make_a_line),
        cmocka_unit_test(long_text_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
