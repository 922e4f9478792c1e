/* SPDX-License-Identifier: MIT */
/*
 * Tokens: what is signed here is taken, and everything else is refused, each for the reason beside
 * it (SEC-JWT-01 to 06). The clock stands at NOW.
 */
#include "auth/auth.h"

#include "support/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"

#define NOW    1700000000
#define SECRET "0123456789abcdef0123456789abcdef"
#define ALL    ((1u << ML_ALG_COUNT) - 1)
/* Claims that are in order, to be followed by others. */
#define GOOD "\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300,\"iat\":1700000000"

struct fixture {
    struct ml_arena scratch;
    struct ml_keyset *keys[ML_ALG_COUNT];
    struct ml_keyset *hs; /* SECRET, no kid */
    struct ml_token_rules rules;
    struct ml_token token;
    const char *why;
};

static struct fixture f;

/* Keys are made once: an RSA pair takes a second. */
static struct ml_keyset *made_once[ML_ALG_COUNT];

static int make_keys(void **state)
{
    (void)state;
    for (int alg = 0; alg < ML_ALG_COUNT; alg++)
        if (ml_keyset_generate((enum ml_alg)alg, &made_once[alg]))
            return -1;
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (int alg = 0; alg < ML_ALG_COUNT; alg++)
        ml_keyset_free(made_once[alg]);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){0};
    ml_arena_init(&f.scratch, 1 << 22);
    memcpy(f.keys, made_once, sizeof(made_once));
    assert_int_equal(ml_keyset_secret(ML_SLICE(SECRET), (struct ml_slice){0}, &f.hs, NULL), ML_OK);
    f.rules = (struct ml_token_rules){.keys = f.hs,
                                      .algs = ALL,
                                      .issuer = ML_SLICE("me"),
                                      .audience = ML_SLICE("here"),
                                      .now_s = NOW,
                                      .leeway_s = ML_TOKEN_LEEWAY_S,
                                      .life_max_s = 86400,
                                      .needs_subject = true};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ml_keyset_free(f.hs);
    ml_arena_release(&f.scratch);
    return 0;
}

static size_t put_base64(char *out, const void *bytes, size_t len)
{
    ml_base64_put(ml_slice_make(bytes, len), ML_BASE64URL, out);
    return ml_base64_len(len, ML_BASE64URL);
}

/* A token with this header and these claims, signed with `secret` whatever they say. */
static struct ml_slice make(const char *header, struct ml_slice claims, struct ml_slice secret)
{
    static char text[1 << 16];
    uint8_t mac[32];
    unsigned mac_len;
    size_t len = put_base64(text, header, strlen(header));

    text[len++] = '.';
    len += put_base64(text + len, claims.ptr, claims.len);
    HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const uint8_t *)text, len, mac, &mac_len);
    text[len++] = '.';
    len += put_base64(text + len, mac, mac_len);
    return ml_slice_make(text, len);
}

static enum ml_err verify(struct ml_slice token)
{
    ml_arena_reset(&f.scratch);
    f.why = "-";
    return ml_token_verify(token, &f.rules, &f.scratch, &f.token, &f.why);
}

static void expect(struct ml_slice token, enum ml_err err, const char *why, const char *about)
{
    enum ml_err got = verify(token);

    if (got != err || (why && strcmp(why, f.why) != 0)) {
        fprintf(stderr, "%s: expected %s (%s), got %s (%s)\n", about, ml_err_name(err),
                why ? why : "any", ml_err_name(got), f.why);
        fail();
    }
}

/* ---- What is in order -------------------------------------------------------------------------
 */

