/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Disk files: what a qcow2 header says and new disks, by ourselves (a process takes longer than all
 * else before a guest starts), and qemu-img for all that changes one.
 *
 * A disk's bytes are its owner's, and a header may name other files of the host as its own (backing
 * file, data file). What keeps those apart: qemu-img runs as a user without any right, and gets
 * open descriptors instead of paths; formats are told, never guessed; a backing file is the one we
 * give or none; qcow2_read refuses a header that names a data file.
 */
#pragma once

#include "base/base.h"

#define GIB ((int64_t)1 << 30)

struct qcow2_snapshot {
    const char *name;
    int64_t size_bytes; /* of the disk then */
};

struct qcow2 {
    int64_t size_bytes;
    bool backing; /* it names a backing file */
    struct qcow2_snapshot *snapshots;
    size_t n_snapshots;
};

/* Of an open file, which may be in use. ERR_INVALID: not a qcow2 file, or one that we don't take.
 * In cx's arena. */
MUST_USE struct err *qcow2_read(struct ctx *cx, int fd, struct qcow2 *ret);
/* A new disk in a file, for reading and writing, of which nothing stays: blank, or (base_path not
 * NULL, at most 1023 bytes) an overlay on a file of this format, which is not looked at. Not yet on
 * disk. */
MUST_USE struct err *qcow2_create(struct ctx *cx, int fd, int64_t size_bytes, const char *base_path,
                                  const char *base_format);
/* NULL: there is none. */
const struct qcow2_snapshot *qcow2_snapshot(const struct qcow2 *q, const char *name);

struct qemu_img {
    const char *program;
    uid_t uid; /* what it runs as; the files that it changes belong to this user. 0: as we are */
};

struct disk_source {
    int fd;
    const char *format;      /* "raw" or "qcow2" */
    const char *snapshot;    /* as it was at this internal snapshot; NULL: as it is */
    int base_fd;             /* what it stands on; base_format NULL: on nothing */
    const char *base_format; /* "raw" or "qcow2" */
};

/* All files are open; those that change for reading and writing. */
/* A new blank disk in an empty file, its program's own. */
MUST_USE struct err *disk_create(struct ctx *cx, const struct qemu_img *q, int fd,
                                 int64_t size_bytes);
/* All bytes of a disk into a new blank one that is no smaller. A snapshot may be copied while its
 * disk is in use. */
MUST_USE struct err *disk_fill(struct ctx *cx, const struct qemu_img *q, int fd,
                               const struct disk_source *from, int64_t size_bytes);
/* All bytes of a qcow2 disk that stands on nothing into an empty file, raw and sparse. */
MUST_USE struct err *disk_to_raw(struct ctx *cx, const struct qemu_img *q, int fd, int from_fd);
/* Larger, or (shrink) smaller. */
MUST_USE struct err *disk_resize(struct ctx *cx, const struct qemu_img *q, int fd,
                                 int64_t size_bytes, bool shrink);

/* Serves a disk on the image that it stands on to one client, at "nbd.sock" in an open folder of
 * its user's, as export "root"; until that client leaves. */
MUST_USE struct err *disk_serve(struct ctx *cx, const struct qemu_img *q, int fd, int base_fd,
                                const char *base_format, int dir_fd, int64_t timeout_ms);
#define DISK_SERVE_SOCKET "nbd.sock"
#define DISK_SERVE_EXPORT "root"

enum disk_snapshot_act { DISK_SNAPSHOT_MAKE, DISK_SNAPSHOT_DROP, DISK_SNAPSHOT_GO_BACK };
/* Internal snapshots; what is there already, or gone already, is success. */
MUST_USE struct err *disk_snapshot(struct ctx *cx, const struct qemu_img *q, int fd,
                                   enum disk_snapshot_act act, const char *name);
