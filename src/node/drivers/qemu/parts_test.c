/* SPDX-License-Identifier: EUPL-1.2 */
/* The driver's parts without QEMU: records, logs, launching, control groups. */
#include "base/test.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/qemu/guests.h"
#include "node/drivers/qemu/launch.h"
#include "node/drivers/qemu/tap_stats.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ID "11111111-aaaa-4aaa-8aaa-000000000001"

static char base_dir[] = "/tmp/colvert-parts-XXXXXX";
static int dir = -1;

static int begin(void **state UNUSED)
{
    must(mkdtemp(base_dir));
    dir = open(base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0;
}

static int end(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close_fd_p(&dir);
    return dir_remove(&cx, tmp, base_dir + strlen("/tmp/")) ? -1 : 0;
}

static const char *in_dir(struct ctx *cx, const char *name)
{
    return arena_printf(cx->arena, "%s/%s", base_dir, name);
}

/* ---- records ---- */

static void test_record_round_trip(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct record r, back;
    record_init(&r, ID, 610003);
    r.power = RECORD_STOPPING;
    r.boot_seq = 3;
    r.reset_seq = 4;
    r.build_seq = 5;
    r.guest_shutdown = r.config_drive = true;
    r.started_at_us = 1795444350356515;
    r.pid = 4711;
    r.pid_start = 123456789012;
    host_boot_id(r.host_boot_id, sizeof(r.host_boot_id));
    assert_int_equal(strlen(r.host_boot_id), 36);
    record_set(&r.image_path, "/data/images/\"odd\" name");
    record_set(&r.image_format, "qcow2");
    record_set_json(&r.argv, json_own(&cx, json_pack("[s,s]", "qemu", "-S")));
    record_set(&r.rescue_path, "/data/images/rescue");
    record_set(&r.rescue_format, "raw");
    r.suspended = true;
    r.rescue_seq = r.rescue_disk = 6;
    r.checkpoint = 7;
    r.restore_seq = 8;
    r.layout.n_ports = 2;
    slot_set_volume(&r.layout.slots[1], ID, "qcow2", true);
    assert_ok(&cx, record_save(&cx, dir, &r));
    assert_ok(&cx, record_load(&cx, dir, &back));
    assert_string_equal(record_text(&cx, &back), record_text(&cx, &r));
    assert_int_equal(back.uid, 610003);
    assert_int_equal(back.power, RECORD_STOPPING);
    assert_int_equal(back.pid_start, 123456789012);
    assert_true(back.suspended);
    assert_int_equal(back.rescue_disk, 6);
    assert_int_equal(back.checkpoint, 7);
    assert_int_equal(back.restore_seq, 8);
    assert_non_null(layout_find(&back.layout, SLOT_VOLUME, ID));
    record_fini(&r);
    record_fini(&back);
    unlinkat(dir, RECORD_NAME, 0);
}

static void test_bad_records(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct record r;
    assert_err(&cx, ERR_NOT_FOUND, record_load(&cx, dir, &r));
    record_init(&r, ID, 610003);
    const char *good = record_text(&cx, &r);
    assert_ok(&cx, record_parse(&cx, good, strlen(good), &r));
    record_fini(&r);
    static const char *const changes[][2] = {{"\"version\":1", "\"version\":2"},
                                             {"\"uid\":610003", "\"uid\":0"},
                                             {"\"uid\":610003", "\"uid\":-5"},
                                             {"\"power\":\"off\"", "\"power\":\"maybe\""},
                                             {"\"pid\":0", "\"pid\":4294967297"},
                                             {"\"ports\":0", "\"ports\":9999"},
                                             {ID, "../../../../etc"},
                                             {ID, "11111111-aaaa-4aaa-8aaa-0000000000011"}};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        const char *at = strstr(good, changes[i][0]);
        assert_non_null(at);
        const char *bad = arena_printf(cx.arena, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                                       at + strlen(changes[i][0]));
        assert_err(&cx, ERR_INVALID, record_parse(&cx, bad, strlen(bad), &r));
    }
    for (size_t n = 0; n + 2 < strlen(good); n += 7)
        assert_err(&cx, ERR_INVALID, record_parse(&cx, good, n, &r));
}

