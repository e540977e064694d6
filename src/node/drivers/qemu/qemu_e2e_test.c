/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver with real QEMU processes: whole lives of a guest, and the driver's own death at any
 * moment. The driver that gets killed is this program run again ("victim"). Needs root and writable
 * control groups; nothing is left behind.
 */
#include "node/drivers/qemu/e2e.h"
#include "node/drivers/tools/files.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- the scene ---- */

static struct spec_nic nic = {.port_id = "22222222-aaaa-4aaa-8aaa-000000000001",
                              .mac = "fa:16:3e:00:00:01",
                              .tap = "tape2e",
                              .mtu = 1450};

static const char *proc_text(pid_t pid, const char *name)
{
    struct buf b;
    buf_init(&b, cx.arena);
    AUTO_FD int dir =
        open(arena_printf(cx.arena, "/proc/%d", pid), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    assert_ok(&cx, file_read(&cx, dir, name, 1 << 20, &b));
    return buf_cstr(&b);
}

/* ---- the driver in a process of its own, to be killed ---- */

static struct err *live_once(struct guest_backend *b, const char *img)
{
    struct spec_server spec = spec_of(ID_A, 1);
    TRY(b->ops->prepare(&cx, b->drv, &spec, img));
    TRY(b->ops->start(&cx, b->drv, &spec, NULL, NULL));
    if (write(3, "y", 1) != 1)
        pause();
    TRY(b->ops->stop(&cx, b->drv, ID_A));
    spec.boot_seq = 2;
    TRY(b->ops->start(&cx, b->drv, &spec, NULL, NULL));
    return b->ops->destroy(&cx, b->drv, ID_A);
}

/* Runs the guest and says so on descriptor 3; "cycle": goes on through its whole life, again and
 * again. */
static int victim(const char *dir, const char *name, const char *img, bool cycle)
{
    snprintf(data_dir, sizeof(data_dir), "%s", dir);
    snprintf(instance, sizeof(instance), "%s", name);
    signal(SIGPIPE, SIG_IGN);
    struct qemu_config cfg = config();
    struct guest_backend b = {0};
    struct spec_server spec = spec_of(ID_A, 1);
    struct err *e = qemu_driver_new(&cx, &cfg, &b);
    while (!e && cycle)
        e = live_once(&b, img);
    if (!e)
        e = b.ops->prepare(&cx, b.drv, &spec, img);
    if (!e)
        e = b.ops->start(&cx, b.drv, &spec, NULL, NULL);
    if (e)
        dprintf(2, "victim: %s\n", err_chain(&cx, e));
    else
        (void)!write(3, "y", 1);
    pause();
    return 0;
}

static pid_t spawn_victim(const char *mode, int *ret_ready)
{
    return spawn_self((const char *[]){"victim", mode, data_dir, instance, image, NULL}, ret_ready);
}

/* A guest that runs, and whose driver was killed. */
static pid_t orphan(void)
{
    char y = 0;
    AUTO_FD int ready = -1;
    pid_t v = spawn_victim("victim", &ready);
    assert_int_equal(read(ready, &y, 1), 1);
    pid_t qemu = only_pid(ID_A);
    kill_child(v);
    assert_int_equal(kill(qemu, 0), 0);
    return qemu;
}

/* ---- tests ---- */

static atomic_int changes;

static void count_change(void *arg UNUSED, const char *id)
{
    if (str_eq(id, ID_A))
        changes++;
}

static void assert_confined(pid_t pid)
{
    const char *status = proc_text(pid, "status");
    assert_non_null(strstr(status, "Uid:\t610000\t610000\t610000\t610000"));
    assert_non_null(strstr(status, "Gid:\t610000\t610000\t610000\t610000"));
    assert_non_null(strstr(status, "Groups:\t \n"));
    assert_non_null(strstr(status, "CapEff:\t0000000000000000"));
    assert_non_null(strstr(status, "CapPrm:\t0000000000000000"));
    assert_non_null(strstr(status, "NoNewPrivs:\t1"));
    assert_non_null(strstr(status, "Seccomp:\t2"));
    assert_string_equal(proc_text(pid, "oom_score_adj"), "500\n");
    assert_non_null(
        strstr(proc_text(pid, "limits"), "Max core file size        0                    0"));
    char mine[64], its[64];
    static const char *const spaces[] = {"net", "ipc", "uts"};
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
        ssize_t n =
            readlink(arena_printf(cx.arena, "/proc/self/ns/%s", spaces[i]), mine, sizeof(mine));
        ssize_t m =
            readlink(arena_printf(cx.arena, "/proc/%d/ns/%s", pid, spaces[i]), its, sizeof(its));
        assert_true(n > 0 && m > 0);
        assert_false(n == m && memcmp(mine, its, (size_t)n) == 0);
    }
}

