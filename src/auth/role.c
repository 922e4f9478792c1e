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

unsigned ml_role_may(enum ml_role role)
{
    return rows[role].may;
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
