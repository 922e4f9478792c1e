/* SPDX-License-Identifier: MIT */
/*
 * Events of the engine as edits of the contract, in one block of memory.
 *
 *   event of a list:  retain 3, delete 2, insert "ab"   ->   text.delete 3 2, text.insert 3 "ab"
 *   event of keys:    k updated                         ->   map.set k, with the value before
 *
 * Walked twice: the first time only counts.
 */
#include "script/noted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/state.h"

enum {
    TYPE_ARRAY,
    TYPE_MAP,
    TYPE_TEXT,
    TYPE_XML_ELEMENT,
    TYPE_XML_FRAGMENT,
    TYPE_XML_HOOK,
    TYPE_XML_TEXT
};

struct build {
    struct ml_noted *noted; /* NULL: only counting */
    struct ml_noted_change *changes;
    uint8_t *at; /* where the next bytes go */
    size_t count, bytes;
};

static struct ml_slice keep(struct build *b, struct ml_slice from)
{
    struct ml_slice copy = {b->at, from.len};

    if (!from.ptr)
        return from;
    b->bytes += from.len + !from.len;
    if (!b->noted)
        return from;
    if (from.len)
        memcpy(b->at, from.ptr, from.len);
    b->at += from.len + !from.len; /* an empty text has an address, too */
    return copy;
}

static void put_byte(struct build *b, uint8_t byte)
{
    if (b->noted)
        *b->at++ = byte;
    b->bytes++;
}

static void put_segment(struct build *b, struct ml_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '/' || name.ptr[i] == '~') {
            put_byte(b, '~');
            put_byte(b, name.ptr[i] == '/' ? '1' : '0');
        } else {
            put_byte(b, name.ptr[i]);
        }
    }
}

static struct ml_slice put_path(struct build *b, const struct ml_event *e)
{
    uint8_t *began = b->at;

    put_segment(b, e->root);
    for (size_t i = 0; i < e->step_count; i++) {
        char index[16];

        put_byte(b, '/');
        if (e->steps[i].key.ptr) {
            put_segment(b, e->steps[i].key);
        } else {
            (void)snprintf(index, sizeof(index), "%lu", (unsigned long)e->steps[i].index);
            put_segment(b, ml_slice_str(index));
        }
    }
    return b->noted ? ml_slice_make(began, (size_t)(b->at - began)) : (struct ml_slice){0};
}

static struct ml_noted_change *next(struct build *b)
{
    struct ml_noted_change *change = b->noted ? &b->changes[b->count] : NULL;

    b->count++;
    if (change)
        *change = (struct ml_noted_change){0};
    return change;
}

static bool is_xml(const struct ml_doc *doc, const struct ml_event *e)
{
    struct ml_shown root;

    if (!e->is_root)
        return e->type_ref >= TYPE_XML_ELEMENT && e->type_ref != TYPE_XML_TEXT;
    return ml_shown_root(doc, e->root, &root) && ml_shown_kind(doc, &root) == ML_VALUE_XML_FRAGMENT;
}

static void add_key(struct build *b, const struct ml_event *e, struct ml_slice path,
                    const struct ml_key_change *k)
{
    bool attr = !e->is_root && (e->type_ref == TYPE_XML_ELEMENT || e->type_ref == TYPE_XML_TEXT);
    struct ml_noted_change *change = next(b), none;

    if (!change)
        change = &none;
    *change = (struct ml_noted_change){
        .word = attr                          ? ML_EFFECT_XML_ATTR
                : k->action == ML_KEY_DELETED ? ML_EFFECT_MAP_DELETE
                                              : ML_EFFECT_MAP_SET,
        .path = path,
        .key = keep(b, k->key),
        .value = keep(b, k->after),
        .before = keep(b, k->before),
        .before_is_json = true,
    };
}

static void add_step(struct build *b, bool xml, struct ml_slice path,
                     const struct ml_list_change *step, uint32_t index)
{
    bool text = step->text.ptr != NULL, insert = step->action == ML_LIST_INSERT;
    struct ml_noted_change *change = next(b), none;
    uint8_t word;

    if (step->action == ML_LIST_RETAIN)
        word = ML_EFFECT_TEXT_FORMAT;
    else if (text)
        word = insert ? ML_EFFECT_TEXT_INSERT : ML_EFFECT_TEXT_DELETE;
    else if (xml)
        word = insert ? ML_EFFECT_XML_INSERT : ML_EFFECT_XML_DELETE;
    else
        word = insert ? ML_EFFECT_ARRAY_INSERT : ML_EFFECT_ARRAY_DELETE;
    if (!change)
        change = &none;
    *change = (struct ml_noted_change){
        .word = word,
        .path = path,
        .index = index,
        .len = step->len,
        .attrs = keep(b, step->formats),
        .before_is_json = !text,
    };
    if (insert) {
        change->text = keep(b, step->text);
        change->value = keep(b, step->values);
    } else if (step->action == ML_LIST_DELETE) {
        change->before = keep(b, text ? step->text : step->values);
    }
}

static void add_event(struct build *b, const struct ml_doc *doc, const struct ml_event *e)
{
    struct ml_slice path = put_path(b, e);
    bool xml = is_xml(doc, e);
    uint32_t index = 0;

    for (size_t i = 0; i < e->key_count; i++)
        add_key(b, e, path, &e->keys[i]);
    for (size_t i = 0; i < e->list_count; i++) {
        const struct ml_list_change *step = &e->list[i];

        if (step->action != ML_LIST_RETAIN || step->formats.ptr)
            add_step(b, xml, path, step, index);
        if (step->action != ML_LIST_DELETE)
            index += step->len;
    }
}

static void walk(struct build *b, const struct ml_doc *doc, const struct ml_event *events,
                 struct ml_slice author, struct ml_slice *author_out)
{
    *author_out = keep(b, author);
    for (const struct ml_event *e = events; e; e = e->next)
        add_event(b, doc, e);
}

struct ml_noted *ml_noted_new(const struct ml_doc *doc, const struct ml_event *events,
                              struct ml_slice author)
{
    struct build b = {0};
    struct ml_slice kept;
    struct ml_noted *noted;
    size_t bytes;

    walk(&b, doc, events, author, &kept);
    bytes = sizeof(*noted) + b.count * sizeof(*b.changes) + b.bytes;
    noted = malloc(bytes);
    if (!noted)
        return NULL;
    *noted = (struct ml_noted){.count = 1, .origin = "client", .memory_bytes = bytes};
    b = (struct build){.noted = noted,
                       .changes = (struct ml_noted_change *)(void *)(noted + 1),
                       .at = (uint8_t *)(noted + 1) + b.count * sizeof(*b.changes)};
    walk(&b, doc, events, author, &kept);
    noted->author = kept;
    noted->changes = b.changes;
    noted->change_count = b.count;
    return noted;
}
