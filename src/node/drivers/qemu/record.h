/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What the driver knows of a guest, kept in DATA/servers/<id>/guest.json across its own death. The
 * record is on disk before the act it speaks of, so that no QEMU ever runs which no record names.
 */
#pragma once

#include "node/drivers/qemu/layout.h"

#define RECORD_NAME "guest.json"

enum record_power {
    RECORD_OFF,
    RECORD_STARTING, /* the process may be there; nobody was told it runs */
    RECORD_ON,
    RECORD_STOPPING, /* asked to end; may still be there */
    RECORD_CRASHED,
};

struct record {
    char id[37];
    uid_t uid; /* also its gid */
    enum record_power power;
    int64_t boot_seq, reset_seq, build_seq;
    bool guest_shutdown;
    bool suspended; /* off, its memory in a file that fits the layout and the disks as they are */
    int64_t rescue_seq;              /* of the disk that the process stands on; 0: its own */
    int64_t checkpoint, restore_seq; /* of the root disk */
    int64_t sent_seq; /* the move to another host that it was sent in, whole */
    int64_t started_at_us;
    /* The process: its number alone could be another's by now. */
    pid_t pid;
    int64_t pid_start;     /* field 22 of /proc/<pid>/stat */
    char host_boot_id[37]; /* of this run of the host's kernel */
    /* What it was made and started with; owned, NULL: not yet, or (image) it has no root disk. */
    char *image_path, *image_format;
    char *rescue_path, *rescue_format; /* of the image that rescue_disk stands on */
    int64_t rescue_disk;               /* the rescue disk that there is; 0: none */
    bool config_drive;
    json_t *argv;
    /* Of the process, and kept in step with it; or of the saved memory. */
    struct layout layout;
};

void record_init(struct record *r, const char *id, uid_t uid);
void record_fini(struct record *r);
/* ERR_NOT_FOUND: never written. ERR_INVALID: not what we write. */
MUST_USE struct err *record_load(struct ctx *cx, int guest_fd, struct record *ret);
/* Durable on return. */
MUST_USE struct err *record_save(struct ctx *cx, int guest_fd, const struct record *r);
/* The text of guest.json and back. */
const char *record_text(struct ctx *cx, const struct record *r);
MUST_USE struct err *record_parse(struct ctx *cx, const char *text, size_t len, struct record *ret);
/* Replaces an owned string or tree by a copy of its own: the record outlives the call, and moves
 * between threads. */
void record_set(char **at, const char *value);
void record_set_json(json_t **at, const json_t *value);
