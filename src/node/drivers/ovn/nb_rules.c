/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Security groups as ACLs. Ports with the same rules share a port group, named after the rules; one
 * more has all ports of the network that have any security: what holds for each of them, and that
 * nothing else passes. Answers of what a rule let pass do, too (allow-related).
 */
#include "node/drivers/ovn/nb_map.h"
#include "node/drivers/net/addr.h"
#include "node/drivers/net/names.h"
#include "node/drivers/net/protocols.h"

enum { DROP = 1000, RULE = 1002, ALWAYS = 1003, NEVER = 1004 };

static void acl(struct nb_want *w, const char *group, const char *name, const char *direction,
                int priority, const char *action, const char *match)
{
    struct nb_row *r = nb_add(w, "ACL", arena_printf(w->cx->arena, "%s:%s", group, name), group);
    nb_int(r, "priority", priority);
    nb_str(r, "direction", direction);
    nb_str(r, "match", match);
    nb_str(r, "action", action);
}

/* ---------------------------------------------------------------- one rule */

static struct err *remote_match(struct ctx *cx, const struct spec_rule *rule, struct buf *b,
                                bool *ret_never)
{
    struct ip *ips = arena_new_array(cx->arena, struct ip, rule->n_remotes + 1);
    size_t n = 0;
    *ret_never = false;
    if (rule->any_remote)
        return NULL;
    for (size_t i = 0; i < rule->n_remotes; i++) {
        TRY(ip_parse(cx, rule->remotes[i], &ips[n]));
        n += ips[n].version == rule->ip_version;
    }
    n = ip_merge(ips, n);
    *ret_never = n == 0;
    if (!n || !ips[0].prefix)
        return NULL;
    buf_printf(b, " && ip%d.%s == {", rule->ip_version, rule->ingress ? "src" : "dst");
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s%s", i ? ", " : "", ip_cidr(cx, &ips[i]));
    buf_char(b, '}');
    return NULL;
}

static struct err *icmp_match(struct ctx *cx, const struct spec_rule *rule, struct buf *b)
{
    const char *icmp = rule->ip_version == 4 ? "icmp4" : "icmp6";
    buf_printf(b, " && %s", icmp);
    if (rule->port_min < 0 && rule->port_max < 0)
        return NULL;
    if (rule->port_min < 0 || rule->port_min > 255 || rule->port_max > 255)
        return fail(cx, ERR_INVALID, "an ICMP type and code are numbers up to 255");
    buf_printf(b, " && %s.type == %" PRId64, icmp, rule->port_min);
    if (rule->port_max >= 0)
        buf_printf(b, " && %s.code == %" PRId64, icmp, rule->port_max);
    return NULL;
}

/* OVN knows the ports of three protocols; a rule with those of another one lets nothing pass,
 * rather than more than it says. */
static struct err *protocol_match(struct ctx *cx, const struct spec_rule *rule, struct buf *b,
                                  bool *ret_never)
{
    static const struct {
        int number;
        const char *name;
    } ported[] = {{6, "tcp"}, {17, "udp"}, {132, "sctp"}};
    int64_t lo = rule->port_min, hi = rule->port_max;
    bool ports = lo >= 0 || hi >= 0;
    const char *name = NULL;
    int proto;
    TRY(rule_protocol(cx, rule, &proto));
    if (proto == (rule->ip_version == 4 ? 1 : 58))
        return icmp_match(cx, rule, b);
    for (size_t i = 0; i < ARRAY_LEN(ported); i++)
        if (ported[i].number == proto)
            name = ported[i].name;
    if (!ports && proto >= 0)
        buf_printf(b, " && ip.proto == %d", proto);
    if (!ports)
        return NULL;
    if (!name && proto != 33 && proto != 136)
        return fail(cx, ERR_INVALID, "a rule with ports needs tcp, udp, udplite, dccp or sctp");
    *ret_never |= !name;
    lo = lo < 0 ? 0 : lo;
    hi = hi < 0 ? 65535 : hi;
    if (lo > hi || hi > 65535)
        return fail(cx, ERR_INVALID, "'%" PRId64 "-%" PRId64 "' is not a range of ports", lo, hi);
    if (lo == hi)
        buf_printf(b, " && %s.dst == %" PRId64, name ? name : "", lo);
    else
        buf_printf(b, " && %s.dst >= %" PRId64 " && %s.dst <= %" PRId64, name ? name : "", lo,
                   name ? name : "", hi);
    return NULL;
}

/* What it lets pass, without the port; NULL: nothing. */
static struct err *rule_match(struct ctx *cx, const struct spec_rule *rule, const char **ret)
{
    struct buf b;
    bool never;
    if (rule->ip_version != 4 && rule->ip_version != 6)
        return fail(cx, ERR_INVALID, "there is no IP version %d", rule->ip_version);
    buf_init(&b, cx->arena);
    buf_printf(&b, "ip%d", rule->ip_version);
    TRY(remote_match(cx, rule, &b, &never));
    TRY(protocol_match(cx, rule, &b, &never));
    *ret = never ? NULL : buf_cstr(&b);
    return NULL;
}

