/* SPDX-License-Identifier: MIT */
/*
 * Many words in one pass over a text. Knows no Lua. Private to script/.
 *
 * With `folds`, words and text are compared by their full case folding (ß is ss, Σ and ς are σ),
 * character by character: a text in another normal form than the word is another text.
 * With `whole`, a word counts only where no letter, digit, mark or '_' stands beside it.
 */
#ifndef ML_SCRIPT_WORDS_H
#define ML_SCRIPT_WORDS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define ML_WORDS_MAX       20000
#define ML_WORD_MAX_BYTES  256
#define ML_WORDS_MAX_BYTES (128u * 1024) /* of all words, folded */

/** In one piece of memory that may be copied. */
struct ml_words;

/**
 * @param scratch  holds *words_out
 * @retval ML_EFORMAT  diag->offset: which word (0-based) is empty or no UTF-8
 * @retval ML_ELIMIT   too many, too long
 */
enum ml_err ml_words_make(const struct ml_slice *list, size_t count, bool folds, bool whole,
                          struct ml_arena *scratch, const struct ml_words **words_out,
                          struct ml_diag *diag) ML_MUST_CHECK;
size_t ml_words_bytes(const struct ml_words *words);

struct ml_words_hit {
    size_t from, to; /* bytes of the text */
    uint32_t word;   /* number in the list, 0-based; of equal ones the first */
};

/**
 * The leftmost word at or after byte `from`, of several there the longest. `text` is UTF-8.
 * @param tick  as in ml_regex_run
 */
bool ml_words_find(const struct ml_words *words, struct ml_slice text, size_t from,
                   void (*tick)(void *arg), void *tick_arg, struct ml_words_hit *out);

#endif
