/* SPDX-License-Identifier: MIT */
/* Calls that wait: parking, deadlines, groups, timers, cancelling. The outside is a list of
 * tickets. */
#include "world.h"

#include <string.h>

#define ASKED_MAX 128

struct asked {
    uint64_t ticket;
    enum ml_script_op_kind kind;
    char key[64], value[64];
    size_t items;
    int is_cancelled;
};

static struct {
    struct asked list[ASKED_MAX];
    size_t count;
    uint64_t wish_ms;
    enum ml_err refuse;
} outside;

static enum ml_err begin(void *arg, struct ml_script *script, uint64_t ticket,
                         const struct ml_script_op *op)
{
    struct asked *a = &outside.list[outside.count];
    const struct ml_script_item *last = op->item_count ? &op->items[op->item_count - 1] : NULL;

    (void)arg;
    (void)script;
    if (outside.refuse)
        return outside.refuse;
    assert_true(outside.count < ASKED_MAX);
    outside.count++;
    *a = (struct asked){.ticket = ticket, .kind = op->kind, .items = op->item_count};
    snprintf(a->key, sizeof(a->key), "%.*s", ML_PRINT(last ? last->key : op->key));
    snprintf(a->value, sizeof(a->value), "%.*s", ML_PRINT(last ? last->value : op->value));
    return ML_OK;
}

static void cancel(void *arg, struct ml_script *script, uint64_t ticket)
{
    (void)arg;
    (void)script;
    for (size_t i = 0; i < outside.count; i++)
        if (outside.list[i].ticket == ticket)
            outside.list[i].is_cancelled = 1;
}

static void wake_at(void *arg, struct ml_script *script, uint64_t at_ms)
{
    (void)arg;
    (void)script;
    outside.wish_ms = at_ms;
}

static int setup(void **state)
{
    static struct world world;

    world_init(&world);
    memset(&outside, 0, sizeof(outside));
    world.options.org = ML_SLICE("acme");
    world.options.port =
        (struct ml_script_port){.begin = begin, .cancel = cancel, .wake_at = wake_at};
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_release(*state);
    return 0;
}

/* A plugin whose before_update (which cannot wait) runs `fast` and whose setup runs `setup_code`.
 */
static void start(struct world *w, const char *setup_code, const char *fast)
{
    char init[4096];

    snprintf(init, sizeof(init),
             "local ml = require 'moonloom'\nlocal P = {}\n"
             "function P:setup() %s end\n"
             "function P:before_update(u) %s end\nreturn P\n",
             setup_code, fast);
    world_plugin(w, "p", "needs = { 'kv' }, hooks = { before_update = {} }", init);
    world_start(w);
    EXPECT(w, w->err == ML_OK);
}

static void advance(struct world *w, uint64_t ms)
{
    world_mono_ms += ms;
    ml_script_tick(w->script);
}

/* The answer to question number `i` (from 0): one item with that JSON, or none. */
static void answer(struct world *w, size_t i, const char *json)
{
    struct ml_script_item item = {.key = ML_SLICE("k"), .rev = 7, .number = 3};
    struct ml_script_answer a = {.items = &item, .item_count = json ? 1 : 0};

    assert_true(i < outside.count);
    if (json)
        item.value = ml_slice_str(json);
    ml_script_resume(w->script, outside.list[i].ticket, &a);
}