static void test_how_guests_end(void **state UNUSED)
{
    static const struct {
        enum record_power was;
        const char *reason;
        bool restarted;
        enum record_power want;
        bool want_guest_shutdown;
    } cases[] = {
        {RECORD_ON, "guest-shutdown", false, RECORD_OFF, true},
        {RECORD_ON, "guest-panic", false, RECORD_CRASHED, false},
        {RECORD_ON, "host-signal", false, RECORD_OFF, false},
        {RECORD_ON, NULL, false, RECORD_CRASHED, false},
        {RECORD_ON, NULL, true, RECORD_OFF, false},
        {RECORD_ON, "guest-shutdown", true, RECORD_OFF, true},
        {RECORD_STOPPING, "host-signal", false, RECORD_OFF, false},
        {RECORD_STOPPING, "guest-shutdown", false, RECORD_OFF, true},
        {RECORD_STOPPING, NULL, false, RECORD_OFF, false},
        {RECORD_STARTING, "guest-shutdown", false, RECORD_OFF, false},
        {RECORD_OFF, NULL, false, RECORD_OFF, false},
        {RECORD_CRASHED, NULL, false, RECORD_CRASHED, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool by_guest = false;
        const struct shutdown_cause *cause =
            cases[i].reason ? cause_by_reason(cases[i].reason) : NULL;
        assert_true(!cases[i].reason == !cause);
        assert_int_equal(power_after_end(cases[i].was, cause, cases[i].restarted, &by_guest),
                         cases[i].want);
        assert_int_equal(by_guest, cases[i].want_guest_shutdown);
    }
    assert_null(cause_by_reason("no-such-reason"));
    assert_null(cause_in_log("qemu: hello\n"));
    assert_null(cause_in_log("1@2.3:qemu_system_shutdown_request reason=66\n"));
    assert_ptr_equal(cause_in_log("1@2.3:qemu_system_shutdown_request reason=6\n"),
                     cause_by_reason("guest-shutdown"));
    assert_ptr_equal(cause_in_log("x\n1@2.3:qemu_system_shutdown_request reason=6\n"
                                  "1@2.4:qemu_system_shutdown_request reason=4\n"),
                     cause_by_reason("host-signal"));
}

/* ---- console ---- */

static void fill_console(struct ctx *cx, size_t lines)
{
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < lines; i++)
        buf_printf(&b, "line %09zu\n", i); /* 15 bytes */
    assert_ok(cx, file_write(cx, dir, CONSOLE_NAME, buf_cstr(&b), b.len, 0600));
}

static void test_console_stays_bounded(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct buf b;
    buf_init(&b, cx.arena);
    assert_ok(&cx, console_read(&cx, dir, 0, &b));
    assert_int_equal(b.len, 0);
    fill_console(&cx, 10);
    assert_ok(&cx, console_trim(&cx, dir));
    assert_ok(&cx, console_read(&cx, dir, 30, &b));
    assert_string_equal(buf_cstr(&b), "line 000000008\nline 000000009\n");
    fill_console(&cx, 300000); /* 4.5 MB */
    assert_ok(&cx, console_trim(&cx, dir));
    struct stat st;
    assert_int_equal(fstatat(dir, CONSOLE_NAME, &st, 0), 0);
    assert_int_equal(st.st_size, 0);
    AUTO_FD int fd = openat(dir, CONSOLE_NAME, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "after\n", 6), 6);
    buf_clear(&b);
    assert_ok(&cx, console_read(&cx, dir, 21, &b)); /* across both files */
    assert_string_equal(buf_cstr(&b), "line 000299999\nafter\n");
    buf_clear(&b);
    assert_ok(&cx, console_read(&cx, dir, 0, &b));
    assert_int_equal(b.len, CONSOLE_KEPT_BYTES / 2 + 6);
    fill_console(&cx, 300000);
    buf_clear(&b);
    assert_ok(&cx, console_read(&cx, dir, 0, &b)); /* not trimmed yet, but no more is given */
    assert_int_equal(b.len, CONSOLE_KEPT_BYTES);
    unlinkat(dir, CONSOLE_NAME, 0);
    unlinkat(dir, "console.log.1", 0);
}

