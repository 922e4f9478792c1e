/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_CMD_PLUGIN_DOCUMENTS_H
#define ML_SERVER_CMD_PLUGIN_DOCUMENTS_H

#include <lua.h>

/** The module moonloom.documents, for package.preload of the tool's state. */
int ml_open_documents(lua_State *L);

#endif
