/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to image/. */
#pragma once

#include "image/image.h"
#include "image/images.h"

#define RESOURCE image
#define RESOURCE_DEF "image/image.def"
#include "resource/declare_struct.h"
#define RESOURCE member
#define RESOURCE_DEF "image/member.def"
#include "resource/declare_struct.h"

#define RESOURCE task
#define RESOURCE_DEF "image/task.def"
#include "resource/declare_struct.h"
#define RESOURCE export
#define RESOURCE_DEF "image/export.def"
#include "resource/declare_struct.h"

const struct image_config *image_settings(void);

/* Handlers, statements and selections of all topics. */
#define API(method, path, handler, ...) struct err *handler(struct call *c);
#define STMT(name) extern const struct stmt name;
#define ROWS(name) extern const struct res_where name;
#include "image/topics.def"

/* The member's row or NULL. */
MUST_USE struct err *member_find(struct ctx *cx, struct tx *tx, const char *image_id,
                                 const char *project_id, struct member **ret);

/* ---- upload.c */
struct err *image_stage_begin(struct call *c, struct http_sink **ret_sink);
struct err *image_upload_begin(struct call *c, struct http_sink **ret_sink);
struct err *image_upload_settle(struct call *c);
/* Of the image that find finds in c->tx: when the data begins to come, and again at its end. */
typedef struct err *image_find_fn(struct call *c, struct image **ret);
MUST_USE struct err *image_upload_open(struct call *c, image_find_fn *find,
                                       struct http_sink **ret_sink);

/* ---- import.c */
/* Tasks whose time is over go, and staged data that nobody imported. */
MUST_USE struct err *image_import_sweep(struct ctx *cx, struct store *s, size_t *ret_changed);
#define IMAGE_STORE "local" /* the one there is */

/* ---- data.c */
/* Removes the file once the transaction has committed. */
void image_data_forget(struct ctx *cx, struct tx *tx, const char *location);

/* ---- format.c */
struct image_format {
    const char *unbootable; /* why no server starts from it: not what disk_format says, or a format
                               that is kept only; NULL: one does */
    int64_t virtual_size;
};
#define IMAGE_HEAD_BYTES 4096
/*
 * Reads the first bytes (head_size of them) of the data. ERR_INVALID for what must never reach
 * QEMU: backing and data files, encryption, unknown features, tables beyond any reason.
 */
MUST_USE struct err *image_format_check(struct ctx *cx, const char *disk_format,
                                        const uint8_t *head, size_t head_size, int64_t size,
                                        struct image_format *ret);

/* ---- images.c */
bool image_has_tag(const struct call *c, const struct image *i, const char *tag);
/* Whoever may not change it: 403 where it is seen, 404 where it isn't. */
MUST_USE struct err *image_own(struct call *c, struct image **ret);
/* What the actor may not make. */
MUST_USE struct err *image_check_new(struct call *c, const struct image *i);
/* Row, members and data go. */
MUST_USE struct err *image_drop(struct ctx *cx, struct tx *tx, struct image *i);

/* ---- exports.c: the fleet's kind "export" */
struct err *export_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present);
struct err *exports_on(struct ctx *cx, struct tx *tx, const char *host_id, struct db_rows *ret_ids);
struct err *export_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed);
struct err *export_upload_begin(struct call *c, struct http_sink **ret_sink);
/* Its image is deleted: it ends with an error. */
MUST_USE struct err *image_export_deleted(struct ctx *cx, struct tx *tx, const char *image_id);

extern const char *const container_formats[],
    *const disk_formats[], *const visibilities[], *const image_statuses[], *const member_statuses[];
const char *check_tags(struct ctx *cx, const json_t *v, json_t **ret);
void image_self_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
void image_file_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
void image_schema_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
void member_schema_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
