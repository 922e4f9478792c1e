/* SPDX-License-Identifier: MIT */
/*
 * string.find, match, gmatch and gsub on a matcher that can be stopped.
 *
 * Same language as Lua 5.1's patterns (reference manual 5.4.1, with %g of 5.2). Different inside: a
 * pattern is first turned into a row of items, then run by a loop with its own stack of choices
 * instead of recursion, and every step is counted.
 *
 *   "(%a+)=(%d-)$"  ->  OPEN 0 | one(%a)+ | CLOSE 0 | one(=) | OPEN 1 | one(%d)- | CLOSE 1 | END
 *
 *  [M1] There is no repetition over groups, so along one path each item leaves at most one choice:
 *       the stack of choices is never longer than the row.
 *  [M2] A call may take 1 000 000 steps plus 4 per byte of its subject (gmatch: each step of the
 *       loop). What is linear always fits; a?a?a?…aaa does not.
 *  [M3] Every 4096 steps the time limit is looked at.
 *  [M4] No memory outside Lua is held across anything that may raise.
 */
#include "script/state.h"

#include <ctype.h>

#define STEPS_PER_CALL 1000000u
#define STEPS_PER_BYTE 4u
#define CHECK_STEPS    4096u
#define CAPTURES_MAX   32
#define ITEMS_MAX      256
#define PATTERN_MAX    4096
#define SHORT_MAX      256u     /* bytes that are looked through byte by byte */
#define POSITION       SIZE_MAX /* length of a position capture */
#define UNCLOSED       (SIZE_MAX - 1)

enum item_kind {
    ITEM_ONE,
    ITEM_OPEN,
    ITEM_POSITION,
    ITEM_CLOSE,
    ITEM_BALANCE,
    ITEM_FRONTIER,
    ITEM_BACK,
    ITEM_END
};

struct item {
    uint8_t kind;
    uint8_t repeat; /* of ITEM_ONE: 0, '*', '+', '-' or '?' */
    uint8_t capture;
    uint16_t from, to; /* the class in the pattern, or the two bytes of %bxy */
};

struct pattern {
    const uint8_t *text;
    struct item items[ITEMS_MAX];
    unsigned count, captures;
    bool anchored;
};

struct capture {
    size_t start, len;
};

struct choice {
    uint16_t item;
    size_t low, at; /* greedy: shortest end, present end; lazy and '?': present end */
};

struct matcher {
    lua_State *L;
    const struct ml_budget *budget;
    const uint8_t *subject;
    size_t len;
    uint64_t steps_left;
    struct capture captures[CAPTURES_MAX];
    struct choice choices[ITEMS_MAX];
    struct pattern pattern;
};

/* ---- From text to items ------------------------------------------------------------------------
 */

