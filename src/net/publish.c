/* SPDX-License-Identifier: MIT */
/*
 * What anybody may read, and caches may keep:
 *
 *   /d/ORG/DOC                          the pointer: leads to the newest published version
 *   /d/ORG/DOC/s/VERSION-HASH/FILE      a file of a version: never changes
 *
 * Nothing is public that was not published; what was hidden again is not there from that moment on,
 * whatever its address. Whether it is public is asked of the journal each time, so the answer is
 * the same on every loop, and after a crash. The files are made when they are asked for, beside the
 * loop, from the snapshot of the version; the last ones are kept.
 *
 * Rendering is safe twice: the engine escapes what it prints, and the answer's policy lets nothing
 * run, load or frame (SEC-WEB-04).
 */
#include "net/publish.h"

#include "net/api_versions.h"
#include "net/cache.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX     (64u << 20)
#define YEAR_S       31536000
#define POINTER_S    60
#define RENDERER     "1" /* part of the hash: grows when the same content is printed otherwise */
#define RENDERED_MAX (32u << 20) /* kept, of all files of this loop */
#define PREFIX       ML_SLICE("/d/")

#define PAGE_POLICY                                                                                \
    "Content-Security-Policy: default-src 'none'; img-src https: data:; style-src "                \
    "'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox "       \
    "allow-top-navigation-by-user-activation\r\n"
#define DATA_POLICY                                                                                \
    "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "           \
    "frame-ancestors 'none'; sandbox\r\n"
#define FILE_POLICY DATA_POLICY "Content-Disposition: attachment\r\n"

const struct ml_publish_form ml_publish_forms[] = {
    {"index.html", ML_HTTP_HTML, PAGE_POLICY, ML_VIEW_HTML, false, true},
    {"content.txt", ML_HTTP_PLAIN, DATA_POLICY, ML_VIEW_TEXT, false, false},
    {"content.md", "text/markdown; charset=utf-8", DATA_POLICY, ML_VIEW_MARKDOWN, false, false},
    {"content.json", ML_HTTP_JSON, DATA_POLICY, ML_VIEW_JSON, false, false},
    {"content.delta.json", ML_HTTP_JSON, DATA_POLICY, ML_VIEW_DELTA, false, false},
    {"content.xml", "application/xml; charset=utf-8", FILE_POLICY, ML_VIEW_XML, false, false},
    {"update.bin", "application/octet-stream", FILE_POLICY, ML_VIEW_TEXT, true, false},
};
const size_t ml_publish_form_count = sizeof ml_publish_forms / sizeof *ml_publish_forms;

/* ---- addresses ------------------------------------------------------------------------------- */

void ml_publish_hash(struct ml_slice state, struct ml_slice root, char out[ML_HASH_CHARS + 1])
{
    const struct ml_slice parts[] = {ML_SLICE(RENDERER), root, state};

    ml_digest_hex(parts, 3, out, ML_HASH_CHARS);
}

static void write_escaped(struct ml_slice text, struct ml_writer *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c && strchr("-._~", c)))
            ml_write_u8(out, c);
        else
            ml_http_print(out, "%%%02X", c);
    }
}

void ml_publish_path(struct ml_slice org, struct ml_slice document, struct ml_writer *out)
{
    ml_http_print(out, "/d/%.*s/", ML_PRINT(org));
    write_escaped(document, out);
}

void ml_publish_url(struct ml_net *net, struct ml_slice org, struct ml_slice document,
                    const struct ml_version *version, const char *file, struct ml_writer *out)
{
    const struct ml_script_asset asset = {
        .org = org,
        .document = document,
        .snapshot = version->number,
        .hash = version->hash,
        .file = ml_slice_str(file),
    };
    struct ml_script *script = ml_net_script(net, org, document);

    if (script && ml_script_asset_url(script, &asset, out))
        return;
    ml_publish_path(org, document, out);
    ml_http_print(out, "/s/%" PRIu64 "-%.*s/%s", version->number, ML_PRINT(version->hash), file);
}

/* ---- what was asked for ---------------------------------------------------------------------- */

