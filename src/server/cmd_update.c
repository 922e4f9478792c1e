/* SPDX-License-Identifier: MIT */
/*
 * `moonloom update`: files of Yjs updates, without a server. Bytes in, bytes out.
 *
 * Everything works on V1: `--format v2` is converted on the way in, `--out v2` on the way out.
 *
 * Memory: never more than 64 MiB + 8 x input. A log is read record by record; what V2 unfolds to
 * and what a document may take are limits made from the size of the input (budget_of), so a small
 * file that claims much ends with an error and not with the machine's memory.
 */
#include "server/cmd_update.h"

#include "engine/engine.h"
#include "server/update_file.h"

#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)
/* What one may take in a document: a struct at most, a delete range if it waits. */
#define STRUCT_BYTES       80
#define DELETE_RANGE_BYTES 24

enum { EXIT_FINE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct options {
    bool log, json;
    enum ml_update_format format, out;
    const char *sv, *root;
    int view; /* enum ml_view, -1: not given */
    char **files;
    int file_count;
};

/* Ceilings for an input of so many bytes. */
struct budget {
    size_t record_bytes;   /* one update as it stands in a file */
    size_t unfolded_bytes; /* the same as V1 */
    size_t output_bytes;
    size_t live_bytes; /* the document, and what waits beside it */
    struct ml_engine_limits limits;
};

enum flags {
    TAKES_LOG = 1,
    TAKES_SV = 2,
    TAKES_JSON = 4,
    TAKES_ROOT = 8,
    TAKES_MANY = 16, /* files */
};

struct command {
    const char *name, *usage;
    unsigned flags;
    int (*run)(const struct options *o, const struct budget *budget);
};

/* Sizes on disk. A gzip file may unfold, but not without end. False: the complaint is printed. */
static bool budget_of(const struct options *o, struct budget *out)
{
    struct budget b;
    size_t input = 0;

    for (int i = 0; i < o->file_count; i++) {
        struct ml_update_file file;

        if (ml_update_file_open(&file, o->files[i], 1))
            return false;
        input += (size_t)file.disk_bytes;
        ml_update_file_close(&file);
    }
    b.record_bytes = 20 * MIB + input;
    b.unfolded_bytes = 12 * MIB + input + input / 2;
    b.output_bytes = 12 * MIB + input * 2;
    b.live_bytes = 46 * MIB + input * 6;
    b.limits = (struct ml_engine_limits){
        .update_bytes = b.record_bytes > b.unfolded_bytes ? b.record_bytes : b.unfolded_bytes,
        .doc_bytes = 40 * MIB + input * 5,
        /* What waits is part of the document's memory here; nothing may be dropped. */
        .pending_bytes = SIZE_MAX / 2,
        .pending_structs = UINT32_MAX,
    };
    *out = b;
    return true;
}

static int write_out(struct ml_slice bytes)
{
    if (bytes.len && fwrite(bytes.ptr, 1, bytes.len, stdout) != bytes.len) {
        perror("moonloom update: standard output");
        return EXIT_BROKEN;
    }
    return EXIT_FINE;
}

/* A result that is not about a byte of a file. */
static int complain(const char *what, enum ml_err err)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "moonloom update: %s: %s\n", what, ml_err_text(err));
    return EXIT_BROKEN;
}

/* ---- Reading updates ------------------------------------------------------------------------- */

/* The updates of all files, one after the other, as V1. */
struct source {
    const struct options *o;
    const struct budget *budget;
    int next_file;
    bool open;
    struct ml_update_file file;
    struct ml_writer unfolded;
    struct ml_arena scratch;
    const char *path;      /* of the update in hand */
    uint64_t start_offset; /* where it begins in that file */
};

static void source_init(struct source *s, const struct options *o, const struct budget *budget)
{
    *s = (struct source){.o = o, .budget = budget};
    ml_writer_init(&s->unfolded, budget->unfolded_bytes);
    ml_arena_init(&s->scratch, budget->unfolded_bytes);
}

static void source_close_file(struct source *s)
{
    if (s->open)
        ml_update_file_close(&s->file);
    s->open = false;
}

static void source_release(struct source *s)
{
    source_close_file(s);
    ml_writer_release(&s->unfolded);
    ml_arena_release(&s->scratch);
}

