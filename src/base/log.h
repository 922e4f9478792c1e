/* SPDX-License-Identifier: MIT */
/*
 * A line is an event name and key=value pairs:  room.loaded doc=… updates=812 ms=14
 * Never document text, tokens, cookies or whole URLs. Text from outside goes through ML_LOG_TEXT,
 * which escapes control bytes. Base, engine and proto never log; edges log once, where an error
 * stops.
 */
#ifndef ML_BASE_LOG_H
#define ML_BASE_LOG_H

#include "base/slice.h"

/* By who must act: an operator now; nobody yet, degraded; once per life of a thing; per message. */
enum ml_log_level { ML_LOG_ERROR, ML_LOG_WARN, ML_LOG_INFO, ML_LOG_DEBUG, ML_LOG_TRACE };

/** Lines above this level are not even formatted. Set before any thread starts. Default: INFO. */
void ml_log_set_level(enum ml_log_level level);
bool ml_log_enabled(enum ml_log_level level);

/** Where lines go; the text has no newline. Default: standard error with time and level. */
void ml_log_set_sink(void (*sink)(enum ml_log_level level, const char *line));

/** `event` is `noun.participle`; `format` makes the key=value pairs. Thread-safe. */
void ml_log(enum ml_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Text from outside made harmless for a log line: at most 96 bytes, quoted where needed. */
struct ml_log_text {
    char text[128];
};
struct ml_log_text ml_log_escape(struct ml_slice text);
#define ML_LOG_TEXT(slice) (ml_log_escape(slice).text)

#endif
