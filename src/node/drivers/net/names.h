/* SPDX-License-Identifier: EUPL-1.2 */
/* Names on the host, all made of the first 11 characters of an id: two halves of the driver find
 * each other by them. */
#pragma once

#include "base/base.h"

#define SHORT_ID 11
#define NETWORK_PREFIX "cv-n-"
#define ROUTER_PREFIX "cv-r-"
#define BRIDGE "br0"
#define EXTERNAL_BRIDGE "br-ext"
#define METADATA_IP "169.254.169.254"
#define METADATA_IP6 "fe80::a9fe:a9fe"

/* The first 11 characters; ERR_INVALID when the id is not made of lower case hex digits and dashes.
 */
MUST_USE struct err *short_id(struct ctx *cx, const char *id, const char **ret);
