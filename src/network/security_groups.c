/* SPDX-License-Identifier: EUPL-1.2 */
/* Security groups: /v2.0/security-groups, and each project's default group, made when it is first
 * needed. */
#include "network/nw.h"

static const char *check_stateful(struct ctx *cx UNUSED, const json_t *v, json_t **ret UNUSED)
{
    bool b = true;
    if (json_is_false(v) || (str_to_bool(json_string_value(v), &b) && !b))
        return "security groups are always stateful here";
    return NULL;
}

static void security_group_encode_rules(struct ctx *cx, struct jw *w, const void *row,
                                        const struct view *v);

static void security_group_encode_shared(struct ctx *cx UNUSED, struct jw *w, const void *row,
                                         const struct view *v UNUSED)
{
    jw_bool(w, nw_shared_to_actor(row));
}

#define RESOURCE security_group
#define RESOURCE_DEF "network/security_group.def"
#include "resource/declare_fields.h"

const struct res_where nw_w_default_group = {&security_group_resource,
                                             "project_id = $1 AND is_default = 1", NULL};
const struct res_where nw_w_rules_of_groups = {&security_rule_resource,
                                               "security_group_id IN " IN_BATCH, "created_at, id"};
const struct stmt nw_st_group_in_use = {
    "group_in_use", "SELECT port_id FROM port_groups WHERE group_id = $1 LIMIT 1"};
const struct stmt nw_st_group_rules_delete = {
    "group_rules_delete",
    "DELETE FROM security_rules WHERE security_group_id = $1 OR remote_group_id = $1"};

/* ---------------------------------------------------------------- encoding */

struct group_rules {
    void **rules;
    size_t n;
};

static struct err *prepare(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v)
{
    TRY(nw_rbac_prepare(cx, tx, &security_group_resource, rows, n, v->actor));
    struct group_rules *all = arena_new_of(cx->arena, struct group_rules);
    const char **ids = arena_new_array(cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        ids[i] = ROW(security_group, rows, i)->id;
        ((struct nw_seen *)row_of(rows[i])->extra)->more = all;
    }
    return res_select_in(cx, tx, &nw_w_rules_of_groups, ids, n, &all->rules, &all->n);
}

static void security_group_encode_rules(struct ctx *cx, struct jw *w, const void *row,
                                        const struct view *v)
{
    const struct security_group *g = row;
    const struct nw_seen *seen = g->row.extra;
    const struct group_rules *all = seen ? seen->more : NULL;
    struct view inner = *v;
    inner.fields = NULL;
    inner.n_fields = 0;
    jw_arr(w);
    for (size_t i = 0; all && i < all->n; i++)
        if (str_eq(ROW(security_rule, all->rules, i)->security_group_id, g->id))
            res_encode(cx, w, &security_rule_resource, all->rules[i], &inner);
    jw_arr_end(w);
}

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    return nw_rbac_sees(cx, tx, ((const struct security_group *)row)->id, actor);
}

static const struct res_index security_group_indexes[] = {
    {"security_groups_project", "project_id, created_at, id", false, NULL},
    {"security_groups_name", "project_id, name, id", false, NULL},
    {"security_groups_default", "project_id", true, "is_default = 1"},
};

const struct resource security_group_resource = {
    .name = "security_group",
    .plural = "security_groups",
    .table = "security_groups",
    RESOURCE_FIELDS(security_group),
    .owner = security_group_f_project_id,
    .not_found = "Security group %s does not exist",
    .not_found_type = "SecurityGroupNotFound",
    .indexes = security_group_indexes,
    .n_indexes = ARRAY_LEN(security_group_indexes),
    .visible = visible,
    .prepare = prepare,
    .dflt_sort = "created_at:asc,id:asc",
    .doc = "Rules that say what may reach a port and leave it."};

/* ---------------------------------------------------------------- the default group */

