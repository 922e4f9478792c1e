/* SPDX-License-Identifier: MIT */
/* The structs of a live room. Private to room/. */
#ifndef ML_ROOM_LIVE_H
#define ML_ROOM_LIVE_H

#include "base/hashmap.h"
#include "base/list.h"
#include "base/log.h"
#include "room/auditor.h"
#include "room/claims.h"
#include "room/conflict.h"
#include "room/room.h"

/*
 *        ml_rooms_join         on_loaded              ml_room_close_if_idle      on_snapshot_put
 * (none) -----------> LOADING ----------------> LIVE ---------------------> CLOSING -------> (none)
 *                        |                      |  ^                           ^
 *                        |       on_committed   |  | on_committed              |
 *                        |       (ML_EIO)       v  | (ML_OK)                   |
 *                        |                      HELD                           |
 *                        +------------------ on_loaded (failed) ---------------+
 *
 * LOADING   no document; seats wait in `members` with is_seated false; nothing can be submitted.
 * LIVE      doc (or rest, body.c) holds every record up to `head`, and after it what stands in
 *           `staged` and `sent`.
 * HELD      an append failed: `sent` is tried again with the same keys; nothing of it is
 * acknowledged or told; submits join `staged` up to its bound, then ML_EBUSY; syncs wait. CLOSING
 * no member; memory stays until the last journal request has come back.
 */
enum ml_room_state { ML_ROOM_LOADING, ML_ROOM_LIVE, ML_ROOM_HELD, ML_ROOM_CLOSING };

/*
 * Something whose author waits for the journal: a record, or (bytes NULL) a mark, which stands for
 * a message that brought nothing new but may repeat what is still staged before it.
 */
struct ml_staged {
    struct ml_list node; /* room->staged or room->sent */
    struct ml_blob *bytes;
    struct ml_member *member; /* NULL: gone, or the server itself */
    bool is_changed;          /* not what the member sent: it has to be told like everybody */
    uint64_t message_no;
    int64_t at_ms;
    uint64_t since_ms;  /* monotonic */
    uint64_t staged_ms; /* monotonic */
    char user[sizeof((struct ml_identity *)0)->user];
    char session[sizeof((struct ml_identity *)0)->session];
    struct ml_noted *noted; /* for observers; own; NULL: nobody wants to know, or out of memory */
    uint32_t depth;         /* of plugins that react to plugins */
    struct ml_decided decided; /* conflict.c */
    struct ml_claim *claims;   /* own; that it brings with it, claims.c */
    size_t claim_count;
    struct ml_blob *labels; /* what plugins wrote on it; NULL: nothing */
};

struct ml_member {
    struct ml_list node; /* room->members */
    struct ml_room
        *room; /* NULL: in another loop (remote.c); then only port, identity and grant count */
    struct ml_port *port;
    struct ml_identity identity;
    struct ml_grant grant;
    struct ml_blob *rules; /* own reference: what grant.rules borrows from; NULL: none */
    bool is_seated;        /* port->joined was called */
    bool is_paused;        /* got ML_EBUSY; waits for port->pause(false) */
    bool is_closing;       /* port->close was called */
    uint64_t last_no;      /* newest message that was taken */
    uint32_t staged_count; /* of its entries in room->staged and room->sent */
    bool wants_sync;       /* a Step1 waits for the commit */
    struct ml_who *who;    /* author.c */
    struct ml_blob *seen;  /* state vector of its last Step1; kept if conflicts are decided */
    bool was_told;         /* something of the document was sent to it */
    bool has_answered;     /* our Step1, since its own: `seen` is old by now */
    bool is_asked_first;   /* our Step1 went out before that: its answer holds what was in `seen` */
    bool owes_answer;      /* our Step1 went out, and nothing has come to it yet */
    struct ml_early *early; /* early.c: updates that wait for that answer */
    size_t early_count, early_bytes;
    uint64_t early_since_ms;
    uint64_t seen_us, synced_us; /* the newest it had seen by then; when it was answered */
    struct ml_blob *sync_vector;
    uint64_t held_since_ms, retry_at_ms; /* a plugin holds its message; 0: none */
    uint32_t retry_ms;
    uint64_t undo_window_ms; /* start of the minute in which `undos` are counted */
    uint32_t undos;
    struct ml_claim_question *question; /* claims.c: the journal is asked, or has answered */
    const struct ml_denial *refusal;    /* of what it submits now: ml_member_refuse */
};

