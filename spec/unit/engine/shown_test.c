/* SPDX-License-Identifier: MIT */
/* One place of a document: found by a path, read as a value, written through operations. */
#include "support/test.h"

#include <string.h>

#include "engine/engine.h"

static struct ml_doc *doc;
static struct ml_arena scratch;
static struct ml_diag diag;

static int start(void **state)
{
    struct ml_doc_options options = {.client = 7};

    (void)state;
    doc = ml_doc_new(&options);
    ml_arena_init(&scratch, 1 << 20);
    return doc ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    ml_doc_free(doc);
    ml_arena_release(&scratch);
    return 0;
}

static enum ml_err try_ops(const char *json)
{
    const struct ml_change *change;
    struct ml_writer any;
    enum ml_err err;

    ml_writer_init(&any, 1 << 20);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &any), ML_OK);
    diag = (struct ml_diag){0};
    err = ml_doc_run_ops(doc, ml_writer_slice(&any), &scratch, &diag, &change);
    ml_writer_release(&any);
    ml_arena_reset(&scratch);
    assert_int_equal(ml_doc_check(doc, NULL), ML_OK);
    return err;
}

static void run(const char *json)
{
    enum ml_err err = try_ops(json);

    if (err)
        fail_msg("%s: %s", json, diag.text);
}

/* What stands at a path, beside the same value written as JSON. */
static void expect(const char *path, const char *json)
{
    struct ml_shown at;
    struct ml_writer want, got;

    ml_writer_init(&want, 1 << 20);
    ml_writer_init(&got, 1 << 20);
    if (!ml_shown_at(doc, ml_slice_str(path), &at))
        fail_msg("nothing at %s", path);
    assert_int_equal(ml_shown_any(doc, &at, &got), ML_OK);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), NULL, &want), ML_OK);
    if (!ml_slice_equal(ml_writer_slice(&want), ml_writer_slice(&got)))
        fail_msg("%s is not %s", path, json);
    ml_writer_release(&want);
    ml_writer_release(&got);
}

static bool is_there(const char *path)
{
    struct ml_shown at;

    return ml_shown_at(doc, ml_slice_str(path), &at);
}

static void a_path_leads_through_keys_indexes_and_ids(void **state)
{
    (void)state;
    run("[[\"map.set\",\"meta\",\"a/"
        "b\",{\"$new\":\"map\",\"entries\":{\"c~d\":1,\"7\":\"seven\"}}],"
        "[\"array.push\",\"tasks\",[1,\"two\",{\"$new\":\"map\",\"entries\":{\"s\":\"open\"}},[4]]]"
        ","
        "[\"xml.insert\",\"body\",0,[{\"$new\":\"xmlelement\",\"name\":\"sec\",\"children\":["
        "{\"$new\":\"xmlelement\",\"name\":\"p\",\"attrs\":{\"id\":\"intro\"},\"children\":["
        "{\"$new\":\"xmltext\",\"text\":\"hello\"}]}]}]]]");
    expect("meta/a~1b/c~0d", "1");
    expect("meta/a~1b/7", "\"seven\"");
    expect("tasks/0", "1");
    expect("tasks/1", "\"two\"");
    expect("tasks/2/s", "\"open\"");
    expect("tasks/3", "[4]");
    expect("tasks", "[1,\"two\",{\"s\":\"open\"},[4]]");
    expect("body/#intro/0", "\"hello\"");
    expect("body/0/0/id", "\"intro\"");
    expect("body/#intro", "\"<p id=\\\"intro\\\">hello</p>\"");
    run("[[\"text.insert\",\"body/#intro/0\",5,\"!\"],[\"attr.set\",\"body/"
        "#intro\",\"id\",\"x\"]]");
    expect("body/#x/0", "\"hello!\"");
    assert_false(is_there("body/#intro"));
    assert_false(is_there("nothing"));
    assert_false(is_there("tasks/4"));
    assert_false(is_there("tasks/0/1"));
    assert_false(is_there("tasks/99999999999999999999"));
    assert_false(is_there("meta/missing"));
    assert_false(is_there("body/#"));
}

