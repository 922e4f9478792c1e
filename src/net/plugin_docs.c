/* SPDX-License-Identifier: MIT */
/*
 * One order is one piece of memory with a copy of what was asked. Answers never come from inside
 * the call that asked: what could be answered at once (create, delete without hooks) goes through
 * the turn of the rooms like everything else.
 */
#include "net/plugin_docs.h"

#include "net/api.h"
#include "net/purge.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define ARENA_BYTES  (24u << 20)
#define ANSWER_BYTES (8u << 20)
#define LIST_MAX     1000

typedef void (*docs_done)(void *arg, const struct ml_script_answer *answer);

struct order {
    struct ml_net *net;
    struct ml_arena arena;
    struct ml_slice org, instance, name, path, value, template, content;
    docs_done done;
    void *arg;
    struct ml_reading reading;
    struct ml_list_documents list;
    struct ml_set_deleted deletion;
    struct ml_birth birth;
    struct ml_writer bytes;
    struct ml_script_answer answer;
};

static void finish(struct order *order)
{
    order->done(order->arg, &order->answer);
    ml_writer_release(&order->bytes);
    ml_arena_release(&order->arena);
    free(order);
}

static void fail(struct order *order, enum ml_err err, const char *why)
{
    order->answer = (struct ml_script_answer){.err = err, .text = ml_slice_str(why)};
    finish(order);
}

static void succeed(struct order *order, uint64_t number)
{
    order->answer = (struct ml_script_answer){.number = number};
    finish(order);
}

/* ---- get --------------------------------------------------------------------------------------
 */

/* A worker's thread. */
static enum ml_err read_value(struct ml_reading *reading, struct ml_doc *doc)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);
    struct ml_shown at;
    enum ml_err err;

    if (!ml_shown_at(doc, order->path, &at))
        return ML_OK;
    err = ml_shown_any(doc, &at, &order->bytes);
    return err ? err : order->bytes.err;
}

static void on_read(struct ml_reading *reading)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);

    if (reading->err == ML_ENOTFOUND || (!reading->err && !reading->exists)) {
        fail(order, ML_ENOTFOUND, "there is no such document");
    } else if (reading->err) {
        fail(order, reading->err, ml_err_text(reading->err));
    } else {
        order->answer = (struct ml_script_answer){.value = ml_writer_slice(&order->bytes)};
        finish(order);
    }
}

static enum ml_err begin_get(struct order *order)
{
    order->reading = (struct ml_reading){
        .org = order->org, .name = order->name, .work = read_value, .done = on_read};
    ml_reading_start(order->net, &order->reading);
    return ML_OK;
}

/* ---- list -------------------------------------------------------------------------------------
 */

static void on_listed(struct ml_list_documents *list)
{
    struct order *order = ML_CONTAINER(list, struct order, list);
    struct ml_script_item *items = ml_arena_array(&order->arena, list->count + 1, sizeof *items);
    enum ml_err err = list->err ? list->err : items ? ML_OK : ML_ELIMIT;

    for (size_t i = 0; !err && i < list->count; i++) {
        const struct ml_listed *one = &list->items[i];
        char text[160];

        (void)snprintf(
            text, sizeof text,
            "{\"seq\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"created_at\":%.3f,\"updated_at\":%.3f}",
            one->head, one->bytes, (double)one->created_ms / 1000, (double)one->updated_ms / 1000);
        items[i] = (struct ml_script_item){.key = one->name};
        items[i].value = ml_arena_copy(&order->arena, ml_slice_str(text));
        if (!items[i].value.ptr)
            err = ML_ELIMIT;
    }
    order->answer = (struct ml_script_answer){.err = err};
    if (!err) {
        order->answer.items = items;
        order->answer.item_count = list->count;
    }
    order->done(order->arg, &order->answer);
    ml_list_documents_release(list);
    ml_arena_release(&order->arena);
    free(order);
}

