/* SPDX-License-Identifier: EUPL-1.2 */
/* The external network every cloud starts with. */
#include "network/nw.h"

const struct res_where nw_w_external_named = {&network_resource, "external = 1 AND name = $1",
                                              "created_at, id"};

static struct err *make_network(struct ctx *cx, struct tx *tx, const struct network_bootstrap *b,
                                struct network **ret)
{
    struct network *n = res_new(cx, &network_resource);
    n->id = uuid_new(cx);
    n->name = b->name;
    n->project_id = b->project_id;
    n->description = n->dns_domain = "";
    n->admin_state_up = n->external = n->is_default = n->port_security_enabled = true;
    n->network_type = "flat";
    n->physical_network = "external";
    n->mtu = 1500;
    n->availability_zone_hints = n->tags = "[]";
    *ret = n;
    return nw_network_new(cx, tx, n);
}

static struct err *make_subnet(struct ctx *cx, struct tx *tx, const struct network_bootstrap *b,
                               const struct network *n)
{
    struct subnet *s = res_new(cx, &subnet_resource);
    struct cidr c;
    if (!cidr_parse(b->cidr, &c))
        return fail(cx, ERR_INVALID,
                    "'%s' is not a prefix: the external network needs one like 203.0.113.0/24",
                    b->cidr);
    s->id = uuid_new(cx);
    s->name = arena_printf(cx->arena, "%s-subnet", b->name);
    s->project_id = b->project_id;
    s->network_id = n->id;
    s->ip_version = c.net.version;
    s->cidr = cidr_text(cx, &c);
    s->gateway_ip = b->gateway_ip;
    row_give(&s->row, b->gateway_ip ? subnet_f_gateway_ip : subnet_f_name);
    s->description = "";
    s->service_types = s->tags = "[]";
    return nw_subnet_new(cx, tx, n, s);
}

struct err *network_bootstrap(struct ctx *cx, struct store *store,
                              const struct network_bootstrap *b, const char **ret_id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct subnets subnets;
    void *row = NULL;
    resource_init(&network_resource);
    resource_init(&subnet_resource);
    resource_init(&port_resource);
    resource_init(&rbac_policy_resource);
    TRY(tx_write(cx, store, &tx));
    TRY(res_first_by(cx, tx, &nw_w_external_named, &row, V_TEXT(b->name)));
    struct network *n = row;
    if (!n)
        TRY(make_network(cx, tx, b, &n));
    TRY(nw_subnets_of(cx, tx, n->id, &subnets));
    if (!subnets.n)
        TRY(make_subnet(cx, tx, b, n));
    *ret_id = n->id;
    return tx_commit(cx, &tx);
}
