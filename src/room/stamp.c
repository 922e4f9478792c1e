/* SPDX-License-Identifier: MIT */
/*
 * Who a cursor belongs to is the server's word, not the client's (SEC-AZ-10): what an awareness
 * state says of its user is replaced by what is known of the member.
 *
 *   user.id      the identity's; a client cannot set it
 *   user.name    the identity's; one that nobody vouches for keeps what its client typed, without
 *                control characters and no longer than a name may be
 *   user.color   the identity's; else the client's, if it is #rrggbb; else one made of the user id,
 *                the same on every node
 *   user.colorLight  the client's, if it is #rrggbb or #rrggbbaa
 *   user.avatar  the identity's; a client cannot set it
 *
 * All else of the state stays as it came, byte for byte. A state that is too large then loses what
 * is not user, cursor or selection. The text is read once, without a tree: it has to be JSON,
 * because stock clients throw on anything else.
 */
#include "room/live.h"

#include "base/utf8.h"

#include <string.h>

#define DEPTH_MAX  32
#define INPUT_MAX  16 /* times what may be left: more is not looked at */
#define NAME_BYTES sizeof(((struct ml_identity *)0)->name)

struct scan {
    const uint8_t *p, *end;
};

/* ---- Reading JSON ------------------------------------------------------------------------------
 */

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool at(const struct scan *s, uint8_t c)
{
    return s->p < s->end && *s->p == c;
}

static bool take_char(struct scan *s, uint8_t c)
{
    if (!at(s, c))
        return false;
    s->p++;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits; -1: they are not. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t value = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static bool skip_escape(struct scan *s)
{
    if (s->p == s->end)
        return false;
    if (*s->p == 'u') {
        if (hex4(s->p + 1, s->end) < 0)
            return false;
        s->p += 5;
        return true;
    }
    return strchr("\"\\/bfnrt", *s->p++) != NULL && s->p[-1];
}

/* *out: what stands between the quotes, escapes and all. */
static bool take_string(struct scan *s, struct ml_slice *out)
{
    const uint8_t *start;

    if (!take_char(s, '"'))
        return false;
    start = s->p;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p < 0x20 || (*s->p++ == '\\' && !skip_escape(s)))
            return false;
    }
    *out = ml_slice_make(start, (size_t)(s->p - start));
    return take_char(s, '"');
}

static bool skip_digits(struct scan *s)
{
    const uint8_t *start = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > start;
}

static bool skip_number(struct scan *s)
{
    (void)take_char(s, '-');
    if (!take_char(s, '0') && !skip_digits(s))
        return false;
    if (take_char(s, '.') && !skip_digits(s))
        return false;
    if (at(s, 'e') || at(s, 'E')) {
        s->p++;
        if (!take_char(s, '+'))
            (void)take_char(s, '-');
        return skip_digits(s);
    }
    return true;
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    return true;
}

static bool skip_scalar(struct scan *s)
{
    struct ml_slice text;

    if (at(s, '"'))
        return take_string(s, &text);
    return skip_word(s, "true") || skip_word(s, "false") || skip_word(s, "null") || skip_number(s);
}

static bool take_key(struct scan *s, struct ml_slice *key)
{
    skip_space(s);
    if (!take_string(s, key))
        return false;
    skip_space(s);
    return take_char(s, ':');
}

/* One value of any kind; bit i of `objects`: the container at depth i is an object. */
static bool skip_value(struct scan *s)
{
    uint32_t objects = 0;
    unsigned depth = 0;
    struct ml_slice key;

    for (;;) {
        skip_space(s);
        if (at(s, '{') || at(s, '[')) {
            bool is_object = *s->p++ == '{';

            if (depth == DEPTH_MAX)
                return false;
            objects = is_object ? objects | 1u << depth : objects & ~(1u << depth);
            depth++;
            skip_space(s);
            if (!at(s, is_object ? '}' : ']')) {
                if (is_object && !take_key(s, &key))
                    return false;
                continue;
            }
        } else if (!skip_scalar(s)) {
            return false;
        }
        while (depth) {
            bool is_object = objects >> (depth - 1) & 1;

            skip_space(s);
            if (take_char(s, ',')) {
                if (is_object && !take_key(s, &key))
                    return false;
                break;
            }
            if (!take_char(s, is_object ? '}' : ']'))
                return false;
            depth--;
        }
        if (!depth)
            return true;
    }
}

/* The next member of an object whose brace was taken; *more_out false: that was all. */
static bool next_member(struct scan *s, bool is_first, bool *more_out, struct ml_slice *key,
                        struct ml_slice *value)
{
    const uint8_t *start;

    skip_space(s);
    *more_out = !take_char(s, '}');
    if (!*more_out)
        return true;
    if (!is_first && !take_char(s, ','))
        return false;
    if (!take_key(s, key))
        return false;
    skip_space(s);
    start = s->p;
    if (!skip_value(s))
        return false;
    *value = ml_slice_make(start, (size_t)(s->p - start));
    return true;
}

/* ---- Text --------------------------------------------------------------------------------------
 */