static void assert_limited(const char *id)
{
    struct buf b;
    buf_init(&b, cx.arena);
    const char *v1 = arena_printf(cx.arena, "/sys/fs/cgroup/memory/colvert/%s/%s", instance, id);
    const char *v2 = arena_printf(cx.arena, "/sys/fs/cgroup/colvert/%s/%s", instance, id);
    bool is_v1 = access(v1, F_OK) == 0;
    AUTO_FD int dir = open(is_v1 ? v1 : v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(&cx, file_read(&cx, dir, is_v1 ? "memory.limit_in_bytes" : "memory.max", 100, &b));
    assert_string_equal(buf_cstr(&b), "377487360\n"); /* 32 + 256 + 9 ports * 8 MiB */
}

static void test_life(void **state UNUSED)
{
    struct guest_backend b = open_driver();
    struct spec_server spec = spec_of(ID_A, 1);
    b.ops->on_change(b.drv, count_change, NULL);
    spec.nics = &nic;
    spec.n_nics = 1;
    spec.config_drive = true;
    spec.meta_data = json_own(&cx, json_pack("{s:s}", "uuid", ID_A));
    AUTO_FD int tap = open_tap(nic.tap);
    assert_int_equal(state_of(&b, ID_A).power, GUEST_ABSENT);
    assert_err(&cx, ERR_CONFLICT, b.ops->start(&cx, b.drv, &spec, &tap, NULL));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_OFF);
    assert_int_equal(state_of(&b, ID_A).build_seq, 1);
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, &tap, NULL));
    pid_t pid = only_pid(ID_A);
    struct guest_state s = state_of(&b, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_int_equal(s.boot_seq, 1);
    assert_true(s.started_at_us > 0);
    assert_confined(pid);
    assert_limited(ID_A);
    await_console(&b, ID_A, "guest: up", 1);
    /* Again: nothing changes. */
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, &tap, NULL));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_int_equal(only_pid(ID_A), pid);
    /* A soft reboot, once for each number. */
    assert_ok(&cx, b.ops->reset(&cx, b.drv, ID_A, 1));
    await_console(&b, ID_A, "guest: up", 2);
    assert_ok(&cx, b.ops->reset(&cx, b.drv, ID_A, 1));
    assert_int_equal(state_of(&b, ID_A).reset_seq, 1);
    assert_int_equal(only_pid(ID_A), pid);
    /* The power button: the guest obeys, and it is seen. */
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, ID_A));
    await_power(&b, ID_A, GUEST_OFF);
    assert_true(state_of(&b, ID_A).guest_shutdown);
    assert_true(changes >= 1);
    assert_err(&cx, ERR_CONFLICT, b.ops->reset(&cx, b.drv, ID_A, 2));
    /* A second boot, ended by force. */
    spec.boot_seq = 2;
    spec.reset_seq = 1;
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, &tap, NULL));
    assert_int_equal(state_of(&b, ID_A).boot_seq, 2);
    assert_false(state_of(&b, ID_A).guest_shutdown);
    await_console(&b, ID_A, "guest: up", 3);
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_OFF);
    assert_false(state_of(&b, ID_A).guest_shutdown);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_ABSENT);
    assert_nothing_left(ID_A);
    close_driver();
}

static void test_hard_reboot_and_rebuild(void **state UNUSED)
{
    struct guest_backend b = open_driver();
    struct spec_server spec = spec_of(ID_A, 1);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, NULL));
    pid_t first = only_pid(ID_A);
    spec.boot_seq = 2;
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, NULL));
    assert_int_not_equal(only_pid(ID_A), first);
    spec.build_seq = 2;
    assert_err(&cx, ERR_CONFLICT, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    const char *dir = arena_printf(cx.arena, "%s/servers/%s", data_dir, ID_A);
    assert_int_not_equal(access(arena_printf(cx.arena, "%s/root-1.qcow2", dir), F_OK), 0);
    assert_int_equal(access(arena_printf(cx.arena, "%s/root-2.qcow2", dir), F_OK), 0);
    assert_int_equal(state_of(&b, ID_A).build_seq, 2);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

static void test_two_guests_share_no_uid(void **state UNUSED)
{
    struct guest_backend b = open_driver();
    struct spec_server one = spec_of(ID_A, 1), two = spec_of(ID_B, 1);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &one, image));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &two, image));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &one, NULL, NULL));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &two, NULL, NULL));
    assert_non_null(strstr(proc_text(only_pid(ID_A), "status"), "Uid:\t610000"));
    assert_non_null(strstr(proc_text(only_pid(ID_B), "status"), "Uid:\t610001"));
    const char **ids;
    size_t n;
    assert_ok(&cx, b.ops->list(&cx, b.drv, &ids, &n));
    assert_int_equal(n, 2);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_int_equal(state_of(&b, ID_B).power, GUEST_ON);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_B));
    assert_nothing_left(ID_A);
    assert_nothing_left(ID_B);
    close_driver();
}

