/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * os-interface: NICs of a server, plugged in and out while it lives. A port that is to go stays the
 * server's until its host says that the guest let it go.
 */
#include "compute/impl.h"

#define WHEN (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED))
#define NICS_MAX 32 /* as many as a host takes for one server */

/* ---------------------------------------------------------------- showing */

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
        jw_kstr(w, "tag", p->tag);
    jw_obj_end(w);
}

static struct err *reply_interface(struct call *c, const struct server_port *p)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "interfaceAttachment");
    write_interface(&w, p, c->microversion);
    jw_obj_end(&w);
    return NULL;
}

struct err *interface_list(struct call *c)
{
    const struct server *s = c->target;
    struct server_port *ports;
    size_t n;
    TRY(server_ports(c->cx, c->tx, s->id, &ports, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "interfaceAttachments");
    for (size_t i = 0; i < n; i++)
        write_interface(&w, &ports[i], c->microversion);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

static struct err *find_port(struct call *c, const struct server *s, struct server_port **ret)
{
    const char *id = call_param(c, "port_id");
    size_t n;
    TRY(server_ports(c->cx, c->tx, s->id, ret, &n));
    for (size_t i = 0; i < n; i++, (*ret)++)
        if (str_eq((*ret)->id, id))
            return NULL;
    return fail(c->cx, ERR_NOT_FOUND, "Instance %s does not have a port with id %s", s->id, id);
}

struct err *interface_show(struct call *c)
{
    struct server_port *p;
    TRY(find_port(c, c->target, &p));
    return reply_interface(c, p);
}

/* ---------------------------------------------------------------- attaching */

static struct err *read_id(struct call *c, const json_t *j, const char *name, const char **ret)
{
    const json_t *v = json_get(j, name);
    *ret = json_string_value(v);
    if (!v || (*ret && uuid_valid(*ret)))
        return NULL;
    return bad_member(c, name, v, "it is not a 'uuid'");
}

static struct err *read_fixed_ip(struct call *c, const json_t *j, const char **ret)
{
    const json_t *list = json_get(j, "fixed_ips"), *one = json_array_get(list, 0),
                 *ip = json_get(one, "ip_address");
    json_t *canonical = NULL;
    *ret = NULL;
    if (!list)
        return NULL;
    if (json_array_size(list) != 1 || json_object_size(one) != 1 || !ip)
        return bad_member(c, "fixed_ips", list, "a list of one {'ip_address': …} is needed");
    if (check_ip(c->cx, ip, &canonical))
        return bad_member(c, "ip_address", ip, "it is not an 'ipv4' or 'ipv6'");
    *ret = json_string_value(canonical ? canonical : ip);
    return NULL;
}

static struct err *check_members(struct call *c, const json_t *j)
{
    TRY(ONLY_MEMBERS(c, "interfaceAttachment", j, "net_id", "port_id", "fixed_ips",
                     c->microversion >= 49 ? "tag" : NULL));
    const json_t *tag = json_get(j, "tag");
    const char *text = json_string_value(tag);
    if (tag && (!text || !*text || str_utf8_len(text) > 60 || strpbrk(text, "/,")))
        return bad_member(c, "tag", tag, "a text of 1 to 60 characters without '/' and ','");
    return NULL;
}

static struct err *read_wish(struct call *c, struct port_request *ret)
{
    static const char nothing[] = "{\"interfaceAttachment\":{}}";
    const json_t *j;
    *ret = (struct port_request){0};
    if (!c->json) /* very old clients send no body */
        TRY(json_read(c->cx, nothing, strlen(nothing), &c->json));
    TRY(body_object(c, "interfaceAttachment", &j));
    TRY(check_members(c, j));
    TRY(read_id(c, j, "net_id", &ret->network_id));
    TRY(read_id(c, j, "port_id", &ret->port_id));
    TRY(read_fixed_ip(c, j, &ret->fixed_ip));
    ret->tag = json_get_str(j, "tag");
    if (ret->network_id && ret->port_id)
        return fail(c->cx, ERR_INVALID, "Must not input both network_id and port_id");
    if (ret->fixed_ip && !ret->network_id)
        return fail(c->cx, ERR_INVALID, "Must input network_id when request IP address");
    if (ret->network_id || ret->port_id)
        return NULL;
    TRY(network_default_for(c, &ret->network_id));
    if (!ret->network_id)
        return fail(c->cx, ERR_INVALID,
                    "No specific network was requested and none are available for project '%s'.",
                    c->actor->project_id);
    return NULL;
}

/* Of the statuses that this call has for what the network service refuses. */
static struct err *as_attach(struct call *c, struct err *e)
{
    if (e && (str_eq(e->type, "PortNotFound") || str_eq(e->type, "NetworkNotFound")))
        return fail(c->cx, ERR_NOT_FOUND, "%s", e->message);
    if (e && e->kind == ERR_CONFLICT)
        return fail(c->cx, ERR_INVALID, "%s", e->message);
    return e;
}

static struct err *check_state(struct call *c, const struct server *s, const char *action)
{
    TRY(server_check_lock(c, s));
    if (!(TO(state_of(s)) & WHEN) || s->export_image)
        return server_refuse(c, s, action);
    return NULL;
}

struct err *interface_create(struct call *c)
{
    struct server *s = c->target;
    struct port_request rq;
    struct server_port *ports, port;
    size_t n;
    TRY(check_state(c, s, "attach_interface"));
    TRY(as_attach(c, read_wish(c, &rq)));
    TRY(server_ports(c->cx, c->tx, s->id, &ports, &n));
    if (n >= NICS_MAX)
        return fail(c->cx, ERR_INVALID, "A server has at most %d networks", NICS_MAX);
    TRY(as_attach(
        c, network_port_attach(c, &rq, NULL, 0, s->id, s->hostname, s->host_id, s->zone, &port)));
    TRY(action_record(c, s, "attach_interface", "compute_attach_interface", RECORD_DONE));
    TRY(server_save(c->cx, c->tx, s));
    return reply_interface(c, &port);
}

struct err *interface_delete(struct call *c)
{
    struct server *s = c->target;
    struct server_port *p;
    TRY(check_state(c, s, "detach_interface"));
    TRY(find_port(c, s, &p));
    call_reply_empty(c, 202);
    if (p->leaving)
        return NULL;
    TRY(action_record(c, s, "detach_interface", "compute_detach_interface", RECORD_APART));
    TRY(network_port_leave(c->cx, c->tx, p->id));
    return server_save(c->cx, c->tx, s);
}

/* ---------------------------------------------------------------- the host */

void write_nics(struct jw *w, const struct server_port *ports, size_t n)
{
    jw_karr(w, "nics");
    for (size_t i = 0; i < n; i++) {
        if (ports[i].leaving)
            continue;
        jw_obj(w);
        jw_kstr(w, "port_id", ports[i].id);
        jw_kstr(w, "network_id", ports[i].network_id);
        jw_kstr(w, "mac", ports[i].mac);
        jw_kint(w, "mtu", ports[i].mtu);
        jw_kstr(w, "tap", ports[i].tap);
        jw_obj_end(w);
    }
    jw_arr_end(w);
}

static const json_t *nic_of(const json_t *nics, const char *port_id)
{
    for (size_t i = 0; i < json_array_size(nics); i++)
        if (str_eq(json_get_str(json_array_get(nics, i), "port_id"), port_id))
            return json_array_get(nics, i);
    return NULL;
}

/* Of what this server has itself: an agent says nothing about others' ports. */
struct err *server_take_nics(struct ctx *cx, struct tx *tx, const struct server *s,
                             const json_t *nics, bool latest)
{
    struct server_port *ports;
    size_t n;
    TRY(server_ports(cx, tx, s->id, &ports, &n));
    for (size_t i = 0; i < n; i++) {
        const json_t *nic = nic_of(nics, ports[i].id);
        bool plugged = json_get_bool(nic, "plugged", false);
        if (ports[i].leaving && latest && !plugged) {
            TRY(network_port_detach(cx, tx, ports[i].id));
            TRY(action_finish(cx, tx, s, "detach_interface", true));
        } else if (nic && plugged != str_eq(ports[i].status, "ACTIVE")) {
            TRY(network_port_plugged(cx, tx, ports[i].id, plugged));
        }
    }
    return NULL;
}
