/* SPDX-License-Identifier: MIT */
/* Which bus it is; the bus of a node that is alone. */
#include "bus/implementation.h"

#include <stdlib.h>

static bool is_cluster(const char *url)
{
    return strncmp(url, "redis+cluster://", 16) == 0 || strncmp(url, "rediss+cluster://", 17) == 0;
}

bool ml_bus_knows(const char *url)
{
    return strcmp(url, "local") == 0 || strncmp(url, "redis://", 8) == 0 ||
           strncmp(url, "rediss://", 9) == 0 || is_cluster(url) ||
           strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0;
}

/* ---- Nobody else ----------------------------------------------------------------------------- */

static void local_close(struct ml_bus *bus, void (*done)(void *arg), void *arg)
{
    free(bus);
    if (done)
        done(arg);
}

static void local_follow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name, bool follow)
{
    (void)bus;
    (void)org;
    (void)name;
    (void)follow;
}

static void local_tell(struct ml_bus *bus, const struct ml_news *news)
{
    (void)bus;
    (void)news;
}

static void local_stats(const struct ml_bus *bus, struct ml_bus_stats *out)
{
    (void)bus;
    *out = (struct ml_bus_stats){.is_healthy = true};
}

static const struct ml_bus_ops local_ops = {local_close, local_follow, local_tell, local_stats,
                                            NULL};

static enum ml_err open_local(struct ml_bus **bus_out)
{
    *bus_out = calloc(1, sizeof **bus_out);
    if (!*bus_out)
        return ML_ELIMIT;
    (*bus_out)->ops = &local_ops;
    return ML_OK;
}

/* ---- Passing on ------------------------------------------------------------------------------ */

enum ml_err ml_bus_open(const struct ml_bus_options *options, struct ml_diag *diag,
                        struct ml_bus **bus_out)
{
    if (strcmp(options->url, "local") == 0)
        return open_local(bus_out);
    if (strncmp(options->url, "postgres", 8) == 0)
        return ml_bus_open_postgres(options, diag, bus_out);
    if (is_cluster(options->url))
        return ml_bus_open_cluster(options, diag, bus_out);
    return ml_bus_open_redis(options, diag, bus_out);
}

void ml_bus_close(struct ml_bus *bus, void (*done)(void *arg), void *arg)
{
    bus->ops->close(bus, done, arg);
}

void ml_bus_follow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name)
{
    bus->ops->follow(bus, org, name, true);
}

void ml_bus_unfollow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name)
{
    bus->ops->follow(bus, org, name, false);
}

void ml_bus_tell(struct ml_bus *bus, const struct ml_news *news)
{
    bus->ops->tell(bus, news);
}

void ml_bus_stats(const struct ml_bus *bus, struct ml_bus_stats *out)
{
    bus->ops->stats(bus, out);
}

size_t ml_bus_bytes_max(const struct ml_bus *bus)
{
    return bus->ops->bytes_max ? bus->ops->bytes_max(bus) : ML_BUS_BYTES_MAX;
}

bool ml_bus_is_local(const struct ml_bus *bus)
{
    return bus->ops == &local_ops;
}