static void test_taken_over_after_sigkill(void **state UNUSED)
{
    pid_t qemu = orphan();
    struct guest_backend b = open_driver();
    struct spec_server spec = spec_of(ID_A, 1);
    assert_int_equal(state_of(&b, ID_A).power, GUEST_ON);
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, NULL));
    assert_int_equal(only_pid(ID_A), qemu);
    await_console(&b, ID_A, "guest: up", 1);
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, ID_A)); /* its monitor answers the new driver */
    await_power(&b, ID_A, GUEST_OFF);
    assert_true(state_of(&b, ID_A).guest_shutdown);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

static void test_power_off_while_nobody_watches(void **state UNUSED)
{
    pid_t qemu = orphan();
    struct guest_backend b = open_driver();
    await_console(&b, ID_A, "guest: up", 1);
    AUTO_FD int serial = -1;
    assert_ok(&cx, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_SERIAL, &serial));
    close_driver();
    assert_int_equal(write(serial, "p", 1), 1);
    await_gone(qemu);
    b = open_driver();
    struct guest_state s = state_of(&b, ID_A);
    assert_int_equal(s.power, GUEST_OFF);
    assert_true(s.guest_shutdown);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    close_driver();
}

static void test_crash(void **state UNUSED)
{
    pid_t qemu = orphan();
    kill(qemu, SIGKILL); /* nobody watches */
    await_gone(qemu);
    struct guest_backend b = open_driver();
    struct spec_server spec = spec_of(ID_A, 1);
    assert_int_equal(state_of(&b, ID_A).power, GUEST_CRASHED);
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, NULL));
    kill(only_pid(ID_A), SIGKILL); /* the driver watches */
    await_power(&b, ID_A, GUEST_CRASHED);
    assert_false(state_of(&b, ID_A).guest_shutdown);
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_OFF);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

/* Whenever the driver dies, the next one has at most one process, knows of it, and can go on from
 * there. */
static void check_after_death(bool go_on, bool may_be_stopping)
{
    struct guest_backend b = open_driver();
    pid_t pids[4] = {0};
    struct guest_state is;
    size_t n;
    for (int i = 0; i < E2E_WAIT_S * 20; i++) { /* an asked-for end may be under way */
        n = pids_of(ID_A, pids, 4);
        is = state_of(&b, ID_A);
        if (!may_be_stopping || (n == 1) == (is.power == GUEST_ON))
            break;
        usleep(50000);
    }
    assert_true(n <= 1);
    assert_int_equal(n == 1, is.power == GUEST_ON);
    assert_int_not_equal(is.power, GUEST_CRASHED);
    if (go_on) {
        /* One that may end at any moment is no state to go on from: a boot of its own. */
        bool same = is.power == GUEST_ON && !may_be_stopping;
        struct spec_server spec = spec_of(ID_A, same ? is.boot_seq : 3);
        assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
        assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, NULL));
        assert_true(!same || only_pid(ID_A) == pids[0]);
        assert_true(only_pid(ID_A) > 0);
        assert_int_equal(state_of(&b, ID_A).power, GUEST_ON);
        assert_int_equal(state_of(&b, ID_A).boot_seq, spec.boot_seq);
    }
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

static void kill_at_random(const char *mode, uint64_t seed, int times, unsigned max_ms)
{
    struct rng_seeded seeded;
    struct rng *r = rng_seed(&seeded, seed);
    for (int i = 0; i < times; i++) {
        AUTO_FD int ready = -1;
        pid_t v = spawn_victim(mode, &ready);
        usleep((useconds_t)(30 + rng_below(r, max_ms)) * 1000);
        kill_child(v);
        check_after_death(i % 3 != 0, str_eq(mode, "cycle"));
    }
}

static void test_killed_while_starting(void **state UNUSED)
{
    kill_at_random("victim", 7, 20, 400);
}