/* One awareness client of a room; the clock is kept after it went offline. */
struct ml_presence {
    uint64_t client, clock, seen_ms;
    uint64_t node;           /* of another node; 0: of this one */
    struct ml_blob *json;    /* NULL: offline */
    struct ml_member *owner; /* NULL: its member is gone */
    bool is_news;            /* changed since the members were told last */
    uint32_t gap_ms;         /* they are told at most once in so long; a plugin said so */
    uint64_t told_ms;
};

/* What somebody with this state vector lacks, as the frames of a dialect. */
#define ML_ANSWERS   4    /* kept at a time in one room */
#define ML_ANSWER_MS 2000 /* and for so long after they were asked for last */
struct ml_answer {
    struct ml_blob *vector;
    struct ml_blob **frames; /* NULL: free place */
    size_t count, cap;
    enum ml_dialect dialect;
    uint64_t used_ms;
};

/* A snapshot on its way to the journal. */
struct ml_putting {
    struct ml_snapshot_put put;
    struct ml_room *room;
    struct ml_blob *texts; /* its name and labels; NULL: none */
};

struct ml_room {
    struct ml_list node;   /* rooms->all */
    struct ml_list awake;  /* rooms->awake, while doc is there */
    struct ml_list empty;  /* rooms->empty, while member_count is 0 */
    struct ml_list urgent; /* rooms->urgent: wants every tick */
    struct ml_list noisy;  /* rooms->noisy: some presence is news; or rooms->muted */
    struct ml_rooms *rooms;
    enum ml_room_state state;
    struct ml_slice key, org, name; /* key = org NUL name, in memory of the room */
    struct ml_cell_place place;     /* where its hooks run */
    struct ml_list members;
    uint32_t member_count;
    uint32_t sync_waiting; /* members with wants_sync */
    struct ml_desk *desk;  /* desk.c; NULL: nobody has decided anything yet */
    uint64_t clock_us;     /* hybrid clock, see ml_room_clock */

    struct ml_doc *doc;   /* NULL: as it was loaded, or at rest; see body.c */
    struct ml_blob *rest; /* the document as it was loaded (V1), as long as nobody has written */
    struct ml_parked_doc *parked; /* the document at rest again */
    struct ml_blob *vector;       /* state vector, NULL: not asked for since the last change */
    struct ml_answer answers[ML_ANSWERS];
    size_t state_bytes;   /* encoded size: never less than what it is now */
    size_t memory_bytes;  /* as it stands in rooms->memory_bytes */
    uint64_t epoch, head; /* head: last committed seq */
    bool is_read_only;    /* quarantined: a record is corrupt, the good prefix is served */
    bool is_abandoned;    /* memory and journal differ for good: nobody new gets a seat */
    struct ml_load load;
    bool is_born;             /* plugins were asked about a document that was not there */
    struct ml_load read_back; /* for joiners while held */
    bool is_reading;

    struct ml_owners claims; /* claims.c: whose client ids are */
    struct ml_claiming claiming;
    struct ml_list questions; /* ml_claim_question.node: not answered yet */
    uint32_t question_count;
    struct ml_claim *sent_claims; /* of `append` */

    struct ml_list errands; /* errand.c */
    uint32_t errand_count;
    uint64_t staged_no, settled_no; /* entries that were ever staged; of them, done with */

    struct ml_list staged;  /* waits for the next append */
    struct ml_list sent;    /* in the append that is under way */
    struct ml_blob *labels; /* of the update that is staged next; NULL: none */
    size_t staged_bytes;    /* of both */
    struct ml_append append;
    struct ml_record *records;
    size_t record_count, record_cap, record_bytes;
    bool is_appending;
    uint64_t appended_ms; /* since then, while is_appending */
    uint64_t told_ms;     /* everybody of a commit; 0: never */
    struct ml_hole *hole; /* others.c: is being read; NULL: none */
    bool is_following, is_filling, wants_look;
    uint64_t own_first, own_last; /* committed behind a hole; 0: none */
    struct ml_list recent;        /* again.c: the end of what was told is said again */
    uint64_t told_last, again_at_ms;
    unsigned again;  /* so many times more */
    uint64_t looked; /* round of ml_others in which its head was looked at */
    bool is_moving;  /* moved.c: another node was faster; desk->catch_up is under way */
    uint64_t retry_at_ms, held_since_ms;
    uint32_t retry_ms;

