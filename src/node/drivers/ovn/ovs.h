/* SPDX-License-Identifier: EUPL-1.2 */
/* Ports of the host's integration bridge, which ovn-controller makes: by their names, each bound to
 * a logical port. */
#pragma once

#include "base/base.h"

#define INTEGRATION_BRIDGE "br-int"

/* The bridge is the userspace datapath's: it takes frames as they are, without virtio's headers. */
MUST_USE struct err *ovs_is_userspace(struct ctx *cx, const char *db, bool *ret);
/* The link is a port of the bridge, and in use there. owner: whose it is. */
MUST_USE struct err *ovs_plug(struct ctx *cx, const char *db, const char *link,
                              const char *logical_port, const char *owner);
/* Absent is success. Before a new link takes the name of one that is gone: the switch gives a
 * port's link its former state back when it lets it go, by its name. */
/* The host's name in OVN (system-id); within a second. */
MUST_USE struct err *ovs_chassis(struct ctx *cx, const char *db, const char **ret);
MUST_USE struct err *ovs_unplug(struct ctx *cx, const char *db, const char *link);
