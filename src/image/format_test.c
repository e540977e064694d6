/* SPDX-License-Identifier: EUPL-1.2 */
/* Hostile and honest disk headers. */
#include "base/test.h"
#include "image/resources.h"

static struct ctx cx;

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

#define SIZE (4 * 65536)
struct head {
    uint8_t b[IMAGE_HEAD_BYTES];
};

/* A plain version 3 image of 10 MiB with 64 KiB clusters. */
static struct head plain(void)
{
    struct head h = {{0}};
    put32(h.b, 0x514649fb);
    put32(h.b + 4, 3);
    put32(h.b + 20, 16);
    put64(h.b + 24, 10 << 20);
    put32(h.b + 36, 1);         /* L1 entries */
    put64(h.b + 40, 3 * 65536); /* L1 offset */
    put64(h.b + 48, 65536);     /* refcount table */
    put32(h.b + 56, 1);
    put32(h.b + 96, 4); /* refcount order */
    put32(h.b + 100, 104);
    return h;
}

static struct err *check_size(const struct head *h, size_t head_size, int64_t size,
                              struct image_format *f)
{
    uint8_t *exact = malloc(head_size ? head_size : 1); /* the sanitizer sees reads beyond it */
    must(exact);
    memcpy(exact, h->b, head_size);
    struct err *e = image_format_check(&cx, "qcow2", exact, head_size, size, f);
    free(exact);
    return e;
}

static void refused(const struct head *h, const char *why)
{
    struct image_format f;
    struct err *e = check_size(h, sizeof(h->b), SIZE, &f);
    if (!e || e->kind != ERR_INVALID || !strstr(e->message, why))
        fail_msg("expected '%s': %s", why, e ? e->message : "was taken");
}

static void plain_ones_pass(void **state UNUSED)
{
    struct image_format f;
    struct head h = plain();
    assert_ok(&cx, check_size(&h, sizeof(h.b), SIZE, &f));
    assert_null(f.unbootable);
    assert_int_equal(f.virtual_size, 10 << 20);
    put32(h.b + 4, 2);
    assert_ok(&cx, check_size(&h, 104, SIZE, &f));
    assert_ok(&cx, image_format_check(&cx, "raw", (const uint8_t *)"abcd", 4, 1000, &f));
    assert_true(!f.unbootable && f.virtual_size == 1000);
    assert_ok(&cx, image_format_check(&cx, "raw", (const uint8_t *)"", 0, 0, &f));
}

static void what_is_not_qcow2(void **state UNUSED)
{
    struct image_format f;
    struct head h = plain();
    assert_err(&cx, ERR_INVALID, image_format_check(&cx, "raw", h.b, sizeof(h.b), SIZE, &f));
    h.b[0] ^= 1;
    assert_ok(&cx, check_size(&h, sizeof(h.b), SIZE, &f));
    assert_non_null(f.unbootable); /* kept, but no server starts from it */
    assert_true(f.virtual_size == INT_NULL);
    assert_ok(&cx, check_size(&h, 0, 0, &f));
    assert_non_null(f.unbootable);
}

static void cut_headers(void **state UNUSED)
{
    struct image_format f;
    struct head h = plain();
    for (size_t n = 4; n < 104; n++)
        assert_err(&cx, ERR_INVALID, check_size(&h, n, SIZE, &f));
    for (size_t n = 104; n < 200; n++)
        assert_ok(&cx, check_size(&h, n, SIZE, &f));
}

static void files_behind_the_file(void **state UNUSED)
{
    struct head h = plain();
    put64(h.b + 8, 200);
    put32(h.b + 16, 11);
    refused(&h, "backing file");
    h = plain();
    put64(h.b + 8, 200);
    refused(&h, "backing file");
    h = plain();
    put32(h.b + 16, 1);
    refused(&h, "backing file");
    h = plain();
    h.b[79] = 4; /* external data file */
    refused(&h, "another file");
    h = plain();
    put32(h.b + 104, 0x44415441);
    put32(h.b + 108, 8);
    refused(&h, "another file");
    h = plain(); /* behind an extension that is not known */
    put32(h.b + 104, 0x6803f857);
    put32(h.b + 108, 13);
    put32(h.b + 128, 0x44415441);
    refused(&h, "another file");
    h = plain();
    put32(h.b + 104, 0x6803f857);
    put32(h.b + 108, 0xfffffff9); /* would wrap around */
    put32(h.b + 112, 0x44415441);
    refused(&h, "extension");
}

static void secrets_and_unknown_features(void **state UNUSED)
{
    struct head h = plain();
    for (uint32_t method = 1; method < 4; method++) {
        put32(h.b + 32, method);
        refused(&h, "encrypted");
    }
    h = plain();
    put32(h.b + 104, 0x0537be77);
    refused(&h, "encrypted");
    for (int bit = 4; bit < 64; bit++) {
        h = plain();
        put64(h.b + 72, (uint64_t)1 << bit);
        refused(&h, "not known");
    }
    h = plain();
    h.b[79] = 2;
    refused(&h, "corrupt");
    for (uint32_t version = 0; version < 9; version++) {
        h = plain();
        put32(h.b + 4, version);
        if (version != 2 && version != 3)
            refused(&h, "version");
    }
    h = plain();
    put32(h.b + 100, 103);
    refused(&h, "header length");
    put32(h.b + 100, 0xffffffff);
    refused(&h, "header length");
}

