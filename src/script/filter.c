/* SPDX-License-Identifier: MIT */
/*
 * Which edits a hook wants to see: kinds, paths, keys, origins, size. Applied in C, so that what
 * nobody asked for never enters Lua.
 *
 *   size, origin          a comparison
 *   kinds, from bytes     what a struct could be at all; most keys are sorted out here
 *   kinds, paths, keys    the edits as they are (ml_update_effects), once for all hooks
 */
#include "script/state.h"

const char *const ml_edit_words[ML_EFFECT_KINDS] = {
    [ML_EFFECT_TEXT_INSERT] = "text.insert",
    [ML_EFFECT_TEXT_DELETE] = "text.delete",
    [ML_EFFECT_TEXT_FORMAT] = "text.format",
    [ML_EFFECT_MAP_SET] = "map.set",
    [ML_EFFECT_MAP_DELETE] = "map.delete",
    [ML_EFFECT_ARRAY_INSERT] = "array.insert",
    [ML_EFFECT_ARRAY_DELETE] = "array.delete",
    [ML_EFFECT_XML_INSERT] = "xml.insert",
    [ML_EFFECT_XML_DELETE] = "xml.delete",
    [ML_EFFECT_XML_ATTR] = "xml.attr",
    [ML_EFFECT_SUBDOC] = "subdoc",
};

#define BIT(kind)  (1u << (kind))
#define WORD_MAX   16 /* none is as long */
#define KEYED_BITS (BIT(ML_EFFECT_MAP_SET) | BIT(ML_EFFECT_XML_ATTR))
/* A delete set takes away anything; a format too, and an attribute. */
#define DELETE_BITS                                                                                \
    (BIT(ML_EFFECT_TEXT_DELETE) | BIT(ML_EFFECT_TEXT_FORMAT) | BIT(ML_EFFECT_MAP_DELETE) |         \
     BIT(ML_EFFECT_ARRAY_DELETE) | BIT(ML_EFFECT_XML_DELETE) | BIT(ML_EFFECT_XML_ATTR))

uint32_t ml_edit_word_bits(struct ml_slice word)
{
    uint32_t bits = 0;

    if (!word.len || word.len > WORD_MAX || memchr(word.ptr, '\0', word.len))
        return 0;
    for (int i = 0; i < ML_EFFECT_KINDS; i++) {
        const char *known = ml_edit_words[i];

        if (strncmp(known, (const char *)word.ptr, word.len) == 0 &&
            (known[word.len] == '\0' || known[word.len] == '.'))
            bits |= BIT(i);
    }
    return bits;
}

uint32_t ml_origin_bits(struct ml_slice word)
{
    static const char *const origins[] = {"client", "sync", "import"};

    for (unsigned i = 0; i < sizeof(origins) / sizeof(*origins); i++)
        if (ml_slice_equal(ml_slice_str(origins[i]), word))
            return 1u << i;
    return 0;
}

/* ---- From the bytes alone ----------------------------------------------------------------------
 */

static uint32_t may_be(const struct ml_edit *edit)
{
    switch (edit->kind) {
    case ML_EDIT_STRING:
        return BIT(ML_EFFECT_TEXT_INSERT) | KEYED_BITS;
    case ML_EDIT_FORMAT:
        return BIT(ML_EFFECT_TEXT_FORMAT);
    case ML_EDIT_EMBED:
        return BIT(ML_EFFECT_TEXT_INSERT) | KEYED_BITS;
    case ML_EDIT_JSON:
    case ML_EDIT_ANY:
    case ML_EDIT_BINARY:
        return KEYED_BITS | BIT(ML_EFFECT_ARRAY_INSERT) | BIT(ML_EFFECT_TEXT_INSERT);
    case ML_EDIT_TYPE:
        return KEYED_BITS | BIT(ML_EFFECT_ARRAY_INSERT) | BIT(ML_EFFECT_XML_INSERT) |
               BIT(ML_EFFECT_TEXT_INSERT);
    case ML_EDIT_DOC:
        return BIT(ML_EFFECT_SUBDOC);
    case ML_EDIT_GC:
    case ML_EDIT_DELETED:
        break;
    }
    return 0;
}

/* Could any struct or delete be of one of these kinds? */
static bool may_hold(const struct ml_update *update, uint32_t kinds)
{
    struct ml_edit_cursor cursor = {0};
    struct ml_edit edit;

    if (ml_update_facts(update)->deleted_units && (kinds & DELETE_BITS))
        return true;
    while (ml_update_next_edit(update, &cursor, &edit))
        if (may_be(&edit) & kinds)
            return true;
    return false;
}

/* ---- As they are -------------------------------------------------------------------------------
 */

bool ml_effect_is_at(const struct ml_effect *effect, struct ml_slice pattern)
{
    return ml_glob_match(pattern, effect->path) ||
           (effect->path_by_id.ptr && ml_glob_match(pattern, effect->path_by_id));
}

static bool at_any_path(const struct ml_edit_filter *filter, const struct ml_effect *effect)
{
    for (size_t i = 0; i < filter->path_count; i++)
        if (ml_effect_is_at(effect, ml_slice_str(filter->paths[i])))
            return true;
    return filter->path_count == 0;
}

static bool has_any_key(const struct ml_edit_filter *filter, const struct ml_effect *effect)
{
    for (size_t i = 0; i < filter->key_count; i++)
        if (effect->key.ptr && ml_glob_match(ml_slice_str(filter->keys[i]), effect->key))
            return true;
    return filter->key_count == 0;
}

bool ml_filter_takes(const struct ml_edit_filter *filter, const struct ml_effect *effect)
{
    return ml_effect_is_open(effect) && (!filter->kinds || (filter->kinds & BIT(effect->kind))) &&
           has_any_key(filter, effect) && at_any_path(filter, effect);
}

enum ml_err ml_filter_matches(const struct ml_edit_filter *filter, struct ml_script_update *update,
                              const char *origin, bool *matches_out)
{
    enum ml_err err;

    *matches_out = false;
    if (ml_update_facts(update->update)->bytes < filter->min_bytes)
        return ML_OK;
    if (filter->origins &&
        !(filter->origins & ml_origin_bits(ml_slice_str(origin ? origin : "client"))))
        return ML_OK;
    if (!filter->kinds && !filter->path_count && !filter->key_count) {
        *matches_out = true;
        return ML_OK;
    }
    /* What waited is not in these bytes. */
    if (filter->kinds && !ml_doc_is_waiting(update->doc) &&
        !may_hold(update->update, filter->kinds))
        return ML_OK;
    err = ml_script_update_look(update);
    for (size_t n = 0; !err && !*matches_out && n < ml_effects_count(update->effects); n++)
        *matches_out = ml_filter_takes(filter, ml_effects_at(update->effects, n));
    return err;
}
