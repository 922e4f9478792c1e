/* SPDX-License-Identifier: MIT */
/*
 * The HTTP API (contract 5): a table of routes, and one call per request.
 *
 *   head --> row of the table --> who asks, may they --> (body) --> row->run(call) --> answer
 *                                                                     |        ^
 *                                                                     v        |
 *                                                       journal, room, worker -+
 *
 * A call lives from the head to its answer, or, if the client goes away, until what it asked for
 * has come back: then `http` is NULL and the answer goes nowhere. Private to net.
 */
#ifndef ML_NET_API_H
#define ML_NET_API_H

#include "net/url.h"
#include "net/visitor.h"

#define ML_API_BODY_MAX   (1u << 20)  /* SEC-LM-03 */
#define ML_API_IMPORT_MAX (32u << 20) /* likewise */
#define ML_API_DEPTH_MAX  64          /* SEC-LM-07: nesting of JSON */

struct ml_call;

struct ml_api_parameter {
    const char *name, *schema, *summary; /* schema: JSON Schema; NULL name ends a list */
};

struct ml_api_answer {
    unsigned status;    /* 0 ends a list */
    const char *type;   /* NULL: no body */
    const char *schema; /* JSON Schema of a JSON body; NULL: bytes or text */
    const char *summary;
};

#define ML_API_PARAMETERS 7
#define ML_API_ANSWERS    6

/** One row: what is routed, checked and described (openapi.json) is the same thing. */
struct ml_api_route {
    enum ml_method method;
    const char *path; /* "/api/v1/orgs/{org}/docs/{doc}/state"; a {part} is one escaped segment */
    const char *id, *summary;
    const char *action;    /* what authorize is asked; NULL: the handler asks, or nobody has to */
    unsigned may;          /* ml_may bits that the grant needs */
    size_t body_max;       /* 0: a body is refused */
    bool is_local;         /* from this machine only; nobody else is asked */
    bool is_for_members;   /* not for the guests of a link, whatever it gives (SEC-AZ-09) */
    bool is_body_optional; /* and what it says does not matter */
    bool is_keyed; /* for programs: the handler looks at call->bearer, nobody else is asked */
    const char *body_type; /* that Content-Type has to be; NULL: whatever */
    const char *body_schema;
    struct ml_api_parameter parameters[ML_API_PARAMETERS]; /* of the query, and If-Match */
    struct ml_api_answer answers[ML_API_ANSWERS];
    void (*run)(struct ml_call *call);
};

struct ml_call {
    struct ml_net *net;
    struct ml_http *http; /* NULL: nobody waits any more */
    const struct ml_api_route *route;
    struct ml_arena arena; /* everything that is borrowed below, and what the handler needs */
    struct ml_slice org, name, session; /* {org}, {doc}, {id}, decoded and checked; or empty */
    struct ml_slice version;            /* {version}, decoded: a number or a name; or empty */
    struct ml_parameter *parameters;
    size_t parameter_count;
    struct ml_slice if_match; /* the field; .ptr NULL: none */
    /* If the route is keyed, or empty: of Authorization, Cookie and X-ML-CSRF. */
    struct ml_slice bearer, cookies, csrf;
    struct ml_writer body;
    struct ml_asker visitor;
    struct ml_ask ask;
    const struct ml_head *head;         /* until the body is taken */
    bool is_counted;                    /* it is within the rate `http` */
    bool keeps_alive;                   /* what the connection does if this is not refused */
    unsigned wanted;                    /* ml_may bits that the question is about */
    void (*then)(struct ml_call *call); /* after the question */
    char ip[ML_ADDRESS_TEXT];
    void (*on_gone)(struct ml_call *call); /* http went away; may be NULL */
    void *job;                             /* of the handler */
};

/* ---- api.c ----------------------------------------------------------------------------------- */

/** Everything below /api/. */
void ml_api_route(struct ml_http *http, const struct ml_head *head);
/** Once per turn of the loop, before it sleeps; and every 100 ms. */
void ml_api_flush(struct ml_net *net);
void ml_api_tick(struct ml_net *net);

/** A call without a body, for a route that is not in the table. NULL: out of memory. */
struct ml_call *ml_call_new(struct ml_http *http, const struct ml_api_route *route);
/** Answered already, or never begun. */
void ml_call_drop(struct ml_call *call);
/** Take the body (at most `max_bytes`), if there is one, and then run the call. */
void ml_call_take_body(struct ml_call *call, const struct ml_head *head, size_t max_bytes);
/** May this page change something here (SEC-CS-01)? False: answered. */
bool ml_api_is_from_here(struct ml_http *http, const struct ml_head *head);
/** The answer comes later; the handler has to end the call, whether somebody waits or not. */
void ml_call_wait(struct ml_call *call);
/* Each answers, if somebody waits, and ends the call. */
void ml_call_answer(struct ml_call *call, unsigned status, const char *type, const char *fields,
                    struct ml_writer *body);
void ml_call_json(struct ml_call *call, unsigned status, const char *fields,
                  struct ml_writer *body);
void ml_call_error(struct ml_call *call, unsigned status, const char *code, const char *message);
void ml_call_denial(struct ml_call *call, const struct ml_denial *denial);
/** The journal's word: 404 (never was, or a tombstone), 409, 413, 503, 500. */
void ml_call_failed(struct ml_call *call, enum ml_err err);

/** Is one more of these within the limits of who asks? False: answered 429, and the call is over.
 */
bool ml_call_may(struct ml_call *call, enum ml_rate rate);

/** A query parameter; .ptr NULL: it is not there. */
struct ml_slice ml_call_parameter(const struct ml_call *call, const char *name);
/** A number in decimal, without sign. False: answered 400; absent: `missing`. */
bool ml_call_number(struct ml_call *call, const char *name, uint64_t min, uint64_t max,
                    uint64_t missing, uint64_t *out);
