/* SPDX-License-Identifier: MIT */
/*
 * People by the thousand, typing: what a collaboration server costs for each edit that it delivers.
 *
 *   load SCENARIO --port N --pid N [--dialect ywebsocket|hocuspocus] [--prefix PATH] [--seconds N]
 *                 [--docs N] [--clients N] [--writers N] [--rate N] [--cursors N]
 *
 * Real Yjs updates from clients with state, over real sockets on loopback, to any server that
 * speaks one of the two dialects. Each client knows for each writer of its document which clock
 * comes next: what is missing, comes twice, or comes out of order is counted, and at the end a
 * fresh reader of each document must find everything that was typed. One line of JSON on standard
 * output.
 *
 * A writer's document: one text "t"; a client types behind its own last character, as people do.
 * The server's CPU time is that of process `pid`, all its threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "histogram.h"
#include "socket.h"
#include "speech.h"

#define ROOT              "t"
#define FIRST_CLIENT_ID   100000u
#define FILL_STRUCT_UNITS 50
#define FILL_STRUCTS      200 /* in one update */
#define CONNECTING_MAX    256
#define SETTLE_S          20 /* how long the last edits may take */
#define JOINERS           256

enum kind { KIND_TYPE, KIND_JOIN, KIND_STORM, KIND_IDLE };

struct scenario {
    const char *name;
    enum kind kind;
    unsigned docs, clients, writers; /* clients and writers of each document */
    double rate;                     /* edits a second of each writer; 0: as fast as delivered */
    double cursors;                  /* cursor moves a second of each writer */
    unsigned fill_kb;                /* text that is there before */
    double joins;                    /* a second, in all */
    unsigned seconds;
};

static const struct scenario SCENARIOS[] = {
    {"hot500", KIND_TYPE, 1, 500, 10, 4, 0, 0, 0, 10},
    {"team", KIND_TYPE, 100, 10, 2, 5, 0, 0, 0, 10},
    {"pairs", KIND_TYPE, 1000, 2, 1, 1, 0, 0, 0, 10},
    {"cursors", KIND_TYPE, 20, 25, 5, 4, 4, 0, 0, 10},
    {"burst", KIND_TYPE, 10, 50, 5, 0, 0, 0, 0, 10},
    {"join", KIND_JOIN, 1, 1, 1, 0, 0, 1024, 6, 10},
    {"storm", KIND_STORM, 50, 40, 1, 0, 0, 50, 0, 3},
    {"idle", KIND_IDLE, 200, 100, 1, 0, 0, 0, 0, 5},
};

/** One simulated person: a socket, and what of the document has come so far. */
struct person {
    struct socket socket; /* first: callbacks get its address */
    struct document *document;
    unsigned index; /* within the document; below `writers`: one who types */
    bool is_reader; /* a joiner or a last reader, beside the document's own people */
    bool synced;
    uint32_t *next; /* [writers] the clock that comes next of each */
    uint32_t typed; /* own clock */
    uint32_t awareness_clock;
    uint64_t due_ns, cursor_due_ns;
    uint64_t began_ns; /* of the connection */
    uint32_t *unsaved; /* Hocuspocus: `typed` after each message that waits for its SyncStatus */
    unsigned unsaved_first, unsaved_count, unsaved_cap;
    uint32_t saved; /* own clock up to which the server has said that it is kept */
};

struct document {
    char name[32], path[160];
    struct person *people;
    uint64_t **typed_at; /* [writers][clock] when each unit was typed */
    uint32_t *typed_cap; /* [writers] */
    struct ml_writer
        text; /* what was filled in, as one update: a server that forgot it is told again */
    uint32_t text_units;
};

