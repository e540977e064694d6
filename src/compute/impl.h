/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to compute/: its resources and what its files share. */
#pragma once

#include "compute/compute.h"
#include "compute/lifecycle.h"
#include "fleet/fleet.h"
#include "image/images.h"
#include "network/ports.h"
#include "schedule/schedule.h"
#include "volume/volumes.h"

#define RESOURCE flavor
#define RESOURCE_DEF "compute/flavor.def"
#include "resource/declare_struct.h"
#define RESOURCE keypair
#define RESOURCE_DEF "compute/keypair.def"
#include "resource/declare_struct.h"
#define RESOURCE server
#define RESOURCE_DEF "compute/server.def"
#include "resource/declare_struct.h"
#define RESOURCE server_group
#define RESOURCE_DEF "compute/server_group.def"
#include "resource/declare_struct.h"
#define RESOURCE server_group_member
#define RESOURCE_DEF "compute/server_group_member.def"
#include "resource/declare_struct.h"
#define RESOURCE aggregate
#define RESOURCE_DEF "compute/aggregate.def"
#include "resource/declare_struct.h"
#define RESOURCE server_usage
#define RESOURCE_DEF "compute/usage.def"
#include "resource/declare_struct.h"
#define RESOURCE server_migration
#define RESOURCE_DEF "compute/migration.def"
#include "resource/declare_struct.h"
#define RESOURCE console_token
#define RESOURCE_DEF "compute/console_token.def"
#include "resource/declare_struct.h"
#define RESOURCE instance_action
#define RESOURCE_DEF "compute/instance_action.def"
#include "resource/declare_struct.h"

/* Handlers, statements and selections of all topics. */
#define API(method, path, handler, ...) struct err *handler(struct call *c);
#define STMT(name) extern const struct stmt name;
#define ROWS(name) extern const struct res_where name;
#include "compute/topics.def"

/* What POST /servers/{id}/action takes. */
#define ACTION(name, act, ...)                                                                     \
    struct err *act(struct call *c, struct server *s, const json_t *args);
#define QUESTION(name, ask, ...) struct err *ask(struct call *c, const json_t *args);
#include "compute/actions.def"

#define MAX_METADATA_TEXT 255

/* ---- service.c */
extern struct compute_config compute_cfg;
/* A bad member outside a decoded resource, in the words of the service. */
struct err *bad_member(struct call *c, const char *name, const json_t *value, const char *reason);
/* The member of the body with this name, an object; ERR_INVALID otherwise. */
MUST_USE struct err *body_object(struct call *c, const char *name, const json_t **ret);
/* An object with no other members than these; a NULL among them is none. */
MUST_USE struct err *only_members(struct call *c, const char *what, const json_t *obj,
                                  const char *const *names, size_t n);
#define ONLY_MEMBERS(c, what, obj, ...)                                                            \
    only_members(c, what, obj, (const char *const[]){__VA_ARGS__},                                 \
                 ARRAY_LEN(((const char *const[]){__VA_ARGS__})))
/* The only member of the body, whatever its name: actions. */
MUST_USE struct err *body_only_member(struct call *c, const char **ret_name,
                                      const json_t **ret_value);
const char *check_name(struct ctx *cx, const json_t *v, json_t **ret);
void write_links(struct jw *w, const char *base_url, const char *collection, const char *id);
void write_bookmark(struct jw *w, const char *base_url, const char *collection, const char *id);
/* Truth of a query argument; false when absent or not a boolean. */
bool arg_true(const struct call *c, const char *name);

/* ---- flavors.c */
MUST_USE struct err *flavor_find(struct call *c, const char *id, struct flavor **ret);

/* ---- flavor_specs.c */
/* What is wrong with an extra spec, in nova's words. */
MUST_USE struct err *flavor_spec_check(struct call *c, const char *name, const char *value);

/* ---- keypairs.c */
MUST_USE struct err *keypair_find(struct call *c, const char *user_id, const char *name,
                                  struct keypair **ret);
struct err *keypair_create_before(struct call *c);

