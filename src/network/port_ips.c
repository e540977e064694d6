/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A port's addresses: what was asked for (or one of each IP version), those it has and keeps, and
 * the ones its guest makes itself in SLAAC subnets. p->fixed_ips shows what ip_allocations holds
 * for the port; both change only here.
 */
#include "network/nw.h"

#define FIXED_IPS_MAX 16

struct want {
    const struct subnet *s; /* NULL: any of its version (the automatic choice) */
    struct addr ip;
    bool have_ip, held;
};

struct wants {
    struct ctx *cx;
    struct tx *tx;
    struct port *p;
    const struct subnets *subnets;
    struct want v[FIXED_IPS_MAX + 64];
    size_t n;
    bool router_port;
};

size_t nw_fixed_ips(struct ctx *cx, const struct port *p, struct fixed_ip **ret)
{
    struct json_walk w = {.at = p->fixed_ips ? p->fixed_ips : ""};
    size_t n = 0, max = 0;
    for (const char *s = w.at; (s = strchr(s, '{')); s++)
        max++;
    *ret = arena_new_array(cx->arena, struct fixed_ip, max + 1);
    while (json_walk(cx, &w))
        if (w.kind == '{')
            n++;
        else if (str_eq(w.key, "subnet_id"))
            (*ret)[n - 1].subnet_id = w.text;
        else if (str_eq(w.key, "ip_address"))
            (*ret)[n - 1].ip = w.text;
    return n;
}

void nw_port_ips_write(struct ctx *cx, struct port *p, const struct fixed_ip *ips, size_t n)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_arr(&w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(&w);
        jw_kstr(&w, "subnet_id", ips[i].subnet_id);
        jw_kstr(&w, "ip_address", ips[i].ip);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    p->fixed_ips = buf_cstr(&b);
}

/* ---------------------------------------------------------------- what is wanted */

static struct want *add(struct wants *ws)
{
    must(ws->n < ARRAY_LEN(ws->v));
    return &ws->v[ws->n++];
}

static struct err *check_in_subnet(struct wants *ws, const struct want *w)
{
    struct cidr c = nw_cidr_of(w->s);
    struct addr last = cidr_last(&c), eui;
    bool edge = c.net.version == 4 && c.prefix < 31 &&
                (!addr_cmp(&w->ip, &c.net) || !addr_cmp(&w->ip, &last));
    if (!cidr_has(&c, &w->ip) || edge)
        return bad(ws->cx, "InvalidIpForSubnet",
                   "IP address %s is not a valid IP for the specified subnet.",
                   addr_text(ws->cx, &w->ip));
    if (!nw_is_auto(w->s) || ws->router_port)
        return NULL;
    eui = addr_eui64(&c, ws->p->mac_address);
    if (!addr_cmp(&eui, &w->ip))
        return NULL;
    return bad_input(ws->cx,
                     "IPv6 address %s can not be directly assigned to a port on subnet %s as the "
                     "subnet is configured "
                     "for automatic addresses",
                     addr_text(ws->cx, &w->ip), w->s->id);
}

static struct err *want_requested(struct wants *ws, const json_t *item)
{
    const char *subnet_id = json_get_str(item, "subnet_id"), *ip = json_get_str(item, "ip_address");
    struct want *w = add(ws);
    if (ip) {
        must(addr_parse(ip, &w->ip)); /* the field's check saw to it */
        w->have_ip = true;
    }
    if (subnet_id) {
        w->s = nw_subnet_by_id(ws->subnets, subnet_id);
        if (!w->s)
            return bad_input(
                ws->cx,
                "Failed to create port on network %s, because fixed_ips included invalid subnet %s",
                ws->p->network_id, subnet_id);
    }
    for (size_t i = 0; !w->s && i < ws->subnets->n; i++) {
        struct cidr c = nw_cidr_of(ws->subnets->v[i]);
        if (cidr_has(&c, &w->ip))
            w->s = ws->subnets->v[i];
    }
    if (!w->s)
        return bad(
            ws->cx, "InvalidIpForNetwork",
            "IP address %s is not a valid IP for any of the subnets on the specified network.",
            ip ? ip : "");
    if (w->have_ip) {
        for (size_t i = 0; i + 1 < ws->n; i++)
            if (ws->v[i].have_ip && ws->v[i].s == w->s && !addr_cmp(&ws->v[i].ip, &w->ip))
                return bad_input(ws->cx, "Duplicate IP address '%s'", ip);
        return check_in_subnet(ws, w);
    }
    if (nw_is_auto(w->s) && !ws->router_port)
        ws->n--; /* the automatic ones are added below */
    return NULL;
}

/* Subnets that are for other device owners don't serve this port. */
static bool serves(struct wants *ws, const struct subnet *s)
{
    return str_eq(s->service_types, "[]") ||
           nw_list_has(ws->cx, s->service_types, ws->p->device_owner);
}

static void want_one_of_each(struct wants *ws)
{
    for (int version = 4; version <= 6; version += 2)
        for (size_t i = 0; i < ws->subnets->n; i++) {
            const struct subnet *s = ws->subnets->v[i];
            if (s->ip_version != version || nw_is_auto(s) || !serves(ws, s))
                continue;
            struct want *w = add(ws);
            w->ip.version = version;
            break;
        }
}

static void want_automatic(struct wants *ws)
{
    for (size_t i = 0; i < ws->subnets->n; i++) {
        const struct subnet *s = ws->subnets->v[i];
        bool there = ws->router_port || !nw_is_auto(s) || ws->n == ARRAY_LEN(ws->v);
        for (size_t k = 0; k < ws->n && !there; k++)
            there = ws->v[k].s == s;
        if (there)
            continue;
        struct cidr c = nw_cidr_of(s);
        *add(ws) = (struct want){.s = s, .ip = addr_eui64(&c, ws->p->mac_address), .have_ip = true};
    }
}

