/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What a new server's disks are: block_device_mapping_v2, the older block_device_mapping, and the
 * mapping that an image of a server on volumes carries in its properties. Errors are in nova's
 * words.
 */
#include "compute/impl.h"

#define DEVICES_MAX 25 /* vdb to vdz */
#define INVALID "Block Device Mapping is Invalid: "
#define BOOT_SEQUENCE                                                                              \
    INVALID                                                                                        \
    "Boot sequence for the instance and image/block device mapping combination is not valid."

static const char *const source_names[] = {[FROM_IMAGE] = "image",
                                           [FROM_VOLUME] = "volume",
                                           [FROM_SNAPSHOT] = "snapshot",
                                           [FROM_NOTHING] = "blank"};

/* ---------------------------------------------------------------- members */

struct member {
    const char *name;
    unsigned since, until, since_again; /* microversions; 0: any */
};
static const struct member members[] = {
    {"uuid", 0, 0, 0},         {"source_type", 0, 0, 0},  {"destination_type", 0, 0, 0},
    {"boot_index", 0, 0, 0},   {"volume_size", 0, 0, 0},  {"delete_on_termination", 0, 0, 0},
    {"device_name", 0, 0, 0},  {"no_device", 0, 0, 0},    {"guest_format", 0, 0, 0},
    {"device_type", 0, 0, 0},  {"disk_bus", 0, 0, 0},     {"tag", 32, 36, 42},
    {"volume_type", 67, 0, 0}, {"image_id", 0, 0, 0},     {"volume_id", 0, 0, 0},
    {"snapshot_id", 0, 0, 0},  {"virtual_name", 0, 0, 0}, {"connection_info", 0, 0, 0},
};

static bool is_offered(const struct member *m, unsigned microversion)
{
    return microversion >= m->since &&
           (!m->until || microversion <= m->until || microversion >= m->since_again);
}

static bool given(const json_t *v)
{
    return v && !json_is_null(v) && !(json_is_string(v) && !json_string_length(v));
}

static struct err *read_text(struct call *c, const json_t *d, const char *name, const char **ret)
{
    const json_t *v = json_get(d, name);
    *ret = given(v) ? json_string_value(v) : NULL;
    if (!given(v) || (*ret && str_utf8_len(*ret) <= 255))
        return NULL;
    return bad_member(c, name, v, "a text of at most 255 characters is needed");
}

/* Numbers also as texts. */
static struct err *read_number(struct call *c, const json_t *d, const char *name, int64_t min,
                               int64_t otherwise, int64_t *ret)
{
    const json_t *v = json_get(d, name);
    *ret = otherwise;
    if (!given(v))
        return NULL;
    if (json_is_integer(v))
        *ret = json_integer_value(v);
    else if (!json_is_string(v) || !str_to_i64(json_string_value(v), min, INT32_MAX, ret))
        return bad_member(c, name, v, "it is not of type 'integer'");
    if (*ret < min || *ret > INT32_MAX)
        return bad_member(c, name, v,
                          arena_printf(c->cx->arena,
                                       "%" PRId64 " is less than the minimum of %" PRId64
                                       ", or too great",
                                       *ret, min));
    return NULL;
}

static struct err *read_bool(struct call *c, const json_t *d, const char *name, bool *ret)
{
    const json_t *v = json_get(d, name);
    *ret = json_is_true(v);
    if (given(v) && !json_is_boolean(v) &&
        !(json_is_string(v) && str_to_bool(json_string_value(v), ret)))
        return bad_member(c, name, v, "it is not of type 'boolean'");
    return NULL;
}

static struct err *check_members(struct call *c, const char *list, const json_t *d)
{
    const char *names[ARRAY_LEN(members)];
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        names[i] = is_offered(&members[i], c->microversion) ? members[i].name : NULL;
    return only_members(c, list, d, names, ARRAY_LEN(names));
}

static struct err *check_tag(struct call *c, const char *tag)
{
    if (!tag || (str_utf8_len(tag) <= 60 && !strpbrk(tag, "/,")))
        return NULL;
    return bad_member(c, "tag", json_own(c->cx, json_string(tag)),
                      "it does not match '^[^,/]*$', or is longer than 60 characters");
}

