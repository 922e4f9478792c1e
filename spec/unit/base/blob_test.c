/* SPDX-License-Identifier: MIT */
#include "base/blob.h"

#include "support/test.h"

#include <pthread.h>

static void bytes_are_copied_and_counted(void **state)
{
    char text[] = "abc";
    struct ml_blob *blob = ml_blob_new(ml_slice_str(text));

    (void)state;
    text[0] = 'x';
    assert_true(ml_slice_equal(ml_blob_slice(blob), ML_SLICE("abc")));
    assert_ptr_equal(ml_blob_ref(blob), blob);
    ml_blob_unref(blob);
    assert_int_equal(blob->len, 3);
    ml_blob_unref(blob);
    ml_blob_unref(NULL);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(ml_blob_alloc(SIZE_MAX));
    assert_null(ml_blob_alloc(SIZE_MAX - 8));
}

static void *churn(void *arg)
{
    for (int i = 0; i < 100000; i++) {
        ml_blob_ref(arg);
        ml_blob_unref(arg);
    }
    return NULL;
}

static void counts_survive_threads(void **state)
{
    struct ml_blob *blob = ml_blob_new(ML_SLICE("shared"));
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, blob), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&blob->refs), 1);
    ml_blob_unref(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_copied_and_counted),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(counts_survive_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