/* ---------------------------------------------------------------- keep, give back, take */

static bool keep_same(struct wants *ws, const struct fixed_ip *f)
{
    struct addr a;
    must(addr_parse(f->ip, &a));
    for (size_t i = 0; i < ws->n; i++) {
        struct want *w = &ws->v[i];
        if (w->have_ip && !w->held && str_eq(w->s->id, f->subnet_id) && !addr_cmp(&w->ip, &a))
            return w->held = true;
    }
    return false;
}

static bool keep_any(struct wants *ws, const struct fixed_ip *f)
{
    for (size_t i = 0; i < ws->n; i++) {
        struct want *w = &ws->v[i];
        if (w->have_ip || !w->s || !str_eq(w->s->id, f->subnet_id))
            continue;
        must(addr_parse(f->ip, &w->ip));
        return w->have_ip = w->held = true;
    }
    return false;
}

static struct err *keep_or_release(struct wants *ws, const char *old_text)
{
    struct port was = {.fixed_ips = old_text};
    struct fixed_ip *old;
    size_t n = nw_fixed_ips(ws->cx, &was, &old);
    bool *kept = arena_new_array(ws->cx->arena, bool, n + 1);
    for (size_t i = 0; i < n; i++)
        kept[i] = keep_same(ws, &old[i]);
    for (size_t i = 0; i < n; i++)
        if (!kept[i] && !keep_any(ws, &old[i]))
            TRY(nw_ip_release(ws->cx, ws->tx, old[i].subnet_id, old[i].ip, ws->p->id));
    return NULL;
}

static struct err *allocate(struct wants *ws, struct want *w)
{
    int version = w->ip.version;
    bool found = false;
    if (w->s) {
        TRY(nw_ip_next(ws->cx, ws->tx, w->s, ws->p->id, &w->ip, &found));
        if (!found)
            return fail_type(ws->cx, ERR_CONFLICT, "IpAddressGenerationFailure",
                             "No more IP addresses available for subnet %s.", w->s->id);
        return NULL;
    }
    for (size_t i = 0; i < ws->subnets->n && !found; i++) {
        const struct subnet *s = ws->subnets->v[i];
        if (s->ip_version != version || nw_is_auto(s) || !serves(ws, s))
            continue;
        TRY(nw_ip_next(ws->cx, ws->tx, s, ws->p->id, &w->ip, &found));
        w->s = s;
    }
    if (!found)
        return fail_type(ws->cx, ERR_CONFLICT, "IpAddressGenerationFailure",
                         "No more IP addresses available on network %s.", ws->p->network_id);
    return NULL;
}

struct err *nw_port_ips_set(struct ctx *cx, struct tx *tx, struct port *p, const char *old,
                            const json_t *requested, const struct subnets *subnets)
{
    struct wants *ws = arena_new_of(cx->arena, struct wants);
    *ws = (struct wants){.cx = cx,
                         .tx = tx,
                         .p = p,
                         .subnets = subnets,
                         .router_port = str_eq(p->device_owner, OWNER_INTERFACE)};
    if (json_array_size(requested) > FIXED_IPS_MAX)
        return bad_input(cx, "Exceeded maximum amount of fixed ips per port");
    for (size_t i = 0; i < json_array_size(requested); i++)
        TRY(want_requested(ws, json_array_get(requested, i)));
    if (!requested)
        want_one_of_each(ws);
    if (!requested || json_array_size(requested) || old)
        want_automatic(ws);
    if (old)
        TRY(keep_or_release(ws, old));
    struct fixed_ip *ips = arena_new_array(cx->arena, struct fixed_ip, ws->n + 1);
    for (size_t i = 0; i < ws->n; i++) {
        if (ws->v[i].have_ip && !ws->v[i].held)
            TRY(nw_ip_take(cx, tx, ws->v[i].s, &ws->v[i].ip, p->id));
    }
    for (size_t i = 0; i < ws->n; i++) {
        if (!ws->v[i].have_ip)
            TRY(allocate(ws, &ws->v[i]));
        ips[i] = (struct fixed_ip){ws->v[i].s->id, addr_text(cx, &ws->v[i].ip)};
    }
    nw_port_ips_write(cx, p, ips, ws->n);
    return NULL;
}

struct err *nw_port_ips_add_auto(struct ctx *cx, struct tx *tx, struct port *p,
                                 const struct subnet *s)
{
    struct fixed_ip *old;
    size_t n = nw_fixed_ips(cx, p, &old);
    struct fixed_ip *ips = arena_new_array(cx->arena, struct fixed_ip, n + 1);
    struct cidr c = nw_cidr_of(s);
    struct addr a = addr_eui64(&c, p->mac_address);
    if (n)
        memcpy(ips, old, n * sizeof(*ips));
    TRY(nw_ip_take(cx, tx, s, &a, p->id));
    ips[n] = (struct fixed_ip){s->id, addr_text(cx, &a)};
    nw_port_ips_write(cx, p, ips, n + 1);
    return NULL;
}

struct err *nw_port_ips_drop(struct ctx *cx, struct tx *tx, struct port *p, const char *subnet_id)
{
    struct fixed_ip *ips;
    size_t n = nw_fixed_ips(cx, p, &ips), left = 0;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(ips[i].subnet_id, subnet_id))
            TRY(nw_ip_release(cx, tx, subnet_id, ips[i].ip, p->id));
        else
            ips[left++] = ips[i];
    }
    nw_port_ips_write(cx, p, ips, left);
    return NULL;
}
