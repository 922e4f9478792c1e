/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_UPDATE_H
#define ML_SERVER_CMD_UPDATE_H

/** `moonloom update …`; argv[0] is apply, merge, … Answers the exit code: 0, 1 or 2. */
int ml_cmd_update(int argc, char **argv);

#endif
