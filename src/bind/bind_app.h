/* SPDX-License-Identifier: MIT */
/* What the files of t.app share. Private to bind/. */
#ifndef ML_BIND_APP_H
#define ML_BIND_APP_H

#include <lauxlib.h>
#include <lua.h>

#include "base/list.h"
#include "bind/bind.h"
#include "room/room.h"

struct ml_app {
    lua_State *L; /* of the call that runs: callbacks file their events there */
    int events_ref;
    struct ml_deploy *deploy; /* NULL: no plugins */
    struct ml_deploy *next;   /* whose setup waits; NULL: none */
    struct ml_shared_store *shared;
    struct ml_cells *cells;
    struct ml_rooms *rooms; /* NULL: closed */
    char org[64];
    struct ml_journal *journal;
    struct ml_arena scratch;
    struct ml_list seats;
    struct ml_app_asking *authorizing; /* bind_app_script.c; NULL: nothing is asked */
    struct ml_list docs;               /* bind_app_docs.c: what they do with documents */
    struct ml_list asking;             /* bind_app_store.c: what plugins wait for */
    unsigned next_seat;
    uint64_t next_event; /* questions to the spec */
    uint64_t rng;
};

int ml_app_new(lua_State *L);
void ml_app_open(lua_State *L);
/** The app at 1, with its L set; raises if it is closed. */
struct ml_app *ml_app_check(lua_State *L);

/** Where the hooks of the app's org run, for this document; NULL: no plugins. */
struct ml_script *ml_app_script(const struct ml_app *app, struct ml_slice document);

/* An event: begin, fields, file. */
void ml_app_event(struct ml_app *app, const char *kind);
void ml_app_put(struct ml_app *app, const char *name, struct ml_slice text);
void ml_app_put_number(struct ml_app *app, const char *name, double value);
void ml_app_post(struct ml_app *app);

/* bind_app_store.c: what plugins ask of the outside. */
extern const luaL_Reg ml_app_store_methods[];
/** The answer to a question that became an event. */
void ml_app_resume(struct ml_app *app, uint64_t ticket, const struct ml_script_answer *answer);
struct ml_script_port ml_app_port(struct ml_app *app);

/* bind_app_script.c: what the outside asks of plugins. */
void ml_app_forget(struct ml_app *app); /* what is being asked */
extern const luaL_Reg ml_app_script_methods[];
extern const luaL_Reg ml_app_work_methods[]; /* bind_app_work.c */
extern const luaL_Reg ml_app_docs_methods[]; /* bind_app_docs.c */
void ml_app_docs_forget(struct ml_app *app);
/** The identity in the table at `index`. */
void ml_app_identity(lua_State *L, int index, struct ml_identity *out);

#endif
