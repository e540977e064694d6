/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver "ovn-writer": specs become rows of OVN's northbound database. It runs beside the
 * control plane only: a host's agent has no way to that database.
 */
#include "node/drivers/driver.h"
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/net/names.h"

#define LOCK "colvert_network_writer"

struct writer {
    struct ovsdb *nb;
    char *sb;
    struct nb_patience patience;
};

static struct err *writer_network_apply(struct ctx *cx, void *drv, const struct spec_network *spec)
{
    struct writer *w = drv;
    struct nb_want want;
    TRY(nb_network(cx, spec, &want));
    return nb_sync(cx, w->nb, &want, &w->patience);
}

static struct err *remove_owner(struct ctx *cx, struct writer *w, const char *prefix,
                                const char *id)
{
    const char *owner;
    struct nb_want nothing;
    TRY(nb_owner(cx, prefix, id, &owner));
    nb_want_init(&nothing, cx, owner);
    return nb_sync(cx, w->nb, &nothing, &w->patience);
}

static struct err *writer_network_remove(struct ctx *cx, void *drv, const char *network_id)
{
    return remove_owner(cx, drv, NETWORK_OWNER, network_id);
}

static struct err *writer_router_remove(struct ctx *cx, void *drv, const char *router_id)
{
    return remove_owner(cx, drv, ROUTER_OWNER, router_id);
}

/* ---------------------------------------------------------------- a router's facts */

static struct err *network_facts(struct ctx *cx, struct writer *w, const char *id,
                                 struct nb_router_net *ret)
{
    json_t *results;
    json_t *ops = json_pack("[{s:s,s:s,s:[[s,s,s]],s:[s]}]", "op", "select", "table",
                            "Logical_Switch", "where", "name", "==", id, "columns", "external_ids");
    TRY(ovsdb_transact(cx, w->nb, ops, &results));
    const json_t *row = json_array_get(json_get(json_array_get(results, 0), "rows"), 0);
    if (!row)
        return fail(cx, ERR_UNAVAILABLE, "the network %s is not in OVN yet", id);
    const json_t *ids = json_get(row, "external_ids");
    const char *ra = ovsdb_map_get(ids, NETWORK_RA), *mtu = ovsdb_map_get(ids, NETWORK_MTU);
    *ret = (struct nb_router_net){.id = id, .ra = ra ? ra : ""};
    if (mtu)
        str_to_i64(mtu, 0, 65535, &ret->mtu);
    return NULL;
}

struct gateway {
    const char *name;
    uint64_t score;
    bool chosen; /* by the operator: ovn-cms-options=enable-chassis-as-gw */
};

static int by_score(const void *a, const void *b)
{
    const struct gateway *x = a, *y = b;
    if (x->chosen != y->chosen)
        return x->chosen ? -1 : 1;
    return x->score > y->score ? -1 : x->score < y->score;
}

static uint64_t score_of(const char *router_id, const char *chassis)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; mixed, as close names differ at their ends */
    for (const char *p = router_id; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    for (const char *p = chassis; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    h ^= h >> 33;
    return h * 0xff51afd7ed558ccdu;
}

/* Those hosts that have a bridge to the outside; if the operator named some, only these. Each
 * router has its own order of them, which a new host changes little of. */
static struct err *chassis_facts(struct ctx *cx, struct writer *w, const char *router_id,
                                 struct nb_router_facts *f)
{
    struct ovsdb *sb = NULL;
    json_t *results;
    json_t *ops = json_pack("[{s:s,s:s,s:[],s:[s,s]}]", "op", "select", "table", "Chassis", "where",
                            "columns", "name", "other_config");
    TRY(ovsdb_open(cx, w->sb, "OVN_Southbound", &sb));
    struct err *e = ovsdb_transact(cx, sb, ops, &results);
    ovsdb_close(sb);
    if (e)
        return e;
    const json_t *rows = json_get(json_array_get(results, 0), "rows");
    struct gateway *all = arena_new_array(cx->arena, struct gateway, json_array_size(rows) + 1);
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i), *config = json_get(r, "other_config");
        const char *name = json_get_str(r, "name"), *cms = ovsdb_map_get(config, "ovn-cms-options");
        const char *maps = ovsdb_map_get(config, "ovn-bridge-mappings");
        if (name && maps && strstr(maps, EXTERNAL_PHYSICAL ":"))
            all[n++] = (struct gateway){name, score_of(router_id, name),
                                        cms && strstr(cms, "enable-chassis-as-gw")};
    }
    if (n)
        qsort(all, n, sizeof(*all), by_score);
    f->chassis = arena_new_array(cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n && all[i].chosen == all[0].chosen; i++)
        f->chassis[f->n_chassis++] = all[i].name;
    if (!n)
        return fail(cx, ERR_UNAVAILABLE,
                    "no host has a bridge to the outside: set "
                    "external_ids:ovn-bridge-mappings=" EXTERNAL_PHYSICAL
                    ":BRIDGE in one's Open vSwitch");
    return NULL;
}

