/* SPDX-License-Identifier: EUPL-1.2 */
/* What compute (and volumes) need of the image service. */
#pragma once

#include "resource/api.h"

struct image_info {
    const char *id, *name, *status, *disk_format, *container_format, *sha512, *md5, *visibility,
        *owner;
    int64_t size_bytes, virtual_size_bytes, min_disk_gib, min_ram_mib, created_us, updated_us;
    const char *unbootable; /* why no server can start from it; NULL: one can */
    const char *properties; /* JSON object of strings */
};

/* An image the actor may see. ERR_NOT_FOUND when there is none (or it is a stranger's private one).
 */
MUST_USE struct err *image_get(struct ctx *cx, struct tx *tx, const char *id,
                               const struct actor *actor, struct image_info *ret);
/* Those that a project sees in its list: its own and public ones, the newest 1000. */
MUST_USE struct err *image_list_for(struct ctx *cx, struct tx *tx, const struct actor *actor,
                                    struct image_info **ret, size_t *ret_n);
/* As the image service's DELETE: the actor's own, unprotected. */
MUST_USE struct err *image_remove(struct call *c, const char *id);
/* Without an actor: the control plane itself, for an image that a server was made from. *ret_found
 * false: it is gone. */
MUST_USE struct err *image_get_any(struct ctx *cx, struct tx *tx, const char *id,
                                   struct image_info *ret, bool *ret_found);
