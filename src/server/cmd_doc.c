/* SPDX-License-Identifier: MIT */
/*
 * `moonloom doc`: documents of a running server, or with --store of a store. A command is a row of
 * the table; options may stand anywhere behind it.
 */
#include "server/cmd_doc.h"

#include "auth/auth.h"
#include "server/documents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_URL "http://127.0.0.1:8080"
#define FILE_MAX    (256u << 20)
#define USAGE       2

struct arguments {
    const char *url, *store, *org, *as, *root, *format, *seq;
    bool is_json;
    const char *words[2];
    int word_count;
};

static const struct {
    const char *flag;
    size_t at;
} options[] = {
    {"--url", offsetof(struct arguments, url)},
    {"--store", offsetof(struct arguments, store)},
    {"--org", offsetof(struct arguments, org)},
    {"--as", offsetof(struct arguments, as)},
    {"--root", offsetof(struct arguments, root)},
    {"--seq", offsetof(struct arguments, seq)},
    {"--format", offsetof(struct arguments, format)},
};

int ml_documents_complain(int code, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "moonloom doc: ");
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\n");
    return code;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void print_json_text(struct ml_slice text)
{
    (void)putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

static void print_time(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[32] = "";
    struct tm tm;

    if (gmtime_r(&seconds, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)printf("%s", text);
}

static void print_listed(void *arg, const struct ml_listed *item)
{
    const struct arguments *a = arg;

    if (!a->is_json) {
        (void)printf("%.*s\n", ML_PRINT(item->name));
        return;
    }
    (void)printf("{\"name\":");
    print_json_text(item->name);
    (void)printf(",\"seq\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"created_at_ms\":%" PRId64
                 ",\"updated_at_ms\":%" PRId64 "}\n",
                 item->head, item->bytes, item->created_ms, item->updated_ms);
}

static void print_record(void *arg, const struct ml_history_item *item)
{
    const struct arguments *a = arg;

    if (a->is_json) {
        (void)printf("{\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 ",\"user\":", item->seq,
                     item->at_ms);
        print_json_text(item->author);
        (void)printf(",\"bytes\":%" PRIu64 "}\n", item->bytes);
        return;
    }
    (void)printf("%8" PRIu64 "  ", item->seq);
    print_time(item->at_ms);
    (void)printf("  %8" PRIu64 "  %.*s\n", item->bytes, ML_PRINT(item->author));
}

static int write_file(const char *path, struct ml_slice bytes)
{
    bool is_standard = strcmp(path, "-") == 0;
    FILE *file = is_standard ? stdout : fopen(path, "wb");
    bool is_written;

    if (!file)
        return ml_documents_complain(ML_EXIT_FAILED, "%s: %s", path, strerror(errno));
    is_written =
        fwrite(bytes.ptr ? bytes.ptr : (const uint8_t *)"", 1, bytes.len, file) == bytes.len &&
        fflush(file) == 0;
    if (!is_standard && fclose(file))
        is_written = false;
    return is_written ? 0 : ml_documents_complain(ML_EXIT_FAILED, "%s: %s", path, strerror(errno));
}

static int read_file(const char *path, struct ml_writer *out)
{
    bool is_standard = strcmp(path, "-") == 0;
    FILE *file = is_standard ? stdin : fopen(path, "rb");
    uint8_t buffer[65536];
    size_t n;
    int code = 0;

    if (!file)
        return ml_documents_complain(ML_EXIT_FAILED, "%s: %s", path, strerror(errno));
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0)
        ml_write_bytes(out, ml_slice_make(buffer, n));
    if (ferror(file) || out->err)
        code = ml_documents_complain(ML_EXIT_FAILED, "%s: %s", path,
                                     out->err ? "too large" : strerror(errno));
    if (!is_standard)
        (void)fclose(file);
    return code;
}

/* ---- commands -------------------------------------------------------------------------------- */

static int do_ls(struct ml_documents *d, const struct arguments *a)
{
    struct arguments copy = *a;

    return d->ops->list(d, a->word_count ? a->words[0] : "", print_listed, &copy);
}

static int read_to(struct ml_documents *d, const struct arguments *a, const char *as,
                   const char *path)
{
    struct ml_document_view view = {
        .as = as,
        .root = a->root ? a->root : "content",
        .is_v2 = a->format && strcmp(a->format, "v2") == 0,
        .seq = a->seq ? strtoull(a->seq, NULL, 10) : 0,
    };
    struct ml_writer out;
    int code;

    ml_writer_init(&out, FILE_MAX);
    code = d->ops->read(d, a->words[0], &view, &out);
    if (!code)
        code = write_file(path, ml_writer_slice(&out));
    ml_writer_release(&out);
    return code;
}

static int do_cat(struct ml_documents *d, const struct arguments *a)
{
    return read_to(d, a, a->as ? a->as : a->is_json ? "json" : "text", "-");
}

static int do_state(struct ml_documents *d, const struct arguments *a)
{
    return read_to(d, a, NULL, "-");
}

/* The form of the file's name; NULL: a Yjs update. */
static const char *form_of(const char *path)
{
    static const struct {
        const char *suffix, *as;
    } forms[] = {{".txt", "text"},
                 {".md", "markdown"},
                 {".html", "html"},
                 {".json", "json"},
                 {".xml", "xml"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(dot, forms[i].suffix) == 0)
            return forms[i].as;
    return NULL;
}

static int do_export(struct ml_documents *d, const struct arguments *a)
{
    return read_to(d, a, a->as ? a->as : form_of(a->words[1]), a->words[1]);
}

static int do_import(struct ml_documents *d, const struct arguments *a)
{
    struct ml_writer bytes;
    uint64_t seq = 0;
    int code;

    ml_writer_init(&bytes, FILE_MAX);
    code = read_file(a->words[1], &bytes);
    if (!code)
        code = d->ops->write(d, a->words[0], ml_writer_slice(&bytes),
                             a->format && strcmp(a->format, "v2") == 0, &seq);
    ml_writer_release(&bytes);
    if (!code && a->is_json)
        (void)printf("{\"seq\":%" PRIu64 "}\n", seq);
    return code;
}

static int do_history(struct ml_documents *d, const struct arguments *a)
{
    struct arguments copy = *a;

    return d->ops->history(d, a->words[0], print_record, &copy);
}

static int do_rm(struct ml_documents *d, const struct arguments *a)
{
    return d->ops->set_deleted(d, a->words[0], true);
}

static int do_undelete(struct ml_documents *d, const struct arguments *a)
{
    return d->ops->set_deleted(d, a->words[0], false);
}

static const struct command {
    const char *name, *arguments;
    int min_words, max_words;
    int (*run)(struct ml_documents *d, const struct arguments *a);
} commands[] = {
    {"ls", "[PREFIX]", 0, 1, do_ls},
    {"cat", "NAME [--as FORM] [--root ROOT] [--seq N]", 1, 1, do_cat},
    {"state", "NAME [--format v1|v2] [--seq N]", 1, 1, do_state},
    {"import", "NAME FILE [--format v1|v2]", 2, 2, do_import},
    {"export", "NAME FILE [--as FORM] [--root ROOT]", 2, 2, do_export},
    {"history", "NAME", 1, 1, do_history},
    {"rm", "NAME", 1, 1, do_rm},
    {"undelete", "NAME", 1, 1, do_undelete},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int usage(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(stderr, "%s moonloom doc %s %s\n", i ? "      " : "usage:", commands[i].name,
                      commands[i].arguments);
    (void)fprintf(stderr, "       with --url %s or --store sqlite:PATH, --org default, --json\n",
                  DEFAULT_URL);
    return USAGE;
}

/* False: not an option that exists, without its value, or a word too many. */
static bool read_arguments(int argc, char **argv, struct arguments *out)
{
    for (int i = 0; i < argc; i++) {
        size_t k = 0;

        if (strcmp(argv[i], "--json") == 0) {
            out->is_json = true;
            continue;
        }
        while (k < sizeof options / sizeof *options && strcmp(argv[i], options[k].flag) != 0)
            k++;
        if (k < sizeof options / sizeof *options) {
            if (++i == argc)
                return false;
            memcpy((char *)out + options[k].at, &argv[i], sizeof argv[i]);
        } else if (strncmp(argv[i], "--", 2) == 0 || out->word_count == 2) {
            return false;
        } else {
            out->words[out->word_count++] = argv[i];
        }
    }
    return true;
}

int ml_cmd_doc(int argc, char **argv)
{
    struct arguments a = {.org = "default"};
    const struct command *command = commands;
    struct ml_documents *documents;
    int code;

    while (argc && command < commands + COMMAND_COUNT && strcmp(argv[0], command->name) != 0)
        command++;
    if (!argc || command == commands + COMMAND_COUNT || !read_arguments(argc - 1, argv + 1, &a) ||
        a.word_count < command->min_words || a.word_count > command->max_words ||
        (a.url && a.store))
        return usage();
    if (!ml_org_is_valid(ml_slice_str(a.org)) ||
        (command->min_words && !ml_document_name_is_valid(ml_slice_str(a.words[0]))))
        return ml_documents_complain(USAGE, "no document can have this name");
    documents = a.store ? ml_documents_open_store(a.store, a.org)
                        : ml_documents_open_http(a.url ? a.url : DEFAULT_URL, a.org);
    if (!documents)
        return ML_EXIT_FAILED;
    code = command->run(documents, &a);
    documents->ops->close(documents);
    return code;
}
