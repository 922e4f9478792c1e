/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_BENCH_H
#define ML_SERVER_CMD_BENCH_H

/** `moonloom bench …`; argv[0] is engine, … Answers the exit code: 0, 1 or 2. */
int ml_cmd_bench(int argc, char **argv);

#endif
