/* SPDX-License-Identifier: MIT */
/*
 * /metrics, as Prometheus reads it: one table of names and where the number stands. Labels are
 * fixed words and numbers of this table; nothing that a client chose becomes one, and no document
 * or user is named.
 *
 * What plugins did stands behind it, by instance and hook: metrics_plugins.c.
 *
 * Each loop counts for itself in plain fields; once a second it leaves a copy with what the loops
 * share, and whoever is asked adds the copies up.
 *
 * Answered to this machine only, and not to a proxy on it (SEC-OP-02).
 */
#include "net/metrics.h"

#include "net/visitor.h"

#include "base/assert.h"
#include "net/session.h"

#include <arpa/inet.h>
#include <inttypes.h>

#define PUBLISH_MS 1000

/* Everything a row can stand for. */
struct sum {
    struct ml_figures of;
    struct ml_journal_stats journal;
};

enum type { COUNTER, GAUGE, HISTOGRAM };

static const struct metric {
    const char *name, *labels; /* labels: in braces, or "" */
    enum type type;
    const char *help; /* NULL: as the row before, with other labels */
    size_t at;        /* uint64_t, or struct ml_histogram, in struct sum */
} metrics[] = {
#define NET(field)     offsetof(struct sum, of.net.field)
#define ROOMS(field)   offsetof(struct sum, of.rooms.field)
#define SCRIPT(field)  offsetof(struct sum, of.script.field)
#define JOURNAL(field) offsetof(struct sum, journal.field)
#define CLOSED(why)    offsetof(struct sum, of.net.closed[why])
    {"connections_accepted_total", "", COUNTER, "Connections taken", NET(accepted)},
    {"connections_refused_total", "", COUNTER, "Connections turned away", NET(refused)},
    {"http_requests_total", "", COUNTER, "HTTP requests", NET(requests)},
    {"http_answers_total", "{status=\"2xx\"}", COUNTER, "HTTP answers", NET(answers[2])},
    {"http_answers_total", "{status=\"3xx\"}", COUNTER, NULL, NET(answers[3])},
    {"http_answers_total", "{status=\"4xx\"}", COUNTER, NULL, NET(answers[4])},
    {"http_answers_total", "{status=\"5xx\"}", COUNTER, NULL, NET(answers[5])},
    {"api_calls", "", GAUGE, "API requests being worked on", offsetof(struct sum, of.calls)},
    {"sessions", "", GAUGE, "Sockets connected", NET(sessions)},
    {"session_ends_total", "{reason=\"shutdown\"}", COUNTER, "Sessions closed by the server",
     CLOSED(ML_CLOSE_SHUTDOWN)},
    {"session_ends_total", "{reason=\"too_big\"}", COUNTER, NULL, CLOSED(ML_CLOSE_TOO_BIG)},
    {"session_ends_total", "{reason=\"internal\"}", COUNTER, NULL, CLOSED(ML_CLOSE_INTERNAL)},
    {"session_ends_total", "{reason=\"try_later\"}", COUNTER, NULL, CLOSED(ML_CLOSE_TRY_LATER)},
    {"session_ends_total", "{reason=\"malformed\"}", COUNTER, NULL, CLOSED(ML_CLOSE_MALFORMED)},
    {"session_ends_total", "{reason=\"unauthenticated\"}", COUNTER, NULL,
     CLOSED(ML_CLOSE_UNAUTHENTICATED)},
    {"session_ends_total", "{reason=\"forbidden\"}", COUNTER, NULL, CLOSED(ML_CLOSE_FORBIDDEN)},
    {"session_ends_total", "{reason=\"deleted\"}", COUNTER, NULL, CLOSED(ML_CLOSE_DELETED)},
    {"session_ends_total", "{reason=\"auth_timeout\"}", COUNTER, NULL,
     CLOSED(ML_CLOSE_AUTH_TIMEOUT)},
    {"session_ends_total", "{reason=\"document_too_large\"}", COUNTER, NULL,
     CLOSED(ML_CLOSE_DOCUMENT_TOO_LARGE)},
    {"session_ends_total", "{reason=\"rate\"}", COUNTER, NULL, CLOSED(ML_CLOSE_RATE)},
    {"session_ends_total", "{reason=\"too_slow\"}", COUNTER, NULL, CLOSED(ML_CLOSE_TOO_SLOW)},
    {"messages_received_total", "", COUNTER, "WebSocket messages", NET(messages_in)},
    {"frames_sent_total", "", COUNTER, "WebSocket frames", NET(frames_out)},
    {"socket_writes_total", "", COUNTER, "Writes to sockets", NET(writes)},
    {"sent_bytes_total", "", COUNTER, "Bytes written to WebSockets", NET(bytes_out)},
    {"outbox_bytes", "", GAUGE, "Waiting for slow receivers",
     offsetof(struct sum, of.outbox_bytes)},
    {"presence_dropped_total", "", COUNTER, "Cursor frames dropped for slow receivers",
     NET(presence_dropped)},
    {"updates_merged_total", "", COUNTER, "Updates merged for slow receivers", NET(updates_merged)},
    {"rooms", "", GAUGE, "Documents in memory", ROOMS(rooms)},
    {"rooms_resting", "", GAUGE, "Of them, as bytes", ROOMS(resting_rooms)},
    {"rooms_held", "", GAUGE, "Of them, that cannot commit now", ROOMS(held_rooms)},
    {"rooms_memory_bytes", "", GAUGE, "Memory of all rooms", ROOMS(memory_bytes)},
    {"members", "", GAUGE, "Seats taken", ROOMS(members)},
    {"staged_bytes", "", GAUGE, "Integrated and not committed", ROOMS(staged_bytes)},
    {"room_loads_total", "", COUNTER, "Documents loaded", ROOMS(loads)},
    {"room_evictions_total", "", COUNTER, "Rooms gone before their time", ROOMS(evicted)},
    {"joins_refused_total", "", COUNTER, "Seats that could not be given", ROOMS(joins_refused)},
    {"updates_total", "", COUNTER, "Updates integrated", ROOMS(updates)},
    {"updates_refused_total", "", COUNTER, "Updates that a policy refused", ROOMS(refused)},
    {"updates_foreign_total", "", COUNTER, "Updates refused for edits of somebody else",
     ROOMS(foreign)},
    {"updates_relayed_total", "", COUNTER, "Updates taken with edits of somebody else",
     ROOMS(relayed)},
    {"snapshots_total", "", COUNTER, "Snapshots stored", ROOMS(snapshots)},
    {"snapshot_errors_total", "", COUNTER, "Snapshots that failed", ROOMS(snapshot_errors)},
    {"acknowledge_seconds", "", HISTOGRAM, "From an edit taken to its acknowledgement",
     ROOMS(commit_took)},
    {"journal_commits_total", "", COUNTER, "Transactions", JOURNAL(commits)},
    {"journal_records_total", "", COUNTER, "Records written", JOURNAL(rows)},
    {"journal_bytes_total", "", COUNTER, "Bytes of records written", JOURNAL(bytes)},
    {"journal_errors_total", "", COUNTER, "Transactions that failed", JOURNAL(errors)},
    {"journal_waiting_bytes", "", GAUGE, "Asked for and not answered", JOURNAL(waiting_bytes)},
    {"commit_seconds", "", HISTOGRAM, "A transaction of the journal, sync included",
     JOURNAL(commit_took)},
    {"bus_told_total", "", COUNTER, "News given to the bus", ROOMS(bus_told)},
    {"bus_heard_total", "", COUNTER, "News of other nodes", ROOMS(bus_heard)},
    {"bus_dropped_total", "", COUNTER, "News that the bus did not take", ROOMS(bus_dropped)},
    {"bus_forged_total", "", COUNTER, "News that no node of ours made", ROOMS(bus_forged)},
    {"bus_reconnects_total", "", COUNTER, "Connections to the bus lost", ROOMS(bus_reconnects)},
    {"bus_unhealthy", "", GAUGE, "Loops whose bus is silent", ROOMS(buses_sick)},
    {"records_of_others_total", "", COUNTER, "Records of other nodes taken", ROOMS(from_others)},
    {"holes_read_total", "", COUNTER, "Times missing records were read", ROOMS(holes)},
    {"head_checks_total", "", COUNTER, "Questions for the heads of open documents", ROOMS(looks)},
    {"hook_calls_total", "", COUNTER, "Hooks of plugins called", SCRIPT(calls)},
    {"hook_denials_total", "", COUNTER, "Hooks that said no", SCRIPT(denials)},
    {"hook_errors_total", "{kind=\"error\"}", COUNTER, "Hooks that failed", SCRIPT(errors)},
    {"hook_errors_total", "{kind=\"timeout\"}", COUNTER, NULL, SCRIPT(timeouts)},
    {"hook_errors_total", "{kind=\"memory\"}", COUNTER, NULL, SCRIPT(memory_faults)},
    {"plugin_memory_bytes", "", GAUGE, "Memory of the Lua states", SCRIPT(memory_bytes)},
    {"hook_seconds", "", HISTOGRAM, "One handler of one hook", SCRIPT(hook_took)},
};

