/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Quotas: limits are rows, usage is always counted from the resources themselves in the same
 * transaction, so it can neither leak nor drift.
 */
#include "resource/engine.h"

static const struct quota *find(const struct service *svc, const char *name)
{
    for (size_t i = 0; i < svc->n_quotas; i++)
        if (str_eq(svc->quotas[i].name, name))
            return &svc->quotas[i];
    bug_at(WHERE, name);
}

struct err *quota_limit_named(struct ctx *cx, struct tx *tx, const struct service *svc,
                              const char *name, const char *project_id, int64_t dflt,
                              int64_t *ret_limit)
{
    struct db_value params[] = {V_TEXT(svc->name), V_TEXT(project_id), V_TEXT(name)};
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_quota_get, params, 3, &rows));
    *ret_limit = rows.n_rows ? db_int(&rows, 0, 0) : dflt;
    return NULL;
}

struct err *quota_limit(struct ctx *cx, struct tx *tx, const struct service *svc, const char *name,
                        const char *project_id, int64_t *ret_limit)
{
    return quota_limit_named(cx, tx, svc, name, project_id, find(svc, name)->dflt, ret_limit);
}

struct err *quota_own(struct ctx *cx, struct tx *tx, const struct service *svc, const char *name,
                      const char *project_id, int64_t *ret_limit, bool *ret_found)
{
    const struct db_value params[] = {V_TEXT(svc->name), V_TEXT(project_id), V_TEXT(name)};
    struct db_rows rows;
    find(svc, name);
    TRY(db_query(cx, tx, &stmt_quota_own, params, 3, &rows));
    *ret_found = rows.n_rows > 0;
    *ret_limit = *ret_found ? db_int(&rows, 0, 0) : -1;
    return NULL;
}

struct err *quota_usage(struct ctx *cx, struct tx *tx, const struct service *svc, const char *name,
                        const char *project_id, int64_t *ret_used)
{
    const struct quota *q = find(svc, name);
    struct db_value param = V_TEXT(project_id);
    struct db_rows rows;
    *ret_used = 0;
    if (!q->usage)
        return NULL;
    TRY(db_query(cx, tx, q->usage, &param, 1, &rows));
    *ret_used = rows.n_rows ? db_int(&rows, 0, 0) : 0;
    return NULL;
}

struct err *quota_check(struct ctx *cx, struct tx *tx, const struct service *svc, const char *name,
                        const char *project_id, int64_t more)
{
    int64_t limit, used;
    TRY(quota_limit(cx, tx, svc, name, project_id, &limit));
    if (limit < 0)
        return NULL;
    TRY(quota_usage(cx, tx, svc, name, project_id, &used));
    if (more <= limit - used)
        return NULL;
    if (svc->family->paging == PAGING_NETWORK)
        return fail_type(cx, ERR_QUOTA, "OverQuota", "Quota exceeded for resources: ['%s'].", name);
    if (svc->family->paging == PAGING_IMAGE)
        return fail(cx, ERR_QUOTA,
                    "Project %s is over a limit for [Resource %s is over limit of %" PRId64
                    " due to current usage %" PRId64 " and delta %" PRId64 "]",
                    project_id, name, limit, used, more);
    return fail(cx, ERR_QUOTA,
                "Quota exceeded for %s: Requested %" PRId64 ", but already used %" PRId64
                " of %" PRId64 " %s",
                name, more, used, limit, name);
}

struct err *quota_set(struct ctx *cx, struct tx *tx, const struct service *svc, const char *name,
                      const char *project_id, int64_t limit)
{
    find(svc, name);
    return quota_set_named(cx, tx, svc, name, project_id, limit);
}

struct err *quota_set_named(struct ctx *cx, struct tx *tx, const struct service *svc,
                            const char *name, const char *project_id, int64_t limit)
{
    return db_run(cx, tx, &stmt_quota_set, V_TEXT(svc->name), V_TEXT(project_id), V_TEXT(name),
                  V_INT(limit));
}

struct err *quota_reset(struct ctx *cx, struct tx *tx, const struct service *svc,
                        const char *project_id)
{
    return db_run(cx, tx, &stmt_quota_reset, V_TEXT(svc ? svc->name : ""), V_TEXT(project_id));
}
