/* SPDX-License-Identifier: MIT */
/*
 * A document made once, with what it begins with: of many who ask, one succeeds, and there is no
 * moment in which the document is there without its content.
 *
 *   body --> name, may they --> first record (text, operations, an update, a template's state)
 *        --> before_update --> ml_rooms_birth (load_document, create_document, the record) --> 201
 *
 * The record goes to the journal, not through a room: a room knows nothing of a document that is
 * there and empty. Somebody who has the address open already (nothing was written yet) is sent away
 * and comes back to the document as it is.
 */
#include "net/api.h"
#include "net/base64.h"
#include "net/fields.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

static const char *const known_fields[] = {"name", "content", "root", "template", NULL};
static const char *const content_fields[] = {"ops", "update", NULL};

struct creation {
    struct ml_birth birth;
    struct ml_reading template;
    struct ml_call *call;
    struct ml_slice name;
    struct ml_writer bytes;              /* the first record; empty: none */
    struct ml_slice from, content, root; /* template; content, as JSON; .ptr NULL: none */
};

static void release(struct creation *creation)
{
    ml_writer_release(&creation->bytes);
}

static void fail(struct creation *creation, unsigned status, const char *code, const char *message)
{
    release(creation);
    ml_call_error(creation->call, status, code, message);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void write_location(struct ml_writer *out, const struct ml_call *call, struct ml_slice name)
{
    static const char hex[] = "0123456789ABCDEF";

    ml_http_print(out, "Location: /api/v1/orgs/%.*s/docs/", ML_PRINT(call->org));
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || (c && strchr("-._~", c));

        if (is_plain)
            ml_write_u8(out, c);
        else
            ml_http_print(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
    }
    ml_http_print(out, "\r\n");
}

static void answer_made(struct creation *creation, uint64_t head)
{
    struct ml_call *call = creation->call;
    struct ml_writer body, fields;
    struct ml_slice lines;

    ml_writer_init(&fields, 4096);
    write_location(&fields, call, creation->name);
    ml_write_u8(&fields, '\0');
    ml_writer_init(&body, 8192);
    ml_http_print(&body, "{\"name\":");
    ml_json_write_text(&body, creation->name);
    ml_http_print(&body, ",\"seq\":%" PRIu64 ",\"epoch\":1}", head);
    lines = ml_arena_copy(&call->arena, ml_writer_slice(&fields));
    ml_writer_release(&fields);
    ml_call_json(call, 201, lines.ptr ? (const char *)lines.ptr : "", &body);
}

static void on_born(struct ml_birth *birth, const struct ml_birth_result *result)
{
    struct creation *creation = ML_CONTAINER(birth, struct creation, birth);
    struct ml_call *call = creation->call;
    enum ml_err err = result->err;

    release(creation);
    if (err == ML_EDENIED) {
        ml_call_denial(call, result->denial);
    } else if (err == ML_ESCRIPT) {
        ml_call_error(call, 503, "policy_unavailable", "A policy cannot answer now.");
    } else if (err) {
        ml_call_failed(call, err == ML_EIO ? ML_ECLOSED : err);
    } else {
        (void)ml_rooms_dismiss(call->net->env.rooms, call->org, creation->name, ML_CLOSE_TRY_LATER,
                               "the document was made");
        if (result->is_imported) /* it was there all the time, elsewhere */
            ml_call_failed(call, ML_ECONFLICT);
        else
            answer_made(creation, result->head);
    }
}

static void append(struct creation *creation)
{
    struct ml_call *call = creation->call;

    creation->birth = (struct ml_birth){
        .org = call->org,
        .name = creation->name,
        .identity = &call->visitor.identity,
        .may_create = true,
        .is_wanted = true,
        .template = creation->from,
        .content = ml_writer_slice(&creation->bytes),
        .done = on_born,
    };
    if (call->http && call->http->is_routing)
        ml_call_wait(call);
    ml_rooms_birth(call->net->env.rooms, &creation->birth);
}

/* ---- what a policy says ---------------------------------------------------------------------- */

static ml_client_id fresh_client(void)
{
    ml_client_id client;

    if (getrandom(&client, sizeof client, 0) != sizeof client)
        return 0;
    return (client & UINT32_MAX) | 1;
}

static enum ml_err ask(struct ml_script *script, const struct ml_scope *scope,
                       struct ml_script_update *decision, struct ml_denial *denial)
{
    enum ml_err err = ml_script_authorize_edit(script, scope, decision, denial);

    return err ? err : ml_script_before_update(script, scope, decision, denial);
}

/* Some of it was refused or rewritten: what is left of it is the content. */
static enum ml_err rewrite(struct creation *creation, const struct ml_script_update *decision)
{
    const struct ml_verdict verdict = {.effects = decision->effects};
    const struct ml_change *change;
    enum ml_err err =
        ml_doc_apply(decision->doc, decision->update, &verdict, decision->scratch, &change);

    if (err)
        return err;
    ml_writer_reset(&creation->bytes);
    ml_write_bytes(&creation->bytes, change->bytes);
    return creation->bytes.err;
}

/* The hooks that would be asked if a member wrote this. */
static void ask_and_append(struct creation *creation)
{
    struct ml_call *call = creation->call;
    struct ml_script *script = ml_net_script(call->net, call->org, creation->name);
    const struct ml_identity *identity = &call->visitor.identity;
    const struct ml_doc_options options = {.client = fresh_client()};
    struct ml_script_update decision;
    const struct ml_update *update;
    struct ml_denial denial = {0};
    struct ml_scope scope = {
        .org = call->org,
        .document = creation->name,
        .user = ml_slice_str(identity->user),
        .user_name = ml_slice_str(identity->name),
        .session = ml_slice_str(identity->session),
        .origin = "client",
        .roles = call->visitor.facts.roles,
        .role_count = call->visitor.facts.role_count,
    };
    struct ml_doc *doc;
    enum ml_err err;

    err = ml_update_decode(&call->arena, ml_writer_slice(&creation->bytes), NULL, NULL, &update);
    if (err) {
        fail(creation, 400, "bad_update", "The content is not a Yjs update.");
        return;
    }
    if (script && (ml_script_hooks(script) & (ML_HOOK_AUTHORIZE_EDIT | ML_HOOK_BEFORE_UPDATE))) {
        doc = ml_doc_new(&options);
        scope.doc = doc;
        ml_script_update_init(&decision, update, doc, &call->arena);
        err = doc ? ask(script, &scope, &decision, &denial) : ML_ELIMIT;
        if (!err && ml_script_update_is_judged(&decision))
            err = rewrite(creation, &decision);
        ml_doc_free(doc);
    }
    if (err == ML_EDENIED) {
        release(creation);
        ml_call_denial(call, &denial);
    } else if (err) {
        fail(creation, 503, "policy_unavailable", "A policy cannot answer now.");
    } else {
        append(creation);
    }
}

/* ---- the first record ------------------------------------------------------------------------ */

static enum ml_err encode_all(struct ml_reading *reading, struct ml_doc *doc)
{
    struct creation *creation = ML_CONTAINER(reading, struct creation, template);

    return ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &creation->bytes);
}

