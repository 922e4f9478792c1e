/* SPDX-License-Identifier: MIT */
/* conflict: what it sees, what it may answer, that it is pure. */
#include "world.h"

#include <string.h>

static struct ml_slice any_of(struct world *w, const char *json)
{
    struct ml_writer out;
    struct ml_slice copy;

    ml_writer_init(&out, 1 << 20);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &out), ML_OK);
    copy = ml_arena_copy(&w->scratch, ml_writer_slice(&out));
    ml_writer_release(&out);
    return copy;
}

static const struct ml_slice lead[] = {{(const uint8_t *)"lead", 4}};
static const struct ml_scope ana = {.user = {(const uint8_t *)"ana", 3},
                                    .session = {(const uint8_t *)"s1", 2},
                                    .roles = lead,
                                    .role_count = 1};
static const struct ml_scope ben = {.user = {(const uint8_t *)"ben", 3}};

static struct ml_script_conflict clash(struct world *w, const char *key, const char *current,
                                       const char *incoming)
{
    return (struct ml_script_conflict){
        .org = ML_SLICE("acme"),
        .document = ML_SLICE("boards/1"),
        .kind = ML_COLLISION_MAP,
        .path = ML_SLICE("tasks/7"),
        .key = ml_slice_str(key),
        .is_base_known = true,
        .base = any_of(w, "\"base\""),
        .current = {.any = any_of(w, current), .who = &ana, .at_us = 1700000000250000, .seq = 3},
        .incoming = {.any = any_of(w, incoming), .who = &ben, .origin = "client"},
        .incoming_stands = true,
        .is_exact = true,
        .now_us = 1700000001000000,
        .seed = 7,
    };
}

static struct ml_conflict_answer ask(struct world *w, const struct ml_script_conflict *c)
{
    struct ml_conflict_answer answer;

    ml_script_conflict(w->script, c, &w->scratch, &answer);
    return answer;
}

static struct ml_conflict_answer ask_about(struct world *w, const char *key)
{
    struct ml_script_conflict c = clash(w, key, "\"one\"", "\"two\"");

    return ask(w, &c);
}

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_release(*state);
    return 0;
}

static uint64_t errors_of(const struct world *w)
{
    struct ml_script_stats stats;

    ml_script_stats(w->script, &stats);
    return stats.errors;
}

static void with(struct world *w, const char *hook, const char *body)
{
    char code[4096], hooks[512];

    (void)snprintf(code, sizeof code,
                   "local ml = require 'moonloom'\nlocal P = {}\nfunction P:conflict(c)\n%s\nend\n"
                   "return P",
                   body);
    (void)snprintf(hooks, sizeof hooks, "hooks = { conflict = %s }", hook);
    world_plugin(w, "policy", hooks, code);
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    assert_int_equal(ml_script_hooks(w->script), ML_HOOK_CONFLICT);
}

static void it_sees_both_sides_and_what_both_had_seen(void **state)
{
    struct world *w = *state;

    with(w, "{}",
         "assert(c.kind == 'map' and c.path == 'tasks/7' and c.key == 'k' and c.block == nil)\n"
         "assert(c.base.known and c.base.value == 'base' and c.base.seq == nil)\n"
         "local cur, inc = c.current, c.incoming\n"
         "assert(cur.value == 'one' and inc.value == 'two')\n"
         "assert(cur.author.user == 'ana' and inc.author.user == 'ben')\n"
         "local a, b = cur.author, inc.author\n"
         "assert(a:has_role('lead') and not b:has_role('lead'))\n"
         "assert(cur.at == 1700000000.25 and inc.at == nil and cur.seq == 3)\n"
         "assert(cur.session == 's1' and inc.origin == 'client' and not inc.is_shared)\n"
         "assert(c.natural == 'incoming' and c.exact and c.org == 'acme')\n"
         "assert(c.now == 1700000001 and c.doc.id == 'boards/1')\n"
         "return 'current'");
    EXPECT(w, ask_about(w, "k").word == ML_CONFLICT_CURRENT);
}

static void deleted_is_nil(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;

    with(w, "{}", "if c.incoming.value == nil then return 'incoming' end");
    c = clash(w, "k", "1", "2");
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
    c.incoming.any = (struct ml_slice){0};
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_INCOMING);
}

