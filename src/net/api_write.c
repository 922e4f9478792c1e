/* SPDX-License-Identifier: MIT */
/*
 * An update without a socket: it takes a seat like any member, submits, and leaves when the commit
 * is there. So it meets the same grant, hooks, limits and group commit, reaches everybody who has
 * the document open, and stands in the history with its author.
 *
 *             joined             submitted (ml_room_submit)        ack: committed
 *   JOINING --------> turn ------------------------------> WAITING --------------> turn: done
 *                      ^ |  EBUSY: pause(false) wakes it                 ^
 *                      +-+                            refused, closed ---+
 *
 * A port's functions only note what happened: a seat may not be used or left from inside them. What
 * follows happens in the next turn, before the loop sleeps.
 */
#include "net/api.h"
#include "net/lane.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

#define WAIT_MS   25000 /* then the outcome is unknown to who asked */
#define ARENA_MAX (512u << 20)
#define MESSAGE   1 /* the only one of this session */

static struct ml_writing *writing_of(struct ml_port *port)
{
    return ML_CONTAINER(port, struct ml_writing, port);
}

/* ---- what the room says ---------------------------------------------------------------------- */

static enum ml_err on_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    (void)port;
    (void)frame;
    (void)as;
    return ML_OK; /* nobody reads here */
}

static void end(struct ml_writing *writing, enum ml_err err)
{
    if (writing->is_ended)
        return;
    writing->is_ended = true;
    writing->err = err;
}

static void on_recorded(struct ml_port *port, uint64_t message_no, uint64_t seq)
{
    (void)message_no;
    writing_of(port)->seq = seq;
}

static void on_ack(struct ml_port *port, uint64_t message_no)
{
    (void)message_no;
    end(writing_of(port), ML_OK);
}

static struct ml_slice keep(struct ml_writing *writing, struct ml_slice text)
{
    return ml_arena_copy(&writing->arena, text);
}

static void on_refused(struct ml_port *port, const struct ml_notice *notice)
{
    const struct ml_denial *denial = notice->denial;
    struct ml_writing *writing = writing_of(port);

    writing->refused = true;
    writing->denial = *denial;
    writing->denial.code = keep(writing, denial->code);
    writing->denial.reason = keep(writing, denial->reason);
}

static enum ml_err err_of(const struct ml_writing *writing, enum ml_close why)
{
    switch (why) {
    case ML_CLOSE_DELETED:
        return ML_ENOTFOUND;
    case ML_CLOSE_INTERNAL:
        return ML_EFORMAT; /* it could not be loaded */
    case ML_CLOSE_FORBIDDEN:
        if (writing->refused) /* it may not be made */
            return ML_EDENIED;
        return writing->is_submitted ? ML_ECLOSED : ML_EBUSY;
    default:
        return writing->is_submitted ? ML_ECLOSED : ML_EBUSY;
    }
}

static void on_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct ml_writing *writing = writing_of(port);

    writing->member = member;
    writing->is_joined = member != NULL;
    if (!member)
        end(writing, err_of(writing, why));
}

static void on_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)reason;
    end(writing_of(port), err_of(writing_of(port), why));
}

static void on_failed(struct ml_port *port, uint64_t message_no, enum ml_err err)
{
    (void)message_no;
    writing_of(port)->is_submitted = false; /* it was not taken */
    end(writing_of(port), err);
}

