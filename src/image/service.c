/* SPDX-License-Identifier: EUPL-1.2 */
/* The image service: tables, routes, schemas, and what other services ask of it. */
#include "image/resources.h"
#include <sys/stat.h>

const char *const container_formats[] = {"bare", NULL};
const char *const visibilities[] = {"private", "public", "shared", "community", NULL};
const char *const image_statuses[] = {"queued", "active", "deactivated", NULL};
const char *const member_statuses[] = {"pending", "accepted", "rejected", NULL};

static struct image_config settings;

struct err *image_configure(struct ctx *cx, const struct image_config *cfg)
{
    settings = *cfg;
    if (mkdir(cfg->dir, 0700) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the image store %s: %m", cfg->dir);
    return NULL;
}

const struct image_config *image_settings(void)
{
    return &settings;
}

/* ---------------------------------------------------------------- fields */

const char *check_disk_format(struct ctx *cx, const json_t *v, json_t **ret UNUSED)
{
    const char *s = json_string_value(v);
    if (str_eq(s, "raw") || str_eq(s, "qcow2") || !s)
        return NULL;
    return arena_printf(cx->arena,
                        "'%s' is not one of [None, 'raw', 'qcow2']: convert the disk with "
                        "'qemu-img convert -O qcow2'",
                        s);
}

const char *check_tags(struct ctx *cx, const json_t *v, json_t **ret)
{
    json_t *unique = json_own(cx, json_array());
    if (!json_is_array(v) || json_array_size(v) > 128)
        return "an array of at most 128 tags is expected";
    for (size_t i = 0; i < json_array_size(v); i++) {
        bool again = false;
        for (size_t k = 0; k < json_array_size(unique); k++)
            again |= json_equal(json_array_get(unique, k), json_array_get(v, i)) == 1;
        if (!again)
            json_array_append(unique, json_array_get(v, i));
    }
    *ret = unique;
    return NULL;
}

void member_schema_encode(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                          const struct view *v UNUSED)
{
    jw_str(w, "/v2/schemas/member");
}

void image_self_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v UNUSED)
{
    jw_str(w, arena_printf(cx->arena, "/v2/images/%s", ((const struct image *)row)->id));
}

void image_file_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v UNUSED)
{
    jw_str(w, arena_printf(cx->arena, "/v2/images/%s/file", ((const struct image *)row)->id));
}

void image_schema_encode(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                         const struct view *v UNUSED)
{
    jw_str(w, "/v2/schemas/image");
}

#define RESOURCE image
#define RESOURCE_DEF "image/image.def"
#include "resource/declare_fields.h"
#define RESOURCE member
#define RESOURCE_DEF "image/member.def"
#include "resource/declare_fields.h"

static bool visible(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor)
{
    const struct image *i = row;
    struct member *m = NULL;
    if (str_eq(i->visibility, "public") || str_eq(i->visibility, "community"))
        return true;
    return str_eq(i->visibility, "shared") && !member_find(cx, tx, i->id, actor->project_id, &m) &&
           m;
}

static void encode_more(struct ctx *cx, struct jw *w, const void *row, const struct view *v UNUSED)
{
    const struct image *i = row;
    json_t *properties = NULL, *value;
    const char *key;
    if (!json_read(cx, i->properties, strlen(i->properties), &properties))
        json_object_foreach(properties, key, value) jw_kjson(w, key, value);
}

static const struct res_index image_indexes[] = {{"images_owner", "owner, created_at"},
                                                 {"images_created", "created_at, id"}};
static const struct res_index member_indexes[] = {{"image_members_image", "image_id"},
                                                  {"image_members_member", "member_id"}};

const struct resource image_resource = {.name = "image",
                                        .plural = "images",
                                        .table = "images",
                                        RESOURCE_FIELDS(image),
                                        .bare = true,
                                        .extra = EXTRA_KEEP,
                                        .extra_member = image_f_properties,
                                        .owner = image_f_owner,
                                        .time_style = TIME_Z,
                                        .not_found = "No image found with ID %s",
                                        .indexes = image_indexes,
                                        .n_indexes = ARRAY_LEN(image_indexes),
                                        .visible = visible,
                                        .encode_more = encode_more,
                                        .dflt_sort = "created_at:desc,id:desc",
                                        .doc = "A disk to make servers from."};
const struct resource member_resource = {.name = "member",
                                         .plural = "members",
                                         .table = "image_members",
                                         RESOURCE_FIELDS(member),
                                         .bare = true,
                                         .owner = -1,
                                         .time_style = TIME_Z,
                                         .indexes = member_indexes,
                                         .n_indexes = ARRAY_LEN(member_indexes),
                                         .dflt_sort = "created_at",
                                         .doc = "A project that an image is shared with."};

