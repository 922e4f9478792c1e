/* SPDX-License-Identifier: MIT */
/* Calls of plugins' functions that are about a document. Private to net. */
#ifndef ML_NET_RPC_DOC_H
#define ML_NET_RPC_DOC_H

#include "net/api.h"

struct ml_rpc_doc;
struct ml_doc_port;

/** The document is at hand, and lent until the function first waits. */
typedef void (*ml_rpc_run)(struct ml_call *call, const struct ml_doc *doc,
                           struct ml_doc_port *port);

/** Read call->name in its turn; then `run`, or the call is answered. The job lives in the call;
 * *job_out is set before `run`. */
void ml_rpc_doc_start(struct ml_call *call, struct ml_rpc_doc **job_out, ml_rpc_run run);
/** The function waits: what it has not written by now it cannot write any more. */
void ml_rpc_doc_waits(struct ml_rpc_doc *job);
/** The function has answered `value`, JSON. True: it has written, and the call is answered with it
 * when that is committed (or with why not). False: it has only read; answer, and drop the job. */
bool ml_rpc_doc_deliver(struct ml_rpc_doc *job, struct ml_slice value);
/** Nothing is written. Before the call is answered otherwise; NULL is fine. */
void ml_rpc_doc_drop(struct ml_rpc_doc *job);

#endif
