/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Volumes and snapshots in the shape that nova had for them before there was a volume service
 * (os-volumes, os-snapshots): what compute may ask. Errors are this service's own; each change goes
 * the way of its own API.
 */
#pragma once

#include "volume/volumes.h"

/* One (id), or all of the project's, newest first, `limit` of them after `offset`: values into w.
 */
struct proxy_range {
    int64_t limit, offset;
};
MUST_USE struct err *volume_proxy_write(struct call *c, const char *id,
                                        const struct proxy_range *range, struct jw *w);
MUST_USE struct err *volume_proxy_write_snapshots(struct call *c, const char *id,
                                                  const struct proxy_range *range, struct jw *w);
/* members: of the older body, size, display_name, … */
MUST_USE struct err *volume_proxy_create(struct call *c, const json_t *members,
                                         const char **ret_id);
MUST_USE struct err *volume_proxy_delete(struct call *c, const char *id);
MUST_USE struct err *volume_proxy_snapshot(struct call *c, const json_t *members,
                                           const char **ret_id);
MUST_USE struct err *volume_proxy_delete_snapshot(struct call *c, const char *id);
