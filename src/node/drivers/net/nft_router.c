/* SPDX-License-Identifier: EUPL-1.2 */
/* The rules of a router: source NAT, floating IPs, and what may come in from outside. Text only. */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/nft.h"

struct nat {
    const char *floating, *fixed;
    const char *protocol; /* NULL: the whole address */
    int64_t floating_port, fixed_port;
};

/* Checked pairs; ret holds room for spec->n_floating. */
MUST_USE static struct err *take_floating(struct ctx *cx, const struct spec_router *spec,
                                          struct nat *ret)
{
    static const char *const protocols[] = {"tcp", "udp", "sctp", "dccp"};
    for (size_t i = 0; i < spec->n_floating; i++) {
        const struct spec_floating *f = &spec->floating[i];
        struct ip floating, fixed;
        bool known = !f->protocol;
        TRY(ip_parse_with(cx, f->floating_ip, 32, &floating));
        TRY(ip_parse_with(cx, f->fixed_ip, 32, &fixed));
        for (size_t k = 0; k < ARRAY_LEN(protocols); k++)
            known |= str_eq(f->protocol, protocols[k]);
        if (floating.version != 4 || fixed.version != 4)
            return fail(cx, ERR_INVALID, "a floating IP is of IP version 4");
        if (!known)
            return fail(cx, ERR_INVALID, "'%s' has no ports", f->protocol);
        ret[i] = (struct nat){ip_text(cx, &floating), ip_text(cx, &fixed), f->protocol,
                              f->floating_port, f->fixed_port};
    }
    return NULL;
}

/* "{ fixed : floating }": of several floating IPs of one address, the first is its face to the
 * world. NULL: no address has one of its own. */
static const char *source_map(struct ctx *cx, const struct nat *nat, size_t n)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++) {
        bool again = nat[i].protocol != NULL;
        for (size_t k = 0; k < i && !again; k++)
            again = !nat[k].protocol && str_eq(nat[k].fixed, nat[i].fixed);
        if (!again)
            buf_printf(&b, "%s%s : %s", b.len ? ", " : "", nat[i].fixed, nat[i].floating);
    }
    return b.len ? arena_printf(cx->arena, "ip saddr map { %s }", buf_cstr(&b)) : NULL;
}

static void destination_nat(const struct nat *nat, size_t n, struct buf *out)
{
    const char *sep = "\t\tdnat to ip daddr map { ";
    for (size_t i = 0; i < n; i++)
        if (nat[i].protocol)
            buf_printf(out, "\t\tip daddr %s %s dport %" PRId64 " dnat to %s:%" PRId64 "\n",
                       nat[i].floating, nat[i].protocol, nat[i].floating_port, nat[i].fixed,
                       nat[i].fixed_port);
    for (size_t i = 0; i < n; i++) {
        if (nat[i].protocol)
            continue;
        buf_printf(out, "%s%s : %s", sep, nat[i].floating, nat[i].fixed);
        sep = ", ";
    }
    if (str_eq(sep, ", "))
        buf_str(out, " }\n");
}

/* What the outside knows by the same addresses leaves as it is. */
MUST_USE static struct err *same_scope(struct ctx *cx, const struct spec_router *spec,
                                       const char *before, const char *direction,
                                       const char *verdict, struct buf *out)
{
    for (size_t i = 0; i < spec->n_interfaces; i++)
        for (size_t k = 0; k < spec->interfaces[i].n_ips; k++) {
            const struct spec_ip *ip = &spec->interfaces[i].ips[k];
            struct ip net;
            if (!ip->scope || !str_eq(ip->scope, spec->external.scope))
                continue;
            TRY(ip_parse_with(cx, ip->ip, (unsigned)ip->prefix, &net));
            net = ip_network(&net);
            if (net.version == 4)
                buf_printf(out, "\t\t%s ip %s %s %s\n", before, direction, ip_cidr(cx, &net),
                           verdict);
        }
    return NULL;
}

