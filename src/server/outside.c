/* SPDX-License-Identifier: MIT */
/*
 *   script ── begin ──> asking ── ml_store_look, ml_store_commit ──> journal
 *      ^                  |  └─── ml_web_begin ────────────────────> web.c
 *      └── resume ────────┘ answer, if nobody has cancelled
 *
 * An asking owns a copy of its operation, so the plugin may be gone when the journal answers: then
 * the answer is dropped. What the web still has when it is cancelled is stopped.
 */
#include "server/outside.h"

#include "base/assert.h"
#include "base/clock.h"
#include "server/web.h"

#include <stdlib.h>

#define ASKING_MAX   8192 /* of one loop */
#define ASKING_BYTES (8u << 20)

struct ml_outside {
    uv_loop_t *loop;
    struct ml_journal *journal;
    struct ml_cells *cells;
    struct ml_web *web;
    struct ml_worker *worker; /* NULL: nobody */
    struct ml_net *net;       /* NULL: not there yet */
    uv_timer_t clock;
    uint64_t wakes_at_ms; /* 0: not */
    struct ml_list asking;
    size_t count;
    bool is_closed, is_freed, clock_is_closed;
};

struct asking {
    struct ml_list node;
    struct ml_outside *outside;
    struct ml_script *script; /* NULL: cancelled */
    uint64_t ticket;
    enum ml_script_op_kind kind;
    struct ml_arena arena; /* the copy of the operation */
    struct ml_store_read read;
    struct ml_store_write write;
    struct ml_web_request web;
};

static void free_asking(struct asking *a)
{
    ml_list_remove(&a->node);
    a->outside->count--;
    ml_arena_release(&a->arena);
    free(a);
}

static void answer(struct asking *a, const struct ml_script_answer *with)
{
    struct ml_script *script = a->script;

    a->script = NULL; /* whoever goes on may cancel others, but not this one */
    if (script)
        ml_script_resume(script, a->ticket, with);
}

/* ---- The store ------------------------------------------------------------------------------- */

static void on_read(struct ml_store_read *read)
{
    struct asking *a = ML_CONTAINER(read, struct asking, read);
    struct ml_script_item *items = ml_arena_array(&a->arena, read->count, sizeof *items);
    struct ml_script_answer with = {.err = read->err, .number = read->more};

    if (read->err)
        with.text = ml_slice_str("the store cannot be read now");
    for (size_t i = 0; items && read->pairs && i < read->count; i++)
        items[i] = (struct ml_script_item){
            .key = read->pairs[i].key, .value = read->pairs[i].value, .rev = read->pairs[i].rev};
    with.items = items;
    with.item_count = items ? read->count : 0;
    if (!items && read->count)
        with.err = ML_ELIMIT;
    answer(a, &with);
    ml_store_read_release(read);
    free_asking(a);
}

static void on_write(struct ml_store_write *write)
{
    struct asking *a = ML_CONTAINER(write, struct asking, write);
    struct ml_script_item *items = ml_arena_array(&a->arena, write->count, sizeof *items);
    struct ml_script_answer with = {.err = write->err, .number = write->rev};

    for (size_t i = 0; items && i < write->count; i++)
        items[i] = (struct ml_script_item){.value = ml_slice_str(write->items[i].id_out),
                                           .rev = write->items[i].rev_out,
                                           .number = write->items[i].number_out};
    with.items = items;
    with.item_count = items ? write->count : 0;
    if (a->outside->worker && write->items[write->count - 1].id_out[0])
        ml_worker_kick(a->outside->worker);
    answer(a, &with);
    ml_store_write_release(write);
    free_asking(a);
}

/* ---- Sessions ---------------------------------------------------------------------------------
 */

/* One item a line. */
static struct ml_script_item *items_of(struct ml_arena *arena, struct ml_slice lines,
                                       size_t *count_out)
{
    struct ml_slice text = lines.len ? ml_arena_copy(arena, lines) : lines;
    struct ml_script_item *items;
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    items = ml_arena_array(arena, count, sizeof *items);
    *count_out = items ? count : 0;
    for (size_t i = 0; items && i < count; i++) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = (size_t)(end - text.ptr);

        items[i] = (struct ml_script_item){.value = ml_slice_make(text.ptr, len)};
        text = ml_slice_make(end + 1, text.len - len - 1);
    }
    return items;
}

