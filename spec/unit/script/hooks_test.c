/* SPDX-License-Identifier: MIT */
/* The five hooks: answers, how several become one, failures and the breaker. */
#include "world.h"

#include <string.h>

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

static int slice_is(struct ml_slice slice, const char *text)
{
    return ml_slice_equal(slice, ml_slice_str(text));
}

/* ---- The plugins that ship
 * ----------------------------------------------------------------------------- */

static void shipped_plugins_load_without_a_folder(void **state)
{
    const unsigned wanted = ML_HOOK_AUTHORIZE | ML_HOOK_BEFORE_UPDATE | ML_HOOK_SNAPSHOT_POLICY;
    struct world *w = *state;

    w->options.plugins_dir = (struct ml_slice){0};
    world_enable(w, "hello", NULL);
    world_enable(w, "snapshot-cadence", NULL);
    world_enable(w, "closing-time", "{\"closes_at\": 1700000001}");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    assert_int_equal(ml_script_hooks(w->script) & wanted, wanted);
    assert_false(ml_script_hooks(w->script) & (ML_HOOK_AUTHENTICATE | ML_HOOK_CONFLICT));
    EXPECT(w, world_insert(w, "body", "hi") == ML_OK);
    world_wall_ms = 1700000002000;
    EXPECT(w, world_insert(w, "body", "hi") == ML_EDENIED);
    EXPECT(w, slice_is(w->denial.code, "closing-time.closed"));
    EXPECT(w, slice_is(w->denial.reason, "This document is closed."));
    EXPECT(w, !w->denial.fence);
}

static void snapshot_cadence_sets_the_policy_from_its_config(void **state)
{
    struct world *w = *state;
    struct ml_snapshot_policy policy = {
        .every_ops = 1000, .every_bytes = 1 << 20, .idle_ms = 300000};

    world_enable(w, "snapshot-cadence",
                 "{\"ops\": 7, \"bytes\": \"1KiB\", \"every\": \"2m\", \"on_unload\": false, "
                 "\"per_docs\": [{\"docs\": \"boards/**\", \"ops\": 3, \"on_unload\": true}]}");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_script_snapshot_policy(w->script, ML_SLICE("acme"), ML_SLICE("notes/1"), &w->scratch,
                              &policy);
    assert_int_equal(policy.every_ops, 7);
    assert_int_equal(policy.every_bytes, 1024);
    assert_int_equal(policy.every_ms, 120000);
    assert_int_equal(policy.idle_ms, 30000);
    assert_int_equal(policy.min_gap_ms, 60000);
    assert_false(policy.on_unload);
    assert_true(policy.on_shutdown);
    ml_script_snapshot_policy(w->script, ML_SLICE("acme"), ML_SLICE("boards/x/1"), &w->scratch,
                              &policy);
    assert_int_equal(policy.every_ops, 3);
    assert_true(policy.on_unload);
    assert_int_equal(policy.every_bytes, 1024);
}

/* ---- snapshot_policy: earliest of each
 * ------------------------------------------------------------------- */

