/* SPDX-License-Identifier: EUPL-1.2 */
/* The agent's calls to the control plane (README.md has the protocol). One uplink a thread. */
#pragma once

#include "http/client.h"

struct uplink {
    const char *api_url, *host, *secret;
    struct http_client *client;
};

MUST_USE struct err *uplink_beat(struct ctx *cx, const struct uplink *u, const struct buf *body,
                                 int64_t *ret_heartbeat_s);
/* Long poll; wait_s 0 answers at once. */
MUST_USE struct err *uplink_items(struct ctx *cx, const struct uplink *u, int64_t since, int wait_s,
                                  json_t **ret);
/* ERR_INVALID when the control plane refuses them: sending them again would not help. */
MUST_USE struct err *uplink_report(struct ctx *cx, const struct uplink *u, const struct buf *body,
                                   bool *ret_stale);
MUST_USE struct err *uplink_image(struct ctx *cx, const struct uplink *u, const char *image_id,
                                  struct err *(*sink)(struct ctx *cx, void *to, const char *data,
                                                      size_t size),
                                  void *to);
/* The file becomes the image's data; that it is already is success. ERR_INVALID when the control
 * plane will not have it. */
MUST_USE struct err *uplink_send_image(struct ctx *cx, const struct uplink *u, const char *image_id,
                                       const char *path);
