/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What a project may have: counted from the rows themselves, for all types together and for each
 * ("gigabytes_TYPE"). Limits are the project's own, else the default class', else the table's.
 */
#include "volume/impl.h"

#define CLASS "class:default" /* stands where projects do */
#define NONE INT64_MIN

const struct stmt stmt_use_volumes = {"use_volumes",
                                      "SELECT COUNT(*) FROM volumes WHERE project_id = $1"};
const struct stmt stmt_use_snapshots = {"use_snapshots",
                                        "SELECT COUNT(*) FROM snapshots WHERE project_id = $1"};
const struct stmt stmt_use_gigabytes = {
    "use_gigabytes",
    "SELECT CAST(COALESCE(SUM(size_gib), 0) AS BIGINT) FROM (SELECT size_gib FROM volumes WHERE "
    "project_id = $1 UNION ALL SELECT size_gib FROM snapshots WHERE project_id = $1) AS sizes"};
const struct stmt stmt_use_volumes_typed = {
    "use_volumes_typed", "SELECT COUNT(*) FROM volumes WHERE project_id = $1 AND type_id = $2"};
const struct stmt stmt_use_snapshots_typed = {
    "use_snapshots_typed", "SELECT COUNT(*) FROM snapshots WHERE project_id = $1 AND type_id = $2"};
const struct stmt stmt_use_gigabytes_typed = {
    "use_gigabytes_typed",
    "SELECT CAST(COALESCE(SUM(size_gib), 0) AS BIGINT) FROM (SELECT size_gib FROM volumes WHERE "
    "project_id = $1 AND type_id = $2 UNION ALL SELECT size_gib FROM snapshots WHERE project_id = "
    "$1 AND type_id = $2) AS sizes"};

/* Those that each type has too. */
static const struct {
    const char *name;
    const struct stmt *usage;
} typed[] = {{"volumes", &stmt_use_volumes_typed},
             {"snapshots", &stmt_use_snapshots_typed},
             {"gigabytes", &stmt_use_gigabytes_typed}};

/* One limit there is: of the table, or of a type. */
struct limit {
    const char *name;
    const struct quota *own;  /* NULL: a type's */
    const struct stmt *usage; /* of a type, which is $2 */
    const char *type_id;
};

static struct limit own_limit(const char *name)
{
    for (size_t i = 0; i < volume_service.n_quotas; i++)
        if (str_eq(volume_service.quotas[i].name, name))
            return (struct limit){.name = name, .own = &volume_service.quotas[i]};
    bug_at(WHERE, name);
}

static struct limit typed_limit(struct ctx *cx, size_t i, const char *type_id, const char *type)
{
    return (struct limit){.name = arena_printf(cx->arena, "%s_%s", typed[i].name, type),
                          .usage = typed[i].usage,
                          .type_id = type_id};
}

static struct err *default_of(struct call *c, const struct limit *l, int64_t *ret)
{
    return quota_limit_named(c->cx, c->tx, &volume_service, l->name, CLASS,
                             l->own ? l->own->dflt : -1, ret);
}

static struct err *limit_of(struct call *c, const struct limit *l, const char *project_id,
                            int64_t *ret)
{
    TRY(quota_limit_named(c->cx, c->tx, &volume_service, l->name, project_id, NONE, ret));
    return *ret == NONE ? default_of(c, l, ret) : NULL;
}

static struct err *usage_of(struct call *c, const struct limit *l, const char *project_id,
                            int64_t *ret)
{
    const struct db_value params[] = {V_TEXT(project_id), V_TEXT(l->type_id)};
    const struct stmt *st = l->own ? l->own->usage : l->usage;
    struct db_rows rows;
    *ret = 0;
    if (!st)
        return NULL;
    TRY(db_query(c->cx, c->tx, st, params, l->own ? 1 : 2, &rows));
    *ret = db_int(&rows, 0, 0);
    return NULL;
}

/* ---------------------------------------------------------------- checks */

static struct err *exceeded(struct call *c, const struct limit *l, int64_t more, int64_t limit,
                            int64_t used)
{
    if (str_starts(l->name, "gigabytes"))
        return fail(c->cx, ERR_QUOTA,
                    "Requested volume or snapshot exceeds allowed %s quota. Requested %" PRId64
                    "G, quota is %" PRId64 "G and %" PRId64 "G has been consumed.",
                    l->name, more, limit, used);
    if (str_starts(l->name, "snapshots"))
        return fail(c->cx, ERR_QUOTA, "Maximum number of snapshots allowed (%" PRId64 ") exceeded",
                    limit);
    if (str_starts(l->name, "groups"))
        return fail(c->cx, ERR_QUOTA, "Maximum number of groups allowed (%" PRId64 ") exceeded",
                    limit);
    return fail(c->cx, ERR_QUOTA,
                "Maximum number of volumes allowed (%" PRId64 ") exceeded for quota '%s'.", limit,
                l->name);
}

