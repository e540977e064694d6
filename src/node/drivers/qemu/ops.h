/* SPDX-License-Identifier: EUPL-1.2 */
/* The calls of node/drivers/driver.h as they are spread over files by topic, and what the topics
 * have of each other. */
#pragma once

#include "node/drivers/qemu/guests.h"

MUST_USE struct err *check_server_id(struct ctx *cx, const char *id);

/* disks.c: what is made and changed while the guest is off. */
struct err *op_prepare(struct ctx *cx, void *drv, const struct spec_server *spec,
                       const char *image_path);
struct err *op_prepare_rescue(struct ctx *cx, void *drv, const struct spec_server *spec,
                              const char *image_path);
struct err *op_checkpoint(struct ctx *cx, void *drv, const char *id, int64_t number);
struct err *op_restore(struct ctx *cx, void *drv, const char *id, int64_t restore_seq);

/* power.c */
struct err *op_start(struct ctx *cx, void *drv, const struct spec_server *spec, const int *taps,
                     const struct volume_access *volumes);
struct err *op_pause(struct ctx *cx, void *drv, const char *id, bool paused);
struct err *op_shutdown(struct ctx *cx, void *drv, const char *id);
struct err *op_stop(struct ctx *cx, void *drv, const char *id);
struct err *op_reset(struct ctx *cx, void *drv, const char *id, int64_t reset_seq);
/* Ends the process if there is one. gently: QEMU may close its images first. */
MUST_USE struct err *guest_end(struct ctx *cx, struct guest *g, bool gently);

/* suspend.c */
struct err *op_suspend(struct ctx *cx, void *drv, const char *id);
/* What a suspended guest's memory held is thrown away. */
MUST_USE struct err *memory_forget(struct ctx *cx, struct guest *g);
/* Into a process that waits for it; then its vCPUs stand. */
MUST_USE struct err *memory_load(struct ctx *cx, struct guest *g);
MUST_USE struct err *memory_remove(struct ctx *cx, int guest_fd);

/* A new stream into, or out of, this descriptor: "fd:memory". */
MUST_USE struct err *stream_pass(struct ctx *cx, struct qmp *q, int fd);
MUST_USE struct err *stream_await(struct ctx *cx, struct guest *g, struct qmp *q);
/* One that an earlier call began. */
MUST_USE struct err *stream_cancel(struct ctx *cx, struct qmp *q);
MUST_USE struct err *guest_stand_still(struct ctx *cx, struct guest *g, struct qmp *q);
/* As it was, but only with a record that doesn't call it suspended. Else, and where this fails, it
 * stands paused. */
MUST_USE struct err *guest_go_on(struct ctx *cx, struct guest *g, struct qmp *q, bool running);
#define MEMORY_NAME "memory.save"
#define STREAM_NO_LIMIT ((json_int_t)1 << 40)

/* send.c: to another host */
struct err *op_send(struct ctx *cx, void *drv, const char *id, int64_t seq, bool live,
                    const struct move_link *link, const atomic_bool *given_up);
/* Whatever there is of a disk's way to another host. */
MUST_USE struct err *mirror_drop(struct ctx *cx, struct qmp *q);

/* receive.c: from another host */
struct err *op_receive(struct ctx *cx, void *drv, const char *id, const char *part, int fd);
struct err *op_receive_end(struct ctx *cx, void *drv, const char *id, const char *text);
#define PART_ROOT "root"     /* a file's bytes, in pieces: see tools/pieces.h */
#define PART_MEMORY "memory" /* likewise */
#define PART_MIRROR "mirror" /* NBD; its name ends with the disk's size */

/* devices.c */
struct err *op_plug_nic(struct ctx *cx, void *drv, const char *id, const struct spec_nic *nic,
                        int tap);
struct err *op_unplug_nic(struct ctx *cx, void *drv, const char *id, const char *port_id);
struct err *op_plug_volume(struct ctx *cx, void *drv, const char *id, const struct spec_use *use,
                           const struct volume_access *volume);
struct err *op_unplug_volume(struct ctx *cx, void *drv, const char *id, const char *volume_id);
/* What a call that was cut off left half done is finished, or undone. The guest runs. */
MUST_USE struct err *devices_settle(struct ctx *cx, struct guest *g);
/* A running guest with its devices settled, for one call (AUTO_CALL, also after an error).
 * ERR_CONFLICT when it doesn't run. */
MUST_USE struct err *call_running(struct ctx *cx, void *drv, const char *id, struct guest **ret);
/* The number of the slot with this port or volume; false: none has it. */
bool slot_of(struct guest *g, enum slot_kind kind, const char *id, size_t *ret);
MUST_USE struct err *volume_open(struct ctx *cx, const char *volume_id,
                                 const struct volume_access *volume, bool read_only, int *ret_fd);

/* blocks.c: what is done to disks, also of a running guest. */
struct err *op_copy_root(struct ctx *cx, void *drv, const char *id, const char *to_path,
                         const atomic_bool *given_up);
struct err *op_volume_grow(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                           int64_t size_gib);
struct err *op_volume_snapshot(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                               const char *snapshot_id, bool exists);
struct err *op_volume_copy(struct ctx *cx, void *drv, const char *id, const char *volume_id,
                           const char *to_path, const atomic_bool *given_up);

/* diagnostics.c */
struct err *op_diagnostics(struct ctx *cx, void *drv, const char *id, struct jw *w);

/* console.c */
struct err *op_connect(struct ctx *cx, void *drv, const char *id, enum console_kind kind,
                       int *ret_fd);
struct err *op_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes,
                       struct buf *ret);