static void merge_brings_a_value(void **state)
{
    struct world *w = *state;
    struct ml_conflict_answer answer;

    with(w, "{}", "return ml.merge({ 1, c.current.value })");
    answer = ask_about(w, "k");
    assert_int_equal(answer.word, ML_CONFLICT_MERGE);
    assert_true(ml_slice_equal(answer.any, any_of(w, "[1,\"one\"]")));
}

static void keep_both_names_a_list(void **state)
{
    struct world *w = *state;
    struct ml_conflict_answer answer;

    with(w, "{}", "return ml.keep_both('conflicts')");
    answer = ask_about(w, "k");
    assert_int_equal(answer.word, ML_CONFLICT_KEEP_BOTH);
    assert_true(ml_slice_equal(answer.name, ML_SLICE("conflicts")));
}

static void filters_keep_lua_out(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;

    with(w, "{ kinds = { 'map' }, paths = { 'tasks/*' }, keys = { 'status', 'l*' } }",
         "return 'current'");
    assert_int_equal(ml_script_conflict_kinds(w->script), 1u << ML_COLLISION_MAP);
    assert_int_equal(ask_about(w, "status").word, ML_CONFLICT_CURRENT);
    assert_int_equal(ask_about(w, "labels").word, ML_CONFLICT_CURRENT);
    assert_int_equal(ask_about(w, "title").word, ML_CONFLICT_NATURAL);
    c = clash(w, "status", "1", "2");
    c.path = ML_SLICE("tasks/7/sub");
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
    assert_false(ml_script_wants_conflict(w->script, c.kind, c.path, c.key));
    c = clash(w, "status", "1", "2");
    c.kind = ML_COLLISION_ATTR;
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
}

static void a_kind_of_edit_is_no_kind_of_conflict(void **state)
{
    struct world *w = *state;

    world_plugin(w, "policy", "hooks = { conflict = { kinds = { 'map.set' } } }",
                 "return { conflict = function() end }");
    world_start(w);
    assert_int_equal(w->err, ML_ESCRIPT);
    EXPECT(w, strstr(w->diag.text, "map.set"));
}

static void who_names_no_kinds_hears_of_keys(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;

    with(w, "{}", "return 'current'");
    assert_int_equal(ml_script_conflict_kinds(w->script),
                     1u << ML_COLLISION_MAP | 1u << ML_COLLISION_ATTR);
    c = clash(w, "k", "1", "2");
    c.kind = ML_COLLISION_DELETE;
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
}

static void of_a_block_both_stand_and_it_becomes_text(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;

    with(w, "{ kinds = { 'block' }, paths = { 'tasks/**' } }",
         "assert(c.natural == 'both' and c.key == nil and c.block == '7:1')\n"
         "if c.current.value == 1 then return ml.merge({}) end\n"
         "return ml.merge(c.base.value .. '!')");
    c = clash(w, "k", "\"a\"", "\"b\"");
    c.kind = ML_COLLISION_BLOCK;
    c.key = (struct ml_slice){0};
    c.block = ML_SLICE("7:1");
    assert_true(ml_slice_equal(ask(w, &c).any, any_of(w, "\"base!\"")));
    c.current.any = any_of(w, "1");
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
    assert_int_equal(errors_of(w), 1);
}

static void of_a_deletion_the_answer_is_a_side(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;

    with(w, "{ kinds = { 'delete' } }",
         "if c.incoming.value == nil then return 'current' end\nreturn ml.keep_both('x')");
    c = clash(w, "k", "1", "2");
    c.kind = ML_COLLISION_DELETE;
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_NATURAL);
    assert_int_equal(errors_of(w), 1);
    c.incoming.any = (struct ml_slice){0};
    assert_int_equal(ask(w, &c).word, ML_CONFLICT_CURRENT);
}

static void the_first_opinion_counts(void **state)
{
    struct world *w = *state;

    world_plugin(w, "a-silent", "hooks = { conflict = {} }",
                 "return { conflict = function() end }");
    world_plugin(w, "b-first", "hooks = { conflict = {} }",
                 "return { conflict = function() return 'incoming' end }");
    world_plugin(w, "c-late", "hooks = { conflict = {} }",
                 "return { conflict = function() return 'current' end }");
    world_start(w);
    assert_int_equal(ask_about(w, "k").word, ML_CONFLICT_INCOMING);
}

