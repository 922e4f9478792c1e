/* SPDX-License-Identifier: MIT */
/*
 * One value of the store, written only if it is as it was read, so that of many nodes that start or
 * rotate at once one wins and the others read what it wrote.
 *
 * A key set that was read once is kept until the process ends: other loops may still look at it,
 * and a rotation is rare. There is room for SETS_MAX of them; then the last one stays until a
 * restart.
 */
#include "server/keys.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdatomic.h>
#include <stdlib.h>

#define ATTEMPTS 5
#define SETS_MAX 64
#define LOOK_MS  10000
#define LIVE_S   (ML_OWN_LIFE_MAX_S + ML_TOKEN_LEEWAY_S + ML_OWN_SPREAD_S)
#define TEXT_MAX 2048
#define KEY      ML_SLICE("signing")
#define CORE_ORG ML_SLICE("-")
#define CORE     ML_SLICE("core")

/* ---- Asking ---------------------------------------------------------------------------------- */

static void on_read(struct ml_store_read *read)
{
    ML_CONTAINER(read, struct ml_core_read, read)->is_answered = true;
}

static void on_written(struct ml_store_write *write)
{
    ML_CONTAINER(write, struct ml_core_write, write)->is_answered = true;
}

enum ml_err ml_core_look(struct ml_journal *journal, uv_loop_t *loop, struct ml_core_read *ask,
                         struct ml_diag *diag)
{
    ask->is_answered = false;
    ask->read.instance = ML_SLICE("-");
    ask->read.now_ms = ml_clock_wall_ms();
    ask->read.done = on_read;
    ml_store_look(journal, &ask->read);
    while (!ask->is_answered)
        (void)uv_run(loop, UV_RUN_ONCE);
    if (ask->read.err)
        (void)ml_diag_set(diag, ask->read.err, 0, "reading the store: %s", ask->read.diag.text);
    return ask->read.err;
}

enum ml_err ml_core_commit(struct ml_journal *journal, uv_loop_t *loop, struct ml_core_write *ask,
                           struct ml_diag *diag)
{
    ask->is_answered = false;
    if (!ask->write.instance.len)
        ask->write.instance = ML_SLICE("-");
    ask->write.now_ms = ml_clock_wall_ms();
    ask->write.done = on_written;
    ml_store_commit(journal, &ask->write);
    while (!ask->is_answered)
        (void)uv_run(loop, UV_RUN_ONCE);
    if (ask->write.err && ask->write.err != ML_ECONFLICT)
        (void)ml_diag_set(diag, ask->write.err, 0, "writing to the store: %s",
                          ask->write.diag.text);
    return ask->write.err;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Of a value as it is stored: JSON text. */
static enum ml_err open_value(struct ml_slice value, const uint8_t *seal_key,
                              struct ml_own_keys **out, struct ml_diag *diag)
{
    enum ml_err err = ML_EFORMAT;

    if (value.len > 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        err = ml_own_keys_open(ml_slice_make(value.ptr + 1, value.len - 2), seal_key, out);
    if (err == ML_EDENIED)
        return ml_diag_set(diag, err, 0,
                           "the signing keys in the store are sealed with another key: "
                           "MOONLOOM_SEAL_KEY, or seal.key in the data folder, is not theirs");
    return err ? ml_diag_set(diag, err, 0, "the signing keys in the store are damaged") : ML_OK;
}

/* ML_ENOTFOUND: there are none; *rev_out is for the write that changes them. */
static enum ml_err look(struct ml_journal *journal, uv_loop_t *loop, const uint8_t *seal_key,
                        struct ml_own_keys **out, uint64_t *rev_out, struct ml_diag *diag)
{
    struct ml_core_read ask = {
        .read = {.look = ML_STORE_GET, .org = CORE_ORG, .space = CORE, .key = KEY, .limit = 1}};
    enum ml_err err = ml_core_look(journal, loop, &ask, diag);

    *rev_out = 0;
    if (!err && !ask.read.count)
        err = ML_ENOTFOUND;
    if (!err) {
        *rev_out = ask.read.pairs[0].rev;
        err = open_value(ask.read.pairs[0].value, seal_key, out, diag);
    }
    ml_store_read_release(&ask.read);
    return err;
}

/* ML_ECONFLICT: somebody else was faster. */
static enum ml_err put(struct ml_journal *journal, uv_loop_t *loop, const uint8_t *seal_key,
                       const struct ml_own_keys *keys, uint64_t rev, struct ml_diag *diag)
{
    struct ml_store_item items[2] = {{.act = ML_STORE_CHECK, .key = KEY, .rev = rev},
                                     {.act = ML_STORE_SET, .key = KEY}};
    struct ml_core_write ask = {
        .write = {.org = CORE_ORG, .space = CORE, .items = items, .count = 2}};
    struct ml_writer text;
    enum ml_err err;

    ml_writer_init(&text, TEXT_MAX);
    ml_write_u8(&text, '"');
    err = ml_own_keys_seal(keys, seal_key, &text);
    ml_write_u8(&text, '"');
    err = err ? err : text.err;
    items[1].value = ml_writer_slice(&text);
    if (!err) {
        err = ml_core_commit(journal, loop, &ask, diag);
        ml_store_write_release(&ask.write);
    }
    ml_writer_release(&text);
    return err;
}

enum ml_err ml_keys_get(struct ml_journal *journal, uv_loop_t *loop,
                        const uint8_t seal_key[ML_SEAL_KEY_BYTES], struct ml_own_keys **keys_out,
                        struct ml_diag *diag)
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct ml_own_keys *keys = NULL;
        uint64_t rev;
        enum ml_err err = look(journal, loop, seal_key, keys_out, &rev, diag);