static void the_earliest_of_each_counts_and_the_rest_stays(void **state)
{
    struct world *w = *state;
    struct ml_snapshot_policy policy = {.every_ops = 1000, .idle_ms = 5, .min_gap_ms = 9};

    world_plugin(w, "one", "hooks = { snapshot_policy = {} }",
                 "return { snapshot_policy = function() return { every_ops = 50, every = '10s', "
                 "on_unload = false } end }");
    world_plugin(w, "two", "hooks = { snapshot_policy = {} }",
                 "return { snapshot_policy = function() return { every_ops = 20, every = '1m', "
                 "idle = 0 } end }");
    world_plugin(w, "three", "hooks = { snapshot_policy = {} }",
                 "return { snapshot_policy = function() return { every_ops = 'x' } end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    policy.on_unload = true;
    ml_script_snapshot_policy(w->script, ML_SLICE("o"), ML_SLICE("d"), &w->scratch, &policy);
    assert_int_equal(policy.every_ops, 20);
    assert_int_equal(policy.every_ms, 10000);
    assert_int_equal(policy.idle_ms, 0);
    assert_int_equal(policy.min_gap_ms, 9);
    assert_false(policy.on_unload);
    EXPECT(w, strstr(w->log, "three: snapshot_policy failed: every_ops must be a number from 0"));
}

/* ---- authenticate: first
 * ------------------------------------------------------------------------------------ */

static const char *const auth_init =
    "local ml = require 'moonloom'\n"
    "local P = {}\n"
    "function P:authenticate(req)\n"
    "  local token = req.token\n"
    "  if token == nil then return nil end\n"
    "  if token == 'ana' then\n"
    "    return { user = 'u1', name = 'Ana', roles = { 'editor', 'org.admin' }, expires_at = "
    "1800000000, session = 's9' }\n"
    "  end\n"
    "  if token == 'header' then return { user = req.headers['X-User'], kind = 'guest', name = "
    "req.cookies.n } end\n"
    "  if token == 'boom' then error('no') end\n"
    "  if token == 'wrong' then return 7 end\n"
    "  if token == 'nouser' then return { name = 'x' } end\n"
    "  if token == 'typo' then return { user = 'x', rolls = {} } end\n"
    "  return ml.deny('bad_token', 'Sign in again.', { status = 401 })\n"
    "end\n"
    "return P\n";

struct auth_case {
    const char *token;
    enum ml_err err;
    bool known;
};

static void the_first_answer_is_the_identity(void **state)
{
    static const struct auth_case cases[] = {
        {NULL, ML_OK, false},        {"ana", ML_OK, true},         {"header", ML_OK, true},
        {"boom", ML_ESCRIPT, false}, {"wrong", ML_ESCRIPT, false}, {"nouser", ML_ESCRIPT, false},
        {"typo", ML_ESCRIPT, false}, {"other", ML_EDENIED, false},
    };
    struct world *w = *state;
    const struct ml_script_pair headers[] = {{ML_SLICE("x-user"), ML_SLICE("u2")}};
    const struct ml_script_pair cookies[] = {{ML_SLICE("n"), ML_SLICE("Ben")}};

    world_plugin(w, "keys", "phase = 'auth', hooks = { authenticate = {} }", auth_init);
    world_plugin(w, "zlast", "phase = 'observe', hooks = { authenticate = {} }",
                 "return { authenticate = function(_, req) if req.token == 'ana' then "
                 "error('asked') end end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct ml_script_request request = {
            .method = ML_SLICE("GET"),
            .path = ML_SLICE("/ws"),
            .headers = headers,
            .header_count = 1,
            .cookies = cookies,
            .cookie_count = 1,
            .is_websocket = true,
            .token = cases[i].token ? ml_slice_str(cases[i].token) : (struct ml_slice){0},
        };
        struct ml_script_identity identity;

        world_mono_ms += 60000; /* the breaker is another test */
        EXPECT(w, !ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w));
        EXPECT(w, w->access.err == cases[i].err);
        EXPECT(w, w->access.is_known == cases[i].known);
        identity = w->access.identity;
        if (i == 1) {
            EXPECT(w, slice_is(identity.user, "u1") && slice_is(identity.name, "Ana"));
            EXPECT(w, identity.role_count == 2 && slice_is(identity.roles[1], "org.admin"));
            EXPECT(w, identity.expires_at_ms == 1800000000000 && slice_is(identity.kind, "user"));
            EXPECT(w, slice_is(identity.session, "s9"));
        }
        if (i == 2)
            EXPECT(w, slice_is(identity.user, "u2") && slice_is(identity.name, "Ben") &&
                          slice_is(identity.kind, "guest"));
    }
    EXPECT(w, slice_is(w->denial.code, "keys.bad_token") && w->denial.status == 401);
    EXPECT(w, strstr(w->log, "identity: unknown field 'rolls'"));
    EXPECT(w, strstr(w->log, "must answer an identity, ml.deny or nil, not a number"));
}

/* ---- authorize: merge
 * ----------------------------------------------------------------------------------------- */

static enum ml_err authorize(struct world *w, const char *document, struct ml_script_grant *grant)
{
    static const struct ml_slice roles[] = {{(const uint8_t *)"editor", 6}};
    struct ml_script_identity identity = {.user = ML_SLICE("ana"),
                                          .name = ML_SLICE("Ana"),
                                          .roles = roles,
                                          .role_count = 1,
                                          .kind = ML_SLICE("user")};
    struct ml_script_ask ask = {.action = ML_SLICE("doc.open"),
                                .org = ML_SLICE("acme"),
                                .document = ml_slice_str(document),
                                .identity = &identity};