static void who_fails_has_no_opinion(void **state)
{
    struct world *w = *state;

    world_plugin(w, "a-raises", "hooks = { conflict = {} }",
                 "return { conflict = function() error('no') end }");
    world_plugin(w, "b-babbles", "hooks = { conflict = {} }",
                 "return { conflict = function() return 'both' end }");
    world_plugin(w, "c-says", "hooks = { conflict = {} }",
                 "return { conflict = function() return 'current' end }");
    world_start(w);
    assert_int_equal(ask_about(w, "k").word, ML_CONFLICT_CURRENT);
    EXPECT(w, strstr(w->log, "b-babbles: conflict failed: must answer"));
    for (int i = 0; i < 6; i++) /* the breaker opens */
        assert_int_equal(ask_about(w, "k").word, ML_CONFLICT_CURRENT);
}

static void what_is_not_pure_raises(void **state)
{
    static const char *const calls[] = {
        "ml.time.now()",
        "ml.time.mono()",
        "ml.log.info('x')",
        "ml.crypto.random(8)",
        "ml.timer.after(1, function() end)",
        "ml.jobs.push('x', {})",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[256];

        (void)snprintf(body, sizeof body,
                       "local ok, why = pcall(function() return %s end)\n"
                       "if not ok and tostring(why):find('is not pure', 1, true) then\n"
                       "  return 'current'\nend",
                       calls[i]);
        with(w, "{}", body);
        EXPECT(w, ask_about(w, "k").word == ML_CONFLICT_CURRENT);
        world_stop(w);
    }
}

static void what_computes_may_be_called(void **state)
{
    struct world *w = *state;

    with(w, "{}",
         "local s = ml.set({ 'a' }) + ml.set({ 'b' })\n"
         "assert(ml.json.encode(s:sorted()) == '[\"a\",\"b\"]')\n"
         "assert(ml.text.len16('é') == 1 and ml.glob.match('a/*', 'a/b'))\n"
         "return 'current'");
    EXPECT(w, ask_about(w, "k").word == ML_CONFLICT_CURRENT);
}

static void chance_is_seeded_by_the_question(void **state)
{
    struct world *w = *state;
    struct ml_script_conflict c;
    struct ml_conflict_answer first, again, other;

    with(w, "{}", "return ml.merge({ math.random(), math.random(1000000) })");
    c = clash(w, "k", "1", "2");
    c.seed = 0x123456789abcdefu;
    first = ask(w, &c);
    again = ask(w, &c);
    c.seed ^= 1ull << 40;
    other = ask(w, &c);
    assert_int_equal(first.word, ML_CONFLICT_MERGE);
    assert_true(ml_slice_equal(first.any, again.any));
    assert_false(ml_slice_equal(first.any, other.any));
}

static void views_expire_with_the_call(void **state)
{
    struct world *w = *state;

    with(w, "{}",
         "if self.state.kept then\n"
         "  local ok, why = pcall(function() return self.state.kept.value end)\n"
         "  return not ok and why:find('expired') and 'current' or 'incoming'\n"
         "end\n"
         "self.state.kept = c.current.author\n");
    assert_int_equal(ask_about(w, "k").word, ML_CONFLICT_NATURAL);
    EXPECT(w, ask_about(w, "k").word == ML_CONFLICT_CURRENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_sees_both_sides_and_what_both_had_seen),
        TEST(deleted_is_nil),
        TEST(merge_brings_a_value),
        TEST(keep_both_names_a_list),
        TEST(filters_keep_lua_out),
        TEST(a_kind_of_edit_is_no_kind_of_conflict),
        TEST(who_names_no_kinds_hears_of_keys),
        TEST(of_a_block_both_stand_and_it_becomes_text),
        TEST(of_a_deletion_the_answer_is_a_side),
        TEST(the_first_opinion_counts),
        TEST(who_fails_has_no_opinion),
        TEST(what_is_not_pure_raises),
        TEST(what_computes_may_be_called),
        TEST(chance_is_seeded_by_the_question),
        TEST(views_expire_with_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