        if (err != ML_ENOTFOUND)
            return err;
        err = ml_own_keys_make(ml_clock_wall_ms() / 1000, &keys);
        if (!err)
            err = put(journal, loop, seal_key, keys, 0, diag);
        ml_own_keys_free(keys);
        if (err && err != ML_ECONFLICT)
            return err;
    }
    return ml_diag_set(diag, ML_ECONFLICT, 0, "the signing keys change all the time");
}

enum ml_err ml_keys_rotate(struct ml_journal *journal, uv_loop_t *loop,
                           const uint8_t seal_key[ML_SEAL_KEY_BYTES], bool force,
                           struct ml_diag *diag)
{
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_keys *old = NULL, *next = NULL;
    uint64_t rev;
    enum ml_err err = look(journal, loop, seal_key, &old, &rev, diag);

    if (err == ML_ENOTFOUND)
        return ml_diag_set(diag, err, 0, "there are no signing keys yet");
    if (!err && !force && ml_keyset_count(ml_own_keys_all(old)) > 1 &&
        now_s - ml_own_keys_made_s(old, 0) < LIVE_S)
        err = ml_diag_set(diag, ML_EBUSY, 0,
                          "the keys were changed %lld s ago: tokens of the key before may live for "
                          "%d s (--force ends them now)",
                          (long long)(now_s - ml_own_keys_made_s(old, 0)), LIVE_S);
    if (!err)
        err = ml_own_keys_rotate(old, now_s, &next);
    if (!err)
        err = put(journal, loop, seal_key, next, rev, diag);
    if (err == ML_ECONFLICT)
        (void)ml_diag_set(diag, err, 0, "somebody else changes the keys at this moment");
    ml_own_keys_free(old);
    ml_own_keys_free(next);
    return err;
}

/* ---- Of a running server --------------------------------------------------------------------- */

struct ml_keys {
    struct ml_journal *journal;
    uint8_t seal_key[ML_SEAL_KEY_BYTES];
    uv_timer_t timer;
    struct ml_store_read read;
    bool is_reading, is_stopped;
    uint64_t rev;
    struct ml_own_keys *sets[SETS_MAX];
    size_t count;
    _Atomic(struct ml_own_keys *) now;
};

static void on_look(struct ml_store_read *read)
{
    struct ml_keys *keys = ML_CONTAINER(read, struct ml_keys, read);
    struct ml_own_keys *next = NULL;
    struct ml_diag diag = {0};

    keys->is_reading = false;
    if (!read->err && read->count && read->pairs[0].rev != keys->rev && keys->count < SETS_MAX) {
        if (open_value(read->pairs[0].value, keys->seal_key, &next, &diag)) {
            ml_log(ML_LOG_ERROR, "keys.unreadable", "why=%s", ML_LOG_TEXT(ml_slice_str(diag.text)));
        } else {
            keys->sets[keys->count++] = next;
            atomic_store(&keys->now, next);
            if (keys->rev)
                ml_log(ML_LOG_INFO, "keys.changed", "count=%zu",
                       ml_keyset_count(ml_own_keys_all(next)));
        }
        keys->rev = read->pairs[0].rev;
    }
    ml_store_read_release(read);
}

static void on_timer(uv_timer_t *timer)
{
    struct ml_keys *keys = timer->data;

    if (keys->is_reading || keys->is_stopped)
        return;
    keys->is_reading = true;
    keys->read = (struct ml_store_read){.look = ML_STORE_GET,
                                        .org = CORE_ORG,
                                        .instance = ML_SLICE("-"),
                                        .space = CORE,
                                        .key = KEY,
                                        .limit = 1,
                                        .now_ms = ml_clock_wall_ms(),
                                        .done = on_look};
    ml_store_look(keys->journal, &keys->read);
}

struct ml_keys *ml_keys_new(struct ml_journal *journal, uv_loop_t *loop,
                            const uint8_t seal_key[ML_SEAL_KEY_BYTES], struct ml_own_keys *first)
{
    struct ml_keys *keys = calloc(1, sizeof *keys);

    if (!keys) {
        ml_own_keys_free(first);
        return NULL;
    }
    keys->journal = journal;
    memcpy(keys->seal_key, seal_key, sizeof keys->seal_key);
    keys->sets[keys->count++] = first;
    atomic_store(&keys->now, first);
    (void)uv_timer_init(loop, &keys->timer);
    keys->timer.data = keys;
    (void)uv_timer_start(&keys->timer, on_timer, LOOK_MS, LOOK_MS);
    return keys;
}

const struct ml_own_keys *ml_keys_now(void *arg)
{
    struct ml_keys *keys = arg;

    return keys ? atomic_load(&keys->now) : NULL;
}

void ml_keys_stop(struct ml_keys *keys)
{
    if (!keys || keys->is_stopped)
        return;
    keys->is_stopped = true;
    uv_close((uv_handle_t *)&keys->timer, NULL);
}

void ml_keys_free(struct ml_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        ml_own_keys_free(keys->sets[i]);
    explicit_bzero(keys->seal_key, sizeof keys->seal_key);
    free(keys);
}
