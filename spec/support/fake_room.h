/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for rooms, plugins and the list of documents, so that net can be run without them. It
 * keeps no document: every update is "committed" as it came and told to everybody in the room,
 * after the next ml_rooms_tick.
 *
 * Names do something: a document called
 *   broken    cannot be joined (DELETED)        slow      is never loaded
 *   big       answers Step1 with 16 MiB         busy      stages one update per tick, then EBUSY
 *   flood     sends 64 KiB of updates per tick
 *
 * A token does something (not in open mode): "anna" is an editor, "rita" a reader, "evil" is
 * denied, everything else unknown. An update whose first byte is ff is malformed, fe is too large.
 */
#ifndef ML_SPEC_FAKE_ROOM_H
#define ML_SPEC_FAKE_ROOM_H

#include "room/room.h"

/** The plugins; ml_script_free is not theirs. */
struct ml_script *fake_script(void);
/** The list of documents: 250 names in org "default"; answered by the next ml_rooms_tick. */
struct ml_journal *fake_journal(void);
/** Seats that are taken. */
size_t fake_room_members(const struct ml_rooms *rooms);

#endif
