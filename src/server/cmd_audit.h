/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_AUDIT_H
#define ML_SERVER_CMD_AUDIT_H

/** `moonloom audit …`. Answers the exit code. */
int ml_cmd_audit(int argc, char **argv);

#endif
