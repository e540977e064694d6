/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Quotas of one user within a project: what is counted for each user can be limited below the
 * project's own limit. Rows stand beside the projects', under a key of both.
 */
#include "compute/impl.h"

const struct stmt stmt_user_quotas_forget = {
    "user_quotas_forget", "DELETE FROM quota_limits WHERE service = 'compute' AND project_id LIKE "
                          "$1"};
const struct stmt stmt_use_of_user = {
    "use_of_user", "SELECT COUNT(*), CAST(COALESCE(SUM(held_vcpus), 0) AS BIGINT), "
                   "CAST(COALESCE(SUM(held_memory_mib), 0) AS BIGINT) FROM servers WHERE project_id = "
                   "$1 AND user_id = $2"};

static const char *const names[] = {"instances", "cores", "ram", "key_pairs"};

bool user_quota_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

const char *user_quota_key(struct ctx *cx, const char *project_id, const char *user_id)
{
    return arena_printf(cx->arena, "user:%s:%s", project_id, user_id);
}

struct err *user_quota_limit(struct call *c, const char *name, const char *project_id,
                             const char *user_id, int64_t *ret)
{
    bool found;
    TRY(quota_own(c->cx, c->tx, c->service, name, user_quota_key(c->cx, project_id, user_id), ret,
                  &found));
    return found ? NULL : quota_limit(c->cx, c->tx, c->service, name, project_id, ret);
}

struct err *user_quota_usage(struct call *c, const char *name, const char *project_id,
                             const char *user_id, int64_t *ret)
{
    const struct db_value params[] = {V_TEXT(project_id), V_TEXT(user_id)};
    struct db_rows rows;
    *ret = 0;
    if (str_eq(name, "key_pairs")) {
        TRY(db_query(c->cx, c->tx, &stmt_keypair_count, &params[1], 1, &rows));
        *ret = db_int(&rows, 0, 0);
        return NULL;
    }
    TRY(db_query(c->cx, c->tx, &stmt_use_of_user, params, 2, &rows));
    for (size_t i = 0; i < rows.n_cols; i++)
        if (str_eq(names[i], name))
            *ret = db_int(&rows, 0, i);
    return NULL;
}

static struct err *check_one(struct call *c, const char *name, const char *project_id,
                             const char *user_id, int64_t more)
{
    int64_t limit, used;
    bool found;
    if (more <= 0)
        return NULL;
    TRY(quota_check(c->cx, c->tx, c->service, name, project_id, more));
    TRY(quota_own(c->cx, c->tx, c->service, name, user_quota_key(c->cx, project_id, user_id),
                  &limit, &found));
    if (!found || limit < 0)
        return NULL;
    TRY(user_quota_usage(c, name, project_id, user_id, &used));
    if (more <= limit - used)
        return NULL;
    return fail(c->cx, ERR_QUOTA,
                "Quota exceeded for %s: Requested %" PRId64 ", but already used %" PRId64
                " of %" PRId64 " %s",
                name, more, used, limit, name);
}

struct err *server_quota_check(struct call *c, const char *project_id, const char *user_id,
                               int64_t instances, int64_t cores, int64_t ram_mib)
{
    TRY(check_one(c, "instances", project_id, user_id, instances));
    TRY(check_one(c, "cores", project_id, user_id, cores));
    return check_one(c, "ram", project_id, user_id, ram_mib);
}

struct err *user_quotas_forget(struct call *c, const char *project_id, const char *user_id)
{
    const char *key = user_quota_key(c->cx, project_id, user_id ? user_id : "%");
    return db_run(c->cx, c->tx, &stmt_user_quotas_forget, V_TEXT(key));
}