/* ---- server_show.c */
/* row.extra of a server once prepared. */
struct server_more {
    const struct server_port *ports;
    size_t n_ports;
    const struct volume_use *uses;
    size_t n_uses;
    const char *host_status, *host_hash;
    const char *group_id; /* of its server group; not loaded for lists */
};
/* c->state while answering PUT and rebuild before 2.75: a part of the server alone is shown. */
extern const char server_reduced[];
/* What tells a project whether two servers share a host, without naming it; "" without a host. */
const char *host_hash(struct ctx *cx, const char *project_id, const char *host_name);
/* Ports of one server. */
MUST_USE struct err *server_ports(struct ctx *cx, struct tx *tx, const char *server_id,
                                  struct server_port **ret, size_t *ret_n);
/* "addresses" of these ports, as an object. extended: with type and MAC. only: one network's, as
 * its member; or NULL. */
void write_addresses(struct jw *w, const struct server_port *ports, size_t n, bool extended,
                     const char *only);

/* ---- server_state.c */
struct server_desired desired_of(const struct server *s);
struct server_observed observed_of(const struct server *s);
enum server_state state_of(const struct server *s);
/* Moves the struct; asserts that the table allows it. The caller saves. */
MUST_USE struct err *server_move(struct ctx *cx, struct tx *tx, struct server *s,
                                 enum server_state to);
void server_fault(struct ctx *cx, struct server *s, int code, const char *message);
/* Writes the row and tells its host. */
MUST_USE struct err *server_save(struct ctx *cx, struct tx *tx, struct server *s);
/* On or off, and nothing in between: neither paused nor suspended. */
void server_power(struct server *s, bool on);
/* What is left of it goes: ports, row. Its actions stay for a while. */
MUST_USE struct err *server_remove(struct ctx *cx, struct tx *tx, struct server *s);
enum record_kind {
    RECORD_OPEN,  /* over when the server settles */
    RECORD_APART, /* over when action_finish says so */
    RECORD_DONE
};
MUST_USE struct err *action_record(struct call *c, const struct server *s, const char *action,
                                   const char *event, enum record_kind kind);
MUST_USE struct err *action_finish(struct ctx *cx, struct tx *tx, const struct server *s,
                                   const char *action, bool good);
/* The lock, then the state: 409 in nova's words. */
MUST_USE struct err *server_check_lock(struct call *c, const struct server *s);
#define TASK_COPIED "image_uploading"
/* Also while it stands, but its root disk is being copied. */
const char *task_state_of(const struct server *s);
/* 409 in nova's words: not in this state. */
MUST_USE struct err *server_refuse(struct call *c, const struct server *s, const char *action);
/* What was being done failed. */
MUST_USE struct err *actions_failed(struct ctx *cx, struct tx *tx, const struct server *s);
/* Lock, state, record of the action, move. The caller changes what is desired and saves. */
MUST_USE struct err *server_begin(struct call *c, struct server *s, enum server_action action);

/* ---- console.c */
/* For questions to its host, outside of any transaction: 409 while there is nothing to ask. */
MUST_USE struct err *server_load_host(struct call *c, struct server **ret,
                                      struct fleet_host *ret_host);

/* ---- server_flavor.c */
/* One that servers can have; ERR_INVALID in nova's words. */
MUST_USE struct err *server_find_flavor(struct call *c, const char *id, struct flavor **ret);
void server_take_flavor(struct server *s, const struct flavor *f);
/* Of its host's own disk space. */
int64_t server_disk_gib(const struct server *s);
/* What is promised to it is what its flavor says. */
void server_hold(struct server *s);
/* Into s->old_flavor, and back. */
void server_keep_flavor(struct ctx *cx, struct server *s);
void server_restore_flavor(struct ctx *cx, struct server *s);

/* ---- actions_resize.c */
/* There is no way back any more: confirmed, or taken. */
MUST_USE struct err *server_end_resize(struct ctx *cx, struct tx *tx, struct server *s);

/* ---- actions_image.c, actions_backup.c */
/* States in which a root disk may be copied. */
#define IMAGEABLE (TO(ST_ACTIVE) | TO(ST_SHUTOFF) | TO(ST_PAUSED) | TO(ST_SUSPENDED))
/* 202, and where the image is. */
struct err *reply_image(struct call *c, const char *image_id);
/* The copy that is a backup is over. The caller saves. */
MUST_USE struct err *server_backed_up(struct ctx *cx, struct tx *tx, struct server *s,
                                      const char *image_id, const char *error);
