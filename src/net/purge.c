/* SPDX-License-Identifier: MIT */
/*
 * Purges: the journal keeps what caches have to forget (purges.h), this file brings it to the
 * `purge` hooks, until every one of them has said that it is done.
 *
 *   journal --> due? --> all of one document together --> taken --> hooks (they wait for the CDN)
 *      ^                                                     |
 *      +--- done: gone · not done: due again in 1 s … 5 min -+
 *
 * What is not urgent waits a second for more of the same document. Nothing is forgotten by a crash:
 * a purge that was under way is simply asked again. Of many nodes over one store the one that takes
 * it does it; if that one dies, the others may when its time is over. While an urgent one waits,
 * what is published of its document is answered no-store (cache.c, C3).
 */
#include "net/purge.h"

#include "net/ask.h"
#include "net/cache.h"
#include "net/publish.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE        8
#define LOOK_MAX       500
#define LOOK_MS        30000 /* unasked, for what other nodes left behind */
#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS  300000
#define RETRY_LEAST_MS 100    /* whatever a plugin wishes */
#define TAKEN_MS       120000 /* longer than hooks may take */
#define ARENA_MAX      (4u << 20)

struct ml_purger {
    struct ml_net *net; /* NULL: closed */
    struct ml_purges look;
    bool is_looking;
    uint64_t look_at_ms; /* of the loop's clock */
    struct ml_list under_way;
    size_t count; /* of them */
};

/* All purges of one document that wait. */
struct job {
    struct ml_list node;
    struct ml_purger *purger;
    struct ml_arena arena; /* everything below */
    struct ml_slice org, name;
    uint64_t *ids;
    size_t id_count;
    uint32_t try;
    struct ml_script_purging purging;
    struct ml_purge_note note;
};

static void free_if_over(struct ml_purger *purger)
{
    if (!purger->net && !purger->is_looking && !purger->count)
        free(purger);
}

static void look_soon(struct ml_purger *purger, uint64_t in_ms)
{
    uint64_t at_ms = purger->net ? ml_net_now(purger->net) + in_ms : 0;

    if (at_ms < purger->look_at_ms)
        purger->look_at_ms = at_ms;
}

/* ---- the end of a job ------------------------------------------------------------------------ */

static void end(struct job *job, uint64_t look_in_ms)
{
    struct ml_purger *purger = job->purger;

    ml_list_remove(&job->node);
    purger->count--;
    ml_arena_release(&job->arena);
    free(job);
    look_soon(purger, look_in_ms);
    free_if_over(purger);
}

static void on_noted(struct ml_purge_note *note)
{
    struct job *job = ML_CONTAINER(note, struct job, note);

    if (note->err) /* it is still there, and due: again, but not at once */
        ml_log(ML_LOG_WARN, "purge.not_noted", "org=%s doc=%s err=%s", ML_LOG_TEXT(job->org),
               ML_LOG_TEXT(job->name), ml_err_name(note->err));
    end(job, note->err ? RETRY_FIRST_MS : 0);
}

static uint64_t backoff_ms(uint32_t try)
{
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << (try < 9 ? try : 9);

    return ms < RETRY_LAST_MS ? ms : RETRY_LAST_MS;
}

static void on_purged(struct ml_script_purging *purging)
{
    struct job *job = ML_CONTAINER(purging, struct job, purging);
    struct ml_net *net = job->purger->net;
    uint64_t wait_ms = backoff_ms(job->try);

    if (!net) { /* it stays in the journal */
        end(job, 0);
        return;
    }
    if (purging->retry_ms)
        wait_ms = purging->retry_ms < RETRY_LEAST_MS ? RETRY_LEAST_MS : purging->retry_ms;
    if (purging->is_done)
        ml_log(ML_LOG_INFO, "purge.done", "org=%s doc=%s reason=%.*s", ML_LOG_TEXT(job->org),
               ML_LOG_TEXT(job->name), ML_PRINT(purging->purge.reason));
    else
        ml_log(ML_LOG_WARN, "purge.put_off",
               "org=%s doc=%s reason=%.*s try=%u ms=%" PRIu64 " why=%s", ML_LOG_TEXT(job->org),
               ML_LOG_TEXT(job->name), ML_PRINT(purging->purge.reason), job->try, wait_ms,
               ML_LOG_TEXT(ml_slice_str(purging->why)));
    job->note = (struct ml_purge_note){
        .act = purging->is_done ? ML_PURGE_DONE : ML_PURGE_RETRY,
        .ids = job->ids,
        .count = job->id_count,
        .due_ms = ml_clock_wall_ms() + (int64_t)wait_ms,
        .done = on_noted,
    };
    ml_journal_note_purge(net->env.journal, &job->note);
}

