/* SPDX-License-Identifier: MIT */
/* What the files of script/ share. Private to script/. */
#ifndef ML_SCRIPT_STATE_H
#define ML_SCRIPT_STATE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/codec.h"
#include "base/glob.h"
#include "base/list.h"
#include "script/budget.h"
#include "script/script.h"
#include "script/share.h"
#include "script/source.h"

#define ML_PLUGIN_NAME_MAX   40
#define ML_INSTANCE_NAME_MAX (ML_PLUGIN_NAME_MAX + 1 + ML_PLUGIN_NAME_MAX)
#define ML_INSTANCES_MAX     256 /* of one org */
#define ML_PLUGIN_SOURCE_MAX (512u * 1024)
#define ML_MANIFEST_MAX      (64u * 1024)
#define ML_MANIFEST_STEPS    10000
#define ML_LOAD_US           500000 /* a chunk, a manifest, a config check */
#define ML_FAULT_TEXT_MAX    1024
#define ML_JSON_DEPTH_MAX    64

/* What a failure of a hook means; "phase" of the contract is resolved by the manifest check. */
enum ml_fails { ML_FAILS_REFUSE, ML_FAILS_HOLD, ML_FAILS_DEFAULT, ML_FAILS_SKIP, ML_FAILS_RETRY };

/* ---- One Lua state -----------------------------------------------------------------------------
 */

/* Where an instance is on its way into service: setup.c. */
enum ml_setup { ML_SETUP_OWED, ML_SETUP_RUNS, ML_SETUP_DONE, ML_SETUP_FAILED };

enum ml_fault_kind { ML_FAULT_NONE, ML_FAULT_ERROR, ML_FAULT_TIMEOUT, ML_FAULT_MEMORY };

/* Slots at the bottom of the main stack; everything above them belongs to the running call. */
enum { SLOT_TRACEBACK = 1, SLOT_PROTECTED, SLOT_COUNT = SLOT_PROTECTED };

struct ml_plugin;
struct ml_handler;
struct ml_views;
struct ml_waiting;
struct ml_works;
struct ml_birth_round;

enum {
    HOOK_AUTHENTICATE,
    HOOK_AUTHORIZE,
    HOOK_AUTHORIZE_EDIT,
    HOOK_BEFORE_UPDATE,
    HOOK_CONFLICT,
    HOOK_AFTER_UPDATE,
    HOOK_SNAPSHOT_POLICY,
    HOOK_SNAPSHOT_DUE,
    HOOK_SNAPSHOT_NAME,
    HOOK_BEFORE_SNAPSHOT,
    HOOK_AFTER_SNAPSHOT,
    HOOK_RETAIN,
    HOOK_COMPACT,
    HOOK_CACHE_CONTROL,
    HOOK_ASSET_URL,
    HOOK_PURGE,
    HOOK_JOINED,
    HOOK_LEFT,
    HOOK_DOCUMENT_LOADED,
    HOOK_DOCUMENT_UNLOADED,
    HOOK_KEEP_DOCUMENT,
    HOOK_AWARENESS,
    HOOK_PLACE_DOCUMENT,
    HOOK_UPGRADE,
    HOOK_RESOLVE_ORG,
    HOOK_CONNECTED,
    HOOK_DISCONNECTED,
    HOOK_DELETE_DOCUMENT,
    HOOK_CREATE_DOCUMENT,
    HOOK_LOAD_DOCUMENT,
    HOOK_MESSAGE,
    HOOK_ADMIT,
    HOOK_LIMITS,
    HOOK_OVER_LIMIT,
    HOOK_CLUSTER_EVENT,
    HOOK_COUNT
};
/** Made from lua/moonloom/defs/hooks.lua. Bit n of enum ml_hook is hook n. */
extern const char *const ml_hook_names[HOOK_COUNT];

/* Who is asked about the documents of one kind. */
struct ml_plan {
    struct ml_plan *next;
    uint64_t hooks;                     /* enum ml_hook bits */
    uint64_t on[ML_INSTANCES_MAX / 64]; /* a bit per instance, by its index */
};

struct ml_chain {
    struct ml_handler *handlers; /* in the order they are asked */
    size_t count;
};

enum ml_view_kind {
    VIEW_REQUEST,
    VIEW_ASK,
    VIEW_UPDATE,
    VIEW_BATCH,
    VIEW_REF,
    VIEW_EDIT,
    VIEW_CONFLICT,
    VIEW_COUNT,
};

