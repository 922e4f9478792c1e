/* SPDX-License-Identifier: MIT */
#include "support/fake_room.h"

#include "base/assert.h"
#include "base/hashmap.h"
#include "base/list.h"

#include <stdio.h>
#include <stdlib.h>

#define BIG_PARTS      32
#define BIG_PART_BYTES (512u * 1024)
#define LISTED         250
#define NAME_BYTES     24

struct ml_member {
    struct ml_list node;
    struct ml_room *room;
    struct ml_port *port;
    struct ml_identity identity;
    struct ml_grant grant;
    uint64_t unacked; /* 0: nothing is staged */
    bool is_joined, is_paused, is_telling;
};

struct staged {
    struct ml_list node;
    struct ml_blob *bytes;
};

struct ml_room {
    struct ml_list node;
    struct ml_rooms *rooms;
    struct ml_list members, staged;
    struct ml_slice key;
    bool is_loaded;
    size_t staged_count;
    uint8_t text[];
};

struct ml_rooms {
    struct ml_room_env env;
    struct ml_hashmap map;
    struct ml_list list;
    size_t members;
    struct ml_rooms_stats stats;
};

/* Lists that were asked for. */
static struct ml_list_documents *waiting_lists[64];
static size_t waiting_count;

static bool is_called(const struct ml_room *room, const char *name)
{
    size_t len = strlen(name);

    return room->key.len > len && memcmp(room->key.ptr + room->key.len - len, name, len) == 0 &&
           room->key.ptr[room->key.len - len - 1] == '\n';
}

static void send_message(struct ml_port *port, enum ml_frame_kind kind, struct ml_slice payload,
                         enum ml_send as)
{
    struct ml_blob *frame = ml_frame_encode(port->dialect, port->address, kind, payload);

    ML_ASSERT(frame);
    (void)!port->send(port, frame, as);
    ml_blob_unref(frame);
}

static void tell_all(struct ml_room *room, enum ml_frame_kind kind, struct ml_slice payload,
                     enum ml_send as)
{
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (member->is_joined)
            send_message(member->port, kind, payload, as);
    }
}

static void seat(struct ml_member *member)
{
    if (is_called(member->room, "broken")) {
        struct ml_port *port = member->port;

        ml_list_remove(&member->node);
        member->room->rooms->members--;
        free(member);
        port->joined(port, NULL, ML_CLOSE_DELETED);
        return;
    }
    member->is_joined = true;
    member->port->joined(member->port, member, ML_CLOSE_INTERNAL);
    send_message(member->port, ML_FRAME_STEP1, ml_slice_make("", 1), ML_SEND_UPDATE);
}

struct ml_rooms *ml_rooms_new(const struct ml_room_env *env)
{
    struct ml_rooms *rooms = calloc(1, sizeof *rooms);

    ML_ASSERT(rooms);
    rooms->env = *env;
    ml_hashmap_init(&rooms->map);
    ml_list_init(&rooms->list);
    return rooms;
}

void ml_rooms_free(struct ml_rooms *rooms)
{
    struct ml_list *node;

    ML_ASSERT(rooms->members == 0);
    while ((node = ml_list_take_first(&rooms->list)) != NULL) {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, node);

        while ((node = ml_list_take_first(&room->staged)) != NULL) {
            struct staged *staged = ML_CONTAINER(node, struct staged, node);

            ml_blob_unref(staged->bytes);
            free(staged);
        }
        free(room);
    }
    ml_hashmap_release(&rooms->map);
    free(rooms);
}

static void commit(struct ml_room *room)
{
    struct ml_list *node;

    ML_LIST_EACH(at, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(at, struct ml_member, node);
        uint64_t message_no = member->unacked;

        member->unacked = 0;
        if (message_no)
            member->port->ack(member->port, message_no);
    }
    while ((node = ml_list_take_first(&room->staged)) != NULL) {
        struct staged *staged = ML_CONTAINER(node, struct staged, node);

        tell_all(room, ML_FRAME_UPDATE, ml_blob_slice(staged->bytes), ML_SEND_UPDATE);
        ml_blob_unref(staged->bytes);
        free(staged);
        room->staged_count--;
        room->rooms->stats.commits++;
    }
    ML_LIST_EACH(at, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(at, struct ml_member, node);

        if (member->is_paused) {
            member->is_paused = false;
            member->port->pause(member->port, false);
        }
    }
}

