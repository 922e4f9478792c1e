/* SPDX-License-Identifier: MIT */
/*
 * Operations: edits as data, by somebody who has no replica. The server writes for them as a Yjs
 * client of its own: reads the committed document, runs the operations on it, and sends what came
 * of it through the room like any member's update.
 *
 *   body --> lane --> read --> run (worker) --> update --> room --> answered, next of the lane
 *
 * A document keeps every client id it ever saw. So all operations on a document share one id for as
 * long as somebody uses them (LANE_IDLE_MS), and run one after the other: the next one reads what
 * the one before has committed, so the clocks of the id never meet. When it is not known whether
 * one was committed, the lane takes a new id.
 */
#include "net/api.h"
#include "net/fields.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define LANE_IDLE_MS (5 * 60 * 1000)
#define LANE_MAX     64 /* calls that wait in one */

struct lane {
    struct ml_slice key; /* org NUL name, in `text` */
    ml_client_id client;
    struct ml_list waiting; /* ops_job.node */
    size_t count;           /* of them, the running one included */
    bool is_running;
    uint64_t used_ms;
    uint8_t text[];
};

struct ops_job {
    struct ml_list node;
    struct ml_call *call;
    struct lane *lane;
    struct ml_reading reading;
    struct ml_writing writing;
    struct ml_slice ops;
    struct ml_writer update;
    uint64_t expected_seq;
    bool is_conditional;
};

static void run_next(struct ml_net *net, struct lane *lane);

/* ---- lanes ----------------------------------------------------------------------------------- */

static ml_client_id random_client(void)
{
    ml_client_id client = 0;

    ML_ASSERT(getrandom(&client, sizeof client, 0) == (ssize_t)sizeof client);
    return (client & UINT32_MAX) | 1; /* as wide as the ids of Yjs 13 */
}

static struct lane *find_lane(struct ml_net *net, struct ml_slice org, struct ml_slice name)
{
    struct lane *lane = calloc(1, sizeof *lane + org.len + 1 + name.len);
    struct lane *found;

    if (!lane)
        return NULL;
    memcpy(lane->text, org.ptr, org.len);
    memcpy(lane->text + org.len + 1, name.ptr, name.len);
    lane->key = ml_slice_make(lane->text, org.len + 1 + name.len);
    found = ml_hashmap_get(&net->ops_lanes, lane->key);
    if (!found && ml_hashmap_put(&net->ops_lanes, lane->key, lane)) {
        ml_list_init(&lane->waiting);
        lane->client = random_client();
        return lane;
    }
    free(lane);
    return found;
}

void ml_api_drop_lanes(struct ml_net *net, bool all)
{
    bool again = true;

    while (again) {
        size_t cursor = 0;
        void *value;

        again = false;
        while (!again && ml_hashmap_next(&net->ops_lanes, &cursor, &value)) {
            struct lane *lane = value;

            if (lane->count || (!all && ml_net_now(net) - lane->used_ms < LANE_IDLE_MS))
                continue;
            (void)ml_hashmap_remove(&net->ops_lanes, lane->key);
            free(lane);
            again = true; /* the walk does not survive a change */
        }
    }
}

/* ---- one after the other --------------------------------------------------------------------- */

static void leave_lane(struct ops_job *job)
{
    struct lane *lane = job->lane;

    ml_writer_release(&job->update);
    lane->count--;
    lane->is_running = false;
    lane->used_ms = ml_net_now(job->call->net);
}

static void on_written(struct ml_writing *writing)
{
    struct ops_job *job = ML_CONTAINER(writing, struct ops_job, writing);
    struct ml_net *net = job->call->net;
    struct lane *lane = job->lane;

    if (writing->err == ML_ECLOSED)
        lane->client = random_client();
    leave_lane(job);
    ml_call_written(job->call, writing);
    run_next(net, lane);
}

/* Nothing was written. */
static void give_up(struct ops_job *job, unsigned status, const char *code, const char *message)
{
    struct ml_net *net = job->call->net;
    struct lane *lane = job->lane;

    leave_lane(job);
    ml_call_error(job->call, status, code, message);
    run_next(net, lane);
}