/* What is being asked, for the flight recorder. */
struct ml_question {
    const void *subject, *scope; /* subject NULL: nothing that could be written down */
    enum ml_view_kind kind;
    uint64_t took_us;
    struct ml_slice code, reason; /* of the denial that it was answered with */
};

struct ml_script {
    lua_State *L;
    struct ml_budget budget;
    struct ml_share share; /* of the org, on this loop */

    size_t memory_bytes, memory_max; /* of the Lua state */
    uint64_t faults_since_ms;        /* memory faults: start of the minute that is counted */
    unsigned memory_faults;
    uint32_t hook_us;

    /* Set by the last call that failed. */
    struct {
        enum ml_fault_kind kind;
        char text[ML_FAULT_TEXT_MAX];  /* for a person */
        char trace[ML_FAULT_TEXT_MAX]; /* where; may be empty */
    } fault;

    /* What ml_script_protect runs. */
    void (*protected_fn)(lua_State *L, void *arg);
    void *protected_arg;

    struct ml_plugin *plugins;
    size_t plugin_count;
    struct ml_chain chains[HOOK_COUNT];
    uint64_t hooks;       /* of `plan`, enum ml_hook bits */
    struct ml_plan *plan; /* of the document that is asked about */
    struct ml_plan *plans, spare_plan;
    size_t plan_count;
    bool has_docs;              /* some instance is for some documents only */
    bool has_late_setup;        /* setup is ml_script_setup's business */
    bool is_late;               /* it has begun, and what fails is the end of it */
    bool is_beginning;          /* the first turn of all setups */
    struct ml_diag setup_fault; /* the first that was not told yet */
    struct ml_list held_rounds; /* until a setup is over */
    bool loading;               /* plugin code is being loaded: require may look for files */

    struct ml_waiting *waiting; /* calls that may wait: wait.c */
    struct ml_works *works;     /* rpc, routes, jobs, cron: work.c */
    struct ml_script_port port;
    struct ml_shared_store *shared;
    bool is_probed;     /* a spec of one hook asks */
    const char *asking; /* the no-wait hook that runs; NULL: none */

    struct ml_question question;
    struct ml_flight *flight;  /* NULL: nothing to tell yet. flight.c */
    uint64_t flight_us;        /* calls that took as long are noted: 0 while somebody watches */
    uint64_t watched_until_ms; /* mono_ms */
    bool keeps_text;           /* what people wrote may be noted, too */

    struct ml_birth_round *births; /* documents about to be made. hooks_birth.c */
    uint64_t births_lent;

    struct ml_views *views;
    struct ml_writer
        text; /* what a document is printed into before Lua gets it; kept between calls */

    struct ml_slice plugins_dir, lua_dir, org, org_json, order_json, secrets_json; /* own copies */
    unsigned held; /* what in it is not done yet: parked calls, timers */
    void (*log)(void *arg, int level, struct ml_slice plugin, struct ml_slice message);
    void *log_arg;
    int64_t (*wall_ms)(void);
    uint64_t (*mono_ms)(void);
    uint8_t seal_key[32]; /* of ml.crypto.seal */
    bool has_seal_key;

    struct ml_script_stats stats;
    struct ml_ledger *ledger; /* of the loop; NULL: none */
    bool is_denial;           /* the answer that was just taken apart says no */
};

/** The script that owns `L` or a coroutine of it. */
static inline struct ml_script *ml_script_of(lua_State *L)
{
    void *script;

    lua_getallocf(L, &script);
    return script;
}

/** The one lua_pcall: function and `nargs` arguments are on the stack, as for lua_pcall. */
enum ml_err ml_script_call(struct ml_script *script, int nargs, int nresults,
                           uint32_t deadline_us) ML_MUST_CHECK;

/**
 * Run `fn` where Lua errors are caught (ML_ESCRIPT; script->fault says what). It finds the `nargs`
 * values that are on top of the stack as its arguments; the stack is empty afterwards. `fn` must
 * hold no memory that an error would lose.
 */
enum ml_err ml_script_protect(struct ml_script *script, int nargs,
                              void (*fn)(lua_State *L, void *arg), void *arg,
                              uint32_t deadline_us) ML_MUST_CHECK;

