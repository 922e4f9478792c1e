/* SPDX-License-Identifier: MIT */
/*
 * From the text of an expression to a program.
 *
 *   "(a|b)+c"  ->  SEQ( REPEAT 1.. ( GROUP 1 ( ALT( a, b ) ) ), c )  ->   0 SAVE 0
 *                                                                         1 SAVE 2
 *   text, read by descent         nodes: first child, next sibling        2 SPLIT 3 5
 *                                                                         3 CHAR a
 *                                                                         …
 *
 *  [R1] Nesting is counted, so descent and emission are bounded in depth.
 *  [R2] Emission stops at PROGRAM_MAX instructions: (x{1000}){1000} costs no more than that.
 *  [R3] A body that can be empty is never the target of its own jump back without having been
 *       emitted once before: x+ of such an x is x x*, so that the loop finds what comes after an
 * empty round, too.
 */
#include "script/regex_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define DEPTH_MAX      50
#define NODES_MAX      16384
#define RANGES_MAX     8192
#define CLASSES_MAX    2048
#define REPEAT_MAX     1000
#define PROGRAM_MAX    4000  /* instructions of one pattern */
#define SET_MAX        30000 /* of a set */
#define WORK_MAX       65536 /* instructions x slots: memory of a run */
#define INFINITE       UINT32_MAX
#define CODE_MAX       0x10ffffu
#define ALL_CATEGORIES 0x3fffffffu

enum node_kind { NODE_EMPTY, NODE_ONE, NODE_SEQ, NODE_ALT, NODE_GROUP, NODE_REPEAT };

struct node {
    uint8_t kind;
    bool lazy;
    struct regex_inst inst; /* of NODE_ONE: a character or a place */
    uint32_t min, max;      /* of NODE_REPEAT */
    uint16_t group;         /* of NODE_GROUP: 1…, 0: does not capture */
    uint16_t child, next;   /* index + 1 of the first child, the next sibling; 0: none */
};

struct parser {
    const uint8_t *start, *pos, *end;
    unsigned depth, groups;
    bool folds, lines, dot_all;
    enum ml_err err;
    struct ml_diag *diag;

    struct node *nodes;
    uint32_t node_count;
    struct regex_inst *insts;
    uint32_t inst_count, inst_max;
    struct regex_class *classes;
    uint32_t class_count;
    struct regex_range *ranges;
    uint32_t range_count;
};

/* Errors stick; what goes on after one is thrown away. */
static void fail(struct parser *p, enum ml_err err, const char *what)
{
    if (p->err)
        return;
    p->err = ml_diag_set(p->diag, err, (size_t)(p->pos - p->start), "%s", what);
    p->pos = p->end;
}

static bool take(struct parser *p, char c)
{
    if (p->pos == p->end || *p->pos != (uint8_t)c)
        return false;
    p->pos++;
    return true;
}

static bool looking_at(const struct parser *p, const char *text)
{
    size_t len = strlen(text);

    return (size_t)(p->end - p->pos) >= len && memcmp(p->pos, text, len) == 0;
}

static uint16_t add_node(struct parser *p, enum node_kind kind)
{
    if (p->node_count == NODES_MAX) {
        fail(p, ML_ELIMIT, "the pattern is too large");
        p->node_count = 0;
    }
    p->nodes[p->node_count] = (struct node){.kind = (uint8_t)kind};
    return (uint16_t)++p->node_count;
}

static struct node *node_at(struct parser *p, uint16_t index)
{
    return &p->nodes[index - 1];
}

/* ---- Classes ----------------------------------------------------------------------------------
 */

static void add_range(struct parser *p, uint32_t from, uint32_t to)
{
    if (p->range_count == RANGES_MAX) {
        fail(p, ML_ELIMIT, "the pattern is too large");
        return;
    }
    p->ranges[p->range_count++] = (struct regex_range){from, to};
}