static enum ml_err begin_list(struct order *order, const struct ml_script_op *op)
{
    order->list = (struct ml_list_documents){.org = order->org,
                                             .prefix = order->path,
                                             .after = order->value,
                                             .limit = op->limit && op->limit < LIST_MAX ? op->limit
                                                                                        : LIST_MAX,
                                             .done = on_listed};
    ml_journal_list_documents(order->net->env.journal, &order->list);
    return ML_OK;
}

/* ---- create -----------------------------------------------------------------------------------
 */

static void on_born(struct ml_birth *birth, const struct ml_birth_result *result)
{
    struct order *order = ML_CONTAINER(birth, struct order, birth);
    enum ml_err err = result->err;

    if (!err && !result->is_imported) {
        (void)ml_rooms_dismiss(order->net->env.rooms, order->org, order->name, ML_CLOSE_TRY_LATER,
                               "the document was made");
        succeed(order, 1);
    } else if (!err || err == ML_ECONFLICT) {
        succeed(order, 0);
    } else if (err == ML_EDENIED) {
        struct ml_slice why = ml_arena_copy(&order->arena, result->denial->reason);

        order->answer = (struct ml_script_answer){.err = err, .text = why};
        finish(order);
    } else {
        fail(order, err, ml_err_text(err));
    }
}

static void make(struct order *order)
{
    order->birth = (struct ml_birth){.org = order->org,
                                     .name = order->name,
                                     .may_create = true,
                                     .is_wanted = true,
                                     .template = order->template,
                                     .content = ml_writer_slice(&order->bytes),
                                     .done = on_born};
    ml_rooms_birth(order->net->env.rooms, &order->birth);
}

static enum ml_err encode_all(struct ml_reading *reading, struct ml_doc *doc)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);

    return ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &order->bytes);
}

static void on_template(struct ml_reading *reading)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);

    if (reading->err == ML_ENOTFOUND || (!reading->err && !reading->exists))
        fail(order, ML_ENOTFOUND, "there is no such template");
    else if (reading->err)
        fail(order, reading->err, ml_err_text(reading->err));
    else
        make(order);
}

/* What the operations write into an empty document. A worker's thread. */
static enum ml_err write_content(struct ml_reading *reading, struct ml_doc *doc)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);
    const struct ml_change *change;
    struct ml_doc *fresh;
    struct ml_doc_options options = {0};
    enum ml_err err;

    (void)doc;
    if (!order->value.len)
        return ML_OK;
    if (getrandom(&options.client, sizeof options.client, 0) != sizeof options.client)
        return ML_EIO;
    options.client = (options.client & UINT32_MAX) | 1;
    fresh = ml_doc_new(&options);
    err = fresh ? ml_doc_run_ops(fresh, order->value, &order->arena, &order->reading.diag, &change)
                : ML_ELIMIT;
    if (!err)
        ml_write_bytes(&order->bytes, change->bytes);
    ml_doc_free(fresh);
    return err;
}

static void on_content(struct ml_reading *reading)
{
    struct order *order = ML_CONTAINER(reading, struct order, reading);

    if (reading->exists || reading->err == ML_ENOTFOUND) { /* it is there, or was deleted */
        succeed(order, 0);
    } else if (reading->err) {
        struct ml_slice why = ml_arena_copy(&order->arena, ml_slice_str(reading->diag.text));

        order->answer = (struct ml_script_answer){.err = reading->err, .text = why};
        finish(order);
    } else {
        make(order);
    }
}

static enum ml_err begin_create(struct order *order)
{
    bool copies = order->template.len > 0;

    order->reading = (struct ml_reading){.org = order->org,
                                         .name = copies ? order->template : order->name,
                                         .work = copies ? encode_all : write_content,
                                         .may_be_new = !copies,
                                         .done = copies ? on_template : on_content};
    ml_reading_start(order->net, &order->reading);
    return ML_OK;
}

/* ---- delete -----------------------------------------------------------------------------------
 */

