/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_DOC_H
#define ML_SERVER_CMD_DOC_H

/** `moonloom doc …`; argv[0] is ls, cat, … Answers the exit code: 0, 1, 2 or 3 (unreachable). */
int ml_cmd_doc(int argc, char **argv);

#endif
