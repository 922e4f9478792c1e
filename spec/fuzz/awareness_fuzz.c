/* SPDX-License-Identifier: MIT */
/* Awareness updates: entries stay inside the input, and what is written reads the same. */
#include "base/assert.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct ml_presence_entry *entry)
{
    struct ml_presence_reader reader;
    struct ml_presence_entry again;
    struct ml_writer out;
    bool more;

    ml_writer_init(&out, 1u << 24);
    ml_write_varuint(&out, 1);
    ml_presence_write(&out, entry);
    ML_ASSERT(out.err == ML_OK);
    ML_ASSERT(ml_presence_begin(ml_writer_slice(&out), &reader) == ML_OK);
    ML_ASSERT(ml_presence_next(&reader, &more, &again) == ML_OK && more);
    ML_ASSERT(again.client == entry->client && again.clock == entry->clock);
    ML_ASSERT(again.offline == entry->offline);
    ML_ASSERT(entry->offline || ml_slice_equal(again.json, entry->json));
    ml_writer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_presence_reader reader;
    size_t entries = 0;

    if (ml_presence_begin(ml_slice_make(data, size), &reader))
        return 0;
    for (;;) {
        struct ml_presence_entry entry;
        bool more;

        if (ml_presence_next(&reader, &more, &entry) || !more)
            return 0;
        ML_ASSERT(++entries <= size);
        ML_ASSERT(entry.json.len == 0 ||
                  (entry.json.ptr >= data && entry.json.ptr + entry.json.len <= data + size));
        check_round_trip(&entry);
    }
}
