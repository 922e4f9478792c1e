/* SPDX-License-Identifier: MIT */
/*
 * What of a document's past goes: versions that retention does not want, then records that
 * compaction may drop. After a snapshot was taken, at most once an hour per document.
 *
 *   list of versions --> retain hook --> delete, one after the other --> compact hook --> how far?
 *                                                                          --> records dropped
 *
 * What the journal protects whatever is asked: pinned and published versions, the snapshots that a
 * load relies on, records that three good snapshots do not cover. What is protected here: versions
 * that somebody made, and everything younger than a day. The room may go meanwhile, the rooms not.
 */
#include "base/log.h"
#include "room/live.h"

#include <stdlib.h>

#define HOUR_MS      3600000
#define GRACE_MS     (24 * (int64_t)HOUR_MS)
#define VERSIONS_MAX 1000

struct keeping {
    struct ml_rooms *rooms; /* which are not empty as long as this is under way */
    struct ml_arena arena;
    struct ml_slice org, name;
    uint64_t epoch, safe_seq;
    struct ml_versions versions;
    struct ml_script_snapshot *snapshots;
    struct ml_script_retention retention;
    size_t next;
    struct ml_version_change change;
    struct ml_describe describe;
    struct ml_script_compaction compaction;
    struct ml_load moment;
    struct ml_compact compact;
};

/* With the handlers that apply to this document; good until control is back in the loop. */
static struct ml_script *script_of(const struct keeping *keeping)
{
    const struct ml_room_env *env = &keeping->rooms->env;

    return env->cells ? ml_cells_script(env->cells, keeping->org, keeping->name) : env->script;
}

static bool has_hook(const struct keeping *keeping, enum ml_hook hook)
{
    struct ml_script *script = script_of(keeping);

    return script && (ml_script_hooks(script) & hook);
}

static void end(struct keeping *keeping)
{
    ml_versions_release(&keeping->versions);
    keeping->rooms->keeping_count--;
    ml_arena_release(&keeping->arena);
    free(keeping);
}

/* ---- compaction ------------------------------------------------------------------------------ */

static void on_compacted(struct ml_compact *compact)
{
    struct keeping *keeping = ML_CONTAINER(compact, struct keeping, compact);

    if (compact->rows)
        ml_log(ML_LOG_INFO, "journal.compacted", "org=%s doc=%s upto=%llu rows=%llu bytes=%llu",
               ML_LOG_TEXT(keeping->org), ML_LOG_TEXT(keeping->name),
               (unsigned long long)compact->compacted_seq, (unsigned long long)compact->rows,
               (unsigned long long)compact->bytes);
    end(keeping);
}

/* until_seq is the last record that is old enough to go. */
static void on_moment(struct ml_load *load)
{
    struct keeping *keeping = ML_CONTAINER(load, struct keeping, moment);
    uint64_t upto = keeping->compaction.upto;
    enum ml_err err = load->err;

    if (load->until_seq < upto)
        upto = load->until_seq;
    ml_load_release(load);
    if (err || !upto) {
        end(keeping);
        return;
    }
    keeping->compact = (struct ml_compact){.org = keeping->org,
                                           .name = keeping->name,
                                           .upto = upto,
                                           .epoch = keeping->epoch,
                                           .done = on_compacted};
    ml_journal_compact(keeping->rooms->env.journal, &keeping->compact);
}

static void on_described(struct ml_describe *describe)
{
    struct keeping *keeping = ML_CONTAINER(describe, struct keeping, describe);
    struct ml_script_compaction *c = &keeping->compaction;
    enum ml_err err = describe->err;

    *c = (struct ml_script_compaction){
        .document = keeping->name,
        .journal_bytes = describe->record_bytes,
        .journal_rows = describe->head,
        .safe_seq = keeping->safe_seq,
    };
    ml_describe_release(describe);
    if (!err && has_hook(keeping, ML_HOOK_COMPACT))
        ml_script_compact(script_of(keeping), c);
    if (err || !c->wanted || !c->upto) {
        end(keeping);
        return;
    }
    keeping->moment = (struct ml_load){
        .org = keeping->org,
        .name = keeping->name,
        .after_seq = INT64_MAX, /* no records: only which one it was then */
        .until_ms = keeping->rooms->env.wall_ms(keeping->rooms->env.arg) - c->keep_history_ms,
        .done = on_moment,
    };
    ml_journal_load(keeping->rooms->env.journal, &keeping->moment);
}

