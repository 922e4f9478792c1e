/* SPDX-License-Identifier: MIT */
/*
 * `moonloom audit ls` prints the security log of an org, one event a line as it stands in the
 * store; `verify` says whether it is whole (exit 1: it is not). Both ask a running server;
 * MOONLOOM_TOKEN is the credential where one is needed.
 */
#include "server/cmd_audit.h"

#include "base/codec.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX   (64u << 20)
#define ASK_S        120L
#define EXIT_USAGE   2
#define EXIT_NOWHERE 3

struct wish {
    const char *url, *org;
    CURL *curl;
    struct curl_slist *headers;
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: moonloom audit ls|verify [--org default] [--url "
                          "http://127.0.0.1:8080]\n");
    return EXIT_USAGE;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct ml_writer *out = arg;

    ml_write_bytes(out, ml_slice_make(bytes, size * count));
    return out->err ? 0 : size * count;
}

/* 0 and the answer, or an exit code. */
static int ask(const struct wish *wish, const char *path, cJSON **out)
{
    struct ml_writer body;
    char url[4096];
    long status = 0;
    CURLcode rc;

    ml_writer_init(&body, ANSWER_MAX);
    (void)snprintf(url, sizeof url, "%s/api/v1/orgs/%s/audit%s", wish->url, wish->org, path);
    (void)curl_easy_setopt(wish->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(wish->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(wish->curl, CURLOPT_TIMEOUT, ASK_S);
    (void)curl_easy_setopt(wish->curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(wish->curl, CURLOPT_HTTPHEADER, wish->headers);
    (void)curl_easy_setopt(wish->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(wish->curl, CURLOPT_WRITEDATA, &body);
    rc = curl_easy_perform(wish->curl);
    (void)curl_easy_getinfo(wish->curl, CURLINFO_RESPONSE_CODE, &status);
    *out = rc == CURLE_OK ? cJSON_ParseWithLength((const char *)body.ptr, body.len) : NULL;
    if (rc != CURLE_OK)
        (void)fprintf(stderr, "moonloom audit: %s: %s\n", url, curl_easy_strerror(rc));
    else if (status != 200)
        (void)fprintf(stderr, "moonloom audit: %s: %ld %.*s\n", url, status,
                      ML_PRINT(ml_writer_slice(&body)));
    ml_writer_release(&body);
    return rc != CURLE_OK ? EXIT_NOWHERE : status != 200 || !*out;
}

static void print(const cJSON *item)
{
    char *text = cJSON_PrintUnformatted(item);

    (void)printf("%s\n", text ? text : "");
    free(text);
}

static int list(const struct wish *wish)
{
    char path[128] = "?limit=1000";
    bool more = true;
    int code = 0;

    while (!code && more) {
        cJSON *answer = NULL;
        const cJSON *item, *next;

        code = ask(wish, path, &answer);
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "items")) print(item);
        next = cJSON_GetObjectItemCaseSensitive(answer, "next");
        more = cJSON_IsString(next);
        if (more)
            (void)snprintf(path, sizeof path, "?limit=1000&after=%.64s", next->valuestring);
        cJSON_Delete(answer);
    }
    return code;
}

static int verify(const struct wish *wish)
{
    cJSON *answer = NULL;
    int code = ask(wish, "/verify", &answer);

    if (answer)
        print(answer);
    if (!code)
        code = !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "whole"));
    cJSON_Delete(answer);
    return code;
}

int ml_cmd_audit(int argc, char **argv)
{
    struct wish wish = {.url = "http://127.0.0.1:8080", .org = "default"};
    const char *token = getenv("MOONLOOM_TOKEN");
    bool is_list = argc && strcmp(argv[0], "ls") == 0;
    char header[8192];
    int code;

    if (!is_list && (!argc || strcmp(argv[0], "verify") != 0))
        return usage();
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--org") == 0)
            wish.org = argv[i + 1];
        else if (i + 1 < argc && strcmp(argv[i], "--url") == 0)
            wish.url = argv[i + 1];
        else
            return usage();
    }
    if (wish.org[strspn(wish.org, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return usage();
    wish.curl = curl_easy_init();
    if (!wish.curl)
        return 1;
    if (token && *token) {
        (void)snprintf(header, sizeof header, "Authorization: Bearer %s", token);
        wish.headers = curl_slist_append(NULL, header);
    }
    code = is_list ? list(&wish) : verify(&wish);
    curl_slist_free_all(wish.headers);
    curl_easy_cleanup(wish.curl);
    return code;
}
