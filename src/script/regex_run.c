/* SPDX-License-Identifier: MIT */
/*
 * All ways through a program at once, a character at a time.
 *
 * Source: Pike's virtual machine (R. Cox, "Regular Expression Matching: the Virtual Machine
 * Approach", 2009): threads in order of priority, each instruction at most once per position.
 *
 *   position:      0        1        2
 *   threads now:  [3 7 9]  [4 9]    [4 MATCH 9]    <- what stands behind a match has lost
 *
 *  [P1] One position costs at most one visit per instruction; a visit copies `slots` positions.
 *  [P2] Where no thread is alive, the text is skipped to a byte that a match may begin with.
 *  [P3] Memory is the caller's; `tick` may leave at any time.
 */
#include "script/regex_program.h"

#include <utf8proc.h>

#include "base/utf8.h"

#define TICK_STEPS   4096
#define BROKEN       0x110000u /* + the byte: one that is no UTF-8 */
#define NO_CHARACTER UINT32_MAX

struct threads {
    uint16_t *dense; /* instructions in order of priority */
    uint16_t *where; /* by instruction: its place in `dense`, if that says so, too */
    size_t *slots;   /* by place */
    unsigned count;
};

/* To be visited: an instruction, or a slot to be put back. */
struct todo {
    uint16_t inst, slot;
    size_t value; /* of the slot; TO_VISIT: an instruction */
};
#define TO_VISIT (SIZE_MAX - 1)

struct machine {
    const struct ml_regex *re;
    const struct regex_inst *insts;
    const struct ml_regex_run *run;
    struct ml_slice text;
    unsigned slots, steps;
    struct threads now, next;
    struct todo *todo;
    size_t *current; /* slots of the thread that is being followed */
};

static size_t align(size_t bytes)
{
    return (bytes + sizeof(size_t) - 1) / sizeof(size_t) * sizeof(size_t);
}

size_t ml_regex_memory(const struct ml_regex *regex, unsigned slots)
{
    size_t n = regex->inst_count;

    return 4 * align(n * sizeof(uint16_t)) + 2 * n * slots * sizeof(size_t) +
           (2 * n + 2) * sizeof(struct todo) + (slots + 1) * sizeof(size_t);
}

static void begin(struct machine *m, const struct ml_regex *re, struct ml_slice text,
                  const struct ml_regex_run *run, unsigned slots)
{
    size_t n = re->inst_count;
    char *at = run->memory;
    struct threads *both[2] = {&m->now, &m->next};

    *m = (struct machine){
        .re = re, .insts = regex_insts(re), .run = run, .text = text, .slots = slots};
    m->todo = (struct todo *)(void *)at;
    at += (2 * n + 2) * sizeof(struct todo);
    m->current = (size_t *)(void *)at;
    at += (slots + 1) * sizeof(size_t);
    for (int i = 0; i < 2; i++) {
        both[i]->slots = (size_t *)(void *)at;
        at += n * slots * sizeof(size_t);
        both[i]->dense = (uint16_t *)(void *)at;
        at += align(n * sizeof(uint16_t));
        both[i]->where = (uint16_t *)(void *)at;
        at += align(n * sizeof(uint16_t));
        /* What `where` says is checked against `dense`: any value will do, but it must be one. */
        memset(both[i]->where, 0, n * sizeof(uint16_t));
    }
}

/* ---- Characters -------------------------------------------------------------------------------
 */

/* The character at byte `at`, and its length. */
static uint32_t character_at(struct ml_slice text, size_t at, size_t *len_out)
{
    uint8_t c = text.ptr[at];
    size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    uint32_t code;

    *len_out = 1;
    if (len == 1)
        return c;
    if (len == 0 || text.len - at < len || !ml_utf8_check(ml_slice_make(text.ptr + at, len), NULL))
        return BROKEN + c;
    *len_out = ml_utf8_get(text.ptr + at, &code);
    return code;
}

static bool is_word_byte(struct ml_slice text, size_t at)
{
    uint8_t c = at < text.len ? text.ptr[at] : 0;

    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80) ||
           c == '_';
}

static uint32_t lower(uint32_t c)
{
    return c < BROKEN ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)c) : c;
}

static bool in_class(const struct ml_regex *re, unsigned index, uint32_t c)
{
    const struct regex_class *class = &regex_classes(re)[index];
    const struct regex_range *ranges = regex_ranges(re);
    bool in;

    if (c < 128)
        return class->ascii[c / 32] >> (c % 32) & 1;
    in = ml_regex_in_class(class, ranges, c);
    if (!in && class->folds && c < BROKEN)
        in = ml_regex_in_class(class, ranges, lower(c)) ||
             ml_regex_in_class(class, ranges, (uint32_t)utf8proc_toupper((utf8proc_int32_t)c));
    return in != class->negated;
}

static bool takes(const struct machine *m, const struct regex_inst *inst, uint32_t c)
{
    switch (inst->op) {
    case OP_CHAR:
        return c == inst->c;
    case OP_FOLD:
        return lower(c) == inst->c;
    case OP_ANY:
        return c != '\n';
    case OP_ALL:
        return true;
    default:
        return in_class(m->re, inst->x, c);
    }
}

static bool is_at_place(const struct machine *m, uint8_t op, size_t at)
{
    struct ml_slice text = m->text;
    bool edge = is_word_byte(text, at) != (at > 0 && is_word_byte(text, at - 1));

    switch (op) {
    case OP_BEGIN:
        return at == 0;
    case OP_END:
        return at == text.len;
    case OP_LINE_BEGIN:
        return at == 0 || text.ptr[at - 1] == '\n';
    case OP_LINE_END:
        return at == text.len || text.ptr[at] == '\n';
    case OP_WORD:
        return edge;
    default:
        return !edge;
    }
}

