/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Claims on a database that is a file, by locks on a file beside it (locks on the file itself are
 * SQLite's own): the first byte is what connections share or one has alone, the second is the one
 * process that answers clients. The kernel takes them back however a process ends.
 */
#include <sys/stat.h>
#include "store/claim.h"

/* As the error of both engines. */
struct err *claim_refused(struct ctx *cx, enum claim claim)
{
    if (claim == CLAIM_ALONE)
        return fail(cx, ERR_IN_USE,
                    "the database is in use: stop every 'colvert api' that serves from it first");
    return fail(cx, ERR_UNAVAILABLE,
                "the database is being moved ('colvert admin migrate-state'): try again later");
}

struct err *claim_moved(struct ctx *cx)
{
    return fail(cx, ERR_UNAVAILABLE,
                "what was in this database has been moved to another one ('colvert admin "
                "migrate-state'): name that one in the setting 'state'");
}

/* Who may use the database may use its locks: root may have come first. */
static struct err *open_lock_file(struct ctx *cx, const char *path, int *ret)
{
    struct stat st;
    const char *name = arena_printf(cx->arena, "%s-lock", path);
    AUTO_FD int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot open '%s': %m", name);
    if (geteuid() == 0 && stat(path, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot give '%s' to the database's owner: %m", name);
    *ret = TAKE_FD(fd);
    return NULL;
}

static struct err *lock_byte(struct ctx *cx, const char *path, off_t byte, short type, int *ret_fd,
                             bool *ret_got)
{
    AUTO_FD int fd = -1;
    TRY(open_lock_file(cx, path, &fd));
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    *ret_got = fcntl(fd, F_OFD_SETLK, &lock) == 0;
    if (!*ret_got && errno != EAGAIN && errno != EACCES)
        return fail(cx, ERR_UNAVAILABLE, "cannot lock '%s-lock': %m", path);
    if (*ret_got)
        *ret_fd = TAKE_FD(fd);
    return NULL;
}

struct err *claim_file(struct ctx *cx, const char *path, enum claim claim, int *ret_fd)
{
    bool got = false;
    TRY(lock_byte(cx, path, 0, claim == CLAIM_ALONE ? F_WRLCK : F_RDLCK, ret_fd, &got));
    return got ? NULL : claim_refused(cx, claim);
}

struct err *claim_serving(struct ctx *cx, const char *path, int *ret_fd)
{
    bool got = false;
    TRY(lock_byte(cx, path, 1, F_WRLCK, ret_fd, &got));
    if (got)
        return NULL;
    return fail(cx, ERR_IN_USE,
                "another 'colvert api' serves from '%s': a SQLite file is for one of them, several "
                "need PostgreSQL ('colvert admin migrate-state' moves the region there)",
                path);
}