static struct scenario plan;
static enum dialect dialect = DIALECT_YWEBSOCKET;
static const char *prefix;
static struct sockets sockets;
static struct document *documents;
static struct ml_writer message, update;
static struct ml_arena arena;
static bool measuring;
static unsigned synced_count, lost_sockets;
static struct histogram delivery, ack, joining;
static struct {
    uint64_t typed, delivered, doubled, gaps, cursors_sent, cursors_heard, joins, denied;
} counts;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void *need(void *memory)
{
    if (!memory)
        die("out of memory");
    return memory;
}

/* ---- The server's own numbers -----------------------------------------------------------------
 */

static double cpu_seconds(pid_t pid)
{
    char path[64], line[1024], *p;
    unsigned long user, system;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f || !fgets(line, sizeof(line), f) || !(p = strrchr(line, ')')) ||
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        die("the server's process is gone");
    fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static unsigned long resident_kb(pid_t pid, const char *key)
{
    char path[64], line[256];
    unsigned long kb = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    if (!f)
        die("the server's process is gone");
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, key, strlen(key)))
            sscanf(line + strlen(key), ": %lu", &kb);
    fclose(f);
    return kb;
}

/* ---- Typing ------------------------------------------------------------------------------------
 */

static uint64_t client_id(const struct document *d, unsigned writer)
{
    return FIRST_CLIENT_ID + (uint64_t)(d - documents) * plan.writers + writer;
}

static struct ml_slice name_of(const struct person *p)
{
    return ml_slice_make(p->document->name, strlen(p->document->name));
}

static void say(struct person *p)
{
    socket_send(&sockets, &p->socket, ml_writer_slice(&message));
}

/* SyncStatus comes in the order of what it answers. */
static void expect_saved(struct person *p)
{
    if (dialect != DIALECT_HOCUSPOCUS)
        return;
    if (p->unsaved_first + p->unsaved_count == p->unsaved_cap) {
        memmove(p->unsaved, p->unsaved + p->unsaved_first, p->unsaved_count * sizeof(uint32_t));
        p->unsaved_first = 0;
        if (p->unsaved_count == p->unsaved_cap) {
            p->unsaved_cap = p->unsaved_cap ? 2 * p->unsaved_cap : 8;
            p->unsaved = need(realloc(p->unsaved, p->unsaved_cap * sizeof(uint32_t)));
        }
    }
    p->unsaved[p->unsaved_first + p->unsaved_count++] = p->typed;
}

static void note_typed(struct person *p, uint32_t units)
{
    struct document *d = p->document;
    uint64_t now = now_ns();

    while (p->typed + units > d->typed_cap[p->index]) {
        uint32_t cap = d->typed_cap[p->index] ? 2 * d->typed_cap[p->index] : 64;

        d->typed_at[p->index] = need(realloc(d->typed_at[p->index], cap * sizeof(uint64_t)));
        d->typed_cap[p->index] = cap;
    }
    for (uint32_t n = 0; n < units; n++)
        d->typed_at[p->index][p->typed++] = now;
}

static void send_update(struct person *p)
{
    speech_update(&message, dialect, name_of(p), ml_writer_slice(&update));
    say(p);
    expect_saved(p);
}

/* One character behind one's own last. */
static void type_key(struct person *p)
{
    uint64_t id = client_id(p->document, p->index);
    uint8_t key = (uint8_t)('a' + p->typed % 26);

    ml_writer_reset(&update);
    ml_write_varuint(&update, 1);
    ml_write_varuint(&update, 1);
    ml_write_varuint(&update, id);
    ml_write_varuint(&update, p->typed);
    if (p->typed) {
        ml_write_u8(&update, 0x84);
        ml_write_varuint(&update, id);
        ml_write_varuint(&update, p->typed - 1);
    } else {
        ml_write_u8(&update, 0x04);
        ml_write_varuint(&update, 1);
        ml_write_varbytes(&update, ml_slice_make(ROOT, strlen(ROOT)));
    }
    ml_write_varbytes(&update, ml_slice_make(&key, 1));
    ml_write_varuint(&update, 0);
    note_typed(p, 1);
    if (measuring)
        counts.typed++;
    send_update(p);
}