enum ml_err ml_state_open(struct ml_script *script) ML_MUST_CHECK;
void ml_state_close(struct ml_script *script);
/** After a memory fault: collect. False: the state is beyond help and must be made anew. */
bool ml_state_recover(struct ml_script *script);
/** Between calls: a step of the collector if much of the memory is used. */
void ml_state_tidy(struct ml_script *script);

/* ---- Plugins -----------------------------------------------------------------------------------
 */

enum ml_health_is { ML_HEALTH_UNKNOWN, ML_HEALTH_OK, ML_HEALTH_WARN, ML_HEALTH_BAD };

struct ml_plugin {
    char name[ML_INSTANCE_NAME_MAX + 1]; /* of the instance: "webhook/crm" */
    char folder[ML_PLUGIN_NAME_MAX + 1]; /* of the plugin: "webhook" */
    uint32_t generation;
    char version[24];  /* empty: not known */
    bool is_shadow;    /* its answers are counted and not used */
    char *config_json; /* own copy, NUL-terminated; NULL: none */
    size_t config_len;
    struct ml_slice *docs; /* only for documents that match one of these; NULL: all */
    size_t doc_count;
    const struct ml_source *source; /* of the deployment, or: */
    struct ml_source *own_source;
    size_t index; /* in script->plugins */

    /* Registry references of the current state. */
    int manifest_ref; /* normalised, by lua/moonloom/manifest.lua */
    int env_ref, library_ref, table_ref, self_ref;

    enum ml_setup setup;
    uint64_t setup_at_ms;   /* FAILED: when it goes once more */
    uint32_t setup_wait_ms; /* 0: it has not failed */

    bool has_health; /* Plugin:health() is there. health.c */
    struct {
        enum ml_health_is is;
        bool is_asked;      /* and has not answered yet */
        unsigned bad_count; /* how often running */
        uint64_t asked_ms;  /* mono_ms; 0: never */
        char text[160];
    } health;

    bool is_changed; /* by the last swap */
    bool is_watched; /* its failures may bring the deployment before back */
    struct {
        uint64_t calls, denials, failures;
        struct ml_histogram took;
        char error[160]; /* the last one; empty: none yet */
    } stats;

    uint64_t log_second; /* log lines are limited per second */
    unsigned log_lines, log_dropped;
};

/* Filters of an update hook, applied before Lua is entered. */
struct ml_edit_filter {
    bool any;         /* no filter at all */
    uint32_t kinds;   /* enum ml_edit_word bits, 0: all */
    uint32_t origins; /* ml_origin_bits, 0: all */
    uint64_t min_bytes;
    bool proposals; /* it makes proposals of what the author may only propose; filters nothing */
    char **paths;   /* patterns */
    size_t path_count;
    char **keys; /* of map and attribute writes, patterns */
    size_t key_count;
};

struct ml_breaker {
    uint64_t failures_ms[5]; /* times of the last failures, a ring */
    unsigned next, count;
    uint64_t open_until_ms;  /* 0: closed */
    uint32_t open_for_ms;    /* how long it was opened last */
    struct ml_hook_row *row; /* where its calls count; NULL: nowhere, or none yet */
};

struct ml_handler {
    struct ml_plugin *plugin;
    int function_ref;
    enum ml_fails fails; /* refuse, hold, default, skip */
    char reason[96];     /* why it stands where it does, for a person */
    struct ml_edit_filter filter;
    uint32_t every_ms, max; /* after_update: told so often, of so many at most */
    bool durable;
    bool wants_changes; /* after_update: what became visible has to be noted */
    struct ml_breaker breaker;
};

/* Registry: before the name of an instance, the table of what it counted
 * (lua/moonloom/metrics.lua). */
#define ML_METRICS_KEY "moonloom.metrics."

void ml_script_log(struct ml_script *script, struct ml_plugin *plugin, int level,
                   struct ml_slice text);
/** Whose durable things a plugin's are. */
struct ml_slice ml_plugin_org(const struct ml_script *script, const struct ml_plugin *plugin);

/** A module that ships with the binary ("moonloom.schema"), or its newer self in lua_dir. Pushes
 * it. */
void ml_shipped_require(lua_State *L, const char *name);
/** Push the chunk of a file that ships with the binary ("moonloom/cdn.lua"), in no environment yet.
 * Raises. */
void ml_shipped_chunk(lua_State *L, struct ml_script *script, const char *path);

/* ---- lifecycle.c -------------------------------------------------------------------------------
 */

