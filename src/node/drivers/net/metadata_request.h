/* SPDX-License-Identifier: EUPL-1.2 */
/* The one line of HTTP that the metadata service understands; pure. */
#pragma once

#include "base/base.h"

#define METADATA_REQUEST_BYTES ((size_t)8192)
#define METADATA_PATH_BYTES ((size_t)1024)

/*
 * What has come so far, NUL-terminated at len: 0 and the path without its query when it is a whole
 * request, -1 while more must come, or the HTTP status of the refusal.
 */
int metadata_request_parse(const char *request, size_t len, char path[METADATA_PATH_BYTES]);
