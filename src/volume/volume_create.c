/* SPDX-License-Identifier: EUPL-1.2 */
/* A new volume: one transaction checks what it is made from, the quota, finds a host, writes the
 * row and tells the host. */
#include "volume/impl.h"

#define GIB (1LL << 30)

/* ---------------------------------------------------------------- from an image */

static const char *image_spec(struct ctx *cx, const struct image_info *image)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "id", image->id);
    jw_kint(&w, "size", image->size_bytes);
    jw_kint(&w, "virtual_size", max_i64(image->virtual_size_bytes, image->size_bytes));
    jw_kstr(&w, "sha512", image->sha512);
    jw_kstr(&w, "disk_format", image->disk_format);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

static void put_number(struct ctx *cx, json_t *map, const char *key, int64_t n)
{
    json_object_set_new(map, key, json_string(arena_printf(cx->arena, "%" PRId64, n)));
}

static void put_text(json_t *map, const char *key, const char *text)
{
    json_object_set_new(map, key, json_string(text ? text : ""));
}

/* What a volume remembers of its image: texts alone. */
static struct err *image_metadata(struct ctx *cx, const struct image_info *image, const char **ret)
{
    json_t *map = NULL;
    TRY(json_read(cx, image->properties, strlen(image->properties), &map));
    put_text(map, "image_id", image->id);
    put_text(map, "image_name", image->name);
    put_text(map, "checksum", image->md5);
    put_text(map, "container_format", image->container_format);
    put_text(map, "disk_format", image->disk_format);
    put_number(cx, map, "min_disk", image->min_disk_gib);
    put_number(cx, map, "min_ram", image->min_ram_mib);
    put_number(cx, map, "size", image->size_bytes);
    *ret = json_text(cx, map);
    return NULL;
}

static struct err *check_image(struct call *c, const struct volume *v,
                               const struct image_info *image)
{
    int64_t bytes = max_i64(image->virtual_size_bytes, image->size_bytes),
            gib = (bytes + GIB - 1) / GIB;
    if (!str_eq(image->status, "active"))
        return fail(c->cx, ERR_INVALID, "Invalid input received: Image %s is not active.",
                    image->id);
    if (image->unbootable)
        return fail(c->cx, ERR_INVALID, "Invalid input received: Image %s is no disk: %s.",
                    image->id, image->unbootable);
    if (v->size_gib == INT_NULL)
        return NULL;
    if (image->min_disk_gib > v->size_gib)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: Volume size %" PRId64
                    "GB cannot be smaller than the image minDisk size %" PRId64 "GB.",
                    v->size_gib, image->min_disk_gib);
    if (gib > v->size_gib)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: Size of specified image %" PRId64
                    "GB is larger than volume size %" PRId64 "GB.",
                    gib, v->size_gib);
    return NULL;
}

static struct err *from_image(struct call *c, struct volume *v, const char *id)
{
    struct image_info image;
    const char *slash = strrchr(id, '/');
    id = slash ? slash + 1 : id; /* very old clients send links */
    struct err *e = uuid_valid(id) ? image_get(c->cx, c->tx, id, c->actor, &image)
                                   : fail(c->cx, ERR_NOT_FOUND, "not an id");
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID,
                    "Invalid image identifier or unable to access requested image.");
    TRY(e);
    TRY(check_image(c, v, &image));
    if (v->size_gib == INT_NULL) {
        int64_t bytes = max_i64(image.virtual_size_bytes, image.size_bytes);
        v->size_gib = max_i64(max_i64(1, image.min_disk_gib), (bytes + GIB - 1) / GIB);
    }
    v->image_id = image.id;
    v->image_spec = image_spec(c->cx, &image);
    v->bootable = true;
    return image_metadata(c->cx, &image, &v->image_metadata);
}

/* ---------------------------------------------------------------- from snapshots and volumes */

static struct err *take_size(struct call *c, struct volume *v, const char *what, int64_t gib)
{
    if (v->size_gib == INT_NULL)
        v->size_gib = gib;
    if (v->size_gib >= gib)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid input received: Volume size '%" PRId64
                "'GB cannot be smaller than the %s size %" PRId64 "GB. They must be >= original "
                "%s size.",
                v->size_gib, what, gib, what);
}

