/* SPDX-License-Identifier: EUPL-1.2 */
/* The guest's serial line and screen, for somebody who looks on. */
#include "node/drivers/qemu/ops.h"
#include "node/drivers/tools/files.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct err *op_console(struct ctx *cx, void *drv, const char *id, size_t max_bytes, struct buf *ret)
{
    TRY(check_server_id(cx, id));
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g)
        return fail(cx, ERR_NOT_FOUND, "server %s is not on this host", id);
    AUTO_FD int dir = -1;
    TRY(guest_dir(cx, g, &dir));
    AUTO_LOCK(&g->lock); /* not while it is being trimmed */
    return console_read(cx, dir, max_bytes, ret);
}

/* Of that user, and itself a socket: the guest's QEMU may have put anything else in its place. */
static struct err *connect_to(struct ctx *cx, int dir, const char *name, uid_t owner, int *ret_fd)
{
    struct stat st;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    AUTO_FD int place = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d", place);
    if (place < 0 || fd < 0 || fstat(place, &st) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot reach the console: %m");
    if (!S_ISSOCK(st.st_mode) || st.st_uid != owner)
        return fail(cx, ERR_CONFLICT, "the console is not where it was made");
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot reach the console: %m");
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

struct err *op_connect(struct ctx *cx, void *drv, const char *id, enum console_kind kind,
                       int *ret_fd)
{
    TRY(check_server_id(cx, id));
    AUTO_GUEST struct guest *g = guest_find(drv, id);
    if (!g || !guest_alive(g))
        return fail(cx, ERR_CONFLICT, "server %s is not running", id);
    AUTO_FD int dir = -1, run = -1;
    TRY(guest_dir(cx, g, &dir));
    if (kind == CONSOLE_SERIAL)
        return connect_to(cx, dir, SERIAL_NAME, geteuid(), ret_fd);
    TRY(dir_open(cx, dir, RUN_NAME, &run));
    pthread_mutex_lock(&g->lock);
    uid_t uid = g->rec.uid;
    pthread_mutex_unlock(&g->lock);
    return connect_to(cx, run, "vnc.sock", uid, ret_fd);
}
