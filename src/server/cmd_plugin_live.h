/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_PLUGIN_LIVE_H
#define ML_SERVER_CMD_PLUGIN_LIVE_H

/** moonloom plugin list|reload …: of a running server. `argv[0]` is list or reload. */
int ml_cmd_plugin_live(int argc, char **argv);

#endif
