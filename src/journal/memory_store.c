/* SPDX-License-Identifier: MIT */
/*
 * The store in memory: keys in one sorted array, jobs in the order of their ids. The model that the
 * databases are compared with; a server with `store = "memory:"` keeps little in it.
 */
#include "journal/store_item.h"

#include <stdlib.h>

#include "base/assert.h"

struct pair {
    struct ml_slice org, instance, space, key; /* in `text` */
    struct ml_blob *value;
    uint64_t rev;
    int64_t expires_ms; /* 0: never */
    uint8_t text[];
};

struct job {
    struct ml_store_job job; /* its texts stand in `arena` */
    struct ml_arena arena;
};

struct ml_memory_store {
    struct pair **pairs;
    size_t pair_count, pair_cap;
    struct job **jobs;
    size_t job_count, job_cap;
    uint64_t rev; /* one for all orgs: only its order counts */
};

/* ---- Keys ------------------------------------------------------------------------------------ */

static int compare(struct ml_slice a, struct ml_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_place(const struct pair *pair, struct ml_slice org, struct ml_slice instance,
                         struct ml_slice space, struct ml_slice key)
{
    int c = compare(pair->org, org);

    if (!c)
        c = compare(pair->instance, instance);
    if (!c)
        c = compare(pair->space, space);
    return c ? c : compare(pair->key, key);
}

/* Index of the first pair that is not before this place. */
static size_t place_of(const struct ml_memory_store *s, struct ml_slice org,
                       struct ml_slice instance, struct ml_slice space, struct ml_slice key)
{
    size_t low = 0, high = s->pair_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_place(s->pairs[middle], org, instance, space, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_alive(const struct pair *pair, int64_t now_ms)
{
    return !pair->expires_ms || pair->expires_ms > now_ms;
}

static bool is_prefixed(struct ml_slice key, struct ml_slice prefix)
{
    return key.len >= prefix.len && (!prefix.len || memcmp(key.ptr, prefix.ptr, prefix.len) == 0);
}

/* The pair with this key, if it is alive. */
static struct pair *find(const struct ml_memory_store *s, const struct ml_store_write *w,
                         struct ml_slice key)
{
    size_t at = place_of(s, w->org, w->instance, w->space, key);

    if (at == s->pair_count ||
        compare_place(s->pairs[at], w->org, w->instance, w->space, key) != 0 ||
        !is_alive(s->pairs[at], w->now_ms))
        return NULL;
    return s->pairs[at];
}

static void free_pair(struct pair *pair)
{
    ml_blob_unref(pair->value);
    free(pair);
}

static struct ml_slice put(uint8_t **at, struct ml_slice text)
{
    struct ml_slice copy = ml_slice_make(*at, text.len);

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static struct pair *new_pair(const struct ml_store_write *w, struct ml_slice key,
                             struct ml_slice value)
{
    struct pair *pair =
        malloc(sizeof *pair + w->org.len + w->instance.len + w->space.len + key.len);
    uint8_t *at;

    if (!pair)
        return NULL;
    at = pair->text;
    pair->org = put(&at, w->org);
    pair->instance = put(&at, w->instance);
    pair->space = put(&at, w->space);
    pair->key = put(&at, key);
    pair->value = ml_blob_new(value);
    if (pair->value)
        return pair;
    free(pair);
    return NULL;
}

static void *grown(void *list, size_t count, size_t *cap)
{
    size_t wanted = *cap ? *cap * 2 : 64;
    void *moved;

    if (count < *cap)
        return list;
    moved = realloc(list, wanted * sizeof(void *));
    if (moved)
        *cap = wanted;
    return moved;
}

static bool set(struct ml_memory_store *s, const struct ml_store_write *w, struct ml_slice key,
                struct ml_slice value, int64_t expires_ms)
{
    size_t at = place_of(s, w->org, w->instance, w->space, key);
    struct pair *pair = new_pair(w, key, value), **pairs;

    if (!pair)
        return false;
    pair->rev = w->rev;
    pair->expires_ms = expires_ms;
    if (at < s->pair_count &&
        compare_place(s->pairs[at], w->org, w->instance, w->space, key) == 0) {
        free_pair(s->pairs[at]);
        s->pairs[at] = pair;
        return true;
    }
    pairs = grown(s->pairs, s->pair_count, &s->pair_cap);
    if (!pairs) {
        free_pair(pair);
        return false;
    }
    s->pairs = pairs;
    memmove(&pairs[at + 1], &pairs[at], (s->pair_count - at) * sizeof *pairs);
    pairs[at] = pair;
    s->pair_count++;
    return true;
}

static void remove_pair(struct ml_memory_store *s, size_t at)
{
    free_pair(s->pairs[at]);
    s->pair_count--;
    memmove(&s->pairs[at], &s->pairs[at + 1], (s->pair_count - at) * sizeof *s->pairs);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void free_job(struct job *job)
{
    ml_arena_release(&job->arena);
    free(job);
}

static struct job *job_with_id(const struct ml_memory_store *s, const struct ml_store_write *w,
                               struct ml_slice id)
{
    for (size_t i = 0; i < s->job_count; i++)
        if (ml_slice_equal(s->jobs[i]->job.org, w->org) &&
            ml_slice_equal(ml_slice_str(s->jobs[i]->job.id), id))
            return s->jobs[i];
    return NULL;
}

static void remove_job(struct ml_memory_store *s, const struct job *job)
{
    for (size_t i = 0; i < s->job_count; i++) {
        if (s->jobs[i] != job)
            continue;
        free_job(s->jobs[i]);
        s->job_count--;
        memmove(&s->jobs[i], &s->jobs[i + 1], (s->job_count - i) * sizeof *s->jobs);
        return;
    }
}

/* The queued job of the same name and key: there is only one. */
static struct job *queued_twin(const struct ml_memory_store *s, const struct ml_store_write *w,
                               const struct ml_store_item *item)
{
    for (size_t i = 0; item->upto.len && i < s->job_count; i++) {
        const struct ml_store_job *job = &s->jobs[i]->job;

        if (ml_slice_equal(job->org, w->org) &&
            ml_slice_equal(job->instance, ml_store_job_instance(w, item)) &&
            ml_slice_equal(job->name, item->key) && ml_slice_equal(job->key, item->upto) &&
            !job->dead_ms && !job->leased_until_ms)
            return s->jobs[i];
    }
    return NULL;
}

static bool push(struct ml_memory_store *s, const struct ml_store_write *w,
                 struct ml_store_item *item)
{
    struct job *job = queued_twin(s, w, item), **jobs;

    if (job) {
        memcpy(item->id_out, job->job.id, sizeof item->id_out);
        return true;
    }
    jobs = grown(s->jobs, s->job_count, &s->job_cap);
    job = jobs ? calloc(1, sizeof *job) : NULL;
    if (jobs)
        s->jobs = jobs;
    if (!job)
        return false;
    ml_arena_init(&job->arena, ML_STORE_VALUE_MAX + 8192);
    job->job = (struct ml_store_job){
        .org = w->org,
        .instance = ml_store_job_instance(w, item),
        .name = item->key,
        .key = item->upto,
        .args = item->value,
        .queued_ms = w->now_ms,
        .due_ms = item->due_ms ? item->due_ms : w->now_ms,
    };
    ml_job_id(w->now_ms, job->job.id);
    memcpy(item->id_out, job->job.id, sizeof item->id_out);
    if (!ml_store_keep_job(&job->arena, &job->job)) {
        free_job(job);
        return false;
    }
    s->jobs[s->job_count++] = job;
    return true;
}

/* Does another job of the same key run? */
static bool is_key_busy(const struct ml_memory_store *s, const struct ml_store_job *job,
                        int64_t now_ms)
{
    for (size_t i = 0; job->key.len && i < s->job_count; i++) {
        const struct ml_store_job *other = &s->jobs[i]->job;

        if (other != job && other->leased_until_ms > now_ms && !other->dead_ms &&
            ml_slice_equal(other->org, job->org) &&
            ml_slice_equal(other->instance, job->instance) &&
            ml_slice_equal(other->name, job->name) && ml_slice_equal(other->key, job->key))
            return true;
    }
    return false;
}

static struct ml_store_job *most_due(const struct ml_memory_store *s, int64_t now_ms)
{
    struct ml_store_job *best = NULL;

    for (size_t i = 0; i < s->job_count; i++) {
        struct ml_store_job *job = &s->jobs[i]->job;

        if (job->dead_ms || job->due_ms > now_ms || job->leased_until_ms > now_ms ||
            (best && best->due_ms <= job->due_ms) || is_key_busy(s, job, now_ms))
            continue;
        best = job;
    }
    return best;
}

static enum ml_err take(struct ml_memory_store *s, struct ml_store_write *w)
{
    const struct ml_store_item *item = &w->items[0];

    w->jobs = ml_arena_array(&w->arena, item->count, sizeof *w->jobs);
    if (!w->jobs)
        return ML_ELIMIT;
    while (w->job_count < item->count) {
        struct ml_store_job *job = most_due(s, w->now_ms);

        if (!job)
            break;
        job->leased_until_ms = w->now_ms + (int64_t)item->ttl_ms;
        job->try++;
        w->jobs[w->job_count] = *job;
        if (!ml_store_keep_job(&w->arena, &w->jobs[w->job_count]))
            return ML_ELIMIT;
        w->job_count++;
    }
    return ML_OK;
}

static bool set_why(struct job *job, struct ml_slice why)
{
    struct ml_arena arena;
    struct ml_store_job copy = job->job;

    ml_arena_init(&arena, ML_STORE_VALUE_MAX + 8192);
    copy.why = why;
    if (!ml_store_keep_job(&arena, &copy)) {
        ml_arena_release(&arena);
        return false;
    }
    ml_arena_release(&job->arena);
    job->arena = arena;
    job->job = copy;
    return true;
}

static void end_leases(struct ml_memory_store *s)
{
    for (size_t i = 0; i < s->job_count; i++)
        s->jobs[i]->job.leased_until_ms = 0;
}

/* ---- Committing: everything is checked before anything is written ---------------------------- */

static bool range_is_same(const struct ml_memory_store *s, const struct ml_store_write *w,
                          const struct ml_store_item *item)
{
    size_t at = place_of(s, w->org, w->instance, w->space,
                         compare(item->value, item->key) > 0 ? item->value : item->key);
    uint64_t count = 0, newest = 0;

    for (; at < s->pair_count; at++) {
        const struct pair *pair = s->pairs[at];

        if (compare_place(pair, w->org, w->instance, w->space, pair->key) != 0 ||
            !is_prefixed(pair->key, item->key) ||
            (item->upto.len && compare(pair->key, item->upto) > 0))
            break;
        if ((item->value.len && compare(pair->key, item->value) <= 0) || !is_alive(pair, w->now_ms))
            continue;
        count++;
        newest = pair->rev > newest ? pair->rev : newest;
    }
    return count == item->count && newest == item->rev;
}

static enum ml_err check(const struct ml_memory_store *s, const struct ml_store_write *w,
                         const struct ml_store_item *item)
{
    const struct pair *pair;
    const struct job *job;
    double number;

    switch (item->act) {
    case ML_STORE_CHECK:
        pair = find(s, w, item->key);
        return (pair ? pair->rev : 0) == item->rev ? ML_OK : ML_ECONFLICT;
    case ML_STORE_RANGE:
        return range_is_same(s, w, item) ? ML_OK : ML_ECONFLICT;
    case ML_STORE_INCR:
        pair = find(s, w, item->key);
        return !pair || ml_store_number(ml_blob_slice(pair->value), &number) ? ML_OK : ML_EFORMAT;
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        job = job_with_id(s, w, item->key);
        return job && job->job.try == item->rev && job->job.leased_until_ms && !job->job.dead_ms
                   ? ML_OK
                   : ML_ECONFLICT;
    case ML_STORE_REVIVE:
        job = job_with_id(s, w, item->key);
        return job && job->job.dead_ms ? ML_OK : ML_ENOTFOUND;
    case ML_STORE_SET:
    case ML_STORE_DELETE:
    case ML_STORE_PUSH:
    case ML_STORE_TAKE:
    case ML_STORE_FREE:
        break;
    }
    return ML_OK;
}

static bool add(struct ml_memory_store *s, const struct ml_store_write *w,
                struct ml_store_item *item)
{
    const struct pair *pair = find(s, w, item->key);
    int64_t expires_ms = ml_store_expiry(item, w->now_ms);
    char text[64];
    double sum = 0;

    if (pair) {
        (void)ml_store_number(ml_blob_slice(pair->value), &sum);
        expires_ms = item->ttl_ms ? expires_ms : pair->expires_ms;
    }
    item->number_out = sum + item->number;
    return set(s, w, item->key,
               ml_slice_make(text, ml_store_number_text(item->number_out, text, sizeof text)),
               expires_ms);
}

static bool end_try(struct ml_memory_store *s, const struct ml_store_write *w,
                    const struct ml_store_item *item)
{
    struct job *job = job_with_id(s, w, item->key);

    if (!job)
        return true; /* an item before this one ended it */
    if (item->act == ML_STORE_DONE) {
        remove_job(s, job);
        return true;
    }
    if (!set_why(job, item->value))
        return false;
    job->job.leased_until_ms = 0;
    if (item->act == ML_STORE_DEAD) {
        job->job.dead_ms = w->now_ms;
        return true;
    }
    job->job.due_ms = item->due_ms ? item->due_ms : w->now_ms;
    job->job.try -= item->count ? 1 : 0;
    return true;
}

static bool write_item(struct ml_memory_store *s, struct ml_store_write *w,
                       struct ml_store_item *item)
{
    size_t at;

    switch (item->act) {
    case ML_STORE_SET:
        item->rev_out = w->rev;
        return set(s, w, item->key, item->value, ml_store_expiry(item, w->now_ms));
    case ML_STORE_DELETE:
        item->rev_out = find(s, w, item->key) != NULL;
        at = place_of(s, w->org, w->instance, w->space, item->key);
        if (item->rev_out)
            remove_pair(s, at);
        return true;
    case ML_STORE_INCR:
        item->rev_out = w->rev;
        return add(s, w, item);
    case ML_STORE_PUSH:
        return push(s, w, item);
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        return end_try(s, w, item);
    case ML_STORE_REVIVE: {
        struct ml_store_job *job = &job_with_id(s, w, item->key)->job;

        job->dead_ms = job->leased_until_ms = 0;
        job->try = 0;
        job->due_ms = w->now_ms;
        return true;
    }
    case ML_STORE_FREE:
        end_leases(s);
        return true;
    case ML_STORE_CHECK:
    case ML_STORE_RANGE:
    case ML_STORE_TAKE:
        break;
    }
    return true;
}

enum ml_err ml_memory_store_commit(struct ml_memory_store *s, struct ml_store_write *w)
{
    if (w->count == 1 && w->items[0].act == ML_STORE_TAKE)
        return take(s, w);
    for (size_t i = 0; i < w->count; i++) {
        enum ml_err err = check(s, w, &w->items[i]);

        if (err)
            return err;
    }
    w->rev = ++s->rev;
    for (size_t i = 0; i < w->count; i++)
        if (!write_item(s, w, &w->items[i]))
            return ML_ELIMIT; /* no memory: what was written stays, and the process is near its end
                               */
    return ML_OK;
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bool keep_pair(struct ml_store_read *r, const struct pair *pair)
{
    struct ml_store_pair *out = &r->pairs[r->count++];

    out->key = ml_arena_copy(&r->arena, pair->key);
    out->value = ml_arena_copy(&r->arena, ml_blob_slice(pair->value));
    out->rev = pair->rev;
    return out->key.ptr && out->value.ptr;
}

static enum ml_err scan(const struct ml_memory_store *s, struct ml_store_read *r)
{
    bool get = r->look == ML_STORE_GET;
    size_t at = place_of(s, r->org, r->instance, r->space,
                         !get && compare(r->after, r->key) > 0 ? r->after : r->key);
    size_t bytes = 0;

    r->pairs = ml_arena_array(&r->arena, r->limit, sizeof *r->pairs);
    if (!r->pairs)
        return ML_ELIMIT;
    for (; at < s->pair_count; at++) {
        const struct pair *pair = s->pairs[at];

        if (compare_place(pair, r->org, r->instance, r->space, pair->key) != 0 ||
            (get ? !ml_slice_equal(pair->key, r->key) : !is_prefixed(pair->key, r->key)))
            break;
        if (!is_alive(pair, r->now_ms) ||
            (!get && r->after.len && compare(pair->key, r->after) <= 0))
            continue;
        if (r->count == r->limit || bytes > ML_STORE_PAGE_BYTES) {
            r->more = true;
            break;
        }
        bytes += pair->value->len;
        if (!keep_pair(r, pair))
            return ML_ELIMIT;
    }
    return ML_OK;
}

static enum ml_err list_jobs(const struct ml_memory_store *s, struct ml_store_read *r)
{
    r->jobs = ml_arena_array(&r->arena, r->limit, sizeof *r->jobs);
    if (!r->jobs)
        return ML_ELIMIT;
    for (size_t i = 0; i < s->job_count; i++) {
        const struct ml_store_job *job = &s->jobs[i]->job;
        struct ml_slice id = ml_slice_str(job->id);

        if (!ml_slice_equal(job->org, r->org) ||
            (r->instance.len && !ml_slice_equal(job->instance, r->instance)) ||
            (r->only_dead && !job->dead_ms) || (r->key.len && !ml_slice_equal(id, r->key)) ||
            (r->after.len && compare(id, r->after) <= 0))
            continue;
        if (r->count == r->limit) {
            r->more = true;
            break;
        }
        r->jobs[r->count] = *job;
        if (!ml_store_keep_job(&r->arena, &r->jobs[r->count]))
            return ML_ELIMIT;
        r->count++;
    }
    return ML_OK;
}

enum ml_err ml_memory_store_look(struct ml_memory_store *s, struct ml_store_read *r)
{
    return r->look == ML_STORE_JOBS ? list_jobs(s, r) : scan(s, r);
}

/* ---- Life and death -------------------------------------------------------------------------- */

struct ml_memory_store *ml_memory_store_new(void)
{
    return calloc(1, sizeof(struct ml_memory_store));
}

void ml_memory_store_free(struct ml_memory_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->pair_count; i++)
        free_pair(s->pairs[i]);
    for (size_t i = 0; i < s->job_count; i++)
        free_job(s->jobs[i]);
    free(s->pairs);
    free(s->jobs);
    free(s);
}
