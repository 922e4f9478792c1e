/* SPDX-License-Identifier: MIT */
/* What administrative commands share: their options, and the store as `serve` finds it. Private to
 * server/. */
#ifndef ML_SERVER_CMD_ADMIN_H
#define ML_SERVER_CMD_ADMIN_H

#include "server/config.h"
#include "server/keys.h"

#define ML_ADMIN_ROLES 16

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
