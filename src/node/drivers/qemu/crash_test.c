/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver killed after each single step of what it does to a running guest: after the first
 * command to QEMU or change of a record, after the second, and so on, until the call comes to its
 * end. Each time the next driver has to see what is, do the same call again, and leave nothing
 * behind. The driver that gets killed is this program run again.
 */
#include "node/drivers/qemu/e2e_volumes.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define MAX_STEPS 60

static struct spec_nic nic = {.port_id = "22222222-aaaa-4aaa-8aaa-000000000001",
                              .mac = "fa:16:3e:00:00:01",
                              .tap = "tapcrash",
                              .mtu = 1450};

/* ---- death after the n-th step ---- */

static int steps_left = -1; /* -1: lives on */

static void step_done(void)
{
    if (steps_left < 0 || steps_left-- > 0)
        return;
    usleep(20000); /* QEMU has done what it was told */
    kill(getpid(), SIGKILL);
}

/* In place of the C library's: every command to QEMU, every record. */
ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    ssize_t n = syscall(SYS_sendmsg, fd, m, flags);
    step_done();
    return n;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int failed = (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
    step_done();
    return failed;
}

/* ---- what is done ---- */

static const char *copy_path(void)
{
    return in_data("copy.qcow2");
}

static struct spec_server spec(void)
{
    return spec_of(ID_A, 1);
}

static struct err *do_plug_volume(const struct guest_backend *b)
{
    return plug_volume(b, ID_A, VOLUME_1);
}
static struct err *do_unplug_volume(const struct guest_backend *b)
{
    return b->ops->unplug_volume(&cx, b->drv, ID_A, VOLUME_1);
}
static struct err *do_plug_nic(const struct guest_backend *b)
{
    struct guest_state s = state_of(b, ID_A);
    AUTO_FD int tap = s.n_ports ? -1 : open_tap(nic.tap); /* QEMU may have it already */
    return b->ops->plug_nic(&cx, b->drv, ID_A, &nic, tap);
}
static struct err *do_unplug_nic(const struct guest_backend *b)
{
    return b->ops->unplug_nic(&cx, b->drv, ID_A, nic.port_id);
}
static struct err *do_suspend(const struct guest_backend *b)
{
    return b->ops->suspend(&cx, b->drv, ID_A);
}
/* As the agent does: on, then as it is to be. */
static struct err *do_resume(const struct guest_backend *b)
{
    struct spec_server s = spec();
    const struct spec_use use = {VOLUME_1, -1, false};
    struct volume_access a;
    TRY(vol.ops->access(&cx, vol.drv, VOLUME_1, &a));
    s.volumes = (struct spec_use *)(uintptr_t)&use;
    s.n_volumes = 1;
    TRY(b->ops->start(&cx, b->drv, &s, NULL, &a));
    return state_of(b, ID_A).paused ? b->ops->pause(&cx, b->drv, ID_A, false) : NULL;
}
static struct err *do_snapshot(const struct guest_backend *b)
{
    return b->ops->volume_snapshot(&cx, b->drv, ID_A, VOLUME_1, SNAPSHOT, true);
}
static struct err *do_drop_snapshot(const struct guest_backend *b)
{
    return b->ops->volume_snapshot(&cx, b->drv, ID_A, VOLUME_1, SNAPSHOT, false);
}
static struct err *do_copy(const struct guest_backend *b)
{
    return b->ops->copy_root(&cx, b->drv, ID_A, copy_path(), NULL);
}
static struct err *do_checkpoint(const struct guest_backend *b)
{
    return b->ops->checkpoint(&cx, b->drv, ID_A, 1);
}
static struct err *do_drop_checkpoint(const struct guest_backend *b)
{
    return b->ops->checkpoint(&cx, b->drv, ID_A, 0);
}

/* ---- what has to be true then ---- */

