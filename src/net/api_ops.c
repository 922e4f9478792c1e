/* SPDX-License-Identifier: MIT */
/*
 * Operations: edits as data, by somebody who has no replica. The server writes for them as a Yjs
 * client of its own: reads the committed document, runs the operations on it, and sends what came
 * of it through the room like any member's update.
 *
 *   body --> turn (lane.h) --> read --> run (worker) --> update --> room --> answered, next turn
 */
#include "net/api.h"
#include "net/fields.h"
#include "net/lane.h"

struct ops_job {
    struct ml_turn turn;
    struct ml_call *call;
    struct ml_reading reading;
    struct ml_writing writing;
    struct ml_slice ops;
    struct ml_writer update;
    uint64_t expected_seq;
    bool is_conditional;
};

static void leave(struct ops_job *job, bool is_known)
{
    ml_writer_release(&job->update);
    ml_turn_end(&job->turn, is_known);
}

static void on_written(struct ml_writing *writing)
{
    struct ops_job *job = ML_CONTAINER(writing, struct ops_job, writing);

    leave(job, writing->err != ML_ECLOSED);
    ml_call_written(job->call, writing);
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
        leave(job, true);
        ml_call_failed(call, reading->err);
    } else if (reading->err) {
        leave(job, true);
        ml_call_error(call, reading->err == ML_ELIMIT ? 413 : 400, "bad_ops", why);
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
            .is_own = true,
            .expected_seq = job->expected_seq,
            .done = on_written,
        };
        ml_writing_start(call->net, &job->writing);
    }
}

static void on_turn(struct ml_turn *turn, ml_client_id client)
{
    struct ops_job *job = ML_CONTAINER(turn, struct ops_job, turn);

    job->reading = (struct ml_reading){
        .org = job->call->org,
        .name = job->call->name,
        .client = client,
        .may_be_new = true, /* as for a member, whose first words make the document */
        .work = run_ops,
        .done = on_run,
    };
    ml_reading_start(job->call->net, &job->reading);
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

    if (!job) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    *job = (struct ops_job){.call = call, .turn = {.run = on_turn}};
    if (!ml_call_if_match(call, &job->is_conditional, &job->expected_seq) ||
        !read_ops(call, &job->ops))
        return;
    ml_writer_init(&job->update, ML_API_IMPORT_MAX);
    ml_call_wait(call);
    if (!ml_turn_take(call->net, call->org, call->name, &job->turn))
        ml_call_error(call, 503, "overloaded", "Too much is waiting; try again later.");
}