/* A worker's thread. */
static enum ml_err run_ops(struct ml_reading *reading, struct ml_doc *doc)
{
    struct ops_job *job = ML_CONTAINER(reading, struct ops_job, reading);
    const struct ml_change *change;
    enum ml_err err = ml_doc_run_ops(doc, job->ops, &job->call->arena, &reading->diag, &change);

    if (!err)
        ml_write_bytes(&job->update, change->bytes);
    return err ? err : job->update.err;
}

static void on_run(struct ml_reading *reading)
{
    struct ops_job *job = ML_CONTAINER(reading, struct ops_job, reading);
    struct ml_call *call = job->call;
    const char *why = reading->diag.text[0] ? reading->diag.text : ml_err_text(reading->err);

    if (reading->load.err || reading->err == ML_EIO) {
        struct ml_net *net = call->net;
        struct lane *lane = job->lane;
        enum ml_err err = reading->err;

        leave_lane(job);
        ml_call_failed(call, err);
        run_next(net, lane);
    } else if (reading->err) {
        give_up(job, reading->err == ML_ELIMIT ? 413 : 400, "bad_ops", why);
    } else if (!job->update.len) { /* operations that change nothing */
        bool is_late = job->is_conditional && job->expected_seq != reading->seq;

        job->writing = (struct ml_writing){.err = is_late ? ML_EMOVED : ML_OK, .seq = reading->seq};
        ml_arena_init(&job->writing.arena, 0);
        on_written(&job->writing);
    } else {
        job->writing = (struct ml_writing){
            .org = call->org,
            .name = call->name,
            .bytes = ml_writer_slice(&job->update),
            .identity = &call->visitor.identity,
            .grant = &call->visitor.grant,
            .is_conditional = job->is_conditional,
            .expected_seq = job->expected_seq,
            .done = on_written,
        };
        ml_writing_start(call->net, &job->writing);
    }
}

static void run_next(struct ml_net *net, struct lane *lane)
{
    struct ml_list *node = lane->is_running ? NULL : ml_list_take_first(&lane->waiting);
    struct ops_job *job;

    if (!node)
        return;
    job = ML_CONTAINER(node, struct ops_job, node);
    lane->is_running = true;
    job->reading = (struct ml_reading){
        .org = job->call->org,
        .name = job->call->name,
        .client = lane->client,
        .may_be_new = true, /* as for a member, whose first words make the document */
        .work = run_ops,
        .done = on_run,
    };
    ml_reading_start(net, &job->reading);
}

/* ---- POST …/ops ------------------------------------------------------------------------------ */

/* The list behind "ops", encoded. False: answered. */
static bool read_ops(struct ml_call *call, struct ml_slice *ops_out)
{
    static const char *const known[] = {"ops", NULL};
    const struct ml_engine_limits limits = {.any_depth = ML_API_DEPTH_MAX};
    struct ml_slice copy = {0}, value;
    struct ml_writer any;
    bool is_good;

    ml_writer_init(&any, 2 * ML_API_BODY_MAX);
    is_good = !ml_any_from_json(ml_writer_slice(&call->body), &limits, &any);
    if (is_good)
        copy = ml_arena_copy(&call->arena, ml_writer_slice(&any));
    ml_writer_release(&any);
    if (is_good && copy.ptr && !ml_fields_unknown(copy, known).ptr &&
        ml_fields_get(copy, "ops", &value) && ml_fields_is_list(value)) {
        *ops_out = value;
        return true;
    }
    ml_call_error(call, 400, "bad_json", "The body is {\"ops\": [[\"text.insert\", …], …]}.");
    return false;
}

void ml_api_ops(struct ml_call *call)
{
    struct ops_job *job = ml_arena_alloc(&call->arena, sizeof *job);
    struct lane *lane = job ? find_lane(call->net, call->org, call->name) : NULL;

    if (!lane || lane->count >= LANE_MAX) {
        ml_call_error(call, 503, "overloaded", "Too much is waiting; try again later.");
        return;
    }
    lane->used_ms = ml_net_now(call->net);
    if (!ml_call_if_match(call, &job->is_conditional, &job->expected_seq) ||
        !read_ops(call, &job->ops))
        return;
    job->call = call;
    job->lane = lane;
    ml_writer_init(&job->update, ML_API_IMPORT_MAX);
    lane->count++;
    ml_list_append(&lane->waiting, &job->node);
    ml_call_wait(call);
    run_next(call->net, lane);
}
