/* SPDX-License-Identifier: EUPL-1.2 */
/* A resource with every kind of field, served in the manner of four API families: what the engine's
 * tests act on. */
#pragma once

#include "resource/test_api.h"

#define RESOURCE widget
#define RESOURCE_DEF "resource/test_widget.def"
#include "resource/declare_struct.h"

/* The same table, in the shape of an EXTRA_KEEP and of an EXTRA_IGNORE resource. */
extern const struct resource widget_keep_resource, widget_ignore_resource;

/* "/compute/v2.1/widgets", "/network/v2.0/widgets", "/identity/v3/widgets", "/image/v2/widgets" …
 */
extern const struct service *const widget_services[];
extern const size_t n_widget_services;
extern const struct service widget_compute;
/* How often the handler behind …/widgets/{widget_id}/stale is still to lose the race. */
extern _Atomic int widgets_stale;
