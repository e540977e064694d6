/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the image service. */
#pragma once

#include "resource/api.h"

extern const struct service image_service;

struct image_config {
    const char *dir; /* where data is kept */
    int64_t size_max_bytes;
};
/* Once, at start, before requests: makes the folder; texts are kept by reference. */
MUST_USE struct err *image_configure(struct ctx *cx, const struct image_config *cfg);
/* The data of any image, for an agent. */
struct err *image_open(struct ctx *cx, struct tx *tx, const char *image_id, int *ret_fd,
                       int64_t *ret_size);
/* Exports and staged data that take too long are given up. Each few seconds, by any number of
 * processes. */
MUST_USE struct err *image_sweep(struct ctx *cx, struct store *s, size_t *ret_changed);
/* Removes what crashed uploads and deletions left behind. */
MUST_USE struct err *image_clean(struct ctx *cx, struct store *s);
