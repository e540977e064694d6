/* SPDX-License-Identifier: EUPL-1.2 */
/* Security groups as nova's os-security-groups shows them: rules inside, of the ingress direction
 * alone. */
#include "network/nw.h"
#include "network/proxies.h"

const struct res_where nw_w_groups_of = {&security_group_resource, "project_id = $1", "name, id"};
const struct res_where nw_w_groups_all = {&security_group_resource, "1 = 1", "name, id"};

struct nova_groups {
    struct call *c;
    struct jw *w;
    void **rules, **remotes;
    size_t n_rules, n_remotes;
};

static void write_remote(struct nova_groups *g, const struct security_rule *r)
{
    struct jw *w = g->w;
    const char *cidr = r->remote_ip_prefix;
    jw_kobj(w, "group");
    for (size_t i = 0; r->remote_group_id && i < g->n_remotes; i++) {
        const struct security_group *remote = g->remotes[i];
        if (!str_eq(remote->id, r->remote_group_id))
            continue;
        jw_kstr(w, "name", remote->name);
        jw_kstr(w, "tenant_id", remote->project_id);
    }
    jw_obj_end(w);
    jw_kobj(w, "ip_range");
    if (!r->remote_group_id)
        jw_kstr(w, "cidr", cidr ? cidr : str_eq(r->ethertype, "IPv6") ? "::/0" : "0.0.0.0/0");
    jw_obj_end(w);
}

static void write_port(struct jw *w, const char *key, const struct security_rule *r, int64_t port,
                       int64_t any)
{
    bool ports = str_eq(r->protocol, "tcp") || str_eq(r->protocol, "udp");
    if (port != INT_NULL)
        jw_kint(w, key, port);
    else if (r->protocol)
        jw_kint(w, key, ports ? any : -1);
    else
        jw_knull(w, key);
}

static void write_rule(struct nova_groups *g, const struct security_rule *r)
{
    struct jw *w = g->w;
    jw_obj(w);
    jw_kstr(w, "id", r->id);
    jw_kstr(w, "parent_group_id", r->security_group_id);
    jw_kstr(w, "ip_protocol", r->protocol);
    write_port(w, "from_port", r, r->port_range_min, 1);
    write_port(w, "to_port", r, r->port_range_max, 65535);
    write_remote(g, r);
    jw_obj_end(w);
}

static void write_group(struct nova_groups *g, const struct security_group *group)
{
    struct jw *w = g->w;
    jw_obj(w);
    jw_kstr(w, "id", group->id);
    jw_kstr(w, "name", group->name);
    jw_kstr(w, "description", group->description);
    jw_kstr(w, "tenant_id", group->project_id);
    jw_karr(w, "rules");
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct security_rule *r = g->rules[i];
        if (str_eq(r->security_group_id, group->id) && str_eq(r->direction, "ingress"))
            write_rule(g, r);
    }
    jw_arr_end(w);
    jw_obj_end(w);
}

/* Ids of the groups that a server's ports are in, each once. */
static struct err *ids_on_server(struct call *c, const char *server_id, const char ***ret,
                                 size_t *ret_n)
{
    void **ports;
    size_t n, max = 0;
    *ret_n = 0;
    TRY(res_select_by(c->cx, c->tx, &nw_w_ports_of_server, &ports, &n, V_TEXT(server_id)));
    for (size_t i = 0; i < n; i++)
        max += json_array_size(nw_json(c->cx, ROW(port, ports, i)->security_groups));
    *ret = arena_new_array(c->cx->arena, const char *, max + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *groups = nw_json(c->cx, ROW(port, ports, i)->security_groups);
        for (size_t k = 0; k < json_array_size(groups); k++) {
            const char *id = json_string_value(json_array_get(groups, k));
            bool again = false;
            for (size_t j = 0; j < *ret_n; j++)
                again = again || str_eq((*ret)[j], id);
            if (!again)
                (*ret)[(*ret_n)++] = id;
        }
    }
    return NULL;
}

static struct err *select_groups(struct call *c, const char *project_id, const char *group_id,
                                 const char *server_id, void ***ret, size_t *ret_n)
{
    const char **ids;
    size_t n;
    if (server_id) {
        TRY(ids_on_server(c, server_id, &ids, &n));
        return res_select_in(c->cx, c->tx, &nw_w_groups_by_ids, ids, n, ret, ret_n);
    }
    if (group_id) {
        *ret = arena_new_of(c->cx->arena, void *);
        struct err *e =
            res_find_visible(c->cx, c->tx, &security_group_resource, group_id, c->actor, *ret);
        if (e && e->kind == ERR_NOT_FOUND)
            return fail(c->cx, ERR_NOT_FOUND, "Security group %s does not exist", group_id);
        *ret_n = 1;
        return e;
    }
    if (!project_id)
        return res_select(c->cx, c->tx, &nw_w_groups_all, NULL, 0, ret, ret_n);
    return res_select_by(c->cx, c->tx, &nw_w_groups_of, ret, ret_n, V_TEXT(project_id));
}

