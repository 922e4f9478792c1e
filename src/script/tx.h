/* SPDX-License-Identifier: MIT */
/*
 * A transaction in the hands of Lua (plugin-api 9.5): the handles `tx:text(path)` and friends write
 * into a document that is between ml_doc_begin and its end. Who began it ends it. Private to
 * script/.
 *
 *   function to call on the stack; ml_tx_push; ml_doc_begin; ml_tx_call  -> commit
 *                                                                     \-> rollback, lua_error
 */
#ifndef ML_SCRIPT_TX_H
#define ML_SCRIPT_TX_H

#include "script/state.h"

struct ml_tx {
    struct ml_doc *doc;  /* between begin and its end, while ml_tx_call runs */
    struct ml_diag diag; /* given to ml_doc_begin */
    struct ml_arena scratch;
};

void ml_tx_init(struct ml_tx *tx);
void ml_tx_release(struct ml_tx *tx);
/** Push what the function gets; expires when ml_tx_call returns. Raises if another one is at work.
 */
void ml_tx_push(lua_State *L, struct ml_tx *tx);
/**
 * Stack: function, what ml_tx_push left; afterwards the function's answer, or (not 0) its error.
 * Never raises, never waits.
 */
int ml_tx_call(lua_State *L, struct ml_tx *tx);
/** The same with more on the stack: `count` arguments, the first of them what ml_tx_push left. */
int ml_tx_call_with(lua_State *L, struct ml_tx *tx, int count);

#endif