/** handoff and adopt of every instance that is in both. On failure `from` is as it was. */
enum ml_err ml_script_hand_over(struct ml_script *from, struct ml_script *to, bool force,
                                struct ml_diag *diag, size_t *bytes_out) ML_MUST_CHECK;
/** teardown(why) of every instance; what fails is logged. */
void ml_script_teardown(struct ml_script *script, const char *why);
/** Calls that wait. */
size_t ml_script_parked(const struct ml_script *script);

/* ---- plan.c ------------------------------------------------------------------------------------
 */

static inline bool ml_plan_has(const struct ml_plan *plan, const struct ml_plugin *plugin)
{
    return plan->on[plugin->index / 64] >> (plugin->index % 64) & 1;
}
/** Is this instance for that document? Of an empty name: yes. */
bool ml_plugin_applies(const struct ml_plugin *plugin, struct ml_slice document);
/** Lives as long as the script. */
struct ml_plan *ml_plan_for(struct ml_script *script, struct ml_slice document);
/** From now on the hooks of `script` are those of `plan`. */
void ml_plan_use(struct ml_script *script, struct ml_plan *plan);
/** The chains have changed. */
void ml_plan_renew(struct ml_script *script);
void ml_plan_free_all(struct ml_script *script);

/* ---- sandbox.c ---------------------------------------------------------------------------------
 */

/** Base tables of the state: the bounded string library, the library chunks of ours see. */
void ml_sandbox_open(lua_State *L);
/** Make plugin->env_ref: an environment with the allow-list and nothing else. */
void ml_sandbox_environment(lua_State *L, struct ml_plugin *plugin);
/** Push the environment in which the modules that ship with the binary run. */
void ml_sandbox_push_core(lua_State *L);
/** Replace the table at the top by a read-only face of it. */
void ml_sandbox_guard(lua_State *L, const char *what);
/** Raises if the table at `index` is one of ours that must not be changed. */
void ml_sandbox_check_own(lua_State *L, int index);
/** math.random of this state goes on from here. Raises. */
void ml_sandbox_seed_random(lua_State *L, uint64_t seed);
/** tostring without addresses. Pushes. */
void ml_sandbox_tostring(lua_State *L, int index);

/* ---- lib.c, match.c: bounded replacements of library functions
 * ------------------------------------ */

extern const luaL_Reg ml_match_functions[];  /* find, match, gmatch, gsub */
extern const luaL_Reg ml_string_functions[]; /* rep, format */
extern const luaL_Reg ml_table_functions[];  /* insert, remove, sort, concat */
/** table.sort */
int ml_table_sort(lua_State *L);

/* ---- chunk.c -----------------------------------------------------------------------------------
 */

/** Push the compiled chunk or raise: text only, no cdata literals; `is_data`: no functions. */
void ml_chunk_load(lua_State *L, struct ml_slice text, const char *chunk_name, bool is_data);

/* ---- json.c ------------------------------------------------------------------------------------
 */

/** Push the value; raises with offset. `budget` is checked on the way. */
void ml_json_push(lua_State *L, struct ml_slice text);
/** Push the text of the value at `index`; raises. */
void ml_json_text(lua_State *L, int index);
/** Push the value that stands for null. */
void ml_json_null(lua_State *L);
bool ml_lua_is_json_null(lua_State *L, int index);
/** Does the table at `index` carry the mark of a list (ml.array, or an empty list that was read)?
 */
bool ml_json_is_list(lua_State *L, int index);
/** Give the table at the top the mark of a list. */
void ml_json_mark_list(lua_State *L);
void ml_json_open(lua_State *L);

/* ---- api.c -------------------------------------------------------------------------------------
 */

void ml_api_open(lua_State *L);
/** The function `guard(t, what)` for modules of ours. Pushes. */
void ml_api_push_guard(lua_State *L);
/** Make plugin->library_ref, what `require "moonloom"` gives. */
void ml_api_library(lua_State *L, struct ml_plugin *plugin);

