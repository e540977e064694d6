/* SPDX-License-Identifier: EUPL-1.2 */
/* QEMU's command line against tests/golden/qemu; COLVERT_REGEN=1 writes the files anew, for the
 * reviewer to read. */
#include "base/test.h"
#include "node/drivers/qemu/argv.h"
#include "node/drivers/tools/files.h"

static const struct spec_nic nics[MACHINE_MAX_NICS] = {
    {.port_id = "22222222-aaaa-4aaa-8aaa-000000000001", .mac = "fa:16:3e:00:00:01", .mtu = 1450},
    {.port_id = "22222222-aaaa-4aaa-8aaa-000000000002", .mac = "fa:16:3e:00:00:02"},
};

static const struct machine tcg = {.id = "11111111-aaaa-4aaa-8aaa-000000000001",
                                   .qemu_path = "qemu-system-x86_64",
                                   .vcpus = 1,
                                   .memory_mib = 128,
                                   .io_uring = true,
                                   .root_direct = true,
                                   .base_direct = true,
                                   .image_format = "qcow2",
                                   .nics = nics,
                                   .n_nics = 1};

/* An option and its value on one line; then the devices of the record. */
static const char *text_of(struct ctx *cx, const struct machine *m)
{
    const char **argv;
    json_t *devices, *device;
    size_t i;
    struct buf b;
    buf_init(&b, cx->arena);
    machine_argv(cx, m, &argv, &devices);
    for (const char **a = argv; *a; a++)
        buf_printf(&b, "%s%s", a == argv ? "" : (*a)[0] == '-' ? "\n" : " ", *a);
    buf_str(&b, "\n\ndevices\n");
    json_array_foreach(devices, i, device) buf_printf(&b, "%s\n", json_text(cx, device));
    return buf_cstr(&b);
}

static void check(const char *name, const struct machine *m)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const char *text = text_of(&cx, m);
    AUTO_FD int dir = open(GOLDEN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    if (getenv("COLVERT_REGEN"))
        assert_ok(&cx, file_write(&cx, dir, name, text, strlen(text), 0644));
    struct buf want;
    buf_init(&want, cx.arena);
    assert_ok(&cx, file_read(&cx, dir, name, 1 << 20, &want));
    assert_string_equal(text, buf_cstr(&want));
}

static void test_tcg(void **state UNUSED)
{
    check("tcg.txt", &tcg);
}

static void test_kvm_two_nics_config_drive(void **state UNUSED)
{
    struct machine m = tcg;
    m.kvm = true;
    m.vcpus = 4;
    m.memory_mib = 8192;
    m.n_nics = 2;
    m.config_drive = true;
    check("kvm-two-nics-config-drive.txt", &m);
}

static void test_no_direct_io(void **state UNUSED)
{
    struct machine m = tcg;
    m.io_uring = m.root_direct = m.base_direct = false;
    m.image_format = "raw";
    m.n_nics = 0;
    check("raw-no-direct-io.txt", &m);
}

/* A hostile value stays inside its JSON string. */
static void test_values_cannot_become_options(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_nic bad = {.port_id = "p", .mac = "x\",\"romfile\":\"/etc/shadow"};
    struct machine m = tcg;
    m.nics = &bad;
    const char **argv;
    json_t *devices, *j = NULL;
    machine_argv(&cx, &m, &argv, &devices);
    for (; *argv; argv++)
        if (strstr(*argv, "virtio-net-pci"))
            assert_ok(&cx, json_read(&cx, *argv, strlen(*argv), &j));
    assert_string_equal(json_get_str(j, "mac"), bad.mac);
    assert_string_equal(json_get_str(j, "romfile"), "");
}

static void test_most_nics_fit_and_addresses_differ(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct machine m = tcg;
    m.n_nics = MACHINE_MAX_NICS;
    m.config_drive = true;
    const char **argv;
    json_t *devices, *seen = json_own(&cx, json_object()), *device;
    struct spec_nic many[MACHINE_MAX_NICS];
    for (size_t i = 0; i < MACHINE_MAX_NICS; i++)
        many[i] = nics[0];
    m.nics = many;
    machine_argv(&cx, &m, &argv, &devices);
    size_t i;
    json_array_foreach(devices, i, device)
    {
        const char *place = arena_printf(cx.arena, "%s/%s", json_get_str(device, "bus"),
                                         json_get_str(device, "addr"));
        assert_null(json_get(seen, place));
        json_object_set_new(seen, place, json_true());
    }
    assert_int_equal(i, 4 + 2 * MACHINE_MAX_NICS + MACHINE_SPARE_PORTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcg),
        cmocka_unit_test(test_kvm_two_nics_config_drive),
        cmocka_unit_test(test_no_direct_io),
        cmocka_unit_test(test_values_cannot_become_options),
        cmocka_unit_test(test_most_nics_fit_and_addresses_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
