/* SPDX-License-Identifier: MIT */
/*
 * What an identity may do with one document. Where in it somebody may write is a row of rules:
 *
 *   rule   what it does (u8), kinds (varuint, bits), pattern, code, reason (varbytes each)
 *
 * An edit is allowed if a rule that gives fits it and none that bars does; a third sort only lets
 * propose. Fitting: its kind is among the bits and its path, the key included, matches the pattern;
 * an empty pattern matches all. Rules are data, so they travel between threads and outlive whoever
 * made them.
 */
#include "auth/auth.h"

#include "base/codec.h"
#include "base/glob.h"

struct ml_grant ml_grant_editor(void)
{
    return (struct ml_grant){.may = ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE | ML_MAY_MESSAGE |
                                    ML_MAY_HISTORY};
}

enum { GIVES, BARS, PROPOSES };

struct rule {
    uint8_t does;
    uint64_t kinds;
    struct ml_slice pattern, code, reason;
};

/* ---- Made --------------------------------------------------------------------------------------
 */

static bool contains(struct ml_slice text, uint8_t c)
{
    return text.len && memchr(text.ptr, c, text.len);
}

/* As a segment of a path. */
static void write_segment(struct ml_writer *out, struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '~' || text.ptr[i] == '/')
            ml_write_bytes(out, text.ptr[i] == '~' ? ML_SLICE("~0") : ML_SLICE("~1"));
        else
            ml_write_u8(out, text.ptr[i]);
    }
}

/* The pattern with every {user} replaced. False: the id has no form in a pattern. */
static bool write_pattern(struct ml_writer *out, struct ml_slice pattern, struct ml_slice user)
{
    static const char word[] = "{user}";
    const size_t len = sizeof word - 1;

    for (size_t i = 0; i < pattern.len;) {
        if (pattern.len - i < len || memcmp(pattern.ptr + i, word, len) != 0) {
            ml_write_u8(out, pattern.ptr[i++]);
            continue;
        }
        if (!user.len || contains(user, '*'))
            return false;
        write_segment(out, user);
        i += len;
    }
    return true;
}

static bool write_rule(struct ml_writer *out, const struct ml_grant_rule *rule,
                       struct ml_slice user)
{
    struct ml_writer pattern;
    bool has_form, ok;

    ml_writer_init(&pattern, ML_GRANT_RULES_MAX_BYTES);
    has_form = write_pattern(&pattern, rule->pattern, user);
    ok = !pattern.err;
    if (has_form || rule->bars) {
        ml_write_u8(out, rule->bars ? BARS : rule->proposes ? PROPOSES : GIVES);
        ml_write_varuint(out, rule->kinds);
        /* Who cannot be named cannot be let in; but is kept out of everywhere. */
        ml_write_varbytes(out, has_form ? ml_writer_slice(&pattern) : ml_slice_make("", 0));
        ml_write_varbytes(out, rule->code);
        ml_write_varbytes(out, rule->reason);
    }
    ml_writer_release(&pattern);
    return ok && !out->err;
}

bool ml_grant_compile(struct ml_arena *arena, const struct ml_grant_rule *rules, size_t count,
                      struct ml_slice user, struct ml_slice *out)
{
    struct ml_writer text;
    bool ok = true;

    ml_writer_init(&text, ML_GRANT_RULES_MAX_BYTES);
    for (size_t i = 0; i < count && ok; i++)
        ok = write_rule(&text, &rules[i], user);
    /* No rule at all would mean everything. */
    if (ok && !text.len)
        ok = write_rule(&text, &(struct ml_grant_rule){.bars = true, .kinds = UINT32_MAX}, user);
    if (ok)
        *out = ml_arena_copy(arena, ml_writer_slice(&text));
    ml_writer_release(&text);
    return ok && out->ptr;
}

/* ---- Asked -------------------------------------------------------------------------------------
 */

static bool fits(struct ml_slice pattern, const struct ml_grant_edit *edit)
{
    return !pattern.len || ml_glob_match(pattern, edit->path) ||
           (edit->path_by_id.ptr && ml_glob_match(pattern, edit->path_by_id));
}

/* False: that was the last. */
static bool next_rule(struct ml_reader *in, struct rule *out)
{
    return ml_reader_left(in) && !ml_read_u8(in, &out->does) && !ml_read_varuint(in, &out->kinds) &&
           !ml_read_varbytes(in, &out->pattern) && !ml_read_varbytes(in, &out->code) &&
           !ml_read_varbytes(in, &out->reason);
}

bool ml_grant_allows_edit(const struct ml_grant *grant, const struct ml_grant_edit *edit,
                          struct ml_slice *code_out, struct ml_slice *reason_out)
{
    struct ml_reader in = ml_reader_make(grant->rules);
    bool allowed = !grant->rules.len;
    struct rule rule;

    *code_out = *reason_out = (struct ml_slice){0};
    while (next_rule(&in, &rule)) {
        if (rule.does == PROPOSES || !(rule.kinds & edit->kinds) ||
            (rule.does == GIVES && allowed) || !fits(rule.pattern, edit))
            continue;
        if (rule.does == BARS) {
            *code_out = rule.code;
            *reason_out = rule.reason;
            return false;
        }
        allowed = true;
    }
    return allowed && !ml_reader_left(&in);
}

bool ml_grant_allows_proposal(const struct ml_grant *grant, const struct ml_grant_edit *edit,
                              struct ml_slice *added_out, struct ml_slice *removed_out)
{
    struct ml_reader in = ml_reader_make(grant->rules);
    struct rule rule;

    while (next_rule(&in, &rule)) {
        if (rule.does != PROPOSES || !(rule.kinds & edit->kinds) || !fits(rule.pattern, edit))
            continue;
        *added_out = rule.code;
        *removed_out = rule.reason;
        return true;
    }
    return false;
}

bool ml_grant_proposes(const struct ml_grant *grant)
{
    struct ml_reader in = ml_reader_make(grant->rules);
    struct rule rule;

    while (next_rule(&in, &rule))
        if (rule.does == PROPOSES)
            return true;
    return false;
}
