/* SPDX-License-Identifier: MIT */
/*
 * Making a version public, and hiding the document again. Nothing is public that nobody published.
 *
 *   publish:  a version that there is, or a new one of what is there now --> its hash (worker)
 *                 --> one transaction: hash, the public address, the purge --> 200
 *   hide:     one transaction: nothing is public any more, the purge --> 204
 *
 * The purge stands in the journal with the change itself, so a crash between the two cannot be.
 */
#include "net/api_versions.h"
#include "net/fields.h"
#include "net/publish.h"
#include "net/purge.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define STATE_MAX (512u << 20)
#define ROOT_MAX  512

struct publishing {
    struct ml_call *call;
    struct ml_versioning versioning;
    struct ml_version_search search;
    struct ml_reading reading;
    struct ml_version_change change;
    struct ml_version version; /* texts in the call's arena */
    struct ml_slice root;
    char hash[ML_HASH_CHARS + 1];
};

static void write_published(struct ml_call *call, const struct ml_version *version,
                            struct ml_writer *body)
{
    struct ml_writer url;

    ml_writer_init(&url, 8192);
    ml_publish_path(call->org, call->name, &url);
    ml_http_print(body, "{\"url\":");
    ml_json_write_text(body, ml_writer_slice(&url));
    ml_writer_release(&url);
    ml_http_print(body, ",\"version\":%" PRIu64 ",\"name\":", version->number);
    ml_json_write_text(body, version->name);
    ml_http_print(body, ",\"seq\":%" PRIu64 ",\"hash\":\"%.*s\",\"root\":", version->seq,
                  ML_PRINT(version->hash));
    ml_json_write_text(body, version->root);
    ml_http_print(body, ",\"files\":{");
    for (size_t i = 0; i < ml_publish_form_count; i++) {
        ml_writer_init(&url, 8192);
        ml_publish_url(call->net, call->org, call->name, version, ml_publish_forms[i].file, &url);
        ml_http_print(body, "%s\"%s\":", i ? "," : "", ml_publish_forms[i].file);
        ml_json_write_text(body, ml_writer_slice(&url));
        ml_writer_release(&url);
    }
    ml_http_print(body, "}}");
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void on_changed(struct ml_version_change *change)
{
    struct publishing *publishing = ML_CONTAINER(change, struct publishing, change);
    struct ml_call *call = publishing->call;
    struct ml_writer body;

    if (change->err) {
        ml_call_failed(call, change->err == ML_EIO ? ML_ECLOSED : change->err);
        return;
    }
    ml_call_audit(call, "document.published", call->name, "ok");
    ml_log(ML_LOG_INFO, "document.published", "org=%s doc=%s version=%" PRIu64 " user=%s",
           ML_LOG_TEXT(call->org), ML_LOG_TEXT(call->name), change->number,
           ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
    ml_purger_wake(call->net);
    publishing->version.hash = change->hash;
    publishing->version.root = change->root;
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    write_published(call, &publishing->version, &body);
    ml_call_json(call, 200, "", &body);
}

/* A worker's thread. */
static enum ml_err hash_state(struct ml_reading *reading, struct ml_doc *doc)
{
    struct publishing *publishing = ML_CONTAINER(reading, struct publishing, reading);
    struct ml_writer state;
    enum ml_err err;

    ml_writer_init(&state, STATE_MAX);
    err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &state);
    if (!err)
        err = state.err;
    if (!err)
        ml_publish_hash(ml_writer_slice(&state), publishing->root, publishing->hash);
    ml_writer_release(&state);
    return err;
}

static void on_hashed(struct ml_reading *reading)
{
    struct publishing *publishing = ML_CONTAINER(reading, struct publishing, reading);
    struct ml_call *call = publishing->call;

    if (reading->err || !reading->exists) {
        ml_call_failed(call, reading->err ? reading->err : ML_ENOTFOUND);
        return;
    }
    publishing->change = (struct ml_version_change){
        .org = call->org,
        .name = call->name,
        .act = ML_VERSION_PUBLISH,
        .number = publishing->version.number,
        .hash = ml_slice_str(publishing->hash),
        .root = publishing->root,
        .at_ms = ml_clock_wall_ms(),
        .done = on_changed,
    };
    ml_journal_change_version(call->net->env.journal, &publishing->change);
}

static void hash_version(struct publishing *publishing)
{
    publishing->reading = (struct ml_reading){
        .org = publishing->call->org,
        .name = publishing->call->name,
        .until_seq = publishing->version.seq,
        .work = hash_state,
        .done = on_hashed,
    };
    ml_reading_start(publishing->call->net, &publishing->reading);
}

static void on_found(struct ml_version_search *search, const struct ml_version *version)
{
    struct publishing *publishing = ML_CONTAINER(search, struct publishing, search);

    publishing->version = *version;
    hash_version(publishing);
}

static void on_versioned(struct ml_versioning *versioning)
{
    struct publishing *publishing = ML_CONTAINER(versioning, struct publishing, versioning);

    if (versioning->err) {
        ml_call_not_versioned(publishing->call, versioning);
        return;
    }
    publishing->version = (struct ml_version){
        .number = versioning->put.version,
        .seq = versioning->put.seq,
        .name = ml_slice_str(versioning->put.name_out),
    };
    hash_version(publishing);
}

/* False: answered. `*version_out` empty: none was named. */
static bool read_wish(struct ml_call *call, struct publishing *publishing,
                      struct ml_slice *version_out)
{
    static const char *const known[] = {"version", "root", NULL};
    struct ml_slice any, value;
    uint64_t number;
    char text[24];