static const struct regex_range digits[] = {{'0', '9'}};
static const struct regex_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct regex_range spaces[] = {
    {9, 13},          {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
};

/* \d \w \s and their opposites; false for any other letter. */
static bool add_letter_class(struct parser *p, uint8_t letter)
{
    const struct regex_range *of;
    size_t n;
    uint32_t from = 0;

    switch (letter | 0x20) {
    case 'd':
        of = digits;
        n = sizeof(digits) / sizeof(*digits);
        break;
    case 'w':
        of = words;
        n = sizeof(words) / sizeof(*words);
        break;
    case 's':
        of = spaces;
        n = sizeof(spaces) / sizeof(*spaces);
        break;
    default:
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (letter & 0x20) {
            add_range(p, of[i].from, of[i].to);
        } else {
            if (of[i].from > from)
                add_range(p, from, of[i].from - 1);
            from = of[i].to + 1;
        }
    }
    if (!(letter & 0x20))
        add_range(p, from, CODE_MAX);
    return true;
}

/* Bits of "Lu", or of "L": all that begin so. 0: no such category. */
static uint32_t category_bits(const uint8_t *name, size_t len)
{
    uint32_t bits = 0;

    for (int i = 0; i < 30; i++) {
        static const char *const names[30] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc",
                                              "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
                                              "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs",
                                              "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};

        if (memcmp(names[i], name, len) == 0)
            bits |= 1u << i;
    }
    return bits;
}

/* Behind \p or \P. */
static uint32_t take_category(struct parser *p, bool negated)
{
    const uint8_t *name = p->pos + 1;
    size_t len = 0;
    uint32_t bits = 0;

    if (p->pos < p->end && *p->pos == '{')
        while (name + len < p->end && name[len] != '}' && len < 3)
            len++;
    if (len > 0 && len < 3 && name + len < p->end && name[len] == '}')
        bits = category_bits(name, len);
    if (!bits) {
        fail(p, ML_EFORMAT, "a general category is written \\p{L} or \\p{Lu}");
        return 0;
    }
    p->pos = name + len + 1;
    return negated ? ALL_CATEGORIES & ~bits : bits;
}

static uint32_t take_hex(struct parser *p, unsigned digits_min, unsigned digits_max)
{
    uint32_t value = 0;
    unsigned n = 0;

    for (; n < digits_max && p->pos < p->end; n++, p->pos++) {
        uint8_t c = *p->pos, low = c | 0x20;

        if (c >= '0' && c <= '9')
            value = value * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + (uint32_t)(low - 'a' + 10);
        else
            break;
    }
    if (n < digits_min)
        fail(p, ML_EFORMAT, "hex digits are missing");
    return value;
}

/* The character behind a backslash that stands for one character. */
static uint32_t take_escaped(struct parser *p)
{
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    uint8_t c = p->pos < p->end ? *p->pos : 0;
    const char *hit = c ? strchr(from, c) : NULL;
    uint32_t code;

    if (hit || (c > ' ' && c < 0x7f && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
                !(c >= '0' && c <= '9'))) {
        p->pos++;
        return hit ? (uint32_t)to[hit - from] : c;
    }
    if (take(p, 'x'))
        return take_hex(p, 2, 2);
    if (take(p, 'u')) {
        if (!take(p, '{'))
            return take_hex(p, 4, 4);
        code = take_hex(p, 1, 6);
        if (!take(p, '}') || code > CODE_MAX)
            fail(p, ML_EFORMAT, "a code point is written \\u{1F600}");
        return code;
    }
    if (c >= '0' && c <= '9')
        fail(p, ML_EFORMAT, "there are no back-references");
    else
        fail(p, ML_EFORMAT, "unknown escape");
    return 0;
}

static uint32_t take_code_point(struct parser *p)
{
    uint32_t c;

    p->pos += ml_utf8_get(p->pos, &c);
    return c;
}

static int by_start(const void *a, const void *b)
{
    const struct regex_range *x = a, *y = b;

    return (x->from > y->from) - (x->from < y->from);
}

/* Sort the class's ranges and join those that touch. */
static void tidy_ranges(struct parser *p, struct regex_class *class)
{
    struct regex_range *r = p->ranges + class->first;
    uint32_t n = p->range_count - class->first, kept = 0;

    qsort(r, n, sizeof(*r), by_start);
    for (uint32_t i = 0; i < n; i++) {
        if (kept > 0 && r[i].from <= r[kept - 1].to + 1) {
            if (r[i].to > r[kept - 1].to)
                r[kept - 1].to = r[i].to;
        } else {
            r[kept++] = r[i];
        }
    }
    class->count = kept;
    p->range_count = class->first + kept;
}

bool ml_regex_in_class(const struct regex_class *class, const struct regex_range *ranges,
                       uint32_t c)
{
    uint32_t low = class->first, high = class->first + class->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (c < ranges[middle].from)
            high = middle;
        else if (c > ranges[middle].to)
            low = middle + 1;
        else
            return true;
    }
    return class->categories && c <= CODE_MAX &&
           (class->categories >> utf8proc_category((utf8proc_int32_t)c) & 1);
}

