/* SPDX-License-Identifier: MIT */
/* What an identity may do with one document. */
#include "auth/auth.h"

struct ml_grant ml_grant_editor(void)
{
    return (struct ml_grant){.may = ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE | ML_MAY_MESSAGE |
                                    ML_MAY_HISTORY};
}