static void on_sessions(void *arg, uint64_t count, struct ml_slice lines)
{
    struct asking *a = arg;
    struct ml_script_answer with = {.number = count};

    if (!a->outside) {
        ml_arena_release(&a->arena);
        free(a);
        return;
    }
    with.items = items_of(&a->arena, lines, &with.item_count);
    if (!with.items)
        with.err = ML_ELIMIT;
    answer(a, &with);
    free_asking(a);
}

static enum ml_err begin_sessions(struct asking *a, const struct ml_script_op *op)
{
    static const char *const names[] = {[ML_ORDER_LIST] = "list",
                                        [ML_ORDER_RECHECK] = "recheck",
                                        [ML_ORDER_KICK] = "revoke",
                                        [ML_ORDER_TELL] = "notify"};
    struct ml_who who = {.org = op->org};
    size_t kind = 0;

    while (kind < sizeof names / sizeof *names &&
           !ml_slice_equal(op->name, ml_slice_str(names[kind])))
        kind++;
    if (kind == sizeof names / sizeof *names || !op->org.len || !a->outside->net)
        return ML_ENOTFOUND;
    for (size_t i = 0; i < op->item_count; i++) {
        const struct ml_script_item *item = &op->items[i];

        if (ml_slice_equal(item->key, ML_SLICE("user")))
            who.user = item->value;
        else if (ml_slice_equal(item->key, ML_SLICE("session")))
            who.session = item->value;
        else if (ml_slice_equal(item->key, ML_SLICE("document")))
            who.document = item->value;
        else
            return ML_EFORMAT;
    }
    return ml_sessions_order(a->outside->net, (enum ml_order_kind)kind, &who, op->value,
                             on_sessions, a);
}

static void on_docs(void *arg, const struct ml_script_answer *with)
{
    struct asking *a = arg;

    if (!a->outside) {
        ml_arena_release(&a->arena);
        free(a);
        return;
    }
    answer(a, with);
    free_asking(a);
}

/* False: no room. */
static bool copy(struct ml_arena *arena, struct ml_slice *text)
{
    if (!text->ptr)
        return true;
    *text = ml_arena_copy(arena, *text);
    return text->ptr != NULL;
}

static enum ml_err begin_read(struct asking *a, const struct ml_script_op *op)
{
    a->read = (struct ml_store_read){
        .look = ml_slice_equal(op->name, ML_SLICE("usage")) ? ML_STORE_USAGE
                : op->key.len                               ? ML_STORE_GET
                                                            : ML_STORE_SCAN,
        .org = op->org,
        .instance = op->instance,
        .space = op->space,
        .key = op->key.len ? op->key : op->prefix,
        .after = op->after,
        .limit = op->limit < 1                   ? 1
                 : op->limit > ML_STORE_PAGE_MAX ? ML_STORE_PAGE_MAX
                                                 : op->limit,
        .now_ms = ml_clock_wall_ms(),
        .done = on_read,
    };
    if (a->read.key.len > ML_STORE_KEY_MAX || a->read.after.len > ML_STORE_KEY_MAX)
        return ML_ELIMIT;
    if (!copy(&a->arena, &a->read.org) || !copy(&a->arena, &a->read.instance) ||
        !copy(&a->arena, &a->read.space) || !copy(&a->arena, &a->read.key) ||
        !copy(&a->arena, &a->read.after))
        return ML_ELIMIT;
    ml_store_look(a->outside->journal, &a->read);
    return ML_OK;
}

static enum ml_err take_item(struct ml_arena *arena, const struct ml_script_item *from,
                             struct ml_store_item *to)
{
    static const enum ml_store_act acts[] = {
        [ML_ITEM_CHECK] = ML_STORE_CHECK, [ML_ITEM_RANGE] = ML_STORE_RANGE,
        [ML_ITEM_SET] = ML_STORE_SET,     [ML_ITEM_DELETE] = ML_STORE_DELETE,
        [ML_ITEM_INCR] = ML_STORE_INCR,   [ML_ITEM_JOB] = ML_STORE_PUSH,
    };

