/* SPDX-License-Identifier: MIT */
/*
 * What stays as it was when a part of a deployment changes, and which generation an instance has.
 *
 *   part                 from disk                               as before
 *   NAME,NAME            code and settings of these, everywhere  every other plugin; plans, labels
 *   --org ORG            everything that ORG has                 every other org
 *   NAME --org ORG       these, in ORG                           the rest
 *
 * A deployment owns all that it has: what it takes from another is copied (configurations) or
 * counted (sources), so that no deployment keeps an earlier one alive.
 */
#include "script/deployed.h"

#include <stdlib.h>

/* ---- What is in a part ---------------------------------------------------------------------- */

bool ml_part_has_plugin(const struct ml_deploy_part *part, struct ml_slice plugin)
{
    struct ml_slice rest = part->plugins;

    if (!rest.len)
        return true;
    while (rest.len) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;

        if (ml_slice_equal(ml_slice_make(rest.ptr, len), plugin))
            return true;
        len += comma != NULL;
        rest = ml_slice_make(rest.ptr + len, rest.len - len);
    }
    return false;
}

bool ml_part_has_org(const struct ml_deploy_part *part, struct ml_slice org)
{
    return !part->org.len || ml_slice_equal(part->org, org);
}

/* ---- Copies --------------------------------------------------------------------------------- */

static bool copy(struct ml_deploy *deploy, struct ml_slice from, struct ml_slice *to)
{
    char *bytes = ml_arena_alloc(&deploy->arena, from.len + 1);

    if (!bytes)
        return false;
    if (from.len)
        memcpy(bytes, from.ptr, from.len);
    bytes[from.len] = '\0';
    *to = from.len ? ml_slice_make(bytes, from.len) : (struct ml_slice){0};
    return true;
}

static bool keep_source(struct ml_deploy *deploy, const struct ml_source *source)
{
    for (size_t i = 0; i < deploy->kept_count; i++)
        if (deploy->kept[i] == source)
            return true;
    if (deploy->kept_count == deploy->kept_max) {
        size_t max = deploy->kept_max ? deploy->kept_max * 2 : 16;
        struct ml_source **more = realloc(deploy->kept, max * sizeof *more);

        if (!more)
            return false;
        deploy->kept = more;
        deploy->kept_max = max;
    }
    deploy->kept[deploy->kept_count++] = ml_source_ref((struct ml_source *)(uintptr_t)source);
    return true;
}

static bool copy_instance(struct ml_deploy *deploy, const struct ml_script_plugin *from,
                          struct ml_script_plugin *to)
{
    struct ml_slice *docs;

    *to = *from;
    if (!copy(deploy, from->name, &to->name) || !copy(deploy, from->folder, &to->folder) ||
        !copy(deploy, from->version, &to->version) ||
        !copy(deploy, from->config_json, &to->config_json) || !keep_source(deploy, from->source))
        return false;
    docs = from->doc_count ? ml_arena_array(&deploy->arena, from->doc_count, sizeof *docs) : NULL;
    if (from->doc_count && !docs)
        return false;
    for (size_t i = 0; i < from->doc_count; i++)
        if (!copy(deploy, from->docs[i], &docs[i]))
            return false;
    to->docs = docs;
    return true;
}

/* Most orgs have the same text here, and it is written down once. */
static bool share(struct ml_deploy *deploy, struct ml_slice from, struct ml_slice *to)
{
    for (size_t i = 0; i < deploy->org_count; i++) {
        const struct ml_org_deploy *org = &deploy->orgs[i];

        if (ml_slice_equal(org->order_json, from)) {
            *to = org->order_json;
            return true;
        }
        if (ml_slice_equal(org->secrets_json, from)) {
            *to = org->secrets_json;
            return true;
        }
        if (i == 1) /* the first two are enough to look at */
            break;
    }
    return copy(deploy, from, to);
}

static int by_name(const void *a, const void *b)
{
    return ml_slice_compare(((const struct ml_script_plugin *)a)->name,
                            ((const struct ml_script_plugin *)b)->name);
}

bool ml_deploy_keep(struct ml_deploy *deploy, struct ml_org_deploy *org,
                    const struct ml_org_deploy *from, const struct ml_deploy_part *part)
{
    size_t n = org->plugin_count;
    struct ml_script_plugin *plugins =
        ml_arena_array(&deploy->arena, n + from->plugin_count + 1, sizeof *plugins);

    if (!plugins)
        return false;
    if (n)
        memcpy(plugins, org->plugins, n * sizeof *plugins);
    for (size_t i = 0; i < from->plugin_count; i++) {
        if (part && ml_part_has_plugin(part, from->plugins[i].folder))
            continue;
        if (!copy_instance(deploy, &from->plugins[i], &plugins[n++]))
            return false;
    }
    qsort(plugins, n, sizeof *plugins, by_name);
    org->plugins = plugins;
    org->plugin_count = n;
    org->keeps_text = from->keeps_text;
    org->memory_bytes = from->memory_bytes;
    org->cpu = from->cpu;
    org->hooks |= from->hooks;
    deploy->hooks |= org->hooks;
    return copy(deploy, from->facts_json, &org->facts_json) &&
           (part || (share(deploy, from->order_json, &org->order_json) &&
                     share(deploy, from->secrets_json, &org->secrets_json)));
}

