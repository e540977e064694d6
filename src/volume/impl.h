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
#define RESOURCE qos_specs
#define RESOURCE_DEF "volume/qos_specs.def"
#include "resource/declare_struct.h"
#define RESOURCE group_type
#define RESOURCE_DEF "volume/group_type.def"
#include "resource/declare_struct.h"
#define RESOURCE group
#define RESOURCE_DEF "volume/group.def"
#include "resource/declare_struct.h"
#define RESOURCE group_snapshot
#define RESOURCE_DEF "volume/group_snapshot.def"
#include "resource/declare_struct.h"
#define RESOURCE transfer
#define RESOURCE_DEF "volume/transfer.def"
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
#define VENDOR "Colvert"

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

/* ---- filters.c, volumes.c, volume_show.c */
/* Since 3.31: ERR_INVALID for a filter that lists of this resource don't have. */
MUST_USE struct err *volume_check_filter(struct call *c, const char *resource, const char *name);
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

/* with_count, since 3.45. */
bool volume_wants_count(const struct call *c);
/* {'key': 'value'}, as a filter's value. */
MUST_USE struct err *volume_read_dict(struct call *c, const char *name, const char *text,
                                      json_t **ret);
/* What a list keeps of rows with these, when the filter's dictionary is in c->state. */
bool volume_has_metadata(struct call *c, const char *text);
/* The checks of a DELETE, then volume_doom. */
MUST_USE struct err *volume_delete_it(struct call *c, struct volume *v, bool cascade, bool force);

/* The same for one of a group that is deleted. */
MUST_USE struct err *volume_delete_member(struct call *c, struct volume *v);

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
/* Before it moves: its server hears that it is extended, or is not. */
MUST_USE struct err *volume_note_extended(struct ctx *cx, struct tx *tx, const struct volume *v,
                                          enum volume_state to);
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
/* Nothing is left of it on its host. */
MUST_USE struct err *snapshot_remove(struct ctx *cx, struct tx *tx, struct snapshot *s);
MUST_USE struct err *snapshot_doom(struct ctx *cx, struct tx *tx, struct snapshot *s);

/* ---- pools.c */
/* The host becomes the one that manages it: nothing, where it is that, or the volume is of no pool.
 * ERR_INVALID: it does not reach the pool. */
MUST_USE struct err *volume_hand_over(struct ctx *cx, struct tx *tx, struct volume *v,
                                      const char *host_id, enum rehost how);
/* The host before has let go. Saved; its host hears of it. */
MUST_USE struct err *volume_arrives(struct ctx *cx, struct tx *tx, struct volume *v);
/* What it is made from is where it is to be made. */
MUST_USE struct err *volume_source_arrived(struct ctx *cx, struct tx *tx, const struct volume *v,
                                           bool *ret);
/* Where the server that has it runs. */
const char *volume_user_host(const struct volume *v);
/* Volumes of hosts that are gone go on elsewhere. */
MUST_USE struct err *volume_pools_sweep(struct ctx *cx, struct store *store, size_t *changed);

/* ---- volume_create.c */
/* Where a new volume must lie (NULL: anywhere), and where it must not. near_host_id: a server there
 * will have it; on that host, or in a pool that it reaches. */
struct place_hint {
    const char *host_id, *near_host_id, *const *not_on;
    size_t n_not_on;
};
/* Checks, quota, place, row, the word to the host. v: as decoded; hint NULL: none. */
MUST_USE struct err *volume_make(struct call *c, struct volume *v, const struct place_hint *hint);
/* No host can make volumes of this type. */
MUST_USE struct err *volume_check_type(struct call *c, const struct volume_type *type);
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

/* ---- volume_actions.c, volume_use_actions.c, volume_image.c */
typedef struct err *volume_act_fn(struct call *c, struct volume *v, const json_t *args);
volume_act_fn act_reserve, act_unreserve, act_begin_detaching, act_roll_detaching, act_attach,
    act_detach, act_force_detach, act_initialize_connection, act_terminate_connection,
    act_upload_image, act_set_image_metadata, act_unset_image_metadata, act_show_image_metadata;
/* Reads a member of an action's arguments; ERR_INVALID where it is of another type. *ret stays
 * where it is absent or null. */
MUST_USE struct err *arg_text(struct call *c, const json_t *args, const char *name,
                              const char **ret);
MUST_USE struct err *arg_bool(struct call *c, const json_t *args, const char *name, bool *ret);
MUST_USE struct err *arg_int(struct call *c, const json_t *args, const char *name, int64_t *ret);
image_export_done_fn volume_export_done;
image_used_fn volume_copies_image;
/* How whoever brings the data to a machine of their own finds it: members of connection_info. */
void volume_connection(struct ctx *cx, struct jw *w, const struct volume *v, const char *mode);

/* ---- uses.c: attachments */
enum attach_state attach_state_of(const struct attachment *a);
void attach_move(struct ctx *cx, struct attachment *a, enum attach_state to);
/* The server whose guest may have the volume open; *ret NULL: none. */
MUST_USE struct err *volume_server(struct ctx *cx, struct tx *tx, const char *volume_id,
                                   const char **ret);
extern const struct res_where volumes_by_ids; /* in no order */
/* By id, and one of them, which must be there. */
void **volumes_sorted(struct ctx *cx, void *const *volumes, size_t n);
struct volume *volumes_find(void *const *sorted, size_t n, const char *id);
MUST_USE struct err *attachments_of(struct ctx *cx, struct tx *tx, const char *volume_id,
                                    struct attachment ***ret, size_t *ret_n);
