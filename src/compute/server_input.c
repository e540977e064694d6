/* SPDX-License-Identifier: EUPL-1.2 */
/* What a create or rebuild asks for, checked against the world: image, networks, groups, names. */
#include "compute/impl.h"
#include <ctype.h>

#define NETWORKS_MAX 32 /* as many as a host takes for one server */
#define GROUPS_MAX 100

static json_t *parsed(struct ctx *cx, const char *text)
{
    json_t *j = NULL;
    struct err *e = json_read(cx, text, strlen(text), &j);
    must(!e); /* json_text wrote it */
    return j;
}

/* ---------------------------------------------------------------- networks and groups */

static struct err *read_network(struct call *c, const json_t *item, struct port_request *ret)
{
    json_t *canonical = NULL;
    *ret = (struct port_request){.network_id = json_get_str(item, "uuid"),
                                 .port_id = json_get_str(item, "port"),
                                 .fixed_ip = json_get_str(item, "fixed_ip"),
                                 .tag = json_get_str(item, "tag")};
    if (ret->tag && c->microversion < 32)
        return bad_member(c, "networks", item,
                          "Additional properties are not allowed ('tag' was unexpected)");
    if (ret->port_id && !uuid_valid(ret->port_id))
        return fail(c->cx, ERR_INVALID, "Bad port format: port uuid is not in proper format (%s)",
                    ret->port_id);
    if (ret->port_id && ret->fixed_ip)
        return fail(c->cx, ERR_INVALID,
                    "Specified Fixed IP '%s' cannot be used with port '%s': the two cannot be "
                    "specified together.",
                    ret->fixed_ip, ret->port_id);
    if (!ret->port_id && !ret->network_id)
        return fail(c->cx, ERR_INVALID, "Bad networks format: missing 'uuid' or 'port'");
    if (!ret->port_id && !uuid_valid(ret->network_id))
        return fail(c->cx, ERR_INVALID,
                    "Bad networks format: network uuid is not in proper format (%s)",
                    ret->network_id);
    if (ret->fixed_ip && check_ip(c->cx, json_get(item, "fixed_ip"), &canonical))
        return fail(c->cx, ERR_INVALID, "Invalid fixed IP address (%s)", ret->fixed_ip);
    if (canonical)
        ret->fixed_ip = json_string_value(canonical);
    return NULL;
}

/* The project's only network, when nothing was said; allocate: one is made where there is none. */
static struct err *automatic(struct call *c, bool allocate, struct network_wish *ret)
{
    const char *id = NULL;
    ret->automatic = true;
    TRY(network_default_for(c, &id));
    if (!id && allocate)
        TRY(network_auto_for(c, &id));
    if (!id)
        return NULL;
    ret->ports = arena_new_of(c->cx->arena, struct port_request);
    ret->ports->network_id = id;
    ret->n = 1;
    return NULL;
}

struct err *read_networks(struct call *c, const struct server *s, struct network_wish *ret)
{
    *ret = (struct network_wish){0};
    if (!s->want_networks && c->microversion >= 37)
        return c->service->family->missing(c->cx, &server_resource, "networks");
    if (!s->want_networks)
        return automatic(c, false, ret);
    const json_t *j = parsed(c->cx, s->want_networks);
    if (json_is_string(j) && c->microversion < 37)
        return bad_member(c, "networks", j, "it is not of type 'array'");
    if (json_is_string(j)) {
        ret->none = str_eq(json_string_value(j), "none");
        return ret->none ? NULL : automatic(c, true, ret);
    }
    if (!json_array_size(j))
        return automatic(c, false, ret);
    if (json_array_size(j) > NETWORKS_MAX)
        return fail(c->cx, ERR_INVALID, "A server has at most %d networks", NETWORKS_MAX);
    ret->ports = arena_new_array(c->cx->arena, struct port_request, json_array_size(j));
    for (size_t i = 0; i < json_array_size(j); i++) {
        TRY(read_network(c, json_array_get(j, i), &ret->ports[i]));
        for (size_t k = 0; k < i; k++)
            if (ret->ports[i].port_id && str_eq(ret->ports[i].port_id, ret->ports[k].port_id))
                return fail(c->cx, ERR_INVALID, "Duplicate networks (%s) are not allowed",
                            ret->ports[i].port_id);
    }
    ret->n = json_array_size(j);
    return NULL;
}

struct err *read_groups(struct call *c, const struct server *s, const char ***ret_ids,
                        size_t *ret_n)
{
    *ret_ids = NULL;
    *ret_n = 0;
    const json_t *j = s->show_groups ? parsed(c->cx, s->show_groups) : NULL;
    size_t n = json_array_size(j);
    if (!n)
        return NULL;
    if (n > GROUPS_MAX)
        return fail(c->cx, ERR_INVALID, "A server has at most %d security groups", GROUPS_MAX);
    const char **names = arena_new_array(c->cx->arena, const char *, n);
    for (size_t i = 0; i < n; i++)
        names[i] = json_get_str(json_array_get(j, i), "name");
    TRY(network_groups_resolve(c, names, n, ret_ids));
    *ret_n = n;
    return NULL;
}

/* ---------------------------------------------------------------- image */

