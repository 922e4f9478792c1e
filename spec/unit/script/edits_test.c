/* SPDX-License-Identifier: MIT */
/* Edits in the eyes of plugins: exact, one by one, refused and rewritten (plugin-api 7, 9.2, 9.3).
 */
#include "world.h"

static int open_world(void **state)
{
    struct world *w = malloc(sizeof(*w));

    world_init(w);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    world_release(*state);
    free(*state);
    return 0;
}

static bool slice_is(struct ml_slice slice, const char *text)
{
    return ml_slice_equal(slice, ml_slice_str(text));
}

/* An update of another writer, who knows all of world->doc: `ops` as JSON. */
static struct ml_slice written(struct world *w, const char *ops, struct ml_arena *arena)
{
    struct ml_doc *author = ml_doc_new(&(struct ml_doc_options){.client = 7});
    const struct ml_change *change;
    struct ml_writer state, any;
    struct ml_diag diag = {0};
    struct ml_slice bytes;

    assert_non_null(author);
    ml_writer_init(&state, 1 << 20);
    ml_writer_init(&any, 1 << 20);
    assert_int_equal(ml_doc_encode_state(w->doc, ml_slice_make(NULL, 0), &state), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(author, ml_writer_slice(&state), NULL), ML_OK);
    assert_int_equal(ml_any_from_json(ml_slice_str(ops), NULL, &any), ML_OK);
    if (ml_doc_run_ops(author, ml_writer_slice(&any), arena, &diag, &change))
        fail_msg("%s: %s", ops, diag.text);
    bytes = ml_arena_copy(arena, change->bytes);
    ml_writer_release(&state);
    ml_writer_release(&any);
    ml_doc_free(author);
    return bytes;
}

/* What is there before. */
static void given(struct world *w, const char *ops)
{
    struct ml_arena arena;
    struct ml_slice bytes;

    ml_arena_init(&arena, 1 << 20);
    bytes = written(w, ops, &arena);
    if (bytes.len)
        assert_int_equal(ml_doc_apply_bytes(w->doc, bytes, NULL), ML_OK);
    ml_arena_release(&arena);
}

static enum ml_err submit(struct world *w, const char *ops)
{
    struct ml_arena arena;
    struct ml_slice bytes;
    enum ml_err err;

    ml_arena_init(&arena, 1 << 20);
    bytes = written(w, ops, &arena);
    err = world_update(w, bytes);
    if (!err) {
        const struct ml_verdict verdict = {.effects = w->decision.effects};
        const struct ml_change *change;
        struct ml_slice changes[ML_AMENDMENTS_MAX];
        size_t count;

        assert_int_equal(ml_doc_apply(w->doc, w->decision.update, &verdict, &w->scratch, &change),
                         ML_OK);
        err = ml_script_amend(w->script, &(struct ml_scope){0}, &w->decision, w->doc, changes,
                              &count, &w->denial);
    }
    ml_script_update_done(w->script, &w->decision);
    ml_arena_release(&arena);
    return err;
}

static void assert_shows(struct world *w, const char *root, enum ml_view how, const char *expected)
{
    struct ml_writer out;

    ml_writer_init(&out, 1 << 20);
    assert_int_equal(ml_doc_read(w->doc, ml_slice_str(root), how, &out), ML_OK);
    if (!slice_is(ml_writer_slice(&out), expected))
        fail_msg("%s shows %.*s, not %s", root, (int)out.len, (char *)out.ptr, expected);
    ml_writer_release(&out);
}

#define PLUGIN(body)                                                                               \
    "local ml = require 'moonloom'\nreturn { before_update = function(self, u)\n" body "\nend }"

/* ---- Exact -------------------------------------------------------------------------------------
 */

