/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What only the fake drivers have: faults, persistence, and hands on the guests, for tests and the
 * simulator. The drivers themselves are made by fake_guests_new, fake_net_new and fake_volumes_new
 * of driver.h. Thread-safe.
 */
#pragma once

#include "node/drivers/driver.h"

/*
 * Called before each call takes effect (after = false) and once it has (after = true): a non-NULL
 * result is what the call returns, so that a call can fail with and without having done its work.
 * call: "start", "network_apply" …
 */
typedef struct err *fake_fault_fn(struct ctx *cx, void *arg, const char *call, const char *id,
                                  bool after);

void fake_guests_set_fault(struct guest_backend *b, fake_fault_fn *fn, void *arg);
void fake_net_set_fault(struct net_backend *b, fake_fault_fn *fn, void *arg);
void fake_volumes_set_fault(struct volume_backend *b, fake_fault_fn *fn, void *arg);

/* The guests (volumes) are kept in this file too, written at each change, and read now: they
 * outlive a killed agent. */
MUST_USE struct err *fake_guests_set_file(struct ctx *cx, struct guest_backend *b,
                                          const char *path);
MUST_USE struct err *fake_volumes_set_file(struct ctx *cx, struct volume_backend *b,
                                           const char *path);
/* The guests' volumes are these, which outlive them: what nobody may do to a volume that a guest
 * has open is asserted from here on. */
void fake_guests_set_volumes(struct guest_backend *b, struct volume_backend *volumes);

/* … and these, which other hosts' guests have too: before the others are set. */
void fake_guests_set_shared(struct guest_backend *b, struct volume_backend *volumes);

/* The guest powers itself off, or crashes; true if it was on. */
bool fake_guest_power_off(struct guest_backend *b, const char *id);
bool fake_guest_crash(struct guest_backend *b, const char *id);
/* The host ends it, at once; true if it was on. */
bool fake_guest_fence(struct guest_backend *b, const char *id);
/* Its server begins anew on another host: what a suspended one's memory knows keeps no volume. */
void fake_guest_forsake(struct guest_backend *b, const char *id);
/* ACPI's button is not heard, no device is let go (default: the guest obeys at once). */
void fake_guests_set_deaf(struct guest_backend *b, bool deaf);

/* What the host has, as of now: counts for assertions. */
size_t fake_guests_count(struct guest_backend *b, enum guest_power power);
/* Its lists are NULL: fake_guest_has() tells. */
bool fake_guest_state(struct guest_backend *b, const char *id, struct guest_state *ret);
/* The guest has this volume, or this port. */
bool fake_guest_has(struct guest_backend *b, const char *id, const char *device_id);
uint64_t fake_guest_starts(struct guest_backend *b, const char *id); /* how often it was started */
size_t fake_net_networks(struct net_backend *b);
size_t fake_net_routers(struct net_backend *b);
size_t fake_net_taps(struct net_backend *b);

struct fake_volume {
    int64_t size_gib;
    size_t n_snapshots;
    char origin[128]; /* of its data: "blank", "image ID", "root SERVER BUILD" */
    char holder[40];  /* the guest that has it; "" */
};
size_t fake_volumes_count(struct volume_backend *b);
bool fake_volume_get(struct volume_backend *b, const char *id, struct fake_volume *ret);
bool fake_volume_has_snapshot(struct volume_backend *b, const char *id, const char *snapshot_id);
/* The file that a copied disk is, in its two forms: where its data came from. */
MUST_USE struct err *fake_disk_write(struct ctx *cx, const char *path, const char *origin,
                                     int64_t size_gib);
MUST_USE struct err *fake_disk_write_raw(struct ctx *cx, const char *path, const char *origin,
                                         int64_t size_gib);
MUST_USE struct err *fake_disk_read(struct ctx *cx, const char *path, const char **ret_origin,
                                    int64_t *ret_size_gib);
