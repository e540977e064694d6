/* SPDX-License-Identifier: EUPL-1.2 */
/* The rules of a network: anti-spoofing and security groups of its ports. Text only; nft.c applies
 * it. */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/names.h"
#include "node/drivers/net/nft.h"
#include "node/drivers/net/protocols.h"

#define MARK_SLOTS 0x7fffu

/* A port, checked and parsed. */
struct fw_port {
    const struct spec_port *spec;
    const char *name; /* the first 11 characters of its id */
    unsigned number;  /* 1..MARK_SLOTS */
    struct mac mac;
};

/* A set of remote addresses that several rules share. */
struct fw_set {
    const char *name;
    struct ip *ips;
    size_t n;
};

struct firewall {
    struct ctx *cx;
    struct buf *out;
    struct fw_port *ports;
    size_t n_ports;
    struct fw_set *sets;
    size_t n_sets, cap_sets;
};

static uint64_t fnv(const void *data, size_t size, uint64_t h)
{
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return h;
}
#define FNV_START 0xcbf29ce484222325u

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fw_port *)a)->name, ((const struct fw_port *)b)->name);
}

/* A port keeps its number when others come and go, so that packets under way during a change meet
 * their own rules. */
static void number_ports(struct firewall *f)
{
    bool *used = arena_alloc(f->cx->arena, MARK_SLOTS + 1);
    if (f->n_ports > 1)
        qsort(f->ports, f->n_ports, sizeof(*f->ports), by_name);
    for (size_t i = 0; i < f->n_ports; i++) {
        unsigned n = (unsigned)(fnv(f->ports[i].name, SHORT_ID, FNV_START) % MARK_SLOTS);
        while (used[n + 1])
            n = (n + 1) % MARK_SLOTS;
        used[n + 1] = true;
        f->ports[i].number = n + 1;
    }
}

MUST_USE static struct err *take_ports(struct firewall *f, const struct spec_network *spec)
{
    f->ports = arena_new_array(f->cx->arena, struct fw_port, spec->n_ports + 1);
    if (spec->n_ports >= MARK_SLOTS)
        return fail(f->cx, ERR_INVALID, "a network has at most %u ports on a host", MARK_SLOTS - 1);
    for (size_t i = 0; i < spec->n_ports; i++) {
        struct fw_port *p = &f->ports[f->n_ports];
        p->spec = &spec->ports[i];
        TRY(short_id(f->cx, p->spec->id, &p->name));
        TRY(mac_parse(f->cx, p->spec->mac, &p->mac));
        if (!p->spec->tap || strncmp(p->spec->tap, "tap", 3) != 0 ||
            strcmp(p->spec->tap + 3, p->name) != 0)
            return fail(f->cx, ERR_INVALID, "port %s cannot have the tap '%s'", p->spec->id,
                        p->spec->tap ? p->spec->tap : "");
        if (p->spec->admin_state_up)
            f->n_ports++;
    }
    number_ports(f);
    for (size_t i = 1; i < f->n_ports; i++)
        if (str_eq(f->ports[i].name, f->ports[i - 1].name))
            return fail(f->cx, ERR_INVALID, "two ports begin with %s", f->ports[i].name);
    return NULL;
}

static const char *ip_hex(struct ctx *cx, const struct ip *ip)
{
    char hex[33];
    hex_encode(ip->bytes, 16, hex);
    return arena_printf(cx->arena, "0x%s", hex);
}

/* What a port may send from one MAC and address: ARP for it, and IP. */
static void allow_source(struct firewall *f, const struct mac *mac, const struct ip *ip)
{
    const char *m = mac_text(f->cx, mac);
    const char *arp = "", *from = ip->version == 4 ? " ether type ip" : " ether type ip6";
    if (ip->prefix) {
        struct ip net = ip_network(ip);
        arp = arena_printf(f->cx->arena, " arp saddr ip %s", ip_cidr(f->cx, &net));
        from = arena_printf(f->cx->arena, " %s saddr %s", net.version == 4 ? "ip" : "ip6",
                            ip_cidr(f->cx, &net));
    }
    if (ip->version == 4)
        buf_printf(f->out, "\t\tether saddr %s arp saddr ether %s%s accept\n", m, m, arp);
    buf_printf(f->out, "\t\tether saddr %s%s accept\n", m, from);
}

