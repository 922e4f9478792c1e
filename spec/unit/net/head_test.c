/* SPDX-License-Identifier: MIT */
/* Request heads: what is understood, what is refused and how (SEC-LM-01). */
#include "net/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct ml_head head;
static unsigned status;

static enum ml_head_state parse(const char *text)
{
    return ml_head_parse(ml_slice_str(text), &head, &status);
}

static void a_request_is_understood(void **state)
{
    static const char text[] = "GET /a/b%20c?x=1&y=? HTTP/1.1\r\n"
                               "Host: example.com:8080\r\n"
                               "X-Empty:\r\n"
                               "Connection:  keep-alive , Upgrade\t\r\n"
                               "CONNECTION: x\r\n"
                               "upgrade: websocket\r\n\r\nrest";

    (void)state;
    assert_int_equal(parse(text), ML_HEAD_COMPLETE);
    assert_int_equal(head.method, ML_METHOD_GET);
    assert_true(ml_slice_equal(head.path, ML_SLICE("/a/b%20c")));
    assert_true(ml_slice_equal(head.query, ML_SLICE("x=1&y=?")));
    assert_true(ml_slice_equal(head.host, ML_SLICE("example.com:8080")));
    assert_int_equal(head.field_count, 5);
    assert_int_equal(ml_head_field(&head, "x-empty").len, 0);
    assert_non_null(ml_head_field(&head, "x-empty").ptr);
    assert_null(ml_head_field(&head, "absent").ptr);
    assert_true(ml_head_has_token(&head, "connection", "upgrade"));
    assert_true(ml_head_has_token(&head, "connection", "X"));
    assert_false(ml_head_has_token(&head, "connection", "keep"));
    assert_true(head.keeps_alive);
    assert_int_equal(head.len_bytes, sizeof text - 1 - 4);
}

/* However it is cut, it is not taken before it is whole, and never read past its end. */
static void a_part_is_not_a_request(void **state)
{
    static const char text[] = "GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *copy = malloc(len + 1);

        memcpy(copy, text, len);
        assert_int_equal(ml_head_parse(ml_slice_make(copy, len), &head, &status), ML_HEAD_PARTIAL);
        free(copy);
    }
    assert_int_equal(parse(text), ML_HEAD_COMPLETE);
}