static void an_id_is_found_below_what_is_deleted_and_not_in_it(void **state)
{
    (void)state;
    run("[[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"a\",\"attrs\":{\"id\":\"k\"}"
        "},"
        "{\"$new\":\"xmlelement\",\"name\":\"b\",\"children\":[{\"$new\":\"xmlelement\",\"name\":"
        "\"c\","
        "\"attrs\":{\"id\":\"k\"}}]},{\"$new\":\"xmlelement\",\"name\":\"d\",\"attrs\":{\"id\":"
        "\"z\"}}]]]");
    expect("x/#k", "\"<a id=\\\"k\\\"></a>\"");
    run("[[\"xml.delete\",\"x\",0,1]]");
    expect("x/#k", "\"<c id=\\\"k\\\"></c>\"");
    expect("x/#z", "\"<d id=\\\"z\\\"></d>\"");
    expect("x/0/#k", "\"<c id=\\\"k\\\"></c>\"");
    assert_false(is_there("x/1/#k"));
}

static void bytes_and_large_integers_stay_what_they_are(void **state)
{
    static const uint8_t any[] = {0x75, 2,   0x74, 2,   0,   0xff, 0x7a, 0x7f,
                                  255,  255, 255,  255, 255, 255,  255};
    struct ml_value values[2];
    struct ml_type list;
    struct ml_shown at;
    struct ml_writer got;
    const struct ml_change *change;

    (void)state;
    values[0] = (struct ml_value){.kind = ML_VALUE_ANY, .any = ml_slice_make(any + 2, 4)};
    values[1] = (struct ml_value){.kind = ML_VALUE_ANY, .any = ml_slice_make(any + 6, 9)};
    assert_int_equal(ml_doc_begin(doc, NULL), ML_OK);
    assert_int_equal(ml_type_root(doc, ML_SLICE("l"), &list), ML_OK);
    assert_int_equal(ml_list_push(doc, list, values, 2), ML_OK);
    assert_int_equal(ml_doc_commit(doc, &scratch, &change), ML_OK);
    ml_writer_init(&got, 4096);
    assert_true(ml_shown_at(doc, ML_SLICE("l"), &at));
    assert_int_equal(ml_shown_any(doc, &at, &got), ML_OK);
    assert_true(ml_slice_equal(ml_writer_slice(&got), ml_slice_make(any, sizeof any)));
    ml_writer_release(&got);
}

static void a_text_is_set_by_its_smallest_edit(void **state)
{
    struct ml_shown at;
    struct ml_writer delta;

    (void)state;
    run("[[\"text.insert\",\"t\",0,\"Hello \"],[\"text.insert\",\"t\",6,\"world\",{\"bold\":true}],"
        "[\"text.insert\",\"t\",11,\"!\",{}]]");
    run("[[\"text.set\",\"t\",\"Hello moon!\"]]");
    ml_writer_init(&delta, 4096);
    assert_true(ml_shown_at(doc, ML_SLICE("t"), &at));
    assert_int_equal(ml_shown_read(doc, &at, ML_VIEW_DELTA, &delta), ML_OK);
    /* What comes has the formats of what went. */
    assert_true(ml_slice_equal(
        ml_writer_slice(&delta),
        ML_SLICE("[{\"insert\":\"Hello \"},{\"insert\":\"moon\",\"attributes\":{\"bold\":true}},"
                 "{\"insert\":\"!\"}]")));
    ml_writer_release(&delta);
    /* An embed is no part of a text that is wanted. */
    run("[[\"text.embed\",\"t\",3,{\"image\":1}],[\"text.set\",\"t\",\"Hello moon!\"]]");
    expect("t", "\"Hello moon!\"");
    assert_int_equal(ml_shown_length(doc, &at), 11);
    run("[[\"text.set\",\"t\",\"\"],[\"text.set\",\"t\",\"\"]]");
    expect("t", "[]");
    run("[[\"text.set\",\"t\",\"\xf0\x9f\x98\x80\xf0\x9f\x98\x81\"]]");
    run("[[\"text.set\",\"t\",\"\xf0\x9f\x98\x80\xf0\x9f\x98\x82\"]]"); /* one byte of four differs
                                                                         */
    expect("t", "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x82\"");
}

