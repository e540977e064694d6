/* SPDX-License-Identifier: EUPL-1.2 */
/* The guard as a process of its own, and processes that stand for guests. */
#include "base/test.h"
#include "node/drivers/qemu/fence.h"
#include "node/drivers/qemu/guests.h"
#include "node/drivers/qemu/launch.h"
#include "node/drivers/tools/files.h"
#include "node/guard.h"
#include "node/host_lease.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define A "11111111-aaaa-4aaa-8aaa-000000000001"
#define B "11111111-aaaa-4aaa-8aaa-000000000002"

static char base_dir[40];
static struct ctx cx;
static struct host_lease lease;

static const char *in_dir(const char *name)
{
    return arena_printf(cx.arena, "%s/%s", base_dir, name);
}

static int begin(void **state UNUSED)
{
    ctx_init(&cx);
    snprintf(base_dir, sizeof(base_dir), "/tmp/colvert-guard-XXXXXX");
    must(mkdtemp(base_dir));
    must(mkdir(in_dir("ha"), 0700) == 0 && mkdir(in_dir("servers"), 0700) == 0);
    return host_lease_open(&cx, base_dir, &lease) ? -1 : 0;
}

static int end(void **state UNUSED)
{
    AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    host_lease_close(&lease);
    struct err *e = dir_remove(&cx, tmp, base_dir + strlen("/tmp/"));
    ctx_release(&cx);
    return e ? -1 : 0;
}

static void let_run(int64_t ms)
{
    atomic_store(lease.until_us, boot_us(&cx) + ms * 1000);
}

/* A process with the server's id among its arguments, on record as its guest. */
static pid_t guest(const char *id, bool ha)
{
    struct record r;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "while :; do sleep 1; done", id, NULL);
        _exit(1);
    }
    record_init(&r, id, 200001);
    r.power = RECORD_ON;
    r.pid = pid;
    while (!process_has_argument(pid, id))
        usleep(1000);
    assert_true(process_start_time(pid, &r.pid_start));
    host_boot_id(r.host_boot_id, sizeof(r.host_boot_id));
    assert_int_equal(mkdir(in_dir(arena_printf(cx.arena, "servers/%s", id)), 0700), 0);
    AUTO_FD int dir = open(in_dir(arena_printf(cx.arena, "servers/%s", id)), O_RDONLY);
    assert_ok(&cx, record_save(&cx, dir, &r));
    if (ha)
        close(open(in_dir(arena_printf(cx.arena, "ha/%s", id)), O_CREAT | O_WRONLY, 0600));
    return pid;
}

static pid_t start_guard(void)
{
    const char *me = arena_printf(cx.arena, "%d", (int)getpid());
    pid_t pid = fork();
    if (pid == 0)
        _exit(guard_main(base_dir, me));
    return pid;
}

static bool ended(pid_t pid)
{
    siginfo_t info = {0};
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == pid;
}

/* Reaps it; when it ended (boot_us), or 0: not within this time. */
static int64_t await(pid_t pid, int64_t ms)
{
    for (int64_t until_us = boot_us(&cx) + ms * 1000; boot_us(&cx) < until_us; usleep(5000)) {
        if (!ended(pid))
            continue;
        int64_t at_us = boot_us(&cx);
        waitpid(pid, NULL, 0);
        return at_us;
    }
    return 0;
}

