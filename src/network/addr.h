/* SPDX-License-Identifier: EUPL-1.2 */
/* Addresses, prefixes and MACs as numbers: pure arithmetic, both IP versions. */
#pragma once

#include "base/base.h"

struct addr {
    int version;   /* 4 or 6 */
    uint8_t b[16]; /* network order; IPv4 in the first four */
};

struct cidr {
    struct addr net; /* host bits clear */
    int prefix;
};

bool addr_parse(const char *s,
                struct addr *ret); /* NULL and anything else than one address: false */
const char *addr_text(struct ctx *cx, const struct addr *a); /* by RFC 5952 */
/* Hexadecimal of fixed length: sorts as the address does. */
const char *addr_hex(struct ctx *cx, const struct addr *a);
bool addr_from_hex(const char *hex, struct addr *ret);
int addr_cmp(const struct addr *a, const struct addr *b); /* of one version */
struct addr addr_add(const struct addr *a, int n);
int addr_bits(const struct addr *a); /* 32 or 128 */

bool cidr_parse(const char *s,
                struct cidr *ret); /* host bits are cleared; without a slash: one address */
const char *cidr_text(struct ctx *cx, const struct cidr *c);
bool cidr_has(const struct cidr *c, const struct addr *a);
struct addr cidr_last(const struct cidr *c);
bool cidr_overlap(const struct cidr *a, const struct cidr *b);
/* How many addresses, counted in a double: there may be 2^128. */
double addr_span(const struct addr *first, const struct addr *last);

/* The address a guest with this MAC makes for itself in a /64 (RFC 4291, appendix A). */
struct addr addr_eui64(const struct cidr *c, const char *mac);