/* The members that each form has; what virtio disks are not is refused. */
static struct err *read_common(struct call *c, const json_t *d, struct block_device *ret)
{
    const char *bus, *kind;
    TRY(read_text(c, d, "device_name", &ret->name));
    TRY(read_text(c, d, "tag", &ret->tag));
    TRY(check_tag(c, ret->tag));
    TRY(read_text(c, d, "volume_type", &ret->type));
    TRY(read_text(c, d, "disk_bus", &bus));
    TRY(read_text(c, d, "device_type", &kind));
    TRY(read_number(c, d, "volume_size", 1, 0, &ret->size_gib));
    TRY(read_bool(c, d, "delete_on_termination", &ret->delete_on_termination));
    TRY(read_bool(c, d, "no_device", &ret->none));
    if (bus && !str_eq(bus, "virtio"))
        return fail(c->cx, ERR_INVALID,
                    INVALID "disk_bus: this cloud's disks are on virtio, not %s", bus);
    if (kind && !str_eq(kind, "disk"))
        return fail(c->cx, ERR_INVALID, INVALID "device_type: this cloud attaches disks, no %s",
                    kind);
    return NULL;
}

/* ---------------------------------------------------------------- version 2 */

static struct err *read_source(struct call *c, const json_t *d, struct block_device *ret)
{
    const char *name;
    TRY(read_text(c, d, "source_type", &name));
    for (size_t i = 0; name && i < ARRAY_LEN(source_names); i++)
        if (str_eq(name, source_names[i])) {
            ret->source = (enum device_source)i;
            return NULL;
        }
    return bad_member(c, "source_type", json_get(d, "source_type"),
                      "it is not one of ['volume', 'image', 'snapshot', 'blank']");
}

static struct err *read_destination(struct call *c, const json_t *d, struct block_device *ret)
{
    const char *name;
    TRY(read_text(c, d, "destination_type", &name));
    ret->local =
        name ? str_eq(name, "local") : ret->source == FROM_IMAGE || ret->source == FROM_NOTHING;
    if (name && !ret->local && !str_eq(name, "volume"))
        return bad_member(c, "destination_type", json_get(d, "destination_type"),
                          "it is not one of ['local', 'volume']");
    if (ret->local && ret->source != FROM_IMAGE)
        return fail(c->cx, ERR_INVALID,
                    ret->source == FROM_NOTHING
                        ? INVALID "Ephemeral disks requested are larger than the instance type "
                                  "allows: flavors of this cloud have none, use a blank volume."
                        : INVALID "a volume's or a snapshot's destination is a volume.");
    return NULL;
}

static struct err *read_device(struct call *c, const json_t *d, struct block_device *ret)
{
    *ret = (struct block_device){.boot_index = -1};
    TRY(check_members(c, "block_device_mapping_v2", d));
    TRY(read_common(c, d, ret));
    if (ret->none)
        return NULL;
    TRY(read_source(c, d, ret));
    TRY(read_destination(c, d, ret));
    TRY(read_number(c, d, "boot_index", -1, -1, &ret->boot_index));
    TRY(read_text(c, d, "uuid", &ret->id));
    if (!ret->id && ret->source != FROM_NOTHING) /* as images' own mappings name it */
        TRY(read_text(c, d, arena_printf(c->cx->arena, "%s_id", source_names[ret->source]),
                      &ret->id));
    if (ret->id && ret->source == FROM_NOTHING)
        return fail(c->cx, ERR_INVALID, INVALID "Invalid device UUID.");
    if (!ret->id && ret->source != FROM_NOTHING)
        return fail(c->cx, ERR_INVALID, INVALID "Missing device UUID.");
    return NULL;
}

/* ---------------------------------------------------------------- the older form */