static void finish_class(struct parser *p, struct regex_class *class)
{
    tidy_ranges(p, class);
    for (uint32_t c = 0; c < 128; c++) {
        bool in = ml_regex_in_class(class, p->ranges, c);

        if (class->folds)
            in = in ||
                 ml_regex_in_class(class, p->ranges,
                                   (uint32_t)utf8proc_tolower((utf8proc_int32_t)c)) ||
                 ml_regex_in_class(class, p->ranges,
                                   (uint32_t)utf8proc_toupper((utf8proc_int32_t)c));
        if (in != class->negated)
            class->ascii[c / 32] |= 1u << (c % 32);
    }
}

static uint16_t begin_class(struct parser *p)
{
    if (p->class_count == CLASSES_MAX) {
        fail(p, ML_ELIMIT, "the pattern is too large");
        p->class_count = 0;
    }
    p->classes[p->class_count] = (struct regex_class){.first = p->range_count, .folds = p->folds};
    return (uint16_t)p->class_count++;
}

static uint16_t class_node(struct parser *p, uint16_t class)
{
    uint16_t node = add_node(p, NODE_ONE);

    finish_class(p, &p->classes[class]);
    node_at(p, node)->inst = (struct regex_inst){.op = OP_CLASS, .x = class};
    return node;
}

/* One member: a character, or a class of its own (then false, and it is in already). */
static bool take_member(struct parser *p, struct regex_class *class, uint32_t *out)
{
    if (!take(p, '\\')) {
        *out = take_code_point(p);
        return true;
    }
    if (p->pos < p->end && add_letter_class(p, *p->pos)) {
        p->pos++;
        return false;
    }
    if (p->pos < p->end && (*p->pos | 0x20) == 'p') {
        bool negated = *p->pos++ == 'P';

        class->categories |= take_category(p, negated);
        return false;
    }
    if (take(p, 'b')) {
        *out = '\b';
        return true;
    }
    *out = take_escaped(p);
    return true;
}

/* Behind the '['. A ']' in front is an empty class, as in JavaScript: it has to be escaped. */
static uint16_t parse_class(struct parser *p)
{
    uint16_t index = begin_class(p);
    struct regex_class *class = &p->classes[index];

    class->negated = take(p, '^');
    while (!take(p, ']')) {
        uint32_t from, to;

        if (p->pos == p->end) {
            fail(p, ML_EFORMAT, "a ']' is missing");
            return class_node(p, index);
        }
        if (!take_member(p, class, &from))
            continue;
        to = from;
        if (p->end - p->pos >= 2 && p->pos[0] == '-' && p->pos[1] != ']') {
            p->pos++;
            if (!take_member(p, class, &to) || to < from)
                fail(p, ML_EFORMAT, "a range goes from a character to a larger one");
        }
        add_range(p, from, to);
    }
    return class_node(p, index);
}

/* ---- Descent ----------------------------------------------------------------------------------
 */

static uint16_t one(struct parser *p, enum regex_op op)
{
    uint16_t node = add_node(p, NODE_ONE);

    node_at(p, node)->inst = (struct regex_inst){.op = (uint8_t)op};
    return node;
}