static void flood(struct ml_room *room)
{
    static uint8_t bytes[64 * 1024];

    memset(bytes, 0xff, sizeof bytes); /* no update, so that outboxes cannot merge it away */
    tell_all(room, ML_FRAME_UPDATE, ml_slice_make(bytes, sizeof bytes), ML_SEND_UPDATE);
}

/* Requests of the journal that the next ml_rooms_tick answers with ML_EIO. */
static struct later {
    void (*answer)(void *request);
    void *request;
} later[64];
static size_t later_count;

static void answer_later(void (*answer)(void *request), void *request)
{
    ML_ASSERT(later_count < sizeof later / sizeof *later);
    later[later_count++] = (struct later){answer, request};
}

static void answer_requests(void)
{
    while (later_count) {
        struct later now = later[--later_count];

        now.answer(now.request);
    }
}

static void answer_lists(void)
{
    while (waiting_count) {
        struct ml_list_documents *list = waiting_lists[--waiting_count];
        char *text = malloc(LISTED * NAME_BYTES);

        list->items = calloc(LISTED, sizeof *list->items);
        ML_ASSERT(list->items && text);
        for (int i = 0; i < LISTED; i++) {
            char *name = text + (size_t)i * NAME_BYTES;
            struct ml_slice slice;

            (void)snprintf(name, NAME_BYTES, "doc \"%03d\"", i);
            slice = ml_slice_str(name);
            if (!ml_slice_equal(list->org, ML_SLICE("default")) ||
                (list->after.len && ml_slice_compare(slice, list->after) <= 0) ||
                slice.len < list->prefix.len ||
                !ml_slice_equal(ml_slice_make(slice.ptr, list->prefix.len), list->prefix))
                continue;
            if (list->count == list->limit) {
                list->more = true;
                break;
            }
            list->items[list->count++] = (struct ml_listed){
                .name = slice, .head = (uint64_t)i, .bytes = 10, .created_ms = 1, .updated_ms = 2};
        }
        if (list->count == 0) {
            free(text);
            free(list->items);
            list->items = NULL;
        } else {
            /* The first name begins the memory of all: what is skipped is moved away. */
            size_t skip = (size_t)((const char *)list->items[0].name.ptr - text);

            memmove(text, text + skip, LISTED * NAME_BYTES - skip);
            for (size_t i = 0; i < list->count; i++)
                list->items[i].name.ptr -= skip;
        }
        list->done(list);
    }
}

unsigned ml_document_loop(struct ml_slice org, struct ml_slice name, unsigned loops)
{
    (void)org;
    (void)name;
    (void)loops;
    return 0;
}

bool ml_rooms_flush(struct ml_rooms *rooms)
{
    (void)rooms;
    return false; /* presence leaves at once here */
}

void ml_rooms_tick(struct ml_rooms *rooms)
{
    answer_lists();
    answer_requests();
    ML_LIST_EACH(node, &rooms->list)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, node);

        if (is_called(room, "slow"))
            continue;
        room->is_loaded = true;
        ML_LIST_EACH(at, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(at, struct ml_member, node);

            if (!member->is_joined)
                seat(member);
        }
        commit(room);
        if (is_called(room, "flood"))
            flood(room);
    }
}

void ml_rooms_drain(struct ml_rooms *rooms, enum ml_close why)
{
    ML_LIST_EACH(node, &rooms->list)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, node);

        ML_LIST_EACH(at, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(at, struct ml_member, node);

            member->port->close(member->port, why, ML_SLICE("restart"));
        }
    }
}

bool ml_rooms_is_empty(const struct ml_rooms *rooms)
{
    return rooms->members == 0;
}

static struct ml_room *room_of(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name)
{
    uint8_t key[1024];
    size_t len = org.len + 1 + name.len;
    struct ml_room *room;

