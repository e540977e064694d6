/* SPDX-License-Identifier: EUPL-1.2 */
/* A port's DHCP options, as its network's DHCP tells them: extra_dhcp_opts. */
#include "network/nw.h"

#define OPTIONS_MAX 32
#define NAME_MAX_LEN 64
#define VALUE_MAX_LEN 255

static bool is_name(const char *s)
{
    return s && *s && strlen(s) <= NAME_MAX_LEN &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
               strlen(s);
}

/* One line of a file. */
static bool is_value(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return *s && strlen(s) <= VALUE_MAX_LEN;
}

static int64_t version_of(const json_t *o)
{
    const json_t *v = json_get(o, "ip_version");
    int64_t n = 0;
    if (!v)
        return 4;
    if (!json_is_string(v))
        return json_get_int(o, "ip_version", 0);
    return str_to_i64(json_string_value(v), 0, 9, &n) ? n : 0;
}

static const char *check_one(struct ctx *cx, const json_t *o, json_t **ret)
{
    const char *name = json_get_str(o, "opt_name"), *value = json_get_str(o, "opt_value"), *key;
    int64_t version = version_of(o);
    bool known = true;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        (void)v;
        known &= str_eq(key, "opt_name") || str_eq(key, "opt_value") || str_eq(key, "ip_version");
    }
    if (!json_is_object(o) || !known || !name || (version != 4 && version != 6) ||
        (!value && !json_is_null(json_get(o, "opt_value"))))
        return arena_printf(cx->arena, "Invalid data format for extra DHCP option: '%s'",
                            json_python(cx, o));
    if (!is_name(name))
        return arena_printf(cx->arena, "'%s' is not the name of a DHCP option", name);
    if (value && !is_value(value))
        return arena_printf(cx->arena, "'%s' is not the value of a DHCP option", value);
    *ret = json_pack("{s:s, s:s?, s:I}", "opt_name", name, "opt_value", value, "ip_version",
                     (json_int_t)version);
    return NULL;
}

const char *nw_check_dhcp_options(struct ctx *cx, const json_t *v, json_t **ret)
{
    json_t *out = json_own(cx, json_array()), *one = NULL;
    if (!json_is_array(v) || json_array_size(v) > OPTIONS_MAX)
        return arena_printf(cx->arena, "extra_dhcp_opts must be a list of at most %d options",
                            OPTIONS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *reason = check_one(cx, json_array_get(v, i), &one);
        if (reason)
            return reason;
        json_array_append_new(out, one);
    }
    *ret = out;
    return NULL;
}

static bool same(const json_t *a, const json_t *b)
{
    return str_eq(json_get_str(a, "opt_name"), json_get_str(b, "opt_name")) &&
           json_get_int(a, "ip_version", 4) == json_get_int(b, "ip_version", 4);
}

/* An option takes the place of the one before of its name; without a value it only takes it away.
 */
struct err *nw_dhcp_options_merge(struct ctx *cx, struct port *p, const char *old)
{
    json_t *all = json_own(cx, json_deep_copy(nw_json(cx, old)));
    const json_t *asked = nw_json(cx, p->extra_dhcp_opts);
    for (size_t i = 0; i < json_array_size(asked); i++) {
        json_t *option = json_array_get(asked, i);
        for (size_t k = json_array_size(all); k-- > 0;)
            if (same(json_array_get(all, k), option))
                json_array_remove(all, k);
        if (json_get_str(option, "opt_value"))
            json_array_append(all, option);
    }
    p->extra_dhcp_opts = json_text(cx, all);
    if (json_array_size(all) <= OPTIONS_MAX)
        return NULL;
    return bad_input(cx, "A port has at most %d DHCP options", OPTIONS_MAX);
}
