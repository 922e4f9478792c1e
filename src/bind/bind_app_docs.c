/* SPDX-License-Identifier: MIT */
/*
 * ml.docs in a t.app, what changes documents: the same birth, errand and deletion that net has for
 * a server (net/plugin_docs.c). What only reads is answered by the spec's side, out of the
 * journal's records (lua/moonloom/test/outside.lua).
 *
 *   plugin -- op --> "docs" event --> outside.lua -- core:docs --> rooms, journal
 *      ^                                                              |
 *      +------------------------- ml_app_resume <---------------------+
 */
#include <stdlib.h>

#include "bind/bind_app.h"

#define BYTES_MAX (64u << 20)

struct doing {
    struct ml_list node; /* app->docs */
    struct ml_app *app;  /* NULL: closed meanwhile */
    uint64_t ticket;
    struct ml_arena arena;
    struct ml_slice org, name;
    struct ml_birth birth;
    struct ml_set_deleted deletion;
};

static void finish(struct doing *d, const struct ml_script_answer *answer)
{
    if (d->app) {
        ml_list_remove(&d->node);
        ml_app_resume(d->app, d->ticket, answer);
    }
    ml_arena_release(&d->arena);
    free(d);
}

static void fail(struct doing *d, enum ml_err err, struct ml_slice why)
{
    finish(d, &(struct ml_script_answer){.err = err, .text = why});
}

static void succeed(struct doing *d, uint64_t number)
{
    finish(d, &(struct ml_script_answer){.number = number});
}

static void tell(struct doing *d, const char *what)
{
    ml_app_event(d->app, what);
    ml_app_put(d->app, "doc", d->name);
    ml_app_post(d->app);
}

static void on_born(struct ml_birth *birth, const struct ml_birth_result *result)
{
    struct doing *d = ML_CONTAINER(birth, struct doing, birth);

    if (d->app && !result->err)
        tell(d, "made");

    if (result->err == ML_EDENIED)
        fail(d, ML_EDENIED, result->denial->reason);
    else if (result->err && result->err != ML_ECONFLICT)
        fail(d, result->err, ml_slice_str(ml_err_text(result->err)));
    else
        succeed(d, !result->err && !result->is_imported);
}

static void on_errand(void *arg, const struct ml_errand_result *result)
{
    struct doing *d = arg;
    struct ml_script_item kind = {.key = ML_SLICE("kind"), .value = result->kind};
    struct ml_script_answer answer = {.err = result->err, .number = result->seq};

    if (result->err)
        answer.text = result->text.len ? result->text : ml_slice_str(ml_err_text(result->err));
    else
        answer.value = result->text;
    if (result->kind.len) {
        answer.items = &kind;
        answer.item_count = 1;
    }
    finish(d, &answer);
}

static void on_deleted(struct ml_set_deleted *request)
{
    struct doing *d = ML_CONTAINER(request, struct doing, deletion);

    if (request->err && request->err != ML_ENOTFOUND) {
        fail(d, request->err, ml_slice_str(ml_err_text(request->err)));
        return;
    }
    if (d->app && !request->err && request->changed) {
        tell(d, "deleted");
        (void)ml_rooms_dismiss(d->app->rooms, d->org, d->name, ML_CLOSE_DELETED,
                               "the document was deleted");
    }
    succeed(d, !request->err && request->changed);
}

static void on_may_delete(void *arg, enum ml_err err, const struct ml_denial *denial)
{
    struct doing *d = arg;

    if (err) {
        fail(d, err, err == ML_EDENIED ? denial->reason : ML_SLICE("a policy cannot answer now"));
        return;
    }
    d->deletion = (struct ml_set_deleted){.org = d->org,
                                          .name = d->name,
                                          .deleted = true,
                                          .at_ms = ml_test_wall_ms(),
                                          .done = on_deleted};
    ml_journal_set_deleted(d->app->journal, &d->deletion);
}

static struct ml_slice text_at(lua_State *L, struct doing *d, int index)
{
    size_t len = 0;
    const char *text = luaL_optlstring(L, index, NULL, &len);

    return text ? ml_arena_copy(&d->arena, ml_slice_make(text, len)) : (struct ml_slice){0};
}

static enum ml_err order(struct doing *d, enum ml_errand_kind kind, struct ml_slice instance,
                         struct ml_slice task, struct ml_slice text)
{
    const struct ml_errand errand = {.kind = kind,
                                     .org = d->org,
                                     .name = d->name,
                                     .instance = instance,
                                     .task = task,
                                     .text = text,
                                     .done = on_errand,
                                     .arg = d};

    return ml_rooms_errand(d->app->rooms, &errand);
}

/* app:docs(ticket, what, doc, instance, task, bytes, template) */
static int app_docs(lua_State *L)
{
    static const char *const words[] = {"create", "delete", "apply", "run", NULL};
    struct ml_app *app = ml_app_check(L);
    uint64_t ticket = (uint64_t)luaL_checknumber(L, 2);
    int what = luaL_checkoption(L, 3, NULL, words);
    struct doing *d = calloc(1, sizeof *d);
    struct ml_slice instance, task, bytes, template;
    struct ml_script *script;
    enum ml_err err = ML_OK;

    if (!d)
        return luaL_error(L, "out of memory");
    *d = (struct doing){.app = app, .ticket = ticket, .org = ml_slice_str(app->org)};
    ml_arena_init(&d->arena, BYTES_MAX);
    ml_list_append(&app->docs, &d->node);
    d->name = text_at(L, d, 4);
    instance = text_at(L, d, 5);
    task = text_at(L, d, 6);
    bytes = text_at(L, d, 7);
    template = text_at(L, d, 8);
    switch (what) {
    case 0:
        d->birth = (struct ml_birth){.org = d->org,
                                     .name = d->name,
                                     .may_create = true,
                                     .is_wanted = true,
                                     .template = template,
                                     .content = bytes,
                                     .done = on_born};
        ml_rooms_birth(app->rooms, &d->birth);
        break;
    case 1:
        script = ml_app_script(app, d->name);
        if (script && ml_script_hooks(script) & ML_HOOK_DELETE_DOCUMENT)
            ml_script_may_delete(script, d->org, d->name, on_may_delete, d);
        else
            on_may_delete(d, ML_OK, NULL);
        break;
    case 2:
        err = order(d, ML_ERRAND_OPS, instance, task, bytes);
        break;
    default:
        err = order(d, ML_ERRAND_TASK, instance, task, bytes);
    }
    if (err)
        fail(d, err, ml_slice_str(ml_err_text(err)));
    return 0;
}

void ml_app_docs_forget(struct ml_app *app)
{
    ML_LIST_EACH(node, &app->docs)
    {
        ML_CONTAINER(node, struct doing, node)->app = NULL;
        ml_list_remove(node);
    }
}

const luaL_Reg ml_app_docs_methods[] = {{"docs", app_docs}, {NULL, NULL}};
