/* SPDX-License-Identifier: EUPL-1.2 */
/* The qcow2 volume driver with the real qemu-img: what is in the disks is looked at by qemu-io. */
#include "base/test.h"
#include "node/drivers/driver.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/qcow2.h"
#include "node/drivers/tools/tool.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define A "11111111-aaaa-4aaa-8aaa-000000000001"
#define B "11111111-aaaa-4aaa-8aaa-000000000002"
#define SNAP "22222222-aaaa-4aaa-8aaa-000000000001"
#define SNAP2 "22222222-aaaa-4aaa-8aaa-000000000002"
#define TOOL_UID 610099
#define MIB ((int64_t)1 << 20)

static char base_dir[64];
static struct ctx cx;
static struct volume_backend b;

static const char *at(const char *fmt, ...) PRINTF_LIKE(1, 2);
static const char *at(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *name = arena_vprintf(cx.arena, fmt, ap);
    va_end(ap);
    return arena_printf(cx.arena, "%s/%s", base_dir, name);
}

static const char *disk_of(const char *id)
{
    return at("volumes/%s/disk.qcow2", id);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void open_volumes(const char *qemu_img)
{
    const struct qcow2_volumes_config cfg = {
        .data_dir = base_dir, .qemu_img_path = qemu_img, .uid = TOOL_UID};
    assert_ok(&cx, qcow2_volumes_new(&cx, &cfg, &b));
}

static int begin(void **state UNUSED)
{
    ctx_init(&cx);
    snprintf(base_dir, sizeof(base_dir), "/tmp/colvert-volumes-XXXXXX");
    must(mkdtemp(base_dir));
    must(chmod(base_dir, 0711) == 0);
    open_volumes(NULL);
    return 0;
}

static int end(void **state UNUSED)
{
    if (b.ops)
        b.ops->free(b.drv);
    b.ops = NULL;
    AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err *e = dir_remove(&cx, tmp, base_dir + strlen("/tmp/"));
    ctx_release(&cx);
    return e ? -1 : 0;
}

/* One command of qemu-io; false: it didn't find what it was to. */
static bool io(const char *path, const char *command)
{
    const char *argv[] = {"qemu-io", "-f", "qcow2", "-c", command, path, NULL};
    struct buf out;
    buf_init(&out, cx.arena);
    assert_ok(&cx, tool_run(&cx, argv, 60000, &out));
    return !strstr(buf_cstr(&out), "failed");
}

static void img(const char *command, const char *path, const char *arg)
{
    const char *line = arena_printf(cx.arena, "%s %s %s", command, path, arg);
    char **words;
    size_t n = str_split(&cx, line, ' ', &words);
    const char **argv = arena_new_array(cx.arena, const char *, n + 2);
    argv[0] = "qemu-img";
    memcpy(argv + 1, words, n * sizeof(*argv));
    assert_ok(&cx, tool_run(&cx, argv, 60000, NULL));
}

static struct volume_seen state_of(const char *id)
{
    struct volume_seen s;
    assert_ok(&cx, b.ops->state(&cx, b.drv, id, &s));
    return s;
}

static struct spec_volume blank(const char *id, int64_t size_gib)
{
    return (struct spec_volume){.id = id, .size_gib = size_gib};
}

static struct err *make(struct spec_volume spec, const char *image_path, const char *from_path)
{
    return b.ops->make(&cx, b.drv, &spec, image_path, from_path);
}

static void make_blank(const char *id, int64_t size_gib)
{
    assert_ok(&cx, make(blank(id, size_gib), NULL, NULL));
}

static struct spec_volume of_image(const char *id, int64_t size_gib, const char *format)
{
    struct spec_volume s = blank(id, size_gib);
    s.source.image = (struct spec_image){.id = "img", .disk_format = format};
    return s;
}

static struct spec_volume of_volume(const char *id, int64_t size_gib, const char *from,
                                    const char *snapshot)
{
    struct spec_volume s = blank(id, size_gib);
    s.source.volume_id = from;
    s.source.snapshot_id = snapshot;
    return s;
}

static void test_blank_life(void **state UNUSED)
{
    struct volume_access a;
    struct stat st;
    const char **ids;
    size_t n;
    assert_false(state_of(A).present);
    assert_err(&cx, ERR_NOT_FOUND, b.ops->access(&cx, b.drv, A, &a));
    make_blank(A, 2);
    make_blank(A, 2);
    assert_true(state_of(A).present);
    assert_int_equal(state_of(A).size_gib, 2);
    assert_int_equal(state_of(A).n_snapshots, 0);
    assert_ok(&cx, b.ops->access(&cx, b.drv, A, &a));
    assert_string_equal(a.path, disk_of(A));
    assert_string_equal(a.format, "qcow2");
    assert_int_equal(stat(a.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_uid, TOOL_UID);
    assert_int_equal(stat(at("volumes/%s", A), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(io(a.path, "read -P 0 0 1M"));
    make_blank(B, 1);
    assert_ok(&cx, b.ops->list(&cx, b.drv, &ids, &n));
    assert_int_equal(n, 2);
    assert_ok(&cx, b.ops->remove(&cx, b.drv, A));
    assert_ok(&cx, b.ops->remove(&cx, b.drv, A));
    assert_false(state_of(A).present);
    assert_ok(&cx, b.ops->list(&cx, b.drv, &ids, &n));
    assert_int_equal(n, 1);
    assert_string_equal(ids[0], B);
    assert_err(&cx, ERR_INVALID, make(blank("../x", 1), NULL, NULL));
    assert_err(&cx, ERR_INVALID, make(blank(A, 0), NULL, NULL));
    assert_err(&cx, ERR_INVALID, make(blank(A, INT64_MAX), NULL, NULL));
}

static void test_from_images(void **state UNUSED)
{
    const char *raw = at("raw"), *qcow2 = at("qcow2");
    AUTO_FD int fd = open(raw, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_ok(&cx, make(of_image(A, 1, "raw"), raw, NULL));
    assert_int_equal(state_of(A).size_gib, 1);
    assert_true(io(disk_of(A), "read -P 0x68 0 1"));
    assert_true(io(disk_of(A), "read -P 0 5 1M"));
    img("create -q -f qcow2", qcow2, "1G");
    assert_true(io(qcow2, "write -P 7 64k 64k"));
    assert_ok(&cx, make(of_image(B, 3, "qcow2"), qcow2, NULL));
    assert_int_equal(state_of(B).size_gib, 3);
    assert_true(io(disk_of(B), "read -P 7 64k 64k"));
    assert_true(io(disk_of(B), "read -P 0 2G 1M"));
}

/* Nothing is left of one that couldn't be made, and nobody else's bytes come in. */
static void test_refused_images(void **state UNUSED)
{
    const char *path = at("image");
    const char **names;
    size_t n;
    assert_err(&cx, ERR_NOT_FOUND, make(of_image(A, 1, "raw"), at("none"), NULL));
    assert_err(&cx, ERR_NOT_FOUND, make(of_image(A, 1, "raw"), NULL, NULL));
    img("create -q -f qcow2", path, "2G");
    assert_err(&cx, ERR_INVALID, make(of_image(A, 1, "qcow2"), path, NULL));
    assert_err(&cx, ERR_INVALID, make(of_image(A, 1, "vmdk"), path, NULL));
    /* As another's disk: it isn't looked at what is inside. */
    assert_ok(&cx, make(of_image(A, 1, "raw"), path, NULL));
    assert_true(io(disk_of(A), "read -P 0x51 0 1")); /* "QFI" */
    assert_ok(&cx, b.ops->remove(&cx, b.drv, A));
    /* A backing file is not followed: what would come from it is blank. */
    AUTO_FD int secret = open(at("secret"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(secret, "secret", 6), 6);
    assert_int_equal(ftruncate(secret, MIB), 0);
    img("create -q -f qcow2 -F raw -b", at("secret"), path);
    assert_ok(&cx, make(of_image(A, 1, "qcow2"), path, NULL));
    assert_true(io(disk_of(A), "read -P 0 0 64k"));
    assert_ok(&cx, b.ops->remove(&cx, b.drv, A));
    img(arena_printf(cx.arena, "create -q -f qcow2 -o data_file=%s,data_file_raw=on", at("secret")),
        path, "1M");
    assert_err(&cx, ERR_INVALID, make(of_image(A, 1, "qcow2"), path, NULL));
    assert_int_equal(truncate(path, 50), 0);
    assert_err(&cx, ERR_INVALID, make(of_image(A, 1, "qcow2"), path, NULL));
    AUTO_FD int dir = open(at("volumes"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(&cx, dir_names(&cx, dir, &names, &n));
    assert_int_equal(n, 1); /* the lock */
}

/* As large as the disk, and sparse. */
static void make_raw(const char *from, const char *to)
{
    char byte = 0;
    struct stat st;
    const struct qemu_img q = {.program = "qemu-img", .uid = TOOL_UID};
    AUTO_FD int in = open(from, O_RDONLY | O_CLOEXEC);
    AUTO_FD int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_ok(&cx, disk_to_raw(&cx, &q, out, in));
    assert_int_equal(fstat(out, &st), 0);
    assert_int_equal(st.st_size, GIB);
    assert_true(st.st_blocks * 512 < GIB / 2);
    assert_int_equal(pread(out, &byte, 1, 4096), 1);
    assert_int_equal(byte, 1);
}

static void test_snapshots(void **state UNUSED)
{
    make_blank(A, 1);
    assert_true(io(disk_of(A), "write -P 1 0 1M"));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, true));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, true));
    assert_true(io(disk_of(A), "write -P 2 0 1M"));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP2, true));
    assert_int_equal(state_of(A).n_snapshots, 2);
    assert_string_equal(state_of(A).snapshots[0], SNAP);
    assert_string_equal(state_of(A).snapshots[1], SNAP2);
    /* Grown since then: a copy of then has no more than it had. */
    assert_ok(&cx, b.ops->grow(&cx, b.drv, A, 3));
    assert_ok(&cx, b.ops->grow(&cx, b.drv, A, 2));
    assert_int_equal(state_of(A).size_gib, 3);
    assert_true(io(disk_of(A), "write -P 3 2G 1M"));
    assert_ok(&cx, make(of_volume(B, 1, A, SNAP), NULL, NULL));
    assert_int_equal(state_of(B).size_gib, 1);
    assert_int_equal(state_of(B).n_snapshots, 0);
    assert_true(io(disk_of(B), "read -P 1 0 1M"));
    assert_ok(&cx, b.ops->remove(&cx, b.drv, B));
    assert_ok(&cx, make(of_volume(B, 4, A, SNAP2), NULL, NULL));
    assert_int_equal(state_of(B).size_gib, 4);
    assert_true(io(disk_of(B), "read -P 2 0 1M"));
    assert_true(io(disk_of(B), "read -P 0 2G 1M"));
    assert_ok(&cx, b.ops->remove(&cx, b.drv, B));
    assert_err(&cx, ERR_INVALID, make(of_volume(B, 2, A, NULL), NULL, NULL));
    assert_ok(&cx, make(of_volume(B, 3, A, NULL), NULL, NULL));
    assert_true(io(disk_of(B), "read -P 2 0 1M"));
    assert_true(io(disk_of(B), "read -P 3 2G 1M"));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, false));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, false));
    assert_int_equal(state_of(A).n_snapshots, 1);
    assert_ok(&cx, b.ops->remove(&cx, b.drv, B));
    assert_err(&cx, ERR_NOT_FOUND, make(of_volume(B, 1, A, SNAP), NULL, NULL));
    assert_err(&cx, ERR_NOT_FOUND, make(of_volume(B, 1, SNAP, NULL), NULL, NULL));
    assert_err(&cx, ERR_NOT_FOUND, b.ops->snapshot(&cx, b.drv, B, SNAP, true));
    assert_err(&cx, ERR_NOT_FOUND, b.ops->grow(&cx, b.drv, B, 2));
    assert_err(&cx, ERR_INVALID, b.ops->snapshot(&cx, b.drv, A, "-a", true));
}

