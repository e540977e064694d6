/* SPDX-License-Identifier: EUPL-1.2 */
/* Parsing, printing and comparing of addresses; pure. */
#include "node/drivers/net/addr.h"
#include "node/drivers/net/names.h"

#include <arpa/inet.h>
#include <sodium.h>

struct err *ip_parse_with(struct ctx *cx, const char *text, int64_t prefix, struct ip *ret)
{
    struct ip ip = {0};
    if (text && inet_pton(AF_INET, text, ip.bytes) == 1)
        ip.version = 4;
    else if (text && inet_pton(AF_INET6, text, ip.bytes) == 1)
        ip.version = 6;
    else
        return fail(cx, ERR_INVALID, "'%s' is not an IP address", text ? text : "");
    if (prefix < 0 || prefix > (ip.version == 4 ? 32 : 128))
        return fail(cx, ERR_INVALID, "'%s' cannot have a prefix of %" PRId64 " bits", text, prefix);
    ip.prefix = (unsigned)prefix;
    *ret = ip;
    return NULL;
}

struct err *ip_parse(struct ctx *cx, const char *text, struct ip *ret)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    if (!slash) {
        bool v6 = text && strchr(text, ':');
        return ip_parse_with(cx, text, v6 ? 128 : 32, ret);
    }
    int64_t prefix;
    if (!str_to_i64(slash + 1, 0, 128, &prefix))
        return fail(cx, ERR_INVALID, "'%s' is not an IP prefix", text);
    return ip_parse_with(cx, arena_strndup(cx->arena, text, (size_t)(slash - text)), prefix, ret);
}

const char *ip_text(struct ctx *cx, const struct ip *ip)
{
    char text[INET6_ADDRSTRLEN];
    must(inet_ntop(ip->version == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof(text)));
    return arena_strdup(cx->arena, text);
}

const char *ip_cidr(struct ctx *cx, const struct ip *ip)
{
    return arena_printf(cx->arena, "%s/%u", ip_text(cx, ip), ip->prefix);
}

struct ip ip_network(const struct ip *ip)
{
    struct ip net = *ip;
    for (unsigned i = 0; i < ip_size(ip); i++) {
        unsigned bits = ip->prefix > i * 8 ? ip->prefix - i * 8 : 0;
        if (bits < 8)
            net.bytes[i] &= (uint8_t)(0xff00u >> bits);
    }
    return net;
}

bool ip_contains(const struct ip *net, const struct ip *inner)
{
    if (net->version != inner->version || inner->prefix < net->prefix)
        return false;
    struct ip cut = *inner;
    cut.prefix = net->prefix;
    cut = ip_network(&cut);
    struct ip base = ip_network(net);
    return memcmp(cut.bytes, base.bytes, ip_size(net)) == 0;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
    if (a->version != b->version)
        return a->version < b->version ? -1 : 1;
    int c = memcmp(a->bytes, b->bytes, ip_size(a));
    if (c)
        return c;
    return a->prefix < b->prefix ? -1 : a->prefix > b->prefix;
}

static int ip_cmp_v(const void *a, const void *b)
{
    return ip_cmp(a, b);
}

struct ip ip_link_local(const struct mac *mac)
{
    const uint8_t *m = mac->bytes;
    return (struct ip){
        .version = 6,
        .prefix = 64,
        .bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]},
    };
}

size_t ip_merge(struct ip *ips, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ips[i] = ip_network(&ips[i]);
    if (n > 1)
        qsort(ips, n, sizeof(*ips), ip_cmp_v);
    /* Prefixes either nest or are apart, and the outer one sorts first. */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || !ip_contains(&ips[kept - 1], &ips[i]))
            ips[kept++] = ips[i];
    return kept;
}

struct err *mac_parse(struct ctx *cx, const char *text, struct mac *ret)
{
    struct mac mac;
    bool ok = text && strlen(text) == 17;
    for (size_t i = 0; ok && i < 6; i++) {
        char digits[3] = {text[i * 3], text[i * 3 + 1], 0};
        ok = hex_decode(digits, &mac.bytes[i], 1) && (i == 5 || text[i * 3 + 2] == ':');
    }
    if (!ok || (mac.bytes[0] & 1))
        return fail(cx, ERR_INVALID, "'%s' is not the MAC address of one device", text ? text : "");
    *ret = mac;
    return NULL;
}

const char *mac_text(struct ctx *cx, const struct mac *mac)
{
    const uint8_t *m = mac->bytes;
    return arena_printf(cx->arena, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
                        m[5]);
}

struct mac mac_derive(const char *what, const char *id)
{
    uint8_t digest[crypto_generichash_BYTES];
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, sizeof(digest));
    crypto_generichash_update(&st, (const uint8_t *)what, strlen(what) + 1);
    crypto_generichash_update(&st, (const uint8_t *)id, strlen(id));
    crypto_generichash_final(&st, digest, sizeof(digest));
    struct mac mac;
    memcpy(mac.bytes, digest, sizeof(mac.bytes));
    mac.bytes[0] = 0x06; /* unicast, locally administered, and not the cloud's own prefix */
    return mac;
}

struct err *short_id(struct ctx *cx, const char *id, const char **ret)
{
    size_t n = id ? strspn(id, "0123456789abcdef-") : 0;
    if (n < SHORT_ID || id[n])
        return fail(cx, ERR_INVALID, "'%s' is not an id", id ? id : "");
    *ret = arena_strndup(cx->arena, id, SHORT_ID);
    return NULL;
}
