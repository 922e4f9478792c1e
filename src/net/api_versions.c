/* SPDX-License-Identifier: MIT */
/*
 * Versions: listed, made, looked at, pinned, removed.
 *
 *   made:  read from the journal (worker) --> state --> decoded again, compared --> put_snapshot
 *
 * A version is made of what is committed, not of what a room holds, so it is the fold of records
 * 1 … seq and nothing else.
 */
#include "net/api_versions.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define STATE_MAX  (512u << 20)
#define LABELS_MAX 32

/* ---- what the body says ---------------------------------------------------------------------- */

bool ml_call_body(struct ml_call *call, const char *const *known, struct ml_slice *any_out)
{
    const struct ml_engine_limits limits = {.any_depth = ML_API_DEPTH_MAX};
    struct ml_slice text = ml_writer_slice(&call->body);
    struct ml_writer any;
    bool is_good;

    if (!text.len)
        text = ML_SLICE("{}");
    ml_writer_init(&any, 2 * ML_API_BODY_MAX);
    is_good = !ml_any_from_json(text, &limits, &any);
    if (is_good)
        *any_out = ml_arena_copy(&call->arena, ml_writer_slice(&any));
    ml_writer_release(&any);
    if (!is_good || !any_out->ptr || !ml_fields_is_object(*any_out)) {
        ml_call_error(call, 400, "bad_json", "The body is not a JSON object.");
        return false;
    }
    if (ml_fields_unknown(*any_out, known).ptr) {
        ml_call_error(call, 400, "unknown_field", "The body has a member that is not known here.");
        return false;
    }
    return true;
}

bool ml_labels_write(struct ml_slice any, struct ml_arena *arena, struct ml_slice *out)
{
    struct ml_slice name, value, text;
    struct ml_writer json;
    uint64_t at = 0;
    bool is_good = ml_fields_is_object(any);

    ml_writer_init(&json, ML_VERSION_LABELS_MAX);
    while (is_good && ml_fields_member(any, at, &name, &value)) {
        is_good = ml_fields_text(value, &text) && at < LABELS_MAX;
        ml_http_print(&json, at++ ? "," : "{");
        ml_json_write_text(&json, name);
        ml_http_print(&json, ":");
        if (is_good)
            ml_json_write_text(&json, text);
    }
    if (at)
        ml_http_print(&json, "}");
    is_good = is_good && !json.err;
    if (is_good)
        *out = ml_arena_copy(arena, ml_writer_slice(&json));
    ml_writer_release(&json);
    return is_good;
}

/* ---- one version as JSON --------------------------------------------------------------------- */

static void write_user(struct ml_writer *out, struct ml_slice author)
{
    if (author.len)
        ml_json_write_text(out, author);
    else
        ml_http_print(out, "null");
}

void ml_version_write(struct ml_writer *out, const struct ml_version *version, uint64_t published)
{
    ml_http_print(out, "{\"version\":%" PRIu64 ",\"name\":", version->number);
    ml_json_write_text(out, version->name);
    ml_http_print(out, ",\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 ",\"user\":", version->seq,
                  version->at_ms);
    write_user(out, version->author);
    ml_http_print(out, ",\"labels\":");
    ml_write_bytes(out, version->labels.len ? version->labels : ML_SLICE("{}"));
    ml_http_print(out, ",\"named\":%s,\"pinned\":%s,\"published\":%s,\"bytes\":%" PRIu64 "}",
                  version->is_named ? "true" : "false", version->is_pinned ? "true" : "false",
                  published && version->number == published ? "true" : "false", version->bytes);
}

/* ---- looking one up -------------------------------------------------------------------------- */

static void on_searched(struct ml_versions *request)
{
    struct ml_version_search *search = ML_CONTAINER(request, struct ml_version_search, request);
    struct ml_call *call = search->call;
    struct ml_version version;

    if (request->err || !request->count) {
        enum ml_err err = request->err;
        bool is_there = request->exists;

        ml_versions_release(request);
        if (err)
            ml_call_failed(call, err);
        else if (is_there)
            ml_call_error(call, 404, "no_version", "There is no such version.");
        else
            ml_call_error(call, 404, "not_found", "There is no such document.");
        return;
    }
    version = request->items[0];
    version.name = ml_arena_copy(&call->arena, version.name);
    version.author = ml_arena_copy(&call->arena, version.author);
    version.labels = ml_arena_copy(&call->arena, version.labels);
    version.hash = ml_arena_copy(&call->arena, version.hash);
    version.root = ml_arena_copy(&call->arena, version.root);
    ml_versions_release(request);
    search->found(search, &version);
}

