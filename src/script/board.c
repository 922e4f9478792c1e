/* SPDX-License-Identifier: MIT */
/*
 *   publish ──> ring ──> each state reads on from where it was (messages)
 *                ^ │
 *        heard ──┘ └──> carry: what was published here, to other nodes
 *
 *  [B1] A message is read by every state at most once; who was away for more than RING messages
 *       misses some, as on any bus. So does the carrier.
 *  [B2] Listening is a lease: a state that reads renews it, one that is gone lets it end.
 *  [B3] Lua may raise whenever it takes memory: never with the lock.
 */
#include "script/board.h"

#include "script/shared.h"
#include "script/wait.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hashmap.h"
#include "base/list.h"

#define RING           1024
#define TOPIC_MAX      512
#define LISTENERS_MAX  4096
#define LISTEN_MS      10000
#define CARRY_MESSAGES 64 /* a call */
#define CARRY_BYTES    (256u << 10)
#define READ_BYTES     (256u << 10)
#define OWNER_BYTES    (256 + ML_INSTANCE_NAME_MAX + 2)

struct message {
    uint8_t *text; /* owner, topic, data */
    size_t org_len, owner_len, topic_len, data_len;
    bool is_heard; /* from another node */
};

/* An owner somebody of this node listens as. */
struct listener {
    struct ml_list node;
    size_t org_len, owner_len;
    uint64_t until_ms;
    bool is_followed;
    uint8_t owner[OWNER_BYTES];
};

struct ml_board {
    pthread_mutex_t mutex;
    struct message ring[RING];
    uint64_t written, carried; /* messages so far */
    size_t bytes_max;
    uint64_t node, others[ML_BOARD_NODES_MAX];
    size_t other_count;
    struct ml_hashmap by_owner;
    struct ml_list listeners;
    size_t listener_count;
    uint8_t out[OWNER_BYTES + ML_BOARD_BYTES_MAX]; /* the carrier's */
};

struct owner {
    uint8_t text[OWNER_BYTES];
    size_t org_len, len;
};

struct ml_board *ml_board_new(void)
{
    struct ml_board *board = calloc(1, sizeof *board);

    if (!board)
        return NULL;
    if (pthread_mutex_init(&board->mutex, NULL)) {
        free(board);
        return NULL;
    }
    ml_hashmap_init(&board->by_owner);
    ml_list_init(&board->listeners);
    board->bytes_max = ML_BOARD_BYTES_MAX;
    return board;
}

static struct ml_slice owner_of(const struct listener *listener)
{
    return ml_slice_make(listener->owner, listener->owner_len);
}

static void forget(struct ml_board *board, struct listener *listener)
{
    (void)ml_hashmap_remove(&board->by_owner, owner_of(listener));
    ml_list_remove(&listener->node);
    board->listener_count--;
    free(listener);
}