static void allow_mac(struct firewall *f, const struct mac *mac)
{
    const char *m = mac_text(f->cx, mac);
    struct ip ll = ip_link_local(mac);
    ll.prefix = 128;
    buf_printf(f->out, "\t\tether saddr %s arp saddr ether %s arp saddr ip 0.0.0.0 accept\n", m, m);
    buf_printf(f->out, "\t\tether saddr %s ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n", m);
    buf_printf(f->out, "\t\tether saddr %s ip6 saddr :: icmpv6 type @probes accept\n", m);
    buf_printf(f->out, "\t\tether saddr %s ip6 saddr %s accept\n", m, ip_text(f->cx, &ll));
}

/* Neighbour advertisements name an address: one of the port's own, or none of its packets passes.
 */
MUST_USE static struct err *allow_adverts(struct firewall *f, const struct fw_port *p)
{
    struct ip ip, ll = ip_link_local(&p->mac);
    struct mac mac;
    const char *rule = "\t\ticmpv6 type nd-neighbor-advert @th,64,128";
    buf_printf(f->out, "%s %s goto sources_%s\n", rule, ip_hex(f->cx, &ll), p->name);
    for (size_t i = 0; i < p->spec->n_fixed_ips; i++) {
        TRY(ip_parse(f->cx, p->spec->fixed_ips[i].ip, &ip));
        if (ip.version == 6)
            buf_printf(f->out, "%s %s goto sources_%s\n", rule, ip_hex(f->cx, &ip), p->name);
    }
    for (size_t i = 0; i < p->spec->n_pairs; i++) {
        TRY(ip_parse(f->cx, p->spec->pairs[i].ip, &ip));
        if (p->spec->pairs[i].mac) {
            TRY(mac_parse(f->cx, p->spec->pairs[i].mac, &mac));
            ll = ip_link_local(&mac);
            buf_printf(f->out, "%s %s goto sources_%s\n", rule, ip_hex(f->cx, &ll), p->name);
        }
        struct ip mask = {.version = 6, .prefix = ip.prefix}, net = ip_network(&ip);
        memset(mask.bytes, 0xff, sizeof(mask.bytes));
        mask = ip_network(&mask);
        if (ip.version == 6 && ip.prefix)
            buf_printf(f->out, "%s and %s == %s goto sources_%s\n", rule, ip_hex(f->cx, &mask),
                       ip_hex(f->cx, &net), p->name);
        else if (ip.version == 6)
            buf_printf(f->out, "\t\ticmpv6 type nd-neighbor-advert goto sources_%s\n", p->name);
    }
    buf_str(f->out, "\t\ticmpv6 type nd-neighbor-advert drop\n");
    return NULL;
}

MUST_USE static struct err *sources_chain(struct firewall *f, const struct fw_port *p)
{
    const struct spec_port *s = p->spec;
    struct ip ip;
    struct mac mac;
    buf_printf(f->out, "\tchain sources_%s {\n", p->name);
    allow_mac(f, &p->mac);
    for (size_t i = 0; i < s->n_pairs; i++) {
        bool again = !s->pairs[i].mac || strcasecmp(s->pairs[i].mac, s->mac) == 0;
        for (size_t k = 0; k < i && !again; k++)
            again = s->pairs[k].mac && strcasecmp(s->pairs[k].mac, s->pairs[i].mac) == 0;
        if (again)
            continue;
        TRY(mac_parse(f->cx, s->pairs[i].mac, &mac));
        allow_mac(f, &mac);
    }
    for (size_t i = 0; i < s->n_fixed_ips; i++) {
        TRY(ip_parse(f->cx, s->fixed_ips[i].ip, &ip));
        allow_source(f, &p->mac, &ip);
    }
    for (size_t i = 0; i < s->n_pairs; i++) {
        mac = p->mac;
        TRY(ip_parse(f->cx, s->pairs[i].ip, &ip));
        if (s->pairs[i].mac)
            TRY(mac_parse(f->cx, s->pairs[i].mac, &mac));
        allow_source(f, &mac, &ip);
    }
    buf_str(f->out, "\t\tdrop\n\t}\n");
    return NULL;
}

