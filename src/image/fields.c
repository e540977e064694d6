/* SPDX-License-Identifier: EUPL-1.2 */
/* The resources of the service: their tables, the checks and encodings of their fields. */
#include "image/resources.h"

const char *const container_formats[] = {"bare", "ovf", "ova",        "docker", "ami",
                                         "ari",  "aki", "compressed", NULL};
const char *const disk_formats[] = {"raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx",
                                    "iso", "ploop", "ami",  "ari", "aki", NULL};
const char *const visibilities[] = {"private", "public", "shared", "community", NULL};
const char *const image_statuses[] = {"queued", "uploading", "active", "deactivated", NULL};
const char *const member_statuses[] = {"pending", "accepted", "rejected", NULL};

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

static void image_stores_encode(struct ctx *cx UNUSED, struct jw *w, const void *row UNUSED,
                                const struct view *v UNUSED)
{
    jw_str(w, IMAGE_STORE);
}

static bool image_has_data(const void *row, const struct view *v UNUSED)
{
    return ((const struct image *)row)->location != NULL;
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

static const struct res_index image_indexes[] = {
    {"images_owner", "owner, created_at, id, size, staged_size, status"},
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