    ML_ASSERT(len <= sizeof key);
    memcpy(key, org.ptr, org.len);
    key[org.len] = '\n';
    memcpy(key + org.len + 1, name.ptr, name.len);
    room = ml_hashmap_get(&rooms->map, ml_slice_make(key, len));
    if (room)
        return room;
    room = calloc(1, sizeof *room + len);
    ML_ASSERT(room);
    memcpy(room->text, key, len);
    room->rooms = rooms;
    room->key = ml_slice_make(room->text, len);
    ml_list_init(&room->members);
    ml_list_init(&room->staged);
    ml_list_append(&rooms->list, &room->node);
    ML_ASSERT(ml_hashmap_put(&rooms->map, room->key, room));
    return room;
}

enum ml_err ml_rooms_join(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                          const struct ml_identity *identity, const struct ml_grant *grant,
                          struct ml_port *port, struct ml_member **member_out)
{
    struct ml_room *room = room_of(rooms, org, name);
    struct ml_member *member = calloc(1, sizeof *member);

    (void)identity;
    ML_ASSERT(member);
    member->room = room;
    member->port = port;
    member->grant = *grant;
    ml_list_append(&room->members, &member->node);
    rooms->members++;
    *member_out = member;
    if (room->is_loaded)
        seat(member);
    return ML_OK;
}

bool ml_member_renew(struct ml_member *member, const struct ml_identity *identity,
                     const struct ml_grant *grant)
{
    (void)identity;
    member->grant = *grant;
    return true;
}

const struct ml_identity *ml_member_identity(const struct ml_member *member)
{
    return &member->identity;
}

const struct ml_grant *ml_member_grant(const struct ml_member *member)
{
    return &member->grant;
}

void ml_member_leave(struct ml_member *member)
{
    member->room->rooms->members--;
    ml_list_remove(&member->node);
    free(member);
}

enum ml_err ml_room_submit(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                           bool is_reply, struct ml_arena *scratch)
{
    struct ml_room *room = from->room;
    struct staged *staged;

    (void)scratch;
    ML_ASSERT(from->is_joined);
    if (is_reply && ml_slice_equal(bytes, ml_slice_make("\0\0", 2)))
        return ML_OK;
    if (!ml_grant_allows(&from->grant, ML_MAY_WRITE))
        return ML_EDENIED;
    if (!bytes.len || bytes.ptr[0] == 0xff)
        return ML_EFORMAT;
    if (bytes.ptr[0] == 0xfe)
        return ML_ELIMIT;
    if (is_called(room, "busy") && room->staged_count) {
        from->is_paused = true;
        from->port->pause(from->port, true);
        return ML_EBUSY;
    }
    ML_ASSERT(message_no > from->unacked);
    staged = calloc(1, sizeof *staged);
    ML_ASSERT(staged);
    staged->bytes = ml_blob_new(bytes);
    ML_ASSERT(staged->bytes);
    ml_list_append(&room->staged, &staged->node);
    room->staged_count++;
    room->rooms->stats.updates++;
    from->unacked = message_no;
    return ML_OK;
}

enum ml_err ml_room_sync(struct ml_member *member, struct ml_slice state_vector,
                         struct ml_arena *scratch)
{
    (void)scratch;
    if (!state_vector.len)
        return ML_EFORMAT;
    if (is_called(member->room, "big")) {
        uint8_t *part = calloc(1, BIG_PART_BYTES);

        ML_ASSERT(part);
        for (int i = 1; i < BIG_PARTS; i++)
            send_message(member->port, ML_FRAME_UPDATE, ml_slice_make(part, BIG_PART_BYTES),
                         ML_SEND_SYNC);
        send_message(member->port, ML_FRAME_STEP2, ml_slice_make(part, BIG_PART_BYTES),
                     ML_SEND_SYNC);
        free(part);
        return ML_OK;
    }
    send_message(member->port, ML_FRAME_STEP2, ml_slice_make("\0\0", 2), ML_SEND_SYNC);
    return ML_OK;
}

void ml_room_confirm(struct ml_member *member, uint64_t message_no)
{
    if (!member->unacked)
        member->port->ack(member->port, message_no);
}

enum ml_err ml_room_presence(struct ml_member *from, struct ml_slice update,
                             struct ml_arena *scratch)
{
    struct ml_presence_reader reader;
    enum ml_err err = ml_presence_begin(update, &reader);

    (void)scratch;
    if (err)
        return err;
    if (reader.left)
        tell_all(from->room, ML_FRAME_AWARENESS, update, ML_SEND_PRESENCE);
    return ML_OK;
}