MUST_USE static struct err *bridge_chains(struct firewall *f, const struct fw_port *p)
{
    if (p->spec->port_security)
        TRY(sources_chain(f, p));
    buf_printf(f->out, "\tchain from_%s {\n\t\tmeta mark set 0x%x\n", p->name, p->number);
    if (p->spec->port_security) {
        buf_str(f->out, "\t\tjump guard\n");
        TRY(allow_adverts(f, p));
        buf_printf(f->out, "\t\tgoto sources_%s\n\t}\n", p->name);
    } else {
        buf_str(f->out, "\t\taccept\n\t}\n");
    }
    buf_printf(f->out, "\tchain to_%s {\n%s\t\tmeta mark set meta mark and 0xffff or 0x%x\n\t}\n",
               p->name, p->spec->port_security ? "\t\tether type != @frames drop\n" : "",
               p->number << 16);
    return NULL;
}

static void verdict_map(struct firewall *f, const char *name, const char *prefix)
{
    buf_printf(f->out, "\tmap %s {\n\t\ttype ifname : verdict\n", name);
    for (size_t i = 0; i < f->n_ports; i++)
        buf_printf(f->out, "%s\"%s\" : goto %s_%s%s", i ? ",\n\t\t\t" : "\t\telements = { ",
                   f->ports[i].spec->tap, prefix, f->ports[i].name,
                   i + 1 == f->n_ports ? " }\n" : "");
    buf_str(f->out, "\t}\n");
}

MUST_USE static struct err *bridge_table(struct firewall *f)
{
    /*
     * Named sets: anonymous ones, one a port and rule, make the kernel slow. Tagged frames would
     * pass the inet hooks by; servers of addresses and routes are the network's own.
     */
    buf_str(f->out, "table bridge colvert {\n"
                    "\tset frames {\n\t\ttype ether_type\n\t\telements = { ip, ip6, arp }\n\t}\n"
                    "\tset probes {\n\t\ttype icmpv6_type\n\t\telements = { mld-listener-report, "
                    "nd-router-solicit, nd-neighbor-solicit, mld2-listener-report }\n\t}\n"
                    "\tchain guard {\n"
                    "\t\tether type != @frames drop\n"
                    "\t\tmeta l4proto udp th sport { 67, 547 } drop\n"
                    "\t\ticmpv6 type { nd-router-advert, nd-redirect } drop\n\t}\n");
    for (size_t i = 0; i < f->n_ports; i++)
        TRY(bridge_chains(f, &f->ports[i]));
    verdict_map(f, "senders", "from");
    verdict_map(f, "receivers", "to");
    buf_str(f->out, "\tchain prerouting {\n"
                    "\t\ttype filter hook prerouting priority -300; policy accept;\n"
                    "\t\tmeta mark set 0\n"
                    "\t\tiifname != \"tap*\" accept\n"
                    "\t\tiifname vmap @senders\n"
                    "\t\tdrop\n\t}\n"
                    "\tchain forward {\n"
                    "\t\ttype filter hook forward priority -300; policy accept;\n"
                    "\t\toifname != \"tap*\" accept\n"
                    "\t\toifname vmap @receivers\n"
                    "\t\tdrop\n\t}\n"
                    "\tchain output {\n"
                    "\t\ttype filter hook output priority -300; policy accept;\n"
                    "\t\toifname != \"tap*\" accept\n"
                    "\t\toifname vmap @receivers\n"
                    "\t\tdrop\n\t}\n"
                    "}\n");
    return NULL;
}

