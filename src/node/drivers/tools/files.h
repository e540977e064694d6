/* SPDX-License-Identifier: EUPL-1.2 */
/* Files that survive a crash at any moment: written beside, synced, renamed. Paths are relative to
 * an open folder. */
#pragma once

#include "base/base.h"

/* Readers see the old content or the new one, also after a power cut. */
MUST_USE struct err *file_write(struct ctx *cx, int dir_fd, const char *name, const void *data,
                                size_t size, mode_t mode);
/* ERR_NOT_FOUND, or ERR_TOO_LARGE above max bytes. */
MUST_USE struct err *file_read(struct ctx *cx, int dir_fd, const char *name, size_t max,
                               struct buf *ret);
/* At most the last max bytes of an open file. */
MUST_USE struct err *file_tail(struct ctx *cx, int fd, size_t max, struct buf *ret);
/* Puts a finished temporary file in its place: synced, renamed, the folder synced. */
MUST_USE struct err *file_settle(struct ctx *cx, int dir_fd, const char *temp, const char *name);
/* A new file that is written for a while: beside its path, put there when it is whole. What an
 * earlier try left is replaced. */
struct new_file {
    int fd, dir_fd;
    const char *temp, *name; /* in cx's arena */
};
MUST_USE struct err *new_file_begin(struct ctx *cx, const char *path, struct new_file *ret);
/* e: how the writing went; then there is no file. Returns it, or what went wrong here. */
MUST_USE struct err *new_file_end(struct ctx *cx, struct new_file *f, struct err *e);
/* Empty, for reading and writing; replaces what has this name. */
MUST_USE struct err *file_create(struct ctx *cx, int dir_fd, const char *name, int *ret_fd);
MUST_USE struct err *dir_sync(struct ctx *cx, int dir_fd);
/* An existing folder, not a link to one. */
MUST_USE struct err *dir_open(struct ctx *cx, int parent_fd, const char *name, int *ret_fd);
/* Made if missing, with this mode and owner. */
MUST_USE struct err *dir_make(struct ctx *cx, int parent_fd, const char *name, mode_t mode,
                              uid_t uid, gid_t gid, int *ret_fd);
/* Ours alone, until ret_fd is closed: ERR_CONFLICT when another process has it and keeps it for a
 * while. */
MUST_USE struct err *dir_lock(struct ctx *cx, int dir_fd, const char *path, int *ret_fd);
/* With everything in it. Absent is success. */
MUST_USE struct err *dir_remove(struct ctx *cx, int parent_fd, const char *name);
/* Names in a folder but "." and "..", in the arena. */
MUST_USE struct err *dir_names(struct ctx *cx, int dir_fd, const char ***ret_names, size_t *ret_n);