/* ---- copies ---------------------------------------------------------------------------------- */

static void gather(struct ml_net *net, struct ml_figures *out)
{
    *out = (struct ml_figures){.calls = net->calls};
    ml_net_stats(net, &out->net);
    ml_rooms_stats(net->env.rooms, &out->rooms);
    if (net->env.cells)
        ml_cells_stats(net->env.cells, &out->script);
    else if (net->env.script)
        ml_script_stats(net->env.script, &out->script);
    ML_LIST_EACH(node, &net->sessions)
    out->outbox_bytes += ML_CONTAINER(node, struct ml_session, node)->outbox.bytes;
}

static void publish(struct ml_net *net)
{
    struct ml_figures mine;

    gather(net, &mine);
    net->published_ms = ml_net_now(net);
    ML_ASSERT(pthread_mutex_lock(&net->shared->mutex) == 0);
    net->shared->figures[net->env.loop_number] = mine;
    ML_ASSERT(pthread_mutex_unlock(&net->shared->mutex) == 0);
    ml_metrics_publish_plugins(net);
}

void ml_metrics_tick(struct ml_net *net)
{
    if (ml_net_now(net) - net->published_ms >= PUBLISH_MS)
        publish(net);
}

/* Every field of the figures is a count: numbers add up, ceilings of histograms, too. */
static void add_up(struct ml_figures *into, const struct ml_figures *from)
{
    _Static_assert(sizeof *into % sizeof(uint64_t) == 0, "nothing but 64-bit counts");
    uint64_t a[sizeof *into / sizeof(uint64_t)], b[sizeof *into / sizeof(uint64_t)];

    memcpy(a, into, sizeof a);
    memcpy(b, from, sizeof b);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        a[i] += b[i];
    memcpy(into, a, sizeof a);
}

