/* SPDX-License-Identifier: EUPL-1.2 */
/* What other services ask of this one. */
#include "image/images.h"
#include "image/resources.h"

const struct res_where images_for = {&image_resource,
                                     "os_hidden = 0 AND (owner = $1 OR visibility = 'public')",
                                     "created_at DESC, id DESC LIMIT 1000"};

const struct res_where images_active_of = {&image_resource, "owner = $1 AND status = 'active'",
                                           "created_at DESC, id DESC"};

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

static struct err *has_all(struct ctx *cx, const struct image *i, const json_t *wanted, bool *ret)
{
    json_t *properties = NULL, *value;
    const char *key;
    TRY(json_read(cx, i->properties, strlen(i->properties), &properties));
    *ret = true;
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value) *ret =
        *ret && json_equal(json_get(properties, key), value);
    return NULL;
}

struct err *image_keep_newest(struct ctx *cx, struct tx *tx, const char *project_id,
                              const char *properties, int64_t keep)
{
    json_t *wanted = NULL;
    void **rows;
    size_t n;
    TRY(json_read(cx, properties, strlen(properties), &wanted));
    TRY(res_select_by(cx, tx, &images_active_of, &rows, &n, V_TEXT(project_id)));
    for (size_t i = 0; i < n; i++) {
        struct image *image = rows[i];
        bool one;
        TRY(has_all(cx, image, wanted, &one));
        if (one && keep-- <= 0 && !image->is_protected)
            TRY(image_drop(cx, tx, image));
    }
    return NULL;
}
