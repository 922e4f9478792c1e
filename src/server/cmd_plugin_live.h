/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_PLUGIN_LIVE_H
#define ML_SERVER_CMD_PLUGIN_LIVE_H

#include <stdbool.h>

/** Is it a command that asks a running server? */
bool ml_cmd_plugin_is_live(const char *word);
/** moonloom plugin list|reload|trace|why …: of a running server. `argv[0]` is the command. */
int ml_cmd_plugin_live(int argc, char **argv);

#endif
