/* SPDX-License-Identifier: EUPL-1.2 */
/* A server's addresses. */
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
