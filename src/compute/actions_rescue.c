/* SPDX-License-Identifier: EUPL-1.2 */
/* Rescue: the server stands on a disk of another image, its own root disk beside it. */
#include "compute/impl.h"

static struct err *read_text(struct call *c, const json_t *args, const char *name, const char **ret)
{
    const json_t *v = json_get(args, name);
    *ret = json_string_value(v);
    if (!v || (*ret && **ret && strlen(*ret) <= 255))
        return NULL;
    return bad_member(c, name, v, "a text of 1 to 255 characters is needed");
}

static struct err *read_rescue(struct call *c, const json_t *args, const char **ret_password,
                               const char **ret_image_id)
{
    *ret_password = *ret_image_id = NULL;
    if (json_is_null(args))
        return NULL;
    TRY(ONLY_MEMBERS(c, "rescue", args, "adminPass", "rescue_image_ref"));
    TRY(read_text(c, args, "adminPass", ret_password));
    return read_text(c, args, "rescue_image_ref", ret_image_id);
}

/* Its own image, where none is named: as it is now, or, once that is deleted, as its disk stands on
 * it. */
static struct err *own_image(struct call *c, struct server *s)
{
    struct image_info image;
    bool found;
    TRY(image_get_any(c->cx, c->tx, s->image_id, &image, &found));
    s->rescue_image_id = s->image_id;
    s->rescue_spec = found && str_eq(image.status, "active") && !image.unbootable
                         ? image_spec(c->cx, &image)
                         : s->image_spec;
    return NULL;
}

static struct err *rescue_image(struct call *c, struct server *s, const char *image_id)
{
    struct image_info image;
    if (!image_id)
        return own_image(c, s);
    TRY(find_image(c, s, image_id, &image, &s->rescue_spec));
    s->rescue_image_id = image.id;
    return NULL;
}

struct err *act_rescue(struct call *c, struct server *s, const json_t *args)
{
    const char *password, *image_id;
    TRY(read_rescue(c, args, &password, &image_id));
    TRY(server_begin(c, s, SA_RESCUE));
    if (!s->image_spec)
        return fail(c->cx, ERR_INVALID,
                    "Instance %s cannot be rescued: Cannot rescue a volume-backed instance", s->id);
    TRY(rescue_image(c, s, image_id));
    s->rescue_seq++;
    s->boot_seq++;
    server_power(s, true);
    s->admin_pass = password ? password : new_password(c->cx);
    TRY(server_save(c->cx, c->tx, s));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kstr(&w, "adminPass", s->admin_pass);
    jw_obj_end(&w);
    return NULL;
}

struct err *act_unrescue(struct call *c, struct server *s, const json_t *args UNUSED)
{
    TRY(server_begin(c, s, SA_UNRESCUE));
    s->rescue_spec = s->rescue_image_id = NULL;
    s->boot_seq++;
    server_power(s, true);
    return server_accepted(c, s);
}