    EXPECT(w, !ml_script_authorize(w->script, &ask, &w->scratch, world_keep_access, w));
    *grant = w->access.grant;
    return w->access.err;
}

static void grants_unite_restrictions_subtract_and_a_denial_wins(void **state)
{
    struct world *w = *state;
    struct ml_script_grant grant;

    world_plugin(w, "readers", "hooks = { authorize = {} }",
                 "local ml = require 'moonloom'\n"
                 "return { authorize = function(_, ask)\n"
                 "  if ask.doc_id == 'silent' then return end\n"
                 "  return ml.grant { read = true, presence = true, ttl = '5m' } end }");
    world_plugin(
        w, "writers", "hooks = { authorize = {} }",
        "local ml = require 'moonloom'\n"
        "return { authorize = function(_, ask)\n"
        "  if ask.doc_id == 'paths' then return ml.grant { write = { 'content/**' } } end\n"
        "  if ask.doc_id == 'operations' then return ml.grant { write = { insert = { 'log' }, "
        "format = true, ['xml.attr'] = { 'x' } } } end\n"
        "  if ask.doc_id == 'wrong' then return ml.grant { write = { moan = true } } end\n"
        "  if ask.doc_id == 'all' then return ml.grant { write = { 'x', '**' }, ttl = 60 } end\n"
        "  if ask.identity:has_role 'editor' and ask.doc_id ~= 'silent' then return ml.grant { "
        "write = true } end end }");
    world_plugin(
        w, "freeze", "phase = 'validate', hooks = { authorize = {} }",
        "local ml = require 'moonloom'\n"
        "return { authorize = function(_, ask)\n"
        "  if ask.doc_id == 'frozen' then return ml.restrict { write = true, code = 'frozen', "
        "reason = 'Frozen.' } end\n"
        "  if ask.doc_id == 'operations' then return ml.restrict { write = { 'legal/**' }, code = "
        "'legal', reason = 'Not the legal text.' } end\n"
        "  if ask.doc_id == 'secret' then return ml.deny('secret', 'Not for you.') end end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);

    EXPECT(w, authorize(w, "notes", &grant) == ML_OK);
    EXPECT(w, grant.given && grant.read && grant.write && grant.presence && !grant.messages &&
                  !grant.history);
    EXPECT(w, grant.ttl_ms == 300000);
    EXPECT(w, authorize(w, "all", &grant) == ML_OK && grant.write && grant.ttl_ms == 60000);
    EXPECT(w, authorize(w, "frozen", &grant) == ML_OK && grant.read && !grant.write);
    EXPECT(w, authorize(w, "silent", &grant) == ML_OK && !grant.given && !grant.read);
    EXPECT(w, authorize(w, "secret", &grant) == ML_EDENIED &&
                  slice_is(w->denial.code, "freeze.secret"));
    EXPECT(w, authorize(w, "paths", &grant) == ML_OK && grant.write && grant.write_count == 1);
    EXPECT(w, slice_is(grant.writes[0].pattern, "content/**") && !grant.writes[0].bars &&
                  grant.writes[0].kinds == ML_EDIT_ALL);
    EXPECT(w, authorize(w, "operations", &grant) == ML_OK && grant.write_count == 4);
    for (size_t i = 0; i < 4; i++) {
        const struct ml_script_write *line = &grant.writes[i];

        if (line->bars)
            EXPECT(w, slice_is(line->code, "freeze.legal") && slice_is(line->pattern, "legal/**"));
        else if (!line->pattern.len)
            EXPECT(w, line->kinds == 1u << ML_EFFECT_TEXT_FORMAT);
        else if (slice_is(line->pattern, "log"))
            EXPECT(w, (line->kinds & (1u << ML_EFFECT_TEXT_INSERT)) &&
                          !(line->kinds & (1u << ML_EFFECT_TEXT_DELETE)));
        else
            EXPECT(w, line->kinds == (1u << ML_EFFECT_XML_ATTR | ML_EDIT_ATTR_REMOVED));
    }
    EXPECT(w, authorize(w, "wrong", &grant) == ML_ESCRIPT);
    EXPECT(w, strstr(w->log, "'moan' is neither insert, delete or format nor a kind of edits"));
}

/* ---- before_update: fold
 * ---------------------------------------------------------------------------------------- */

static void phases_then_names_and_the_first_denial_ends_it(void **state)
{
    struct world *w = *state;
    const char *init = "local ml = require 'moonloom'\n"
                       "return { before_update = function(self, u) ml.log.info(self.name)\n"
                       "  for e in u:edits 'text' do if e.text == self.name then\n"
                       "    return ml.deny('no', 'No.', { mode = 'fence' }) end end end }";
    const char *a, *b, *c;

    world_plugin(w, "bb", "phase = 'policy', hooks = { before_update = {} }", init);
    world_plugin(w, "aa",
                 "phase = 'policy', order = { after = { 'bb' } }, hooks = { before_update = {} }",
                 init);
    world_plugin(w, "cc", "phase = 'policy', hooks = { before_update = { phase = 'limit' } }",
                 init);
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, world_insert(w, "body", "x") == ML_OK);
    a = strstr(w->log, " aa: aa"), b = strstr(w->log, " bb: bb"), c = strstr(w->log, " cc: cc");
    EXPECT(w, a && b && c && c < b && b < a);
    w->log[0] = '\0';
    EXPECT(w, world_insert(w, "body", "bb") == ML_EDENIED);
    EXPECT(w, w->denial.fence && slice_is(w->denial.code, "bb.no"));
    EXPECT(w, !strstr(w->log, " aa: aa"));
}

