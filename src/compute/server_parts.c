/* SPDX-License-Identifier: EUPL-1.2 */
/* What hangs on a server: addresses, interfaces. */
#include "compute/impl.h"

static struct err *ports_of_target(struct call *c, struct server_port **ret, size_t *ret_n)
{
    const struct server *s = c->target;
    return server_ports(c->cx, c->tx, s->id, ret, ret_n);
}

struct err *ips_list(struct call *c)
{
    struct server_port *ports;
    size_t n;
    TRY(ports_of_target(c, &ports, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "addresses");
    write_addresses(&w, ports, n, false, NULL);
    jw_obj_end(&w);
    return NULL;
}

struct err *ips_one(struct call *c)
{
    struct server_port *ports;
    size_t n;
    bool found = false;
    TRY(ports_of_target(c, &ports, &n));
    for (size_t i = 0; i < n; i++)
        found = found || str_eq(ports[i].network_name, call_param(c, "network"));
    if (!found)
        return fail(c->cx, ERR_NOT_FOUND, "Network %s not found", call_param(c, "network"));
    struct jw w = call_json(c, 200);
    write_addresses(&w, ports, n, false, call_param(c, "network"));
    return NULL;
}

/* ---------------------------------------------------------------- interfaces */

static void write_interface(struct jw *w, const struct server_port *p, unsigned microversion)
{
    jw_obj(w);
    jw_kstr(w, "port_id", p->id);
    jw_kstr(w, "net_id", p->network_id);
    jw_kstr(w, "mac_addr", p->mac);
    jw_kstr(w, "port_state", p->status);
    jw_karr(w, "fixed_ips");
    for (size_t i = 0; i < p->n_ips; i++) {
        jw_obj(w);
        jw_kstr(w, "subnet_id", p->ips[i].subnet_id);
        jw_kstr(w, "ip_address", p->ips[i].ip);
        jw_obj_end(w);
    }
    jw_arr_end(w);
    if (microversion >= 70)
        jw_knull(w, "tag");
    jw_obj_end(w);
}

struct err *interface_list(struct call *c)
{
    struct server_port *ports;
    size_t n;
    TRY(ports_of_target(c, &ports, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "interfaceAttachments");
    for (size_t i = 0; i < n; i++)
        write_interface(&w, &ports[i], c->microversion);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *interface_show(struct call *c)
{
    struct server_port *ports;
    size_t n;
    TRY(ports_of_target(c, &ports, &n));
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(ports[i].id, call_param(c, "port_id")))
            continue;
        struct jw w = call_json(c, 200);
        jw_obj(&w);
        jw_key(&w, "interfaceAttachment");
        write_interface(&w, &ports[i], c->microversion);
        jw_obj_end(&w);
        return NULL;
    }
    return fail(c->cx, ERR_NOT_FOUND, "Instance %s does not have a port with id %s",
                ((struct server *)c->target)->id, call_param(c, "port_id"));
}
