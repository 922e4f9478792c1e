/* SPDX-License-Identifier: MIT */
/*
 * Files of updates: one update, or a log of them, plain or gzip, or standard input.
 *
 *   log     (u32 little-endian length, that many bytes)*
 */
#ifndef ML_SERVER_UPDATE_FILE_H
#define ML_SERVER_UPDATE_FILE_H

#include "base/codec.h"

struct ml_update_file {
    /* private */
    const char *path; /* borrowed; "-": standard input */
    int fd;           /* of a plain file; -1: none */
    void *gz;         /* gzFile of a packed one, which owns its descriptor */
    struct ml_writer record;
    /* public, read only */
    uint64_t offset;     /* bytes taken so far, unpacked */
    uint64_t disk_bytes; /* size of the file on disk, 0 if that cannot be known */
};

/** Prints the reason to stderr when it fails (ML_EIO). @param max_bytes  of one record */
enum ml_err ml_update_file_open(struct ml_update_file *file, const char *path,
                                size_t max_bytes) ML_MUST_CHECK;
void ml_update_file_close(struct ml_update_file *file);

/**
 * The next record of a log; *more_out false at its end. The bytes are valid until the next call.
 * Errors are printed as `FILE: byte OFFSET: what is wrong`.
 */
enum ml_err ml_update_file_next(struct ml_update_file *file, struct ml_slice *out,
                                bool *more_out) ML_MUST_CHECK;
/** The rest of the file as one record. */
enum ml_err ml_update_file_all(struct ml_update_file *file, struct ml_slice *out) ML_MUST_CHECK;

/** `FILE: byte OFFSET: what is wrong` on stderr. */
void ml_update_file_complain(const char *path, uint64_t offset, const char *what);

#endif
