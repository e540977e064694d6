/* SPDX-License-Identifier: EUPL-1.2 */
/* Layouts, and QEMU's command line against tests/golden/qemu; COLVERT_REGEN=1 writes the files
 * anew, for the reviewer to read. */
#include "base/test.h"
#include "node/drivers/qemu/argv.h"
#include "node/drivers/tools/files.h"

static struct spec_nic nics[MACHINE_MAX_NICS] = {
    {.port_id = "22222222-aaaa-4aaa-8aaa-000000000001",
     .mac = "fa:16:3e:00:00:01",
     .tap = "tap22222222-aa",
     .mtu = 1450},
    {.port_id = "22222222-aaaa-4aaa-8aaa-000000000002", .mac = "fa:16:3e:00:00:02"},
};
static struct spec_use volumes[MACHINE_MAX_VOLUMES] = {
    {.volume_id = "33333333-aaaa-4aaa-8aaa-000000000001", .boot_index = -1, .read_only = true},
    {.volume_id = "33333333-aaaa-4aaa-8aaa-000000000002", .boot_index = 1},
    {.volume_id = "33333333-aaaa-4aaa-8aaa-000000000003", .boot_index = 0},
};
static const char *formats[MACHINE_MAX_VOLUMES];

static struct spec_server spec(size_t n_nics, size_t n_volumes)
{
    return (struct spec_server){.vcpus = 1,
                                .memory_mib = 128,
                                .nics = nics,
                                .n_nics = n_nics,
                                .volumes = volumes,
                                .n_volumes = n_volumes};
}

static const struct machine tcg = {.id = "11111111-aaaa-4aaa-8aaa-000000000001",
                                   .qemu_path = "qemu-system-x86_64",
                                   .root = {true, true, "qcow2"},
                                   .rescue = {true, true, "raw"}};

/* An option and its value on one line; then the record. */
static const char *text_of(struct ctx *cx, const struct machine *m)
{
    const char **argv;
    struct buf b;
    struct jw w;
    buf_init(&b, cx->arena);
    machine_argv(cx, m, &argv);
    for (const char **a = argv; *a; a++)
        buf_printf(&b, "%s%s", a == argv ? "" : (*a)[0] == '-' ? "\n" : " ", *a);
    buf_str(&b, "\n\n");
    jw_init(&w, &b);
    layout_write(cx, &w, m->layout);
    buf_char(&b, '\n');
    return buf_cstr(&b);
}

static void check(const char *name, struct machine m, struct spec_server s, bool root,
                  bool config_drive)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct layout l;
    assert_ok(&cx, layout_make(&cx, &s, root, config_drive, formats, &l));
    m.layout = &l;
    for (size_t i = 0; i < l.n_ports; i++)
        m.slot_direct[i] = m.root.direct;
    const char *text = text_of(&cx, &m);
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
    check("tcg.txt", tcg, spec(1, 0), true, false);
}

static void test_kvm_two_nics_config_drive(void **state UNUSED)
{
    struct machine m = tcg;
    struct spec_server s = spec(2, 0);
    m.kvm = true;
    s.vcpus = 4;
    s.memory_mib = 8192;
    check("kvm-two-nics-config-drive.txt", m, s, true, true);
}

static void test_no_direct_io(void **state UNUSED)
{
    struct machine m = tcg;
    m.root.direct = m.root.base_direct = false;
    m.root.base_format = "raw";
    check("raw-no-direct-io.txt", m, spec(0, 1), true, false);
}

static void test_boot_from_volume(void **state UNUSED)
{
    check("boot-from-volume.txt", tcg, spec(1, 3), false, true);
}

static void test_rescue(void **state UNUSED)
{
    struct spec_server s = spec(1, 2);
    s.rescue.seq = 1;
    check("rescue.txt", tcg, s, true, true);
}

static void test_resumed(void **state UNUSED)
{
    struct machine m = tcg;
    m.incoming = true;
    check("resumed.txt", m, spec(1, 1), true, false);
}

/* A hostile value stays inside its JSON string. */
static void test_values_cannot_become_options(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct slot s = {.kind = SLOT_NIC, .mac = "\",\"a\":\"", .id = "p"};
    json_t *j;
    const char *text = device_of(&cx, 0, &s);
    assert_ok(&cx, json_read(&cx, text, strlen(text), &j));
    assert_string_equal(json_get_str(j, "mac"), s.mac);
    assert_string_equal(json_get_str(j, "romfile"), "");
}

/* Every place on a bus is one device's. */
static void check_places(struct ctx *cx, const char **argv, size_t want)
{
    json_t *seen = json_own(cx, json_object()), *device;
    size_t n = 0;
    for (; *argv; argv++) {
        if (!strstr(*argv, "\"bus\""))
            continue;
        assert_ok(cx, json_read(cx, *argv, strlen(*argv), &device));
        const char *place = arena_printf(cx->arena, "%s/%s", json_get_str(device, "bus"),
                                         json_get_str(device, "addr"));
        assert_null(json_get(seen, place));
        json_object_set_new(seen, place, json_true());
        n++;
    }
    assert_int_equal(n, want);
}

