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
/* Whether somebody still copies from an image: until then it can't be deleted. Set at start. */
typedef struct err *image_used_fn(struct ctx *cx, struct tx *tx, const char *image_id, bool *ret);
void image_on_delete(image_used_fn *fn);
/* As the image service's DELETE: the actor's own, unprotected. */
MUST_USE struct err *image_remove(struct call *c, const char *id);
/* All properties anew, of an image of the actor's own, as by the image service's PATCH. */
MUST_USE struct err *image_properties_set(struct call *c, const char *id, const char *properties);
/* Without an actor: the control plane itself, for an image that a server was made from. *ret_found
 * false: it is gone. */
MUST_USE struct err *image_get_any(struct ctx *cx, struct tx *tx, const char *id,
                                   struct image_info *ret, bool *ret_found);

/*
 * Exports: a disk on a host becomes an image. The row is made at once (queued), the host's agent
 * copies the disk and sends it; then the image is active and fn runs, in the transaction of the
 * host's report. An export whose host fails, or that takes too long, ends with an error and without
 * an image.
 */
enum export_source { EXPORT_SERVER, EXPORT_VOLUME };
struct image_export {
    enum export_source source;
    const char *source_id, *host_id;
    const char *name, *disk_format, *container_format, *visibility; /* NULL: as the API's default */
    int64_t min_disk_gib, min_ram_mib;
    const char *properties; /* JSON object of strings */
    bool held;              /* the host is told by image_export_release */
    bool keep;              /* protected */
};
/* Of the actor's project. ERR_QUOTA and what the image service's POST refuses. */
MUST_USE struct err *image_export_begin(struct call *c, const struct image_export *x,
                                        const char **ret_image_id);
/* An image without data, active at once: what its properties name is what a server boots from. */
MUST_USE struct err *image_describe(struct call *c, const struct image_export *x,
                                    const char **ret_image_id);
/* What the source's owner does once it is over; error NULL: the image is active. */
typedef struct err *image_export_done_fn(struct ctx *cx, struct tx *tx, const char *source_id,
                                         const char *image_id, const char *error);
/* Once, of one that was held. */
MUST_USE struct err *image_export_release(struct ctx *cx, struct tx *tx, const char *image_id);
void image_on_export(enum export_source source, image_export_done_fn *fn); /* at start */
/* The source goes: what is still under way is given up. */
MUST_USE struct err *image_export_cancel(struct ctx *cx, struct tx *tx, enum export_source source,
                                         const char *source_id);
/* Of the project's active images with all these properties (a JSON object of strings), the newest
 * `keep` stay, and protected ones. */
MUST_USE struct err *image_keep_newest(struct ctx *cx, struct tx *tx, const char *project_id,
                                       const char *properties, int64_t keep);
/* One that the control plane made for itself is no longer needed; its user may have protected it:
 * then it stays. */
MUST_USE struct err *image_discard(struct ctx *cx, struct tx *tx, const char *id);