/* Structs of text that stands there before, each before the last: runs that never become one. */
static void write_fill(struct ml_writer *w, uint64_t id, uint32_t clock, unsigned structs)
{
    char text[FILL_STRUCT_UNITS];

    memset(text, 'f', sizeof(text));
    ml_write_varuint(w, 1);
    ml_write_varuint(w, structs);
    ml_write_varuint(w, id);
    ml_write_varuint(w, clock);
    for (unsigned n = 0; n < structs; n++, clock += FILL_STRUCT_UNITS) {
        if (clock) {
            ml_write_u8(w, 0x44);
            ml_write_varuint(w, id);
            ml_write_varuint(w, clock - FILL_STRUCT_UNITS);
        } else {
            ml_write_u8(w, 0x04);
            ml_write_varuint(w, 1);
            ml_write_varbytes(w, ml_slice_make(ROOT, strlen(ROOT)));
        }
        ml_write_varbytes(w, ml_slice_make(text, sizeof(text)));
    }
    ml_write_varuint(w, 0);
}

static void fill(struct person *p, unsigned structs)
{
    ml_writer_reset(&update);
    write_fill(&update, client_id(p->document, p->index), p->typed, structs);
    note_typed(p, structs * FILL_STRUCT_UNITS);
    send_update(p);
}

static void move_cursor(struct person *p)
{
    char json[256];
    uint64_t id = client_id(p->document, p->index);
    uint32_t at = p->typed ? (p->awareness_clock * 7919u) % p->typed : 0;
    int n = snprintf(
        json, sizeof(json),
        "{\"user\":{\"name\":\"Writer "
        "%u\",\"color\":\"#30bced\"},\"cursor\":{\"anchor\":{\"type\":null,\"tname\":\"t\","
        "\"item\":{\"client\":%llu,\"clock\":%u},\"assoc\":0},\"head\":{\"type\":null,\"tname\":"
        "\"t\","
        "\"item\":{\"client\":%llu,\"clock\":%u},\"assoc\":0}}}",
        p->index, (unsigned long long)id, at, (unsigned long long)id, at);

    ml_writer_reset(&update);
    ml_write_varuint(&update, 1);
    ml_write_varuint(&update, id);
    ml_write_varuint(&update, ++p->awareness_clock);
    ml_write_varbytes(&update, ml_slice_make(json, (size_t)n));
    speech_awareness(&message, dialect, name_of(p), ml_writer_slice(&update));
    say(p);
    if (measuring)
        counts.cursors_sent++;
}

/* ---- Hearing
 * ------------------------------------------------------------------------------------- */

/* Units [clock, clock + len) of a writer have come. */
static void hear_units(struct person *p, unsigned writer, uint64_t clock, uint64_t len,
                       uint64_t now)
{
    struct document *d = p->document;
    uint64_t end = clock + len;
    bool own = !p->is_reader && writer == p->index;

    if (end <= p->next[writer]) {
        counts.doubled += measuring && !own;
        return;
    }
    if (clock > p->next[writer] &&
        !(own && dialect == DIALECT_HOCUSPOCUS)) /* which needs no echo */
        counts.gaps += clock - p->next[writer];
    for (uint64_t at = clock > p->next[writer] ? clock : p->next[writer]; at < end; at++) {
        if (!measuring || p->is_reader || at >= d->people[writer].typed)
            continue;
        if (!own) {
            counts.delivered++;
            histogram_add(&delivery, now - d->typed_at[writer][at]);
        } else if (dialect == DIALECT_YWEBSOCKET) {
            histogram_add(&ack, now - d->typed_at[writer][at]);
        }
    }
    p->next[writer] = (uint32_t)end;
    if (own && dialect == DIALECT_YWEBSOCKET)
        p->saved = (uint32_t)end;
    /* the neighbour has it: the next key */
    if (measuring && plan.rate <= 0 && plan.kind == KIND_TYPE && !p->is_reader &&
        p->index == (writer + 1) % plan.clients && end == d->people[writer].typed)
        d->people[writer].due_ns = now;
}

