/* SPDX-License-Identifier: MIT */
/* `moonloom org`: orgs as a whole. Private to server/. */
#ifndef ML_SERVER_CMD_ORG_H
#define ML_SERVER_CMD_ORG_H

int ml_cmd_org(int argc, char **argv);

#endif
