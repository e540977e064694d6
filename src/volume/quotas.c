/* SPDX-License-Identifier: EUPL-1.2 */
/* What a project may have: counted from the rows themselves, for all types together and for each.
 */
#include "volume/impl.h"

const struct stmt stmt_use_volumes = {"use_volumes",
                                      "SELECT COUNT(*) FROM volumes WHERE project_id = $1"};
const struct stmt stmt_use_snapshots = {"use_snapshots",
                                        "SELECT COUNT(*) FROM snapshots WHERE project_id = $1"};
const struct stmt stmt_use_gigabytes = {
    "use_gigabytes",
    "SELECT CAST(COALESCE(SUM(size_gib), 0) AS BIGINT) FROM (SELECT size_gib FROM volumes WHERE "
    "project_id = $1 UNION ALL SELECT size_gib FROM snapshots WHERE project_id = $1) AS sizes"};

static struct err *check_count(struct call *c, const char *project_id, const char *what, int64_t n)
{
    int64_t limit, used;
    TRY(quota_limit(c->cx, c->tx, &volume_service, what, project_id, &limit));
    if (limit < 0)
        return NULL;
    TRY(quota_usage(c->cx, c->tx, &volume_service, what, project_id, &used));
    if (n <= limit - used)
        return NULL;
    if (str_eq(what, "snapshots"))
        return fail(c->cx, ERR_QUOTA, "Maximum number of snapshots allowed (%" PRId64 ") exceeded",
                    limit);
    return fail(c->cx, ERR_QUOTA,
                "Maximum number of volumes allowed (%" PRId64 ") exceeded for quota '%s'.", limit,
                what);
}

static struct err *check_size(struct call *c, const char *project_id, const char *name, int64_t gib)
{
    int64_t limit, used;
    TRY(quota_limit(c->cx, c->tx, &volume_service, name, project_id, &limit));
    if (limit < 0)
        return NULL;
    TRY(quota_usage(c->cx, c->tx, &volume_service, name, project_id, &used));
    if (gib <= limit - used)
        return NULL;
    return fail(c->cx, ERR_QUOTA,
                "Requested volume or snapshot exceeds allowed %s quota. Requested %" PRId64
                "G, quota is %" PRId64 "G and %" PRId64 "G has been consumed.",
                name, gib, limit, used);
}

struct err *volume_quota_check(struct call *c, const char *project_id, const char *type_name UNUSED,
                               const char *what, int64_t n, int64_t gib)
{
    if (n)
        TRY(check_count(c, project_id, what, n));
    return check_size(c, project_id, "gigabytes", gib);
}