static void hear_update(struct person *p, struct ml_slice bytes)
{
    const struct ml_update *u;
    struct ml_edit_cursor cursor = {0};
    struct ml_edit edit;
    uint64_t now = now_ns(), first = client_id(p->document, 0);

    if (ml_update_decode(&arena, bytes, NULL, NULL, &u))
        die("the server sent an update that is none");
    while (ml_update_next_edit(u, &cursor, &edit)) {
        if (edit.client < first || edit.client >= first + plan.writers)
            die("an edit by nobody");
        hear_units(p, (unsigned)(edit.client - first), edit.clock, edit.len, now);
    }
    ml_arena_reset(&arena);
}

static void hear_saved(struct person *p)
{
    uint32_t clock;

    if (!p->unsaved_count)
        die("a SyncStatus too many");
    clock = p->unsaved[p->unsaved_first++];
    p->unsaved_count--;
    if (measuring && clock > p->saved)
        histogram_add(&ack, now_ns() - p->document->typed_at[p->index][clock - 1]);
    p->saved = clock;
}

static void begin_sync(struct person *p)
{
    unsigned known = 0;

    ml_writer_reset(&update);
    for (unsigned n = 0; n < plan.writers; n++)
        known += p->next[n] > 0;
    ml_write_varuint(&update, known);
    for (unsigned n = plan.writers; n-- > 0;) {
        if (p->next[n]) {
            ml_write_varuint(&update, client_id(p->document, n));
            ml_write_varuint(&update, p->next[n]);
        }
    }
    speech_step1(&message, dialect, name_of(p), ml_writer_slice(&update));
    say(p);
}

/* What the server lacks of what this person has: everything that was filled in, or nothing. */
static struct ml_slice lacking(const struct person *p, struct ml_slice state_vector)
{
    static const uint8_t NOTHING[] = {0, 0};
    const struct document *d = p->document;
    struct ml_reader r = ml_reader_make(state_vector);
    uint64_t count, id, clock, known = 0;

    if (ml_read_varuint(&r, &count))
        count = 0;
    while (count--) {
        if (ml_read_varuint(&r, &id) || ml_read_varuint(&r, &clock))
            die("the server sent a state vector that is none");
        if (id == client_id(d, 0))
            known = clock;
    }
    return known < d->text_units && p->next[0] >= d->text_units ? ml_writer_slice(&d->text)
                                                                : ml_slice_make(NOTHING, 2);
}

static void on_open(struct socket *s)
{
    struct person *p = (struct person *)(void *)s;

    if (dialect == DIALECT_HOCUSPOCUS) {
        speech_auth(&message, name_of(p));
        say(p);
    } else {
        begin_sync(p);
    }
}

static void on_message(struct socket *s, struct ml_slice bytes)
{
    static const uint8_t PONG[] = {10};
    struct person *p = (struct person *)(void *)s;
    struct heard heard = speech_hear(dialect, bytes);

    switch (heard.kind) {
    case HEARD_STEP1:
        speech_step2(&message, dialect, name_of(p), lacking(p, heard.bytes));
        say(p);
        expect_saved(p);
        break;
    case HEARD_STEP2:
        hear_update(p, heard.bytes);
        if (!p->synced) {
            p->synced = true;
            synced_count++;
            histogram_add(&joining, now_ns() - p->began_ns);
        }
        break;
    case HEARD_UPDATE:
        hear_update(p, heard.bytes);
        break;
    case HEARD_AWARENESS:
        counts.cursors_heard += measuring;
        break;
    case HEARD_AUTHENTICATED:
        begin_sync(p);
        break;
    case HEARD_SAVED:
        hear_saved(p);
        break;
    case HEARD_DENIED:
        counts.denied++;
        break;
    case HEARD_PING:
        socket_send(&sockets, s, ml_slice_make(PONG, 1));
        break;
    case HEARD_NOTHING:
        break;
    }
}