/* Its root disk becomes an image of this name: s->export_image. held: the host is not told yet.
 * metadata (an object of texts, or NULL) adds to what the image says of itself. */
MUST_USE struct err *server_export(struct call *c, struct server *s, const char *name,
                                   const json_t *metadata, bool held);
/* The root disk's way to an image is over; registered with the image service. */
struct err *server_exported(struct ctx *cx, struct tx *tx, const char *server_id,
                            const char *image_id, const char *error);
/* What is being copied of it is given up. */
MUST_USE struct err *server_export_cancel(struct ctx *cx, struct tx *tx, struct server *s);

/* ---- server_spec.c, server_report.c */
/* It is to start elsewhere when its host fails: by its metadata, or by its flavor. */
bool server_is_ha(struct ctx *cx, const struct server *s);
struct err *server_view(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                        struct jw *w, bool *ret_present);
struct err *server_ids_on(struct ctx *cx, struct tx *tx, const char *host_id,
                          struct db_rows *ret_ids);
struct err *server_report(struct ctx *cx, struct tx *tx, const char *host_id, const char *item_id,
                          const json_t *observed);

/* ---- hypervisors.c */
const char *host_ip(struct ctx *cx, const struct fleet_host *h);
/* Ids were numbers before 2.53: the place in the order of creation. */
int64_t host_number(const struct fleet_host *hosts, size_t n, size_t i);

/* ---- services.c */
#define COMPUTE_BINARY "nova-compute"
#define INTERNAL_ZONE "internal" /* of the control plane's own services */
struct service_info {
    const char *id, *binary, *host, *zone, *disabled_reason;
    int64_t number, updated_us;
    bool enabled, alive, forced_down;
};
MUST_USE struct err *services_list(struct ctx *cx, struct tx *tx, struct service_info **ret,
                                   size_t *ret_n);

/* ---- usage.c */
/* What a server uses is recorded: from its first run, anew whenever its size or host is another,
 * until its row goes. */
MUST_USE struct err *usage_begin(struct ctx *cx, struct tx *tx, const struct server *s);
MUST_USE struct err *usage_change(struct ctx *cx, struct tx *tx, const struct server *s);
/* Nothing goes on: fine. */
MUST_USE struct err *usage_end(struct ctx *cx, struct tx *tx, const struct server *s);

/* ---- migrations.c */
struct migration_plan {
    const char *type;          /* "resize", "migration", "live-migration", "evacuation" */
    const char *status;        /* nova's: "queued", "migrating", "finished", "confirmed", … */
    const char *dest_host_id;  /* may be NULL */
    const char *new_flavor_id; /* NULL: it keeps its own */
};
/* Before the server's row is changed: it says where the server comes from. */
MUST_USE struct err *migration_record(struct call *c, const struct server *s,
                                      const struct migration_plan *plan);
/* Of its last migration. */
MUST_USE struct err *migration_status(struct ctx *cx, struct tx *tx, const char *server_id,
                                      const char *status);

/* Its evacuation, if it is under one, is over. */
MUST_USE struct err *migration_evacuated(struct ctx *cx, struct tx *tx, const char *server_id,
                                         bool good);
/* Of its last migration, if it has this status. */
MUST_USE struct err *migration_step(struct ctx *cx, struct tx *tx, const char *server_id,
                                    const char *from, const char *to);
MUST_USE struct err *migration_failed(struct ctx *cx, struct tx *tx, const char *server_id,
                                      const char *status, const char *why);

/* ---- moves.c: from host to host */
struct move_wish {
    const char *type;       /* of the migration: "resize", "migration", "live-migration" */
    const char *host;       /* name; NULL: any */
    const char *new_flavor; /* NULL: it keeps its own */
};
/* Somewhere else, by all rules for its sizes as they are now: the host's id. ERR_INVALID. */
MUST_USE struct err *move_choose(struct call *c, const struct server *s, const char *host_name,
                                 const char **ret_host_id);