struct asked {
    struct ml_call *call;
    struct ml_versions versions;
    struct ml_reading reading;
    const struct ml_publish_form *form; /* NULL: the pointer */
    struct ml_slice number, hash, tag;  /* tag: If-None-Match */
    struct ml_version version;
    bool is_json, has_credentials, is_purging;
    struct ml_slice key; /* of what is kept */
    struct ml_writer out;
};

static const struct ml_publish_form *find_form(struct ml_slice file)
{
    for (size_t i = 0; i < ml_publish_form_count; i++)
        if (ml_slice_equal(file, ml_slice_str(ml_publish_forms[i].file)))
            return &ml_publish_forms[i];
    return NULL;
}

/* The last segment of `path`, which is cut off with the slash before it. */
static struct ml_slice cut_last(struct ml_slice *path)
{
    size_t at = path->len;
    struct ml_slice last;

    while (at && path->ptr[at - 1] != '/')
        at--;
    last = ml_slice_make(path->ptr + at, path->len - at);
    path->len = at ? at - 1 : 0;
    return last;
}

/* ".../s/12-0123456789abcdef/FILE": then `path` ends before the "/s". */
static bool take_file(struct ml_slice *path, struct asked *asked)
{
    struct ml_slice rest = *path;
    struct ml_slice file = cut_last(&rest), which = cut_last(&rest), s = cut_last(&rest);
    const uint8_t *dash = which.len ? memchr(which.ptr, '-', which.len) : NULL;
    const struct ml_publish_form *form = find_form(file);

    if (!form || !dash || !ml_slice_equal(s, ML_SLICE("s")))
        return false;
    asked->form = form;
    asked->number = ml_slice_make(which.ptr, (size_t)(dash - which.ptr));
    asked->hash = ml_slice_make(dash + 1, which.len - asked->number.len - 1);
    *path = rest;
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void write_cache(struct asked *asked, unsigned status, const char *type,
                        struct ml_writer *fields)
{
    struct ml_call *call = asked->call;
    const struct ml_cache_subject subject = {
        .facts =
            {
                .route = asked->form ? ML_SLICE("published.file") : ML_SLICE("published.latest"),
                .method = call->http && call->http->is_head ? ML_SLICE("HEAD") : ML_SLICE("GET"),
                .status = status,
                .authenticated = asked->has_credentials,
                .document = call->name,
                .version = asked->version.number,
                .content_type = ml_slice_str(type ? type : ""),
            },
        .org = call->org,
        .document = call->name,
        .version = asked->version.number,
        .is_purging = asked->is_purging,
    };
    struct ml_cache_rule rule = ml_cache_rule_default();

    rule.store = ML_CACHE_PUBLIC;
    rule.max_age_s = asked->form ? YEAR_S : 0;
    rule.shared_max_age_s = asked->form ? -1 : POINTER_S;
    rule.immutable = asked->form != NULL;
    rule.keys = ML_CACHE_KEY_ORG | ML_CACHE_KEY_DOC | (asked->form ? ML_CACHE_KEY_SNAPSHOT : 0);
    ml_cache_fields(call->net, &subject, rule, fields);
}

/* Fields in the call's arena, as one text. */
static const char *keep_fields(struct ml_call *call, struct ml_writer *fields)
{
    struct ml_slice kept;

    ml_write_u8(fields, '\0');
    kept = ml_arena_copy(&call->arena, ml_writer_slice(fields));
    ml_writer_release(fields);
    return kept.ptr ? (const char *)kept.ptr : ML_HTTP_NO_STORE;
}

static void answer_not_there(struct asked *asked)
{
    struct ml_call *call = asked->call;
    struct ml_writer body;

    ml_writer_init(&body, 1024);
    ml_http_print(&body, "There is nothing at this address.\n");
    ml_call_answer(call, 404, ML_HTTP_PLAIN, ML_HTTP_NO_STORE DATA_POLICY, &body);
}

static void write_tag(struct asked *asked, char *out, size_t size)
{
    (void)snprintf(out, size, "\"%" PRIu64 "-%.*s-%s\"", asked->version.number,
                   ML_PRINT(asked->version.hash),
                   asked->form      ? asked->form->file
                   : asked->is_json ? "json"
                                    : "latest");
}

/* One of a list of tags, or any. */
static bool is_known(struct ml_slice known, const char *tag)
{
    size_t len = strlen(tag);

    if (ml_slice_equal(known, ML_SLICE("*")))
        return true;
    for (size_t i = 0; known.ptr && i + len <= known.len; i++)
        if (memcmp(known.ptr + i, tag, len) == 0)
            return true;
    return false;
}

static void answer_file(struct asked *asked, struct ml_writer *body)
{
    struct ml_writer fields;
    char tag[128];

    ml_writer_init(&fields, 8192);
    write_tag(asked, tag, sizeof tag);
    ml_http_print(&fields, "%sETag: %s\r\n", asked->form->fields, tag);
    write_cache(asked, 200, asked->form->type, &fields);
    ml_call_answer(asked->call, 200, asked->form->type, keep_fields(asked->call, &fields), body);
}

static bool answer_unchanged(struct asked *asked)
{
    struct ml_writer fields, nothing;
    char tag[128];

    write_tag(asked, tag, sizeof tag);
    if (!is_known(asked->tag, tag))
        return false;
    ml_writer_init(&fields, 8192);
    ml_writer_init(&nothing, 1);
    ml_http_print(&fields, "ETag: %s\r\n", tag);
    write_cache(asked, 304, NULL, &fields);
    ml_call_answer(asked->call, 304, NULL, keep_fields(asked->call, &fields), &nothing);
    return true;
}

static void write_pointer(struct asked *asked, struct ml_writer *body)
{
    struct ml_call *call = asked->call;

    ml_http_print(body, "{\"version\":%" PRIu64 ",\"name\":", asked->version.number);
    ml_json_write_text(body, asked->version.name);
    ml_http_print(body, ",\"hash\":\"%.*s\",\"at_ms\":%" PRId64 ",\"files\":{",
                  ML_PRINT(asked->version.hash), asked->version.at_ms);
    for (size_t i = 0; i < ml_publish_form_count; i++) {
        struct ml_writer url;

        ml_writer_init(&url, 8192);
        ml_publish_url(call->net, call->org, call->name, &asked->version, ml_publish_forms[i].file,
                       &url);
        ml_http_print(body, "%s\"%s\":", i ? "," : "", ml_publish_forms[i].file);
        ml_json_write_text(body, ml_writer_slice(&url));
        ml_writer_release(&url);
    }
    ml_http_print(body, "}}\n");
}

static void answer_pointer(struct asked *asked)
{
    struct ml_call *call = asked->call;
    const char *type = asked->is_json ? ML_HTTP_JSON : ML_HTTP_PLAIN;
    unsigned status = asked->is_json ? 200 : 302;
    struct ml_writer fields, body;
    char tag[128];

    ml_writer_init(&fields, 16384);
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    write_tag(asked, tag, sizeof tag);
    ml_http_print(&fields, DATA_POLICY "ETag: %s\r\n", tag);
    if (asked->is_json) {
        write_pointer(asked, &body);
    } else {
        ml_http_print(&fields, "Location: ");
        ml_publish_url(call->net, call->org, call->name, &asked->version, ml_publish_forms[0].file,
                       &fields);
        ml_http_print(&fields, "\r\n");
        ml_http_print(&body, "The published version is at the address in Location.\n");
    }
    write_cache(asked, status, type, &fields);
    ml_call_answer(call, status, type, keep_fields(call, &fields), &body);
}

/* ---- files that were made before ------------------------------------------------------------- */

struct rendered {
    struct ml_list node; /* net->rendered, least recently used first */
    struct ml_slice key; /* in `text` */
    struct ml_blob *bytes;
    uint8_t text[];
};

static void forget(struct ml_net *net, struct rendered *rendered)
{
    (void)ml_hashmap_remove(&net->rendered_by_key, rendered->key);
    ml_list_remove(&rendered->node);
    net->rendered_bytes -= rendered->bytes->len + rendered->key.len + sizeof *rendered;
    ml_blob_unref(rendered->bytes);
    free(rendered);
}

void ml_publish_forget_all(struct ml_net *net)
{
    ML_LIST_EACH(node, &net->rendered)
    forget(net, ML_CONTAINER(node, struct rendered, node));
}

static void keep(struct ml_net *net, struct ml_slice key, struct ml_slice bytes)
{
    size_t cost = bytes.len + key.len + sizeof(struct rendered);
    struct rendered *rendered;

    if (cost > RENDERED_MAX / 4 || ml_hashmap_get(&net->rendered_by_key, key))
        return;
    while (net->rendered_bytes + cost > RENDERED_MAX) {
        struct ml_list *oldest = net->rendered.next;

        forget(net, ML_CONTAINER(oldest, struct rendered, node));
    }
    rendered = calloc(1, sizeof *rendered + key.len);
    if (!rendered)
        return;
    memcpy(rendered->text, key.ptr, key.len);
    rendered->key = ml_slice_make(rendered->text, key.len);
    rendered->bytes = ml_blob_new(bytes);
    if (!rendered->bytes || !ml_hashmap_put(&net->rendered_by_key, rendered->key, rendered)) {
        ml_blob_unref(rendered->bytes);
        free(rendered);
        return;
    }
    ml_list_append(&net->rendered, &rendered->node);
    net->rendered_bytes += cost;
}

/* True: answered. */
static bool answer_kept(struct asked *asked)
{
    struct ml_net *net = asked->call->net;
    struct rendered *rendered = ml_hashmap_get(&net->rendered_by_key, asked->key);
    struct ml_writer body;

    if (!rendered)
        return false;
    ml_list_remove(&rendered->node);
    ml_list_append(&net->rendered, &rendered->node);
    ml_writer_init(&body, FILE_MAX);
    ml_write_bytes(&body, ml_blob_slice(rendered->bytes));
    answer_file(asked, &body);
    return true;
}

/* ---- making a file --------------------------------------------------------------------------- */

static void write_html_text(struct ml_writer *out, struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        switch (text.ptr[i]) {
        case '&':
            ml_write_bytes(out, ML_SLICE("&amp;"));
            break;
        case '<':
            ml_write_bytes(out, ML_SLICE("&lt;"));
            break;
        case '>':
            ml_write_bytes(out, ML_SLICE("&gt;"));
            break;
        default:
            ml_write_u8(out, text.ptr[i]);
        }
}

/* A worker's thread. */
static enum ml_err render(struct ml_reading *reading, struct ml_doc *doc)
{
    struct asked *asked = ML_CONTAINER(reading, struct asked, reading);
    const struct ml_publish_form *form = asked->form;
    enum ml_err err;

    if (form->is_update)
        return ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &asked->out);
    if (form->is_page) {
        ml_write_bytes(&asked->out, ML_SLICE("<!doctype html>\n<html><head><meta charset=\"utf-8\">"
                                             "<meta name=\"viewport\" content=\"width=device-width,"
                                             "initial-scale=1\"><title>"));
        write_html_text(&asked->out, reading->name);
        ml_write_bytes(&asked->out, ML_SLICE("</title></head><body><main>\n"));
    }
    err = ml_doc_read(doc, asked->version.root, form->view, &asked->out);
    if (form->is_page)
        ml_write_bytes(&asked->out, ML_SLICE("\n</main></body></html>\n"));
    return err ? err : asked->out.err;
}

