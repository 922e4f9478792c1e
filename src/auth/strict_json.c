/* SPDX-License-Identifier: MIT */
/*
 * A loop with a stack of open containers instead of recursion; members hang in their parent's list
 * in order.
 */
#include "auth/strict_json.h"

#include "base/utf8.h"

#define INTEGER_MAX 9007199254740992 /* 2^53 */

struct open {
    struct ml_strict_node *node, *last;
    unsigned members;
};

struct parser {
    const uint8_t *pos, *end;
    struct ml_arena *scratch;
    unsigned nodes, depth;
    struct open open[ML_STRICT_DEPTH_MAX];
    enum ml_err err;
};

static void fail(struct parser *p, enum ml_err err)
{
    if (!p->err)
        p->err = err;
    p->pos = p->end;
}

static void skip_space(struct parser *p)
{
    while (p->pos < p->end &&
           (*p->pos == ' ' || *p->pos == '\t' || *p->pos == '\n' || *p->pos == '\r'))
        p->pos++;
}

static bool take(struct parser *p, char c)
{
    if (p->pos == p->end || *p->pos != (uint8_t)c)
        return false;
    p->pos++;
    return true;
}

static uint32_t take_hex4(struct parser *p)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t c = p->pos < p->end ? *p->pos : 0, low = c | 0x20;

        if (c >= '0' && c <= '9')
            value = value * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + (uint32_t)(low - 'a' + 10);
        else
            fail(p, ML_EFORMAT);
        if (p->err)
            return 0;
        p->pos++;
    }
    return value;
}

