/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to volume/: its resources and what its files share. */
#pragma once

#include "fleet/fleet.h"
#include "image/images.h"
#include "volume/lifecycle.h"
#include "volume/volume.h"
#include "volume/volumes.h"

#define RESOURCE volume
#define RESOURCE_DEF "volume/volume.def"
#include "resource/declare_struct.h"
#define RESOURCE snapshot
#define RESOURCE_DEF "volume/snapshot.def"
#include "resource/declare_struct.h"
#define RESOURCE attachment
#define RESOURCE_DEF "volume/attachment.def"
#include "resource/declare_struct.h"
#define RESOURCE message
#define RESOURCE_DEF "volume/message.def"
#include "resource/declare_struct.h"
#define RESOURCE volume_type
#define RESOURCE_DEF "volume/volume_type.def"
#include "resource/declare_struct.h"

/* Handlers, statements and selections of all topics. */
#define API(method, path, handler, ...) struct err *handler(struct call *c);
#define API_ROOT(method, path, handler, ...) struct err *handler(struct call *c);
#define STMT(name) extern const struct stmt name;
#define ROWS(name) extern const struct res_where name;
#include "volume/topics.def"

#define DEFAULT_TYPE "__DEFAULT__"
#define BACKEND "qcow2" /* the one there is: files on a host's disk */

/* ---- service.c */
extern struct volume_config volume_cfg;
/* "Invalid input for field/attribute …", for what no resource's table decodes. */
struct err *volume_bad_member(struct call *c, const char *name, const json_t *value,
                              const char *reason);
/* The member of the body with this name, an object; ERR_INVALID otherwise. */
MUST_USE struct err *volume_body_object(struct call *c, const char *name, const json_t **ret);
/* The only member of the body, whatever its name: actions. */
MUST_USE struct err *volume_body_action(struct call *c, const char **ret_name,
                                        const json_t **ret_args);
/* Names and descriptions lose the blanks at their ends. */
const char *check_trimmed(struct ctx *cx, const json_t *v, json_t **ret);
void volume_links(struct ctx *cx, struct jw *w, const struct view *v, const char *collection,
                  const char *id);
struct err *volume_forbidden(struct call *c, const char *policy);

/* ---- volumes.c, volume_show.c */
/* row.extra of a volume once prepared. */
struct volume_more {
    const char *type_name;
    struct attachment **attachments;
    size_t n_attachments;
};
/* Filters that volumes and snapshots share: status, name~, metadata, created_at … */
struct err *volume_filter(struct call *c, const char *name, const char *value, bool *ret_taken,
                          const char **ret_sql);
/* The actor's own (or any, for an administrator) by its id. */
MUST_USE struct err *volume_get(struct call *c, const char *id, struct volume **ret);

/* What a list with a metadata filter keeps. */
bool volume_has_metadata(struct call *c, const char *text);
/* The checks of a DELETE, then volume_doom. */
MUST_USE struct err *volume_delete_it(struct call *c, struct volume *v, bool cascade, bool force);

/* ---- volume_state.c */
enum volume_state volume_state_of(const struct volume *v);
/* Moves the struct; asserts that the table allows it. The caller saves. */
void volume_move(struct ctx *cx, struct volume *v, enum volume_state to);
/* The same without asking the table: what an administrator says. */
void volume_set_state(struct ctx *cx, struct volume *v, enum volume_state to);
/* What the attachments say. */
MUST_USE struct err *volume_settled(struct ctx *cx, struct tx *tx, const char *volume_id,
                                    enum volume_state *ret);
/* Back to what the attachments say, out of any state that they rule, and out of these. Saved. */
MUST_USE struct err *volume_settle(struct ctx *cx, struct tx *tx, struct volume *v, unsigned from);
/* State, then move: 400 in cinder's words. The caller changes what is desired and saves. */
MUST_USE struct err *volume_begin(struct call *c, struct volume *v, enum volume_act act);
/* Writes the row and tells its host. */
MUST_USE struct err *volume_save(struct ctx *cx, struct tx *tx, struct volume *v);
/* What is left of it goes: attachments, snapshots, row. */
MUST_USE struct err *volume_remove(struct ctx *cx, struct tx *tx, struct volume *v);
/* To be deleted, snapshots too; at once where no host has it. The caller has checked. */
MUST_USE struct err *volume_doom(struct ctx *cx, struct tx *tx, struct volume *v);
/* Its source, or itself as one, is still being copied. */
MUST_USE struct err *volume_is_source(struct ctx *cx, struct tx *tx, const char *volume_id,
                                      bool *ret);