enum ml_answer_kind {
    ML_ANSWER_OTHER,
    ML_ANSWER_DENY,
    ML_ANSWER_GRANT,
    ML_ANSWER_RESTRICT,
    ML_ANSWER_MERGE,     /* field value */
    ML_ANSWER_KEEP_BOTH, /* field name */
    ML_ANSWER_SLOW,      /* field seconds */
    ML_ANSWER_ALLOW,
    ML_ANSWER_DROP,
    ML_ANSWER_RETRY, /* fields why, after (seconds), each may be nil */
    ML_ANSWER_DEAD,  /* field why */
    ML_ANSWER_KINDS
};
/** What ml.deny, ml.grant, ml.merge … made; anything else is OTHER. A plugin may have written other
 * fields into its own answer: check their types. */
enum ml_answer_kind ml_api_answer_kind(lua_State *L, int index);
/** Make the table at the top an answer of this kind. */
void ml_api_mark_answer(lua_State *L, enum ml_answer_kind kind);
/** A role of ml.grant that writes, but only in places that the server knows. */
bool ml_api_role_writes_in_places(const char *name);

/* answers.c */
extern const luaL_Reg ml_lib_answers[];
void ml_answers_push_drop(lua_State *L);

/* ---- views.c -----------------------------------------------------------------------------------
 */

/** A document that is not at hand: what ref.id and ref.org read. */
struct ml_script_ref {
    struct ml_slice org, document;
};

void ml_views_open(lua_State *L);
/** Push the view of this call, alive until ml_views_expire. Allocates nothing. */
void ml_views_push(struct ml_script *script, enum ml_view_kind kind, const void *subject,
                   const void *scope);
void ml_views_expire(struct ml_script *script);

/* ---- filter.c ----------------------------------------------------------------------------------
 */

/** Words of 9.3, by enum ml_effect_kind. */
extern const char *const ml_edit_words[ML_EFFECT_KINDS];
/** Bits of a word ("map.set") or of its first part ("text"); 0: no such word. */
uint32_t ml_edit_word_bits(struct ml_slice word);
/** Bit of "map", "attr", "block" or "delete" in the filter of `conflict`; 0: no such word. */
uint32_t ml_conflict_kind_bits(struct ml_slice word);
const char *ml_conflict_kind_word(enum ml_collision_kind kind);
/** Bits of "client", "sync" or "import"; 0: no such word. */
uint32_t ml_origin_bits(struct ml_slice word);
/** Does the edit stand at such a path? */
bool ml_effect_is_at(const struct ml_effect *effect, struct ml_slice pattern);
/** Is this edit one that the filter lets through? Not one that was refused already. */
bool ml_filter_takes(const struct ml_edit_filter *filter, const struct ml_effect *effect);
/** Is it still going to happen? */
static inline bool ml_effect_is_open(const struct ml_effect *effect)
{
    return effect->fate != ML_FATE_UNDONE && effect->fate != ML_FATE_REMOVED;
}
/**
 * Must Lua see this update? Edits are looked at only if the bytes alone do not tell.
 * @retval ML_ELIMIT  too large to be looked at
 */
enum ml_err ml_filter_matches(const struct ml_edit_filter *filter, struct ml_script_update *update,
                              const char *origin, bool *matches_out) ML_MUST_CHECK;

/* ---- manifest.c, config.c: each raises with a message for a person
 * ------------------------------- */

/** Makes plugin->manifest_ref from plugin.lua, or from the manifest in init.lua if there is none.
 */
void ml_manifest_load(lua_State *L, struct ml_script *script, struct ml_plugin *plugin);
/** The filters of a hook as C wants them; the manifest is at the top of the stack. */
void ml_manifest_filter(lua_State *L, const char *hook, struct ml_edit_filter *filter,
                        enum ml_fails *fails_out);
/** Once the chains are there: what observers need. hooks_observe.c */
void ml_observers_arrange(struct ml_script *script);
/** How an observer is told: every, max, durable; the manifest is at the top of the stack. */
void ml_manifest_pace(lua_State *L, const char *hook, struct ml_handler *handler);
void ml_filter_release(struct ml_edit_filter *filter);
/** Push the checked configuration of `plugin`. */
void ml_config_push(lua_State *L, struct ml_script *script, struct ml_plugin *plugin);
/** Push the function `resolve(name)` of configurations: the text of secret://NAME, or nil. */
void ml_config_push_resolve(lua_State *L);
/** Open a state and bring all plugins into it; again after it was closed. loader.c */
enum ml_err ml_state_load(struct ml_script *script, struct ml_diag *diag) ML_MUST_CHECK;
/** Run init.lua and push what it returned. loader.c */
void ml_plugin_run(lua_State *L, struct ml_plugin *plugin);

#endif
