/* SPDX-License-Identifier: MIT */
/*
 * What runs: sources, and for every org its instances with the config that came out of all layers.
 * Immutable, counted, shared by all loops. Part of script.h.
 */
#ifndef ML_SCRIPT_DEPLOY_H
#define ML_SCRIPT_DEPLOY_H

struct ml_deploy;

/** A file orgs/NAME.lua, as ml_settings_read answers it. */
struct ml_deploy_org {
    struct ml_slice name;
    struct ml_slice json;
};

/** A part of a deployment; both empty: all of it. Borrowed. */
struct ml_deploy_part {
    struct ml_slice plugins; /* names with commas between them; empty: all */
    struct ml_slice org;     /* empty: every org */
};

/** Borrowed for the call. */
struct ml_deploy_options {
    struct ml_slice plugins_dir, lua_dir;
    struct ml_slice
        server_json; /* { plugins, plans, order, secrets } of the server file; empty: nothing */
    const struct ml_deploy_org *orgs;
    size_t org_count;
    const struct ml_deploy *before; /* what runs now: unchanged instances keep their generation */
    bool all_shadow;                /* what is new or changed runs in shadow mode */
    struct ml_deploy_part part;     /* what is taken from disk; needs `before` */
};

/**
 * Read the plugins, check manifests and code, resolve and validate the config of every org. Of a
 * part: what is outside of it stays as `before` has it, code and config, and is not looked at.
 * Every finding is in `report_out`, a line each; `diag` has the first.
 * @retval ML_ESCRIPT  something is wrong; nothing changed
 */
enum ml_err ml_deploy_new(const struct ml_deploy_options *options, struct ml_writer *report_out,
                          struct ml_diag *diag, struct ml_deploy **deploy_out) ML_MUST_CHECK;
/**
 * `now`, but this part of it as `then` has it. Looks at no file.
 * @retval ML_ENOTFOUND  it is the same in both
 */
enum ml_err ml_deploy_mix(const struct ml_deploy *now, const struct ml_deploy *then,
                          const struct ml_deploy_part *part, struct ml_diag *diag,
                          struct ml_deploy **deploy_out) ML_MUST_CHECK;
struct ml_deploy *ml_deploy_ref(struct ml_deploy *deploy);
void ml_deploy_unref(struct ml_deploy *deploy);

/** Grows by one with every deployment of the process. */
unsigned ml_deploy_number(const struct ml_deploy *deploy);
/** Hooks that somebody registered for some org, enum ml_hook bits. */
uint64_t ml_deploy_hooks(const struct ml_deploy *deploy);

/* What one org has. An org without a file of its own has what the server file says. */
struct ml_org_deploy {
    struct ml_slice name; /* empty: every org without a file */
    const struct ml_script_plugin *plugins;
    size_t plugin_count;
    struct ml_slice facts_json;               /* plan, labels, region */
    struct ml_slice order_json, secrets_json; /* the operator's, as in ml_script_options */
    bool keeps_text;                          /* of what people wrote, for the flight recorder */
    size_t memory_bytes;                      /* of its states; 0: default */
    double cpu;                               /* share of a core; 0: default */
    uint64_t hooks;
};
const struct ml_org_deploy *ml_deploy_org(const struct ml_deploy *deploy, struct ml_slice org);
/** Does this org have something else in `after` than in `before`? */
bool ml_deploy_differs(const struct ml_deploy *before, const struct ml_deploy *after,
                       struct ml_slice org);
/** What is in it for a person: a JSON object { generation, plugins: [{ name, version, … }] }. */
void ml_deploy_describe(const struct ml_deploy *deploy, struct ml_writer *out);

#endif