/* ---- launching ---- */

static struct err *refuse_record(struct ctx *cx, void *arg, pid_t pid)
{
    *(pid_t *)arg = pid;
    return fail(cx, ERR_UNAVAILABLE, "the disk is full");
}

static struct err *note_record(struct ctx *cx UNUSED, void *arg, pid_t pid)
{
    *(pid_t *)arg = pid;
    return NULL;
}

static struct err *find_ended(struct ctx *cx, void *arg UNUSED, pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return fail(cx, ERR_UNAVAILABLE, "it ended at once");
}

static void test_launch(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    AUTO_FD int in = ends[0], out = ends[1], log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const char *argv[] = {
        "sh", "-c",
        "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$i ] && printf $i >&4; done; "
        "printf ' %s %s' $(id -u) $PWD >&4",
        NULL};
    const struct launch l = {.argv = argv,
                             .fds = (int[]){-1, out},
                             .n_fds = 2,
                             .dir_fd = dir,
                             .log_fd = log,
                             .uid = 610000};
    pid_t recorded = 0, pid = 0;
    /* What isn't on record doesn't run. */
    struct err *e = launch(&cx, &l, refuse_record, &recorded, &pid);
    assert_non_null(e);
    assert_string_equal(e->message, "the disk is full");
    assert_int_equal(kill(recorded, 0), -1);
    assert_ok(&cx, launch(&cx, &l, note_record, &recorded, &pid));
    assert_int_equal(pid, recorded);
    close_fd_p(&out);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    char text[256] = {0};
    assert_true(read(in, text, sizeof(text) - 1) > 0);
    assert_string_equal(
        text, arena_printf(cx.arena, "0124 610000 %s", base_dir)); /* no other file is open */
    struct launch bad = l;
    bad.n_fds = 0;
    bad.argv = (const char *[]){"no-such-program-here", NULL};
    assert_err(&cx, ERR_UNAVAILABLE, launch(&cx, &bad, note_record, &recorded, &pid));
    bad.argv = (const char *[]){"/etc/passwd", NULL};
    e = launch(&cx, &bad, note_record, &recorded, &pid);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "exec: Permission denied"));
    /* It may end before it is on record: the reason is its own. */
    bad.cgroup_fds = &in;
    bad.n_cgroups = 1;
    e = launch(&cx, &bad, find_ended, NULL, &pid);
    assert_non_null(e);
    assert_non_null(strstr(e->message, "control group: Bad file descriptor"));
}

static void test_process_identity(void **state UNUSED)
{
    int64_t mine = 0, its = 0;
    assert_true(process_start_time(getpid(), &mine) && mine > 0);
    assert_true(process_has_argument(getpid(), "parts_test"));
    assert_false(process_has_argument(getpid(), ID));
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(process_start_time(pid, &its)); /* ended, though its number is still taken */
    waitpid(pid, NULL, 0);
    assert_false(process_start_time(pid, &its));
}

/* ---- host ---- */

