/* SPDX-License-Identifier: EUPL-1.2 */
/* Maps of texts that a row holds, where each key can be read and set: specs of types. */
#include "volume/impl.h"

#define KEYS_MAX 128

struct err *volume_map_read(struct call *c, const char *text, json_t **ret)
{
    return json_read(c->cx, text, strlen(text), ret);
}

struct err *volume_map_add(struct call *c, const char *name, json_t *map, const json_t *given)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        if (!*key || str_utf8_len(key) > 255 || !json_is_string(value) ||
            str_utf8_len(json_string_value(value)) > 255)
            return volume_bad_member(c, name, value,
                                     "keys and values are texts of up to 255 characters");
        json_object_set(map, key, value);
    }
    if (json_object_size(map) > KEYS_MAX)
        return volume_bad_member(c, name, given, "there would be more than 128 keys");
    return NULL;
}

struct err *volume_map_one(struct call *c, const char *key)
{
    if (!json_is_object(c->json) || json_object_size(c->json) != 1)
        return fail(c->cx, ERR_INVALID, "Request body contains too many or too few items");
    if (!json_get(c->json, key))
        return fail(c->cx, ERR_INVALID, "Request body and URI mismatch");
    return NULL;
}

struct err *volume_map_reply(struct call *c, int status, const char *name, const json_t *map)
{
    struct jw w = call_json(c, status);
    if (!name) {
        jw_json(&w, map);
        return NULL;
    }
    jw_obj(&w);
    jw_kjson(&w, name, map);
    jw_obj_end(&w);
    return NULL;
}

struct err *volume_map_reply_one(struct call *c, const json_t *map, const char *key)
{
    json_t *one = json_own(c->cx, json_object());
    json_object_set(one, key, json_get(map, key));
    return volume_map_reply(c, 200, NULL, one);
}