static struct err *writer_router_apply(struct ctx *cx, void *drv, const struct spec_router *spec)
{
    struct writer *w = drv;
    struct nb_router_facts facts = {0};
    struct nb_want want;
    facts.nets = arena_new_array(cx->arena, struct nb_router_net, spec->n_interfaces + 1);
    for (size_t i = 0; i < spec->n_interfaces; i++)
        TRY(network_facts(cx, w, spec->interfaces[i].network_id, &facts.nets[facts.n_nets++]));
    if (spec->has_external) {
        TRY(network_facts(cx, w, spec->external.network_id, &facts.nets[facts.n_nets++]));
        TRY(chassis_facts(cx, w, spec->id, &facts));
    }
    TRY(nb_router(cx, spec, &facts, &want));
    return nb_sync(cx, w->nb, &want, &w->patience);
}

/* ---------------------------------------------------------------- the rest */

static struct err *no_tap(struct ctx *cx, void *drv UNUSED, const struct spec_nic *nic,
                          int *ret_fd UNUSED)
{
    return fail(cx, ERR_INVALID, "the network writer has no guests: port %s", nic->port_id);
}

static struct err *no_tap_removed(struct ctx *cx UNUSED, void *drv UNUSED,
                                  const char *network_id UNUSED, const char *tap UNUSED)
{
    return NULL;
}

static struct err *writer_list(struct ctx *cx, void *drv, const char ***ret_networks,
                               size_t *ret_n_networks, const char ***ret_routers,
                               size_t *ret_n_routers)
{
    struct writer *w = drv;
    TRY(nb_owners(cx, w->nb, NETWORK_OWNER, ret_networks, ret_n_networks));
    return nb_owners(cx, w->nb, ROUTER_OWNER, ret_routers, ret_n_routers);
}

static void writer_free(void *drv)
{
    struct writer *w = drv;
    ovsdb_close(w->nb);
    free(w->sb);
    free(w);
}

static const struct net_driver writer_driver = {
    .name = "ovn-writer",
    .network_apply = writer_network_apply,
    .network_remove = writer_network_remove,
    .router_apply = writer_router_apply,
    .router_remove = writer_router_remove,
    .tap_open = no_tap,
    .tap_remove = no_tap_removed,
    .list = writer_list,
    .free = writer_free,
};

struct err *ovn_writer_new(struct ctx *cx, const struct ovn_writer_config *cfg,
                           struct net_backend *ret)
{
    struct ovsdb *nb;
    TRY(ovsdb_open(cx, cfg->nb, NB_DATABASE, &nb));
    struct err *e = ovsdb_lock(cx, nb, LOCK);
    if (e) {
        ovsdb_close(nb);
        return e;
    }
    struct writer *w = calloc(1, sizeof(*w));
    must(w);
    w->nb = nb;
    w->sb = strdup(cfg->sb);
    must(w->sb);
    *ret = (struct net_backend){.ops = &writer_driver, .drv = w};
    return NULL;
}

struct err *ovn_writer_look(struct ctx *cx, const struct net_backend *b, int wait_ms,
                            bool *ret_holds)
{
    struct writer *w = b->drv;
    must(b->ops == &writer_driver);
    return ovsdb_look(cx, w->nb, wait_ms, ret_holds);
}
