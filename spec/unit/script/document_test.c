/* SPDX-License-Identifier: MIT */
/* Documents in the hands of Lua: read by path, written in transactions that happen or do not. */
#include "world.h"

#include <string.h>

static struct world world;
static struct ml_doc *doc;

/* ---- Who has the document -------------------------------------------------------------------- */

struct owner {
    struct ml_doc_port port;
    struct ml_arena scratch;
    unsigned begun, committed, rolled_back;
    struct ml_writer record; /* of the last commit */
    char author[64], reason[64];
    bool notify, refuses;
};

static struct owner owner;

static void facts(struct ml_doc_port *port, struct ml_doc_facts *out)
{
    (void)port;
    *out = (struct ml_doc_facts){.seq = 41, .epoch = 2, .bytes = 512, .created_ms = 1500};
}

static void sessions(struct ml_doc_port *port,
                     void (*each)(void *arg, const struct ml_doc_session *session), void *arg)
{
    struct ml_doc_session ana = {ML_SLICE("s1"), ML_SLICE("ana"), ML_SLICE("Ana"), true};
    struct ml_doc_session ben = {ML_SLICE("s2"), ML_SLICE("ben"), ML_SLICE(""), false};

    (void)port;
    each(arg, &ana);
    each(arg, &ben);
}

static enum ml_err begin(struct ml_doc_port *port, struct ml_diag *diag, struct ml_doc **doc_out)
{
    struct owner *o = (struct owner *)port;

    if (o->refuses)
        return ml_diag_set(diag, ML_ELIMIT, 0, "not now");
    o->begun++;
    *doc_out = doc;
    return ml_doc_begin(doc, diag);
}

static enum ml_err commit(struct ml_doc_port *port, const struct ml_doc_note *note,
                          struct ml_diag *diag)
{
    struct owner *o = (struct owner *)port;
    const struct ml_change *change;
    enum ml_err err = ml_doc_commit(doc, &o->scratch, &change);

    if (err)
        return ml_diag_set(diag, err, 0, "no memory");
    o->committed++;
    ml_writer_reset(&o->record);
    ml_write_bytes(&o->record, change->bytes);
    snprintf(o->author, sizeof o->author, "%.*s", ML_PRINT(note->author));
    snprintf(o->reason, sizeof o->reason, "%.*s", ML_PRINT(note->reason));
    o->notify = note->notify;
    ml_arena_reset(&o->scratch);
    return ML_OK;
}

static void rollback(struct ml_doc_port *port)
{
    ((struct owner *)port)->rolled_back++;
    ml_doc_rollback(doc);
}

static const struct ml_doc_calls calls = {facts, sessions, begin, commit, rollback};

static int start(void **state)
{
    const struct ml_doc_options options = {.client = 7};

    (void)state;
    world_init(&world);
    world.options.limits.hook_ms = 200; /* sanitizers */
    doc = ml_doc_new(&options);
    owner = (struct owner){
        .port = {&calls},
    };
    ml_arena_init(&owner.scratch, 1 << 24);
    ml_writer_init(&owner.record, 1 << 24);
    return doc ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    ml_doc_free(doc);
    ml_arena_release(&owner.scratch);
    ml_writer_release(&owner.record);
    world_release(&world);
    return 0;
}

/* The plugin's after_update is `body`, with `doc`, `batch` and `ml` at hand. */
static void load(const char *body)
{
    static char init[16384];

    world_stop(&world);
    snprintf(
        init, sizeof init,
        "local ml = require 'moonloom'\n"
        "local function eq(a, b) if a ~= b then error(tostring(a) .. ' is not ' .. tostring(b), "
        "2) end end\n"
        "local function fails(text, fn, ...)\n"
        "  local ok, err = pcall(fn, ...)\n"
        "  if ok then error('no error, but: ' .. text, 2) end\n"
        "  if not tostring(err):find(text, 1, true) then error(err .. ' lacks: ' .. text, 2) end\n"
        "end\n"
        "return { after_update = function(self, batch) local doc = batch.doc\n%s\n"
        "ml.log.info('done') end }",
        body);
    world_plugin(&world, "p", "hooks = { after_update = {} }", init);
    world_start(&world);
    EXPECT(&world, world.err == ML_OK);
}

