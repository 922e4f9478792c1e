/* SPDX-License-Identifier: MIT */
/* What cmocka wants in front of itself. */
#ifndef ML_SPEC_TEST_H
#define ML_SPEC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
