/* SPDX-License-Identifier: MIT */
/*
 * What plugins keep: keys and values, and a queue of jobs. Part of journal.h: it stands in the same
 * database as the records and uses the same threads, doors and answers.
 *
 * Keys belong to an org, an instance and a space ("kv", "once", "cron"); they sort by bytes. Every
 * write of an org gets a rev larger than all before it, so a rev that is the same means that
 * nothing was written. What has expired is absent.
 *
 * A job is queued, taken (with a lease: if nobody says what became of it, it is due again when the
 * lease is over), or dead. `try` counts how often it was taken and is the proof that a lease is
 * still one's own.
 */
#ifndef ML_JOURNAL_STORE_H
#define ML_JOURNAL_STORE_H

#define ML_STORE_KEY_MAX    512u
#define ML_STORE_VALUE_MAX  (256u << 10)
#define ML_STORE_PAGE_MAX   1000u
#define ML_STORE_PAGE_BYTES (1u << 20)
#define ML_JOB_ID_LEN       32u

struct ml_store_pair {
    struct ml_slice key, value;
    uint64_t rev;
};

struct ml_store_job {
    struct ml_slice org, instance, name, key, args, why; /* why: of the last failure */
    char id[ML_JOB_ID_LEN + 1];
    uint32_t try;
    int64_t queued_ms, due_ms, leased_until_ms, dead_ms; /* 0: not */
};

enum ml_store_look {
    ML_STORE_GET,
    ML_STORE_SCAN,
    ML_STORE_JOBS,
    /* What the documents of `org` are together: one pair. key: how many that are not deleted,
     * value: bytes of records and snapshots, deleted ones included, both in digits. Costs a look at
     * every document of the org. */
    ML_STORE_USAGE,
};

/** Look. */
struct ml_store_read {
    /* request */
    enum ml_store_look look;
    struct ml_slice org, instance, space;
    struct ml_slice key;   /* get: that one; scan: the prefix; jobs: only with this id, or empty */
    struct ml_slice after; /* scan: keys behind it; jobs: ids behind it */
    size_t limit;          /* 1 … ML_STORE_PAGE_MAX */
    bool only_dead;        /* jobs */
    int64_t now_ms;
    void (*done)(struct ml_store_read *read);
    /* result: freed by ml_store_read_release */
    enum ml_err err; /* ML_OK, also if there is nothing; ML_EIO */
    struct ml_store_pair *pairs;
    struct ml_store_job *jobs;
    size_t count;
    bool more;
    struct ml_diag diag;
    /* private */
    struct ml_arena arena; /* what the result stands in */
    struct ml_journal_node node;
};
void ml_store_read_release(struct ml_store_read *read);

enum ml_store_act {
    ML_STORE_CHECK,  /* key has `rev`, 0: is absent */
    ML_STORE_RANGE,  /* prefix `key`, behind `value`, up to `upto` (empty: all) has `count` keys,
                        the newest of `rev` */
    ML_STORE_SET,    /* key, value, ttl_ms */
    ML_STORE_DELETE, /* key; rev_out 1: it was there */
    ML_STORE_INCR,   /* key, number, ttl_ms; number_out: the sum */
    ML_STORE_PUSH,   /* a job: key (its name), value (args), upto (its key), due_ms; id_out */
    ML_STORE_TAKE,   /* up to `count` jobs that are due, for ttl_ms; alone in its write */
    ML_STORE_DONE,   /* the job `key` of try `rev` */
    ML_STORE_RETRY,  /* the same: due at due_ms; value: why; count 1: the try does not count */
    ML_STORE_DEAD,   /* the same; value: why */
    ML_STORE_REVIVE, /* a dead job `key` is due now, as if new */
    ML_STORE_FREE /* every lease ends: whoever held one is gone; nothing where nodes share the store
                   */
};

struct ml_store_item {
    enum ml_store_act act;
    struct ml_slice key, value, upto;
    struct ml_slice instance;    /* push: whose job; empty: of the write's instance */
    uint64_t rev, count, ttl_ms; /* ttl_ms 0: for ever */
    double number;
    int64_t due_ms; /* 0: now */
    /* result */
    double number_out;
    uint64_t rev_out;
    char id_out[ML_JOB_ID_LEN + 1];
};

/** All or nothing. */
struct ml_store_write {
    /* request: everything lives until `done` */
    struct ml_slice org, instance, space;
    struct ml_store_item *items;
    size_t count;
    int64_t now_ms;
    void (*done)(struct ml_store_write *write);
    /* result */
    enum ml_err err; /* ML_ECONFLICT: something is not as it was seen, or the lease is another's;
                        ML_EFORMAT: incr of what is no number; ML_EIO: outcome unknown */
    uint64_t rev;
    struct ml_store_job *jobs; /* taken; freed by ml_store_write_release */
    size_t job_count;
    struct ml_diag diag;
    /* private */
    struct ml_arena arena;
    struct ml_journal_node node;
};
void ml_store_write_release(struct ml_store_write *write);

void ml_store_look(struct ml_journal *journal, struct ml_store_read *read);
void ml_store_commit(struct ml_journal *journal, struct ml_store_write *write);

#endif