static void check_volume_in(const struct guest_backend *b)
{
    struct guest_state s = state_of(b, ID_A);
    assert_int_equal(s.n_volumes, 1);
    assert_string_equal(s.volumes[0], VOLUME_1);
    assert_ok(&cx, b->ops->volume_grow(&cx, b->drv, ID_A, VOLUME_1, 1));
}
static void check_volume_out(const struct guest_backend *b)
{
    assert_int_equal(state_of(b, ID_A).n_volumes, 0);
    /* QEMU has let the file go. */
    assert_ok(&cx, vol.ops->snapshot(&cx, vol.drv, VOLUME_1, SNAPSHOT, true));
    assert_ok(&cx, vol.ops->snapshot(&cx, vol.drv, VOLUME_1, SNAPSHOT, false));
}
static void check_nic_in(const struct guest_backend *b)
{
    struct guest_state s = state_of(b, ID_A);
    assert_int_equal(s.n_ports, 1);
    assert_string_equal(s.ports[0], nic.port_id);
}
static void check_nic_out(const struct guest_backend *b)
{
    assert_int_equal(state_of(b, ID_A).n_ports, 0);
    close(open_tap(nic.tap)); /* nobody has it */
}
static void check_suspended(const struct guest_backend *b)
{
    struct guest_state s = state_of(b, ID_A);
    pid_t pid;
    assert_int_equal(s.power, GUEST_OFF);
    assert_true(s.suspended);
    assert_int_equal(s.n_volumes, 1);
    assert_int_equal(pids_of(ID_A, &pid, 1), 0);
}
static void check_resumed(const struct guest_backend *b)
{
    static long before;
    struct guest_state s = state_of(b, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_false(s.suspended);
    assert_false(s.paused);
    assert_int_equal(s.boot_seq, 1);
    only_pid(ID_A);
    long now = count_of(b, ID_A);
    assert_true(now > before); /* goes on: a guest that boots begins at nothing */
    before = now;
    check_volume_in(b);
}
static void check_snapshots(size_t want)
{
    struct volume_seen s;
    assert_ok(&cx, vol.ops->state(&cx, vol.drv, VOLUME_1, &s));
    assert_int_equal(s.n_snapshots, want);
}
static void check_snapshot(const struct guest_backend *b UNUSED)
{
    check_snapshots(1);
}
static void check_no_snapshot(const struct guest_backend *b UNUSED)
{
    check_snapshots(0);
}
static void check_copy(const struct guest_backend *b UNUSED)
{
    struct qcow2 q;
    AUTO_FD int fd = open(copy_path(), O_RDONLY | O_CLOEXEC);
    assert_ok(&cx, qcow2_read(&cx, fd, &q));
    assert_int_equal(q.size_bytes, GIB);
    assert_int_equal(unlink(copy_path()), 0);
    assert_int_not_equal(access(in_data(".copy.qcow2.tmp"), F_OK), 0);
}
static void check_checkpoint(const struct guest_backend *b)
{
    assert_int_equal(state_of(b, ID_A).checkpoint, 1);
}
static void check_no_checkpoint(const struct guest_backend *b)
{
    assert_int_equal(state_of(b, ID_A).checkpoint, 0);
}

struct deed {
    const char *name;
    struct err *(*act)(const struct guest_backend *b);
    void (*check)(const struct guest_backend *b);
    const char *undo; /* what brings back where it starts from; NULL: nothing has to */
};
static const struct deed deeds[] = {
    {"plug_volume", do_plug_volume, check_volume_in, "unplug_volume"},
    {"unplug_volume", do_unplug_volume, check_volume_out, "plug_volume"},
    {"plug_nic", do_plug_nic, check_nic_in, "unplug_nic"},
    {"unplug_nic", do_unplug_nic, check_nic_out, "plug_nic"},
    {"suspend", do_suspend, check_suspended, "resume"},
    {"resume", do_resume, check_resumed, "suspend"},
    {"snapshot", do_snapshot, check_snapshot, "drop_snapshot"},
    {"drop_snapshot", do_drop_snapshot, check_no_snapshot, "snapshot"},
    {"copy", do_copy, check_copy, NULL},
    {"checkpoint", do_checkpoint, check_checkpoint, "drop_checkpoint"},
    {"drop_checkpoint", do_drop_checkpoint, check_no_checkpoint, "checkpoint"},
};

static const struct deed *deed_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
        if (str_eq(deeds[i].name, name))
            return &deeds[i];
    fail_msg("no deed %s", name);
    return NULL;
}