static struct err *read_old_device(struct call *c, const json_t *d, struct block_device *ret)
{
    const char *volume, *snapshot, *virtual;
    *ret = (struct block_device){.boot_index = -1};
    TRY(check_members(c, "block_device_mapping", d));
    TRY(read_common(c, d, ret));
    TRY(read_text(c, d, "volume_id", &volume));
    TRY(read_text(c, d, "snapshot_id", &snapshot));
    TRY(read_text(c, d, "virtual_name", &virtual));
    if (ret->none)
        return NULL;
    if (virtual)
        return fail(c->cx, ERR_INVALID, INVALID "flavors of this cloud have no disk %s.", virtual);
    if (!volume == !snapshot)
        return fail(c->cx, ERR_INVALID,
                    INVALID "each device names one of volume_id and snapshot_id.");
    ret->source = volume ? FROM_VOLUME : FROM_SNAPSHOT;
    ret->id = volume ? volume : snapshot;
    return NULL;
}

static bool is_root_name(const char *name)
{
    return str_eq(name, "vda") || str_eq(name, "/dev/vda");
}

/* Without an image: the device that is called so, else the first one. */
static void choose_root(struct device_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (is_root_name(l->all[i].name)) {
            l->all[i].boot_index = 0;
            return;
        }
    if (l->n)
        l->all[0].boot_index = 0;
}

/* ---------------------------------------------------------------- lists */

typedef struct err *read_fn(struct call *c, const json_t *d, struct block_device *ret);

static struct err *read_list(struct call *c, const char *name, const json_t *j, read_fn *read,
                             struct device_list *ret)
{
    *ret = (struct device_list){0};
    if (!json_is_array(j))
        return bad_member(c, name, j, "it is not of type 'array'");
    if (json_array_size(j) > DEVICES_MAX)
        return fail(c->cx, ERR_INVALID, INVALID "a server has at most %d devices.", DEVICES_MAX);
    ret->all = arena_new_array(c->cx->arena, struct block_device, 2 * DEVICES_MAX);
    for (size_t i = 0; i < json_array_size(j); i++)
        TRY(read(c, json_array_get(j, i), &ret->all[ret->n++]));
    return NULL;
}

static struct err *parse(struct call *c, const char *text, json_t **ret)
{
    return json_read(c->cx, text, strlen(text), ret);
}

static bool overridden(const struct device_list *l, const char *name)
{
    for (size_t i = 0; name && i < l->n; i++)
        if (str_eq(l->all[i].name, name))
            return true;
    return false;
}

/* What an image made of a server on volumes says that its servers stand on. */
static struct err *add_from_image(struct call *c, struct device_list *l,
                                  const struct image_info *image)
{
    json_t *properties = NULL, *mapping = NULL;
    struct device_list own;
    TRY(parse(c, image->properties, &properties));
    const char *text = json_get_str(properties, "block_device_mapping");
    if (!text)
        return NULL;
    if (parse(c, text, &mapping) || !json_is_array(mapping))
        return fail(c->cx, ERR_INVALID, INVALID "that of image %s can't be read.", image->id);
    TRY(read_list(c, "block_device_mapping", mapping, read_device, &own));
    for (size_t i = 0; i < own.n && l->n < DEVICES_MAX; i++)
        if (!overridden(l, own.all[i].name))
            l->all[l->n++] = own.all[i];
    return NULL;
}

/* One that is said to be none is only there to leave out an image's. */
static void drop_none(struct device_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!l->all[i].none)
            l->all[n++] = l->all[i];
    l->n = n;
}

/* The image on the server's own disk, named once more beside imageRef. */
static struct err *take_local_image(struct call *c, struct device_list *l, const char *image_id)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct block_device *d = &l->all[i];
        if (!d->local) {
            l->all[n++] = *d;
            continue;
        }
        if (!image_id || d->boot_index != 0)
            return fail(c->cx, ERR_INVALID, INVALID "Mapping image to local is not supported.");
        if (!str_eq(d->id, image_id))
            return fail(c->cx, ERR_INVALID, "%s", BOOT_SEQUENCE);
    }
    l->n = n;
    return NULL;
}