static void on_pause(struct ml_port *port, bool paused)
{
    writing_of(port)->is_late = paused;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void submit(struct ml_writing *writing)
{
    enum ml_err err;

    if (writing->is_conditional && !ml_member_is_at(writing->member, writing->expected_seq)) {
        end(writing, ML_EMOVED);
        return;
    }
    writing->seq = ml_member_seq(writing->member); /* if it brings nothing new */
    writing->is_submitted = true;                  /* the room may answer before it returns */
    err = ml_room_submit(writing->member, writing->bytes, MESSAGE, false, &writing->arena);
    if (!err)
        return;
    writing->is_submitted = false;
    if (err != ML_EBUSY)
        end(writing, err);
}

static void finish(struct ml_writing *writing)
{
    void (*done)(struct ml_writing *) = writing->done;

    ml_list_remove(&writing->node);
    if (writing->member)
        ml_member_leave(writing->member);
    writing->member = NULL;
    done(writing); /* frees it, its arena included */
}

void ml_api_flush(struct ml_net *net)
{
    ML_LIST_EACH(node, &net->writings)
    {
        struct ml_writing *writing = ML_CONTAINER(node, struct ml_writing, node);

        if (writing->is_joined && !writing->is_submitted && !writing->is_late && !writing->is_ended)
            submit(writing);
        if (writing->is_ended)
            finish(writing);
    }
}

void ml_api_tick(struct ml_net *net)
{
    ml_lanes_drop(net, false);
    ML_LIST_EACH(node, &net->writings)
    {
        struct ml_writing *writing = ML_CONTAINER(node, struct ml_writing, node);

        if (ml_net_now(net) >= writing->until_ms)
            end(writing, writing->is_submitted ? ML_ECLOSED : ML_EBUSY);
    }
}

void ml_writing_start(struct ml_net *net, struct ml_writing *writing)
{
    struct ml_member *member;

    writing->net = net;
    writing->port = (struct ml_port){
        .dialect = ML_DIALECT_YWEBSOCKET,
        .send = on_send,
        .ack = on_ack,
        .joined = on_joined,
        .close = on_close,
        .pause = on_pause,
        .recorded = on_recorded,
        .refused = on_refused,
        .failed = on_failed,
        .is_hidden = true,
        .is_own = writing->is_own,
    };
    writing->until_ms = ml_net_now(net) + WAIT_MS;
    ml_arena_init(&writing->arena, ARENA_MAX);
    ml_list_append(&net->writings, &writing->node);
    if (net->is_draining ||
        ml_rooms_join(net->env.rooms, writing->org, writing->name, writing->identity,
                      writing->grant, &writing->port, &member))
        end(writing, ML_EBUSY);
    else if (!writing->is_ended)
        writing->member = member;
}

/* ---- POST …/updates -------------------------------------------------------------------------- */

struct update_job {
    struct ml_writing writing;
    struct ml_call *call;
    struct ml_writer v1;
};

static void on_written(struct ml_writing *writing)
{
    struct update_job *job = ML_CONTAINER(writing, struct update_job, writing);

    ml_writer_release(&job->v1);
    ml_call_written(job->call, writing);
}

void ml_call_written(struct ml_call *call, struct ml_writing *writing)
{
    struct ml_writer body;
    char fields[64];

    if (writing->refused && (!writing->err || writing->err == ML_EDENIED)) {
        struct ml_denial denial = writing->denial;

        denial.code = ml_arena_copy(&call->arena, denial.code);
        denial.reason = ml_arena_copy(&call->arena, denial.reason);
        ml_arena_release(&writing->arena);
        ml_call_denial(call, &denial);
        return;
    }
    ml_arena_release(&writing->arena);
    switch (writing->err) {
    case ML_OK:
        ml_writer_init(&body, 64);
        ml_http_print(&body, "{\"seq\":%" PRIu64 "}", writing->seq);
        (void)snprintf(fields, sizeof fields, "ETag: \"%" PRIu64 "\"\r\n", writing->seq);
        ml_call_json(call, 200, fields, &body);
        return;
    case ML_EDENIED:
        ml_call_error(call, 403, "denied", "You may not write this document.");
        return;
    case ML_EFORMAT:
        if (!writing->is_submitted && writing->is_joined)
            ml_call_error(call, 400, "bad_update", "The body is not a Yjs update.");
        else
            ml_call_failed(call, ML_EFORMAT);
        return;
    default:
        ml_call_failed(call, writing->err);
    }
}

void ml_api_update(struct ml_call *call)
{
    struct ml_slice format = ml_call_parameter(call, "format");
    struct update_job *job = ml_arena_alloc(&call->arena, sizeof *job);
    struct ml_slice bytes = ml_writer_slice(&call->body);
    uint64_t seq;
    bool is_conditional;

    if (!job) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    if (!ml_call_if_match(call, &is_conditional, &seq))
        return;
    ml_writer_init(&job->v1, ML_API_IMPORT_MAX * 4u);
    if (ml_slice_equal(format, ML_SLICE("v2"))) {
        const struct ml_engine_limits limits = {.update_structs = 2000000};

        if (ml_update_convert(bytes, ML_UPDATE_V2, &limits, &call->arena, &job->v1, NULL)) {
            ml_writer_release(&job->v1);
            ml_call_error(call, 400, "bad_update", "The body is not a Yjs update, version 2.");
            return;
        }
        bytes = ml_writer_slice(&job->v1);
    } else if (format.ptr && !ml_slice_equal(format, ML_SLICE("v1"))) {
        ml_call_error(call, 400, "bad_query", "format is v1 or v2.");
        return;
    }
    job->call = call;
    job->writing = (struct ml_writing){
        .org = call->org,
        .name = call->name,
        .bytes = bytes,
        .identity = &call->visitor.identity,
        .grant = &call->visitor.grant,
        .is_conditional = is_conditional,
        .expected_seq = seq,
        .done = on_written,
    };
    ml_call_wait(call);
    ml_writing_start(call->net, &job->writing);
}