static void test_killed_at_any_moment(void **state UNUSED)
{
    kill_at_random("cycle", 8, 20, 1000);
}

static void write_script(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_refusals_say_why(void **state UNUSED)
{
    const char *bad_qemu = arena_printf(cx.arena, "%s/bad-qemu", data_dir);
    const char *bad_img = arena_printf(cx.arena, "%s/bad-img", data_dir);
    write_script(bad_qemu, "#!/bin/sh\n[ \"$1\" = --version ] || set -- \"$@\" -no-such-option\n"
                           "exec qemu-system-x86_64 \"$@\"\n");
    write_script(bad_img, "#!/bin/sh\necho the disk is on fire >&2\nexit 1\n");
    struct qemu_config cfg = config();
    struct spec_server spec = spec_of(ID_A, 1);
    struct guest_backend b;
    cfg.qemu_img_path = bad_img;
    assert_ok(&cx, qemu_driver_new(&cx, &cfg, &b));
    /* Not built before its config drive is made, too. */
    const char *path = arena_strdup(cx.arena, getenv("PATH"));
    setenv("PATH", data_dir, 1);
    spec.config_drive = true;
    struct err *e = b.ops->prepare(&cx, b.drv, &spec, image);
    setenv("PATH", path, 1);
    spec.config_drive = false;
    assert_non_null(e);
    assert_non_null(strstr(e->message, "genisoimage"));
    assert_int_equal(state_of(&b, ID_A).build_seq, 0);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    e = b.ops->checkpoint(&cx, b.drv, ID_A, 1);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "the disk is on fire"));
    assert_int_equal(state_of(&b, ID_A).checkpoint, 0);
    b.ops->free(b.drv);
    cfg.qemu_img_path = NULL;
    cfg.qemu_path = bad_qemu;
    assert_ok(&cx, qemu_driver_new(&cx, &cfg, &b));
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    e = b.ops->start(&cx, b.drv, &spec, NULL, NULL);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "no-such-option"));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_OFF);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    b.ops->free(b.drv);
}

struct lives {
    const struct guest_backend *b;
    const char *id;
    bool failed;
};

static void *live_thrice(void *arg)
{
    struct lives *l = arg;
    const struct guest_driver *ops = l->b->ops;
    void *drv = l->b->drv;
    AUTO_CTX struct ctx own;
    ctx_init(&own);
    struct err *e = NULL;
    for (int i = 0; i < 3 && !e; i++) {
        struct spec_server spec = spec_of(l->id, 1);
        struct guest_state s = {0};
        e = ops->prepare(&own, drv, &spec, image);
        e = e ? e : ops->start(&own, drv, &spec, NULL, NULL);
        e = e ? e : ops->reset(&own, drv, l->id, 1);
        e = e ? e : ops->stop(&own, drv, l->id);
        spec.boot_seq = 2;
        e = e ? e : ops->start(&own, drv, &spec, NULL, NULL);
        e = e ? e : ops->state(&own, drv, l->id, &s);
        l->failed = l->failed || s.power != GUEST_ON || s.boot_seq != 2;
        e = e ? e : ops->destroy(&own, drv, l->id);
    }
    if (e)
        dprintf(2, "%s\n", err_chain(&own, e));
    l->failed = l->failed || e;
    return NULL;
}

