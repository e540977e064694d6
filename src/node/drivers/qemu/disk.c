/* SPDX-License-Identifier: EUPL-1.2 */
/* See disk.h. */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/qcow2.h"
#include <sys/stat.h>

#define TEMP_PREFIX ".disk-"

const char *root_disk_name(struct ctx *cx, int64_t build_seq)
{
    return arena_printf(cx->arena, "root-%" PRId64 ".qcow2", build_seq);
}

const char *rescue_disk_name(struct ctx *cx, int64_t seq)
{
    return arena_printf(cx->arena, "rescue-%" PRId64 ".qcow2", seq);
}

static struct err *check_image(struct ctx *cx, const struct spec_image *image, const char *path)
{
    struct stat st;
    if (!str_eq(image->disk_format, "qcow2") && !str_eq(image->disk_format, "raw"))
        return fail(cx, ERR_INVALID,
                    "image %s has disk format '%s'; guests start from raw and qcow2", image->id,
                    image->disk_format);
    if (path[0] != '/' || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return fail(cx, ERR_NOT_FOUND, "the file of image %s is not at '%s'", image->id, path);
    if (image->size_bytes > 0 && st.st_size != image->size_bytes)
        return fail(cx, ERR_CONFLICT,
                    "the file of image %s has %" PRId64 " bytes instead of %" PRId64, image->id,
                    (int64_t)st.st_size, image->size_bytes);
    return NULL;
}

static struct err *write_overlay(struct ctx *cx, int guest_fd, const char *temp, int64_t size_bytes,
                                 const struct overlay_wish *w)
{
    AUTO_FD int fd = -1;
    TRY(file_create(cx, guest_fd, temp, &fd));
    TRY(qcow2_create(cx, fd, size_bytes, w->image_path, w->image->disk_format));
    return file_settle(cx, guest_fd, temp, w->name);
}

struct err *overlay_make(struct ctx *cx, int guest_fd, const struct overlay_wish *w)
{
    TRY(check_image(cx, w->image, w->image_path));
    if (w->size_gib < 0 || w->size_gib > INT64_MAX / GIB)
        return fail(cx, ERR_INVALID, "a disk of %" PRId64 " GiB cannot be", w->size_gib);
    int64_t size = max_i64(w->size_gib * GIB, max_i64(w->image->virtual_size_bytes, 512));
    const char *temp = arena_printf(cx->arena, TEMP_PREFIX "%016" PRIx64 ".tmp", rng_u64(cx->rng));
    struct err *e = write_overlay(cx, guest_fd, temp, size, w);
    if (e) {
        unlinkat(guest_fd, temp, 0);
        return wrap(cx, e, e->kind, "the disk '%s' cannot be made: %s", w->name, e->message);
    }
    return NULL;
}

struct err *overlays_tidy(struct ctx *cx, int guest_fd, const char *root, const char *rescue)
{
    const char **names;
    size_t n;
    TRY(dir_names(cx, guest_fd, &names, &n));
    for (size_t i = 0; i < n; i++) {
        bool other = (str_starts(names[i], "root-") && !str_eq(names[i], root)) ||
                     (str_starts(names[i], "rescue-") && !str_eq(names[i], rescue));
        bool temp = names[i][0] == '.' && str_ends(names[i], ".tmp");
        if (other || temp)
            TRY(dir_remove(cx, guest_fd, names[i]));
    }
    return NULL;
}

bool file_allows_direct(int dir_fd, const char *name)
{
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_DIRECT | O_CLOEXEC);
    return fd >= 0;
}