static void every_algorithm_signs_and_verifies(void **state)
{
    (void)state;
    for (int alg = 0; alg < ML_ALG_COUNT; alg++) {
        struct ml_slice token;
        char copy[4096];

        ml_arena_reset(&f.scratch);
        assert_int_equal(ml_token_sign(f.keys[alg], (struct ml_slice){0}, ML_SLICE("{" GOOD "}"),
                                       &f.scratch, &token),
                         ML_OK);
        memcpy(copy, token.ptr, token.len);
        token.ptr = (const uint8_t *)copy;
        f.rules.keys = f.keys[alg];
        f.rules.algs = ML_ALG_BIT(alg);
        expect(token, ML_OK, NULL, ml_alg_name((enum ml_alg)alg));
        assert_int_equal(f.token.alg, alg);
        assert_true(ml_slice_equal(f.token.subject, ML_SLICE("ana")));
        assert_true(ml_slice_equal(f.token.issuer, ML_SLICE("me")));
        assert_int_equal(f.token.expires_s, NOW + 300);
        assert_true(ml_slice_equal(f.token.claims, ML_SLICE("{" GOOD "}")));

        /* no bit of the signature may change, nor any of the rest */
        for (size_t at = 0; at < token.len; at += at < token.len - 100 ? 7 : 1) {
            char was = copy[at];

            copy[at] = was == 'A' ? 'B' : 'A';
            assert_int_not_equal(verify(token), ML_OK);
            copy[at] = was;
        }
        expect(token, ML_OK, NULL, "as it was");
        f.rules.algs = ALL & ~ML_ALG_BIT(alg);
        expect(token, ML_EDENIED, "the algorithm is not the key's", "not configured");
        f.rules.algs = 0;
        expect(token, ML_EDENIED, "the algorithm is not the key's", "nothing configured");
    }
}

/* RFC 7515, A.1: its key has 64 bytes; the claims have no iat, aud or sub. */
static void the_example_of_the_rfc(void **state)
{
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char jwk[] = "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_"
                              "T-1qS0gZH75aKtMN3Yj0iPS"
                              "4hcgUuTwjAzZr1Z9CAow\"}";
    struct ml_keyset *keys;

    (void)state;
    assert_int_equal(ml_keyset_read(ml_slice_str(jwk), ML_ALG_BIT(ML_ALG_HS256), &keys, NULL),
                     ML_OK);
    f.rules = (struct ml_token_rules){.keys = keys,
                                      .algs = ML_ALG_BIT(ML_ALG_HS256),
                                      .issuer = ML_SLICE("joe"),
                                      .now_s = 1300819379};
    expect(ml_slice_str(token), ML_OK, NULL, "RFC 7515 A.1");
    f.rules.now_s = 1300819380;
    expect(ml_slice_str(token), ML_ETIMEDOUT, "expired", "a second later");
    ml_keyset_free(keys);
}

static const char *const good_claims[] = {
    "{" GOOD "}",
    "{" GOOD ",\"extra\":{\"a\":[1,2.5,-3e8,\"\\u00e9\",null,true]}}",
    " { " GOOD " } ",
    "{\"iss\":\"me\",\"aud\":[\"there\",\"here\"],\"sub\":\"ana\",\"exp\":1700000300}",
    "{\"iss\":\"\\u006de\",\"aud\":\"here\",\"sub\":\"\xc3\xa9\",\"exp\":1700000300}",
    /* the edges of the leeway of 30 s */
    "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1699999971}",
    "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300,\"nbf\":1700000030}",
    "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300,\"iat\":1700000030}",
    /* a day exactly */
    "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700086400,\"iat\":1700000000}",
    "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700086400}",
};

static const char *const good_headers[] = {
    "{\"alg\":\"HS256\"}",
    "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
    "{\"typ\":\"at+jwt\",\"alg\":\"HS256\",\"kid\":\"any-1._\"}",
    "{\"alg\":\"HS256\",\"cty\":\"x\",\"x5t\":\"y\"}",
};

static void what_is_in_order_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good_claims) / sizeof(*good_claims); i++)
        expect(make(good_headers[0], ml_slice_str(good_claims[i]), ML_SLICE(SECRET)), ML_OK, NULL,
               good_claims[i]);
    for (size_t i = 0; i < sizeof(good_headers) / sizeof(*good_headers); i++)
        expect(make(good_headers[i], ML_SLICE("{" GOOD "}"), ML_SLICE(SECRET)), ML_OK, NULL,
               good_headers[i]);
}