/** "12"; *given_out false if the field is absent. False: answered. */
bool ml_call_if_match(struct ml_call *call, bool *given_out, uint64_t *out);
/** Who asks, from the head that comes with the request, and, with an action, may they do that with
 * `name`? `then` runs if so, inside ml_route; else the call is answered and over. */
void ml_call_ask(struct ml_call *call, const char *action, struct ml_slice name, unsigned may,
                 void (*then)(struct ml_call *call));
/** The same, once it is known who asks: about another document of the org. */
void ml_call_authorize(struct ml_call *call, const char *action, struct ml_slice name, unsigned may,
                       void (*then)(struct ml_call *call));
/** The same, and only a denial keeps from it: what they may do stays as it was. */
void ml_call_veto(struct ml_call *call, const char *action, struct ml_slice name,
                  void (*then)(struct ml_call *call));

/* ---- api_audit.c ----------------------------------------------------------------------------- */

/** Who asks did this to `subject`; `result` as in ml_audit_event. */
void ml_call_audit(struct ml_call *call, const char *kind, struct ml_slice subject,
                   const char *result);
/** The same for what happens often: ml_audit_sampled. */
void ml_call_audit_sampled(struct ml_call *call, const char *kind, struct ml_slice subject,
                           const char *result);

/* ---- api_table.c ----------------------------------------------------------------------------- */

extern const struct ml_api_route ml_api_routes[];
extern const size_t ml_api_route_count;
/** OpenAPI 3.1 of the table. */
void ml_api_describe(struct ml_writer *out);

/* ---- handlers -------------------------------------------------------------------------------- */

void ml_api_openapi(struct ml_call *call);
void ml_api_list(struct ml_call *call);
void ml_api_create(struct ml_call *call);
void ml_api_metadata(struct ml_call *call);
void ml_api_delete(struct ml_call *call);
void ml_api_undelete(struct ml_call *call);
void ml_api_history(struct ml_call *call);
void ml_api_sessions(struct ml_call *call);
void ml_api_remove_session(struct ml_call *call);
void ml_api_state(struct ml_call *call);
void ml_api_content(struct ml_call *call);
void ml_api_update(struct ml_call *call);
void ml_api_ops(struct ml_call *call);
void ml_api_versions(struct ml_call *call);
void ml_api_version(struct ml_call *call);
void ml_api_make_version(struct ml_call *call);
void ml_api_delete_version(struct ml_call *call);
void ml_api_pin_version(struct ml_call *call);
void ml_api_restore(struct ml_call *call);
void ml_api_changes(struct ml_call *call);
void ml_api_publish(struct ml_call *call);
void ml_api_published(struct ml_call *call);
void ml_api_unpublish(struct ml_call *call);
void ml_api_purge(struct ml_call *call);
void ml_api_audit(struct ml_call *call);
void ml_api_audit_verify(struct ml_call *call);
void ml_api_mint(struct ml_call *call);
void ml_api_shares(struct ml_call *call);
void ml_api_put_share(struct ml_call *call);
void ml_api_delete_share(struct ml_call *call);
void ml_api_why(struct ml_call *call);
void ml_api_invite(struct ml_call *call);
void ml_api_invites(struct ml_call *call);
void ml_api_delete_invite(struct ml_call *call);

/* ---- api_read.c ------------------------------------------------------------------------------ */

/**
 * A document read from the journal and worked on beside the loop. Few run at once; the others wait.
 */
struct ml_reading {
    /* request */
    struct ml_slice org, name; /* borrowed until done */
    uint64_t until_seq;
    int64_t until_ms;
    /** On a worker thread, with the document; touches nothing but the reading. */
    enum ml_err (*work)(struct ml_reading *reading, struct ml_doc *doc);
    ml_client_id client; /* of the document; 0: it is only read */
    bool may_be_new;     /* work also on a document that does not exist: an empty one */
    void (*done)(struct ml_reading *reading);
    /* result */
    enum ml_err err;
    bool exists;
    uint64_t seq; /* of the last record that is in it */
    struct ml_diag diag;
    /* private */
    struct ml_net *net;
    struct ml_list node;
    struct ml_load load;
    uv_work_t worker;
};
void ml_reading_start(struct ml_net *net, struct ml_reading *reading);

/* ---- api_write.c ----------------------------------------------------------------------------- */

/** An update on its way through a room, like a member's. */
struct ml_writing {
    /* request */
    struct ml_slice org, name, bytes; /* borrowed until done */
    const struct ml_identity *identity;
    const struct ml_grant *grant;
    bool is_conditional;
    bool is_own; /* the server wrote the bytes, under a client id of its own */
    uint64_t expected_seq;
    void (*done)(struct ml_writing *writing);
    /* result */
    enum ml_err err; /* ML_OK: committed; ML_EMOVED: not the expected seq; ML_EDENIED, EFORMAT,
                        ELIMIT: not taken; ML_ENOTFOUND: deleted; ML_EBUSY: not taken, later;
                        ML_ECLOSED: it may be committed or not */
    bool refused;    /* committed as deleted content: a policy said no, see denial */
    uint64_t seq;
    struct ml_denial denial;
    /* private */
    struct ml_net *net;
    struct ml_list node;
    struct ml_port port;
    struct ml_member *member;
    struct ml_arena arena;
    bool is_joined, is_submitted, is_ended, is_late;
    uint64_t until_ms;
};
void ml_writing_start(struct ml_net *net, struct ml_writing *writing);
/** Answer what became of it; releases its arena. */
void ml_call_written(struct ml_call *call, struct ml_writing *writing);

#endif
