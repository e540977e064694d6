/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The password that a guest encrypts for its owner and leaves with the metadata service, once. It
 * is in a file until a report has told it, and the spec that follows says what the control plane
 * has.
 */
#include "node/agent_impl.h"
#include <sys/stat.h>

static const char *dir_of(struct ctx *cx, const struct agent *a)
{
    return arena_printf(cx->arena, "%s/passwords", a->setup.dir);
}

static const char *path_of(struct ctx *cx, const struct agent *a, const char *id)
{
    return arena_printf(cx->arena, "%s/passwords/%s", a->setup.dir, id);
}

static void load(struct ctx *cx, struct agent *a, struct item *it)
{
    char text[SPEC_PASSWORD_MAX + 1];
    if (it->password_read || !a->setup.dir)
        return;
    it->password_read = true;
    AUTO_FD int fd = open(path_of(cx, a, it->id), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, SPEC_PASSWORD_MAX);
    if (n <= 0)
        return;
    text[n] = 0;
    item_set_text(&it->password, text);
    secret_wipe(text, sizeof(text));
}

const char *password_pending(struct ctx *cx, struct agent *a, struct item *it)
{
    load(cx, a, it);
    return arena_strdup(cx->arena, it->password);
}

static void forget(struct ctx *cx, struct agent *a, struct item *it)
{
    if (a->setup.dir)
        unlink(path_of(cx, a, it->id));
    item_set_text(&it->password, NULL);
    it->password_told = false;
}

void password_forget(struct ctx *cx, struct agent *a, struct item *it)
{
    AUTO_LOCK(&a->lock);
    forget(cx, a, it);
}

/* A spec made after the report that told it says what is kept of it: all, or, taken away by its
 * owner meanwhile, nothing. */
static bool settled(const struct item *it, const struct job *job)
{
    return str_eq(it->password, job->desired->server.password_data) ||
           (it->password_told && job->revision > it->password_revision);
}

const char *password_to_tell(struct ctx *cx, struct agent *a, struct job *job)
{
    struct item *it = job->it;
    AUTO_LOCK(&a->lock);
    load(cx, a, it);
    if (it->password && job->desired && settled(it, job))
        forget(cx, a, it);
    job->tells_password = it->password && !it->password_told;
    return job->tells_password ? arena_strdup(cx->arena, it->password) : NULL;
}

/* ---- the guest's side ---- */

static bool is_text(struct ctx *cx, const char *text, size_t len)
{
    if (len < 1 || len > SPEC_PASSWORD_MAX || memchr(text, 0, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' && !strchr("\t\r\n", text[i]))
            return false;
    return str_utf8_len(arena_strndup(cx->arena, text, len)) >= 0;
}

static struct err *write_file(struct ctx *cx, const struct agent *a, const char *id,
                              const char *text, size_t len)
{
    const char *path = path_of(cx, a, id), *beside = arena_printf(cx->arena, "%s.new", path);
    if (mkdir(dir_of(cx, a), 0700) != 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder '%s': %m", dir_of(cx, a));
    AUTO_FD int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) != 0 ||
        rename(beside, path) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", path);
    return NULL;
}

/* The item may not go meanwhile: so all of it is under the lock, and it is short and rare. */
struct err *agent_leave_password(struct ctx *cx, struct agent *a, const char *server_id,
                                 const char *text, size_t len)
{
    if (!is_text(cx, text, len))
        return fail(cx, ERR_INVALID, "a password is a text of at most %zu bytes",
                    SPEC_PASSWORD_MAX);
    AUTO_LOCK(&a->lock);
    struct item *it = item_find(a, ITEM_SERVER, server_id);
    if (!it || !it->desired || it->deleted)
        return fail(cx, ERR_NOT_FOUND, "no server %s on this host", server_id);
    load(cx, a, it);
    const char *kept = it->desired->server.password_data;
    if (it->password || (kept && *kept))
        return fail(cx, ERR_CONFLICT, "server %s has left its password already", server_id);
    if (a->setup.dir)
        TRY(write_file(cx, a, server_id, text, len));
    item_set_text(&it->password, arena_strndup(cx->arena, text, len));
    item_due(a, it, 0);
    return NULL;
}

bool agent_password_told(struct ctx *cx, struct agent *a, const char *server_id)
{
    AUTO_LOCK(&a->lock);
    struct item *it = item_find(a, ITEM_SERVER, server_id);
    if (!it)
        return true;
    load(cx, a, it);
    return !it->password || it->password_told;
}
