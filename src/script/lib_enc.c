/* SPDX-License-Identifier: MIT */
/*
 * ml.enc: bytes as text and back. Reading is strict: what is not the one text of some bytes is
 * nil, "EFORMAT", why.
 *
 * lua/moonloom/library.lua makes `ml.enc.hex.encode` of `hex` and `ml.enc.hex.decode` of
 * `from_hex`. Each function begins with its stack effect.
 */
#include "script/lib.h"

#include "script/state.h"
#include "script/values.h"

#include "base/base64.h"

static const char digits[] = "0123456789abcdef";

struct ml_slice ml_lib_data(lua_State *L, int arg, const char *what)
{
    struct ml_slice bytes;

    if (lua_type(L, arg) == LUA_TSTRING) {
        bytes.ptr = (const uint8_t *)lua_tolstring(L, arg, &bytes.len);
        return bytes;
    }
    if (!ml_bytes_at(L, arg, &bytes))
        luaL_error(L, "%s: text expected, got %s", what, luaL_typename(L, arg));
    return bytes;
}

int ml_lib_fails(lua_State *L, const char *kind, const char *text)
{
    lua_pushnil(L);
    lua_pushstring(L, kind);
    lua_pushstring(L, text);
    return 3;
}

/* Memory for a result of at most `max` bytes, on the stack of L until the call ends. */
static char *room(lua_State *L, size_t max)
{
    return lua_newuserdata(L, max ? max : 1);
}

/* ---- base64 -----------------------------------------------------------------------------------
 */

static int encode_base64(lua_State *L, enum ml_base64_kind kind, const char *what)
{
    struct ml_slice bytes = ml_lib_data(L, 1, what);
    size_t len = ml_base64_len(bytes.len, kind);
    char *out = room(L, len);

    ml_base64_put(bytes, kind, out);
    lua_pushlstring(L, out, len);
    return 1;
}

static int decode_base64(lua_State *L, enum ml_base64_kind kind, const char *what)
{
    struct ml_slice text = ml_lib_data(L, 1, what);
    uint8_t *out = (uint8_t *)room(L, ml_base64_max(text.len));
    size_t len;

    if (!ml_base64_get(text, kind, out, &len))
        return ml_lib_fails(L, "EFORMAT",
                            kind == ML_BASE64 ? "not base64" : "not base64url without padding");
    lua_pushlstring(L, (const char *)out, len);
    return 1;
}

/* base64(bytes) -> text   [may raise] */
static int base64(lua_State *L)
{
    return encode_base64(L, ML_BASE64, "ml.enc.base64.encode");
}

/* base64url(bytes) -> text without padding   [may raise] */
static int base64url(lua_State *L)
{
    return encode_base64(L, ML_BASE64URL, "ml.enc.base64url.encode");
}

/* from_base64(text) -> bytes | nil, kind, text   [may raise] */
static int from_base64(lua_State *L)
{
    return decode_base64(L, ML_BASE64, "ml.enc.base64.decode");
}

/* from_base64url(text) -> bytes | nil, kind, text   [may raise] */
static int from_base64url(lua_State *L)
{
    return decode_base64(L, ML_BASE64URL, "ml.enc.base64url.decode");
}

/* ---- hex --------------------------------------------------------------------------------------
 */

/* hex(bytes) -> text in lower case   [may raise] */
static int hex(lua_State *L)
{
    struct ml_slice bytes = ml_lib_data(L, 1, "ml.enc.hex.encode");
    char *out = room(L, bytes.len * 2);

    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = digits[bytes.ptr[i] >> 4];
        out[2 * i + 1] = digits[bytes.ptr[i] & 15];
    }
    lua_pushlstring(L, out, bytes.len * 2);
    return 1;
}

/* 0 to 15, or -1. */
static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that two digits at `p` say, or -1. */
static int hex_byte(const uint8_t *p)
{
    int high = hex_value(p[0]), low = hex_value(p[1]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* from_hex(text) -> bytes | nil, kind, text; both cases   [may raise] */
static int from_hex(lua_State *L)
{
    struct ml_slice text = ml_lib_data(L, 1, "ml.enc.hex.decode");
    char *out = room(L, text.len / 2);

    if (text.len % 2)
        return ml_lib_fails(L, "EFORMAT", "not hex: an odd number of digits");
    for (size_t i = 0; i < text.len; i += 2) {
        int byte = hex_byte(text.ptr + i);

        if (byte < 0)
            return ml_lib_fails(L, "EFORMAT", "not hex");
        out[i / 2] = (char)byte;
    }
    lua_pushlstring(L, out, text.len / 2);
    return 1;
}

/* ---- url --------------------------------------------------------------------------------------
 */

/* RFC 3986, 2.3 */
static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* url(bytes) -> text that may stand as one part of an address   [may raise] */
static int url(lua_State *L)
{
    static const char upper[] = "0123456789ABCDEF";
    struct ml_slice bytes = ml_lib_data(L, 1, "ml.enc.url.encode");
    char *out = room(L, bytes.len * 3), *p = out;

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.ptr[i];

        if (is_unreserved(c)) {
            *p++ = (char)c;
        } else {
            *p++ = '%';
            *p++ = upper[c >> 4];
            *p++ = upper[c & 15];
        }
    }
    lua_pushlstring(L, out, (size_t)(p - out));
    return 1;
}

/* from_url(text) -> bytes | nil, kind, text; '+' is itself   [may raise] */
static int from_url(lua_State *L)
{
    struct ml_slice text = ml_lib_data(L, 1, "ml.enc.url.decode");
    char *out = room(L, text.len), *p = out;

    for (size_t i = 0; i < text.len; i++) {
        int byte = text.ptr[i];

        if (byte <= ' ' || byte >= 0x7f)
            return ml_lib_fails(L, "EFORMAT", "not a part of an address");
        if (byte == '%') {
            byte = text.len - i > 2 ? hex_byte(text.ptr + i + 1) : -1;
            if (byte < 0)
                return ml_lib_fails(L, "EFORMAT", "a broken % in an address");
            i += 2;
        }
        *p++ = (char)byte;
    }
    lua_pushlstring(L, out, (size_t)(p - out));
    return 1;
}

const luaL_Reg ml_lib_enc[] = {
    {"base64", base64},
    {"from_base64", from_base64},
    {"base64url", base64url},
    {"from_base64url", from_base64url},
    {"hex", hex},
    {"from_hex", from_hex},
    {"url", url},
    {"from_url", from_url},
    {NULL, NULL},
};
