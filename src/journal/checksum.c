/* SPDX-License-Identifier: MIT */
/*
 * Source: the CRC of RFC 3720 (polynomial 0x1EDC6F41, reflected 0x82F63B78, inverted at both ends).
 * In software eight bytes per step with eight tables; entry [k][b] is the CRC of byte b followed by
 * k zero bytes.
 */
#include "journal/checksum.h"

#include <pthread.h>

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        table[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t ml_crc32c_portable(uint32_t crc, struct ml_slice bytes)
{
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;

    pthread_once(&table_once, make_table);
    crc = ~crc;
    for (; left >= 8; left -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
              table[4][crc >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
              table[0][p[7]];
    }
    for (; left; left--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct ml_slice bytes)
{
    const uint8_t *p = bytes.ptr;
    size_t left = bytes.len;
    uint64_t wide = (uint32_t)~crc;

    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    for (; left; left--, p++)
        wide = __builtin_ia32_crc32qi((uint32_t)wide, *p);
    return ~(uint32_t)wide;
}
#endif

uint32_t ml_crc32c(uint32_t crc, struct ml_slice bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, bytes);
#endif
    return ml_crc32c_portable(crc, bytes);
}

static uint8_t *put_le(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *p++ = (uint8_t)(value >> (8 * i));
    return p;
}

/* The length in `len_bytes` bytes, then the content. */
static uint32_t sum_counted(uint32_t crc, struct ml_slice bytes, int len_bytes)
{
    uint8_t head[8];

    put_le(head, bytes.len, len_bytes);
    crc = ml_crc32c(crc, ml_slice_make(head, (size_t)len_bytes));
    return ml_crc32c(crc, bytes);
}

uint32_t ml_record_checksum(const struct ml_record_sum *record)
{
    uint8_t head[53], *p = head;
    uint32_t crc;

    *p++ = ML_RECORD_FORMAT;
    memcpy(p, record->document, ML_DOCUMENT_ID_BYTES);
    p += ML_DOCUMENT_ID_BYTES;
    p = put_le(p, record->seq, 8);
    p = put_le(p, record->epoch, 8);
    p = put_le(p, (uint64_t)record->at_ms, 8);
    p = put_le(p, record->session.len ? record->message_no : 0, 8);
    p = put_le(p, record->previous, 4);
    crc = ml_crc32c(0, ml_slice_make(head, (size_t)(p - head)));
    crc = sum_counted(crc, record->author, 4);
    crc = sum_counted(crc, record->session, 4);
    return sum_counted(crc, record->bytes, 8);
}

uint32_t ml_snapshot_checksum(const struct ml_snapshot_sum *snapshot)
{
    uint8_t head[42], *p = head;
    uint32_t crc;

    *p++ = 0x81;
    memcpy(p, snapshot->document, ML_DOCUMENT_ID_BYTES);
    p += ML_DOCUMENT_ID_BYTES;
    p = put_le(p, snapshot->seq, 8);
    p = put_le(p, snapshot->epoch, 8);
    *p++ = snapshot->codec;
    p = put_le(p, snapshot->state_bytes, 8);
    crc = ml_crc32c(0, ml_slice_make(head, (size_t)(p - head)));
    crc = sum_counted(crc, snapshot->state_vector, 8);
    return sum_counted(crc, snapshot->state, 8);
}
