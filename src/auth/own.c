/* SPDX-License-Identifier: MIT */
/*
 * Our own keys, as they stand in a store:
 *
 *   base64url( nonce (12) | AES-256-GCM of: per key, the newest first, private half (32) and when
 * it was made (8, little endian) | tag (16) )
 *
 * and what a token of ours says (beside iss, aud, sub, iat, exp, jti): org, name, roles, doc.
 */
#include "auth/own.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/key_private.h"
#include "auth/strict_json.h"
#include "base/assert.h"
#include "base/base64.h"
#include "base/glob.h"

#define PRIVATE_BYTES 32
#define ROW_BYTES     (PRIVATE_BYTES + 8)
#define NONCE_BYTES   12
#define TAG_BYTES     16
#define CLAIMS_MAX    6144
#define ID_BYTES      16
#define MAC_LABEL     "moonloom: sessions"

struct ml_own_keys {
    size_t count;
    int64_t made_s[ML_OWN_KEYS];
    struct ml_keyset *each[ML_OWN_KEYS]; /* one key each, to sign with */
    struct ml_keyset *all;               /* references to the same */
    uint8_t mac_key[32];                 /* from the key that seals */
};

/* ---- Keys ------------------------------------------------------------------------------------ */

static struct ml_keyset *set_new(void)
{
    return calloc(1, sizeof(struct ml_keyset) + ML_KEYS_MAX * sizeof(struct ml_key));
}

static void set_add(struct ml_keyset *set, const struct ml_key *key)
{
    EVP_PKEY_up_ref(key->pkey);
    set->keys[set->count++] = *key;
}

/* Takes over `set`, also on failure. */
static bool add(struct ml_own_keys *keys, struct ml_keyset *set, int64_t made_s)
{
    if (!set)
        return false;
    keys->each[keys->count] = set;
    keys->made_s[keys->count++] = made_s;
    if (!keys->all)
        keys->all = set_new();
    if (keys->all)
        set_add(keys->all, &set->keys[0]);
    return keys->all != NULL;
}

void ml_own_keys_free(struct ml_own_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        ml_keyset_free(keys->each[i]);
    ml_keyset_free(keys->all);
    OPENSSL_cleanse(keys->mac_key, sizeof keys->mac_key);
    free(keys);
}

enum ml_err ml_own_keys_rotate(const struct ml_own_keys *old, int64_t now_s,
                               struct ml_own_keys **out)
{
    struct ml_own_keys *keys = calloc(1, sizeof *keys);
    struct ml_keyset *fresh = NULL, *kept;
    bool ok = keys && !ml_keyset_generate(ML_ALG_EDDSA, &fresh) && add(keys, fresh, now_s);

    if (ok && old) {
        kept = set_new();
        if (kept)
            set_add(kept, &old->each[0]->keys[0]);
        ok = add(keys, kept, old->made_s[0]);
    }
    if (!ok) {
        ml_own_keys_free(keys);
        return ML_ELIMIT;
    }
    *out = keys;
    return ML_OK;
}

enum ml_err ml_own_keys_make(int64_t now_s, struct ml_own_keys **out)
{
    return ml_own_keys_rotate(NULL, now_s, out);
}

const struct ml_keyset *ml_own_keys_all(const struct ml_own_keys *keys)
{
    return keys->all;
}

int64_t ml_own_keys_made_s(const struct ml_own_keys *keys, size_t index)
{
    return index < keys->count ? keys->made_s[index] : 0;
}

/* [O1] */
static const struct ml_keyset *signer(const struct ml_own_keys *keys, int64_t now_s)
{
    return keys->count > 1 && now_s - keys->made_s[0] < ML_OWN_SPREAD_S ? keys->each[1]
                                                                        : keys->each[0];
}

/* ---- Sealed ---------------------------------------------------------------------------------- */

static bool encrypt(const uint8_t *seal_key, const uint8_t *plain, size_t len, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    bool ok =
        ctx && RAND_bytes(out, NONCE_BYTES) == 1 &&
        EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, seal_key, out) == 1 &&
        EVP_EncryptUpdate(ctx, out + NONCE_BYTES, &n, plain, (int)len) == 1 &&
        EVP_EncryptFinal_ex(ctx, out + NONCE_BYTES + n, &rest) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + NONCE_BYTES + len) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return ok && n == (int)len && rest == 0;
}

