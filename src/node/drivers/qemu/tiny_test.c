/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A real Linux guest (images/build-tiny) under the driver: boots from an overlay, reads its config
 * drive, obeys the power button, keeps its disk; and sees what is done to its hardware, its disks
 * and its memory. usage: qemu_tiny_test BUILD-TINY IMAGE; the image is made first where it is
 * missing or old.
 */
#include "node/drivers/qemu/e2e_volumes.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

#define QUIET_ROUNDS 100
#define BUILD_TIMEOUT_MS 1500000

static const char user_data[] = "#!/bin/sh\n"
                                "echo \"user-data ran: $(hostname)\"\n"
                                "echo kept > /root/kept; sync\n";
static const char *builder, *tiny;

/* Frames the guest sent. */
static long frames_from(const char *tap)
{
    AUTO_FREE char *text = calloc(1, 65536);
    AUTO_FD int fd = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, 65535) > 0);
    const char *line = strstr(text, tap);
    long bytes, frames;
    assert_non_null(line);
    assert_int_equal(sscanf(line + strlen(tap), ": %ld %ld", &bytes, &frames), 2);
    return frames;
}

/* The image first: it may need packages from outside, and the scene has no network. */
static int begin(void **state)
{
    AUTO_CTX struct ctx outside;
    ctx_init(&outside);
    const char *argv[] = {builder, tiny, NULL};
    struct err *e = tool_run(&outside, argv, BUILD_TIMEOUT_MS, NULL);
    if (e)
        print_error("%s\n", err_chain(&outside, e));
    return e || scene_begin(state);
}

static struct spec_nic nics[] = {{.port_id = "22222222-aaaa-4aaa-8aaa-000000000001",
                                  .mac = "fa:16:3e:00:00:01",
                                  .tap = "taptiny",
                                  .mtu = 1450},
                                 {.port_id = "22222222-aaaa-4aaa-8aaa-000000000002",
                                  .mac = "fa:16:3e:00:00:02",
                                  .tap = "taptiny2"}};

static struct spec_server tiny_of(const char *id, const char *hostname)
{
    struct stat st;
    assert_int_equal(stat(tiny, &st), 0);
    struct spec_server spec = spec_of(id, 1);
    spec.hostname = hostname;
    spec.memory_mib = 128;
    spec.image.disk_format = "qcow2";
    spec.image.size_bytes = st.st_size;
    spec.config_drive = true;
    spec.user_data = user_data;
    spec.user_data_size = sizeof(user_data) - 1;
    spec.meta_data = json_own(&cx, json_pack("{s:s, s:s, s:s, s:{s:s}}", "uuid", id, "hostname",
                                             hostname, "admin_pass", "secret", "public_keys", "k",
                                             "ssh-ed25519 AAAA test"));
    return spec;
}

/* ---- a shell on the guest's serial line ---- */

static size_t console_length(const struct guest_backend *b, const char *id)
{
    return strlen(console_of(b, id));
}

static void await_after(const struct guest_backend *b, const char *id, size_t from,
                        const char *what)
{
    for (int i = 0; i < E2E_WAIT_S * 20; i++) {
        const char *text = console_of(b, id);
        if (strlen(text) > from && strstr(text + from, what))
            return;
        usleep(50000);
    }
    fail_msg("the console never showed '%s': %s", what, console_of(b, id) + from);
}

/* Of the shell, which may ask the terminal for the cursor's place after it. */
static bool at_prompt(const char *text)
{
    const char *last = strrchr(text, '\n');
    return last && strstr(last, ":~# ");
}

/* What a prompt is answered with; an empty line where something else came after it. */
static const char *answer_to(const char *text)
{
    if (str_ends(text, " login: "))
        return "root\n";
    if (str_ends(text, "Password: "))
        return "secret\n";
    return strstr(text, " login: ") ? "\n" : NULL;
}

/*
 * A prompt may be followed by a message, and what is typed before login has set the line up is
 * lost: answers what stands last, and again where nothing has come of it for a while.
 */
