/* SPDX-License-Identifier: MIT */
/*
 * A secret stands in the store, in a space of the core's own, as JSON text of hex digits. It is
 * written on the condition that nobody has: of many nodes that start together one wins, and the
 * others read its.
 */
#include "server/secret.h"

#include "base/clock.h"

#include <stdio.h>
#include <sys/random.h>

#define ATTEMPTS 5

struct asking {
    struct ml_store_read read;
    struct ml_store_write write;
    bool is_answered;
};

static void on_read(struct ml_store_read *read)
{
    ML_CONTAINER(read, struct asking, read)->is_answered = true;
}

static void on_written(struct ml_store_write *write)
{
    ML_CONTAINER(write, struct asking, write)->is_answered = true;
}

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_text(struct ml_slice text, uint8_t out[ML_SECRET_BYTES])
{
    if (text.len != 2 * ML_SECRET_BYTES + 2 || text.ptr[0] != '"')
        return false;
    for (size_t i = 0; i < ML_SECRET_BYTES; i++) {
        int high = digit(text.ptr[1 + 2 * i]), low = digit(text.ptr[2 + 2 * i]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ML_ENOTFOUND: there is none. */
static enum ml_err look(struct ml_journal *journal, uv_loop_t *loop, struct ml_slice name,
                        uint8_t out[ML_SECRET_BYTES], struct ml_diag *diag)
{
    struct asking a = {.read = {.look = ML_STORE_GET,
                                .org = ML_SLICE("-"),
                                .instance = ML_SLICE("-"),
                                .space = ML_SLICE("core"),
                                .key = name,
                                .limit = 1,
                                .now_ms = ml_clock_wall_ms(),
                                .done = on_read}};
    enum ml_err err;

    ml_store_look(journal, &a.read);
    while (!a.is_answered)
        (void)uv_run(loop, UV_RUN_ONCE);
    err = a.read.err;
    if (err)
        (void)ml_diag_set(diag, err, 0, "reading the secret of the nodes: %s", a.read.diag.text);
    else if (!a.read.count)
        err = ML_ENOTFOUND;
    else if (!from_text(a.read.pairs[0].value, out))
        err = ml_diag_set(diag, ML_EFORMAT, 0, "the stored secret of the nodes is damaged");
    ml_store_read_release(&a.read);
    return err;
}

/* ML_ECONFLICT: somebody else was faster. */
static enum ml_err make(struct ml_journal *journal, uv_loop_t *loop, struct ml_slice name,
                        struct ml_diag *diag)
{
    uint8_t secret[ML_SECRET_BYTES];
    char text[2 * ML_SECRET_BYTES + 3] = "\"";
    struct ml_store_item items[2] = {{.act = ML_STORE_CHECK, .key = name},
                                     {.act = ML_STORE_SET, .key = name}};
    struct asking a = {.write = {.org = ML_SLICE("-"),
                                 .instance = ML_SLICE("-"),
                                 .space = ML_SLICE("core"),
                                 .items = items,
                                 .count = 2,
                                 .now_ms = ml_clock_wall_ms(),
                                 .done = on_written}};
    enum ml_err err;

    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        return ml_diag_set(diag, ML_EIO, 0, "no random bytes");
    for (size_t i = 0; i < sizeof secret; i++)
        (void)snprintf(text + 1 + 2 * i, 3, "%02x", secret[i]);
    text[sizeof text - 2] = '"';
    items[1].value = ml_slice_make(text, sizeof text - 1);
    ml_store_commit(journal, &a.write);
    while (!a.is_answered)
        (void)uv_run(loop, UV_RUN_ONCE);
    err = a.write.err;
    if (err && err != ML_ECONFLICT)
        (void)ml_diag_set(diag, err, 0, "writing the secret of the nodes: %s", a.write.diag.text);
    ml_store_write_release(&a.write);
    return err;
}

enum ml_err ml_secret_get(struct ml_journal *journal, uv_loop_t *loop, const char *name,
                          uint8_t secret_out[ML_SECRET_BYTES], struct ml_diag *diag)
{
    enum ml_err err = ML_ECONFLICT;

    for (unsigned i = 0; i < ATTEMPTS; i++) {
        err = look(journal, loop, ml_slice_str(name), secret_out, diag);
        if (err != ML_ENOTFOUND)
            return err;
        err = make(journal, loop, ml_slice_str(name), diag);
        if (err && err != ML_ECONFLICT)
            return err;
    }
    return ml_diag_set(diag, ML_ECONFLICT, 0, "the secret of the nodes changes all the time");
}
