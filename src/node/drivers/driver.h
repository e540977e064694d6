/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver interfaces of a host. Every call is idempotent: doing it again, also after a crash in
 * its middle, ends in the same state. Blocking; one call at a time for one guest, one network, one
 * router; different ones may run in parallel. Each has a fake twin which keeps its state in memory
 * (simulation, and thousands of hosts on one machine).
 */
#pragma once

#include "node/spec.h"
#include <stdatomic.h>

enum guest_power { GUEST_ABSENT, GUEST_OFF, GUEST_ON, GUEST_CRASHED };

/* What a guest was last started with, kept by the driver across its own death. */
struct guest_state {
    enum guest_power power;
    int64_t boot_seq, reset_seq, build_seq; /* 0: never */
    bool guest_shutdown;                    /* went off by its own doing */
    int64_t started_at_us;
    bool paused;         /* on, with its vCPUs stopped */
    bool suspended;      /* off, its memory kept: the next start goes on from there */
    int64_t rescue_seq;  /* of the rescue disk it stands on; 0: on its own root disk */
    int64_t checkpoint;  /* number of the root disk's way back; 0: there is none */
    int64_t restore_seq; /* how often the root disk went back */
    int64_t sent_seq;    /* the move that all of it was sent for; it stands still since */
    /* What its process has open now, in cx's arena: ids of volumes and of ports. Of a suspended
     * one: what its memory goes on with. */
    const char **volumes, **ports;
    size_t n_volumes, n_ports;
};

/* How a guest reaches a volume's disk. */
struct volume_access {
    const char *path;   /* absolute */
    const char *format; /* "qcow2" */
};

/*
 * How a guest's driver reaches the same driver on another host. A part is a stream of bytes there
 * (one that a driver takes both ways), received by its `receive`; then the end says what all of it
 * was, and is answered once that is kept: `receive_end`.
 */
struct move_link {
    /* ret_fd: a non-blocking socket of the caller's; what is written goes there. */
    struct err *(*open)(struct ctx *cx, void *arg, const char *part, int *ret_fd);
    struct err *(*end)(struct ctx *cx, void *arg, const char *text);
    void *arg;
};
#define MOVE_TEXT_MAX ((size_t)256 << 10) /* of what the end says */

enum console_kind { CONSOLE_SERIAL, CONSOLE_VNC };

