/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Copied disks of the fake drivers: small, but real qcow2 files, so that whoever looks at their
 * header finds what it should. Where a disk comes from stands in the header's cluster, which the
 * format leaves free behind the header. The raw form is that line alone.
 */
#include "node/drivers/fake/fake.h"

enum {
    CLUSTER_BITS = 16,
    CLUSTER = 1 << CLUSTER_BITS,
    HEADER_BYTES = 104,
    LINE_AT = 512 /* in the file */
};
#define L2_COVERS ((uint64_t)CLUSTER * (CLUSTER / 8)) /* bytes of the disk, by each entry of L1 */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

/* An empty disk: header, refcount table, refcount block, L1 table; each on clusters of its own. */
static uint8_t *empty_qcow2(struct ctx *cx, uint64_t size, size_t *ret_n)
{
    uint64_t entries = (size + L2_COVERS - 1) / L2_COVERS,
             l1_clusters = (entries * 8 + CLUSTER - 1) / CLUSTER, clusters = 3 + l1_clusters;
    uint8_t *f = arena_alloc(cx->arena, clusters * CLUSTER);
    must(clusters <= CLUSTER / 2); /* one refcount block holds them all */
    put32(f, 0x514649fb);
    put32(f + 4, 3);
    put32(f + 20, CLUSTER_BITS);
    put64(f + 24, size);
    put32(f + 36, (uint32_t)entries);
    put64(f + 40, 3 * CLUSTER);
    put64(f + 48, CLUSTER);
    put32(f + 56, 1);
    put32(f + 96, 4); /* refcounts of 16 bits */
    put32(f + 100, HEADER_BYTES);
    put64(f + CLUSTER, 2 * CLUSTER);
    for (uint64_t i = 0; i < clusters; i++)
        f[2 * CLUSTER + 2 * i + 1] = 1;
    *ret_n = clusters * CLUSTER;
    return f;
}

static struct err *write_all(struct ctx *cx, const char *path, const void *data, size_t n)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", path);
    bool bad = fwrite(data, 1, n, out) != n;
    return fclose(out) != 0 || bad ? fail(cx, ERR_UNAVAILABLE, "cannot write '%s': %m", path)
                                   : NULL;
}

static const char *line_of(struct ctx *cx, const char *origin, int64_t size_gib)
{
    return arena_printf(cx->arena, "fake disk %" PRId64 " %s\n", size_gib, origin);
}

struct err *fake_disk_write(struct ctx *cx, const char *path, const char *origin, int64_t size_gib)
{
    const char *line = line_of(cx, origin, size_gib);
    size_t n, len = strlen(line);
    uint8_t *f = empty_qcow2(cx, (uint64_t)max_i64(size_gib, 1) << 30, &n);
    must(LINE_AT + len <= CLUSTER);
    memcpy(f + LINE_AT, line, len);
    return write_all(cx, path, f, n);
}

struct err *fake_disk_write_raw(struct ctx *cx, const char *path, const char *origin,
                                int64_t size_gib)
{
    const char *line = line_of(cx, origin, size_gib);
    return write_all(cx, path, line, strlen(line));
}

struct err *fake_disk_read(struct ctx *cx, const char *path, const char **ret_origin,
                           int64_t *ret_size_gib)
{
    char origin[128];
    FILE *in = fopen(path, "re");
    if (!in)
        return fail(cx, ERR_UNAVAILABLE, "cannot read '%s': %m", path);
    int first = fgetc(in);
    rewind(in);
    if (first == 'Q')
        fseek(in, LINE_AT, SEEK_SET);
    int n = fscanf(in, "fake disk %" SCNd64 " %127[^\n]", ret_size_gib, origin);
    fclose(in);
    *ret_origin = arena_strdup(cx->arena, n == 2 ? origin : "");
    return n == 2 ? NULL : fail(cx, ERR_INVALID, "'%s' is no fake disk", path);
}