const struct ml_org_deploy *ml_deploy_entry(const struct ml_deploy *deploy, struct ml_slice org)
{
    for (size_t i = 1; i < deploy->org_count; i++)
        if (ml_slice_equal(deploy->orgs[i].name, org))
            return &deploy->orgs[i];
    return NULL;
}

/* ---- Generations ---------------------------------------------------------------------------- */

static bool same_docs(const struct ml_script_plugin *a, const struct ml_script_plugin *b)
{
    if (a->doc_count != b->doc_count)
        return false;
    for (size_t i = 0; i < a->doc_count; i++)
        if (!ml_slice_equal(a->docs[i], b->docs[i]))
            return false;
    return true;
}

static bool same_instance(const struct ml_script_plugin *a, const struct ml_script_plugin *b)
{
    return ml_slice_equal(a->name, b->name) && ml_slice_equal(a->folder, b->folder) &&
           ml_slice_equal(a->config_json, b->config_json) && same_docs(a, b) &&
           a->is_shadow == b->is_shadow && a->source->hash == b->source->hash;
}

static const struct ml_script_plugin *instance_named(const struct ml_org_deploy *org,
                                                     struct ml_slice name)
{
    for (size_t i = 0; i < org->plugin_count; i++)
        if (ml_slice_equal(org->plugins[i].name, name))
            return &org->plugins[i];
    return NULL;
}

/* The number that one org gives is not given again to other code by another, so that the two can
 * meet in one org later. */
static uint32_t next_generation(const struct ml_deploy *before, const struct ml_script_plugin *old)
{
    const struct ml_meant *meant =
        before ? ml_deploy_meant(before, (const char *)old->folder.ptr) : NULL;

    return (meant && meant->newest > old->generation ? meant->newest : old->generation) + 1;
}

static void number_org(struct ml_deploy *deploy, const struct ml_deploy *before, bool all_shadow,
                       const struct ml_org_deploy *org)
{
    const struct ml_org_deploy *was = before ? ml_deploy_org(before, org->name) : NULL;

    for (size_t k = 0; k < org->plugin_count; k++) {
        struct ml_script_plugin *plugin = (struct ml_script_plugin *)(uintptr_t)&org->plugins[k];
        const struct ml_script_plugin *old = was ? instance_named(was, plugin->name) : NULL;
        struct ml_meant *meant = ml_deploy_meant(deploy, (const char *)plugin->folder.ptr);
        bool is_same = old && same_instance(old, plugin);

        if (all_shadow && !is_same)
            plugin->is_shadow = true;
        plugin->generation = !old ? 1 : is_same ? old->generation : next_generation(before, old);
        if (meant && plugin->generation > meant->newest)
            meant->newest = plugin->generation;
    }
}

void ml_deploy_number_all(struct ml_deploy *deploy, const struct ml_deploy *before, bool all_shadow)
{
    for (size_t i = 0; i < deploy->meant_count; i++) {
        const struct ml_meant *old = before ? ml_deploy_meant(before, deploy->meant[i].name) : NULL;

        if (old)
            deploy->meant[i].newest = old->newest;
    }
    for (size_t i = 0; i < deploy->org_count; i++)
        number_org(deploy, before, all_shadow, &deploy->orgs[i]);
}

bool ml_deploy_differs(const struct ml_deploy *before, const struct ml_deploy *after,
                       struct ml_slice org)
{
    const struct ml_org_deploy *a = ml_deploy_org(before, org), *b = ml_deploy_org(after, org);

    if (a->plugin_count != b->plugin_count || a->memory_bytes != b->memory_bytes ||
        a->cpu != b->cpu || a->keeps_text != b->keeps_text ||
        !ml_slice_equal(a->facts_json, b->facts_json) ||
        !ml_slice_equal(a->order_json, b->order_json) ||
        !ml_slice_equal(a->secrets_json, b->secrets_json))
        return true;
    for (size_t i = 0; i < a->plugin_count; i++)
        if (!same_instance(&a->plugins[i], &b->plugins[i]) ||
            a->plugins[i].generation != b->plugins[i].generation)
            return true;
    return false;
}

/* ---- A part of an earlier one --------------------------------------------------------------- */

static bool part_is_same(const struct ml_org_deploy *a, const struct ml_org_deploy *b,
                         const struct ml_deploy_part *part)
{
    size_t in_a = 0, in_b = 0;

    for (size_t i = 0; i < b->plugin_count; i++)
        in_b += ml_part_has_plugin(part, b->plugins[i].folder);
    for (size_t i = 0; i < a->plugin_count; i++) {
        const struct ml_script_plugin *other = instance_named(b, a->plugins[i].name);

        if (!ml_part_has_plugin(part, a->plugins[i].folder))
            continue;
        in_a++;
        if (!other || !same_instance(&a->plugins[i], other))
            return false;
    }
    return in_a == in_b;
}

