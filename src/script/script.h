/* SPDX-License-Identifier: MIT */
/*
 * Lua runs, within bounds. Loads plugins (manifest, config, code), keeps them in a sandbox, calls
 * their hooks through one function under a time, instruction and memory budget, and combines
 * several answers into one (plugin-api: first, veto, fold, merge, each). Knows nothing of rooms and
 * sockets: it is handed facts and answers with decisions.
 *
 * One ml_script belongs to one loop thread. No function here waits; answers borrow from the scratch
 * arena. Hooks that may wait park, and what they wait for comes back through port.h.
 *
 * A plugin that is enabled but cannot run is failing, never absent: its hooks answer by their
 * failure mode (refuse: ML_ESCRIPT for access hooks; hold: ML_ESCRIPT for update hooks; skip and
 * default elsewhere).
 */
#ifndef ML_SCRIPT_SCRIPT_H
#define ML_SCRIPT_SCRIPT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/slice.h"
#include "engine/engine.h"
#include "script/coverage.h"
#include "script/decision.h"
#include "script/document.h"
#include "script/draft.h"
#include "script/ledger.h"
#include "script/noted.h"
#include "script/port.h"
#include "script/shared.h"

struct ml_script;

/* ---- Start and stop -------------------------------------------------------------------------- */

struct ml_script_limits {
    uint32_t hook_ms;    /* hard deadline of a no-wait hook; 0: 10 */
    size_t memory_bytes; /* of the Lua state; 0: 16 MiB */
    double cpu;          /* share of a core, over 10 s; 0: no limit */
};

struct ml_source;

/** One instance: a plugin that is switched on, with its configuration. */
struct ml_script_plugin {
    struct ml_slice name;        /* of the instance: "webhook", "webhook/crm" */
    struct ml_slice config_json; /* an object, or empty */
    struct ml_slice folder;      /* of the plugin; empty: the name up to its '/' */
    const struct ml_slice *docs; /* only for documents that match one of these; NULL: all */
    size_t doc_count;
    bool is_shadow;                 /* its answers are counted and not used */
    bool is_unwatched;              /* its failures bring no earlier deployment back */
    uint32_t generation;            /* 0: 1 */
    struct ml_slice version;        /* of the plugin; may be empty */
    const struct ml_source *source; /* NULL: read from plugins_dir, or what ships */
};

struct ml_script_options {
    struct ml_slice
        plugins_dir; /* holds NAME/plugin.lua and NAME/init.lua; empty: only built-in ones */
    const struct ml_script_plugin *plugins;
    size_t plugin_count;
    struct ml_script_limits limits;
    void (*log)(void *arg, int level, struct ml_slice plugin, struct ml_slice message);
    void *log_arg;
    int64_t (*wall_ms)(void);       /* for ml.time.now; NULL: the real clock */
    uint64_t (*mono_ms)(void);      /* for the breaker and ml.time.mono; NULL: the real clock */
    struct ml_shared_store *shared; /* cache, rates, messages of the node; NULL: none */
    struct ml_script_port port;     /* what plugins may wait for; all NULL: nothing */
    struct ml_ledger *ledger;       /* counts calls per instance and hook; NULL: nobody does */
    struct ml_slice lua_dir;  /* moonloom/NAME.lua there override the built-in ones; empty: none */
    struct ml_slice org;      /* whose state this is: self.org.id; empty: nobody's */
    struct ml_slice org_json; /* what else self.org has, an object; or empty */
    struct ml_slice order_json;   /* hook -> names, in the operator's order; or empty */
    struct ml_slice secrets_json; /* name -> text, for secret://NAME in configurations; or empty */
    bool keeps_text;              /* the flight recorder may keep what people wrote */
    bool has_late_setup;          /* setup runs in ml_script_setup, and not yet */
    bool keep_failing;        /* plugins that cannot be brought up make a script whose hooks fail */
    struct ml_slice seal_key; /* for ml.crypto.seal: 32 bytes, of the org; in
                                 ml_cells_options the server's; empty: none */
};

/**
 * Load all plugins. A broken one (manifest, config, code) fails start-up with a message for a
 * person: file, field, value, rule, nearest known name.
 */
enum ml_err ml_script_new(const struct ml_script_options *options, struct ml_diag *diag,
                          struct ml_script **script_out) ML_MUST_CHECK;