static uint16_t character(struct parser *p, uint32_t c)
{
    uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    bool folds = p->folds && (lower != c || (uint32_t)utf8proc_toupper((utf8proc_int32_t)c) != c);
    uint16_t node = one(p, folds ? OP_FOLD : OP_CHAR);

    node_at(p, node)->inst.c = folds ? lower : c;
    return node;
}

/* Behind a backslash. */
static uint16_t parse_escape(struct parser *p)
{
    static const struct {
        char letter;
        enum regex_op op;
    } places[] = {{'b', OP_WORD}, {'B', OP_INSIDE}, {'A', OP_BEGIN}, {'z', OP_END}};
    uint16_t index;

    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (take(p, places[i].letter))
            return one(p, places[i].op);
    if (p->pos < p->end && strchr("dDwWsSpP", *p->pos) && *p->pos) {
        uint8_t letter = *p->pos++;

        index = begin_class(p);
        if (!add_letter_class(p, letter))
            p->classes[index].categories = take_category(p, letter == 'P');
        return class_node(p, index);
    }
    return character(p, take_escaped(p));
}

/* Mutual recursion, bounded by `depth`: the one forward declaration this file needs. */
static uint16_t parse_alternatives(struct parser *p);

static bool is_name_letter(uint8_t c, bool first)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static void take_name(struct parser *p)
{
    const uint8_t *from = p->pos;

    while (p->pos < p->end && is_name_letter(*p->pos, p->pos == from))
        p->pos++;
    if (p->pos == from || p->pos - from > 40 || !take(p, '>'))
        fail(p, ML_EFORMAT, "the name of a group is letters, digits and '_'");
}

/* Behind the '('. */
static uint16_t parse_group(struct parser *p)
{
    uint16_t node = add_node(p, NODE_GROUP), child;

    if (++p->depth > DEPTH_MAX) {
        fail(p, ML_ELIMIT, "nested too deeply");
        return node;
    }
    if (looking_at(p, "?:")) {
        p->pos += 2;
    } else {
        if (looking_at(p, "?<") && !looking_at(p, "?<=") && !looking_at(p, "?<!")) {
            p->pos += 2;
            take_name(p);
        } else if (looking_at(p, "?")) {
            fail(p, ML_EFORMAT, "there is no look-around; (?: is a group that keeps nothing");
        }
        if (p->groups == ML_REGEX_GROUPS_MAX)
            fail(p, ML_ELIMIT, "too many groups");
        else
            node_at(p, node)->group = (uint16_t)++p->groups;
    }
    child = parse_alternatives(p);
    node_at(p, node)->child = child;
    if (!take(p, ')'))
        fail(p, ML_EFORMAT, "a ')' is missing");
    p->depth--;
    return node;
}

static uint16_t parse_atom(struct parser *p)
{
    if (take(p, '('))
        return parse_group(p);
    if (take(p, '['))
        return parse_class(p);
    if (take(p, '.'))
        return one(p, p->dot_all ? OP_ALL : OP_ANY);
    if (take(p, '\\'))
        return parse_escape(p);
    if (take(p, '^'))
        return one(p, p->lines ? OP_LINE_BEGIN : OP_BEGIN);
    if (take(p, '$'))
        return one(p, p->lines ? OP_LINE_END : OP_END);
    return character(p, take_code_point(p));
}

/* {n}, {n,} or {n,m} at the position; otherwise nothing is taken. */
static bool take_counts(struct parser *p, uint32_t *min, uint32_t *max)
{
    const uint8_t *from = p->pos;
    uint32_t counts[2] = {0, INFINITE};
    int n = 0;

    if (!take(p, '{'))
        return false;
    for (; n < 2; n++) {
        if (p->pos < p->end && *p->pos >= '0' && *p->pos <= '9')
            counts[n] = 0;
        else if (n == 0)
            break;
        for (; p->pos < p->end && *p->pos >= '0' && *p->pos <= '9'; p->pos++)
            if (counts[n] <= REPEAT_MAX)
                counts[n] = counts[n] * 10 + (uint32_t)(*p->pos - '0');
        if (n == 0 && !take(p, ',')) {
            counts[1] = counts[0];
            n = 2;
        }
    }
    if (n < 2 || !take(p, '}')) {
        p->pos = from;
        return false;
    }
    if (counts[0] > REPEAT_MAX || (counts[1] != INFINITE && counts[1] > REPEAT_MAX))
        fail(p, ML_ELIMIT, "at most 1000 repetitions");
    else if (counts[1] < counts[0])
        fail(p, ML_EFORMAT, "a repetition goes from few to many");
    *min = counts[0];
    *max = counts[1];
    return true;
}

