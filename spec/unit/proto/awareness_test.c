/* SPDX-License-Identifier: MIT */
/* Awareness updates: entries, their limits, and the updates that y-protocols made. */
#include "bytes.h"

static struct ml_writer bytes, again;

static enum ml_err read_all(struct ml_slice update, struct ml_writer *out, size_t *count_out)
{
    struct ml_presence_reader reader;
    enum ml_err err = ml_presence_begin(update, &reader);
    bool more;

    *count_out = 0;
    if (err)
        return err;
    if (out) {
        ml_writer_reset(out);
        ml_write_varuint(out, reader.left);
    }
    for (;;) {
        struct ml_presence_entry entry;

        err = ml_presence_next(&reader, &more, &entry);
        if (err || !more)
            return err;
        ++*count_out;
        if (out)
            ml_presence_write(out, &entry);
    }
}

static void entries_are_read(void **state)
{
    struct ml_presence_reader reader;
    struct ml_presence_entry entry;
    bool more;

    (void)state;
    assert_int_equal(ml_presence_begin(unhex(&bytes, "020102046e756c6cca0105027b7d"), &reader),
                     ML_OK);
    assert_int_equal(reader.left, 2);
    assert_int_equal(ml_presence_next(&reader, &more, &entry), ML_OK);
    assert_true(more && entry.offline);
    assert_int_equal(entry.client, 1);
    assert_int_equal(entry.clock, 2);
    assert_int_equal(ml_presence_next(&reader, &more, &entry), ML_OK);
    assert_true(more && !entry.offline);
    assert_int_equal(entry.client, 202);
    assert_int_equal(entry.clock, 5);
    assert_true(ml_slice_equal(entry.json, ML_SLICE("{}")));
    assert_int_equal(ml_presence_next(&reader, &more, &entry), ML_OK);
    assert_false(more);
}

static void null_with_blanks_is_offline_too(void **state)
{
    static const struct {
        const char *json;
        bool offline;
    } rows[] = {{"null", true},      {" null\n", true}, {"\tnull ", true}, {"nul", false},
                {"\"null\"", false}, {"nulll", false},  {"", false},       {"Null", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ml_presence_reader reader;
        struct ml_presence_entry entry;
        bool more;

        ml_writer_reset(&bytes);
        ml_write_varuint(&bytes, 1);
        ml_write_varuint(&bytes, 7);
        ml_write_varuint(&bytes, 1);
        ml_write_varbytes(&bytes, ml_slice_str(rows[i].json));
        assert_int_equal(ml_presence_begin(ml_writer_slice(&bytes), &reader), ML_OK);
        assert_int_equal(ml_presence_next(&reader, &more, &entry), ML_OK);
        assert_int_equal(entry.offline, rows[i].offline);
    }
}

static void a_count_is_believed_as_far_as_bytes_are_there(void **state)
{
    static const char *const broken[] = {
        "",                        /* no count */
        "80",                      /* half a count */
        "01",                      /* nothing behind it */
        "02 0101027b7d",           /* one entry of two: 5 bytes are too few for two and a text */
        "ffffffffffffff0f 010100", /* 2^53-1 entries */
        "ff7f 0101027b7d",
        "01 01 01 05 7b7d",            /* text past the end */
        "01 01 01 02 c328",            /* not UTF-8 */
        "01 ffffffffffffffff7f 01 00", /* a client of 2^60 */
        "01 01 80 80 80",
    };
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char compact[64];
        size_t n = 0;

        for (const char *p = broken[i]; *p; p++)
            if (*p != ' ')
                compact[n++] = *p;
        compact[n] = '\0';
        if (read_all(unhex(&bytes, compact), NULL, &count) != ML_EFORMAT)
            fail_msg("taken: %s", broken[i]);
    }
    assert_int_equal(read_all(unhex(&bytes, "00"), NULL, &count), ML_OK);
    assert_int_equal(count, 0);
}

static void client_ids_have_53_bits(void **state)
{
    const struct ml_presence_entry entry = {
        .client = ML_VARUINT_MAX, .clock = ML_VARUINT_MAX, .json = ML_SLICE("{}")};
    struct ml_presence_reader reader;
    struct ml_presence_entry back;
    bool more;

    (void)state;
    ml_writer_reset(&bytes);
    ml_write_varuint(&bytes, 1);
    ml_presence_write(&bytes, &entry);
    assert_int_equal(ml_presence_begin(ml_writer_slice(&bytes), &reader), ML_OK);
    assert_int_equal(ml_presence_next(&reader, &more, &back), ML_OK);
    assert_true(back.client == entry.client && back.clock == entry.clock);
}

/* Every update of the reference's conversations is read, and written back byte by byte. */
static void the_oracle_agrees(void **state)
{
    cJSON *file = ml_vectors_load("awareness");
    const cJSON *list = ml_vectors_get(file, "cases"), *row, *step;
    size_t updates = 0, count;

    (void)state;
    cJSON_ArrayForEach(row, list)
    {
        cJSON_ArrayForEach(step, ml_vectors_get(row, "steps"))
        {
            static const char *const members[] = {"apply_hex", "encoded_hex"};

            for (size_t i = 0; i < 2; i++) {
                const cJSON *hex = cJSON_GetObjectItemCaseSensitive(step, members[i]);
                struct ml_slice update;

                if (!cJSON_IsString(hex))
                    continue;
                update = unhex(&bytes, hex->valuestring);
                assert_int_equal(read_all(update, &again, &count), ML_OK);
                assert_true(ml_slice_equal(update, ml_writer_slice(&again)));
                updates++;
            }
        }
    }
    assert_true(updates >= 10);
    cJSON_Delete(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_read),
        cmocka_unit_test(null_with_blanks_is_offline_too),
        cmocka_unit_test(a_count_is_believed_as_far_as_bytes_are_there),
        cmocka_unit_test(client_ids_have_53_bits),
        cmocka_unit_test(the_oracle_agrees),
    };
    int failed;

    ml_writer_init(&bytes, LIMIT);
    ml_writer_init(&again, LIMIT);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ml_writer_release(&bytes);
    ml_writer_release(&again);
    return failed;
}