/* Different guests at once, while the watcher sees each of them come and go. */
static void test_two_at_once(void **state UNUSED)
{
    struct guest_backend b = open_driver();
    b.ops->on_change(b.drv, count_change, NULL);
    struct lives two[] = {{.b = &b, .id = ID_A}, {.b = &b, .id = ID_B}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, live_thrice, &two[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_false(two[0].failed);
    assert_false(two[1].failed);
    assert_nothing_left(ID_A);
    assert_nothing_left(ID_B);
    close_driver();
}

static const char *home_of(const char *id)
{
    return arena_printf(cx.arena, "%s/servers/%s", data_dir, id);
}

/* A lost or broken record never makes a new disk over the old one; deletion works, and the uid
 * stays taken. */
static void test_broken_records_keep_disks(void **state UNUSED)
{
    struct spec_server one = spec_of(ID_A, 1), two = spec_of(ID_B, 1);
    for (int i = 0; i < 2; i++) {
        struct guest_backend b = open_driver();
        struct guest_state s;
        struct stat before, after, other;
        assert_ok(&cx, b.ops->prepare(&cx, b.drv, &one, image));
        close_driver();
        AUTO_FD int dir = open(home_of(ID_A), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fstatat(dir, "root-1.qcow2", &before, 0), 0);
        if (i == 0)
            assert_int_equal(unlinkat(dir, "guest.json", 0), 0);
        else
            assert_ok(&cx, file_write(&cx, dir, "guest.json", "{\"version\":99}", 14, 0600));
        b = open_driver();
        assert_err(&cx, ERR_CONFLICT, b.ops->prepare(&cx, b.drv, &one, image));
        assert_err(&cx, ERR_CONFLICT, b.ops->start(&cx, b.drv, &one, NULL, NULL));
        assert_err(&cx, ERR_CONFLICT, b.ops->state(&cx, b.drv, ID_A, &s));
        assert_int_equal(fstatat(dir, "root-1.qcow2", &after, 0), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_ok(&cx, b.ops->prepare(&cx, b.drv, &two, image));
        assert_int_equal(stat(home_of(ID_B), &other), 0);
        assert_int_equal(other.st_gid, UID_FIRST + 1);
        assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
        assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_B));
        assert_nothing_left(ID_A);
        close_driver();
    }
}

/* What a killed driver began is finished: a folder without record is a new guest's, a renamed one
 * is removed. */
static void test_half_made_and_half_destroyed(void **state UNUSED)
{
    assert_int_equal(mkdir(home_of(ID_A), 0700), 0);
    assert_int_equal(mkdir(home_of(".gone-" ID_B), 0700), 0);
    struct guest_backend b = open_driver();
    struct spec_server one = spec_of(ID_A, 1);
    const char **ids;
    size_t n;
    assert_ok(&cx, b.ops->list(&cx, b.drv, &ids, &n));
    assert_int_equal(n, 1);
    assert_int_equal(state_of(&b, ID_A).power, GUEST_OFF);
    assert_int_not_equal(access(home_of(".gone-" ID_B), F_OK), 0);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &one, image));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &one, NULL, NULL));
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

/* A guest that never stops writing fills no disk. */
static void test_endless_console(void **state UNUSED)
{
    struct guest_backend b = open_driver();
    struct spec_server one = spec_of(ID_A, 1);
    struct stat st;
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &one, image));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &one, NULL, NULL));
    await_console(&b, ID_A, "guest: up", 1);
    close_driver();
    AUTO_FD int log = open(arena_printf(cx.arena, "%s/console.log", home_of(ID_A)),
                           O_WRONLY | O_APPEND | O_CLOEXEC);
    static char block[65536];
    memset(block, '.', sizeof(block));
    for (int i = 0; i < 40; i++) /* in its place: the guest is slow */
        assert_int_equal(write(log, block, sizeof(block)), sizeof(block));
    b = open_driver();
    for (int i = 0; i < E2E_WAIT_S * 10; i++) {
        assert_int_equal(fstat(log, &st), 0);
        if (st.st_size < (off_t)sizeof(block)) /* the rest of a line may follow */
            break;
        usleep(100000);
    }
    assert_in_range(st.st_size, 0, sizeof(block) - 1);
    assert_ok(&cx, b.ops->reset(&cx, b.drv, ID_A, 1));
    await_console(&b, ID_A, "guest: up", 1); /* goes on at the start of the shortened file */
    assert_int_equal(fstat(log, &st), 0);
    assert_true(st.st_size > 0 && st.st_size < 65536);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    close_driver();
}

static void test_one_driver_a_folder(void **state UNUSED)
{
    struct guest_backend second;
    struct qemu_config cfg = config();
    open_driver();
    assert_err(&cx, ERR_CONFLICT, qemu_driver_new(&cx, &cfg, &second));
    close_driver();
}

static int begin(void **state)
{
    int failed = scene_begin(state);
    write_image(image, 'i');
    return failed;
}

int main(int argc, char **argv)
{
    ctx_init(&cx);
    if (argc == 5)
        return victim(argv[2], argv[3], argv[4], str_eq(argv[1], "cycle"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_hard_reboot_and_rebuild),
        cmocka_unit_test(test_two_guests_share_no_uid),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_taken_over_after_sigkill),
        cmocka_unit_test(test_power_off_while_nobody_watches),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_killed_while_starting),
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_broken_records_keep_disks),
        cmocka_unit_test(test_half_made_and_half_destroyed),
        cmocka_unit_test(test_endless_console),
        cmocka_unit_test(test_one_driver_a_folder),
    };
    int failed = cmocka_run_group_tests(tests, begin, scene_end);
    ctx_release(&cx);
    return failed;
}
