/* SPDX-License-Identifier: MIT */
/*
 * What commenters and suggesters write, where it is decided (SEC-AZ-06, SEC-AZ-07): a room with a
 * journal, a document in it, and updates of a replica of their own. What may be written is in the
 * document and in the journal afterwards; of what may not nothing is in either, and its writer was
 * told. spec/interop/roles.mjs does the same by sockets, with more updates made by hand.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "room/room.h"

#define VIEWS_BYTES 65536

struct seat {
    struct ml_port port; /* first */
    struct ml_member *member;
    struct ml_doc *replica;
    uint64_t sent_no, acked_no, client;
    unsigned refusals;
    bool was_fenced;
};

static const struct ml_slice org = {(const uint8_t *)"default", 7};
static const struct ml_slice name = {(const uint8_t *)"notes", 5};
static struct seat eve, ana, ben;
static struct ml_rooms *rooms;
static struct ml_journal *journal;
static struct ml_arena scratch, keep;
static uint64_t now_ms, randoms;

/* ---- Seats ----------------------------------------------------------------------------------- */

static struct seat *seat_of(struct ml_port *port)
{
    return (struct seat *)(void *)port;
}

static enum ml_err port_send(struct ml_port *port, struct ml_blob *blob, enum ml_send as)
{
    struct ml_reader in = ml_reader_make(ml_frame_message(blob));
    struct ml_frame frame;

    (void)as;
    assert_int_equal(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &in, &frame), ML_OK);
    if (frame.kind == ML_FRAME_UPDATE || frame.kind == ML_FRAME_STEP2)
        assert_int_equal(ml_doc_apply_bytes(seat_of(port)->replica, frame.payload, NULL), ML_OK);
    return ML_OK;
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    seat_of(port)->acked_no = message_no;
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    (void)why;
    seat_of(port)->member = member;
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)port;
    (void)why;
    fail_msg("closed: %.*s", ML_PRINT(reason));
}

static void port_pause(struct ml_port *port, bool paused)
{
    (void)port;
    (void)paused;
}

static void port_refused(struct ml_port *port, const struct ml_notice *notice)
{
    seat_of(port)->refusals++;
    seat_of(port)->was_fenced |= notice->is_fenced;
}

static void turn(void)
{
    while (ml_journal_memory_step(journal))
        ;
}

static void sit_down(struct seat *seat, const char *user, enum ml_role role, uint64_t client)
{
    static const struct ml_role_rights usual;
    const struct ml_doc_options options = {.client = client};
    struct ml_identity identity;
    struct ml_grant grant;

    ml_identity_make(&identity, ml_slice_str(user), ml_slice_str(user), 0);
    assert_true(ml_role_grant(role, &usual, ml_slice_str(user), &keep, &grant));
    *seat = (struct seat){.client = client,
                          .replica = ml_doc_new(&options),
                          .port = {.dialect = ML_DIALECT_YWEBSOCKET,
                                   .send = port_send,
                                   .ack = port_ack,
                                   .joined = port_joined,
                                   .close = port_close,
                                   .pause = port_pause,
                                   .refused = port_refused}};
    assert_int_equal(ml_rooms_join(rooms, org, name, &identity, &grant, &seat->port, &seat->member),
                     ML_OK);
    turn();
    assert_non_null(seat->member);
    assert_int_equal(ml_room_sync(seat->member, ml_slice_make("\0", 1), &scratch), ML_OK);
    turn();
}

static void stand_up(struct seat *seat)
{
    if (seat->member)
        ml_member_leave(seat->member);
    ml_doc_free(seat->replica);
    *seat = (struct seat){0};
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum ml_err says(struct seat *seat, struct ml_slice bytes)
{
    enum ml_err err = ml_room_submit(seat->member, bytes, ++seat->sent_no, false, &scratch);

    turn();
    if (!err)
        assert_int_equal(seat->acked_no, seat->sent_no);
    ml_arena_reset(&scratch);
    return err;
}

/* Operations as JSON, one transaction of its replica, sent. */
static void does(struct seat *seat, const char *ops)
{
    struct ml_arena arena;
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_writer any;

    ml_arena_init(&arena, 1u << 20);
    ml_writer_init(&any, 65536);
    assert_int_equal(ml_any_from_json(ml_slice_str(ops), NULL, &any), ML_OK);
    if (ml_doc_run_ops(seat->replica, ml_writer_slice(&any), &arena, &diag, &change))
        fail_msg("%s: %s", ops, diag.text);
    assert_true(change->bytes.len > 0);
    assert_int_equal(says(seat, change->bytes), ML_OK);
    ml_writer_release(&any);
    ml_arena_release(&arena);
}

struct viewing {
    struct ml_load load;
    char *out;
};

static void write_views(const struct ml_doc *doc, char *out)
{
    static const struct {
        const char *root;
        enum ml_view view;
    } roots[] = {{"text", ML_VIEW_DELTA},
                 {"comments", ML_VIEW_JSON},
                 {"suggestions", ML_VIEW_JSON},
                 {"meta", ML_VIEW_JSON},
                 {"list", ML_VIEW_JSON}};
    struct ml_writer w;

    ml_writer_init(&w, VIEWS_BYTES - 1);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        ml_write_bytes(&w, ml_slice_str(roots[i].root));
        ml_write_u8(&w, ' ');
        assert_int_equal(ml_doc_read(doc, ml_slice_str(roots[i].root), roots[i].view, &w), ML_OK);
        ml_write_u8(&w, '\n');
    }
    assert_int_equal(w.err, ML_OK);
    memcpy(out, w.ptr, w.len);
    out[w.len] = '\0';
    ml_writer_release(&w);
}