static void compact(struct keeping *keeping)
{
    if (!has_hook(keeping, ML_HOOK_COMPACT)) {
        end(keeping);
        return;
    }
    keeping->describe =
        (struct ml_describe){.org = keeping->org, .name = keeping->name, .done = on_described};
    ml_journal_describe(keeping->rooms->env.journal, &keeping->describe);
}

/* ---- retention ------------------------------------------------------------------------------- */

static void delete_next(struct keeping *keeping);

static void on_deleted(struct ml_version_change *change)
{
    struct keeping *keeping = ML_CONTAINER(change, struct keeping, change);

    if (!change->err)
        ml_log(ML_LOG_INFO, "version.expired", "org=%s doc=%s version=%llu",
               ML_LOG_TEXT(keeping->org), ML_LOG_TEXT(keeping->name),
               (unsigned long long)change->number);
    delete_next(keeping);
}

static void delete_next(struct keeping *keeping)
{
    int64_t now_ms = keeping->rooms->env.wall_ms(keeping->rooms->env.arg);

    while (keeping->next < keeping->versions.count) {
        size_t i = keeping->next++;
        const struct ml_version *version = &keeping->versions.items[i];

        if (keeping->retention.keep[i] || version->is_named || version->is_pinned ||
            version->at_ms > now_ms - GRACE_MS)
            continue;
        keeping->change = (struct ml_version_change){.org = keeping->org,
                                                     .name = keeping->name,
                                                     .act = ML_VERSION_DELETE,
                                                     .number = version->number,
                                                     .done = on_deleted};
        ml_journal_change_version(keeping->rooms->env.journal, &keeping->change);
        return;
    }
    compact(keeping);
}

static void on_retained(struct ml_script_retention *retention)
{
    struct keeping *keeping = ML_CONTAINER(retention, struct keeping, retention);

    if (keeping->rooms->is_draining)
        end(keeping);
    else if (retention->all)
        compact(keeping);
    else
        delete_next(keeping);
}

static bool describe_versions(struct keeping *keeping)
{
    const struct ml_versions *list = &keeping->versions;
    struct ml_script_retention *r = &keeping->retention;

    keeping->snapshots =
        ml_arena_array(&keeping->arena, list->count + 1, sizeof *keeping->snapshots);
    r->keep = ml_arena_array(&keeping->arena, list->count + 1, sizeof *r->keep);
    if (!keeping->snapshots || !r->keep)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const struct ml_version *v = &list->items[i];

        r->keep[i] = false;
        keeping->snapshots[i] = (struct ml_script_snapshot){
            .document = keeping->name,
            .name = v->name,
            .labels = v->labels,
            .author = v->author,
            .version = v->number,
            .seq = v->seq,
            .bytes = v->bytes,
            .at_ms = v->at_ms,
            .pinned = v->is_pinned,
        };
    }
    r->document = keeping->name;
    r->snapshots = keeping->snapshots;
    r->count = list->count;
    r->done = on_retained;
    return true;
}

static void on_versions(struct ml_versions *request)
{
    struct keeping *keeping = ML_CONTAINER(request, struct keeping, versions);

    if (request->err || !describe_versions(keeping))
        end(keeping);
    else if (has_hook(keeping, ML_HOOK_RETAIN))
        ml_script_retain_start(script_of(keeping), &keeping->retention);
    else
        compact(keeping);
}

/** The snapshot of `seq` is stored. */
void ml_room_keep_house(struct ml_room *room, uint64_t seq)
{
    struct ml_script *script = ml_room_script(room);
    struct keeping *keeping;

    if (!script || !(ml_script_hooks(script) & (ML_HOOK_RETAIN | ML_HOOK_COMPACT)) ||
        room->rooms->is_draining ||
        (room->kept_house_ms && ml_room_now(room) - room->kept_house_ms < HOUR_MS))
        return;
    keeping = calloc(1, sizeof *keeping);
    if (!keeping)
        return;
    room->kept_house_ms = ml_room_now(room) + 1;
    ml_arena_init(&keeping->arena, 16u << 20);
    keeping->rooms = room->rooms;
    room->rooms->keeping_count++;
    keeping->org = ml_arena_copy(&keeping->arena, room->org);
    keeping->name = ml_arena_copy(&keeping->arena, room->name);
    keeping->epoch = room->epoch;
    keeping->safe_seq = seq;
    keeping->versions = (struct ml_versions){.org = keeping->org,
                                             .name = keeping->name,
                                             .before_number = ML_SEQ_ANY,
                                             .limit = VERSIONS_MAX,
                                             .done = on_versions};
    ml_journal_versions(keeping->rooms->env.journal, &keeping->versions);
}
