/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_PLUGIN_H
#define ML_SERVER_CMD_PLUGIN_H

/** `moonloom plugin …`; argv[0] is new, test, lint, … Answers the exit code: 0, 1, 2 or 3. */
int ml_cmd_plugin(int argc, char **argv);

#endif
