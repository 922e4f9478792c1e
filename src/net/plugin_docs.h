/* SPDX-License-Identifier: MIT */
/*
 * ml.docs: what plugins do with documents other than the one in their hook. Part of net.h.
 *
 *   get     what is committed, read from the journal     list    the journal's list
 *   create  as POST …/docs, with its hooks               delete  as DELETE …, with its hooks
 *   apply, run  where the document is live (room/errand.h)
 */
#ifndef ML_NET_PLUGIN_DOCS_H
#define ML_NET_PLUGIN_DOCS_H

#include "base/err.h"
#include "script/script.h"

struct ml_net;

/**
 * op: name says what; key: the document; value: an encoded list of operations (create, apply), JSON
 * (run); prefix: a path (get), of names (list); items: "task", "template", "content".
 * @param done  once, on this loop, never from inside this call; not at all if the loop ends before.
 *              `answer` is borrowed
 * @retval ML_EBUSY, ML_EFORMAT, ML_ENOTFOUND  `done` will not run
 */
enum ml_err ml_docs_order(struct ml_net *net, const struct ml_script_op *op,
                          void (*done)(void *arg, const struct ml_script_answer *answer),
                          void *arg) ML_MUST_CHECK;

#endif