/* ---- Headers ----------------------------------------------------------------------------------
 */

#define NOT_STRICT "the header is not strict JSON"
#define UNKNOWN    "unknown algorithm"
#define BRINGS     "the header brings a key or an extension"
#define KID        "kid or typ is not what it may be"
#define KIND       "another kind of token"
#define NOT_KEYS   "the algorithm is not the key's"

static const struct {
    const char *header;
    enum ml_err err;
    const char *why;
} bad_headers[] = {
    /* algorithms, in every spelling */
    {"{\"alg\":\"none\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"None\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"NONE\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"nOnE\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"none \"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":null}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":0}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":false}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":[\"HS256\"]}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":{\"alg\":\"HS256\"}}", ML_EDENIED, UNKNOWN},
    {"{}", ML_EDENIED, UNKNOWN},
    {"{\"Alg\":\"HS256\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"hs256\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"HS256\\u0000\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\" HS256\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"HS384\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"HS512\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"RS1\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"ES384\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"ES256K\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"dir\"}", ML_EDENIED, UNKNOWN},
    {"{\"alg\":\"RS256\"}", ML_ENOTFOUND, NULL},
    {"{\"alg\":\"EdDSA\"}", ML_ENOTFOUND, NULL},
    {"{\"alg\":\"ES256\"}", ML_ENOTFOUND, NULL},
    {"{\"alg\":\"PS256\"}", ML_ENOTFOUND, NULL},
    {"{\"alg\":\"RS256\",\"kid\":\"a\"}", ML_EDENIED, NOT_KEYS},
    {"{\"alg\":\"EdDSA\",\"kid\":\"a\"}", ML_EDENIED, NOT_KEYS},
    /* keys that it brings, extensions that must be understood */
    {"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"jku\":\"https://evil.example/keys\"}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"x5u\":\"https://evil.example/cert\"}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"x5c\":[\"MIIB\"]}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"crit\":[]}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"crit\":null}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"b64\":true}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"zip\":\"DEF\"}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}", ML_EDENIED, BRINGS},
    {"{\"alg\":\"HS256\",\"\\u006awk\":{}}", ML_EDENIED, BRINGS},
    /* kid */
    {"{\"alg\":\"HS256\",\"kid\":\"\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":1}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":null}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"' OR 1=1 --\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"a b\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"\xc3\xa9\"}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"kid\":\"0123456789012345678901234567890123456789012345678901234567890123"
     "4\"}",
     ML_EFORMAT, KID},
    /* typ */
    {"{\"alg\":\"HS256\",\"typ\":\"ml-ticket+jwt\"}", ML_EDENIED, KIND},
    {"{\"alg\":\"HS256\",\"typ\":\"ml-invite+jwt\"}", ML_EDENIED, KIND},
    {"{\"alg\":\"HS256\",\"typ\":\"JOSE\"}", ML_EDENIED, KIND},
    {"{\"alg\":\"HS256\",\"typ\":\"secevent+jwt\"}", ML_EDENIED, KIND},
    {"{\"alg\":\"HS256\",\"typ\":\"\"}", ML_EDENIED, KIND},
    {"{\"alg\":\"HS256\",\"typ\":1}", ML_EFORMAT, KID},
    {"{\"alg\":\"HS256\",\"typ\":null}", ML_EFORMAT, KID},
    /* not strict JSON */
    {"", ML_EFORMAT, NULL},
    {" ", ML_EFORMAT, NOT_STRICT},
    {"[]", ML_EFORMAT, NOT_STRICT},
    {"\"HS256\"", ML_EFORMAT, NOT_STRICT},
    {"null", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\"", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\"}}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\"}{}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\" \"typ\":\"JWT\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"none\",\"alg\":\"HS256\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", ML_EFORMAT, NOT_STRICT},
    {"{'alg':'HS256'}", ML_EFORMAT, NOT_STRICT},
    {"{alg:\"HS256\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\"/**/}", ML_EFORMAT, NOT_STRICT},
    {"\xef\xbb\xbf{\"alg\":\"HS256\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":\"\xff\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":\"\xc0\x80\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":\"\\ud800\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":\"\\q\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":\"\n\"}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":01}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":+1}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":.5}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":1.}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":NaN}", ML_EFORMAT, NOT_STRICT},
    {"{\"alg\":\"HS256\",\"a\":[[[[[[[[1]]]]]]]]}", ML_EFORMAT, NOT_STRICT},
};