struct err *network_default_group_ensure(struct call *c)
{
    struct security_group *g;
    void *there = NULL;
    {
        AUTO_TXN struct tx *tx = NULL;
        TRY(tx_read(c->cx, c->store, &tx));
        TRY(res_first_by(c->cx, tx, &nw_w_default_group, &there, V_TEXT(c->actor->project_id)));
    }
    if (there)
        return NULL;
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(c->cx, c->store, &tx));
    TRY(nw_default_group(c->cx, tx, c->actor->project_id, &g));
    return tx_commit(c->cx, &tx);
}

/* ---------------------------------------------------------------- changes */

/* The network service's conflicts are bad requests in compute's API. */
static struct err *as_compute_says(struct call *c, struct err *e)
{
    if (e && (e->kind == ERR_CONFLICT || e->kind == ERR_IN_USE || e->kind == ERR_EXISTS))
        return wrap(c->cx, e, ERR_INVALID, "%s", e->message);
    return e;
}

static struct err *own_group(struct call *c, const char *id, struct security_group **ret)
{
    struct err *e =
        res_find_visible(c->cx, c->tx, &security_group_resource, id, c->actor, (void **)ret);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Security group %s does not exist", id);
    TRY(e);
    return call_require_owner(c, (*ret)->project_id, &security_group_resource, id);
}

struct err *network_group_create(struct call *c, const char *name, const char *description,
                                 const char **ret_id)
{
    struct security_group *g = res_new(c->cx, &security_group_resource);
    g->id = uuid_new(c->cx);
    g->name = name;
    g->description = description;
    g->project_id = c->actor->project_id;
    g->stateful = true;
    g->tags = "[]";
    *ret_id = g->id;
    return as_compute_says(c, nw_group_make(c, g));
}

struct err *network_group_update(struct call *c, const char *id, const char *name,
                                 const char *description)
{
    struct security_group *g;
    TRY(own_group(c, id, &g));
    const char *old_name = g->name;
    g->name = name;
    g->description = description;
    return as_compute_says(c, nw_group_change(c, old_name, g));
}

struct err *network_group_delete(struct call *c, const char *id)
{
    struct security_group *g;
    TRY(own_group(c, id, &g));
    return as_compute_says(c, nw_group_remove(c, g));
}

/* ---------------------------------------------------------------- rules */

struct err *network_rule_create(struct call *c, const struct nova_rule *rule, const char **ret_id)
{
    struct security_rule *r = res_new(c->cx, &security_rule_resource);
    struct security_group *g;
    TRY(own_group(c, rule->group_id, &g));
    if (rule->remote_group_id)
        TRY(own_group(c, rule->remote_group_id, &(struct security_group *){NULL}));
    *ret_id = r->id = uuid_new(c->cx);
    r->security_group_id = g->id;
    r->direction = "ingress";
    r->ethertype = rule->cidr && strchr(rule->cidr, ':') ? "IPv6" : "IPv4";
    r->protocol = rule->protocol;
    r->port_range_min = rule->from_port;
    r->port_range_max = rule->to_port;
    r->remote_ip_prefix = rule->cidr;
    r->remote_group_id = rule->remote_group_id;
    r->description = "";
    r->tags = "[]";
    return as_compute_says(c, nw_rule_make(c, r));
}

static struct err *find_rule(struct call *c, const char *id, struct security_rule **ret)
{
    struct err *e =
        res_find_visible(c->cx, c->tx, &security_rule_resource, id, c->actor, (void **)ret);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Rule (%s) not found", id);
    return e;
}

struct err *network_rule_write(struct call *c, const char *id, struct jw *w)
{
    struct security_rule *r;
    struct nova_groups g = {.c = c, .w = w};
    TRY(find_rule(c, id, &r));
    TRY(res_select_in(c->cx, c->tx, &nw_w_groups_by_ids, &r->remote_group_id,
                     r->remote_group_id != NULL, &g.remotes, &g.n_remotes));
    write_rule(&g, r);
    return NULL;
}

struct err *network_rule_delete(struct call *c, const char *id)
{
    struct security_rule *r;
    TRY(find_rule(c, id, &r));
    TRY(call_require_owner(c, r->project_id, &security_rule_resource, id));
    return nw_rule_remove(c, r);
}

/* ---------------------------------------------------------------- showing them */

struct err *network_groups_write(struct call *c, const char *project_id, const char *group_id,
                                 const char *server_id, struct jw *w, size_t *ret_n)
{
    struct nova_groups g = {.c = c, .w = w};
    void **groups;
    size_t n_ids = 0;
    TRY(select_groups(c, project_id, group_id, server_id, &groups, ret_n));
    const char **ids = arena_new_array(c->cx->arena, const char *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++)
        ids[i] = ROW(security_group, groups, i)->id;
    TRY(res_select_in(c->cx, c->tx, &nw_w_rules_of_groups, ids, *ret_n, &g.rules, &g.n_rules));
    ids = arena_new_array(c->cx->arena, const char *, g.n_rules + 1);
    for (size_t i = 0; i < g.n_rules; i++)
        if (ROW(security_rule, g.rules, i)->remote_group_id)
            ids[n_ids++] = ROW(security_rule, g.rules, i)->remote_group_id;
    TRY(res_select_in(c->cx, c->tx, &nw_w_groups_by_ids, ids, n_ids, &g.remotes, &g.n_remotes));
    for (size_t i = 0; i < *ret_n; i++)
        write_group(&g, groups[i]);
    return NULL;
}