static bool take_quantifier(struct parser *p, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = INFINITE;
    if (take(p, '*'))
        return true;
    if (take(p, '+')) {
        *min = 1;
        return true;
    }
    if (take(p, '?')) {
        *max = 1;
        return true;
    }
    return take_counts(p, min, max);
}

static bool is_place(const struct node *node)
{
    return node->kind == NODE_ONE && node->inst.op >= OP_BEGIN && node->inst.op <= OP_INSIDE;
}

static uint16_t parse_repeated(struct parser *p)
{
    uint16_t atom, repeat;
    uint32_t min, max;

    if (take_quantifier(p, &min, &max)) {
        fail(p, ML_EFORMAT, "nothing to repeat");
        return add_node(p, NODE_EMPTY);
    }
    atom = parse_atom(p);
    if (!take_quantifier(p, &min, &max))
        return atom;
    if (is_place(node_at(p, atom)))
        fail(p, ML_EFORMAT, "nothing to repeat");
    repeat = add_node(p, NODE_REPEAT);
    *node_at(p, repeat) = (struct node){
        .kind = NODE_REPEAT, .min = min, .max = max, .child = atom, .lazy = take(p, '?')};
    if (take_quantifier(p, &min, &max))
        fail(p, ML_EFORMAT, "nothing to repeat");
    return repeat;
}

static uint16_t parse_sequence(struct parser *p)
{
    uint16_t sequence = add_node(p, NODE_SEQ), last = 0;

    while (p->pos < p->end && *p->pos != '|' && *p->pos != ')') {
        uint16_t next = parse_repeated(p);

        if (last)
            node_at(p, last)->next = next;
        else
            node_at(p, sequence)->child = next;
        last = next;
    }
    return sequence;
}

static uint16_t parse_alternatives(struct parser *p)
{
    uint16_t first = parse_sequence(p), alternatives, last = first;

    if (p->pos == p->end || *p->pos != '|')
        return first;
    alternatives = add_node(p, NODE_ALT);
    node_at(p, alternatives)->child = first;
    while (take(p, '|')) {
        uint16_t next = parse_sequence(p);

        node_at(p, last)->next = next;
        last = next;
    }
    return alternatives;
}

static void take_flags(struct parser *p)
{
    p->folds = p->lines = p->dot_all = false;
    if (p->end - p->pos < 4 || p->pos[0] != '(' || p->pos[1] != '?' || !strchr("ims", p->pos[2]))
        return;
    for (p->pos += 2; p->pos < p->end && *p->pos != ')'; p->pos++) {
        p->folds |= *p->pos == 'i';
        p->lines |= *p->pos == 'm';
        p->dot_all |= *p->pos == 's';
        if (!strchr("ims", *p->pos) || !*p->pos) {
            fail(p, ML_EFORMAT, "the flags are i, m and s");
            return;
        }
    }
    if (!take(p, ')'))
        fail(p, ML_EFORMAT, "a ')' is missing");
}

/* ---- Emission ---------------------------------------------------------------------------------
 */

static uint16_t emit(struct parser *p, struct regex_inst inst)
{
    if (p->inst_count >= p->inst_max) {
        fail(p, ML_ELIMIT, "the pattern is too large");
        return 0;
    }
    p->insts[p->inst_count] = inst;
    return (uint16_t)p->inst_count++;
}