/* ---------------------------------------------------------------- schemas, versions */

static void schema_of(struct jw *w, const struct resource *res)
{
    jw_obj(w);
    jw_kstr(w, "name", res->name);
    jw_kobj(w, "properties");
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (f->flags & F_HIDDEN)
            continue;
        jw_kobj(w, f->wire);
        jw_karr(w, "type");
        jw_str(w, field_json_type(f));
        if (f->flags & F_NULL)
            jw_str(w, "null");
        jw_arr_end(w);
        jw_kstr(w, "description", f->doc);
        if (!(f->flags & F_RW))
            jw_kbool(w, "readOnly", true);
        jw_obj_end(w);
    }
    jw_obj_end(w);
    if (res->extra == EXTRA_KEEP)
        jw_kraw(w, "additionalProperties", "{\"type\":\"string\"}");
    jw_obj_end(w);
}

struct err *image_schema(struct call *c)
{
    const char *name = call_param(c, "schema");
    const struct resource *const all[] = {&image_resource, &member_resource};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        bool plural = str_eq(name, all[i]->plural);
        if (!plural && !str_eq(name, all[i]->name))
            continue;
        struct jw w = call_json(c, 200);
        if (plural) {
            jw_obj(&w);
            jw_kstr(&w, "name", all[i]->plural);
            jw_kobj(&w, "properties");
            jw_kobj(&w, all[i]->plural);
            jw_kstr(&w, "type", "array");
            jw_key(&w, "items");
        }
        schema_of(&w, all[i]);
        for (int k = 0; plural && k < 3; k++)
            jw_obj_end(&w);
        return NULL;
    }
    return fail(c->cx, ERR_NOT_FOUND, "There is no schema '%s'", name);
}

static struct err *versions(struct call *c)
{
    struct jw w = call_json(c, str_ends(c->rq->path, "/versions") ? 200 : 300);
    jw_obj(&w);
    jw_karr(&w, "versions");
    for (int minor = 9; minor >= 0; minor -= minor == 9 ? 2 : 1) {
        if (minor == 8)
            continue;
        jw_obj(&w);
        jw_kstr(&w, "id", arena_printf(c->cx->arena, "v2.%d", minor));
        jw_kstr(&w, "status", minor == 9 ? "CURRENT" : "SUPPORTED");
        jw_karr(&w, "links");
        jw_obj(&w);
        jw_kstr(&w, "rel", "self");
        jw_kstr(&w, "href", arena_printf(c->cx->arena, "%s/image/v2/", c->rq->base_url));
        jw_obj_end(&w);
        jw_arr_end(&w);
        jw_obj_end(&w);
    }
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Importing and several stores are not offered: said as the API says it. */
static struct err *import_info(struct call *c)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "import-methods",
            "{\"description\":\"Import methods available.\",\"type\":\"array\",\"value\":[]}");
    jw_obj_end(&w);
    return NULL;
}

/* ---------------------------------------------------------------- what compute asks */

const struct res_where images_for = {&image_resource,
                                     "os_hidden = 0 AND (owner = $1 OR visibility = 'public')",
                                     "created_at DESC, id DESC LIMIT 1000"};

static void info_of(const struct image *i, struct image_info *ret)
{
    *ret =
        (struct image_info){.id = i->id,
                            .name = i->name,
                            .status = i->status,
                            .disk_format = i->disk_format,
                            .container_format = i->container_format,
                            .sha512 = i->os_hash_value,
                            .md5 = i->checksum,
                            .visibility = i->visibility,
                            .owner = i->owner,
                            .unbootable = i->unbootable,
                            .size_bytes = i->size == INT_NULL ? 0 : i->size,
                            .virtual_size_bytes = i->virtual_size == INT_NULL ? 0 : i->virtual_size,
                            .min_disk_gib = i->min_disk,
                            .min_ram_mib = i->min_ram,
                            .created_us = i->created_at,
                            .updated_us = i->updated_at,
                            .properties = i->properties};
}

struct err *image_get(struct ctx *cx, struct tx *tx, const char *id, const struct actor *actor,
                      struct image_info *ret)
{
    struct image *i = NULL;
    TRY(res_find_visible(cx, tx, &image_resource, id, actor, (void **)&i));
    info_of(i, ret);
    return NULL;
}