void ml_script_free(struct ml_script *script);
/**
 * Of a script with has_late_setup, on the loop that it belongs to.
 * @retval ML_EBUSY  some instance waits: ask again after ticks
 */
enum ml_err ml_script_setup(struct ml_script *script, struct ml_diag *diag) ML_MUST_CHECK;

/* ---- Tokens ------------------------------------------------------------------------------------
 */

struct ml_script_jwt_rules {
    unsigned algs;                         /* bits, as alg_bit answers them */
    struct ml_slice issuer, audience, typ; /* empty: any; typ: that of a plain token */
    int64_t now_s;
    uint32_t leeway_s, life_max_s; /* life_max_s 0: any */
};

/** What ml.jwt needs: auth's tokens, which script does not know. None of it waits or keeps state.
 */
struct ml_script_jwt {
    unsigned (*alg_bit)(struct ml_slice name); /* 0: no such algorithm */
    enum ml_err (*keys_read)(struct ml_slice text, unsigned algs, void **keys_out,
                             struct ml_diag *diag);
    void (*keys_free)(void *keys);
    enum ml_err (*verify)(const void *keys, struct ml_slice token,
                          const struct ml_script_jwt_rules *rules, struct ml_arena *scratch,
                          struct ml_slice *claims_out, const char **why_out);
    enum ml_err (*sign)(const void *keys, unsigned algs, struct ml_slice typ,
                        struct ml_slice claims, struct ml_arena *scratch,
                        struct ml_slice *token_out);
};

/** For all scripts of this process: once, before the first. Without it ml.jwt raises. */
void ml_script_use_jwt(const struct ml_script_jwt *jwt);

/* A bit per hook that somebody registered: zero costs one test. */
enum ml_hook {
    ML_HOOK_AUTHENTICATE = 1 << 0,
    ML_HOOK_AUTHORIZE = 1 << 1,
    ML_HOOK_AUTHORIZE_EDIT = 1 << 2,
    ML_HOOK_BEFORE_UPDATE = 1 << 3,
    ML_HOOK_CONFLICT = 1 << 4,
    ML_HOOK_AFTER_UPDATE = 1 << 5,
    ML_HOOK_SNAPSHOT_POLICY = 1 << 6,
    ML_HOOK_SNAPSHOT_DUE = 1 << 7,
    ML_HOOK_SNAPSHOT_NAME = 1 << 8,
    ML_HOOK_BEFORE_SNAPSHOT = 1 << 9,
    ML_HOOK_AFTER_SNAPSHOT = 1 << 10,
    ML_HOOK_RETAIN = 1 << 11,
    ML_HOOK_COMPACT = 1 << 12,
    ML_HOOK_CACHE_CONTROL = 1 << 13,
    ML_HOOK_ASSET_URL = 1 << 14,
    ML_HOOK_PURGE = 1 << 15,
    ML_HOOK_JOINED = 1 << 16,
    ML_HOOK_LEFT = 1 << 17,
    ML_HOOK_DOCUMENT_LOADED = 1 << 18,
    ML_HOOK_DOCUMENT_UNLOADED = 1 << 19,
    ML_HOOK_KEEP_DOCUMENT = 1 << 20,
    ML_HOOK_AWARENESS = 1 << 21,
    ML_HOOK_PLACE_DOCUMENT = 1 << 22,
    ML_HOOK_UPGRADE = 1 << 23,
    ML_HOOK_RESOLVE_ORG = 1 << 24,
    ML_HOOK_CONNECTED = 1 << 25,
    ML_HOOK_DISCONNECTED = 1 << 26,
    ML_HOOK_DELETE_DOCUMENT = 1 << 27,
    ML_HOOK_CREATE_DOCUMENT = 1 << 28,
    ML_HOOK_LOAD_DOCUMENT = 1 << 29,
    ML_HOOK_MESSAGE = 1 << 30,
};
#define ML_HOOK_ADMIT         (UINT64_C(1) << 31) /* more than an enumerator holds */
#define ML_HOOK_LIMITS        (UINT64_C(1) << 32)
#define ML_HOOK_OVER_LIMIT    (UINT64_C(1) << 33)
#define ML_HOOK_CLUSTER_EVENT (UINT64_C(1) << 34)
uint64_t ml_script_hooks(const struct ml_script *script);