static void log_in(const struct guest_backend *b, const char *id)
{
    const char *text = "", *answer;
    size_t len, seen = 0, answered = 0;
    int quiet = 0;
    for (int i = 0; i < E2E_WAIT_S * 20 && !at_prompt(text); i++) {
        usleep(50000);
        text = console_of(b, id);
        answer = answer_to(text);
        len = strlen(text);
        quiet = len == seen ? quiet + 1 : 0;
        seen = len;
        if (!answer || (quiet < QUIET_ROUNDS && (len == answered || str_eq(answer, "\n"))))
            continue;
        type(b, id, answer);
        answered = len;
        quiet = 0;
    }
    if (!at_prompt(text))
        fail_msg("cannot log in: %s", text);
    /* From here on the console has only what commands print. */
    type(b, id,
         "stty -echo; PS1=; dmesg -n 1; until [ -e /run/cloud/finished ]; do sleep 0.1; "
         "done; echo quiet''ly\n");
    await_console(b, id, "quietly", 1);
}

/* What a command prints. */
static const char *sh(const struct guest_backend *b, const char *id, const char *command)
{
    static int n;
    const char *begins = arena_printf(cx.arena, "<%d<", ++n);
    const char *ends = arena_printf(cx.arena, ">%d>", n);
    size_t from = console_length(b, id);
    type(b, id, arena_printf(cx.arena, "echo '%s'; %s; echo '%s'\n", begins, command, ends));
    await_after(b, id, from, ends);
    const char *text = strstr(console_of(b, id) + from, begins);
    assert_non_null(text);
    text += strlen(begins);
    const char *end = strstr(text, ends);
    assert_non_null(end);
    text += strspn(text, "\r\n");
    while (end > text && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    return arena_strndup(cx.arena, text, (size_t)(end - text));
}

/* Until the command prints this: the guest notices in its own time. */
static void await_sh(const struct guest_backend *b, const char *id, const char *command,
                     const char *want)
{
    const char *got = "";
    for (int i = 0; i < E2E_WAIT_S; i++) {
        got = sh(b, id, command);
        if (str_eq(got, want))
            return;
        usleep(200000);
    }
    assert_string_equal(got, want);
}

static void boot(const struct guest_backend *b, const struct spec_server *spec)
{
    unlink(arena_printf(cx.arena, "%s/servers/%s/console.log", data_dir, spec->id));
    assert_ok(&cx, start_with(b, spec));
    log_in(b, spec->id);
}

/* ---- what it sees ---- */

static void look_around(const struct guest_backend *b)
{
    assert_non_null(strstr(console_of(b, ID_A), "instance " ID_A " hostname tiny-one keys 1"));
    await_console(b, ID_A, "user-data ran: tiny-one", 1);
    /* Its frames arrive here, though QEMU itself sees no network. */
    for (int i = 0; i < E2E_WAIT_S * 10 && frames_from(nics[0].tap) == 0; i++)
        usleep(100000);
    assert_true(frames_from(nics[0].tap) > 0);
}

static void look_at_volumes(const struct guest_backend *b)
{
    assert_string_equal(sh(b, ID_A, "cat /sys/block/vdc/serial"), "33333333-aaaa-4aaa-8");
    sh(b, ID_A, "echo one >/dev/vdc; sync");
    assert_ok(&cx, plug_volume(b, ID_A, VOLUME_2));
    await_sh(b, ID_A, "cat /sys/block/vdd/serial", "33333333-aaaa-4aaa-8");
    sh(b, ID_A, "echo two >/dev/vdd; sync");
    assert_ok(&cx, b->ops->volume_snapshot(&cx, b->drv, ID_A, VOLUME_2, SNAPSHOT, true));
    assert_ok(&cx, b->ops->volume_grow(&cx, b->drv, ID_A, VOLUME_2, 2));
    await_sh(b, ID_A, "cat /sys/block/vdd/size", "4194304");
    unplug_volume(b, ID_A, VOLUME_2);
    await_sh(b, ID_A, "ls /sys/block", "vda  vdb  vdc");
}

static void look_at_nics(const struct guest_backend *b)
{
    AUTO_FD int tap = open_tap(nics[1].tap);
    assert_ok(&cx, b->ops->plug_nic(&cx, b->drv, ID_A, &nics[1], tap));
    await_sh(b, ID_A, "cat /sys/class/net/eth1/address", nics[1].mac);
    unplug_nic(b, ID_A, nics[1].port_id);
    await_sh(b, ID_A, "ls /sys/class/net", "eth0  lo");
}

static void look_at_memory(const struct guest_backend *b, const struct spec_server *spec)
{
    sh(b, ID_A,
       "n=0; while sleep 0.1; do n=$((n+1)); echo $n >/run/m; mv /run/m /run/n; done & "
       "until [ -e /run/n ]; do sleep 0.1; done");
    long before = strtol(sh(b, ID_A, "cat /run/n"), NULL, 10);
    assert_true(before > 0);
    assert_ok(&cx, b->ops->suspend(&cx, b->drv, ID_A));
    assert_ok(&cx, start_with(b, spec));
    const char *on = arena_printf(
        cx.arena, "until [ $(cat /run/n) -gt %ld ]; do sleep 0.1; done; echo on", before);
    assert_string_equal(sh(b, ID_A, on), "on");
    assert_string_equal(sh(b, ID_A, "head -c 3 /dev/vdc"), "one");
    assert_ok(&cx, b->ops->pause(&cx, b->drv, ID_A, true));
    assert_ok(&cx, b->ops->pause(&cx, b->drv, ID_A, false));
    assert_string_equal(sh(b, ID_A, "hostname"), "tiny-one");
}

/* Another guest, from a copy made while the first ran, with the volume that it wrote to. */
static void boot_copy(const struct guest_backend *b, const char *copy)
{
    struct spec_use use = {VOLUME_2, -1, false};
    struct spec_server spec = tiny_of(ID_B, "tiny-two");
    spec.image.size_bytes = 0;
    spec.image.virtual_size_bytes = GIB;
    spec.volumes = &use;
    spec.n_volumes = 1;
    assert_ok(&cx, b->ops->prepare(&cx, b->drv, &spec, copy));
    boot(b, &spec);
    assert_string_equal(sh(b, ID_B, "hostname; cat /root/mark; head -c 3 /dev/vdc"),
                        "tiny-two\r\nfirst\r\ntwo");
    assert_ok(&cx, b->ops->destroy(&cx, b->drv, ID_B));
}

static void test_linux(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_use use = {VOLUME_1, -1, false};
    struct spec_server spec = tiny_of(ID_A, "tiny-one");
    const char *copy = in_data("copy.qcow2");
    make_volume(VOLUME_1);
    make_volume(VOLUME_2);
    spec.nics = nics;
    spec.n_nics = 1;
    spec.volumes = &use;
    spec.n_volumes = 1;
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, tiny));
    boot(&b, &spec);
    look_around(&b);
    look_at_volumes(&b);
    look_at_nics(&b);
    look_at_memory(&b, &spec);
    sh(&b, ID_A, "echo first >/root/mark; sync");
    assert_ok(&cx, b.ops->copy_root(&cx, b.drv, ID_A, copy, NULL));
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, ID_A));
    await_power(&b, ID_A, GUEST_OFF);
    assert_true(state_of(&b, ID_A).guest_shutdown);
    boot_copy(&b, copy);
    /* Rescued: its own disk is the second one. What is done to it then is undone. */
    assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, ID_A, 1));
    spec.boot_seq = 2;
    spec.rescue = (struct spec_rescue){.seq = 1, .image = spec.image};
    assert_ok(&cx, b.ops->prepare_rescue(&cx, b.drv, &spec, tiny));
    boot(&b, &spec);
    sh(&b, ID_A, "mount -t ext4 /dev/vdb2 /mnt");
    assert_string_equal(sh(&b, ID_A, "cat /mnt/root/mark; ls /root"), "first\r\nkept");
    assert_string_equal(sh(&b, ID_A, "head -c 3 /dev/vdd"), "one");
    sh(&b, ID_A, "echo second >/mnt/root/mark; umount /mnt; sync");
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->restore(&cx, b.drv, ID_A, 1));
    spec.boot_seq = 3;
    spec.rescue = (struct spec_rescue){0};
    spec.root_gib = 2;
    boot(&b, &spec);
    assert_string_equal(sh(&b, ID_A, "cat /root/mark; cat /sys/block/vda/size"),
                        "first\r\n4194304");
    assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, ID_A, 0));
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_all();
}

int main(int argc, char **argv)
{
    ctx_init(&cx);
    must(argc == 3);
    builder = argv[1];
    tiny = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linux)};
    int failed = cmocka_run_group_tests(tests, begin, volumes_scene_end);
    ctx_release(&cx);
    return failed;
}
