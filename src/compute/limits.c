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
    unsigned class_since, class_until; /* the same for os-quota-class-sets; 0: as above */
    const char *network;               /* the network service's quota of this name */
};

static const struct limit_row rows[] = {
    {"instances", "maxTotalInstances", "totalInstancesUsed"},
    {"cores", "maxTotalCores", "totalCoresUsed"},
    {"ram", "maxTotalRAMSize", "totalRAMUsed"},
    {"key_pairs", "maxTotalKeypairs"},
    {"metadata_items", "maxServerMeta"},
    {"server_groups", "maxServerGroups", "totalServerGroupsUsed", .class_since = 50},
    {"server_group_members", "maxServerGroupMembers", .class_since = 50},
    {"injected_files", "maxPersonality", .until = 56},
    {"injected_file_content_bytes", "maxPersonalitySize", .until = 56},
    {"injected_file_path_bytes", .until = 56},
    {"floating_ips", "maxTotalFloatingIps", "totalFloatingIpsUsed", .until = 35, .class_until = 49,
     .network = "floatingip"},
    {"fixed_ips", .until = 35, .class_until = 49, .network = "port"},
    {"security_groups", "maxSecurityGroups", "totalSecurityGroupsUsed", .until = 35,
     .class_until = 49, .network = "security_group"},
    {"security_group_rules", "maxSecurityGroupRules", .until = 35, .class_until = 49,
     .network = "security_group_rule"},
};

static bool shown(const struct limit_row *r, unsigned microversion)
{
    return !r->until || microversion <= r->until;
}

static bool shown_in_class(const struct limit_row *r, unsigned microversion)
{
    if (r->class_until)
        return microversion <= r->class_until;
    return microversion >= r->class_since && shown(r, microversion);
}

/* Whose quota it is, by which name; NULL: nobody's here. */
static const struct service *keeper_of(const struct call *c, const struct limit_row *r,
                                       const char **ret_name)
{
    *ret_name = r->network ? r->network : r->name;
    return r->network ? api_service(c->api, "network") : c->service;
}

static struct err *limit_of(struct call *c, const struct limit_row *r, const char *project,
                            int64_t *ret)
{
    const char *name;
    const struct service *keeper = keeper_of(c, r, &name);
    *ret = -1;
    return keeper ? quota_limit(c->cx, c->tx, keeper, name, project, ret) : NULL;
}

/* Key pairs are counted for each user, metadata for each server: their use is no project's. */
static struct err *used_of(struct call *c, const struct limit_row *r, const char *project,
                           int64_t *ret)
{
    const char *name;
    const struct service *keeper = keeper_of(c, r, &name);
    *ret = 0;
    return keeper ? quota_usage(c->cx, c->tx, keeper, name, project, ret) : NULL;
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

enum quota_form { FORM_LIMITS, FORM_DETAIL };

struct limit_set {
    const char *wrapper, *id, *project;
    const char *user; /* NULL: the project's own */
    bool (*shown)(const struct limit_row *r, unsigned microversion);
    enum quota_form form;
};

static struct err *limit_in(struct call *c, const struct limit_row *r, const struct limit_set *s,
                            int64_t *ret)
{
    if (s->user && user_quota_known(r->name))
        return user_quota_limit(c, r->name, s->project, s->user, ret);
    return limit_of(c, r, s->project, ret);
}

static struct err *used_in(struct call *c, const struct limit_row *r, const struct limit_set *s,
                           int64_t *ret)
{
    if (s->user && user_quota_known(r->name))
        return user_quota_usage(c, r->name, s->project, s->user, ret);
    return used_of(c, r, s->project, ret);
}

static struct err *write_limit(struct call *c, struct jw *w, const struct limit_row *r,
                               const struct limit_set *s)
{
    int64_t limit, used;
    TRY(limit_in(c, r, s, &limit));
    if (s->form == FORM_LIMITS) {
        jw_kint(w, r->name, limit);
        return NULL;
    }
    TRY(used_in(c, r, s, &used));
    jw_kobj(w, r->name);
    jw_kint(w, "limit", limit);
    jw_kint(w, "in_use", used);
    jw_kint(w, "reserved", 0);
    jw_obj_end(w);
    return NULL;
}

static struct err *reply_set(struct call *c, const struct limit_set *s)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, s->wrapper);
    if (s->id)
        jw_kstr(&w, "id", s->id);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (s->shown(&rows[i], c->microversion))
            TRY(write_limit(c, &w, &rows[i], s));
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
    const char *project = call_param(c, "project");
    const struct limit_set set = {"quota_set", project,    project, http_arg(c->rq, "user_id"),
                                  shown,       FORM_LIMITS};
    TRY(may_read(c));
    return reply_set(c, &set);
}