static struct err *check(struct call *c, const char *project_id, struct limit l, int64_t more)
{
    int64_t limit, used;
    TRY(limit_of(c, &l, project_id, &limit));
    if (limit < 0 || !more)
        return NULL;
    TRY(usage_of(c, &l, project_id, &used));
    return more <= limit - used ? NULL : exceeded(c, &l, more, limit, used);
}

static struct err *check_type(struct call *c, const char *project_id,
                              const struct volume_type *type, const char *what, int64_t more)
{
    for (size_t i = 0; i < ARRAY_LEN(typed); i++)
        if (str_eq(typed[i].name, what))
            return check(c, project_id, typed_limit(c->cx, i, type->id, type->name), more);
    bug_at(WHERE, what);
}

struct err *volume_quota_check(struct call *c, const char *project_id,
                               const struct volume_type *type, const char *what, int64_t n,
                               int64_t gib)
{
    TRY(check(c, project_id, own_limit(what), n));
    TRY(check(c, project_id, own_limit("gigabytes"), gib));
    TRY(check_type(c, project_id, type, what, n));
    return check_type(c, project_id, type, "gigabytes", gib);
}

struct err *volume_quota_size(struct call *c, const char *project_id, int64_t gib)
{
    const struct limit l = own_limit("per_volume_gigabytes");
    int64_t limit;
    TRY(limit_of(c, &l, project_id, &limit));
    if (limit < 0 || gib <= limit)
        return NULL;
    return fail(c->cx, ERR_QUOTA,
                "Requested volume size %" PRId64 "G is larger than the maximum allowed limit "
                "%" PRId64 "G: the quota per_volume_gigabytes is exceeded.",
                gib, limit);
}

struct err *volume_quota_retype(struct call *c, const char *project_id,
                                const struct volume_type *type, int64_t gib)
{
    TRY(check_type(c, project_id, type, "volumes", 1));
    return check_type(c, project_id, type, "gigabytes", gib);
}

struct err *volume_quota_groups(struct call *c, const char *project_id)
{
    return check(c, project_id, own_limit("groups"), 1);
}

/* ---------------------------------------------------------------- all of them */

static struct err *all_limits(struct call *c, struct limit **ret, size_t *ret_n)
{
    struct db_rows types;
    size_t n = 0, n_own = volume_service.n_quotas;
    TRY(volume_type_names(c->cx, c->tx, &types));
    struct limit *out =
        arena_new_array(c->cx->arena, struct limit, n_own + types.n_rows * ARRAY_LEN(typed));
    for (size_t i = 0; i < n_own; i++)
        out[n++] = own_limit(volume_service.quotas[i].name);
    for (size_t t = 0; t < types.n_rows; t++)
        for (size_t i = 0; i < ARRAY_LEN(typed); i++)
            out[n++] = typed_limit(c->cx, i, db_text(&types, t, 0), db_text(&types, t, 1));
    *ret = out;
    *ret_n = n;
    return NULL;
}

enum quota_form { FORM_LIMITS, FORM_DEFAULTS, FORM_USAGE };

static struct err *write_limit(struct call *c, struct jw *w, const struct limit *l,
                               const char *project_id, enum quota_form form)
{
    int64_t limit, used;
    TRY(form == FORM_DEFAULTS ? default_of(c, l, &limit) : limit_of(c, l, project_id, &limit));
    if (form != FORM_USAGE) {
        jw_kint(w, l->name, limit);
        return NULL;
    }
    TRY(usage_of(c, l, project_id, &used));
    jw_kobj(w, l->name);
    jw_kint(w, "limit", limit);
    jw_kint(w, "in_use", used);
    jw_kint(w, "reserved", 0);
    jw_obj_end(w);
    return NULL;
}

