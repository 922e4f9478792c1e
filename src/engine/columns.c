/* SPDX-License-Identifier: MIT */
#include "engine/columns.h"

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/canonical.h"

/* All writers of the columns, in the order of the container; the text of strings and the rest last.
 */
#define WRITERS 11

static void list_writers(struct ml_columns *c, struct ml_writer *list[WRITERS])
{
    struct ml_writer *const all[WRITERS] = {
        &c->key_clock.out,   &c->client.out,   &c->left_clock.out,
        &c->right_clock.out, &c->info.out,     &c->string.lengths.out,
        &c->parent_info.out, &c->type_ref.out, &c->len.out,
        &c->string.text,     &c->rest,
    };

    memcpy(list, all, sizeof all);
}

void ml_columns_init(struct ml_columns *c, size_t max_bytes)
{
    struct ml_writer *list[WRITERS];

    list_writers(c, list);
    for (size_t i = 0; i < WRITERS; i++)
        ml_writer_init(list[i], max_bytes);
}

void ml_columns_release(struct ml_columns *c)
{
    struct ml_writer *list[WRITERS];

    list_writers(c, list);
    for (size_t i = 0; i < WRITERS; i++)
        ml_writer_release(list[i]);
}

void ml_column_string(struct ml_strings_column *c, struct ml_slice text)
{
    size_t units = 0;

    (void)ml_utf8_check(text, &units);
    ml_write_bytes(&c->text, text);
    ml_column_number(&c->lengths, units);
}

static void write_left_id(struct ml_columns *c, const struct ml_id *id)
{
    ml_column_number(&c->client, id->client);
    ml_column_difference(&c->left_clock, id->clock);
}

/* [V1] */
static void write_key(struct ml_columns *c, struct ml_slice key)
{
    ml_column_difference(&c->key_clock, c->keys++);
    ml_column_string(&c->string, key);
}

static enum ml_err write_any_elements(struct ml_columns *c, const struct ml_wire *s)
{
    struct ml_reader in = ml_reader_make(s->content);
    enum ml_err err = ML_OK;

    ml_column_number(&c->len, s->len);
    for (uint64_t i = 0; i < s->len && !err; i++)
        err = ml_any_normalise(&in, c->limits->any_depth, &c->rest);
    return err;
}

static enum ml_err write_json_elements(struct ml_columns *c, const struct ml_wire *s)
{
    struct ml_reader in = ml_reader_make(s->content);

    ml_column_number(&c->len, s->len);
    for (uint64_t i = 0; i < s->len; i++) {
        struct ml_slice text;
        enum ml_err err = ml_read_varbytes(&in, &text);

        if (err)
            return err;
        ml_column_string(&c->string, text);
    }
    return ML_OK;
}

/* Format, Type and Doc: the body behind its first part. */
static enum ml_err write_named(struct ml_columns *c, const struct ml_wire *s)
{
    struct ml_reader in = ml_reader_make(s->content);
    struct ml_slice name, text;
    enum ml_err err = ML_OK;

    if (s->kind == ML_WIRE_TYPE) {
        ml_column_number(&c->type_ref, s->type_ref);
        if (s->type_ref == ML_TYPE_XML_ELEMENT || s->type_ref == ML_TYPE_XML_HOOK)
            write_key(c, s->name);
        return ML_OK;
    }
    err = ml_read_varbytes(&in, &name);
    if (err)
        return err;
    if (s->kind == ML_WIRE_DOC) {
        ml_column_string(&c->string, name);
        return ml_any_normalise(&in, c->limits->any_depth, &c->rest);
    }
    write_key(c, name);
    err = ml_read_varbytes(&in, &text);
    return err ? err : ml_json_to_any(text, c->limits->any_depth, &c->rest);
}

