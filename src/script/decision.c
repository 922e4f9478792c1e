/* SPDX-License-Identifier: MIT */
/* An update on its way in, and what is decided about it. No Lua here. */
#include "script/script.h"

#include "script/recorder.h"

void ml_script_update_init(struct ml_script_update *u, const struct ml_update *update,
                           struct ml_doc *doc, struct ml_arena *scratch)
{
    /* Labels and amendments count from 0; a kilobyte is not cleared for every key. */
    u->update = update;
    u->doc = doc;
    u->scratch = scratch;
    u->effects = NULL;
    u->refusals = NULL;
    u->refusal_count = u->refusal_cap = 0;
    u->label_count = u->amendment_count = 0;
    u->proposes = false;
    u->owed = NULL;
    u->owed_count = u->owed_cap = 0;
    u->current = 0;
    u->plugin = NULL;
    u->asked = NULL;
}

enum ml_err ml_script_update_look(struct ml_script_update *u)
{
    return u->effects ? ML_OK : ml_update_effects(u->doc, u->update, u->scratch, &u->effects);
}

static bool copy_denial(struct ml_arena *scratch, const struct ml_denial *from,
                        struct ml_denial *to)
{
    *to = *from;
    to->code = ml_arena_copy(scratch, from->code);
    to->reason = ml_arena_copy(scratch, from->reason);
    return to->code.ptr && to->reason.ptr;
}

enum ml_err ml_script_update_refuse(struct ml_script_update *u, size_t edit,
                                    const struct ml_denial *denial)
{
    struct ml_script_refusal *refusal;

    if (ml_effects_at(u->effects, edit)->fate == ML_FATE_UNDONE)
        return ML_OK;
    if (u->refusal_count == u->refusal_cap) {
        size_t cap = u->refusal_cap ? u->refusal_cap * 2 : 8;
        struct ml_script_refusal *grown = ml_arena_array(u->scratch, cap, sizeof(*grown));

        if (!grown)
            return ML_ELIMIT;
        if (u->refusal_count)
            memcpy(grown, u->refusals, u->refusal_count * sizeof(*grown));
        u->refusals = grown;
        u->refusal_cap = cap;
    }
    refusal = &u->refusals[u->refusal_count];
    /* Many edits are refused for one reason: it is kept once. */
    if (u->refusal_count &&
        ml_slice_equal(u->refusals[u->refusal_count - 1].denial.code, denial->code) &&
        ml_slice_equal(u->refusals[u->refusal_count - 1].denial.reason, denial->reason))
        refusal->denial = u->refusals[u->refusal_count - 1].denial;
    else if (!copy_denial(u->scratch, denial, &refusal->denial))
        return ML_ELIMIT;
    refusal->edit = edit;
    u->refusal_count++;
    ml_effect_undo(u->effects, edit);
    return ML_OK;
}

enum ml_err ml_script_update_owe(struct ml_script_update *u, size_t edit,
                                 const struct ml_denial *denial)
{
    struct ml_script_refusal *owed;

    for (size_t i = 0; i < u->owed_count; i++)
        if (u->owed[i].edit == edit)
            return ML_OK;
    if (u->owed_count == u->owed_cap) {
        size_t cap = u->owed_cap ? u->owed_cap * 2 : 8;
        struct ml_script_refusal *grown = ml_arena_array(u->scratch, cap, sizeof *grown);

        if (!grown)
            return ML_ELIMIT;
        if (u->owed_count)
            memcpy(grown, u->owed, u->owed_count * sizeof *grown);
        u->owed = grown;
        u->owed_cap = cap;
    }
    owed = &u->owed[u->owed_count];
    owed->edit = edit;
    if (!copy_denial(u->scratch, denial, &owed->denial))
        return ML_ELIMIT;
    u->owed_count++;
    return ML_OK;
}

void ml_script_update_propose(struct ml_script_update *u, size_t edit)
{
    size_t kept = 0;

    for (size_t i = 0; i < u->owed_count; i++)
        if (u->owed[i].edit != edit)
            u->owed[kept++] = u->owed[i];
    u->owed_count = kept;
}

enum ml_err ml_script_update_refuse_owed(struct ml_script_update *u)
{
    enum ml_err err = ML_OK;

    for (size_t i = 0; i < u->owed_count && !err; i++)
        err = ml_script_update_refuse(u, u->owed[i].edit, &u->owed[i].denial);
    u->owed_count = 0;
    return err;
}

uint32_t ml_script_edit_bits(const struct ml_effect *effect)
{
    if (effect->kind == ML_EFFECT_XML_ATTR && effect->removes)
        return ML_EDIT_ATTR_REMOVED;
    return 1u << effect->kind;
}

bool ml_script_update_is_judged(const struct ml_script_update *u)
{
    return u->effects && ml_effects_are_judged(u->effects);
}

void ml_script_update_print_labels(const struct ml_script_update *u, struct ml_writer *out)
{
    ml_write_u8(out, '{');
    for (size_t i = 0; i < u->label_count; i++) {
        if (i)
            ml_write_u8(out, ',');
        ml_flight_text(out, u->labels[i].name);
        ml_write_u8(out, ':');
        ml_write_bytes(out, u->labels[i].json);
    }
    ml_write_u8(out, '}');
}