struct guest_driver {
    const char *name; /* "qemu" */
    /* The root disk made from the image file for spec->build_seq (older ones replaced), config
     * drive written. Guest must be off. image_path NULL: it boots from a volume. */
    struct err *(*prepare)(struct ctx *cx, void *drv, const struct spec_server *spec,
                           const char *image_path);
    /* The disk for spec->rescue.seq, made from its image. Guest must be off. */
    struct err *(*prepare_rescue)(struct ctx *cx, void *drv, const struct spec_server *spec,
                                  const char *image_path);
    /* Starts it, recording boot_seq and reset_seq. taps[i] is the open tap of spec->nics[i] (driver
     * dups what it keeps), volumes[i] the disk of spec->volumes[i]. The root disk has at least
     * spec->root_gib from here on. A suspended guest goes on where it stood (with spec->paused it
     * stands), with the devices it had, unless spec->boot_seq is higher than its own: then its
     * memory is thrown away. With spec->rescue it stands on the rescue disk. */
    struct err *(*start)(struct ctx *cx, void *drv, const struct spec_server *spec, const int *taps,
                         const struct volume_access *volumes);
    /* vCPUs stop, or go on. */
    struct err *(*pause)(struct ctx *cx, void *drv, const char *id, bool paused);
    /* Its memory goes into a file, then it is off, `suspended`. A crash between leaves it on or
     * suspended. */
    struct err *(*suspend)(struct ctx *cx, void *drv, const char *id);
    /* Into, and out of, a running guest. Unplugging asks the guest and waits a while for it:
     * ERR_TIMEOUT when it does not let go; the same call asks again. */
    struct err *(*plug_nic)(struct ctx *cx, void *drv, const char *id, const struct spec_nic *nic,
                            int tap);
    struct err *(*unplug_nic)(struct ctx *cx, void *drv, const char *id, const char *port_id);
    struct err *(*plug_volume)(struct ctx *cx, void *drv, const char *id,
                               const struct spec_use *use, const struct volume_access *volume);
    struct err *(*unplug_volume)(struct ctx *cx, void *drv, const char *id, const char *volume_id);
    /* A way back for the root disk under this number, made while the guest is off, or (0) given up,
     * also while it runs. */
    struct err *(*checkpoint)(struct ctx *cx, void *drv, const char *id, int64_t number);
    /* The root disk is again what it was at its checkpoint; without one it stays as it is. Guest
     * must be off. */
    struct err *(*restore)(struct ctx *cx, void *drv, const char *id, int64_t restore_seq);
    /* The root disk as it is at one instant, flattened into a new qcow2 file; running or not. A
     * running guest's ends early, ERR_TIMEOUT, once *given_up (may be NULL) has turned true. */
    struct err *(*copy_root)(struct ctx *cx, void *drv, const char *id, const char *to_path,
                             const atomic_bool *given_up);
    /* The same three things that a volume driver does, for a volume this guest has open. */
    struct err *(*volume_grow)(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                               int64_t size_gib);
    struct err *(*volume_snapshot)(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                                   const char *snapshot_id, bool exists);
    struct err *(*volume_copy)(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                               const char *to_path, const atomic_bool *given_up);
    /* Members of the diagnostics, without braces (nova's 2.48 form). */
    struct err *(*diagnostics)(struct ctx *cx, void *drv, const char *id, struct jw *w);
    /* A connection to the guest's screen or serial line. */
    struct err *(*connect)(struct ctx *cx, void *drv, const char *id, enum console_kind kind,
                           int *ret_fd);
    /* All of it to another host: disks, and (live) its memory as it stands in the end; one that is
     * off: as it is. From then on `sent_seq` says so, and it stands still, its volumes closed,
     * until pause() says otherwise. An error leaves it as it was. Ends early, ERR_TIMEOUT, once
     * *given_up is true. */
    struct err *(*send)(struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
                        const struct move_link *link, const atomic_bool *given_up);
    /* The other side, for a guest that is prepared here and off: one part's bytes, until the peer
     * ends them; for a part that it answers, by itself. From any thread. */
    struct err *(*receive)(struct ctx *cx, void *drv, const char *id, const char *part, int fd);
    /* All is here: it is what was sent, off; one that was sent live is `suspended`. */
    struct err *(*receive_end)(struct ctx *cx, void *drv, const char *id, const char *text);
    /* ACPI power button; returns at once. */
    struct err *(*shutdown)(struct ctx *cx, void *drv, const char *id);
    /* Off, by force, now; what a suspended one's memory held is thrown away. */
    struct err *(*stop)(struct ctx *cx, void *drv, const char *id);
    /* Soft reboot asked for (ctrl-alt-del / reset), recording reset_seq. */
    struct err *(*reset)(struct ctx *cx, void *drv, const char *id, int64_t reset_seq);
    /* Nothing of it is left: process, cgroup, disks, directory. Absent is success. */
    struct err *(*destroy)(struct ctx *cx, void *drv, const char *id);
    struct err *(*state)(struct ctx *cx, void *drv, const char *id, struct guest_state *ret);
    /* Ids of every guest of this agent that left anything on the host. */
    struct err *(*list)(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n);
    /* The last max_bytes of the serial console; 0: all of it that is kept. */
    struct err *(*console)(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                           struct buf *ret);
    /* A guest's power may have changed: fn(arg, id) from any thread. Set once, before use. */
    void (*on_change)(void *drv, void (*fn)(void *arg, const char *id), void *arg);
    void (*free)(void *drv); /* lets guests run on */
    /* How many NICs etc. fit; what the host offers. */
    struct err *(*inventory)(struct ctx *cx, void *drv,
                             struct jw *w); /* members of the registration, without braces */
};