/* "ip saddr …" of a rule; many addresses become a set shared by all rules with the same ones. */
MUST_USE static struct err *remote_text(struct firewall *f, const struct spec_rule *rule,
                                        const char **ret, bool *ret_never)
{
    struct ip *ips = arena_new_array(f->cx->arena, struct ip, rule->n_remotes + 1);
    size_t n = 0;
    *ret = "";
    *ret_never = false;
    if (rule->any_remote)
        return NULL;
    for (size_t i = 0; i < rule->n_remotes; i++) {
        TRY(ip_parse(f->cx, rule->remotes[i], &ips[n]));
        n += ips[n].version == rule->ip_version;
    }
    n = ip_merge(ips, n);
    *ret_never = n == 0;
    const char *field = arena_printf(f->cx->arena, "%s %s", rule->ip_version == 4 ? "ip" : "ip6",
                                     rule->ingress ? "saddr" : "daddr");
    if (n == 1 && ips[0].prefix)
        *ret = arena_printf(f->cx->arena, " %s %s", field, ip_cidr(f->cx, &ips[0]));
    if (n < 2)
        return NULL;
    uint64_t h = FNV_START;
    for (size_t i = 0; i < n; i++)
        h = fnv(&ips[i].prefix, sizeof(ips[i].prefix), fnv(ips[i].bytes, ip_size(&ips[i]), h));
    const char *name = arena_printf(f->cx->arena, "remotes%d_%016" PRIx64, rule->ip_version, h);
    *ret = arena_printf(f->cx->arena, " %s @%s", field, name);
    for (size_t i = 0; i < f->n_sets; i++)
        if (str_eq(f->sets[i].name, name))
            return NULL;
    must(f->n_sets < f->cap_sets);
    f->sets[f->n_sets++] = (struct fw_set){.name = name, .ips = ips, .n = n};
    return NULL;
}

MUST_USE static struct err *ports_text(struct firewall *f, const struct spec_rule *rule, int proto,
                                       const char **ret)
{
    int64_t lo = rule->port_min, hi = rule->port_max;
    *ret = "";
    if (lo < 0 && hi < 0)
        return NULL;
    if (proto == 1 || proto == 58) {
        const char *p = proto == 1 ? "icmp" : "icmpv6";
        if (lo < 0 || lo > 255 || hi > 255)
            return fail(f->cx, ERR_INVALID, "an ICMP type and code are numbers up to 255");
        *ret = hi < 0
                   ? arena_printf(f->cx->arena, " %s type %d", p, (int)lo)
                   : arena_printf(f->cx->arena, " %s type %d %s code %d", p, (int)lo, p, (int)hi);
        return NULL;
    }
    if (proto != 6 && proto != 17 && proto != 33 && proto != 132 && proto != 136)
        return fail(f->cx, ERR_INVALID, "a rule with ports needs tcp, udp, udplite, dccp or sctp");
    lo = lo < 0 ? 0 : lo;
    hi = hi < 0 ? 65535 : hi;
    if (lo > hi || hi > 65535)
        return fail(f->cx, ERR_INVALID, "'%" PRId64 "-%" PRId64 "' is not a range of ports", lo,
                    hi);
    *ret = lo == hi ? arena_printf(f->cx->arena, " th dport %d", (int)lo)
                    : arena_printf(f->cx->arena, " th dport %d-%d", (int)lo, (int)hi);
    return NULL;
}

/* One direction of one port: what a rule names passes on, the rest is dropped. */
MUST_USE static struct err *group_chain(struct firewall *f, const struct fw_port *p, bool ingress)
{
    const char *passes = ingress ? "accept" : "goto receive";
    buf_printf(f->out, "\tchain %s_%s {\n", ingress ? "ingress" : "egress", p->name);
    for (size_t i = 0; p->spec->port_security && i < p->spec->n_rules; i++) {
        const struct spec_rule *r = &p->spec->rules[i];
        const char *remote, *ports;
        bool never;
        int proto;
        if (r->ip_version != 4 && r->ip_version != 6)
            return fail(f->cx, ERR_INVALID, "there is no IP version %d", r->ip_version);
        TRY(rule_protocol(f->cx, r, &proto));
        TRY(remote_text(f, r, &remote, &never));
        TRY(ports_text(f, r, proto, &ports));
        if (r->ingress != ingress || never)
            continue;
        buf_printf(f->out, "\t\tmeta nfproto ipv%d", r->ip_version);
        if (proto >= 0)
            buf_printf(f->out, " meta l4proto %d", proto);
        buf_printf(f->out, "%s%s %s\n", ports, remote, passes);
    }
    buf_printf(f->out, "\t\t%s\n\t}\n", p->spec->port_security ? "drop" : passes);
    return NULL;
}