/* End of the class that begins at `p`: a byte, '.', %x or [set]. */
static size_t class_end(lua_State *L, const uint8_t *text, size_t len, size_t p)
{
    if (text[p] == '%') {
        if (p + 1 >= len)
            luaL_error(L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (text[p] != '[')
        return p + 1;
    p++;
    if (p < len && text[p] == '^')
        p++;
    for (bool first = true; p < len; first = false) {
        if (text[p] == ']' && !first)
            return p + 1;
        p += text[p] == '%' ? 2 : 1;
    }
    luaL_error(L, "malformed pattern (missing ']')");
    return 0;
}

static struct item *add_item(lua_State *L, struct pattern *out, enum item_kind kind)
{
    struct item *item;

    if (out->count == ITEMS_MAX)
        luaL_error(L, "pattern too long (more than %d items)", ITEMS_MAX);
    item = &out->items[out->count++];
    *item = (struct item){.kind = (uint8_t)kind};
    return item;
}

/* The innermost capture that is open. */
static unsigned close_capture(lua_State *L, const bool *open, unsigned count)
{
    while (count-- > 0) {
        if (open[count])
            return count;
    }
    luaL_error(L, "invalid pattern capture");
    return 0;
}

/* `may_anchor`: a '^' in front is an anchor; gmatch takes it as itself, as in Lua 5.1. */
static void parse(lua_State *L, struct pattern *out, const uint8_t *text, size_t len,
                  bool may_anchor)
{
    bool open[CAPTURES_MAX] = {false};
    size_t p = 0;

    if (len > PATTERN_MAX)
        luaL_error(L, "pattern too long (more than %d bytes)", PATTERN_MAX);
    out->text = text;
    out->count = out->captures = 0;
    out->anchored = may_anchor && len > 0 && text[0] == '^';
    if (out->anchored)
        p++;
    while (p < len) {
        if (text[p] == '(') {
            bool position = p + 1 < len && text[p + 1] == ')';
            struct item *item = add_item(L, out, position ? ITEM_POSITION : ITEM_OPEN);

            if (out->captures == CAPTURES_MAX)
                luaL_error(L, "too many captures");
            open[out->captures] = !position;
            item->capture = (uint8_t)out->captures++;
            p += position ? 2 : 1;
        } else if (text[p] == ')') {
            unsigned capture = close_capture(L, open, out->captures);

            open[capture] = false;
            add_item(L, out, ITEM_CLOSE)->capture = (uint8_t)capture;
            p++;
        } else if (text[p] == '$' && p + 1 == len) {
            add_item(L, out, ITEM_END);
            p++;
        } else if (text[p] == '%' && p + 1 < len && text[p + 1] == 'b') {
            struct item *item = add_item(L, out, ITEM_BALANCE);

            if (p + 3 >= len)
                luaL_error(L, "malformed pattern (missing arguments to '%%b')");
            item->from = text[p + 2];
            item->to = text[p + 3];
            p += 4;
        } else if (text[p] == '%' && p + 1 < len && text[p + 1] == 'f') {
            struct item *item = add_item(L, out, ITEM_FRONTIER);

            if (p + 2 >= len || text[p + 2] != '[')
                luaL_error(L, "missing '[' after '%%f' in pattern");
            item->from = (uint16_t)(p + 2);
            p = class_end(L, text, len, p + 2);
            item->to = (uint16_t)p;
        } else if (text[p] == '%' && p + 1 < len && isdigit(text[p + 1])) {
            struct item *item = add_item(L, out, ITEM_BACK);
            unsigned capture = (unsigned)(text[p + 1] - '1');

            if (text[p + 1] == '0' || capture >= out->captures || open[capture])
                luaL_error(L, "invalid capture index");
            item->capture = (uint8_t)capture;
            p += 2;
        } else {
            struct item *item = add_item(L, out, ITEM_ONE);

            item->from = (uint16_t)p;
            p = class_end(L, text, len, p);
            item->to = (uint16_t)p;
            if (p < len && strchr("*+-?", text[p]) && text[p])
                item->repeat = text[p++];
        }
    }
    for (unsigned i = 0; i < out->captures; i++) {
        if (open[i])
            luaL_error(L, "unfinished capture");
    }
}

/* ---- One byte against one class
 * ------------------------------------------------------------------ */

static bool in_letter_class(uint8_t c, uint8_t letter)
{
    bool in;

    switch (tolower(letter)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z':
        in = c == 0;
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !in : in;
}

/* `from` is the '[', `to` behind the ']'. */
static bool in_set(const uint8_t *text, size_t from, size_t to, uint8_t c)
{
    size_t p = from + 1, end = to - 1;
    bool negated = text[p] == '^';

    if (negated)
        p++;
    while (p < end) {
        if (text[p] == '%') {
            if (in_letter_class(c, text[p + 1]))
                return !negated;
            p += 2;
        } else if (p + 2 < end && text[p + 1] == '-') {
            if (text[p] <= c && c <= text[p + 2])
                return !negated;
            p += 3;
        } else {
            if (text[p] == c)
                return !negated;
            p++;
        }
    }
    return negated;
}

static void count_steps(struct matcher *m, uint64_t steps)
{
    uint64_t before = m->steps_left;

    if (steps > before)
        luaL_error(m->L, "pattern too costly (more than %d steps)", (int)STEPS_PER_CALL);
    m->steps_left = before - steps;
    if (before / CHECK_STEPS != m->steps_left / CHECK_STEPS)
        ml_budget_check(m->budget, m->L);
}

static bool one_matches(struct matcher *m, const struct item *item, size_t at)
{
    const uint8_t *text = m->pattern.text;
    uint8_t c;

    if (at >= m->len)
        return false;
    c = m->subject[at];
    switch (text[item->from]) {
    case '.':
        return true;
    case '%':
        return in_letter_class(c, text[item->from + 1]);
    case '[':
        count_steps(m, (uint64_t)(item->to - item->from) / 8);
        return in_set(text, item->from, item->to, c);
    default:
        return text[item->from] == c;
    }
}

static bool balance_matches(struct matcher *m, const struct item *item, size_t *at)
{
    size_t depth = 1, p = *at;

    if (p >= m->len || m->subject[p] != item->from)
        return false;
    while (++p < m->len) {
        count_steps(m, 1);
        if (m->subject[p] == item->to) {
            if (--depth == 0) {
                *at = p + 1;
                return true;
            }
        } else if (m->subject[p] == item->from) {
            depth++;
        }
    }
    return false;
}

static bool frontier_matches(struct matcher *m, const struct item *item, size_t at)
{
    uint8_t before = at == 0 ? 0 : m->subject[at - 1];
    uint8_t after = at < m->len ? m->subject[at] : 0;

    count_steps(m, (uint64_t)(item->to - item->from) / 8);
    return !in_set(m->pattern.text, item->from, item->to, before) &&
           in_set(m->pattern.text, item->from, item->to, after);
}

static bool back_matches(struct matcher *m, const struct item *item, size_t *at)
{
    struct capture capture = m->captures[item->capture];

    if (capture.len == POSITION)
        luaL_error(m->L, "invalid capture index");
    count_steps(m, capture.len / 16);
    if (m->len - *at < capture.len ||
        memcmp(m->subject + capture.start, m->subject + *at, capture.len) != 0)
        return false;
    *at += capture.len;
    return true;
}

/* ---- The run -----------------------------------------------------------------------------------
 */

/* First end of a repeated byte; leaves a choice if there are more. */
static bool begin_repeat(struct matcher *m, unsigned i, size_t *at, unsigned *choices)
{
    const struct item *item = &m->pattern.items[i];
    size_t low = *at, p = *at;

    if (item->repeat == '-') {
        m->choices[(*choices)++] = (struct choice){(uint16_t)i, 0, p};
        return true;
    }
    if (item->repeat == '?') {
        if (one_matches(m, item, p)) {
            m->choices[(*choices)++] = (struct choice){(uint16_t)i, p, p + 1};
            *at = p + 1;
        }
        return true;
    }
    while (one_matches(m, item, p)) {
        count_steps(m, 1);
        p++;
    }
    if (item->repeat == '+') {
        if (p == low)
            return false;
        low++;
    }
    if (p > low)
        m->choices[(*choices)++] = (struct choice){(uint16_t)i, low, p};
    *at = p;
    return true;
}

/* Take the newest choice another way. False: none is left. */
static bool back_up(struct matcher *m, unsigned *i, size_t *at, unsigned *choices)
{
    while (*choices > 0) {
        struct choice *choice = &m->choices[*choices - 1];
        const struct item *item = &m->pattern.items[choice->item];

        count_steps(m, 1);
        if (item->repeat == '-') {
            if (!one_matches(m, item, choice->at)) {
                (*choices)--;
                continue;
            }
            choice->at++;
        } else {
            choice->at--;
            if (choice->at == choice->low)
                (*choices)--;
        }
        *at = choice->at; /* a popped choice is still there to be read */
        *i = choice->item + 1u;
        return true;
    }
    return false;
}

/*
 * Captures need no undoing: an item writes its own capture each time the path runs over it, and
 * every path to a later item runs over all earlier ones.
 */
static bool match_at(struct matcher *m, size_t start, size_t *end_out)
{
    const struct pattern *pattern = &m->pattern;
    unsigned i = 0, choices = 0;
    size_t at = start;

    for (;;) {
        bool ok = true;

        if (i == pattern->count) {
            *end_out = at;
            return true;
        }
        const struct item *item = &pattern->items[i];

        count_steps(m, 1);
        switch ((enum item_kind)item->kind) {
        case ITEM_ONE:
            if (item->repeat) {
                ok = begin_repeat(m, i, &at, &choices);
            } else {
                ok = one_matches(m, item, at);
                at += ok;
            }
            break;
        case ITEM_OPEN:
            m->captures[item->capture] = (struct capture){at, UNCLOSED};
            break;
        case ITEM_POSITION:
            m->captures[item->capture] = (struct capture){at, POSITION};
            break;
        case ITEM_CLOSE:
            m->captures[item->capture].len = at - m->captures[item->capture].start;
            break;
        case ITEM_BALANCE:
            ok = balance_matches(m, item, &at);
            break;
        case ITEM_FRONTIER:
            ok = frontier_matches(m, item, at);
            break;
        case ITEM_BACK:
            ok = back_matches(m, item, &at);
            break;
        case ITEM_END:
            ok = at == m->len;
            break;
        }
        if (ok)
            i++;
        else if (!back_up(m, &i, &at, &choices))
            return false;
    }
}

/* First match at or after `from`. */
static bool search(struct matcher *m, size_t from, size_t *start_out, size_t *end_out)
{
    for (size_t at = from; at <= m->len; at++) {
        if (match_at(m, at, end_out)) {
            *start_out = at;
            return true;
        }
        if (m->pattern.anchored)
            return false;
    }
    return false;
}

/* Subject and pattern are arguments 1 and 2. */
static void begin(struct matcher *m, lua_State *L, bool may_anchor)
{
    size_t pattern_len;
    const char *subject = luaL_checklstring(L, 1, &m->len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);

    m->L = L;
    m->budget = &ml_script_of(L)->budget;
    m->subject = (const uint8_t *)subject;
    m->steps_left = STEPS_PER_CALL + (uint64_t)m->len * STEPS_PER_BYTE;
    parse(L, &m->pattern, (const uint8_t *)pattern, pattern_len, may_anchor);
}

/* ---- Captures to Lua
 * ----------------------------------------------------------------------------- */

static void push_capture(struct matcher *m, unsigned i, size_t start, size_t end)
{
    if (i == 0 && m->pattern.captures == 0)
        lua_pushlstring(m->L, (const char *)m->subject + start, end - start);
    else if (i >= m->pattern.captures)
        luaL_error(m->L, "invalid capture index");
    else if (m->captures[i].len == POSITION)
        lua_pushinteger(m->L, (lua_Integer)m->captures[i].start + 1);
    else
        lua_pushlstring(m->L, (const char *)m->subject + m->captures[i].start, m->captures[i].len);
}

/* All of them; the whole match if there are none and `whole` says so. */
static int push_captures(struct matcher *m, bool whole, size_t start, size_t end)
{
    unsigned count = m->pattern.captures == 0 && whole ? 1 : m->pattern.captures;

    luaL_checkstack(m->L, (int)count, "too many captures");
    for (unsigned i = 0; i < count; i++)
        push_capture(m, i, start, end);
    return (int)count;
}

/* Argument `init` of find and match as an offset; beyond the end: the end. */
static size_t start_offset(lua_State *L, int arg, size_t len)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);

    if (init < 0) {
        init += (lua_Integer)len;
        return init < 0 ? 0 : (size_t)init;
    }
    if (init == 0)
        return 0;
    return (size_t)init - 1 > len ? len : (size_t)init - 1;
}

static bool is_plain(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (pattern[i] == '\0' || strchr("^$*+?.([%-)", pattern[i]))
            return pattern[i] == '\0';
    }
    return true;
}