static void on_rendered(struct ml_reading *reading)
{
    struct asked *asked = ML_CONTAINER(reading, struct asked, reading);

    if (reading->err || !reading->exists) {
        ml_writer_release(&asked->out);
        ml_call_failed(asked->call, reading->err ? reading->err : ML_ENOTFOUND);
        return;
    }
    keep(asked->call->net, asked->key, ml_writer_slice(&asked->out));
    answer_file(asked, &asked->out);
}

static void make_file(struct asked *asked)
{
    asked->reading = (struct ml_reading){
        .org = asked->call->org,
        .name = asked->call->name,
        .until_seq = asked->version.seq,
        .work = render,
        .done = on_rendered,
    };
    ml_writer_init(&asked->out, FILE_MAX);
    ml_reading_start(asked->call->net, &asked->reading);
}

/* ---- is it public? --------------------------------------------------------------------------- */

static void keep_version(struct asked *asked, const struct ml_version *version)
{
    struct ml_arena *arena = &asked->call->arena;

    asked->version = *version;
    asked->version.name = ml_arena_copy(arena, version->name);
    asked->version.hash = ml_arena_copy(arena, version->hash);
    asked->version.root = ml_arena_copy(arena, version->root);
    asked->version.author = asked->version.labels = ml_slice_make(NULL, 0);
}