static bool can_be_empty(struct parser *p, uint16_t index)
{
    const struct node *node = node_at(p, index);
    bool any = false, all = true;

    switch ((enum node_kind)node->kind) {
    case NODE_ONE:
        return is_place(node);
    case NODE_REPEAT:
        return node->min == 0 || can_be_empty(p, node->child);
    case NODE_EMPTY:
        return true;
    case NODE_SEQ:
    case NODE_ALT:
    case NODE_GROUP:
        for (uint16_t child = node->child; child; child = node_at(p, child)->next) {
            bool empty = can_be_empty(p, child);

            any |= empty;
            all &= empty;
        }
        return node->kind == NODE_ALT ? any : all;
    }
    return true;
}

static void emit_node(struct parser *p, uint16_t index);

static void set_split(struct parser *p, uint16_t at, uint16_t body, uint16_t after, bool lazy)
{
    if (p->err)
        return;
    p->insts[at].x = lazy ? after : body;
    p->insts[at].y = lazy ? body : after;
}

/* x*:  L: SPLIT body, after; body; JUMP L */
static void emit_star(struct parser *p, const struct node *node)
{
    uint16_t split = emit(p, (struct regex_inst){.op = OP_SPLIT});

    emit_node(p, node->child);
    emit(p, (struct regex_inst){.op = OP_JUMP, .x = split});
    set_split(p, split, (uint16_t)(split + 1), (uint16_t)p->inst_count, node->lazy);
}

static void emit_repeat(struct parser *p, struct node node)
{
    uint32_t min = node.min;
    uint16_t splits[REPEAT_MAX], n = 0, begin = 0;
    bool plus = node.max == INFINITE && min > 0 && !can_be_empty(p, node.child);

    for (uint32_t i = 0; i < min && !p->err; i++) {
        begin = (uint16_t)p->inst_count;
        emit_node(p, node.child);
    }
    if (plus) { /* the last copy again */
        uint16_t split = emit(p, (struct regex_inst){.op = OP_SPLIT});

        set_split(p, split, begin, (uint16_t)(split + 1), node.lazy);
        return;
    }
    if (node.max == INFINITE) {
        emit_star(p, &node);
        return;
    }
    for (uint32_t i = min; i < node.max && !p->err; i++) {
        splits[n++] = emit(p, (struct regex_inst){.op = OP_SPLIT});
        emit_node(p, node.child);
    }
    while (n > 0) {
        n--;
        set_split(p, splits[n], (uint16_t)(splits[n] + 1), (uint16_t)p->inst_count, node.lazy);
    }
}

static void emit_alternatives(struct parser *p, uint16_t first)
{
    uint16_t jumps = 0; /* a chain through x of the jumps to the end */

    for (uint16_t child = first; child && !p->err; child = node_at(p, child)->next) {
        uint16_t split = 0;

        if (node_at(p, child)->next)
            split = emit(p, (struct regex_inst){.op = OP_SPLIT});
        emit_node(p, child);
        if (!node_at(p, child)->next)
            break;
        jumps = emit(p, (struct regex_inst){.op = OP_JUMP, .x = jumps});
        set_split(p, split, (uint16_t)(split + 1), (uint16_t)p->inst_count, false);
    }
    while (jumps && !p->err) {
        uint16_t next = p->insts[jumps].x;

        p->insts[jumps].x = (uint16_t)p->inst_count;
        jumps = next;
    }
}

static void emit_node(struct parser *p, uint16_t index)
{
    struct node node = *node_at(p, index);

    if (p->err)
        return;
    switch ((enum node_kind)node.kind) {
    case NODE_EMPTY:
        break;
    case NODE_ONE:
        emit(p, node.inst);
        break;
    case NODE_GROUP:
        if (node.group)
            emit(p, (struct regex_inst){.op = OP_SAVE, .x = (uint16_t)(node.group * 2)});
        emit_node(p, node.child);
        if (node.group)
            emit(p, (struct regex_inst){.op = OP_SAVE, .x = (uint16_t)(node.group * 2 + 1)});
        break;
    case NODE_SEQ:
        for (uint16_t child = node.child; child; child = node_at(p, child)->next)
            emit_node(p, child);
        break;
    case NODE_ALT:
        emit_alternatives(p, node.child);
        break;
    case NODE_REPEAT:
        emit_repeat(p, node);
        break;
    }
}

