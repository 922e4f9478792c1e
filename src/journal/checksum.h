/* SPDX-License-Identifier: MIT */
/*
 * CRC32C and what it is taken over.
 *
 * A record (format 1); integers are little-endian:
 *
 *   offset  bytes
 *        0  1      1, the format
 *        1  16     document id: a row of another document does not pass
 *       17  8      seq
 *       25  8      epoch
 *       33  8      server time, ms
 *       41  8      message number, 0 if there is no session
 *       49  4      checksum of record seq - 1, 0 before the first: the chain
 *       53  4 + n  author: length, bytes
 *           4 + n  session: length, bytes
 *           8 + n  update: length, bytes
 *
 * A snapshot (format 1):
 *
 *        0  1      0x81, the format
 *        1  16     document id
 *       17  8      seq
 *       25  8      epoch
 *       33  1      codec of the state
 *       34  8      length of the state when unpacked
 *       42  8 + n  state vector
 *           8 + n  state as stored
 */
#ifndef ML_JOURNAL_CHECKSUM_H
#define ML_JOURNAL_CHECKSUM_H

#include "base/slice.h"

#define ML_DOCUMENT_ID_BYTES 16
#define ML_RECORD_FORMAT     1

/** Continue `crc` (0 at the start) over `bytes`. Castagnoli polynomial, as in RFC 3720, B.4. */
uint32_t ml_crc32c(uint32_t crc, struct ml_slice bytes);
/** The same without the processor's instruction; for machines that lack it, and for the test. */
uint32_t ml_crc32c_portable(uint32_t crc, struct ml_slice bytes);

struct ml_record_sum {
    const uint8_t *document; /* ML_DOCUMENT_ID_BYTES */
    uint64_t seq, epoch;
    int64_t at_ms;
    uint64_t message_no;
    uint32_t previous;
    struct ml_slice author, session, bytes;
};
uint32_t ml_record_checksum(const struct ml_record_sum *record);

struct ml_snapshot_sum {
    const uint8_t *document;
    uint64_t seq, epoch;
    uint8_t codec;
    uint64_t state_bytes;
    struct ml_slice state_vector, state;
};
uint32_t ml_snapshot_checksum(const struct ml_snapshot_sum *snapshot);

#endif