static void on_close(struct socket *s)
{
    struct person *p = (struct person *)(void *)s;

    fprintf(stderr, "load: %s, person %u: closed by the server, code %u\n", p->document->name,
            p->index, s->close_code);
    lost_sockets++;
    if (lost_sockets > 20)
        die("too many connections lost");
}

/* ---- The course of a scenario
 * ---------------------------------------------------------------------- */

static void join(struct person *p)
{
    p->synced = false;
    p->began_ns = now_ns();
    p->unsaved_first = p->unsaved_count = 0;
    sockets_connect(&sockets, &p->socket, p->document->path);
}

static void leave(struct person *p)
{
    if (p->synced)
        synced_count--;
    p->synced = false;
    socket_drop(&p->socket);
}

static void make_documents(void)
{
    documents = need(calloc(plan.docs, sizeof(*documents)));
    for (unsigned n = 0; n < plan.docs; n++) {
        struct document *d = &documents[n];

        snprintf(d->name, sizeof(d->name), "load-%s-%u", plan.name, n);
        if (dialect == DIALECT_HOCUSPOCUS)
            snprintf(d->path, sizeof(d->path), "%s", *prefix ? prefix : "/");
        else
            snprintf(d->path, sizeof(d->path), "%s/%s", prefix, d->name);
        d->people = need(calloc(plan.clients, sizeof(*d->people)));
        d->typed_at = need(calloc(plan.writers, sizeof(*d->typed_at)));
        d->typed_cap = need(calloc(plan.writers, sizeof(*d->typed_cap)));
        for (unsigned i = 0; i < plan.clients; i++) {
            d->people[i].document = d;
            d->people[i].index = i;
            d->people[i].next = need(calloc(plan.writers, sizeof(uint32_t)));
        }
    }
}

/* All people join, some at a time; ends when all are synced. */
static void join_all(void)
{
    unsigned total = plan.docs * plan.clients, begun = 0;
    uint64_t end = now_ns() + (60 + total / 200) * 1000000000ull;

    while (synced_count < total) {
        while (begun < total && begun - synced_count < CONNECTING_MAX) {
            /* one of each document first: as in life, documents are not opened one after another */
            join(&documents[begun % plan.docs].people[begun / plan.docs]);
            begun++;
        }
        sockets_turn(&sockets, 10);
        if (now_ns() > end)
            die("not everybody was let in");
    }
}

static void idle_for(double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

    while (now_ns() < end)
        sockets_turn(&sockets, 5);
}

static uint64_t units_missing(void)
{
    uint64_t missing = 0;

    for (unsigned n = 0; n < plan.docs; n++)
        for (unsigned i = 0; i < plan.clients; i++)
            for (unsigned w = 0; w < plan.writers; w++) {
                const struct document *d = &documents[n];
                bool own = w == i;
                uint32_t have = own ? d->people[i].saved : d->people[i].next[w];

                missing += d->people[w].typed > have ? d->people[w].typed - have : 0;
            }
    return missing;
}

/* Until everybody has everything, and every writer's words are saved. */
static uint64_t settle(void)
{
    uint64_t end = now_ns() + SETTLE_S * 1000000000ull, missing;

    do {
        sockets_turn(&sockets, 2);
        missing = units_missing();
    } while (missing && now_ns() < end);
    return missing;
}

