/* SPDX-License-Identifier: MIT */
/* What a bus provides. Private to bus/. */
#ifndef ML_BUS_IMPLEMENTATION_H
#define ML_BUS_IMPLEMENTATION_H

#include "bus/bus.h"

struct ml_bus_ops {
    void (*close)(struct ml_bus *bus, void (*done)(void *arg), void *arg);
    void (*follow)(struct ml_bus *bus, struct ml_slice org, struct ml_slice name, bool follow);
    void (*tell)(struct ml_bus *bus, const struct ml_news *news);
    void (*stats)(const struct ml_bus *bus, struct ml_bus_stats *out);
    size_t (*bytes_max)(const struct ml_bus *bus); /* NULL: all that the interface allows */
};
struct ml_bus {
    const struct ml_bus_ops *ops;
};

enum ml_err ml_bus_open_redis(const struct ml_bus_options *options, struct ml_diag *diag,
                              struct ml_bus **bus_out) ML_MUST_CHECK;
enum ml_err ml_bus_open_cluster(const struct ml_bus_options *options, struct ml_diag *diag,
                                struct ml_bus **bus_out) ML_MUST_CHECK;
enum ml_err ml_bus_open_postgres(const struct ml_bus_options *options, struct ml_diag *diag,
                                 struct ml_bus **bus_out) ML_MUST_CHECK;

#endif