static bool decrypt(const uint8_t *seal_key, uint8_t *sealed, size_t len, uint8_t *plain)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, seal_key, sealed) == 1 &&
              EVP_DecryptUpdate(ctx, plain, &n, sealed + NONCE_BYTES, (int)len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES,
                                  sealed + NONCE_BYTES + len) == 1 &&
              EVP_DecryptFinal_ex(ctx, plain + n, &rest) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum ml_err ml_own_keys_seal(const struct ml_own_keys *keys,
                             const uint8_t seal_key[ML_OWN_SEAL_BYTES], struct ml_writer *out)
{
    uint8_t plain[ML_OWN_KEYS * ROW_BYTES], sealed[sizeof plain + NONCE_BYTES + TAG_BYTES];
    size_t len = keys->count * ROW_BYTES, chars;
    bool ok = true;

    for (size_t i = 0; i < keys->count && ok; i++) {
        uint8_t *row = plain + i * ROW_BYTES;
        size_t size = PRIVATE_BYTES;

        ok = EVP_PKEY_get_raw_private_key(keys->each[i]->keys[0].pkey, row, &size) == 1 &&
             size == PRIVATE_BYTES;
        for (size_t b = 0; b < 8; b++)
            row[PRIVATE_BYTES + b] = (uint8_t)((uint64_t)keys->made_s[i] >> (8 * b));
    }
    ok = ok && encrypt(seal_key, plain, len, sealed);
    OPENSSL_cleanse(plain, sizeof plain);
    if (!ok)
        return ML_EIO;
    len += NONCE_BYTES + TAG_BYTES;
    chars = ml_base64_len(len, ML_BASE64URL);
    if (!ml_writer_reserve(out, chars))
        return ML_ELIMIT;
    ml_base64_put(ml_slice_make(sealed, len), ML_BASE64URL, (char *)out->ptr + out->len);
    out->len += chars;
    return ML_OK;
}

/* One key of a stored row. */
static struct ml_keyset *set_of(const uint8_t *row)
{
    struct ml_keyset *set = set_new();
    struct ml_key *key;

    if (!set)
        return NULL;
    key = &set->keys[0];
    set->count = 1;
    key->alg = ML_ALG_EDDSA;
    key->has_private = true;
    key->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, row, PRIVATE_BYTES);
    if (key->pkey && ml_key_set_kid(key))
        return set;
    ml_keyset_free(set);
    return NULL;
}

enum ml_err ml_own_keys_open(struct ml_slice text, const uint8_t seal_key[ML_OWN_SEAL_BYTES],
                             struct ml_own_keys **out)
{
    uint8_t sealed[ML_OWN_SEALED_MAX], plain[ML_OWN_SEALED_MAX];
    struct ml_own_keys *keys;
    size_t len = 0;
    bool ok = true;

    if (!text.len || ml_base64_max(text.len) > sizeof sealed ||
        !ml_base64_get(text, ML_BASE64URL, sealed, &len) ||
        len < NONCE_BYTES + TAG_BYTES + ROW_BYTES)
        return ML_EFORMAT;
    len -= NONCE_BYTES + TAG_BYTES;
    if (len % ROW_BYTES || len / ROW_BYTES > ML_OWN_KEYS)
        return ML_EFORMAT;
    if (!decrypt(seal_key, sealed, len, plain))
        return ML_EDENIED;
    keys = calloc(1, sizeof *keys);
    for (size_t i = 0; keys && ok && i < len / ROW_BYTES; i++) {
        const uint8_t *row = plain + i * ROW_BYTES;
        uint64_t made_s = 0;

        for (size_t b = 0; b < 8; b++)
            made_s |= (uint64_t)row[PRIVATE_BYTES + b] << (8 * b);
        ok = add(keys, set_of(row), (int64_t)made_s);
    }
    OPENSSL_cleanse(plain, sizeof plain);
    if (keys && ok) {
        unsigned size = sizeof keys->mac_key;

        ok = HMAC(EVP_sha256(), seal_key, ML_OWN_SEAL_BYTES, (const uint8_t *)MAC_LABEL,
                  sizeof MAC_LABEL - 1, keys->mac_key, &size) != NULL;
    }
    if (!keys || !ok) {
        ml_own_keys_free(keys);
        return ML_ELIMIT;
    }
    *out = keys;
    return ML_OK;
}

