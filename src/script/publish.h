/* SPDX-License-Identifier: MIT */
/* What plugins say about caches and published files. Part of script.h. */
#ifndef ML_SCRIPT_PUBLISH_H
#define ML_SCRIPT_PUBLISH_H

enum ml_cache_store { ML_CACHE_PUBLIC, ML_CACHE_PRIVATE, ML_CACHE_NO_STORE }; /* strictest last */

enum ml_cache_key {
    ML_CACHE_KEY_ORG = 1 << 0,
    ML_CACHE_KEY_DOC = 1 << 1,
    ML_CACHE_KEY_SNAPSHOT = 1 << 2,
};

#define ML_CACHE_VARY_MAX 4

/** What a cache may do with an answer. Ages in seconds; -1: nothing is said. */
struct ml_cache_rule {
    enum ml_cache_store store;
    int64_t max_age_s, shared_max_age_s, stale_while_revalidate_s;
    bool immutable;
    unsigned keys;                           /* ml_cache_key */
    struct ml_slice vary[ML_CACHE_VARY_MAX]; /* static texts */
    size_t vary_count;
    bool has_cache_tag; /* the keys go out as Cache-Tag too, not only as Surrogate-Key */
};
/** no-store, and nothing else. */
struct ml_cache_rule ml_cache_rule_default(void);

/** cache_control(res): facts of an answer. */
struct ml_script_response {
    struct ml_slice route, method, document, content_type;
    unsigned status;
    bool is_api, has_cookie, authenticated;
    uint64_t version; /* 0: none */
};
/**
 * Strictest of all who have an opinion: *rule for those things that nobody speaks of. A plugin that
 * fails makes it no-store.
 */
void ml_script_cache_control(struct ml_script *script, const struct ml_script_response *response,
                             struct ml_cache_rule *rule);

/** asset_url(a). False: nobody has an opinion. */
struct ml_script_asset {
    struct ml_slice org, document, hash, file;
    uint64_t snapshot;
};
bool ml_script_asset_url(struct ml_script *script, const struct ml_script_asset *asset,
                         struct ml_writer *out);

/** purge(p): what caches have to forget. */
struct ml_script_purge {
    const struct ml_slice *keys, *urls, *prefixes;
    size_t key_count, url_count, prefix_count;
    struct ml_slice reason;
    bool urgent;
};
/** Everything is borrowed until `done`, which runs once, maybe before the call returns. */
struct ml_script_purging {
    struct ml_script_purge purge;
    void (*done)(struct ml_script_purging *purging);
    /* result */
    bool is_done;      /* every plugin has said so */
    uint64_t retry_ms; /* else: not before; 0: nobody said when */
    char why[128];
    void *round; /* private */
};
void ml_script_purge_start(struct ml_script *script, struct ml_script_purging *purging);

#endif