    if (from->kind > ML_ITEM_JOB || from->key.len > ML_STORE_KEY_MAX ||
        from->upto.len > ML_STORE_KEY_MAX || from->value.len > ML_STORE_VALUE_MAX)
        return ML_ELIMIT;
    *to = (struct ml_store_item){
        .act = acts[from->kind],
        .key = from->key,
        .value = from->value,
        .upto = from->upto,
        .rev = from->rev,
        .count = from->count,
        .ttl_ms = from->kind == ML_ITEM_JOB ? 0 : from->ttl_ms,
        .number = from->number,
        .due_ms = from->kind == ML_ITEM_JOB ? (int64_t)from->ttl_ms : 0,
    };
    return copy(arena, &to->key) && copy(arena, &to->value) && copy(arena, &to->upto) ? ML_OK
                                                                                      : ML_ELIMIT;
}

static enum ml_err begin_write(struct asking *a, const struct ml_script_op *op)
{
    a->write = (struct ml_store_write){
        .org = op->org,
        .instance = op->instance,
        .space = op->space,
        .items = ml_arena_array(&a->arena, op->item_count, sizeof *a->write.items),
        .count = op->item_count,
        .now_ms = ml_clock_wall_ms(),
        .done = on_write,
    };
    if (!op->item_count || !a->write.items || !copy(&a->arena, &a->write.org) ||
        !copy(&a->arena, &a->write.instance) || !copy(&a->arena, &a->write.space))
        return ML_ELIMIT;
    for (size_t i = 0; i < op->item_count; i++) {
        enum ml_err err = take_item(&a->arena, &op->items[i], &a->write.items[i]);

        if (err)
            return err;
    }
    ml_store_commit(a->outside->journal, &a->write);
    return ML_OK;
}

/* ---- The web --------------------------------------------------------------------------------- */

static void on_web(struct ml_web_request *web)
{
    struct asking *a = ML_CONTAINER(web, struct asking, web);
    struct ml_script_item *items = ml_arena_array(&a->arena, web->field_count, sizeof *items);
    struct ml_script_answer with = {
        .err = web->err,
        .text = web->err ? ml_slice_str(web->why) : ml_slice_make(NULL, 0),
        .value = web->body,
        .number = web->status,
    };

    for (size_t i = 0; items && i < web->field_count; i++)
        items[i] =
            (struct ml_script_item){.key = web->fields[i].name, .value = web->fields[i].value};
    with.items = items;
    with.item_count = items ? web->field_count : 0;
    answer(a, &with);
    ml_web_release(web);
    free_asking(a);
}

static enum ml_err begin_web(struct asking *a, const struct ml_script_op *op)
{
    if (!a->outside->web)
        return ML_EIO;
    a->web = (struct ml_web_request){
        .org = op->org,
        .instance = op->instance,
        .method = op->name,
        .url = op->key,
        .sends = op->value,
        .timeout_ms = op->timeout_ms,
        .max_bytes = op->limit,
        .done = on_web,
    };
    for (size_t i = 0; i < op->item_count; i++) {
        enum ml_err err = ml_web_add_header(&a->web, op->items[i].key, op->items[i].value);

        if (err) {
            ml_web_release(&a->web);
            return err;
        }
    }
    return ml_web_begin(a->outside->web, &a->web);
}

/* ---- The port -------------------------------------------------------------------------------- */

static enum ml_err begin(void *arg, struct ml_script *script, uint64_t ticket,
                         const struct ml_script_op *op)
{
    struct ml_outside *outside = arg;
    struct asking *a;
    enum ml_err err = ML_ENOTFOUND;

    if (outside->is_closed)
        return ML_ECLOSED;
    if (outside->count >= ASKING_MAX)
        return ML_EBUSY;
    a = calloc(1, sizeof *a);
    if (!a)
        return ML_ELIMIT;
    a->outside = outside;
    a->script = script;
    a->ticket = ticket;
    a->kind = op->kind;
    ml_arena_init(&a->arena, ASKING_BYTES);
    ml_list_append(&outside->asking, &a->node);
    outside->count++;
    switch (op->kind) {
    case ML_OP_STORE_READ:
        err = begin_read(a, op);
        break;
    case ML_OP_STORE_COMMIT:
        err = begin_write(a, op);
        break;
    case ML_OP_HTTP:
        err = begin_web(a, op);
        break;
    case ML_OP_SESSIONS:
        err = begin_sessions(a, op);
        break;
    case ML_OP_DOCS:
        err = outside->net ? ml_docs_order(outside->net, op, on_docs, a) : ML_ENOTFOUND;
        break;
    case ML_OP_COUNT:
        break;
    }
    if (err)
        free_asking(a);
    return err;
}

