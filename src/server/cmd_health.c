/* SPDX-License-Identifier: MIT */
/*
 * `moonloom health` asks a server whether it is alive (/healthz), with --ready whether it takes
 * traffic (/readyz), and prints the answer: for containers and scripts. Exit 0: yes, 1: no, 3:
 * nobody answers within 3 s.
 */
#include "server/cmd_health.h"

#include "base/codec.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX   4096
#define ASK_MS       3000L
#define EXIT_USAGE   2
#define EXIT_NOWHERE 3

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct ml_writer *out = arg;

    ml_write_bytes(out, ml_slice_make(bytes, size * count));
    return out->err ? 0 : size * count;
}

static int ask(CURL *curl, const char *url)
{
    struct ml_writer body;
    long status = 0;
    CURLcode rc;

    ml_writer_init(&body, ANSWER_MAX);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ASK_MS);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    rc = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc != CURLE_OK)
        (void)fprintf(stderr, "moonloom health: %s: %s\n", url, curl_easy_strerror(rc));
    else
        (void)printf("%.*s", ML_PRINT(ml_writer_slice(&body)));
    ml_writer_release(&body);
    return rc != CURLE_OK ? EXIT_NOWHERE : status != 200;
}

int ml_cmd_health(int argc, char **argv)
{
    const char *url = "http://127.0.0.1:8080";
    bool is_ready = false;
    char full[2048];
    CURL *curl;
    int code;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--ready") == 0) {
            is_ready = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--url") == 0) {
            url = argv[++i];
        } else {
            (void)fprintf(stderr, "usage: moonloom health [--ready] [--url "
                                  "http://127.0.0.1:8080]\n");
            return EXIT_USAGE;
        }
    }
    (void)snprintf(full, sizeof full, "%s%s", url, is_ready ? "/readyz" : "/healthz");
    curl = curl_easy_init();
    if (!curl)
        return 1;
    code = ask(curl, full);
    curl_easy_cleanup(curl);
    return code;
}
