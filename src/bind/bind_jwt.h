/* SPDX-License-Identifier: MIT */
/* What ml.jwt is made of: auth's tokens, as script wants them. */
#ifndef ML_BIND_BIND_JWT_H
#define ML_BIND_BIND_JWT_H

#include "script/script.h"

extern const struct ml_script_jwt ml_bind_jwt;

#endif