static void test_copies(void **state UNUSED)
{
    const char *copy = at("copy.qcow2");
    struct stat st;
    make_blank(A, 1);
    assert_true(io(disk_of(A), "write -P 1 0 1M"));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, true));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->copy(&cx, b.drv, A, copy));
    assert_false(exists(at(".copy.qcow2.tmp")));
    assert_true(io(copy, "read -P 1 0 1M"));
    make_raw(copy, at("copy.raw"));
    /* The ready copy becomes a volume, larger if it is to be. */
    assert_ok(&cx, make(of_volume(B, 2, A, NULL), NULL, copy));
    assert_false(exists(copy));
    assert_int_equal(state_of(B).size_gib, 2);
    assert_int_equal(state_of(B).n_snapshots, 0);
    assert_true(io(disk_of(B), "read -P 1 0 1M"));
    assert_int_equal(stat(disk_of(B), &st), 0);
    assert_int_equal(st.st_nlink, 1);
    /* Again, with a copy made once more: nothing but that the copy goes. */
    assert_ok(&cx, b.ops->copy(&cx, b.drv, A, copy));
    assert_ok(&cx, make(of_volume(B, 2, A, NULL), NULL, copy));
    assert_false(exists(copy));
    assert_ok(&cx, b.ops->remove(&cx, b.drv, B));
    assert_err(&cx, ERR_NOT_FOUND, make(of_volume(B, 2, A, NULL), NULL, copy));
    img("create -q -f qcow2", copy, "3G");
    assert_err(&cx, ERR_INVALID, make(of_volume(B, 2, A, NULL), NULL, copy));
    assert_true(exists(copy));
    assert_err(&cx, ERR_UNAVAILABLE, b.ops->copy(&cx, b.drv, A, at("no/such/folder")));
    assert_err(&cx, ERR_NOT_FOUND, b.ops->copy(&cx, b.drv, B, copy));
}