/* ---- Hooks ----------------------------------------------------------------------------------- */

struct ml_script_pair {
    struct ml_slice name, value;
};

/** authenticate(req): facts of a connection or request. */
struct ml_script_request {
    struct ml_slice method, path, ip, host, origin,
        token; /* token: bearer, query or protocol token */
    const struct ml_script_pair *headers, *query, *cookies;
    size_t header_count, query_count, cookie_count;
    bool is_websocket, tls;
};

struct ml_script_identity {
    struct ml_slice user, name, session;
    const struct ml_slice *roles;
    size_t role_count;
    const struct ml_slice *groups;
    size_t group_count;
    struct ml_slice kind;          /* "user", "guest", "service" */
    int64_t expires_at_ms;         /* 0: never */
    struct ml_slice color, avatar; /* "#rrggbb", an address; .ptr NULL: none */
};

/** authorize(ask): what is asked. */
struct ml_script_ask {
    struct ml_slice action, org, document;
    const struct ml_script_identity *identity;
    /** What it would come to if no plugin had an opinion: the name of a role, and whether it is
     * "org", "share" or "link" that gives it; .ptr NULL: nothing. */
    struct ml_slice role, from;
};
struct ml_script_grant {
    bool given; /* somebody granted something; false: no opinion at all */
    bool read, write, presence, messages, history;
    bool everywhere; /* of a call: nothing bars it from writing anywhere */
    uint32_t ttl_ms; /* 0: none */
    /** Where may be written, if `write`; none: everywhere. In the scratch arena. */
    const struct ml_script_write *writes;
    size_t write_count;
};

#define ML_SCRIPT_WRITES_MAX 256
/* Bits of ml_script_write.kinds: 1 << enum ml_effect_kind, and this one for an attribute that is
 * taken away (then the bit of its kind does not count). */
#define ML_EDIT_ATTR_REMOVED (1u << ML_EFFECT_KINDS)
#define ML_EDIT_ALL          ((ML_EDIT_ATTR_REMOVED << 1) - 1)

/** One line of ml.grant{ write = … } or ml.restrict{ write = … }. */
struct ml_script_write {
    bool bars; /* of a restriction */
    uint32_t kinds;
    struct ml_slice role;    /* "commenter", "suggester": where they write; no kinds, no pattern */
    struct ml_slice pattern; /* of paths with their key; empty: all */
    struct ml_slice code, reason; /* of a restriction */
};
/** What an edit has of those bits. */
uint32_t ml_script_edit_bits(const struct ml_effect *effect);

/** What became of a question about access. Slices are in its scratch arena. */
struct ml_access_answer {
    enum ml_err err; /* ML_EDENIED: `denial` says why; ML_ESCRIPT: a plugin failed,
                        refuse in a way that can be tried again */
    bool is_known;   /* authenticate: false: nobody claimed the credential */
    struct ml_script_identity identity; /* if is_known */
    struct ml_script_grant grant;       /* authorize: what plugins gave, less their restrictions */
    struct ml_script_grant barred;      /* if no plugin gave: what is taken from who else gave */
    struct ml_denial denial;
};
/** Runs once. `answer` is borrowed for the call. */
typedef void (*ml_access_done)(void *arg, const struct ml_access_answer *answer);
/** A question that waits. */
struct ml_access;
/**
 * authenticate(req): the first non-nil answer counts. authorize(ask): union of grants minus
 * restrictions; any denial wins.
 *
 * Plugins may wait, for five seconds in all; a question for which nobody waits is answered before
 * this returns. Until `done` has run, or ml_access_drop, the argument and the arena have to live.
 * @return what waits; NULL: `done` has run
 */
struct ml_access *ml_script_authenticate(struct ml_script *script,
                                         const struct ml_script_request *request,
                                         struct ml_arena *scratch, ml_access_done done, void *arg);
struct ml_access *ml_script_authorize(struct ml_script *script, const struct ml_script_ask *ask,
                                      struct ml_arena *scratch, ml_access_done done, void *arg);
