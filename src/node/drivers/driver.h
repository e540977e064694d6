/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver interfaces of a host. Every call is idempotent: doing it again, also after a crash in
 * its middle, ends in the same state. Blocking; one call at a time for one guest, one network, one
 * router; different ones may run in parallel. Each has a fake twin which keeps its state in memory
 * (simulation, and thousands of hosts on one machine).
 */
#pragma once

#include "node/spec.h"

enum guest_power { GUEST_ABSENT, GUEST_OFF, GUEST_ON, GUEST_CRASHED };

/* What a guest was last started with, kept by the driver across its own death. */
struct guest_state {
    enum guest_power power;
    int64_t boot_seq, reset_seq, build_seq; /* 0: never */
    bool guest_shutdown;                    /* went off by its own doing */
    int64_t started_at_us;
};

struct guest_driver {
    const char *name; /* "qemu" */
    /* The root disk made from the image file for spec->build_seq (older ones replaced), config
     * drive written. Guest must be off. */
    struct err *(*prepare)(struct ctx *cx, void *drv, const struct spec_server *spec,
                           const char *image_path);
    /* Starts it, recording boot_seq and reset_seq. taps[i] is the open tap of spec->nics[i] (driver
     * dups what it keeps). */
    struct err *(*start)(struct ctx *cx, void *drv, const struct spec_server *spec,
                         const int *taps);
    /* ACPI power button; returns at once. */
    struct err *(*shutdown)(struct ctx *cx, void *drv, const char *id);
    /* Off, by force, now. */
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
    struct err *(*network_apply)(struct ctx *cx, void *drv, const struct spec_network *spec);
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
    void (*free)(void *drv); /* lets networks stand */
};

/* A driver and its state. */
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

struct kernel_net_config {
    const char *netns;    /* the "host" namespace; NULL: the process's own */
    const char *data_dir; /* its path tells our namespaces from other agents' */
    const char
        *external_cidr; /* address put on br-ext, "203.0.113.1/24"; NULL: br-ext is the admin's */
    /* Answers for the metadata service: the server of a fixed address in a network. NULL body: 404.
     * Any thread. */
    struct err *(*metadata)(struct ctx *cx, void *arg, const char *network_id,
                            const char *source_ip, const char *path, struct buf *ret_body,
                            const char **ret_content_type, bool *ret_found);
    void *metadata_arg;
};
MUST_USE struct err *kernel_net_new(struct ctx *cx, const struct kernel_net_config *cfg,
                                    struct net_backend *ret);

void fake_guests_new(struct guest_backend *ret);
void fake_net_new(struct net_backend *ret);