/* It is on its way: its state says so already; the caller saves. old: before anything changed. */
MUST_USE struct err *move_begin(struct call *c, struct server *s, const struct server *old,
                                const struct move_wish *wish, const char *host_id);
/* What stands in the way of any move; NULL: nothing. In words for users. */
MUST_USE struct err *move_obstacle(struct ctx *cx, struct tx *tx, const struct server *s,
                                   const char **ret);
/* It stays where it was; the migration gets this status. Saves. Nothing under way: nothing. */
MUST_USE struct err *move_undo(struct ctx *cx, struct tx *tx, struct server *s, const char *status,
                               const char *why);
/* The other host forgets it. The caller saves. */
MUST_USE struct err *move_forget(struct ctx *cx, struct tx *tx, struct server *s);
/* After a move that can be reverted: back to where it came from. The caller saves. */
MUST_USE struct err *move_return(struct ctx *cx, struct tx *tx, struct server *s);
bool move_under_way(const struct server *s);
/* It runs on this host from now on, or nowhere: ports, feeds, records of use. What was seen of it
 * is forgotten. The caller saves, which tells the new host. */
MUST_USE struct err *server_rehost(struct ctx *cx, struct tx *tx, struct server *s,
                                   const char *host_id, enum rehost volumes);
/* Its host failed: whatever is under way is over, without a word to that host. *ret_back: it was
 * returning to a host that has all of it, and is there now. The caller saves. */
MUST_USE struct err *move_abandon(struct ctx *cx, struct tx *tx, struct server *s, const char *why,
                                  bool *ret_back);
/* actions_migrate.c: to wherever there is room: live, or (off) without a confirmation. Saves. */
MUST_USE struct err *server_leave(struct call *c, struct server *s, bool *ret_live);
/* For server_spec.c and server_report.c. */
bool move_wants(const struct server *s, const char *host_id);
MUST_USE struct err *move_write(struct ctx *cx, struct tx *tx, struct jw *w, const struct server *s,
                                const char *host_id);
MUST_USE struct err *move_report_there(struct ctx *cx, struct tx *tx, struct server *s,
                                       const json_t *observed);
MUST_USE struct err *move_report_here(struct ctx *cx, struct tx *tx, struct server *s,
                                      const json_t *observed, enum seen_power power,
                                      bool *ret_over);
MUST_USE struct err *move_await(struct ctx *cx, struct tx *tx, const struct server *s,
                                const json_t *observed, struct lifecycle_step *step);

/* ---- server_password.c */
/* What the guest posted to its metadata service, as its host reports it; saves the row. */
MUST_USE struct err *server_password_report(struct ctx *cx, struct tx *tx, struct server *s,
                                            const char *password);

/* ---- hosts.c */
/* Snapshot for placement: hosts with what is promised on them, in the zones they are of. */
MUST_USE struct err *hosts_snapshot(struct ctx *cx, struct tx *tx, struct place_host **ret,
                                    size_t *ret_n);
/* The same, with addresses and capabilities. */
MUST_USE struct err *hosts_with_details(struct ctx *cx, struct tx *tx, struct place_host **ret,
                                        size_t *ret_n);
/* One of them, as it stands in this transaction. ERR_NOT_FOUND. */
MUST_USE struct err *host_read(struct ctx *cx, struct tx *tx, const char *host_id,
                               struct place_host *ret);
/* Of all hosts, or (host_id not NULL) one, which is the statement's $1. */
MUST_USE struct err *hosts_query(struct ctx *cx, struct tx *tx, const char *host_id,
                                 const struct stmt *all, const struct stmt *one,
                                 struct db_rows *ret);
/* Of one host: its aggregate's, its own, or the default. */
MUST_USE struct err *host_zone(struct ctx *cx, struct tx *tx, const struct fleet_host *host,
                               const char *except_aggregate, const char **ret);
/* Hosts ordered by id, and the one of that id; NULL: none. */
struct place_host **hosts_by_id(struct ctx *cx, struct place_host *hosts, size_t n);
struct place_host *host_with_id(struct place_host **sorted, size_t n, const char *id);

/* ---- host_room.c */
MUST_USE struct err *hosts_take_rooms(struct ctx *cx, struct tx *tx, const char *host_id,
                                      struct place_host **sorted, size_t n);
