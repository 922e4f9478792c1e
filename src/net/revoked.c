/* SPDX-License-Identifier: MIT */
/*
 * Orders for sessions, from node to node: a line each in the store that they share, which stays for
 * KEEP_MS. Loop 0 of every node reads what is young every ML_REVOKE_LOOK_MS and carries out what it
 * has not seen. No bus is needed: it could only be faster (the bus is a hint).
 *
 *   org "default", instance "~node", space "sessions"
 *   key     13 digits of wall clock (ms) "-" 16 hex digits, so keys sort by time: 8 of the node
 *           that writes, which does not do it twice, and 8 at random; of a command 16 at random
 *   value   kind (u8), org, user, document, session, text (varbytes each), at (varuint)
 *
 * Clocks of nodes may differ by half of KEEP_MS. What was read twice is known by its random digits,
 * of which the last SEEN_MAX are kept; past that an order is carried out again, which is harmless.
 */
#include "net/revoked.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define KEEP_MS   ML_REVOKE_KEEP_MS
#define SEEN_MAX  1024
#define KEY_BYTES ML_REVOKE_KEY

#define ORG      ML_REVOKE_ORG
#define INSTANCE ML_REVOKE_INSTANCE
#define SPACE    ML_REVOKE_SPACE

struct writing {
    struct ml_store_write write;
    struct ml_store_item item;
    struct ml_writer value;
    char key[KEY_BYTES];
};

struct ml_revoked {
    struct ml_net *net; /* NULL: closed */
    struct ml_store_read read;
    bool is_reading;
    uint64_t look_ms;
    char after[KEY_BYTES];
    uint64_t seen[SEEN_MAX]; /* a ring */
    size_t seen_next;
};

/* ---- Written ----------------------------------------------------------------------------------
 */

static void on_written(struct ml_store_write *write)
{
    struct writing *w = ML_CONTAINER(write, struct writing, write);

    if (write->err)
        ml_log(ML_LOG_ERROR, "sessions.untold", "err=%s", ml_err_name(write->err));
    ml_store_write_release(write);
    ml_writer_release(&w->value);
    free(w);
}

static void write_value(struct ml_writer *out, const struct ml_order *order)
{
    ml_write_u8(out, (uint8_t)order->kind);
    ml_write_varbytes(out, order->who.org);
    ml_write_varbytes(out, order->who.user);
    ml_write_varbytes(out, order->who.document);
    ml_write_varbytes(out, order->who.session);
    ml_write_varbytes(out, order->text);
    ml_write_varuint(out, (uint64_t)order->at_ms);
}

/* `tag` 0: a command's. False: no random numbers. */
static bool make_key(int64_t at_ms, uint32_t tag, char out[KEY_BYTES])
{
    uint64_t unlike;

    if (getrandom(&unlike, sizeof unlike, 0) != (ssize_t)sizeof unlike)
        return false;
    if (tag)
        unlike = (uint64_t)tag << 32 | (unlike & UINT32_MAX);
    (void)snprintf(out, KEY_BYTES, "%013" PRId64 "-%016" PRIx64, at_ms, unlike);
    return true;
}

bool ml_recheck_line(const struct ml_who *who, struct ml_writer *value_out,
                     char key_out[ML_REVOKE_KEY])
{
    const struct ml_order order = {
        .kind = ML_ORDER_RECHECK, .who = *who, .at_ms = ml_clock_wall_ms()};

    write_value(value_out, &order);
    return !value_out->err && make_key(order.at_ms, 0, key_out);
}

enum ml_err ml_revoked_write(struct ml_net *net, const struct ml_order *order)
{
    struct writing *w;

    if (!net->env.is_shared)
        return ML_OK;
    w = calloc(1, sizeof *w);
    if (!w || !make_key(order->at_ms, net->shared->tag, w->key)) {
        free(w);
        return ML_ELIMIT;
    }
    ml_writer_init(&w->value, ML_STORE_VALUE_MAX);
    write_value(&w->value, order);
    if (w->value.err) {
        ml_writer_release(&w->value);
        free(w);
        return ML_ELIMIT;
    }
    w->item = (struct ml_store_item){.act = ML_STORE_SET,
                                     .key = ml_slice_str(w->key),
                                     .value = ml_writer_slice(&w->value),
                                     .ttl_ms = KEEP_MS};
    w->write = (struct ml_store_write){.org = ORG,
                                       .instance = INSTANCE,
                                       .space = SPACE,
                                       .items = &w->item,
                                       .count = 1,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_written};
    ml_store_commit(net->env.journal, &w->write);
    return ML_OK;
}

