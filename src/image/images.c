/* SPDX-License-Identifier: EUPL-1.2 */
/* Images: create, list, show, change by JSON patch, delete, tags. */
#include "image/images.h"
#include "image/resources.h"

#define PROPERTIES_MAX 128
#define PROPERTIES_BYTES_MAX (128 * 1024)

/* The target, if the actor may change it. */
static struct err *own(struct call *c, const char *id, struct image **ret)
{
    TRY(res_find_visible(c->cx, c->tx, &image_resource, id, c->actor, (void **)ret));
    if (c->actor->admin || str_eq((*ret)->owner, c->actor->project_id))
        return NULL;
    return fail(c->cx, ERR_FORBIDDEN,
                "You are not permitted to modify this image: it belongs to another project.");
}

struct err *image_own(struct call *c, struct image **ret)
{
    return own(c, call_param(c, "image_id"), ret);
}

/* ---------------------------------------------------------------- create, show */

static struct err *may_publish(struct call *c, const struct image *i)
{
    if (str_eq(i->visibility, "public") && !c->actor->admin)
        return fail(c->cx, ERR_FORBIDDEN,
                    "You are not authorized to complete publicize_image action.");
    return NULL;
}

/* Names that mean something to clients, and what a row may hold. */
static struct err *check_properties(struct call *c, const char *text)
{
    static const char *const reserved[] = {"direct_url", "locations", "deleted",
                                           "deleted_at", "owner_id",  "stores"};
    json_t *properties = NULL, *value;
    const char *key;
    TRY(json_read(c->cx, text, strlen(text), &properties));
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (json_get(properties, reserved[i]))
            return fail(c->cx, ERR_FORBIDDEN, "Attribute '%s' is reserved.", reserved[i]);
    json_object_foreach(properties, key, value)
    {
        (void)value;
        if (str_starts(key, "os_glance_"))
            return fail(c->cx, ERR_FORBIDDEN, "Attribute '%s' is reserved.", key);
    }
    if (json_object_size(properties) > PROPERTIES_MAX || strlen(text) > PROPERTIES_BYTES_MAX)
        return fail(c->cx, ERR_TOO_LARGE,
                    "An image has at most %d properties, of %d bytes together", PROPERTIES_MAX,
                    PROPERTIES_BYTES_MAX);
    return NULL;
}

struct err *image_check_new(struct call *c, const struct image *i)
{
    TRY(may_publish(c, i));
    TRY(quota_check(c->cx, c->tx, &image_service, "image_count_total",
                    i->owner ? i->owner : c->actor->project_id, 1));
    return check_properties(c, i->properties);
}

struct err *image_create(struct call *c)
{
    struct image *i = c->body;
    void *other = NULL;
    TRY(image_check_new(c, i));
    if (i->id) {
        TRY(res_get(c->cx, c->tx, &image_resource, i->id, &other));
        if (other)
            return fail(c->cx, ERR_EXISTS, "Image ID %s already exists!", i->id);
    } else {
        i->id = uuid_new(c->cx);
    }
    if (!i->owner)
        i->owner = c->actor->project_id;
    c->audit_target = i->id;
    TRY(res_insert(c->cx, c->tx, &image_resource, i));
    http_reply_header(c->rp, c->cx, "Location",
                      arena_printf(c->cx->arena, "%s/images/%s", call_base_url(c), i->id));
    http_reply_header(c->rp, c->cx, "OpenStack-image-import-methods", "glance-direct");
    http_reply_header(c->rp, c->cx, "OpenStack-image-store-ids", IMAGE_STORE);
    return call_reply_row(c, 201, &image_resource, i);
}

struct err *image_show(struct call *c)
{
    return call_reply_row(c, 200, &image_resource, c->target);
}

struct err *image_drop(struct ctx *cx, struct tx *tx, struct image *i)
{
    TRY(db_run(cx, tx, &stmt_members_forget, V_TEXT(i->id)));
    TRY(res_delete(cx, tx, &image_resource, i));
    image_data_forget(cx, tx, i->location);
    image_data_forget(cx, tx, i->staged_location);
    return NULL;
}

struct err *image_discard(struct ctx *cx, struct tx *tx, const char *id)
{
    struct image *i = NULL;
    TRY(res_get(cx, tx, &image_resource, id, (void **)&i));
    return i && !i->is_protected ? image_drop(cx, tx, i) : NULL;
}