static void fill_documents(void)
{
    unsigned structs = plan.fill_kb * 1024 / FILL_STRUCT_UNITS;

    for (unsigned done = 0; done < structs; done += FILL_STRUCTS) {
        for (unsigned n = 0; n < plan.docs; n++)
            fill(&documents[n].people[0],
                 structs - done < FILL_STRUCTS ? structs - done : FILL_STRUCTS);
        sockets_turn(&sockets, 1);
    }
    for (unsigned n = 0; n < plan.docs; n++) {
        struct document *d = &documents[n];

        d->text_units = structs * FILL_STRUCT_UNITS;
        ml_writer_init(&d->text, 64u << 20);
        write_fill(&d->text, client_id(d, 0), 0, structs);
    }
    if (settle())
        die("the text to begin with did not reach everybody");
    for (unsigned n = 0; n < plan.docs; n++)
        documents[n].people[0].next[0] = documents[n].text_units; /* its own, echoed or not */
}

static void type_for(unsigned seconds)
{
    uint64_t start = now_ns(), end = start + seconds * 1000000000ull, now, wake;
    uint64_t step = plan.rate > 0 ? (uint64_t)(1e9 / plan.rate) : 0;
    uint64_t cursor_step = plan.cursors > 0 ? (uint64_t)(1e9 / plan.cursors) : 0;
    unsigned writers = plan.docs * plan.writers;

    for (unsigned n = 0; n < writers; n++) {
        struct person *p = &documents[n % plan.docs].people[n / plan.docs];

        p->due_ns = start + (step ? step * n / writers : 0);
        p->cursor_due_ns = cursor_step ? start + cursor_step * n / writers : UINT64_MAX;
    }
    while ((now = now_ns()) < end) {
        wake = end;
        for (unsigned n = 0; n < writers; n++) {
            struct person *p = &documents[n % plan.docs].people[n / plan.docs];

            if (now >= p->due_ns) {
                type_key(p);
                p->due_ns = step ? p->due_ns + step : UINT64_MAX;
            }
            if (now >= p->cursor_due_ns) {
                move_cursor(p);
                p->cursor_due_ns += cursor_step;
            }
            wake = p->due_ns < wake ? p->due_ns : wake;
            wake = p->cursor_due_ns < wake ? p->cursor_due_ns : wake;
        }
        now = now_ns();
        sockets_turn(&sockets, wake > now ? (int)((wake - now + 999999) / 1000000) : 0);
    }
}

/* A person who was not there before reads everything. */
static uint64_t read_again(void)
{
    struct person *readers = need(calloc(plan.docs, sizeof(*readers)));
    unsigned before = synced_count, begun = 0;
    uint64_t missing = 0, end = now_ns() + 60 * 1000000000ull;

    while (synced_count < before + plan.docs && now_ns() < end) {
        while (begun < plan.docs && begun - (synced_count - before) < CONNECTING_MAX) {
            readers[begun].document = &documents[begun];
            readers[begun].index = UINT32_MAX;
            readers[begun].is_reader = true;
            readers[begun].next = need(calloc(plan.writers, sizeof(uint32_t)));
            join(&readers[begun++]);
        }
        sockets_turn(&sockets, 10);
    }
    for (unsigned n = 0; n < begun; n++) {
        for (unsigned w = 0; w < plan.writers; w++)
            missing += documents[n].people[w].typed - readers[n].next[w];
        socket_drop(&readers[n].socket);
        free(readers[n].next);
        free(readers[n].unsaved);
    }
    free(readers);
    return missing;
}