/* Its end: the volume settles, its host is told. */
MUST_USE struct err *attachment_end(struct ctx *cx, struct tx *tx, struct attachment *a);

/* ---- attachments.c, transfers.c */
/* ERR_CONFLICT for a server's disk: it is compute's to end. */
MUST_USE struct err *volume_check_record(struct call *c, const struct attachment *a);
MUST_USE struct err *volume_transfer_cancel(struct ctx *cx, struct tx *tx, const char *volume_id);

/* ---- maps.c: a row's map of texts, as one resource of the API, "extra_specs" and "group_specs" */
MUST_USE struct err *volume_map_read(struct call *c, const char *text, json_t **ret);
/* Adds what is given; ERR_INVALID for what is no text, or too many. */
MUST_USE struct err *volume_map_add(struct call *c, const char *name, json_t *map,
                                    const json_t *given);
/* The body of a PUT of one key: {"key": "text"}. */
MUST_USE struct err *volume_map_one(struct call *c, const char *key);
/* {"name": {…}}, or the map alone. */
struct err *volume_map_reply(struct call *c, int status, const char *name, const json_t *map);
MUST_USE struct err *volume_map_reply_one(struct call *c, const json_t *map, const char *key);

/* ---- groups.c, group_types.c, group_snapshots.c */
/* By id or name, one that the actor may use. */
MUST_USE struct err *group_type_find(struct call *c, const char *name, struct group_type **ret);
/* A volume is made in the group, or joins it: ERR_INVALID where it may not. */
MUST_USE struct err *group_check_joining(struct call *c, const char *group_id,
                                         const struct volume *v);
/* A volume or snapshot changed or is gone: what waits for it goes on. NULL: none. */
MUST_USE struct err *group_settle(struct ctx *cx, struct tx *tx, const char *group_id);
MUST_USE struct err *group_snapshot_settle(struct ctx *cx, struct tx *tx, const char *id);
bool group_status_known(const char *status);

/* ---- types.c */
/* By name or id, one that the actor may use. */
MUST_USE struct err *volume_type_find(struct call *c, const char *name, struct volume_type **ret);
/* Extra specs that are for everyone to see. */
bool volume_spec_visible(const char *key);
/* Volumes, snapshots or projects' defaults have it. */
MUST_USE struct err *volume_type_in_use(struct call *c, const char *type_id, bool *ret);
MUST_USE struct err *volume_type_encrypted(struct ctx *cx, struct tx *tx, const char *type_id,
                                           bool *ret);
/* The one for requests that name none. */
MUST_USE struct err *volume_type_default(struct call *c, struct volume_type **ret);
/* Names of all types: rows of id and name. */
MUST_USE struct err *volume_type_names(struct ctx *cx, struct tx *tx, struct db_rows *ret);
MUST_USE struct err *volume_type_by_id(struct ctx *cx, struct tx *tx, const char *id,
                                       struct volume_type **ret);
/* As the answer to an upload shows it. */
void volume_type_write(struct ctx *cx, struct jw *w, const struct volume_type *type);
const char *volume_type_name(const struct db_rows *names, const char *type_id);

/* ---- hosts.c */
struct volume_host {
    const char *id, *name, *zone;
    const char *pool_id; /* its volumes lie on this shared storage; NULL: on its own disk */
    const char *reason;  /* why it takes no new volumes; NULL: it does */
    bool alive, enabled, frozen;
    const char *disabled_reason;
    int64_t total_gib, used_gib, own_gib, volumes, last_seen_us; /* own: volumes and snapshots */
};
MUST_USE struct err *volume_hosts(struct ctx *cx, struct tx *tx, struct volume_host **ret,
                                  size_t *ret_n);
struct place_wish {
    const char *host_id, *zone; /* NULL: any */
    const char *const *not_on;
    size_t n_not_on;
    const struct volume_type *type;
    int64_t size_gib; /* 0: it lies there already */
};
/* The host with the most room; *ret NULL: none, and *ret_reason why. */
MUST_USE struct err *volume_place(struct ctx *cx, struct tx *tx, const struct place_wish *wish,
                                  const struct volume_host **ret, const char **ret_reason);
/* By name: what a type's extra specs ask for. */
json_t *volume_host_capabilities(struct ctx *cx, const struct volume_host *h);
/* "host@qcow2#qcow2" */
const char *volume_host_text(struct ctx *cx, const char *host_name);

/* ---- quotas.c */
/* n more volumes (or snapshots), of so many GiB together, of this type. */
MUST_USE struct err *volume_quota_check(struct call *c, const char *project_id,
                                        const struct volume_type *type, const char *what, int64_t n,
                                        int64_t gib);
/* One volume of this size. */
MUST_USE struct err *volume_quota_size(struct call *c, const char *project_id, int64_t gib);
/* A volume becomes one of this type. */
MUST_USE struct err *volume_quota_retype(struct call *c, const char *project_id,
                                         const struct volume_type *type, int64_t gib);
MUST_USE struct err *volume_quota_groups(struct call *c, const char *project_id);

/* ---- messages.c */
/* Tells the user why: shown by /messages. */
MUST_USE struct err *volume_message(struct ctx *cx, struct tx *tx, const char *project_id,
                                    const char *resource_type, const char *resource_id,
                                    const char *action, const char *detail, const char *text);