static void filters_run_before_lua(void **state)
{
    struct world *w = *state;
    struct ml_script_stats before, after;
    struct ml_writer out;

    world_plugin(w, "p",
                 "hooks = { before_update = { kinds = { 'text' }, paths = { 'body' }, min_bytes = "
                 "10, origins = { 'client' } } }",
                 "local ml = require 'moonloom'\n"
                 "return { before_update = function() return ml.deny('no', 'No.') end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_writer_init(&out, 4096);
    ml_script_stats(w->script, &before);
    EXPECT(w, world_insert(w, "b", "") == ML_OK);              /* too small */
    EXPECT(w, world_insert(w, "title", "some text") == ML_OK); /* another root */
    put_map_update(&out, "body", "title", "some text");
    EXPECT(w, world_update(w, ml_writer_slice(&out)) == ML_OK); /* another kind */
    ml_script_stats(w->script, &after);
    EXPECT(w, after.calls == before.calls);
    EXPECT(w, world_insert(w, "body", "some text") == ML_EDENIED);
    ml_writer_reset(&out);
    put_delete_update(&out, 100000); /* nothing of it is there */
    EXPECT(w, world_update(w, ml_writer_slice(&out)) == ML_OK);
    ml_writer_release(&out);
}

static void the_update_view_tells_what_is_there(void **state)
{
    struct world *w = *state;
    struct ml_writer out;

    world_plugin(
        w, "p", "hooks = { before_update = {} }",
        "local ml = require 'moonloom'\n"
        "return { before_update = function(_, u)\n"
        "  assert(u.author.user == 'ana' and u.author.name == 'Ana' and u.member.session == 's1')\n"
        "  assert(u.author:has_role 'editor' and not u.author:has_role 'x' and u.author.roles[1] "
        "== 'editor')\n"
        "  assert(u.origin == 'client' and u.at == 1700000000 and u.doc.id == 'notes/1' and u.org "
        "== 'acme')\n"
        "  assert(u.bytes > 0 and u.deleted == 0)\n"
        "  local n = 0\n"
        "  for e in u:edits() do n = n + 1\n"
        "    if e.kind == 'text.insert' then\n"
        "      assert(e.text == 'h\\195\\164' and e.root == 'body' and e.path == 'body' and e.len "
        "== 2 and e.exact)\n"
        "      assert(u.inserted == 2 and u.keys == 0)\n"
        "      for inner in u:edits('map') do error 'none' end\n"
        "    else\n"
        "      assert(e.kind == 'map.set' and e.key == 'title' and e.exact and e.text == nil and "
        "u.keys == 1)\n"
        "      assert(u:touches 'meta' and not u:touches 'body')\n"
        "      for inner in u:edits(nil, 'other') do error 'none' end\n"
        "    end\n"
        "  end\n"
        "  assert(n == 1)\n"
        "  local copy = u:snapshot()\n"
        "  assert(copy.bytes == u.bytes and #copy.edits == 1 and copy.author.user == 'ana')\n"
        "  assert(ml.json.encode(copy))\n"
        "end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, world_insert(w, "body", "h\xc3\xa4") == ML_OK);
    ml_writer_init(&out, 4096);
    put_map_update(&out, "meta", "title", "Plan");
    EXPECT(w, world_update(w, ml_writer_slice(&out)) == ML_OK);
    ml_writer_release(&out);
    EXPECT(w, w->log[0] == '\0');
}

static void a_view_expires_and_says_so(void **state)
{
    struct world *w = *state;

    world_plugin(
        w, "p", "hooks = { before_update = { on_error = 'hold' } }",
        "local kept, edits, e\n"
        "return { before_update = function(self, u)\n"
        "  if not kept then kept = u.doc edits = u.edits e = u:edits() kept2 = nil return end\n"
        "  return kept.id end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, world_insert(w, "body", "x") == ML_ESCRIPT); /* kept2: global write */
    EXPECT(w, strstr(w->log, "global write: 'kept2'"));
    EXPECT(w, world_insert(w, "body", "x") == ML_ESCRIPT);
    EXPECT(w, strstr(w->log, "view expired"));
}

static void reading_the_document_works(void **state)
{
    struct world *w = *state;
    struct ml_doc_options options = {.client = 0};
    struct ml_doc *doc = ml_doc_new(&options);
    struct ml_slice authors[] = {ML_SLICE("ana"), ML_SLICE("ben")};
    struct ml_script_batch batch = {.org = ML_SLICE("acme"),
                                    .document = ML_SLICE("notes/1"),
                                    .doc = doc,
                                    .authors = authors,
                                    .author_count = 2,
                                    .from_seq = 3,
                                    .to_seq = 5,
                                    .bytes = 99,
                                    .count = 3};
    struct ml_writer out;
    struct ml_diag diag;

    ml_writer_init(&out, 4096);
    put_text_update(&out, "body", "h\xc3\xa4llo \xf0\x9f\x99\x82 du");
    assert_int_equal(ml_doc_apply_bytes(doc, ml_writer_slice(&out), &diag), ML_OK);
    ml_writer_release(&out);
    world_plugin(
        w, "p", "hooks = { after_update = {} }",
        "local ml = require 'moonloom'\n"
        "return { after_update = function(_, b)\n"
        "  local t = b.doc:text 'body'\n"
        "  assert(t:tostring() == 'h\\195\\164llo \\240\\159\\153\\130 du', t:tostring())\n"
        "  assert(t:len() == 11 and t:slice(1, 4) == '\\195\\164llo' and t:find('du') == 9 and "
        "t:find('zz') == nil)\n"
        "  assert(b.count == 3 and b.bytes == 99 and b.from_seq == 3 and b.to_seq == 5)\n"
        "  assert(table.concat(b.authors, ',') == 'ana,ben' and b.doc.id == 'notes/1')\n"
        "  assert(type(b.doc:json 'body') == 'string')\n"
        "  ml.log.info('fine')\n"
        "end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_script_after_update(w->script, &batch, &w->scratch);
    EXPECT(w, strstr(w->log, "p: fine"));
    ml_doc_free(doc);
}

static void observers_are_told_each_and_one_failing_does_not_touch_the_others(void **state)
{
    struct world *w = *state;
    struct ml_script_batch batch = {.document = ML_SLICE("d"), .count = 1};

    world_plugin(w, "a", "hooks = { after_update = {} }",
                 "return { after_update = function() error('oh') end }");
    world_plugin(w, "b", "hooks = { after_update = {} }",
                 "local ml = require 'moonloom' return { after_update = function() ml.log.info "
                 "'told' return 1 end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_script_after_update(w->script, &batch, &w->scratch);
    EXPECT(w,
           strstr(w->log, "a: after_update failed: a/init.lua:1: oh") && strstr(w->log, "b: told"));
}

/* ---- Failures
 * ------------------------------------------------------------------------------------------------------
 */

static void the_phase_decides_whether_a_failure_holds_or_skips(void **state)
{
    static const struct {
        const char *hook;
        enum ml_err err;
    } cases[] = {
        {"phase = 'validate', hooks = { before_update = {} }", ML_ESCRIPT},
        {"phase = 'auth', hooks = { before_update = {} }", ML_ESCRIPT},
        {"phase = 'policy', hooks = { before_update = {} }", ML_OK},
        {"phase = 'observe', hooks = { before_update = {} }", ML_OK},
        {"phase = 'policy', hooks = { before_update = { on_error = 'hold' } }", ML_ESCRIPT},
    };
    static const char *const broken[] = {
        "return { before_update = function() error('x') end }",
        "return { before_update = function() error({}) end }",
        "return { before_update = function() return 'yes' end }",
        "return { before_update = function() while true do local t = {} end end }",
        "return { before_update = function() local s = 'x' while true do s = s .. s end end }",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t j = 0; j < sizeof(broken) / sizeof(*broken); j++) {
            struct ml_script_stats stats;

            w->options.limits.hook_ms =
                j == 3 ? 20 : 60000; /* one runs out of time, one of memory */
            world_plugin(w, "p", cases[i].hook, broken[j]);
            world_start(w);
            EXPECT(w, w->err == ML_OK);
            EXPECT(w, world_insert(w, "body", "x") == cases[i].err);
            EXPECT(w, strstr(w->log, "before_update failed"));
            ml_script_stats(w->script, &stats);
            EXPECT(w, stats.errors == (j < 3) && stats.timeouts == (j == 3) &&
                          stats.memory_faults == (j == 4));
            world_stop(w);
        }
    }
}

static void five_failures_open_the_breaker_and_a_trial_closes_it(void **state)
{
    struct world *w = *state;
    struct ml_script_stats stats;
    uint64_t open_ms = 1000;

    world_plugin(w, "p", "phase = 'validate', hooks = { before_update = {} }",
                 "return { before_update = function(_, u) for e in u:edits() do if e.text == 'bad' "
                 "then error('x') end end end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    for (int i = 0; i < 5; i++) {
        EXPECT(w, world_insert(w, "body", "bad") == ML_ESCRIPT);
        world_mono_ms += 100;
    }
    ml_script_stats(w->script, &stats);
    assert_int_equal(stats.calls, 5);
    EXPECT(w, world_insert(w, "body", "good") == ML_ESCRIPT); /* open: Lua is not asked */
    ml_script_stats(w->script, &stats);
    assert_int_equal(stats.calls, 5);
    /* Each failed trial doubles the time, up to a minute. */
    for (int i = 0; i < 9; i++) {
        world_mono_ms += open_ms - (i == 0 ? 101 : 1);
        EXPECT(w, world_insert(w, "body", "bad") == ML_ESCRIPT);
        ml_script_stats(w->script, &stats);
        assert_int_equal(stats.calls, 5 + i);
        world_mono_ms += 1;
        EXPECT(w, world_insert(w, "body", "bad") == ML_ESCRIPT);
        ml_script_stats(w->script, &stats);
        assert_int_equal(stats.calls, 6 + i);
        open_ms = open_ms * 2 > 60000 ? 60000 : open_ms * 2;
    }
    world_mono_ms += open_ms;
    EXPECT(w, world_insert(w, "body", "good") == ML_OK);
    EXPECT(w, world_insert(w, "body", "bad") == ML_ESCRIPT);
    EXPECT(w, world_insert(w, "body", "good") == ML_OK); /* closed again: one failure is not five */
}

static void failures_far_apart_do_not_open_the_breaker(void **state)
{
    struct world *w = *state;
    struct ml_script_stats stats;

    world_plugin(w, "p", "phase = 'validate', hooks = { before_update = {} }",
                 "return { before_update = function() error('x') end }");
    world_start(w);
    for (int i = 0; i < 20; i++) {
        EXPECT(w, world_insert(w, "body", "x") == ML_ESCRIPT);
        world_mono_ms += 2501;
    }
    ml_script_stats(w->script, &stats);
    assert_int_equal(stats.calls, 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(shipped_plugins_load_without_a_folder),
        TEST(snapshot_cadence_sets_the_policy_from_its_config),
        TEST(the_earliest_of_each_counts_and_the_rest_stays),
        TEST(the_first_answer_is_the_identity),
        TEST(grants_unite_restrictions_subtract_and_a_denial_wins),
        TEST(phases_then_names_and_the_first_denial_ends_it),
        TEST(filters_run_before_lua),
        TEST(the_update_view_tells_what_is_there),
        TEST(a_view_expires_and_says_so),
        TEST(reading_the_document_works),
        TEST(observers_are_told_each_and_one_failing_does_not_touch_the_others),
        TEST(the_phase_decides_whether_a_failure_holds_or_skips),
        TEST(five_failures_open_the_breaker_and_a_trial_closes_it),
        TEST(failures_far_apart_do_not_open_the_breaker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
