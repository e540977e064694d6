/* SPDX-License-Identifier: EUPL-1.2 */
/* What the fake drivers' files share: guests, and the part of volumes that only a guest which has
 * one open may use. */
#pragma once

#include "node/drivers/fake/fake.h"

enum { DEVICES_MAX = 64 };

struct ids {
    char of[DEVICES_MAX][40];
    size_t n;
};
bool fake_ids_have(const struct ids *l, const char *id);
void fake_ids_add(struct ids *l, const char *id); /* once */
void fake_ids_remove(struct ids *l, const char *id);
const char **fake_ids_copy(struct ctx *cx, const struct ids *l);

/* ---- guests */

struct guest {
    struct guest *next;
    char id[40];
    struct guest_state is; /* but for its lists */
    struct ids volumes, ports;
    int64_t rescue_disk; /* made for this number; 0: there is none */
    uint64_t starts;
    bool forsaken; /* suspended, and never to go on */
    bool sent;     /* live, and stands since: it has given its volumes up, until it goes on */
};

struct fake_guests {
    pthread_mutex_t lock;
    struct ctx cx; /* owns the path */
    struct guest *guests;
    const char *path;
    void *volumes; /* the fake volume driver's; NULL: volumes are not looked at */
    void *shared;  /* another one's, which other hosts have too; NULL: there is none */
    bool deaf;
    fake_fault_fn *fault;
    void *fault_arg;
    void (*changed)(void *arg, const char *id);
    void *changed_arg;
};

/* Its volumes are open in it; closed, though it is who has them. */
void fake_guest_open_volumes(struct fake_guests *f, const struct guest *g); /* its own */
void fake_guest_close_volumes(struct fake_guests *f, const struct guest *g);
struct guest *fake_guest_find(struct fake_guests *f, const char *id);
struct guest *fake_guest_find_or_add(struct fake_guests *f, const char *id);
struct err *fake_guest_fault(struct ctx *cx, struct fake_guests *f, const char *call,
                             const char *id, bool after);
/* Ends a call: what changed is on disk before anybody hears of it. */
MUST_USE struct err *fake_guest_done(struct ctx *cx, struct fake_guests *f, const char *call,
                                     const char *id);
MUST_USE struct err *fake_guests_save(struct ctx *cx, struct fake_guests *f);
MUST_USE struct err *fake_guests_load(struct ctx *cx, struct fake_guests *f);

/* The calls for running guests: fake_devices.c. */
MUST_USE struct err *fake_pause(struct ctx *cx, void *drv, const char *id, bool paused);
MUST_USE struct err *fake_suspend(struct ctx *cx, void *drv, const char *id);
MUST_USE struct err *fake_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq);
MUST_USE struct err *fake_plug_nic(struct ctx *cx, void *drv, const char *id,
                                   const struct spec_nic *nic, int tap);
MUST_USE struct err *fake_unplug_nic(struct ctx *cx, void *drv, const char *id,
                                     const char *port_id);
MUST_USE struct err *fake_plug_volume(struct ctx *cx, void *drv, const char *id,
                                      const struct spec_use *use,
                                      const struct volume_access *volume);
MUST_USE struct err *fake_unplug_volume(struct ctx *cx, void *drv, const char *id,
                                        const char *volume_id);
MUST_USE struct err *fake_copy_root(struct ctx *cx, void *drv, const char *id, const char *to_path,
                                    const atomic_bool *given_up);
MUST_USE struct err *fake_guest_volume_grow(struct ctx *cx, void *drv, const char *id,
                                            const char *volume_id, int64_t size_gib);
MUST_USE struct err *fake_guest_volume_snapshot(struct ctx *cx, void *drv, const char *id,
                                                const char *volume_id, const char *snapshot_id,
                                                bool exists);
MUST_USE struct err *fake_guest_volume_copy(struct ctx *cx, void *drv, const char *id,
                                            const char *volume_id, const char *to_path,
                                            const atomic_bool *given_up);
MUST_USE struct err *fake_diagnostics(struct ctx *cx, void *drv, const char *id, struct jw *w);
MUST_USE struct err *fake_connect(struct ctx *cx, void *drv, const char *id, enum console_kind kind,
                                  int *ret_fd);
MUST_USE struct err *fake_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                                  struct buf *ret);

/* ---- fake_move.c */
MUST_USE struct err *fake_send(struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
                               const struct move_link *link, const atomic_bool *given_up);
MUST_USE struct err *fake_receive(struct ctx *cx, void *drv, const char *id, const char *part,
                                  int fd);
MUST_USE struct err *fake_receive_end(struct ctx *cx, void *drv, const char *id, const char *text);
/* ---- fake_file.c: a guest as one line of text */
void fake_guest_write(FILE *out, const struct guest *g);
bool fake_guest_read(FILE *in, struct guest *ret);

/* ---- volumes; held under the guests' lock, with their own inside of it */

bool fake_volume_exists(void *drv, const char *id);
/* The driver that has the volume. */
void *fake_volumes_with(const struct fake_guests *f, const char *id);
/* Open in this guest from now on. It is there, and nobody else's; the fault's error of the call
 * "lock" where it is another guest's that was given up. */
MUST_USE struct err *fake_volume_hold(struct ctx *cx, void *drv, const char *id, const char *guest,
                                      const void *by);
/* No longer open; kept: in the memory of a suspended guest. */
void fake_volume_let_go(void *drv, const char *id, const char *guest, const void *by, bool kept);
MUST_USE struct err *fake_volume_grow(struct ctx *cx, void *drv, const char *id, const char *guest,
                                      int64_t size_gib);
MUST_USE struct err *fake_volume_snapshot(struct ctx *cx, void *drv, const char *id,
                                          const char *guest, const char *snapshot_id, bool exists);
MUST_USE struct err *fake_volume_copy(struct ctx *cx, void *drv, const char *id, const char *guest,
                                      const char *to_path);