/* ORG NUL DOC NUL VERSION-HASH FILE */
static bool make_key(struct asked *asked)
{
    struct ml_call *call = asked->call;
    struct ml_writer key;

    ml_writer_init(&key, 4096);
    ml_write_bytes(&key, call->org);
    ml_write_u8(&key, 0);
    ml_write_bytes(&key, call->name);
    ml_write_u8(&key, 0);
    ml_http_print(&key, "%" PRIu64 "-%.*s %s", asked->version.number, ML_PRINT(asked->version.hash),
                  asked->form->file);
    asked->key = ml_arena_copy(&call->arena, ml_writer_slice(&key));
    ml_writer_release(&key);
    return asked->key.ptr != NULL;
}

static void on_versions(struct ml_versions *request)
{
    struct asked *asked = ML_CONTAINER(request, struct asked, versions);
    bool is_public = !request->err && request->published && request->count &&
                     request->items[0].hash.len &&
                     (!asked->form || ml_slice_equal(request->items[0].hash, asked->hash));
    enum ml_err err = request->err == ML_ENOTFOUND ? ML_OK : request->err;

    if (is_public)
        keep_version(asked, &request->items[0]);
    asked->is_purging = request->is_purging;
    ml_versions_release(request);
    if (err)
        ml_call_failed(asked->call, err);
    else if (!is_public)
        answer_not_there(asked);
    else if (answer_unchanged(asked))
        return;
    else if (!asked->form)
        answer_pointer(asked);
    else if (!make_key(asked))
        ml_call_failed(asked->call, ML_EBUSY);
    else if (!answer_kept(asked))
        make_file(asked);
}