    struct ml_snapshot_policy policy;
    struct ml_putting *putting; /* while is_putting */
    bool is_putting, snapshot_due;
    uint64_t ops_since, bytes_since; /* the newest snapshot */
    struct ml_writer writers;        /* who wrote since then: writers.c */
    uint64_t snapshot_at_ms, changed_at_ms;
    uint64_t asked_due_ms;  /* snapshot_due was asked last */
    uint64_t kept_house_ms; /* retain.c; 0: not yet */

    struct ml_presence *presence;
    bool holds_presence; /* some of it is news, and not due yet */
    size_t presence_count, presence_cap;

    uint64_t empty_since_ms;            /* meaningful while member_count == 0 */
    uint64_t grace_ms;                  /* so long it stays then */
    struct ml_observation *observation; /* observe.c; NULL: nobody was ever told anything */
    struct ml_doc_port port;            /* own.c: what hooks may ask of this room */
};

/* What other nodes wrote meanwhile, while it is read. */
struct ml_hole {
    struct ml_load load;
    struct ml_room *room;
};

/* Another node, or another loop of this one, as far as it was heard; nodes.c. */
struct ml_other_node {
    uint64_t id, seen_ms; /* 0: free */
    bool is_leaving, is_gone;
};

/* What is known of other nodes; others.c. */
#define ML_NODES_MAX 512
struct ml_others {
    struct ml_heads look;
    struct ml_arena names; /* of `look` */
    bool is_looking, is_healthy;
    uint64_t look_at_ms, round;
    uint64_t looked_ms;                       /* the last round was over */
    struct ml_other_node nodes[ML_NODES_MAX]; /* nodes.c */
};

/* Letters for another loop, until the end of the turn. */
struct ml_outgoing {
    struct ml_list letters; /* ml_parcel.node */
    void *last_frame;       /* the last of them, if it is a frame that more seats may want */
};

struct ml_rooms {
    struct ml_room_env env;
    struct ml_hashmap by_key;
    struct ml_list all;    /* the one that waited longest for its visit first */
    struct ml_list awake;  /* least recently changed first */
    struct ml_list empty;  /* empty for the longest time first */
    struct ml_list urgent; /* held, or a plugin holds a message */
    struct ml_list noisy;
    struct ml_list recent;   /* again.c: due first first */
    struct ml_list muted;    /* noisy rooms whose presence waits for their commit */
    uint64_t orgs_noted[64]; /* owed.c: hashes */
    struct ml_list observed; /* ml_observation.node: somebody has to be told */
    uint32_t count;
    size_t memory_bytes; /* of all rooms, as far as they were weighed */
    bool is_draining;
    enum ml_close drain_why;
    uint64_t drain_since_ms;
    uint32_t drain_at_a_time;         /* members a tick */
    struct ml_arena scratch;          /* for what a timer or a journal answer starts */
    struct ml_arena presence_scratch; /* of one entry of presence */
    struct ml_rooms_shared *shared, own_shared;
    struct ml_others others;
    /* remote.c: */
    struct ml_outgoing *outgoing; /* [env.loops]; NULL: alone */
    struct ml_hashmap remotes;    /* seats of this loop's sessions elsewhere */
    struct ml_hashmap agents;     /* seats of other loops' sessions here */
    struct ml_list stirred;       /* agents that may go on */
    struct ml_arena letters;      /* scratch for what came in letters */
    uint64_t next_remote;
    struct ml_rooms_stats stats;
    uint32_t keeping_count; /* retain.c: under way */
    struct ml_list mine;  /* ml_parcel.node: from this loop to itself, until the end of the turn */
    uint32_t errands_out; /* errand.c: asked here, not answered yet */
    struct ml_auditor *auditor; /* NULL: nothing was written down yet */
};

static inline uint64_t ml_room_now(const struct ml_room *room)
{
    return room->rooms->env.mono_ms(room->rooms->env.arg);
}

