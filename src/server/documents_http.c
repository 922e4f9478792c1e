/* SPDX-License-Identifier: MIT */
/* Documents of a running server, through its HTTP API. */
#include "server/documents.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (256u << 20)
#define ASK_S      60L

struct http_documents {
    struct ml_documents base;
    CURL *curl;
    char *url;
};

static struct http_documents *http_of(struct ml_documents *documents)
{
    return (struct http_documents *)documents;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct ml_writer *out = arg;

    ml_write_bytes(out, ml_slice_make(bytes, size * count));
    return out->err ? 0 : size * count;
}

/* What the server says is wrong. */
static int complain_of(long status, struct ml_slice body)
{
    cJSON *json = cJSON_ParseWithLength((const char *)body.ptr, body.len);
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(json, "error"), "message");
    int code = ml_documents_complain(ML_EXIT_FAILED, "the server answers %ld: %s", status,
                                     cJSON_IsString(message) ? message->valuestring : "no reason");

    cJSON_Delete(json);
    return code;
}

/*
 * @param name  of the document, escaped here; NULL: the list
 * @param rest  what follows the name, and the query
 * @param body  .ptr NULL: none
 */
static int ask(struct http_documents *d, const char *method, const char *name, const char *rest,
               struct ml_slice body, struct ml_writer *out)
{
    struct curl_slist *headers = NULL;
    char *escaped = name ? curl_easy_escape(d->curl, name, (int)strlen(name)) : NULL, *url = NULL;
    long status = 0;
    CURLcode rc;