static void tables_beyond_reason(void **state UNUSED)
{
    static const struct {
        int at, bytes;
        uint64_t value;
        const char *why;
    } t[] = {
        {20, 4, 8, "cluster size"},
        {20, 4, 22, "cluster size"},
        {20, 4, 0xffffffff, "cluster size"},
        {24, 8, 0, "virtual size"},
        {24, 8, UINT64_MAX, "virtual size"},
        {24, 8, ((uint64_t)1 << 50) + 1, "virtual size"},
        {24, 8, (uint64_t)1 << 50, "L1"},
        {24, 8, (uint64_t)1 << 40, "L1"},
        {36, 4, 0, "L1"},
        {36, 4, 0xffffffff, "L1"},
        {40, 8, 0, "tables"},
        {40, 8, 7, "tables"},
        {40, 8, 100 * 65536, "tables"},
        {40, 8, 0xffffffffffff0000, "tables"},
        {48, 8, 0, "tables"},
        {48, 8, 1, "tables"},
        {48, 8, 100 * 65536, "tables"},
        {48, 8, 0xffffffffffff0000, "tables"},
        {56, 4, 0xffffffff, "tables"},
        {56, 4, 4, "tables"},
        {60, 4, 65537, "snapshots"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct head h = plain();
        if (t[i].bytes == 4)
            put32(h.b + t[i].at, (uint32_t)t[i].value);
        else
            put64(h.b + t[i].at, t[i].value);
        refused(&h, t[i].why);
    }
}

/* Every single byte of the header turned: taken or refused, never read beyond its end. */
static void any_byte(void **state UNUSED)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    struct image_format f;
    for (size_t at = 0; at < 128; at++) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            struct head h = plain();
            h.b[at] = values[i];
            for (size_t size = 0; size <= 130; size += 13) {
                AUTO_CTX struct ctx own;
                ctx_init(&own);
                uint8_t *exact = malloc(size ? size : 1);
                must(exact);
                memcpy(exact, h.b, size);
                struct err *e = image_format_check(&own, "qcow2", exact, size, SIZE, &f);
                assert_true(!e || e->kind == ERR_INVALID);
                assert_true(e || f.unbootable ||
                            (f.virtual_size > 0 && f.virtual_size <= (int64_t)1 << 50));
                free(exact);
            }
        }
    }
}

/* What qemu-img itself makes. */
static void from_qemu_img(void **state UNUSED)
{
    static const struct {
        const char *options;
        const char *why; /* NULL: taken */
    } t[] = {{"-o cluster_size=512 IMG 10M", NULL},
             {"-o cluster_size=4096 IMG 10M", NULL},
             {"-o cluster_size=65536 IMG 10M", NULL},
             {"-o cluster_size=2M IMG 10M", NULL},
             {"-o cluster_size=2M IMG 50T", NULL},
             {"-o compat=0.10 IMG 10M", NULL},
             {"-o lazy_refcounts=on,compression_type=zstd IMG 10M", NULL},
             {"-o preallocation=metadata IMG 10M", NULL},
             {"-o extended_l2=on,cluster_size=128k IMG 10M", "not known"},
             {"-o data_file=IMG.raw,data_file_raw=on IMG 1M", "another file"},
             {"-u -b /etc/passwd -F raw IMG 1M", "backing file"},
             /* LUKS would measure this CPU first, and fail where others keep it busy. */
             {"--object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s IMG 1M",
              "encrypted"}};
    char dir[] = "/tmp/colvert-format-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *path = arena_printf(cx.arena, "%s/img", dir);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        FILE *p = popen(
            arena_printf(cx.arena,
                         "sed 's#IMG#%s#g' <<'E' | xargs qemu-img create -q -f qcow2\n%s\nE\n",
                         path, t[i].options),
            "r");
        assert_non_null(p);
        if (pclose(p) != 0)
            fail_msg("qemu-img create %s (package qemu-utils)", t[i].options);
        struct head h;
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        size_t n = fread(h.b, 1, sizeof(h.b), f);
        assert_int_equal(fseek(f, 0, SEEK_END), 0);
        int64_t size = ftell(f);
        fclose(f);
        struct image_format format;
        struct err *e = check_size(&h, n, size, &format);
        if (t[i].why ? !e || !strstr(e->message, t[i].why) : e != NULL || format.unbootable)
            fail_msg("%s: %s", t[i].options, e ? e->message : "taken");
        unlink(path);
    }
    unlink(arena_printf(cx.arena, "%s.raw", path));
    assert_int_equal(rmdir(dir), 0);
}

static int setup(void **state UNUSED)
{
    ctx_init(&cx);
    return 0;
}

static int teardown(void **state UNUSED)
{
    ctx_release(&cx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_ones_pass),
        cmocka_unit_test(what_is_not_qcow2),
        cmocka_unit_test(cut_headers),
        cmocka_unit_test(files_behind_the_file),
        cmocka_unit_test(secrets_and_unknown_features),
        cmocka_unit_test(tables_beyond_reason),
        cmocka_unit_test(any_byte),
        cmocka_unit_test(from_qemu_img),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
