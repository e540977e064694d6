/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Who sees what of other projects: /v2.0/rbac-policies. A network that is shared or external has a
 * policy for every project, so these rows alone decide; the columns "shared" and "external" follow
 * them.
 */
#include "network/nw.h"

static const char *const rbac_types[] = {"network",       "subnetpool",    "security_group",
                                         "address_scope", "address_group", NULL};
static const char *const rbac_actions[] = {RBAC_SHARED, RBAC_EXTERNAL, NULL};

#define RESOURCE rbac_policy
#define RESOURCE_DEF "network/rbac_policy.def"
#include "resource/declare_fields.h"

static const struct res_index rbac_policy_indexes[] = {
    {"rbac_policies_project", "project_id, id", false, NULL},
    {"rbac_policies_object", "object_id, action, target_project", true, NULL},
    {"rbac_policies_target", "target_project, object_type, object_id", false, NULL},
};

const struct resource rbac_policy_resource = {.name = "rbac_policy",
                                              .plural = "rbac_policies",
                                              .table = "rbac_policies",
                                              RESOURCE_FIELDS(rbac_policy),
                                              .owner = rbac_policy_f_project_id,
                                              .not_found = "RBAC policy %s could not be found.",
                                              .not_found_type = "RbacPolicyNotFound",
                                              .indexes = rbac_policy_indexes,
                                              .n_indexes = ARRAY_LEN(rbac_policy_indexes),
                                              .dflt_sort = "id:asc",
                                              .doc = "Lets other projects use something."};

const struct stmt nw_st_rbac_has = {
    "rbac_has", "SELECT 1 FROM rbac_policies WHERE object_id = $1 AND action LIKE $2 AND "
                "target_project IN ('*', $3) LIMIT 1"};
const struct stmt nw_st_rbac_marks = {
    "rbac_marks", "SELECT object_id, target_project FROM rbac_policies WHERE action = "
                  "'access_as_shared' AND object_id IN " IN_BATCH};
const struct stmt nw_st_rbac_forget = {"rbac_forget",
                                       "DELETE FROM rbac_policies WHERE object_id = $1"};
const struct stmt nw_st_rbac_not_external = {
    "rbac_not_external",
    "DELETE FROM rbac_policies WHERE object_id = $1 AND action = 'access_as_external'"};
const struct res_where nw_w_rbac_same = {
    &rbac_policy_resource, "object_id = $1 AND action = $2 AND target_project = $3", NULL};

/* Who of other projects (than the owner, $2) uses the object $1 by the policy $3, and by no other.
 */
#define LOSES(action, project)                                                                     \
    " AND " project " <> $2 AND " project " <> '' AND $3 <> '' "                                   \
    "AND EXISTS (SELECT 1 FROM rbac_policies m WHERE m.id = $3 "                                   \
    "AND m.target_project IN ('*', " project ")) "                                                 \
    "AND NOT EXISTS (SELECT 1 FROM rbac_policies r WHERE r.object_id = $1 AND r.action = '" action \
    "' AND r.id <> $3 AND r.target_project IN ('*', " project ")) LIMIT 1"
const struct stmt nw_st_lose_network = {
    "lose_network", "SELECT p.id FROM ports p WHERE p.network_id = $1 "
                    "AND p.device_owner NOT LIKE 'network:%'" LOSES(RBAC_SHARED, "p.project_id")};
const struct stmt nw_st_lose_external = {
    "lose_external",
    "SELECT u.id FROM (SELECT id, project_id FROM routers WHERE "
    "gateway_network_id = $1 UNION ALL SELECT id, project_id FROM floatingips "
    "WHERE floating_network_id = $1) u WHERE 1 = 1" LOSES(RBAC_EXTERNAL, "u.project_id")};
const struct stmt nw_st_lose_subnetpool = {
    "lose_subnetpool",
    "SELECT s.id FROM subnets s WHERE s.subnetpool_id = $1" LOSES(RBAC_SHARED, "s.project_id")};
