/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the placement service. */
#pragma once

#include "resource/api.h"

extern const struct service placement_service;
