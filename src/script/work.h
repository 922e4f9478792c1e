/* SPDX-License-Identifier: MIT */
/*
 * The work hooks: rpc, routes, jobs, cron. Functions with names, found by them, run as calls that
 * may wait. Who takes a job or a run, and when, is decided outside. Part of script.h.
 */
#ifndef ML_SCRIPT_WORK_H
#define ML_SCRIPT_WORK_H

enum ml_work_kind {
    ML_WORK_RPC,
    ML_WORK_ROUTE,
    ML_WORK_JOB,
    ML_WORK_CRON,
    ML_WORK_TASK,
    ML_WORK_KINDS
};

#define ML_WORK_PARAMS_MAX 8u

/** What a manifest says about one of them. Lives as long as the script's state. */
struct ml_work {
    enum ml_work_kind kind;
    struct ml_slice instance; /* "webhook/crm" */
    struct ml_slice name;     /* "deliver", "GET /report/:doc", "review.lock" */
    const struct ml_slice *roles;
    size_t role_count; /* 0: whoever is signed in */
    /* jobs */
    uint32_t retries, concurrency, timeout_ms;
    uint64_t backoff_first_ms, backoff_last_ms;
    /* cron */
    bool is_singleton, runs_missed;
    uint64_t jitter_ms;
    /* routes */
    bool is_public, checks_csrf, is_cacheable;
    uint64_t max_body;
    /* rpc */
    bool wants_doc;
};

size_t ml_script_work_count(const struct ml_script *script);
/** NULL beyond the count. */
const struct ml_work *ml_script_work(const struct ml_script *script, size_t i);
/** NULL: nobody has that name. An empty instance: any (rpc names are unique). */
const struct ml_work *ml_script_find_work(const struct ml_script *script, enum ml_work_kind kind,
                                          struct ml_slice instance, struct ml_slice name);
/** The route of `instance` for this path ("/report/notes"); what `:name` stands for goes to
 * `params` (at most ML_WORK_PARAMS_MAX). */
const struct ml_work *ml_script_find_route(const struct ml_script *script, struct ml_slice instance,
                                           struct ml_slice method, struct ml_slice path,
                                           struct ml_script_pair *params, size_t *param_count_out);
/**
 * Hooks that are told of later, until they have heard it (document_deleted, audit, org_created …):
 * each is a job "@NAME" of its instance. The `i`th instance with that hook whose documents
 * `document` is one of (empty: any); false: there are no more.
 */
bool ml_script_later(const struct ml_script *script, const char *hook, struct ml_slice document,
                     size_t i, struct ml_slice *instance_out);
/** Is its instance up? Not while its setup waits, or after that has failed. */
bool ml_work_is_up(const struct ml_work *work);
/** When a cron entry is due next after that time; 0: never, or it cannot be said. */
int64_t ml_script_cron_next(struct ml_script *script, const struct ml_work *work, int64_t after_ms);

/** What it is called with; borrowed until the call returns. */
struct ml_work_input {
    struct ml_slice args_json;                 /* jobs, rpc */
    struct ml_slice id;                        /* jobs */
    uint32_t try;                              /* jobs */
    int64_t at_ms;                             /* jobs: queued; cron: due */
    const struct ml_script_identity *identity; /* rpc, routes; NULL: nobody */
    struct ml_slice document, session;         /* rpc */
    struct ml_slice org;                       /* rpc: of the document */
    const struct ml_script_grant *grant; /* rpc: what `identity` may there; NULL: none asked */
    /* rpc with wants_doc: lent until the call first waits, so longer than this call; NULL: none */
    const struct ml_doc *doc;
    struct ml_doc_port *port;                /* of `doc` */
    const struct ml_script_request *request; /* routes */
    const struct ml_script_pair *params;     /* routes */
    size_t param_count;
    struct ml_slice body;              /* routes */
    const struct ml_script_moment *at; /* tasks: the document */
};

enum ml_work_end {
    ML_WORK_DONE,
    ML_WORK_DENIED,   /* rpc: denial */
    ML_WORK_REFUSED,  /* rpc: nil, kind, text; args that do not fit */
    ML_WORK_AGAIN,    /* jobs: text says why, after_ms 0: by backoff */
    ML_WORK_GIVEN_UP, /* jobs: text says why */
    ML_WORK_FAILED,   /* it raised, or took too long; text for the log only */
};

/** Borrowed for the call of `done`. */
struct ml_work_output {
    enum ml_work_end end;
    struct ml_denial denial;
    struct ml_slice kind, text;
    uint64_t after_ms;
    struct ml_slice value; /* rpc: JSON; routes: the body */
    uint32_t status;       /* routes */
    const struct ml_script_pair *headers;
    size_t header_count;
};
typedef void (*ml_work_done)(void *arg, const struct ml_work_output *output);

/**
 * Do it. `done` runs exactly once, maybe before this returns. Answers an id for ml_script_cancel,
 * 0 if it is over already.
 */
uint64_t ml_script_do(struct ml_script *script, const struct ml_work *work,
                      const struct ml_work_input *input, ml_work_done done, void *arg);

#endif