static void no_bad_header_is_taken(void **state)
{
    size_t n = sizeof(bad_headers) / sizeof(*bad_headers);

    (void)state;
    for (size_t i = 0; i < n; i++)
        expect(make(bad_headers[i].header, ML_SLICE("{" GOOD "}"), ML_SLICE(SECRET)),
               bad_headers[i].err, bad_headers[i].why, bad_headers[i].header);
    print_message("%zu headers\n", n);
}

/* ---- Claims -----------------------------------------------------------------------------------
 */

#define CLAIMS   "the claims are not strict JSON"
#define NO_TIME  "a time is not a whole number of seconds"
#define TEXT     "iss, sub or jti is not a text of its length"
#define ISSUER   "another issuer"
#define AUDIENCE "another audience"
#define BASE     "{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"ana\""
#define CLAIM(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static const struct {
    struct ml_slice claims;
    enum ml_err err;
    const char *why;
} bad_claims[] = {
    {CLAIM("[]"), ML_EFORMAT, CLAIMS},
    {CLAIM("null"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD "} x"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD "}\0"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"sub\":\"root\"}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"s\\u0075b\":\"root\"}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"a\":{\"x\":1,\"x\":2}}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"a\":\"\xed\xa0\x80\"}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"a\":[[[[[[[[]]]]]]]]}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"a\":1e}"), ML_EFORMAT, CLAIMS},
    {CLAIM("{" GOOD ",\"a\":tru}"), ML_EFORMAT, CLAIMS},
    /* exp */
    {CLAIM(BASE "}"), ML_EDENIED, "exp is missing"},
    {CLAIM(BASE ",\"exp\":null}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":\"1700000300\"}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":1700000300.0}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":17000003e2}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":-1}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":true}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":[1700000300]}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":9007199254740993}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":99999999999999999999999}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":253402300800}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":0}"), ML_ETIMEDOUT, "expired"},
    {CLAIM(BASE ",\"exp\":-0}"), ML_ETIMEDOUT, "expired"},
    {CLAIM(BASE ",\"exp\":1699999970}"), ML_ETIMEDOUT, "expired"},
    {CLAIM(BASE ",\"exp\":1699999969}"), ML_ETIMEDOUT, "expired"},
    /* nbf, iat */
    {CLAIM(BASE ",\"exp\":1700000300,\"nbf\":1700000031}"), ML_EDENIED, "not valid yet"},
    {CLAIM(BASE ",\"exp\":1700000300,\"nbf\":\"0\"}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":1700000300,\"nbf\":0.5}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":1700000300,\"iat\":1700000031}"), ML_EDENIED, "issued in the future"},
    {CLAIM(BASE ",\"exp\":1700000300,\"iat\":\"1\"}"), ML_EFORMAT, NO_TIME},
    {CLAIM(BASE ",\"exp\":1700000300,\"iat\":-5}"), ML_EFORMAT, NO_TIME},
    /* life */
    {CLAIM(BASE ",\"exp\":1700086401,\"iat\":1700000000}"), ML_EDENIED, "lives too long"},
    {CLAIM(BASE ",\"exp\":1700086401}"), ML_EDENIED, "lives too long"},
    {CLAIM(BASE ",\"exp\":1700000300,\"iat\":0}"), ML_EDENIED, "lives too long"},
    {CLAIM(BASE ",\"exp\":253402300799}"), ML_EDENIED, "lives too long"},
    /* iss */
    {CLAIM("{\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED, ISSUER},
    {CLAIM("{\"iss\":\"\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EFORMAT, TEXT},
    {CLAIM("{\"iss\":\"Me\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     ISSUER},
    {CLAIM("{\"iss\":\"me \",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     ISSUER},
    {CLAIM("{\"iss\":\"me\\u0000\",\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"),
     ML_EDENIED, ISSUER},
    {CLAIM("{\"iss\":[\"me\"],\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EFORMAT,
     TEXT},
    {CLAIM("{\"iss\":null,\"aud\":\"here\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EFORMAT, TEXT},
    /* aud */
    {CLAIM("{\"iss\":\"me\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED, AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"there\",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":[],\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED, AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":[\"there\"],\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":[\"here\",1],\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":[[\"here\"]],\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":{\"here\":true},\"sub\":\"ana\",\"exp\":1700000300}"),
     ML_EDENIED, AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":true,\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here \",\"sub\":\"ana\",\"exp\":1700000300}"), ML_EDENIED,
     AUDIENCE},
    /* sub, jti */
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here\",\"exp\":1700000300}"), ML_EDENIED, "sub is missing"},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here\",\"sub\":\"\",\"exp\":1700000300}"), ML_EFORMAT, TEXT},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here\",\"sub\":7,\"exp\":1700000300}"), ML_EFORMAT, TEXT},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here\",\"sub\":null,\"exp\":1700000300}"), ML_EFORMAT, TEXT},
    {CLAIM("{\"iss\":\"me\",\"aud\":\"here\",\"sub\":[\"ana\"],\"exp\":1700000300}"), ML_EFORMAT,
     TEXT},
    {CLAIM("{" GOOD ",\"jti\":1}"), ML_EFORMAT, TEXT},
};

static void no_bad_claims_are_taken(void **state)
{
    size_t n = sizeof(bad_claims) / sizeof(*bad_claims);
    static char long_subject[512];

    (void)state;
    for (size_t i = 0; i < n; i++)
        expect(make("{\"alg\":\"HS256\"}", bad_claims[i].claims, ML_SLICE(SECRET)),
               bad_claims[i].err, bad_claims[i].why, (const char *)bad_claims[i].claims.ptr);
    for (int len = 256; len <= 257; len++) {
        snprintf(long_subject, sizeof(long_subject),
                 "{\"iss\":\"me\",\"aud\":\"here\",\"exp\":1700000300,\"sub\":\"%0*d\"}", len, 0);
        expect(make("{\"alg\":\"HS256\"}", ml_slice_str(long_subject), ML_SLICE(SECRET)),
               len == 256 ? ML_OK : ML_EFORMAT, NULL, "sub of 256 and 257 bytes");
    }
    print_message("%zu claims\n", n + 1);
}

/* Nothing is said about claims whose signature does not fit. */
static void a_signature_is_looked_at_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_claims) / sizeof(*bad_claims); i++)
        expect(make("{\"alg\":\"HS256\"}", bad_claims[i].claims,
                    ML_SLICE("another secret of at least 32 bytes!")),
               ML_EDENIED, "the signature does not fit", "another secret");
    expect(make("{\"alg\":\"HS256\"}", ML_SLICE("{" GOOD "}"), ML_SLICE("")), ML_EDENIED,
           "the signature does not fit", "an empty secret");
}

/* ---- Form -------------------------------------------------------------------------------------
 */

#define PARTS "not three parts in base64url"
#define H     "eyJhbGciOiJIUzI1NiJ9" /* {"alg":"HS256"} */
#define C     "e30"                  /* {} */
#define S     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const char *const bad_forms[] = {
    "",
    ".",
    "..",
    "...",
    H,
    H "." C,
    H "." C ".",
    H ".." S,
    "." C "." S,
    "." H "." C "." S,
    H "." C "." S ".",
    H "." C "." S "." S,
    H "." C "." S "=",
    H "=." C "." S,
    H "." C "=." S,
    " " H "." C "." S,
    H "." C "." S " ",
    H "." C "." S "\n",
    H " ." C "." S,
    H "." C " ." S,
    H "." C ".\t" S,
    "eyJhbGciOiJIUzI1NiJ+." C "." S,
    "eyJhbGciOiJIUzI1Ni/9." C "." S,
    "eyJhbGciOiJIUzI1NiJ." C "." S,
    "eyJhbGciOiJIUzI1N." C "." S,
    H "." C ".AAAAA",
    H "." C ".AB",
    H "." C ".A",
    H "." C "." S "\xc3\xa9",
    "Bearer " H "." C "." S,
    "{\"alg\":\"HS256\"}.{}.x",
    H "%2e" C "%2e" S,
    H "," C "," S,
    "\xef\xbb\xbf" H "." C "." S,
};

static void no_other_form_is_taken(void **state)
{
    size_t n = sizeof(bad_forms) / sizeof(*bad_forms);
    static char large[ML_TOKEN_MAX_BYTES * 2];
    struct ml_slice token;

    (void)state;
    for (size_t i = 0; i < n; i++)
        expect(ml_slice_str(bad_forms[i]), ML_EFORMAT, NULL, bad_forms[i]);
    expect(ml_slice_make(H "." C "\0." S, sizeof(H "." C "\0." S) - 1), ML_EFORMAT, NULL,
           "NUL inside");
    /* 8 KiB fit, a byte more does not */
    memset(large, ' ', sizeof(large));
    memcpy(large, "{" GOOD "}", sizeof("{" GOOD "}") - 1);
    for (size_t len = 6000;; len++) {
        token = make("{\"alg\":\"HS256\"}", ml_slice_make(large, len), ML_SLICE(SECRET));
        if (token.len > ML_TOKEN_MAX_BYTES)
            break;
        if (len % 16 == 0)
            expect(token, ML_OK, NULL, "a large token");
    }
    expect(token, ML_EFORMAT, PARTS, "over 8 KiB");
    print_message("%zu forms\n", n + 2);
}

/* SEC-JWT, 13: what is refused is many things. */
_Static_assert(sizeof(bad_headers) / sizeof(*bad_headers) >= 40, "headers");
_Static_assert(sizeof(bad_claims) / sizeof(*bad_claims) + sizeof(bad_forms) / sizeof(*bad_forms) >=
                   40,
               "malformed");
_Static_assert(sizeof(bad_headers) / sizeof(*bad_headers) +
                       sizeof(bad_claims) / sizeof(*bad_claims) +
                       sizeof(bad_forms) / sizeof(*bad_forms) >=
                   120,
               "JWT negatives");

/* ---- Confusion --------------------------------------------------------------------------------
 */

/* HS256 with the public key as the secret, in each form that a verifier might hold it. */
static void a_public_key_is_no_secret(void **state)
{
    struct ml_writer pem, jwks;

    (void)state;
    ml_writer_init(&pem, 1 << 16);
    ml_writer_init(&jwks, 1 << 16);
    for (int alg = 0; alg < ML_ALG_HS256; alg++) {
        struct ml_slice forms[2], kid = ml_keyset_kid(f.keys[alg], 0);
        struct ml_keyset *none;
        char header[256];

        ml_writer_reset(&pem);
        ml_writer_reset(&jwks);
        assert_int_equal(ml_keyset_pem(f.keys[alg], false, &pem), ML_OK);
        assert_int_equal(ml_keyset_jwks(f.keys[alg], &jwks), ML_OK);
        forms[0] = ml_writer_slice(&pem);
        forms[1] = ml_writer_slice(&jwks);
        f.rules.keys = f.keys[alg];
        snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}", ML_PRINT(kid));
        for (int i = 0; i < 2; i++) {
            expect(make(header, ML_SLICE("{" GOOD "}"), forms[i]), ML_EDENIED, NOT_KEYS,
                   "HS256 with the public key");
            expect(make("{\"alg\":\"HS256\"}", ML_SLICE("{" GOOD "}"), forms[i]), ML_ENOTFOUND,
                   NULL, "the same without kid");
            assert_int_equal(ml_keyset_secret(forms[i], (struct ml_slice){0}, &none, NULL),
                             ML_EFORMAT);
        }
    }
    ml_writer_release(&pem);
    ml_writer_release(&jwks);
}

