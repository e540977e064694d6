/* SPDX-License-Identifier: EUPL-1.2 */
#include "node/drivers/net/protocols.h"

/* The names OpenStack takes beside numbers. */
static const struct {
    const char *name;
    int number;
} protocols[] = {
    {"ah", 51},         {"dccp", 33},      {"egp", 8},        {"esp", 50},        {"gre", 47},
    {"hopopt", 0},      {"icmp", 1},       {"icmpv6", 58},    {"igmp", 2},        {"ipip", 4},
    {"ipv6-encap", 41}, {"ipv6-frag", 44}, {"ipv6-icmp", 58}, {"ipv6-nonxt", 59}, {"ipv6-opts", 60},
    {"ipv6-route", 43}, {"ospf", 89},      {"pgm", 113},      {"rsvp", 46},       {"sctp", 132},
    {"tcp", 6},         {"udp", 17},       {"udplite", 136},  {"vrrp", 112},
};

struct err *rule_protocol(struct ctx *cx, const struct spec_rule *rule, int *ret)
{
    int64_t n;
    *ret = -1;
    if (!rule->protocol || str_eq(rule->protocol, "any"))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_eq(protocols[i].name, rule->protocol))
            *ret = protocols[i].number;
    if (*ret < 0 && !str_to_i64(rule->protocol, 0, 255, &n))
        return fail(cx, ERR_INVALID, "'%s' is not an IP protocol", rule->protocol);
    if (*ret < 0)
        *ret = (int)n;
    if (*ret == 1 && rule->ip_version == 6)
        *ret = 58; /* "icmp" of an IPv6 rule */
    return NULL;
}