static void finish(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_ends_guests_with_the_lease(void **state UNUSED)
{
    pid_t a = guest(A, true), b = guest(B, false);
    let_run(1000);
    pid_t guard = start_guard();
    assert_int_equal(await(a, 700), 0);
    let_run(1500); /* a heartbeat */
    int64_t until_us = atomic_load(lease.until_us);
    assert_int_equal(await(a, 1200), 0);
    int64_t at_us = await(a, 5000);
    assert_true(at_us >= until_us);
    print_message("killed %" PRId64 " us after the lease's end\n", at_us - until_us);
    assert_false(ended(b));
    AUTO_FD int dir = open(in_dir("servers/" A), O_RDONLY);
    assert_true(guest_was_fenced(dir));
    /* One that was begun all the same */
    assert_int_equal(unlink(in_dir("servers/" A "/" RECORD_NAME)), 0);
    AUTO_FREE char *old = strdup(in_dir("servers/" A)), *aside = strdup(in_dir("aside"));
    assert_int_equal(rename(old, aside), 0);
    a = guest(A, true);
    assert_true(await(a, 5000));
    finish(b);
    finish(guard);
}

/* The process that has the number now is another's. */
static void test_leaves_others_alone(void **state UNUSED)
{
    pid_t a = guest(A, false);
    bool running;
    struct record r;
    AUTO_FD int dir = open(in_dir("servers/" A), O_RDONLY);
    assert_ok(&cx, record_load(&cx, dir, &r));
    r.pid_start++;
    assert_ok(&cx, record_save(&cx, dir, &r));
    assert_ok(&cx, qemu_fence(&cx, base_dir, A, &running));
    assert_false(running);
    assert_ok(&cx, qemu_fence(&cx, base_dir, B, &running)); /* never heard of */
    assert_false(running);
    assert_false(ended(a));
    finish(a);
}

/* Its agent is gone: it stays for as long as there is something to guard. */
static pid_t start_orphan(pid_t *ret_agent)
{
    int ids[2];
    must(pipe(ids) == 0);
    pid_t agent = fork(), guard;
    if (agent == 0) {
        const char *me = arena_printf(cx.arena, "%d", (int)getpid());
        guard = fork();
        if (guard == 0)
            _exit(guard_main(base_dir, me));
        must(write(ids[1], &guard, sizeof(guard)) == sizeof(guard));
        pause();
    }
    must(read(ids[0], &guard, sizeof(guard)) == sizeof(guard));
    close(ids[0]);
    close(ids[1]);
    *ret_agent = agent;
    return guard;
}

static bool gone(pid_t pid, int64_t ms)
{
    for (int64_t until_us = boot_us(&cx) + ms * 1000; boot_us(&cx) < until_us; usleep(5000)) {
        int64_t start;
        if (!process_start_time(pid, &start))
            return true;
    }
    return false;
}

static void test_outlives_its_agent(void **state UNUSED)
{
    pid_t a = guest(A, true), agent;
    let_run(1500);
    pid_t guard = start_orphan(&agent);
    while (!atomic_load(lease.guards))
        usleep(1000);
    finish(agent);
    assert_false(gone(guard, 1000));
    assert_false(ended(a));
    assert_true(await(a, 5000));
    assert_true(gone(guard, 5000));
    guard = start_orphan(&agent); /* nothing runs */
    finish(agent);
    assert_true(gone(guard, 5000));
}

static void test_newer_guard_takes_over(void **state UNUSED)
{
    let_run(60000);
    pid_t first = start_guard();
    while (!atomic_load(lease.guards))
        usleep(1000);
    pid_t second = start_guard();
    assert_true(await(first, 5000));
    assert_false(ended(second));
    finish(second);
}

static void test_lease_of_an_earlier_run(void **state UNUSED)
{
    struct host_lease again;
    let_run(60000);
    assert_ok(&cx, host_lease_open(&cx, base_dir, &again));
    assert_true(atomic_load(again.until_us) > 0);
    host_lease_close(&again);
    AUTO_FD int fd = open(in_dir("lease"), O_RDWR);
    assert_int_equal(pwrite(fd, "0", 1, 0), 1); /* the kernel's run had another name */
    assert_int_equal(pwrite(fd, "0", 1, 1), 1);
    assert_int_equal(pwrite(fd, "0", 1, 2), 1);
    assert_ok(&cx, host_lease_open(&cx, base_dir, &again));
    assert_int_equal(atomic_load(again.until_us), 0);
    host_lease_close(&again);
}

#define GUARD_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUARD_TEST(test_ends_guests_with_the_lease), GUARD_TEST(test_leaves_others_alone),
        GUARD_TEST(test_outlives_its_agent),         GUARD_TEST(test_newer_guard_takes_over),
        GUARD_TEST(test_lease_of_an_earlier_run),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
