/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A network: a logical switch with the ports of all hosts, their names, and the port that the
 * metadata service of each host answers on. One that leads outside has a port to the hosts'
 * external bridges besides.
 */
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/net/addr.h"
#include "node/drivers/net/dhcp.h"
#include "node/drivers/net/names.h"

const char *metadata_port(struct ctx *cx, const char *network_id)
{
    return arena_printf(cx->arena, "metadata-%s", network_id);
}

const char *metadata_mac(struct ctx *cx, const char *network_id)
{
    struct mac mac = mac_derive("metadata", network_id);
    return mac_text(cx, &mac);
}

struct err *nb_owner(struct ctx *cx, const char *prefix, const char *id, const char **ret)
{
    const char *name;
    TRY(short_id(cx, id, &name));
    *ret = arena_printf(cx->arena, "%s%s", prefix, name);
    return NULL;
}

/* The addresses DHCP and DNS go by are the metadata service's, too: it is on every host. */
static struct err *metadata(struct nb_want *w, const struct spec_network *spec)
{
    struct buf b;
    struct ip ip;
    struct nb_row *r = nb_add(w, "Logical_Switch_Port", "metadata", "switch");
    buf_init(&b, w->cx->arena);
    buf_printf(&b, "%s " METADATA_IP " " METADATA_IP6, metadata_mac(w->cx, spec->id));
    for (size_t i = 0; i < spec->n_subnets; i++) {
        const struct spec_subnet *s = &spec->subnets[i];
        if (!s->enable_dhcp || !s->dhcp_ip)
            continue;
        TRY(ip_parse(w->cx, s->dhcp_ip, &ip));
        buf_printf(&b, " %s", ip_text(w->cx, &ip));
    }
    nb_str(r, "name", metadata_port(w->cx, spec->id));
    nb_str(r, "type", "localport");
    nb_put(r, "addresses", buf_cstr(&b));
    return NULL;
}

/* One MAC of the port's, and what it may send from; w->cx's arena. */
struct allowed {
    struct mac mac;
    struct buf text;
};

static struct allowed *allowed_of(struct nb_want *w, struct allowed *list, size_t *n,
                                  const struct mac *mac)
{
    for (size_t i = 0; i < *n; i++)
        if (memcmp(list[i].mac.bytes, mac->bytes, sizeof(mac->bytes)) == 0)
            return &list[i];
    struct allowed *a = &list[(*n)++];
    a->mac = *mac;
    buf_init(&a->text, w->cx->arena);
    buf_str(&a->text, mac_text(w->cx, mac));
    return a;
}

/*
 * A MAC by itself would let any address pass: one without any has that of nobody. OVN adds the
 * link-local address where there is one of IPv6, and lets no IPv6 pass where there is none, so that
 * nobody plays the router there: its rules let router advertisements pass before any of ours.
 */
static struct err *port_security(struct nb_want *w, const struct spec_port *port,
                                 const struct mac *mac, struct nb_row *lsp)
{
    struct allowed *list = arena_new_array(w->cx->arena, struct allowed, port->n_pairs + 1);
    size_t n = 0;
    struct allowed *own = allowed_of(w, list, &n, mac);
    struct ip ip;
    for (size_t i = 0; i < port->n_fixed_ips; i++) {
        TRY(ip_parse(w->cx, port->fixed_ips[i].ip, &ip));
        buf_printf(&own->text, " %s", ip_text(w->cx, &ip));
    }
    for (size_t i = 0; i < port->n_pairs; i++) {
        struct mac other = *mac;
        if (port->pairs[i].mac)
            TRY(mac_parse(w->cx, port->pairs[i].mac, &other));
        TRY(ip_parse(w->cx, port->pairs[i].ip, &ip));
        buf_printf(&allowed_of(w, list, &n, &other)->text, " %s", ip_cidr(w->cx, &ip));
    }
    if (own->text.len == strlen(mac_text(w->cx, mac)))
        buf_str(&own->text, " 0.0.0.0");
    for (size_t i = 0; i < n; i++) {
        nb_put(lsp, "port_security", buf_cstr(&list[i].text));
        if (&list[i] != own)
            nb_put(lsp, "addresses", mac_text(w->cx, &list[i].mac));
    }
    return NULL;
}

/* No other host gets its traffic, whatever is plugged there under its name. The guest that is on
 * its way has it on both: on the other one from the moment that it runs there. */
static void requested_chassis(struct nb_want *w, const struct spec_port *p, struct nb_row *lsp)
{
    struct buf b;
    buf_init(&b, w->cx->arena);
    for (size_t i = 0; i < p->n_chassis; i++)
        buf_printf(&b, "%s%s", i ? "," : "", p->chassis[i]);
    if (p->n_chassis)
        nb_map(lsp, "options", "requested-chassis", buf_cstr(&b));
}