static struct err *reply(struct call *c, const char *wrapper, const char *id,
                         const char *project_id, enum quota_form form)
{
    struct limit *all;
    size_t n;
    TRY(all_limits(c, &all, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, wrapper);
    if (id)
        jw_kstr(&w, "id", id);
    for (size_t i = 0; i < n; i++)
        TRY(write_limit(c, &w, &all[i], project_id, form));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- os-quota-sets */

static struct err *own_project(struct call *c, const char **ret)
{
    *ret = call_param(c, "project");
    if (c->actor->admin || str_eq(*ret, c->actor->project_id))
        return NULL;
    return volume_forbidden(c, "volume_extension:quotas:show");
}

struct err *volume_quota_show(struct call *c)
{
    const char *project, *usage = http_arg(c->rq, "usage");
    bool b = false;
    TRY(own_project(c, &project));
    if (usage && !str_to_bool(usage, &b))
        return fail(c->cx, ERR_INVALID, "Invalid value for usage: '%s' is not a boolean", usage);
    return reply(c, "quota_set", project, project, b ? FORM_USAGE : FORM_LIMITS);
}

struct err *volume_quota_defaults(struct call *c)
{
    const char *project;
    TRY(own_project(c, &project));
    return reply(c, "quota_set", project, project, FORM_DEFAULTS);
}

static bool is_limit(const struct limit *all, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i].name, name))
            return true;
    return false;
}

static struct err *set_limits(struct call *c, const char *wrapper, const char *project_id)
{
    const json_t *given;
    struct limit *all;
    size_t n, n_set = 0;
    const char *key;
    json_t *value;
    int64_t limit;
    TRY(volume_body_object(c, wrapper, &given));
    TRY(all_limits(c, &all, &n));
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        if (str_eq(key, "tenant_id") || str_eq(key, "class_name") || str_eq(key, "id"))
            continue;
        if (!is_limit(all, n, key))
            return fail(c->cx, ERR_INVALID, "Bad key(s) in quota set: %s",
                        str_cut(c->cx, key, 255));
        limit = INT64_MIN;
        TRY(arg_int(c, given, key, &limit));
        if (limit < -1 || limit > INT32_MAX)
            return volume_bad_member(c, key, value, "it is no number from -1 to 2147483647");
        TRY(quota_set_named(c->cx, c->tx, &volume_service, key, project_id, limit));
        n_set++;
    }
    return n_set ? NULL
                 : fail(c->cx, ERR_INVALID,
                        "Invalid input for field/attribute %s. It has no limit to set", wrapper);
}

struct err *volume_quota_update(struct call *c)
{
    const char *project = call_param(c, "project");
    c->audit_target = project;
    TRY(set_limits(c, "quota_set", project));
    return reply(c, "quota_set", NULL, project, FORM_LIMITS);
}

struct err *volume_quota_delete(struct call *c)
{
    TRY(quota_reset(c->cx, c->tx, &volume_service, call_param(c, "project")));
    call_reply_empty(c, 200);
    return NULL;
}

/* ---------------------------------------------------------------- os-quota-class-sets */

/* There is one class, the defaults of all projects. */
static struct err *check_class(struct call *c)
{
    const char *name = call_param(c, "class");
    return str_eq(name, "default")
               ? NULL
               : fail(c->cx, ERR_NOT_FOUND, "Quota class %s could not be found.", name);
}

struct err *volume_quota_class_show(struct call *c)
{
    TRY(check_class(c));
    return reply(c, "quota_class_set", "default", CLASS, FORM_DEFAULTS);
}

struct err *volume_quota_class_update(struct call *c)
{
    TRY(check_class(c));
    TRY(set_limits(c, "quota_class_set", CLASS));
    return reply(c, "quota_class_set", NULL, CLASS, FORM_DEFAULTS);
}

/* ---------------------------------------------------------------- limits */

static const struct {
    const char *name, *max, *used;
} shown_limits[] = {
    {"volumes", "maxTotalVolumes", "totalVolumesUsed"},
    {"gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"},
    {"snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"},
    {"backups", "maxTotalBackups", "totalBackupsUsed"},
    {"backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"},
};

/* Of another project, since 3.39, for administrators. */
static const char *limits_project(const struct call *c)
{
    const char *other = http_arg(c->rq, "project_id");
    if (!other)
        other = http_arg(c->rq, "tenant_id");
    return other && c->actor->admin && c->microversion >= 39 ? other : c->actor->project_id;
}

struct err *volume_limits(struct call *c)
{
    const char *project = limits_project(c);
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "limits");
    jw_kraw(&w, "rate", "[]");
    jw_kobj(&w, "absolute");
    for (size_t i = 0; i < ARRAY_LEN(shown_limits); i++) {
        const struct limit l = own_limit(shown_limits[i].name);
        int64_t n;
        TRY(limit_of(c, &l, project, &n));
        jw_kint(&w, shown_limits[i].max, n);
        TRY(usage_of(c, &l, project, &n));
        jw_kint(&w, shown_limits[i].used, n);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}