void ml_version_search_start(struct ml_version_search *search, struct ml_call *call,
                             struct ml_slice only,
                             void (*found)(struct ml_version_search *, const struct ml_version *))
{
    *search = (struct ml_version_search){
        .request = {.org = call->org,
                    .name = call->name,
                    .only = only,
                    .before_number = ML_SEQ_ANY,
                    .limit = 1,
                    .done = on_searched},
        .call = call,
        .found = found,
    };
    ml_call_wait(call);
    ml_journal_versions(call->net->env.journal, &search->request);
}

static struct ml_version_search *search_new(struct ml_call *call,
                                            void (*found)(struct ml_version_search *,
                                                          const struct ml_version *))
{
    struct ml_version_search *search = ml_arena_alloc(&call->arena, sizeof *search);

    if (search)
        ml_version_search_start(search, call, call->version, found);
    else
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
    return search;
}

/* ---- GET …/versions, GET …/versions/{version} ------------------------------------------------ */

struct listing {
    struct ml_versions request;
    struct ml_call *call;
};

static void write_list(struct ml_writer *out, const struct ml_versions *request)
{
    ml_http_print(out, "{\"items\":[");
    for (size_t i = 0; i < request->count; i++) {
        if (i)
            ml_write_u8(out, ',');
        ml_version_write(out, &request->items[i], request->published);
    }
    if (request->more && request->count)
        ml_http_print(out, "],\"next\":\"%" PRIu64 "\"}",
                      request->items[request->count - 1].number);
    else
        ml_http_print(out, "],\"next\":null}");
}

static void on_listed(struct ml_versions *request)
{
    struct listing *listing = ML_CONTAINER(request, struct listing, request);
    struct ml_call *call = listing->call;
    enum ml_err err = request->err;
    bool exists = request->exists;
    struct ml_writer body;

    ml_writer_init(&body, 8 * ML_HTTP_BODY_MAX);
    if (!err && exists)
        write_list(&body, request);
    ml_versions_release(request);
    if (!err && exists) {
        ml_call_json(call, 200, "", &body);
        return;
    }
    ml_writer_release(&body);
    if (err)
        ml_call_failed(call, err);
    else
        ml_call_error(call, 404, "not_found", "There is no such document.");
}

void ml_api_versions(struct ml_call *call)
{
    struct listing *listing = ml_arena_alloc(&call->arena, sizeof *listing);
    uint64_t limit, before;

    if (!listing) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    if (!ml_call_number(call, "limit", 1, 1000, 100, &limit) ||
        !ml_call_number(call, "before", 1, ML_VARUINT_MAX, ML_SEQ_ANY, &before))
        return;
    *listing = (struct listing){
        .request = {.org = call->org,
                    .name = call->name,
                    .before_number = before,
                    .limit = (size_t)limit,
                    .done = on_listed},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_versions(call->net->env.journal, &listing->request);
}

static void answer_one(struct ml_version_search *search, const struct ml_version *version)
{
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_version_write(&body, version, search->request.published);
    ml_call_json(search->call, 200, "", &body);
}

void ml_api_version(struct ml_call *call)
{
    (void)search_new(call, answer_one);
}

/* ---- making one ------------------------------------------------------------------------------ */

/* Does a document made of `state` alone have exactly this state? */
static enum ml_err verify(struct ml_slice state)
{
    struct ml_doc *copy = ml_doc_new(&(struct ml_doc_options){0});
    struct ml_writer again;
    enum ml_err err = copy ? ML_OK : ML_ELIMIT;

    ml_writer_init(&again, STATE_MAX);
    if (!err)
        err = ml_doc_apply_bytes(copy, state, NULL);
    if (!err)
        err = ml_doc_encode_state(copy, ml_slice_make(NULL, 0), &again);
    if (!err)
        err = again.err;
    if (!err && !ml_slice_equal(state, ml_writer_slice(&again)))
        err = ML_EFORMAT;
    ml_writer_release(&again);
    ml_doc_free(copy);
    return err;
}

/* A worker's thread. */
static enum ml_err encode(struct ml_reading *reading, struct ml_doc *doc)
{
    struct ml_versioning *versioning = ML_CONTAINER(reading, struct ml_versioning, reading);
    struct ml_writer state, vector;
    enum ml_err err;

    ml_writer_init(&state, STATE_MAX);
    ml_writer_init(&vector, STATE_MAX);
    err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &state);
    ml_doc_state_vector(doc, &vector);
    if (!err)
        err = state.err ? state.err : vector.err;
    if (!err)
        err = verify(ml_writer_slice(&state));
    if (!err) {
        versioning->put.state = ml_blob_new(ml_writer_slice(&state));
        versioning->put.state_vector = ml_blob_new(ml_writer_slice(&vector));
        err = versioning->put.state && versioning->put.state_vector ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&state);
    ml_writer_release(&vector);
    return err;
}