/* `FILE: byte OFFSET: what` for something in the update in hand. */
static int source_complain(const struct source *s, enum ml_err err, const struct ml_diag *diag)
{
    ml_update_file_complain(s->path, s->start_offset + diag->offset,
                            diag->text[0] ? diag->text : ml_err_text(err));
    return EXIT_BROKEN;
}

/* The next bytes as they stand in a file. */
static enum ml_err next_record(struct source *s, struct ml_slice *out, bool *more)
{
    enum ml_err err;

    for (;;) {
        if (!s->open) {
            *more = s->next_file < s->o->file_count;
            if (!*more)
                return ML_OK;
            s->path = s->o->files[s->next_file++];
            err = ml_update_file_open(&s->file, s->path, s->budget->record_bytes);
            if (err)
                return err;
            s->open = true;
            if (!s->o->log) {
                s->start_offset = 0;
                err = ml_update_file_all(&s->file, out);
                *more = true;
                return err;
            }
        }
        if (!s->o->log) {
            source_close_file(s);
            continue;
        }
        err = ml_update_file_next(&s->file, out, more);
        s->start_offset = s->file.offset - (err || !*more ? 0 : out->len);
        if (err || *more)
            return err;
        source_close_file(s);
    }
}

/* The next update as V1. EXIT_BROKEN: the complaint is printed. */
static int source_next(struct source *s, struct ml_slice *out, bool *more)
{
    struct ml_diag diag = {0};
    enum ml_err err = next_record(s, out, more);

    if (err)
        return EXIT_BROKEN;
    if (!*more || s->o->format == ML_UPDATE_V1)
        return EXIT_FINE;
    ml_writer_reset(&s->unfolded);
    ml_arena_reset(&s->scratch);
    err =
        ml_update_convert(*out, ML_UPDATE_V2, &s->budget->limits, &s->scratch, &s->unfolded, &diag);
    if (err)
        return source_complain(s, err, &diag);
    *out = ml_writer_slice(&s->unfolded);
    return EXIT_FINE;
}

/* The one update of a command that takes one file. */
static int source_only(struct source *s, struct ml_slice *out)
{
    bool more;

    return source_next(s, out, &more);
}

/* ---- Commands -------------------------------------------------------------------------------- */

/* V1 bytes in the format that was asked for. */
static int write_update(struct ml_slice update, const struct options *o,
                        const struct budget *budget)
{
    struct ml_arena scratch;
    struct ml_writer out;
    enum ml_err err;
    int status;

    if (o->out == ML_UPDATE_V1)
        return write_out(update);
    ml_arena_init(&scratch, budget->output_bytes);
    ml_writer_init(&out, budget->output_bytes);
    err = ml_update_convert(update, ML_UPDATE_V1, &budget->limits, &scratch, &out, NULL);
    status = err ? complain("convert", err) : write_out(ml_writer_slice(&out));
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    return status;
}

/*
 * Delete ranges that wait stand beside the document and are not part of its ceiling; a file that
 * fills both must not get both. Beside structs they are there twice while the state is written.
 */
static bool fits(const struct ml_doc *doc, const struct ml_update *update,
                 const struct budget *budget)
{
    const struct ml_update_facts *facts = ml_update_facts(update);
    struct ml_doc_stats stats;
    uint64_t structs, ranges = (uint64_t)facts->delete_ranges * DELETE_RANGE_BYTES;

    ml_doc_stats(doc, &stats);
    if (stats.runs || facts->structs)
        ranges *= 2;
    structs = stats.memory_bytes + (uint64_t)facts->structs * STRUCT_BYTES + facts->inserted_bytes;
    if (structs > budget->limits.doc_bytes)
        structs = budget->limits.doc_bytes;
    return structs + ranges <= budget->live_bytes;
}

static enum ml_err apply(struct ml_doc *doc, struct ml_slice bytes, const struct budget *budget,
                         struct ml_arena *scratch, struct ml_diag *diag)
{
    const struct ml_update *update;
    enum ml_err err;

    ml_arena_reset(scratch);
    err = ml_update_decode(scratch, bytes, &budget->limits, diag, &update);
    if (!err && !fits(doc, update, budget))
        return ml_diag_set(diag, ML_ELIMIT, 0, "too many structs and delete ranges for its size");
    return err ? err : ml_doc_apply_bytes(doc, bytes, diag);
}

