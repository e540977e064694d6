/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs of volumes, images and exports. See spec_read.h. */
#include "node/spec_read.h"

enum { SNAPSHOTS_MAX = 64 };

static void read_source(struct reader *r, const json_t *j, struct spec_source *out)
{
    const json_t *v = read_object(r, j, "source", true);
    if (!v)
        return;
    read_image(r, v, true, &out->image);
    out->volume_id = read_text(r, v, "volume_id", spec_is_id, true);
    out->snapshot_id = read_text(r, v, "snapshot_id", spec_is_id, true);
    if (out->image.id && out->volume_id)
        read_refuse(r, "source", "is two things");
    if (out->snapshot_id && !out->volume_id)
        read_refuse(r, "snapshot_id", "comes without its volume");
}

struct err *spec_volume_read(struct ctx *cx, const json_t *j, struct spec_volume *ret)
{
    struct reader rd = {.cx = cx, .what = "volume spec"}, *r = &rd;
    struct spec_volume out = {
        .id = read_text(r, j, "id", spec_is_id, false),
        .size_gib = read_number(r, j, "size_gib", 1, INT64_C(1) << 20),
        .server_id = read_text(r, j, "server_id", spec_is_id, true),
        .pool_id = read_text(r, j, "pool_id", spec_is_id, true),
        .remove = json_is_true(json_get(j, "remove")),
    };
    if (out.remove && !out.pool_id)
        read_refuse(r, "pool_id", "is missing");
    read_source(r, j, &out.source);
    out.snapshots = read_ids(r, j, "snapshots", SNAPSHOTS_MAX, &out.n_snapshots);
    if (!rd.err && str_eq(out.source.volume_id, out.id))
        read_refuse(r, "source", "is the volume itself");
    if (!rd.err)
        *ret = out;
    return rd.err;
}

struct err *spec_image_read(struct ctx *cx, const json_t *j, struct spec_cached *ret)
{
    struct reader rd = {.cx = cx, .what = "image spec"}, *r = &rd;
    struct spec_cached out = {.id = read_text(r, j, "id", spec_is_id, false)};
    read_image(r, j, false, &out.image);
    if (!rd.err && !str_eq(out.id, out.image.id))
        read_refuse(r, "image", "is another one");
    if (!rd.err)
        *ret = out;
    return rd.err;
}

struct err *spec_export_read(struct ctx *cx, const json_t *j, struct spec_export *ret)
{
    struct reader rd = {.cx = cx, .what = "export spec"}, *r = &rd;
    struct spec_export out = {
        .id = read_text(r, j, "id", spec_is_id, false),
        .server_id = read_text(r, j, "server_id", spec_is_id, true),
        .volume_id = read_text(r, j, "volume_id", spec_is_id, true),
        .disk_format = read_text(r, j, "disk_format", spec_is_disk_format, false),
    };
    if (!out.server_id == !out.volume_id)
        read_refuse(r, "server_id", "or volume_id: it is one of them");
    if (!rd.err)
        *ret = out;
    return rd.err;
}
