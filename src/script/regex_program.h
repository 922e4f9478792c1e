/* SPDX-License-Identifier: MIT */
/* A compiled expression, as regex_parse.c writes and regex_run.c reads it. */
#ifndef ML_SCRIPT_REGEX_PROGRAM_H
#define ML_SCRIPT_REGEX_PROGRAM_H

#include "script/regex.h"

enum regex_op {
    OP_CHAR,  /* c */
    OP_FOLD,  /* a character whose lower case is c */
    OP_ANY,   /* all but \n */
    OP_ALL,   /* all */
    OP_CLASS, /* x: index of the class */
    OP_JUMP,  /* to x */
    OP_SPLIT, /* to x, and with less priority to y */
    OP_SAVE,  /* position into slot x */
    OP_BEGIN, /* of the text */
    OP_END,
    OP_LINE_BEGIN,
    OP_LINE_END,
    OP_WORD, /* \b */
    OP_INSIDE,
    OP_MATCH, /* of pattern x */
};

struct regex_inst {
    uint8_t op;
    uint16_t x, y;
    uint32_t c;
};

struct regex_range {
    uint32_t from, to; /* both in */
};

struct regex_class {
    uint32_t ascii[4];     /* bit c: the answer for c < 128, all said and done */
    uint32_t categories;   /* bits of utf8proc categories that are in */
    uint32_t first, count; /* ranges, sorted, apart from each other */
    bool negated, folds;
};

/* In one piece: the struct, instructions, classes, ranges. */
struct ml_regex {
    uint32_t bytes;
    uint32_t inst_count, class_count, range_count;
    uint32_t patterns, groups;
    uint8_t skips;      /* the first byte of a match is in `begins` */
    uint32_t begins[8]; /* bit b: a match may begin with byte b */
};

static inline const struct regex_inst *regex_insts(const struct ml_regex *re)
{
    return (const struct regex_inst *)(const void *)(re + 1);
}

static inline const struct regex_class *regex_classes(const struct ml_regex *re)
{
    return (const struct regex_class *)(const void *)(regex_insts(re) + re->inst_count);
}

static inline const struct regex_range *regex_ranges(const struct ml_regex *re)
{
    return (const struct regex_range *)(const void *)(regex_classes(re) + re->class_count);
}

/** Is `c` in the class? What the ASCII bits were made from. */
bool ml_regex_in_class(const struct regex_class *class, const struct regex_range *ranges,
                       uint32_t c);

#endif