struct net_driver {
    const char *name; /* "kernel" */
    /* What a tap needs: rules and a bridge. */
    struct err *(*network_apply)(struct ctx *cx, void *drv, const struct spec_network *spec);
    /* What guests ask it for (addresses, names, metadata), once it has been applied as in this
     * spec; their taps may be opened meanwhile. NULL: applying did that. */
    struct err *(*network_serve)(struct ctx *cx, void *drv, const struct spec_network *spec);
    struct err *(*network_remove)(struct ctx *cx, void *drv, const char *network_id);
    struct err *(*router_apply)(struct ctx *cx, void *drv, const struct spec_router *spec);
    struct err *(*router_remove)(struct ctx *cx, void *drv, const char *router_id);
    /* An open tap in the network's namespace, attached to its bridge; the network must have been
     * applied. */
    struct err *(*tap_open)(struct ctx *cx, void *drv, const struct spec_nic *nic, int *ret_fd);
    struct err *(*tap_remove)(struct ctx *cx, void *drv, const char *network_id, const char *tap);
    /* First parts of ids ("the 11 characters") of networks and routers that left anything on the
     * host. */
    struct err *(*list)(struct ctx *cx, void *drv, const char ***ret_networks,
                        size_t *ret_n_networks, const char ***ret_routers, size_t *ret_n_routers);
    /* What the networks' own daemons call this host. The member may be NULL: nothing. */
    struct err *(*chassis)(struct ctx *cx, void *drv, const char **ret);
    void (*free)(void *drv); /* lets networks stand */
};

struct volume_seen {
    bool present; /* whole, on disk */
    int64_t size_gib;
    const char **snapshots; /* in cx's arena */
    size_t n_snapshots;
};

/* Volumes' data on this host, or on storage that it shares with others (a backend of its own, which
 * has a volume only while the control plane says that it is this host's). What a guest has open is
 * changed through the guest (above). */
struct volume_driver {
    const char *name; /* "qcow2" */
    /* The whole volume or nothing of it: blank, or from image_path (of spec->source.image), or from
     * a volume of this driver, as it is, or as it was at a snapshot (then a guest may have it
     * open). from_path: a ready copy of the source (made through the guest that has it open), taken
     * over; else NULL. */
    struct err *(*make)(struct ctx *cx, void *drv, const struct spec_volume *spec,
                        const char *image_path, const char *from_path);
    struct err *(*grow)(struct ctx *cx, void *drv, const char *id, int64_t size_gib);
    struct err *(*snapshot)(struct ctx *cx, void *drv, const char *id, const char *snapshot_id,
                            bool exists);
    /* Flattened into a new qcow2 file. */
    struct err *(*copy)(struct ctx *cx, void *drv, const char *id, const char *to_path);
    struct err *(*remove)(struct ctx *cx, void *drv, const char *id);
    struct err *(*state)(struct ctx *cx, void *drv, const char *id, struct volume_seen *ret);
    struct err *(*access)(struct ctx *cx, void *drv, const char *id, struct volume_access *ret);
    struct err *(*list)(struct ctx *cx, void *drv, const char ***ret_ids, size_t *ret_n);
    /* What the storage holds in all. */
    struct err *(*size)(struct ctx *cx, void *drv, int64_t *ret_gib);
    void (*free)(void *drv);
};

/* A driver and its state. */
struct volume_backend {
    const struct volume_driver *ops;
    void *drv;
};
struct guest_backend {
    const struct guest_driver *ops;
    void *drv;
};
struct net_backend {
    const struct net_driver *ops;
    void *drv;
};

