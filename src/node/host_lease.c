/* SPDX-License-Identifier: EUPL-1.2 */
/* See host_lease.h. */
#include "node/host_lease.h"
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct page {
    char boot_id[40];
    _Atomic int64_t until_us, guards;
};

static void read_boot_id(char out[static 40])
{
    AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, 36) : 0;
    memset(out + max_i64(n, 0), 0, (size_t)(40 - max_i64(n, 0)));
}

/* Whoever comes first after a start of the host clears it; the others wait for that. */
static void begin(int fd, struct page *p)
{
    char boot_id[40];
    read_boot_id(boot_id);
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        ;
    if (memcmp(p->boot_id, boot_id, sizeof(boot_id)) != 0) {
        atomic_store(&p->until_us, 0);
        memcpy(p->boot_id, boot_id, sizeof(boot_id));
    }
    flock(fd, LOCK_UN);
}

struct err *host_lease_open(struct ctx *cx, const char *dir, struct host_lease *ret)
{
    const char *path = arena_printf(cx->arena, "%s/lease", dir);
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 ||
        (st.st_size < (off_t)sizeof(struct page) && ftruncate(fd, sizeof(struct page)) < 0))
        return fail(cx, ERR_UNAVAILABLE, "cannot make the file '%s': %m", path);
    struct page *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return fail(cx, ERR_UNAVAILABLE, "cannot map the file '%s': %m", path);
    begin(fd, p);
    *ret = (struct host_lease){.until_us = &p->until_us, .guards = &p->guards, .map = p};
    return NULL;
}

void host_lease_close(struct host_lease *l)
{
    if (l->map)
        munmap(l->map, sizeof(struct page));
    *l = (struct host_lease){0};
}