static void end(struct ml_versioning *versioning, enum ml_err err)
{
    ml_blob_unref(versioning->put.state);
    ml_blob_unref(versioning->put.state_vector);
    versioning->put.state = versioning->put.state_vector = NULL;
    versioning->err = err;
    versioning->done(versioning);
}

static void on_put(struct ml_snapshot_put *put)
{
    struct ml_versioning *versioning = ML_CONTAINER(put, struct ml_versioning, put);

    if (!put->err)
        ml_log(ML_LOG_INFO, "version.made", "org=%s doc=%s version=%" PRIu64 " seq=%" PRIu64,
               ML_LOG_TEXT(put->org), ML_LOG_TEXT(put->name), put->version, put->seq);
    end(versioning, put->err == ML_EIO ? ML_ECLOSED : put->err);
}

static void on_encoded(struct ml_reading *reading)
{
    struct ml_versioning *versioning = ML_CONTAINER(reading, struct ml_versioning, reading);
    struct ml_snapshot_put *put = &versioning->put;

    versioning->exists = reading->exists;
    if (reading->err || !reading->exists || !reading->seq ||
        (versioning->seq && versioning->seq != reading->seq)) {
        end(versioning, reading->err ? reading->err : ML_EDENIED);
        return;
    }
    put->org = versioning->org;
    put->name = versioning->name;
    put->seq = reading->seq;
    put->epoch = reading->load.epoch;
    put->at_ms = ml_clock_wall_ms();
    put->version_name = versioning->version_name;
    put->author = versioning->author;
    put->labels = versioning->labels;
    put->is_named = true;
    put->is_pinned = versioning->is_pinned;
    put->done = on_put;
    ml_journal_put_snapshot(reading->net->env.journal, put);
}

void ml_versioning_start(struct ml_net *net, struct ml_versioning *versioning)
{
    versioning->reading = (struct ml_reading){
        .org = versioning->org,
        .name = versioning->name,
        .until_seq = versioning->seq,
        .work = encode,
        .done = on_encoded,
    };
    ml_reading_start(net, &versioning->reading);
}

void ml_call_not_versioned(struct ml_call *call, const struct ml_versioning *versioning)
{
    if (versioning->reading.load.is_compacted)
        ml_call_error(call, 410, "compacted", "That moment is not kept any more.");
    else if (!versioning->err || versioning->err == ML_EDENIED)
        ml_call_error(
            call, versioning->exists ? 409 : 404, versioning->exists ? "empty" : "not_found",
            versioning->exists ? "The document has no such record." : "There is no such document.");
    else if (versioning->err == ML_ECONFLICT)
        ml_call_error(call, 409, "changed", "The document was replaced meanwhile.");
    else
        ml_call_failed(call, versioning->err);
}

/* ---- POST …/versions ------------------------------------------------------------------------- */

struct making {
    struct ml_versioning versioning;
    struct ml_call *call;
};

static void on_made(struct ml_versioning *versioning)
{
    struct making *making = ML_CONTAINER(versioning, struct making, versioning);
    const struct ml_snapshot_put *put = &versioning->put;
    const struct ml_version version = {
        .number = put->version,
        .seq = put->seq,
        .at_ms = put->at_ms,
        .name = ml_slice_str(put->name_out),
        .author = put->author,
        .labels = put->labels,
        .is_named = true,
        .is_pinned = put->is_pinned,
    };
    struct ml_writer body;

    if (versioning->err) {
        ml_call_not_versioned(making->call, versioning);
        return;
    }
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_version_write(&body, &version, 0);
    ml_call_json(making->call, 201, "", &body);
}

/* A name that is a number would be somebody else's number. */
static bool is_version_name(struct ml_slice name)
{
    bool has_other = false;

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return false;
        has_other = has_other || name.ptr[i] < '0' || name.ptr[i] > '9';
    }
    return name.len <= ML_VERSION_NAME_MAX && has_other;
}

