/* SPDX-License-Identifier: MIT */
/*
 * libcurl's multi interface on libuv: one poll per socket, one timer.
 *
 *   ml_web_begin -> easy handle -> resolver thread -> on_open_socket: may this address be reached?
 *                                                      | no: no socket, ML_EDENIED
 *                                                      v
 *                                     connect to exactly that address -> headers -> body -> done
 *
 *  [E1] The check is at the address that is connected to, so a name that resolves to something else
 *       the second time gains nothing.
 *  [E2] Redirects are answers: whoever asked decides, and asks again (lua/moonloom/http.lua).
 *  [E3] No proxy, no cookies, no credentials of ours; the URL's own are refused.
 *  [E4] Everything is bounded: requests at once, time, the answer's bytes and headers.
 */
#include "server/web.h"

#include "base/assert.h"
#include "base/ip_range.h"
#include "server/address.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define PER_INSTANCE   16
#define ALL_MAX        512
#define TIMEOUT_MS     10000
#define TIMEOUT_MAX_MS 120000
#define BODY_MAX       (1u << 20)
#define BODY_LIMIT     (16u << 20)
#define FIELDS_MAX     100
#define ARENA_BYTES    (256u << 10)
#define URL_MAX        8192

struct ml_web {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct ml_list requests;
    size_t count;
    const char *const *allowed;
    size_t allowed_count;
    bool dev, is_closed;
};

struct poll {
    uv_poll_t handle;
    struct ml_web *web;
    curl_socket_t fd;
};

static const char *const loopback[] = {"127.0.0.0/8", "::1/128"};

/* ---- Addresses ------------------------------------------------------------------------------- */

static bool is_listed(const struct ml_web *web, const struct sockaddr *address)
{
    return ml_address_is_in(address, web->allowed, web->allowed_count) ||
           (web->dev && ml_address_is_in(address, loopback, 2));
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *at)
{
    struct ml_web_request *request = arg;
    bool is_plain = strncasecmp((const char *)request->url.ptr, "https:", 6) != 0;
    bool listed = is_listed(request->web, &at->addr);

    if (purpose != CURLSOCKTYPE_IPCXN || (!listed && !ml_address_is_public(&at->addr)) ||
        (is_plain && !listed)) {
        request->is_denied = true;
        return CURL_SOCKET_BAD;
    }
    return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

/* ---- libcurl on libuv ------------------------------------------------------------------------ */

static void finish(struct ml_web_request *request, CURLcode code);

static void check_done(struct ml_web *web)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(web->multi, &left)) != NULL) {
        struct ml_web_request *request = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        finish(request, message->data.result);
        if (web->is_closed)
            return;
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *poll = handle->data;
    struct ml_web *web = poll->web;
    int flags = 0, running;

    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(web->multi, poll->fd, flags, &running);
    check_done(web);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct ml_web *web = arg;
    struct poll *poll = socket_arg;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (poll) {
            (void)uv_poll_stop(&poll->handle);
            uv_close((uv_handle_t *)&poll->handle, on_poll_closed);
            (void)curl_multi_assign(web->multi, fd, NULL);
        }
        return 0;
    }
    if (!poll) {
        poll = calloc(1, sizeof *poll);
        if (!poll || uv_poll_init_socket(web->loop, &poll->handle, fd)) {
            free(poll);
            return -1;
        }
        poll->handle.data = poll;
        poll->web = web;
        poll->fd = fd;
        (void)curl_multi_assign(web->multi, fd, poll);
    }
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    (void)uv_poll_start(&poll->handle, events, on_poll);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct ml_web *web = timer->data;
    int running;

    (void)curl_multi_socket_action(web->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    check_done(web);
}

/* Never acts at once: libcurl may be in the middle of something. */
static int on_timeout_wish(CURLM *multi, long timeout_ms, void *arg)
{
    struct ml_web *web = arg;

    (void)multi;
    if (web->is_closed)
        return 0;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&web->timer);
    else
        (void)uv_timer_start(&web->timer, on_timer, timeout_ms > 0 ? (uint64_t)timeout_ms : 1, 0);
    return 0;
}

