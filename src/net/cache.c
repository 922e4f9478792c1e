/* SPDX-License-Identifier: MIT */
/*
 * Cache-Control and surrogate keys (plugin-api 6.7).
 *
 * What plugins answer is merged by script/hooks_cache.c. Here stand the rules that none can loosen:
 *  [C1] an answer of the API is no-store;
 *  [C2] an answer that sets a cookie, or to a request with credentials, is not public;
 *  [C3] what is being purged is no-store until the purge is confirmed;
 *  [C4] an error is not kept longer than a minute, and never immutable.
 */
#include "net/cache.h"

#include "net/ask.h"

#include <inttypes.h>
#include <stdio.h>

#define ERROR_MAX_AGE_S 60

void ml_cache_doc_hash(struct ml_slice org, struct ml_slice document,
                       char out[ML_CACHE_DOC_HASH + 1])
{
    const struct ml_slice parts[] = {org, document};

    ml_digest_hex(parts, 2, out, ML_CACHE_DOC_HASH);
}

bool ml_cache_has_credentials(const struct ml_head *head)
{
    return ml_head_field(head, "cookie").ptr || ml_head_field(head, "authorization").ptr;
}

static void least(int64_t *age_s, int64_t max_s)
{
    if (*age_s > max_s)
        *age_s = max_s;
}

static void fix(const struct ml_cache_subject *subject, struct ml_cache_rule *rule)
{
    const struct ml_script_response *facts = &subject->facts;

    if (facts->is_api || subject->is_purging)
        rule->store = ML_CACHE_NO_STORE;
    if ((facts->has_cookie || facts->authenticated) && rule->store == ML_CACHE_PUBLIC)
        rule->store = ML_CACHE_PRIVATE;
    if (facts->status >= 400) {
        rule->immutable = false;
        least(&rule->max_age_s, ERROR_MAX_AGE_S);
        least(&rule->shared_max_age_s, ERROR_MAX_AGE_S);
        least(&rule->stale_while_revalidate_s, 0);
    }
}

static void write_control(struct ml_writer *out, const struct ml_cache_rule *rule)
{
    if (rule->store == ML_CACHE_NO_STORE) {
        ml_http_print(out, ML_HTTP_NO_STORE);
        return;
    }
    ml_http_print(out, "Cache-Control: %s", rule->store == ML_CACHE_PUBLIC ? "public" : "private");
    if (rule->max_age_s >= 0)
        ml_http_print(out, ", max-age=%" PRId64, rule->max_age_s);
    if (rule->shared_max_age_s >= 0 && rule->store == ML_CACHE_PUBLIC)
        ml_http_print(out, ", s-maxage=%" PRId64, rule->shared_max_age_s);
    if (rule->stale_while_revalidate_s > 0)
        ml_http_print(out, ", stale-while-revalidate=%" PRId64, rule->stale_while_revalidate_s);
    ml_http_print(out, "%s\r\n", rule->immutable ? ", immutable" : "");
}

static void write_vary(struct ml_writer *out, const struct ml_cache_rule *rule)
{
    for (size_t i = 0; i < rule->vary_count; i++)
        ml_http_print(out, "%s%.*s", i ? ", " : "Vary: ", ML_PRINT(rule->vary[i]));
    if (rule->vary_count)
        ml_http_print(out, "\r\n");
}

static void write_keys(struct ml_writer *out, const struct ml_cache_subject *subject,
                       const struct ml_cache_rule *rule, const char *header, const char *between)
{
    char hash[ML_CACHE_DOC_HASH + 1];
    const char *before = header;

    ml_cache_doc_hash(subject->org, subject->document, hash);
    if (rule->keys & ML_CACHE_KEY_ORG) {
        ml_http_print(out, "%so-%.*s", before, ML_PRINT(subject->org));
        before = between;
    }
    if (rule->keys & ML_CACHE_KEY_DOC) {
        ml_http_print(out, "%sd-%s", before, hash);
        before = between;
    }
    if ((rule->keys & ML_CACHE_KEY_SNAPSHOT) && subject->version) {
        ml_http_print(out, "%ss-%s-%" PRIu64, before, hash, subject->version);
        before = between;
    }
    if (before == between)
        ml_http_print(out, "\r\n");
}

void ml_cache_fields(struct ml_net *net, const struct ml_cache_subject *subject,
                     struct ml_cache_rule rule, struct ml_writer *out)
{
    struct ml_script *script = ml_net_script(net, subject->org, subject->document);

    if (script)
        ml_script_cache_control(script, &subject->facts, &rule);
    fix(subject, &rule);
    write_control(out, &rule);
    write_vary(out, &rule);
    if (rule.store == ML_CACHE_NO_STORE || !subject->org.len || !subject->document.len)
        return;
    write_keys(out, subject, &rule, "Surrogate-Key: ", " ");
    if (rule.has_cache_tag)
        write_keys(out, subject, &rule, "Cache-Tag: ", ",");
}
