/* SPDX-License-Identifier: EUPL-1.2 */
/* ports.h: what becomes of a server's ports while it lives: other hosts, the way out of a running
 * guest. */
#include "network/nw.h"

static struct err *ports_of(struct ctx *cx, struct tx *tx, const char *server_id, void ***ret,
                            size_t *ret_n)
{
    return res_select_by(cx, tx, &nw_w_ports_of_server, ret, ret_n, V_TEXT(server_id));
}

static struct err *bind(struct ctx *cx, struct tx *tx, struct port *p, const char *host_id,
                        const char *host_name, const char *zone)
{
    TRY(nw_touch_port(cx, tx, p)); /* while it is where it was */
    p->host_id = host_id;
    p->next_host_id = NULL;
    p->binding_host = host_name ? host_name : "";
    p->device_owner = arena_printf(cx->arena, "compute:%s", zone ? zone : "");
    p->status = "DOWN";
    return nw_port_changed(cx, tx, p);
}

struct err *network_ports_bind(struct ctx *cx, struct tx *tx, const char *server_id,
                               const char *host_id, const char *zone)
{
    struct fleet_host host = {0};
    void **rows;
    size_t n;
    if (host_id)
        TRY(fleet_host_get(cx, tx, host_id, &host));
    TRY(ports_of(cx, tx, server_id, &rows, &n));
    for (size_t i = 0; i < n; i++)
        TRY(bind(cx, tx, rows[i], host_id, host.name, zone));
    return NULL;
}

struct err *network_ports_expect(struct ctx *cx, struct tx *tx, const char *server_id,
                                 const char *host_id)
{
    void **rows;
    size_t n;
    if (!network_config()->has_writer)
        return NULL; /* nobody would ask */
    TRY(ports_of(cx, tx, server_id, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        struct port *p = rows[i];
        if (str_eq(p->next_host_id, host_id) || (!p->next_host_id && !host_id))
            continue;
        p->next_host_id = host_id;
        TRY(res_update(cx, tx, &port_resource, p));
        TRY(nw_touch_writer(cx, tx, p->network_id));
    }
    return NULL;
}

struct err *network_port_leave(struct ctx *cx, struct tx *tx, const char *port_id)
{
    void *row = NULL;
    TRY(res_find(cx, tx, &port_resource, port_id, &row));
    struct port *p = row;
    p->leaving = true;
    return res_update(cx, tx, &port_resource, p);
}
