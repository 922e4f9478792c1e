/* SPDX-License-Identifier: MIT */
/*
 * Source: Aho and Corasick, "Efficient String Matching" (1975), over bytes of folded UTF-8.
 * Different from it: edges are sorted lists, and the search is for the leftmost and longest hit.
 *
 *   words "he", "she", "hers"            fail of a node: the longest proper suffix of its text that
 *                                        is a node, too; done: the nearest node on the way along
 *      root -h-> . -e-> HE -r-> . -s-> HERS    fails that ends a word
 *        \
 *         s-> . -h-> . -e-> SHE           fail(SHE) = HE
 *
 *  [W1] Nodes stand in order of depth, so a fail is always to a smaller number.
 *  [W2] A hit is final when no way that is still open began before or at it.
 */
#include "script/words.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define TICK_STEPS  4096
#define NOBODY      UINT32_MAX
#define FOLDED_MAX  16                        /* bytes that one character folds to, at most */
#define RING_BYTES  1024                      /* > ML_WORD_MAX_BYTES folded + FOLDED_MAX */
#define WORD_FOLDED (RING_BYTES - FOLDED_MAX) /* bytes of a folded word, at most */

struct edge {
    uint8_t byte;
    uint32_t to;
};

struct node {
    uint32_t edges, edge_count; /* from the first of `edges` */
    uint32_t fail, done;        /* NOBODY: none */
    uint32_t word;              /* that ends here; NOBODY: none */
    uint32_t depth;             /* bytes from the root */
};

struct ml_words {
    size_t bytes;
    uint32_t node_count;
    bool folds, whole;
    uint32_t begins[8]; /* bit b: a word begins with folded byte b */
};

static const struct node *nodes_of(const struct ml_words *w)
{
    return (const struct node *)(const void *)(w + 1);
}

static const struct edge *edges_of(const struct ml_words *w)
{
    return (const struct edge *)(const void *)(nodes_of(w) + w->node_count);
}

/* One character at `p`, folded into `out[FOLDED_MAX]`; answers its own bytes. */
static size_t fold_at(const uint8_t *p, bool folds, uint8_t *out, size_t *len_out)
{
    utf8proc_int32_t points[4];
    int boundary = 0;
    uint32_t c;
    size_t len = ml_utf8_get(p, &c);
    utf8proc_ssize_t n;

    if (!folds || c < 0x80) {
        memcpy(out, p, len);
        if (folds && c >= 'A' && c <= 'Z')
            out[0] = (uint8_t)(c | 0x20);
        *len_out = len;
        return len;
    }
    n = utf8proc_decompose_char((utf8proc_int32_t)c, points, 4, UTF8PROC_CASEFOLD, &boundary);
    *len_out = 0;
    for (utf8proc_ssize_t i = 0; i < n && i < 4; i++)
        *len_out += ml_utf8_put((uint32_t)points[i], out + *len_out);
    return len;
}

/* ---- Making -----------------------------------------------------------------------------------
 */

/* A trie while it grows: edges of a node are a list through `next`, in no order. */
struct growing {
    uint32_t first, next, parent; /* first edge: a child; next sibling */
    uint32_t word, depth;
    uint8_t byte;
};

struct maker {
    struct growing *nodes;
    uint32_t count, max;
    bool folds;
};

static uint32_t child_of(const struct maker *m, uint32_t node, uint8_t byte)
{
    uint32_t child = m->nodes[node].first;

    while (child != NOBODY && m->nodes[child].byte != byte)
        child = m->nodes[child].next;
    return child;
}

static uint32_t add_child(struct maker *m, uint32_t node, uint8_t byte)
{
    uint32_t child = child_of(m, node, byte);

    if (child != NOBODY || m->count == m->max)
        return child;
    child = m->count++;
    m->nodes[child] = (struct growing){.first = NOBODY,
                                       .next = m->nodes[node].first,
                                       .parent = node,
                                       .word = NOBODY,
                                       .depth = m->nodes[node].depth + 1,
                                       .byte = byte};
    m->nodes[node].first = child;
    return child;
}

static enum ml_err add_word(struct maker *m, struct ml_slice word, uint32_t number)
{
    uint32_t node = 0;
    size_t at = 0;

    if (word.len == 0 || !ml_utf8_check(word, NULL))
        return ML_EFORMAT;
    if (word.len > ML_WORD_MAX_BYTES)
        return ML_ELIMIT;
    while (at < word.len) {
        uint8_t folded[FOLDED_MAX];
        size_t len;

        at += fold_at(word.ptr + at, m->folds, folded, &len);
        for (size_t i = 0; i < len; i++) {
            node = add_child(m, node, folded[i]);
            if (node == NOBODY)
                return ML_ELIMIT;
        }
    }
    if (m->nodes[node].depth > WORD_FOLDED)
        return ML_ELIMIT;
    if (m->nodes[node].word == NOBODY)
        m->nodes[node].word = number;
    return ML_OK;
}

