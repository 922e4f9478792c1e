/* SPDX-License-Identifier: MIT */
/*
 * ml.text: text as editors count it (UTF-16 units), in one form, and what changed in it.
 *
 * Normalization goes over the text a piece at a time, so that it can be stopped and so that no run
 * of combining marks is sorted at more than square cost: a piece ends before an ASCII character or
 * an ideograph (nothing joins those to what stands before them) once it is large enough, and
 * anywhere after MARKS_MAX marks in a row.
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/state.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define PIECE_MIN 4096
#define PIECE_MAX 65536
#define MARKS_MAX 256

static struct ml_slice check_utf8(lua_State *L, int arg, const char *what, size_t *units_utf16_out)
{
    struct ml_slice text = ml_lib_data(L, arg, what);

    if (!ml_utf8_check(text, units_utf16_out))
        luaL_error(L, "%s: not UTF-8 text", what);
    return text;
}

/* ---- UTF-16 units -----------------------------------------------------------------------------
 */

/* len16(s) -> length in UTF-16 units   [may raise] */
static int len16(lua_State *L)
{
    size_t units;

    check_utf8(L, 1, "ml.text.len16", &units);
    lua_pushnumber(L, (double)units);
    return 1;
}

/* to8(s, unit) -> byte offset (0-based) of that UTF-16 unit   [may raise] */
static int to8(lua_State *L)
{
    size_t units;
    struct ml_slice text = check_utf8(L, 1, "ml.text.to8", &units);
    double unit = luaL_checknumber(L, 2);
    bool inside;

    if (!(unit >= 0 && unit <= (double)units))
        luaL_error(L, "ml.text.to8: out of range");
    lua_pushnumber(L, (double)ml_utf8_offset(text, (size_t)unit, &inside));
    return 1;
}

/* to16(s, byte) -> UTF-16 units before that byte offset (0-based)   [may raise] */
static int to16(lua_State *L)
{
    struct ml_slice text = check_utf8(L, 1, "ml.text.to16", NULL);
    double byte = luaL_checknumber(L, 2);
    size_t units;

    if (!(byte >= 0 && byte <= (double)text.len))
        luaL_error(L, "ml.text.to16: out of range");
    text.len = (size_t)byte;
    if (!ml_utf8_check(text, &units))
        luaL_error(L, "ml.text.to16: inside a character");
    lua_pushnumber(L, (double)units);
    return 1;
}

/* truncate(s, n) -> at most n UTF-16 units of s, whole characters   [may raise] */
static int truncate_(lua_State *L)
{
    size_t units;
    struct ml_slice text = check_utf8(L, 1, "ml.text.truncate", &units);
    double n = luaL_checknumber(L, 2);
    bool inside;

    if (!(n >= 0))
        luaL_error(L, "ml.text.truncate: out of range");
    if (n < (double)units)
        text.len = ml_utf8_offset(text, (size_t)n, &inside);
    lua_pushlstring(L, (const char *)text.ptr, text.len);
    return 1;
}

/* ---- Normal forms -----------------------------------------------------------------------------
 */

static bool is_ascii(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 0x80)
            return false;
    return true;
}

static bool is_mark(uint32_t c)
{
    return c >= 0x300 && utf8proc_get_property((utf8proc_int32_t)c)->combining_class != 0;
}

/* Bytes of `text` that may be normalized by themselves; text.len if all of it. */
static size_t piece_of(struct ml_slice text)
{
    size_t at = 0, marks = 0;

    while (at < text.len) {
        uint32_t c;
        size_t len = ml_utf8_get(text.ptr + at, &c);

        marks = is_mark(c) ? marks + 1 : 0;
        if (marks > MARKS_MAX || (at >= PIECE_MAX && marks == 0))
            return at;
        if (at >= PIECE_MIN && (c < 0x80 || (c >= 0x4e00 && c < 0xa000)))
            return at;
        at += len;
    }
    return text.len;
}