/* 0, 1, 2 …, each once. */
static struct err *check_boot_order(struct call *c, const struct device_list *l)
{
    size_t wanted = l->image_root;
    uint64_t seen = l->image_root;
    for (size_t i = 0; i < l->n; i++) {
        int64_t index = l->all[i].boot_index;
        if (index < 0)
            continue;
        if (index >= 64 || seen >> index & 1)
            return fail(c->cx, ERR_INVALID, "%s", BOOT_SEQUENCE);
        seen |= (uint64_t)1 << index;
        wanted++;
    }
    if (wanted && seen == ((uint64_t)1 << wanted) - 1)
        return NULL;
    return fail(c->cx, ERR_INVALID, "%s", BOOT_SEQUENCE);
}

static bool has_root(const struct device_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->all[i].boot_index == 0 && !l->all[i].none)
            return true;
    return false;
}

static struct err *add_image(struct call *c, struct server *s, struct device_list *l)
{
    struct image_info image;
    TRY(server_find_image(c, s->image_id, &image));
    s->image_id = image.id;
    TRY(take_local_image(c, l, image.id));
    TRY(add_from_image(c, l, &image));
    l->image_root = !has_root(l); /* else the image is only told of */
    return NULL;
}

struct err *read_block_devices(struct call *c, struct server *s, struct device_list *ret)
{
    json_t *j = json_own(c->cx, json_array());
    bool old = s->old_block_devices != NULL;
    const char *text = old ? s->old_block_devices : s->block_devices;
    if (text)
        TRY(parse(c, text, &j));
    TRY(read_list(c, old ? "block_device_mapping" : "block_device_mapping_v2", j,
                  old ? read_old_device : read_device, ret));
    if (s->image_id && *s->image_id)
        TRY(add_image(c, s, ret));
    else if (!ret->n)
        return fail(c->cx, ERR_INVALID,
                    "Invalid image_ref and/or boot device: name an image (imageRef)");
    else
        TRY(take_local_image(c, ret, s->image_id = NULL));
    drop_none(ret);
    if (old && !ret->image_root)
        choose_root(ret);
    return check_boot_order(c, ret);
}

/* ---------------------------------------------------------------- what they name */

/* All that exists already lies on one host, the server's, or in one pool, which that reaches. */
static struct err *take_place(struct call *c, struct device_list *l, const struct block_device *d,
                              const char *host_id, const char *pool_id)
{
    if (pool_id && l->pool_id && !str_eq(l->pool_id, pool_id))
        return fail(c->cx, ERR_INVALID,
                    INVALID "%s %s lies on another storage than the others: no host reaches both.",
                    source_names[d->source], d->id);
    if (pool_id) {
        l->pool_id = pool_id;
        return NULL;
    }
    if (!host_id || (l->host_id && !str_eq(l->host_id, host_id)))
        return fail(c->cx, ERR_INVALID,
                    INVALID "%s %s lies on another host than the others: a server runs where its "
                            "volumes are.",
                    source_names[d->source], d->id);
    l->host_id = host_id;
    return NULL;
}

/* What the image that a volume was made from asks of servers. */
static struct err *check_memory(struct call *c, const struct server *s, const char *metadata)
{
    json_t *j = NULL;
    int64_t need = 0;
    TRY(parse(c, metadata, &j));
    const char *text = json_get_str(j, "min_ram");
    if (text && str_to_i64(text, 0, INT32_MAX, &need) && need > s->memory_mib)
        return fail(c->cx, ERR_INVALID, "Flavor's memory is too small for requested image.");
    return NULL;
}

static struct err *as_invalid(struct call *c, struct err *e, const struct block_device *d)
{
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, INVALID "failed to get %s %s.", source_names[d->source],
                    d->id);
    return e;
}

static struct err *check_volume(struct call *c, const struct server *s, struct device_list *l,
                                const struct block_device *d)
{
    struct volume_info v;
    if (max_i64(s->min_count, s->max_count) > 1)
        return fail(c->cx, ERR_INVALID, "Cannot attach one or more volumes to multiple instances");
    TRY(as_invalid(c, volume_find(c->cx, c->tx, d->id, c->actor, &v), d));
    if (d->boot_index == 0 && !v.bootable)
        return fail(c->cx, ERR_INVALID, INVALID "Volume %s is not bootable.", d->id);
    if (d->boot_index == 0)
        TRY(check_memory(c, s, v.image_metadata));
    return take_place(c, l, d, v.host_id, v.pool_id);
}