static void on_told(void *arg, enum ml_err err)
{
    struct order *order = arg;

    if (err)
        ml_log(ML_LOG_ERROR, "hook.untold", "org=%s doc=%s hook=document_deleted reason=%s",
               ML_LOG_TEXT(order->org), ML_LOG_TEXT(order->name), ml_err_name(err));
    succeed(order, 1);
}

static void tell_deleted(struct order *order)
{
    struct ml_later later = {.hook = "document_deleted",
                             .org = order->org,
                             .document = order->name,
                             .done = on_told,
                             .arg = order};

    ml_http_print(&order->bytes, "{\"id\":");
    ml_json_write_text(&order->bytes, order->name);
    ml_http_print(&order->bytes, ",\"org\":");
    ml_json_write_text(&order->bytes, order->org);
    ml_http_print(&order->bytes, "}");
    later.args = ml_writer_slice(&order->bytes);
    if (order->bytes.err || !ml_rooms_tell_later(order->net->env.rooms, &later))
        succeed(order, 1);
}

static void on_set_deleted(struct ml_set_deleted *request)
{
    struct order *order = ML_CONTAINER(request, struct order, deletion);
    struct ml_net *net = order->net;
    char actor[160];

    if (request->err == ML_ENOTFOUND || (!request->err && !request->changed)) {
        succeed(order, 0);
        return;
    }
    if (request->err) {
        fail(order, request->err, ml_err_text(request->err));
        return;
    }
    (void)snprintf(actor, sizeof actor, "plugin:%.*s", ML_PRINT(order->instance));
    ml_purger_wake(net);
    ml_audit(net->env.rooms, &(struct ml_audit_event){.kind = "document.deleted",
                                                      .org = order->org,
                                                      .actor = ml_slice_str(actor),
                                                      .subject = order->name});
    ml_log(ML_LOG_INFO, "document.deleted", "org=%s doc=%s user=%s", ML_LOG_TEXT(order->org),
           ML_LOG_TEXT(order->name), ML_LOG_TEXT(ml_slice_str(actor)));
    (void)ml_rooms_dismiss(net->env.rooms, order->org, order->name, ML_CLOSE_DELETED,
                           "the document was deleted");
    tell_deleted(order);
}

static void on_may_delete(void *arg, enum ml_err err, const struct ml_denial *denial)
{
    struct order *order = arg;

    if (err == ML_EDENIED) {
        struct ml_slice why = ml_arena_copy(&order->arena, denial->reason);

        order->answer = (struct ml_script_answer){.err = err, .text = why};
        finish(order);
        return;
    }
    if (err) {
        fail(order, err, "a policy cannot answer now");
        return;
    }
    order->deletion = (struct ml_set_deleted){.org = order->org,
                                              .name = order->name,
                                              .deleted = true,
                                              .at_ms = ml_clock_wall_ms(),
                                              .done = on_set_deleted};
    ml_journal_set_deleted(order->net->env.journal, &order->deletion);
}

/* First a look: a document that is not there is asked about by nobody, and no answer comes at once.
 */
static enum ml_err look_only(struct ml_reading *reading, struct ml_doc *doc)
{
    (void)reading;
    (void)doc;
    return ML_OK;
}

static void on_looked(struct ml_reading *reading)
{
    static const struct ml_denial none;
    struct order *order = ML_CONTAINER(reading, struct order, reading);
    struct ml_script *script = ml_net_script(order->net, order->org, order->name);

    if (reading->err == ML_ENOTFOUND || (!reading->err && !reading->exists))
        succeed(order, 0);
    else if (reading->err == ML_EIO || reading->err == ML_EBUSY)
        fail(order, reading->err, ml_err_text(reading->err));
    else if (script) /* a damaged one can be deleted, too */
        ml_script_may_delete(script, order->org, order->name, on_may_delete, order);
    else
        on_may_delete(order, ML_OK, &none);
}