/* Behind the backslash; writes to `out`. Halves of surrogate pairs are refused. */
static size_t take_escape(struct parser *p, uint8_t *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t c = p->pos < p->end ? *p->pos++ : 0;
    const char *hit = c ? strchr(from, c) : NULL;
    uint32_t code, low;

    if (hit) {
        *out = (uint8_t)to[hit - from];
        return 1;
    }
    if (c != 'u') {
        fail(p, ML_EFORMAT);
        return 0;
    }
    code = take_hex4(p);
    if (code >= 0xd800 && code <= 0xdfff) {
        low = code < 0xdc00 && take(p, '\\') && take(p, 'u') ? take_hex4(p) : 0;
        if (low < 0xdc00 || low > 0xdfff) {
            fail(p, ML_EFORMAT);
            return 0;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return p->err ? 0 : ml_utf8_put(code, out);
}

/* At the opening quote. What escapes become is never longer than they are. */
static struct ml_slice take_string(struct parser *p)
{
    struct ml_slice none = {0};
    uint8_t *out;
    size_t len = 0;

    if (!take(p, '"')) {
        fail(p, ML_EFORMAT);
        return none;
    }
    {
        const uint8_t *close = p->pos;

        while (close < p->end && *close != '"')
            close += *close == '\\' && p->end - close > 1 ? 2 : 1;
        out = ml_arena_take(p->scratch, (size_t)(close - p->pos) + 4);
    }
    if (!out) {
        fail(p, ML_ELIMIT);
        return none;
    }
    while (!take(p, '"')) {
        if (p->pos == p->end || *p->pos < 0x20) {
            fail(p, ML_EFORMAT);
            return none;
        }
        if (take(p, '\\'))
            len += take_escape(p, out + len);
        else
            out[len++] = *p->pos++;
    }
    return ml_slice_make(out, len);
}

static bool is_digit(const struct parser *p)
{
    return p->pos < p->end && *p->pos >= '0' && *p->pos <= '9';
}

static void take_digits(struct parser *p)
{
    if (!is_digit(p))
        fail(p, ML_EFORMAT);
    while (is_digit(p))
        p->pos++;
}

static struct ml_slice take_number(struct parser *p)
{
    const uint8_t *from = p->pos;

    (void)take(p, '-');
    if (!take(p, '0'))
        take_digits(p);
    if (take(p, '.'))
        take_digits(p);
    if (take(p, 'e') || take(p, 'E')) {
        if (!take(p, '+'))
            (void)take(p, '-');
        take_digits(p);
    }
    return p->err ? (struct ml_slice){0} : ml_slice_make(from, (size_t)(p->pos - from));
}

static void take_word(struct parser *p, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(p->end - p->pos) < len || memcmp(p->pos, word, len) != 0)
        fail(p, ML_EFORMAT);
    else
        p->pos += len;
}

/* A new node as the last member of the innermost open container. */
static struct ml_strict_node *add_node(struct parser *p, struct ml_slice key)
{
    struct ml_strict_node *node = NULL;

    if (++p->nodes <= ML_STRICT_NODES_MAX)
        node = ml_arena_alloc(p->scratch, sizeof(*node));
    if (!node) {
        fail(p, ML_ELIMIT);
        return NULL;
    }
    node->key = key;
    if (p->depth > 0) {
        struct open *open = &p->open[p->depth - 1];

        if (open->last)
            open->last->next = node;
        else
            open->node->child = node;
        open->last = node;
        open->members++;
    }
    return node;
}

static struct ml_slice take_key(struct parser *p)
{
    const struct open *open = &p->open[p->depth - 1];
    struct ml_slice key;

    skip_space(p);
    key = take_string(p);
    skip_space(p);
    if (!take(p, ':'))
        fail(p, ML_EFORMAT);
    if (open->members == ML_STRICT_MEMBERS_MAX)
        fail(p, ML_ELIMIT);
    for (const struct ml_strict_node *n = open->node->child; n && !p->err; n = n->next)
        if (ml_slice_equal(n->key, key))
            fail(p, ML_EFORMAT);
    return key;
}

/* A value that is no container, or the begin of one: then it is open. */
static struct ml_strict_node *take_value(struct parser *p, struct ml_slice key)
{
    struct ml_strict_node *node = add_node(p, key);
    uint8_t c;

    if (!node)
        return NULL;
    skip_space(p);
    c = p->pos < p->end ? *p->pos : 0;
    if (c == '{' || c == '[') {
        p->pos++;
        node->kind = c == '{' ? ML_STRICT_OBJECT : ML_STRICT_ARRAY;
        if (p->depth == ML_STRICT_DEPTH_MAX)
            fail(p, ML_ELIMIT);
        else
            p->open[p->depth++] = (struct open){.node = node};
    } else if (c == '"') {
        node->kind = ML_STRICT_STRING;
        node->text = take_string(p);
    } else if (c == 't') {
        node->kind = ML_STRICT_TRUE;
        take_word(p, "true");
    } else if (c == 'f') {
        node->kind = ML_STRICT_FALSE;
        take_word(p, "false");
    } else if (c == 'n') {
        take_word(p, "null");
    } else {
        node->kind = ML_STRICT_NUMBER;
        node->text = take_number(p);
    }
    return node;
}

/* Close what ends here; then a ',' or the end. True: another member follows. */
static bool take_ends(struct parser *p)
{
    for (;;) {
        struct open *open;

        skip_space(p);
        if (p->err || p->depth == 0)
            return false;
        open = &p->open[p->depth - 1];
        if (take(p, open->node->kind == ML_STRICT_OBJECT ? '}' : ']')) {
            p->depth--;
            continue;
        }
        if (open->members > 0 && !take(p, ',')) {
            fail(p, ML_EFORMAT);
            return false;
        }
        return true;
    }
}

enum ml_err ml_strict_parse(struct ml_slice text, struct ml_arena *scratch,
                            const struct ml_strict_node **root_out)
{
    struct parser p = {
        .pos = text.ptr, .end = text.len ? text.ptr + text.len : text.ptr, .scratch = scratch};

    if (text.len == 0 || !ml_utf8_check(text, NULL))
        return ML_EFORMAT;
    *root_out = take_value(&p, (struct ml_slice){0});
    while (take_ends(&p)) {
        struct ml_slice key = {0};

        if (p.open[p.depth - 1].node->kind == ML_STRICT_OBJECT)
            key = take_key(&p);
        if (!p.err)
            (void)take_value(&p, key);
    }
    if (!p.err && p.pos != p.end)
        p.err = ML_EFORMAT;
    return p.err;
}

const struct ml_strict_node *ml_strict_get(const struct ml_strict_node *object, const char *key)
{
    struct ml_slice wanted = ml_slice_str(key);

    if (!object || object->kind != ML_STRICT_OBJECT)
        return NULL;
    for (const struct ml_strict_node *n = object->child; n; n = n->next)
        if (ml_slice_equal(n->key, wanted))
            return n;
    return NULL;
}

struct ml_slice ml_strict_text(const struct ml_strict_node *object, const char *key)
{
    const struct ml_strict_node *node = ml_strict_get(object, key);

    return node && node->kind == ML_STRICT_STRING ? node->text : (struct ml_slice){0};
}

bool ml_strict_integer(const struct ml_strict_node *node, int64_t *out)
{
    int64_t value = 0;
    size_t at = 0;
    bool negative;

    if (!node || node->kind != ML_STRICT_NUMBER)
        return false;
    negative = node->text.ptr[0] == '-';
    for (at = negative; at < node->text.len; at++) {
        if (node->text.ptr[at] < '0' || node->text.ptr[at] > '9')
            return false;
        value = value * 10 + (node->text.ptr[at] - '0');
        if (value > INTEGER_MAX)
            return false;
    }
    *out = negative ? -value : value;
    return true;
}