/** Is anything integrated that is not committed yet? */
static inline bool ml_room_is_staging(const struct ml_room *room)
{
    return !ml_list_is_empty(&room->staged) || !ml_list_is_empty(&room->sent);
}

/* The steps of docs/architecture.md go by at trace level, with one id per keystroke. */
static inline void ml_room_trace(const char *session, uint64_t message_no, const char *step)
{
    if (ml_log_enabled(ML_LOG_TRACE))
        ml_log(ML_LOG_TRACE, "keystroke.passed", "id=%s/%llu step=%s", session,
               (unsigned long long)message_no, step);
}

/** A change of the document was integrated, or the room was looked at: it is the last to give way.
 */
static inline void ml_room_touch(struct ml_room *room)
{
    ml_list_remove(&room->awake);
    if (room->doc)
        ml_list_append(&room->rooms->awake, &room->awake);
}

static inline void ml_room_hurry(struct ml_room *room)
{
    if (!ml_list_is_linked(&room->urgent))
        ml_list_append(&room->rooms->urgent, &room->urgent);
}

/* Each is documented where it is defined. */

/* rooms.c */
struct ml_room *ml_rooms_find_or_load(struct ml_rooms *rooms, struct ml_slice org,
                                      struct ml_slice name);
void ml_rooms_post(struct ml_rooms *rooms, unsigned loop, struct ml_parcel *parcel);

/* errand.c */
void ml_room_start_errands(struct ml_room *room, bool exists);
void ml_room_serve_errands(struct ml_room *room);
void ml_room_end_errands(struct ml_room *room, enum ml_err err);