enum ml_err ml_room_message(struct ml_member *from, struct ml_slice text, struct ml_arena *scratch)
{
    (void)from;
    (void)text;
    (void)scratch;
    return ML_OK;
}

enum ml_err ml_room_query_presence(struct ml_member *member)
{
    send_message(member->port, ML_FRAME_AWARENESS, ml_slice_make("", 1), ML_SEND_PRESENCE);
    return ML_OK;
}

void ml_rooms_stats(const struct ml_rooms *rooms, struct ml_rooms_stats *out)
{
    *out = rooms->stats;
    out->members = rooms->members;
}

size_t fake_room_members(const struct ml_rooms *rooms)
{
    return rooms->members;
}

/* ---- plugins and the journal ------------------------------------------------------------------
 */

struct ml_script {
    char nothing;
};

struct ml_script *fake_script(void)
{
    static struct ml_script script;

    return &script;
}

struct ml_script *ml_cells_script(struct ml_cells *cells, struct ml_slice org,
                                  struct ml_slice document)
{
    (void)cells, (void)org, (void)document;
    return NULL;
}

struct ml_script *ml_cells_at(struct ml_cells *cells, struct ml_cell_place *place,
                              struct ml_slice org, struct ml_slice document)
{
    (void)place;
    return ml_cells_script(cells, org, document);
}

uint64_t ml_cells_hooks(const struct ml_cells *cells)
{
    (void)cells;
    return 0;
}

const struct ml_ledger *ml_cells_ledger(struct ml_cells *cells)
{
    (void)cells;
    return NULL;
}

void ml_cells_stats(const struct ml_cells *cells, struct ml_script_stats *out)
{
    (void)cells;
    *out = (struct ml_script_stats){0};
}

uint64_t ml_script_hooks(const struct ml_script *script)
{
    (void)script;
    return ML_HOOK_AUTHENTICATE | ML_HOOK_AUTHORIZE;
}

void ml_script_stats(const struct ml_script *script, struct ml_script_stats *out)
{
    (void)script;
    *out = (struct ml_script_stats){0};
}

const struct ml_work *ml_script_find_work(const struct ml_script *script, enum ml_work_kind kind,
                                          struct ml_slice instance, struct ml_slice name)
{
    (void)script;
    (void)kind;
    (void)instance;
    (void)name;
    return NULL;
}

const struct ml_work *ml_script_find_route(const struct ml_script *script, struct ml_slice instance,
                                           struct ml_slice method, struct ml_slice path,
                                           struct ml_script_pair *params, size_t *param_count_out)
{
    (void)script;
    (void)instance;
    (void)method;
    (void)path;
    (void)params;
    (void)param_count_out;
    return NULL;
}

uint64_t ml_script_do(struct ml_script *script, const struct ml_work *work,
                      const struct ml_work_input *input, ml_work_done done, void *arg)
{
    (void)script;
    (void)work;
    (void)input;
    done(arg, &(struct ml_work_output){.end = ML_WORK_FAILED});
    return 0;
}

void ml_script_cancel(struct ml_script *script, uint64_t call)
{
    (void)script;
    (void)call;
}

struct ml_access *ml_script_authenticate(struct ml_script *script,
                                         const struct ml_script_request *request,
                                         struct ml_arena *scratch, ml_access_done done, void *arg)
{
    struct ml_access_answer answer = {
        .is_known = ml_slice_equal(request->token, ML_SLICE("anna")) ||
                    ml_slice_equal(request->token, ML_SLICE("rita")),
        .identity = {.user = request->token, .name = request->token, .kind = ML_SLICE("user")}};

    (void)script;
    (void)scratch;
    if (ml_slice_equal(request->token, ML_SLICE("evil"))) {
        answer.err = ML_EDENIED;
        answer.denial = (struct ml_denial){
            .code = ML_SLICE("fake.evil"), .reason = ML_SLICE("Go away."), .status = 401};
    }
    if (ml_slice_equal(request->token, ML_SLICE("crash")))
        answer.err = ML_ESCRIPT;
    done(arg, &answer);
    return NULL;
}

