/* SPDX-License-Identifier: MIT */
/* Reading and writing keys: what is taken, what is left out of a set, what is refused alone. */
#include "auth/auth.h"

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL ((1u << ML_ALG_COUNT) - 1)

/* RFC 8037, A.1 and A.2; RFC 7517, A.1 (P-256 and RSA 2048) */
#define ED25519                                                                                    \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define P256                                                                                       \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","      \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define RSA                                                                                        \
    "\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":"                                                        \
    "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAA"                                 \
    "tVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_" \
    "RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpb" \
    "ISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJ" \
    "zKnqDKgw\""
#define OCT "\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\""

static enum ml_err read_keys(const char *text, unsigned algs, struct ml_keyset **keys)
{
    struct ml_diag diag = {0};
    enum ml_err err;

    *keys = NULL;
    err = ml_keyset_read(ml_slice_str(text), algs, keys, &diag);
    if (err)
        assert_true(diag.text[0] != '\0');
    return err;
}

static void a_jwk_of_each_kind_is_taken(void **state)
{
    static const struct {
        const char *jwk;
        unsigned algs;
        enum ml_alg alg;
    } good[] = {
        {"{" ED25519 "}", ALL, ML_ALG_EDDSA},
        {"{" P256 "}", ALL, ML_ALG_ES256},
        {"{" RSA ",\"alg\":\"RS256\"}", ALL, ML_ALG_RS256},
        {"{" RSA ",\"alg\":\"PS256\",\"use\":\"sig\"}", ALL, ML_ALG_PS256},
        {"{" RSA "}", ML_ALG_BIT(ML_ALG_RS256) | ML_ALG_BIT(ML_ALG_ES256), ML_ALG_RS256},
        {"{" RSA "}", ML_ALG_BIT(ML_ALG_PS256), ML_ALG_PS256},
        {"{" OCT ",\"alg\":\"HS256\",\"kid\":\"a.B-9_\"}", ALL, ML_ALG_HS256},
        {" \n{" P256 ",\"key_ops\":[\"verify\"],\"x5t\":\"ignored\"}", ALL, ML_ALG_ES256},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_"
         "9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         ALL, ML_ALG_EDDSA},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct ml_keyset *keys;

        assert_int_equal(read_keys(good[i].jwk, good[i].algs, &keys), ML_OK);
        assert_int_equal(ml_keyset_count(keys), 1);
        assert_int_equal(ml_keyset_alg(keys, 0), good[i].alg);
        ml_keyset_free(keys);
    }
}

