/* SPDX-License-Identifier: MIT */
/*
 * Values inside contents: lib0's Any and the JSON text of embeds and formats. Private to engine/.
 *
 * A document keeps values as the bytes of the wire; they are checked once on the way in (a walk, no
 * objects) and turned into something else only when somebody reads them or another format is
 * written.
 */
#ifndef ML_ENGINE_ANY_H
#define ML_ENGINE_ANY_H

#include "base/codec.h"

/** Step over one Any, checking tags, bounds, UTF-8 and depth. ML_EFORMAT or ML_ELIMIT (depth). */
enum ml_err ml_any_skip(struct ml_reader *r, uint32_t max_depth) ML_MUST_CHECK;

/** Is `text` one JSON value (RFC 8259, white space around it allowed)? ML_EFORMAT, ML_ELIMIT
 * (depth). */
enum ml_err ml_json_check(struct ml_slice text, uint32_t max_depth) ML_MUST_CHECK;

/** JSON text to Any, as lib0 would write JSON.parse's value (numbers by its rule, key order of JS).
 */
enum ml_err ml_json_to_any(struct ml_slice text, uint32_t max_depth,
                           struct ml_writer *out) ML_MUST_CHECK;

/* How Any looks as JSON. */
enum ml_any_json {
    ML_ANY_JSON_STRINGIFY, /* exactly JSON.stringify: undefined members left out, bytes as {"0":7,…}
                            */
    ML_ANY_JSON_READABLE, /* for readers: bytes {"$bytes":"hex"}, bigint as decimal string */
};
/** One Any at `r` to JSON text. */
enum ml_err ml_any_to_json(struct ml_reader *r, enum ml_any_json how,
                           struct ml_writer *out) ML_MUST_CHECK;

/** One Any at `r` as JavaScript's String() shows it: "1,2" for a list, "[object Object]" for an
 * object. */
enum ml_err ml_any_to_text(struct ml_reader *r, struct ml_writer *out) ML_MUST_CHECK;
/** {"$bytes":"hex"} */
void ml_write_json_bytes(struct ml_writer *out, struct ml_slice bytes);

/** One Any at `r` as lib0 writes it again: numbers by its rule, key order of JS, shortest varints.
 */
enum ml_err ml_any_normalise(struct ml_reader *r, uint32_t max_depth,
                             struct ml_writer *out) ML_MUST_CHECK;

/** A number as lib0 writes it: integer up to 31 bits, float32 if that is exact, else float64. */
void ml_write_any_number(struct ml_writer *out, double value);
/** A double as JavaScript's Number.prototype.toString prints it (shortest digits). */
void ml_write_js_number(struct ml_writer *out, double value);
/** A JSON string with JSON.stringify's escapes, quotes included. `text` is well-formed UTF-8. */
void ml_write_json_string(struct ml_writer *out, struct ml_slice text);

#endif
