/* SPDX-License-Identifier: EUPL-1.2 */
/* Reading qcow2 headers, writing new disks. The format: docs/interop/qcow2.txt in QEMU's sources.
 */
#include "node/drivers/tools/qcow2.h"

#define HEADER_V2_BYTES 72
#define HEADER_BYTES 104
#define MAX_SNAPSHOTS 65536 /* QEMU's own limit */
#define MAX_TABLE_BYTES ((uint64_t)16 << 20)
#define ENTRY_BYTES 40
#define READ_TRIES 20

/* A new disk: its header, then a table and a block of reference counts, then the empty L1 table. */
#define MAGIC 0x514649fb
#define CLUSTER_BITS 16
#define CLUSTER ((uint64_t)1 << CLUSTER_BITS)
#define L2_COVERS (CLUSTER / 8 * CLUSTER)
#define L1_CLUSTERS_MAX 512 /* QEMU's own limit: 32 MiB of L1 */
#define NAME_MAX_BYTES 1023
#define EXTENSION_FORMAT 0xe2792aca

/* Incompatible features. */
enum { FEATURE_DIRTY = 1, FEATURE_COMPRESSION = 8, FEATURE_EXTENDED_L2 = 16 };
#define FEATURES_TAKEN (FEATURE_DIRTY | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2)

static uint64_t be(const uint8_t *at, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | at[i];
    return v;
}

