/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A real Linux guest (images/build-tiny) under the driver: boots from an overlay, reads its config
 * drive, obeys the power button, keeps its disk. usage: qemu_tiny_test BUILD-TINY IMAGE; the image
 * is made first where it is missing or old.
 */
#include "node/drivers/qemu/e2e.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

#define BUILD_TIMEOUT_MS 400000

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

static void test_linux(void **state UNUSED)
{
    struct stat st;
    assert_int_equal(stat(tiny, &st), 0);
    struct guest_backend b = open_driver();
    struct spec_server spec = {.id = ID_A,
                               .name = "tiny",
                               .hostname = "tiny-one",
                               .power_on = true,
                               .boot_seq = 1,
                               .build_seq = 1,
                               .vcpus = 1,
                               .memory_mib = 128,
                               .root_gib = 1,
                               .image = {.id = "tiny",
                                         .disk_format = "qcow2",
                                         .size_bytes = st.st_size,
                                         .virtual_size_bytes = 1 << 20},
                               .config_drive = true,
                               .user_data = user_data,
                               .user_data_size = sizeof(user_data) - 1};
    spec.meta_data =
        json_own(&cx, json_pack("{s:s, s:s, s:{s:s}}", "uuid", ID_A, "hostname", "tiny-one",
                                "public_keys", "k", "ssh-ed25519 AAAA test"));
    struct spec_nic nic = {.port_id = "22222222-aaaa-4aaa-8aaa-000000000001",
                           .mac = "fa:16:3e:00:00:01",
                           .tap = "taptiny",
                           .mtu = 1450};
    spec.nics = &nic;
    spec.n_nics = 1;
    AUTO_FD int tap = open_tap(nic.tap);
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, tiny));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, &tap, NULL));
    await_console(&b, ID_A, "tiny: ready", 1);
    assert_non_null(strstr(console_of(&b, ID_A), "instance " ID_A " hostname tiny-one keys 1"));
    await_console(&b, ID_A, "user-data ran: tiny-one", 1);
    /* Its frames arrive here, though QEMU itself sees no network. */
    assert_true(frames_from(nic.tap) > 0);
    assert_ok(&cx, b.ops->reset(&cx, b.drv, ID_A, 1));
    await_console(&b, ID_A, "tiny: ready", 2);
    assert_ok(&cx, b.ops->shutdown(&cx, b.drv, ID_A));
    await_power(&b, ID_A, GUEST_OFF);
    assert_true(state_of(&b, ID_A).guest_shutdown);
    assert_ok(&cx, b.ops->destroy(&cx, b.drv, ID_A));
    assert_nothing_left(ID_A);
    close_driver();
}

int main(int argc, char **argv)
{
    ctx_init(&cx);
    must(argc == 3);
    builder = argv[1];
    tiny = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linux)};
    int failed = cmocka_run_group_tests(tests, begin, scene_end);
    ctx_release(&cx);
    return failed;
}