struct err *quota_detail(struct call *c)
{
    const char *project = call_param(c, "project");
    const struct limit_set set = {"quota_set", project,    project, http_arg(c->rq, "user_id"),
                                  shown,       FORM_DETAIL};
    TRY(may_read(c));
    return reply_set(c, &set);
}

struct err *quota_defaults(struct call *c)
{
    const struct limit_set set = {
        "quota_set", call_param(c, "project"), QUOTA_DEFAULTS, NULL, shown, FORM_LIMITS};
    return reply_set(c, &set);
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

static struct err *check_used(struct call *c, const struct limit_row *r, const struct limit_set *s,
                              int64_t limit)
{
    int64_t used;
    TRY(used_in(c, r, s, &used));
    if (limit < 0 || limit >= used)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Quota limit %" PRId64 " for %s must be greater than or equal to already used and "
                "reserved %" PRId64 ".",
                limit, r->name, used);
}

/* A user has no more than the project. */
static struct err *check_user(struct call *c, const struct limit_row *r, const struct limit_set *s,
                              int64_t limit, bool force)
{
    int64_t most;
    if (!user_quota_known(r->name))
        return fail(c->cx, ERR_INVALID, "%s is not counted for each user: it can't be limited so",
                    r->name);
    TRY(limit_of(c, r, s->project, &most));
    if (force || most < 0 || (limit >= 0 && limit <= most))
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Quota limit %" PRId64 " for %s must be less than or equal to %" PRId64 ".", limit,
                r->name, most);
}

static struct err *set_limit(struct call *c, const struct limit_set *s, const char *key,
                             const json_t *v, bool force)
{
    int64_t limit;
    const char *name;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct limit_row *r = &rows[i];
        if (!str_eq(r->name, key) || !s->shown(r, c->microversion))
            continue;
        const struct service *keeper = keeper_of(c, r, &name);
        TRY(read_limit(c, key, v, &limit));
        if (!keeper)
            return fail(c->cx, ERR_INVALID, "%s is limited by another service: set its quota there",
                        key);
        if (s->user)
            TRY(check_user(c, r, s, limit, force));
        if (!force)
            TRY(check_used(c, r, s, limit));
        return quota_set(c->cx, c->tx, keeper, name,
                         s->user ? user_quota_key(c->cx, s->project, s->user) : s->project, limit);
    }
    return fail(
        c->cx, ERR_INVALID,
        "Invalid input for field/attribute %s. Additional properties are not allowed ('%s' was "
        "unexpected)",
        s->wrapper, key);
}

static struct err *read_force(struct call *c, const json_t *set, bool *ret)
{
    const json_t *f = json_get(set, "force");
    *ret = json_is_true(f);
    if (f && !json_is_boolean(f) && !str_to_bool(json_string_value(f), ret))
        return bad_member(c, "force", f, "it is not of type 'boolean'");
    return NULL;
}

struct err *quota_update(struct call *c)
{
    const struct limit_set set = {
        "quota_set", NULL,       call_param(c, "project"), http_arg(c->rq, "user_id"),
        shown,       FORM_LIMITS};
    const json_t *given;
    const char *key;
    json_t *v;
    bool force;
    TRY(body_object(c, set.wrapper, &given));
    TRY(read_force(c, given, &force));
    json_object_foreach((json_t *)(uintptr_t)given, key,
                        v) if (!str_eq(key, "force") && !str_eq(key, "tenant_id"))
        TRY(set_limit(c, &set, key, v, force));
    return reply_set(c, &set);
}

/* Classes: "default" holds what counts for every project without limits of its own. */
static struct err *class_set(struct call *c, struct limit_set *ret)
{
    const char *name = call_param(c, "class");
    if (strlen(name) > 100)
        return fail(c->cx, ERR_INVALID, "A quota class' name has at most 100 characters");
    *ret = (struct limit_set){.wrapper = "quota_class_set",
                              .project = arena_printf(c->cx->arena, "class:%s", name),
                              .shown = shown_in_class};
    return NULL;
}

struct err *quota_class_show(struct call *c)
{
    struct limit_set set;
    TRY(class_set(c, &set));
    set.id = call_param(c, "class");
    return reply_set(c, &set);
}

struct err *quota_class_update(struct call *c)
{
    struct limit_set set;
    const json_t *given;
    const char *key;
    json_t *v;
    TRY(class_set(c, &set));
    TRY(body_object(c, set.wrapper, &given));
    json_object_foreach((json_t *)(uintptr_t)given, key, v) TRY(set_limit(c, &set, key, v, true));
    return reply_set(c, &set);
}

struct err *quota_delete(struct call *c)
{
    const char *project = call_param(c, "project"), *user = http_arg(c->rq, "user_id");
    if (!user)
        TRY(quota_reset(c->cx, c->tx, c->service, project));
    TRY(user_quotas_forget(c, project, user));
    call_reply_empty(c, 202);
    return NULL;
}