const struct stmt nw_st_lose_group = {
    "lose_group", "SELECT p.id FROM port_groups g JOIN ports p ON p.id = g.port_id WHERE "
                  "g.group_id = $1" LOSES(RBAC_SHARED, "p.project_id")};
const struct stmt nw_st_lose_scope = {
    "lose_scope", "SELECT s.id FROM subnetpools s WHERE s.address_scope_id = $1" LOSES(
                      RBAC_SHARED, "s.project_id")};
const struct stmt nw_st_lose_addresses = {
    "lose_addresses",
    "SELECT s.id FROM security_rules s WHERE s.remote_address_group_id = $1" LOSES(RBAC_SHARED,
                                                                                   "s.project_id")};

static const struct kind {
    const char *type;
    const struct resource *res;
    const struct stmt *losers;
} kinds[] = {{"network", &network_resource, &nw_st_lose_network},
             {"subnetpool", &subnetpool_resource, &nw_st_lose_subnetpool},
             {"security_group", &security_group_resource, &nw_st_lose_group},
             {"address_scope", &address_scope_resource, &nw_st_lose_scope},
             {"address_group", &address_group_resource, &nw_st_lose_addresses}};

static const struct kind *kind_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kinds[i].type, type))
            return &kinds[i];
    bug_at(WHERE, type);
}

const char *nw_rbac_type(const struct resource *res)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].res == res)
            return kinds[i].type;
    return NULL;
}

/* ---------------------------------------------------------------- for all of the service */

struct err *nw_rbac_has(struct ctx *cx, struct tx *tx, const char *object_id, const char *action,
                        const char *project_id, bool *ret)
{
    struct db_value params[] = {V_TEXT(object_id), V_TEXT(action),
                                V_TEXT(project_id ? project_id : "")};
    struct db_rows rows;
    TRY(db_query(cx, tx, &nw_st_rbac_has, params, 3, &rows));
    *ret = rows.n_rows > 0;
    return NULL;
}

bool nw_rbac_sees(struct ctx *cx, struct tx *tx, const char *object_id, const struct actor *actor)
{
    bool sees = false;
    struct err *e = nw_rbac_has(cx, tx, object_id, "access_as_%", actor->project_id, &sees);
    return !e && sees;
}

struct marks {
    const char *const *ids;
    struct nw_seen *seen;
    size_t n;
    const char *project_id;
};

static struct err *take_mark(struct ctx *cx UNUSED, const struct db_value *cells, size_t n UNUSED,
                             void *arg)
{
    struct marks *m = arg;
    if (!str_eq(cells[1].s, "*") && !str_eq(cells[1].s, m->project_id))
        return NULL;
    for (size_t i = 0; i < m->n; i++)
        m->seen[i].shared |= str_eq(m->ids[i], cells[0].s);
    return NULL;
}

struct err *nw_rbac_prepare(struct ctx *cx, struct tx *tx, const struct resource *res,
                            void *const *rows, size_t n, const struct actor *actor)
{
    struct marks m = {.project_id = actor ? actor->project_id : NULL};
    const char **ids = arena_new_array(cx->arena, const char *, n);
    struct nw_seen *seen = arena_new_array(cx->arena, struct nw_seen, n);
    for (size_t i = 0; i < n; i++) {
        ids[i] = nw_id_of(res, rows[i]);
        row_of(rows[i])->extra = &seen[i];
    }
    m.ids = ids;
    m.seen = seen;
    m.n = n;
    return db_each_in(cx, tx, &nw_st_rbac_marks, ids, n, take_mark, &m);
}

bool nw_shared_to_actor(const void *row)
{
    const struct nw_seen *seen = ((const struct row *)row)->extra;
    return seen && seen->shared;
}