static int normalize(lua_State *L, const char *what, utf8proc_option_t options)
{
    struct ml_slice text = check_utf8(L, 1, what, NULL);
    struct ml_script *script = ml_script_of(L);
    struct ml_writer *out = &script->text;

    ml_writer_reset(out);
    while (text.len > 0) {
        size_t len = piece_of(text);
        utf8proc_uint8_t *done = NULL;
        utf8proc_ssize_t n =
            utf8proc_map(text.ptr, (utf8proc_ssize_t)len, &done, UTF8PROC_STABLE | options);

        if (n >= 0)
            ml_write_bytes(out, ml_slice_make(done, (size_t)n));
        free(done);
        if (n < 0 || out->err)
            luaL_error(L, "%s: the text is too long", what);
        text = ml_slice_make(text.ptr + len, text.len - len);
        ml_budget_check(&script->budget, L);
    }
    lua_pushlstring(L, out->len ? (const char *)out->ptr : "", out->len);
    return 1;
}

/* nfc(s) -> s in normal form C   [may raise] */
static int nfc(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && is_ascii(ml_lib_data(L, 1, "ml.text.nfc"))) {
        lua_settop(L, 1);
        return 1;
    }
    return normalize(L, "ml.text.nfc", UTF8PROC_COMPOSE);
}

