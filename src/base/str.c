/* SPDX-License-Identifier: EUPL-1.2 */
/* See str.h. */
#include "base/base.h"
#include <ctype.h>
#include <sodium.h>

bool str_in(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (str_eq(s, *list))
            return true;
    return false;
}

bool str_starts(const char *s, const char *prefix)
{
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = s ? strlen(s) : 0, m = strlen(suffix);
    return s && n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_to_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    if (!s || !(isdigit((unsigned char)s[0]) || (s[0] == '-' && isdigit((unsigned char)s[1]))))
        return false;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

bool str_to_bool(const char *s, bool *ret)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "t", "y"};
    static const char *const no[] = {"false", "0", "no", "off", "f", "n"};
    for (size_t i = 0; s && i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
            *ret = strcasecmp(s, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

int64_t str_utf8_len(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    int64_t n = 0;
    for (; *p; n++) {
        unsigned c = *p++;
        unsigned extra = c < 0x80                ? 0
                         : c >= 0xC2 && c < 0xE0 ? 1
                         : c >= 0xE0 && c < 0xF0 ? 2
                         : c >= 0xF0 && c < 0xF5 ? 3
                                                 : 9;
        if (extra == 9)
            return -1;
        unsigned first = extra ? *p : 0;
        if ((c == 0xE0 && first < 0xA0) || (c == 0xED && first > 0x9F) ||
            (c == 0xF0 && first < 0x90) || (c == 0xF4 && first > 0x8F))
            return -1;
        for (; extra; extra--)
            if ((*p++ & 0xC0) != 0x80)
                return -1;
    }
    return n;
}

size_t str_split(struct ctx *cx, const char *s, char sep, char ***ret_parts)
{
    size_t n = 1;
    for (const char *p = s; *p; p++)
        n += *p == sep;
    char **parts = arena_new_array(cx->arena, char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *end = strchrnul(s, sep);
        parts[i] = arena_strndup(cx->arena, s, (size_t)(end - s));
        s = end + 1;
    }
    *ret_parts = parts;
    return n;
}

const char *str_cut(struct ctx *cx, const char *s, size_t max_bytes)
{
    if (strlen(s) <= max_bytes)
        return s;
    while (max_bytes && ((unsigned char)s[max_bytes] & 0xC0) == 0x80) /* between characters */
        max_bytes--;
    return arena_printf(cx->arena, "%.*s…", (int)max_bytes, s);
}

const char *str_lower(struct ctx *cx, const char *s)
{
    char *out = arena_strdup(cx->arena, s);
    for (char *p = out; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return out;
}

const char *str_url(struct ctx *cx, const char *s)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    struct buf b;
    buf_init(&b, cx->arena);
    for (; *s; s++)
        if (strchr(plain, *s))
            buf_char(&b, *s);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*s);
    return buf_cstr(&b);
}

void hex_encode(const uint8_t *data, size_t size, char *out)
{
    sodium_bin2hex(out, 2 * size + 1, data, size);
}

bool hex_decode(const char *hex, uint8_t *out, size_t size)
{
    size_t got = 0;
    return strlen(hex) == 2 * size &&
           sodium_hex2bin(out, size, hex, strlen(hex), NULL, &got, NULL) == 0 && got == size;
}

const char *sha256_hex(struct ctx *cx, const void *data, size_t size)
{
    uint8_t raw[crypto_hash_sha256_BYTES];
    char *out = arena_alloc(cx->arena, 2 * sizeof(raw) + 1);
    crypto_hash_sha256(raw, data, size);
    hex_encode(raw, sizeof(raw), out);
    return out;
}

static char *b64_enc(struct ctx *cx, const void *data, size_t size, int variant)
{
    size_t cap = sodium_base64_encoded_len(size, variant);
    char *out = arena_alloc(cx->arena, cap);
    return sodium_bin2base64(out, cap, data, size, variant);
}

static bool b64_dec(struct ctx *cx, const char *text, int variant, uint8_t **ret_data,
                    size_t *ret_size)
{
    size_t n = strlen(text), got = 0;
    uint8_t *out = arena_alloc(cx->arena, n + 1);
    const char *end = NULL;
    for (const char *p = text; *p; p++) /* libsodium 1.0.18 reads 0x80 as the 64th digit */
        if ((unsigned char)*p >= 0x80)
            return false;
    if (sodium_base642bin(out, n + 1, text, n, " \r\n\t", &got, &end, variant) != 0 || *end)
        return false;
    *ret_data = out;
    *ret_size = got;
    return true;
}

char *base64url_encode(struct ctx *cx, const void *data, size_t size)
{
    return b64_enc(cx, data, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool base64url_decode(struct ctx *cx, const char *text, uint8_t **ret_data, size_t *ret_size)
{
    return b64_dec(cx, text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, ret_data, ret_size);
}

char *base64_encode(struct ctx *cx, const void *data, size_t size)
{
    return b64_enc(cx, data, size, sodium_base64_VARIANT_ORIGINAL);
}

bool base64_decode(struct ctx *cx, const char *text, uint8_t **ret_data, size_t *ret_size)
{
    return b64_dec(cx, text, sodium_base64_VARIANT_ORIGINAL, ret_data, ret_size);
}

bool secret_eq(const void *a, size_t a_size, const void *b, size_t b_size)
{
    return a_size == b_size && sodium_memcmp(a, b, a_size) == 0;
}

void secret_wipe(void *data, size_t size)
{
    sodium_memzero(data, size);
}