/** upgrade(req): somebody denies, or nobody does. */
struct ml_access *ml_script_upgrade(struct ml_script *script,
                                    const struct ml_script_request *request,
                                    struct ml_arena *scratch, ml_access_done done, void *arg);
/**
 * resolve_org(req): the first non-nil answer counts; nobody waits.
 * @param org_out  in the arena, and not checked; .ptr NULL: nobody has an opinion
 * @retval ML_ESCRIPT  a plugin failed
 */
enum ml_err ml_script_resolve_org(struct ml_script *script, const struct ml_script_request *request,
                                  struct ml_arena *scratch, struct ml_slice *org_out) ML_MUST_CHECK;
/** Nobody wants the answer any more: `done` does not run, and what the plugin waits for ends. NULL
 * is fine. */
void ml_access_drop(struct ml_access *access);

/** A connection, for connected(session) and (is_closed) disconnected(session). Borrowed for the
 * call. */
struct ml_script_session {
    struct ml_slice org, ip, dialect;
    struct ml_script_identity identity;
    bool is_closed;
    struct {
        unsigned code;
        struct ml_slice reason;
        uint64_t after_ms, bytes_in, bytes_out;
    } closed;
};
void ml_script_tell_session(struct ml_script *script, const struct ml_script_session *session);

/** For cluster_event(e). */
struct ml_cluster_event {
    enum {
        ML_CLUSTER_NODE_UP,
        ML_CLUSTER_NODE_DOWN,
        ML_CLUSTER_BUS_DEGRADED,
        ML_CLUSTER_BUS_OK,
        ML_CLUSTER_DRAINING,
    } kind;
    uint64_t node; /* as in ml.cluster.nodes(); 0: this one, or all */
};
void ml_script_tell_cluster(struct ml_script *script, const struct ml_cluster_event *event);

/** Where an update hook runs. Borrowed for the call. */
struct ml_scope {
    struct ml_slice org, document;
    struct ml_slice user, user_name, session;
    const struct ml_doc *doc;     /* state before the update; for u.doc:text() and friends */
    const char *origin;           /* "client", "sync" */
    const struct ml_slice *roles; /* of the author; may be NULL */
    size_t role_count;
    struct ml_doc_port *port; /* of `doc`; NULL: only its content is known */
    const struct ml_slice *groups;
    size_t group_count;
    struct ml_slice kind; /* "user", "guest", "service"; .ptr NULL: unknown */
};

/**
 * authorize_edit(e) for every edit that a filter lets through: a denial refuses that edit only.
 * @retval ML_OK       asked; `update` knows what was refused
 * @retval ML_EDENIED  *denial_out: a denial that fences, so all of it
 * @retval ML_ESCRIPT  hold: neither applied nor acknowledged, ask again
 * @retval ML_ELIMIT   too large to be looked at
 */
enum ml_err ml_script_authorize_edit(struct ml_script *script, const struct ml_scope *scope,
                                     struct ml_script_update *update,
                                     struct ml_denial *denial_out) ML_MUST_CHECK;
/**
 * before_update(u): see, refuse, rewrite; each plugin sees the edits as those before it left them.
 * @retval ML_OK       nobody objects to all of it
 * @retval ML_EDENIED  *denial_out, of all of it; the room undoes (or fences)
 * @retval ML_ESCRIPT, ML_ELIMIT  as above
 */
enum ml_err ml_script_before_update(struct ml_script *script, const struct ml_scope *scope,
                                    struct ml_script_update *update,
                                    struct ml_denial *denial_out) ML_MUST_CHECK;

/** Does a plugin make proposals of what somebody may only propose (hook option `proposals`)? */
bool ml_script_proposes(const struct ml_script *script);

/**
 * Run the amendments of an update that all plugins let through, on a document that it went into.
 * The document is of no use after an error.
 * @param changes_out  up to ML_AMENDMENTS_MAX, in the scratch arena of the update
 * @retval ML_EDENIED  *denial_out: one of them answered ml.deny
 * @retval ML_ESCRIPT  one failed: hold
 */
enum ml_err ml_script_amend(struct ml_script *script, const struct ml_scope *scope,
                            struct ml_script_update *update, struct ml_doc *doc,
                            struct ml_slice *changes_out, size_t *count_out,
                            struct ml_denial *denial_out) ML_MUST_CHECK;