struct err *nw_rbac_everyone(struct ctx *cx, struct tx *tx, const struct resource *res,
                             const char *object_id, const char *project_id, const char *action,
                             bool on)
{
    void *row = NULL;
    TRY(res_first_by(cx, tx, &nw_w_rbac_same, &row, V_TEXT(object_id), V_TEXT(action),
                     V_TEXT("*")));
    if (on == (row != NULL))
        return NULL;
    if (!on)
        return res_delete(cx, tx, &rbac_policy_resource, row);
    struct rbac_policy *p = res_new(cx, &rbac_policy_resource);
    p->id = uuid_new(cx);
    p->project_id = project_id;
    p->object_type = nw_rbac_type(res);
    p->object_id = object_id;
    p->action = action;
    p->target_project = "*";
    return res_insert(cx, tx, &rbac_policy_resource, p);
}

struct err *nw_rbac_forget(struct ctx *cx, struct tx *tx, const char *object_id)
{
    return db_run(cx, tx, &nw_st_rbac_forget, V_TEXT(object_id));
}

static struct err *check_losers(struct call *c, const struct stmt *losers, const char *object_id,
                                const char *owner, const char *policy_id, bool *ret_in_use,
                                const char **ret_user)
{
    struct db_value params[] = {V_TEXT(object_id), V_TEXT(owner), V_TEXT(policy_id)};
    struct db_rows rows;
    TRY(db_query(c->cx, c->tx, losers, params, 3, &rows));
    *ret_in_use = rows.n_rows > 0;
    *ret_user = rows.n_rows ? db_text(&rows, 0, 0) : NULL;
    return NULL;
}

struct err *nw_rbac_everyone_in_use(struct call *c, const struct resource *res,
                                    const char *object_id, const char *owner, bool *ret)
{
    void *row = NULL;
    const char *user;
    *ret = false;
    TRY(res_first_by(c->cx, c->tx, &nw_w_rbac_same, &row, V_TEXT(object_id), V_TEXT(RBAC_SHARED),
                     V_TEXT("*")));
    if (!row)
        return NULL;
    return check_losers(c, kind_of(nw_rbac_type(res))->losers, object_id, owner,
                        ((struct rbac_policy *)row)->id, ret, &user);
}

/* ---------------------------------------------------------------- the policies themselves */

static const char *owner_of(const struct resource *res, const void *row)
{
    return *(const char *const *)(const void *)((const char *)row + res->fields[res->owner].offset);
}

/* The object as the policy's owner has it: somebody else's is not his to share. */
static struct err *object_of(struct call *c, const struct rbac_policy *p, void **ret)
{
    const struct resource *res = kind_of(p->object_type)->res;
    TRY(res_find_visible(c->cx, c->tx, res, p->object_id, c->actor, ret));
    if (nw_owns(c, owner_of(res, *ret)))
        return NULL;
    return res_not_found(c->cx, res, p->object_id);
}

static struct err *check_target(struct call *c, const struct rbac_policy *p)
{
    if (c->actor->admin || (!str_eq(p->target_project, "*") && !str_eq(p->action, RBAC_EXTERNAL)))
        return NULL;
    return fail_type(c->cx, ERR_FORBIDDEN, "PolicyNotAuthorized",
                     "(rule:create_rbac_policy and rule:create_rbac_policy:%s) is disallowed by "
                     "policy",
                     str_eq(p->target_project, "*") ? "target_tenant" : "action");
}

static struct err *check_unique(struct call *c, const struct rbac_policy *p)
{
    void *row = NULL;
    TRY(res_first_by(c->cx, c->tx, &nw_w_rbac_same, &row, V_TEXT(p->object_id), V_TEXT(p->action),
                     V_TEXT(p->target_project)));
    if (!row)
        return NULL;
    return fail_type(c->cx, ERR_EXISTS, "DuplicateRbacPolicy",
                     "An RBAC policy already exists with those values.");
}