/* Each kind, offered to each verifier. */
static void kinds_are_not_exchangeable(void **state)
{
    static const char *const kinds[] = {"", "at+jwt", "ml-ticket+jwt", "ml-invite+jwt",
                                        "ml-reset+jwt"};
    char copy[4096];

    (void)state;
    for (size_t made = 0; made < 5; made++) {
        for (size_t wanted = 0; wanted < 5; wanted++) {
            bool fits = made == wanted || (wanted == 0 && made == 1);
            struct ml_slice token;

            ml_arena_reset(&f.scratch);
            assert_int_equal(ml_token_sign(f.hs, ml_slice_str(kinds[made]), ML_SLICE("{" GOOD "}"),
                                           &f.scratch, &token),
                             ML_OK);
            memcpy(copy, token.ptr, token.len);
            token.ptr = (const uint8_t *)copy;
            f.rules.typ = ml_slice_str(kinds[wanted]);
            expect(token, fits ? ML_OK : ML_EDENIED, NULL, kinds[made]);
        }
    }
}

static void every_key_takes_only_its_own_tokens(void **state)
{
    char copy[4096];

    (void)state;
    for (int signer = 0; signer < ML_ALG_COUNT; signer++) {
        struct ml_slice token;

        ml_arena_reset(&f.scratch);
        assert_int_equal(ml_token_sign(f.keys[signer], (struct ml_slice){0}, ML_SLICE("{" GOOD "}"),
                                       &f.scratch, &token),
                         ML_OK);
        memcpy(copy, token.ptr, token.len);
        token.ptr = (const uint8_t *)copy;
        for (int reader = 0; reader < ML_ALG_COUNT; reader++) {
            f.rules.keys = f.keys[reader];
            assert_int_equal(verify(token) == ML_OK, signer == reader);
        }
    }
}