struct err *check_image_fits(struct call *c, const struct image_info *image, int64_t memory_mib,
                             int64_t disk_gib)
{
    int64_t disk_bytes = disk_gib << 30, need = max_i64(image->virtual_size_bytes, 0);
    if (!str_eq(image->status, "active"))
        return fail(c->cx, ERR_INVALID, "Image %s is not active.", image->id);
    if (memory_mib && image->min_ram_mib > memory_mib)
        return fail(c->cx, ERR_INVALID, "Flavor's memory is too small for requested image.");
    if (disk_gib && image->min_disk_gib > disk_gib)
        return fail(c->cx, ERR_INVALID,
                    "Flavor's disk is too small for requested image. Flavor disk is %" PRId64
                    " GiB, the image wants %" PRId64 " GiB.",
                    disk_gib, image->min_disk_gib);
    if (disk_gib && need > disk_bytes)
        return fail(c->cx, ERR_INVALID,
                    "Flavor's disk is too small for requested image. Flavor disk is %" PRId64
                    " bytes, image is %" PRId64 " bytes.",
                    disk_bytes, need);
    if (image->unbootable)
        return fail(c->cx, ERR_INVALID, "Image %s is unacceptable: %s", image->id,
                    image->unbootable);
    if (!str_eq(image->disk_format, "raw") && !str_eq(image->disk_format, "qcow2"))
        return fail(
            c->cx, ERR_INVALID,
            "Image %s is unacceptable: its disk format is %s; servers boot from raw and qcow2",
            image->id, image->disk_format);
    return NULL;
}

const char *image_spec(struct ctx *cx, const struct image_info *image)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "id", image->id);
    jw_kint(&w, "size", image->size_bytes);
    jw_kint(&w, "virtual_size",
            image->virtual_size_bytes > 0 ? image->virtual_size_bytes : image->size_bytes);
    jw_kstr(&w, "sha512", image->sha512);
    jw_kstr(&w, "disk_format", image->disk_format);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

struct err *server_find_image(struct call *c, const char *image_id, struct image_info *ret)
{
    const char *slash = image_id ? strrchr(image_id, '/') : NULL;
    const char *id = slash ? slash + 1 : image_id; /* very old clients send links */
    if (!id || !*id)
        return fail(c->cx, ERR_INVALID,
                    "Invalid image_ref and/or boot device: name an image (imageRef)");
    if (!uuid_valid(id))
        return fail(c->cx, ERR_INVALID, "Invalid imageRef provided.");
    struct err *e = image_get(c->cx, c->tx, id, c->actor, ret);
    if (e && e->kind == ERR_NOT_FOUND)
        return fail(c->cx, ERR_INVALID, "Image %s could not be found.", id);
    return e;
}

struct err *find_image(struct call *c, const struct server *s, const char *image_id,
                       struct image_info *ret, const char **ret_spec)
{
    TRY(server_find_image(c, image_id, ret));
    TRY(check_image_fits(c, ret, s->memory_mib, s->root_gib));
    *ret_spec = image_spec(c->cx, ret);
    return NULL;
}

struct err *take_image(struct call *c, struct server *s, const char *image_id)
{
    struct image_info image;
    TRY(find_image(c, s, image_id, &image, &s->image_spec));
    s->image_id = image.id;
    return NULL;
}

/* ---------------------------------------------------------------- names, metadata, passwords */

/* A name as a host can bear it: letters, digits and hyphens, at most 63; what else it has is
 * dropped or becomes a hyphen. */
const char *hostname_of(struct ctx *cx, const char *name, const char *server_id)
{
    char *out = arena_alloc(cx->arena, strlen(name) + 1);
    size_t n = 0;
    for (const char *p = name; *p && n < 63; p++) {
        bool plain = isalnum((unsigned char)*p) || *p == '-';
        if (plain || *p == ' ' || *p == '_' || *p == '.')
            out[n++] = (char)(plain ? tolower((unsigned char)*p) : '-');
    }
    while (n && out[n - 1] == '-')
        n--;
    out[n] = 0;
    while (*out == '-')
        out++;
    return *out ? out : arena_printf(cx->arena, "server-%s", server_id);
}

/* A name with a domain since 2.94. */
struct err *take_hostname(struct call *c, struct server *s)
{
    const char *wish = s->want_hostname;
    if (!wish)
        return NULL;
    if (c->microversion < 94 && (strchr(wish, '.') || strlen(wish) > 63))
        return bad_member(c, "hostname", json_own(c->cx, json_string(wish)),
                          "A hostname without domain, of at most 63 characters, is needed");
    s->hostname = wish;
    return NULL;
}

struct err *check_metadata_count(struct call *c, const char *metadata)
{
    int64_t limit, n = (int64_t)json_object_size(parsed(c->cx, metadata));
    TRY(quota_limit(c->cx, c->tx, c->service, "metadata_items", c->actor->project_id, &limit));
    if (limit >= 0 && n > limit)
        return fail(c->cx, ERR_QUOTA, "Maximum number of metadata items exceeds %" PRId64, limit);
    return NULL;
}

const char *new_password(struct ctx *cx)
{
    static const char alphabet[] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    char *out = arena_alloc(cx->arena, 17);
    for (int i = 0; i < 16; i++)
        out[i] = alphabet[rng_below(cx->rng, sizeof(alphabet) - 1)];
    return out;
}
