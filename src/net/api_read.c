/* SPDX-License-Identifier: MIT */
/*
 * Documents read: state, content. They come from the journal, not from the room: what is not
 * committed is not told, a reader wakes no room, and the past is read in the same way as the
 * present. Building and printing happens on libuv's worker threads, so that a large document is
 * slow for who asked and for nobody else.
 *
 *   waiting --(one of few)--> journal loads --> worker builds, works --> done, on the loop
 */
#include "net/api_versions.h"
#include "net/base64.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

#define READINGS_AT_ONCE 4
#define ANSWER_MAX       (128u << 20)

static void start_next(struct ml_net *net);

static void finish(struct ml_reading *reading)
{
    struct ml_net *net = reading->net;

    ml_load_release(&reading->load);
    net->readings--;
    reading->done(reading);
    start_next(net);
}

static enum ml_err build(struct ml_reading *reading, struct ml_doc *doc)
{
    const struct ml_load *load = &reading->load;
    enum ml_err err = ML_OK;

    if (load->snapshot)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->snapshot), &reading->diag);
    for (size_t i = 0; !err && i < load->count; i++)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->records[i].bytes), &reading->diag);
    return err;
}

/* A worker's thread. */
static void on_work(uv_work_t *worker)
{
    struct ml_reading *reading = worker->data;
    const struct ml_doc_options options = {.client = reading->client};
    struct ml_doc *doc = ml_doc_new(&options);

    reading->err = doc ? build(reading, doc) : ML_ELIMIT;
    if (!reading->err)
        reading->err = reading->work(reading, doc);
    ml_doc_free(doc);
    ml_engine_thread_end();
}

static void on_worked(uv_work_t *worker, int status)
{
    struct ml_reading *reading = worker->data;

    if (status)
        reading->err = ML_EIO;
    finish(reading);
}

static void on_loaded(struct ml_load *load)
{
    struct ml_reading *reading = ML_CONTAINER(load, struct ml_reading, load);

    reading->err = load->err;
    reading->exists = load->exists;
    reading->seq = load->count ? load->records[load->count - 1].seq : load->snapshot_seq;
    reading->worker.data = reading;
    if (!load->err && (load->exists || reading->may_be_new) &&
        !uv_queue_work(reading->net->env.loop, &reading->worker, on_work, on_worked))
        return;
    finish(reading);
}

static void start_next(struct ml_net *net)
{
    while (net->readings < READINGS_AT_ONCE) {
        struct ml_list *node = ml_list_take_first(&net->readings_waiting);
        struct ml_reading *reading;

        if (!node)
            return;
        net->readings++;
        reading = ML_CONTAINER(node, struct ml_reading, node);
        reading->load = (struct ml_load){
            .is_closed = true,
            .org = reading->org,
            .name = reading->name,
            .max_snapshot_seq = ML_SEQ_ANY,
            .until_seq = reading->until_seq,
            .until_ms = reading->until_ms,
            .done = on_loaded,
        };
        ml_journal_load(net->env.journal, &reading->load);
    }
}

void ml_reading_start(struct ml_net *net, struct ml_reading *reading)
{
    reading->net = net;
    reading->node = (struct ml_list){0};
    ml_list_append(&net->readings_waiting, &reading->node);
    start_next(net);
}

/* ---- routes ---------------------------------------------------------------------------------- */

enum form { FORM_TEXT, FORM_DELTA, FORM_JSON, FORM_XML, FORM_MARKDOWN, FORM_HTML, FORM_COUNT };

/* Whatever a browser makes of it, nothing in it runs (SEC-WEB-04). */
#define INERT                                                                                      \
    "Content-Security-Policy: default-src 'none'; sandbox; frame-ancestors 'none'\r\n"             \
    "Content-Disposition: attachment\r\n"

static const struct {
    const char *name, *type, *fields;
    enum ml_view view;
} forms[FORM_COUNT] = {
    [FORM_TEXT] = {"text", ML_HTTP_PLAIN, ML_HTTP_DATA_POLICY, ML_VIEW_TEXT},
    [FORM_DELTA] = {"delta", ML_HTTP_JSON, ML_HTTP_DATA_POLICY, ML_VIEW_DELTA},
    [FORM_JSON] = {"json", ML_HTTP_JSON, ML_HTTP_DATA_POLICY, ML_VIEW_JSON},
    [FORM_XML] = {"xml", "application/xml; charset=utf-8", INERT, ML_VIEW_XML},
    [FORM_MARKDOWN] = {"markdown", "text/markdown; charset=utf-8", ML_HTTP_DATA_POLICY,
                       ML_VIEW_MARKDOWN},
    [FORM_HTML] = {"html", ML_HTTP_HTML, INERT, ML_VIEW_HTML},
};

struct read_job {
    struct ml_reading reading;
    struct ml_call *call;
    struct ml_slice vector, root;
    bool is_v2;
    enum form form;
    struct ml_writer out;
    struct ml_version_search search; /* of a version's routes: which seq is it? */
};

