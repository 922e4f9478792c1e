/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_MIGRATE_H
#define ML_SERVER_CMD_MIGRATE_H

/** `moonloom migrate …`. Answers the exit code: 0, 1 or 2. */
int ml_cmd_migrate(int argc, char **argv);

#endif
