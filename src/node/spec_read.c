/* SPDX-License-Identifier: EUPL-1.2 */
/* See spec_read.h. */
#include "node/spec_read.h"
#include <ctype.h>

void read_refuse(struct reader *r, const char *key, const char *why)
{
    if (!r->err)
        r->err = fail(r->cx, ERR_INVALID, "%s: '%s' %s", r->what, key, why);
}

const char *read_text(struct reader *r, const json_t *j, const char *key, check_fn *check,
                      bool optional)
{
    const json_t *v = json_get(j, key);
    if (!v || json_is_null(v)) {
        if (!optional)
            read_refuse(r, key, "is missing");
        return NULL;
    }
    const char *s = json_string_value(v);
    if (!s || strlen(s) != json_string_length(v) || !check(s)) {
        read_refuse(r, key, "is not what it must be");
        return NULL;
    }
    return arena_strdup(r->cx->arena, s);
}

int64_t read_number(struct reader *r, const json_t *j, const char *key, int64_t min, int64_t max)
{
    const json_t *v = json_get(j, key);
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
        read_refuse(r, key, "is not a number in its range");
        return min;
    }
    return json_integer_value(v);
}

int64_t read_number_or(struct reader *r, const json_t *j, const char *key, int64_t min, int64_t max,
                       int64_t otherwise)
{
    const json_t *v = json_get(j, key);
    return !v || json_is_null(v) ? otherwise : read_number(r, j, key, min, max);
}

bool read_boolean(struct reader *r, const json_t *j, const char *key)
{
    const json_t *v = json_get(j, key);
    if (!json_is_boolean(v))
        read_refuse(r, key, "is not true or false");
    return json_is_true(v);
}

bool read_boolean_or(struct reader *r, const json_t *j, const char *key, bool otherwise)
{
    const json_t *v = json_get(j, key);
    return !v || json_is_null(v) ? otherwise : read_boolean(r, j, key);
}

const json_t *read_object(struct reader *r, const json_t *j, const char *key, bool optional)
{
    json_t *v = json_get(j, key);
    if (optional && (!v || json_is_null(v)))
        return NULL;
    if (!json_is_object(v)) {
        read_refuse(r, key, "is not an object");
        return NULL;
    }
    return json_own(r->cx, json_incref(v));
}

const json_t *read_array(struct reader *r, const json_t *j, const char *key, size_t max,
                         size_t *ret_n)
{
    const json_t *v = json_get(j, key);
    *ret_n = 0;
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_array(v) || json_array_size(v) > max) {
        read_refuse(r, key, "is not a list, or too long");
        return NULL;
    }
    *ret_n = json_array_size(v);
    return v;
}

/* ---- what strings may be ---- */

bool spec_only(const char *s, const char *extra, size_t max)
{
    size_t n = strlen(s);
    if (n == 0 || n > max || s[0] == '-' || s[0] == '.')
        return false;
    for (; *s; s++)
        if (!isascii((unsigned char)*s) || !(isalnum((unsigned char)*s) || strchr(extra, *s)))
            return false;
    return true;
}

bool spec_is_id(const char *s)
{
    return strlen(s) == 36 && uuid_valid(s);
}

bool spec_is_hostname(const char *s)
{
    return spec_only(s, "-.", 255);
}

bool spec_is_sha512(const char *s)
{
    uint8_t raw[64];
    return strlen(s) == 128 && hex_decode(s, raw, sizeof(raw)) &&
           strspn(s, "0123456789abcdef") == 128;
}

bool spec_is_disk_format(const char *s)
{
    return str_eq(s, "raw") || str_eq(s, "qcow2");
}

bool spec_is_mac(const char *s)
{
    if (strlen(s) != 17)
        return false;
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char)s[i]))
            return false;
    return true;
}

bool spec_is_tap(const char *s)
{
    return str_starts(s, "tap") && strlen(s) == 14 && strspn(s + 3, "0123456789abcdef-") == 11;
}

const char **read_text_list(struct reader *r, const json_t *j, const char *key, check_fn *check,
                            size_t max, size_t *ret_n)
{
    const json_t *a = read_array(r, j, key, max, ret_n);
    const char **out = arena_new_array(r->cx->arena, const char *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        const json_t *v = json_array_get(a, i);
        const char *s = json_string_value(v);
        if (s && strlen(s) == json_string_length(v) && check(s))
            out[i] = arena_strdup(r->cx->arena, s);
        else
            read_refuse(r, key, "has an entry that is not what it must be");
    }
    return out;
}

void read_image(struct reader *r, const json_t *j, bool optional, struct spec_image *out)
{
    const json_t *v = read_object(r, j, "image", optional);
    *out = (struct spec_image){0};
    if (!v)
        return;
    *out = (struct spec_image){
        .id = read_text(r, v, "id", spec_is_id, false),
        .sha512 = read_text(r, v, "sha512", spec_is_sha512, false),
        .disk_format = read_text(r, v, "disk_format", spec_is_disk_format, false),
        .size_bytes = read_number(r, v, "size", 0, INT64_C(1) << 50),
        .virtual_size_bytes = read_number_or(r, v, "virtual_size", 0, INT64_C(1) << 50, 0),
    };
}

const char **read_ids(struct reader *r, const json_t *j, const char *key, size_t max, size_t *ret_n)
{
    const char **ids = read_text_list(r, j, key, spec_is_id, max, ret_n);
    for (size_t i = 0; !r->err && i < *ret_n; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(ids[i], ids[k]))
                read_refuse(r, key, "names one twice");
    return ids;
}
