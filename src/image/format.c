/* SPDX-License-Identifier: EUPL-1.2 */
/* Headers of uploaded disks, looked at before QEMU ever sees them. qcow2:
 * https://qemu.org/docs/master/interop/qcow2.html */
#include "image/resources.h"

#define QCOW2_MAGIC 0x514649fbu
#define INCOMPATIBLE_KNOWN (1u | 2u | 8u) /* dirty, corrupt, compression type */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static struct err *refuse(struct ctx *cx, const char *why)
{
    return fail(
        cx, ERR_INVALID,
        "The qcow2 image is refused: %s. Make a plain one with 'qemu-img convert -O qcow2'.", why);
}

/* Extensions name what else would be opened: a data file (0x44415441), or a bitmap, crypto header.
 */
static struct err *check_extensions(struct ctx *cx, const uint8_t *head, size_t head_size,
                                    uint32_t at)
{
    for (int n = 0; n < 64 && at + 8 <= head_size; n++) {
        uint32_t type = be32(head + at), len = be32(head + at + 4);
        if (type == 0)
            return NULL;
        if (type == 0x44415441u)
            return refuse(cx, "it keeps its data in another file");
        if (type == 0x0537be77u)
            return refuse(cx, "it is encrypted");
        if (len > head_size)
            return refuse(cx, "a header extension is too long");
        at += 8 + ((len + 7) & ~7u);
    }
    return NULL;
}

/* On a cluster of its own, behind the header. The last cluster of a file may be a hole. */
static bool lies_inside(uint64_t offset, uint64_t bytes, uint64_t cluster, int64_t size)
{
    uint64_t end = ((uint64_t)size + cluster - 1) / cluster * cluster;
    return offset >= cluster && offset % cluster == 0 && offset <= end && bytes <= end - offset;
}

static struct err *check_tables(struct ctx *cx, const uint8_t *head, int64_t size,
                                uint32_t cluster_bits)
{
    uint64_t virtual_size = be64(head + 24), l1_offset = be64(head + 40),
             refcount_offset = be64(head + 48);
    uint32_t l1_size = be32(head + 36), refcount_clusters = be32(head + 56),
             snapshots = be32(head + 60);
    uint64_t cluster = (uint64_t)1 << cluster_bits, needed = cluster * (cluster / 8);
    if (virtual_size == 0 || virtual_size > (uint64_t)1 << 50)
        return refuse(cx, "its virtual size is out of range");
    if (l1_size < (virtual_size + needed - 1) / needed || (uint64_t)l1_size * 8 > (uint64_t)32
                                                                                      << 20)
        return refuse(cx, "its L1 table does not fit its size");
    if (!lies_inside(l1_offset, (uint64_t)l1_size * 8, cluster, size) ||
        (uint64_t)refcount_clusters * cluster > (uint64_t)8 << 20 ||
        !lies_inside(refcount_offset, (uint64_t)refcount_clusters * cluster, cluster, size))
        return refuse(cx, "its tables lie outside of the file");
    if (snapshots > 65536)
        return refuse(cx, "it has too many internal snapshots");
    return NULL;
}

static struct err *check_qcow2(struct ctx *cx, const uint8_t *head, size_t head_size, int64_t size,
                               struct image_format *ret)
{
    uint32_t version, cluster_bits, header_len = 72;
    if (head_size < 4 || be32(head) != QCOW2_MAGIC)
        return NULL;
    if (head_size < 72)
        return refuse(cx, "its header is cut off");
    version = be32(head + 4);
    cluster_bits = be32(head + 20);
    if (version != 2 && version != 3)
        return refuse(cx, "its version is not 2 or 3");
    if (be64(head + 8) || be32(head + 16))
        return refuse(cx, "it has a backing file");
    if (be32(head + 32))
        return refuse(cx, "it is encrypted");
    if (cluster_bits < 9 || cluster_bits > 21)
        return refuse(cx, "its cluster size is out of range");
    if (version == 3) {
        if (head_size < 104)
            return refuse(cx, "its header is cut off");
        uint64_t incompatible = be64(head + 72);
        header_len = be32(head + 100);
        if (incompatible & 4)
            return refuse(cx, "it keeps its data in another file");
        if (incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN)
            return refuse(cx, "it uses features that are not known");
        if (incompatible & 2)
            return refuse(cx, "it is marked corrupt");
        if (header_len < 104 || header_len > head_size)
            return refuse(cx, "its header length is out of range");
    }
    TRY(check_extensions(cx, head, head_size, header_len));
    TRY(check_tables(cx, head, size, cluster_bits));
    ret->unbootable = NULL;
    ret->virtual_size = (int64_t)be64(head + 24);
    return NULL;
}

struct err *image_format_check(struct ctx *cx, const char *disk_format, const uint8_t *head,
                               size_t head_size, int64_t size, struct image_format *ret)
{
    *ret = (struct image_format){.virtual_size = INT_NULL};
    if (str_eq(disk_format, "qcow2")) {
        ret->unbootable = "the data is not a qcow2 disk";
        return check_qcow2(cx, head, head_size, size, ret);
    }
    if (head_size >= 4 && be32(head) == QCOW2_MAGIC)
        return fail(cx, ERR_INVALID,
                    "The data is a qcow2 image, not %s: upload it with disk_format qcow2",
                    disk_format);
    if (str_eq(disk_format, "raw"))
        ret->virtual_size = size;
    else /* never opened by QEMU, so not looked at either */
        ret->unbootable = arena_printf(cx->arena,
                                       "servers start from raw and qcow2 disks: convert the %s one "
                                       "with 'qemu-img convert -O qcow2'",
                                       disk_format);
    return NULL;
}