/* ---- Signing ----------------------------------------------------------------------------------
 */

static void only_strict_claims_and_private_keys_sign(void **state)
{
    static char large[16384];
    struct ml_writer pem;
    struct ml_keyset *public_only;
    struct ml_slice token;

    (void)state;
    assert_int_equal(ml_token_sign(f.hs, ML_SLICE(""), ML_SLICE("[]"), &f.scratch, &token),
                     ML_EFORMAT);
    assert_int_equal(
        ml_token_sign(f.hs, ML_SLICE(""), ML_SLICE("{\"a\":1,\"a\":2}"), &f.scratch, &token),
        ML_EFORMAT);
    assert_int_equal(
        ml_token_sign(f.hs, ML_SLICE("x\",\"alg\":\"none"), ML_SLICE("{}"), &f.scratch, &token),
        ML_EFORMAT);
    memset(large, ' ', sizeof(large));
    large[0] = '{';
    large[sizeof(large) - 1] = '}';
    assert_int_equal(
        ml_token_sign(f.hs, ML_SLICE(""), ml_slice_make(large, sizeof(large)), &f.scratch, &token),
        ML_ELIMIT);
    ml_writer_init(&pem, 1 << 16);
    assert_int_equal(ml_keyset_pem(f.keys[ML_ALG_EDDSA], false, &pem), ML_OK);
    assert_int_equal(ml_keyset_read(ml_writer_slice(&pem), ALL, &public_only, NULL), ML_OK);
    assert_int_equal(ml_token_sign(public_only, ML_SLICE(""), ML_SLICE("{}"), &f.scratch, &token),
                     ML_EDENIED);
    ml_keyset_free(public_only);
    ml_writer_release(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(every_algorithm_signs_and_verifies),
        TEST(the_example_of_the_rfc),
        TEST(what_is_in_order_is_taken),
        TEST(no_bad_header_is_taken),
        TEST(no_bad_claims_are_taken),
        TEST(a_signature_is_looked_at_first),
        TEST(no_other_form_is_taken),
        TEST(a_public_key_is_no_secret),
        TEST(kinds_are_not_exchangeable),
        TEST(every_key_takes_only_its_own_tokens),
        TEST(only_strict_claims_and_private_keys_sign),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