/* Instances inside of the part as `then` has them, the others as `now` does. */
static bool mix_org(struct ml_deploy *deploy, const struct ml_deploy *now,
                    const struct ml_deploy *then, const struct ml_deploy_part *part,
                    struct ml_slice name)
{
    const struct ml_org_deploy *ours = ml_deploy_org(now, name);
    const struct ml_org_deploy *theirs = ml_deploy_org(then, name);
    struct ml_org_deploy *org = &deploy->orgs[deploy->org_count];
    struct ml_script_plugin *plugins;
    size_t n = 0;

    *org = (struct ml_org_deploy){0};
    if (!copy(deploy, name, &org->name))
        return false;
    deploy->org_count++;
    if (!ml_part_has_org(part, name))
        return ml_deploy_keep(deploy, org, ours, NULL);
    if (!part->plugins.len)
        return ml_deploy_keep(deploy, org, theirs, NULL);
    plugins = ml_arena_array(&deploy->arena, theirs->plugin_count + 1, sizeof *plugins);
    if (!plugins)
        return false;
    for (size_t i = 0; i < theirs->plugin_count; i++)
        if (ml_part_has_plugin(part, theirs->plugins[i].folder) &&
            !copy_instance(deploy, &theirs->plugins[i], &plugins[n++]))
            return false;
    org->plugins = plugins;
    org->plugin_count = n;
    org->hooks = theirs->hooks;
    return ml_deploy_keep(deploy, org, ours, part) &&
           share(deploy, ours->order_json, &org->order_json) &&
           share(deploy, ours->secrets_json, &org->secrets_json);
}

/* What is read in `plugin list`: of the code that the part has now. */
static bool mix_meant(struct ml_deploy *deploy, const struct ml_deploy *now,
                      const struct ml_deploy *then, const struct ml_deploy_part *part)
{
    deploy->meant = ml_arena_array(&deploy->arena, now->meant_count + then->meant_count + 1,
                                   sizeof *deploy->meant);
    if (!deploy->meant)
        return false;
    for (size_t i = 0; i < now->meant_count + then->meant_count; i++) {
        bool is_now = i < now->meant_count;
        const struct ml_meant *one = is_now ? &now->meant[i] : &then->meant[i - now->meant_count];
        const struct ml_meant *other = ml_deploy_meant(then, one->name);
        uint32_t newest = one->newest;

        if (ml_deploy_meant(deploy, one->name))
            continue;
        if (is_now && !part->org.len && other && ml_part_has_plugin(part, ml_slice_str(one->name)))
            one = other;
        deploy->meant[deploy->meant_count] = *one;
        deploy->meant[deploy->meant_count].newest = newest > one->newest ? newest : one->newest;
        deploy->meant[deploy->meant_count].source = one->source ? ml_source_ref(one->source) : NULL;
        if (!copy(deploy, one->needs, &deploy->meant[deploy->meant_count++].needs))
            return false;
    }
    return true;
}

static bool mix_orgs(struct ml_deploy *deploy, const struct ml_deploy *now,
                     const struct ml_deploy *then, const struct ml_deploy_part *part)
{
    size_t max = now->org_count + then->org_count + 1;

    deploy->orgs = ml_arena_array(&deploy->arena, max, sizeof *deploy->orgs);
    if (!deploy->orgs || !mix_org(deploy, now, then, part, (struct ml_slice){0}))
        return false;
    for (size_t i = 1; i < now->org_count; i++)
        if (!mix_org(deploy, now, then, part, now->orgs[i].name))
            return false;
    for (size_t i = 1; i < then->org_count; i++)
        if (ml_part_has_org(part, then->orgs[i].name) &&
            !ml_deploy_entry(deploy, then->orgs[i].name) &&
            !mix_org(deploy, now, then, part, then->orgs[i].name))
            return false;
    return !part->org.len || ml_deploy_entry(deploy, part->org) ||
           mix_org(deploy, now, then, part, part->org);
}

static bool is_same_part(const struct ml_deploy *now, const struct ml_deploy *then,
                         const struct ml_deploy_part *part)
{
    if (part->org.len)
        return part_is_same(ml_deploy_org(now, part->org), ml_deploy_org(then, part->org), part);
    for (size_t i = 0; i < now->org_count; i++)
        if (!part_is_same(&now->orgs[i], ml_deploy_org(then, now->orgs[i].name), part))
            return false;
    for (size_t i = 1; i < then->org_count; i++)
        if (!part_is_same(ml_deploy_org(now, then->orgs[i].name), &then->orgs[i], part))
            return false;
    return true;
}

enum ml_err ml_deploy_mix(const struct ml_deploy *now, const struct ml_deploy *then,
                          const struct ml_deploy_part *part, struct ml_diag *diag,
                          struct ml_deploy **deploy_out)
{
    struct ml_deploy *deploy;

    if (is_same_part(now, then, part))
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no earlier state of it");
    deploy = ml_deploy_alloc();
    if (!deploy || !mix_meant(deploy, now, then, part) || !mix_orgs(deploy, now, then, part)) {
        ml_deploy_unref(deploy);
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    }
    *deploy_out = deploy;
    return ML_OK;
}
