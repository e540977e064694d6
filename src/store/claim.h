/* SPDX-License-Identifier: EUPL-1.2 */
/* Claims on a database file; engine.h says what they are for. */
#pragma once

#include "store/engine.h"

/* *ret_fd holds the claim until it is closed. Refused: ERR_IN_USE (alone), ERR_UNAVAILABLE. */
MUST_USE struct err *claim_file(struct ctx *cx, const char *path, enum claim claim, int *ret_fd);
/* The same of the one process that answers clients. Refused: ERR_IN_USE. */
MUST_USE struct err *claim_serving(struct ctx *cx, const char *path, int *ret_fd);