/* All updates of all files into a document, as one loads: no share of work per update. */
static int load(struct source *s, struct ml_doc *doc)
{
    struct ml_arena scratch;
    int status;

    ml_arena_init(&scratch, s->budget->unfolded_bytes);
    for (;;) {
        struct ml_diag diag = {0};
        struct ml_slice bytes;
        bool more;
        enum ml_err err;

        status = source_next(s, &bytes, &more);
        if (status || !more)
            break;
        err = apply(doc, bytes, s->budget, &scratch, &diag);
        if (err) {
            status = source_complain(s, err, &diag);
            break;
        }
    }
    ml_arena_release(&scratch);
    return status;
}

/* What a command wants of the document. */
typedef enum ml_err (*encode_fn)(struct ml_doc *doc, const struct options *o,
                                 struct ml_writer *out);

static enum ml_err encode_state(struct ml_doc *doc, const struct options *o, struct ml_writer *out)
{
    struct ml_slice everything = ml_slice_make(NULL, 0);

    return o->out == ML_UPDATE_V2 ? ml_doc_encode_state_v2(doc, everything, out)
                                  : ml_doc_encode_state(doc, everything, out);
}

static enum ml_err encode_root(struct ml_doc *doc, const struct options *o, struct ml_writer *out)
{
    enum ml_view view = o->view < 0 ? ML_VIEW_TEXT : (enum ml_view)o->view;
    enum ml_err err = ml_doc_read(doc, ml_slice_str(o->root), view, out);

    if (!err && (view == ML_VIEW_JSON || view == ML_VIEW_DELTA))
        ml_write_u8(out, '\n');
    return err ? err : out->err;
}

/* Build a document from everything and take something of it. What is left is bytes. */
static int with_document(const struct options *o, const struct budget *budget, encode_fn encode,
                         struct ml_writer *out)
{
    const struct ml_doc_options options = {.limits = &budget->limits};
    struct ml_doc *doc = ml_doc_new(&options);
    struct source source;
    enum ml_err err;
    int status;

    if (!doc)
        return complain("document", ML_ELIMIT);
    source_init(&source, o, budget);
    status = load(&source, doc);
    source_release(&source);
    if (!status) {
        err = encode(doc, o, out);
        status = err ? complain("result", err) : EXIT_FINE;
    }
    ml_doc_free(doc);
    ml_engine_thread_end();
    return status;
}

static int print_document(const struct options *o, const struct budget *budget, encode_fn encode)
{
    struct ml_writer out;
    int status;

    ml_writer_init(&out, budget->output_bytes);
    status = with_document(o, budget, encode, &out);
    if (!status)
        status = write_out(ml_writer_slice(&out));
    ml_writer_release(&out);
    return status;
}

static int run_apply(const struct options *o, const struct budget *budget)
{
    return print_document(o, budget, encode_state);
}

/* Where the updates of a merge stand in one long buffer. */
struct pile {
    struct ml_writer bytes;
    size_t *len;
    size_t count, cap;
};

static enum ml_err pile_add(struct pile *p, struct ml_slice update)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap + p->cap / 2 : 256;
        size_t *len = realloc(p->len, cap * sizeof *len);

        if (!len)
            return ML_ELIMIT;
        p->len = len;
        p->cap = cap;
    }
    p->len[p->count++] = update.len;
    ml_write_bytes(&p->bytes, update);
    return p->bytes.err;
}

/* Checked one by one as they come, so that a complaint can name file and byte. */
static int fill_pile(struct source *s, struct pile *p)
{
    struct ml_writer state_vector;
    int status;

    ml_writer_init(&state_vector, s->budget->output_bytes);
    for (;;) {
        struct ml_diag diag = {0};
        struct ml_slice update;
        bool more;
        enum ml_err err;

        status = source_next(s, &update, &more);
        if (status || !more)
            break;
        ml_writer_reset(&state_vector);
        err = ml_update_state_vector(update, &s->budget->limits, &state_vector, &diag);
        if (!err)
            err = pile_add(p, update);
        if (err) {
            status = source_complain(s, err, &diag);
            break;
        }
    }
    ml_writer_release(&state_vector);
    return status;
}

static int merge_pile(const struct pile *p, const struct options *o, const struct budget *budget)
{
    struct ml_slice *list = malloc((p->count ? p->count : 1) * sizeof *list);
    struct ml_arena scratch;
    struct ml_writer out;
    size_t at = 0;
    enum ml_err err;
    int status;

    if (!list)
        return complain("merge", ML_ELIMIT);
    for (size_t i = 0; i < p->count; at += p->len[i++])
        list[i] = ml_slice_make(p->bytes.ptr + at, p->len[i]);
    ml_arena_init(&scratch, budget->output_bytes);
    ml_writer_init(&out, budget->output_bytes + p->bytes.len);
    err = ml_updates_merge(list, p->count, &budget->limits, &scratch, &out, NULL);
    status = err ? complain("merge", err) : write_update(ml_writer_slice(&out), o, budget);
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    free(list);
    return status;
}

