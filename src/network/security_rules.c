/* SPDX-License-Identifier: EUPL-1.2 */
/* Security group rules: /v2.0/security-group-rules. Clients match the texts of the errors. */
#include "network/nw.h"

static const char *const rule_directions[] = {"ingress", "egress", NULL};

static const struct {
    const char *name;
    int number;
} protocols[] = {
    {"ah", 51},         {"dccp", 33},       {"egp", 8},        {"esp", 50},      {"gre", 47},
    {"hopopt", 0},      {"icmp", 1},        {"igmp", 2},       {"ip", 0},        {"ipip", 4},
    {"ipv6-encap", 41}, {"ipv6-frag", 44},  {"ipv6-icmp", 58}, {"icmpv6", 58},   {"ipv6-nonxt", 59},
    {"ipv6-opts", 60},  {"ipv6-route", 43}, {"ospf", 89},      {"pgm", 113},     {"rsvp", 46},
    {"sctp", 132},      {"tcp", 6},         {"udp", 17},       {"udplite", 136}, {"vrrp", 112},
};

/* A name or a number, in text or as a number: kept as text, lower case. */
static const char *check_protocol(struct ctx *cx, const json_t *v, json_t **ret)
{
    if (json_is_integer(v))
        *ret = json_own(cx, json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(v)));
    else if (json_is_string(v) && strlen(json_string_value(v)) <= 255)
        *ret = json_own(cx, json_string(str_lower(cx, json_string_value(v))));
    else
        return arena_printf(cx->arena, "%s is not a protocol", json_python(cx, v));
    return NULL;
}

static void rule_encode_normalized_cidr(struct ctx *cx, struct jw *w, const void *row,
                                        const struct view *v UNUSED)
{
    jw_str(w, nw_rule_cidr(cx, row));
}

#define RESOURCE security_rule
#define RESOURCE_DEF "network/security_rule.def"
#include "resource/declare_fields.h"

static const struct res_index security_rule_indexes[] = {
    {"security_rules_group", "security_group_id", false, NULL},
    {"security_rules_remote", "remote_group_id", false, "remote_group_id IS NOT NULL"},
    {"security_rules_addresses", "remote_address_group_id", false,
     "remote_address_group_id IS NOT NULL"},
    {"security_rules_project", "project_id, created_at, id", false, NULL},
};

const struct resource security_rule_resource = {.name = "security_group_rule",
                                                .plural = "security_group_rules",
                                                .table = "security_rules",
                                                RESOURCE_FIELDS(security_rule),
                                                .owner = security_rule_f_project_id,
                                                .not_found =
                                                    "Security group rule %s does not exist",
                                                .not_found_type = "SecurityGroupRuleNotFound",
                                                .indexes = security_rule_indexes,
                                                .n_indexes = ARRAY_LEN(security_rule_indexes),
                                                .dflt_sort = "created_at:asc,id:asc",
                                                .doc = "What may pass."};

const struct res_where nw_w_rules_of = {&security_rule_resource, "security_group_id = $1",
                                        "created_at, id"};

/* ---------------------------------------------------------------- protocols */

static int protocol_number(const char *p)
{
    int64_t n;
    if (!p)
        return -1;
    if (str_to_i64(p, 0, 255, &n))
        return (int)n;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_eq(protocols[i].name, p))
            return protocols[i].number;
    return -2;
}

static struct err *check_known_protocol(struct ctx *cx, const char *p)
{
    if (protocol_number(p) != -2)
        return NULL;
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        buf_printf(&b, ", '%s'", protocols[i].name);
    return bad(
        cx, "SecurityGroupRuleInvalidProtocol",
        "Security group rule protocol %s not supported. Only protocol values [None%s] and integer "
        "representations [0 to 255] are supported.",
        p, buf_cstr(&b));
}

/* ---------------------------------------------------------------- ports and ICMP */

static struct err *bad_port(struct ctx *cx, int64_t port)
{
    return bad(cx, "SecurityGroupInvalidPortValue", "Invalid value for port %" PRId64, port);
}

