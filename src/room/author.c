/* SPDX-License-Identifier: MIT */
/* Authors: who a member is, as plugins are told; shared by all that it wrote, longer than its seat.
 */
#include "room/conflict.h"

#include "room/live.h"

#include <stdlib.h>

#define ROLES_MAX 32

struct ml_who {
    unsigned refs;
    struct ml_identity identity;
    struct ml_slice roles[ROLES_MAX], groups[ROLES_MAX];
    struct ml_scope scope; /* borrows from the above */
};

static size_t take_names(const char *list, struct ml_slice *out)
{
    size_t cursor = 0, count = 0;

    while (count < ROLES_MAX && ml_identity_next(list, &cursor, &out[count]))
        count++;
    return count;
}

struct ml_who *ml_who_new(const struct ml_identity *identity)
{
    struct ml_who *who = calloc(1, sizeof *who);

    if (!who)
        return NULL;
    who->refs = 1;
    who->identity = *identity;
    who->scope = (struct ml_scope){
        .user = ml_slice_str(who->identity.user),
        .user_name = ml_slice_str(who->identity.name),
        .session = ml_slice_str(who->identity.session),
        .roles = who->roles,
        .role_count = take_names(who->identity.roles, who->roles),
        .groups = who->groups,
        .group_count = take_names(who->identity.groups, who->groups),
    };
    if (who->identity.kind[0])
        who->scope.kind = ml_slice_str(who->identity.kind);
    return who;
}

/** Who a member is, as hooks are told. NULL: out of memory. */
const struct ml_scope *ml_member_author(struct ml_member *member)
{
    if (!member->who)
        member->who = ml_who_new(&member->identity);
    return member->who ? &member->who->scope : NULL;
}

struct ml_who *ml_who_ref(struct ml_who *who)
{
    if (who)
        who->refs++;
    return who;
}

void ml_who_unref(struct ml_who *who)
{
    if (who && !--who->refs)
        free(who);
}

const struct ml_scope *ml_who_scope(const struct ml_who *who)
{
    return &who->scope;
}