/** Forget its amendments. Always, once it was asked about. */
void ml_script_update_done(struct ml_script *script, struct ml_script_update *update);

/** after_update(batch): may react, cannot refuse; failures are logged and counted. */
struct ml_script_batch {
    struct ml_slice org, document;
    const struct ml_doc *doc;
    const struct ml_slice *authors; /* user ids, distinct */
    size_t author_count;
    uint64_t from_seq, to_seq, bytes;
    uint32_t count;           /* records */
    struct ml_doc_port *port; /* of `doc`; NULL: nothing can be written */
    const struct ml_noted *const *noted;
    size_t noted_count;
    bool gap; /* some detail was dropped */
};
/** Tell all of them at once, without waiting. */
void ml_script_after_update(struct ml_script *script, const struct ml_script_batch *batch,
                            struct ml_arena *scratch);

/** How one instance wants to be told. */
struct ml_observing {
    struct ml_slice instance; /* good as long as the script */
    uint32_t every_ms, max;
    bool durable;
    bool changes; /* it looks at what became visible */
};
/** Instances that observe updates are numbered from 0. */
size_t ml_script_observers(const struct ml_script *script);
/** False: it is not for this document. */
bool ml_script_observer(const struct ml_script *script, size_t observer, struct ml_slice document,
                        struct ml_observing *out);
/** Does its filter let this one through? */
bool ml_script_observer_wants(const struct ml_script *script, size_t observer,
                              const struct ml_noted *noted);
/**
 * Tell one. `batch` is borrowed for the call.
 * @param done  runs once, maybe before this returns, at the latest when the script is freed
 * @retval false  not now (its breaker is open): done will not run
 */
bool ml_script_observe(struct ml_script *script, size_t observer,
                       const struct ml_script_batch *batch, void (*done)(void *arg, bool ok),
                       void *arg) ML_MUST_CHECK;

/* Something happened to a document or a seat in it. Borrowed for the call. */
enum ml_moment { ML_MOMENT_JOINED, ML_MOMENT_LEFT, ML_MOMENT_LOADED, ML_MOMENT_UNLOADED };
struct ml_script_moment {
    struct ml_slice org, document;
    const struct ml_doc *doc;   /* NULL: not at hand */
    struct ml_doc_port *port;   /* of `doc` */
    struct ml_slice user, name; /* of the seat */
    struct ml_slice session;
};
/** joined, left, document_loaded, document_unloaded: each is told, and may wait. */
void ml_script_tell(struct ml_script *script, enum ml_moment what,
                    const struct ml_script_moment *moment);
/** @param denial  why not, with ML_EDENIED; ML_ESCRIPT: a plugin failed, try again later */
typedef void (*ml_deletion_done)(void *arg, enum ml_err err, const struct ml_denial *denial);
/**
 * delete_document(ref): may it go? Copies. `done` runs once, maybe before this returns, maybe 10 s
 * later.
 */
void ml_script_may_delete(struct ml_script *script, struct ml_slice org, struct ml_slice document,
                          ml_deletion_done done, void *arg);
/** keep_document(doc): the longest time that somebody wants it in memory; 0: no opinion. */
uint64_t ml_script_keep_document(struct ml_script *script, const struct ml_script_moment *moment);
/**
 * awareness(a): what others see of a cursor.
 * @param json        in: what the client says; out: what others see, in `scratch`
 * @param gap_ms_out  others are told at most once in so long, at most a minute; 0: at once
 * @retval false      nobody sees it
 */
bool ml_script_awareness(struct ml_script *script, const struct ml_script_moment *moment,
                         uint64_t client, struct ml_slice *json, struct ml_arena *scratch,
                         uint32_t *gap_ms_out);

/* A message of a client, not looked at yet. Borrowed for the call. */
struct ml_script_frame {
    const char *kind; /* "update", "sync", "awareness", "message" */
    size_t bytes;
    const struct ml_scope *who; /* user, user_name, session, roles, groups */
};
struct ml_script_admission {
    bool is_denied;
    uint32_t slow_ms; /* at most 5 s; 0: go on */
};
/** admit(frame): the first denial, the longest pause. Who cannot answer is passed over. */
void ml_script_admit(struct ml_script *script, const struct ml_script_frame *frame,
                     struct ml_script_admission *out);