static struct err *check_icmp(struct ctx *cx, const struct security_rule *r)
{
    const struct {
        const char *what, *field;
        int64_t value;
    } both[] = {{"type", "port_range_min", r->port_range_min},
                {"code", "port_range_max", r->port_range_max}};
    for (size_t i = 0; i < 2; i++)
        if (both[i].value != INT_NULL && (both[i].value < 0 || both[i].value > 255)) {
            if (both[i].value < 0)
                return bad_port(cx, both[i].value);
            return bad(cx, "SecurityGroupInvalidIcmpValue",
                       "Invalid value for ICMP %s (%s) %" PRId64 ". It must be 0 to 255.",
                       both[i].what, both[i].field, both[i].value);
        }
    if (r->port_range_min == INT_NULL && r->port_range_max != INT_NULL)
        return bad(cx, "SecurityGroupMissingIcmpType",
                   "ICMP code (port-range-max) %" PRId64
                   " is provided but ICMP type (port-range-min) is missing.",
                   r->port_range_max);
    return NULL;
}

static struct err *check_ports(struct ctx *cx, const struct security_rule *r)
{
    int p = protocol_number(r->protocol);
    bool any = r->port_range_min != INT_NULL || r->port_range_max != INT_NULL;
    bool has_ports = p == 6 || p == 17 || p == 33 || p == 132 || p == 136;
    if (p == 1 || p == 58)
        return check_icmp(cx, r);
    if (!any)
        return NULL;
    if (!r->protocol || p == 0)
        return bad(cx, "SecurityGroupProtocolRequiredWithPorts",
                   "Must also specify protocol if port range is given.");
    if (!has_ports)
        return bad(cx, "SecurityGroupInvalidProtocolForPort",
                   "Invalid protocol %s for port range, only supported for TCP, UDP, UDPLITE, SCTP "
                   "and DCCP.",
                   r->protocol);
    const int64_t ends[] = {r->port_range_min, r->port_range_max};
    for (size_t i = 0; i < 2; i++)
        if (ends[i] != INT_NULL && (ends[i] < 0 || ends[i] > 65535))
            return bad_port(cx, ends[i]);
    if (r->port_range_min == INT_NULL || r->port_range_max == INT_NULL ||
        r->port_range_min > r->port_range_max)
        return bad(cx, "SecurityGroupInvalidPortRange",
                   "For TCP/UDP protocols, port_range_min must be <= port_range_max");
    if (r->port_range_min == 0 && (p == 6 || p == 17))
        return bad_port(cx, 0);
    return NULL;
}

/* ---------------------------------------------------------------- the other side */

const char *nw_rule_cidr(struct ctx *cx, const struct security_rule *r)
{
    struct cidr c;
    return cidr_parse(r->remote_ip_prefix, &c) ? cidr_text(cx, &c) : NULL;
}

static struct err *check_remote(struct call *c, struct security_rule *r)
{
    struct cidr prefix;
    void *group = NULL;
    if (!!r->remote_ip_prefix + !!r->remote_group_id + !!r->remote_address_group_id > 1)
        return bad(c->cx, "SecurityGroupMultipleRemoteEntites",
                   "Only one of remote_ip_prefix, remote_group_id and remote_address_group_id may "
                   "be provided.");
    if (r->remote_address_group_id)
        return res_find_visible(c->cx, c->tx, &address_group_resource, r->remote_address_group_id,
                                c->actor, &group);
    if (r->remote_group_id)
        return res_find_visible(c->cx, c->tx, &security_group_resource, r->remote_group_id,
                                c->actor, &group);
    if (!r->remote_ip_prefix)
        return NULL;
    if (!cidr_parse(r->remote_ip_prefix, &prefix))
        return bad(c->cx, "InvalidCIDR", "Invalid CIDR %s given as IP prefix.",
                   r->remote_ip_prefix);
    if (prefix.net.version != (str_eq(r->ethertype, "IPv4") ? 4 : 6))
        return bad(c->cx, "SecurityGroupRuleParameterConflict",
                   "Conflicting value ethertype %s for CIDR %s", r->ethertype, r->remote_ip_prefix);
    if (!strchr(r->remote_ip_prefix, '/'))
        r->remote_ip_prefix = cidr_text(c->cx, &prefix);
    return NULL;
}

