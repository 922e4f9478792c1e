/* SPDX-License-Identifier: MIT */
/*
 * The server's own keys (Ed25519), and the tokens that are signed with them. Part of auth.h.
 *
 *  [O1] While keys are changed there are two: both check, and the newer one signs as soon as every
 *       node has had the time to read it (ML_OWN_SPREAD_S).
 *  [O2] A token is of one kind; the verifier says which it takes, and no kind passes for another.
 */
#ifndef ML_AUTH_OWN_H
#define ML_AUTH_OWN_H

#include "auth/token.h"

#define ML_OWN_KEYS         2
#define ML_OWN_SPREAD_S     30
#define ML_OWN_LIFE_MAX_S   900 /* of an access token */
#define ML_OWN_TICKET_MAX_S 60
#define ML_OWN_LINK_MAX_S   (366 * 86400)
#define ML_OWN_INVITE_MAX_S (30 * 86400)
#define ML_OWN_SEAL_BYTES   32
#define ML_OWN_SEALED_MAX   1024
#define ML_OWN_PATTERN_MAX  512
#define ML_OWN_ISSUER       "moonloom"

struct ml_own_keys;

enum ml_err ml_own_keys_make(int64_t now_s, struct ml_own_keys **out) ML_MUST_CHECK;
/** A new key beside the newest of `old`; what was older goes. */
enum ml_err ml_own_keys_rotate(const struct ml_own_keys *old, int64_t now_s,
                               struct ml_own_keys **out) ML_MUST_CHECK;
/** As text in base64url, readable only with this key (AES-256-GCM). */
enum ml_err ml_own_keys_seal(const struct ml_own_keys *keys,
                             const uint8_t seal_key[ML_OWN_SEAL_BYTES],
                             struct ml_writer *out) ML_MUST_CHECK;
/** @retval ML_EDENIED  sealed with another key, or changed · ML_EFORMAT  not such a text */
enum ml_err ml_own_keys_open(struct ml_slice text, const uint8_t seal_key[ML_OWN_SEAL_BYTES],
                             struct ml_own_keys **out) ML_MUST_CHECK;
void ml_own_keys_free(struct ml_own_keys *keys);
/** All that check; the newest first. */
const struct ml_keyset *ml_own_keys_all(const struct ml_own_keys *keys);
/** HMAC-SHA256 in hex under a key that does not change when the signing keys do. `keys` was opened,
 * not only made. */
void ml_own_mac(const struct ml_own_keys *keys, const char *label, struct ml_slice text,
                char out[65]);
/** What the link says that a server without accounts prints; the same for all its nodes. */
void ml_own_setup_token(const struct ml_own_keys *keys, char out[65]);
/** When the `index`th was made, seconds since 1970. */
int64_t ml_own_keys_made_s(const struct ml_own_keys *keys, size_t index);

enum ml_own_kind { ML_OWN_ACCESS, ML_OWN_TICKET, ML_OWN_INVITE, ML_OWN_GUEST, ML_OWN_KINDS };

/** What a token says. Verified: slices in the scratch arena. */
struct ml_own_token {
    enum ml_own_kind kind;
    struct ml_slice org, user, name;
    struct ml_slice doc;     /* access: a pattern of names; others: one name; empty: all */
    char roles[512];         /* as in ml_identity */
    struct ml_slice session; /* of a login: the handle of its family; of a link; or empty */
    struct ml_slice id;      /* random; set by mint */
    int64_t issued_s, expires_s;
    int64_t until_s; /* of a ticket: when the access ends that it stands for; 0: not said */
};

/**
 * Sign. `expires_s` decides how long it lives, up to what its kind allows.
 * @retval ML_ELIMIT  lives too long, or a text is too long · ML_EFORMAT not UTF-8, no user or org
 */
enum ml_err ml_own_mint(const struct ml_own_keys *keys, struct ml_own_token *token, int64_t now_s,
                        struct ml_arena *scratch, struct ml_slice *text_out) ML_MUST_CHECK;
/** @retval  as ml_token_verify */
enum ml_err ml_own_verify(const struct ml_own_keys *keys, enum ml_own_kind kind,
                          struct ml_slice text, int64_t now_s, struct ml_arena *scratch,
                          struct ml_own_token *token_out) ML_MUST_CHECK;
/** Is it about this document? Empty: the org as a whole, which only tokens for all documents are.
 */
bool ml_own_covers(const struct ml_own_token *token, struct ml_slice org, struct ml_slice document);

/* Keys of programs (API keys): `ml_`, sixteen hex digits of an id, `_`, 64 of a secret. */
#define ML_API_KEY_ID_LEN 16
#define ML_API_KEY_LEN    (3 + ML_API_KEY_ID_LEN + 1 + 64)
#define ML_API_KEY_HASH   64

/** NUL-terminated. `hash_out`: what is stored, the SHA-256 of the whole text. */
bool ml_api_key_make(char text_out[ML_API_KEY_LEN + 1], char hash_out[ML_API_KEY_HASH + 1]);
/** Has it the form of one? Then its id, and the hash of the whole. */
bool ml_api_key_read(struct ml_slice text, struct ml_slice *id_out,
                     char hash_out[ML_API_KEY_HASH + 1]);

#endif
