/* SPDX-License-Identifier: MIT */
/*
 * A disk that can fail beneath SQLite: a VFS over the system's own, registered as the default.
 *
 * What is written is kept here, as a kernel keeps dirty pages, and reaches the real file only when
 * it is synced. So a "power cut" loses exactly what was not synced, or, worse, some of it: single
 * writes, and the first half of one (torn).
 *
 *   write --> un-synced writes of the file --(sync)--> real file
 *                    |                 \--(sync fails)--> dropped, or kept as if clean
 *                    +--(power cut)--> lost, each with some luck kept, the last perhaps torn
 *
 * Shared memory (-shm) goes straight through: it is rebuilt from the log after a crash.
 */
#ifndef ML_SPEC_SUPPORT_FAULTY_VFS_H
#define ML_SPEC_SUPPORT_FAULTY_VFS_H

#include <stdbool.h>

enum vfs_fault {
    VFS_FAULT_NONE,
    VFS_FAULT_POWER_CUT,  /* everything fails from then on, until vfs_heal */
    VFS_FAULT_WRITE_EIO,  /* one write fails, half of it done */
    VFS_FAULT_SYNC_LOSES, /* one sync fails and what it should have saved is gone */
    VFS_FAULT_SYNC_KEEPS, /* one sync fails, later reads still see the data, later syncs skip it */
    VFS_FAULT_SYNC_KILLS, /* as SYNC_KEEPS, and the process dies there: nothing works until
                             vfs_revive */
    VFS_FAULT_FULL,       /* writes that make a file longer fail, until vfs_heal */
};

/** Register as the default VFS. Once per process. */
void vfs_install(void);
/** The fault comes at the `after`-th write or sync from now (1: the next). Sync faults: at the
 * first sync from there. `seed` decides what a power cut keeps. */
void vfs_plan(enum vfs_fault fault, unsigned after, unsigned seed);
/** Did the planned fault come? */
bool vfs_fired(void);
/** The power is back, there is room again. After a power cut: only when every file is closed. */
void vfs_heal(void);
/** A new process on the same kernel: everything works, and reads see what was written, synced or
 * not. Only when every file is closed. */
void vfs_revive(void);
/** Writes and syncs so far. */
unsigned long vfs_operations(void);

#endif
