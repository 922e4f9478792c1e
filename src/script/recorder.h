/* SPDX-License-Identifier: MIT */
/* The flight recorder as the rest of script/ sees it. Private to script/. */
#ifndef ML_SCRIPT_RECORDER_H
#define ML_SCRIPT_RECORDER_H

#include "script/state.h"

#define ML_FLIGHT_SLOW_US 1000u /* the soft deadline of a hook that does not wait */

struct ml_flight_call {
    const struct ml_plugin *plugin;
    const char *hook;
    const char *verdict;        /* static: "deny", "error", "timeout", "memory", "slow", "ok" */
    struct ml_slice code, text; /* of a denial or error; may be empty */
    uint64_t took_us;
};

/**
 * Note a call, with what script->question says it was asked. What there is no memory for is left
 * out. Cost: that of printing the question, at most 64 edits.
 */
void ml_flight_note(struct ml_script *script, const struct ml_flight_call *call);
/** A call that failed: script->fault says how. */
void ml_flight_failed(struct ml_script *script, const struct ml_plugin *plugin, const char *hook);
/** What `from` knows goes on in `to`. */
void ml_flight_move(struct ml_script *from, struct ml_script *to);
void ml_flight_free(struct ml_flight *flight);
/** JSON objects of those that the filter takes, oldest first, with commas between them. */
void ml_flight_print(const struct ml_flight *flight, struct ml_slice org,
                     const struct ml_flight_filter *filter, struct ml_writer *out);
/** The question as a JSON object, document text and secrets masked. flight_input.c */
void ml_flight_input(const struct ml_question *question, bool with_text, struct ml_writer *out);
/** What both write. */
void ml_flight_text(struct ml_writer *out, struct ml_slice text);

#endif
