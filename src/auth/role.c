/* SPDX-License-Identifier: MIT */
#include "auth/auth.h"

static const struct row {
    const char *name;
    unsigned may;
} rows[] = {
    [ML_ROLE_NONE] = {"", 0},
    [ML_ROLE_VIEWER] = {"viewer", ML_MAY_READ | ML_MAY_PRESENCE},
    [ML_ROLE_COMMENTER] = {"commenter", ML_MAY_READ | ML_MAY_PRESENCE | ML_MAY_MESSAGE},
    [ML_ROLE_SUGGESTER] = {"suggester",
                           ML_MAY_READ | ML_MAY_PRESENCE | ML_MAY_MESSAGE | ML_MAY_HISTORY},
    [ML_ROLE_EDITOR] = {"editor", ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE | ML_MAY_MESSAGE |
                                      ML_MAY_HISTORY},
    [ML_ROLE_OWNER] = {"owner", ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE | ML_MAY_MESSAGE |
                                    ML_MAY_HISTORY},
    [ML_ROLE_ADMIN] = {"admin", ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE | ML_MAY_MESSAGE |
                                    ML_MAY_HISTORY},
};

enum ml_role ml_role_named(struct ml_slice name)
{
    for (unsigned i = ML_ROLE_VIEWER; i <= ML_ROLE_ADMIN; i++)
        if (ml_slice_equal(name, ml_slice_str(rows[i].name)))
            return (enum ml_role)i;
    return ML_ROLE_NONE;
}

struct ml_slice ml_role_name(enum ml_role role)
{
    return ml_slice_str(rows[role].name);
}

bool ml_role_name_is_valid(struct ml_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i], low = c | 0x20;

        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' &&
            c != '-')
            return false;
    }
    return name.len >= 1 && name.len <= ML_ROLE_NAME_MAX;
}

enum ml_role ml_role_highest(const char *list)
{
    enum ml_role highest = ML_ROLE_NONE;
    struct ml_slice name;
    size_t cursor = 0;

    while (ml_identity_next(list, &cursor, &name)) {
        enum ml_role role = ml_role_named(name);

        highest = role > highest ? role : highest;
    }
    return highest;
}

/* ---- What it may do ----------------------------------------------------------------------------
 */

struct rules {
    struct ml_grant_rule *at;
    size_t room, count;
};

static bool add_rules(struct rules *rules, const char *const *patterns, size_t count,
                      const char *usual, const struct ml_role_rights *proposes)
{
    if (!count) {
        patterns = &usual;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (rules->count == rules->room)
            return false;
        rules->at[rules->count++] =
            (struct ml_grant_rule){.kinds = UINT32_MAX,
                                   .proposes = proposes != NULL,
                                   .pattern = ml_slice_str(patterns[i]),
                                   .code = ml_slice_str(!proposes         ? ""
                                                        : proposes->added ? proposes->added
                                                                          : ML_ROLE_ADDED),
                                   .reason = ml_slice_str(!proposes           ? ""
                                                          : proposes->removed ? proposes->removed
                                                                              : ML_ROLE_REMOVED)};
    }
    return true;
}

size_t ml_role_rules(enum ml_role role, const struct ml_role_rights *rights,
                     struct ml_grant_rule *at, size_t room)
{
    struct rules rules = {.at = at, .room = room};

    if (role != ML_ROLE_COMMENTER && role != ML_ROLE_SUGGESTER)
        return 0;
    if (!add_rules(&rules, rights->comments, rights->comment_count, ML_ROLE_COMMENTS, NULL))
        return 0;
    if (role == ML_ROLE_SUGGESTER &&
        (!add_rules(&rules, rights->suggestions, rights->suggestion_count, ML_ROLE_SUGGESTIONS,
                    NULL) ||
         !add_rules(&rules, rights->proposals, rights->proposal_count, ML_ROLE_PROPOSALS, rights)))
        return 0;
    return rules.count;
}

bool ml_role_grant(enum ml_role role, const struct ml_role_rights *rights, struct ml_slice user,
                   struct ml_arena *arena, struct ml_grant *out)
{
    struct ml_grant_rule *rules;
    size_t count;

    *out = (struct ml_grant){.may = rows[role].may};
    if (role != ML_ROLE_COMMENTER && role != ML_ROLE_SUGGESTER)
        return true;
    rules = ml_arena_array(arena, ML_GRANT_RULES_MAX, sizeof *rules);
    count = rules ? ml_role_rules(role, rights, rules, ML_GRANT_RULES_MAX) : 0;
    if (!count)
        return false;
    out->may |= ML_MAY_WRITE;
    return ml_grant_compile(arena, rules, count, user, &out->rules);
}

bool ml_role_may_give(const char *held, struct ml_slice wanted)
{
    enum ml_role role = ml_role_named(wanted);
    struct ml_slice name;
    size_t cursor = 0;

    if (role)
        return role <= ml_role_highest(held);
    while (ml_identity_next(held, &cursor, &name))
        if (ml_slice_equal(name, wanted))
            return true;
    return false;
}
