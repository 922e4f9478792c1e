/* SPDX-License-Identifier: MIT */
/*
 * A pile: many items that were inserted at one place by people who did not know of each other.
 *
 *   [ A ] [ x 3 ] [ ... ] [ x 17 ] [ ... ] [ x 90 ] [ ... ] [ B ]
 *            |                |                |                  same origin and right origin as
 *          {3,..}          {17,..}          {90,..}               the pile, by ascending author
 *
 * The scan of integrate.c passes every item of a pile, so n of them cost n squared. The document
 * remembers the last place at which a scan was long, and for it the members that scans have met, in
 * ascending order of their authors. The next item there begins its scan at the member before it
 * (ml_pile_before) instead of at A.
 *
 * Why the result is the same:
 *  [P1] A member with a smaller author makes the scan of a later one move on behind it: whatever
 * stands before that member is settled. All the scan needs to know of it is whether an origin that
 * it meets later stands there; if it meets one that it has not passed, it begins again at A. [P2] A
 * scan stops early at an item whose origin lies before A. Such a one can come between A and a
 *       member only through a scan that passes A; then the pile is forgotten (ml_pile_passed).
 *  [P3] A member is found by its id. It may have been merged, split or collected since: then it no
 * longer begins where it did, and the scan begins at A.
 */
#include "engine/position.h"

#define PILE_MAX 16384 /* members; more are scanned one by one */

static bool is_pile_of(const struct ml_pile *pile, const struct ml_spot *at)
{
    return pile->count && pile->parent == at->parent && pile->key == at->key &&
           pile->o_cl == at->o_cl && pile->ro_cl == at->ro_cl &&
           (at->o_cl == NIL || pile->o_clock == at->o_clock) &&
           (at->ro_cl == NIL || pile->ro_clock == at->ro_clock);
}

bool ml_pile_is_at(const struct ml_doc *doc, const struct ml_spot *at)
{
    return is_pile_of(&doc->pile, at);
}

/* How many members have a smaller author. */
static uint32_t count_before(const struct ml_pile *pile, ml_client_id client)
{
    uint32_t low = 0, high = pile->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (pile->members[mid].client < client)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The item of a member, NIL: it is not there any more as it was. */
static uint32_t member_item(struct ml_doc *doc, const struct ml_pile_member *member)
{
    uint32_t index = ml_run_find(doc, member->slot, member->clock);
    const struct ml_item *i = index != NIL ? ml_item_at(doc, index) : NULL;

    if (!i || ml_item_is_gc(i) || i->clock != member->clock || i->o_cl != doc->pile.o_cl ||
        i->ro_cl != doc->pile.ro_cl || i->parent != doc->pile.parent)
        return NIL;
    return index;
}

uint32_t ml_pile_before(struct ml_doc *doc, ml_client_id client)
{
    uint32_t n = count_before(&doc->pile, client);

    return n ? member_item(doc, &doc->pile.members[n - 1]) : NIL;
}

void ml_pile_begin(struct ml_doc *doc, const struct ml_spot *at)
{
    struct ml_pile *pile = &doc->pile;

    pile->count = 0;
    pile->parent = at->parent;
    pile->key = at->key;
    pile->o_cl = at->o_cl;
    pile->o_clock = at->o_clock;
    pile->ro_cl = at->ro_cl;
    pile->ro_clock = at->ro_clock;
}

void ml_pile_add(struct ml_doc *doc, uint32_t item)
{
    struct ml_pile *pile = &doc->pile;
    const struct ml_item *i = ml_item_at(doc, item);
    struct ml_pile_member member = {doc->clients[ml_item_slot(i)].id, ml_item_slot(i), i->clock};
    uint32_t n;

    if (i->o_cl != pile->o_cl || i->ro_cl != pile->ro_cl ||
        (i->o_cl != NIL && i->o_clock != pile->o_clock) ||
        (i->ro_cl != NIL && i->ro_clock != pile->ro_clock))
        return;
    n = count_before(pile, member.client);
    if (n < pile->count && pile->members[n].client == member.client)
        return;
    if (pile->count == PILE_MAX)
        return;
    if (pile->count == pile->cap) {
        void *grown = ml_doc_grow(doc, pile->members, &pile->cap, sizeof *pile->members);

        if (!grown)
            return; /* it is only remembered to be fast */
        pile->members = grown;
    }
    memmove(&pile->members[n + 1], &pile->members[n], (pile->count - n) * sizeof *pile->members);
    pile->members[n] = member;
    pile->count++;
}

void ml_pile_passed(struct ml_doc *doc, const struct ml_item *i)
{
    struct ml_pile *pile = &doc->pile;

    if (pile->count && ml_item_slot(i) == pile->o_cl && i->clock <= pile->o_clock &&
        pile->o_clock < ml_item_end(i))
        pile->count = 0;
}

void ml_pile_drop(struct ml_doc *doc)
{
    ml_doc_drop(doc, doc->pile.members, doc->pile.cap * sizeof *doc->pile.members);
    doc->pile = (struct ml_pile){0};
}