static void a_moved_element_takes_along_what_is_in_it(void **state)
{
    (void)state;
    run("[[\"array.push\",\"l\",[1,{\"$new\":\"map\",\"entries\":{\"t\":{\"$new\":\"text\","
        "\"text\":"
        "\"rich\"},\"n\":[1,2],\"deep\":{\"$new\":\"array\",\"values\":[{\"$new\":\"map\","
        "\"entries\":"
        "{\"x\":1}},2]}}},3]]]");
    run("[[\"text.format\",\"l/1/t\",0,4,{\"bold\":true}],[\"map.set\",\"l/1\",\"gone\",1],"
        "[\"map.delete\",\"l/1\",\"gone\"]]");
    run("[[\"array.move\",\"l\",1,2]]");
    expect("l", "[1,3,{\"deep\":[{\"x\":1},2],\"n\":[1,2],\"t\":\"rich\"}]");
    run("[[\"array.move\",\"l\",2,0]]");
    expect("l", "[{\"deep\":[{\"x\":1},2],\"n\":[1,2],\"t\":\"rich\"},1,3]");
    assert_int_equal(try_ops("[[\"array.move\",\"l\",0,3]]"), ML_ENOTFOUND);
    assert_int_equal(try_ops("[[\"array.move\",\"none\",0,0]]"), ML_ENOTFOUND);
    assert_int_equal(try_ops("[[\"array.move\",\"l\",0]]"), ML_EFORMAT);
}

static double sum_of(const struct ml_doc *of, const char *path)
{
    struct ml_shown at;

    assert_true(ml_shown_at(of, ml_slice_str(path), &at));
    return ml_shown_sum(of, &at);
}

static void additions_at_the_same_time_all_count(void **state)
{
    struct ml_doc_options options = {.client = 8};
    struct ml_doc *other = ml_doc_new(&options), *mine = doc;
    struct ml_writer state_bytes;

    (void)state;
    run("[[\"counter.add\",\"meta/views\",1],[\"counter.add\",\"meta/views\",2.5],"
        "[\"counter.add\",\"total\",-4]]");
    ml_writer_init(&state_bytes, 1 << 20);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &state_bytes), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(other, ml_writer_slice(&state_bytes), NULL), ML_OK);
    run("[[\"counter.add\",\"meta/views\",10]]");
    doc = other;
    run("[[\"counter.add\",\"meta/views\",100]]");
    doc = mine;
    ml_writer_reset(&state_bytes);
    assert_int_equal(ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &state_bytes), ML_OK);
    assert_int_equal(ml_doc_apply_bytes(other, ml_writer_slice(&state_bytes), NULL), ML_OK);
    assert_true(sum_of(other, "meta/views") == 113.5);
    assert_true(sum_of(other, "total") == -4);
    assert_int_equal(try_ops("[[\"counter.add\",\"meta/views\",\"1\"]]"), ML_EFORMAT);
    assert_int_equal(try_ops("[[\"counter.add\",\"meta/none/views\",1]]"), ML_ENOTFOUND);
    ml_writer_release(&state_bytes);
    ml_doc_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_path_leads_through_keys_indexes_and_ids, start, stop),
        cmocka_unit_test_setup_teardown(an_id_is_found_below_what_is_deleted_and_not_in_it, start,
                                        stop),
        cmocka_unit_test_setup_teardown(bytes_and_large_integers_stay_what_they_are, start, stop),
        cmocka_unit_test_setup_teardown(a_text_is_set_by_its_smallest_edit, start, stop),
        cmocka_unit_test_setup_teardown(a_moved_element_takes_along_what_is_in_it, start, stop),
        cmocka_unit_test_setup_teardown(additions_at_the_same_time_all_count, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