static int run_merge(const struct options *o, const struct budget *budget)
{
    struct source source;
    struct pile pile = {0};
    int status;

    source_init(&source, o, budget);
    ml_writer_init(&pile.bytes, budget->record_bytes + budget->unfolded_bytes);
    status = fill_pile(&source, &pile);
    source_release(&source);
    if (!status)
        status = merge_pile(&pile, o, budget);
    ml_writer_release(&pile.bytes);
    free(pile.len);
    return status;
}

static int run_diff(const struct options *o, const struct budget *budget)
{
    struct ml_update_file sv_file;
    struct source source;
    struct ml_slice state_vector, update;
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_writer out;
    enum ml_err err;
    int status = EXIT_BROKEN;

    if (ml_update_file_open(&sv_file, o->sv, budget->record_bytes))
        return EXIT_BROKEN;
    source_init(&source, o, budget);
    ml_arena_init(&scratch, budget->output_bytes);
    ml_writer_init(&out, budget->output_bytes);
    if (ml_update_file_all(&sv_file, &state_vector))
        goto out;
    err = ml_state_vector_check(state_vector, &diag);
    if (err) {
        ml_update_file_complain(o->sv, diag.offset, diag.text);
        goto out;
    }
    status = source_only(&source, &update);
    if (status)
        goto out;
    err = ml_update_diff(update, state_vector, &budget->limits, &scratch, &out, &diag);
    status =
        err ? source_complain(&source, err, &diag) : write_update(ml_writer_slice(&out), o, budget);
out:
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    source_release(&source);
    ml_update_file_close(&sv_file);
    return status;
}

static int run_sv(const struct options *o, const struct budget *budget)
{
    struct source source;
    struct ml_slice update;
    struct ml_diag diag = {0};
    struct ml_writer out;
    enum ml_err err;
    int status;

    source_init(&source, o, budget);
    ml_writer_init(&out, budget->output_bytes);
    status = source_only(&source, &update);
    if (!status) {
        err = ml_update_state_vector(update, &budget->limits, &out, &diag);
        status = err ? source_complain(&source, err, &diag) : write_out(ml_writer_slice(&out));
    }
    ml_writer_release(&out);
    source_release(&source);
    return status;
}

static int run_convert(const struct options *o, const struct budget *budget)
{
    struct source source;
    struct ml_slice update;
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_writer out;
    enum ml_err err;
    int status;

    source_init(&source, o, budget);
    ml_arena_init(&scratch, budget->output_bytes);
    ml_writer_init(&out, budget->output_bytes);
    status = source_only(&source, &update);
    if (!status) {
        /* V1 that came as V1 has not been looked at yet. */
        err = ml_update_convert(update, ML_UPDATE_V1, &budget->limits, &scratch, &out, &diag);
        if (err)
            status = source_complain(&source, err, &diag);
        else
            status = write_out(o->out == ML_UPDATE_V2 ? ml_writer_slice(&out) : update);
    }
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    source_release(&source);
    return status;
}

static enum ml_err on_lines(void *to, struct ml_slice lines)
{
    int *status = to;

    *status = write_out(lines);
    return *status ? ML_EIO : ML_OK;
}

static int show_updates(struct source *s)
{
    for (;;) {
        struct ml_diag diag = {0};
        struct ml_slice update;
        bool more;
        int status = source_next(s, &update, &more);
        enum ml_err err;

        if (status || !more)
            return status;
        err =
            ml_update_show_lines(update, s->o->json, &s->budget->limits, on_lines, &status, &diag);
        if (status)
            return status; /* standard output failed, which was said */
        if (err)
            return source_complain(s, err, &diag);
    }
}