void ml_own_mac(const struct ml_own_keys *keys, const char *label, struct ml_slice text,
                char out[65])
{
    const struct ml_slice parts[] = {ml_slice_str(label), text};
    char message[65];
    uint8_t mac[32];
    unsigned size = sizeof mac;

    ml_digest_hex(parts, 2, message, 64);
    ML_ASSERT(HMAC(EVP_sha256(), keys->mac_key, sizeof keys->mac_key, (const uint8_t *)message, 64,
                   mac, &size));
    for (size_t i = 0; i < sizeof mac; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

void ml_own_setup_token(const struct ml_own_keys *keys, char out[65])
{
    ml_own_mac(keys, "setup", ML_SLICE("first account"), out);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static const struct kind {
    const char *typ;
    int64_t life_max_s;
} kinds[ML_OWN_KINDS] = {
    [ML_OWN_ACCESS] = {"at+jwt", ML_OWN_LIFE_MAX_S},
    [ML_OWN_TICKET] = {"ml-ticket+jwt", ML_OWN_TICKET_MAX_S},
    [ML_OWN_INVITE] = {"ml-invite+jwt", ML_OWN_INVITE_MAX_S},
    [ML_OWN_GUEST] = {"ml-guest+jwt", ML_OWN_LINK_MAX_S},
};

static void put(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void put_text(struct ml_writer *out, struct ml_slice text)
{
    char escape[8];

    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c < 0x20 || c == '"' || c == '\\') {
            (void)snprintf(escape, sizeof escape, "\\u%04x", c);
            put(out, escape);
        } else {
            ml_write_u8(out, c);
        }
    }
    ml_write_u8(out, '"');
}

static void put_member(struct ml_writer *out, const char *name, struct ml_slice text)
{
    if (!text.len)
        return;
    put(out, ",\"");
    put(out, name);
    put(out, "\":");
    put_text(out, text);
}

static void put_claims(struct ml_writer *out, const struct ml_own_token *token)
{
    struct ml_slice role;
    char times[96];
    size_t cursor = 0;
    bool first = true;

    put(out, "{\"iss\":\"" ML_OWN_ISSUER "\",\"aud\":");
    put_text(out, ml_slice_str(kinds[token->kind].typ));
    (void)snprintf(times, sizeof times, ",\"iat\":%lld,\"exp\":%lld", (long long)token->issued_s,
                   (long long)token->expires_s);
    put(out, times);
    put_member(out, "jti", token->id);
    put_member(out, "sub", token->user);
    put_member(out, "org", token->org);
    put_member(out, "name", token->name);
    put_member(out, "doc", token->doc);
    put_member(out, "sid", token->session);
    if (token->until_s) {
        (void)snprintf(times, sizeof times, ",\"until\":%lld", (long long)token->until_s);
        put(out, times);
    }
    put(out, ",\"roles\":[");
    while (ml_identity_next(token->roles, &cursor, &role)) {
        if (!first)
            put(out, ",");
        first = false;
        put_text(out, role);
    }
    put(out, "]}");
}

/* 128 random bits as hex digits, in the arena. */
static struct ml_slice make_id(struct ml_arena *arena)
{
    uint8_t bytes[ID_BYTES];
    char *text = ml_arena_alloc(arena, 2 * ID_BYTES + 1);

    if (!text || RAND_bytes(bytes, sizeof bytes) != 1)
        return ml_slice_make(NULL, 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return ml_slice_make(text, 2 * ID_BYTES);
}

enum ml_err ml_own_mint(const struct ml_own_keys *keys, struct ml_own_token *token, int64_t now_s,
                        struct ml_arena *scratch, struct ml_slice *text_out)
{
    const struct kind *kind = &kinds[token->kind];
    struct ml_writer claims;
    enum ml_err err;

    if (!token->user.len || !ml_org_is_valid(token->org))
        return ML_EFORMAT;
    if (token->user.len > ML_TOKEN_SUBJECT_MAX || token->doc.len > ML_OWN_PATTERN_MAX ||
        token->expires_s <= now_s || token->expires_s - now_s > kind->life_max_s)
        return ML_ELIMIT;
    token->issued_s = now_s;
    token->id = make_id(scratch);
    if (!token->id.ptr)
        return ML_ELIMIT;
    ml_writer_init(&claims, CLAIMS_MAX);
    put_claims(&claims, token);
    err = claims.err ? ML_ELIMIT
                     : ml_token_sign(signer(keys, now_s), ml_slice_str(kind->typ),
                                     ml_writer_slice(&claims), scratch, text_out);
    ml_writer_release(&claims);
    return err;
}

/* SEC-JWT-07: a list of texts, or nothing. */
static bool read_roles(const struct ml_strict_node *root, char out[512])
{
    const struct ml_strict_node *roles = ml_strict_get(root, "roles");

    out[0] = '\0';
    if (!roles || roles->kind != ML_STRICT_ARRAY)
        return !roles;
    for (const struct ml_strict_node *n = roles->child; n; n = n->next) {
        if (n->kind != ML_STRICT_STRING)
            return false;
        ml_identity_add(out, n->text);
    }
    return true;
}

static int64_t read_until(const struct ml_strict_node *root)
{
    const struct ml_strict_node *until = ml_strict_get(root, "until");
    int64_t until_s = 0;

    return until && ml_strict_integer(until, &until_s) && until_s > 0 ? until_s : 0;
}

enum ml_err ml_own_verify(const struct ml_own_keys *keys, enum ml_own_kind kind,
                          struct ml_slice text, int64_t now_s, struct ml_arena *scratch,
                          struct ml_own_token *token_out)
{
    const struct ml_token_rules rules = {
        .keys = keys->all,
        .algs = ML_ALG_BIT(ML_ALG_EDDSA),
        .typ = ml_slice_str(kinds[kind].typ),
        .issuer = ML_SLICE(ML_OWN_ISSUER),
        .audience = ml_slice_str(kinds[kind].typ),
        .now_s = now_s,
        .leeway_s = ML_TOKEN_LEEWAY_S,
        .life_max_s = (uint32_t)kinds[kind].life_max_s,
        .needs_subject = true,
    };
    const struct ml_strict_node *root;
    struct ml_token token;
    enum ml_err err = ml_token_verify(text, &rules, scratch, &token, NULL);

    *token_out = (struct ml_own_token){.kind = kind};
    if (err)
        return err;
    if (ml_strict_parse(token.claims, scratch, &root) || !read_roles(root, token_out->roles))
        return ML_EFORMAT;
    token_out->user = token.subject;
    token_out->id = token.id;
    token_out->issued_s = token.issued_s;
    token_out->expires_s = token.expires_s;
    token_out->org = ml_strict_text(root, "org");
    token_out->name = ml_strict_text(root, "name");
    token_out->doc = ml_strict_text(root, "doc");
    token_out->session = ml_strict_text(root, "sid");
    token_out->until_s = read_until(root);
    /* A pattern that is there and no text must not become "all". */
    if (ml_strict_get(root, "doc") && !token_out->doc.len)
        return ML_EFORMAT;
    return ml_org_is_valid(token_out->org) ? ML_OK : ML_EFORMAT;
}

bool ml_own_covers(const struct ml_own_token *token, struct ml_slice org, struct ml_slice document)
{
    if (!ml_slice_equal(token->org, org))
        return false;
    if (!token->doc.len)
        return true;
    /* Only an access token says a pattern. */
    return document.len && (token->kind == ML_OWN_ACCESS ? ml_glob_match(token->doc, document)
                                                         : ml_slice_equal(token->doc, document));
}

/* ---- Keys of programs ------------------------------------------------------------------------ */

static bool is_hex(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.ptr[i] >= '0' && text.ptr[i] <= '9') &&
            !(text.ptr[i] >= 'a' && text.ptr[i] <= 'f'))
            return false;
    return true;
}

bool ml_api_key_read(struct ml_slice text, struct ml_slice *id_out,
                     char hash_out[ML_API_KEY_HASH + 1])
{
    if (text.len != ML_API_KEY_LEN || memcmp(text.ptr, "ml_", 3) != 0 ||
        text.ptr[3 + ML_API_KEY_ID_LEN] != '_' ||
        !is_hex(ml_slice_make(text.ptr + 3, ML_API_KEY_ID_LEN)) ||
        !is_hex(ml_slice_make(text.ptr + 4 + ML_API_KEY_ID_LEN, 64)))
        return false;
    *id_out = ml_slice_make(text.ptr + 3, ML_API_KEY_ID_LEN);
    ml_digest_hex(&text, 1, hash_out, ML_API_KEY_HASH);
    return true;
}

bool ml_api_key_make(char text_out[ML_API_KEY_LEN + 1], char hash_out[ML_API_KEY_HASH + 1])
{
    uint8_t bytes[ML_API_KEY_ID_LEN / 2 + 32];
    char *at = text_out;
    struct ml_slice id;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    memcpy(at, "ml_", 3);
    at += 3;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == ML_API_KEY_ID_LEN / 2)
            *at++ = '_';
        (void)snprintf(at, 3, "%02x", bytes[i]);
        at += 2;
    }
    *at = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    return ml_api_key_read(ml_slice_str(text_out), &id, hash_out);
}