MUST_USE static struct err *nat_table(struct ctx *cx, const struct spec_router *spec,
                                      const struct nat *nat, const char *external,
                                      const char *address, struct buf *out)
{
    size_t n = spec->n_floating;
    const char *map = source_map(cx, nat, n);
    buf_str(out, "table ip colvert {\n\tchain prerouting {\n"
                 "\t\ttype nat hook prerouting priority dstnat; policy accept;\n");
    destination_nat(nat, n, out);
    buf_str(out, "\t}\n\tchain postrouting {\n"
                 "\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
    /* Hairpin: a guest speaks to another's floating IP, and the answer must come back this way. */
    if (map)
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"qr-*\" ct status dnat snat to %s\n", map);
    if (n)
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"qr-*\" ct status dnat snat to %s\n",
                   address);
    if (map)
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"%s\" snat to %s\n", external, map);
    if (spec->enable_snat) {
        const char *before = arena_printf(cx->arena, "iifname \"qr-*\" oifname \"%s\"", external);
        TRY(same_scope(cx, spec, before, "saddr", "accept", out));
        buf_printf(out, "\t\t%s snat to %s\n", before, address);
    }
    buf_str(out, "\t}\n}\n");
    return NULL;
}

/* ---------------------------------------------------------------- address scopes */

struct side {
    struct ip net;
    const char *scope;
};

/* An address means one thing within its scope: between two, nothing is routed untranslated. */
MUST_USE static struct err *keep_apart(struct ctx *cx, const struct spec_router *spec,
                                       struct buf *out)
{
    size_t n = 0, cap = 1;
    for (size_t i = 0; i < spec->n_interfaces; i++)
        cap += spec->interfaces[i].n_ips;
    struct side *sides = arena_new_array(cx->arena, struct side, cap);
    for (size_t i = 0; i < spec->n_interfaces; i++)
        for (size_t k = 0; k < spec->interfaces[i].n_ips; k++) {
            const struct spec_ip *ip = &spec->interfaces[i].ips[k];
            TRY(ip_parse_with(cx, ip->ip, (unsigned)ip->prefix, &sides[n].net));
            sides[n].net = ip_network(&sides[n].net);
            sides[n++].scope = ip->scope;
        }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            const char *family = sides[i].net.version == 4 ? "ip" : "ip6";
            if (sides[i].net.version == sides[k].net.version &&
                !str_eq(sides[i].scope, sides[k].scope) && (sides[i].scope || sides[k].scope))
                buf_printf(out, "\t\t%s saddr %s %s daddr %s ct status and dnat == 0 drop\n",
                           family, ip_cidr(cx, &sides[i].net), family, ip_cidr(cx, &sides[k].net));
        }
    return NULL;
}

struct err *nft_router_text(struct ctx *cx, const struct spec_router *spec, const char *external,
                            struct buf *out)
{
    struct nat *nat = arena_new_array(cx->arena, struct nat, spec->n_floating + 1);
    struct ip ip = {0};
    TRY(take_floating(cx, spec, nat));
    if (spec->has_external)
        TRY(ip_parse_with(cx, spec->external.ip, spec->external.prefix, &ip));
    buf_str(out, "table inet colvert {\n"
                 "\tchain input {\n"
                 "\t\ttype filter hook input priority filter; policy drop;\n"
                 "\t\tiifname \"lo\" accept\n"
                 "\t\tct state established,related accept\n"
                 "\t\tmeta l4proto { icmp, ipv6-icmp } accept\n\t}\n"
                 "\tchain forward {\n"
                 "\t\ttype filter hook forward priority filter; policy accept;\n"
                 "\t\tip daddr 169.254.0.0/16 drop\n");
    TRY(keep_apart(cx, spec, out));
    if (spec->has_external && spec->enable_snat && ip.version == 4) {
        /* Behind source NAT, only a floating IP is reached from outside, and nothing leaves
         * untranslated. */
        buf_printf(out,
                   "\t\toifname \"%s\" ct state invalid drop\n"
                   "\t\tiifname \"%s\" meta nfproto ipv4 ct status dnat accept\n"
                   "\t\tiifname \"%s\" meta nfproto ipv4 ct state established,related accept\n",
                   external, external, external);
        TRY(same_scope(cx, spec, arena_printf(cx->arena, "iifname \"%s\"", external), "daddr",
                       "accept", out));
        buf_printf(out, "\t\tiifname \"%s\" meta nfproto ipv4 drop\n", external);
    }
    buf_str(out, "\t}\n}\n");
    if (!spec->has_external || ip.version != 4)
        return NULL;
    return nat_table(cx, spec, nat, external, ip_text(cx, &ip), out);
}
