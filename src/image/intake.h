/* SPDX-License-Identifier: EUPL-1.2 */
/* An image's bytes on their way in: to the disk, and through both digests. */
#pragma once

#include "base/base.h"

#define INTAKE_ALONE_BYTES ((int64_t)1 << 20) /* before a thread is worth its start */
#define INTAKE_HELPERS_MAX 8                  /* threads, each with all the pieces */
#define INTAKE_PIECES 8
#define INTAKE_PIECE_BYTES ((size_t)64 * 1024)

struct intake;

/* Writes to fd, which stays the caller's and is not closed before intake_free. */
struct intake *intake_new(int fd);
/* Waits while the digests are INTAKE_PIECES behind. ERR_TOO_LARGE: the disk is full;
 * ERR_UNAVAILABLE: it can't be written. After an error only intake_free may follow. */
MUST_USE struct err *intake_write(struct intake *in, struct ctx *cx, const char *data, size_t size);
/* Writes what is left and waits for the digests: hex, in cx's arena. Once; errors as above. */
MUST_USE struct err *intake_end(struct intake *in, struct ctx *cx, const char **ret_md5,
                                const char **ret_sha512);
/* At any point; waits for no more than the piece at hand. */
void intake_free(struct intake *in);
/* Threads that are at work for intakes now, in the whole process. */
int intake_helpers(void);
