/* SPDX-License-Identifier: EUPL-1.2 */
/* Validation hooks for fields that hold identifiers and addresses. */
#include "resource/resource.h"
#include <arpa/inet.h>
#include <ctype.h>

const char *check_uuid(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (json_is_string(v) && uuid_valid(json_string_value(v)))
        return NULL;
    return arena_printf(cx->arena, "%s is not a valid UUID", json_python(cx, v));
}

/* RFC 5952. */
static void print_ip(int family, const uint8_t *raw, char text[static INET6_ADDRSTRLEN])
{
    must(inet_ntop(family, raw, text, INET6_ADDRSTRLEN));
    /* glibc writes ::102:304 as ::1.2.3.4; dots belong to IPv4-mapped addresses only. */
    if (family == AF_INET6 && strchr(text, '.') &&
        memcmp(raw, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0)
        snprintf(text, INET6_ADDRSTRLEN, "::%x:%x", raw[12] << 8 | raw[13], raw[14] << 8 | raw[15]);
}

static const char *canonical_ip(struct ctx *cx, const json_t *v, int family, json_t **ret)
{
    uint8_t raw[16];
    char text[INET6_ADDRSTRLEN];
    const char *s = json_string_value(v);
    if (!s || inet_pton(family, s, raw) != 1)
        return arena_printf(cx->arena, "%s is not a valid IPv%d address", json_python(cx, v),
                            family == AF_INET ? 4 : 6);
    print_ip(family, raw, text);
    *ret = json_own(cx, json_string(text));
    return NULL;
}

const char *check_ipv4(struct ctx *cx, const json_t *v, json_t **ret)
{
    return canonical_ip(cx, v, AF_INET, ret);
}

const char *check_ipv6(struct ctx *cx, const json_t *v, json_t **ret)
{
    return canonical_ip(cx, v, AF_INET6, ret);
}

const char *check_ip(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v);
    if (s && !canonical_ip(cx, v, strchr(s, ':') ? AF_INET6 : AF_INET, ret))
        return NULL;
    return arena_printf(cx->arena, "%s is not a valid IP address", json_python(cx, v));
}

const char *check_cidr(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v), *slash = s ? strchr(s, '/') : NULL;
    int family = s && strchr(s, ':') ? AF_INET6 : AF_INET, bits = family == AF_INET ? 32 : 128;
    uint8_t raw[16] = {0};
    char text[INET6_ADDRSTRLEN];
    int64_t prefix = bits;
    bool padded = slash && slash[1] == '0' && slash[2];
    if (!s || padded || (slash && !str_to_i64(slash + 1, 0, bits, &prefix)) ||
        inet_pton(family, slash ? arena_strndup(cx->arena, s, (size_t)(slash - s)) : s, raw) != 1)
        return arena_printf(cx->arena, "%s is not a valid IP subnet", json_python(cx, v));
    for (int i = (int)prefix; i < bits; i++)
        raw[i / 8] = (uint8_t)(raw[i / 8] & ~(0x80 >> (i % 8)));
    print_ip(family, raw, text);
    *ret = json_own(cx, json_sprintf("%s/%d", text, (int)prefix));
    return NULL;
}

const char *check_mac(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_string_value(v);
    bool ok = s && strlen(s) == 17;
    for (int i = 0; ok && i < 17; i++)
        ok = i % 3 == 2 ? s[i] == ':' || s[i] == '-' : isxdigit((unsigned char)s[i]);
    ok = ok && strchr("02468aceACE", s[1]); /* one device's, not a group's: hosts take no others */
    if (!ok)
        return arena_printf(cx->arena, "%s is not a valid MAC address", json_python(cx, v));
    char *mac = arena_strdup(cx->arena, s);
    for (char *p = mac; *p; p++)
        *p = (char)(*p == '-' ? ':' : tolower((unsigned char)*p));
    *ret = json_own(cx, json_string(mac));
    return NULL;
}

const char *check_object(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return json_is_object(v)
               ? NULL
               : arena_printf(cx->arena, "%s is not of type 'object'", json_python(cx, v));
}