/* The next character of a string as it stands between its quotes; lone surrogates are U+FFFD. */
static uint32_t next_char(struct scan *s)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    uint32_t c = *s->p++;
    const char *name;
    int extra;

    if (c == '\\') {
        c = *s->p++;
        name = strchr(names, (int)c);
        if (name)
            return (uint32_t)values[name - names];
        if (c != 'u')
            return c;
        c = (uint32_t)hex4(s->p, s->end);
        s->p += 4;
        if (c >= 0xd800 && c < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u') {
            int32_t low = hex4(s->p + 2, s->end);

            if (low >= 0xdc00 && low < 0xe000) {
                s->p += 6;
                return 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
            }
        }
        return c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
    }
    /* The text was found to be UTF-8 when it was read. */
    extra = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (extra)
        c &= 0x3fu >> extra;
    while (extra-- && s->p < s->end)
        c = c << 6 | (*s->p++ & 0x3f);
    return c;
}

/* Neither a control character nor one that turns the direction of what stands beside it. */
static bool is_for_names(uint32_t c)
{
    return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && !(c >= 0x202a && c <= 0x202e) &&
           !(c >= 0x2066 && c <= 0x2069) && c != 0x2028 && c != 0x2029 && c != 0x200e &&
           c != 0x200f && c != 0xfeff;
}

/* A value as a name that may be shown; empty: it is none. */
static struct ml_slice read_name(struct ml_slice value, uint8_t out[NAME_BYTES])
{
    struct scan s = {value.ptr, value.ptr + value.len};
    size_t len = 0;

    if (value.len < 2 || *s.p != '"')
        return ml_slice_make(NULL, 0);
    s.p++;
    s.end--;
    while (s.p < s.end) {
        uint32_t c = next_char(&s);
        uint8_t bytes[4];
        size_t n;

        if (!is_for_names(c) || (!len && c == ' '))
            continue;
        n = ml_utf8_put(c, bytes);
        if (len + n >= NAME_BYTES)
            break;
        memcpy(out + len, bytes, n);
        len += n;
    }
    while (len && out[len - 1] == ' ')
        len--;
    return ml_slice_make(out, len);
}

/* Is this, quotes and all, # and so many hex digits? */
static bool is_color(struct ml_slice value, size_t digits)
{
    if (value.len != digits + 3 || value.ptr[0] != '"' || value.ptr[1] != '#')
        return false;
    for (size_t i = 2; i < digits + 2; i++)
        if (hex_digit(value.ptr[i]) < 0)
            return false;
    return true;
}

static bool is_key(struct ml_slice key, const char *name)
{
    struct scan s = {key.ptr, key.ptr + key.len};

    if (!memchr(key.ptr, '\\', key.len))
        return ml_slice_equal(key, ml_slice_str(name));
    while (s.p < s.end && *name)
        if (next_char(&s) != (uint8_t)*name++)
            return false;
    return s.p == s.end && !*name;
}

/* ---- Stamping ----------------------------------------------------------------------------------
 */

/* What a client says of itself; .ptr NULL: nothing. Values, quotes and all. */
struct claim {
    struct ml_slice name, color, light;
};

static const char *color_of(const struct ml_identity *who)
{
    static const char *const colors[] = {"#c2410c", "#a16207", "#4d7c0f", "#15803d",
                                         "#0f766e", "#0369a1", "#1d4ed8", "#6d28d9",
                                         "#a21caf", "#be185d", "#b91c1c", "#475569"};
    const char *text = who->user[0] ? who->user : who->session;
    uint32_t hash = 2166136261u;

    if (who->color[0])
        return who->color;
    while (*text)
        hash = (hash ^ (uint8_t)*text++) * 16777619u;
    return colors[hash % (sizeof colors / sizeof *colors)];
}

static void put_json(struct ml_writer *out, struct ml_slice text)
{
    static const char hex[] = "0123456789abcdef";

    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c < 0x20) {
            ml_write_bytes(out, ML_SLICE("\\u00"));
            ml_write_u8(out, (uint8_t)hex[c >> 4]);
            ml_write_u8(out, (uint8_t)hex[c & 15]);
            continue;
        }
        if (c == '"' || c == '\\')
            ml_write_u8(out, '\\');
        ml_write_u8(out, c);
    }
    ml_write_u8(out, '"');
}

static void write_key(struct ml_writer *out, bool *is_first, struct ml_slice key)
{
    if (!*is_first)
        ml_write_u8(out, ',');
    *is_first = false;
    ml_write_u8(out, '"');
    ml_write_bytes(out, key);
    ml_write_bytes(out, ML_SLICE("\":"));
}

static void write_text(struct ml_writer *out, bool *is_first, const char *key, struct ml_slice text)
{
    if (!text.len)
        return;
    write_key(out, is_first, ml_slice_str(key));
    put_json(out, text);
}

