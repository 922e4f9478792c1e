/* SPDX-License-Identifier: MIT */
/* Who wrote since the newest snapshot: each once, the last one at the end, never too many. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "room/live.h"

/* "ana ben ": the ids, with blanks for the NULs. */
static const char *shown(const struct ml_room *room)
{
    static char text[4096];
    struct ml_slice all = ml_room_writers(room);

    assert_true(all.len < sizeof(text));
    for (size_t i = 0; i < all.len; i++)
        text[i] = all.ptr[i] ? (char)all.ptr[i] : ' ';
    text[all.len] = '\0';
    return text;
}

static void wrote(struct ml_room *room, const char *user)
{
    ml_room_wrote(room, ml_slice_str(user));
}

static void each_stands_once_and_the_newest_last(void **state)
{
    static struct ml_room room;

    (void)state;
    assert_string_equal(shown(&room), "");
    wrote(&room, "");
    assert_string_equal(shown(&room), "");
    wrote(&room, "joana");
    wrote(&room, "ana"); /* the end of another's */
    assert_string_equal(shown(&room), "joana ana ");
    wrote(&room, "ana");
    wrote(&room, "joana");
    wrote(&room, "cem");
    wrote(&room, "ana");
    assert_string_equal(shown(&room), "joana cem ana ");
    ml_room_wrote(&room, ml_slice_make("a\0b", 3));
    assert_string_equal(shown(&room), "joana cem ana ");
    ml_room_forget_writers(&room);
    assert_string_equal(shown(&room), "");
    wrote(&room, "ben");
    assert_string_equal(shown(&room), "ben ");
    ml_room_forget_writers(&room);
}

static void of_too_many_the_oldest_go(void **state)
{
    static struct ml_room room;
    char user[272], expected[64] = "";

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(user, sizeof(user), "u%d", i);
        wrote(&room, user);
    }
    for (const char *at = shown(&room); *at; at = strchr(at, ' ') + 1)
        if (!expected[0])
            (void)snprintf(expected, sizeof(expected), "%.*s", (int)(strchr(at, ' ') - at), at);
    assert_string_equal(expected, "u68");
    for (int i = 0; i < 100; i++) {
        memset(user, 'a' + i % 26, 255);
        (void)snprintf(user + 250, sizeof(user) - 250, "%d", i);
        wrote(&room, user);
        assert_true(ml_room_writers(&room).len <= 2048);
    }
    assert_non_null(strstr(shown(&room), "99 "));
    assert_null(strstr(shown(&room), "u68 "));
    ml_room_forget_writers(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stands_once_and_the_newest_last),
        cmocka_unit_test(of_too_many_the_oldest_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
