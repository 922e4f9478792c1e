/* SPDX-License-Identifier: MIT */
/* What administrative commands share: their options, and the store as `serve` finds it. Private to
 * server/. */
#ifndef ML_SERVER_CMD_ADMIN_H
#define ML_SERVER_CMD_ADMIN_H

#include "server/config.h"
#include "server/keys.h"

#define ML_ADMIN_ROLES 16

/** An option of a command: a word that stands alone (is_set), or has a value, or (count) several.
 */
struct ml_flag {
    const char *name; /* "--org"; NULL ends a list */
    bool *is_set;
    const char **value;
    size_t *count, max;
};

/** What is no option of the command. */
struct ml_flags_rest {
    const char *word; /* neither an option nor the value of one; NULL: none */
    char **argv;      /* options of the configuration, each with its value; to be freed */
    int argc;
};

/** False: a second word, too many of one option, or no memory. `rest` is to be freed in any case.
 */
bool ml_flags_read(int argc, char **argv, const struct ml_flag *flags, struct ml_flags_rest *out);

struct ml_admin_arguments {
    const char *org, *user, *name, *doc, *ttl;
    const char *roles[ML_ADMIN_ROLES];
    size_t role_count;
    bool is_json, force, password_stdin;
    const char *word; /* what is neither an option nor its value */
    char **rest;      /* for the configuration */
    int rest_count;
};

/* A store, opened for one command. */
struct ml_admin {
    struct ml_config config;
    uv_loop_t loop;
    struct ml_journal *journal;
    uint8_t seal_key[ML_SEAL_KEY_BYTES];
    bool has_seal_key;
};

/** To standard error; `more` may be NULL. Answers `status`. */
int ml_admin_complain(int status, const char *text, const char *more);
/** What belongs to the configuration goes to `rest`, which is the caller's to free. */
bool ml_admin_read(int argc, char **argv, struct ml_admin_arguments *a);
/** Not 0: said why, and nothing is open. */
int ml_admin_open(struct ml_admin *o, const struct ml_admin_arguments *a);
void ml_admin_close(struct ml_admin *o);

#endif
