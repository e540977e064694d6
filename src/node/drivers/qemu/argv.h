/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * From a guest to QEMU's command line: a pure function, held by golden files. Every file, socket
 * and tap is passed as an open descriptor of a fixed number, so QEMU needs no path on the host but
 * its firmware and run/, and the line is the same wherever the data lies. Device properties are
 * JSON: nothing a tenant chose can add an option.
 */
#pragma once

#include "node/drivers/qemu/layout.h"

/* Descriptors as QEMU finds them. The set of a file has its descriptor's number, also where it is
 * passed later. */
enum {
    FD_MONITOR = 3,
    FD_SERIAL,
    FD_CONSOLE_LOG,
    FD_ROOT,
    FD_BASE,
    FD_CONFIG_DRIVE,
    FD_RESCUE,
    FD_RESCUE_BASE,
    FD_SLOT_FIRST, /* the tap or the disk of slot 0, and so on */
    FD_COPY = FD_SLOT_FIRST + MACHINE_MAX_PORTS,
};

/* An overlay and the image it stands on. */
struct overlay {
    bool direct, base_direct; /* O_DIRECT works there */
    const char *base_format;  /* "raw" or "qcow2" */
};

struct machine {
    const char *id, *qemu_path;
    bool kvm;
    bool incoming; /* goes on from saved memory */
    struct overlay root, rescue;
    bool slot_direct[MACHINE_MAX_PORTS];
    const struct layout *layout;
};

/* argv ends with NULL, in cx's arena. */
void machine_argv(struct ctx *cx, const struct machine *m, const char ***ret_argv);

/* The same for one slot of a running guest: arguments of blockdev-add and device_add. */
const char *volume_node(struct ctx *cx, size_t i, const struct slot *s, bool direct);
const char *device_of(struct ctx *cx, size_t i, const struct slot *s);
