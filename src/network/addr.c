/* SPDX-License-Identifier: EUPL-1.2 */
/* See addr.h. */
#include "network/addr.h"
#include <arpa/inet.h>

int addr_bits(const struct addr *a)
{
    return a->version == 4 ? 32 : 128;
}

static int size_of(const struct addr *a)
{
    return addr_bits(a) / 8;
}

static int family_of(const struct addr *a)
{
    return a->version == 4 ? AF_INET : AF_INET6;
}

bool addr_parse(const char *s, struct addr *ret)
{
    struct addr a = {.version = s && strchr(s, ':') ? 6 : 4};
    if (!s || inet_pton(family_of(&a), s, a.b) != 1)
        return false;
    *ret = a;
    return true;
}

const char *addr_text(struct ctx *cx, const struct addr *a)
{
    char text[INET6_ADDRSTRLEN];
    must(inet_ntop(family_of(a), a->b, text, sizeof(text)));
    /* Dotted only where the address maps an IPv4 one, as netaddr and check_ip() write it. */
    if (a->version == 6 && strchr(text, '.') &&
        memcmp(a->b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0)
        snprintf(text, sizeof(text), "::%x:%x", a->b[12] << 8 | a->b[13], a->b[14] << 8 | a->b[15]);
    return arena_strdup(cx->arena, text);
}

const char *addr_hex(struct ctx *cx, const struct addr *a)
{
    char hex[33];
    hex_encode(a->b, (size_t)size_of(a), hex);
    return arena_strdup(cx->arena, hex);
}

bool addr_from_hex(const char *hex, struct addr *ret)
{
    size_t len = hex ? strlen(hex) : 0;
    struct addr a = {.version = len == 8 ? 4 : 6};
    if ((len != 8 && len != 32) || !hex_decode(hex, a.b, len / 2))
        return false;
    *ret = a;
    return true;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
    return memcmp(a->b, b->b, (size_t)size_of(a));
}

struct addr addr_add(const struct addr *a, int n)
{
    struct addr sum = *a;
    int carry = n;
    for (int i = size_of(a) - 1; i >= 0 && carry; i--) {
        int v = sum.b[i] + carry;
        sum.b[i] = (uint8_t)(v & 0xff);
        carry = v >> 8; /* arithmetic: borrows stay negative */
    }
    return sum;
}

static void clear_host_bits(struct cidr *c, uint8_t fill)
{
    for (int i = c->prefix; i < addr_bits(&c->net); i++) {
        uint8_t bit = (uint8_t)(0x80 >> (i % 8));
        c->net.b[i / 8] = (uint8_t)(fill ? c->net.b[i / 8] | bit : c->net.b[i / 8] & ~bit);
    }
}

bool cidr_parse(const char *s, struct cidr *ret)
{
    char text[INET6_ADDRSTRLEN + 1];
    const char *slash = s ? strchrnul(s, '/') : NULL;
    struct cidr c;
    int64_t prefix;
    if (!s || (size_t)(slash - s) >= sizeof(text))
        return false;
    memcpy(text, s, (size_t)(slash - s));
    text[slash - s] = 0;
    if (!addr_parse(text, &c.net))
        return false;
    prefix = addr_bits(&c.net);
    if (*slash && !str_to_i64(slash + 1, 0, addr_bits(&c.net), &prefix))
        return false;
    c.prefix = (int)prefix;
    clear_host_bits(&c, 0);
    *ret = c;
    return true;
}

const char *cidr_text(struct ctx *cx, const struct cidr *c)
{
    return arena_printf(cx->arena, "%s/%d", addr_text(cx, &c->net), c->prefix);
}

bool cidr_has(const struct cidr *c, const struct addr *a)
{
    struct cidr of = {.net = *a, .prefix = c->prefix};
    if (a->version != c->net.version)
        return false;
    clear_host_bits(&of, 0);
    return addr_cmp(&of.net, &c->net) == 0;
}

struct addr cidr_last(const struct cidr *c)
{
    struct cidr end = *c;
    clear_host_bits(&end, 1);
    return end.net;
}

bool cidr_overlap(const struct cidr *a, const struct cidr *b)
{
    return a->prefix < b->prefix ? cidr_has(a, &b->net) : cidr_has(b, &a->net);
}

double addr_span(const struct addr *first, const struct addr *last)
{
    double n = 0;
    for (int i = 0; i < size_of(first); i++)
        n = n * 256 + last->b[i] - first->b[i];
    return n + 1;
}

struct addr addr_eui64(const struct cidr *c, const char *mac)
{
    struct addr a = c->net;
    unsigned m[6] = {0};
    must(sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) == 6);
    const uint8_t id[8] = {(uint8_t)(m[0] ^ 2), (uint8_t)m[1], (uint8_t)m[2], 0xff, 0xfe,
                           (uint8_t)m[3],       (uint8_t)m[4], (uint8_t)m[5]};
    memcpy(a.b + 8, id, sizeof(id));
    return a;
}
