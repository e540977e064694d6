/* SPDX-License-Identifier: EUPL-1.2 */
/* The rules of a router: source NAT, floating IPs, and what may come in from outside. Text only. */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/nft.h"

struct nat {
    const char *floating, *fixed;
};

/* Checked pairs; ret holds room for spec->n_floating. */
MUST_USE static struct err *take_floating(struct ctx *cx, const struct spec_router *spec,
                                          struct nat *ret)
{
    for (size_t i = 0; i < spec->n_floating; i++) {
        struct ip floating, fixed;
        TRY(ip_parse_with(cx, spec->floating[i].floating_ip, 32, &floating));
        TRY(ip_parse_with(cx, spec->floating[i].fixed_ip, 32, &fixed));
        if (floating.version != 4 || fixed.version != 4)
            return fail(cx, ERR_INVALID, "a floating IP is of IP version 4");
        ret[i] = (struct nat){ip_text(cx, &floating), ip_text(cx, &fixed)};
    }
    return NULL;
}

/* "ip saddr map { fixed : floating }": of several floating IPs of one address, the first is its
 * face to the world. */
static const char *source_map(struct ctx *cx, const struct nat *nat, size_t n)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < n; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = str_eq(nat[k].fixed, nat[i].fixed);
        if (!again)
            buf_printf(&b, "%s%s : %s", b.len ? ", " : "", nat[i].fixed, nat[i].floating);
    }
    return arena_printf(cx->arena, "ip saddr map { %s }", buf_cstr(&b));
}

static void nat_table(struct ctx *cx, const struct spec_router *spec, const struct nat *nat,
                      const char *external, const char *address, struct buf *out)
{
    size_t n = spec->n_floating;
    buf_str(out, "table ip colvert {\n\tchain prerouting {\n"
                 "\t\ttype nat hook prerouting priority dstnat; policy accept;\n");
    if (n) {
        buf_str(out, "\t\tdnat to ip daddr map { ");
        for (size_t i = 0; i < n; i++)
            buf_printf(out, "%s%s : %s", i ? ", " : "", nat[i].floating, nat[i].fixed);
        buf_str(out, " }\n");
    }
    buf_str(out, "\t}\n\tchain postrouting {\n"
                 "\t\ttype nat hook postrouting priority srcnat; policy accept;\n");
    if (n) {
        const char *map = source_map(cx, nat, n);
        /* Hairpin: a guest speaks to another's floating IP, and the answer must come back this way.
         */
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"qr-*\" ct status dnat snat to %s\n", map);
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"qr-*\" ct status dnat snat to %s\n",
                   address);
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"%s\" snat to %s\n", external, map);
    }
    if (spec->enable_snat)
        buf_printf(out, "\t\tiifname \"qr-*\" oifname \"%s\" snat to %s\n", external, address);
    buf_str(out, "\t}\n}\n");
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
    if (spec->has_external && spec->enable_snat && ip.version == 4)
        /* Behind source NAT, only a floating IP is reached from outside, and nothing leaves
         * untranslated. */
        buf_printf(out,
                   "\t\toifname \"%s\" ct state invalid drop\n"
                   "\t\tiifname \"%s\" meta nfproto ipv4 ct status dnat accept\n"
                   "\t\tiifname \"%s\" meta nfproto ipv4 ct state established,related accept\n"
                   "\t\tiifname \"%s\" meta nfproto ipv4 drop\n",
                   external, external, external, external);
    buf_str(out, "\t}\n}\n");
    if (spec->has_external && ip.version == 4)
        nat_table(cx, spec, nat, external, ip_text(cx, &ip), out);
    return NULL;
}