/* ---- Read --------------------------------------------------------------------------------------
 */

static bool read_value(struct ml_slice value, struct ml_order *out)
{
    struct ml_reader in = ml_reader_make(value);
    uint64_t at;
    uint8_t kind;

    if (ml_read_u8(&in, &kind) || (kind != ML_ORDER_RECHECK && kind != ML_ORDER_KICK) ||
        ml_read_varbytes(&in, &out->who.org) || ml_read_varbytes(&in, &out->who.user) ||
        ml_read_varbytes(&in, &out->who.document) || ml_read_varbytes(&in, &out->who.session) ||
        ml_read_varbytes(&in, &out->text) || ml_read_varuint(&in, &at))
        return false;
    out->kind = (enum ml_order_kind)kind;
    out->at_ms = (int64_t)at;
    return out->who.org.len > 0 || out->who.user.len > 0;
}

/* Of a key: its last digits. False: seen before, our own, or no key. */
static bool is_new(struct ml_revoked *r, struct ml_slice key)
{
    char text[KEY_BYTES];
    uint64_t unlike;

    if (key.len != 30)
        return false;
    memcpy(text, key.ptr, key.len);
    text[key.len] = '\0';
    unlike = strtoull(text + 14, NULL, 16);
    if (r->net->shared->tag && unlike >> 32 == r->net->shared->tag)
        return false;
    for (size_t i = 0; i < SEEN_MAX; i++)
        if (r->seen[i] == unlike)
            return false;
    r->seen[r->seen_next++ % SEEN_MAX] = unlike;
    return true;
}

static void on_read(struct ml_store_read *read)
{
    struct ml_revoked *r = ML_CONTAINER(read, struct ml_revoked, read);

    r->is_reading = false;
    if (read->err && r->net)
        ml_log(ML_LOG_WARN, "sessions.unread", "err=%s", ml_err_name(read->err));
    for (size_t i = 0; r->net && !read->err && i < read->count; i++) {
        struct ml_order order = {0};

        if (is_new(r, read->pairs[i].key) && read_value(read->pairs[i].value, &order) &&
            ml_order_loops(r->net, &order))
            ml_log(ML_LOG_ERROR, "sessions.untold", "err=%s", ml_err_name(ML_ELIMIT));
    }
    r->after[0] = '\0';
    if (r->net && !read->err && read->more && read->count) {
        struct ml_slice last = read->pairs[read->count - 1].key;

        if (last.len < sizeof r->after) {
            memcpy(r->after, last.ptr, last.len);
            r->after[last.len] = '\0';
            r->look_ms = 0;
        }
    }
    ml_store_read_release(read);
    if (!r->net)
        free(r);
}

void ml_revoked_tick(struct ml_revoked *r)
{
    uint64_t now = ml_net_now(r->net);

    if (r->is_reading || now < r->look_ms)
        return;
    r->look_ms = now + (r->net->env.is_shared ? ML_REVOKE_LOOK_MS : ML_REVOKE_LOOK_MS / 2);
    r->is_reading = true;
    r->read = (struct ml_store_read){.look = ML_STORE_SCAN,
                                     .org = ORG,
                                     .instance = INSTANCE,
                                     .space = SPACE,
                                     .after = ml_slice_str(r->after),
                                     .limit = ML_STORE_PAGE_MAX,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_read};
    ml_store_look(r->net->env.journal, &r->read);
}

struct ml_revoked *ml_revoked_open(struct ml_net *net, enum ml_err *err_out)
{
    struct ml_revoked *r = NULL;

    *err_out = ML_OK;
    if ((!net->env.is_shared && !net->env.has_accounts) || net->env.loop_number)
        return NULL;
    r = calloc(1, sizeof *r);
    if (!r) {
        *err_out = ML_ELIMIT;
        return NULL;
    }
    r->net = net;
    return r;
}

void ml_revoked_close(struct ml_revoked *r)
{
    if (!r)
        return;
    r->net = NULL;
    if (!r->is_reading)
        free(r);
}
