/* SPDX-License-Identifier: EUPL-1.2 */
/* Moving everything from one database to another, of the same engine or the other one. */
#pragma once

#include "store/store.h"

/* rows: of this table so far, or, when it is done, in all. */
typedef void move_progress_fn(void *arg, const char *table, int64_t rows, bool done);

/*
 * The source must be in use by nobody (ERR_IN_USE) and have exactly these migrations; the target
 * must be empty (ERR_EXISTS) and gets them. Every table is copied in one transaction, its rows are
 * counted and summed up on both sides. All or nothing: after an error or a crash the source is as
 * it was, and the target without a row. On success nobody connects to the source any more.
 */
MUST_USE struct err *store_move(struct ctx *cx, const char *from_url, const char *to_url,
                                const struct migration *list, size_t n, move_progress_fn *progress,
                                void *arg);