/* memmem is linear, but makes a table first: what is short is looked through without one. */
static const char *find_plain(const char *text, size_t len, const char *what, size_t what_len)
{
    const char *at = text, *end = text + len;

    if (len > SHORT_MAX || !what_len)
        return memmem(text, len, what, what_len);
    while ((size_t)(end - at) >= what_len) {
        at = memchr(at, what[0], (size_t)(end - at) - what_len + 1);
        if (!at || memcmp(at, what, what_len) == 0)
            return at;
        at++;
    }
    return NULL;
}

/* string.find(s, pattern [, init [, plain]]) -> from, to, captures | nil   [may raise] */
static int lua_find(lua_State *L)
{
    size_t len, pattern_len, from;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    struct matcher m;
    size_t start, end;

    from = start_offset(L, 3, len);
    if (lua_toboolean(L, 4) || is_plain(pattern, pattern_len)) {
        const char *hit = find_plain(subject + from, len - from, pattern, pattern_len);

        if (!hit) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushinteger(L, hit - subject + 1);
        lua_pushinteger(L, hit - subject + (lua_Integer)pattern_len);
        return 2;
    }
    begin(&m, L, true);
    if (!search(&m, from, &start, &end)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, (lua_Integer)start + 1);
    lua_pushinteger(L, (lua_Integer)end);
    return 2 + push_captures(&m, false, start, end);
}

