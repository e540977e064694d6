/* SPDX-License-Identifier: EUPL-1.2 */
/* What tests of the driver "ovn" know of their stage besides ../net/e2e.h. */
#pragma once

#include "node/drivers/net/e2e.h"

#define OVN_HOST "cvo-h" /* + 1, 2: the hosts' namespaces */
enum { OVN_HOSTS = 2 };

/* stage->net.drv */
struct ovn_stage {
    struct net_backend writer, hosts[OVN_HOSTS];
};
extern char ovn_dir[64]; /* the daemons' folder is cloud in it */
const char *ovn_host_db(struct ctx *cx, size_t host);
/* Another writer; it waits for the lock. */
MUST_USE struct err *ovn_stage_writer(struct ctx *cx, struct net_backend *ret);
