/* SPDX-License-Identifier: MIT */
#include "server/fetch.h"

#include "base/assert.h"
#include "server/web.h"

#include <stdlib.h>

struct ml_fetcher {
    struct ml_web *web;
    size_t count; /* under way, or not released */
};

struct job {
    struct ml_web_request web;
    struct ml_net_fetch *fetch;
};

static void on_done(struct ml_web_request *web)
{
    struct ml_net_fetch *fetch = ML_CONTAINER(web, struct job, web)->fetch;

    fetch->err = web->err;
    fetch->status = web->status;
    fetch->body = web->body;
    fetch->done(fetch);
}

static void release(void *arg, struct ml_net_fetch *fetch)
{
    struct ml_fetcher *fetcher = arg;
    struct job *job = fetch->job;

    fetch->job = NULL;
    fetch->body = ml_slice_make(NULL, 0);
    if (!job)
        return;
    ml_web_release(&job->web);
    free(job);
    fetcher->count--;
}

static enum ml_err begin(void *arg, struct ml_net_fetch *fetch)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct ml_fetcher *fetcher = arg;
    struct job *job = calloc(1, sizeof *job);
    enum ml_err err;

    if (!job)
        return ML_ELIMIT;
    job->fetch = fetch;
    job->web =
        (struct ml_web_request){.org = ML_SLICE("-"),
                                .instance = ML_SLICE("-"),
                                .method = fetch->form.len ? ML_SLICE("POST") : ML_SLICE("GET"),
                                .url = fetch->url,
                                .sends = fetch->form,
                                .timeout_ms = fetch->timeout_ms,
                                .max_bytes = fetch->max_bytes,
                                .done = on_done};
    err = ml_web_add_header(&job->web, ML_SLICE("accept"), ML_SLICE("application/json"));
    if (!err && fetch->form.len)
        err = ml_web_add_header(&job->web, ML_SLICE("content-type"), ml_slice_str(form));
    if (!err)
        err = ml_web_begin(fetcher->web, &job->web);
    if (err) {
        ml_web_release(&job->web);
        free(job);
        return err;
    }
    fetch->job = job;
    fetcher->count++;
    return ML_OK;
}

struct ml_fetcher *ml_fetcher_new(uv_loop_t *loop, const struct ml_config *config)
{
    struct ml_fetcher *fetcher = calloc(1, sizeof *fetcher);

    if (fetcher)
        fetcher->web = ml_web_new(loop, config->outgoing, config->outgoing_count, config->is_dev);
    if (fetcher && !fetcher->web) {
        free(fetcher);
        return NULL;
    }
    return fetcher;
}

struct ml_net_client ml_fetcher_client(struct ml_fetcher *fetcher)
{
    return (struct ml_net_client){.begin = begin, .release = release, .arg = fetcher};
}

void ml_fetcher_close(struct ml_fetcher *fetcher)
{
    if (!fetcher)
        return;
    ML_ASSERT(fetcher->count == 0);
    ml_web_close(fetcher->web);
    free(fetcher);
}