struct qemu_config {
    const char *data_dir; /* guests' directories are DATA/servers/<id> */
    const char
        *instance; /* tells agents of one machine apart, in cgroup names: letters, digits, '-' */
    const char *accel; /* "auto" (KVM only with kvm_intel/kvm_amd in /sys/module), "kvm", "tcg" */
    uid_t
        uid_first; /* each guest runs as a uid of its own from [uid_first, uid_first + uid_count) */
    unsigned uid_count;
    const char *qemu_path, *qemu_img_path; /* NULL: from PATH */
};
MUST_USE struct err *qemu_driver_new(struct ctx *cx, const struct qemu_config *cfg,
                                     struct guest_backend *ret);

/* What a guest asks of the metadata service: it has this fixed address in this network. */
struct metadata_ask {
    const char *network_id, *source_ip, *path;
    const char *body; /* of a POST; NULL: a GET */
    size_t body_size;
    int64_t waited_us; /* since it was first answered METADATA_LATER; 0: it never was */
};
/* No answer yet: the same is asked again soon. */
#define METADATA_LATER 0

struct kernel_net_config {
    const char *netns;    /* the "host" namespace; NULL: the process's own */
    const char *data_dir; /* its path tells our namespaces from other agents' */
    const char
        *external_cidr; /* address put on br-ext, "203.0.113.1/24"; NULL: br-ext is the admin's */
    /* Answers for the metadata service. ret_status: 200, the refusal's, or METADATA_LATER. Any
     * thread. */
    struct err *(*metadata)(struct ctx *cx, void *arg, const struct metadata_ask *ask,
                            struct buf *ret_body, const char **ret_content_type, int *ret_status);
    void *metadata_arg;
};
MUST_USE struct err *kernel_net_new(struct ctx *cx, const struct kernel_net_config *cfg,
                                    struct net_backend *ret);

/* A host whose networks are OVN's: guests' taps and the metadata service; the rest is the writer's.
 */
struct ovn_host_config {
    struct kernel_net_config host; /* external_cidr NULL */
    const char *ovs_db;            /* of the host's Open vSwitch: "unix:PATH" */
};
MUST_USE struct err *ovn_host_new(struct ctx *cx, const struct ovn_host_config *cfg,
                                  struct net_backend *ret);

/*
 * Networks and routers of the whole region, in OVN's northbound database. Of several writers that
 * one writes which holds a lock there; calls of the others are ERR_STALE. Specs of networks have
 * the ports of all hosts; there are no taps.
 */
struct ovn_writer_config {
    const char *nb, *sb; /* "unix:PATH", "tcp:HOST:PORT", several with commas between */
};
MUST_USE struct err *ovn_writer_new(struct ctx *cx, const struct ovn_writer_config *cfg,
                                    struct net_backend *ret);
/* Waits at most so long for news. ERR_UNAVAILABLE: the connection is lost, and the lock with it. */
MUST_USE struct err *ovn_writer_look(struct ctx *cx, const struct net_backend *b, int wait_ms,
                                     bool *ret_holds);

struct qcow2_volumes_config {
    const char *data_dir; /* volumes are DATA/volumes/<id>/ */
    const char *owner; /* DATA is shared: what this host's unfinished work is named by; else NULL */
    const char *qemu_img_path; /* NULL: from PATH */
    /* What qemu-img runs as, and the owner of volumes: nobody else's, no guest's. 0: root. */
    uid_t uid;
};
/* The id of the storage in this folder, of the file that qcow2_pool_make wrote; ERR_NOT_FOUND: it
 * is none, or not mounted. Made only when an operator says so: an empty mount point is no new pool.
 */
MUST_USE struct err *qcow2_pool_read(struct ctx *cx, const char *dir, const char **ret_id);
MUST_USE struct err *qcow2_pool_make(struct ctx *cx, const char *dir, const char **ret_id);
MUST_USE struct err *qcow2_volumes_new(struct ctx *cx, const struct qcow2_volumes_config *cfg,
                                       struct volume_backend *ret);

void fake_guests_new(struct guest_backend *ret);
void fake_net_new(struct net_backend *ret);
void fake_volumes_new(struct volume_backend *ret);
