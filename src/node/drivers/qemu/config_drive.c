/* SPDX-License-Identifier: EUPL-1.2 */
/* See disk.h. The layout is Nova's (docs.openstack.org/nova/latest/user/metadata.html), which
 * cloud-init reads. */
#include "node/drivers/qemu/disk.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

#define ISO_TIMEOUT_MS 30000

/* What EC2's tools look for, from what OpenStack's say. */
static const char *ec2_metadata(struct ctx *cx, const struct spec_server *spec)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "instance-id", spec->id);
    jw_kstr(&w, "hostname", spec->hostname);
    jw_kstr(&w, "local-hostname", spec->hostname);
    jw_kobj(&w, "placement");
    jw_kstr(&w, "availability-zone", json_get_str(spec->meta_data, "availability_zone"));
    jw_obj_end(&w);
    jw_kobj(&w, "public-keys");
    const char *name;
    json_t *key;
    int i = 0;
    json_object_foreach((json_t *)(uintptr_t)json_get(spec->meta_data, "public_keys"), name, key)
    {
        jw_kobj(&w, arena_printf(cx->arena, "%d", i++));
        jw_kstr(&w, "_name", name);
        jw_kstr(&w, "openssh-key", json_string_value(key));
        jw_obj_end(&w);
    }
    jw_obj_end(&w);
    jw_obj_end(&w);
    return buf_cstr(&b);
}

static struct err *put(struct ctx *cx, int dir_fd, const char *name, const char *data, size_t size)
{
    AUTO_FD int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return fail(cx, ERR_UNAVAILABLE, "cannot write %s of the config drive: %m", name);
    return NULL;
}

static struct err *put_json(struct ctx *cx, int dir_fd, const char *name, const json_t *j)
{
    const char *text = j ? json_text(cx, j) : "{}";
    return put(cx, dir_fd, name, text, strlen(text));
}

/* stage_fd/<service>/latest */
static struct err *make_folder(struct ctx *cx, int stage_fd, const char *service, int *ret_fd)
{
    AUTO_FD int fd = -1;
    TRY(dir_make(cx, stage_fd, service, 0700, 0, 0, &fd));
    return dir_make(cx, fd, "latest", 0700, 0, 0, ret_fd);
}

static struct err *fill(struct ctx *cx, int stage_fd, const struct spec_server *spec)
{
    AUTO_FD int os = -1, ec2 = -1;
    TRY(make_folder(cx, stage_fd, "openstack", &os));
    TRY(make_folder(cx, stage_fd, "ec2", &ec2));
    TRY(put_json(cx, os, "meta_data.json", spec->meta_data));
    TRY(put_json(cx, os, "network_data.json", spec->network_data));
    TRY(put_json(cx, os, "vendor_data.json", spec->vendor_data));
    const char *meta = ec2_metadata(cx, spec);
    TRY(put(cx, ec2, "meta-data.json", meta, strlen(meta)));
    if (!spec->user_data)
        return NULL;
    TRY(put(cx, os, "user_data", spec->user_data, spec->user_data_size));
    return put(cx, ec2, "user-data", spec->user_data, spec->user_data_size);
}

static struct err *make_iso(struct ctx *cx, int guest_fd, const char *guest_path, const char *stage,
                            const char *temp, const struct spec_server *spec)
{
    AUTO_FD int stage_fd = -1;
    TRY(dir_make(cx, guest_fd, stage, 0700, 0, 0, &stage_fd));
    TRY(fill(cx, stage_fd, spec));
    const char *argv[] = {"genisoimage",
                          "-quiet",
                          "-J",
                          "-r",
                          "-V",
                          "config-2",
                          "-input-charset",
                          "utf-8",
                          "-publisher",
                          "Colvert",
                          "-o",
                          arena_printf(cx->arena, "%s/%s", guest_path, temp),
                          arena_printf(cx->arena, "%s/%s", guest_path, stage),
                          NULL};
    TRY(tool_run(cx, argv, ISO_TIMEOUT_MS, NULL));
    if (fchmodat(guest_fd, temp, 0600, 0) != 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot protect the config drive: %m");
    return file_settle(cx, guest_fd, temp, CONFIG_DRIVE_NAME);
}

struct err *config_drive_make(struct ctx *cx, int guest_fd, const char *guest_path,
                              const struct spec_server *spec)
{
    uint64_t mark = rng_u64(cx->rng);
    const char *stage = arena_printf(cx->arena, ".config-%016" PRIx64 ".tmp", mark);
    const char *temp = arena_printf(cx->arena, ".iso-%016" PRIx64 ".tmp", mark);
    struct err *e = make_iso(cx, guest_fd, guest_path, stage, temp, spec);
    struct err *left = dir_remove(cx, guest_fd, stage);
    if (e) {
        unlinkat(guest_fd, temp, 0);
        return wrap(cx, e, e->kind, "the config drive of server %s cannot be made: %s", spec->id,
                    e->message);
    }
    return left;
}

struct err *config_drive_remove(struct ctx *cx, int guest_fd)
{
    if (unlinkat(guest_fd, CONFIG_DRIVE_NAME, 0) != 0 && errno != ENOENT)
        return fail(cx, ERR_UNAVAILABLE, "cannot remove the config drive: %m");
    return NULL;
}
