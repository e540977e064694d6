/* SPDX-License-Identifier: EUPL-1.2 */
/* See tap_stats.h. */
#include "node/drivers/qemu/tap_stats.h"
#include "node/drivers/tools/files.h"
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define DEV_MAX_BYTES ((size_t)1 << 20)

bool tap_stats_parse(const char *text, const char *tap, struct tap_stats *ret)
{
    size_t len = strlen(tap);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        struct tap_stats s;
        line += strspn(line, "\n ");
        if (!*line)
            break;
        if (strncmp(line, tap, len) != 0 || line[len] != ':')
            continue;
        if (sscanf(line + len,
                   ": %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %*d %*d %*d %*d"
                   " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
                   &s.out.octets, &s.out.packets, &s.out.errors, &s.out.drops, &s.in.octets,
                   &s.in.packets, &s.in.errors, &s.in.drops) != 8)
            return false;
        *ret = s;
        return true;
    }
    return false;
}

/* The number of the tap among QEMU's descriptors; -1: it has none. */
static int find_tap(struct ctx *cx, pid_t pid, const char *tap)
{
    const char **names;
    size_t n;
    const char *line = arena_printf(cx->arena, "\niff:\t%s\n", tap);
    AUTO_FD int dir = open(arena_printf(cx->arena, "/proc/%d/fdinfo", (int)pid),
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || dir_names(cx, dir, &names, &n))
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct buf text;
        int64_t number;
        buf_init(&text, cx->arena);
        if (!file_read(cx, dir, names[i], 65536, &text) && strstr(buf_cstr(&text), line) &&
            str_to_i64(names[i], 0, INT32_MAX, &number))
            return (int)number;
    }
    return -1;
}

struct in_space {
    int space; /* of a network */
    char *text;
};

/* A thread of its own: it never comes back from there. */
static void *read_there(void *arg)
{
    struct in_space *in = arg;
    if (setns(in->space, CLONE_NEWNET) != 0)
        return NULL;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf text;
    buf_init(&text, cx.arena);
    AUTO_FD int dir = open("/proc/thread-self/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0 && !file_read(&cx, dir, "dev", DEV_MAX_BYTES, &text))
        in->text = strdup(buf_cstr(&text));
    return NULL;
}

bool tap_stats_read(struct ctx *cx, int pidfd, pid_t pid, const char *tap, struct tap_stats *ret)
{
    int number = find_tap(cx, pid, tap);
    if (number < 0)
        return false;
    AUTO_FD int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    AUTO_FD int space = fd >= 0 ? ioctl(fd, SIOCGSKNS) : -1;
    struct in_space in = {.space = space};
    pthread_t thread;
    if (space < 0 || pthread_create(&thread, NULL, read_there, &in) != 0)
        return false;
    pthread_join(thread, NULL);
    bool found = in.text && tap_stats_parse(in.text, tap, ret);
    free(in.text);
    return found;
}