/* And that the text SECRET is in no record. */
static void on_loaded(struct ml_load *load)
{
    struct viewing *v = ML_CONTAINER(load, struct viewing, load);
    struct ml_doc *doc = ml_doc_new(NULL);

    assert_int_equal(load->err, ML_OK);
    for (size_t i = 0; i < load->count; i++) {
        const struct ml_blob *bytes = load->records[i].bytes;

        assert_null(memmem(bytes->bytes, bytes->len, "SECRET", 6));
        assert_int_equal(ml_doc_apply_bytes(doc, ml_blob_slice(bytes), NULL), ML_OK);
    }
    write_views(doc, v->out);
    ml_doc_free(doc);
    ml_load_release(load);
}

static void stored(char *out)
{
    struct viewing v = {
        .load = {.org = org, .name = name, .max_snapshot_seq = 0, .done = on_loaded}, .out = out};

    ml_journal_load(journal, &v.load);
    turn();
}

/* Everybody sees what is stored, the writer included. */
static void assert_all_agree(void)
{
    static char truth[VIEWS_BYTES], seen[VIEWS_BYTES];
    const struct seat *all[] = {&eve, &ana, &ben};

    stored(truth);
    for (size_t i = 0; i < 3; i++) {
        write_views(all[i]->replica, seen);
        assert_string_equal(seen, truth);
    }
}

/* `writes` stands there afterwards. */
static void may(struct seat *seat, const char *ops)
{
    static char wanted[VIEWS_BYTES], is[VIEWS_BYTES];
    unsigned before = seat->refusals;

    does(seat, ops);
    write_views(seat->replica, wanted);
    stored(is);
    assert_string_equal(is, wanted);
    if (seat->refusals != before)
        fail_msg("refused: %s", ops);
    assert_all_agree();
}

