/* SPDX-License-Identifier: MIT */
/* Who may write where: rules, and the edits they are asked about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/auth.h"

#define INSERT 1u
#define DELETE 2u
#define ALL    3u

struct question {
    uint32_t kinds;
    const char *path, *by_id;
    bool allowed;
};

static void ask(const struct ml_grant_rule *rules, size_t count, const char *user,
                const struct question *questions)
{
    struct ml_grant grant = ml_grant_editor();
    struct ml_arena arena;

    ml_arena_init(&arena, 1 << 20);
    assert_true(ml_grant_compile(&arena, rules, count, ml_slice_str(user), &grant.rules));
    for (; questions->path; questions++) {
        struct ml_grant_edit edit = {questions->kinds, ml_slice_str(questions->path),
                                     questions->by_id ? ml_slice_str(questions->by_id)
                                                      : (struct ml_slice){0}};
        struct ml_slice code, reason;

        if (ml_grant_allows_edit(&grant, &edit, &code, &reason) != questions->allowed)
            fail_msg("%s by %s: not %s", questions->path, user,
                     questions->allowed ? "allowed" : "refused");
    }
    ml_arena_release(&arena);
}

#define RULE(does, which, of)                                                                      \
    {                                                                                              \
        .bars = (does), .kinds = (which), .pattern = {(const uint8_t *)(of), sizeof(of) - 1 }      \
    }

static void paths_and_the_writers_own_id(void **state)
{
    static const struct ml_grant_rule rules[] = {
        RULE(false, ALL, "content/**"), RULE(false, ALL, "comments/{user}/**"),
        RULE(false, INSERT, "log"), RULE(true, DELETE, "content/legal/**")};

    (void)state;
    ask(rules, 4, "ana",
        (const struct question[]){{INSERT, "content", NULL, true},
                                  {DELETE, "content/body/1", NULL, true},
                                  {INSERT, "contents", NULL, false},
                                  {INSERT, "comments/ana/3", NULL, true},
                                  {INSERT, "comments/ana", NULL, true},
                                  {INSERT, "comments/ben/3", NULL, false},
                                  {INSERT, "comments", NULL, false},
                                  {INSERT, "comments/anastasia", NULL, false},
                                  {INSERT, "log", NULL, true},
                                  {DELETE, "log", NULL, false},
                                  {INSERT, "content/legal/1", NULL, true},
                                  {DELETE, "content/legal/1", NULL, false},
                                  {INSERT, "x/0", "content/#a", true},
                                  {0}});
}

static void an_id_is_a_segment_whatever_is_in_it(void **state)
{
    static const struct ml_grant_rule rules[] = {RULE(false, ALL, "c/{user}/**")};

    (void)state;
    ask(rules, 1, "a/b~c",
        (const struct question[]){
            {ALL, "c/a~1b~0c/x", NULL, true}, {ALL, "c/a/b~c/x", NULL, false}, {0}});
    /* Would match everybody's: nobody is let in. */
    ask(rules, 1, "*", (const struct question[]){{ALL, "c/ben/x", NULL, false}, {0}});
    ask(rules, 1, "**", (const struct question[]){{ALL, "c/ben", NULL, false}, {0}});
    ask(rules, 1, "", (const struct question[]){{ALL, "c/", NULL, false}, {0}});
}

static void who_cannot_be_named_is_kept_out_of_everywhere(void **state)
{
    static const struct ml_grant_rule rules[] = {RULE(false, ALL, ""),
                                                 RULE(true, ALL, "c/{user}/**")};

    (void)state;
    ask(rules, 2, "ana",
        (const struct question[]){{ALL, "c/ben", NULL, true}, {ALL, "c/ana", NULL, false}, {0}});
    ask(rules, 2, "*", (const struct question[]){{ALL, "c/ben", NULL, false}, {0}});
}

static void a_rule_that_bars_says_why(void **state)
{
    struct ml_grant_rule rules[] = {RULE(false, ALL, ""), RULE(true, ALL, "legal/**")};
    struct ml_grant grant = {0};
    struct ml_grant_edit edit = {INSERT, ML_SLICE("legal/1"), {0}};
    struct ml_slice code, reason;
    struct ml_arena arena;

    (void)state;
    rules[1].code = ML_SLICE("freeze.frozen");
    rules[1].reason = ML_SLICE("Legal text is frozen.");
    ml_arena_init(&arena, 1 << 20);
    assert_true(ml_grant_compile(&arena, rules, 2, ML_SLICE("ana"), &grant.rules));
    assert_false(ml_grant_allows_edit(&grant, &edit, &code, &reason));
    assert_true(ml_slice_equal(code, rules[1].code) && ml_slice_equal(reason, rules[1].reason));
    edit.path = ML_SLICE("content");
    assert_true(ml_grant_allows_edit(&grant, &edit, &code, &reason));
    ml_arena_release(&arena);
}

static void rules_have_a_ceiling(void **state)
{
    static char pattern[ML_GRANT_RULES_MAX_BYTES];
    struct ml_grant_rule rule = {.kinds = ALL};
    struct ml_grant grant = {0};
    struct ml_arena arena;

    (void)state;
    memset(pattern, 'x', sizeof pattern);
    rule.pattern = ml_slice_make(pattern, sizeof pattern);
    ml_arena_init(&arena, 1 << 20);
    assert_false(ml_grant_compile(&arena, &rule, 1, ML_SLICE("ana"), &grant.rules));
    ml_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_the_writers_own_id),
        cmocka_unit_test(an_id_is_a_segment_whatever_is_in_it),
        cmocka_unit_test(who_cannot_be_named_is_kept_out_of_everywhere),
        cmocka_unit_test(a_rule_that_bars_says_why),
        cmocka_unit_test(rules_have_a_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
