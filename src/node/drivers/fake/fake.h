/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What only the fake drivers have: faults, persistence, and hands on the guests, for tests and the
 * simulator. The drivers themselves are made by fake_guests_new and fake_net_new of driver.h.
 * Thread-safe.
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

/* The guests are kept in this file too, written at each change, and read now: they outlive a killed
 * agent. */
MUST_USE struct err *fake_guests_set_file(struct ctx *cx, struct guest_backend *b,
                                          const char *path);

/* The guest powers itself off, or crashes; true if it was on. */
bool fake_guest_power_off(struct guest_backend *b, const char *id);
bool fake_guest_crash(struct guest_backend *b, const char *id);
/* ACPI's button is not heard (default: the guest goes off at once). */
void fake_guests_set_deaf(struct guest_backend *b, bool deaf);

/* What the host has, as of now: counts for assertions. */
size_t fake_guests_count(struct guest_backend *b, enum guest_power power);
bool fake_guest_state(struct guest_backend *b, const char *id, struct guest_state *ret);
uint64_t fake_guest_starts(struct guest_backend *b, const char *id); /* how often it was started */
size_t fake_net_networks(struct net_backend *b);
size_t fake_net_routers(struct net_backend *b);
size_t fake_net_taps(struct net_backend *b);
