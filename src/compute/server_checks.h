/* SPDX-License-Identifier: EUPL-1.2 */
/* Validation hooks of server.def; included by server_show.c alone, where the table is. */
#pragma once

#include <ctype.h>

static const char *const disk_configs[] = {"AUTO", "MANUAL", NULL};

static const char *not_of_type(struct ctx *cx, const json_t *v, const char *type)
{
    return arena_printf(cx->arena, "%s is not of type '%s'", json_python(cx, v), type);
}

/* Empty stands for none. */
static const char *check_access(struct ctx *cx, const json_t *v, int version, json_t **ret)
{
    if (json_is_string(v) && !*json_string_value(v))
        return NULL;
    if (version == 4 ? !check_ipv4(cx, v, ret) : !check_ipv6(cx, v, ret))
        return NULL;
    return arena_printf(cx->arena, "%s is not a 'ipv%d'", json_python(cx, v), version);
}

static const char *check_access_ipv4(struct ctx *cx, const json_t *v, json_t **ret)
{
    return check_access(cx, v, 4, ret);
}

static const char *check_access_ipv6(struct ctx *cx, const json_t *v, json_t **ret)
{
    return check_access(cx, v, 6, ret);
}

/* A flavor's id, also as a number; or a link to it, as very old clients send. */
static const char *check_flavor_ref(struct ctx *cx, const json_t *v, json_t **ret)
{
    const char *s = json_is_integer(v) ? json_text(cx, v) : json_string_value(v);
    if (!s || !*s)
        return not_of_type(cx, v, "string");
    const char *slash = strrchr(s, '/');
    *ret = json_own(cx, json_string(slash ? slash + 1 : s));
    return NULL;
}

static const char *check_user_data(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    uint8_t *data;
    size_t size;
    if (!json_is_string(v))
        return not_of_type(cx, v, "string");
    if (strlen(json_string_value(v)) > 65535)
        return "the user data is too long: at most 65535 characters of base64";
    return base64_decode(cx, json_string_value(v), &data, &size)
               ? NULL
               : "the user data is not a 'base64'";
}

static const char *check_tags(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (json_array_size(v) > 50)
        return "there are more than 50 tags";
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *tag = json_string_value(json_array_get(v, i));
        if (tag && strpbrk(tag, "/,"))
            return arena_printf(cx->arena, "'%s' does not match '^[^,/]*$'", tag);
    }
    return NULL;
}

/* Labels of letters, digits and inner hyphens; how many, take_hostname knows. */
static const char *check_hostname(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    if (!s)
        return not_of_type(cx, v, "string");
    for (const char *label = s, *p = s;; p++) {
        bool end = !*p || *p == '.';
        bool edge = p == label || p[1] == '.' || !p[1];
        if (end && (p == label || p - label > 63))
            return arena_printf(cx->arena,
                                "'%s' is not a valid hostname: a part of it has no or "
                                "too many characters",
                                s);
        if (!*p)
            return NULL;
        if (end)
            label = p + 1;
        else if (!isalnum((unsigned char)*p) && (*p != '-' || edge))
            return arena_printf(
                cx->arena, "'%s' is not a valid hostname: letters, digits and inner hyphens", s);
    }
}

static const char *check_no_certificates(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    return json_is_array(v) && !json_array_size(v)
               ? NULL
               : arena_printf(cx->arena,
                              "%s: this cloud validates images by their "
                              "checksum; leave the list out",
                              json_python(cx, v));
}

static const char *check_security_groups(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    if (!json_is_array(v))
        return not_of_type(cx, v, "array");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        const char *name = json_get_str(item, "name");
        if (!json_is_object(item) || !name || !*name || str_utf8_len(name) > 255)
            return arena_printf(cx->arena, "%s is not {'name': …}", json_python(cx, item));
    }
    return NULL;
}

/* The shape alone; what the entries name is looked up by read_networks. */
static const char *check_networks(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    static const char *const members[] = {"uuid", "port", "fixed_ip", "tag"};
    const char *key;
    json_t *value;
    if (json_is_string(v))
        return str_eq(json_string_value(v), "auto") || str_eq(json_string_value(v), "none")
                   ? NULL
                   : arena_printf(cx->arena, "%s is not one of ['none', 'auto']",
                                  json_python(cx, v));
    if (!json_is_array(v))
        return not_of_type(cx, v, "array");
    if (json_array_size(v) > 64)
        return "there are more than 64 networks";
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *item = json_array_get(v, i);
        if (!json_is_object(item))
            return not_of_type(cx, item, "object");
        json_object_foreach(item, key, value)
        {
            bool known = false;
            for (size_t k = 0; k < ARRAY_LEN(members); k++)
                known = known || str_eq(members[k], key);
            if (!known)
                return arena_printf(
                    cx->arena, "Additional properties are not allowed ('%s' was unexpected)", key);
            if (!json_is_string(value) && !json_is_null(value))
                return not_of_type(cx, value, "string");
        }
    }
    return NULL;
}
