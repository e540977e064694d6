/* SPDX-License-Identifier: EUPL-1.2 */
/* How many addresses there are and are taken: /v2.0/network-ip-availabilities, for administrators.
 */
#include "network/nw.h"

const struct stmt nw_st_ips_used = {
    "ips_used", "SELECT subnet_id, COUNT(*) FROM ip_allocations GROUP BY subnet_id"};
const struct res_where nw_w_all_networks = {&network_resource, "id IS NOT NULL", "created_at, id"};
const struct res_where nw_w_all_subnets = {&subnet_resource, "id IS NOT NULL", "created_at, id"};

struct availability {
    struct subnets subnets;
    struct db_rows used;
};

static int64_t used_of(const struct availability *a, const char *subnet_id)
{
    for (size_t i = 0; i < a->used.n_rows; i++)
        if (str_eq(db_text(&a->used, i, 0), subnet_id))
            return db_int(&a->used, i, 1);
    return 0;
}

static double total_of(struct ctx *cx, const struct subnet *s)
{
    const json_t *pools = nw_json(cx, s->allocation_pools);
    double n = 0;
    for (size_t i = 0; i < json_array_size(pools); i++) {
        struct addr first, last;
        must(addr_parse(json_get_str(json_array_get(pools, i), "start"), &first));
        must(addr_parse(json_get_str(json_array_get(pools, i), "end"), &last));
        n += addr_span(&first, &last);
    }
    return n;
}

/* Without a fraction or an exponent, however large. */
static void write_number(struct ctx *cx, struct jw *w, const char *key, double n)
{
    jw_kraw(w, key, arena_printf(cx->arena, "%.0f", n));
}

static void write_one(struct ctx *cx, struct jw *w, const struct availability *a,
                      const struct network *n)
{
    double total = 0;
    int64_t used = 0;
    jw_obj(w);
    jw_kstr(w, "network_id", n->id);
    jw_kstr(w, "network_name", n->name);
    jw_kstr(w, "project_id", n->project_id);
    jw_kstr(w, "tenant_id", n->project_id);
    jw_karr(w, "subnet_ip_availability");
    for (size_t i = 0; i < a->subnets.n; i++) {
        const struct subnet *s = a->subnets.v[i];
        if (!str_eq(s->network_id, n->id))
            continue;
        jw_obj(w);
        jw_kstr(w, "subnet_id", s->id);
        jw_kstr(w, "subnet_name", s->name);
        jw_kstr(w, "cidr", s->cidr);
        jw_kint(w, "ip_version", s->ip_version);
        jw_kint(w, "used_ips", used_of(a, s->id));
        write_number(cx, w, "total_ips", total_of(cx, s));
        jw_obj_end(w);
        total += total_of(cx, s);
        used += used_of(a, s->id);
    }
    jw_arr_end(w);
    jw_kint(w, "used_ips", used);
    write_number(cx, w, "total_ips", total);
    jw_obj_end(w);
}

static struct err *load(struct call *c, struct availability *a)
{
    void **rows;
    TRY(res_select(c->cx, c->tx, &nw_w_all_subnets, NULL, 0, &rows, &a->subnets.n));
    a->subnets.v = (struct subnet **)rows;
    return db_query(c->cx, c->tx, &nw_st_ips_used, NULL, 0, &a->used);
}

struct err *nw_ip_availability_list(struct call *c)
{
    struct availability a;
    void **networks;
    size_t n;
    const char *id = http_arg(c->rq, "network_id"), *name = http_arg(c->rq, "network_name");
    TRY(load(c, &a));
    TRY(res_select(c->cx, c->tx, &nw_w_all_networks, NULL, 0, &networks, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "network_ip_availabilities");
    for (size_t i = 0; i < n; i++)
        if ((!id || str_eq(id, ROW(network, networks, i)->id)) &&
            (!name || str_eq(name, ROW(network, networks, i)->name)))
            write_one(c->cx, &w, &a, networks[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *nw_ip_availability_show(struct call *c)
{
    struct availability a;
    TRY(load(c, &a));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "network_ip_availability");
    write_one(c->cx, &w, &a, c->target);
    jw_obj_end(&w);
    return NULL;
}
