/* SPDX-License-Identifier: MIT */
/* What the flight recorder and `why` answer, for a person. */
#ifndef ML_SERVER_CMD_PLUGIN_TRACE_H
#define ML_SERVER_CMD_PLUGIN_TRACE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/** A line per call, or (as_json) an object per line. */
void ml_trace_print(const cJSON *answer, bool as_json);
/** The exit code: 0 if it is granted, else 1. */
int ml_why_print(const cJSON *answer);

#endif