static int run_show(const struct options *o, const struct budget *budget)
{
    struct source source;
    int status;

    if (o->root)
        return print_document(o, budget, encode_root);
    source_init(&source, o, budget);
    status = show_updates(&source);
    source_release(&source);
    return status;
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static const struct command commands[] = {
    {"apply", "[--log] [--format v1|v2] [--out v1|v2] FILE…", TAKES_LOG | TAKES_MANY, run_apply},
    {"merge", "[--log] [--format v1|v2] [--out v1|v2] FILE…", TAKES_LOG | TAKES_MANY, run_merge},
    {"diff", "--sv FILE [--format v1|v2] [--out v1|v2] FILE", TAKES_SV, run_diff},
    {"sv", "[--format v1|v2] FILE", 0, run_sv},
    {"convert", "[--format v1|v2] [--out v1|v2] FILE", 0, run_convert},
    {"show", "[--log] [--format v1|v2] [--json] [--root NAME --as text|delta|json|xml] FILE…",
     TAKES_LOG | TAKES_JSON | TAKES_ROOT | TAKES_MANY, run_show},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int usage(const struct command *command)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!command || command == &commands[i])
            (void)fprintf(stderr, "usage: moonloom update %s %s\n", commands[i].name,
                          commands[i].usage);
    }
    return EXIT_USAGE;
}

static bool parse_format(const char *text, enum ml_update_format *out)
{
    if (strcmp(text, "v1") == 0)
        *out = ML_UPDATE_V1;
    else if (strcmp(text, "v2") == 0)
        *out = ML_UPDATE_V2;
    else
        return false;
    return true;
}

static bool parse_view(const char *text, int *out)
{
    static const char *const views[] = {[ML_VIEW_TEXT] = "text",
                                        [ML_VIEW_DELTA] = "delta",
                                        [ML_VIEW_JSON] = "json",
                                        [ML_VIEW_XML] = "xml"};

    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        if (strcmp(text, views[i]) == 0) {
            *out = (int)i;
            return true;
        }
    }
    return false;
}

/* The value of `--name value` or `--name=value`; NULL if this argument is not that flag. */
static const char *flag_value(int argc, char **argv, int *i, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) != 0)
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (argv[*i][len] || *i + 1 >= argc)
        return NULL;
    return argv[++*i];
}

/* One flag, perhaps with its value. */
static bool parse_flag(int argc, char **argv, int *i, unsigned takes, struct options *o)
{
    const char *value;

    if (strcmp(argv[*i], "--log") == 0) {
        o->log = true;
        return takes & TAKES_LOG;
    }
    if (strcmp(argv[*i], "--json") == 0) {
        o->json = true;
        return takes & TAKES_JSON;
    }
    value = flag_value(argc, argv, i, "--format");
    if (value)
        return parse_format(value, &o->format);
    value = flag_value(argc, argv, i, "--out");
    if (value)
        return parse_format(value, &o->out);
    value = flag_value(argc, argv, i, "--sv");
    if (value) {
        o->sv = value;
        return takes & TAKES_SV;
    }
    value = flag_value(argc, argv, i, "--root");
    if (value) {
        o->root = value;
        return takes & TAKES_ROOT;
    }
    value = flag_value(argc, argv, i, "--as");
    return value && (takes & TAKES_ROOT) && parse_view(value, &o->view);
}

/* Files are moved to the front of argv. */
static bool parse_options(int argc, char **argv, const struct command *command, struct options *o)
{
    bool flags = true;

    *o = (struct options){.format = ML_UPDATE_V1, .out = ML_UPDATE_V1, .view = -1, .files = argv};
    for (int i = 0; i < argc; i++) {
        if (flags && strcmp(argv[i], "--") == 0) {
            flags = false;
        } else if (flags && argv[i][0] == '-' && argv[i][1]) {
            if (!parse_flag(argc, argv, &i, command->flags, o))
                return false;
        } else {
            o->files[o->file_count++] = argv[i];
        }
    }
    if (o->file_count == 0 || (o->file_count > 1 && !(command->flags & TAKES_MANY)))
        return false;
    if ((command->flags & TAKES_SV) && !o->sv)
        return false;
    return o->view < 0 || o->root;
}

int ml_cmd_update(int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < COMMAND_COUNT; i++) {
        struct options options;
        struct budget budget;
        int status;

        if (strcmp(argv[0], commands[i].name) != 0)
            continue;
        if (!parse_options(argc - 1, argv + 1, &commands[i], &options))
            return usage(&commands[i]);
        if (!budget_of(&options, &budget))
            return EXIT_BROKEN;
        status = commands[i].run(&options, &budget);
        if (fflush(stdout) != 0) {
            perror("moonloom update: standard output");
            status = EXIT_BROKEN;
        }
        return status;
    }
    return usage(NULL);
}
