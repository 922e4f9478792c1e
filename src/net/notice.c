/* SPDX-License-Identifier: MIT */
/*
 * What became of a refused edit, for programs and people (docs/plugins/edits.md): the text that
 * every dialect carries in its own frame.
 */
#include "net/http.h"
#include "net/session.h"

#include <stdio.h>

#define NOTICE_BYTES_MAX 16384

enum ml_err ml_notice_write(const struct ml_notice *notice, struct ml_writer *text)
{
    char number[32];

    ml_writer_init(text, NOTICE_BYTES_MAX);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)notice->message_no);
    ml_write_bytes(text, ML_SLICE("{\"kind\":\"refused\""));
    if (notice->is_message) {
        ml_write_bytes(text, ML_SLICE(",\"message\":true"));
    } else {
        ml_write_bytes(text, ML_SLICE(",\"update\":"));
        ml_write_bytes(text, ml_slice_str(number));
    }
    ml_write_bytes(text, ML_SLICE(",\"code\":"));
    ml_json_write_text(text, notice->denial->code);
    ml_write_bytes(text, ML_SLICE(",\"reason\":"));
    ml_json_write_text(text, notice->denial->reason);
    if (notice->is_message) {
        ml_write_u8(text, '}');
        return text->err;
    }
    ml_write_bytes(text, notice->is_fenced ? ML_SLICE(",\"mode\":\"fence\",\"paths\":[")
                                           : ML_SLICE(",\"mode\":\"undo\",\"paths\":["));
    for (size_t i = 0; i < notice->path_count; i++) {
        if (i)
            ml_write_u8(text, ',');
        ml_json_write_text(text, notice->paths[i]);
    }
    ml_write_bytes(text, ML_SLICE("]}"));
    return text->err;
}
