/* SPDX-License-Identifier: MIT */
#include "visible.h"

#include <stdlib.h>

static const struct ml_doc *sorting;

static int compare_names(const void *pa, const void *pb)
{
    const struct ml_key_entry *a = pa, *b = pb;

    return ml_slice_compare(ml_name_text(sorting, a->key), ml_name_text(sorting, b->key));
}

static void write_text(struct ml_writer *w, const char *text)
{
    ml_write_bytes(w, ml_slice_str(text));
}

static void dump_branch(const struct ml_doc *doc, uint32_t branch, struct ml_writer *w);

static void dump_item(const struct ml_doc *doc, const struct ml_item *i, unsigned *before,
                      struct ml_writer *w)
{
    unsigned kind = ml_item_kind(i);

    if (kind != *before || kind == ML_WIRE_FORMAT) {
        ml_write_u8(w, '|');
        ml_write_u8(w, (uint8_t)('0' + kind));
    }
    *before = kind;
    if (kind == ML_WIRE_TYPE) {
        const struct ml_branch *b = ml_branch_at(doc, i->off);

        ml_write_u8(w, (uint8_t)('0' + b->type_ref));
        if (b->name != NIL)
            ml_write_varbytes(w, ml_name_text(doc, b->name));
        dump_branch(doc, i->off, w);
    } else {
        ml_write_bytes(w, ml_item_content(doc, i));
    }
}

static void dump_map(const struct ml_doc *doc, const struct ml_branch *b, struct ml_writer *w)
{
    struct ml_key_entry *entries = calloc(b->keys ? b->keys->cap : 1, sizeof *entries);
    uint32_t count = 0, cursor = 0;

    while (ml_branch_next_entry(b, &cursor, &entries[count]))
        count += !ml_item_is_deleted(ml_item_at(doc, entries[count].item));
    sorting = doc;
    qsort(entries, count, sizeof *entries, compare_names);
    for (uint32_t n = 0; n < count; n++) {
        unsigned before = 0;

        ml_write_varbytes(w, ml_name_text(doc, entries[n].key));
        dump_item(doc, ml_item_at(doc, entries[n].item), &before, w);
    }
    free(entries);
}

static void dump_branch(const struct ml_doc *doc, uint32_t branch, struct ml_writer *w)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    unsigned before = 0;

    write_text(w, "[");
    for (uint32_t i = b->start; i != NIL; i = ml_item_at(doc, i)->right)
        if (!ml_item_is_deleted(ml_item_at(doc, i)))
            dump_item(doc, ml_item_at(doc, i), &before, w);
    write_text(w, "]{");
    dump_map(doc, b, w);
    write_text(w, "}");
}

void visible_dump(const struct ml_doc *doc, struct ml_writer *out)
{
    struct ml_key_entry *roots = calloc(doc->name_count + 1, sizeof *roots);
    uint32_t count = 0;

    for (uint32_t n = 0; n < doc->name_count; n++)
        if (doc->names[n].root != NIL)
            roots[count++] = (struct ml_key_entry){n, doc->names[n].root};
    sorting = doc;
    qsort(roots, count, sizeof *roots, compare_names);
    for (uint32_t n = 0; n < count; n++) {
        size_t start = out->len, name;

        ml_write_varbytes(out, ml_name_text(doc, roots[n].key));
        name = out->len;
        dump_branch(doc, roots[n].item, out);
        if (out->len - name == 4) /* "[]{}": it shows nothing */
            out->len = start;
    }
    free(roots);
}