/* ---- what is to be forgotten ----------------------------------------------------------------- */

/* "https://docs.example.com" and the path of what is published; or the path alone. */
static struct ml_slice address(struct job *job, const char *rest)
{
    struct ml_net *net = job->purger->net;
    struct ml_slice kept;
    struct ml_writer url;

    ml_writer_init(&url, 16384);
    if (net->env.public_url)
        ml_write_bytes(&url, ml_slice_str(net->env.public_url));
    if (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    ml_publish_path(job->org, job->name, &url);
    ml_write_bytes(&url, ml_slice_str(rest));
    kept = ml_arena_copy(&job->arena, ml_writer_slice(&url));
    ml_writer_release(&url);
    return kept;
}

/* Its own address, and the files of the versions in `files`. */
static bool list_urls(struct job *job, struct ml_slice files)
{
    size_t max = 2 + ML_PURGE_FILES_MAX * ml_publish_form_count, count = 0;
    struct ml_slice *urls = ml_arena_array(&job->arena, max, sizeof *urls);
    char rest[128];

    if (!urls)
        return false;
    urls[count++] = address(job, "");
    urls[count++] = address(job, "?format=json");
    while (files.len) {
        const uint8_t *space = memchr(files.ptr, ' ', files.len);
        size_t len = space ? (size_t)(space - files.ptr) : files.len;

        for (size_t i = 0; i < ml_publish_form_count && count < max; i++) {
            (void)snprintf(rest, sizeof rest, "/s/%.*s/%s", (int)len, (const char *)files.ptr,
                           ml_publish_forms[i].file);
            urls[count++] = address(job, rest);
        }
        files.ptr += space ? len + 1 : len;
        files.len -= space ? len + 1 : len;
    }
    job->purging.purge.urls = urls;
    job->purging.purge.url_count = count;
    return true;
}

static bool list_keys(struct job *job)
{
    struct ml_slice *keys = ml_arena_array(&job->arena, 1, sizeof *keys);
    struct ml_slice *prefixes = ml_arena_array(&job->arena, 1, sizeof *prefixes);
    char key[ML_CACHE_DOC_HASH + 3] = "d-";

    if (!keys || !prefixes)
        return false;
    ml_cache_doc_hash(job->org, job->name, key + 2);
    keys[0] = ml_arena_copy(&job->arena, ml_slice_str(key));
    prefixes[0] = address(job, "");
    job->purging.purge.keys = keys;
    job->purging.purge.key_count = 1;
    job->purging.purge.prefixes = prefixes;
    job->purging.purge.prefix_count = 1;
    return keys[0].ptr && prefixes[0].ptr;
}

/* ---- beginning one --------------------------------------------------------------------------- */

static bool is_same(const struct ml_purge *a, const struct ml_purge *b)
{
    return ml_slice_equal(a->org, b->org) && ml_slice_equal(a->name, b->name);
}

static bool is_under_way(const struct ml_purger *purger, const struct ml_purge *purge)
{
    ML_LIST_EACH(node, &purger->under_way)
    {
        const struct job *job = ML_CONTAINER(node, struct job, node);

        if (ml_slice_equal(job->org, purge->org) && ml_slice_equal(job->name, purge->name))
            return true;
    }
    return false;
}

/* All rows of this document become one: the strictest reason, all files. */
static struct job *make_job(struct ml_purger *purger, const struct ml_purges *all,
                            const struct ml_purge *first)
{
    struct job *job = calloc(1, sizeof *job);
    enum ml_purge_reason reason = first->reason;
    struct ml_slice files = first->files;

    if (!job)
        return NULL;
    ml_arena_init(&job->arena, ARENA_MAX);
    job->purger = purger;
    job->org = ml_arena_copy(&job->arena, first->org);
    job->name = ml_arena_copy(&job->arena, first->name);
    job->ids = ml_arena_array(&job->arena, all->count, sizeof *job->ids);
    job->try = first->try;
    for (size_t i = 0; job->ids && i < all->count; i++) {
        const struct ml_purge *purge = &all->items[i];

        if (!is_same(purge, first))
            continue;
        job->ids[job->id_count++] = purge->id;
        if (ml_purge_is_urgent(purge->reason) && !ml_purge_is_urgent(reason))
            reason = purge->reason;
        if (purge->files.len > files.len)
            files = purge->files;
    }
    job->purging.purge.reason = ml_slice_str(ml_purge_reasons[reason]);
    job->purging.purge.urgent = ml_purge_is_urgent(reason);
    job->purging.done = on_purged;
    if (!job->ids || !job->org.ptr || !job->name.ptr || !list_urls(job, files) || !list_keys(job)) {
        ml_arena_release(&job->arena);
        free(job);
        return NULL;
    }
    return job;
}

static void on_taken(struct ml_purge_note *note)
{
    struct job *job = ML_CONTAINER(note, struct job, note);
    struct ml_net *net = job->purger->net;
    struct ml_script *script = net ? ml_net_script(net, job->org, job->name) : NULL;

    if (note->err || !net) {
        end(job, RETRY_FIRST_MS);
        return;
    }
    if (script && (ml_script_hooks(script) & ML_HOOK_PURGE)) {
        ml_script_purge_start(script, &job->purging);
        return;
    }
    job->purging.is_done = true; /* there is nobody to tell */
    on_purged(&job->purging);
}

static void start(struct ml_purger *purger, struct job *job)
{
    int64_t now_ms = ml_clock_wall_ms();

    ml_list_append(&purger->under_way, &job->node);
    purger->count++;
    job->note = (struct ml_purge_note){
        .act = ML_PURGE_TAKE,
        .ids = job->ids,
        .count = job->id_count,
        .at_ms = now_ms,
        .due_ms = now_ms + TAKEN_MS,
        .done = on_taken,
    };
    ml_journal_note_purge(purger->net->env.journal, &job->note);
}

static void on_looked(struct ml_purges *request)
{
    struct ml_purger *purger = ML_CONTAINER(request, struct ml_purger, look);
    int64_t now_ms = ml_clock_wall_ms();

    purger->is_looking = false;
    if (!purger->net) {
        ml_purges_release(request);
        free_if_over(purger);
        return;
    }
    for (size_t i = 0; i < request->count && purger->count < AT_ONCE; i++) {
        const struct ml_purge *purge = &request->items[i];
        struct job *job;

        if (is_under_way(purger, purge))
            continue;
        if (purge->due_ms > now_ms) {
            look_soon(purger, (uint64_t)(purge->due_ms - now_ms));
            break; /* they come in that order */
        }
        job = make_job(purger, request, purge);
        if (job)
            start(purger, job);
    }
    ml_purges_release(request);
}

/* ---- life ------------------------------------------------------------------------------------ */

bool ml_purger_open(struct ml_net *net)
{
    struct ml_purger *purger = calloc(1, sizeof *purger);

    if (!purger)
        return false;
    purger->net = net;
    ml_list_init(&purger->under_way);
    net->purger = purger;
    return true;
}

void ml_purger_close(struct ml_purger *purger)
{
    if (!purger)
        return;
    purger->net = NULL;
    free_if_over(purger);
}

void ml_purger_wake(struct ml_net *net)
{
    net->shared->has_purges = true;
}

void ml_purger_tick(struct ml_purger *purger)
{
    struct ml_net *net = purger->net;

    if (net->shared->has_purges) {
        net->shared->has_purges = false;
        purger->look_at_ms = 0;
    }
    if (purger->is_looking || net->is_closing || net->is_draining || purger->count >= AT_ONCE ||
        ml_net_now(net) < purger->look_at_ms)
        return;
    purger->look_at_ms = ml_net_now(net) + LOOK_MS;
    purger->is_looking = true;
    purger->look = (struct ml_purges){.limit = LOOK_MAX, .done = on_looked};
    ml_journal_purges(net->env.journal, &purger->look);
}
