/* SPDX-License-Identifier: EUPL-1.2 */
/* limits and os-quota-sets: one table says which limit shows where, until which microversion. */
#include "compute/impl.h"

const struct stmt stmt_use_instances = {"use_instances",
                                        "SELECT COUNT(*) FROM servers WHERE project_id = $1"};
const struct stmt stmt_use_cores = {
    "use_cores",
    "SELECT CAST(COALESCE(SUM(held_vcpus), 0) AS BIGINT) FROM servers WHERE project_id = $1"};
const struct stmt stmt_use_ram = {
    "use_ram",
    "SELECT CAST(COALESCE(SUM(held_memory_mib), 0) AS BIGINT) FROM servers WHERE project_id = $1"};

struct limit_row {
    const char *name;       /* in os-quota-sets, and the service's quota */
    const char *max, *used; /* in limits */
    unsigned until;         /* last microversion of os-quota-sets and limits; 0: still there */
    bool foreign;           /* the network service's: shown as unlimited, can't be set here */
};

static const struct limit_row rows[] = {
    {"instances", "maxTotalInstances", "totalInstancesUsed", 0, false},
    {"cores", "maxTotalCores", "totalCoresUsed", 0, false},
    {"ram", "maxTotalRAMSize", "totalRAMUsed", 0, false},
    {"key_pairs", "maxTotalKeypairs", NULL, 0, false},
    {"metadata_items", "maxServerMeta", NULL, 0, false},
    {"server_groups", "maxServerGroups", "totalServerGroupsUsed", 0, false},
    {"server_group_members", "maxServerGroupMembers", NULL, 0, false},
    {"injected_files", "maxPersonality", NULL, 56, false},
    {"injected_file_content_bytes", "maxPersonalitySize", NULL, 56, false},
    {"injected_file_path_bytes", NULL, NULL, 56, false},
    {"floating_ips", "maxTotalFloatingIps", "totalFloatingIpsUsed", 35, true},
    {"fixed_ips", NULL, NULL, 35, true},
    {"security_groups", "maxSecurityGroups", "totalSecurityGroupsUsed", 35, true},
    {"security_group_rules", "maxSecurityGroupRules", NULL, 35, true},
};

static bool shown(const struct limit_row *r, unsigned microversion)
{
    return !r->until || microversion <= r->until;
}

static struct err *limit_of(struct call *c, const struct limit_row *r, const char *project,
                            int64_t *ret)
{
    *ret = -1;
    return r->foreign ? NULL : quota_limit(c->cx, c->tx, c->service, r->name, project, ret);
}

/* Key pairs are counted for each user, metadata for each server: their use is no project's. */
static struct err *used_of(struct call *c, const struct limit_row *r, const char *project,
                           int64_t *ret)
{
    *ret = 0;
    return r->foreign ? NULL : quota_usage(c->cx, c->tx, c->service, r->name, project, ret);
}

struct err *limits_show(struct call *c)
{
    const char *project = c->actor->project_id, *other = http_arg(c->rq, "tenant_id");
    int64_t n;
    if (other && !str_eq(other, project) && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "Policy doesn't allow os_compute_api:limits:other_project to be performed.");
    project = other && *other ? other : project;
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "limits");
    jw_kraw(&w, "rate", "[]");
    jw_kobj(&w, "absolute");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct limit_row *r = &rows[i];
        if (!shown(r, c->microversion) || !r->max)
            continue;
        TRY(limit_of(c, r, project, &n));
        jw_kint(&w, r->max, n);
        if (str_eq(r->name, "metadata_items") && c->microversion < 39)
            jw_kint(&w, "maxImageMeta", n);
        if (!r->used)
            continue;
        TRY(used_of(c, r, project, &n));
        jw_kint(&w, r->used, n);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- os-quota-sets */

enum quota_form { FORM_LIMITS, FORM_DEFAULTS, FORM_DETAIL };

static int64_t default_of(const struct call *c, const struct limit_row *r)
{
    for (size_t i = 0; i < c->service->n_quotas; i++)
        if (str_eq(c->service->quotas[i].name, r->name))
            return c->service->quotas[i].dflt;
    return -1;
}

