/* SPDX-License-Identifier: MIT */
/* `moonloom user`: accounts with a password. Private to server/. */
#ifndef ML_SERVER_CMD_USER_H
#define ML_SERVER_CMD_USER_H

int ml_cmd_user(int argc, char **argv);

#endif
