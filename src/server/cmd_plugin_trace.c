/* SPDX-License-Identifier: MIT */
/* `moonloom plugin trace` and `why` in words: one line per call, one per plugin that was asked. */
#include "server/cmd_plugin_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *text(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(value) ? value->valuestring : "";
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static void print_call(const cJSON *call)
{
    double at_us = number(call, "at_us");
    time_t seconds = (time_t)(at_us / 1e6);
    struct tm when;
    char clock[16] = "";

    if (gmtime_r(&seconds, &when))
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &when);
    (void)printf("%s.%03dZ  %-16s %-7s %8.0fus  %s@%.0f  %s/%s", clock,
                 (int)(((unsigned long long)at_us / 1000) % 1000), text(call, "hook"),
                 text(call, "verdict"), number(call, "took_us"), text(call, "instance"),
                 number(call, "generation"), text(call, "org"), text(call, "document"));
    if (*text(call, "code"))
        (void)printf("  %s", text(call, "code"));
    if (*text(call, "text"))
        (void)printf("  %s", text(call, "text"));
    (void)printf("\n");
}

void ml_trace_print(const cJSON *answer, bool as_json)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "items"))
    {
        char *line = as_json ? cJSON_PrintUnformatted(item) : NULL;

        if (!as_json)
            print_call(item);
        else if (line)
            (void)printf("%s\n", line);
        cJSON_free(line);
    }
}

int ml_why_print(const cJSON *answer)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "answers"))
    {
        const cJSON *detail = cJSON_GetObjectItemCaseSensitive(item, "detail");
        char *json = cJSON_IsNull(detail) ? NULL : cJSON_PrintUnformatted(detail);
        bool shadow = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "shadow"));

        (void)printf("%-24s %-9s %s%s  (%s%s)\n", text(item, "instance"), text(item, "answer"),
                     text(item, "text"), json ? json : "", text(item, "place"),
                     shadow ? "; shadow: it does not count" : "");
        cJSON_free(json);
    }
    (void)printf("outcome: %s\n", text(answer, "outcome"));
    return strcmp(text(answer, "outcome"), "grant") == 0 ? 0 : 1;
}
