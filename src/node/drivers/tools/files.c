/* SPDX-License-Identifier: EUPL-1.2 */
/* See files.h. */
#include "node/drivers/tools/files.h"
#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_TRIES 100
#define LOCK_STEP_US 50000 /* 5 s in all: our predecessor may be dying */

struct err *file_write(struct ctx *cx, int dir_fd, const char *name, const void *data, size_t size,
                       mode_t mode)
{
    const char *temp = arena_printf(cx->arena, ".%s.%016" PRIx64 ".tmp", name, rng_u64(cx->rng));
    AUTO_FD int fd =
        openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot create '%s': %m", temp);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            struct err *e = fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", temp);
            unlinkat(dir_fd, temp, 0);
            return e;
        }
        done += (size_t)n;
    }
    struct err *e = file_settle(cx, dir_fd, temp, name);
    if (e)
        unlinkat(dir_fd, temp, 0);
    return e;
}

struct err *file_settle(struct ctx *cx, int dir_fd, const char *temp, const char *name)
{
    AUTO_FD int fd = openat(dir_fd, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s' to disk: %m", temp);
    if (renameat(dir_fd, temp, dir_fd, name) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot rename '%s' to '%s': %m", temp, name);
    return dir_sync(cx, dir_fd);
}

struct err *file_create(struct ctx *cx, int dir_fd, const char *name, int *ret_fd)
{
    if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot replace '%s': %m", name);
    *ret_fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? fail(cx, ERR_UNAVAILABLE, "cannot create '%s': %m", name) : NULL;
}

struct err *new_file_begin(struct ctx *cx, const char *path, struct new_file *ret)
{
    struct new_file f = {.fd = -1, .dir_fd = -1};
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || !slash[1])
        return fail(cx, ERR_INVALID, "'%s' is not the path of a file", path);
    f.name = slash + 1;
    f.temp = arena_printf(cx->arena, ".%s.tmp", f.name);
    const char *dir = slash == path ? "/" : arena_strndup(cx->arena, path, (size_t)(slash - path));
    f.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.dir_fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open folder '%s': %m", dir);
    struct err *e = file_create(cx, f.dir_fd, f.temp, &f.fd);
    if (e)
        close(f.dir_fd);
    else
        *ret = f;
    return e;
}

struct err *new_file_end(struct ctx *cx, struct new_file *f, struct err *e)
{
    if (!e)
        e = file_settle(cx, f->dir_fd, f->temp, f->name);
    if (e)
        unlinkat(f->dir_fd, f->temp, 0);
    close_fd_p(&f->fd);
    close_fd_p(&f->dir_fd);
    return e;
}

struct err *file_read(struct ctx *cx, int dir_fd, const char *name, size_t max, struct buf *ret)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "cannot open '%s': %m",
                    name);
    for (;;) {
        char *p = buf_reserve(ret, 4096);
        ssize_t n = read(fd, p, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot read '%s': %m", name);
        if (n == 0)
            break;
        ret->len += (size_t)n;
        if (ret->len > max)
            return fail(cx, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", name, max);
    }
    *buf_reserve(ret, 1) = 0;
    return NULL;
}

struct err *file_tail(struct ctx *cx, int fd, size_t max, struct buf *ret)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot read a log file: %m");
    off_t at = st.st_size > (off_t)max ? st.st_size - (off_t)max : 0;
    for (size_t left = max; left > 0;) {
        size_t want = left < 65536 ? left : 65536;
        ssize_t n = pread(fd, buf_reserve(ret, want + 1), want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(cx, ERR_UNAVAILABLE, "cannot read a log file: %m");
        if (n == 0)
            break;
        ret->len += (size_t)n;
        at += n;
        left -= (size_t)n;
    }
    *buf_reserve(ret, 1) = 0;
    return NULL;
}

struct err *dir_sync(struct ctx *cx, int dir_fd)
{
    if (fsync(dir_fd) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write a folder to disk: %m");
    return NULL;
}

struct err *dir_open(struct ctx *cx, int parent_fd, const char *name, int *ret_fd)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(cx, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                    "cannot open folder '%s': %m", name);
    *ret_fd = fd;
    return NULL;
}

struct err *dir_make(struct ctx *cx, int parent_fd, const char *name, mode_t mode, uid_t uid,
                     gid_t gid, int *ret_fd)
{
    bool made = mkdirat(parent_fd, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot create folder '%s': %m", name);
    AUTO_FD int fd = -1;
    TRY(dir_open(cx, parent_fd, name, &fd));
    if (fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot set the owner of folder '%s': %m", name);
    if (made)
        TRY(dir_sync(cx, parent_fd));
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

struct err *dir_names(struct ctx *cx, int dir_fd, const char ***ret_names, size_t *ret_n)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        struct err *e = fail(cx, ERR_UNAVAILABLE, "cannot read a folder: %m");
        if (fd >= 0)
            close(fd);
        return e;
    }
    const char **names = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
            continue;
        if (n == cap) {
            const char **more = arena_new_array(cx->arena, const char *, cap ? cap * 2 : 16);
            if (n)
                memcpy(more, names, n * sizeof(*names));
            names = more;
            cap = cap ? cap * 2 : 16;
        }
        names[n++] = arena_strdup(cx->arena, entry->d_name);
    }
    closedir(d);
    *ret_names = names;
    *ret_n = n;
    return NULL;
}

struct err *dir_lock(struct ctx *cx, int dir_fd, const char *path, int *ret_fd)
{
    AUTO_FD int fd = openat(dir_fd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == LOCK_TRIES)
            return fail(cx, ERR_CONFLICT, "another agent works in '%s'", path);
        usleep(LOCK_STEP_US);
    }
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot lock the data folder '%s': %m", path);
    *ret_fd = TAKE_FD(fd);
    return NULL;
}

/* Our own folders are four levels deep at most; a deeper tree isn't ours. */
static struct err *remove_tree(struct ctx *cx, int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return NULL;
    if (errno != EISDIR && errno != EPERM)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove '%s': %m", name);
    if (depth == 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove '%s': too many folders in it", name);
    AUTO_FD int fd = -1;
    TRY(dir_open(cx, parent_fd, name, &fd));
    const char **names;
    size_t n;
    TRY(dir_names(cx, fd, &names, &n));
    for (size_t i = 0; i < n; i++)
        TRY(remove_tree(cx, fd, names[i], depth - 1));
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove folder '%s': %m", name);
    return NULL;
}

struct err *dir_remove(struct ctx *cx, int parent_fd, const char *name)
{
    TRY(remove_tree(cx, parent_fd, name, 6));
    return dir_sync(cx, parent_fd);
}