static void tell(void)
{
    struct ml_script_batch batch = {.org = ML_SLICE("acme"),
                                    .document = ML_SLICE("notes/1"),
                                    .doc = doc,
                                    .count = 1,
                                    .port = &owner.port};

    ml_script_after_update(world.script, &batch, &world.scratch);
    ml_arena_reset(&world.scratch);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
}

static void run(const char *body)
{
    load(body);
    tell();
    EXPECT(&world, strstr(world.log, "p: done"));
}

static struct ml_writer state_of(const struct ml_doc *of)
{
    struct ml_writer out;

    ml_writer_init(&out, 1 << 24);
    assert_int_equal(
        ml_doc_encode_state((struct ml_doc *)(uintptr_t)of, ml_slice_make(NULL, 0), &out), ML_OK);
    return out;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void prepare(const char *json)
{
    const struct ml_change *change;
    struct ml_writer any;
    struct ml_diag diag = {0};

    ml_writer_init(&any, 1 << 20);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &any), ML_OK);
    if (ml_doc_run_ops(doc, ml_writer_slice(&any), &owner.scratch, &diag, &change))
        fail_msg("%s", diag.text);
    ml_writer_release(&any);
    ml_arena_reset(&owner.scratch);
}

static void every_type_is_read_by_its_path(void **state)
{
    (void)state;
    prepare("[[\"text.insert\",\"content\",0,\"one\\ntw\xc3\xb6 \xf0\x9f\x99\x82\\nthree\"],"
            "[\"text.format\",\"content\",0,3,{\"bold\":true}],"
            "[\"map.set\",\"meta\",\"a/"
            "b\",{\"$new\":\"map\",\"entries\":{\"n\":1,\"z\":null,\"l\":[1,[]]}}],"
            "[\"map.set\",\"meta\",\"title\",\"Plan\"],"
            "[\"array.push\",\"tasks\",[1,{\"$new\":\"text\",\"text\":\"inner\"},\"x\",4]],"
            "[\"counter.add\",\"meta/views\",3],"
            "[\"xml.insert\",\"body\",0,[{\"$new\":\"xmlelement\",\"name\":\"heading\",\"attrs\":{"
            "\"id\":\"h\","
            "\"level\":2},\"children\":[{\"$new\":\"xmltext\",\"text\":\"Title\"}]},"
            "{\"$new\":\"xmlelement\",\"name\":\"list\",\"children\":[{\"$new\":\"xmlelement\","
            "\"name\":"
            "\"item\",\"children\":[{\"$new\":\"xmltext\",\"text\":\"a\"}]},{\"$new\":"
            "\"xmlelement\",\"name\":"
            "\"item\",\"children\":[{\"$new\":\"xmltext\",\"text\":\"b\"}]}]}]]]");
    run("eq(doc.id, 'notes/1') eq(doc.org, 'acme') eq(doc.seq, 41) eq(doc.epoch, 2) eq(doc.bytes, "
        "512)\n"
        "eq(doc.created_at, 1.5) eq(next(doc.labels), nil)\n"
        "eq(doc:get 'meta/title', 'Plan') eq(doc:get 'meta/a~1b/n', 1) eq(doc:get 'meta/a~1b/z', "
        "ml.null)\n"
        "eq(doc:get('meta/a~1b').l[1], 1) eq(doc:get 'tasks/1', 'inner') eq(doc:get 'none', nil)\n"
        "eq(doc:get 'meta/none/x', nil) eq(doc:get 'body/#h/level', 2)\n"
        "local t = doc:text 'content'\n"
        "eq(t:len(), 16) eq(t:slice(4, 4), 'tw\\195\\182 ') eq(t:find('three'), 11) "
        "eq(t:find('one', 1), nil)\n"
        "local line, at, n = t:block_at(5) eq(line, 'tw\\195\\182 \\240\\159\\153\\130') eq(at, 4) "
        "eq(n, 6)\n"
        "eq(t:block_at(16), 'three') eq(t:block_at(3), 'one') fails('out of range', t.block_at, t, "
        "17)\n"
        "local d = t:delta() eq(#d, 2) eq(d[1].insert, 'one') eq(d[1].attributes.bold, true)\n"
        "eq(doc:text('tasks/1'):tostring(), 'inner') eq(doc:text('none'):tostring(), '')\n"
        "fails('plain value', function() doc:text('meta/title'):tostring() end)\n"
        "local m = doc:map 'meta' eq(m:size(), 3) eq(table.concat(m:keys(), ','), "
        "'a/b,title,views')\n"
        "eq(m:get 'title', 'Plan') eq(m:has 'none', false) eq(m:has 'title', true)\n"
        "local seen = {} for k, v in m:each() do seen[#seen + 1] = k .. '=' .. type(v) end\n"
        "eq(table.concat(seen, ','), 'a/b=table,title=string,views=table')\n"
        "local a = doc:array 'tasks' eq(a:len(), 4) eq(a:get(0), 1) eq(a:get(3), 4) eq(a:get(4), "
        "nil)\n"
        "local s = a:slice(1, 9) eq(#s, 3) eq(s[1], 'inner') fails('out of range', a.slice, a, 5, "
        "1)\n"
        "local sum = '' for i, v in a:each() do sum = sum .. i .. v end eq(sum, '011inner2x34')\n"
        "fails('whole number', a.get, a, -1) fails('whole number', a.get, a, 0.5)\n"
        "eq(doc:counter('meta/views'):value(), 3) eq(doc:counter('none'):value(), 0)\n"
        "local x = doc:xml 'body' eq(x:tag(), nil) eq(x:text(), 'Title\\na\\nb')\n"
        "local c = x:children() eq(#c, 2) eq(c[1]:tag(), 'heading') eq(c[1]:attr 'level', 2)\n"
        "eq(c[1]:attrs().id, 'h') eq(c[1]:children()[1], 'Title') eq(x:find('item'):text(), 'a')\n"
        "eq(x:find('list/*'):text(), 'a') eq(x:find('item/x'), nil) eq(x:find('**/item'):text(), "
        "'a')\n"
        "seen = {} for path, text in x:each_block() do seen[#seen + 1] = path .. '=' .. text end\n"
        "eq(table.concat(seen, ','), 'body/0=Title,body/1/0=a,body/1/1=b')\n"
        "eq(doc:xml('body/#h'):tag(), 'heading') eq(#doc:xml('none'):children(), 0)\n"
        "local who = doc:sessions() eq(#who, 2) eq(who[1].user, 'ana') eq(who[2].write, false)");
}

