/* SPDX-License-Identifier: MIT */
/*
 * What a role may do is said twice, since neither folder knows the other: auth/role.c for whom the
 * server knows, script/api.c for what ml.grant{ role = … } answers. They have to agree.
 */
#include "../script/world.h"

#include "auth/auth.h"

#include <string.h>

/* A plugin that gives the role that the document is named after. */
static enum ml_err given_by_plugins(struct world *w, struct ml_slice role,
                                    struct ml_script_grant *out)
{
    struct ml_script_identity identity = {
        .user = ML_SLICE("ana"), .name = ML_SLICE("Ana"), .kind = ML_SLICE("user")};
    struct ml_script_ask ask = {ML_SLICE("doc.open"), ML_SLICE("acme"), role, &identity};

    EXPECT(w, !ml_script_authorize(w->script, &ask, &w->scratch, world_keep_access, w));
    *out = w->access.grant;
    return w->access.err;
}

static void begin(struct world *w)
{
    world_init(w);
    world_plugin(w, "roles", "phase = \"auth\", hooks = { authorize = {} }",
                 "local ml = require 'moonloom'\n"
                 "local P = {}\n"
                 "function P:authorize(ask) return ml.grant { role = ask.doc_id } end\n"
                 "return P\n");
    world_start(w);
    EXPECT(w, w->script);
}

static unsigned bits_of(const struct ml_script_grant *grant)
{
    return (grant->read ? ML_MAY_READ : 0u) | (grant->write ? ML_MAY_WRITE : 0u) |
           (grant->presence ? ML_MAY_PRESENCE : 0u) | (grant->messages ? ML_MAY_MESSAGE : 0u) |
           (grant->history ? ML_MAY_HISTORY : 0u);
}

static void plugins_give_a_role_what_the_server_gives_it(void **state)
{
    static const struct ml_role_rights usual;
    struct world world, *w = &world;

    (void)state;
    begin(w);
    for (unsigned role = ML_ROLE_NONE + 1; role <= ML_ROLE_ADMIN; role++) {
        struct ml_slice name = ml_role_name((enum ml_role)role);
        struct ml_script_grant given;
        struct ml_grant own;
        bool in_places;

        EXPECT(w, ml_role_grant((enum ml_role)role, &usual, ML_SLICE("ana"), &w->scratch, &own));
        if (given_by_plugins(w, name, &given) != ML_OK)
            fail_msg("%.*s: plugins cannot give it\n%s", ML_PRINT(name), w->log);
        if (bits_of(&given) != own.may)
            fail_msg("%.*s: the server gives %#x, plugins %#x", ML_PRINT(name), own.may,
                     bits_of(&given));
        /* Who writes in places only: there it is left to the server to say where. */
        in_places = given.write_count == 1 && ml_slice_equal(given.writes[0].role, name);
        if (in_places != (own.rules.len > 0) || given.write_count > in_places)
            fail_msg("%.*s: written in places by one of them only", ML_PRINT(name));
    }
    world_release(w);
}

/* Every name that plugins may say stands in the error about one that they may not. */
static void plugins_know_no_role_that_the_server_does_not(void **state)
{
    static const char start[] = "role is ";
    struct world world, *w = &world;
    struct ml_script_grant given;
    unsigned known = 0;
    char *at;

    (void)state;
    begin(w);
    EXPECT(w, given_by_plugins(w, ML_SLICE("robot"), &given) == ML_ESCRIPT);
    at = strstr(w->log, start);
    EXPECT(w, at);
    at += sizeof start - 1;
    at[strcspn(at, "\n")] = '\0';
    for (char *word = strtok(at, ", "); word; word = strtok(NULL, ", ")) {
        if (strcmp(word, "or") == 0)
            continue;
        if (!ml_role_named(ml_slice_str(word)))
            fail_msg("the server has no role \"%s\"", word);
        known++;
    }
    assert_int_equal(known, ML_ROLE_ADMIN - ML_ROLE_NONE);
    EXPECT(w, given_by_plugins(w, ML_SLICE("Editor"), &given) == ML_ESCRIPT);
    world_release(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_give_a_role_what_the_server_gives_it),
        cmocka_unit_test(plugins_know_no_role_that_the_server_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
