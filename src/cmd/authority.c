/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The region's certificate authority: files in DATA/control/ca, of the control plane's user only.
 * ca.pem is the key and certificate in use. next.pem, the same, is the one to come, and trusted.pem
 * has certificates of former ones: hosts trust all of them, so that an authority can be changed
 * under them.
 */
#include "cmd/wiring.h"
#include "http/pki.h"
#include <sys/stat.h>

#define CA_TTL_S (INT64_C(3650) * 86400)

static const char *file(struct ctx *cx, const struct settings *s, const char *name)
{
    return arena_printf(cx->arena, "%s/ca%s%s", control_dir(cx, s), *name ? "/" : "", name);
}

/* An administrator's file is to be the control plane's user's, as the folder is. */
static bool hand_over(const char *path, int fd)
{
    char folder[4096];
    struct stat st;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    return geteuid() != 0 || (stat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0);
}

/* replace false: a file that is there already stays. */
static struct err *put_file(struct ctx *cx, const char *path, const char *text, bool replace)
{
    const char *tmp = arena_printf(cx->arena, "%s.%d", path, (int)getpid());
    size_t n = strlen(text);
    unlink(tmp);
    AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && hand_over(path, fd) && write(fd, text, n) == (ssize_t)n &&
              fsync(fd) == 0 &&
              (replace ? rename(tmp, path) == 0 : link(tmp, path) == 0 || errno == EEXIST);
    int error = errno;
    unlink(tmp);
    return ok ? NULL : fail(cx, ERR_UNAVAILABLE, "cannot write %s: %s", path, strerror(error));
}

static struct err *make(struct ctx *cx, const struct settings *s, const char *name)
{
    const char *key;
    struct pki_cert cert;
    TRY(pki_key_new(cx, &key));
    TRY(pki_ca_new(cx, key, arena_printf(cx->arena, "Colvert %s", s->region), CA_TTL_S, &cert));
    char *text = arena_printf(cx->arena, "%s%s", cert.pem, key);
    arena_wipe_later(cx->arena, text, strlen(text));
    return put_file(cx, file(cx, s, name), text, false);
}

struct err *authority_make(struct ctx *cx, const struct settings *s)
{
    if (mkdir(control_dir(cx, s), 0700) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder %s: %m", control_dir(cx, s));
    if (mkdir(file(cx, s, ""), 0700) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder %s: %m", file(cx, s, ""));
    return access(file(cx, s, "ca.pem"), F_OK) == 0 ? NULL : make(cx, s, "ca.pem");
}

struct err *authority_read(struct ctx *cx, const struct settings *s, struct authority *ret)
{
    char *own, *next, *former;
    struct pki_cert next_cert = {.pem = ""};
    TRY(secret_file_read(cx, file(cx, s, "ca.pem"), PKI_TEXT_MAX_BYTES, &own));
    if (!own)
        return fail(cx, ERR_NOT_FOUND,
                    "there is no %s: `colvert up` and `colvert admin bootstrap` make it; further "
                    "control planes of a region get a copy of the folder",
                    file(cx, s, "ca.pem"));
    TRY(secret_file_read(cx, file(cx, s, "next.pem"), PKI_TEXT_MAX_BYTES, &next));
    TRY(secret_file_read(cx, file(cx, s, "trusted.pem"), PKI_TEXT_MAX_BYTES, &former));
    TRY(pki_read(cx, own, &ret->cert));
    if (next)
        TRY(pki_read(cx, next, &next_cert));
    ret->key = own;
    ret->authorities =
        arena_printf(cx->arena, "%s%s%s", ret->cert.pem, next_cert.pem, former ? former : "");
    return NULL;
}

struct err *authority_rotate(struct ctx *cx, const struct settings *s, bool *ret_changed)
{
    struct authority a;
    char *next, *former;
    TRY(authority_read(cx, s, &a));
    TRY(secret_file_read(cx, file(cx, s, "next.pem"), PKI_TEXT_MAX_BYTES, &next));
    *ret_changed = next != NULL;
    if (!next)
        return make(cx, s, "next.pem");
    TRY(secret_file_read(cx, file(cx, s, "trusted.pem"), PKI_TEXT_MAX_BYTES, &former));
    /* In this order a crash leaves more trusted, never less. */
    TRY(put_file(cx, file(cx, s, "trusted.pem"),
                 arena_printf(cx->arena, "%s%s", a.cert.pem, former ? former : ""), true));
    if (rename(file(cx, s, "next.pem"), file(cx, s, "ca.pem")) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot replace %s: %m", file(cx, s, "ca.pem"));
    return NULL;
}
