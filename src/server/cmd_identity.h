/* SPDX-License-Identifier: MIT */
/* `moonloom token` and `moonloom key`. Private to server/. */
#ifndef ML_SERVER_CMD_IDENTITY_H
#define ML_SERVER_CMD_IDENTITY_H

int ml_cmd_token(int argc, char **argv);
int ml_cmd_key(int argc, char **argv);

#endif