static enum ml_err begin_delete(struct order *order)
{
    order->reading = (struct ml_reading){
        .org = order->org, .name = order->name, .work = look_only, .done = on_looked};
    ml_reading_start(order->net, &order->reading);
    return ML_OK;
}

/* ---- apply, run -------------------------------------------------------------------------------
 */

static void on_errand(void *arg, const struct ml_errand_result *result)
{
    struct order *order = arg;
    struct ml_script_item kind = {.key = ML_SLICE("kind"), .value = result->kind};

    order->answer = (struct ml_script_answer){.err = result->err, .number = result->seq};
    if (result->err)
        order->answer.text =
            result->text.len ? result->text : ml_slice_str(ml_err_text(result->err));
    else
        order->answer.value = result->text;
    if (result->kind.len) {
        order->answer.items = &kind;
        order->answer.item_count = 1;
    }
    finish(order);
}

static enum ml_err begin_errand(struct order *order, enum ml_errand_kind kind)
{
    const struct ml_errand errand = {
        .kind = kind,
        .org = order->org,
        .name = order->name,
        .instance = order->instance,
        .task = order->path,
        .text = order->value,
        .done = on_errand,
        .arg = order,
    };

    return ml_rooms_errand(order->net->env.rooms, &errand);
}

/* ---- what is asked ----------------------------------------------------------------------------
 */

static bool take(struct order *order, struct ml_slice from, struct ml_slice *to)
{
    if (!from.ptr)
        return true;
    *to = ml_arena_copy(&order->arena, from);
    return to->ptr != NULL;
}

static enum ml_err take_all(struct order *order, const struct ml_script_op *op)
{
    bool ok = take(order, op->org, &order->org) && take(order, op->instance, &order->instance) &&
              take(order, op->key, &order->name) && take(order, op->prefix, &order->path) &&
              take(order, op->value.ptr ? op->value : op->after, &order->value);

    for (size_t i = 0; ok && i < op->item_count; i++) {
        if (ml_slice_equal(op->items[i].key, ML_SLICE("template")))
            ok = take(order, op->items[i].value, &order->template);
        else
            return ML_EFORMAT;
    }
    return ok ? ML_OK : ML_ELIMIT;
}

static enum ml_err begin(struct order *order, const struct ml_script_op *op)
{
    if (ml_slice_equal(op->name, ML_SLICE("list")))
        return begin_list(order, op);
    if (!ml_document_name_is_valid(order->name) ||
        (order->template.ptr && !ml_document_name_is_valid(order->template)))
        return ML_EFORMAT;
    if (ml_slice_equal(op->name, ML_SLICE("get")))
        return begin_get(order);
    if (ml_slice_equal(op->name, ML_SLICE("create")))
        return begin_create(order);
    if (ml_slice_equal(op->name, ML_SLICE("delete")))
        return begin_delete(order);
    if (ml_slice_equal(op->name, ML_SLICE("apply")))
        return begin_errand(order, ML_ERRAND_OPS);
    if (ml_slice_equal(op->name, ML_SLICE("run")))
        return begin_errand(order, ML_ERRAND_TASK);
    return ML_ENOTFOUND;
}

enum ml_err ml_docs_order(struct ml_net *net, const struct ml_script_op *op, docs_done done,
                          void *arg)
{
    struct order *order;
    enum ml_err err;

    if (!ml_org_is_valid(op->org))
        return ML_ENOTFOUND; /* the operator's state is nobody's */
    if (net->is_draining || net->is_closing)
        return ML_EBUSY;
    order = calloc(1, sizeof *order);
    if (!order)
        return ML_ELIMIT;
    order->net = net;
    order->done = done;
    order->arg = arg;
    ml_arena_init(&order->arena, ARENA_BYTES);
    ml_writer_init(&order->bytes, ANSWER_BYTES);
    err = take_all(order, op);
    if (!err)
        err = begin(order, op);
    if (err) {
        ml_writer_release(&order->bytes);
        ml_arena_release(&order->arena);
        free(order);
    }
    return err;
}