static void test_most_devices_fit(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_nic many_nics[MACHINE_MAX_NICS + 1];
    struct spec_use many_volumes[MACHINE_MAX_VOLUMES + 1];
    const char *many_formats[MACHINE_MAX_VOLUMES + 1];
    for (size_t i = 0; i <= MACHINE_MAX_NICS; i++)
        many_nics[i] = nics[0];
    for (size_t i = 0; i <= MACHINE_MAX_VOLUMES; i++) {
        many_volumes[i] = volumes[2];
        many_formats[i] = "qcow2";
    }
    struct spec_server s = spec(MACHINE_MAX_NICS, MACHINE_MAX_VOLUMES);
    s.nics = many_nics;
    s.volumes = many_volumes;
    struct layout l;
    struct machine m = tcg;
    const char **argv;
    m.layout = &l;
    assert_ok(&cx, layout_make(&cx, &s, false, true, many_formats, &l));
    machine_argv(&cx, &m, &argv);
    size_t used = MACHINE_MAX_NICS + MACHINE_MAX_VOLUMES + 1;
    check_places(&cx, argv, 2 + 2 * used + MACHINE_SPARE_PORTS);
    s.rescue.seq = 1;
    assert_ok(&cx, layout_make(&cx, &s, true, true, many_formats, &l));
    machine_argv(&cx, &m, &argv);
    check_places(&cx, argv, 2 + 3 + 2 * (used - 1) + MACHINE_SPARE_PORTS);
    s.n_volumes++;
    assert_err(&cx, ERR_INVALID, layout_make(&cx, &s, true, true, many_formats, &l));
    s.n_volumes = 0;
    s.n_nics++;
    assert_err(&cx, ERR_INVALID, layout_make(&cx, &s, true, true, many_formats, &l));
    s = spec(0, 1); /* a volume that isn't booted from */
    assert_err(&cx, ERR_INVALID, layout_make(&cx, &s, false, false, many_formats, &l));
}

static void test_slots(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s = spec(2, 3);
    struct layout l, back;
    assert_ok(&cx, layout_make(&cx, &s, false, true, formats, &l));
    assert_int_equal(l.n_ports, 2 + 3 + 1 + MACHINE_SPARE_PORTS);
    assert_int_equal(layout_count(&l, SLOT_NIC), 2);
    assert_int_equal(layout_count(&l, SLOT_VOLUME), 3);
    /* Boot order first, then as they came. */
    struct slot *first = layout_find(&l, SLOT_VOLUME, volumes[2].volume_id);
    assert_int_equal(layout_index(&l, first), 2);
    assert_int_equal(first->boot_order, 0);
    assert_int_equal(layout_index(&l, layout_find(&l, SLOT_VOLUME, volumes[1].volume_id)), 3);
    assert_int_equal(layout_index(&l, layout_find(&l, SLOT_VOLUME, volumes[0].volume_id)), 4);
    assert_null(layout_find(&l, SLOT_NIC, volumes[0].volume_id));
    assert_true(layout_is_settled(&l));
    for (size_t i = 0; i < MACHINE_SPARE_PORTS; i++) {
        struct slot *free = layout_free_slot(&l);
        assert_int_equal(layout_index(&l, free), 6 + i);
        slot_set_volume(free, volumes[1].volume_id, "qcow2", false);
        free->step = i % 2 ? SLOT_PLUGGING : SLOT_UNPLUGGING;
    }
    assert_false(layout_is_settled(&l));
    assert_null(layout_free_slot(&l));
    *first = (struct slot){0};
    assert_ptr_equal(layout_free_slot(&l), first);
    struct buf b;
    struct jw w;
    json_t *j;
    buf_init(&b, cx.arena);
    jw_init(&w, &b);
    layout_write(&cx, &w, &l);
    assert_ok(&cx, json_read(&cx, buf_cstr(&b), b.len, &j));
    assert_true(layout_read(j, &back));
    struct buf again;
    buf_init(&again, cx.arena);
    jw_init(&w, &again);
    layout_write(&cx, &w, &back);
    assert_string_equal(buf_cstr(&b), buf_cstr(&again));
    /* Members of a slot of a machine with one port. */
    static const char *const bad[] = {
        "\"port\":1,\"kind\":\"nic\",\"step\":\"in\"",
        "\"port\":0,\"kind\":\"gpu\",\"step\":\"in\"",
        "\"port\":0,\"kind\":\"nic\",\"step\":\"half\"",
        "\"port\":0,\"kind\":\"nic\",\"step\":\"in\",\"mac\":\"01234567890123456.\"",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *text = arena_printf(cx.arena, "{\"ports\":1,\"slots\":[{%s}]}", bad[i]);
        assert_ok(&cx, json_read(&cx, text, strlen(text), &j));
        assert_false(layout_read(j, &back));
    }
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        formats[i] = "qcow2";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcg),
        cmocka_unit_test(test_kvm_two_nics_config_drive),
        cmocka_unit_test(test_no_direct_io),
        cmocka_unit_test(test_boot_from_volume),
        cmocka_unit_test(test_rescue),
        cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_values_cannot_become_options),
        cmocka_unit_test(test_most_devices_fit),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