/* A copy lies where its source does: made by the same host, on the same storage. */
static struct err *lie_with(struct call *c, struct volume *v, const struct volume *source,
                            struct place_hint *where)
{
    const char *near = where->near_host_id && !source->pool_id ? where->near_host_id : NULL;
    const char *must_be = where->host_id ? where->host_id : near;
    if (must_be && !str_eq(source->host_id, must_be))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: The source lies on another host than the volume "
                    "must.");
    where->host_id = source->host_id;
    where->near_host_id = NULL;
    v->pool_id = source->pool_id;
    return NULL;
}

static struct err *from_snapshot(struct call *c, struct volume *v, struct place_hint *where)
{
    void *row = NULL, *of = NULL;
    TRY(res_find_visible(c->cx, c->tx, &snapshot_resource, v->snapshot_id, c->actor, &row));
    const struct snapshot *s = row;
    TRY(res_find(c->cx, c->tx, &volume_resource, s->volume_id, &of));
    if (snapshot_state_of(s) != SN_AVAILABLE)
        return fail(c->cx, ERR_INVALID,
                    "Invalid snapshot: Originating snapshot status must be one of 'available' "
                    "values");
    TRY(take_size(c, v, "snapshot", s->size_gib));
    v->snapshot_volume_id = s->volume_id;
    v->bootable = s->bootable;
    v->image_metadata = s->image_metadata;
    v->type_id = s->type_id;
    return lie_with(c, v, of, where);
}

static struct err *from_volume(struct call *c, struct volume *v, struct place_hint *where)
{
    struct volume *source;
    TRY(volume_get(c, v->source_id, &source));
    enum volume_state state = volume_state_of(source);
    if (!source->seen_ready || (state != VS_AVAILABLE && state != VS_IN_USE))
        return fail(c->cx, ERR_INVALID,
                    "Invalid volume: Volume %s status must be available or in-use to be copied, "
                    "but current status is: %s.",
                    source->id, volume_life_of(state)->status);
    TRY(take_size(c, v, "source volume", source->size_gib));
    v->bootable = source->bootable;
    v->image_metadata = source->image_metadata;
    v->type_id = source->type_id;
    return lie_with(c, v, source, where);
}

/* At most one. */
static struct err *take_source(struct call *c, struct volume *v, struct place_hint *where)
{
    const char *image = v->want_image && *v->want_image ? v->want_image : v->want_image_id;
    if (image && !*image)
        image = NULL;
    if (v->snapshot_id && v->source_id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: May specify only one of snapshot, imageRef or source "
                    "volume");
    if (image && (v->snapshot_id || v->source_id))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: May specify only one of snapshot, imageRef or source "
                    "volume");
    if (image)
        TRY(from_image(c, v, image));
    else if (v->snapshot_id)
        TRY(from_snapshot(c, v, where));
    else if (v->source_id)
        TRY(from_volume(c, v, where));
    if (v->size_gib == INT_NULL)
        return fail(c->cx, ERR_INVALID,
                    "Invalid input received: Volume size must be given: an integer greater than "
                    "0.");
    return NULL;
}

/* ---------------------------------------------------------------- type, zone, place */

static struct err *take_type(struct call *c, struct volume *v, struct volume_type **ret)
{
    if (v->type && *v->type)
        TRY(volume_type_find(c, v->type, ret));
    else if (v->type_id) /* the source's */
        TRY(volume_type_by_id(c->cx, c->tx, v->type_id, ret));
    else
        TRY(volume_type_default(c, ret));
    v->type_id = (*ret)->id;
    return NULL;
}

struct err *volume_check_type(struct call *c, const struct volume_type *type)
{
    bool encrypted;
    TRY(volume_type_encrypted(c->cx, c->tx, type->id, &encrypted));
    if (!encrypted)
        return NULL;
    return fail(c->cx, ERR_INVALID,
                "Invalid volume type: Volumes of type %s are to be encrypted, which no host of "
                "this cloud can do.",
                type->name);
}

static struct err *check_zone(struct call *c, const char *zone)
{
    struct volume_host *hosts;
    size_t n;
    TRY(volume_hosts(c->cx, c->tx, &hosts, &n));
    bool known = str_eq(zone, volume_cfg.default_zone);
    for (size_t i = 0; i < n; i++)
        known = known || str_eq(zone, hosts[i].zone);
    return known ? NULL : fail(c->cx, ERR_INVALID, "Availability zone '%s' is invalid.", zone);
}