    if (asprintf(&url, "%s/api/v1/orgs/%s/docs%s%s%s", d->url, d->base.org, name ? "/" : "",
                 name ? escaped : "", rest) < 0)
        return ml_documents_complain(ML_EXIT_FAILED, "out of memory");
    curl_easy_reset(d->curl);
    (void)curl_easy_setopt(d->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(d->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(d->curl, CURLOPT_TIMEOUT, ASK_S);
    (void)curl_easy_setopt(d->curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, out);
    (void)curl_easy_setopt(d->curl, CURLOPT_CUSTOMREQUEST, method);
    if (body.ptr) {
        headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
        (void)curl_easy_setopt(d->curl, CURLOPT_POSTFIELDS, (const char *)body.ptr);
        (void)curl_easy_setopt(d->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    }
    (void)curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, headers);
    rc = curl_easy_perform(d->curl);
    (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_free(escaped);
    free(url);
    if (rc != CURLE_OK)
        return ml_documents_complain(ML_EXIT_UNREACHABLE, "%s: %s", d->url, curl_easy_strerror(rc));
    return status / 100 == 2 ? 0 : complain_of(status, ml_writer_slice(out));
}

static uint64_t number(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(value) && value->valuedouble > 0 ? (uint64_t)value->valuedouble : 0;
}

static struct ml_slice text(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(value) ? ml_slice_str(value->valuestring) : ml_slice_make("", 0);
}

/* Page by page. `name` NULL: the list of documents, else the history of one. */
static int walk(struct http_documents *d, const char *name, const char *key, const char *cursor_key,
                const char *value, void (*each)(void *arg, const cJSON *item), void *arg)
{
    char *cursor = NULL;
    int code = 0;

    for (;;) {
        char *first = curl_easy_escape(d->curl, value, 0);
        char *next = cursor ? curl_easy_escape(d->curl, cursor, 0) : NULL;
        struct ml_writer out;
        char *rest = NULL;
        cJSON *page;

        ml_writer_init(&out, ANSWER_MAX);
        if (asprintf(&rest, "%s?limit=1000%s%s%s%s%s%s", name ? "/history" : "", *value ? "&" : "",
                     *value ? key : "", *value ? "=" : "", *value ? first : "",
                     cursor ? cursor_key : "", cursor ? next : "") < 0)
            return ml_documents_complain(ML_EXIT_FAILED, "out of memory");
        code = ask(d, "GET", name, rest, ml_slice_make(NULL, 0), &out);
        page = code ? NULL : cJSON_ParseWithLength((const char *)out.ptr, out.len);
        ml_writer_release(&out);
        curl_free(first);
        curl_free(next);
        free(rest);
        free(cursor);
        cursor = NULL;
        if (page) {
            const cJSON *items = cJSON_GetObjectItemCaseSensitive(page, "items"), *item;
            const cJSON *more = cJSON_GetObjectItemCaseSensitive(page, "next");

            cJSON_ArrayForEach(item, items) each(arg, item);
            cursor = cJSON_IsString(more) ? strdup(more->valuestring) : NULL;
        }
        cJSON_Delete(page);
        if (!cursor)
            return code;
    }
}

struct listing {
    void (*each)(void *arg, const struct ml_listed *item);
    void (*each_record)(void *arg, const struct ml_history_item *item);
    void *arg;
};

static void on_item(void *arg, const cJSON *item)
{
    const struct listing *listing = arg;
    const struct ml_listed listed = {
        .name = text(item, "name"),
        .head = number(item, "seq"),
        .bytes = number(item, "bytes"),
        .created_ms = (int64_t)number(item, "created_at_ms"),
        .updated_ms = (int64_t)number(item, "updated_at_ms"),
    };

    listing->each(listing->arg, &listed);
}

static void on_record(void *arg, const cJSON *item)
{
    const struct listing *listing = arg;
    const struct ml_history_item record = {
        .seq = number(item, "seq"),
        .bytes = number(item, "bytes"),
        .at_ms = (int64_t)number(item, "at_ms"),
        .author = text(item, "user"),
        .session = text(item, "session"),
    };

    listing->each_record(listing->arg, &record);
}

static int http_list(struct ml_documents *documents, const char *prefix,
                     void (*each)(void *arg, const struct ml_listed *item), void *arg)
{
    struct listing listing = {.each = each, .arg = arg};

    return walk(http_of(documents), NULL, "prefix", "&after=", prefix, on_item, &listing);
}

static int http_history(struct ml_documents *documents, const char *name,
                        void (*each)(void *arg, const struct ml_history_item *item), void *arg)
{
    struct listing listing = {.each_record = each, .arg = arg};

    return walk(http_of(documents), name, "", "&before=", "", on_record, &listing);
}

static int http_read(struct ml_documents *documents, const char *name,
                     const struct ml_document_view *view, struct ml_writer *out)
{
    struct http_documents *d = http_of(documents);
    char *root = view->as ? curl_easy_escape(d->curl, view->root, 0) : NULL, seq[40] = "", *rest;
    int n, code;

    if (view->seq)
        (void)snprintf(seq, sizeof seq, "&seq=%llu", (unsigned long long)view->seq);
    n = view->as ? asprintf(&rest, "/content?as=%s&root=%s%s", view->as, root, seq)
                 : asprintf(&rest, "/state?format=%s%s", view->is_v2 ? "v2" : "v1", seq);
    curl_free(root);
    if (n < 0)
        return ml_documents_complain(ML_EXIT_FAILED, "out of memory");
    code = ask(d, "GET", name, rest, ml_slice_make(NULL, 0), out);
    free(rest);
    return code;
}

static int http_write(struct ml_documents *documents, const char *name, struct ml_slice update,
                      bool is_v2, uint64_t *seq_out)
{
    struct ml_writer out;
    cJSON *json;
    int code;

    ml_writer_init(&out, ANSWER_MAX);
    code = ask(http_of(documents), "POST", name, is_v2 ? "/updates?format=v2" : "/updates",
               update.ptr ? update : ML_SLICE(""), &out);
    json = code ? NULL : cJSON_ParseWithLength((const char *)out.ptr, out.len);
    *seq_out = number(json, "seq");
    cJSON_Delete(json);
    ml_writer_release(&out);
    return code;
}

static int http_set_deleted(struct ml_documents *documents, const char *name, bool deleted)
{
    struct ml_writer out;
    int code;

    ml_writer_init(&out, ANSWER_MAX);
    code = ask(http_of(documents), deleted ? "DELETE" : "POST", name, deleted ? "" : "/undelete",
               ml_slice_make(NULL, 0), &out);
    ml_writer_release(&out);
    return code;
}

static void http_close(struct ml_documents *documents)
{
    struct http_documents *d = http_of(documents);

    curl_easy_cleanup(d->curl);
    free(d->url);
    free(d);
    curl_global_cleanup();
}

struct ml_documents *ml_documents_open_http(const char *url, const char *org)
{
    static const struct ml_documents_ops ops = {
        .list = http_list,
        .read = http_read,
        .write = http_write,
        .history = http_history,
        .set_deleted = http_set_deleted,
        .close = http_close,
    };
    struct http_documents *d = calloc(1, sizeof *d);
    size_t len = strlen(url);

    if (!d || curl_global_init(CURL_GLOBAL_DEFAULT) || !(d->curl = curl_easy_init())) {
        free(d);
        (void)ml_documents_complain(ML_EXIT_FAILED, "no HTTP client");
        return NULL;
    }
    while (len && url[len - 1] == '/')
        len--;
    d->base = (struct ml_documents){&ops, org};
    d->url = strndup(url, len);
    return &d->base;
}