static const struct {
    const char *jwk;
    unsigned algs;
} bad[] = {
    {"", ALL},
    {"{}", ALL},
    {"[]", ALL},
    {"null", ALL},
    {"{" ED25519, ALL},
    {"{" ED25519 "} x", ALL},
    {"{" ED25519 ",\"kty\":\"OKP\"}", ALL},
    /* kinds and algorithms do not mix */
    {"{" ED25519 "}", ML_ALG_BIT(ML_ALG_ES256)},
    {"{" ED25519 ",\"alg\":\"ES256\"}", ALL},
    {"{" ED25519 ",\"alg\":\"HS256\"}", ALL},
    {"{" ED25519 ",\"alg\":\"none\"}", ALL},
    {"{" ED25519 ",\"alg\":\"eddsa\"}", ALL},
    {"{" ED25519 ",\"alg\":1}", ALL},
    {"{" ED25519 ",\"alg\":null}", ALL},
    {"{" RSA ",\"alg\":\"HS256\"}", ALL},
    {"{" RSA ",\"alg\":\"RS512\"}", ALL},
    {"{" RSA ",\"alg\":\"RSA-OAEP\"}", ALL},
    {"{" RSA "}", ALL}, /* RS256 and PS256 are both there: which? */
    {"{" RSA "}", ML_ALG_BIT(ML_ALG_HS256)},
    {"{" OCT ",\"alg\":\"RS256\"}", ALL},
    {"{" OCT "}", ALL & ~ML_ALG_BIT(ML_ALG_HS256)},
    {"{" P256 "}", ML_ALG_BIT(ML_ALG_RS256)},
    /* not for signatures */
    {"{" RSA ",\"alg\":\"RS256\",\"use\":\"enc\"}", ALL},
    {"{" P256 ",\"use\":null}", ALL},
    {"{" P256 ",\"key_ops\":[\"encrypt\"]}", ALL},
    {"{" P256 ",\"key_ops\":[]}", ALL},
    /* kid */
    {"{" P256 ",\"kid\":\"\"}", ALL},
    {"{" P256 ",\"kid\":1}", ALL},
    {"{" P256 ",\"kid\":\"a/b\"}", ALL},
    /* weak, broken */
    {"{\"kty\":\"oct\",\"k\":\"\"}", ALL},
    {"{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQ\"}", ALL}, /* 31 bytes */
    {"{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}", ALL},
    {"{\"kty\":\"oct\"}", ALL},
    {"{\"kty\":\"oct\",\"k\":7}", ALL},
    {"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"e\":\"AQAB\",\"n\":"
     "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2"
     "aiAFbU\"}",
     ALL},
    {"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"e\":\"AQ\",\"n\":\"AQAB\"}", ALL},
    {"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"e\":\"AQAB\"}", ALL},
    {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
     "\"y\":"
     "\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}",
     ALL},
    /* a point that is not on the curve */
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
     "\"y\":"
     "\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyQ\"}",
     ALL},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}",
     ALL},
    {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     ALL},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     ALL},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qY\"}", ALL},
    {"{\"kty\":\"okp\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     ALL},
    /* sets without a usable key */
    {"{\"keys\":[]}", ALL},
    {"{\"keys\":[{}]}", ALL},
    {"{\"keys\":[1,null,\"x\"]}", ALL},
    {"{\"keys\":{" ED25519 "}}", ALL},
    {"{\"keys\":[{" RSA "}]}", ALL},
    /* PEM */
    {"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", ALL},
    {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", ALL},
    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ALL},
    {"a secret that is long enough but no key at all", ALL},
    {"{" ED25519 "}", 0},
};

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct ml_keyset *keys;

        if (read_keys(bad[i].jwk, bad[i].algs, &keys) != ML_EFORMAT) {
            fprintf(stderr, "taken: %s\n", bad[i].jwk);
            fail();
        }
    }
    print_message("%zu keys\n", sizeof(bad) / sizeof(*bad));
}

static void a_set_keeps_what_is_usable(void **state)
{
    struct ml_keyset *keys;
    char many[8192] = "{\"keys\":[";

    (void)state;
    assert_int_equal(read_keys("{\"keys\":[{\"kty\":\"new\"},{" P256 ",\"kid\":\"a\"},{" RSA
                               ",\"use\":\"enc\"},{" RSA
                               ",\"alg\":\"RS256\",\"kid\":\"b\"},{" ED25519 ",\"kid\":\"a\"},{" OCT
                               ",\"kid\":\"c\"}],\"more\":1}",
                               ALL & ~ML_ALG_BIT(ML_ALG_HS256), &keys),
                     ML_OK);
    assert_int_equal(ml_keyset_count(keys), 2);
    assert_int_equal(ml_keyset_alg(keys, 0), ML_ALG_ES256);
    assert_true(ml_slice_equal(ml_keyset_kid(keys, 0), ML_SLICE("a")));
    assert_int_equal(ml_keyset_alg(keys, 1), ML_ALG_RS256);
    ml_keyset_free(keys);

    for (int i = 0; i < ML_KEYS_MAX + 1; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many),
                 "%s{" ED25519 ",\"kid\":\"k%d\"}", i ? "," : "", i);
    strcat(many, "]}");
    assert_int_equal(read_keys(many, ALL, &keys), ML_ELIMIT);
}

