/* SPDX-License-Identifier: MIT */
/*
 * Values: the input is read as JSON text and as Any.
 *
 *  - text that passes the check can be converted, and only that;
 *  - what is written is its own normal form;
 *  - JSON made of a value is JSON, and converts to a value that prints the same.
 */
#include "engine/any.h"

#include "fuzz.h"

#define DEPTH 64

/* JSON -> Any -> JSON -> Any: the last two steps repeat the first two. */
static void check_json(struct ml_slice text)
{
    enum ml_err checked = ml_json_check(text, DEPTH), err;
    struct ml_writer any, json, again;
    struct ml_reader in;

    ml_writer_init(&any, FUZZ_MAX);
    ml_writer_init(&json, FUZZ_MAX);
    ml_writer_init(&again, FUZZ_MAX);
    err = ml_json_to_any(text, DEPTH, &any);
    ML_ASSERT(err == checked);
    if (!err) {
        in = ml_reader_make(ml_writer_slice(&any));
        err = ml_any_skip(&in, DEPTH);
        ML_ASSERT(!err && ml_reader_left(&in) == 0);
        in = ml_reader_make(ml_writer_slice(&any));
        err = ml_any_normalise(&in, DEPTH, &again);
        ML_ASSERT(!err && ml_slice_equal(ml_writer_slice(&any), ml_writer_slice(&again)));
        in = ml_reader_make(ml_writer_slice(&any));
        err = ml_any_to_json(&in, ML_ANY_JSON_STRINGIFY, &json);
        ML_ASSERT(!err);
        err = ml_json_check(ml_writer_slice(&json), DEPTH);
        ML_ASSERT(!err);
    }
    ml_writer_release(&any);
    ml_writer_release(&json);
    ml_writer_release(&again);
}

static void check_any(struct ml_slice bytes)
{
    struct ml_reader in = ml_reader_make(bytes), other = in;
    struct ml_writer normal, twice, json;
    enum ml_err err = ml_any_skip(&in, DEPTH), same;

    ml_writer_init(&normal, FUZZ_MAX);
    ml_writer_init(&twice, FUZZ_MAX);
    ml_writer_init(&json, FUZZ_MAX);
    same = ml_any_normalise(&other, DEPTH, &normal);
    ML_ASSERT(same == err);
    if (!err) {
        ML_ASSERT(in.pos == other.pos);
        in = ml_reader_make(ml_writer_slice(&normal));
        err = ml_any_normalise(&in, DEPTH, &twice);
        ML_ASSERT(!err && ml_slice_equal(ml_writer_slice(&normal), ml_writer_slice(&twice)));
        for (int how = ML_ANY_JSON_STRINGIFY; how <= ML_ANY_JSON_READABLE; how++) {
            in = ml_reader_make(bytes);
            ml_writer_reset(&json);
            err = ml_any_to_json(&in, (enum ml_any_json)how, &json);
            ML_ASSERT(!err || how == ML_ANY_JSON_STRINGIFY);
            if (!err)
                ML_ASSERT(ml_json_check(ml_writer_slice(&json), DEPTH + 1) == ML_OK);
        }
        in = ml_reader_make(bytes);
        ml_writer_reset(&json);
        err = ml_any_to_text(&in, &json);
        ML_ASSERT(!err);
    }
    ml_writer_release(&normal);
    ml_writer_release(&twice);
    ml_writer_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16)
        return 0;
    check_json(ml_slice_make(data, size));
    check_any(ml_slice_make(data, size));
    return 0;
}
