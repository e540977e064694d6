/* SPDX-License-Identifier: EUPL-1.2 */
/* The agent's calls to the control plane (README.md has the protocol). One uplink a thread. */
#pragma once

#include "node/enrolment.h"

/* To any process of the control plane: when one gives no answer, or can't, the next is asked. */
struct uplink {
    char **api_urls;
    size_t n_urls, at; /* the one that answered last */
    const char *host, *secret;
    struct enrolment *enrolment; /* instead of the secret; NULL: none */
    struct http_client *client;
};
/* api_urls: one or several, with commas between; all texts live as long as cx. */
struct uplink uplink_new(struct ctx *cx, const char *api_urls, const char *host, const char *secret,
                         struct enrolment *enrolment);

struct beat_answer {
    int64_t heartbeat_s;            /* the next one */
    int64_t lease_s;                /* from when it was asked for; 0: none */
    const char *authorities_sha256; /* whom an enrolled host is to trust; NULL: as before */
};
MUST_USE struct err *uplink_beat(struct ctx *cx, struct uplink *u, const struct buf *body,
                                 struct beat_answer *ret);
/* Long poll; wait_s 0 answers at once. */
MUST_USE struct err *uplink_items(struct ctx *cx, struct uplink *u, int64_t since, int wait_s,
                                  json_t **ret);
/* ERR_INVALID when the control plane refuses them: sending them again would not help. */
MUST_USE struct err *uplink_report(struct ctx *cx, struct uplink *u, const struct buf *body,
                                   bool *ret_stale);
MUST_USE struct err *uplink_image(struct ctx *cx, struct uplink *u, const char *image_id,
                                  struct err *(*sink)(struct ctx *cx, void *to, const char *data,
                                                      size_t size),
                                  void *to);
/* The file becomes the image's data; that it is already is success. ERR_INVALID when the control
 * plane will not have it. */
MUST_USE struct err *uplink_send_image(struct ctx *cx, struct uplink *u, const char *image_id,
                                       const char *path);