/* ---- Threads ----------------------------------------------------------------------------------
 */

static bool visit(struct threads *list, uint16_t inst)
{
    unsigned place = list->where[inst];

    if (place < list->count && list->dense[place] == inst)
        return false;
    list->where[inst] = (uint16_t)list->count;
    list->dense[list->count++] = inst;
    return true;
}

static void step(struct machine *m)
{
    if (++m->steps % TICK_STEPS == 0 && m->run->tick)
        m->run->tick(m->run->tick_arg);
}

/* Follow `inst` to all that takes a character or ends; m->current holds the thread's slots. */
static void follow(struct machine *m, struct threads *list, uint16_t inst, size_t at)
{
    unsigned n = 0;

    m->todo[n++] = (struct todo){inst, 0, TO_VISIT};
    while (n > 0) {
        struct todo todo = m->todo[--n];
        uint16_t i = todo.inst;

        if (todo.value != TO_VISIT) {
            m->current[todo.slot] = todo.value;
            continue;
        }
        while (visit(list, i)) {
            const struct regex_inst *in = &m->insts[i];

            step(m);
            if (in->op == OP_JUMP) {
                i = in->x;
            } else if (in->op == OP_SPLIT) {
                m->todo[n++] = (struct todo){in->y, 0, TO_VISIT};
                i = in->x;
            } else if (in->op == OP_SAVE) {
                if (in->x < m->slots) {
                    m->todo[n++] = (struct todo){0, in->x, m->current[in->x]};
                    m->current[in->x] = at;
                }
                i++;
            } else if (in->op >= OP_BEGIN && in->op <= OP_INSIDE) {
                if (!is_at_place(m, in->op, at))
                    break;
                i++;
            } else {
                if (m->slots)
                    memcpy(list->slots + (size_t)(list->count - 1) * m->slots, m->current,
                           m->slots * sizeof(size_t));
                break;
            }
        }
    }
}

/* The next byte from `at` that a match may begin with. */
static size_t skip(const struct machine *m, size_t at)
{
    const uint32_t *begins = m->re->begins;

    while (at < m->text.len && !(begins[m->text.ptr[at] / 32] >> (m->text.ptr[at] % 32) & 1))
        at++;
    return at;
}

static void swap(struct machine *m)
{
    struct threads list = m->now;

    m->now = m->next;
    m->next = list;
    m->next.count = 0;
}

/* A new thread from the first instruction. */
static void begin_thread(struct machine *m, size_t at)
{
    for (unsigned i = 0; i < m->slots; i++)
        m->current[i] = ML_REGEX_NONE;
    follow(m, &m->now, 0, at);
}

bool ml_regex_find(const struct ml_regex *regex, struct ml_slice text, size_t from,
                   const struct ml_regex_run *run, unsigned slots, size_t *slots_out)
{
    struct machine m;
    bool found = false;
    size_t at = from;

    begin(&m, regex, text, run, slots);
    for (;;) {
        size_t len = 1;
        uint32_t c;

        if (m.now.count == 0 && found)
            return true;
        if (m.now.count == 0 && regex->skips)
            at = skip(&m, at);
        if (!found)
            begin_thread(&m, at);
        c = at < text.len ? character_at(text, at, &len) : NO_CHARACTER;
        for (unsigned i = 0; i < m.now.count; i++) {
            const struct regex_inst *inst = &m.insts[m.now.dense[i]];

            step(&m);
            if (inst->op == OP_MATCH) {
                if (slots)
                    memcpy(slots_out, m.now.slots + (size_t)i * slots, slots * sizeof(size_t));
                found = true;
                break;
            }
            if (inst->op > OP_CLASS || c == NO_CHARACTER || !takes(&m, inst, c))
                continue;
            if (slots)
                memcpy(m.current, m.now.slots + (size_t)i * slots, slots * sizeof(size_t));
            follow(&m, &m.next, (uint16_t)(m.now.dense[i] + 1), at + len);
        }
        if (found && slots == 0)
            return true;
        if (at >= text.len)
            return found;
        swap(&m);
        at += len;
    }
}

bool ml_regex_which(const struct ml_regex *regex, struct ml_slice text,
                    const struct ml_regex_run *run, bool first, bool *hits)
{
    struct machine m;
    bool found = false;
    size_t at = 0;
    unsigned missing = regex->patterns;

    if (regex->patterns == 0)
        return false;
    begin(&m, regex, text, run, 0);
    for (;;) {
        size_t len = 1;
        uint32_t c;

        if (m.now.count == 0 && regex->skips)
            at = skip(&m, at);
        begin_thread(&m, at);
        c = at < text.len ? character_at(text, at, &len) : NO_CHARACTER;
        for (unsigned i = 0; i < m.now.count; i++) {
            const struct regex_inst *inst = &m.insts[m.now.dense[i]];

            step(&m);
            if (inst->op == OP_MATCH) {
                found = true;
                if (first)
                    return true;
                missing -= !hits[inst->x];
                hits[inst->x] = true;
                if (missing == 0)
                    return true;
            } else if (inst->op <= OP_CLASS && c != NO_CHARACTER && takes(&m, inst, c)) {
                follow(&m, &m.next, (uint16_t)(m.now.dense[i] + 1), at + len);
            }
        }
        if (at >= text.len)
            return found;
        swap(&m);
        at += len;
    }
}
