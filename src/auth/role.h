/* SPDX-License-Identifier: MIT */
/* Names of roles, which holds more than which, and what each may do. Part of auth.h. */
#ifndef ML_AUTH_ROLE_H
#define ML_AUTH_ROLE_H

#include "base/arena.h"
#include "base/slice.h"

struct ml_grant;
struct ml_grant_rule;

#define ML_ROLE_NAME_MAX 64

/** Each holds what the ones before it hold. */
enum ml_role {
    ML_ROLE_NONE,
    ML_ROLE_VIEWER,
    ML_ROLE_COMMENTER,
    ML_ROLE_SUGGESTER,
    ML_ROLE_EDITOR,
    ML_ROLE_OWNER,
    ML_ROLE_ADMIN,
};

/** ML_ROLE_NONE: not one of ours; plugins may know it. */
enum ml_role ml_role_named(struct ml_slice name);
/** Empty: ML_ROLE_NONE. */
struct ml_slice ml_role_name(enum ml_role role);
/** `[A-Za-z0-9_.-]{1,64}` */
bool ml_role_name_is_valid(struct ml_slice name);
/** The highest of a list as in ml_identity.roles. */
enum ml_role ml_role_highest(const char *list);

/* Where commenters and suggesters write, if nobody says something else. */
#define ML_ROLE_COMMENTS    "comments/{user}/**"
#define ML_ROLE_SUGGESTIONS "suggestions/{user}/**"
#define ML_ROLE_PROPOSALS   "**"
#define ML_ROLE_ADDED       "insertion"
#define ML_ROLE_REMOVED     "deletion"

/**
 * Where commenters and suggesters write, who may write nowhere else. Patterns of paths; `{user}` is
 * the one who asks. Borrowed. Zero fields: as above.
 */
struct ml_role_rights {
    const char *const *comments;
    size_t comment_count;
    const char *const *suggestions; /* of suggesters as well */
    size_t suggestion_count;
    const char *const *proposals; /* texts in which suggesters propose by marks */
    size_t proposal_count;
    const char *added, *removed; /* those marks */
};

/**
 * What a role may do. False: there is no memory, or too much stands in `rights`.
 * @param arena  holds grant->rules
 */
bool ml_role_grant(enum ml_role role, const struct ml_role_rights *rights, struct ml_slice user,
                   struct ml_arena *arena, struct ml_grant *out);
/**
 * Where commenters and suggesters write, as rules; they borrow from `rights`.
 * @return how many; 0: another role, or more than `room`
 */
size_t ml_role_rules(enum ml_role role, const struct ml_role_rights *rights,
                     struct ml_grant_rule *at, size_t room);
/**
 * May somebody with the roles `held` give `wanted`? No more than they hold: ours by their order,
 * others only by having the same one.
 */
bool ml_role_may_give(const char *held, struct ml_slice wanted);

#endif