static bool read_at(int fd, void *to, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static struct err *check_header(struct ctx *cx, const uint8_t *h)
{
    uint64_t features = be(h + 72, 8), size = be(h + 24, 8);
    if (be(h, 4) != MAGIC)
        return fail(cx, ERR_INVALID, "the disk is not a qcow2 file");
    if (be(h + 4, 4) == 2)
        features = 0;
    else if (be(h + 4, 4) != 3)
        return fail(cx, ERR_INVALID, "the disk has an unknown version of qcow2");
    if (features & ~(uint64_t)FEATURES_TAKEN)
        return fail(cx, ERR_INVALID,
                    "the disk is damaged, keeps its data in another file, or has unknown features "
                    "(%" PRIx64 ")",
                    features);
    if (be(h + 32, 4) != 0)
        return fail(cx, ERR_INVALID, "the disk is encrypted");
    if (size > INT64_MAX || be(h + 60, 4) > MAX_SNAPSHOTS || be(h + 64, 8) > INT64_MAX)
        return fail(cx, ERR_INVALID, "the header of the disk is damaged");
    return NULL;
}

/* One entry of the table; false: that's none. */
static bool read_entry(struct ctx *cx, int fd, uint64_t *at, int64_t disk_bytes,
                       struct qcow2_snapshot *ret)
{
    uint8_t head[ENTRY_BYTES], extra[16] = {0};
    if (!read_at(fd, head, sizeof(head), *at))
        return false;
    uint64_t id_size = be(head + 12, 2), name_size = be(head + 14, 2),
             extra_size = be(head + 36, 4);
    if (name_size > 1024 || extra_size > 1024)
        return false;
    if (extra_size >= sizeof(extra) && !read_at(fd, extra, sizeof(extra), *at + ENTRY_BYTES))
        return false;
    char *name = arena_alloc(cx->arena, name_size + 1);
    if (!read_at(fd, name, name_size, *at + ENTRY_BYTES + extra_size + id_size))
        return false;
    name[name_size] = 0;
    uint64_t then = be(extra + 8, 8);
    *ret = (struct qcow2_snapshot){
        .name = name, .size_bytes = then > 0 && then <= INT64_MAX ? (int64_t)then : disk_bytes};
    *at += (ENTRY_BYTES + extra_size + id_size + name_size + 7) / 8 * 8;
    return true;
}

static bool read_snapshots(struct ctx *cx, int fd, const uint8_t *h, struct qcow2 *q)
{
    uint64_t first = be(h + 64, 8), at = first;
    q->n_snapshots = be(h + 60, 4);
    q->snapshots = arena_new_array(cx->arena, struct qcow2_snapshot, q->n_snapshots + 1);
    for (size_t i = 0; i < q->n_snapshots; i++)
        if (at - first > MAX_TABLE_BYTES ||
            !read_entry(cx, fd, &at, q->size_bytes, &q->snapshots[i]))
            return false;
    return true;
}

static struct err *read_header(struct ctx *cx, int fd, uint8_t h[HEADER_BYTES])
{
    memset(h, 0, HEADER_BYTES);
    if (!read_at(fd, h, HEADER_V2_BYTES, 0) ||
        (be(h + 4, 4) != 2 && !read_at(fd, h, HEADER_BYTES, 0)))
        return fail(cx, ERR_INVALID, "the disk is not a qcow2 file");
    return check_header(cx, h);
}

/* While QEMU has it open the table may move: then the header says so afterwards. */
struct err *qcow2_read(struct ctx *cx, int fd, struct qcow2 *ret)
{
    uint8_t h[HEADER_BYTES], again[HEADER_BYTES];
    TRY(read_header(cx, fd, h));
    for (int i = 0; i < READ_TRIES; i++) {
        struct qcow2 q = {.size_bytes = (int64_t)be(h + 24, 8), .backing = be(h + 8, 8) != 0};
        bool whole = read_snapshots(cx, fd, h, &q);
        TRY(read_header(cx, fd, again));
        if (memcmp(h, again, HEADER_V2_BYTES) != 0) {
            memcpy(h, again, sizeof(h));
            continue;
        }
        if (!whole)
            break;
        *ret = q;
        return NULL;
    }
    return fail(cx, ERR_INVALID, "the snapshots of the disk cannot be read");
}

const struct qcow2_snapshot *qcow2_snapshot(const struct qcow2 *q, const char *name)
{
    for (size_t i = 0; i < q->n_snapshots; i++)
        if (str_eq(q->snapshots[i].name, name))
            return &q->snapshots[i];
    return NULL;
}

/* ---- a new disk ---- */

static void put_be(uint8_t *at, uint64_t v, size_t size)
{
    for (size_t i = size; i-- > 0; v >>= 8)
        at[i] = (uint8_t)v;
}

static void new_header(uint8_t *h, uint64_t size, const char *base_path, const char *base_format)
{
    size_t at = HEADER_BYTES;
    put_be(h, MAGIC, 4);
    put_be(h + 4, 3, 4);
    put_be(h + 20, CLUSTER_BITS, 4);
    put_be(h + 24, size, 8);
    put_be(h + 36, (size + L2_COVERS - 1) / L2_COVERS, 4);
    put_be(h + 40, 3 * CLUSTER, 8);
    put_be(h + 48, CLUSTER, 8);
    put_be(h + 56, 1, 4); /* clusters of the table of reference counts */
    put_be(h + 96, 4, 4); /* 1 << 4 bits each */
    put_be(h + 100, HEADER_BYTES, 4);
    if (!base_path)
        return;
    put_be(h + at, EXTENSION_FORMAT, 4);
    put_be(h + at + 4, strlen(base_format), 4);
    memcpy(h + at + 8, base_format, strlen(base_format));
    at += 8 + (strlen(base_format) + 7) / 8 * 8 + 8; /* and the end of extensions */
    put_be(h + 8, at, 8);
    put_be(h + 16, strlen(base_path), 4);
    memcpy(h + at, base_path, strlen(base_path));
}

static bool write_at(int fd, const void *from, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)from + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

struct err *qcow2_create(struct ctx *cx, int fd, int64_t size_bytes, const char *base_path,
                         const char *base_format)
{
    uint64_t size = ((uint64_t)size_bytes + 511) / 512 * 512;
    uint64_t l1_clusters = (size + L2_COVERS * (CLUSTER / 8) - 1) / (L2_COVERS * (CLUSTER / 8));
    if (size_bytes < 0 || l1_clusters > L1_CLUSTERS_MAX)
        return fail(cx, ERR_INVALID, "a disk of %" PRId64 " bytes cannot be", size_bytes);
    if (base_path && strlen(base_path) > NAME_MAX_BYTES)
        return fail(cx, ERR_INVALID, "the path '%s' is too long for a disk to stand on", base_path);
    uint8_t head[HEADER_BYTES + 32 + NAME_MAX_BYTES] = {0}, table[8],
                                     counts[2 * (3 + L1_CLUSTERS_MAX)];
    must(!base_path || strlen(base_format) <= 16);
    new_header(head, size, base_path, base_format);
    put_be(table, 2 * CLUSTER, sizeof(table));
    for (size_t i = 0; i < sizeof(counts); i += 2)
        put_be(counts + i, 1, 2);
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)((3 + l1_clusters) * CLUSTER)) != 0 ||
        !write_at(fd, table, sizeof(table), CLUSTER) ||
        !write_at(fd, counts, 2 * (3 + l1_clusters), 2 * CLUSTER) ||
        !write_at(fd, head, sizeof(head), 0))
        return fail(cx, ERR_UNAVAILABLE, "cannot write a new disk: %m");
    return NULL;
}
