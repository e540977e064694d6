/* SPDX-License-Identifier: EUPL-1.2 */
/* Rebuild: a new root disk from an image, with new metadata and keys. */
#include "compute/impl.h"

static struct err *rebuild_member(struct call *c, struct server *s, const char *key,
                                  const json_t *v, bool *ret_taken)
{
    json_t *one = json_own(c->cx, json_object());
    json_object_set(one, key, (json_t *)(uintptr_t)v);
    *ret_taken = true;
    if (str_eq(key, "name") || str_eq(key, "accessIPv4") || str_eq(key, "accessIPv6") ||
        str_eq(key, "OS-DCF:diskConfig") || str_eq(key, "description") || str_eq(key, "hostname"))
        return res_decode(c->cx, c->service->family, &server_resource, one, DECODE_UPDATE,
                          c->microversion, c->actor->admin, s);
    /* Members of a create that a rebuild takes too: decoded by the same table into a row of their
     * own. */
    bool copied = str_eq(key, "metadata") || str_eq(key, "adminPass") ||
                  (str_eq(key, "user_data") && c->microversion >= 57) ||
                  (str_eq(key, "key_name") && c->microversion >= 54) ||
                  str_eq(key, "trusted_image_certificates");
    if (!copied) {
        *ret_taken = false;
        return NULL;
    }
    struct server *in = res_new(c->cx, &server_resource);
    json_object_set_new(one, "name", json_string("x"));
    json_object_set_new(one, "flavorRef", json_string("x"));
    TRY(res_decode(c->cx, c->service->family, &server_resource, one, DECODE_CREATE, c->microversion,
                   c->actor->admin, in));
    if (str_eq(key, "metadata"))
        s->metadata = in->metadata;
    else if (str_eq(key, "adminPass"))
        s->admin_pass = in->admin_pass;
    else if (str_eq(key, "user_data"))
        s->user_data = in->user_data;
    else if (str_eq(key, "key_name"))
        s->key_name = in->key_name;
    return NULL;
}

static struct err *rebuild_read(struct call *c, struct server *s, const json_t *args)
{
    const char *key;
    json_t *v;
    bool taken;
    json_object_foreach((json_t *)(uintptr_t)args, key, v)
    {
        if (str_eq(key, "imageRef") || str_eq(key, "preserve_ephemeral"))
            continue;
        TRY(rebuild_member(c, s, key, v, &taken));
        if (!taken)
            return fail(c->cx, ERR_INVALID,
                        "Invalid input for field/attribute rebuild. Additional properties are not "
                        "allowed ('%s' was unexpected)",
                        key);
    }
    if (!json_is_string(json_get(args, "imageRef")))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field/attribute rebuild. 'imageRef' is a required property");
    if (!s->image_spec)
        return fail(c->cx, ERR_INVALID,
                    "Unable to rebuild with a different image for a volume-backed server.");
    return take_image(c, s, json_get_str(args, "imageRef"));
}

static struct err *take_rebuild_key(struct call *c, struct server *s, const char *old_name)
{
    struct keypair *k;
    if (str_eq(s->key_name, old_name))
        return NULL;
    s->key_data = s->key_type = NULL;
    if (!s->key_name)
        return NULL;
    struct err *e = keypair_find(c, s->user_id, s->key_name, &k);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Invalid key_name provided.");
    TRY(e);
    s->key_data = k->public_key;
    s->key_type = k->type;
    return NULL;
}

/* A new root disk; what was off stays off, addresses stay. */
struct err *act_rebuild(struct call *c, struct server *s, const json_t *args)
{
    const char *key_name = s->key_name;
    if (!json_is_object(args))
        return bad_member(c, "rebuild", args, "it is not of type 'object'");
    s->admin_pass = NULL;
    TRY(rebuild_read(c, s, args));
    TRY(take_rebuild_key(c, s, key_name));
    TRY(check_metadata_count(c, s->metadata));
    TRY(take_hostname(c, s));
    bool was_on = s->want_power && state_of(s) != ST_SHUTOFF;
    TRY(server_begin(c, s, SA_REBUILD));
    server_power(s, was_on);
    s->rescue_spec = s->rescue_image_id = NULL;
    s->build_seq++;
    s->boot_seq++;
    if (!s->admin_pass)
        s->admin_pass = new_password(c->cx);
    TRY(server_save(c->cx, c->tx, s));
    return reply_changed(c, 202, s);
}