/* fleet: the same hosts in the same order. */
MUST_USE struct err *hosts_take_traits(struct ctx *cx, struct tx *tx, const char *host_id,
                                       const struct fleet_host *fleet, struct place_host *hosts,
                                       struct place_host **sorted, size_t n);
MUST_USE struct err *host_room_forget(struct ctx *cx, struct tx *tx, const char *host_id);

/* Members of an aggregate's metadata that say what its hosts hold. */
#define HOST_CPU_RATIO "cpu_allocation_ratio"
#define HOST_RAM_RATIO "ram_allocation_ratio"
#define HOST_DISK_RATIO "disk_allocation_ratio"
#define HOST_MAX_SERVERS "max_instances_per_host"

/* ---- aggregates.c, cached_images.c */
/* By the number in the path. */
MUST_USE struct err *aggregate_find(struct call *c, struct aggregate **ret);
extern const struct fleet_kind cached_image_kind;
MUST_USE struct err *cached_images_sweep(struct ctx *cx, struct store *store);

/* ---- placement.c */
/* Scheduler hints as a client gave them: checked, and kept with the server. */
MUST_USE struct err *hints_read(struct call *c, const json_t *given, struct server *s);
const char *hints_group(struct ctx *cx, const struct server *s); /* NULL: none */
/*
 * Where the server may go, at its creation and whenever it moves: place() takes the result. The
 * server itself does not count among its group's. The caller may add a host, or other sizes.
 */
MUST_USE struct err *placement_for(struct ctx *cx, struct tx *tx, const struct server *s,
                                   struct place_host **ret_hosts, size_t *ret_n,
                                   struct place_request *ret);

/* ---- user_quotas.c */
/* Room for so many more, by the project's quota and by the user's own. */
MUST_USE struct err *server_quota_check(struct call *c, const char *project_id, const char *user_id,
                                        int64_t instances, int64_t cores, int64_t ram_mib);
bool user_quota_known(const char *name); /* users can be limited in this */
const char *user_quota_key(struct ctx *cx, const char *project_id, const char *user_id);
/* The user's own limit, or the project's. */
MUST_USE struct err *user_quota_limit(struct call *c, const char *name, const char *project_id,
                                      const char *user_id, int64_t *ret);
MUST_USE struct err *user_quota_usage(struct call *c, const char *name, const char *project_id,
                                      const char *user_id, int64_t *ret);
/* Of one user, or (NULL) of every user of the project. */
MUST_USE struct err *user_quotas_forget(struct call *c, const char *project_id,
                                        const char *user_id);

/* ---- server_groups.c */
/* The actor may put so many more servers into the group. */
MUST_USE struct err *server_group_check(struct call *c, const char *group_id, int64_t more);
MUST_USE struct err *server_group_join(struct ctx *cx, struct tx *tx, const char *group_id,
                                       const char *server_id);
MUST_USE struct err *server_group_of(struct ctx *cx, struct tx *tx, const char *server_id,
                                     const char **ret_group_id); /* NULL: none */

/* ---- server_meta.c */
/* An object of texts, as a server's metadata. */
MUST_USE struct err *check_metadata(struct call *c, const json_t *map);

/* ---- server_create.c, server_input.c */
struct err *server_create_before(struct call *c);
struct network_wish {
    bool none, automatic;
    struct port_request *ports;
    size_t n;
};
MUST_USE struct err *read_networks(struct call *c, const struct server *s,
                                   struct network_wish *ret);
MUST_USE struct err *read_groups(struct call *c, const struct server *s, const char ***ret_ids,
                                 size_t *ret_n);
/* The image, usable with this flavor; fills image_id and image_spec. */
MUST_USE struct err *take_image(struct call *c, struct server *s, const char *image_id);
/* An image by its id, or a link to it. */
MUST_USE struct err *server_find_image(struct call *c, const char *image_id,
                                       struct image_info *ret);
/* 0: whatever it wants. */
MUST_USE struct err *check_image_fits(struct call *c, const struct image_info *image,
                                      int64_t memory_mib, int64_t disk_gib);