static struct err *check_ethertype(struct ctx *cx, struct security_rule *r)
{
    if (strcasecmp(r->ethertype, "ipv4") == 0)
        r->ethertype = "IPv4";
    else if (strcasecmp(r->ethertype, "ipv6") == 0)
        r->ethertype = "IPv6";
    else
        return bad(cx, "SecurityGroupRuleInvalidEtherType",
                   "Security group rule for ethertype '%s' not supported. Allowed values are "
                   "['IPv4', 'IPv6'].",
                   r->ethertype);
    int p = protocol_number(r->protocol);
    if (str_eq(r->ethertype, "IPv4") &&
        (p == 58 || p == 41 || p == 43 || p == 44 || p == 59 || p == 60) &&
        !str_to_i64(r->protocol, 0, 255, &(int64_t){0}))
        return bad(cx, "SecurityGroupEthertypeConflictWithProtocol",
                   "Invalid ethertype %s for protocol %s.", r->ethertype, r->protocol);
    return NULL;
}

static bool same_rule(struct ctx *cx, const struct security_rule *a, const struct security_rule *b)
{
    return str_eq(a->direction, b->direction) && str_eq(a->ethertype, b->ethertype) &&
           protocol_number(a->protocol) == protocol_number(b->protocol) &&
           a->port_range_min == b->port_range_min && a->port_range_max == b->port_range_max &&
           str_eq(a->remote_group_id, b->remote_group_id) &&
           str_eq(a->remote_address_group_id, b->remote_address_group_id) &&
           str_eq(nw_rule_cidr(cx, a), nw_rule_cidr(cx, b));
}

static struct err *check_new(struct call *c, const struct security_rule *r)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &nw_w_rules_of, &rows, &n, V_TEXT(r->security_group_id)));
    for (size_t i = 0; i < n; i++)
        if (same_rule(c->cx, r, rows[i]))
            return fail_type(c->cx, ERR_EXISTS, "SecurityGroupRuleExists",
                             "Security group rule already exists. Rule id is %s.",
                             ROW(security_rule, rows, i)->id);
    return NULL;
}

/* ---------------------------------------------------------------- creation and deletion */

struct err *nw_rule_add_plain(struct ctx *cx, struct tx *tx, const struct security_group *g,
                              const char *direction, const char *ethertype,
                              const char *remote_group_id)
{
    struct security_rule *r = res_new(cx, &security_rule_resource);
    r->id = uuid_new(cx);
    r->project_id = g->project_id;
    r->security_group_id = g->id;
    r->direction = direction;
    r->ethertype = ethertype;
    r->remote_group_id = remote_group_id;
    r->tags = "[]";
    return res_insert(cx, tx, &security_rule_resource, r);
}

struct err *nw_rule_make(struct call *c, void *row)
{
    struct security_rule *r = row;
    void *g = NULL;
    TRY(res_find_visible(c->cx, c->tx, &security_group_resource, r->security_group_id, c->actor,
                         &g));
    r->project_id = ((struct security_group *)g)->project_id;
    TRY(call_require_owner(c, r->project_id, &security_group_resource, r->security_group_id));
    TRY(check_known_protocol(c->cx, r->protocol));
    if (protocol_number(r->protocol) == 0 && !str_eq(r->protocol, "hopopt"))
        r->protocol = NULL; /* "ip" and 0 mean any */
    TRY(check_ethertype(c->cx, r));
    TRY(check_ports(c->cx, r));
    TRY(check_remote(c, r));
    TRY(check_new(c, r));
    TRY(quota_check(c->cx, c->tx, &network_service, "security_group_rule", r->project_id, 1));
    TRY(res_insert(c->cx, c->tx, &security_rule_resource, r));
    TRY(res_update(c->cx, c->tx, &security_group_resource,
                   g)); /* its revision counts its rules' changes */
    return nw_touch_group(c->cx, c->tx, r->security_group_id);
}

struct err *nw_rules_create(struct call *c)
{
    return nw_create(c, &security_rule_resource, nw_rule_make);
}

struct err *nw_rules_list(struct call *c)
{
    return nw_list(c, NULL);
}

struct err *nw_rule_remove(struct call *c, struct security_rule *r)
{
    TRY(res_delete(c->cx, c->tx, &security_rule_resource, r));
    return nw_touch_group(c->cx, c->tx, r->security_group_id);
}

struct err *nw_rule_delete(struct call *c)
{
    TRY(nw_rule_remove(c, c->target));
    call_reply_empty(c, 204);
    return NULL;
}