/* string.match(s, pattern [, init]) -> captures | nil   [may raise] */
static int lua_match(lua_State *L)
{
    struct matcher m;
    size_t from, start, end;

    begin(&m, L, true);
    from = start_offset(L, 3, m.len);
    if (!search(&m, from, &start, &end)) {
        lua_pushnil(L);
        return 1;
    }
    return push_captures(&m, true, start, end);
}

/* Iterator of gmatch; upvalues: subject, pattern, offset of the next try. */
static int gmatch_next(lua_State *L)
{
    struct matcher m;
    size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3)), start, end;

    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    begin(&m, L, false);
    if (from > m.len || !search(&m, from, &start, &end))
        return 0;
    lua_pushinteger(L, (lua_Integer)(end == start ? end + 1 : end));
    lua_replace(L, lua_upvalueindex(3));
    return push_captures(&m, true, start, end);
}

/* string.gmatch(s, pattern) -> iterator   [may raise] */
static int lua_gmatch(lua_State *L)
{
    struct matcher m;

    begin(&m, L, false); /* a broken pattern is reported here and not inside the loop */
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* Append the replacement text with its %0 … %9. */
static void add_text(struct matcher *m, luaL_Buffer *out, size_t start, size_t end)
{
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len);

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            luaL_addchar(out, text[i]);
            continue;
        }
        i++;
        if (i < len && isdigit((unsigned char)text[i])) {
            if (text[i] == '0')
                luaL_addlstring(out, (const char *)m->subject + start, end - start);
            else {
                push_capture(m, (unsigned)(text[i] - '1'), start, end);
                luaL_addvalue(out);
            }
        } else {
            luaL_addchar(out, i < len ? text[i] : '\0');
        }
    }
}

