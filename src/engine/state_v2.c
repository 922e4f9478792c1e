/* SPDX-License-Identifier: MIT */
/*
 * A document as V2 bytes, straight from its runs: the same walk as in state.c into columns instead
 * of one row. Texts know their units here, so that nothing is counted again. What is neither text
 * nor deleted becomes a struct first (ml_item_wire) and goes the way that a converted one goes.
 *
 * Source: Yjs 13.6, encodeStateAsUpdateV2; same bytes.
 */
#include "engine/columns.h"
#include "engine/item.h"
#include "engine/keep.h"

/* Runs that are fetched ahead of the one that is written. */
#define AHEAD 6

static struct ml_id id_of(const struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    return (struct ml_id){doc->clients[slot].id, clock};
}

/* The parent and the key, where the wire names them. */
static void put_parent(const struct ml_doc *doc, const struct ml_item *i, struct ml_wire *s)
{
    const struct ml_branch *b = ml_branch_at(doc, i->parent);

    if (b->is_root) {
        s->parent = ML_PARENT_ROOT;
        s->root = ml_name_text(doc, b->name);
    } else {
        const struct ml_item *holder = ml_item_at(doc, b->item);

        s->parent = ML_PARENT_ID;
        s->parent_id = id_of(doc, ml_item_slot(holder), holder->clock);
    }
    if (ml_item_is_keyed(i))
        s->key = ml_name_text(doc, i->aux);
}

/* A whole run as the struct that it is on the wire. */
static void item_wire(const struct ml_doc *doc, const struct ml_item *i, struct ml_wire *s)
{
    *s = (struct ml_wire){
        .client = doc->clients[ml_item_slot(i)].id,
        .clock = i->clock,
        .len = i->len,
        .kind = (uint8_t)ml_item_kind(i),
        .info = (uint8_t)ml_item_kind(i),
    };
    if (ml_item_is_gc(i))
        return;
    if (ml_item_is_keyed(i))
        s->info |= ML_INFO_KEY;
    if (i->o_cl != NIL) {
        s->info |= ML_INFO_ORIGIN;
        s->origin = id_of(doc, i->o_cl, i->o_clock);
    }
    if (i->ro_cl != NIL) {
        s->info |= ML_INFO_RIGHT_ORIGIN;
        s->right_origin = id_of(doc, i->ro_cl, i->ro_clock);
    }
    if (i->o_cl == NIL && i->ro_cl == NIL)
        put_parent(doc, i, s);
    if (s->kind == ML_WIRE_TYPE) {
        const struct ml_branch *b = ml_branch_at(doc, i->off);

        s->type_ref = b->type_ref;
        if (b->name != NIL)
            s->name = ml_name_text(doc, b->name);
    } else if (s->kind != ML_WIRE_DELETED) {
        s->content = ml_item_content(doc, i);
    }
}

/* Text or deleted, beside a neighbour: what nearly all runs are. */
static void write_plain(struct ml_columns *c, const struct ml_doc *doc, const struct ml_item *i)
{
    unsigned kind = ml_item_kind(i);
    uint8_t info = (uint8_t)(kind | (ml_item_is_keyed(i) ? ML_INFO_KEY : 0));

    if (i->o_cl != NIL) {
        info |= ML_INFO_ORIGIN;
        ml_column_number(&c->client, doc->clients[i->o_cl].id);
        ml_column_difference(&c->left_clock, i->o_clock);
    }
    if (i->ro_cl != NIL) {
        info |= ML_INFO_RIGHT_ORIGIN;
        ml_column_number(&c->client, doc->clients[i->ro_cl].id);
        ml_column_difference(&c->right_clock, i->ro_clock);
    }
    ml_column_byte(&c->info, info);
    if (kind == ML_WIRE_DELETED) {
        ml_column_number(&c->len, i->len);
        return;
    }
    ml_column_number(&c->string.lengths, i->len);
    if (ml_writer_reserve(&c->string.text, i->blen + (size_t)ML_PAGE_PAD)) {
        uint8_t *to = c->string.text.ptr + c->string.text.len;

        if (i->blen <= ML_PAGE_PAD)
            memcpy(to, ml_content_at(doc, i->off), ML_PAGE_PAD);
        else
            memcpy(to, ml_content_at(doc, i->off), i->blen);
        c->string.text.len += i->blen;
    }
}

static bool is_plain(const struct ml_item *i)
{
    unsigned kind = ml_item_kind(i);

    return (kind == ML_WIRE_STRING || kind == ML_WIRE_DELETED) && (i->o_cl & i->ro_cl) != NIL;
}

