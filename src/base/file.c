/* SPDX-License-Identifier: EUPL-1.2 */
/* See file.h. */
#include "base/base.h"
#include <sys/stat.h>

struct err *secret_file_read(struct ctx *cx, const char *path, size_t max_bytes, char **ret)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    *ret = NULL;
    if (fd < 0 && errno == ENOENT)
        return NULL;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot read %s: %m", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || (uint64_t)st.st_size > max_bytes)
        return fail(cx, ERR_INVALID, "%s must be a file that only its owner may read (mode 0600)",
                    path);
    size_t size = (size_t)st.st_size;
    char *text = arena_alloc(cx->arena, size + 1);
    arena_wipe_later(cx->arena, text, size);
    if (read(fd, text, size) != st.st_size)
        return fail(cx, ERR_UNAVAILABLE, "cannot read %s: %m", path);
    *ret = text;
    return NULL;
}
