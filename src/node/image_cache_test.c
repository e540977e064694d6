/* SPDX-License-Identifier: EUPL-1.2 */
/* The image cache: one fetch for many, what arrives wrong, eviction under use, restart. */
#include "base/test.h"
#include "node/image_cache.h"
#include <semaphore.h>
#include <sys/stat.h>

/* sha512 of "abc" and of "" (FIPS 180-2, C.1). */
#define ABC                                                                                        \
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fe" \
    "ebbd454d4423643ce80e2a9ac94fa54ca49f"
#define EMPTY                                                                                      \
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877e" \
    "ec2f63b931bd47417a81a538327af927da3e"

static struct ctx cx;
static char dir[] = "/tmp/colvert-images-XXXXXX";
static struct image_cache *cache;
static struct image_source src;
static sem_t arrived;
static const char *bytes;
static bool lost;
static int fetches;

static struct err *fetch(struct ctx *fcx, void *arg UNUSED, const char *image_id UNUSED,
                         image_sink_fn *sink, void *to)
{
    fetches++;
    for (const char *p = bytes; *p; p++)
        TRY(sink(fcx, to, p, 1));
    return lost ? fail(fcx, ERR_UNAVAILABLE, "connection lost") : NULL;
}

static void tell(void *arg)
{
    sem_post(arg);
}

static void start_cache(int64_t max_bytes)
{
    struct image_cache_config cfg = {.dir = dir,
                                     .max_bytes = max_bytes,
                                     .fetch = fetch,
                                     .arrived = tell,
                                     .arrived_arg = &arrived};
    assert_ok(&cx, image_cache_new(&cx, &cfg, &cache));
    src = image_cache_source(cache);
}

static int setup(void **state UNUSED)
{
    ctx_init(&cx);
    log_set_level(LOG_ERROR);
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    sem_init(&arrived, 0, 0);
    bytes = "abc";
    lost = false;
    fetches = 0;
    start_cache(0);
    return 0;
}

static int teardown(void **state UNUSED)
{
    image_cache_free(cache);
    const char *names[] = {ABC, EMPTY, "used/s1", "used/s2", ".part-" ABC};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unlink(arena_printf(cx.arena, "%s/%s", dir, names[i]));
    rmdir(arena_printf(cx.arena, "%s/used", dir));
    assert_int_equal(rmdir(dir), 0); /* nothing is left over */
    sem_destroy(&arrived);
    ctx_release(&cx);
    return 0;
}

static struct spec_image abc = {.id = "i1", .sha512 = ABC, .size_bytes = 3};
static struct spec_image empty = {.id = "i2", .sha512 = EMPTY};

static bool here(const struct spec_image *image)
{
    bool yes = false;
    assert_ok(&cx, src.want(&cx, src.arg, image, &yes));
    return yes;
}

static void test_once(void **state UNUSED)
{
    assert_false(here(&abc));
    here(&abc);
    sem_wait(&arrived);
    assert_true(here(&abc));
    assert_int_equal(fetches, 1);
    const char *path = NULL;
    assert_ok(&cx, src.use(&cx, src.arg, "s1", &abc, &path));
    char text[4] = "";
    AUTO_FD int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, 4), 3);
    assert_string_equal(text, "abc");
    image_cache_free(cache); /* and it is here after a restart */
    start_cache(0);
    assert_true(here(&abc));
}

static void expect_refused(const char *words)
{
    bool yes = false;
    assert_false(here(&abc));
    sem_wait(&arrived);
    struct err *e = src.want(&cx, src.arg, &abc, &yes);
    assert_non_null(e);
    assert_non_null(strstr(e->message, words));
}

static void test_wrong(void **state UNUSED)
{
    bytes = "abd";
    expect_refused("did not arrive");
    bytes = "abcd";
    expect_refused("larger");
    bytes = "ab";
    expect_refused("2 of 3 bytes");
    lost = true;
    expect_refused("connection lost");
    lost = false;
    bytes = "abc"; /* told once; then it is tried again */
    assert_false(here(&abc));
    sem_wait(&arrived);
    assert_true(here(&abc));
}