static enum ml_err write_span(struct ml_columns *c, const struct ml_doc *doc, const uint32_t *items,
                              uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        const struct ml_item *i = ml_item_at(doc, items[at]);
        struct ml_wire s;
        enum ml_err err;

        __builtin_prefetch(ml_item_at(doc, items[at + AHEAD < count ? at + AHEAD : at]));
        if (is_plain(i)) {
            write_plain(c, doc, i);
            continue;
        }
        item_wire(doc, i, &s);
        err = ml_columns_struct(c, &s);
        if (err)
            return err;
    }
    return ML_OK;
}

static enum ml_err write_client(struct ml_columns *c, struct ml_doc *doc, uint32_t slot)
{
    const struct ml_client *client = &doc->clients[slot];
    enum ml_err err = ML_OK;

    ml_write_varuint(&c->rest, client->runs);
    ml_column_number(&c->client, client->id);
    ml_write_varuint(&c->rest, 0);
    if (!client->chunk_count)
        return write_span(c, doc, &client->tail, 1);
    for (uint32_t n = 0; n < client->chunk_count && !err; n++)
        err = write_span(c, doc, ml_chunk_items(client->chunk[n]), client->chunk[n]->count);
    return err;
}

/* The known delete set once more, in V2's terms: gaps and lengths less one. */
static enum ml_err write_deleted(struct ml_writer *out, struct ml_slice known)
{
    struct ml_reader in = ml_reader_make(known);
    uint64_t clients, client, ranges, clock, len;

    if (ml_read_varuint(&in, &clients))
        return ML_EFORMAT;
    ml_write_varuint(out, clients);
    while (clients--) {
        uint64_t current = 0;

        if (ml_read_varuint(&in, &client) || ml_read_varuint(&in, &ranges))
            return ML_EFORMAT;
        ml_write_varuint(out, client);
        ml_write_varuint(out, ranges);
        while (ranges--) {
            if (ml_read_varuint(&in, &clock) || ml_read_varuint(&in, &len))
                return ML_EFORMAT;
            ml_write_varuint(out, clock - current);
            ml_write_varuint(out, len - 1);
            current = clock + len;
        }
    }
    return out->err;
}

static enum ml_err write_columns(struct ml_columns *c, struct ml_doc *doc,
                                 size_t *deleted_bytes_out)
{
    size_t at;
    uint32_t sections = 0;
    enum ml_err err = ML_OK;

    if (!ml_doc_order_clients(doc) || !ml_doc_know_deleted(doc))
        return ML_ELIMIT;
    for (uint32_t s = 0; s < doc->client_count; s++)
        sections += doc->clients[s].next > 0;
    ml_write_varuint(&c->rest, sections);
    for (uint32_t n = 0; n < doc->client_count && !err; n++)
        if (doc->clients[doc->order[n].slot].next)
            err = write_client(c, doc, doc->order[n].slot);
    at = c->rest.len;
    if (!err)
        err = write_deleted(&c->rest, ml_writer_slice(&doc->deleted));
    *deleted_bytes_out = c->rest.len - at;
    return err;
}

static enum ml_err by_way_of_v1(struct ml_doc *doc, struct ml_slice state_vector,
                                struct ml_writer *out)
{
    struct ml_writer v1;
    enum ml_err err;

    ml_writer_init(&v1, doc->limits.doc_bytes);
    err = ml_doc_encode_state(doc, state_vector, &v1);
    if (!err)
        err = ml_state_to_v2(ml_writer_slice(&v1), &doc->limits, out, NULL);
    ml_writer_release(&v1);
    return err;
}

enum ml_err ml_doc_encode_state_v2(struct ml_doc *doc, struct ml_slice state_vector,
                                   struct ml_writer *out)
{
    size_t deleted_bytes;

    return state_vector.len ? by_way_of_v1(doc, state_vector, out)
                            : ml_doc_encode_v2(doc, out, &deleted_bytes);
}

enum ml_err ml_doc_encode_v2(struct ml_doc *doc, struct ml_writer *out, size_t *deleted_bytes_out)
{
    struct ml_columns c = {.limits = &doc->limits, .keep_key_bit = true};
    enum ml_err err;

    *deleted_bytes_out = 0;
    if (doc->broken)
        return ML_ELIMIT;
    if (doc->pending.count || doc->pending.deletes.count)
        return by_way_of_v1(doc, ml_slice_make(NULL, 0), out);
    ml_columns_init(&c, out->max);
    err = write_columns(&c, doc, deleted_bytes_out);
    if (!err) {
        ml_columns_close(&c, out);
        err = out->err;
    }
    ml_columns_release(&c);
    return err;
}
