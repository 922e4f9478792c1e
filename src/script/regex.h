/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions whose cost is program x text, whatever they say. Knows no Lua. Private to
 * script/.
 *
 * The dialect:
 *
 *   x  .  [a-z]  [^a-z]  \d \D \w \W \s \S  \p{Lu} \P{L}     one character (a code point)
 *   \n \r \t \f \v \xHH \uHHHH \u{H…}  \ before punctuation  a character that must be escaped
 *   xy  x|y  (x)  (?:x)  (?<name>x)                          sequence, choice (the first that
 * fits), groups; a name is for the reader x* x+ x? x{n} x{n,} x{n,m}, each followed by ? as few
 * repetition, as many as fit ^ $ \A \z  \b \B                                         places
 *   (?ims) in front                                          i no case, m ^ and $ at lines, s . is
 *                                                            everything
 *
 * \d and \w are ASCII, \s is every space of Unicode, \p a general category. There are no
 * back-references and no look-around: neither has a linear bound. What wins among several ways to
 * match is what a backtracking engine would find first (as in JavaScript), with two differences: a
 * group inside a repetition keeps what it held last, and x? prefers an empty x to none.
 *
 * Bytes that are no UTF-8 are characters of their own: '.' and negated classes take them.
 */
#ifndef ML_SCRIPT_REGEX_H
#define ML_SCRIPT_REGEX_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define ML_REGEX_GROUPS_MAX  31
#define ML_REGEX_PATTERN_MAX 4096 /* bytes of one pattern */
#define ML_REGEX_SET_MAX     1000 /* patterns of a set */

/** One pattern or a set, in one piece of memory that may be copied. */
struct ml_regex;

/**
 * @param scratch  holds *regex_out
 * @param diag     offset is the byte in the pattern; text names the pattern if there are several
 * @retval ML_EFORMAT  not this dialect
 * @retval ML_ELIMIT   too large: pattern, nesting (50), groups, repetition (1000), program
 */
enum ml_err ml_regex_compile(const struct ml_slice *patterns, size_t count,
                             struct ml_arena *scratch, const struct ml_regex **regex_out,
                             struct ml_diag *diag) ML_MUST_CHECK;

size_t ml_regex_bytes(const struct ml_regex *regex);
/** Patterns; groups of the first one, without the whole match. */
unsigned ml_regex_count(const struct ml_regex *regex);
unsigned ml_regex_groups(const struct ml_regex *regex);

/** A run: what it may use, and who looks at the time. */
struct ml_regex_run {
    void *memory;            /* ml_regex_memory(regex, slots) bytes, aligned for size_t */
    void (*tick)(void *arg); /* every 4096 steps; may leave by longjmp: nothing is held */
    void *tick_arg;
};

/** Bytes for a run that answers `slots` positions (0: only whether there is a match). */
size_t ml_regex_memory(const struct ml_regex *regex, unsigned slots);

#define ML_REGEX_NONE SIZE_MAX /* position of a group that took no part */

/**
 * The leftmost match of the first pattern that begins at or after byte `from`.
 * @param slots  even, at most 2 * (groups + 1); slots_out: begin and end of the match, then of each
 *               group, in bytes
 */
bool ml_regex_find(const struct ml_regex *regex, struct ml_slice text, size_t from,
                   const struct ml_regex_run *run, unsigned slots, size_t *slots_out);

/**
 * Which patterns match anywhere, in one pass: hits[i] is set for pattern i, the others are left.
 * @param first  stop at the first that is seen; hits may be NULL then
 */
bool ml_regex_which(const struct ml_regex *regex, struct ml_slice text,
                    const struct ml_regex_run *run, bool first, bool *hits);

#endif