/* body.c */
enum ml_err ml_room_take_bytes(struct ml_room *room, const struct ml_load *load,
                               struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_room_wake(struct ml_room *room) ML_MUST_CHECK;
void ml_room_rest(struct ml_room *room);
void ml_room_weigh(struct ml_room *room);
bool ml_room_is_full(struct ml_room *room, size_t more);
enum ml_err ml_room_write_state(struct ml_room *room, struct ml_slice vector,
                                struct ml_writer *out) ML_MUST_CHECK;
enum ml_err ml_room_state_vector(struct ml_room *room, struct ml_slice *vector_out) ML_MUST_CHECK;
struct ml_answer *ml_room_find_answer(struct ml_room *room, enum ml_dialect dialect,
                                      struct ml_slice vector);
struct ml_answer *ml_room_add_answer(struct ml_room *room, enum ml_dialect dialect,
                                     struct ml_slice vector);
bool ml_answer_push(struct ml_answer *answer, struct ml_blob *frame);
void ml_answer_drop(struct ml_answer *answer);
void ml_room_forget_answers(struct ml_room *room);
void ml_room_drop_old_answers(struct ml_room *room, uint64_t now);

/* commit.c */
enum ml_err ml_room_stage(struct ml_room *room, struct ml_member *from, uint64_t message_no,
                          struct ml_blob *bytes, bool is_changed) ML_MUST_CHECK;
enum ml_err ml_room_stage_own(struct ml_room *room, struct ml_slice author, struct ml_blob *bytes,
                              uint32_t depth) ML_MUST_CHECK;
void ml_room_commit(struct ml_room *room);
void ml_room_retry(struct ml_room *room);
void ml_room_abandon(struct ml_room *room);
void ml_room_drop_staged(struct ml_room *room);
void ml_room_forget_author(struct ml_room *room, const struct ml_member *member);
void ml_room_settle(struct ml_room *room);
void ml_room_tell_update(struct ml_room *room, struct ml_slice update);
void ml_room_hold(struct ml_room *room, enum ml_err err, const char *why);
void ml_room_was_deleted(struct ml_room *room);
void ml_room_was_shut(struct ml_room *room);

/* claims.c */
enum ml_err ml_room_judge(struct ml_member *from, const struct ml_update *update,
                          uint64_t message_no, struct ml_arena *scratch) ML_MUST_CHECK;
void ml_room_forget_claiming(struct ml_room *room);
bool ml_room_take_claiming(struct ml_room *room, struct ml_staged *entry,
                           struct ml_slice user) ML_MUST_CHECK;
bool ml_room_claim_own(struct ml_room *room, struct ml_staged *entry,
                       uint64_t before) ML_MUST_CHECK;
bool ml_room_gather_claims(struct ml_room *room, struct ml_claim **out,
                           size_t *count_out) ML_MUST_CHECK;
void ml_room_settle_claims(struct ml_room *room, const struct ml_append *append);
bool ml_room_load_claims(struct ml_room *room, const struct ml_load *load) ML_MUST_CHECK;
void ml_member_drop_question(struct ml_member *member);
void ml_room_drop_questions(struct ml_room *room);

/* author.c */
const struct ml_scope *ml_member_author(struct ml_member *member);

/* desk.c */
uint64_t ml_room_clock(struct ml_room *room);
void ml_room_clock_saw(struct ml_room *room, int64_t at_ms);
void ml_room_note_seq(struct ml_room *room, uint64_t tag, uint64_t seq);
void ml_room_note_sync(struct ml_member *member);

/* conflict.c */
unsigned ml_room_decides(struct ml_room *room);
enum ml_err ml_room_take_record(struct ml_room *room, struct ml_doc *doc,
                                const struct ml_stored *record,
                                struct ml_arena *scratch) ML_MUST_CHECK;
enum ml_err ml_room_integrate(struct ml_room *room, struct ml_member *from, bool is_reply,
                              const struct ml_update *update, const struct ml_verdict *verdict,
                              struct ml_slice received, struct ml_arena *scratch,
                              const struct ml_change **change_out,
                              bool *resolved_out) ML_MUST_CHECK;
enum ml_err ml_room_integrate_again(struct ml_room *room, struct ml_staged *entry,
                                    struct ml_arena *scratch) ML_MUST_CHECK;

void ml_room_take_decided(struct ml_room *room, struct ml_staged *entry);

/* moved.c */
void ml_room_catch_up(struct ml_room *room);

/* fanout.c */
void ml_room_fan_out(struct ml_room *room, enum ml_frame_kind kind, struct ml_slice payload,
                     enum ml_send as, const struct ml_member *only_author);
enum ml_err ml_member_send(struct ml_member *member, enum ml_frame_kind kind,
                           struct ml_slice payload, enum ml_send as) ML_MUST_CHECK;
void ml_member_close(struct ml_member *member, enum ml_close why, const char *reason);
enum ml_err ml_member_send_state(struct ml_member *member, struct ml_doc *doc) ML_MUST_CHECK;
enum ml_err ml_member_send_vector(struct ml_member *member) ML_MUST_CHECK;

/* presence.c */
void ml_room_presence_leave(struct ml_room *room, struct ml_member *member);
void ml_room_presence_expire(struct ml_room *room);
void ml_room_presence_tell(struct ml_room *room);
bool ml_room_presence_mute(struct ml_room *room);
void ml_room_presence_unmute(struct ml_room *room);
void ml_rooms_unmute(struct ml_rooms *rooms);
void ml_room_presence_release(struct ml_room *room);

/* stamp.c */
enum ml_err ml_presence_stamp(const struct ml_identity *who, struct ml_slice json, size_t limit,
                              struct ml_arena *scratch, struct ml_slice *state_out) ML_MUST_CHECK;

/* remote.c */
static inline bool ml_member_is_remote(const struct ml_member *member)
{
    return !member->room;
}
bool ml_remote_init(struct ml_rooms *rooms) ML_MUST_CHECK;
void ml_remote_release(struct ml_rooms *rooms, bool by_force);
bool ml_remote_is_quiet(const struct ml_rooms *rooms);
void ml_remote_stir(struct ml_rooms *rooms);
void ml_remote_post_all(struct ml_rooms *rooms);
enum ml_err ml_remote_join(struct ml_rooms *rooms, unsigned home, struct ml_slice org,
                           struct ml_slice name, const struct ml_identity *identity,
                           const struct ml_grant *grant, struct ml_port *port,
                           struct ml_member **member_out) ML_MUST_CHECK;
enum ml_err ml_remote_submit(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                             bool is_reply, struct ml_arena *scratch) ML_MUST_CHECK;
enum ml_err ml_remote_sync(struct ml_member *member, struct ml_slice state_vector) ML_MUST_CHECK;
enum ml_err ml_remote_presence(struct ml_member *from, struct ml_slice update) ML_MUST_CHECK;
enum ml_err ml_remote_message(struct ml_member *from, struct ml_slice text);
enum ml_err ml_remote_query(struct ml_member *member) ML_MUST_CHECK;
void ml_remote_confirm(struct ml_member *member, uint64_t message_no);
bool ml_remote_renew(struct ml_member *member, const struct ml_identity *identity,
                     const struct ml_grant *grant);
void ml_remote_leave(struct ml_member *member);
void ml_remote_dismiss(struct ml_rooms *rooms, unsigned home, struct ml_slice org,
                       struct ml_slice name, enum ml_close why, const char *reason);

/** Where the hooks of this document run; NULL: nobody has anything to say. Ask each time: it is
 * good until control is back in the loop. */
static inline struct ml_script *ml_room_script(struct ml_room *room)
{
    const struct ml_room_env *env = &room->rooms->env;

    return env->cells ? ml_cells_at(env->cells, &room->place, room->org, room->name) : env->script;
}

/** Which hooks this document has, enum ml_hook bits: asked before ml_room_script. */
static inline uint64_t ml_room_hooks(struct ml_room *room)
{
    const struct ml_room_env *env = &room->rooms->env;

    if (env->cells)
        return ml_cells_hooks_at(env->cells, &room->place, room->org, room->name);
    return env->script ? ml_script_hooks(env->script) : 0;
}

/* writers.c: who wrote since the newest snapshot. */

/** The server (an empty id) is nobody. Cost: a comparison, for who wrote before, too. */
void ml_room_wrote(struct ml_room *room, struct ml_slice user);
/** User ids, each with a NUL behind it, who wrote last at the end; good until the next. */
struct ml_slice ml_room_writers(const struct ml_room *room);
void ml_room_forget_writers(struct ml_room *room);

/** Keep a grant, its rules copied. False: no memory, the old one is kept. rooms.c */
bool ml_member_take_grant(struct ml_member *member, const struct ml_grant *grant);

/* submit.c */
/** Not now: the member's client is paused and asked again. Answers ML_EBUSY. */
enum ml_err ml_member_wait(struct ml_member *member);

/* policy.c */
/** What was decided about one update. Lives in the scratch arena of the message. */
struct ml_ruling {
    struct ml_script_update update;
    struct ml_verdict verdict; /* for ml_doc_apply, unless the ruling is plain */
    /** What goes in instead, without a verdict: the update with what plugins wrote on top of it.
     * NULL: nothing was written. */
    const struct ml_update *amended;
    struct ml_slice amended_bytes;
};
/**
 * Ask everybody who may decide about an update, and tell its writer what was refused.
 * @retval ML_EBUSY    a plugin cannot answer: the member waits
 * @retval ML_EDENIED  fenced: nothing of it is taken, now or later
 */
enum ml_err ml_room_decide(struct ml_member *from, const struct ml_update *update,
                           struct ml_slice bytes, uint64_t message_no, bool is_reply,
                           struct ml_arena *scratch, struct ml_ruling *ruling) ML_MUST_CHECK;
/**
 * Work out ruling->amended. amend.c
 * @retval ML_EDENIED  *denial_out, of all of it
 * @retval ML_ESCRIPT  a plugin failed: hold
 */
enum ml_err ml_room_amend(struct ml_room *room, struct ml_script *script,
                          const struct ml_scope *scope, struct ml_slice bytes,
                          struct ml_ruling *ruling, struct ml_denial *denial_out) ML_MUST_CHECK;
/** Nothing was refused and nothing is rewritten. */
bool ml_ruling_is_plain(const struct ml_ruling *ruling);

/* submit.c: what ml_room_submit does, early updates apart */
enum ml_err ml_room_take(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                         bool is_reply, struct ml_arena *scratch) ML_MUST_CHECK;
/* early.c */
bool ml_early_waits(struct ml_member *member, bool is_reply);
bool ml_early_keep(struct ml_member *member, struct ml_slice bytes, uint64_t message_no);
enum ml_err ml_early_take(struct ml_member *member, struct ml_arena *scratch) ML_MUST_CHECK;
bool ml_early_tick(struct ml_member *member, uint64_t now);
void ml_early_drop(struct ml_member *member);

/* owed.c */
void ml_rooms_note_org(struct ml_rooms *rooms, struct ml_slice org);

/* observe.c */
struct ml_observation;
void ml_room_watch(struct ml_room *room);
void ml_room_watched(struct ml_room *room, struct ml_slice author, const char *origin);
struct ml_noted *ml_room_take_noted(struct ml_room *room);
void ml_room_note(struct ml_room *room, struct ml_noted *noted, const struct ml_record *record,
                  uint32_t depth);
void ml_room_observe_from_start(struct ml_room *room);
enum ml_owing { ML_OWES_NOTHING, ML_OWES, ML_OWES_IN_VAIN /* somebody could not be told */ };
enum ml_owing ml_room_owing(const struct ml_room *room);
bool ml_room_observe(struct ml_room *room, bool all);
void ml_rooms_observe(struct ml_rooms *rooms);
bool ml_room_is_telling(const struct ml_room *room, uint32_t *depth_out);
uint64_t ml_room_next_own(struct ml_room *room, uint64_t *id_out);
void ml_room_observation_free(struct ml_room *room);
void ml_room_tell(struct ml_room *room, enum ml_moment what, const struct ml_member *member);
/** Who speaks, for plugins. policy.c */
struct ml_scope ml_member_scope(struct ml_member *from, bool is_reply);
struct ml_script_moment ml_room_moment(struct ml_room *room, const struct ml_member *member);
uint64_t ml_room_grace(struct ml_room *room);

bool ml_room_begin_telling(struct ml_room *room);
void ml_room_end_telling(struct ml_room *room);

/* own.c */
void ml_room_port_init(struct ml_room *room);
enum ml_err ml_room_run_ops(struct ml_room *room, struct ml_slice author, struct ml_slice ops,
                            struct ml_diag *diag) ML_MUST_CHECK;
void ml_room_presence_heard(struct ml_room *room, uint64_t node, struct ml_slice update);
void ml_room_presence_tell_own(struct ml_room *room);
void ml_room_presence_of_node_gone(struct ml_room *room, uint64_t node);

/* others.c */
void ml_room_follow(struct ml_room *room);
void ml_room_unfollow(struct ml_room *room);
void ml_room_fill(struct ml_room *room);
void ml_room_tell_others(struct ml_room *room, uint64_t first, uint64_t last,
                         struct ml_slice update);
void ml_room_tell_presence(struct ml_room *room, struct ml_slice update);
void ml_rooms_tell_deleted(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name);
void ml_room_look_again(struct ml_room *room);
void ml_room_committed(struct ml_room *room, uint64_t first, uint64_t last, uint64_t head);
void ml_rooms_tick_others(struct ml_rooms *rooms, uint64_t now);
bool ml_rooms_is_looking(const struct ml_rooms *rooms);
/** The fields of bus and buses. */
void ml_rooms_stats_others(const struct ml_rooms *rooms, struct ml_rooms_stats *out);
void ml_rooms_others_init(struct ml_rooms *rooms);
void ml_rooms_others_release(struct ml_rooms *rooms);

/* nodes.c */
void ml_rooms_node_heard(struct ml_rooms *rooms, const struct ml_news *news, uint64_t now);
void ml_rooms_nodes_excused(struct ml_rooms *rooms, uint64_t now);
void ml_rooms_tick_nodes(struct ml_rooms *rooms, uint64_t now);
bool ml_rooms_bus_is_sure(const struct ml_rooms *rooms, uint64_t now);
void ml_rooms_say_farewell(struct ml_rooms *rooms);

/* again.c */
void ml_room_tell_again(struct ml_room *room, uint64_t last);
void ml_room_tell_at_last(struct ml_room *room);
void ml_rooms_tick_again(struct ml_rooms *rooms, uint64_t now);

/* snapshot.c */
void ml_room_consider_snapshot(struct ml_room *room, bool is_last);
void ml_room_take_snapshot(struct ml_room *room);
void ml_room_forget_snapshot(struct ml_room *room);
/* retain.c */
void ml_room_keep_house(struct ml_room *room, uint64_t seq);

/* rooms.c */
enum ml_err ml_room_build(struct ml_room *room, const struct ml_load *load, struct ml_diag *diag,
                          struct ml_doc **doc_out) ML_MUST_CHECK;
void ml_room_read_back(struct ml_room *room);
void ml_room_free(struct ml_room *room);
void ml_room_close_if_idle(struct ml_room *room);

#endif
