/* SPDX-License-Identifier: EUPL-1.2 */
/* What tells a shared folder from an empty mount point, and from another one: a file with its id.
 */
#include "node/drivers/driver.h"
#include "node/drivers/tools/files.h"

#define POOL_FILE "colvert-pool"

struct err *qcow2_pool_read(struct ctx *cx, const char *dir, const char **ret_id)
{
    char text[64] = "";
    const char *path = arena_printf(cx->arena, "%s/" POOL_FILE, dir);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                    "cannot read '%s': %m (is the storage mounted? 'colvert admin pool-make DIR' "
                    "makes a new one)",
                    path);
    text[strcspn(text, "\n")] = 0;
    if (!uuid_valid(text))
        return fail(cx, ERR_INVALID, "'%s' holds no pool's id", path);
    *ret_id = arena_strdup(cx->arena, text);
    return NULL;
}

/* Two at once: one of them is the first, and its id is everybody's. */
struct err *qcow2_pool_make(struct ctx *cx, const char *dir, const char **ret_id)
{
    struct err *e = qcow2_pool_read(cx, dir, ret_id);
    if (!e || e->kind != ERR_NOT_FOUND)
        return e;
    const char *id = uuid_new(cx), *text = arena_printf(cx->arena, "%s\n", id),
               *path = arena_printf(cx->arena, "%s/" POOL_FILE, dir),
               *beside = arena_printf(cx->arena, "%s.%s", path, id);
    AUTO_FD int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", beside);
    int rc = link(beside, path), error = errno;
    unlink(beside);
    errno = error;
    if (rc != 0 && error != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make '%s': %m", path);
    return qcow2_pool_read(cx, dir, ret_id);
}
