/* SPDX-License-Identifier: EUPL-1.2 */
/* What little HTTP the metadata service understands; pure. */
#pragma once

#include "base/base.h"

#define METADATA_HEAD_BYTES ((size_t)8192)
#define METADATA_BODY_BYTES ((size_t)4096)
#define METADATA_REQUEST_BYTES (METADATA_HEAD_BYTES + METADATA_BODY_BYTES)
#define METADATA_PATH_BYTES ((size_t)1024)

struct metadata_request {
    char path[METADATA_PATH_BYTES]; /* without its query */
    bool post;
    size_t body_at, body_size; /* where a POST's body is in what came */
};

/*
 * What has come so far, at most METADATA_REQUEST_BYTES, NUL-terminated at len: 0 when it is a whole
 * request, -1 while more must come, or the HTTP status of the refusal.
 */
int metadata_request_parse(const char *request, size_t len, struct metadata_request *ret);
