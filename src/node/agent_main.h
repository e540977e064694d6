/* SPDX-License-Identifier: EUPL-1.2 */
/* `colvert node`: the drivers that the configuration names, the loop around them, and signals. */
#pragma once

#include "node/loop.h"

struct agent_config {
    struct loop_config loop;
    const char
        *guest_driver;       /* "qemu" or "fake" (kept in DATA/fake-guests); its volumes likewise */
    const char *net_driver;  /* "kernel", "ovn" or "fake" */
    const char *ovs_db;      /* of the driver "ovn" */
    struct qemu_config qemu; /* data_dir NULL: the loop's */
    const char *netns; /* the "host" namespace of the kernel driver; NULL: the process's own */
    const char *external_cidr;
    const char *shared_dir; /* volumes that other hosts reach too; NULL: none */
};

/* Runs until SIGTERM or SIGINT; guests and networks stay. */
MUST_USE struct err *agent_main(struct ctx *cx, const struct agent_config *cfg);
/* Takes away every guest, router, network and volume that the drivers find on this host. Needs no
 * control plane. */
MUST_USE struct err *agent_purge(struct ctx *cx, const struct agent_config *cfg);
