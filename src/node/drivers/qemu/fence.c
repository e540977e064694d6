/* SPDX-License-Identifier: EUPL-1.2 */
/* See fence.h. */
#include "node/drivers/qemu/fence.h"
#include "node/drivers/qemu/guests.h"
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#define END_TIMEOUT_MS 5000

static struct err *kill_process(struct ctx *cx, int dir, int pidfd, const char *id)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    /* A full disk must not save it: then the driver takes it for crashed. */
    int mark = openat(dir, FENCED_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    close_fd_p(&mark);
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return fail(cx, ERR_UNAVAILABLE, "cannot kill QEMU of server %s: %m", id);
    if (poll(&p, 1, END_TIMEOUT_MS) != 1)
        return fail(cx, ERR_TIMEOUT, "QEMU of server %s does not end", id);
    return NULL;
}

struct err *qemu_fence(struct ctx *cx, const char *data_dir, const char *server_id,
                       bool *ret_running)
{
    struct record r;
    *ret_running = false;
    AUTO_FD int dir = open(arena_printf(cx->arena, "%s/servers/%s", data_dir, server_id),
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return errno == ENOENT ? NULL
                               : fail(cx, ERR_UNAVAILABLE,
                                      "cannot open the folder of server %s: %m", server_id);
    struct err *e = record_load(cx, dir, &r);
    if (e)
        return e->kind == ERR_NOT_FOUND ? NULL : e;
    AUTO_FD int pidfd = record_open_process(&r);
    record_fini(&r);
    if (pidfd < 0)
        return NULL;
    *ret_running = true;
    return kill_process(cx, dir, pidfd, server_id);
}