/* ---------------------------------------------------------------- groups */

/* The port's rules as text, sorted, each once: the same rules have the same text. */
static struct err *rules_of(struct ctx *cx, const struct spec_port *port, json_t **ret)
{
    json_t *set = json_own(cx, json_array());
    for (size_t i = 0; i < port->n_rules; i++) {
        const char *match = NULL;
        TRY(rule_match(cx, &port->rules[i], &match));
        if (match)
            nb_put_sorted(set, arena_printf(cx->arena, "%s %s",
                                            port->rules[i].ingress ? "to" : "from", match));
    }
    *ret = set;
    return NULL;
}

static const char *group_name(struct ctx *cx, const struct spec_network *spec, const char *end)
{
    char *name = arena_printf(cx->arena, "cv_%.11s_%s", spec->id, end);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : *p;
    return name;
}

static struct nb_row *group(struct nb_want *w, const char *name)
{
    struct nb_row *r = nb_add(w, "Port_Group", name, NULL);
    nb_str(r, "name", name);
    return r;
}

static struct nb_row *group_of_rules(struct nb_want *w, const struct spec_network *spec,
                                     const json_t *rules)
{
    const char *text = json_text(w->cx, rules);
    const char *digest = arena_strndup(w->cx->arena, sha256_hex(w->cx, text, strlen(text)), 16);
    const char *name = group_name(w->cx, spec, digest);
    for (size_t i = 0; i < w->n; i++)
        if (str_eq(w->rows[i]->key, name))
            return w->rows[i];
    struct nb_row *r = group(w, name);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const char *rule = json_string_value(json_array_get(rules, i));
        bool in = str_starts(rule, "to ");
        acl(w, name, arena_printf(w->cx->arena, "%zu", i), in ? "to-lport" : "from-lport", RULE,
            "allow-related",
            arena_printf(w->cx->arena, "%s == @%s && %s", in ? "outport" : "inport", name,
                         strchr(rule, ' ') + 1));
    }
    return r;
}

/* The addresses of the network's own services. */
static struct err *services_match(struct ctx *cx, const struct spec_network *spec, int version,
                                  const char **ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    buf_printf(&b, "ip%d.dst == {%s", version, version == 4 ? METADATA_IP : METADATA_IP6);
    for (size_t i = 0; i < spec->n_subnets; i++) {
        const struct spec_subnet *s = &spec->subnets[i];
        struct ip ip;
        if (!s->enable_dhcp || !s->dhcp_ip)
            continue;
        TRY(ip_parse(cx, s->dhcp_ip, &ip));
        if (ip.version == version)
            buf_printf(&b, ", %s", ip_text(cx, &ip));
    }
    buf_char(&b, '}');
    *ret = buf_cstr(&b);
    return NULL;
}

/* What holds for each port that has any security. */
static struct err *common(struct nb_want *w, const struct spec_network *spec, const char *all)
{
    const char *v4, *v6;
    const char *in = arena_printf(w->cx->arena, "inport == @%s", all);
    const char *out = arena_printf(w->cx->arena, "outport == @%s", all);
#define MATCH(...) arena_printf(w->cx->arena, __VA_ARGS__)
    TRY(services_match(w->cx, spec, 4, &v4));
    TRY(services_match(w->cx, spec, 6, &v6));
    acl(w, all, "drop-from", "from-lport", DROP, "drop", MATCH("%s && ip", in));
    acl(w, all, "drop-to", "to-lport", DROP, "drop", MATCH("%s && ip", out));
    acl(w, all, "dhcp4", "from-lport", ALWAYS, "allow",
        MATCH("%s && ip4 && udp.src == 68 && udp.dst == 67", in));
    acl(w, all, "dhcp6", "from-lport", ALWAYS, "allow",
        MATCH("%s && ip6 && udp.src == 546 && udp.dst == 547", in));
    acl(w, all, "services4", "from-lport", ALWAYS, "allow-related", MATCH("%s && %s", in, v4));
    acl(w, all, "services6", "from-lport", ALWAYS, "allow-related", MATCH("%s && %s", in, v6));
    acl(w, all, "dhcp-server", "from-lport", NEVER, "drop",
        MATCH("%s && udp.src == {67, 547}", in));
    acl(w, all, "tagged-from", "from-lport", NEVER, "drop", MATCH("%s && vlan.present", in));
    acl(w, all, "tagged-to", "to-lport", NEVER, "drop", MATCH("%s && vlan.present", out));
#undef MATCH
    return NULL;
}

struct err *nb_rules(struct nb_want *w, const struct spec_network *spec)
{
    const char *all = group_name(w->cx, spec, "all");
    struct nb_row *everyone = NULL;
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct spec_port *port = &spec->ports[i];
        json_t *rules;
        if (!port->port_security)
            continue;
        if (!everyone) {
            everyone = group(w, all);
            TRY(common(w, spec, all));
        }
        nb_put(everyone, "ports", port->id);
        TRY(rules_of(w->cx, port, &rules));
        if (json_array_size(rules))
            nb_put(group_of_rules(w, spec, rules), "ports", port->id);
    }
    return NULL;
}
