/* SPDX-License-Identifier: MIT */
/*
 * A token becomes an identity and a grant. This version knows open mode, what plugins answer, and
 * signed tokens and their keys; accounts join it here.
 */
#ifndef ML_AUTH_AUTH_H
#define ML_AUTH_AUTH_H

#include "base/arena.h"
#include "base/slice.h"

/** Who it is. Fixed size, so that a member holds its own copy and nothing dangles. */
struct ml_identity {
    char user[256]; /* id; "" is nobody */
    char name[128];
    char session[40];      /* id of this connection, random: idempotency key of its records */
    int64_t expires_at_ms; /* 0: never */
    char kind[12];         /* "user", "guest", "service"; empty: unknown */
    /* Names, each ended by a line feed; what does not fit is left out. */
    char roles[512], groups[512];
    /* What others see of it; empty: nothing is known. */
    char color[8];     /* #rrggbb */
    char avatar[256];  /* an address */
    bool names_itself; /* nobody vouches for the name: it may say another one */
    bool is_passing;   /* nobody knows whether it is the same person next time */
};

/* What an identity may do with one document. */
enum ml_may {
    ML_MAY_READ = 1 << 0,
    ML_MAY_WRITE = 1 << 1,
    ML_MAY_PRESENCE = 1 << 2,
    ML_MAY_MESSAGE = 1 << 3,
    ML_MAY_HISTORY = 1 << 4,
    /* In questions only: with ML_MAY_WRITE, not just in places. For what no rule looks at. */
    ML_MAY_EVERYWHERE = 1 << 5,
};

struct ml_grant {
    unsigned may;     /* bits of ml_may */
    int64_t until_ms; /* monotonic; 0: as long as the session */
    /** With ML_MAY_WRITE: where, as ml_grant_compile wrote it; empty: everywhere. Borrowed: who
     * keeps a grant keeps the rules. */
    struct ml_slice rules;
};

/** One line of what may be written where. */
struct ml_grant_rule {
    bool bars;               /* takes away, whoever gave it */
    uint32_t kinds;          /* bits; what they mean is the caller's business */
    struct ml_slice pattern; /* of paths; {user} is the id of the one it is about; empty: all */
    struct ml_slice code, reason; /* of a rule that bars: what its writer is told */
    bool proposes; /* only by marks in texts: `code` on what comes, `reason` on what goes */
};

#define ML_GRANT_RULES_MAX       256
#define ML_GRANT_RULES_MAX_BYTES (64u << 10)

/** The edit that is asked about. */
struct ml_grant_edit {
    uint32_t kinds;                   /* bits that it has */
    struct ml_slice path, path_by_id; /* the key included; .ptr NULL: no other one */
};

/** Rules as bytes, in the arena. No rule allows nothing. False: too long, or no memory. */
bool ml_grant_compile(struct ml_arena *arena, const struct ml_grant_rule *rules, size_t count,
                      struct ml_slice user, struct ml_slice *out);
/** May it be written, as far as the rules say? If one bars it, they tell which: else empty. */
bool ml_grant_allows_edit(const struct ml_grant *grant, const struct ml_grant_edit *edit,
                          struct ml_slice *code_out, struct ml_slice *reason_out);
/** May it be proposed, and by which marks? For what is not allowed, and not barred. */
bool ml_grant_allows_proposal(const struct ml_grant *grant, const struct ml_grant_edit *edit,
                              struct ml_slice *added_out, struct ml_slice *removed_out);

/** Is there anything that it only lets propose? */
bool ml_grant_proposes(const struct ml_grant *grant);

static inline bool ml_grant_allows(const struct ml_grant *grant, unsigned what)
{
    unsigned may = grant->may | (grant->rules.len ? 0u : (unsigned)ML_MAY_EVERYWHERE);

    return (may & what) == what;
}

/** Open mode: a guest like no other, `guest-` and eight hex digits, with a fresh session id. */
void ml_identity_guest(struct ml_identity *out);
/** Copies; what is too long is cut at a character. Gives it a fresh session id. */
void ml_identity_make(struct ml_identity *out, struct ml_slice user, struct ml_slice name,
                      int64_t expires_at_ms);
/** Put a name into `list` (out->roles, out->groups), if it is one and there is room. */
void ml_identity_add(char list[512], struct ml_slice name);
/** Walk such a list: `*cursor` starts at 0; false at the end. Borrows. */
bool ml_identity_next(const char *list, size_t *cursor, struct ml_slice *out);
/** Everything an editor may do. */
struct ml_grant ml_grant_editor(void);

/* Addresses (contract 4). */

/** `[a-z0-9][a-z0-9-]{0,62}` */
bool ml_org_is_valid(struct ml_slice org);
/** 1–512 bytes of UTF-8 in NFC, no control bytes, not "." or "..". */
bool ml_document_name_is_valid(struct ml_slice name);

/** 32 bytes. */
void ml_sha256(struct ml_slice text, uint8_t out[32]);
/**
 * The first `digits` hex digits (64 at most) of the SHA-256 of these texts, each with its length
 * before it, so that no two lists of texts are the same bytes. `out` has room for one more.
 */
void ml_digest_hex(const struct ml_slice *parts, size_t count, char *out, size_t digits);

#include "auth/account.h" /* people with a password */
#include "auth/key.h"     /* keys */
#include "auth/own.h"     /* our own keys and tokens */
#include "auth/role.h"    /* roles */
#include "auth/token.h"   /* signed tokens */

#endif