static void on_template(struct ml_reading *reading)
{
    struct creation *creation = ML_CONTAINER(reading, struct creation, template);

    if (reading->err == ML_ENOTFOUND || (!reading->err && !reading->exists)) {
        fail(creation, 422, "no_template", "There is no such template.");
    } else if (reading->err) {
        release(creation);
        ml_call_failed(creation->call, reading->err);
    } else {
        ask_and_append(creation);
    }
}

/* Operations on an empty document, by a client of their own. */
static enum ml_err run_ops(struct creation *creation, struct ml_slice ops, struct ml_diag *diag)
{
    struct ml_doc_options options = {0};
    const struct ml_change *change;
    struct ml_doc *doc;
    enum ml_err err;

    if (getrandom(&options.client, sizeof options.client, 0) != sizeof options.client)
        return ML_EIO;
    options.client = (options.client & UINT32_MAX) | 1;
    doc = ml_doc_new(&options);
    err = doc ? ml_doc_run_ops(doc, ops, &creation->call->arena, diag, &change) : ML_ELIMIT;
    if (!err)
        ml_write_bytes(&creation->bytes, change->bytes);
    ml_doc_free(doc);
    return err ? err : creation->bytes.err;
}

/* One operation that inserts the text, as the engine reads operations: a list in a list. */
static enum ml_err insert_text(struct creation *creation, struct ml_slice root,
                               struct ml_slice text, struct ml_diag *diag)
{
    struct ml_writer ops;
    enum ml_err err;

    if (!text.len)
        return ML_OK;
    ml_writer_init(&ops, ML_API_BODY_MAX + 4096);
    ml_write_bytes(&ops, ML_SLICE("\x75\x01\x75\x04\x77"));
    ml_write_varbytes(&ops, ML_SLICE("text.insert"));
    ml_write_u8(&ops, 0x77);
    ml_write_varbytes(&ops, root);
    ml_write_bytes(&ops, ml_slice_make("\x7d\x00\x77", 3));
    ml_write_varbytes(&ops, text);
    err = ops.err ? ops.err : run_ops(creation, ml_writer_slice(&ops), diag);
    ml_writer_release(&ops);
    return err;
}