static void a_secret_is_long_enough_and_no_key(void **state)
{
    struct ml_keyset *keys;
    char large[ML_SECRET_MAX_BYTES + 1];

    (void)state;
    memset(large, 'x', sizeof(large));
    assert_int_equal(ml_keyset_secret(ml_slice_make(large, 31), ML_SLICE("a"), &keys, NULL),
                     ML_EFORMAT);
    assert_int_equal(ml_keyset_secret(ml_slice_make(large, 0), ML_SLICE("a"), &keys, NULL),
                     ML_EFORMAT);
    assert_int_equal(
        ml_keyset_secret(ml_slice_make(large, sizeof(large)), ML_SLICE("a"), &keys, NULL),
        ML_EFORMAT);
    assert_int_equal(ml_keyset_secret(ml_slice_make(large, 32), ML_SLICE("a b"), &keys, NULL),
                     ML_EFORMAT);
    assert_int_equal(ml_keyset_secret(ml_slice_make(large, 32), ML_SLICE("a"), &keys, NULL), ML_OK);
    ml_keyset_free(keys);
}

/* RFC 8037, A.3: the thumbprint of the key above. Ours is the kid of what we make. */
static void what_is_made_here_comes_back(void **state)
{
    struct ml_writer pem, jwks;

    (void)state;
    ml_writer_init(&pem, 1 << 16);
    ml_writer_init(&jwks, 1 << 16);
    for (int alg = 0; alg < ML_ALG_HS256; alg++) {
        struct ml_keyset *made, *read;

        assert_int_equal(ml_keyset_generate((enum ml_alg)alg, &made), ML_OK);
        assert_int_equal(ml_keyset_kid(made, 0).len, 43);
        for (int with_private = 0; with_private < 2; with_private++) {
            ml_writer_reset(&pem);
            assert_int_equal(ml_keyset_pem(made, with_private, &pem), ML_OK);
            assert_int_equal(ml_keyset_read(ml_writer_slice(&pem), ML_ALG_BIT(alg), &read, NULL),
                             ML_OK);
            assert_int_equal(ml_keyset_alg(read, 0), alg);
            assert_int_equal(memmem(pem.ptr, pem.len, "PRIVATE", 7) != NULL, with_private);
            ml_keyset_free(read);
        }
        ml_writer_reset(&jwks);
        assert_int_equal(ml_keyset_jwks(made, &jwks), ML_OK);
        assert_null(memmem(jwks.ptr, jwks.len, "\"d\"", 3));
        assert_int_equal(ml_keyset_read(ml_writer_slice(&jwks), ALL, &read, NULL), ML_OK);
        assert_int_equal(ml_keyset_alg(read, 0), alg);
        assert_true(ml_slice_equal(ml_keyset_kid(read, 0), ml_keyset_kid(made, 0)));
        ml_keyset_free(read);
        ml_keyset_free(made);
    }
    ml_writer_release(&pem);
    ml_writer_release(&jwks);
}

static void a_secret_is_never_written_out(void **state)
{
    struct ml_keyset *made;
    struct ml_writer out;

    (void)state;
    ml_writer_init(&out, 1 << 16);
    assert_int_equal(ml_keyset_generate(ML_ALG_HS256, &made), ML_OK);
    assert_int_equal(ml_keyset_pem(made, false, &out), ML_EDENIED);
    assert_int_equal(ml_keyset_jwks(made, &out), ML_OK);
    assert_true(ml_slice_equal(ml_writer_slice(&out), ML_SLICE("{\"keys\":[]}")));
    ml_keyset_free(made);
    ml_writer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jwk_of_each_kind_is_taken),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_set_keeps_what_is_usable),
        cmocka_unit_test(a_secret_is_long_enough_and_no_key),
        cmocka_unit_test(what_is_made_here_comes_back),
        cmocka_unit_test(a_secret_is_never_written_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