struct ml_access *ml_script_authorize(struct ml_script *script, const struct ml_script_ask *ask,
                                      struct ml_arena *scratch, ml_access_done done, void *arg)
{
    bool is_anna = ml_slice_equal(ask->identity->user, ML_SLICE("anna"));
    bool is_rita = ml_slice_equal(ask->identity->user, ML_SLICE("rita"));
    const struct ml_access_answer answer = {
        .grant = {.given = is_anna || is_rita, .read = true, .write = is_anna, .presence = true}};

    (void)script;
    (void)scratch;
    done(arg, &answer);
    return NULL;
}

struct ml_access *ml_script_upgrade(struct ml_script *script,
                                    const struct ml_script_request *request,
                                    struct ml_arena *scratch, ml_access_done done, void *arg)
{
    const struct ml_access_answer answer = {.err = ML_OK};

    (void)script;
    (void)request;
    (void)scratch;
    done(arg, &answer);
    return NULL;
}

enum ml_err ml_script_resolve_org(struct ml_script *script, const struct ml_script_request *request,
                                  struct ml_arena *scratch, struct ml_slice *org_out)
{
    (void)script;
    (void)request;
    (void)scratch;
    *org_out = (struct ml_slice){0};
    return ML_OK;
}

void ml_script_admit(struct ml_script *script, const struct ml_script_frame *frame,
                     struct ml_script_admission *out)
{
    (void)script;
    (void)frame;
    *out = (struct ml_script_admission){0};
}

void ml_limits_none(struct ml_limits_answer *out)
{
    *out = (struct ml_limits_answer){0};
}

void ml_script_limits(struct ml_script *script, const struct ml_script_identity *who,
                      ml_limits_done done, void *arg)
{
    (void)script;
    (void)who;
    done(arg, NULL);
}

void ml_script_over_limit(struct ml_script *script, const struct ml_script_over *over,
                          struct ml_arena *scratch, struct ml_over_answer *out)
{
    (void)script;
    (void)over;
    (void)scratch;
    *out = (struct ml_over_answer){0};
}

const char *const ml_rate_names[ML_RATES];
const char *const ml_ceiling_names[ML_CEILINGS];
const char *const ml_limit_pers[5];

bool ml_member_refuse(struct ml_member *member, const struct ml_denial *denial)
{
    (void)member;
    (void)denial;
    return false;
}

void ml_script_tell_session(struct ml_script *script, const struct ml_script_session *session)
{
    (void)script;
    (void)session;
}

void ml_access_drop(struct ml_access *access)
{
    (void)access;
}

static void list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    (void)journal;
    ML_ASSERT(waiting_count < sizeof waiting_lists / sizeof *waiting_lists);
    waiting_lists[waiting_count++] = list;
}

struct ml_journal *fake_journal(void)
{
    static const struct ml_journal_ops ops = {.list_documents = list_documents};
    static struct ml_journal journal = {&ops};

    return &journal;
}

void ml_journal_list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    journal->ops->list_documents(journal, list);
}

