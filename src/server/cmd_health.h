/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_HEALTH_H
#define ML_SERVER_CMD_HEALTH_H

/** `moonloom health`; answers the exit code. */
int ml_cmd_health(int argc, char **argv);

#endif