static void write_claim(struct ml_writer *out, bool *is_first, const struct ml_identity *who,
                        const struct claim *claim)
{
    struct ml_slice name = ml_slice_str(who->name);
    uint8_t typed[NAME_BYTES];

    if ((who->names_itself || !name.len) && claim->name.ptr) {
        struct ml_slice own = read_name(claim->name, typed);

        name = own.len ? own : name;
    }
    write_text(out, is_first, "id", ml_slice_str(who->user));
    write_text(out, is_first, "name", name);
    write_key(out, is_first, ML_SLICE("color"));
    if (!who->color[0] && is_color(claim->color, 6))
        ml_write_bytes(out, claim->color);
    else
        put_json(out, ml_slice_str(color_of(who)));
    if (is_color(claim->light, 6) || is_color(claim->light, 8)) {
        write_key(out, is_first, ML_SLICE("colorLight"));
        ml_write_bytes(out, claim->light);
    }
    write_text(out, is_first, "avatar", ml_slice_str(who->avatar));
}

/* The user of a state, whose value was found to be JSON. */
static void write_user(struct ml_writer *out, const struct ml_identity *who, struct ml_slice value)
{
    struct scan s = {value.ptr, value.ptr + value.len};
    struct claim claim = {{0}, {0}, {0}};
    struct ml_slice key, item;
    bool is_first = true, is_first_read = true, more;

    ml_write_u8(out, '{');
    if (value.len && take_char(&s, '{')) {
        while (next_member(&s, is_first_read, &more, &key, &item) && more) {
            is_first_read = false;
            if (is_key(key, "name")) {
                claim.name = item;
            } else if (is_key(key, "color")) {
                claim.color = item;
            } else if (is_key(key, "colorLight")) {
                claim.light = item;
            } else if (!is_key(key, "id") && !is_key(key, "avatar")) {
                write_key(out, &is_first, key);
                ml_write_bytes(out, item);
            }
        }
    }
    write_claim(out, &is_first, who, &claim);
    ml_write_u8(out, '}');
}

/* A guest of open mode, or somebody without a credential. */
static bool is_nobody(const struct ml_identity *who)
{
    return !who->user[0] || (who->names_itself && strcmp(who->kind, "guest") == 0);
}

static bool is_known_key(struct ml_slice key)
{
    return is_key(key, "cursor") || is_key(key, "selection");
}

/* The user as the client said it: the last one counts, as in JavaScript. */
static bool find_user(struct ml_slice json, struct ml_slice *user_out)
{
    struct scan s = {json.ptr, json.ptr + json.len};
    struct ml_slice key, value;
    bool is_first = true, more;

    *user_out = ml_slice_make(NULL, 0);
    skip_space(&s);
    if (!take_char(&s, '{'))
        return false;
    for (;;) {
        if (!next_member(&s, is_first, &more, &key, &value))
            return false;
        if (!more)
            break;
        is_first = false;
        if (is_key(key, "user"))
            *user_out = value;
    }
    skip_space(&s);
    return s.p == s.end;
}

static void write_state(struct ml_writer *out, const struct ml_identity *who, struct ml_slice json,
                        struct ml_slice user, bool all)
{
    struct scan s = {json.ptr, json.ptr + json.len};
    struct ml_slice key, value;
    bool is_first = true, is_first_read = true, is_written = false, more;

    skip_space(&s);
    s.p++;
    ml_write_u8(out, '{');
    while (next_member(&s, is_first_read, &more, &key, &value) && more) {
        is_first_read = false;
        if (is_key(key, "user")) {
            if (is_written)
                continue;
            is_written = true;
            write_key(out, &is_first, key);
            write_user(out, who, user);
        } else if (all || is_known_key(key)) {
            write_key(out, &is_first, key);
            ml_write_bytes(out, value);
        }
    }
    if (!is_written && !is_nobody(who)) {
        write_key(out, &is_first, ML_SLICE("user"));
        write_user(out, who, user);
    }
    ml_write_u8(out, '}');
}

/**
 * The state with the server's word about its user.
 * @param state_out  in `scratch`, or `json` itself
 * @retval ML_EFORMAT  no JSON object
 * @retval ML_ELIMIT   larger than `limit` even without what nobody needs, or no memory
 *
 * Cost: about two passes over the text.
 */
enum ml_err ml_presence_stamp(const struct ml_identity *who, struct ml_slice json, size_t limit,
                              struct ml_arena *scratch, struct ml_slice *state_out)
{
    struct ml_slice user;
    struct ml_writer out;
    enum ml_err err = ML_OK;

    if (json.len > limit * INPUT_MAX)
        return ML_ELIMIT;
    if (!find_user(json, &user))
        return ML_EFORMAT;
    if (!user.ptr && is_nobody(who) && json.len <= limit) {
        *state_out = json; /* nothing is said, nothing is added */
        return ML_OK;
    }
    for (int all = 1; all >= 0; all--) {
        ml_writer_init(&out, limit * INPUT_MAX + 4096);
        write_state(&out, who, json, user, all);
        err = out.err || out.len > limit ? ML_ELIMIT : ML_OK;
        if (!err)
            *state_out = ml_arena_copy(scratch, ml_writer_slice(&out));
        ml_writer_release(&out);
        if (!err)
            return state_out->ptr ? ML_OK : ML_ELIMIT;
    }
    return err;
}