static void on_read(struct ml_reading *reading)
{
    struct read_job *job = ML_CONTAINER(reading, struct read_job, reading);
    struct ml_call *call = job->call;
    char fields[384];

    if (reading->err || !reading->exists) {
        ml_writer_release(&job->out);
        if (reading->load.is_compacted)
            ml_call_error(call, 410, "compacted", "That moment is not kept any more.");
        else if (reading->err)
            ml_call_failed(call, reading->err);
        else
            ml_call_error(call, 404, "not_found", "There is no such document.");
        return;
    }
    if (!job->vector.len)
        ml_call_audit_sampled(call, "document.exported", call->name, "ok");
    (void)snprintf(fields, sizeof fields, ML_HTTP_NO_STORE "%sETag: \"%" PRIu64 "\"\r\n",
                   job->root.ptr ? forms[job->form].fields : ML_HTTP_DATA_POLICY, reading->seq);
    ml_call_answer(call, 200, job->root.ptr ? forms[job->form].type : "application/octet-stream",
                   fields, &job->out);
}

/* &seq= and &at=. False: answered. */
static bool read_moment(struct ml_call *call, struct ml_reading *reading)
{
    uint64_t seq, at_ms;

    if (!ml_call_number(call, "seq", 1, ML_VARUINT_MAX, 0, &seq) ||
        !ml_call_number(call, "at", 1, ML_VARUINT_MAX, 0, &at_ms))
        return false;
    reading->until_seq = seq;
    reading->until_ms = (int64_t)at_ms;
    return true;
}

static struct read_job *read_new(struct ml_call *call,
                                 enum ml_err (*work)(struct ml_reading *, struct ml_doc *))
{
    struct read_job *job = ml_arena_alloc(&call->arena, sizeof *job);

    if (!job) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    *job = (struct read_job){
        .reading = {.org = call->org, .name = call->name, .work = work, .done = on_read},
        .call = call};
    ml_writer_init(&job->out, ANSWER_MAX);
    return job;
}

static void on_version(struct ml_version_search *search, const struct ml_version *version)
{
    struct read_job *job = ML_CONTAINER(search, struct read_job, search);

    job->reading.until_seq = version->seq;
    ml_reading_start(search->call->net, &job->reading);
}

/* As it is, as it was at some moment, or a version. */
static void start(struct ml_call *call, struct read_job *job)
{
    if (!read_moment(call, &job->reading))
        return;
    if (call->version.len) {
        ml_version_search_start(&job->search, call, call->version, on_version);
        return;
    }
    ml_call_wait(call);
    ml_reading_start(call->net, &job->reading);
}

/* ---- state ----------------------------------------------------------------------------------- */

static enum ml_err encode_state(struct ml_reading *reading, struct ml_doc *doc)
{
    struct read_job *job = ML_CONTAINER(reading, struct read_job, reading);

    return job->is_v2 ? ml_doc_encode_state_v2(doc, job->vector, &job->out)
                      : ml_doc_encode_state(doc, job->vector, &job->out);
}

void ml_api_state(struct ml_call *call)
{
    struct ml_slice format = ml_call_parameter(call, "format");
    struct ml_slice vector = ml_call_parameter(call, "sv");
    struct read_job *job = read_new(call, encode_state);

    if (!job)
        return;
    if (format.ptr && !ml_slice_equal(format, ML_SLICE("v1")) &&
        !ml_slice_equal(format, ML_SLICE("v2"))) {
        ml_call_error(call, 400, "bad_query", "format is v1 or v2.");
        return;
    }
    job->is_v2 = ml_slice_equal(format, ML_SLICE("v2"));
    if (vector.len && (!ml_base64url_decode(vector, &call->arena, &job->vector) ||
                       ml_state_vector_check(job->vector, NULL))) {
        ml_call_error(call, 400, "bad_state_vector", "sv is not a state vector in base64url.");
        return;
    }
    start(call, job);
}

/* ---- content --------------------------------------------------------------------------------- */

static enum ml_err print_content(struct ml_reading *reading, struct ml_doc *doc)
{
    struct read_job *job = ML_CONTAINER(reading, struct read_job, reading);

    return ml_doc_read(doc, job->root, forms[job->form].view, &job->out);
}

void ml_api_content(struct ml_call *call)
{
    struct ml_slice root = ml_call_parameter(call, "root"), as = ml_call_parameter(call, "as");
    struct read_job *job = read_new(call, print_content);

    if (!job)
        return;
    job->root = root.ptr ? root : ML_SLICE("content");
    while (as.ptr && job->form < FORM_COUNT &&
           !ml_slice_equal(as, ml_slice_str(forms[job->form].name)))
        job->form++;
    if (job->form == FORM_COUNT) {
        ml_call_error(call, 400, "bad_query", "as is text, delta, json, xml, markdown or html.");
        return;
    }
    start(call, job);
}