/* ---- the route ------------------------------------------------------------------------------- */

static bool read_address(struct asked *asked, const struct ml_head *head)
{
    struct ml_call *call = asked->call;
    struct ml_slice path = head->path, org, name;

    (void)take_file(&path, asked);
    if (ml_url_document(path, PREFIX, &call->arena, &org, &name))
        return false;
    call->org = ml_arena_copy(&call->arena, org);
    call->name = ml_arena_copy(&call->arena, name);
    asked->number = ml_arena_copy(&call->arena, asked->number);
    asked->hash = ml_arena_copy(&call->arena, asked->hash);
    asked->tag = ml_head_field(head, "if-none-match");
    if (asked->tag.ptr)
        asked->tag = ml_arena_copy(&call->arena, asked->tag);
    asked->is_json = !asked->form && ml_slice_equal(head->query, ML_SLICE("format=json"));
    asked->has_credentials = ml_cache_has_credentials(head);
    return call->org.ptr && call->name.ptr;
}

void ml_publish_route(struct ml_http *http, const struct ml_head *head)
{
    static const struct ml_api_route route = {
        .method = ML_METHOD_GET, .path = "/d/{org}/{doc}", .id = "published"};
    struct ml_call *call = ml_call_new(http, &route);
    struct asked *asked = call ? ml_arena_alloc(&call->arena, sizeof *asked) : NULL;

    if (!asked) {
        if (call)
            ml_call_failed(call, ML_EBUSY);
        else
            ml_http_answer_error(http, 503, "overloaded", "No memory for this now.");
        return;
    }
    *asked = (struct asked){.call = call};
    if (!read_address(asked, head)) {
        answer_not_there(asked);
        return;
    }
    asked->versions = (struct ml_versions){
        .org = call->org,
        .name = call->name,
        .only = asked->number,
        .is_published_only = true,
        .before_number = ML_SEQ_ANY,
        .limit = 1,
        .done = on_versions,
    };
    ml_call_wait(call);
    ml_journal_versions(call->net->env.journal, &asked->versions);
}