    *version_out = ml_slice_make(NULL, 0);
    if (!ml_call_body(call, known, &any))
        return false;
    if (ml_fields_get(any, "root", &value) &&
        (!ml_fields_text(value, &publishing->root) || publishing->root.len > ROOT_MAX)) {
        ml_call_error(call, 400, "bad_root", "root is a text of at most 512 bytes.");
        return false;
    }
    if (!ml_fields_get(any, "version", &value) ||
        (ml_fields_text(value, version_out) && version_out->len))
        return true;
    if (ml_fields_number(value, &number) && number) {
        (void)snprintf(text, sizeof text, "%" PRIu64, number);
        *version_out = ml_arena_copy(&call->arena, ml_slice_str(text));
        return true;
    }
    ml_call_error(call, 400, "bad_version", "version is a name or a number.");
    return false;
}

void ml_api_publish(struct ml_call *call)
{
    struct publishing *publishing = ml_arena_alloc(&call->arena, sizeof *publishing);
    struct ml_slice version;

    if (!publishing) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *publishing = (struct publishing){.call = call, .root = ML_SLICE("content")};
    if (!read_wish(call, publishing, &version))
        return;
    if (version.len) {
        ml_version_search_start(&publishing->search, call, version, on_found);
        return;
    }
    publishing->versioning = (struct ml_versioning){
        .org = call->org,
        .name = call->name,
        .author = ml_slice_str(call->visitor.identity.user),
        .labels = ML_SLICE("{\"reason\":\"published\"}"),
        .done = on_versioned,
    };
    ml_call_wait(call);
    ml_versioning_start(call->net, &publishing->versioning);
}

/* ---- is it? ---------------------------------------------------------------------------------- */

struct looking {
    struct ml_versions request;
    struct ml_call *call;
};

static void on_looked(struct ml_versions *request)
{
    struct looking *looking = ML_CONTAINER(request, struct looking, request);
    struct ml_call *call = looking->call;
    enum ml_err err = request->err;
    bool exists = request->exists, is_public = request->published && request->count;
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    if (!err && is_public)
        write_published(call, &request->items[0], &body);
    ml_versions_release(request);
    if (!err && is_public) {
        ml_call_json(call, 200, "", &body);
        return;
    }
    ml_writer_release(&body);
    if (err)
        ml_call_failed(call, err);
    else if (exists)
        ml_call_error(call, 404, "private", "Nothing of this document is published.");
    else
        ml_call_error(call, 404, "not_found", "There is no such document.");
}

void ml_api_published(struct ml_call *call)
{
    struct looking *looking = ml_arena_alloc(&call->arena, sizeof *looking);

    if (!looking) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *looking = (struct looking){
        .request = {.org = call->org,
                    .name = call->name,
                    .is_published_only = true,
                    .before_number = ML_SEQ_ANY,
                    .limit = 1,
                    .done = on_looked},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_versions(call->net->env.journal, &looking->request);
}

/* ---- hiding ---------------------------------------------------------------------------------- */

struct hiding {
    struct ml_version_change change;
    struct ml_call *call;
};

static void on_hidden(struct ml_version_change *change)
{
    struct hiding *hiding = ML_CONTAINER(change, struct hiding, change);
    struct ml_call *call = hiding->call;
    struct ml_writer body;

    if (change->err == ML_ENOTFOUND) {
        ml_call_error(call, 404, "not_found", "There is no such document.");
        return;
    }
    if (change->err) {
        ml_call_failed(call, change->err == ML_EIO ? ML_ECLOSED : change->err);
        return;
    }
    ml_purger_wake(call->net);
    if (change->changed) {
        ml_call_audit(call, "document.hidden", call->name, "ok");
        ml_log(ML_LOG_INFO, "document.hidden", "org=%s doc=%s user=%s", ML_LOG_TEXT(call->org),
               ML_LOG_TEXT(call->name), ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
    }
    ml_writer_init(&body, 16);
    ml_call_json(call, 204, "", &body);
}

void ml_api_unpublish(struct ml_call *call)
{
    struct hiding *hiding = ml_arena_alloc(&call->arena, sizeof *hiding);

    if (!hiding) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *hiding = (struct hiding){
        .change = {.org = call->org,
                   .name = call->name,
                   .act = ML_VERSION_HIDE,
                   .at_ms = ml_clock_wall_ms(),
                   .done = on_hidden},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_change_version(call->net->env.journal, &hiding->change);
}

/* ---- caches forget, for no reason but that somebody says so ---------------------------------- */

struct purging {
    struct ml_purge_note note;
    struct ml_call *call;
};

static void on_noted(struct ml_purge_note *note)
{
    struct purging *purging = ML_CONTAINER(note, struct purging, note);
    struct ml_writer body;

    if (note->err) {
        ml_call_failed(purging->call, note->err == ML_EIO ? ML_ECLOSED : note->err);
        return;
    }
    ml_call_audit(purging->call, "cache.purged", purging->call->name, "ok");
    ml_purger_wake(purging->call->net);
    ml_writer_init(&body, 16);
    ml_call_json(purging->call, 202, "", &body);
}

void ml_api_purge(struct ml_call *call)
{
    struct purging *purging = ml_arena_alloc(&call->arena, sizeof *purging);

    if (!purging) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *purging = (struct purging){
        .note = {.act = ML_PURGE_PUSH,
                 .org = call->org,
                 .name = call->name,
                 .reason = ML_PURGE_MANUAL,
                 .at_ms = ml_clock_wall_ms(),
                 .done = on_noted},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_note_purge(call->net->env.journal, &purging->note);
}
