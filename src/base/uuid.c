/* SPDX-License-Identifier: EUPL-1.2 */
/* See uuid.h; RFC 9562 version 4. */
#include "base/base.h"
#include <ctype.h>

static void random_uuid(struct ctx *cx, uint8_t u[16])
{
    rng_bytes(cx->rng, u, 16);
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
}

const char *uuid_new(struct ctx *cx)
{
    uint8_t u[16];
    char hex[33], text[36], *p = text;
    random_uuid(cx, u);
    hex_encode(u, sizeof(u), hex);
    for (size_t i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *p++ = '-';
        *p++ = hex[i];
    }
    return arena_strndup(cx->arena, text, sizeof(text));
}

const char *uuid_new_hex(struct ctx *cx)
{
    uint8_t u[16];
    char *hex = arena_alloc(cx->arena, 33);
    random_uuid(cx, u);
    hex_encode(u, sizeof(u), hex);
    return hex;
}

bool uuid_valid(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n != 36 && n != 32)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool dash = n == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
            return false;
    }
    return true;
}