/* ---- What a match may begin with
 * ------------------------------------------------------------------ */

static void may_begin(struct ml_regex *re, unsigned from, unsigned to)
{
    for (unsigned b = from; b <= to; b++)
        re->begins[b / 32] |= 1u << (b % 32);
}

/* Everything errs on the side of more. */
static void begins_with(struct ml_regex *re, const struct regex_inst *inst)
{
    const struct regex_class *class = &regex_classes(re)[inst->x];
    uint8_t bytes[4];

    switch (inst->op) {
    case OP_CHAR:
        if (inst->c >= 0xd800 && inst->c <= 0xdfff)
            return; /* half a pair: no text has it */
        (void)ml_utf8_put(inst->c, bytes);
        may_begin(re, bytes[0], bytes[0]);
        return;
    case OP_FOLD:
        if (inst->c < 0x80) {
            unsigned upper = (unsigned)utf8proc_toupper((utf8proc_int32_t)inst->c) & 0x7f;

            may_begin(re, inst->c, inst->c);
            may_begin(re, upper, upper);
        }
        may_begin(re, 0x80, 0xff);
        return;
    case OP_CLASS:
        for (unsigned c = 0; c < 128; c++)
            if (class->ascii[c / 32] >> (c % 32) & 1)
                may_begin(re, c, c);
        may_begin(re, 0x80, 0xff);
        return;
    default:
        may_begin(re, 0, 0xff);
    }
}

/* Walk what is reachable without taking a character. */
static void find_begins(struct ml_regex *re, struct ml_arena *scratch, enum ml_err *err)
{
    const struct regex_inst *insts = regex_insts(re);
    bool *seen = ml_arena_array(scratch, re->inst_count, sizeof(*seen));
    uint16_t *stack = ml_arena_array(scratch, re->inst_count * 2 + 1, sizeof(*stack));
    size_t n = 0;

    if (!seen || !stack) {
        *err = ML_ELIMIT;
        return;
    }
    re->skips = true;
    stack[n++] = 0;
    while (n > 0) {
        uint16_t at = stack[--n];

        if (seen[at])
            continue;
        seen[at] = true;
        switch (insts[at].op) {
        case OP_MATCH:
            re->skips = false;
            break;
        case OP_JUMP:
            stack[n++] = insts[at].x;
            break;
        case OP_SPLIT:
            stack[n++] = insts[at].x;
            stack[n++] = insts[at].y;
            break;
        case OP_SAVE:
        case OP_BEGIN:
        case OP_END:
        case OP_LINE_BEGIN:
        case OP_LINE_END:
        case OP_WORD:
        case OP_INSIDE:
            stack[n++] = (uint16_t)(at + 1);
            break;
        default:
            begins_with(re, &insts[at]);
        }
    }
}

/* ---- Together ---------------------------------------------------------------------------------
 */

/* One pattern behind what is there; `split` leads to it if others follow. */
static void compile_one(struct parser *p, struct ml_slice pattern, unsigned number, bool saves)
{
    uint16_t root;

    p->start = p->pos = pattern.ptr;
    p->end = pattern.len ? pattern.ptr + pattern.len : pattern.ptr;
    p->node_count = p->groups = p->depth = 0;
    if (pattern.len > ML_REGEX_PATTERN_MAX)
        fail(p, ML_ELIMIT, "a pattern has at most 4096 bytes");
    else if (!ml_utf8_check(pattern, NULL))
        fail(p, ML_EFORMAT, "a pattern is UTF-8 text");
    if (p->err)
        return;
    take_flags(p);
    root = parse_alternatives(p);
    if (p->pos < p->end)
        fail(p, ML_EFORMAT, "a '(' is missing");
    if (p->err)
        return;
    if (saves)
        emit(p, (struct regex_inst){.op = OP_SAVE, .x = 0});
    emit_node(p, root);
    if (saves)
        emit(p, (struct regex_inst){.op = OP_SAVE, .x = 1});
    emit(p, (struct regex_inst){.op = OP_MATCH, .x = (uint16_t)number});
}

