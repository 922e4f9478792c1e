/* SPDX-License-Identifier: MIT */
/* Request heads, and what is asked of them afterwards: the address, the query. */
#include "base/assert.h"
#include "net/head.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_whole(const struct ml_head *head, struct ml_slice bytes)
{
    struct ml_parameter parameters[ML_QUERY_MAX];
    struct ml_slice org, name;
    struct ml_arena scratch;
    size_t count;

    ML_ASSERT(head->len_bytes <= bytes.len && head->len_bytes <= ML_HEAD_MAX_BYTES + 2);
    ML_ASSERT(head->path.len && head->path.ptr[0] == '/');
    ML_ASSERT(head->field_count <= ML_HEAD_FIELD_COUNT);
    ml_arena_init(&scratch, 1u << 20);
    if (ml_url_document(head->path, ML_SLICE("/sync/"), &scratch, &org, &name) == ML_OK) {
        ML_ASSERT(org.len && org.len <= 63 && name.len && name.len <= 512);
        ML_ASSERT(!memchr(name.ptr, 0, name.len) && !memchr(name.ptr, '\n', name.len));
    }
    if (ml_url_query(head->query, &scratch, parameters, &count) == ML_OK)
        ML_ASSERT(count <= ML_QUERY_MAX);
    (void)ml_head_has_token(head, "connection", "upgrade");
    (void)ml_head_first_token(ml_head_field(head, "sec-websocket-protocol"));
    ml_arena_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice bytes = ml_slice_make(data, size);
    struct ml_head head;
    unsigned status;

    switch (ml_head_parse(bytes, &head, &status)) {
    case ML_HEAD_COMPLETE:
        check_whole(&head, bytes);
        /* What stands behind the head does not change it. */
        ML_ASSERT(ml_head_parse(ml_slice_make(data, head.len_bytes), &head, &status) ==
                  ML_HEAD_COMPLETE);
        break;
    case ML_HEAD_BROKEN:
        ML_ASSERT(status >= 400 && status < 600);
        break;
    case ML_HEAD_PARTIAL:
        ML_ASSERT(size <= ML_HEAD_MAX_BYTES + 2);
        break;
    }
    return 0;
}
