/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Addresses as bytes. Whatever text a spec brings is parsed here and written again from the bytes,
 * so that nothing but an address can get into a rule or a configuration file.
 */
#pragma once

#include "base/base.h"

struct ip {
    int version; /* 4 or 6 */
    unsigned prefix;
    uint8_t bytes[16]; /* the first 4 for version 4 */
};

struct mac {
    uint8_t bytes[6];
};

/* "10.0.0.1" (prefix 32), "10.0.0.0/24", "fd00::1", "fd00::/64". ERR_INVALID otherwise. */
MUST_USE struct err *ip_parse(struct ctx *cx, const char *text, struct ip *ret);
/* The same with a prefix given apart, of one version (0: any). */
MUST_USE struct err *ip_parse_with(struct ctx *cx, const char *text, int64_t prefix,
                                   struct ip *ret);
/* In the arena: the address alone, and with its prefix. */
const char *ip_text(struct ctx *cx, const struct ip *ip);
const char *ip_cidr(struct ctx *cx, const struct ip *ip);
static inline size_t ip_size(const struct ip *ip)
{
    return ip->version == 4 ? 4 : 16;
}
/* Host bits cleared. */
struct ip ip_network(const struct ip *ip);
/* net (a network) holds all of inner. */
bool ip_contains(const struct ip *net, const struct ip *inner);
/* Order: version, bytes, prefix. */
int ip_cmp(const struct ip *a, const struct ip *b);
/* fe80::/64 with the interface id made of the MAC (RFC 4291, EUI-64). */
struct ip ip_link_local(const struct mac *mac);
/* Sorts, and drops what another one holds already; returns how many are left. */
size_t ip_merge(struct ip *ips, size_t n);

MUST_USE struct err *mac_parse(struct ctx *cx, const char *text, struct mac *ret);
const char *mac_text(struct ctx *cx, const struct mac *mac);
/* A locally administered MAC, always the same for the same words. */
struct mac mac_derive(const char *what, const char *id);
