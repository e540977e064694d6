/* SPDX-License-Identifier: EUPL-1.2 */
/* See e2e.h. */
#include "node/drivers/qemu/e2e.h"
#include "node/drivers/qemu/launch.h"
#include "node/drivers/qemu/testguest.h"
#include "node/drivers/tools/files.h"
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

char data_dir[128], instance[64], image[160];
struct ctx cx;

struct qemu_config config(void)
{
    return (struct qemu_config){.data_dir = data_dir,
                                .instance = instance,
                                .accel = "tcg",
                                .uid_first = UID_FIRST,
                                .uid_count = 8};
}

static struct guest_backend opened; /* a test that failed leaves it so */

struct guest_backend open_driver(void)
{
    struct qemu_config cfg = config();
    close_driver();
    assert_ok(&cx, qemu_driver_new(&cx, &cfg, &opened));
    return opened;
}

void close_driver(void)
{
    if (opened.ops)
        opened.ops->free(opened.drv);
    opened.ops = NULL;
}

struct guest_state state_of(const struct guest_backend *b, const char *id)
{
    struct guest_state s;
    assert_ok(&cx, b->ops->state(&cx, b->drv, id, &s));
    return s;
}

const char *console_of(const struct guest_backend *b, const char *id)
{
    struct buf out;
    buf_init(&out, cx.arena);
    assert_ok(&cx, b->ops->console(&cx, b->drv, id, 0, &out));
    return buf_cstr(&out);
}

static int times_in(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

void await_console(const struct guest_backend *b, const char *id, const char *what, int times)
{
    for (int i = 0; i < E2E_WAIT_S * 20; i++) {
        if (times_in(console_of(b, id), what) >= times)
            return;
        usleep(50000);
    }
    fail_msg("the console never showed '%s' %d times: %s", what, times, console_of(b, id));
}

void await_power(const struct guest_backend *b, const char *id, enum guest_power want)
{
    for (int i = 0; i < E2E_WAIT_S * 20; i++) {
        if (state_of(b, id).power == want)
            return;
        usleep(50000);
    }
    fail_msg("power is %d instead of %d", state_of(b, id).power, want);
}

/* Until QEMU has taken all of it: what it hasn't when we hang up is lost. */
void type(const struct guest_backend *b, const char *id, const char *text)
{
    AUTO_FD int fd = -1;
    int left = 1;
    char seen[256];
    assert_ok(&cx, b->ops->connect(&cx, b->drv, id, CONSOLE_SERIAL, &fd));
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    for (int i = 0; i < E2E_WAIT_S * 50 && left > 0; i++) {
        usleep(20000);
        ssize_t ignored UNUSED = recv(fd, seen, sizeof(seen), MSG_DONTWAIT);
        assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
    }
    assert_int_equal(left, 0);
}

void write_image(const char *path, char mark)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    assert_int_equal(pwrite(fd, test_guest, TEST_GUEST_BYTES, 0), TEST_GUEST_BYTES);
    assert_int_equal(pwrite(fd, &mark, 1, 512), 1);
}

struct spec_server spec_of(const char *id, int64_t boot_seq)
{
    return (struct spec_server){.id = id,
                                .name = "one",
                                .hostname = "one",
                                .power_on = true,
                                .boot_seq = boot_seq,
                                .build_seq = 1,
                                .vcpus = 1,
                                .memory_mib = 32,
                                .root_gib = 1,
                                .image = {.id = "img",
                                          .disk_format = "raw",
                                          .size_bytes = 1 << 20,
                                          .virtual_size_bytes = 1 << 20}};
}

/* Where its last holder is just ending, or QEMU is just about to give it up: once it has. */
int open_tap(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int failed;
    must(strlen(name) < sizeof(r.ifr_name));
    memcpy(r.ifr_name, name, strlen(name));
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    AUTO_FD int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && control >= 0);
    for (int i = 0; (failed = ioctl(fd, TUNSETIFF, &r)) && errno == EBUSY && i < E2E_WAIT_S * 20;
         i++)
        usleep(50000);
    assert_int_equal(failed, 0);
    r.ifr_flags = IFF_UP;
    assert_int_equal(ioctl(control, SIOCSIFFLAGS, &r), 0);
    return fd;
}

void await_gone(pid_t pid)
{
    int64_t start;
    for (int i = 0; i < E2E_WAIT_S * 20; i++) {
        if (!process_start_time(pid, &start))
            return;
        usleep(50000);
    }
    fail_msg("process %d does not end", pid);
}

pid_t spawn_self(const char *const *words, int *ret_ready)
{
    int ready[2];
    pid_t pid;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], 3);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL,
                                 (char *const *)(uintptr_t)words, environ),
                     0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    *ret_ready = ready[0];
    return pid;
}

void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Processes of a guest, found by its control group, not by what the driver says. */
size_t pids_of(const char *id, pid_t *ret, size_t max)
{
    static const char *const trees[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup",
                                        "/sys/fs/cgroup/unified"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(trees) && n == 0; i++) {
        const char *path =
            arena_printf(cx.arena, "%s/colvert/%s/%s/cgroup.procs", trees[i], instance, id);
        FILE *f = fopen(path, "re");
        for (int pid; f && fscanf(f, "%d", &pid) == 1;)
            if (n < max)
                ret[n++] = pid;
        if (f)
            fclose(f);
    }
    return n;
}

pid_t only_pid(const char *id)
{
    pid_t pids[4];
    assert_int_equal(pids_of(id, pids, 4), 1);
    return pids[0];
}

void assert_nothing_left(const char *id)
{
    pid_t pid;
    assert_int_equal(pids_of(id, &pid, 1), 0);
    static const char *const trees[] = {"memory", "cpu", "pids", "unified", "."};
    for (size_t i = 0; i < ARRAY_LEN(trees); i++)
        assert_int_not_equal(access(arena_printf(cx.arena, "/sys/fs/cgroup/%s/colvert/%s/%s",
                                                 trees[i], instance, id),
                                    F_OK),
                             0);
    assert_int_not_equal(access(arena_printf(cx.arena, "%s/servers/%s", data_dir, id), F_OK), 0);
}

int scene_begin(void **state UNUSED)
{
    must(unshare(CLONE_NEWNET) == 0); /* taps are no business of the machine's */
    snprintf(data_dir, sizeof(data_dir), "/tmp/colvert-qemu-XXXXXX");
    must(mkdtemp(data_dir));
    must(chmod(data_dir, 0755) == 0);
    snprintf(instance, sizeof(instance), "test-%d", getpid());
    snprintf(image, sizeof(image), "%s/image", data_dir);
    return 0;
}

int scene_end(void **state UNUSED)
{
    AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct qemu_config cfg = config();
    struct guest_backend b;
    close_driver();
    bool left = qemu_driver_new(&cx, &cfg, &b) != NULL;
    if (!left) {
        left = b.ops->destroy(&cx, b.drv, ID_A) || b.ops->destroy(&cx, b.drv, ID_B);
        b.ops->free(b.drv);
    }
    return dir_remove(&cx, tmp, data_dir + strlen("/tmp/")) || left ? -1 : 0;
}