static enum ml_err write_content(struct ml_columns *c, const struct ml_wire *s)
{
    switch ((enum ml_wire_kind)s->kind) {
    case ML_WIRE_GC:
    case ML_WIRE_DELETED:
        ml_column_number(&c->len, s->len);
        return ML_OK;
    case ML_WIRE_SKIP:
        ml_write_varuint(&c->rest, s->len);
        return ML_OK;
    case ML_WIRE_BINARY:
        ml_write_varbytes(&c->rest, s->content);
        return ML_OK;
    case ML_WIRE_STRING:
        ml_column_string(&c->string, s->content);
        return ML_OK;
    case ML_WIRE_EMBED:
        return ml_json_to_any(s->content, c->limits->any_depth, &c->rest);
    case ML_WIRE_JSON:
        return write_json_elements(c, s);
    case ML_WIRE_ANY:
        return write_any_elements(c, s);
    case ML_WIRE_FORMAT:
    case ML_WIRE_TYPE:
    case ML_WIRE_DOC:
        return write_named(c, s);
    case ML_WIRE_KINDS:
        break;
    }
    return ML_EFORMAT;
}

enum ml_err ml_columns_struct(struct ml_columns *c, const struct ml_wire *s)
{
    uint8_t info = s->kind;

    info |= s->info & (ML_INFO_ORIGIN | ML_INFO_RIGHT_ORIGIN);
    if (s->key.ptr || (c->keep_key_bit && (s->info & ML_INFO_KEY)))
        info |= ML_INFO_KEY;
    ml_column_byte(&c->info, info);
    if (s->info & ML_INFO_ORIGIN)
        write_left_id(c, &s->origin);
    if (s->info & ML_INFO_RIGHT_ORIGIN) {
        ml_column_number(&c->client, s->right_origin.client);
        ml_column_difference(&c->right_clock, s->right_origin.clock);
    }
    if (s->parent == ML_PARENT_ROOT) {
        ml_column_byte(&c->parent_info, 1);
        ml_column_string(&c->string, s->root);
    } else if (s->parent == ML_PARENT_ID) {
        ml_column_byte(&c->parent_info, 0);
        write_left_id(c, &s->parent_id);
    }
    if (s->key.ptr)
        ml_column_string(&c->string, s->key);
    return write_content(c, s);
}

void ml_columns_delete_set(struct ml_writer *out, const struct ml_wire_range *range, size_t count)
{
    size_t clients = 0;

    for (size_t i = 0; i < count; i++)
        clients += i == 0 || range[i].client != range[i - 1].client;
    ml_write_varuint(out, clients);
    for (size_t i = 0, end; i < count; i = end) {
        uint64_t current = 0;

        for (end = i; end < count && range[end].client == range[i].client; end++)
            continue;
        ml_write_varuint(out, range[i].client);
        ml_write_varuint(out, end - i);
        for (size_t j = i; j < end; j++) {
            ml_write_varuint(out, range[j].clock - current);
            ml_write_varuint(out, range[j].len - 1);
            current = range[j].clock + range[j].len;
        }
    }
}

void ml_columns_close(struct ml_columns *c, struct ml_writer *out)
{
    struct ml_writer *list[WRITERS];

    ml_column_flush_differences(&c->key_clock);
    ml_column_flush_numbers(&c->client);
    ml_column_flush_differences(&c->left_clock);
    ml_column_flush_differences(&c->right_clock);
    ml_column_flush_numbers(&c->string.lengths);
    ml_column_flush_numbers(&c->type_ref);
    ml_column_flush_numbers(&c->len);
    list_writers(c, list);
    for (size_t i = 0; i < WRITERS && !out->err; i++)
        out->err = list[i]->err;

    ml_write_u8(out, 0);
    for (size_t i = 0; i < WRITERS - 2; i++) {
        struct ml_slice text = ml_writer_slice(&c->string.text);

        if (list[i] == &c->string.lengths.out) {
            ml_write_varuint(out, ml_varbytes_len(text) + list[i]->len);
            ml_write_varbytes(out, text);
            ml_write_bytes(out, ml_writer_slice(list[i]));
        } else {
            ml_write_varbytes(out, ml_writer_slice(list[i]));
        }
    }
    ml_write_bytes(out, ml_writer_slice(&c->rest));
}