static int by_byte(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;

    return (x->byte > y->byte) - (x->byte < y->byte);
}

/* The node that `byte` leads to from `node`; NOBODY. */
static uint32_t follow(const struct node *nodes, const struct edge *edges, uint32_t node,
                       uint8_t byte)
{
    uint32_t low = nodes[node].edges, high = low + nodes[node].edge_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (edges[middle].byte == byte)
            return edges[middle].to;
        if (edges[middle].byte < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return NOBODY;
}

/* Fail and done of `node`, whose parent's are known. */
static void link_node(struct node *nodes, const struct edge *edges, uint32_t node, uint32_t parent,
                      uint8_t byte)
{
    uint32_t at = parent, hit = 0;

    while (at != 0) {
        at = nodes[at].fail;
        hit = follow(nodes, edges, at, byte);
        if (hit != NOBODY)
            break;
        hit = 0;
    }
    nodes[node].fail = hit;
    nodes[node].done = nodes[hit].word != NOBODY ? hit : nodes[hit].done;
}

/* In order of depth (W1): `order` becomes the new numbers' old ones. */
static void flatten(const struct maker *m, struct node *nodes, struct edge *edges, uint32_t *order,
                    uint32_t *number)
{
    uint32_t count = 1, edge_count = 0;

    order[0] = number[0] = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct growing *old = &m->nodes[order[i]];
        struct node *node = &nodes[i];

        *node = (struct node){
            .edges = edge_count, .fail = 0, .done = NOBODY, .word = old->word, .depth = old->depth};
        for (uint32_t child = old->first; child != NOBODY; child = m->nodes[child].next) {
            number[child] = count;
            order[count] = child;
            edges[edge_count++] = (struct edge){m->nodes[child].byte, count++};
        }
        node->edge_count = edge_count - node->edges;
        qsort(edges + node->edges, node->edge_count, sizeof(*edges), by_byte);
    }
    for (uint32_t i = 1; i < m->count; i++) {
        const struct growing *old = &m->nodes[order[i]];

        link_node(nodes, edges, i, number[old->parent], old->byte);
    }
}

static enum ml_err put_together(const struct maker *m, bool whole, struct ml_arena *scratch,
                                const struct ml_words **out)
{
    size_t bytes = sizeof(struct ml_words) + m->count * (sizeof(struct node) + sizeof(struct edge));
    struct ml_words *words = ml_arena_alloc(scratch, bytes);
    uint32_t *order = ml_arena_array(scratch, m->count, sizeof(*order));
    uint32_t *number = ml_arena_array(scratch, m->count, sizeof(*number));

    if (!words || !order || !number)
        return ML_ELIMIT;
    *words = (struct ml_words){
        .bytes = bytes, .node_count = m->count, .folds = m->folds, .whole = whole};
    flatten(m, (struct node *)(uintptr_t)nodes_of(words), (struct edge *)(uintptr_t)edges_of(words),
            order, number);
    for (uint32_t child = m->nodes[0].first; child != NOBODY; child = m->nodes[child].next)
        words->begins[m->nodes[child].byte / 32] |= 1u << (m->nodes[child].byte % 32);
    *out = words;
    return ML_OK;
}

enum ml_err ml_words_make(const struct ml_slice *list, size_t count, bool folds, bool whole,
                          struct ml_arena *scratch, const struct ml_words **words_out,
                          struct ml_diag *diag)
{
    struct maker m = {.max = ML_WORDS_MAX_BYTES, .folds = folds};

    if (count > ML_WORDS_MAX)
        return ml_diag_set(diag, ML_ELIMIT, count, "at most %d words", ML_WORDS_MAX);
    m.nodes = ml_arena_take(scratch, m.max * sizeof(*m.nodes));
    if (!m.nodes)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    m.nodes[m.count++] = (struct growing){.first = NOBODY, .next = NOBODY, .word = NOBODY};
    for (size_t i = 0; i < count; i++) {
        enum ml_err err = add_word(&m, list[i], (uint32_t)i);

        if (err)
            return ml_diag_set(diag, err, i,
                               err == ML_EFORMAT ? "a word is UTF-8 text of 1 to %d bytes"
                                                 : "the words are too long (%d bytes each at most)",
                               ML_WORD_MAX_BYTES);
    }
    return put_together(&m, whole, scratch, words_out);
}

size_t ml_words_bytes(const struct ml_words *words)
{
    return words->bytes;
}