/* No room is the volume's error, not the request's: as cinder, with a message that says why. */
static struct err *place(struct call *c, struct volume *v, const struct volume_type *type,
                         const struct place_hint *hint)
{
    bool copy = v->snapshot_id || v->source_id;
    const struct place_wish wish = {.host_id = hint->host_id ? hint->host_id : hint->near_host_id,
                                    .not_on = hint->not_on,
                                    .n_not_on = hint->n_not_on,
                                    .zone = v->zone,
                                    .type = type,
                                    .size_gib = v->size_gib};
    const struct volume_host *host;
    const char *reason;
    TRY(volume_place(c->cx, c->tx, &wish, &host, &reason));
    volume_set_state(c->cx, v, host ? VS_CREATING : VS_FAILED);
    if (!host) {
        v->zone = v->zone ? v->zone : volume_cfg.default_zone;
        return volume_message(c->cx, c->tx, v->project_id, "VOLUME", v->id,
                              "schedule allocate volume", "003",
                              arena_printf(c->cx->arena,
                                           "No storage could be allocated for this "
                                           "volume request: %s.",
                                           reason));
    }
    v->host_id = host->id;
    v->host = volume_host_text(c->cx, host->name);
    v->zone = host->zone;
    if (!copy)
        v->pool_id = host->pool_id;
    return NULL;
}

struct err *volume_make(struct call *c, struct volume *v, const struct place_hint *hint)
{
    struct volume_type *type;
    struct place_hint where = hint ? *hint : (struct place_hint){0};
    v->id = uuid_new(c->cx);
    v->project_id = c->actor->project_id;
    v->user_id = c->actor->user_id;
    v->wanted = true;
    v->image_metadata = "{}";
    v->read_only = INT_NULL;
    if (row_given(&v->row, volume_f_want_name) && v->want_name)
        v->name = v->want_name;
    if (row_given(&v->row, volume_f_want_description) && v->want_description)
        v->description = v->want_description;
    v->zone = v->zone && *v->zone ? v->zone : NULL;
    if (v->zone)
        TRY(check_zone(c, v->zone));
    TRY(take_source(c, v, &where));
    TRY(take_type(c, v, &type));
    if (v->group_id && row_given(&v->row, volume_f_group_id))
        TRY(group_check_joining(c, v->group_id, v));
    TRY(volume_check_type(c, type));
    TRY(volume_quota_check(c, v->project_id, type, "volumes", 1, v->size_gib));
    TRY(volume_quota_size(c, v->project_id, v->size_gib));
    TRY(place(c, v, type, &where));
    TRY(res_insert(c->cx, c->tx, &volume_resource, v));
    return v->host_id ? fleet_touch(c->cx, c->tx, v->host_id, "volume", v->id) : NULL;
}

/* ---------------------------------------------------------------- the scheduler's hints */

/* Hosts of the volumes that a hint names: an id, or several. */
static struct err *hosts_of(struct call *c, const char *name, const json_t *hint, const char ***ret,
                            size_t *ret_n)
{
    struct volume *v;
    size_t n = json_is_array(hint) ? json_array_size(hint) : 1;
    *ret = arena_new_array(c->cx->arena, const char *, n + 1);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(hint) ? json_array_get(hint, i) : hint;
        struct err *e = volume_get(c, json_string_value(id), &v);
        if (e && e->kind == ERR_NOT_FOUND)
            return volume_bad_member(c, name, hint, "it names no volume");
        TRY(e);
        if (v->host_id)
            (*ret)[(*ret_n)++] = v->host_id;
    }
    return NULL;
}

static struct err *read_hints(struct call *c, struct place_hint *ret)
{
    const json_t *hints = json_get(c->json, "OS-SCH-HNT:scheduler_hints"), *hint;
    const char **hosts;
    size_t n;
    if (hints && !json_is_null(hints) && !json_is_object(hints))
        return volume_bad_member(c, "OS-SCH-HNT:scheduler_hints", hints,
                                 "it is not of type 'object'");
    if ((hint = json_get(hints, "same_host"))) {
        TRY(hosts_of(c, "same_host", hint, &hosts, &n));
        for (size_t i = 0; i < n; i++) {
            if (i && !str_eq(hosts[i], hosts[0]))
                return volume_bad_member(c, "same_host", hint, "they lie on several hosts");
            ret->host_id = hosts[0];
        }
    }
    if ((hint = json_get(hints, "different_host"))) {
        TRY(hosts_of(c, "different_host", hint, &hosts, &ret->n_not_on));
        ret->not_on = hosts;
    }
    return NULL;
}

struct err *volume_create(struct call *c)
{
    struct volume *v = c->body;
    struct place_hint hint = {0};
    TRY(read_hints(c, &hint));
    TRY(volume_make(c, v, &hint));
    c->audit_target = v->id;
    return call_reply_row(c, 202, &volume_resource, v);
}