static void join_for(unsigned seconds)
{
    struct person *all = need(calloc(JOINERS, sizeof(*all)));
    uint64_t step = (uint64_t)(1e9 / plan.joins), now = now_ns(),
             end = now + seconds * 1000000000ull, due = now;

    for (unsigned n = 0; n < JOINERS; n++)
        all[n] = (struct person){.document = &documents[n % plan.docs],
                                 .index = UINT32_MAX,
                                 .is_reader = true,
                                 .next = need(calloc(plan.writers, sizeof(uint32_t)))};
    memset(&joining, 0, sizeof(joining));
    for (unsigned waiting = 0; now < end || waiting; now = now_ns()) {
        if (now > end + SETTLE_S * 1000000000ull)
            die("a joiner was never served");
        waiting = 0;
        for (unsigned n = 0; n < JOINERS; n++) {
            struct person *p = &all[n];

            if (p->synced) {
                for (unsigned w = 0; w < plan.writers; w++)
                    counts.gaps += p->document->people[w].typed - p->next[w];
                counts.joins++;
                leave(p);
                memset(p->next, 0, plan.writers * sizeof(uint32_t));
            } else if (p->socket.state == SOCKET_NONE && now >= due && now < end) {
                due += step;
                join(p);
            }
            waiting += p->socket.state != SOCKET_NONE;
        }
        sockets_turn(&sockets, 2);
    }
    for (unsigned n = 0; n < JOINERS; n++) {
        free(all[n].next);
        free(all[n].unsaved);
    }
    free(all);
}

/* Everybody is cut off and comes back at once with what they have. */
static void storm(unsigned rounds)
{
    memset(&joining, 0, sizeof(joining));
    for (unsigned n = 0; n < rounds; n++) {
        for (unsigned i = 0; i < plan.docs * plan.clients; i++)
            leave(&documents[i % plan.docs].people[i / plan.docs]);
        join_all();
        counts.joins += plan.docs * plan.clients;
    }
}

static const struct scenario *find(const char *name)
{
    for (size_t n = 0; n < sizeof(SCENARIOS) / sizeof(*SCENARIOS); n++)
        if (!strcmp(SCENARIOS[n].name, name))
            return &SCENARIOS[n];
    fprintf(stderr, "load: no scenario %s; there are:", name);
    for (size_t n = 0; n < sizeof(SCENARIOS) / sizeof(*SCENARIOS); n++)
        fprintf(stderr, " %s", SCENARIOS[n].name);
    fprintf(stderr, "\n");
    exit(2);
}

static double number(const char *flag, const char *text)
{
    char *end;
    double value = text ? strtod(text, &end) : 0;

    if (!text || *end || value < 0) {
        fprintf(stderr, "load: %s needs a number\n", flag);
        exit(2);
    }
    return value;
}