#define ML_SCRIPT_MESSAGE_MAX 65536

/** A text that is none of the protocol's. */
struct ml_script_message {
    struct ml_slice text; /* in: as it came; out: as it goes to others, in scratch */
    bool is_for_others;   /* a plugin answered a payload */
    struct ml_slice to;   /* only for this user; .ptr NULL: everybody */
    struct ml_denial denial;
};
/** message(m). @retval ML_EDENIED  m->denial says why; ML_ESCRIPT  a plugin failed */
enum ml_err ml_script_message(struct ml_script *script, const struct ml_scope *who,
                              struct ml_arena *scratch, struct ml_script_message *m) ML_MUST_CHECK;

/** snapshot_policy(ref): earliest of each; what nobody sets stays as it came in. */
struct ml_snapshot_policy {
    uint64_t every_ops; /* 0: not by count */
    uint64_t every_bytes;
    uint64_t every_ms, idle_ms, min_gap_ms;
    bool on_unload, on_shutdown;
};
void ml_script_snapshot_policy(struct ml_script *script, struct ml_slice org,
                               struct ml_slice document, struct ml_arena *scratch,
                               struct ml_snapshot_policy *policy);

struct ml_script_stats {
    uint64_t calls, denials, errors, timeouts, memory_faults;
    uint64_t slow; /* calls that waited beyond their soft deadline */
    uint64_t memory_bytes;
    struct ml_histogram hook_took; /* one handler of one hook */
};
void ml_script_stats(const struct ml_script *script, struct ml_script_stats *out);

/**
 * What plugins can reach, one name a line ("ml.json.encode", "update.author"): for the spec that
 * compares it with lua/moonloom/defs. Needs one plugin. surface.c
 */
enum ml_err ml_script_surface(struct ml_script *script, struct ml_writer *out) ML_MUST_CHECK;

struct lua_State;
/**
 * For moonloom.test: run `code` inside the state, beside the first plugin, asked with the value on
 * top of `outer`'s stack. Pushes what it answered, or on ML_ESCRIPT what went wrong. probe.c
 */
enum ml_err ml_script_probe(struct ml_script *script, struct ml_slice code, struct lua_State *outer,
                            uint32_t deadline_us) ML_MUST_CHECK;

/**
 * For t.app: this hook of this instance raises `text` from now on, or is whole again (.ptr NULL).
 * Until the state is made anew. faults.c
 */
enum ml_err ml_script_break(struct ml_script *script, struct ml_slice plugin, struct ml_slice hook,
                            struct ml_slice text) ML_MUST_CHECK;

/** For so long every call is noted by the flight recorder, not only what is slow or goes wrong; 0:
 * no more. flight.c */
void ml_script_watch(struct ml_script *script, uint32_t for_ms);

/**
 * Ask everybody of `authorize` this one question and print who said what and what it comes to, a
 * JSON object. Counts nowhere, and opens no breaker; what waits cannot be asked so. why.c
 */
void ml_script_why(struct ml_script *script, const struct ml_script_ask *ask,
                   struct ml_writer *out);

/** '*' is one segment, '**' any number of them. */
bool ml_script_path_matches(struct ml_slice pattern, struct ml_slice path);

#include "script/deploy.h"

#include "script/flight.h"

#include "script/birth.h"
#include "script/cells.h"
#include "script/conflict.h"
#include "script/limits.h"
#include "script/place.h"
#include "script/publish.h"
#include "script/versions.h"
#include "script/work.h"

/* ---- The configuration file ------------------------------------------------------------------ */

/**
 * Run a file of assignments (moonloom.lua) in an empty environment with env("NAME", default) and
 * file("PATH"), within 100 000 instructions, and answer its globals as one JSON object. Needs no
 * ml_script. Implemented in settings.c.
 *
 * @param lines_out  JSON object: global name → line of its last assignment
 * @retval ML_EFORMAT  syntax, run-time error, a value that is no data; diag->offset is the line
 * @retval ML_ENOTFOUND  no such file
 */
enum ml_err ml_settings_read(const char *path, struct ml_writer *json_out,
                             struct ml_writer *lines_out, struct ml_diag *diag) ML_MUST_CHECK;

#include "script/password.h" /* Argon2id, for a worker thread */

#endif