static struct err *check_snapshot(struct call *c, const struct server *s, struct device_list *l,
                                  struct block_device *d)
{
    struct snapshot_info v;
    TRY(as_invalid(c, volume_snapshot_find(c->cx, c->tx, d->id, c->actor, &v), d));
    if (!str_eq(v.status, "available"))
        return fail(c->cx, ERR_INVALID, INVALID "snapshot %s is %s.", d->id, v.status);
    if (d->boot_index == 0)
        TRY(check_memory(c, s, v.image_metadata));
    d->size_gib = d->size_gib ? d->size_gib : v.size_gib;
    l->new_gib += d->size_gib;
    return take_place(c, l, d, v.host_id, v.pool_id);
}

static struct err *check_image(struct call *c, const struct server *s, struct device_list *l,
                               const struct block_device *d)
{
    struct image_info image;
    if (!d->size_gib)
        return fail(c->cx, ERR_INVALID,
                    INVALID "Images with destination_type 'volume' need to have a non-zero size "
                            "specified");
    TRY(as_invalid(c, image_get(c->cx, c->tx, d->id, c->actor, &image), d));
    TRY(check_image_fits(c, &image, d->boot_index == 0 ? s->memory_mib : 0, d->size_gib));
    l->new_gib += d->size_gib;
    return NULL;
}

static struct err *check_blank(struct call *c, struct device_list *l, const struct block_device *d)
{
    if (!d->size_gib)
        return fail(c->cx, ERR_INVALID,
                    INVALID "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero "
                            "size");
    l->new_gib += d->size_gib;
    return NULL;
}

struct err *check_block_devices(struct call *c, const struct server *s, struct device_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct block_device *d = &l->all[i];
        TRY(d->source == FROM_VOLUME     ? check_volume(c, s, l, d)
            : d->source == FROM_SNAPSHOT ? check_snapshot(c, s, l, d)
            : d->source == FROM_IMAGE    ? check_image(c, s, l, d)
                                         : check_blank(c, l, d));
    }
    return NULL;
}

/* ---------------------------------------------------------------- attaching them */

/* The volume itself, or a new one, which the server waits for. */
static struct err *volume_of(struct call *c, const struct server *s, const struct block_device *d,
                             const char **ret_id)
{
    struct volume_info v = {.id = d->id};
    const struct volume_request rq = {.image_id = d->source == FROM_IMAGE ? d->id : NULL,
                                      .snapshot_id = d->source == FROM_SNAPSHOT ? d->id : NULL,
                                      .type = d->type,
                                      .size_gib = d->size_gib,
                                      .host_id = s->host_id};
    if (d->source != FROM_VOLUME)
        TRY(volume_create_for(c, &rq, &v));
    if (str_eq(v.status, "error"))
        return fail(c->cx, ERR_CONFLICT,
                    "No valid host was found. Its host has no room for a "
                    "volume of %" PRId64 " GiB.",
                    d->size_gib);
    *ret_id = v.id;
    return NULL;
}

struct err *attach_block_devices(struct call *c, const struct server *s,
                                 const struct device_list *l)
{
    struct volume_use use;
    for (size_t i = 0; i < l->n; i++) {
        const struct block_device *d = &l->all[i];
        struct use_request rq = {.server_id = s->id,
                                 .host_id = s->host_id,
                                 .tag = d->tag,
                                 .boot_index = d->boot_index,
                                 .delete_on_termination = d->delete_on_termination,
                                 .born = true};
        /* The root disk is vda, whatever others are called. */
        rq.device = is_root_name(d->name) != (d->boot_index == 0) ? NULL : d->name;
        TRY(volume_of(c, s, d, &rq.volume_id));
        TRY(volume_attach(c, &rq, &use));
    }
    return NULL;
}