static void test_tap_stats(void **state UNUSED)
{
    static const char text[] =
        "Inter-|   Receive                        |  Transmit\n"
        " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop\n"
        "    lo: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n"
        "tapone2: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n"
        "tapone: 100 2 3 4 0 0 0 5 12345678901 7 8 9 0 0 0 0\n";
    struct tap_stats s;
    assert_true(tap_stats_parse(text, "tapone", &s));
    assert_int_equal(s.out.octets, 100);
    assert_int_equal(s.out.packets, 2);
    assert_int_equal(s.out.errors, 3);
    assert_int_equal(s.out.drops, 4);
    assert_int_equal(s.in.octets, 12345678901);
    assert_int_equal(s.in.packets, 7);
    assert_int_equal(s.in.errors, 8);
    assert_int_equal(s.in.drops, 9);
    assert_false(tap_stats_parse(text, "tapon", &s));
    assert_false(tap_stats_parse("", "tapone", &s));
    assert_false(tap_stats_parse("tapone: 1 2\n", "tapone", &s));
}

static void test_cgroups_found(void **state UNUSED)
{
    static const char v1[] =
        "30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
        "33 30 0:29 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
        "34 30 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
        "35 30 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
        "36 30 0:32 / /no/such/unified rw,relatime - cgroup2 cgroup2 rw\n"
        "37 30 0:33 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids";
    struct cgroups c;
    cgroups_find(v1, "x", &c);
    assert_int_equal(c.n_trees, 3);
    assert_string_equal(c.trees[0].mount, "/sys/fs/cgroup/cpu,cpuacct");
    assert_int_equal(c.trees[0].controllers, CGROUP_CPU);
    assert_int_equal(c.trees[1].controllers, CGROUP_MEMORY);
    assert_int_equal(c.trees[2].controllers, CGROUP_PIDS);
    assert_false(c.trees[2].v2);
    cgroups_find("", "x", &c);
    assert_int_equal(c.n_trees, 0);
}

/* A v2 tree is played by a folder: what has its controllers there is not looked for in v1. */
static void test_cgroup_v2_first(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    assert_ok(&cx, file_write(&cx, dir, "cgroup.controllers", "cpuset cpu io memory\n", 21, 0644));
    struct cgroups c;
    cgroups_find(arena_printf(cx.arena,
                              "31 30 0:27 / /v1/memory rw - cgroup cgroup rw,memory\n"
                              "32 30 0:28 / /v1/pids rw - cgroup cgroup rw,pids\n"
                              "33 30 0:29 / %s rw - cgroup2 cgroup2 rw\n",
                              base_dir),
                 "x", &c);
    assert_int_equal(c.n_trees, 2);
    assert_true(c.trees[0].v2);
    assert_int_equal(c.trees[0].controllers, CGROUP_CPU | CGROUP_MEMORY);
    assert_string_equal(c.trees[1].mount, "/v1/pids");
    unlinkat(dir, "cgroup.controllers", 0);
}

static const char *file_text(struct ctx *cx, const char *path)
{
    struct buf b;
    buf_init(&b, cx->arena);
    AUTO_FD int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(cx, file_read(cx, root, path + 1, 4096, &b));
    return buf_cstr(&b);
}