/* Append what the table or the function says; the match itself if that is false or nil. */
static void add_answer(struct matcher *m, luaL_Buffer *out, int type, size_t start, size_t end)
{
    lua_State *L = m->L;

    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, true, start, end), 1);
    } else {
        push_capture(m, 0, start, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, (const char *)m->subject + start, end - start);
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(out);
}

/* string.gsub(s, pattern, text | table | function [, n]) -> text, count   [may raise] */
static int lua_gsub(lua_State *L)
{
    struct matcher m;
    luaL_Buffer out;
    int type = lua_type(L, 3);
    size_t at = 0, start, end;
    lua_Integer max, count = 0;

    begin(&m, L, true);
    max = luaL_optinteger(L, 4, (lua_Integer)m.len + 1);
    luaL_argcheck(L,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                      type == LUA_TFUNCTION,
                  3, "string/function/table expected");
    luaL_buffinit(L, &out);
    while (count < max && at <= m.len && search(&m, at, &start, &end)) {
        luaL_addlstring(&out, (const char *)m.subject + at, start - at);
        count++;
        ml_budget_check(m.budget, L);
        if (type == LUA_TTABLE || type == LUA_TFUNCTION)
            add_answer(&m, &out, type, start, end);
        else
            add_text(&m, &out, start, end);
        at = end;
        if (end == start) {
            if (at < m.len)
                luaL_addchar(&out, (char)m.subject[at]);
            at++;
        }
        if (m.pattern.anchored)
            break;
    }
    if (at < m.len)
        luaL_addlstring(&out, (const char *)m.subject + at, m.len - at);
    luaL_pushresult(&out);
    lua_pushinteger(L, count);
    return 2;
}

const luaL_Reg ml_match_functions[] = {
    {"find", lua_find}, {"match", lua_match}, {"gmatch", lua_gmatch},
    {"gsub", lua_gsub}, {NULL, NULL},
};