/* False: answered. */
static bool read_making(struct ml_call *call, struct ml_versioning *versioning)
{
    static const char *const known[] = {"name", "seq", "labels", "pinned", NULL};
    struct ml_slice any, value;

    if (!ml_call_body(call, known, &any))
        return false;
    if (ml_fields_get(any, "name", &value) && (!ml_fields_text(value, &versioning->version_name) ||
                                               !is_version_name(versioning->version_name)))
        ml_call_error(call, 400, "bad_name", "name is a text of 1 to 200 bytes and not a number.");
    else if (ml_fields_get(any, "seq", &value) &&
             (!ml_fields_number(value, &versioning->seq) || !versioning->seq))
        ml_call_error(call, 400, "bad_seq", "seq is a number from 1.");
    else if (ml_fields_get(any, "labels", &value) &&
             !ml_labels_write(value, &call->arena, &versioning->labels))
        ml_call_error(call, 400, "bad_labels", "labels are up to 32 texts by name, 4 KiB.");
    else if (ml_fields_get(any, "pinned", &value) && !ml_fields_bool(value, &versioning->is_pinned))
        ml_call_error(call, 400, "bad_pinned", "pinned is true or false.");
    else
        return true;
    return false;
}

void ml_api_make_version(struct ml_call *call)
{
    struct making *making = ml_arena_alloc(&call->arena, sizeof *making);

    if (!making) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *making = (struct making){
        .versioning = {.org = call->org,
                       .name = call->name,
                       .author = ml_slice_str(call->visitor.identity.user),
                       .done = on_made},
        .call = call,
    };
    if (!read_making(call, &making->versioning))
        return;
    ml_call_wait(call);
    ml_versioning_start(call->net, &making->versioning);
}

/* ---- POST and DELETE …/versions/{version} ---------------------------------------------------- */

struct changing {
    struct ml_version_search search;
    struct ml_version_change change;
    struct ml_call *call;
};

static void on_changed(struct ml_version_change *change)
{
    struct changing *changing = ML_CONTAINER(change, struct changing, change);
    struct ml_call *call = changing->call;
    struct ml_writer body;

    if (change->err == ML_ECONFLICT) {
        ml_call_error(call, 409, "kept",
                      "The version is pinned, published, or the store needs it.");
    } else if (change->err == ML_ENOTFOUND) {
        ml_call_error(call, 404, "no_version", "There is no such version.");
    } else if (change->err) {
        ml_call_failed(call, change->err == ML_EIO ? ML_ECLOSED : change->err);
    } else {
        if (change->act == ML_VERSION_DELETE)
            ml_call_audit(call, "version.deleted", call->name, "ok");
        ml_log(ML_LOG_INFO, change->act == ML_VERSION_DELETE ? "version.deleted" : "version.pinned",
               "org=%s doc=%s version=%" PRIu64 " user=%s", ML_LOG_TEXT(call->org),
               ML_LOG_TEXT(call->name), change->number,
               ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
        ml_writer_init(&body, 16);
        ml_call_json(call, 204, "", &body);
    }
}

static void change_found(struct ml_version_search *search, const struct ml_version *version)
{
    struct changing *changing = ML_CONTAINER(search, struct changing, search);

    changing->change.number = version->number;
    ml_journal_change_version(search->call->net->env.journal, &changing->change);
}

static void change(struct ml_call *call, enum ml_version_act act, bool flag)
{
    struct changing *changing = ml_arena_alloc(&call->arena, sizeof *changing);

    if (!changing) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    changing->call = call;
    changing->change = (struct ml_version_change){.org = call->org,
                                                  .name = call->name,
                                                  .act = act,
                                                  .flag = flag,
                                                  .at_ms = ml_clock_wall_ms(),
                                                  .done = on_changed};
    ml_version_search_start(&changing->search, call, call->version, change_found);
}

void ml_api_delete_version(struct ml_call *call)
{
    change(call, ML_VERSION_DELETE, false);
}

void ml_api_pin_version(struct ml_call *call)
{
    static const char *const known[] = {"pinned", NULL};
    struct ml_slice any, value;
    bool is_pinned;

    if (!ml_call_body(call, known, &any))
        return;
    if (ml_fields_get(any, "pinned", &value) && ml_fields_bool(value, &is_pinned))
        change(call, ML_VERSION_KEEP, is_pinned);
    else
        ml_call_error(call, 400, "bad_pinned", "The body is {\"pinned\": true} or false.");
}