static void let_go(struct asking *a)
{
    a->script = NULL;
    if (a->kind == ML_OP_HTTP) {
        ml_web_stop(&a->web);
        ml_web_release(&a->web);
        free_asking(a);
    } else if (a->kind == ML_OP_SESSIONS || a->kind == ML_OP_DOCS) {
        /* The loops may not answer any more. */
        ml_list_remove(&a->node);
        a->outside->count--;
        a->outside = NULL;
    }
}

static void cancel(void *arg, struct ml_script *script, uint64_t ticket)
{
    struct ml_outside *outside = arg;

    ML_LIST_EACH(node, &outside->asking)
    {
        struct asking *a = ML_CONTAINER(node, struct asking, node);

        if (a->script != script || a->ticket != ticket)
            continue;
        let_go(a);
        return;
    }
}

static void on_clock(uv_timer_t *timer)
{
    struct ml_outside *outside = timer->data;

    outside->wakes_at_ms = 0;
    if (outside->cells)
        ml_cells_tick(outside->cells);
}

static void wake_at(void *arg, struct ml_script *script, uint64_t at_ms)
{
    struct ml_outside *outside = arg;
    uint64_t now = ml_clock_mono_ms();

    (void)script;
    if (outside->is_closed || (outside->wakes_at_ms && outside->wakes_at_ms <= at_ms))
        return;
    outside->wakes_at_ms = at_ms;
    uv_update_time(outside->loop);
    (void)uv_timer_start(&outside->clock, on_clock, at_ms > now ? at_ms - now : 0, 0);
}

/* ---- Life and death -------------------------------------------------------------------------- */

struct ml_outside *ml_outside_new(uv_loop_t *loop, struct ml_journal *journal,
                                  const struct ml_config *config)
{
    struct ml_outside *outside = calloc(1, sizeof *outside);

    if (!outside)
        return NULL;
    outside->loop = loop;
    outside->journal = journal;
    ml_list_init(&outside->asking);
    outside->web = ml_web_new(loop, config->outgoing, config->outgoing_count, config->is_dev);
    (void)uv_timer_init(loop, &outside->clock);
    outside->clock.data = outside;
    uv_unref((uv_handle_t *)&outside->clock);
    return outside;
}

struct ml_script_port ml_outside_port(struct ml_outside *outside)
{
    return (struct ml_script_port){
        .arg = outside, .begin = begin, .cancel = cancel, .wake_at = wake_at};
}

void ml_outside_visit(struct ml_outside *outside, struct ml_net *net)
{
    outside->net = net;
}

void ml_outside_tell(struct ml_outside *outside, struct ml_worker *worker)
{
    outside->worker = worker;
}

void ml_outside_serve(struct ml_outside *outside, struct ml_cells *cells)
{
    outside->cells = cells;
}

static void end(struct ml_outside *outside)
{
    if (outside->is_freed && outside->clock_is_closed && ml_list_is_empty(&outside->asking))
        free(outside);
}

static void on_clock_closed(uv_handle_t *handle)
{
    struct ml_outside *outside = handle->data;

    outside->clock_is_closed = true;
    end(outside);
}

void ml_outside_close(struct ml_outside *outside)
{
    if (!outside || outside->is_closed)
        return;
    outside->is_closed = true;
    outside->net = NULL;
    ML_LIST_EACH(node, &outside->asking)
    let_go(ML_CONTAINER(node, struct asking, node));
    ml_web_close(outside->web);
    outside->web = NULL;
    (void)uv_timer_stop(&outside->clock);
    uv_close((uv_handle_t *)&outside->clock, on_clock_closed);
}

void ml_outside_free(struct ml_outside *outside)
{
    if (!outside)
        return;
    outside->is_freed = true;
    outside->cells = NULL;
    end(outside);
}
