/* SPDX-License-Identifier: EUPL-1.2 */
/* Namespaces are per thread in Linux: unshare(2) and setns(2) move only the caller. */
#include "node/drivers/net/netns.h"
#include "node/drivers/net/links.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define NETNS_DIR "/run/netns"
#define OWN_NETNS "/proc/thread-self/ns/net"

static const char *netns_path(struct ctx *cx, const char *name)
{
    must(!strchr(name, '/') && name[0] && name[0] != '.');
    return arena_printf(cx->arena, NETNS_DIR "/%s", name);
}

/* A file which a crash left behind before its mount is not a namespace. */
static bool is_netns(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* The folder, locked. Shared propagation lets an unmount reach processes that copied our mounts. */
MUST_USE static struct err *netns_lock(struct ctx *cx, int *ret_fd)
{
    if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make " NETNS_DIR ": %m");
    AUTO_FD int fd = open(NETNS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot lock " NETNS_DIR ": %m");
    if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0) {
        if (errno != EINVAL || mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) < 0 ||
            mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot mount " NETNS_DIR ": %m");
    }
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

/* In the new namespace: lo with its owner's name, up; then the bind mount. */
MUST_USE static struct err *netns_furnish(struct ctx *cx, const char *path, const char *owner)
{
    struct links *l;
    struct link lo;
    bool found;
    TRY(links_open(cx, NULL, &l));
    TRY(link_find(cx, l, "lo", &lo, &found));
    must(found);
    TRY(link_set_alias(cx, l, lo.index, owner ? owner : ""));
    TRY(link_set_up(cx, l, lo.index, true));
    if (mount(OWN_NETNS, path, "none", MS_BIND, NULL) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot mount the namespace at %s: %m", path);
    return NULL;
}

MUST_USE static struct err *netns_make(struct ctx *cx, const char *path, const char *owner)
{
    AUTO_FD int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0);
    if (file < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot create %s: %m", path);
    AUTO_NETNS int back = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
    if (back < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open " OWN_NETNS ": %m");
    if (unshare(CLONE_NEWNET) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make a network namespace: %m");
    return netns_furnish(cx, path, owner);
}

struct err *netns_ensure(struct ctx *cx, const char *name, const char *owner)
{
    const char *path = netns_path(cx, name), *has;
    AUTO_FD int lock = -1;
    TRY(netns_lock(cx, &lock));
    if (!is_netns(path))
        return netns_make(cx, path, owner);
    if (!owner)
        return NULL;
    TRY(netns_owner(cx, name, &has));
    if (!str_eq(has, owner))
        return fail(
            cx, ERR_CONFLICT,
            "the network namespace %s is not ours but of '%s': stop that agent and remove it "
            "(ip netns del %s), or give this agent another database",
            name, has, name);
    return NULL;
}

struct err *netns_exists(struct ctx *cx, const char *name, bool *ret)
{
    *ret = is_netns(netns_path(cx, name));
    return NULL;
}

struct err *netns_owner(struct ctx *cx, const char *name, const char **ret_owner)
{
    struct links *l;
    struct link lo;
    bool found;
    TRY(links_open(cx, name, &l));
    TRY(link_find(cx, l, "lo", &lo, &found));
    *ret_owner = found ? arena_strdup(cx->arena, lo.alias) : "";
    return NULL;
}

struct err *netns_delete(struct ctx *cx, const char *name)
{
    const char *path = netns_path(cx, name);
    AUTO_FD int lock = -1;
    TRY(netns_lock(cx, &lock));
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (unlink(path) < 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove %s: %m", path);
    return NULL;
}

struct err *netns_list(struct ctx *cx, const char *prefix, const char ***ret, size_t *ret_n)
{
    DIR *dir = opendir(NETNS_DIR);
    size_t n = 0, cap = 16;
    const char **names = arena_new_array(cx->arena, const char *, cap);
    if (!dir && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot read " NETNS_DIR ": %m");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!str_starts(e->d_name, prefix))
            continue;
        if (n == cap) {
            const char **more = arena_new_array(cx->arena, const char *, cap * 2);
            memcpy(more, names, n * sizeof(*names));
            names = more;
            cap *= 2;
        }
        names[n++] = arena_strdup(cx->arena, e->d_name);
    }
    if (dir)
        closedir(dir);
    *ret = names;
    *ret_n = n;
    return NULL;
}

struct err *netns_open(struct ctx *cx, const char *name, int *ret_fd)
{
    const char *path = name ? netns_path(cx, name) : OWN_NETNS;
    if (name && !is_netns(path))
        return fail(cx, ERR_NOT_FOUND, "there is no network namespace %s", name);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "cannot open %s: %m",
                    path);
    return NULL;
}

struct err *netns_enter(struct ctx *cx, const char *name, int *ret_back)
{
    *ret_back = -1;
    if (!name)
        return NULL;
    AUTO_FD int there = -1, back = -1;
    TRY(netns_open(cx, NULL, &back));
    TRY(netns_open(cx, name, &there));
    if (setns(there, CLONE_NEWNET) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot enter the network namespace %s: %m", name);
    *ret_back = TAKE_FD(back);
    return NULL;
}

void netns_leave(int *back)
{
    if (*back < 0)
        return;
    must(setns(*back, CLONE_NEWNET) ==
         0); /* going on in the wrong namespace would be worse than stopping */
    close_fd_p(back);
}

struct err *sysctl_set(struct ctx *cx, const char *path, const char *value)
{
    const char *file = arena_printf(cx->arena, "/proc/sys/net/%s", path);
    AUTO_FD int fd = open(file, O_RDWR | O_CLOEXEC);
    char now[64] = "";
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open %s: %m", file);
    ssize_t got = read(fd, now, sizeof(now) - 1);
    size_t len = strlen(value);
    if (got == (ssize_t)len + 1 && memcmp(now, value, len) == 0)
        return NULL;
    if (pwrite(fd, value, len, 0) != (ssize_t)len)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s' to %s: %m", value, file);
    return NULL;
}