struct err *nw_default_group(struct ctx *cx, struct tx *tx, const char *project_id,
                             struct security_group **ret)
{
    static const char *const types[] = {"IPv4", "IPv6"};
    void *row = NULL;
    TRY(res_first_by(cx, tx, &nw_w_default_group, &row, V_TEXT(project_id)));
    *ret = row;
    if (row)
        return NULL;
    struct security_group *g = res_new(cx, &security_group_resource);
    g->id = uuid_new(cx);
    g->name = "default";
    g->project_id = project_id;
    g->description = "Default security group";
    g->stateful = g->is_default = true;
    g->tags = "[]";
    TRY(res_insert(cx, tx, &security_group_resource, g));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        TRY(nw_rule_add_plain(cx, tx, g, "egress", types[i], NULL));
        TRY(nw_rule_add_plain(cx, tx, g, "ingress", types[i], g->id));
    }
    *ret = g;
    return NULL;
}

static struct err *ensure_default(struct call *c, const char *project_id)
{
    struct security_group *g;
    return project_id ? nw_default_group(c->cx, c->tx, project_id, &g) : NULL;
}

/* ---------------------------------------------------------------- handlers */

struct err *nw_group_make(struct call *c, void *row)
{
    struct security_group *g = row;
    TRY(ensure_default(c, g->project_id));
    if (str_eq(g->name, "default"))
        return fail_type(c->cx, ERR_EXISTS, "SecurityGroupDefaultAlreadyExists",
                         "Default security group already exists.");
    TRY(quota_check(c->cx, c->tx, &network_service, "security_group", g->project_id, 1));
    TRY(res_insert(c->cx, c->tx, &security_group_resource, g));
    TRY(nw_rule_add_plain(c->cx, c->tx, g, "egress", "IPv4", NULL));
    return nw_rule_add_plain(c->cx, c->tx, g, "egress", "IPv6", NULL);
}

struct err *nw_groups_create(struct call *c)
{
    return nw_create(c, &security_group_resource, nw_group_make);
}

/* The project whose groups are asked for: the actor's, or the one an administrator names. */
static const char *project_asked(const struct call *c)
{
    const char *named = http_arg(c->rq, "project_id");
    if (!named)
        named = http_arg(c->rq, "tenant_id");
    return c->actor->admin && named ? named : c->actor->project_id;
}

/* Looking at one's groups makes the default one; only then does the list need a transaction that
 * writes. */
struct err *nw_groups_list(struct call *c)
{
    AUTO_TXN struct tx *tx = NULL;
    const char *project = project_asked(c);
    void *there = NULL;
    TRY(tx_read(c->cx, c->store, &tx));
    if (project)
        TRY(res_first_by(c->cx, tx, &nw_w_default_group, &there, V_TEXT(project)));
    if (project && !there) {
        tx_rollback(&tx);
        TRY(tx_write(c->cx, c->store, &tx));
        c->tx = tx;
        TRY(ensure_default(c, project));
        TRY(nw_list(c, NULL));
        c->tx = NULL;
        return tx_commit(c->cx, &tx);
    }
    c->tx = tx;
    struct err *e = nw_list(c, NULL);
    c->tx = NULL;
    return e;
}

struct err *nw_group_change(struct call *c, const char *old_name, struct security_group *g)
{
    if (!str_eq(old_name, g->name) && (g->is_default || str_eq(g->name, "default")))
        return fail_type(c->cx, ERR_CONFLICT, "SecurityGroupCannotUpdateDefault",
                         "Updating default security group not allowed.");
    return res_update(c->cx, c->tx, &security_group_resource, g);
}

struct err *nw_group_update(struct call *c)
{
    TRY(nw_group_change(c, ((const struct security_group *)c->target)->name, c->body));
    return call_reply_row(c, 200, &security_group_resource, c->body);
}

struct err *nw_group_remove(struct call *c, struct security_group *g)
{
    struct db_value param = V_TEXT(g->id);
    struct db_rows used;
    if (g->is_default && !c->actor->admin)
        return fail_type(c->cx, ERR_CONFLICT, "SecurityGroupCannotRemoveDefault",
                         "Insufficient rights for removing default security group.");
    TRY(db_query(c->cx, c->tx, &nw_st_group_in_use, &param, 1, &used));
    if (used.n_rows)
        return fail_type(c->cx, ERR_IN_USE, "SecurityGroupInUse", "Security Group %s in use.",
                         g->id);
    TRY(db_run(c->cx, c->tx, &nw_st_group_rules_delete, param));
    TRY(nw_rbac_forget(c->cx, c->tx, g->id));
    return res_delete(c->cx, c->tx, &security_group_resource, g);
}

struct err *nw_group_delete(struct call *c)
{
    TRY(nw_group_remove(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
