/* SPDX-License-Identifier: MIT */
/*
 * ml.time: the server's clock, and moments as text (RFC 3339; a date alone is its midnight in UTC).
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/state.h"

#include <math.h>
#include <time.h>

/* now() -> seconds since 1970, by the server's clock */
static int now(lua_State *L)
{
    lua_pushnumber(L, (double)ml_script_of(L)->wall_ms() / 1000.0);
    return 1;
}

/* mono() -> seconds; only differences mean something */
static int mono(lua_State *L)
{
    lua_pushnumber(L, (double)ml_script_of(L)->mono_ms() / 1000.0);
    return 1;
}

struct cursor {
    const char *at, *end;
};

/* Exactly `digits` digits; -1 otherwise. */
static int take_number(struct cursor *c, int digits)
{
    int value = 0;

    for (; digits > 0; digits--, c->at++) {
        if (c->at == c->end || *c->at < '0' || *c->at > '9')
            return -1;
        value = value * 10 + (*c->at - '0');
    }
    return value;
}

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(struct cursor *c, struct tm *tm)
{
    int year = take_number(c, 4), month = take(c, '-') ? take_number(c, 2) : -1;
    int day = take(c, '-') ? take_number(c, 2) : -1;

    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    return true;
}

/* ":30.25" behind hours and minutes; second 60 is the next minute. */
static bool take_seconds(struct cursor *c, struct tm *tm, double *fraction)
{
    double unit = 1;

    if (!take(c, ':'))
        return true;
    tm->tm_sec = take_number(c, 2);
    if (tm->tm_sec < 0 || tm->tm_sec > 60)
        return false;
    if (!take(c, '.'))
        return true;
    if (c->at == c->end || *c->at < '0' || *c->at > '9')
        return false;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        *fraction += (unit /= 10) * (*c->at - '0');
    return true;
}

/* "T10:15", seconds, "Z" or "+02:00"; nothing of it is UTC's midnight. */
static bool take_clock(struct cursor *c, struct tm *tm, double *fraction, int *offset_s)
{
    int sign, hours, minutes;

    if (c->at == c->end)
        return true;
    if (!take(c, 'T') && !take(c, 't') && !take(c, ' '))
        return false;
    tm->tm_hour = take_number(c, 2);
    tm->tm_min = take(c, ':') ? take_number(c, 2) : -1;
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 || tm->tm_min > 59 ||
        !take_seconds(c, tm, fraction))
        return false;
    if (c->at == c->end || take(c, 'Z') || take(c, 'z'))
        return c->at == c->end;
    sign = take(c, '-') ? -1 : 1;
    if (sign > 0 && !take(c, '+'))
        return false;
    hours = take_number(c, 2);
    minutes = take(c, ':') ? take_number(c, 2) : -1;
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return c->at == c->end;
}

/* parse("2026-01-31T10:15:00Z") -> seconds | nil, kind, text   [may raise] */
static int parse(lua_State *L)
{
    struct ml_slice text = ml_lib_data(L, 1, "ml.time.parse");
    struct cursor c = {(const char *)text.ptr, (const char *)text.ptr + text.len};
    struct tm tm;
    double fraction = 0;
    int offset_s = 0;

    if (text.len > 64 || !take_date(&c, &tm) || !take_clock(&c, &tm, &fraction, &offset_s))
        return ml_lib_fails(L, "EFORMAT", "a time is written 2026-01-31T10:15:00Z");
    lua_pushnumber(L, (double)timegm(&tm) - offset_s + fraction);
    return 1;
}

/* format(seconds) -> "2026-01-31T10:15:00Z"   [may raise] */
static int format(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    char text[32];
    struct tm tm;
    time_t t;

    if (!(seconds >= -62167219200.0 && seconds < 253402300800.0))
        luaL_error(L, "ml.time.format: the years 0 to 9999");
    t = (time_t)floor(seconds);
    gmtime_r(&t, &tm);
    lua_pushlstring(L, text,
                    (size_t)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ",
                                     (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
                                     tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100,
                                     tm.tm_sec % 100));
    return 1;
}

const luaL_Reg ml_lib_time[] = {
    {"now", now}, {"mono", mono}, {"parse", parse}, {"format", format}, {NULL, NULL}};
