/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs of servers. See spec_read.h. */
#include "node/spec_read.h"

enum { NICS_MAX = 32, VOLUMES_MAX = 32, USER_DATA_MAX = 65535 };

static bool is_owner(const char *s)
{
    return spec_only(s, "-_", 64);
}

static bool is_name(const char *s)
{
    if (str_utf8_len(s) < 0 || strlen(s) > 1020)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool is_power(const char *s)
{
    return str_eq(s, "on") || str_eq(s, "off");
}

static bool is_password(const char *s)
{
    return strlen(s) <= SPEC_PASSWORD_MAX;
}

static bool is_base64(const char *s)
{
    return strlen(s) <= (USER_DATA_MAX / 3 + 1) * 4 + 1024;
}

static void read_nics(struct reader *r, const json_t *j, struct spec_server *out)
{
    const json_t *a = read_array(r, j, "nics", NICS_MAX, &out->n_nics);
    out->nics = arena_new_array(r->cx->arena, struct spec_nic, out->n_nics + 1);
    for (size_t i = 0; i < out->n_nics; i++) {
        const json_t *v = json_array_get(a, i);
        struct spec_nic *nic = &out->nics[i];
        *nic = (struct spec_nic){
            .port_id = read_text(r, v, "port_id", spec_is_id, false),
            .network_id = read_text(r, v, "network_id", spec_is_id, false),
            .mac = read_text(r, v, "mac", spec_is_mac, false),
            .tap = read_text(r, v, "tap", spec_is_tap, false),
            .mtu = read_number(r, v, "mtu", 68, 65535),
        };
        if (!r->err && strncmp(nic->tap + 3, nic->port_id, 11) != 0)
            read_refuse(r, "tap", "is not named after its port");
    }
}

/* At most one root disk, and one at least: from the image, or the volume to boot from. */
static void read_volumes(struct reader *r, const json_t *j, struct spec_server *out)
{
    const json_t *a = read_array(r, j, "volumes", VOLUMES_MAX, &out->n_volumes);
    size_t roots = out->image.id != NULL;
    out->volumes = arena_new_array(r->cx->arena, struct spec_use, out->n_volumes + 1);
    for (size_t i = 0; i < out->n_volumes; i++) {
        const json_t *v = json_array_get(a, i);
        struct spec_use *use = &out->volumes[i];
        *use = (struct spec_use){
            .volume_id = read_text(r, v, "volume_id", spec_is_id, false),
            .boot_index = read_number_or(r, v, "boot_index", -1, VOLUMES_MAX, -1),
            .read_only = read_boolean_or(r, v, "read_only", false),
        };
        roots += use->boot_index == 0;
        for (size_t k = 0; k < i; k++)
            if (str_eq(use->volume_id, out->volumes[k].volume_id))
                read_refuse(r, "volumes", "names one twice");
    }
    if (roots != 1)
        read_refuse(r, "image", "and the volumes make no root disk, or several");
}

static void read_rescue(struct reader *r, const json_t *j, struct spec_server *out)
{
    const json_t *v = read_object(r, j, "rescue", true);
    if (!v)
        return;
    out->rescue.seq = read_number(r, v, "seq", 1, INT64_MAX);
    read_image(r, v, false, &out->rescue.image);
}

static bool is_role(const char *s)
{
    return str_eq(s, "out") || str_eq(s, "in") || str_eq(s, "kept");
}

static bool is_url(const char *s)
{
    return strlen(s) < 256 && (str_starts(s, "http://") || str_starts(s, "https://"));
}

static bool is_token(const char *s)
{
    return spec_only(s, "", 128);
}

static void read_move(struct reader *r, const json_t *j, struct spec_move *out)
{
    const json_t *v = read_object(r, j, "move", true);
    if (!v)
        return;
    const char *role = read_text(r, v, "role", is_role, false);
    bool leaves = str_eq(role, "out");
    *out = (struct spec_move){.role = leaves               ? MOVE_OUT
                                      : str_eq(role, "in") ? MOVE_IN
                                                           : MOVE_KEPT,
                              .seq = read_number(r, v, "seq", 1, INT64_MAX),
                              .live = read_boolean(r, v, "live"),
                              .peer = read_text(r, v, "peer", spec_is_id, false),
                              .url = read_text(r, v, "url", is_url, !leaves),
                              .token = read_text(r, v, "token", is_token, true)};
}

static void read_user_data(struct reader *r, const json_t *j, struct spec_server *out)
{
    const char *encoded = read_text(r, j, "user_data", is_base64, true);
    uint8_t *data = NULL;
    if (!encoded)
        return;
    if (!base64_decode(r->cx, encoded, &data, &out->user_data_size) ||
        out->user_data_size > USER_DATA_MAX)
        read_refuse(r, "user_data", "is not base64, or too long");
    else
        out->user_data = (const char *)data;
}

struct err *spec_server_read(struct ctx *cx, const json_t *j, struct spec_server *ret)
{
    struct reader rd = {.cx = cx, .what = "server spec"}, *r = &rd;
    struct spec_server out = {
        .id = read_text(r, j, "id", spec_is_id, false),
        .name = read_text(r, j, "name", is_name, false),
        .hostname = read_text(r, j, "hostname", spec_is_hostname, false),
        .project_id = read_text(r, j, "project_id", is_owner, false),
        .user_id = read_text(r, j, "user_id", is_owner, false),
        .power_on = str_eq(read_text(r, j, "power", is_power, false), "on"),
        .boot_seq = read_number(r, j, "boot_seq", 0, INT64_MAX),
        .reset_seq = read_number(r, j, "reset_seq", 0, INT64_MAX),
        .build_seq = read_number(r, j, "build_seq", 0, INT64_MAX),
        .vcpus = read_number(r, j, "vcpus", 1, 1024),
        .memory_mib = read_number(r, j, "memory_mib", 1, INT64_C(1) << 24),
        .root_gib = read_number(r, j, "root_gib", 0, INT64_C(1) << 20),
        .config_drive = read_boolean(r, j, "config_drive"),
        .meta_data = read_object(r, j, "meta_data", false),
        .network_data = read_object(r, j, "network_data", false),
        .vendor_data = read_object(r, j, "vendor_data", true),
        .paused = read_boolean_or(r, j, "paused", false),
        .suspended = read_boolean_or(r, j, "suspended", false),
        .checkpoint = read_number_or(r, j, "checkpoint", 0, INT64_MAX, 0),
        .restore_seq = read_number_or(r, j, "restore_seq", 0, INT64_MAX, 0),
        .password_data = read_text(r, j, "password_data", is_password, true),
        .ha = read_boolean_or(r, j, "ha", false),
    };
    read_image(r, j, true, &out.image);
    read_nics(r, j, &out);
    read_volumes(r, j, &out);
    read_rescue(r, j, &out);
    read_move(r, j, &out.move);
    read_user_data(r, j, &out);
    if (!rd.err)
        *ret = out;
    return rd.err;
}