static void what_could_be_misunderstood_is_refused(void **state)
{
#define H "Host: a\r\n"
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {"\x16\x03\x01\x02", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/1.2\r\n" H "\r\n", 505},
        {"GET / HTTP/0.9\r\n\r\n", 505},
        {"GET / FTP/1.1\r\n" H "\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n" H "\r\n", 400},
        {"CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\t HTTP/1.1\r\n" H "\r\n", 400},
        {"G(T / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H " A: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: \x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0x10\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501},
    };
#undef H

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (parse(rows[i].text) != ML_HEAD_BROKEN)
            fail_msg("taken: %s", rows[i].text);
        if (status != rows[i].status)
            fail_msg("%u: %s", status, rows[i].text);
    }
    assert_int_equal(
        ml_head_parse(ml_slice_make("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28), &head, &status),
        ML_HEAD_BROKEN);
}

/* A request whose first line has so many bytes. */
static enum ml_head_state with_line(size_t line_bytes)
{
    char *text = malloc(line_bytes + 64);
    size_t target = line_bytes - strlen("GET  HTTP/1.1");
    enum ml_head_state result;
    int n;

    n = sprintf(text, "GET /");
    memset(text + n, 'a', target - 1);
    (void)strcpy(text + (size_t)n + target - 1, " HTTP/1.1\r\nHost: a\r\n\r\n");
    result = parse(text);
    free(text);
    return result;
}

static void a_line_has_its_limit(void **state)
{
    (void)state;
    assert_int_equal(with_line(ML_HEAD_LINE_MAX), ML_HEAD_COMPLETE);
    assert_int_equal(with_line(ML_HEAD_LINE_MAX + 1), ML_HEAD_BROKEN);
    assert_int_equal(status, 414);
}

static void a_line_that_does_not_end_is_too_long_before_it_ends(void **state)
{
    char text[ML_HEAD_LINE_MAX + 2];

    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(ml_head_parse(ml_slice_make(text, ML_HEAD_LINE_MAX), &head, &status),
                     ML_HEAD_PARTIAL);
    assert_int_equal(ml_head_parse(ml_slice_make(text, ML_HEAD_LINE_MAX + 1), &head, &status),
                     ML_HEAD_BROKEN);
    assert_int_equal(status, 414);
}

static enum ml_head_state with_fields(size_t fields_bytes, bool ends)
{
    char *text = malloc(fields_bytes + 64);
    int n = sprintf(text, "GET / HTTP/1.1\r\n");
    size_t start = (size_t)n, pad;
    enum ml_head_state result;

    n += sprintf(text + n, "Host: a\r\nX: ");
    pad = fields_bytes - ((size_t)n - start) - 4;
    memset(text + n, 'b', pad);
    (void)strcpy(text + (size_t)n + pad, "\r\n\r\n");
    result = ml_head_parse(ml_slice_make(text, (size_t)n + pad + (ends ? 4 : 0)), &head, &status);
    free(text);
    return result;
}

static void fields_have_their_limits(void **state)
{
    char text[4096];
    size_t n;

    (void)state;
    assert_int_equal(with_fields(ML_HEAD_FIELDS_MAX, true), ML_HEAD_COMPLETE);
    assert_int_equal(with_fields(ML_HEAD_FIELDS_MAX + 1, true), ML_HEAD_BROKEN);
    assert_int_equal(status, 431);
    assert_int_equal(with_fields(ML_HEAD_FIELDS_MAX + 8, false), ML_HEAD_BROKEN);
    assert_int_equal(status, 431);
    for (int count = ML_HEAD_FIELD_COUNT; count <= ML_HEAD_FIELD_COUNT + 1; count++) {
        n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "a%d: b\r\n", i);
        memcpy(text + n, "\r\n", 3);
        assert_int_equal(parse(text),
                         count == ML_HEAD_FIELD_COUNT ? ML_HEAD_COMPLETE : ML_HEAD_BROKEN);
    }
    assert_int_equal(status, 431);
}

static void old_clients_close(void **state)
{
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), ML_HEAD_COMPLETE);
    assert_false(head.keeps_alive);
    assert_int_equal(head.host.len, 0);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), ML_HEAD_COMPLETE);
    assert_true(head.keeps_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
                     ML_HEAD_COMPLETE);
    assert_false(head.keeps_alive);
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"),
                     ML_HEAD_COMPLETE);
    assert_int_equal(head.method, ML_METHOD_POST);
    assert_int_equal(head.content_length, 12);
    assert_int_equal(parse("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"),
                     ML_HEAD_COMPLETE);
    assert_true(head.is_chunked);
}

static void first_tokens(void **state)
{
    (void)state;
    assert_true(ml_slice_equal(ml_head_first_token(ML_SLICE("a, b")), ML_SLICE("a")));
    assert_true(
        ml_slice_equal(ml_head_first_token(ML_SLICE(" , yauth-x.y , b")), ML_SLICE("yauth-x.y")));
    assert_int_equal(ml_head_first_token(ML_SLICE(" ,, ")).len, 0);
    assert_int_equal(ml_head_first_token(ml_slice_make(NULL, 0)).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_understood),
        cmocka_unit_test(a_part_is_not_a_request),
        cmocka_unit_test(what_could_be_misunderstood_is_refused),
        cmocka_unit_test(a_line_has_its_limit),
        cmocka_unit_test(a_line_that_does_not_end_is_too_long_before_it_ends),
        cmocka_unit_test(fields_have_their_limits),
        cmocka_unit_test(old_clients_close),
        cmocka_unit_test(first_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
