/* SPDX-License-Identifier: EUPL-1.2 */
/* See record.h. */
#include "node/drivers/qemu/record.h"
#include "node/drivers/tools/files.h"

#define RECORD_MAX_BYTES ((size_t)1 << 20)
#define RECORD_VERSION 1

static const char *const power_names[] = {[RECORD_OFF] = "off",
                                          [RECORD_STARTING] = "starting",
                                          [RECORD_ON] = "on",
                                          [RECORD_STOPPING] = "stopping",
                                          [RECORD_CRASHED] = "crashed"};

void record_init(struct record *r, const char *id, uid_t uid)
{
    *r = (struct record){.uid = uid};
    must(strlen(id) < sizeof(r->id));
    memcpy(r->id, id, strlen(id) + 1);
}

void record_fini(struct record *r)
{
    record_set(&r->image_path, NULL);
    record_set(&r->image_format, NULL);
    record_set(&r->rescue_path, NULL);
    record_set(&r->rescue_format, NULL);
    record_set_json(&r->argv, NULL);
}

void record_set(char **at, const char *value)
{
    char *copy = value ? strdup(value) : NULL;
    must(copy || !value);
    free(*at);
    *at = copy;
}

void record_set_json(json_t **at, const json_t *value)
{
    json_t *copy = value ? json_deep_copy(value) : NULL;
    must(copy || !value);
    json_decref(*at);
    *at = copy;
}

const char *record_text(struct ctx *cx, const struct record *r)
{
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kint(&w, "version", RECORD_VERSION);
    jw_kstr(&w, "id", r->id);
    jw_kint(&w, "uid", (int64_t)r->uid);
    jw_kstr(&w, "power", power_names[r->power]);
    jw_kint(&w, "boot_seq", r->boot_seq);
    jw_kint(&w, "reset_seq", r->reset_seq);
    jw_kint(&w, "build_seq", r->build_seq);
    jw_kbool(&w, "guest_shutdown", r->guest_shutdown);
    jw_kbool(&w, "suspended", r->suspended);
    jw_kint(&w, "rescue_seq", r->rescue_seq);
    jw_kint(&w, "checkpoint", r->checkpoint);
    jw_kint(&w, "restore_seq", r->restore_seq);
    jw_kint(&w, "sent_seq", r->sent_seq);
    jw_kint(&w, "started_at_us", r->started_at_us);
    jw_kint(&w, "pid", r->pid);
    jw_kint(&w, "pid_start", r->pid_start);
    jw_kstr(&w, "host_boot_id", r->host_boot_id);
    jw_kstr(&w, "image_path", r->image_path);
    jw_kstr(&w, "image_format", r->image_format);
    jw_kstr(&w, "rescue_path", r->rescue_path);
    jw_kstr(&w, "rescue_format", r->rescue_format);
    jw_kint(&w, "rescue_disk", r->rescue_disk);
    jw_kbool(&w, "config_drive", r->config_drive);
    jw_key(&w, "machine");
    layout_write(cx, &w, &r->layout);
    jw_kjson(&w, "argv", r->argv);
    jw_obj_end(&w);
    buf_char(&b, '\n');
    return buf_cstr(&b);
}

static bool copy_id(const char *from, char *to, size_t size)
{
    if (!from || strlen(from) >= size)
        return false;
    memcpy(to, from, strlen(from) + 1);
    return true;
}

static bool power_of(const char *name, enum record_power *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(power_names); i++) {
        if (str_eq(name, power_names[i])) {
            *ret = (enum record_power)i;
            return true;
        }
    }
    return false;
}

struct err *record_parse(struct ctx *cx, const char *text, size_t len, struct record *ret)
{
    json_t *j;
    TRY(json_read(cx, text, len, &j));
    struct record r = {0};
    int64_t uid = json_get_int(j, "uid", -1), pid = json_get_int(j, "pid", -1);
    if (json_get_int(j, "version", -1) != RECORD_VERSION)
        return fail(cx, ERR_INVALID, "%s has an unknown version", RECORD_NAME);
    if (!copy_id(json_get_str(j, "id"), r.id, sizeof(r.id)) || !uuid_valid(r.id) || uid < 1 ||
        uid > UINT32_MAX - 1 || pid < 0 || pid > INT32_MAX ||
        !power_of(json_get_str(j, "power"), &r.power) ||
        !layout_read(json_get(j, "machine"), &r.layout) ||
        !copy_id(json_get_str(j, "host_boot_id"), r.host_boot_id, sizeof(r.host_boot_id)))
        return fail(cx, ERR_INVALID, "%s is not a guest's record", RECORD_NAME);
    r.uid = (uid_t)uid;
    r.pid = (pid_t)pid;
    r.boot_seq = json_get_int(j, "boot_seq", 0);
    r.reset_seq = json_get_int(j, "reset_seq", 0);
    r.build_seq = json_get_int(j, "build_seq", 0);
    r.guest_shutdown = json_get_bool(j, "guest_shutdown", false);
    r.suspended = json_get_bool(j, "suspended", false);
    r.rescue_seq = json_get_int(j, "rescue_seq", 0);
    r.checkpoint = json_get_int(j, "checkpoint", 0);
    r.restore_seq = json_get_int(j, "restore_seq", 0);
    r.sent_seq = json_get_int(j, "sent_seq", 0);
    r.started_at_us = json_get_int(j, "started_at_us", 0);
    r.pid_start = json_get_int(j, "pid_start", 0);
    r.rescue_disk = json_get_int(j, "rescue_disk", 0);
    r.config_drive = json_get_bool(j, "config_drive", false);
    record_set(&r.image_path, json_get_str(j, "image_path"));
    record_set(&r.image_format, json_get_str(j, "image_format"));
    record_set(&r.rescue_path, json_get_str(j, "rescue_path"));
    record_set(&r.rescue_format, json_get_str(j, "rescue_format"));
    const json_t *argv = json_get(j, "argv");
    record_set_json(&r.argv, json_is_array(argv) ? argv : NULL);
    *ret = r;
    return NULL;
}

struct err *record_load(struct ctx *cx, int guest_fd, struct record *ret)
{
    struct buf b;
    buf_init(&b, cx->arena);
    TRY(file_read(cx, guest_fd, RECORD_NAME, RECORD_MAX_BYTES, &b));
    return record_parse(cx, buf_cstr(&b), b.len, ret);
}

struct err *record_save(struct ctx *cx, int guest_fd, const struct record *r)
{
    const char *text = record_text(cx, r);
    return file_write(cx, guest_fd, RECORD_NAME, text, strlen(text), 0600);
}