/* What was half made or half removed when we died is gone. */
static void test_after_death(void **state UNUSED)
{
    make_blank(A, 1);
    assert_int_equal(mkdir(at("volumes/.new-%s", B), 0700), 0);
    assert_int_equal(rename(disk_of(A), at("volumes/.new-%s/disk.qcow2", B)), 0);
    assert_int_equal(rename(at("volumes/%s", A), at("volumes/.gone-%s", A)), 0);
    b.ops->free(b.drv);
    open_volumes(NULL);
    assert_false(exists(at("volumes/.new-%s", B)));
    assert_false(exists(at("volumes/.gone-%s", A)));
    make_blank(B, 1);
    /* A disk that isn't one any more is not taken for none. */
    assert_int_equal(truncate(disk_of(B), 10), 0);
    struct volume_seen s;
    assert_err(&cx, ERR_INVALID, b.ops->state(&cx, b.drv, B, &s));
    make_blank(B, 1);
    assert_err(&cx, ERR_INVALID, b.ops->grow(&cx, b.drv, B, 2));
}

static bool locked(const char *path)
{
    AUTO_FD int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    struct buf locks;
    buf_init(&locks, cx.arena);
    assert_int_equal(stat(path, &st), 0);
    assert_ok(&cx, file_read(&cx, proc, "locks", 1 << 20, &locks));
    return strstr(buf_cstr(&locks), arena_printf(cx.arena, ":%lu ", (unsigned long)st.st_ino));
}