static void parse(int argc, char **argv, uint16_t *port, pid_t *pid)
{
    if (argc < 2) {
        fprintf(stderr, "usage: load SCENARIO --port N --pid N [--dialect ywebsocket|hocuspocus] "
                        "[--prefix PATH]\n"
                        "            [--seconds N] [--docs N] [--clients N] [--writers N] [--rate "
                        "N] [--cursors N]\n");
        exit(2);
    }
    plan = *find(argv[1]);
    for (int i = 2; i < argc; i += 2) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (!strcmp(flag, "--dialect") && value && !strcmp(value, "hocuspocus"))
            dialect = DIALECT_HOCUSPOCUS;
        else if (!strcmp(flag, "--dialect") && value && !strcmp(value, "ywebsocket"))
            dialect = DIALECT_YWEBSOCKET;
        else if (!strcmp(flag, "--prefix") && value)
            prefix = value;
        else if (!strcmp(flag, "--port"))
            *port = (uint16_t)number(flag, value);
        else if (!strcmp(flag, "--pid"))
            *pid = (pid_t)number(flag, value);
        else if (!strcmp(flag, "--seconds"))
            plan.seconds = (unsigned)number(flag, value);
        else if (!strcmp(flag, "--docs"))
            plan.docs = (unsigned)number(flag, value);
        else if (!strcmp(flag, "--clients"))
            plan.clients = (unsigned)number(flag, value);
        else if (!strcmp(flag, "--writers"))
            plan.writers = (unsigned)number(flag, value);
        else if (!strcmp(flag, "--rate"))
            plan.rate = number(flag, value);
        else if (!strcmp(flag, "--cursors"))
            plan.cursors = number(flag, value);
        else {
            fprintf(stderr, "load: what is %s?\n", flag);
            exit(2);
        }
    }
    if (!*port || !*pid || !plan.docs || !plan.writers || plan.writers > plan.clients) {
        fprintf(stderr,
                "load: needs --port and --pid, a document, and a writer among its clients\n");
        exit(2);
    }
    if (!prefix)
        prefix = dialect == DIALECT_HOCUSPOCUS ? "/collab/default" : "/sync/default";
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    pid_t pid = 0;
    uint64_t missing = 0, unread, began;
    double cpu, wall;
    unsigned long rss_before, rss_after;
    struct rlimit files;

    parse(argc, argv, &port, &pid);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ml_arena_init(&arena, 64u << 20);
    ml_writer_init(&message, 64u << 20);
    ml_writer_init(&update, 64u << 20);
    sockets = (struct sockets){.host_header = "127.0.0.1",
                               .on_open = on_open,
                               .on_message = on_message,
                               .on_close = on_close};
    sockets_open(&sockets, "127.0.0.1", port);
    make_documents();

    rss_before = resident_kb(pid, "VmRSS");
    join_all();
    if (plan.kind == KIND_JOIN || plan.kind == KIND_STORM)
        fill_documents();
    idle_for(plan.kind == KIND_IDLE ? plan.seconds : 1);
    rss_after = resident_kb(pid, "VmRSS");

    measuring = true;
    cpu = cpu_seconds(pid);
    began = now_ns();
    if (plan.kind == KIND_TYPE) {
        type_for(plan.seconds);
        missing = settle();
    } else if (plan.kind == KIND_JOIN) {
        join_for(plan.seconds);
    } else if (plan.kind == KIND_STORM) {
        storm(plan.seconds);
    }
    cpu = cpu_seconds(pid) - cpu;
    wall = (double)(now_ns() - began) / 1e9;
    measuring = false;
    unread = read_again();

    printf("{\"scenario\":\"%s\",\"dialect\":\"%s\",\"connections\":%u,\"seconds\":%.2f,\"cpu_"
           "seconds\":%.3f,"
           "\"typed\":%llu,\"delivered\":%llu,\"joins\":%llu,\"cursors_sent\":%llu,\"cursors_"
           "heard\":%llu,"
           "\"delivery_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f},\"ack_ms\":{\"p50\":%.2f,"
           "\"p99\":%.2f,\"p999\":%.2f},"
           "\"join_ms\":{\"p50\":%.2f,\"p99\":%.2f},"
           "\"rss_kb\":{\"before\":%lu,\"joined\":%lu,\"end\":%lu},"
           "\"missing\":%llu,\"unread\":%llu,\"gaps\":%llu,\"doubled\":%llu,\"denied\":%llu,\"lost_"
           "sockets\":%u}\n",
           plan.name, dialect == DIALECT_HOCUSPOCUS ? "hocuspocus" : "ywebsocket",
           plan.docs * plan.clients, wall, cpu, (unsigned long long)counts.typed,
           (unsigned long long)counts.delivered, (unsigned long long)counts.joins,
           (unsigned long long)counts.cursors_sent, (unsigned long long)counts.cursors_heard,
           histogram_ms(&delivery, 0.5), histogram_ms(&delivery, 0.99),
           histogram_ms(&delivery, 0.999), histogram_ms(&ack, 0.5), histogram_ms(&ack, 0.99),
           histogram_ms(&ack, 0.999), histogram_ms(&joining, 0.5), histogram_ms(&joining, 0.99),
           rss_before, rss_after, resident_kb(pid, "VmRSS"), (unsigned long long)missing,
           (unsigned long long)unread, (unsigned long long)counts.gaps,
           (unsigned long long)counts.doubled, (unsigned long long)counts.denied, lost_sockets);
    return missing || unread || counts.gaps || counts.denied || lost_sockets ? 1 : 0;
}