static void set_text(struct firewall *f, const struct fw_set *set)
{
    buf_printf(f->out, "\tset %s {\n\t\ttype ipv%d_addr\n\t\tflags interval\n", set->name,
               set->ips[0].version);
    for (size_t i = 0; i < set->n; i++)
        buf_printf(f->out, "%s%s%s", i ? ",\n\t\t\t" : "\t\telements = { ",
                   ip_cidr(f->cx, &set->ips[i]), i + 1 == set->n ? " }\n" : "");
    buf_str(f->out, "\t}\n");
}

/* 0 is what is no tap: the router, the network's own address. */
static void number_map(struct firewall *f, const char *name, const char *zero, const char *prefix,
                       unsigned shift)
{
    buf_printf(f->out, "\tmap %s {\n\t\ttype mark : verdict\n\t\telements = { 0x0 : %s", name,
               zero);
    for (size_t i = 0; i < f->n_ports; i++)
        buf_printf(f->out, ",\n\t\t\t0x%x : goto %s_%s", f->ports[i].number << shift, prefix,
                   f->ports[i].name);
    buf_str(f->out, " }\n\t}\n");
}

MUST_USE static struct err *inet_table(struct firewall *f)
{
    struct buf chains, *out = f->out;
    buf_init(&chains, f->cx->arena);
    f->out = &chains;
    for (size_t i = 0; i < f->n_ports; i++) {
        TRY(group_chain(f, &f->ports[i], false));
        TRY(group_chain(f, &f->ports[i], true));
    }
    f->out = out;
    buf_str(out, "table inet colvert {\n");
    for (size_t i = 0; i < f->n_sets; i++)
        set_text(f, &f->sets[i]);
    buf_str(out, "\tchain receive {\n\t}\n");
    buf_add(out, buf_cstr(&chains), chains.len);
    number_map(f, "senders", "goto receive", "egress", 0);
    number_map(f, "receivers", "accept", "ingress", 16);
    buf_str(out, "\tchain receive {\n"
                 "\t\tmeta mark and 0xffff0000 vmap @receivers\n"
                 "\t\tdrop\n\t}\n"
                 "\tchain forward {\n"
                 "\t\ttype filter hook forward priority filter; policy drop;\n"
                 "\t\tct state established,related accept\n"
                 "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, "
                 "nd-router-advert, mld-listener-query, mld-listener-report, mld-listener-done, "
                 "mld2-listener-report } accept\n"
                 "\t\tct state invalid drop\n"
                 "\t\tmeta mark and 0xffff vmap @senders\n\t}\n"
                 "\tchain input {\n"
                 "\t\ttype filter hook input priority filter; policy drop;\n"
                 "\t\tiifname \"lo\" accept\n"
                 "\t\tct state established,related accept\n"
                 "\t\tmeta l4proto { icmp, ipv6-icmp } accept\n"
                 "\t\tudp dport { 53, 67, 547 } accept\n"
                 "\t\ttcp dport 53 accept\n"
                 "\t\tip daddr " METADATA_IP " tcp dport 80 accept\n"
                 "\t\tip6 daddr " METADATA_IP6 " tcp dport 80 accept\n\t}\n"
                 "}\n");
    return NULL;
}

struct err *nft_network_text(struct ctx *cx, const struct spec_network *spec, struct buf *out)
{
    struct firewall f = {.cx = cx, .out = out};
    TRY(take_ports(&f, spec));
    for (size_t i = 0; i < f.n_ports; i++)
        f.cap_sets += f.ports[i].spec->n_rules;
    f.sets = arena_new_array(cx->arena, struct fw_set, f.cap_sets + 1);
    TRY(bridge_table(&f));
    return inet_table(&f);
}