static void a_digest_follows_the_content_and_nothing_else(void **state)
{
    (void)state;
    run("local a = doc:digest() eq(#a, 64)\n"
        "doc:transact(function(tx) tx:map('m'):set('k', 1) tx:text('t'):insert(0, 'x') end)\n"
        "local b, bt = doc:digest(), doc:digest('t') assert(a ~= b)\n"
        "doc:transact(function(tx) tx:text('t'):format(0, 1, { bold = true }) end)\n"
        "assert(doc:digest() ~= b and doc:digest('t') ~= bt) eq(doc:digest('m'), doc:digest('m'))\n"
        "doc:transact(function(tx) tx:text('t'):format(0, 1, { bold = ml.null }) "
        "tx:map('m'):set('k', 1) end)\n"
        "eq(doc:digest(), b)");
}

static void views_and_transactions_expire(void **state)
{
    (void)state;
    run("if not self.state.doc then self.state.doc, self.state.text = doc, doc:text 't' end\n"
        "local kept, handle doc:transact(function(tx) kept = tx handle = tx:text 't' "
        "handle:insert(0, 'x') end)\n"
        "fails('the transaction is over', handle.insert, handle, 0, 'y')\n"
        "fails('the transaction is over', kept.text, kept, 't')\n"
        "doc:transact(function(tx) fails('the transaction is over', handle.insert, handle, 0, 'y') "
        "end)\n"
        "self.state.handle = handle");
    world.log[0] = '\0';
    load("if self.state.text then fails('view expired', function() return "
         "self.state.text:tostring() end)\n"
         "else self.state.text = doc:text 't' error 'again' end");
    tell();
    tell();
    EXPECT(&world, strstr(world.log, "p: done"));
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void a_transaction_writes_every_type(void **state)
{
    (void)state;
    run("local answer = doc:transact(function(tx)\n"
        "  tx:map('meta'):set('reviewed', true) tx:map('meta'):assign({ a = 1, b = { 1, 2 } })\n"
        "  tx:map('meta'):create('inner', 'map') tx:map('meta/inner'):set('deep', 'yes')\n"
        "  tx:map('meta'):create('note', 'text') tx:text('meta/note'):insert(0, 'n')\n"
        "  tx:map('meta'):create('list', 'array') tx:array('meta/list'):push(1, 2, 3)\n"
        "  tx:map('meta'):create('hits', 'counter') tx:counter('meta/hits'):add(2)\n"
        "  tx:map('meta'):create('x', 'xml') tx:xml('meta/x'):insert(0, { tag = 'p' })\n"
        "  tx:map('meta'):delete('a')\n"
        "  tx:text('content'):insert(0, 'Checked. ', { bold = true }) tx:text('content'):insert(9, "
        "'more')\n"
        "  tx:text('content'):replace(9, 4, 'less') tx:text('content'):format(9, 4, { em = true "
        "})\n"
        "  tx:text('content'):delete(0, 1) tx:text('old'):insert(0, 'some text') "
        "tx:text('old'):set('same text')\n"
        "  tx:array('log'):push({ by = 'bot', n = ml.null }) tx:array('log'):insert(0, 'a', 'b')\n"
        "  tx:array('log'):move(0, 2) tx:array('log'):delete(0)\n"
        "  tx:xml('body'):insert(0, { tag = 'p', attrs = { id = 'one' }, children = { 'Hi ', { tag "
        "= 'b', children = 'you' } } })\n"
        "  tx:xml('body/#one'):attr('class', 'big') tx:xml('body/#one'):attr('gone', 1) "
        "tx:xml('body/#one'):remove_attr('gone')\n"
        "  tx:xml('body'):insert(1, 'plain') tx:xml('body'):delete(1)\n"
        "  tx:counter('meta/views'):add(1) tx:counter('meta/views'):add(0.5)\n"
        "  tx:map('raw'):set('bytes', ml.bytes('\\0\\255')) tx:map('raw'):set('big', "
        "ml.int64('9007199254740993'))\n"
        "  eq(doc:get 'meta/reviewed', true) return 'answer' end, { reason = 'review', notify = "
        "true })\n"
        "eq(answer, 'answer') eq(doc:get 'meta/inner/deep', 'yes') eq(doc:get 'meta/a', nil)\n"
        "eq(doc:get('meta/b')[2], 2) eq(doc:get 'meta/note', 'n') eq(doc:get('meta/list/2'), 3)\n"
        "eq(doc:counter('meta/hits'):value(), 2) eq(doc:counter('meta/views'):value(), 1.5)\n"
        "eq(doc:get 'content', 'hecked. less') eq(doc:get 'old', 'same text')\n"
        "local d = doc:text('content'):delta() eq(d[1].attributes.bold, true) "
        "eq(d[2].attributes.em, true)\n"
        "local log = doc:get 'log' eq(#log, 2) eq(log[1].by, 'bot') eq(log[1].n, ml.null) "
        "eq(log[2], 'a')\n"
        "eq(doc:get 'body', '<p class=\"big\" id=\"one\">Hi <b>you</b></p>')\n"
        "eq(tostring(doc:get 'raw/big'), '9007199254740993') eq(doc:get 'raw/bytes', "
        "ml.bytes('\\0\\255'))");
    assert_int_equal(owner.committed, 1);
    assert_int_equal(owner.rolled_back, 0);
    assert_string_equal(owner.author, "plugin:p");
    assert_string_equal(owner.reason, "review");
    assert_true(owner.notify);
    assert_true(owner.record.len > 0);
}

static void an_error_inside_leaves_the_document_untouched(void **state)
{
    struct ml_writer before, after;

    (void)state;
    prepare("[[\"text.insert\",\"t\",0,\"text\"],[\"array.push\",\"l\",[1,2]],[\"map.set\",\"m\","
            "\"k\",1]]");
    before = state_of(doc);
    run("local function bad(text, fn) fails(text, doc.transact, doc, function(tx)\n"
        "  tx:text('t'):insert(0, 'lost') tx:map('new'):set('k', 1) tx:array('l'):move(0, 1) "
        "fn(tx) end) end\n"
        "bad('oh', function() error 'oh' end)\n"
        "bad('behind the end', function(tx) tx:text('t'):insert(99, 'x') end)\n"
        "bad('behind the end', function(tx) tx:array('l'):delete(0, 3) end)\n"
        "bad('behind the end', function(tx) tx:array('l'):move(0, 2) end)\n"
        "bad('no type', function(tx) tx:map('m/k'):set('x', 1) end)\n"
        "bad('no type', function(tx) tx:text('m/none'):insert(0, 'x') end)\n"
        "bad('UTF-8', function(tx) tx:text('t'):insert(0, '\\255') end)\n"
        "bad('string expected', function(tx) tx:text('t'):insert(0, 1) end)\n"
        "bad('whole number', function(tx) tx:text('t'):insert(-1, 'x') end)\n"
        "bad('whole number', function(tx) tx:text('t'):insert(0 / 0, 'x') end)\n"
        "bad('a value is missing', function(tx) tx:map('m'):set('k', nil) end)\n"
        "bad('function', function(tx) tx:map('m'):set('k', function() end) end)\n"
        "bad('nested too deep', function(tx) local t = {} for _ = 1, 200 do t = { t } end "
        "tx:map('m'):set('k', t) end)\n"
        "bad('nested too deep', function(tx) local n = { tag = 'p' } for _ = 1, 200 do n = { tag = "
        "'p', children = { n } } end tx:xml('x'):insert(0, n) end)\n"
        "bad('needs a tag', function(tx) tx:xml('x'):insert(0, {}) end)\n"
        "bad('invalid option', function(tx) tx:map('m'):create('k', 'tree') end)\n"
        "bad('no finite number', function(tx) tx:counter('c'):add(1 / 0) end)\n"
        "bad('do not nest', function() doc:transact(function() end) end)\n"
        "fails('options are', doc.transact, doc, function() end, { reasn = 'x' })\n"
        "fails('function expected', doc.transact, doc)\n"
        "eq(doc:get 't', 'text')\n"
        /* what is caught inside is no error */
        "doc:transact(function(tx) eq(pcall(function() tx:text('t'):insert(99, 'x') end), false) "
        "end)");
    after = state_of(doc);
    assert_true(ml_slice_equal(ml_writer_slice(&before), ml_writer_slice(&after)));
    ml_writer_release(&before);
    ml_writer_release(&after);
    assert_int_equal(owner.record.len, 0);
    assert_int_equal(owner.begun, owner.committed + owner.rolled_back);
}

static void a_function_that_never_ends_is_stopped_and_taken_back(void **state)
{
    (void)state;
    load("doc:transact(function(tx) tx:text('t'):insert(0, 'lost') while true do end end)");
    tell();
    EXPECT(&world, strstr(world.log, "time limit"));
    assert_int_equal(owner.rolled_back, 1);
    run("eq(doc:get 't', nil) doc:transact(function(tx) tx:text('t'):insert(0, 'ok') end) "
        "eq(doc:get 't', 'ok')");
}

static void memory_that_runs_out_inside_takes_back(void **state)
{
    (void)state;
    load("doc:transact(function(tx) tx:text('t'):insert(0, 'lost') local t = {} for i = 1, 1e9 do "
         "t[i] = ('x'):rep(1e5) .. i end end)");
    tell();
    assert_int_equal(owner.rolled_back, 1);
    run("eq(doc:get 't', nil)");
}

static void who_has_the_document_may_refuse(void **state)
{
    (void)state;
    owner.refuses = true;
    run("fails('not now', doc.transact, doc, function() end)");
    owner.refuses = false;
    run("doc:transact(function() end)");
}

/* ---- Against a naive model --------------------------------------------------------------------
 */

/* Random transactions on every type, some that raise in the end, beside tables of Lua. */
static const char fuzz[] =
    "local S = self.state S.seed = S.seed or 7919\n"
    "local M = self.state.model or { t = {}, l = {}, m = {}, c = 0, x = {} } self.state.model = M\n"
    "local function copy(v) if type(v) ~= 'table' then return v end local c = {} for k, e in "
    "pairs(v) do c[k] = copy(e) end return c end\n"
    "local function r(n) S.seed = (S.seed * 16807) % 2147483647 return math.floor(S.seed / "
    "2147483647 * n) end\n"
    "local function splice(list, i, n, new) for _ = 1, n do table.remove(list, i + 1) end for k = "
    "1, #new do table.insert(list, i + k, new[k]) end end\n"
    "local function chars(n) local s = {} for i = 1, n do s[i] = ('abc\\ndef'):sub(r(7) + "
    "1):sub(1, 1) end return s end\n"
    "local ops = {\n"
    "  function(tx, W) local i, s = r(#W.t + 1), chars(r(5)) tx:text('t'):insert(i, "
    "table.concat(s)) splice(W.t, i, 0, s) end,\n"
    "  function(tx, W) local i = r(#W.t + 1) local n = math.min(r(5), #W.t - i) "
    "tx:text('t'):delete(i, n) splice(W.t, i, n, {}) end,\n"
    "  function(tx, W) local i = r(#W.t + 1) local n, s = math.min(r(5), #W.t - i), chars(r(5)) "
    "tx:text('t'):replace(i, n, table.concat(s)) splice(W.t, i, n, s) end,\n"
    "  function(tx, W) local i = r(#W.t + 1) local n, s = math.min(r(5), #W.t - i), chars(r(5)) "
    "splice(W.t, i, n, s) tx:text('t'):set(table.concat(W.t)) end,\n"
    "  function(tx, W) local i = r(#W.t + 1) tx:text('t'):format(i, math.min(r(5), #W.t - i), { "
    "bold = r(2) == 0 or ml.null }) end,\n"
    "  function(tx, W) local k, v = 'k' .. r(4), r(100) tx:map('m'):set(k, v) W.m[k] = v end,\n"
    "  function(tx, W) local k = 'k' .. r(4) tx:map('m'):delete(k) W.m[k] = nil end,\n"
    "  function(tx, W) local v = { ['k' .. r(4)] = r(9), ['k' .. r(4)] = 'v' } "
    "tx:map('m'):assign(v) for k, e in pairs(v) do W.m[k] = e end end,\n"
    "  function(tx, W) local i, a, b = r(#W.l + 1), r(99), 's' .. r(9) tx:array('l'):insert(i, a, "
    "b) splice(W.l, i, 0, { a, b }) end,\n"
    "  function(tx, W) local v = r(99) tx:array('l'):push(v) W.l[#W.l + 1] = v end,\n"
    "  function(tx, W) if #W.l == 0 then return end local i = r(#W.l) tx:array('l'):delete(i) "
    "splice(W.l, i, 1, {}) end,\n"
    "  function(tx, W) if #W.l == 0 then return end local i, j = r(#W.l), r(#W.l) "
    "tx:array('l'):move(i, j) local v = table.remove(W.l, i + 1) table.insert(W.l, j + 1, v) end,\n"
    "  function(tx, W) local n = r(21) - 10 tx:counter('c'):add(n) W.c = W.c + n end,\n"
    "  function(tx, W) local i, id = r(#W.x + 1), r(1e6) tx:xml('x'):insert(i, { tag = 'p', attrs "
    "= { id = 'i' .. id }, children = { 'n' .. id } }) splice(W.x, i, 0, { id }) end,\n"
    "  function(tx, W) if #W.x == 0 then return end local i = r(#W.x) tx:xml('x'):delete(i) "
    "splice(W.x, i, 1, {}) end,\n"
    "}\n"
    "for _ = 1, 5 do\n"
    "  local W, raises = copy(M), r(3) == 0\n"
    "  local ok, err = pcall(doc.transact, doc, function(tx) for _ = 1, r(8) do ops[r(#ops) + "
    "1](tx, W) end if raises then error('on purpose', 0) end end)\n"
    "  if raises then eq(err, 'on purpose') elseif not ok then error(err) else M = W "
    "self.state.model = W end\n"
    "  eq(doc:text('t'):tostring(), table.concat(M.t)) eq(doc:text('t'):len(), #M.t)\n"
    "  local l = doc:array 'l' eq(l:len(), #M.l) for i, v in l:each() do eq(v, M.l[i + 1]) end\n"
    "  local n = 0 for k, v in pairs(M.m) do n = n + 1 eq(doc:get('m/' .. k), v) end "
    "eq(doc:map('m'):size(), n)\n"
    "  eq(doc:counter('c'):value(), M.c)\n"
    "  local c = doc:xml('x'):children() eq(#c, #M.x) for i, e in ipairs(c) do eq(e:attr 'id', 'i' "
    ".. M.x[i]) eq(e:text(), 'n' .. M.x[i]) end\n"
    "end\n";

static void random_transactions_do_what_tables_do(void **state)
{
    const struct ml_doc_options options = {.client = 8};
    struct ml_doc *replica = ml_doc_new(&options);
    struct ml_writer mine, theirs;

    (void)state;
    load(fuzz);
    for (int round = 0; round < 400; round++) {
        world.log[0] = '\0';
        world_mono_ms += 1000;
        tell();
        EXPECT(&world, strstr(world.log, "p: done"));
    }
    assert_true(owner.rolled_back > 100 && owner.committed > 500);
    mine = state_of(doc);
    assert_int_equal(ml_doc_apply_bytes(replica, ml_writer_slice(&mine), NULL), ML_OK);
    theirs = state_of(replica);
    assert_true(ml_slice_equal(ml_writer_slice(&mine), ml_writer_slice(&theirs)));
    ml_writer_release(&mine);
    ml_writer_release(&theirs);
    ml_doc_free(replica);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_is_read_by_its_path),
        TEST(a_digest_follows_the_content_and_nothing_else),
        TEST(views_and_transactions_expire),
        TEST(a_transaction_writes_every_type),
        TEST(an_error_inside_leaves_the_document_untouched),
        TEST(a_function_that_never_ends_is_stopped_and_taken_back),
        TEST(memory_that_runs_out_inside_takes_back),
        TEST(who_has_the_document_may_refuse),
        TEST(random_transactions_do_what_tables_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