static void a_timer_runs_and_may_wait(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.timer.after('2s', function() local v, rev = ml.kv.get('a') ml.log.info('got', { v = "
          "v, rev = rev }) end)",
          "");
    assert_int_equal(outside.wish_ms, world_mono_ms + 2000);
    advance(w, 1999);
    assert_int_equal(outside.count, 0);
    advance(w, 1);
    assert_int_equal(outside.count, 1);
    assert_string_equal(outside.list[0].key, "a");
    EXPECT(w, !strstr(w->log, "got"));
    answer(w, 0, "\"x\"");
    EXPECT(w, strstr(w->log, "got rev=7 v=x") || strstr(w->log, "got v=x rev=7"));
    advance(w, 100000);
    assert_int_equal(outside.count, 1);
}

static void runs_of_a_timer_never_overlap(void **state)
{
    struct world *w = *state;

    start(w,
          "self.state.t = ml.timer.every('1s', function() ml.kv.get('a') ml.log.info('ran') end)",
          "self.state.t:stop()");
    advance(w, 1000);
    advance(w, 5000);
    assert_int_equal(outside.count, 1);
    answer(w, 0, NULL);
    EXPECT(w, strstr(w->log, "ran"));
    advance(w, 999);
    assert_int_equal(outside.count, 1);
    advance(w, 1);
    assert_int_equal(outside.count, 2);
    EXPECT(w, world_insert(w, "body", "x") == ML_OK); /* stops it while it runs */
    answer(w, 1, NULL);
    advance(w, 60000);
    assert_int_equal(outside.count, 2);
}

static void a_hook_that_cannot_wait_says_what_to_do(void **state)
{
    struct world *w = *state;

    start(w, "", "ml.kv.get('a')");
    (void)world_insert(w, "body", "x");
    EXPECT(w,
           strstr(w->log, "before_update cannot wait: ml.kv.get. Use ml.cache, load it in setup, "
                          "or do it in after_update"));
    assert_int_equal(outside.count, 0);
}

static void waiting_goes_through_pcall_metamethods_and_iterators(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  local ok, v = pcall(function() return (ml.kv.get('p')) end)\n"
          "  local ok2, v2 = xpcall(function() return (ml.kv.get('x')) end, function(e) return e "
          "end)\n"
          "  local t = setmetatable({}, { __index = function(_, k) return (ml.kv.get(k)) end })\n"
          "  local m = t.m\n"
          "  local n = 0\n"
          "  for key, value in ml.kv.scan('s') do n = n + value end\n"
          "  ml.log.info('done ' .. tostring(ok) .. v .. tostring(ok2) .. v2 .. m .. n)\n"
          "end)",
          "");
    ml_script_tick(w->script);
    answer(w, 0, "1");
    answer(w, 1, "2");
    answer(w, 2, "3");
    answer(w, 3, "4");
    EXPECT(w, strstr(w->log, "done true1true234"));
}

static void waiting_where_c_is_on_the_stack_is_a_clear_error(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  local ok, e = pcall(table.sort, { 2, 1 }, function(a, b) ml.kv.get('a') return a < b "
          "end)\n"
          "  ml.log.info('sort: ' .. e)\n"
          "  ok, e = pcall(string.gsub, 'x', 'x', function() ml.kv.get('a') end)\n"
          "  ml.log.info('gsub: ' .. e)\n"
          "  ok, e = pcall(coroutine.wrap(function() ml.kv.get('a') end))\n"
          "  ml.log.info('own: ' .. e)\n"
          "  ok, e = pcall(coroutine.yield, 1)\n"
          "  ml.log.info('yield: ' .. e)\n"
          "  ml.log.info('running: ' .. tostring(coroutine.running()))\n"
          "  local co = coroutine.wrap(function() coroutine.yield(5) end)\n"
          "  ml.log.info('own yield: ' .. co())\n"
          "end)",
          "");
    ml_script_tick(w->script);
    EXPECT(
        w,
        strstr(
            w->log,
            "sort: p/init.lua:4: ml.spawn cannot wait here: ml.kv.get. Not inside a comparison"));
    EXPECT(w, strstr(w->log, "gsub: p/init.lua:6: ml.spawn cannot wait here"));
    EXPECT(w,
           strstr(w->log, "own: p/init.lua:8: ml.spawn cannot wait inside a coroutine of its own"));
    EXPECT(w, strstr(w->log, "yield: attempt to yield outside a coroutine"));
    EXPECT(w, strstr(w->log, "running: nil"));
    EXPECT(w, strstr(w->log, "own yield: 5"));
}

static void a_call_over_its_deadline_raises_at_every_wait(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.timer.after('1s', function()\n"
          "  for i = 1, 3 do local ok, e = pcall(ml.kv.get, 'a') ml.log.info(i .. ': ' .. "
          "tostring(e)) end\n"
          "  ml.kv.get('b')\n"
          "end)",
          "");
    advance(w, 1000);
    assert_int_equal(outside.count, 1);
    advance(w, 29999);
    EXPECT(w, !strstr(w->log, "1: "));
    advance(w, 1);
    assert_int_equal(outside.count, 1);
    assert_true(outside.list[0].is_cancelled);
    EXPECT(w, strstr(w->log, "1: stopped: over its deadline"));
    EXPECT(w, strstr(w->log, "3: stopped: over its deadline"));
    EXPECT(w, strstr(w->log, "ml.timer failed: stopped: over its deadline"));
    answer(w, 0, "1"); /* too late: nobody is there */
}

static void a_call_that_loops_between_waits_is_stopped(void **state)
{
    struct world *w = *state;

    start(w, "ml.spawn(function() pcall(function() while true do end end) ml.kv.get('a') end)", "");
    ml_script_tick(w->script);
    EXPECT(w, strstr(w->log, "stopped: over its time limit"));
    assert_int_equal(outside.count, 0);
    assert_int_equal(world_insert(w, "body", "x"), ML_OK);
}

static void all_waits_for_everybody_and_keeps_the_order(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  local a, b, c = ml.all { function() return (ml.kv.get('a')) end,\n"
          "    function() return (ml.kv.get('b')) end, function() return 'c' end }\n"
          "  ml.log.info(('all %s %s %s'):format(a, b, c))\n"
          "end)",
          "");
    ml_script_tick(w->script);
    assert_int_equal(outside.count, 2);
    answer(w, 1, "2");
    EXPECT(w, !strstr(w->log, "all "));
    answer(w, 0, "1");
    EXPECT(w, strstr(w->log, "all 1 2 c"));
}

static void one_error_in_all_ends_the_others(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  local ok, e = pcall(ml.all, { function() ml.kv.get('a') end, function() error('no', "
          "0) end })\n"
          "  ml.log.info('all: ' .. tostring(ok) .. ' ' .. e)\n"
          "end)",
          "");
    ml_script_tick(w->script);
    EXPECT(w, strstr(w->log, "all: false no"));
    assert_true(outside.list[0].is_cancelled);
}

static void the_first_wins_a_race(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  local v = ml.race { function() return (ml.kv.get('a')) end, function() return "
          "(ml.kv.get('b')) end }\n"
          "  ml.log.info('won ' .. v)\n"
          "  local x, kind = ml.deadline('5s', function() ml.kv.get('c') end)\n"
          "  ml.log.info('late ' .. tostring(x) .. ' ' .. kind)\n"
          "  ml.log.info('in time ' .. ml.deadline('5s', function() return 9 end))\n"
          "end)",
          "");
    ml_script_tick(w->script);
    answer(w, 1, "2");
    EXPECT(w, strstr(w->log, "won 2"));
    assert_true(outside.list[0].is_cancelled);
    assert_int_equal(outside.count, 3);
    advance(w, 5000);
    EXPECT(w, strstr(w->log, "late nil ETIMEDOUT"));
    EXPECT(w, strstr(w->log, "in time 9"));
}

static void background_calls_are_bounded(void **state)
{
    struct world *w = *state;

    start(w,
          "for i = 1, 64 do assert(ml.spawn(function() ml.kv.get('a') end)) end\n"
          "local ok, kind = ml.spawn(function() end) ml.log.info('65: ' .. kind)",
          "");
    EXPECT(w, strstr(w->log, "65: EBUSY"));
    ml_script_tick(w->script);
    assert_int_equal(outside.count, 64);
    for (size_t i = 0; i < 64; i++)
        answer(w, i, NULL);
    EXPECT(w, !strstr(w->log, "failed"));
}

static void what_the_outside_refuses_is_an_expected_failure(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.timer.after(1, function() local v, kind = ml.kv.get('a') ml.log.info('v ' .. "
          "tostring(v) .. ' ' .. kind) end)",
          "");
    outside.refuse = ML_EBUSY;
    advance(w, 1000);
    EXPECT(w, strstr(w->log, "v nil EBUSY"));
}

static void a_transaction_runs_again_after_a_clash(void **state)
{
    struct world *w = *state;
    struct ml_script_answer clash = {.err = ML_ECONFLICT}, fine = {.number = 9};

    start(w,
          "ml.spawn(function()\n"
          "  local r = ml.kv.txn(function(tx) local n = tx:get('n') or 0 tx:set('n', n + 1) return "
          "n + 1 end)\n"
          "  ml.log.info('txn ' .. r)\n"
          "end)",
          "");
    ml_script_tick(w->script);
    answer(w, 0, "4");
    assert_int_equal(outside.count, 2);
    assert_int_equal(outside.list[1].kind, ML_OP_STORE_COMMIT);
    assert_int_equal(outside.list[1].items, 2); /* what was seen, what is written */
    assert_string_equal(outside.list[1].value, "5");
    ml_script_resume(w->script, outside.list[1].ticket, &clash);
    assert_int_equal(outside.count, 2);
    advance(w, 100);
    assert_int_equal(outside.count, 3);
    answer(w, 2, "6");
    assert_string_equal(outside.list[3].value, "7");
    ml_script_resume(w->script, outside.list[3].ticket, &fine);
    EXPECT(w, strstr(w->log, "txn 7"));
}

static void calls_that_wait_end_with_the_script(void **state)
{
    struct world *w = *state;

    start(w,
          "for i = 1, 5 do ml.spawn(function() ml.all { function() ml.kv.get('a') end } end) end",
          "");
    ml_script_tick(w->script);
    assert_int_equal(outside.count, 5);
    ml_script_free(w->script);
    w->script = NULL;
    for (size_t i = 0; i < 5; i++)
        assert_true(outside.list[i].is_cancelled);
}

static void shield_lets_a_short_tail_wait(void **state)
{
    struct world *w = *state;

    start(w,
          "ml.spawn(function()\n"
          "  ml.race { function() return (ml.kv.get('first')) end, function()\n"
          "    local ok, e = pcall(ml.kv.get, 'second')\n"
          "    ml.shield(function() ml.log.info('tail ' .. tostring(ml.kv.get('tail'))) end)\n"
          "    ml.kv.get('after')\n"
          "  end }\n"
          "  ml.log.info('over')\n"
          "end)",
          "");
    ml_script_tick(w->script);
    answer(w, 0, "1");
    assert_int_equal(outside.count, 3);
    assert_string_equal(outside.list[2].key, "tail");
    EXPECT(w, !strstr(w->log, "over"));
    answer(w, 2, "5");
    EXPECT(w, strstr(w->log, "tail 5"));
    EXPECT(w, strstr(w->log, "over"));
    assert_int_equal(outside.count, 3); /* the wait after the tail raised */
}

static void the_cache_is_shared_by_states_and_keeps_times(void **state)
{
    struct world *w = *state;
    struct ml_shared_store *shared = ml_shared_store_new(1 << 20);

    w->options.shared = shared;
    world_plugin(
        w, "p", "needs = { 'cache', 'limiter' }, hooks = { before_update = {} }",
        "local ml = require 'moonloom'\nlocal P = {}\n"
        "function P:setup() self.state.l = ml.limiter.new { rate = '2/s', burst = 3 } end\n"
        "function P:before_update(u)\n"
        "  local n = ml.cache.incr('n')\n"
        "  ml.cache.add('first', n)\n"
        "  ml.cache.set('short', { n = n }, '1s')\n"
        "  local ok, wait = self.state.l:take('k', 2)\n"
        "  ml.log.info(('n=%d first=%d ok=%s wait=%s'):format(n, ml.cache.get('first'), "
        "tostring(ok), tostring(wait)))\n"
        "  if n == 3 then ml.log.info('short ' .. tostring(ml.cache.get('short').n)) end\n"
        "end\nreturn P\n");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    EXPECT(w, world_insert(w, "body", "x") == ML_OK);
    EXPECT(w, strstr(w->log, "n=1 first=1 ok=true wait=nil"));
    EXPECT(w, world_insert(w, "body", "x") == ML_OK);
    EXPECT(w, strstr(w->log, "n=2 first=1 ok=false wait=0.5"));
    world_mono_ms += 500;
    ml_script_free(w->script); /* another state of the same node */
    world_start(w);
    EXPECT(w, world_insert(w, "body", "x") == ML_OK);
    EXPECT(w, strstr(w->log, "n=3 first=1 ok=true wait=nil"));
    EXPECT(w, strstr(w->log, "short 3"));
    ml_script_free(w->script);
    w->script = NULL;
    w->options.shared = NULL;
    ml_shared_store_free(shared);
}

struct carried {
    unsigned told, followed;
    char bytes[64];
    size_t len;
};

static void carry_follow(void *arg, struct ml_slice org, struct ml_slice instance, bool follow)
{
    struct carried *carried = arg;

    assert_true(ml_slice_equal(org, ML_SLICE("acme")));
    assert_true(ml_slice_equal(instance, ml_slice_make("\0p", 2)));
    carried->followed += follow ? 1 : 100;
}

static void carry_tell(void *arg, struct ml_slice org, struct ml_slice instance,
                       struct ml_slice bytes)
{
    struct carried *carried = arg;

    assert_true(ml_slice_equal(org, ML_SLICE("acme")));
    assert_true(ml_slice_equal(instance, ml_slice_make("\0p", 2)));
    assert_true(bytes.len <= sizeof carried->bytes);
    carried->told++;
    carried->len = bytes.len;
    memcpy(carried->bytes, bytes.ptr, bytes.len);
}

static void messages_are_carried_to_other_nodes_and_from_them(void **state)
{
    static const char other[] = "\1\0t{\"x\":8}";
    struct world *w = *state;
    struct ml_shared_store *shared = ml_shared_store_new(0);
    struct ml_board *board = ml_shared_board(shared);
    struct carried carried = {0};
    const struct ml_board_carrier carrier = {carry_follow, carry_tell, &carried};
    const uint64_t others[] = {0xb0};

    ml_board_set_node(board, 0xa0);
    ml_board_set_others(board, others, 1);
    ml_board_set_reach(board, 64);
    w->options.shared = shared;
    world_plugin(w, "p", "needs = { 'cluster' }, hooks = { before_update = {} }",
                 "local ml = require 'moonloom'\nlocal P = {}\n"
                 "function P:setup()\n"
                 "  ml.cluster.subscribe('t', function(m) ml.log.info('heard ' .. m.x) end)\n"
                 "  ml.log.info(table.concat(ml.cluster.nodes(), ' '))\n"
                 "  ml.spawn(function()\n"
                 "    ml.cluster.publish('t', { x = 7 })\n"
                 "    local ok, kind, why = ml.cluster.publish('t', ('x'):rep(60))\n"
                 "    ml.log.info(tostring(ok) .. ' ' .. kind .. ' ' .. why)\n"
                 "  end)\n"
                 "end\nfunction P:before_update() end\nreturn P\n");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_script_tick(w->script);
    EXPECT(w, strstr(w->log, "00000000000000a0 00000000000000b0"));
    EXPECT(w, strstr(w->log, "nil ELIMIT a message with its topic has at most 62 bytes here"));
    ml_board_carry(board, world_mono_ms, &carrier);
    assert_int_equal(carried.told, 1);
    assert_int_equal(carried.followed, 1);
    assert_true(ml_slice_equal(ml_slice_make(carried.bytes, carried.len),
                               ml_slice_make("\1\0t{\"x\":7}", 10)));
    ml_board_heard(board, ML_SLICE("acme"), ml_slice_make("\0p", 2),
                   ml_slice_make(other, sizeof other - 1));
    /* Not for it, or not of ours. */
    ml_board_heard(board, ML_SLICE("other"), ml_slice_make("\0p", 2),
                   ml_slice_make("\1\0t{\"x\":1}", 10));
    ml_board_heard(board, ML_SLICE("acme"), ml_slice_make("\0q", 2),
                   ml_slice_make("\1\0t{\"x\":2}", 10));
    ml_board_heard(board, ML_SLICE("acme"), ML_SLICE("p"), ml_slice_make("\1\0t{\"x\":3}", 10));
    ml_board_heard(board, ML_SLICE("acme"), ml_slice_make("\0p", 2), ml_slice_make("\377\0t", 3));
    ml_board_heard(board, ML_SLICE("acme"), ml_slice_make("\0p", 2), ML_SLICE(""));
    advance(w, 60);
    EXPECT(w, strstr(w->log, "heard 7") && strstr(w->log, "heard 8"));
    EXPECT(w,
           !strstr(w->log, "heard 1") && !strstr(w->log, "heard 2") && !strstr(w->log, "heard 3"));
    ml_board_carry(board, world_mono_ms, &carrier); /* what came from others is not told again */
    assert_int_equal(carried.told, 1);
    assert_int_equal(carried.followed, 1);
    ml_script_free(w->script);
    w->script = NULL;
    ml_board_carry(board, world_mono_ms + 20000, &carrier); /* nobody reads any more */
    assert_int_equal(carried.followed, 101);
    w->options.shared = NULL;
    ml_shared_store_free(shared);
}

static void one_fills_the_cache_and_the_others_wait_for_it(void **state)
{
    struct world *w = *state;
    struct ml_shared_store *shared = ml_shared_store_new(0);

    w->options.shared = shared;
    world_plugin(
        w, "p", "needs = { 'cache', 'kv', 'cluster' }, hooks = { before_update = {} }",
        "local ml = require 'moonloom'\nlocal P = {}\n"
        "function P:setup()\n"
        "  ml.cluster.subscribe('t', function(m) ml.log.info('heard ' .. m.x) end)\n"
        "  for i = 1, 3 do ml.spawn(function()\n"
        "    local v = ml.cache.once('k', '1m', function() return (ml.kv.get('source')) end)\n"
        "    ml.log.info(i .. ' has ' .. v)\n"
        "  end) end\n"
        "  ml.spawn(function() ml.cluster.publish('t', { x = 7 }) end)\n"
        "end\nfunction P:before_update() end\nreturn P\n");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
    ml_script_tick(w->script);
    assert_int_equal(outside.count, 1);
    answer(w, 0, "\"v\"");
    advance(w, 60);
    EXPECT(w, strstr(w->log, "1 has v") && strstr(w->log, "2 has v") && strstr(w->log, "3 has v"));
    assert_int_equal(outside.count, 1);
    advance(w, 60);
    EXPECT(w, strstr(w->log, "heard 7"));
    ml_script_free(w->script);
    w->script = NULL;
    w->options.shared = NULL;
    ml_shared_store_free(shared);
}

/* ---- questions about access ------------------------------------------------------------------ */

static const struct ml_script_request request = {.method = {(const uint8_t *)"GET", 3},
                                                 .path = {(const uint8_t *)"/", 1}};

static void doors(struct world *w)
{
    world_plugin(w, "door", "phase = 'auth', needs = { 'kv' }, hooks = { authenticate = {} }",
                 "local ml = require 'moonloom'\n"
                 "return { authenticate = function(_, req)\n"
                 "  local method, v = req.method, ml.kv.get 'who'\n"
                 "  if v == 'nobody' then return end\n"
                 "  return { user = v, groups = { method } } end }");
    world_plugin(w, "gate", "phase = 'limit', needs = { 'kv' }, hooks = { authenticate = {} }",
                 "local ml = require 'moonloom'\n"
                 "return { authenticate = function(_, req)\n"
                 "  local path = req.path ml.kv.get 'gate' return { user = path } end }");
    world_start(w);
    EXPECT(w, w->err == ML_OK);
}

static void an_access_hook_that_waits_is_answered_later(void **state)
{
    struct world *w = *state;

    doors(w);
    EXPECT(w, ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w));
    EXPECT(w, w->access_count == 0 && outside.count == 1);
    answer(w, 0, "\"ana\"");
    EXPECT(w, w->access_count == 1 && w->access.err == ML_OK && w->access.is_known);
    EXPECT(w, ml_slice_equal(w->access.identity.user, ML_SLICE("ana")) &&
                  w->access.identity.group_count == 1);
    /* The next one is asked when the first has no opinion, with a request that is still there. */
    EXPECT(w, ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w));
    answer(w, 1, "\"nobody\"");
    EXPECT(w, w->access_count == 1 && outside.count == 3);
    answer(w, 2, NULL);
    EXPECT(w, w->access_count == 2 && ml_slice_equal(w->access.identity.user, ML_SLICE("/")));
}

static void all_that_are_asked_have_one_deadline(void **state)
{
    struct world *w = *state;

    doors(w);
    EXPECT(w, ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w));
    advance(w, 3000);
    EXPECT(w, w->access_count == 0);
    answer(w, 0, "\"nobody\"");
    advance(w, 1900);
    EXPECT(w, w->access_count == 0);
    advance(w, 200);
    EXPECT(w, w->access_count == 1 && w->access.err == ML_ESCRIPT && !w->access.is_known);
    EXPECT(w, strstr(w->log, "over its deadline"));
}

static void a_question_that_nobody_waits_for_is_no_failure(void **state)
{
    struct world *w = *state;
    struct ml_script_stats stats;

    doors(w);
    for (int i = 0; i < 10; i++) {
        struct ml_access *access =
            ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w);

        EXPECT(w, access);
        ml_access_drop(access);
        EXPECT(w, outside.list[i].is_cancelled);
    }
    EXPECT(w, w->access_count == 0);
    ml_script_stats(w->script, &stats);
    EXPECT(w, stats.errors == 0 && stats.timeouts == 0);
    /* The breaker is shut: it is asked as ever. */
    EXPECT(w, ml_script_authenticate(w->script, &request, &w->scratch, world_keep_access, w));
    /* And one that waits when the script goes is answered: a failure, never a yes. */
    ml_script_free(w->script);
    w->script = NULL;
    EXPECT(w, w->access_count == 1 && w->access.err == ML_ESCRIPT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_timer_runs_and_may_wait),
        TEST(runs_of_a_timer_never_overlap),
        TEST(a_hook_that_cannot_wait_says_what_to_do),
        TEST(waiting_goes_through_pcall_metamethods_and_iterators),
        TEST(waiting_where_c_is_on_the_stack_is_a_clear_error),
        TEST(a_call_over_its_deadline_raises_at_every_wait),
        TEST(a_call_that_loops_between_waits_is_stopped),
        TEST(all_waits_for_everybody_and_keeps_the_order),
        TEST(one_error_in_all_ends_the_others),
        TEST(the_first_wins_a_race),
        TEST(background_calls_are_bounded),
        TEST(what_the_outside_refuses_is_an_expected_failure),
        TEST(a_transaction_runs_again_after_a_clash),
        TEST(calls_that_wait_end_with_the_script),
        TEST(shield_lets_a_short_tail_wait),
        TEST(the_cache_is_shared_by_states_and_keeps_times),
        TEST(messages_are_carried_to_other_nodes_and_from_them),
        TEST(one_fills_the_cache_and_the_others_wait_for_it),
        TEST(an_access_hook_that_waits_is_answered_later),
        TEST(all_that_are_asked_have_one_deadline),
        TEST(a_question_that_nobody_waits_for_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