/* False: answered. */
static bool make_content(struct creation *creation, struct ml_slice content, struct ml_slice root)
{
    struct ml_slice value, text, decoded;
    struct ml_diag diag = {0};
    enum ml_err err = ML_OK;

    if (ml_fields_text(content, &text)) {
        err = insert_text(creation, root, text, &diag);
    } else if (ml_fields_unknown(content, content_fields).ptr) {
        err = ML_EFORMAT;
        (void)ml_diag_set(&diag, err, 0, "content has ops or update");
    } else if (ml_fields_get(content, "ops", &value)) {
        err = run_ops(creation, value, &diag);
    } else if (ml_fields_get(content, "update", &value) && ml_fields_text(value, &text)) {
        if (ml_base64url_decode(text, &creation->call->arena, &decoded))
            ml_write_bytes(&creation->bytes, decoded);
        else
            err = ml_diag_set(&diag, ML_EFORMAT, 0, "update is not base64url");
    } else {
        err = ml_diag_set(&diag, ML_EFORMAT, 0,
                          "content is text, {\"ops\": […]} or {\"update\": base64url}");
    }
    if (!err)
        return true;
    fail(creation, err == ML_ELIMIT ? 413 : 400, "bad_content",
         diag.text[0] ? diag.text : ml_err_text(err));
    return false;
}

/* ---- POST …/docs ----------------------------------------------------------------------------- */

/* The body as one object with known members. False: answered. */
static bool read_body(struct ml_call *call, struct ml_slice *any_out)
{
    const struct ml_engine_limits limits = {.any_depth = ML_API_DEPTH_MAX};
    struct ml_writer any;
    struct ml_slice unknown;
    char message[200];

    ml_writer_init(&any, 2 * ML_API_BODY_MAX);
    if (ml_any_from_json(ml_writer_slice(&call->body), &limits, &any) ||
        !ml_fields_is_object(ml_writer_slice(&any))) {
        ml_writer_release(&any);
        ml_call_error(call, 400, "bad_json", "The body is not a JSON object.");
        return false;
    }
    *any_out = ml_arena_copy(&call->arena, ml_writer_slice(&any));
    ml_writer_release(&any);
    unknown = any_out->ptr ? ml_fields_unknown(*any_out, known_fields) : ml_slice_make(NULL, 0);
    if (!any_out->ptr) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return false;
    }
    if (unknown.ptr) {
        (void)snprintf(message, sizeof message,
                       "There is no field \"%s\": name, content, root, template.",
                       ML_LOG_TEXT(unknown));
        ml_call_error(call, 400, "unknown_field", message);
        return false;
    }
    return true;
}

static void create(struct ml_call *call)
{
    struct creation *creation = call->job;

    if (creation->content.ptr && !make_content(creation, creation->content, creation->root))
        return;
    if (creation->from.ptr) {
        creation->template = (struct ml_reading){
            .org = call->org, .name = creation->from, .work = encode_all, .done = on_template};
        ml_call_wait(call);
        ml_reading_start(call->net, &creation->template);
    } else if (creation->bytes.len) {
        ask_and_append(creation);
    } else {
        append(creation);
    }
}

static void ask_to_create(struct ml_call *call)
{
    const struct creation *creation = call->job;

    ml_call_authorize(call, "doc.create", creation->name,
                      ML_MAY_READ | ML_MAY_WRITE | ML_MAY_EVERYWHERE, create);
}

void ml_api_create(struct ml_call *call)
{
    struct ml_slice any, value, name, root = ML_SLICE("content"), template;
    struct creation *creation = ml_arena_alloc(&call->arena, sizeof *creation);
    bool has_content, has_template;

    if (!creation) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    if (!read_body(call, &any))
        return;
    if (!ml_fields_get(any, "name", &value) || !ml_fields_text(value, &name) ||
        !ml_document_name_is_valid(name)) {
        ml_call_error(call, 400, "bad_name",
                      "name is 1 to 512 bytes of text in NFC without control characters.");
        return;
    }
    has_template = ml_fields_get(any, "template", &value);
    if (has_template &&
        (!ml_fields_text(value, &template) || !ml_document_name_is_valid(template))) {
        ml_call_error(call, 400, "bad_template", "template is the name of a document.");
        return;
    }
    if (ml_fields_get(any, "root", &value) && !ml_fields_text(value, &root)) {
        ml_call_error(call, 400, "bad_root", "root is the name of a text.");
        return;
    }
    has_content = ml_fields_get(any, "content", &value);
    if (has_content && has_template) {
        ml_call_error(call, 400, "bad_content", "content and template cannot both be there.");
        return;
    }
    creation->call = call;
    creation->name = name;
    creation->root = root;
    creation->content = has_content ? value : ml_slice_make(NULL, 0);
    creation->from = has_template ? template : ml_slice_make(NULL, 0);
    ml_writer_init(&creation->bytes, 2 * ML_API_IMPORT_MAX);
    call->job = creation;
    if (has_template)
        ml_call_authorize(call, "doc.open", template, ML_MAY_READ, ask_to_create);
    else
        ask_to_create(call);
}