static enum ml_err put_together(struct parser *p, size_t count, struct ml_arena *scratch,
                                const struct ml_regex **out)
{
    size_t insts = p->inst_count * sizeof(*p->insts);
    size_t classes = p->class_count * sizeof(*p->classes);
    size_t ranges = p->range_count * sizeof(*p->ranges);
    size_t bytes = sizeof(struct ml_regex) + insts + classes + ranges;
    struct ml_regex *re = ml_arena_alloc(scratch, bytes);
    enum ml_err err = ML_OK;

    if (!re)
        return ML_ELIMIT;
    *re = (struct ml_regex){
        .bytes = (uint32_t)bytes,
        .inst_count = p->inst_count,
        .class_count = p->class_count,
        .range_count = p->range_count,
        .patterns = (uint32_t)count,
        .groups = count == 1 ? p->groups : 0,
    };
    memcpy((void *)(uintptr_t)regex_insts(re), p->insts, insts);
    if (classes)
        memcpy((void *)(uintptr_t)regex_classes(re), p->classes, classes);
    if (ranges)
        memcpy((void *)(uintptr_t)regex_ranges(re), p->ranges, ranges);
    if (re->inst_count > 0)
        find_begins(re, scratch, &err);
    *out = re;
    return err;
}

static bool make_room(struct parser *p, struct ml_arena *scratch)
{
    p->nodes = ml_arena_take(scratch, NODES_MAX * sizeof(*p->nodes));
    p->insts = ml_arena_take(scratch, (size_t)p->inst_max * sizeof(*p->insts));
    p->classes = ml_arena_take(scratch, CLASSES_MAX * sizeof(*p->classes));
    p->ranges = ml_arena_take(scratch, RANGES_MAX * sizeof(*p->ranges));
    return p->nodes && p->insts && p->classes && p->ranges;
}

enum ml_err ml_regex_compile(const struct ml_slice *patterns, size_t count,
                             struct ml_arena *scratch, const struct ml_regex **regex_out,
                             struct ml_diag *diag)
{
    struct ml_diag own = {0};
    struct parser p = {.diag = diag ? diag : &own, .inst_max = count == 1 ? PROGRAM_MAX : SET_MAX};

    if (count > ML_REGEX_SET_MAX)
        return ml_diag_set(p.diag, ML_ELIMIT, 0, "a set has at most %d patterns", ML_REGEX_SET_MAX);
    if (!make_room(&p, scratch))
        return ml_diag_set(p.diag, ML_ELIMIT, 0, "out of memory");
    for (size_t i = 0; i < count && !p.err; i++) {
        uint16_t split = 0;

        if (i + 1 < count)
            split = emit(&p, (struct regex_inst){.op = OP_SPLIT});
        compile_one(&p, patterns[i], (unsigned)i, count == 1);
        if (i + 1 < count)
            set_split(&p, split, (uint16_t)(split + 1), (uint16_t)p.inst_count, false);
        if (p.err && count > 1) {
            char why[200];

            snprintf(why, sizeof(why), "%.190s", p.diag->text);
            return ml_diag_set(p.diag, p.err, p.diag->offset, "pattern %zu: %s", i + 1, why);
        }
    }
    if (count == 1 && !p.err && p.inst_count * 2 * (p.groups + 1) > WORK_MAX)
        fail(&p, ML_ELIMIT, "the pattern is too large for so many groups");
    if (p.err)
        return p.err;
    return put_together(&p, count, scratch, regex_out);
}

size_t ml_regex_bytes(const struct ml_regex *regex)
{
    return regex->bytes;
}

unsigned ml_regex_count(const struct ml_regex *regex)
{
    return regex->patterns;
}

unsigned ml_regex_groups(const struct ml_regex *regex)
{
    return regex->groups;
}