/* ---- The answer ------------------------------------------------------------------------------ */

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct ml_web_request *request = arg;

    (void)one;
    if (len > request->max_bytes - request->len) {
        request->is_too_long = true;
        return 0;
    }
    if (request->len + len > request->cap) {
        size_t cap = request->cap ? request->cap * 2 : 4096;
        uint8_t *moved;

        while (cap < request->len + len)
            cap *= 2;
        moved = realloc(request->bytes, cap);
        if (!moved)
            return 0;
        request->bytes = moved;
        request->cap = cap;
    }
    memcpy(request->bytes + request->len, bytes, len);
    request->len += len;
    return len;
}

static struct ml_slice trimmed(struct ml_slice text)
{
    while (text.len && isspace(text.ptr[0]))
        text = ml_slice_make(text.ptr + 1, text.len - 1);
    while (text.len && isspace(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static void add_field(struct ml_web_request *request, struct ml_slice name, struct ml_slice value)
{
    struct ml_web_field *field;
    uint8_t *lower;

    if (!request->fields)
        request->fields = ml_arena_array(&request->arena, FIELDS_MAX, sizeof *request->fields);
    if (!request->fields || request->field_count == FIELDS_MAX)
        return;
    field = &request->fields[request->field_count];
    field->name = ml_arena_copy(&request->arena, name);
    field->value = ml_arena_copy(&request->arena, value);
    if (!field->name.ptr || !field->value.ptr)
        return;
    lower = (uint8_t *)(uintptr_t)field->name.ptr;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (uint8_t)tolower(lower[i]);
    request->field_count++;
}

/* One line at a time; a status line begins a new answer (100, then 200). */
static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    struct ml_web_request *request = arg;
    const char *colon = memchr(bytes, ':', len);

    (void)one;
    if (len > 5 && memcmp(bytes, "HTTP/", 5) == 0)
        request->field_count = 0;
    else if (colon)
        add_field(request, trimmed(ml_slice_make(bytes, (size_t)(colon - bytes))),
                  trimmed(ml_slice_make(colon + 1, len - (size_t)(colon + 1 - bytes))));
    return len;
}

static void judge(struct ml_web_request *request, CURLcode code)
{
    long status = 0;
    const char *why = curl_easy_strerror(code);

    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
        request->status = (uint32_t)status;
        request->body =
            ml_slice_make(request->bytes ? request->bytes : (const uint8_t *)"", request->len);
        return;
    }
    if (request->is_denied) {
        request->err = ML_EDENIED;
        why = "the address is private or not over TLS, and the operator has not listed it";
    } else if (request->is_too_long) {
        request->err = ML_ELIMIT;
        why = "the answer is longer than max_body";
    } else {
        request->err = code == CURLE_OPERATION_TIMEDOUT ? ML_ETIMEDOUT
                       : code == CURLE_URL_MALFORMAT    ? ML_EFORMAT
                                                        : ML_EIO;
    }
    (void)snprintf(request->why, sizeof request->why, "%s", why);
}

static void let_go(struct ml_web_request *request)
{
    struct ml_web *web = request->web;

    (void)curl_multi_remove_handle(web->multi, request->easy);
    curl_easy_cleanup(request->easy);
    request->easy = NULL;
    ml_list_remove(&request->node);
    web->count--;
}

static void finish(struct ml_web_request *request, CURLcode code)
{
    judge(request, code);
    let_go(request);
    request->done(request);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool is_plain_text(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

enum ml_err ml_web_add_header(struct ml_web_request *request, struct ml_slice name,
                              struct ml_slice value)
{
    char line[4096];
    struct curl_slist *list;

    if (!name.len || !is_plain_text(name) || !is_plain_text(value) ||
        memchr(name.ptr, ':', name.len) || memchr(name.ptr, ' ', name.len) ||
        name.len + value.len + 3 > sizeof line)
        return ML_EFORMAT;
    (void)snprintf(line, sizeof line, value.len ? "%.*s: %.*s" : "%.*s;%.*s", ML_PRINT(name),
                   ML_PRINT(value));
    list = curl_slist_append(request->headers, line);
    if (!list)
        return ML_ELIMIT;
    request->headers = list;
    return ML_OK;
}

static size_t count_of(const struct ml_web *web, struct ml_slice who)
{
    size_t count = 0;

    ML_LIST_EACH(node, &web->requests)
    count += ml_slice_equal(ML_CONTAINER(node, struct ml_web_request, node)->who, who);
    return count;
}

static struct ml_slice join(struct ml_arena *arena, struct ml_slice org, struct ml_slice instance)
{
    uint8_t *at = ml_arena_take(arena, org.len + 1 + instance.len);

    if (!at)
        return ml_slice_make(NULL, 0);
    if (org.len)
        memcpy(at, org.ptr, org.len);
    at[org.len] = 0;
    if (instance.len)
        memcpy(at + org.len + 1, instance.ptr, instance.len);
    return ml_slice_make(at, org.len + 1 + instance.len);
}

/* A body that is sent needs the method's name last: libcurl would choose POST. */
static void set_method(CURL *easy, const char *method, struct ml_slice sends)
{
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (sends.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)sends.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, sends.len ? (const char *)sends.ptr : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_options(struct ml_web_request *request, const char *method)
{
    CURL *easy = request->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_URL, (const char *)request->url.ptr);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "moonloom");
    /* An idle connection was opened for somebody else's request: its address was checked then. */
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    set_method(easy, method, request->sends);
}

enum ml_err ml_web_begin(struct ml_web *web, struct ml_web_request *request)
{
    struct ml_slice method = request->method;
    char name[16];

    request->web = web;
    ml_arena_init(&request->arena, ARENA_BYTES);
    request->who = join(&request->arena, request->org, request->instance);
    if (request->url.len > URL_MAX || !is_plain_text(request->url) || method.len >= sizeof name)
        return ML_EFORMAT;
    if (web->count >= ALL_MAX || count_of(web, request->who) >= PER_INSTANCE)
        return ML_EBUSY;
    (void)snprintf(name, sizeof name, "%.*s", ML_PRINT(method));
    request->url = ml_arena_copy(&request->arena, request->url); /* with its NUL */
    request->easy = curl_easy_init();
    if (!request->easy || !request->url.ptr || !request->who.ptr)
        return ML_ELIMIT;
    if (!request->timeout_ms || request->timeout_ms > TIMEOUT_MAX_MS)
        request->timeout_ms = request->timeout_ms ? TIMEOUT_MAX_MS : TIMEOUT_MS;
    if (!request->max_bytes || request->max_bytes > BODY_LIMIT)
        request->max_bytes = request->max_bytes ? BODY_LIMIT : BODY_MAX;
    set_options(request, name);
    ml_list_append(&web->requests, &request->node);
    web->count++;
    if (curl_multi_add_handle(web->multi, request->easy) != CURLM_OK) {
        let_go(request);
        return ML_EIO;
    }
    return ML_OK;
}

void ml_web_stop(struct ml_web_request *request)
{
    if (request->easy && ml_list_is_linked(&request->node))
        let_go(request);
}

void ml_web_release(struct ml_web_request *request)
{
    if (request->easy)
        curl_easy_cleanup(request->easy);
    request->easy = NULL;
    curl_slist_free_all(request->headers);
    request->headers = NULL;
    free(request->bytes);
    request->bytes = NULL;
    ml_arena_release(&request->arena);
    request->fields = NULL;
    request->field_count = 0;
}

/* ---- Life and death -------------------------------------------------------------------------- */

struct ml_web *ml_web_new(uv_loop_t *loop, const char *const *allowed, size_t count, bool dev)
{
    struct ml_web *web = calloc(1, sizeof *web);

    if (!web)
        return NULL;
    web->multi = curl_multi_init();
    if (!web->multi) {
        free(web);
        return NULL;
    }
    web->loop = loop;
    web->allowed = allowed;
    web->allowed_count = count;
    web->dev = dev;
    ml_list_init(&web->requests);
    curl_multi_setopt(web->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(web->multi, CURLMOPT_SOCKETDATA, web);
    curl_multi_setopt(web->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wish);
    curl_multi_setopt(web->multi, CURLMOPT_TIMERDATA, web);
    (void)uv_timer_init(loop, &web->timer);
    web->timer.data = web;
    return web;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ml_web_close(struct ml_web *web)
{
    if (!web)
        return;
    ML_ASSERT(ml_list_is_empty(&web->requests));
    web->is_closed = true;
    (void)curl_multi_cleanup(web->multi);
    (void)uv_timer_stop(&web->timer);
    uv_close((uv_handle_t *)&web->timer, on_closed);
}

bool ml_web_is_range(const char *text)
{
    struct ml_ip_range range;

    return ml_ip_range_parse(text, &range);
}
