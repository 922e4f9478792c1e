/* SPDX-License-Identifier: MIT */
/*
 * ml.crypto on OpenSSL. Long inputs are taken 64 KiB at a time, with a look at the time limit in
 * between; contexts belong to the state (one set, used again), so an error loses nothing.
 *
 * A sealed text:
 *
 *   1        24       n            16
 *   +-----+--------+------------+-----+
 *   | 01h | random | ciphertext | tag |     AES-256-GCM, nonce zero, associated data: context
 *   +-----+--------+------------+-----+
 *             |
 *             +-- key of this one text: HMAC-SHA256(key of the org, "moonloom seal 1" || random)
 *
 * A key of its own for each text, so that 2^32 of them are no limit and random numbers of 12 bytes
 * never meet.
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/state.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/assert.h"

#define CHUNK         (64u * 1024)
#define HASH_BYTES    32
#define BLOCK_BYTES   64
#define RANDOM_MAX    65536
#define SEAL_VERSION  1
#define SEAL_RANDOM   24
#define SEAL_TAG      16
#define SEAL_HEAD     (1 + SEAL_RANDOM)
#define SEAL_OVERHEAD (SEAL_HEAD + SEAL_TAG)
#define CONTEXT_MAX   1024

static const char tools_key; /* its address is the registry key */

struct tools {
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    EVP_MD_CTX *digest;
    EVP_CIPHER_CTX *cipher;
};

static struct tools *tools_of(lua_State *L)
{
    struct tools *tools;