void ml_list_documents_release(struct ml_list_documents *list)
{
    union {
        const uint8_t *in;
        void *out;
    } text = {.in = list->count ? list->items[0].name.ptr : NULL};

    free(text.out);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

/* ---- what the API asks for, and does not get --------------------------------------------------
 */

/* One function that asks and one that answers, per kind of request. */
#define STAND_IN(name) STAND_IN_FOR(name, ml_##name)
#define STAND_IN_FOR(name, type)                                                                   \
    static void answer_##name(void *request)                                                       \
    {                                                                                              \
        struct type *asked = request;                                                              \
                                                                                                   \
        asked->err = ML_EIO;                                                                       \
        asked->done(asked);                                                                        \
    }                                                                                              \
    void ml_journal_##name(struct ml_journal *journal, struct type *request)                       \
    {                                                                                              \
        (void)journal;                                                                             \
        answer_later(answer_##name, request);                                                      \
    }
STAND_IN(append)
STAND_IN(load)
STAND_IN(set_deleted)
STAND_IN(describe)
STAND_IN(history)
STAND_IN(versions)
STAND_IN(purges)
STAND_IN_FOR(note_purge, ml_purge_note)
STAND_IN_FOR(put_snapshot, ml_snapshot_put)
STAND_IN_FOR(change_version, ml_version_change)
#undef STAND_IN
#undef STAND_IN_FOR

struct ml_cache_rule ml_cache_rule_default(void)
{
    return (struct ml_cache_rule){.store = ML_CACHE_NO_STORE};
}

void ml_script_cache_control(struct ml_script *script, const struct ml_script_response *response,
                             struct ml_cache_rule *rule)
{
    (void)script;
    (void)response;
    (void)rule;
}

bool ml_script_asset_url(struct ml_script *script, const struct ml_script_asset *asset,
                         struct ml_writer *out)
{
    (void)script;
    (void)asset;
    (void)out;
    return false;
}

const char *const ml_purge_reasons[ML_PURGE_REASONS] = {"", "", "", ""};

void ml_purges_release(struct ml_purges *request)
{
    (void)request;
}

void ml_script_purge_start(struct ml_script *script, struct ml_script_purging *purging)
{
    (void)script;
    purging->done(purging);
}

void ml_versions_release(struct ml_versions *request)
{
    (void)request;
}

void ml_load_release(struct ml_load *load)
{
    (void)load;
}

void ml_describe_release(struct ml_describe *request)
{
    (void)request;
}

void ml_history_release(struct ml_history *request)
{
    (void)request;
}

void ml_journal_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    (void)journal;
    *out = (struct ml_journal_stats){0};
}

bool ml_rooms_dismiss(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                      enum ml_close why, const char *reason)
{
    (void)rooms;
    (void)org;
    (void)name;
    (void)why;
    (void)reason;
    return false;
}

void ml_rooms_each_session(const struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                           void (*each)(void *arg, const struct ml_room_session *session),
                           void *arg)
{
    (void)rooms;
    (void)org;
    (void)name;
    (void)each;
    (void)arg;
}

bool ml_rooms_remove_session(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                             struct ml_slice session)
{
    (void)rooms;
    (void)org;
    (void)name;
    (void)session;
    return false;
}

bool ml_member_is_at(const struct ml_member *member, uint64_t seq)
{
    (void)member;
    (void)seq;
    return true;
}

uint64_t ml_member_seq(const struct ml_member *member)
{
    (void)member;
    return 0;
}

enum ml_err ml_script_before_update(struct ml_script *script, const struct ml_scope *scope,
                                    struct ml_script_update *update, struct ml_denial *denial_out)
{
    (void)script;
    (void)scope;
    (void)update;
    (void)denial_out;
    return ML_OK;
}

bool ml_script_proposes(const struct ml_script *script)
{
    (void)script;
    return false;
}

enum ml_err ml_script_authorize_edit(struct ml_script *script, const struct ml_scope *scope,
                                     struct ml_script_update *update, struct ml_denial *denial_out)
{
    (void)script;
    (void)scope;
    (void)update;
    (void)denial_out;
    return ML_OK;
}

void ml_script_update_init(struct ml_script_update *u, const struct ml_update *update,
                           struct ml_doc *doc, struct ml_arena *scratch)
{
    *u = (struct ml_script_update){.update = update, .doc = doc, .scratch = scratch};
}

bool ml_script_update_is_judged(const struct ml_script_update *u)
{
    (void)u;
    return false;
}

/* ---- what is written down, and told later -----------------------------------------------------
 */

void ml_audit(struct ml_rooms *rooms, const struct ml_audit_event *event)
{
    (void)rooms;
    (void)event;
}

void ml_audit_sampled(struct ml_rooms *rooms, const struct ml_audit_event *event)
{
    (void)rooms;
    (void)event;
}

bool ml_rooms_tell_later(struct ml_rooms *rooms, const struct ml_later *what)
{
    (void)rooms;
    (void)what;
    return false;
}

void ml_script_may_delete(struct ml_script *script, struct ml_slice org, struct ml_slice document,
                          ml_deletion_done done, void *arg)
{
    static const struct ml_denial none;

    (void)script;
    (void)org;
    (void)document;
    done(arg, ML_OK, &none);
}

/* No plugins: it is made, or was. */
void ml_rooms_birth(struct ml_rooms *rooms, struct ml_birth *birth)
{
    static const struct ml_denial none;
    const struct ml_birth_result result = {.denial = &none, .is_asked = true, .head = 1};

    (void)rooms;
    birth->done(birth, &result);
}
