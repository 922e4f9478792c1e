/* SPDX-License-Identifier: MIT */
/* The way to the write-ahead log that needs one system call a commit. Private to journal/. */
#ifndef ML_JOURNAL_SQLITE_WAL_H
#define ML_JOURNAL_SQLITE_WAL_H

#include <sqlite3.h>

/**
 * Name of the VFS for sqlite3_open_v2: it joins writes to the WAL until the next sync, and is the
 * default VFS of the moment of the first call in all else. Only for connections with
 * synchronous=FULL. NULL: it could not be registered; the default VFS does as well.
 */
const char *ml_sqlite_wal_vfs(void);

#endif
