/* SPDX-License-Identifier: EUPL-1.2 */
/* What other services ask of this one. */
#include "image/images.h"
#include "image/resources.h"

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
