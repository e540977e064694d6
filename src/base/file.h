/* SPDX-License-Identifier: EUPL-1.2 */
/* Files that hold secrets. */
#pragma once

/*
 * The whole of it, a text, wiped with the context's arena; *ret NULL: there is none. ERR_INVALID
 * where others than its owner may read it, or it is larger than max_bytes; ERR_UNAVAILABLE.
 */
MUST_USE struct err *secret_file_read(struct ctx *cx, const char *path, size_t max_bytes,
                                      char **ret);