/* fold(s) -> s for comparing without case, in normal form C   [may raise] */
static int fold(lua_State *L)
{
    return normalize(L, "ml.text.fold", (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
}

/* ---- lines ------------------------------------------------------------------------------------
 */

/* lines(s) -> list without line ends; "\n" and "\r\n" end one   [may raise] */
static int lines(lua_State *L)
{
    struct ml_slice text = ml_lib_data(L, 1, "ml.text.lines");
    int n = 0;

    lua_newtable(L);
    for (size_t from = 0;;) {
        const uint8_t *end = memchr(text.ptr + from, '\n', text.len - from);
        size_t to = end ? (size_t)(end - text.ptr) : text.len;

        lua_pushlstring(L, (const char *)text.ptr + from,
                        to - from - (end && to > from && text.ptr[to - 1] == '\r'));
        lua_rawseti(L, -2, ++n);
        if (!end)
            return 1;
        from = to + 1;
        if (n % 1024 == 0)
            ml_budget_check(&ml_script_of(L)->budget, L);
    }
}

/* ---- diff -------------------------------------------------------------------------------------
 *
 * Source: Myers, "An O(ND) Difference Algorithm" (1986), the greedy one with its trace kept. Beyond
 * DISTANCE_MAX changes what lies between the common ends is one edit: what takes long to compare
 * has little in common.
 */

#define DISTANCE_MAX 400

struct diff {
    lua_State *L;
    const uint32_t *a, *b; /* code points between the common ends */
    int n, m;
    int *trace;  /* rows of 2 * d + 1 furthest points for d = 0 … */
    double at16; /* UTF-16 units of the old text that are done */
    int edits;
    const uint32_t *pending_from; /* inserted, not yet written */
    int pending_insert, pending_delete16;
};

static int units_of(const uint32_t *c, int n)
{
    int units = 0;

    for (int i = 0; i < n; i++)
        units += c[i] > 0xffff ? 2 : 1;
    return units;
}

/* Write the edit that was collected: { at, delete, insert }. */
static void flush(struct diff *d)
{
    lua_State *L = d->L;
    luaL_Buffer text;
    uint8_t bytes[4];

    if (!d->pending_insert && !d->pending_delete16)
        return;
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, d->at16);
    lua_setfield(L, -2, "at");
    lua_pushnumber(L, d->pending_delete16);
    lua_setfield(L, -2, "delete");
    luaL_buffinit(L, &text);
    for (int i = 0; i < d->pending_insert; i++)
        luaL_addlstring(&text, (const char *)bytes, ml_utf8_put(d->pending_from[i], bytes));
    luaL_pushresult(&text);
    lua_setfield(L, -2, "insert");
    lua_rawseti(L, -2, ++d->edits);
    d->at16 += d->pending_delete16;
    d->pending_insert = d->pending_delete16 = 0;
}

static int *row_of(const struct diff *d, int distance)
{
    return d->trace + (size_t)distance * (size_t)distance + distance; /* its middle */
}

static bool goes_down(const int *before, int k, int distance)
{
    return k == -distance || (k != distance && before[k - 1] < before[k + 1]);
}

/* The number of changes; -1: more than DISTANCE_MAX. */
static int find_distance(struct diff *d)
{
    const struct ml_budget *budget = &ml_script_of(d->L)->budget;

    for (int distance = 0; distance <= DISTANCE_MAX && distance <= d->n + d->m; distance++) {
        int *row = row_of(d, distance);
        const int *before = distance ? row_of(d, distance - 1) : NULL;

        for (int k = -distance; k <= distance; k += 2) {
            int x = !before                          ? 0
                    : goes_down(before, k, distance) ? before[k + 1]
                                                     : before[k - 1] + 1;

            while (x < d->n && x - k < d->m && d->a[x] == d->b[x - k])
                x++;
            row[k] = x;
            if (k == d->n - d->m && x >= d->n)
                return distance;
        }
        ml_budget_check(budget, d->L);
    }
    return -1;
}

/* From the trace: steps[i] is where change i begins in a, and whether it inserts. */
static void walk_back(const struct diff *d, int distance, int *at, bool *inserts)
{
    int x = d->n, k = d->n - d->m;

    for (; distance > 0; distance--) {
        const int *before = row_of(d, distance - 1);

        inserts[distance - 1] = goes_down(before, k, distance);
        k += inserts[distance - 1] ? 1 : -1;
        x = before[k];
        at[distance - 1] = x;
    }
    (void)x;
}

static void put_edits(struct diff *d, int distance, const int *at, const bool *inserts)
{
    int x = 0, y = 0;

    for (int i = 0; i < distance; i++) {
        if (at[i] > x) {
            flush(d);
            d->at16 += units_of(d->a + x, at[i] - x);
            y += at[i] - x;
            x = at[i];
        }
        if (inserts[i]) {
            if (!d->pending_insert++)
                d->pending_from = d->b + y;
            y++;
        } else {
            d->pending_delete16 += units_of(d->a + x, 1);
            x++;
        }
    }
    flush(d);
}

/* The code points of a text, in memory of Lua. */
static uint32_t *push_points(lua_State *L, struct ml_slice text, int *count_out)
{
    uint32_t *points = lua_newuserdata(L, (text.len + 1) * sizeof(*points));
    size_t at = 0;
    int n = 0;

    while (at < text.len)
        at += ml_utf8_get(text.ptr + at, &points[n++]);
    *count_out = n;
    return points;
}

/*
 * diff(a, b) -> list of { at, delete, insert } in order of place   [may raise]
 * `at` and `delete` are UTF-16 units of a.
 */
static int diff(lua_State *L)
{
    struct ml_slice a = check_utf8(L, 1, "ml.text.diff", NULL);
    struct ml_slice b = check_utf8(L, 2, "ml.text.diff", NULL);
    struct diff d = {.L = L};
    int *at, head = 0, distance, max;
    bool *inserts;

    lua_settop(L, 2);
    d.a = push_points(L, a, &d.n);
    d.b = push_points(L, b, &d.m);
    while (head < d.n && head < d.m && d.a[head] == d.b[head])
        head++;
    d.at16 = units_of(d.a, head);
    d.a += head;
    d.b += head;
    d.n -= head;
    d.m -= head;
    while (d.n > 0 && d.m > 0 && d.a[d.n - 1] == d.b[d.m - 1]) {
        d.n--;
        d.m--;
    }
    max = d.n + d.m < DISTANCE_MAX ? d.n + d.m : DISTANCE_MAX;
    d.trace = lua_newuserdata(L, (size_t)(max + 1) * (size_t)(max + 1) * sizeof(int));
    at = lua_newuserdata(L, (size_t)(max + 1) * sizeof(*at));
    inserts = lua_newuserdata(L, (size_t)(max + 1) * sizeof(*inserts));
    lua_newtable(L);
    distance = d.n && d.m ? find_distance(&d) : -1;
    if (distance < 0) {
        d.pending_from = d.b;
        d.pending_insert = d.m;
        d.pending_delete16 = units_of(d.a, d.n);
        flush(&d);
        return 1;
    }
    walk_back(&d, distance, at, inserts);
    put_edits(&d, distance, at, inserts);
    return 1;
}

const luaL_Reg ml_lib_text[] = {
    {"len16", len16},        {"to8", to8},     {"to16", to16},
    {"truncate", truncate_}, {"nfc", nfc},     {"fold", fold},
    {"diff", diff},          {"lines", lines}, {NULL, NULL},
};