static image_used_fn *used_by_others;

void image_on_delete(image_used_fn *fn)
{
    used_by_others = fn;
}

struct err *image_remove(struct call *c, const char *id)
{
    struct image *i = NULL;
    bool used = false;
    TRY(own(c, id, &i));
    if (i->is_protected)
        return fail(c->cx, ERR_FORBIDDEN, "Image %s is protected and cannot be deleted.", i->id);
    if (used_by_others)
        TRY(used_by_others(c->cx, c->tx, i->id, &used));
    if (used)
        return fail(c->cx, ERR_IN_USE,
                    "Image %s could not be deleted because it is in use: a volume is being made "
                    "of it.",
                    i->id);
    TRY(image_export_deleted(c->cx, c->tx, i->id));
    return image_drop(c->cx, c->tx, i);
}

struct err *image_properties_set(struct call *c, const char *id, const char *properties)
{
    struct image *i = NULL;
    TRY(own(c, id, &i));
    TRY(check_properties(c, properties));
    i->properties = properties;
    return res_update(c->cx, c->tx, &image_resource, i);
}

struct err *image_delete(struct call *c)
{
    TRY(image_remove(c, call_param(c, "image_id")));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- JSON patch */

struct patch {
    const char *op, *key;
    const json_t *value;
};

/* {"op":"replace","path":"/name","value":…}, or the older {"replace":"/name","value":…} */
static struct err *read_operation(struct call *c, const json_t *j, struct patch *p)
{
    static const char *const ops[] = {"add", "replace", "remove"};
    const char *path = json_get_str(j, "path");
    *p = (struct patch){.op = json_get_str(j, "op"), .value = json_get(j, "value")};
    for (size_t i = 0; !p->op && i < ARRAY_LEN(ops); i++) {
        if (json_get_str(j, ops[i])) {
            p->op = ops[i];
            path = json_get_str(j, ops[i]);
        }
    }
    if (!p->op || !path || path[0] != '/' || !path[1] || strchr(path + 1, '/'))
        return fail(c->cx, ERR_INVALID,
                    "Each operation needs 'op' (add, replace, remove) and a 'path' such as /name");
    if (!str_eq(p->op, "add") && !str_eq(p->op, "replace") && !str_eq(p->op, "remove"))
        return fail(c->cx, ERR_INVALID, "Operations must be one of add, replace, remove, not '%s'",
                    p->op);
    if (!p->value && !str_eq(p->op, "remove"))
        return fail(c->cx, ERR_INVALID, "Operation \"%s\" requires a member named \"value\".",
                    p->op);
    char *key = arena_strdup(c->cx->arena, path + 1), *out = key;
    for (const char *in = key; *in; in++) { /* RFC 6901 */
        bool escape = in[0] == '~';
        if (escape && in[1] != '0' && in[1] != '1')
            return fail(c->cx, ERR_INVALID,
                        "In the path '%s' stands a '~' that is neither '~0' nor '~1'", path);
        *out++ = escape ? (in[1] == '1' ? '/' : '~') : *in;
        in += escape;
    }
    *out = 0;
    p->key = key;
    return NULL;
}

static struct err *patch_property(struct call *c, json_t *properties, const struct patch *p)
{
    bool there = json_get(properties, p->key) != NULL;
    if (!str_eq(p->op, "add") && !there)
        return fail(c->cx, ERR_CONFLICT, "Property %s does not exist.", p->key);
    if (str_eq(p->op, "remove"))
        json_object_del(properties, p->key);
    else if (!json_is_string(p->value) || strlen(p->key) > 255)
        return fail(c->cx, ERR_INVALID,
                    "Provided object does not match schema 'image': %s is not of type 'string' "
                    "(property '%s')",
                    json_python(c->cx, p->value), p->key);
    else
        json_object_set(properties, p->key, (json_t *)(uintptr_t)p->value);
    return NULL;
}

static struct err *apply_patch(struct call *c, json_t *fields, json_t *properties)
{
    if (!json_is_array(c->json))
        return fail(c->cx, ERR_INVALID, "Request body must be a JSON array of operation objects.");
    if (json_array_size(c->json) > 256)
        return fail(c->cx, ERR_INVALID, "Too many operations: at most 256");
    for (size_t i = 0; i < json_array_size(c->json); i++) {
        struct patch p;
        TRY(read_operation(c, json_array_get(c->json, i), &p));
        const struct field *f = resource_field(&image_resource, p.key);
        if (f && (f->flags & F_HIDDEN))
            return c->service->family->read_only(c->cx, &image_resource, p.key);
        if (!f)
            TRY(patch_property(c, properties, &p));
        else if (str_eq(p.op, "remove"))
            return fail(c->cx, ERR_FORBIDDEN, "Property '%s' is a basic one and can't be removed.",
                        p.key);
        else
            json_object_set(fields, p.key, (json_t *)(uintptr_t)p.value);
    }
    return NULL;
}

struct err *image_patch(struct call *c)
{
    const char *type = http_header(c->rq, "Content-Type");
    struct image *i = NULL;
    json_t *fields = json_own(c->cx, json_object()), *properties = NULL;
    if (!type || !(str_starts(type, "application/openstack-images-v2.1-json-patch") ||
                   str_starts(type, "application/openstack-images-v2.0-json-patch")))
        return fail(
            c->cx, ERR_MEDIA_TYPE,
            "An image is changed with Content-Type application/openstack-images-v2.1-json-patch");
    TRY(image_own(c, &i));
    const char *owner = i->owner;
    TRY(json_read(c->cx, i->properties, strlen(i->properties), &properties));
    TRY(apply_patch(c, fields, properties));
    TRY(res_decode(c->cx, c->service->family, &image_resource, fields, DECODE_UPDATE, 0,
                   c->actor->admin, i));
    TRY(may_publish(c, i));
    if (!str_eq(i->status, "queued") &&
        (json_get(fields, "disk_format") || json_get(fields, "container_format")))
        return fail(c->cx, ERR_FORBIDDEN,
                    "Attribute 'disk_format' and 'container_format' can only be changed on a "
                    "queued image.");
    i->owner = i->owner ? i->owner : owner;
    i->properties = json_text(c->cx, properties);
    TRY(check_properties(c, i->properties));
    TRY(res_update(c->cx, c->tx, &image_resource, i));
    return call_reply_row(c, 200, &image_resource, i);
}

/* ---------------------------------------------------------------- tags, activation */

bool image_has_tag(const struct call *c, const struct image *i, const char *tag)
{
    json_t *tags = NULL;
    if (json_read(c->cx, i->tags, strlen(i->tags), &tags))
        return false;
    for (size_t k = 0; k < json_array_size(tags); k++)
        if (str_eq(json_string_value(json_array_get(tags, k)), tag))
            return true;
    return false;
}

static struct err *change_tag(struct call *c, bool add)
{
    struct image *i = NULL;
    json_t *tags = NULL;
    const char *tag = call_param(c, "tag");
    TRY(image_own(c, &i));
    bool there = image_has_tag(c, i, tag);
    if (!add && !there)
        return fail(c->cx, ERR_NOT_FOUND, "The tag %s is not on image %s", tag, i->id);
    TRY(json_read(c->cx, i->tags, strlen(i->tags), &tags));
    if (add && !there)
        json_array_append_new(tags, json_string(tag));
    for (size_t k = json_array_size(tags); !add && k-- > 0;)
        if (str_eq(json_string_value(json_array_get(tags, k)), tag))
            json_array_remove(tags, k);
    if (str_utf8_len(tag) > 255 || json_array_size(tags) > 128)
        return fail(c->cx, ERR_TOO_LARGE,
                    "A tag has at most 255 characters, an image at most 128 tags");
    i->tags = json_text(c->cx, tags);
    if (add != there)
        TRY(res_update(c->cx, c->tx, &image_resource, i));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *image_tag_add(struct call *c)
{
    return change_tag(c, true);
}

struct err *image_tag_remove(struct call *c)
{
    return change_tag(c, false);
}

static struct err *switch_status(struct call *c, const char *from, const char *to)
{
    struct image *i = c->target;
    if (!str_eq(i->status, from) && !str_eq(i->status, to))
        return fail(c->cx, ERR_FORBIDDEN, "Image status transition from %s to %s is not allowed",
                    i->status, to);
    i->status = to;
    TRY(res_update(c->cx, c->tx, &image_resource, i));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *image_deactivate(struct call *c)
{
    return switch_status(c, "active", "deactivated");
}

struct err *image_reactivate(struct call *c)
{
    return switch_status(c, "deactivated", "active");
}
