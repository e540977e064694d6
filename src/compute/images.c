/* SPDX-License-Identifier: EUPL-1.2 */
/* /images up to 2.35: the image service's images, as this API had them before there was one. */
#include "compute/impl.h"

static struct err *not_found(struct call *c, struct err *e)
{
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_NOT_FOUND, "Image not found.");
    return e;
}

static const char *status_of(const struct image_info *i)
{
    if (str_eq(i->status, "active"))
        return "ACTIVE";
    return str_eq(i->status, "queued") || str_eq(i->status, "saving") ? "SAVING" : "UNKNOWN";
}

static void write_server(struct ctx *cx, struct jw *w, const char *base_url, const char *server_id)
{
    jw_kobj(w, "server");
    jw_kstr(w, "id", server_id);
    write_links(cx, w, base_url, "servers", server_id);
    jw_obj_end(w);
}

static struct err *write_details(struct call *c, struct jw *w, const struct image_info *i)
{
    const struct view v = call_view(c);
    json_t *properties = NULL;
    bool active = str_eq(i->status, "active");
    TRY(json_read(c->cx, i->properties, strlen(i->properties), &properties));
    jw_kint(w, "minRam", i->min_ram_mib);
    jw_kint(w, "minDisk", i->min_disk_gib);
    jw_kjson(w, "metadata", properties);
    jw_kstr(w, "created", time_iso(c->cx, i->created_us, TIME_Z));
    jw_kstr(w, "updated", time_iso(c->cx, i->updated_us, TIME_Z));
    jw_kstr(w, "status", status_of(i));
    jw_kint(w, "progress", active ? 100 : str_eq(i->status, "saving") ? 50 : 25);
    jw_kint(w, "OS-EXT-IMG-SIZE:size", i->size_bytes);
    const char *server_id = json_get_str(properties, "instance_uuid");
    if (server_id)
        write_server(c->cx, w, v.base_url, server_id);
    return NULL;
}

static struct err *write_image(struct call *c, struct jw *w, const struct image_info *i, bool brief)
{
    const struct view v = call_view(c);
    jw_obj(w);
    jw_kstr(w, "id", i->id);
    jw_kstr(w, "name", i->name);
    write_links(c->cx, w, v.base_url, "images", i->id);
    if (!brief)
        TRY(write_details(c, w, i));
    jw_obj_end(w);
    return NULL;
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct image_info *images;
    size_t n;
    TRY(image_list_for(c->cx, c->tx, c->actor, &images, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "images");
    for (size_t i = 0; i < n; i++)
        TRY(write_image(c, &w, &images[i], brief));
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *image_proxy_list(struct call *c)
{
    return reply_list(c, true);
}

struct err *image_proxy_detail(struct call *c)
{
    return reply_list(c, false);
}

struct err *image_proxy_show(struct call *c)
{
    struct image_info image;
    TRY(not_found(c, image_get(c->cx, c->tx, call_param(c, "image_id"), c->actor, &image)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_key(&w, "image");
    TRY(write_image(c, &w, &image, false));
    jw_obj_end(&w);
    return NULL;
}

struct err *image_proxy_delete(struct call *c)
{
    TRY(not_found(c, image_remove(c, call_param(c, "image_id"))));
    call_reply_empty(c, 204);
    return NULL;
}