/* A row's columns follow its policies. */
static struct err *network_follow(struct call *c, const struct rbac_policy *p, bool on)
{
    void *row = NULL;
    TRY(res_find(c->cx, c->tx, &network_resource, p->object_id, &row));
    struct network *n = row;
    if (str_eq(p->action, RBAC_EXTERNAL)) {
        bool was = n->external;
        n->external |=
            on; /* and stays: a network does not turn inward while it has a name outside */
        if (was == n->external)
            return NULL;
    } else if (!str_eq(p->target_project, "*")) {
        return NULL;
    } else {
        n->shared = on;
    }
    TRY(res_update(c->cx, c->tx, &network_resource, n));
    return nw_touch_network(c->cx, c->tx, n->id);
}

static struct err *follow(struct call *c, const struct rbac_policy *p, bool on)
{
    void *row = NULL;
    const struct resource *res = kind_of(p->object_type)->res;
    if (res == &network_resource)
        return network_follow(c, p, on);
    if (!str_eq(p->target_project, "*") || res == &security_group_resource ||
        res == &address_group_resource)
        return NULL;
    TRY(res_find(c->cx, c->tx, res, p->object_id, &row));
    if (res == &subnetpool_resource)
        ((struct subnetpool *)row)->shared = on;
    else
        ((struct address_scope *)row)->shared = on;
    return res_update(c->cx, c->tx, res, row);
}

/* Nobody who uses the object by this policy may be left without one. */
static struct err *check_unused(struct call *c, const struct rbac_policy *p)
{
    void *object = NULL;
    bool used = false;
    const char *user;
    const struct kind *k = kind_of(p->object_type);
    const struct stmt *losers = str_eq(p->action, RBAC_EXTERNAL) ? &nw_st_lose_external : k->losers;
    TRY(res_find(c->cx, c->tx, k->res, p->object_id, &object));
    TRY(check_losers(c, losers, p->object_id, owner_of(k->res, object), p->id, &used, &user));
    if (!used)
        return NULL;
    return fail_type(c->cx, ERR_IN_USE, "RbacPolicyInUse",
                     "RBAC policy on object %s cannot be removed because other objects depend on "
                     "it.\nDetails: %s uses it.",
                     p->object_id, user);
}

static struct err *make(struct call *c, void *row)
{
    struct rbac_policy *p = row;
    void *object = NULL;
    if (str_eq(p->action, RBAC_EXTERNAL) && !str_eq(p->object_type, "network"))
        return bad(c->cx, "InvalidInput",
                   "Invalid input for operation: Invalid action '%s' for object type '%s'. Valid "
                   "actions: " RBAC_SHARED ".",
                   p->action, p->object_type);
    TRY(object_of(c, p, &object));
    TRY(check_target(c, p));
    TRY(check_unique(c, p));
    TRY(quota_check(c->cx, c->tx, &network_service, "rbac_policy", p->project_id, 1));
    TRY(res_insert(c->cx, c->tx, &rbac_policy_resource, p));
    return follow(c, p, true);
}

struct err *nw_rbac_policies_create(struct call *c)
{
    return nw_create(c, &rbac_policy_resource, make);
}

struct err *nw_rbac_policies_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_rbac_policy_update(struct call *c)
{
    struct rbac_policy *old = c->target, *p = c->body;
    if (str_eq(old->target_project, p->target_project))
        return call_reply_row(c, 200, &rbac_policy_resource, p);
    TRY(check_target(c, p));
    TRY(check_unique(c, p));
    TRY(check_unused(c, old));
    TRY(follow(c, old, false));
    TRY(res_update(c->cx, c->tx, &rbac_policy_resource, p));
    TRY(follow(c, p, true));
    return call_reply_row(c, 200, &rbac_policy_resource, p);
}

struct err *nw_rbac_policy_delete(struct call *c)
{
    struct rbac_policy *p = c->target;
    TRY(check_unused(c, p));
    TRY(follow(c, p, false));
    TRY(res_delete(c->cx, c->tx, &rbac_policy_resource, p));
    call_reply_empty(c, 204);
    return NULL;
}
