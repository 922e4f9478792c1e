/* SPDX-License-Identifier: MIT */
/*
 * A request goes to the loop of its document, connection and all: what it needs is there, and a
 * session that comes of it has its room beside it.
 *
 *   /sync/ORG/NAME, /d/ORG/NAME, /api/v1/orgs/ORG/docs/NAME…    the document's loop
 *   /collab/ORG (names its documents later, inside frames)      the loops in turn
 *   anything else                                               wherever it is
 *
 * The head is judged again on the other side; nothing of it was answered yet.
 */
#include "net/http.h"
#include "net/hub.h"
#include "net/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ORGS ML_SLICE("/api/v1/orgs/")

struct moving {
    struct ml_parcel parcel; /* first */
    struct ml_hub *hub;
    struct ml_shared *shared;
    struct ml_address *address;
    unsigned loop;
    int fd;
    char ip[ML_ADDRESS_TEXT];
    size_t len;
    uint8_t bytes[];
};

static void arrive(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct moving *moving = (struct moving *)(void *)parcel;
    struct ml_net *net = rooms ? ml_hub_net(moving->hub, moving->loop) : NULL;

    if (net && !net->is_closing) {
        ml_http_open_moved(net, moving->fd, moving->ip, moving->address,
                           ml_slice_make(moving->bytes, moving->len));
    } else {
        ml_address_drop(moving->shared, moving->address, false);
        close(moving->fd);
    }
    free(moving);
}

static struct ml_slice after(struct ml_slice text, size_t skip)
{
    return ml_slice_make(text.ptr + skip, text.len - skip);
}

/* Up to the next slash; *rest_out begins behind it. */
static struct ml_slice segment(struct ml_slice path, struct ml_slice *rest_out)
{
    const uint8_t *slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
    size_t len = slash ? (size_t)(slash - path.ptr) : path.len;

    *rest_out = after(path, slash ? len + 1 : len);
    return ml_slice_make(path.ptr, len);
}

/* ORG "/docs/" NAME…: what the API calls a document, one escaped segment. */
static bool api_document(struct ml_slice path, struct ml_arena *scratch, struct ml_slice *org_out,
                         struct ml_slice *name_out)
{
    struct ml_slice rest, name;

    if (!ml_url_has_prefix(path, ORGS))
        return false;
    *org_out = segment(after(path, ORGS.len), &rest);
    if (!ml_slice_equal(segment(rest, &rest), ML_SLICE("docs")))
        return false;
    name = segment(rest, &rest);
    return name.len && !ml_url_decode(name, scratch, name_out) && ml_org_is_valid(*org_out) &&
           ml_document_name_is_valid(*name_out);
}

static unsigned home_of(struct ml_net *net, const struct ml_head *head)
{
    unsigned loops = ml_hub_loops(net->env.hub);
    struct ml_slice org, name;

    if (ml_url_has_prefix(head->path, ML_SLICE("/collab/")) && ml_head_field(head, "upgrade").ptr)
        return net->next_loop++ % loops;
    if (!ml_url_document(head->path, ML_SLICE("/sync/"), &net->scratch, &org, &name) ||
        !ml_url_document(head->path, ML_SLICE("/d/"), &net->scratch, &org, &name) ||
        api_document(head->path, &net->scratch, &org, &name))
        return ml_document_loop(org, name, loops);
    return net->env.loop_number;
}

bool ml_http_move(struct ml_http *http, const struct ml_head *head)
{
    struct ml_net *net = http->net;
    struct moving *moving;
    struct ml_list one;
    unsigned home;

    if (!net->env.hub || ml_hub_loops(net->env.hub) < 2)
        return false;
    if (http->is_placed) {
        http->is_placed = false; /* for this request; the next may be for another document */
        return false;
    }
    home = home_of(net, head);
    ml_arena_reset(&net->scratch);
    if (home == net->env.loop_number)
        return false;
    moving = calloc(1, sizeof *moving + http->in.len);
    if (!moving)
        return false;
    moving->parcel.open = arrive;
    moving->hub = net->env.hub;
    moving->shared = net->shared;
    moving->loop = home;
    moving->len = http->in.len;
    memcpy(moving->bytes, http->in.ptr, http->in.len);
    (void)snprintf(moving->ip, sizeof moving->ip, "%s", http->peer);
    moving->address = http->address;
    moving->fd = ml_http_give_away(http);
    ml_http_given_away(http);
    ml_list_init(&one);
    ml_list_append(&one, &moving->parcel.node);
    ml_hub_post(net->env.hub, home, &one);
    return true;
}
