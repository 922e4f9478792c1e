/* SPDX-License-Identifier: MIT */
/* What deploy.c and deploy_part.c share. Private to script/. */
#ifndef ML_SCRIPT_DEPLOYED_H
#define ML_SCRIPT_DEPLOYED_H

#include "script/state.h"

#include <stdatomic.h>

/* A plugin that the server file or some org means. */
struct ml_meant {
    char name[ML_PLUGIN_NAME_MAX + 1];
    struct ml_source *source; /* counted */
    char version[24];
    bool is_operator;
    struct ml_slice needs; /* for a person: "kv, http a.example"; in the arena */
    uint64_t hooks;
    uint32_t newest; /* the highest generation that an instance of it ever had */
};

struct ml_deploy {
    _Atomic unsigned refs;
    unsigned number;
    struct ml_arena arena; /* everything below */
    struct ml_meant *meant;
    size_t meant_count;
    struct ml_org_deploy *orgs; /* [0]: every org without a file */
    size_t org_count;
    struct ml_source **kept; /* counted: sources of instances that stayed as they were */
    size_t kept_count, kept_max;
    uint64_t hooks;
};

struct ml_deploy *ml_deploy_alloc(void);
struct ml_meant *ml_deploy_meant(const struct ml_deploy *deploy, const char *name);

/** Is this plugin in that part? */
bool ml_part_has_plugin(const struct ml_deploy_part *part, struct ml_slice plugin);
bool ml_part_has_org(const struct ml_deploy_part *part, struct ml_slice org);
static inline bool ml_part_is_all(const struct ml_deploy_part *part)
{
    return !part->plugins.len && !part->org.len;
}
/**
 * Make `org` what `from` is, with copies of its own; of the plugins outside of `part` only, if that
 * is not NULL, beside the instances that `org` has. False: out of memory.
 */
bool ml_deploy_keep(struct ml_deploy *deploy, struct ml_org_deploy *org,
                    const struct ml_org_deploy *from, const struct ml_deploy_part *part);
/** The entry of an org that has one; NULL: it has what every org has. */
const struct ml_org_deploy *ml_deploy_entry(const struct ml_deploy *deploy, struct ml_slice org);
/** What did not change since `before` (may be NULL) keeps its generation; what did has the next. */
void ml_deploy_number_all(struct ml_deploy *deploy, const struct ml_deploy *before,
                          bool all_shadow);

#endif