/* The files that the kernel would make, in a folder that plays the tree. */
static void test_cgroup_v2_limits(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static const char *const files[] = {"memory.max", "cpu.weight", "cpu.max", "cgroup.procs"};
    const struct cgroup_limits lim = {.memory_bytes = 1 << 30, .vcpus = 3, .pids = 300};
    struct cgroups found = {.instance = "x", .n_trees = 1}, c;
    found.trees[0].v2 = true;
    found.trees[0].controllers = CGROUP_MEMORY | CGROUP_CPU | CGROUP_PIDS;
    snprintf(found.trees[0].mount, sizeof(found.trees[0].mount), "%s", base_dir);
    /* Nothing is handed down: unusable, and said so. */
    assert_err(&cx, ERR_UNAVAILABLE, cgroups_use(&cx, &found, &c));
    const char *own = in_dir(&cx, "colvert/x");
    AUTO_FD int own_fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC), leaf = -1;
    /* The kernel takes "+memory" as an order; here it overwrites the dots. */
    assert_ok(&cx,
              file_write(&cx, own_fd, "cgroup.subtree_control", "........ cpu memory\n", 20, 0644));
    assert_ok(&cx, cgroups_use(&cx, &found, &c));
    assert_int_equal(c.trees[0].controllers, CGROUP_MEMORY | CGROUP_CPU); /* pids isn't */
    assert_ok(&cx, dir_make(&cx, own_fd, ID, 0755, 0, 0, &leaf));
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        assert_ok(&cx, file_write(&cx, leaf, files[i], "", 0, 0644));
    int fds[CGROUP_MAX_TREES];
    size_t n;
    assert_ok(&cx, cgroup_make(&cx, &c, ID, &lim, fds, &n));
    assert_int_equal(n, 1);
    close(fds[0]);
    assert_string_equal(file_text(&cx, in_dir(&cx, "colvert/x/" ID "/memory.max")), "1073741824");
    assert_string_equal(file_text(&cx, in_dir(&cx, "colvert/x/" ID "/cpu.max")), "350000 100000");
    assert_string_equal(file_text(&cx, in_dir(&cx, "colvert/x/" ID "/cpu.weight")), "300");
    const char **ids;
    assert_ok(&cx, cgroup_list(&cx, &c, &ids, &n));
    assert_int_equal(n, 1);
    assert_string_equal(ids[0], ID);
    /* A limit that is refused is no guest. */
    unlinkat(leaf, "memory.max", 0);
    assert_err(&cx, ERR_UNAVAILABLE, cgroup_make(&cx, &c, ID, &lim, fds, &n));
    assert_ok(&cx, dir_remove(&cx, dir, "colvert"));
}

static void test_host(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    assert_int_equal(host_parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\n"), 7002022);
    assert_int_equal(host_parse_version("QEMU emulator version 10.0.0\n"), 10000000);
    assert_int_equal(host_parse_version("something else"), -1);
    int fd;
    assert_false(host_has_kvm(base_dir));
    assert_ok(&cx, dir_make(&cx, dir, "kvm_pvm", 0700, 0, 0, &fd));
    close(fd);
    assert_false(host_has_kvm(base_dir));
    assert_ok(&cx, dir_make(&cx, dir, "kvm_amd", 0700, 0, 0, &fd));
    close(fd);
    assert_true(host_has_kvm(base_dir));
    assert_ok(&cx, dir_remove(&cx, dir, "kvm_amd"));
    assert_ok(&cx, dir_remove(&cx, dir, "kvm_pvm"));
    struct host h = {.qemu_version = 7002022};
    struct buf b;
    struct jw w;
    json_t *j, *cpu;
    buf_init(&b, cx.arena);
    jw_init(&w, &b);
    jw_obj(&w);
    assert_ok(&cx, host_inventory(&cx, &h, base_dir, &w));
    jw_obj_end(&w);
    assert_ok(&cx, json_read(&cx, buf_cstr(&b), b.len, &j));
    assert_true(json_get_int(j, "vcpus", 0) >= 1);
    assert_true(json_get_int(j, "memory_mib", 0) >= 64);
    assert_int_equal(json_get_int(j, "hypervisor_version", 0), 7002022);
    const char *text = json_get_str(j, "cpu_info");
    assert_ok(&cx, json_read(&cx, text, strlen(text), &cpu));
    assert_string_equal(json_get_str(cpu, "arch"), "x86_64");
    assert_true(json_array_size(json_get(cpu, "features")) > 5);
    assert_err(&cx, ERR_INVALID, host_probe(&cx, "hvf", "qemu-system-x86_64", &h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_how_guests_end),
        cmocka_unit_test(test_console_stays_bounded),
        cmocka_unit_test(test_launch),
        cmocka_unit_test(test_process_identity),
        cmocka_unit_test(test_cgroups_found),
        cmocka_unit_test(test_cgroup_v2_first),
        cmocka_unit_test(test_cgroup_v2_limits),
        cmocka_unit_test(test_tap_stats),
        cmocka_unit_test(test_host),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
