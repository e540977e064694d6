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

static void write_server(struct jw *w, const char *base_url, const char *server_id)
{
    jw_kobj(w, "server");
    jw_kstr(w, "id", server_id);
    write_links(w, base_url, "servers", server_id);
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
        write_server(w, v.base_url, server_id);
    return NULL;
}

static struct err *write_image(struct call *c, struct jw *w, const struct image_info *i, bool brief)
{
    const struct view v = call_view(c);
    jw_obj(w);
    jw_kstr(w, "id", i->id);
    jw_kstr(w, "name", i->name);
    write_links(w, v.base_url, "images", i->id);
    if (!brief)
        TRY(write_details(c, w, i));
    jw_obj_end(w);
    return NULL;
}

/* ---------------------------------------------------------------- lists */

struct image_filter {
    const char *name, *status, *server, *type; /* NULL: any */
    int64_t since_us, limit, min_ram, min_disk;
    const char *marker;
};

static struct err *read_number(struct call *c, const char *name, int64_t otherwise, int64_t *ret)
{
    const char *text = http_arg(c->rq, name);
    *ret = otherwise;
    if (text && !str_to_i64(text, 0, INT64_MAX, ret))
        return fail(c->cx, ERR_INVALID, "%s must be an integer that is not negative, not '%s'",
                    name, text);
    return NULL;
}

static struct err *read_filter(struct call *c, struct image_filter *f)
{
    const char *since = http_arg(c->rq, "changes-since"), *server = http_arg(c->rq, "server");
    const char *slash = server ? strrchr(server, '/') : NULL;
    *f = (struct image_filter){.name = http_arg(c->rq, "name"),
                               .status = http_arg(c->rq, "status"),
                               .server = slash ? slash + 1 : server, /* also a link to it */
                               .type = http_arg(c->rq, "type"),
                               .marker = http_arg(c->rq, "marker")};
    if (since && !time_parse(since, &f->since_us))
        return fail(c->cx, ERR_INVALID, "Invalid changes-since value: '%s'", since);
    TRY(read_number(c, "minRam", 0, &f->min_ram));
    TRY(read_number(c, "minDisk", 0, &f->min_disk));
    return read_number(c, "limit", INT64_MAX, &f->limit);
}

static bool passes(struct call *c, const struct image_filter *f, const struct image_info *i)
{
    json_t *properties = NULL;
    if (json_read(c->cx, i->properties, strlen(i->properties), &properties))
        return false;
    return (!f->name || str_eq(f->name, i->name)) &&
           (!f->status || strcasecmp(f->status, status_of(i)) == 0) &&
           (!f->server || str_eq(f->server, json_get_str(properties, "instance_uuid"))) &&
           (!f->type || str_eq(f->type, json_get_str(properties, "image_type"))) &&
           i->updated_us >= f->since_us && i->min_ram_mib >= f->min_ram &&
           i->min_disk_gib >= f->min_disk;
}

static void write_next(struct call *c, struct jw *w, const char *marker)
{
    jw_karr(w, "images_links");
    jw_obj(w);
    jw_kstr(w, "rel", "next");
    jw_kstr(w, "href",
            arena_printf(c->cx->arena, "%s%s?limit=%s&marker=%s", c->rq->base_url, c->rq->path,
                         str_url(c->cx, http_arg(c->rq, "limit")), marker));
    jw_obj_end(w);
    jw_arr_end(w);
}

static struct err *reply_list(struct call *c, bool brief)
{
    struct image_filter f;
    struct image_info *images;
    const char *last = NULL;
    int64_t shown = 0;
    size_t n;
    TRY(read_filter(c, &f));
    bool begun = !f.marker, more = false;
    TRY(image_list_for(c->cx, c->tx, c->actor, &images, &n));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "images");
    for (size_t i = 0; i < n && !more; i++) {
        bool seen = begun && passes(c, &f, &images[i]);
        begun = begun || str_eq(images[i].id, f.marker);
        more = seen && shown == f.limit;
        if (!seen || more)
            continue;
        TRY(write_image(c, &w, &images[i], brief));
        last = images[i].id;
        shown++;
    }
    jw_arr_end(&w);
    if (more && last)
        write_next(c, &w, last);
    jw_obj_end(&w);
    return begun ? NULL : fail(c->cx, ERR_INVALID, "Marker %s could not be found.", f.marker);
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
