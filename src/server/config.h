/* SPDX-License-Identifier: MIT */
/* Where every setting comes from: flags over environment over moonloom.lua over safe defaults. */
#ifndef ML_SERVER_CONFIG_H
#define ML_SERVER_CONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "net/net.h"
#include "room/room.h"
#include "script/script.h"

enum ml_auth_mode { ML_AUTH_OPEN, ML_AUTH_PLUGINS, ML_AUTH_PASSWORD };

/** Every ceiling that can be configured, where it is used. */
struct ml_limits {
    struct ml_net_limits net;
    struct ml_room_limits room; /* .engine is not set here */
    struct ml_engine_limits engine;
};

struct ml_config {
    struct ml_arena arena; /* all text below */
    int argc;              /* what it was loaded with; borrowed */
    char **argv;
    char *host;
    uint16_t port;
    char *data_dir;    /* "data" */
    char *store;       /* "sqlite:PATH", "postgres://…" or "memory:" */
    char *bus;         /* "local" or "redis://…" */
    char *plugins_dir; /* NULL: only what the binary carries */
    char *public_url;  /* may be NULL */
    const char **origins;
    size_t origin_count;
    struct ml_ip_range *proxies; /* whose X-Forwarded-For counts */
    size_t proxy_count;
    const char **outgoing; /* private address ranges that plugins may reach */
    size_t outgoing_count;
    enum ml_auth_mode auth;
    struct ml_oidc_provider *providers; /* with ML_AUTH_PASSWORD */
    size_t provider_count;
    bool is_dev;
    bool is_loopback;
    char *plugins_json; /* { plugins, plans, order } of the file; "" if there is none */
    size_t plugin_count;
    struct ml_deploy_org *orgs; /* files orgs/NAME.lua beside it */
    size_t org_count;
    enum ml_log_level log_level;
    unsigned loops;                    /* 0: one per core */
    struct ml_limits limits;           /* zero fields: the defaults of their folders */
    struct ml_role_rights role_rights; /* likewise; texts in the arena */
};

/** One complaint about a configuration. */
typedef void (*ml_config_report)(void *arg, const char *path, unsigned line, const char *message);

/**
 * Read flags of `serve` (argv without the command), environment and file; check everything.
 * Every finding is reported, not only the first.
 * @retval ML_EFORMAT  at least one complaint
 */
enum ml_err ml_config_load(struct ml_config *config, int argc, char **argv, ml_config_report report,
                           void *arg) ML_MUST_CHECK;
/** What of it plugins and orgs are made of, for ml_deploy_new. Borrows from config. */
struct ml_deploy_options ml_config_deploy(const struct ml_config *config);
void ml_config_release(struct ml_config *config);

#endif
