/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Guests that another host may start when this one is silent: they run under a lease, which each
 * answered heartbeat prolongs, and which the guard (guard.h) enforces when we don't. A host that
 * was without one hears first what is desired of it by now: such guests may be elsewhere.
 */
#include "node/agent_impl.h"
#include <sys/stat.h>

bool ha_lapsed(struct ctx *cx, const struct agent *a)
{
    return boot_us(cx) >= a->lease_until_us;
}

bool ha_held(struct ctx *cx, const struct agent *a)
{
    return ha_lapsed(cx, a) || !a->lease_heard;
}

bool agent_lease(struct ctx *cx, struct agent *a, int64_t until_us)
{
    AUTO_LOCK(&a->lock);
    if (ha_lapsed(cx, a))
        a->lease_heard = false;
    a->lease_until_us = max_i64(a->lease_until_us, until_us);
    return !a->lease_heard;
}

void agent_lease_resume(struct agent *a, int64_t until_us)
{
    AUTO_LOCK(&a->lock);
    a->lease_until_us = until_us;
    a->lease_heard = false;
}

void agent_lease_heard(struct ctx *cx, struct agent *a, const json_t *answer)
{
    AUTO_LOCK(&a->lock);
    if (ha_lapsed(cx, a) || a->lease_heard || !a->swept ||
        a->revision < json_get_int(answer, "revision", INT64_MAX))
        return;
    a->lease_heard = true;
    agent_poke_locked(a);
}

struct err *ha_mark(struct ctx *cx, struct agent *a, struct item *it, bool ha)
{
    if (!a->setup.dir || it->ha_mark == (ha ? HA_MARKED : HA_UNMARKED))
        return NULL;
    const char *dir = arena_printf(cx->arena, "%s/ha", a->setup.dir);
    const char *path = arena_printf(cx->arena, "%s/%s", dir, it->id);
    if (!ha) {
        if (unlink(path) < 0 && errno != ENOENT)
            return fail(cx, ERR_UNAVAILABLE, "cannot remove the file '%s': %m", path);
        it->ha_mark = HA_UNMARKED;
        return NULL;
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", dir);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the file '%s': %m", path);
    it->ha_mark = HA_MARKED;
    return NULL;
}
