/* SPDX-License-Identifier: MIT */
/*
 * What went wrong is an enum, why it went wrong is text. The list stays about a dozen long: a new
 * kind must change what some caller does.
 */
#ifndef ML_BASE_ERR_H
#define ML_BASE_ERR_H

#include <stddef.h>

#define ML_ERR_MAP(X)                                                                              \
    X(EFORMAT, "bytes do not follow the format")                                                   \
    X(ELIMIT, "over a configured ceiling")                                                         \
    X(EDENIED, "not allowed")                                                                      \
    X(ENOTFOUND, "no such thing")                                                                  \
    X(ECLOSED, "already closing")                                                                  \
    X(EBUSY, "full for now, try later")                                                            \
    X(EVERSION, "newer than this build understands")                                               \
    X(EIO, "disk, database or network failed")                                                     \
    X(EMOVED, "another node was faster, decide again")                                             \
    X(ECONFLICT, "changed meanwhile")                                                              \
    X(ETIMEDOUT, "took too long")                                                                  \
    X(ESCRIPT, "a plugin failed")

enum ml_err {
    ML_OK = 0,
#define X(name, text) ML_##name,
    ML_ERR_MAP(X)
#undef X
};

#define ML_MUST_CHECK __attribute__((warn_unused_result))

/** Details for a person: owned by the caller, filled by whoever fails. Passing NULL is fine. */
struct ml_diag {
    size_t offset;  /* byte offset in the input, where that means something */
    char text[240]; /* NUL-terminated, never document content */
};

/** "EFORMAT" … ; "OK" for ML_OK. Static. */
const char *ml_err_name(enum ml_err err);
/** The sentence beside the name. Static. */
const char *ml_err_text(enum ml_err err);

/** Fill `diag` (may be NULL) and hand `err` through, so that a failing line can return in one go.
 */
enum ml_err ml_diag_set(struct ml_diag *diag, enum ml_err err, size_t offset, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

#endif