    lua_pushlightuserdata(L, (void *)(uintptr_t)&tools_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    tools = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return tools;
}

static void must(lua_State *L, bool ok)
{
    if (!ok)
        luaL_error(L, "ml.crypto: the cryptographic library failed");
}

/* Take `bytes` into the digest, a piece at a time. */
static void take(lua_State *L, const struct tools *tools, struct ml_slice bytes)
{
    while (bytes.len) {
        size_t n = bytes.len < CHUNK ? bytes.len : CHUNK;

        must(L, EVP_DigestUpdate(tools->digest, bytes.ptr, n) == 1);
        bytes = ml_slice_make(bytes.ptr + n, bytes.len - n);
        if (bytes.len)
            ml_budget_check(&ml_script_of(L)->budget, L);
    }
}

static void begin(lua_State *L, const struct tools *tools)
{
    must(L, EVP_DigestInit_ex2(tools->digest, tools->sha256, NULL) == 1);
}

static void finish(lua_State *L, const struct tools *tools, uint8_t out[HASH_BYTES])
{
    must(L, EVP_DigestFinal_ex(tools->digest, out, NULL) == 1);
}

/* ---- Digests ----------------------------------------------------------------------------------
 */

/* sha256(bytes) -> 32 bytes   [may raise] */
static int sha256(lua_State *L)
{
    struct ml_slice bytes = ml_lib_data(L, 1, "ml.crypto.sha256");
    const struct tools *tools = tools_of(L);
    uint8_t hash[HASH_BYTES];

    begin(L, tools);
    take(L, tools, bytes);
    finish(L, tools, hash);
    lua_pushlstring(L, (const char *)hash, sizeof(hash));
    return 1;
}

/* RFC 2104 over up to two parts. */
static void hmac_of(lua_State *L, struct ml_slice key, struct ml_slice a, struct ml_slice b,
                    uint8_t out[HASH_BYTES])
{
    const struct tools *tools = tools_of(L);
    uint8_t block[BLOCK_BYTES] = {0};

    if (key.len > BLOCK_BYTES) {
        begin(L, tools);
        take(L, tools, key);
        finish(L, tools, block);
    } else if (key.len) {
        memcpy(block, key.ptr, key.len);
    }
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= 0x36;
    begin(L, tools);
    take(L, tools, ml_slice_make(block, BLOCK_BYTES));
    take(L, tools, a);
    take(L, tools, b);
    finish(L, tools, out);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= 0x36 ^ 0x5c;
    begin(L, tools);
    take(L, tools, ml_slice_make(block, BLOCK_BYTES));
    take(L, tools, ml_slice_make(out, HASH_BYTES));
    finish(L, tools, out);
    OPENSSL_cleanse(block, sizeof(block));
}

/* hmac(key, bytes) -> 32 bytes, HMAC-SHA256   [may raise] */
static int hmac(lua_State *L)
{
    struct ml_slice key = ml_lib_key(L, 1, "ml.crypto.hmac: key");
    struct ml_slice bytes = ml_lib_data(L, 2, "ml.crypto.hmac");
    uint8_t out[HASH_BYTES];

    if (key.len == 0)
        luaL_error(L, "ml.crypto.hmac: the key is empty");
    hmac_of(L, key, bytes, (struct ml_slice){0}, out);
    lua_pushlstring(L, (const char *)out, sizeof(out));
    return 1;
}

/* same(a, b) -> boolean, in a time that only the lengths decide   [may raise] */
static int same(lua_State *L)
{
    struct ml_slice a = ml_lib_key(L, 1, "ml.crypto.same"), b = ml_lib_key(L, 2, "ml.crypto.same");

    lua_pushboolean(L, a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
    return 1;
}

/* ---- Random -----------------------------------------------------------------------------------
 */

/* random(n) -> n bytes   [may raise] */
static int random_(lua_State *L)
{
    double n = luaL_checknumber(L, 1);
    uint8_t *out;

    if (!(n >= 1 && n <= RANDOM_MAX) || n != (double)(int)n)
        luaL_error(L, "ml.crypto.random: 1 to %d bytes", RANDOM_MAX);
    out = lua_newuserdata(L, (size_t)n);
    must(L, RAND_bytes(out, (int)n) == 1);
    lua_pushlstring(L, (const char *)out, (size_t)n);
    OPENSSL_cleanse(out, (size_t)n);
    return 1;
}

/* uuid7() -> text; sorts by the server's time (RFC 9562) */
static int uuid7(lua_State *L)
{
    uint64_t ms = (uint64_t)ml_script_of(L)->wall_ms();
    uint8_t id[16];
    char text[37];
    int at = 0;

    must(L, RAND_bytes(id, sizeof(id)) == 1);
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (id[6] & 0x0f) | 0x70;
    id[8] = (id[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%02x",
                       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    lua_pushlstring(L, text, (size_t)at);
    return 1;
}

/* ---- seal, open -------------------------------------------------------------------------------
 */

/* The key of one text into `key`; the random part stands at `random`. */
static void key_of(lua_State *L, const uint8_t *random, uint8_t key[HASH_BYTES])
{
    const struct ml_script *script = ml_script_of(L);

    if (!script->has_seal_key)
        luaL_error(L, "ml.crypto.seal: this server has no key for sealing (set MOONLOOM_SEAL_KEY)");
    hmac_of(L, ml_slice_make(script->seal_key, sizeof(script->seal_key)),
            ML_SLICE("moonloom seal 1"), ml_slice_make(random, SEAL_RANDOM), key);
}

static struct ml_slice check_context(lua_State *L, const char *what)
{
    struct ml_slice context = {0};

    if (!lua_isnoneornil(L, 2))
        context = ml_lib_data(L, 2, what);
    if (context.len > CONTEXT_MAX)
        luaL_error(L, "%s: a context of at most %d bytes", what, CONTEXT_MAX);
    return context;
}

/* Run the cipher over `from` into `to`, a piece at a time. */
static void run_cipher(lua_State *L, const struct tools *tools, struct ml_slice from, uint8_t *to)
{
    while (from.len) {
        size_t n = from.len < CHUNK ? from.len : CHUNK;
        int written;

        must(L, EVP_CipherUpdate(tools->cipher, to, &written, from.ptr, (int)n) == 1);
        to += n;
        from = ml_slice_make(from.ptr + n, from.len - n);
        if (from.len)
            ml_budget_check(&ml_script_of(L)->budget, L);
    }
}

static void begin_cipher(lua_State *L, const struct tools *tools, const uint8_t *random,
                         struct ml_slice context, bool seals)
{
    static const uint8_t nonce[12] = {0};
    uint8_t key[HASH_BYTES];
    int ok, n;

    key_of(L, random, key);
    ok = EVP_CipherInit_ex2(tools->cipher, tools->gcm, key, nonce, seals, NULL);
    OPENSSL_cleanse(key, sizeof(key));
    must(L, ok == 1);
    if (context.len)
        must(L, EVP_CipherUpdate(tools->cipher, NULL, &n, context.ptr, (int)context.len) == 1);
}

/* seal(bytes [, context]) -> bytes that `open` of the same org and context reads   [may raise] */
static int seal(lua_State *L)
{
    struct ml_slice bytes = ml_lib_data(L, 1, "ml.crypto.seal");
    struct ml_slice context = check_context(L, "ml.crypto.seal");
    const struct tools *tools = tools_of(L);
    uint8_t *out = lua_newuserdata(L, bytes.len + SEAL_OVERHEAD);
    uint8_t end[16];
    int n;

    out[0] = SEAL_VERSION;
    must(L, RAND_bytes(out + 1, SEAL_RANDOM) == 1);
    begin_cipher(L, tools, out + 1, context, true);
    run_cipher(L, tools, bytes, out + SEAL_HEAD);
    must(L, EVP_CipherFinal_ex(tools->cipher, end, &n) == 1);
    must(L, EVP_CIPHER_CTX_ctrl(tools->cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG,
                                out + SEAL_HEAD + bytes.len) == 1);
    EVP_CIPHER_CTX_reset(tools->cipher);
    lua_pushlstring(L, (const char *)out, bytes.len + SEAL_OVERHEAD);
    return 1;
}

/* open(sealed [, context]) -> bytes | nil, kind, text   [may raise] */
static int open_(lua_State *L)
{
    struct ml_slice sealed = ml_lib_data(L, 1, "ml.crypto.open");
    struct ml_slice context = check_context(L, "ml.crypto.open");
    const struct tools *tools = tools_of(L);
    uint8_t *out, end[16], tag[SEAL_TAG];
    size_t len;
    int n, ok;

    if (sealed.len < SEAL_OVERHEAD || sealed.ptr[0] != SEAL_VERSION)
        return ml_lib_fails(L, "EFORMAT", "not a sealed text");
    len = sealed.len - SEAL_OVERHEAD;
    out = lua_newuserdata(L, len + 1);
    begin_cipher(L, tools, sealed.ptr + 1, context, false);
    memcpy(tag, sealed.ptr + SEAL_HEAD + len, SEAL_TAG);
    must(L, EVP_CIPHER_CTX_ctrl(tools->cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, tag) == 1);
    run_cipher(L, tools, ml_slice_make(sealed.ptr + SEAL_HEAD, len), out);
    ok = EVP_CipherFinal_ex(tools->cipher, end, &n);
    EVP_CIPHER_CTX_reset(tools->cipher);
    if (ok != 1) {
        OPENSSL_cleanse(out, len);
        return ml_lib_fails(L, "EDENIED", "sealed elsewhere, for another context, or changed");
    }
    lua_pushlstring(L, (const char *)out, len);
    return 1;
}

/* ---- Signatures -------------------------------------------------------------------------------
 */

/* ed25519_verify(public_key, bytes, signature) -> boolean   [may raise] */
static int ed25519_verify(lua_State *L)
{
    struct ml_slice key = ml_lib_data(L, 1, "ml.crypto.ed25519_verify: public key");
    struct ml_slice bytes = ml_lib_data(L, 2, "ml.crypto.ed25519_verify");
    struct ml_slice signature = ml_lib_data(L, 3, "ml.crypto.ed25519_verify: signature");
    EVP_PKEY *public_key;
    EVP_MD_CTX *context;
    bool ok;

    if (key.len != 32)
        luaL_error(L, "ml.crypto.ed25519_verify: a public key has 32 bytes");
    if (bytes.len > 1 << 20)
        luaL_error(L, "ml.crypto.ed25519_verify: at most 1 MiB");
    public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key.ptr, key.len);
    context = EVP_MD_CTX_new();
    ok = public_key && context && signature.len == 64 &&
         EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1 &&
         EVP_DigestVerify(context, signature.ptr, signature.len, bytes.ptr, bytes.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public_key);
    lua_pushboolean(L, ok);
    return 1;
}

const luaL_Reg ml_lib_crypto[] = {
    {"sha256", sha256}, {"hmac", hmac}, {"same", same},  {"random", random_},
    {"uuid7", uuid7},   {"seal", seal}, {"open", open_}, {"ed25519_verify", ed25519_verify},
    {NULL, NULL},
};

void ml_lib_org_key(struct ml_slice server_key, struct ml_slice org, uint8_t out[HASH_BYTES])
{
    static const char label[] = "moonloom org key 1:";
    uint8_t text[sizeof(label) + 256];
    size_t len = sizeof(label) - 1;
    unsigned out_len = 0;

    if (org.len > 256)
        org.len = 256;
    memcpy(text, label, len);
    if (org.len)
        memcpy(text + len, org.ptr, org.len);
    ML_ASSERT(HMAC(EVP_sha256(), server_key.ptr, (int)server_key.len, text, len + org.len, out,
                   &out_len) &&
              out_len == HASH_BYTES);
}

/* ---- A new state ------------------------------------------------------------------------------
 */

static int free_tools(lua_State *L)
{
    struct tools *tools = lua_touserdata(L, 1);

    EVP_CIPHER_CTX_free(tools->cipher);
    EVP_MD_CTX_free(tools->digest);
    EVP_CIPHER_free(tools->gcm);
    EVP_MD_free(tools->sha256);
    return 0;
}

/* The text of a secret takes the place of its handle, in this frame of C only. */
struct ml_slice ml_lib_key(lua_State *L, int arg, const char *what)
{
    if (lua_istable(L, arg)) {
        ml_shipped_require(L, "moonloom.schema");
        lua_getfield(L, -1, "reveal");
        lua_pushvalue(L, arg);
        lua_call(L, 1, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            lua_replace(L, arg);
        else
            lua_pop(L, 1);
        lua_pop(L, 1);
    }
    return ml_lib_data(L, arg, what);
}

void ml_lib_open(lua_State *L)
{
    struct tools *tools;

    lua_pushlightuserdata(L, (void *)(uintptr_t)&tools_key);
    tools = lua_newuserdata(L, sizeof(*tools));
    *tools = (struct tools){0};
    lua_newtable(L);
    lua_pushcfunction(L, free_tools);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    tools->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    tools->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    tools->digest = EVP_MD_CTX_new();
    tools->cipher = EVP_CIPHER_CTX_new();
    must(L, tools->sha256 && tools->gcm && tools->digest && tools->cipher);
}