static const struct {
    const char *before, *ops, *edits; /* kind path key index len text value before tag attrs */
} exact[] = {
    {"[]", "[[\"text.insert\",\"t\",0,\"Hi\"]]", "text.insert t - 0 2 Hi - - - -\n"},
    {"[[\"text.insert\",\"t\",0,\"Hello\"]]", "[[\"text.insert\",\"t\",5,\"!\"]]",
     "text.insert t - 5 1 ! - - - -\n"},
    {"[[\"text.insert\",\"t\",0,\"Hello\"]]", "[[\"text.delete\",\"t\",1,3]]",
     "text.delete t - 1 3 - - \"ell\" - -\n"},
    {"[[\"text.insert\",\"t\",0,\"Hello\"]]", "[[\"text.format\",\"t\",0,5,{\"bold\":true}]]",
     "text.format t - 0 1 - - - - {\"bold\":true}\ntext.format t - 5 1 - - - - "
     "{\"bold\":null}\n"},
    {"[]", "[[\"map.set\",\"meta\",\"a/b\",{\"x\":[1,\"y\"]}]]",
     "map.set meta a/b - 1 - {\"x\":[1,\"y\"]} - - -\n"},
    {"[[\"map.set\",\"meta\",\"title\",\"old\"]]", "[[\"map.set\",\"meta\",\"title\",\"new\"]]",
     "map.set meta title - 1 - \"new\" \"old\" - -\n"},
    {"[[\"map.set\",\"meta\",\"title\",\"old\"]]", "[[\"map.delete\",\"meta\",\"title\"]]",
     "map.delete meta title - 1 - - \"old\" - -\n"},
    {"[[\"array.insert\",\"l\",0,[1,2,3]]]", "[[\"array.insert\",\"l\",1,[\"a\",\"b\"]]]",
     "array.insert l - 1 2 - [\"a\",\"b\"] - - -\n"},
    {"[[\"array.insert\",\"l\",0,[1,2,3]]]", "[[\"array.delete\",\"l\",1,2]]",
     "array.delete l - 1 2 - - [2,3] - -\n"},
    {"[[\"map.set\",\"tasks\",\"a~b\",{\"$new\":\"array\",\"values\":[{\"$new\":\"map\"}]}]]",
     "[[\"map.set\",[\"tasks\",\"a~b\",0],\"done\",true]]",
     "map.set tasks/a~0b/0 done - 1 - true - - -\n"},
    {"[]",
     "[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\",\"attrs\":{\"id\":\"i\"},"
     "\"children\":[{\"$new\":\"xmltext\",\"text\":\"hi\"}]}]]]",
     "xml.insert x - 0 1 - - - p -\nxml.insert x/0 - 0 1 - - - - -\ntext.insert x/0/0 - 0 2 hi - "
     "- - -\nxml.attr x/0 id - 1 - \"i\" - - -\n"},
    {"[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\",\"children\":[{\"$new\":"
     "\"xmltext\",\"text\":\"hi\"}]},{\"$new\":\"xmlelement\",\"name\":\"q\"}]]]",
     "[[\"xml.delete\",\"x\",0,1],[\"attr.set\",\"x/0\",\"c\",\"v\"]]",
     "xml.attr x/1 c - 1 - \"v\" - - -\nxml.delete x - 0 1 - - \"<p>hi</p>\" p -\n"},
    {"[]", "[[\"map.set\",\"m\",\"d\",{\"$new\":\"doc\",\"guid\":\"g\"}]]",
     "subdoc m d - 1 - \"g\" - - -\n"},
    /* What comes and goes in one update is no edit. */
    {"[]", "[[\"text.insert\",\"t\",0,\"Hi\"],[\"text.delete\",\"t\",0,2]]", ""},
};

