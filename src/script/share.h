/* SPDX-License-Identifier: MIT */
/* How much of a core an org may use (plugin-api 13.3). Private to script/. */
#ifndef ML_SCRIPT_SHARE_H
#define ML_SCRIPT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/** A bucket of time, filled at `rate`, as large as 10 s of it. */
struct ml_share {
    double rate; /* of one core; 0: no limit */
    int64_t left_us;
    uint64_t filled_us; /* when it was filled last */
    uint64_t began_us;  /* of the call that runs */
    uint64_t took_us;   /* the last call */
    uint64_t emptied;   /* how often it ran dry */
    bool is_empty;
};

void ml_share_init(struct ml_share *share, double rate);
/** Around every entry into Lua. */
void ml_share_begin(struct ml_share *share);
void ml_share_end(struct ml_share *share);
/** Has it run dry? Filled first. */
bool ml_share_is_empty(struct ml_share *share);

/** The deadline of a hook that does not wait: a tenth while the share is empty. */
static inline uint32_t ml_share_deadline_us(const struct ml_share *share, uint32_t deadline_us)
{
    return share->is_empty ? deadline_us / 10 : deadline_us;
}

#endif
