/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the image service. */
#pragma once

#include "resource/api.h"

extern const struct service image_service;

struct image_config {
    const char *dir;     /* where data is kept */
    int64_t size_max_bytes;
};
/* Once, at start, before requests: makes the folder; texts are kept by reference. */
MUST_USE struct err *image_configure(struct ctx *cx, const struct image_config *cfg);
/* Removes what crashed uploads and deletions left behind. */
MUST_USE struct err *image_clean(struct ctx *cx, struct store *s);