/* An image that this server could stand on, and what its host is told of it. */
MUST_USE struct err *find_image(struct call *c, const struct server *s, const char *image_id,
                                struct image_info *ret, const char **ret_spec);
const char *image_spec(struct ctx *cx, const struct image_info *image);
const char *hostname_of(struct ctx *cx, const char *name, const char *server_id);
MUST_USE struct err *take_hostname(struct call *c, struct server *s); /* want_hostname, if given */
MUST_USE struct err *check_metadata_count(struct call *c, const char *metadata);
const char *new_password(struct ctx *cx);

/* ---- block_devices.c */
enum device_source { FROM_IMAGE, FROM_VOLUME, FROM_SNAPSHOT, FROM_NOTHING };
struct block_device {
    enum device_source source;
    const char *id;                /* of that */
    const char *name, *tag, *type; /* "/dev/vdb"; of the volume to be made; NULL: any */
    int64_t boot_index, size_gib;  /* -1: not booted from; 0: as its source */
    bool delete_on_termination, local, none;
};
struct device_list {
    struct block_device *all;
    size_t n;
    bool image_root;     /* the root disk is the server's own, made from its image */
    const char *host_id; /* where what exists of them lies; NULL: nowhere yet */
    const char *pool_id; /* … or the storage that several hosts reach */
    int64_t new_gib;     /* of volumes to be made */
};
/* What the body says; s->image_id is the image's id, or NULL. */
MUST_USE struct err *read_block_devices(struct call *c, struct server *s, struct device_list *ret);
/* Against the world, once the flavor is known. */
MUST_USE struct err *check_block_devices(struct call *c, const struct server *s,
                                         struct device_list *l);
/* To a server that has a host. */
MUST_USE struct err *attach_block_devices(struct call *c, const struct server *s,
                                          const struct device_list *l);

/* ---- evacuate.c */
/* To another host (NULL: any), where it starts if it is wanted on; saves. Its own must not run it
 * any more. ERR_INVALID where there is none, or what it needs is not to be had there. */
MUST_USE struct err *server_evacuate(struct call *c, struct server *s, const char *host,
                                     bool stay_off);
/* In a state that an evacuation can end. */
bool server_evacuable(const struct server *s);

/* ---- actions_shelve.c: move the struct; the caller saves */
/* Shelving, and off. */
MUST_USE struct err *server_shelve_off(struct ctx *cx, struct tx *tx, struct server *s);
/* The image of a server that is being shelved is there, or (error) will not be. */
MUST_USE struct err *server_shelve_exported(struct ctx *cx, struct tx *tx, struct server *s,
                                            const char *image_id, const char *error);
/* Nothing was seen of it on any host it will have. */
void server_forget_seen(struct server *s);
/* Nothing is left of it on its host. */
MUST_USE struct err *server_offloaded(struct ctx *cx, struct tx *tx, struct server *s);

/* ---- interfaces.c */
/* Of the spec. */
void write_nics(struct jw *w, const struct server_port *ports, size_t n);
/* Of a report; latest: it answers the host's latest word. */
MUST_USE struct err *server_take_nics(struct ctx *cx, struct tx *tx, const struct server *s,
                                      const json_t *nics, bool latest);

/* ---- attachments.c */
/* Volumes of one server. */
MUST_USE struct err *server_uses(struct ctx *cx, struct tx *tx, const char *server_id,
                                 struct volume_use **ret, size_t *ret_n);
/* Of the spec. */
void write_volumes(struct jw *w, const struct volume_use *uses, size_t n);
/* Of a report; is_off: the guest stands still; latest: it answers the host's latest word. */
MUST_USE struct err *server_take_volumes(struct ctx *cx, struct tx *tx, const struct server *s,
                                         const json_t *volumes, bool is_off, bool latest);

/* ---- server_actions.c */
struct err *server_act_before(struct call *c);
/* Saves; 202. */
MUST_USE struct err *server_accepted(struct call *c, struct server *s);
/* The reply of PUT and rebuild. */
MUST_USE struct err *reply_changed(struct call *c, int status, struct server *s);
/* ---- server_tags.c */
bool server_has_tag(struct ctx *cx, const struct server *s, const char *tag);