static struct err *write_limit(struct call *c, struct jw *w, const struct limit_row *r,
                               const char *project, enum quota_form form)
{
    int64_t limit = default_of(c, r), used;
    if (form != FORM_DEFAULTS)
        TRY(limit_of(c, r, project, &limit));
    if (form != FORM_DETAIL) {
        jw_kint(w, r->name, limit);
        return NULL;
    }
    TRY(used_of(c, r, project, &used));
    jw_kobj(w, r->name);
    jw_kint(w, "limit", limit);
    jw_kint(w, "in_use", used);
    jw_kint(w, "reserved", 0);
    jw_obj_end(w);
    return NULL;
}

static struct err *reply_set(struct call *c, const char *wrapper, const char *id,
                             const char *project, enum quota_form form)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, wrapper);
    if (id)
        jw_kstr(&w, "id", id);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (shown(&rows[i], c->microversion))
            TRY(write_limit(c, &w, &rows[i], project, form));
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *may_read(struct call *c)
{
    if (c->actor->admin || str_eq(call_param(c, "project"), c->actor->project_id))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", c->route->policy);
}

struct err *quota_show(struct call *c)
{
    TRY(may_read(c));
    return reply_set(c, "quota_set", call_param(c, "project"), call_param(c, "project"),
                     FORM_LIMITS);
}

struct err *quota_detail(struct call *c)
{
    TRY(may_read(c));
    return reply_set(c, "quota_set", call_param(c, "project"), call_param(c, "project"),
                     FORM_DETAIL);
}

struct err *quota_defaults(struct call *c)
{
    return reply_set(c, "quota_set", call_param(c, "project"), NULL, FORM_DEFAULTS);
}

struct err *quota_class_show(struct call *c)
{
    return reply_set(c, "quota_class_set", call_param(c, "class"), NULL, FORM_DEFAULTS);
}

static struct err *read_limit(struct call *c, const char *key, const json_t *v, int64_t *ret)
{
    if (json_is_integer(v))
        *ret = json_integer_value(v);
    else if (!json_is_string(v) || !str_to_i64(json_string_value(v), -1, INT32_MAX, ret))
        return bad_member(c, key, v, "a number from -1 on is needed");
    if (*ret < -1 || *ret > INT32_MAX)
        return bad_member(c, key, v,
                          arena_printf(c->cx->arena,
                                       "%" PRId64 " is less than the minimum of -1, or too great",
                                       *ret));
    return NULL;
}

static struct err *set_limit(struct call *c, const char *key, const json_t *v, bool force)
{
    const char *project = call_param(c, "project");
    int64_t limit, used;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct limit_row *r = &rows[i];
        if (!str_eq(r->name, key) || !shown(r, c->microversion))
            continue;
        TRY(read_limit(c, key, v, &limit));
        if (r->foreign)
            return fail(c->cx, ERR_INVALID,
                        "%s is limited by the network service: set its quota there", key);
        TRY(used_of(c, r, project, &used));
        if (!force && limit >= 0 && limit < used)
            return fail(c->cx, ERR_INVALID,
                        "Quota limit %" PRId64
                        " for %s must be greater than or equal to already used "
                        "and reserved %" PRId64 ".",
                        limit, key, used);
        return quota_set(c->cx, c->tx, c->service, key, project, limit);
    }
    return fail(
        c->cx, ERR_INVALID,
        "Invalid input for field/attribute quota_set. Additional properties are not allowed ('%s' "
        "was unexpected)",
        key);
}

struct err *quota_update(struct call *c)
{
    const json_t *set;
    const char *key;
    json_t *v;
    bool force = false;
    TRY(body_object(c, "quota_set", &set));
    const json_t *f = json_get(set, "force");
    if (f && !json_is_boolean(f) && !str_to_bool(json_string_value(f), &force))
        return bad_member(c, "force", f, "it is not of type 'boolean'");
    force = force || json_is_true(f);
    json_object_foreach((json_t *)(uintptr_t)set, key,
                        v) if (!str_eq(key, "force") && !str_eq(key, "tenant_id"))
        TRY(set_limit(c, key, v, force));
    return reply_set(c, "quota_set", NULL, call_param(c, "project"), FORM_LIMITS);
}

struct err *quota_delete(struct call *c)
{
    TRY(quota_reset(c->cx, c->tx, c->service, call_param(c, "project")));
    call_reply_empty(c, 202);
    return NULL;
}
