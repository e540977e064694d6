/* SPDX-License-Identifier: EUPL-1.2 */
/* DHCP's own port: one per network, with an address in each subnet that DHCP serves. It comes and
 * goes with them. */
#include "network/nw.h"

static bool has_subnet(const struct fixed_ip *ips, size_t n, const char *subnet_id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ips[i].subnet_id, subnet_id))
            return true;
    return false;
}

/* Addresses of subnets that are served no longer are given back; a full subnet gives none. */
static struct err *set_addresses(struct ctx *cx, struct tx *tx, struct port *p,
                                 const struct subnets *subnets, bool *ret_changed)
{
    struct fixed_ip *old, *ips = arena_new_array(cx->arena, struct fixed_ip, subnets->n + 1);
    size_t n_old = nw_fixed_ips(cx, p, &old), n = 0;
    for (size_t i = 0; i < n_old; i++) {
        const struct subnet *s = nw_subnet_by_id(subnets, old[i].subnet_id);
        if (s && nw_wants_dhcp_ip(s)) {
            ips[n++] = old[i];
        } else {
            TRY(nw_ip_release(cx, tx, old[i].subnet_id, old[i].ip, p->id));
            *ret_changed = true;
        }
    }
    for (size_t i = 0; i < subnets->n; i++) {
        const struct subnet *s = subnets->v[i];
        struct addr a;
        bool found = false;
        if (!nw_wants_dhcp_ip(s) || has_subnet(ips, n, s->id))
            continue;
        TRY(nw_ip_next(cx, tx, s, p->id, &a, &found));
        if (found)
            ips[n++] = (struct fixed_ip){s->id, addr_text(cx, &a)};
        *ret_changed |= found;
    }
    nw_port_ips_write(cx, p, ips, n);
    return NULL;
}

static struct err *make_port(struct ctx *cx, struct tx *tx, const struct network *n,
                             const struct subnets *subnets)
{
    struct port *p = nw_port_row(cx, n, n->project_id);
    bool changed = false;
    p->device_owner = OWNER_DHCP;
    p->device_id = arena_printf(cx->arena, "dhcp-%s", n->id);
    p->status = "DOWN";
    TRY(nw_mac_new(cx, tx, n->id, &p->mac_address));
    TRY(set_addresses(cx, tx, p, subnets, &changed));
    return res_insert(cx, tx, &port_resource, p);
}

struct err *nw_dhcp_sync(struct ctx *cx, struct tx *tx, const struct network *n)
{
    struct subnets subnets;
    void *row = NULL;
    bool wanted = false, changed = false;
    TRY(nw_subnets_of(cx, tx, n->id, &subnets));
    TRY(res_first_by(cx, tx, &nw_w_dhcp_port, &row, V_TEXT(n->id)));
    for (size_t i = 0; i < subnets.n; i++)
        wanted |= nw_wants_dhcp_ip(subnets.v[i]);
    if (!wanted)
        return row ? nw_port_remove(cx, tx, row) : NULL;
    if (!row)
        return make_port(cx, tx, n, &subnets);
    TRY(set_addresses(cx, tx, row, &subnets, &changed));
    return changed ? res_update(cx, tx, &port_resource, row) : NULL;
}