/* Another process has it open, as a guest would. */
static void test_in_use(void **state UNUSED)
{
    make_blank(A, 1);
    assert_true(io(disk_of(A), "write -P 1 0 1M"));
    assert_ok(&cx, b.ops->snapshot(&cx, b.drv, A, SNAP, true));
    pid_t user = fork();
    if (user == 0) {
        execlp("qemu-io", "qemu-io", "-f", "qcow2", "-c", "write -P 2 0 1M", "-c", "sleep 60000",
               disk_of(A), NULL);
        _exit(1);
    }
    for (int i = 0; i < 3000 && !locked(disk_of(A)); i++)
        usleep(20000);
    assert_non_null(b.ops->snapshot(&cx, b.drv, A, SNAP, false));
    assert_non_null(b.ops->grow(&cx, b.drv, A, 2));
    assert_non_null(b.ops->copy(&cx, b.drv, A, at("copy")));
    assert_false(exists(at("copy")));
    assert_ok(&cx, make(of_volume(B, 1, A, SNAP), NULL, NULL));
    assert_int_equal(state_of(A).size_gib, 1);
    kill(user, SIGKILL);
    assert_int_equal(waitpid(user, NULL, 0), user);
    assert_true(io(disk_of(B), "read -P 1 0 1M"));
    assert_ok(&cx, b.ops->grow(&cx, b.drv, A, 2));
}

/* qemu-img has no rights of ours, and finds none of our files but those it is given. */
static void test_confined(void **state UNUSED)
{
    AUTO_FD int dir = open(base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char script[] = "#!/bin/sh\necho \"uid $(id -u) gid $(id -g) groups $(id -G)"
                                 " files $(ls /proc/self/fd | tr '\\n' ' ')\" >&2\n"
                                 "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status >&2\nexit 1\n";
    assert_ok(&cx, file_write(&cx, dir, "fake-img", script, strlen(script), 0755));
    b.ops->free(b.drv);
    open_volumes(at("fake-img"));
    make_blank(A, 1);
    struct err *e = b.ops->grow(&cx, b.drv, A, 2);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "uid 610099 gid 610099 groups 610099"));
    assert_non_null(strstr(e->message, "files 0 1 2 3 ")); /* and that of ls */
    assert_non_null(strstr(e->message, "CapEff: 0000000000000000"));
    assert_non_null(strstr(e->message, "NoNewPrivs: 1"));
    assert_int_equal(state_of(A).size_gib, 1);
}