static void every_edit_says_what_it_is(void **state)
{
    struct world *w = *state;
    char expected[1024];

    world_plugin(w, "p", "hooks = { before_update = {} }",
                 PLUGIN("local function show(v) if v == nil then return '-' end return "
                        "ml.json.encode(v) end\n"
                        "local lines = {}\n"
                        "for e in u:edits() do\n"
                        "  lines[#lines + 1] = table.concat({ e.kind, e.path, e.key or '-', "
                        "tostring(e.index or '-'), tostring(e.len), e.text or '-', show(e.value), "
                        "show(e.before), e.tag or '-', show(e.attrs) }, ' ') .. '\\n'\n"
                        "  assert(e.exact and e.author.user == 'ana')\n"
                        "end\n"
                        "return ml.deny('seen', 'edits:\\n' .. table.concat(lines))"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    for (size_t i = 0; i < sizeof(exact) / sizeof(*exact); i++) {
        ml_doc_free(w->doc);
        w->doc = ml_doc_new(&(struct ml_doc_options){.client = 99});
        given(w, exact[i].before);
        w->log[0] = '\0';
        EXPECT(w, submit(w, exact[i].ops) == ML_EDENIED);
        snprintf(expected, sizeof(expected), "edits:\n%s", exact[i].edits);
        if (!slice_is(w->denial.reason, expected))
            fail_msg("%s\nis seen as\n%.*s\nnot\n%s", exact[i].ops, (int)w->denial.reason.len,
                     (const char *)w->denial.reason.ptr, exact[i].edits);
    }
}

static void filters_know_paths_keys_and_ids(void **state)
{
    struct world *w = *state;

    world_plugin(
        w, "p",
        "hooks = { authorize_edit = { kinds = { 'map.set' }, paths = { 'tasks/*' }, keys = "
        "{ 'price' } } }",
        "local ml = require 'moonloom'\n"
        "return { authorize_edit = function(self, e)\n"
        "  assert(e.path == 'tasks/7' and e.key == 'price')\n"
        "  if e.value < (e.before or 0) then return ml.deny('down', 'Upwards only.') end "
        "end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    given(w, "[[\"map.set\",\"tasks\",\"7\",{\"$new\":\"map\",\"entries\":{\"price\":5}}]]");
    EXPECT(w, submit(w, "[[\"map.set\",\"tasks/7\",\"price\",9],[\"map.set\",\"tasks/"
                        "7\",\"name\",\"x\"],[\"map.set\",\"tasks\",\"price\",0]]") == ML_OK);
    EXPECT(w, w->decision.refusal_count == 0 && !w->log[0]);
    EXPECT(w, submit(w, "[[\"map.set\",\"tasks/7\",\"price\",3],[\"map.set\",\"tasks/"
                        "7\",\"name\",\"y\"]]") == ML_OK);
    EXPECT(w, w->decision.refusal_count == 1);
    EXPECT(w, slice_is(w->decision.refusals[0].denial.code, "p.down"));
    assert_shows(w, "tasks", ML_VIEW_JSON, "{\"7\":{\"name\":\"y\",\"price\":9},\"price\":0}");
}

static void an_element_is_found_by_its_id(void **state)
{
    struct world *w = *state;

    world_plugin(w, "p", "hooks = { before_update = { paths = { 'x/#intro/**' } } }",
                 PLUGIN("for e in u:edits('text', 'x/#intro/*') do u:undo(e, 'intro', 'Not here.') "
                        "end"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    given(w, "[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\",\"attrs\":{\"id\":"
             "\"intro\"},\"children\":[{\"$new\":\"xmltext\",\"text\":\"hi\"}]},{\"$new\":"
             "\"xmlelement\",\"name\":\"p\",\"children\":[{\"$new\":\"xmltext\",\"text\":\"ho\"}]}]"
             "]]");
    EXPECT(w,
           submit(w, "[[\"text.insert\",\"x/0/0\",0,\"A\"],[\"text.insert\",\"x/1/0\",0,\"B\"]]") ==
               ML_OK);
    EXPECT(w, !w->log[0]);
    assert_shows(w, "x", ML_VIEW_XML, "<p id=\"intro\">hi</p><p>Bho</p>");
}

/* ---- Rewritten ---------------------------------------------------------------------------------
 */

static void later_plugins_see_the_edits_as_rewritten(void **state)
{
    struct world *w = *state;

    world_plugin(w, "a", "hooks = { before_update = {} }",
                 PLUGIN("u:label('seen by', { 'a' })\n"
                        "for e in u:edits('text.insert') do\n"
                        "  if e.text == 'drop' then u:remove(e)\n"
                        "  elseif e.text == 'no' then u:undo(e, 'no', 'No.')\n"
                        "  else u:replace(e, (e.text:gsub('%d', '*'))) end\n"
                        "end"));
    world_plugin(w, "b", "hooks = { before_update = {} }",
                 PLUGIN("assert(u.labels['seen by'][1] == 'a')\n"
                        "local seen = {}\n"
                        "for e in u:edits() do seen[#seen + 1] = e.text end\n"
                        "assert(table.concat(seen, ',') == 'pay ** now', table.concat(seen, ','))\n"
                        "assert(#u:snapshot().edits == 1)"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, submit(w, "[[\"text.insert\",\"a\",0,\"drop\"],[\"text.insert\",\"b\",0,\"no\"],["
                        "\"text.insert\",\"c\",0,\"pay 42 now\"]]") == ML_OK);
    EXPECT(w, !w->log[0]);
    EXPECT(w, w->decision.refusal_count == 1);
    assert_shows(w, "a", ML_VIEW_TEXT, "");
    assert_shows(w, "b", ML_VIEW_TEXT, "");
    assert_shows(w, "c", ML_VIEW_TEXT, "pay ** now");
}

static void a_value_can_be_replaced_and_a_block_read(void **state)
{
    struct world *w = *state;

    world_plugin(w, "p", "hooks = { before_update = {} }",
                 PLUGIN("for e in u:edits() do\n"
                        "  if e.kind == 'map.set' then u:replace(e, e.value:upper())\n"
                        "    assert(e.value == 'LOUD' and e.anchor(e) == nil)\n"
                        "  else\n"
                        "    assert(e:block_text() == 'second lin', e:block_text())\n"
                        "    assert(#e:anchor() > 3 and e.block == nil)\n"
                        "  end end"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    given(w, "[[\"text.insert\",\"t\",0,\"first\\nsecond\\nthird\"]]");
    EXPECT(w, submit(w, "[[\"map.set\",\"m\",\"k\",\"loud\"]]") == ML_OK);
    assert_shows(w, "m", ML_VIEW_JSON, "{\"k\":\"LOUD\"}");
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",12,\" lin\"]]") == ML_OK);
    EXPECT(w, !w->log[0]);
}

static void what_cannot_be_done_to_an_edit_raises(void **state)
{
    struct world *w = *state;

    world_plugin(w, "p", "hooks = { before_update = {} }",
                 PLUGIN("for e in u:edits() do\n"
                        "  assert(not pcall(u.replace, u, e, 'x'))\n"
                        "  assert(not pcall(u.remove, u, e))\n"
                        "  assert(not pcall(u.undo, u, u, 'a', 'b'))\n"
                        "  ml.log.info('asked') end"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    given(w, "[[\"text.insert\",\"t\",0,\"Hello\"]]");
    EXPECT(w, submit(w, "[[\"text.delete\",\"t\",0,2]]") == ML_OK);
    EXPECT(w, strstr(w->log, "asked"));
}

static void what_is_written_on_top_sees_the_result(void **state)
{
    struct world *w = *state;

    world_plugin(w, "a", "phase = 'validate', hooks = { before_update = {} }",
                 PLUGIN("local kept = u\n"
                        "u:amend(function(tx)\n"
                        "  assert(not pcall(function() return kept.bytes end), 'views are over')\n"
                        "  tx:text('t'):insert(2, '!')\n"
                        "  tx:map('meta'):set('by', 'a')\n"
                        "  if ml.time.now() == 1700000001 then error 'boom' end\n"
                        "end)"));
    world_plugin(w, "b", "phase = 'transform', hooks = { before_update = {} }",
                 PLUGIN("for e in u:edits() do if e.text == 'no' then return ml.deny('no', 'No.') "
                        "end end"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",0,\"hi\"]]") == ML_OK);
    EXPECT(w, !w->log[0]);
    assert_shows(w, "t", ML_VIEW_TEXT, "hi!");
    assert_shows(w, "meta", ML_VIEW_JSON, "{\"by\":\"a\"}");
    /* A later denial drops it. */
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",0,\"no\"]]") == ML_EDENIED);
    assert_shows(w, "t", ML_VIEW_TEXT, "hi!");
    /* One that fails has written nothing, and holds. */
    world_wall_ms += 1000;
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",0,\"so\"]]") == ML_ESCRIPT);
    EXPECT(w, strstr(w->log, "boom"));
    assert_shows(w, "t", ML_VIEW_TEXT, "sohi!");
    world_wall_ms -= 1000;
}

static void what_is_written_on_top_knows_places_and_may_deny(void **state)
{
    struct world *w = *state;

    world_plugin(w, "a", "phase = 'validate', hooks = { before_update = {} }",
                 PLUGIN("local from, to, kept\n"
                        "for e in u:edits('text.insert') do\n"
                        "  from, to = e:anchor(), e:anchor('end')\n"
                        "end\n"
                        "u:amend(function(tx, doc)\n"
                        "  local a, b = doc:position(from), doc:position(to)\n"
                        "  tx:text('t'):insert(b, ']')\n"
                        "  tx:text('t'):insert(a, '[')\n"
                        "  tx:text('t'):embed(0, { n = 1 })\n"
                        "  assert(not pcall(doc.position, doc, 'x'), 'no place')\n"
                        "  if doc:text('t'):tostring():find('no', 1, true) then\n"
                        "    return ml.deny('no', 'No.')\n"
                        "  end\n"
                        "end)"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    given(w, "[[\"text.insert\",\"t\",0,\"Hello\"]]");
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",2,\"XX\"]]") == ML_OK);
    EXPECT(w, !w->log[0]);
    assert_shows(w, "t", ML_VIEW_DELTA, "[{\"insert\":{\"n\":1}},{\"insert\":\"He[XX]llo\"}]");
    EXPECT(w, submit(w, "[[\"text.insert\",\"t\",0,\"no\"]]") == ML_EDENIED);
    EXPECT(w, slice_is(w->denial.code, "a.no"));
    EXPECT(w, !w->log[0]);
}

/* What its author may only propose is refused unless a plugin has spoken for it. */
static void what_is_owed_is_refused(void **state)
{
    struct world *w = *state;
    const struct ml_denial denial = {.code = ML_SLICE("g.no"), .reason = ML_SLICE("No.")};
    struct ml_script_update *u = &w->decision;

    world_plugin(w, "a", "phase = 'transform', hooks = { before_update = { proposals = true } }",
                 PLUGIN("for e in u:edits() do\n"
                        "  if u.proposes and e.path == 't' then u:propose(e) end\n"
                        "end"));
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, ml_script_proposes(w->script));
    EXPECT(w,
           submit(w, "[[\"text.insert\",\"t\",0,\"a\"],[\"text.insert\",\"v\",0,\"b\"]]") == ML_OK);
    EXPECT(w, ml_effects_count(u->effects) == 2);
    EXPECT(w, ml_script_update_owe(u, 0, &denial) == ML_OK &&
                  ml_script_update_owe(u, 1, &denial) == ML_OK);
    ml_script_update_propose(u, 0);
    EXPECT(w, u->owed_count == 1);
    EXPECT(w, ml_script_update_refuse_owed(u) == ML_OK);
    EXPECT(w, u->refusal_count == 1 && u->refusals[0].edit == 1 && !u->owed_count);
}

/* ---- authorize_edit ----------------------------------------------------------------------------
 */

static void calm_titles_as_printed(void **state)
{
    struct world *w = *state;

    world_plugin(
        w, "calm-titles",
        "phase = \"validate\", summary = \"No shouting in titles\", hooks = { authorize_edit = { "
        "kinds = { \"map.set\" }, paths = { \"meta\" }, keys = { \"title\" } } }, config = { "
        "version = 1, fields = { { \"max_caps\", type = \"number\", default = 0.7, min = 0, max = "
        "1, doc = \"Largest share of capital letters\" } } }",
        "local ml = require \"moonloom\"\n"
        "local Calm = {}\n"
        "function Calm:authorize_edit(e)\n"
        "  local title = e.value\n"
        "  if type(title) ~= \"string\" or #title < 8 then return end\n"
        "  local _, caps = title:gsub(\"%u\", \"\")\n"
        "  if caps / #title > self.config.max_caps then\n"
        "    return ml.deny(\"shouting\", \"Please use lower case in titles.\")\n"
        "  end\n"
        "end\n"
        "return Calm\n");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, submit(w, "[[\"map.set\",\"meta\",\"title\",\"Quiet words\"]]") == ML_OK);
    EXPECT(w, submit(w, "[[\"map.set\",\"meta\",\"title\",\"LOUD WORDS\"],[\"map.set\",\"meta\","
                        "\"by\",\"ANNOUNCER\"]]") == ML_OK);
    EXPECT(w, w->decision.refusal_count == 1);
    EXPECT(w, slice_is(w->decision.refusals[0].denial.code, "calm-titles.shouting"));
    assert_shows(w, "meta", ML_VIEW_JSON, "{\"by\":\"ANNOUNCER\",\"title\":\"Quiet words\"}");
}

static void a_broken_authorize_edit_holds(void **state)
{
    struct world *w = *state;

    world_plugin(w, "p", "hooks = { authorize_edit = {} }",
                 "return { authorize_edit = function() error 'boom' end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, submit(w, "[[\"map.set\",\"m\",\"k\",1]]") == ML_ESCRIPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_edit_says_what_it_is, open_world, close_world),
        cmocka_unit_test_setup_teardown(filters_know_paths_keys_and_ids, open_world, close_world),
        cmocka_unit_test_setup_teardown(an_element_is_found_by_its_id, open_world, close_world),
        cmocka_unit_test_setup_teardown(later_plugins_see_the_edits_as_rewritten, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_value_can_be_replaced_and_a_block_read, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_cannot_be_done_to_an_edit_raises, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_is_written_on_top_sees_the_result, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_is_written_on_top_knows_places_and_may_deny,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(what_is_owed_is_refused, open_world, close_world),
        cmocka_unit_test_setup_teardown(calm_titles_as_printed, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_broken_authorize_edit_holds, open_world, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
