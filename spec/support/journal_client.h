/* SPDX-License-Identifier: MIT */
/*
 * A journal as tests like it: one call asks, waits and answers. Beneath it is an ordinary caller
 * with a loop of its own.
 */
#ifndef ML_SPEC_SUPPORT_JOURNAL_CLIENT_H
#define ML_SPEC_SUPPORT_JOURNAL_CLIENT_H

#include "journal/journal.h"

struct journal_client {
    uv_loop_t loop;
    struct ml_journal *journal;
    char folder[64];
    char path[128]; /* of the database file, in `folder` */
    char url[256];  /* of its PostgreSQL database; "": none made yet */
};

/** Where temporary folders are made; NULL: /tmp. */
extern const char *client_folder;
/** A temporary folder and a loop; no journal yet. */
void client_init(struct journal_client *client);
/** Closes the journal if it is open, removes the folder. */
void client_release(struct journal_client *client);
/** Answers what opening answered. */
enum ml_err client_open_sqlite(struct journal_client *client);
enum ml_err client_open_memory(struct journal_client *client);
/** In a database of its own on the server of spec/support/with-postgres. */
enum ml_err client_open_postgres(struct journal_client *client);
void client_close(struct journal_client *client);

/** Which of those the suites run on: "memory", "sqlite", "postgres". False: another word. */
bool client_choose(const char *kind);
/** The chosen one. */
extern enum ml_err (*client_open)(struct journal_client *client);
/** Set-up and tear-down of a test: *state is a client with an empty journal. */
int client_begin(void **state);
int client_end(void **state);

/** Turn the loop until *flag. */
void client_wait(struct journal_client *client, const bool *flag);

/** One append that owns its records; `answered` when done. */
struct append_case {
    struct ml_append append;
    struct ml_record records[16];
    bool answered;
    unsigned turn; /* the how-manieth answer this was, counted by append_turns */
};
extern unsigned append_turns;

/** To org "default" unconditionally; the rest is set by hand or with the next one. */
void append_init(struct append_case *c, const char *name);
/** One more record with these bytes; `session` NULL: no key. The case owns the blob. */
void append_add(struct append_case *c, const char *text, const char *session, uint64_t message_no);
void append_release(struct append_case *c);
void append_send(struct journal_client *client, struct append_case *c);
enum ml_err append_run(struct journal_client *client, struct append_case *c);

/** Append `count` records ("name 1" …) without keys; asserts that it works. Answers the head. */
uint64_t client_append_some(struct journal_client *client, const char *name, unsigned count);

/** Loads; the caller releases. max_snapshot_seq and after_seq as in ml_load. */
enum ml_err client_load(struct journal_client *client, const char *name, uint64_t max_snapshot_seq,
                        uint64_t after_seq, struct ml_load *load);
enum ml_err client_put_snapshot(struct journal_client *client, const char *name, uint64_t seq,
                                uint64_t epoch, struct ml_slice state, uint32_t keep);

#endif