void ml_board_free(struct ml_board *board)
{
    if (!board)
        return;
    while (!ml_list_is_empty(&board->listeners))
        forget(board, ML_CONTAINER(board->listeners.next, struct listener, node));
    for (size_t i = 0; i < RING; i++)
        free(board->ring[i].text);
    ml_hashmap_release(&board->by_owner);
    (void)pthread_mutex_destroy(&board->mutex);
    free(board);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

void ml_board_set_node(struct ml_board *board, uint64_t node)
{
    board->node = node;
}

void ml_board_set_others(struct ml_board *board, const uint64_t *nodes, size_t count)
{
    pthread_mutex_lock(&board->mutex);
    board->other_count = count < ML_BOARD_NODES_MAX ? count : ML_BOARD_NODES_MAX;
    for (size_t i = 0; i < board->other_count; i++)
        board->others[i] = nodes[i];
    pthread_mutex_unlock(&board->mutex);
}

void ml_board_set_reach(struct ml_board *board, size_t bytes_max)
{
    pthread_mutex_lock(&board->mutex);
    board->bytes_max = bytes_max < ML_BOARD_BYTES_MAX ? bytes_max : ML_BOARD_BYTES_MAX;
    pthread_mutex_unlock(&board->mutex);
}

/* ---- The ring -------------------------------------------------------------------------------- */

#define HEAD 2 /* bytes of a carrier begin with the length of the topic, low byte first */

/* Under the lock. Takes `text`. */
static void put(struct ml_board *board, const struct message *message)
{
    struct message *place = &board->ring[board->written++ % RING];

    free(place->text);
    *place = *message;
}

void ml_board_heard(struct ml_board *board, struct ml_slice org, struct ml_slice instance,
                    struct ml_slice bytes)
{
    struct message message = {
        .org_len = org.len, .owner_len = org.len + instance.len, .is_heard = true};

    if (org.len > 255 || !instance.len || instance.ptr[0] ||
        instance.len > ML_INSTANCE_NAME_MAX + 1 || bytes.len < HEAD ||
        bytes.len > ML_BOARD_BYTES_MAX)
        return;
    message.topic_len = (size_t)bytes.ptr[0] | (size_t)bytes.ptr[1] << 8;
    bytes = ml_slice_make(bytes.ptr + HEAD, bytes.len - HEAD);
    if (!message.topic_len || message.topic_len > TOPIC_MAX || message.topic_len > bytes.len)
        return;
    message.data_len = bytes.len - message.topic_len;
    message.text = malloc(message.owner_len + bytes.len);
    if (!message.text)
        return;
    if (org.len)
        memcpy(message.text, org.ptr, org.len);
    memcpy(message.text + org.len, instance.ptr, instance.len);
    memcpy(message.text + message.owner_len, bytes.ptr, bytes.len);
    pthread_mutex_lock(&board->mutex);
    put(board, &message);
    pthread_mutex_unlock(&board->mutex);
}

/* ---- Carrying -------------------------------------------------------------------------------- */

/* The next of our own, copied to `out`; false: there is none. */
static bool next_to_carry(struct ml_board *board, struct message *copy)
{
    bool found = false;

    pthread_mutex_lock(&board->mutex);
    if (board->written - board->carried > RING)
        board->carried = board->written - RING;
    while (board->carried < board->written && !found) {
        const struct message *message = &board->ring[board->carried++ % RING];

        if (message->is_heard)
            continue;
        found = true;
        *copy = *message;
        memcpy(board->out, message->text, message->owner_len);
        board->out[message->owner_len] = (uint8_t)message->topic_len;
        board->out[message->owner_len + 1] = (uint8_t)(message->topic_len >> 8);
        memcpy(board->out + message->owner_len + HEAD, message->text + message->owner_len,
               message->topic_len + message->data_len);
    }
    pthread_mutex_unlock(&board->mutex);
    return found;
}

static void tell(struct ml_board *board, const struct ml_board_carrier *carrier)
{
    struct message one;
    size_t bytes = 0;

    for (unsigned i = 0; i < CARRY_MESSAGES && bytes < CARRY_BYTES; i++) {
        if (!next_to_carry(board, &one))
            return;
        bytes += one.topic_len + one.data_len + HEAD;
        carrier->tell(
            carrier->arg, ml_slice_make(board->out, one.org_len),
            ml_slice_make(board->out + one.org_len, one.owner_len - one.org_len),
            ml_slice_make(board->out + one.owner_len, one.topic_len + one.data_len + HEAD));
    }
}

/* Under the lock: carriers do not come back to the board. */
static void follow(struct ml_board *board, uint64_t now_ms, const struct ml_board_carrier *carrier)
{
    struct ml_list *node = board->listeners.next;

    while (node != &board->listeners) {
        struct listener *listener = ML_CONTAINER(node, struct listener, node);
        bool is_over = listener->until_ms <= now_ms;

        node = node->next;
        if (listener->is_followed != !is_over)
            carrier->follow(carrier->arg, ml_slice_make(listener->owner, listener->org_len),
                            ml_slice_make(listener->owner + listener->org_len,
                                          listener->owner_len - listener->org_len),
                            !is_over);
        listener->is_followed = !is_over;
        if (is_over)
            forget(board, listener);
    }
}

void ml_board_carry(struct ml_board *board, uint64_t now_ms, const struct ml_board_carrier *carrier)
{
    pthread_mutex_lock(&board->mutex);
    follow(board, now_ms, carrier);
    pthread_mutex_unlock(&board->mutex);
    tell(board, carrier);
}

/* ---- From Lua -------------------------------------------------------------------------------- */

/* The board of this state and who it is there.   [may raise] */
static struct ml_board *enter(lua_State *L, struct owner *owner)
{
    struct ml_script *script = ml_script_of(L);
    const struct ml_plugin *plugin = &script->plugins[lua_tointeger(L, lua_upvalueindex(1))];
    size_t name = strlen(plugin->name);

    if (!script->shared)
        luaL_error(L, "there is nobody to tell here");
    owner->org_len = script->org.len <= 255 ? script->org.len : 0;
    if (owner->org_len)
        memcpy(owner->text, script->org.ptr, owner->org_len);
    owner->text[owner->org_len] = 0;
    memcpy(owner->text + owner->org_len + 1, plugin->name, name);
    owner->len = owner->org_len + 1 + name;
    return ml_shared_board(script->shared);
}

/* publish(topic, text) -> 0: taken; the most bytes that there may be; nil: no memory [may raise] */
static int publish(lua_State *L)
{
    struct owner owner;
    struct ml_board *board = enter(L, &owner);
    size_t topic_len, data_len, bytes_max;
    const char *topic = luaL_checklstring(L, 1, &topic_len);
    const char *data = luaL_checklstring(L, 2, &data_len);
    struct message message = {.org_len = owner.org_len, .owner_len = owner.len};

    if (!topic_len || topic_len > TOPIC_MAX)
        luaL_error(L, "a topic is text of 1 to %d bytes", TOPIC_MAX);
    pthread_mutex_lock(&board->mutex);
    bytes_max = board->bytes_max - HEAD;
    pthread_mutex_unlock(&board->mutex);
    if (data_len > bytes_max || topic_len + data_len > bytes_max) {
        lua_pushinteger(L, (lua_Integer)bytes_max);
        return 1;
    }
    message.text = malloc(owner.len + topic_len + data_len);
    if (!message.text)
        return 0;
    memcpy(message.text, owner.text, owner.len);
    memcpy(message.text + owner.len, topic, topic_len);
    memcpy(message.text + owner.len + topic_len, data, data_len);
    message.topic_len = topic_len;
    message.data_len = data_len;
    pthread_mutex_lock(&board->mutex);
    put(board, &message);
    pthread_mutex_unlock(&board->mutex);
    lua_pushinteger(L, 0);
    return 1;
}

/* Under the lock. */
static void listen(struct ml_board *board, const struct owner *owner, uint64_t now_ms)
{
    struct ml_slice key = ml_slice_make(owner->text, owner->len);
    struct listener *listener = ml_hashmap_get(&board->by_owner, key);

    if (!listener && board->listener_count < LISTENERS_MAX) {
        listener = calloc(1, sizeof *listener);
        if (!listener)
            return;
        listener->org_len = owner->org_len;
        listener->owner_len = owner->len;
        memcpy(listener->owner, owner->text, owner->len);
        if (!ml_hashmap_put(&board->by_owner, owner_of(listener), listener)) {
            free(listener);
            return;
        }
        ml_list_append(&board->listeners, &listener->node);
        board->listener_count++;
    }
    if (listener)
        listener->until_ms = now_ms + LISTEN_MS;
}

/* The message with that number, if it is there and the owner's; under the lock. */
static const struct message *find(const struct ml_board *board, uint64_t number,
                                  const struct owner *owner)
{
    const struct message *message = &board->ring[number % RING];

    return message->text && number + RING >= board->written &&
                   ml_slice_equal(ml_slice_make(message->text, message->owner_len),
                                  ml_slice_make(owner->text, owner->len))
               ? message
               : NULL;
}

/* The next message of the owner's from *number on, pushed as topic and text; false: no more.
 * [may raise] */
static bool push_next(lua_State *L, struct ml_board *board, uint64_t *number, uint64_t to,
                      const struct owner *owner, size_t *bytes)
{
    const struct message *message = NULL;
    size_t topic = 0, data = 0;
    uint8_t *copy;

    pthread_mutex_lock(&board->mutex);
    while (*number < to && !(message = find(board, *number, owner)))
        ++*number;
    if (message) {
        topic = message->topic_len;
        data = message->data_len;
    }
    pthread_mutex_unlock(&board->mutex);
    if (!message)
        return false;
    copy = lua_newuserdata(L, topic + data); /* [B3] */
    pthread_mutex_lock(&board->mutex);
    message = find(board, (*number)++, owner); /* may be overwritten meanwhile */
    if (message)
        memcpy(copy, message->text + message->owner_len, topic + data);
    else
        topic = data = 0;
    pthread_mutex_unlock(&board->mutex);
    lua_pushlstring(L, (const char *)copy, topic);
    lua_pushlstring(L, (const char *)copy + topic, data);
    lua_remove(L, -3);
    *bytes += topic + data;
    return true;
}

/* messages(since) -> next, { topic, text, … } of this plugin   [may raise] */
static int messages(lua_State *L)
{
    struct owner owner;
    struct ml_board *board = enter(L, &owner);
    double since = luaL_checknumber(L, 1);
    size_t bytes = 0;
    uint64_t from, to;
    int n = 0;

    lua_settop(L, 1);
    lua_newtable(L);
    pthread_mutex_lock(&board->mutex);
    listen(board, &owner, ml_script_of(L)->mono_ms());
    to = board->written;
    pthread_mutex_unlock(&board->mutex);
    from = since < 0 ? to : (uint64_t)since;
    if (to - from > RING)
        from = to - RING;
    while (bytes < READ_BYTES && push_next(L, board, &from, to, &owner, &bytes)) {
        lua_rawseti(L, 2, n + 2);
        lua_rawseti(L, 2, n + 1);
        n += 2;
    }
    lua_pushnumber(L, (double)from);
    lua_insert(L, 2);
    return 2;
}

static void push_node(lua_State *L, uint64_t node)
{
    char text[20];

    snprintf(text, sizeof text, "%016" PRIx64, node);
    lua_pushstring(L, node ? text : "local");
}

/* node() -> text   [may raise] */
static int node(lua_State *L)
{
    const struct ml_script *script = ml_script_of(L);

    push_node(L, script->shared ? ml_shared_board(script->shared)->node : 0);
    return 1;
}

/* nodes() -> { text, … }, this one first   [may raise] */
static int nodes(lua_State *L)
{
    struct owner owner;
    struct ml_board *board = enter(L, &owner);
    uint64_t others[ML_BOARD_NODES_MAX];
    size_t count;

    pthread_mutex_lock(&board->mutex);
    count = board->other_count;
    memcpy(others, board->others, count * sizeof *others);
    pthread_mutex_unlock(&board->mutex);
    lua_createtable(L, (int)count + 1, 0);
    push_node(L, board->node);
    lua_rawseti(L, -2, 1);
    for (size_t i = 0; i < count; i++) {
        push_node(L, others[i]);
        lua_rawseti(L, -2, (int)i + 2);
    }
    return 1;
}

void ml_board_natives(lua_State *L, struct ml_plugin *plugin)
{
    static const luaL_Reg functions[] = {
        {"publish", publish}, {"messages", messages}, {"node", node},
        {"nodes", nodes},     {NULL, NULL},
    };

    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushinteger(L, (lua_Integer)plugin->index);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -2, f->name);
    }
}