static void test_eviction(void **state UNUSED)
{
    const char *path;
    here(&abc);
    sem_wait(&arrived);
    assert_ok(&cx, src.use(&cx, src.arg, "s1", &abc, &path));
    image_cache_free(cache);
    start_cache(1);
    bytes = "";
    here(&empty);
    sem_wait(&arrived);
    assert_true(here(&abc)); /* over the limit, but in use */
    src.unuse(src.arg, "s1");
    unlink(arena_printf(cx.arena, "%s/" EMPTY, dir));
    here(&empty);
    sem_wait(&arrived);
    bytes = "abc";
    assert_false(here(&abc));
    sem_wait(&arrived);
    assert_err(&cx, ERR_UNAVAILABLE,
               src.use(&cx, src.arg, "s2", &(struct spec_image){.id = "x", .sha512 = "y"}, &path));
}

/* ---- by age, under the limit ---- */

#define FILE_KIB 64

/* A cached image of this name, 128 times the letter, used so long ago. */
static const char *aged(char letter, int64_t seconds)
{
    char name[129] = "", block[1024] = "";
    memset(name, letter, 128);
    const char *path = arena_printf(cx.arena, "%s/%s", dir, name);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (int i = 0; i < FILE_KIB; i++)
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    fsync(fd); /* its blocks are counted from here on */
    const struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
                                      {.tv_sec = time(NULL) - seconds}};
    assert_int_equal(futimens(fd, times), 0);
    return path;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void test_oldest_goes_first(void **state UNUSED)
{
    const char *oldest = aged('1', 300), *older = aged('2', 200), *young = aged('3', 100), *path;
    char name[129] = "";
    memset(name, '1', 128);
    const struct spec_image in_use = {.id = "x", .sha512 = name, .size_bytes = FILE_KIB << 10};
    assert_ok(&cx, src.use(&cx, src.arg, "s1", &in_use, &path));
    aged('1', 300); /* being used made it young */
    image_cache_free(cache);
    start_cache((2 * FILE_KIB + 16) << 10);
    here(&abc);
    sem_wait(&arrived);
    assert_true(here(&abc));
    assert_true(exists(oldest)); /* in use */
    assert_false(exists(older));
    assert_true(exists(young));
    image_cache_free(cache);
    start_cache((FILE_KIB + 16) << 10); /* less than there is: until it is not needed any more */
    src.unuse(src.arg, "s1");
    assert_false(exists(oldest));
    assert_true(exists(young));
    assert_true(here(&abc));
    unlink(young);
}

/* ---- many at once ---- */

static void *wait_for_it(void *arg UNUSED)
{
    struct ctx own;
    bool yes = false;
    ctx_init(&own);
    for (int i = 0; i < 100 && !yes; i++)
        if (src.want(&own, src.arg, &abc, &yes))
            break;
    ctx_release(&own);
    return NULL;
}

static void test_many_wait_for_one(void **state UNUSED)
{
    pthread_t threads[8];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    sem_wait(&arrived);
    assert_true(here(&abc));
    assert_int_equal(fetches, 1);
}

static void test_kept(void **state UNUSED)
{
    const char *path, **ids;
    size_t n;
    here(&abc);
    sem_wait(&arrived);
    assert_ok(&cx, src.use(&cx, src.arg, "s1", &abc, &path));
    assert_ok(&cx, src.use(&cx, src.arg, CACHED_IMAGE "i1", &abc, &path));
    image_cache_free(cache);
    start_cache(0);
    assert_ok(&cx, src.kept(&cx, src.arg, &ids, &n));
    assert_int_equal(n, 1);
    assert_string_equal(ids[0], "i1");
    src.unuse(src.arg, CACHED_IMAGE "i1");
    assert_ok(&cx, src.kept(&cx, src.arg, &ids, &n));
    assert_int_equal(n, 0);
}

static void test_left_half_done(void **state UNUSED)
{
    const char *part = arena_printf(cx.arena, "%s/.part-" ABC, dir);
    image_cache_free(cache);
    AUTO_FD int fd = open(part, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    start_cache(0);
    assert_int_not_equal(access(part, F_OK), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_once),
                                       TEST(test_wrong),
                                       TEST(test_eviction),
                                       TEST(test_oldest_goes_first),
                                       TEST(test_many_wait_for_one),
                                       TEST(test_kept),
                                       TEST(test_left_half_done)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