static struct err *port(struct nb_want *w, const struct spec_network *spec,
                        const struct spec_port *p)
{
    const char *name;
    struct mac mac;
    struct buf b;
    TRY(short_id(w->cx, p->id, &name));
    TRY(mac_parse(w->cx, p->mac, &mac));
    if (mac.bytes[0] & 1)
        return fail(w->cx, ERR_INVALID, "port %s has a group's MAC, %s", p->id, p->mac);
    struct nb_row *r = nb_add(w, "Logical_Switch_Port", p->id, "switch");
    buf_init(&b, w->cx->arena);
    buf_str(&b, mac_text(w->cx, &mac));
    for (size_t i = 0; i < p->n_fixed_ips; i++) {
        struct ip ip;
        TRY(ip_parse(w->cx, p->fixed_ips[i].ip, &ip));
        buf_printf(&b, " %s", ip_text(w->cx, &ip));
    }
    nb_str(r, "name", p->id);
    nb_put(r, "addresses", buf_cstr(&b));
    nb_bool(r, "enabled", p->admin_state_up);
    requested_chassis(w, p, r);
    if (p->port_security)
        TRY(port_security(w, p, &mac, r));
    else
        nb_put(r, "addresses", "unknown");
    return nb_dhcp(w, spec, p, r);
}

static const char *reverse_name(struct ctx *cx, const struct ip *ip)
{
    struct buf b;
    buf_init(&b, cx->arena);
    if (ip->version == 4)
        return arena_printf(cx->arena, "%d.%d.%d.%d.in-addr.arpa", ip->bytes[3], ip->bytes[2],
                            ip->bytes[1], ip->bytes[0]);
    for (int i = 15; i >= 0; i--)
        buf_printf(&b, "%x.%x.", ip->bytes[i] & 15, ip->bytes[i] >> 4);
    buf_str(&b, "ip6.arpa");
    return buf_cstr(&b);
}

static void add_name(struct nb_want *w, struct nb_row *dns, const char *name, const char *ip)
{
    const char *lower = str_lower(w->cx, name);
    const char *has = json_get_str(json_object_get(dns->columns, "records"), lower);
    nb_map(dns, "records", lower, has ? arena_printf(w->cx->arena, "%s %s", has, ip) : ip);
}

/* From lines as in /etc/hosts: the driver "kernel" has the same. */
static struct err *names(struct nb_want *w, const struct spec_network *spec)
{
    const char *text;
    char **lines, **words;
    TRY(dhcp_names_text(w->cx, spec, &text));
    size_t n = str_split(w->cx, text, '\n', &lines);
    struct nb_row *dns = n ? nb_add(w, "DNS", "names", "switch") : NULL;
    for (size_t i = 0; i < n; i++) {
        size_t n_words = str_split(w->cx, lines[i], ' ', &words);
        struct ip ip;
        if (n_words < 2)
            continue;
        TRY(ip_parse(w->cx, words[0], &ip));
        for (size_t k = 1; k < n_words; k++)
            add_name(w, dns, words[k], words[0]);
        nb_map(dns, "records", reverse_name(w->cx, &ip), str_lower(w->cx, words[1]));
    }
    return NULL;
}

struct err *nb_network(struct ctx *cx, const struct spec_network *spec, struct nb_want *w)
{
    const char *owner, *ra;
    TRY(nb_owner(cx, NETWORK_OWNER, spec->id, &owner));
    TRY(dhcp_ra_lines(cx, spec, &ra));
    if (spec->mtu < 68 || spec->mtu > 65535)
        return fail(cx, ERR_INVALID, "network %s cannot have an MTU of %" PRId64, spec->id,
                    spec->mtu);
    nb_want_init(w, cx, owner);
    struct nb_row *r = nb_add(w, "Logical_Switch", "switch", NULL);
    nb_str(r, "name", spec->id);
    nb_map(r, "other_config", "vlan-passthru", "true"); /* port security lets none pass */
    nb_map(r, "external_ids", NETWORK_RA, ra);
    nb_map(r, "external_ids", NETWORK_MTU, arena_printf(cx->arena, "%" PRId64, spec->mtu));
    if (spec->external) {
        struct nb_row *out = nb_add(w, "Logical_Switch_Port", "outside", "switch");
        nb_str(out, "name", arena_printf(cx->arena, "outside-%s", spec->id));
        nb_str(out, "type", "localnet");
        nb_map(out, "options", "network_name", EXTERNAL_PHYSICAL);
        nb_put(out, "addresses", "unknown");
    } else {
        TRY(metadata(w, spec));
    }
    for (size_t i = 0; i < spec->n_ports; i++)
        TRY(port(w, spec, &spec->ports[i]));
    TRY(names(w, spec));
    return nb_rules(w, spec);
}