static void take_sum(struct ml_net *net, struct sum *out)
{
    *out = (struct sum){0};
    publish(net);
    ML_ASSERT(pthread_mutex_lock(&net->shared->mutex) == 0);
    for (size_t i = 0; i < ML_LOOPS_MAX; i++)
        add_up(&out->of, &net->shared->figures[i]);
    ML_ASSERT(pthread_mutex_unlock(&net->shared->mutex) == 0);
    ml_journal_stats(net->env.journal, &out->journal);
}

bool ml_metrics_bus_is_sick(struct ml_net *net)
{
    uint64_t sick = 0;

    ML_ASSERT(pthread_mutex_lock(&net->shared->mutex) == 0);
    for (size_t i = 0; i < ML_LOOPS_MAX; i++)
        sick += net->shared->figures[i].rooms.buses_sick;
    ML_ASSERT(pthread_mutex_unlock(&net->shared->mutex) == 0);
    return sick > 0;
}

/* ---- the page -------------------------------------------------------------------------------- */

static void write_histogram(struct ml_writer *out, const char *name,
                            const struct ml_histogram *histogram)
{
    uint64_t count = 0;

    for (int i = 0; i < ML_HISTOGRAM_CEILINGS; i++) {
        count += histogram->counts[i];
        ml_http_print(out, "moonloom_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                      (double)ml_histogram_ceilings_us[i] / 1e6, count);
    }
    count += histogram->counts[ML_HISTOGRAM_CEILINGS];
    ml_http_print(out, "moonloom_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    ml_http_print(out, "moonloom_%s_sum %.6f\n", name, (double)histogram->sum_us / 1e6);
    ml_http_print(out, "moonloom_%s_count %" PRIu64 "\n", name, count);
}

static void write_metric(struct ml_writer *out, const struct metric *metric, const struct sum *sum)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const uint8_t *at = (const uint8_t *)sum + metric->at;
    struct ml_histogram histogram;
    uint64_t value;

    if (metric->help)
        ml_http_print(out, "# HELP moonloom_%s %s.\n# TYPE moonloom_%s %s\n", metric->name,
                      metric->help, metric->name, types[metric->type]);
    if (metric->type == HISTOGRAM) {
        memcpy(&histogram, at, sizeof histogram);
        write_histogram(out, metric->name, &histogram);
        return;
    }
    memcpy(&value, at, sizeof value);
    ml_http_print(out, "moonloom_%s%s %" PRIu64 "\n", metric->name, metric->labels, value);
}

void ml_metrics_answer(struct ml_http *http, const struct ml_head *head)
{
    struct ml_writer body;
    struct sum sum;

    if (!ml_visitor_is_this_machine(http, head)) {
        ml_http_answer_error(http, 403, "denied", "Metrics are for this machine only.");
        return;
    }
    take_sum(http->net, &sum);
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        write_metric(&body, &metrics[i], &sum);
    ml_metrics_write_plugins(http->net, &body);
    ml_http_answer(http, 200, "text/plain; version=0.0.4; charset=utf-8",
                   ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY, ml_writer_slice(&body));
    ml_writer_release(&body);
}