/* ---- the driver in a process of its own ---- */

static int victim(char **words)
{
    snprintf(data_dir, sizeof(data_dir), "%s", words[0]);
    snprintf(instance, sizeof(instance), "%s", words[1]);
    signal(SIGPIPE, SIG_IGN);
    struct guest_backend b = open_all();
    state_of(&b, ID_A); /* looks for itself first */
    int64_t steps = 0;
    must(str_to_i64(words[3], 0, MAX_STEPS, &steps));
    steps_left = (int)steps;
    struct err *e = deed_of(words[2])->act(&b);
    steps_left = -1;
    if (e)
        dprintf(2, "victim: %s\n", err_chain(&cx, e));
    ssize_t told UNUSED = write(3, e ? "e" : "y", 1);
    return 0;
}

/* False: it came to its end without dying. */
static bool dies_at(const struct deed *d, int step)
{
    char said = 0;
    AUTO_FD int ready = -1;
    const char *words[] = {
        "victim", data_dir, instance, d->name, arena_printf(cx.arena, "%d", step), NULL};
    pid_t pid = spawn_self(words, &ready);
    bool ended = read(ready, &said, 1) == 1;
    kill_child(pid);
    assert_int_not_equal(said, 'e');
    return !ended;
}

/* Dies after each step of the deed; the next driver does it again. */
static void die_everywhere(const char *name)
{
    const struct deed *d = deed_of(name);
    for (int step = 0; step < MAX_STEPS; step++) {
        close_driver();
        vol.ops->free(vol.drv);
        vol.ops = NULL;
        bool died = dies_at(d, step);
        struct guest_backend b = open_all();
        state_of(&b, ID_A);
        assert_ok(&cx, d->act(&b));
        d->check(&b);
        if (!died) {
            assert_true(step > 0);
            print_message("%s: %d steps\n", name, step);
            return;
        }
        if (d->undo) {
            assert_ok(&cx, deed_of(d->undo)->act(&b));
            deed_of(d->undo)->check(&b);
        }
    }
    fail_msg("%s does not come to its end", name);
}

static int begin(void **state)
{
    int failed = scene_begin(state);
    write_image(image, 'i');
    return failed;
}

static void begin_guest(bool start)
{
    struct guest_backend b = open_all();
    struct spec_server s = spec();
    make_volume(VOLUME_1);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &s, image));
    if (!start)
        return;
    assert_ok(&cx, start_with(&b, &s));
    await_console(&b, ID_A, "guest: up", 1);
}

static void end_guest(void)
{
    struct guest_backend b = open_all();
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_all();
}

static void test_devices(void **state UNUSED)
{
    begin_guest(true);
    die_everywhere("plug_nic");
    die_everywhere("unplug_nic");
    die_everywhere("plug_volume");
    die_everywhere("snapshot");
    die_everywhere("drop_snapshot");
    die_everywhere("unplug_volume");
    die_everywhere("copy");
    end_guest();
}

static void test_memory(void **state UNUSED)
{
    begin_guest(true);
    struct guest_backend b = open_all();
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    die_everywhere("suspend");
    die_everywhere("resume");
    b = open_all();
    assert_null(strstr(strstr(console_of(&b, ID_A), "guest: up") + 1, "guest: up"));
    end_guest();
}

static void test_ways_back(void **state UNUSED)
{
    begin_guest(false);
    die_everywhere("checkpoint");
    die_everywhere("drop_checkpoint");
    end_guest();
}

int main(int argc, char **argv)
{
    ctx_init(&cx);
    if (argc == 5)
        return victim(argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_ways_back),
    };
    int failed = cmocka_run_group_tests(tests, begin, volumes_scene_end);
    ctx_release(&cx);
    return failed;
}
