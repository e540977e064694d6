/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * From a guest to QEMU's command line: a pure function, held by golden files. Every file, socket
 * and tap is passed as an open descriptor of a fixed number, so QEMU needs no path on the host but
 * its firmware and run/, and the line is the same wherever the data lies. Device properties are
 * JSON: nothing a tenant chose can add an option.
 */
#pragma once

#include "node/spec.h"

/* Descriptors as QEMU finds them. */
enum {
    FD_MONITOR = 3,
    FD_SERIAL,
    FD_CONSOLE_LOG,
    FD_ROOT,
    FD_BASE,
    FD_CONFIG_DRIVE,
    FD_TAP_FIRST,
};

#define MACHINE_MAX_NICS 32
#define MACHINE_SPARE_PORTS 8 /* for hot-plug */

struct machine {
    const char *id, *qemu_path;
    int64_t vcpus, memory_mib;
    bool kvm;
    bool io_uring;                 /* else a thread pool */
    bool root_direct, base_direct; /* O_DIRECT works there */
    const char *image_format;      /* of the base: "raw" or "qcow2" */
    bool config_drive;
    const struct spec_nic *nics;
    size_t n_nics;
};

/* argv ends with NULL. devices: array of {"id","kind","bus","addr"[,"port_id"]}, in cx's arena. */
void machine_argv(struct ctx *cx, const struct machine *m, const char ***ret_argv,
                  json_t **ret_devices);