/* Nothing of it is to be seen, and it was told so. */
static void may_not(struct seat *seat, const char *ops)
{
    static char before[VIEWS_BYTES], after[VIEWS_BYTES];
    unsigned refusals = seat->refusals;

    stored(before);
    does(seat, ops);
    stored(after);
    assert_string_equal(after, before);
    if (seat->refusals == refusals)
        fail_msg("taken: %s", ops);
    assert_false(seat->was_fenced);
    assert_all_agree();
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static uint64_t env_mono(void *arg)
{
    (void)arg;
    return now_ms += 2000; /* so slowly that no ceiling of refusals is met */
}

static int64_t env_wall(void *arg)
{
    (void)arg;
    return (int64_t)now_ms + 1700000000000;
}

static uint64_t env_random(void *arg)
{
    (void)arg;
    return 5000000 + ++randoms;
}

static void begin(enum ml_role role)
{
    const struct ml_room_env env = {.journal = NULL,
                                    .mono_ms = env_mono,
                                    .wall_ms = env_wall,
                                    .random = env_random,
                                    .limits = {.authorship = {.is_strict = true}}};
    struct ml_room_env with = env;

    now_ms = 1000000;
    ml_arena_init(&scratch, 16u << 20);
    ml_arena_init(&keep, 1u << 20);
    assert_int_equal(ml_journal_open_memory(NULL, &journal), ML_OK);
    with.journal = journal;
    rooms = ml_rooms_new(&with);
    assert_non_null(rooms);
    sit_down(&eve, "eve", ML_ROLE_EDITOR, 1);
    sit_down(&ben, "ben", role, 2);
    does(&eve,
         "[[\"text.insert\",\"text\",0,\"Hello world\"],"
         "[\"text.insert\",\"text\",11,\"BEN\",{\"insertion\":{\"author\":\"ben\"}}],"
         "[\"text.insert\",\"text\",14,\"ANA\",{\"insertion\":{\"author\":\"ana\"}}],"
         "[\"map.set\",\"meta\",\"title\",\"T\"],"
         "[\"array.push\",\"list\",[1,2]],"
         "[\"map.set\",\"comments\",\"ben\",{\"$new\":\"map\",\"entries\":{\"t1\":\"his\"}}],"
         "[\"map.set\",\"comments\",\"ana\",{\"$new\":\"map\",\"entries\":{\"t1\":\"hers\"}}],"
         "[\"map.set\",\"suggestions\",\"ben\",\"his\"]]");
    sit_down(&ana, "ana", role, 3);
    assert_all_agree();
}

static void on_closed(void *arg)
{
    (void)arg;
}

static int end(void **state)
{
    (void)state;
    stand_up(&eve);
    stand_up(&ana);
    stand_up(&ben);
    ml_rooms_crash(rooms);
    rooms = NULL;
    ml_journal_memory_forget(journal);
    ml_journal_close(journal, on_closed, NULL);
    (void)ml_journal_memory_step(journal);
    ml_arena_release(&scratch);
    ml_arena_release(&keep);
    return 0;
}

/* ---- What they may --------------------------------------------------------------------------- */

#define OWN    "{\"insertion\":{\"author\":\"ana\"}}"
#define HIS    "{\"insertion\":{\"author\":\"ben\"}}"
#define STRUCK "{\"deletion\":{\"author\":\"ana\"}}"

static void a_commenter_writes_comments_under_the_own_id(void **state)
{
    (void)state;
    begin(ML_ROLE_COMMENTER);
    may(&ana,
        "[[\"map.set\",\"comments\",\"ana\",{\"$new\":\"map\",\"entries\":{\"t1\":\"new\"}}]]");
    may(&ana, "[[\"map.set\",\"comments/ana\",\"t2\",\"mine\"]]");
    may(&ana, "[[\"map.set\",\"comments/ana\",\"t2\",\"mine, changed\"]]");
    may(&ana, "[[\"map.delete\",\"comments/ana\",\"t2\"]]");
    may(&ana, "[[\"map.set\",\"comments/ana\",\"t3\",{\"text\":\"x\",\"replies\":[1]}]]");
    may(&ben, "[[\"map.set\",\"comments/ben\",\"t2\",\"his too\"]]");
}

static void a_commenter_writes_nothing_else(void **state)
{
    (void)state;
    begin(ML_ROLE_COMMENTER);
    may_not(&ana, "[[\"map.set\",\"comments/ben\",\"t9\",\"SECRET\"]]");
    may_not(&ana, "[[\"map.delete\",\"comments/ben\",\"t1\"]]");
    may_not(&ana, "[[\"map.delete\",\"comments\",\"ben\"]]");
    may_not(&ana, "[[\"map.set\",\"comments\",\"ben\",\"SECRET\"]]");
    may_not(&ana, "[[\"map.set\",\"comments\",\"ana2\",\"SECRET\"]]");
    may_not(&ana, "[[\"map.set\",\"suggestions\",\"ana\",\"SECRET\"]]");
    may_not(&ana, "[[\"text.insert\",\"text\",0,\"SECRET\"]]");
    may_not(&ana, "[[\"text.insert\",\"text\",0,\"SECRET\"," OWN "]]");
    may_not(&ana, "[[\"text.delete\",\"text\",0,5]]");
    may_not(&ana, "[[\"text.format\",\"text\",0,5,{\"bold\":true}]]");
    may_not(&ana, "[[\"text.format\",\"text\",0,5," STRUCK "]]");
    may_not(&ana, "[[\"map.set\",\"meta\",\"title\",\"SECRET\"]]");
    may_not(&ana, "[[\"map.delete\",\"meta\",\"title\"]]");
    may_not(&ana, "[[\"array.push\",\"list\",[\"SECRET\"]]]");
    may_not(&ana, "[[\"array.delete\",\"list\",0,1]]");
    assert_true(ana.refusals >= 15);
    assert_int_equal(ben.refusals + eve.refusals, 0);
}

static void a_suggester_proposes_by_marks_of_the_own(void **state)
{
    (void)state;
    begin(ML_ROLE_SUGGESTER);
    may(&ana, "[[\"text.insert\",\"text\",5,\" new\"," OWN "]]");
    may(&ana, "[[\"text.format\",\"text\",0,5," STRUCK "]]");
    may(&ana, "[[\"text.format\",\"text\",0,5,{\"deletion\":null}]]"); /* taken back */
    may(&ana, "[[\"text.delete\",\"text\",5,4]]");                     /* her own proposal */
    may(&ana, "[[\"map.set\",\"comments/ana\",\"t2\",\"mine\"]]");
    may(&ana, "[[\"map.set\",\"suggestions\",\"ana\",{\"s1\":\"why\"}]]");
}

static void a_suggester_decides_and_changes_nothing(void **state)
{
    (void)state;
    begin(ML_ROLE_SUGGESTER);
    may_not(&ana, "[[\"text.insert\",\"text\",0,\"SECRET\"]]");
    may_not(&ana, "[[\"text.insert\",\"text\",0,\"SECRET\"," HIS "]]");
    may_not(&ana, "[[\"text.delete\",\"text\",0,5]]");
    may_not(&ana, "[[\"text.delete\",\"text\",11,3]]");                      /* ben's */
    may_not(&ana, "[[\"text.format\",\"text\",11,3,{\"insertion\":null}]]"); /* accepted */
    may_not(&ana, "[[\"text.format\",\"text\",14,3,{\"insertion\":null}]]"); /* her own, too */
    may_not(&ana, "[[\"text.format\",\"text\",0,5,{\"bold\":true}]]");
    may_not(&ana, "[[\"text.format\",\"text\",0,5,{\"deletion\":{\"author\":\"ben\"}}]]");
    may_not(&ana, "[[\"map.set\",\"meta\",\"title\",\"SECRET\"]]");
    may_not(&ana, "[[\"map.set\",\"suggestions\",\"ben\",\"SECRET\"]]");
    may_not(&ana, "[[\"array.push\",\"list\",[\"SECRET\"]]]");
}

static void an_editor_of_the_same_room_does_all_of_it(void **state)
{
    (void)state;
    begin(ML_ROLE_SUGGESTER);
    may(&eve, "[[\"text.format\",\"text\",14,3,{\"insertion\":null}]]");
    may(&eve, "[[\"text.delete\",\"text\",11,3]]");
    may(&eve, "[[\"map.delete\",\"comments\",\"ben\"]]");
}

/* Both in one update: what is allowed stands, the rest is undone. */
static void one_update_may_be_refused_in_part(void **state)
{
    static char is[VIEWS_BYTES];

    (void)state;
    begin(ML_ROLE_COMMENTER);
    does(&ana, "[[\"map.set\",\"comments/ana\",\"t2\",\"allowed\"],"
               "[\"map.set\",\"meta\",\"title\",\"SECRET\"]]");
    stored(is);
    assert_non_null(strstr(is, "allowed"));
    assert_non_null(strstr(is, "\"title\":\"T\""));
    assert_int_equal(ana.refusals, 1);
    assert_all_agree();
}

/* Its parent is not here: nobody can tell what it is, and later it would be another's. */
static void what_would_have_to_wait_is_refused(void **state)
{
    /* One struct of client 3, its origin unit 40 of client 1, which is nowhere. */
    static const uint8_t waits[] = "\1\1\3\0\x84\1\x28\6SECRET";

    static char is[VIEWS_BYTES];

    (void)state;
    begin(ML_ROLE_SUGGESTER);
    assert_int_equal(says(&ana, ml_slice_make(waits, sizeof waits)), ML_OK);
    stored(is); /* SECRET is in no record */
    does(&eve,
         "[[\"text.insert\",\"text\",0,\"what it stands behind comes now, and it is not seen\"]]");
    stored(is);
    assert_non_null(strstr(is, "comes now"));
    assert_all_agree();
}

static void a_viewer_writes_nothing_and_is_not_undone(void **state)
{
    (void)state;
    begin(ML_ROLE_VIEWER);
    assert_int_equal(says(&ana, ml_slice_make("\1\1\3\0\x04\1\4text\1x", 14)), ML_EDENIED);
    assert_int_equal(ana.refusals, 0);
}

static void rights_that_are_taken_away_end_with_the_next_update(void **state)
{
    const struct ml_grant reads = {.may = ML_MAY_READ};
    const struct ml_grant all = ml_grant_editor();

    (void)state;
    begin(ML_ROLE_COMMENTER);
    may(&ana, "[[\"map.set\",\"comments/ana\",\"t2\",\"mine\"]]");
    assert_true(ml_member_renew(ana.member, NULL, &all));
    may(&ana, "[[\"map.set\",\"meta\",\"title\",\"hers\"]]");
    assert_true(ml_member_renew(ana.member, NULL, &reads));
    assert_int_equal(says(&ana, ml_slice_make("\1\1\x63\0\x04\1\4text\1x", 14)), ML_EDENIED);
}

int main(void)
{
    ml_log_set_level(ML_LOG_ERROR);
#define CASE(f) cmocka_unit_test_teardown(f, end)
    const struct CMUnitTest tests[] = {
        CASE(a_commenter_writes_comments_under_the_own_id),
        CASE(a_commenter_writes_nothing_else),
        CASE(a_suggester_proposes_by_marks_of_the_own),
        CASE(a_suggester_decides_and_changes_nothing),
        CASE(an_editor_of_the_same_room_does_all_of_it),
        CASE(one_update_may_be_refused_in_part),
        CASE(what_would_have_to_wait_is_refused),
        CASE(a_viewer_writes_nothing_and_is_not_undone),
        CASE(rights_that_are_taken_away_end_with_the_next_update),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