MUST_USE struct err *snapshot_is_source(struct ctx *cx, struct tx *tx, const char *snapshot_id,
                                        bool *ret);
enum snapshot_state snapshot_state_of(const struct snapshot *s);
void snapshot_move(struct ctx *cx, struct snapshot *s, enum snapshot_state to);
void snapshot_set_state(struct ctx *cx, struct snapshot *s, enum snapshot_state to);
MUST_USE struct err *snapshot_save(struct ctx *cx, struct tx *tx, struct snapshot *s);
MUST_USE struct err *snapshot_doom(struct ctx *cx, struct tx *tx, struct snapshot *s);

/* ---- volume_create.c */
/* Checks, quota, place, row, the word to the host. v: as decoded; host_id: where it must lie, or
 * NULL. */
MUST_USE struct err *volume_make(struct call *c, struct volume *v, const char *host_id);
/* ---- snapshots.c */
MUST_USE struct err *snapshot_make(struct call *c, struct snapshot *s, bool force);
MUST_USE struct err *snapshot_delete_it(struct call *c, struct snapshot *s, bool force);

/* ---- volume_spec.c, volume_report.c */
struct err *volume_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present);
struct err *volume_ids_on(struct ctx *cx, struct tx *tx, const char *host_id,
                          struct db_rows *ret_ids);
struct err *volume_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed);

/* ---- uses.c: attachments */
enum attach_state attach_state_of(const struct attachment *a);
void attach_move(struct ctx *cx, struct attachment *a, enum attach_state to);
MUST_USE struct err *attachments_of(struct ctx *cx, struct tx *tx, const char *volume_id,
                                    struct attachment ***ret, size_t *ret_n);
/* Its end: the volume settles, its host is told. */
MUST_USE struct err *attachment_end(struct ctx *cx, struct tx *tx, struct attachment *a);

/* ---- types.c */
/* By name or id, one that the actor may use. */
MUST_USE struct err *volume_type_find(struct call *c, const char *name, struct volume_type **ret);
/* The one for requests that name none. */
MUST_USE struct err *volume_type_default(struct call *c, struct volume_type **ret);
/* Names of all types: rows of id and name. */
MUST_USE struct err *volume_type_names(struct ctx *cx, struct tx *tx, struct db_rows *ret);
const char *volume_type_name(const struct db_rows *names, const char *type_id);

/* ---- hosts.c */
struct volume_host {
    const char *id, *name, *zone;
    const char *reason; /* why it takes no new volumes; NULL: it does */
    bool alive, enabled;
    int64_t total_gib, used_gib, volumes;
};
MUST_USE struct err *volume_hosts(struct ctx *cx, struct tx *tx, struct volume_host **ret,
                                  size_t *ret_n);
struct place_wish {
    const char *host_id, *zone; /* NULL: any */
    const struct volume_type *type;
    int64_t size_gib;
};
/* The host with the most room; *ret NULL: none, and *ret_reason why. */
MUST_USE struct err *volume_place(struct ctx *cx, struct tx *tx, const struct place_wish *wish,
                                  const struct volume_host **ret, const char **ret_reason);
/* "host@qcow2#qcow2" */
const char *volume_host_text(struct ctx *cx, const char *host_name);

/* ---- quotas.c */
/* One more volume (or snapshot) of this size and type. */
MUST_USE struct err *volume_quota_check(struct call *c, const char *project_id,
                                        const char *type_name, const char *what, int64_t n,
                                        int64_t gib);

/* ---- messages.c */
/* Tells the user why: shown by /messages. */
MUST_USE struct err *volume_message(struct ctx *cx, struct tx *tx, const char *project_id,
                                    const char *resource_type, const char *resource_id,
                                    const char *action, const char *detail, const char *text);
