/* SPDX-License-Identifier: EUPL-1.2 */
/* Image data on its way in: digests and bytes of any size, with and without a thread of their own,
 * a full disk, ended midway, by many at once. */
#include "base/test.h"
#include "image/intake.h"
#include <openssl/evp.h>
#include <sys/stat.h>

#define MIB ((size_t)1 << 20)
#define LARGE (3 * MIB)

static uint8_t noise[LARGE];
static char path[] = "/tmp/colvert-intake-XXXXXX";

static int setup(void **state UNUSED)
{
    rng_bytes(rng_system(), noise, sizeof(noise));
    AUTO_FD int fd = mkstemp(path);
    return fd < 0;
}

static int teardown(void **state UNUSED)
{
    return unlink(path);
}

static int file(int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static const char *expected(struct ctx *cx, const EVP_MD *kind, size_t size)
{
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    assert_int_equal(EVP_Digest(noise, size, raw, &n, kind, NULL), 1);
    char *hex = arena_alloc(cx->arena, 2 * (size_t)n + 1);
    hex_encode(raw, n, hex);
    return hex;
}

static void feed(struct ctx *cx, struct intake *in, size_t size, size_t step)
{
    for (size_t at = 0; at < size; at += step)
        assert_ok(cx, intake_write(in, cx, (const char *)noise + at,
                                   size - at < step ? size - at : step));
}

static void assert_digests(struct ctx *cx, struct intake *in, size_t size)
{
    const char *md5, *sha512;
    assert_ok(cx, intake_end(in, cx, &md5, &sha512));
    assert_string_equal(md5, expected(cx, EVP_md5(), size));
    assert_string_equal(sha512, expected(cx, EVP_sha512(), size));
}

static void assert_file(struct ctx *cx, size_t size)
{
    AUTO_FD int fd = file(O_RDONLY);
    struct stat st;
    uint8_t *got = arena_alloc(cx->arena, size + 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(read(fd, got, size), size);
    assert_memory_equal(got, noise, size);
}

static void any_size_in_any_steps(void **state UNUSED)
{
    static const size_t sizes[] = {0,
                                   1,
                                   INTAKE_PIECE_BYTES,
                                   MIB,
                                   MIB + 1,
                                   MIB + INTAKE_PIECE_BYTES - 1,
                                   MIB + INTAKE_PIECE_BYTES,
                                   MIB + INTAKE_PIECE_BYTES + 1,
                                   2 * MIB + INTAKE_PIECES * INTAKE_PIECE_BYTES,
                                   LARGE};
    static const size_t steps[] = {1000, INTAKE_PIECE_BYTES, 65537, LARGE};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
            AUTO_CTX struct ctx cx;
            ctx_init(&cx);
            AUTO_FD int fd = file(O_WRONLY | O_TRUNC);
            struct intake *in = intake_new(fd);
            feed(&cx, in, sizes[i], steps[k]);
            assert_digests(&cx, in, sizes[i]);
            assert_int_equal(intake_helpers(), 0);
            intake_free(in);
            assert_file(&cx, sizes[i]);
        }
}

static void more_than_there_are_helpers(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    AUTO_FD int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct intake *in[INTAKE_HELPERS_MAX + 2];
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        in[i] = intake_new(fd);
        feed(&cx, in[i], LARGE - MIB, 10000);
    }
    assert_int_equal(intake_helpers(), INTAKE_HELPERS_MAX);
    assert_digests(&cx, in[0], LARGE - MIB);
    assert_int_equal(intake_helpers(), INTAKE_HELPERS_MAX - 1);
    for (size_t at = LARGE - MIB; at < LARGE;
         at += 4096) /* the last gets what the first has left */
        assert_ok(&cx, intake_write(in[ARRAY_LEN(in) - 1], &cx, (const char *)noise + at, 4096));
    assert_int_equal(intake_helpers(), INTAKE_HELPERS_MAX);
    for (size_t i = 1; i + 1 < ARRAY_LEN(in); i++)
        assert_digests(&cx, in[i], LARGE - MIB);
    assert_digests(&cx, in[ARRAY_LEN(in) - 1], LARGE);
    assert_int_equal(intake_helpers(), 0);
    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        intake_free(in[i]);
}

/* Writes until it is refused. */
static struct err *fill_up(struct ctx *cx, struct intake *in)
{
    for (size_t at = 0; at < LARGE; at += 10000)
        TRY(intake_write(in, cx, (const char *)noise + at,
                         LARGE - at < 10000 ? LARGE - at : 10000));
    const char *md5, *sha512;
    return intake_end(in, cx, &md5, &sha512);
}

static void full_disk(void **state UNUSED)
{
    static const size_t rooms[] = {0, 500000, MIB + 100000, LARGE - 1};
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    AUTO_FD int full = open("/dev/full", O_WRONLY | O_CLOEXEC), null = -1;
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        AUTO_FD int fd = file(O_WRONLY | O_TRUNC);
        struct intake *in = intake_new(fd);
        feed(&cx, in, rooms[i], 10000);
        assert_int_equal(dup3(full, fd, O_CLOEXEC), fd); /* from now on no byte fits */
        assert_err(&cx, ERR_TOO_LARGE, fill_up(&cx, in));
        intake_free(in);
        assert_int_equal(intake_helpers(), 0);
    }
    struct intake *in = intake_new(null);
    assert_err(&cx, ERR_UNAVAILABLE, fill_up(&cx, in));
    intake_free(in);
}

static void ended_midway(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (size_t size = 0; size < LARGE; size += 190000) {
        AUTO_FD int fd = file(O_WRONLY | O_TRUNC);
        struct intake *in = intake_new(fd);
        feed(&cx, in, size, 10000);
        intake_free(in);
        assert_int_equal(intake_helpers(), 0);
    }
    intake_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_in_any_steps),
        cmocka_unit_test(more_than_there_are_helpers),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(ended_midway),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