/* ---- Finding ----------------------------------------------------------------------------------
 */

static bool is_word_character(uint32_t c)
{
    uint32_t categories =
        1u << UTF8PROC_CATEGORY_LU | 1u << UTF8PROC_CATEGORY_LL | 1u << UTF8PROC_CATEGORY_LT |
        1u << UTF8PROC_CATEGORY_LM | 1u << UTF8PROC_CATEGORY_LO | 1u << UTF8PROC_CATEGORY_MN |
        1u << UTF8PROC_CATEGORY_MC | 1u << UTF8PROC_CATEGORY_ME | 1u << UTF8PROC_CATEGORY_ND |
        1u << UTF8PROC_CATEGORY_NL | 1u << UTF8PROC_CATEGORY_NO;

    return c == '_' || (categories >> utf8proc_category((utf8proc_int32_t)c) & 1);
}

static bool stands_alone(struct ml_slice text, size_t from, size_t to)
{
    uint32_t c;
    size_t before = from;

    if (from > 0) {
        do
            before--;
        while (before > 0 && (text.ptr[before] & 0xc0) == 0x80);
        (void)ml_utf8_get(text.ptr + before, &c);
        if (is_word_character(c))
            return false;
    }
    if (to == text.len)
        return true;
    (void)ml_utf8_get(text.ptr + to, &c);
    return !is_word_character(c);
}

struct search {
    const struct ml_words *words;
    struct ml_slice text;
    uint32_t node;
    size_t taken;              /* folded bytes so far */
    size_t begins[RING_BYTES]; /* by folded byte: where its character begins in the text */
    bool heads[RING_BYTES];    /* it is the first byte of its character */
    size_t steps;
    void (*tick)(void *arg);
    void *tick_arg;
};

static void step(struct search *s)
{
    if (++s->steps % TICK_STEPS == 0 && s->tick)
        s->tick(s->tick_arg);
}

static void take_byte(struct search *s, uint8_t byte)
{
    const struct node *nodes = nodes_of(s->words);
    const struct edge *edges = edges_of(s->words);

    for (;;) {
        uint32_t next = follow(nodes, edges, s->node, byte);

        step(s);
        if (next != NOBODY) {
            s->node = next;
            return;
        }
        if (s->node == 0)
            return;
        s->node = nodes[s->node].fail;
    }
}

/* Words that end here, at byte `to` of the text: the better of `best` and them. */
static void take_hits(struct search *s, size_t to, struct ml_words_hit *best, bool *found)
{
    const struct node *nodes = nodes_of(s->words);
    uint32_t node = nodes[s->node].word != NOBODY ? s->node : nodes[s->node].done;

    for (; node != NOBODY; node = nodes[node].done) {
        size_t slot = (s->taken - nodes[node].depth) % RING_BYTES, from = s->begins[slot];

        step(s);
        if (!s->heads[slot] ||
            (*found && (from > best->from || (from == best->from && to <= best->to))))
            continue;
        if (s->words->whole && !stands_alone(s->text, from, to))
            continue;
        *best = (struct ml_words_hit){from, to, nodes[node].word};
        *found = true;
    }
}

/* Does a word begin with this ASCII character? */
static bool may_begin(const struct ml_words *words, uint8_t c)
{
    if (words->folds && c >= 'A' && c <= 'Z')
        c |= 0x20;
    return words->begins[c / 32] >> (c % 32) & 1;
}

bool ml_words_find(const struct ml_words *words, struct ml_slice text, size_t from,
                   void (*tick)(void *arg), void *tick_arg, struct ml_words_hit *out)
{
    struct search s = {.words = words, .text = text, .tick = tick, .tick_arg = tick_arg};
    const struct node *nodes = nodes_of(words);
    bool found = false;

    for (size_t at = from; at < text.len;) {
        uint8_t folded[FOLDED_MAX];
        size_t len, begin = at;

        if (s.node == 0 && !found && text.ptr[at] < 0x80 && !may_begin(words, text.ptr[at])) {
            at++;
            step(&s);
            continue;
        }
        at += fold_at(text.ptr + at, words->folds, folded, &len);
        for (size_t i = 0; i < len; i++) {
            s.begins[s.taken % RING_BYTES] = begin;
            s.heads[s.taken % RING_BYTES] = i == 0;
            s.taken++;
            take_byte(&s, folded[i]);
        }
        take_hits(&s, at, out, &found);
        /* [W2] what is still open began at the character of its first byte */
        if (found &&
            (s.node == 0 || s.begins[(s.taken - nodes[s.node].depth) % RING_BYTES] > out->from))
            return true;
    }
    return found;
}