struct err *image_list_for(struct ctx *cx, struct tx *tx, const struct actor *actor,
                           struct image_info **ret, size_t *ret_n)
{
    void **rows;
    TRY(res_select_by(cx, tx, &images_for, &rows, ret_n, V_TEXT(actor->project_id)));
    *ret = arena_new_array(cx->arena, struct image_info, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++)
        info_of(rows[i], &(*ret)[i]);
    return NULL;
}

struct err *image_get_any(struct ctx *cx, struct tx *tx, const char *id, struct image_info *ret,
                          bool *ret_found)
{
    struct image *i = NULL;
    TRY(res_get(cx, tx, &image_resource, id, (void **)&i));
    *ret_found = i != NULL;
    if (i)
        info_of(i, ret);
    return NULL;
}

/* ---------------------------------------------------------------- the service */

const struct res_where members_of_image = {&member_resource, "image_id = $1",
                                           "created_at, member_id"};
const struct stmt stmt_members_forget = {"image_members_forget",
                                         "DELETE FROM image_members WHERE image_id = $1"};
const struct stmt stmt_locations = {"image_locations",
                                    "SELECT location FROM images WHERE location IS NOT NULL"};

const struct stmt stmt_location_named = {"image_location_named",
                                         "SELECT 1 FROM images WHERE location = $1"};

#define V2 "/image/v2"
#define IMAGE V2 "/images/{image_id}"
static const struct route routes[] = {
    ROUTE(GET, "/image", versions, "get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, "/image/", versions, "get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, "/image/versions", versions, "get_versions", .rule = RULE_PUBLIC),
    ROUTE(GET, V2 "/schemas/{schema}", image_schema, "get_schema", .rule = RULE_ANY),
    ROUTE(GET, V2 "/info/import", import_info, "get_import_info", .rule = RULE_ANY),
    ROUTE(GET, V2 "/images", image_list, "get_images", .rule = RULE_READER,
          .list = &image_resource),
    ROUTE(POST, V2 "/images", image_create, "add_image", .rule = RULE_MEMBER,
          .body = &image_resource, .status = 201),
    ROUTE(GET, IMAGE, image_show, "get_image", .rule = RULE_READER, .target = &image_resource),
    ROUTE(PATCH, IMAGE, image_patch, "modify_image", .rule = RULE_MEMBER),
    ROUTE(DELETE, IMAGE, image_delete, "delete_image", .rule = RULE_MEMBER, .status = 204),
    ROUTE(PUT, IMAGE "/file", image_upload, "upload_image", .rule = RULE_MEMBER, .flags = RT_STREAM,
          .stream = image_upload_begin, .before = image_upload_settle, .status = 204),
    ROUTE(GET, IMAGE "/file", image_download, "download_image", .rule = RULE_READER,
          .target = &image_resource, .target_param = "image_id"),
    ROUTE(PUT, IMAGE "/tags/{tag}", image_tag_add, "modify_image", .rule = RULE_MEMBER,
          .status = 204),
    ROUTE(DELETE, IMAGE "/tags/{tag}", image_tag_remove, "modify_image", .rule = RULE_MEMBER,
          .status = 204),
    ROUTE(POST, IMAGE "/actions/deactivate", image_deactivate, "deactivate", .rule = RULE_ADMIN,
          .target = &image_resource, .target_param = "image_id", .status = 204),
    ROUTE(POST, IMAGE "/actions/reactivate", image_reactivate, "reactivate", .rule = RULE_ADMIN,
          .target = &image_resource, .target_param = "image_id", .status = 204),
    ROUTE(GET, IMAGE "/members", member_list, "get_members", .rule = RULE_READER),
    ROUTE(POST, IMAGE "/members", member_create, "add_member", .rule = RULE_MEMBER),
    ROUTE(GET, IMAGE "/members/{member_id}", member_show, "get_member", .rule = RULE_READER),
    ROUTE(PUT, IMAGE "/members/{member_id}", member_update, "modify_member", .rule = RULE_MEMBER),
    ROUTE(DELETE, IMAGE "/members/{member_id}", member_delete, "delete_member", .rule = RULE_MEMBER,
          .status = 204),
};

static const struct resource *const resources[] = {&image_resource, &member_resource};
static const struct res_where *const wheres[] = {&members_of_image, &images_for};
static const struct stmt *const stmts[] = {&stmt_members_forget, &stmt_locations,
                                           &stmt_location_named};

const struct service image_service = {
    .name = "image",
    .family = &family_image,
    SERVICE_LIST(resources, resources),
    SERVICE_LIST(routes, routes),
    SERVICE_LIST(stmts, stmts),
    SERVICE_LIST(wheres, wheres),
};