static void *make_and_grow(void *arg)
{
    AUTO_CTX struct ctx own;
    ctx_init(&own);
    bool *failed = arg;
    struct spec_volume spec = blank(A, 1);
    for (int i = 0; i < 5 && !*failed; i++) {
        struct volume_seen s;
        *failed =
            b.ops->make(&own, b.drv, &spec, NULL, NULL) || b.ops->grow(&own, b.drv, A, i + 1) ||
            b.ops->snapshot(&own, b.drv, A, SNAP, i % 2 == 0) || b.ops->state(&own, b.drv, A, &s);
    }
    return NULL;
}

static void test_calls_wait_for_each_other(void **state UNUSED)
{
    pthread_t threads[3];
    bool failed[3] = {false};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_grow, &failed[i]), 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 3; i++)
        assert_false(failed[i]);
    assert_int_equal(state_of(A).size_gib, 5);
}

/* ---- storage that several hosts have ---- */

static struct volume_backend open_shared(const char *owner)
{
    struct volume_backend other;
    const struct qcow2_volumes_config cfg = {.data_dir = base_dir, .owner = owner, .uid = TOOL_UID};
    assert_ok(&cx, qcow2_volumes_new(&cx, &cfg, &other));
    return other;
}

static void test_shared(void **state UNUSED)
{
    b.ops->free(b.drv);
    b = open_shared("h1");
    make_blank(A, 1);
    must(mkdir(at("volumes/.new-" B ".h2"), 0700) == 0); /* the other one is at work */
    must(mkdir(at("volumes/.new-" A ".h1"), 0700) == 0);
    must(mkdir(at("volumes/.gone-" B ".h1"), 0700) == 0);
    struct volume_backend other = open_shared("h2");
    assert_true(exists(at("volumes/.new-" A ".h1"))); /* … and is not disturbed */
    assert_false(exists(at("volumes/.new-" B ".h2")));
    struct volume_seen seen;
    assert_ok(&cx, other.ops->state(&cx, other.drv, A, &seen));
    assert_true(seen.present);
    assert_ok(&cx, other.ops->grow(&cx, other.drv, A, 2));
    assert_int_equal(state_of(A).size_gib, 2);
    assert_ok(&cx, other.ops->remove(&cx, other.drv, A));
    assert_false(state_of(A).present);
    assert_false(exists(at("volumes/.new-" A ".h1"))); /* with what is unfinished of it */
    other.ops->free(other.drv);
}

/* A copy that a guest made lies on the host's own disk. */
static void test_copy_from_elsewhere(void **state UNUSED)
{
    const char *copy = arena_printf(cx.arena, "/dev/shm/colvert-copy-%d", (int)getpid());
    struct stat here, there;
    must(stat("/dev/shm", &there) == 0 && stat(base_dir, &here) == 0);
    if (here.st_dev == there.st_dev)
        skip();
    img("create -q -f qcow2", copy, "1G");
    assert_true(io(copy, "write -P 7 0 64k"));
    assert_ok(&cx, make(blank(A, 2), NULL, copy));
    assert_false(exists(copy));
    assert_int_equal(state_of(A).size_gib, 2);
    assert_true(io(disk_of(A), "read -P 7 0 64k"));
}

static void test_pool_file(void **state UNUSED)
{
    const char *id = NULL, *again = NULL;
    assert_err(&cx, ERR_NOT_FOUND, qcow2_pool_read(&cx, base_dir, &id));
    assert_ok(&cx, qcow2_pool_make(&cx, base_dir, &id));
    assert_ok(&cx, qcow2_pool_make(&cx, base_dir, &again));
    assert_string_equal(id, again);
    assert_ok(&cx, qcow2_pool_read(&cx, base_dir, &again));
    assert_string_equal(id, again);
    AUTO_FD int fd = open(at("colvert-pool"), O_WRONLY | O_TRUNC | O_CLOEXEC);
    must(fd >= 0 && write(fd, "what?\n", 6) == 6);
    assert_err(&cx, ERR_INVALID, qcow2_pool_read(&cx, base_dir, &id));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blank_life),
        TEST(test_from_images),
        TEST(test_refused_images),
        TEST(test_snapshots),
        TEST(test_copies),
        TEST(test_after_death),
        TEST(test_in_use),
        TEST(test_confined),
        TEST(test_calls_wait_for_each_other),
        TEST(test_shared),
        TEST(test_copy_from_elsewhere),
        TEST(test_pool_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
