/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

static void sink_stderr(enum ml_log_level level, const char *line)
{
    int64_t now_ms = ml_clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char stamp[32];

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)fprintf(stderr, "%s.%03dZ %s %s\n", stamp, (int)(now_ms % 1000), level_names[level],
                  line);
}

static atomic_int max_level = ML_LOG_INFO;
static void (*sink)(enum ml_log_level level, const char *line) = sink_stderr;

void ml_log_set_level(enum ml_log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool ml_log_enabled(enum ml_log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

void ml_log_set_sink(void (*new_sink)(enum ml_log_level level, const char *line))
{
    sink = new_sink ? new_sink : sink_stderr;
}

void ml_log(enum ml_log_level level, const char *event, const char *format, ...)
{
    char line[1024];
    va_list args;
    int n;

    if (!ml_log_enabled(level))
        return;
    n = snprintf(line, sizeof line, "%s%s", event, *format ? " " : "");
    if (n < 0 || (size_t)n >= sizeof line)
        return;
    va_start(args, format);
    (void)vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    sink(level, line);
}

struct ml_log_text ml_log_escape(struct ml_slice text)
{
    static const char hex[] = "0123456789abcdef";
    struct ml_log_text out;
    size_t n = 0;
    size_t i = 0;

    for (; i < text.len && n < 96; i++) {
        uint8_t c = text.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            out.text[n++] = '\\';
            out.text[n++] = 'x';
            out.text[n++] = hex[c >> 4];
            out.text[n++] = hex[c & 15];
        } else {
            out.text[n++] = (char)c;
        }
    }
    if (i < text.len) {
        memcpy(out.text + n, "...", 3);
        n += 3;
    }
    out.text[n] = 0;
    return out;
}
