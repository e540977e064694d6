/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The driver with running guests whose hardware, disks and memory change: the guest is testguest.S,
 * its volumes are the qcow2 driver's. The driver's own death between any two of its steps is in
 * crash_test.c.
 */
#include "node/drivers/qemu/e2e_volumes.h"
#include "node/drivers/tools/files.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static struct spec_nic nics[16];

static int begin(void **state)
{
    int failed = scene_begin(state);
    write_image(image, 'i');
    for (size_t i = 0; i < ARRAY_LEN(nics); i++)
        nics[i] = (struct spec_nic){.port_id =
                                        arena_printf(cx.arena, "22222222-aaaa-4aaa-8aaa-%012zu", i),
                                    .mac = arena_printf(cx.arena, "fa:16:3e:00:01:%02zx", i),
                                    .tap = arena_printf(cx.arena, "tape2e%zu", i),
                                    .mtu = 1450};
    return failed;
}

static bool has(const char *const *ids, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

static bool has_volume(const struct guest_backend *b, const char *id, const char *volume)
{
    struct guest_state s = state_of(b, id);
    return has(s.volumes, s.n_volumes, volume);
}

static void boot(const struct guest_backend *b, const struct spec_server *spec)
{
    assert_ok(&cx, b->ops->prepare(&cx, b->drv, spec, spec->image.id ? image : NULL));
    assert_ok(&cx, start_with(b, spec));
    await_console(b, spec->id, "guest: up", 1);
}

static void end(const struct guest_backend *b)
{
    assert_ok(&cx, b->ops->destroy(&cx, b->drv, ID_A));
    assert_ok(&cx, b->ops->destroy(&cx, b->drv, ID_B));
    assert_nothing_left(ID_A);
    assert_nothing_left(ID_B);
    close_all();
}

/* What a test that failed left behind. */
static int clean(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct err *e = b.ops->destroy(&cx, b.drv, ID_A);
    e = e ? e : b.ops->destroy(&cx, b.drv, ID_B);
    close_all();
    return e ? -1 : 0;
}

static void test_volumes(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_use uses[] = {{VOLUME_1, 1, false}, {VOLUME_2, -1, false}};
    struct spec_server spec = spec_of(ID_A, 1);
    make_volume(VOLUME_1);
    make_volume(VOLUME_2);
    spec.volumes = uses;
    spec.n_volumes = 1;
    boot(&b, &spec);
    assert_int_equal(state_of(&b, ID_A).n_volumes, 1);
    assert_true(has_volume(&b, ID_A, VOLUME_1));
    type(&b, ID_A, "w1Vr1-");
    await_console(&b, ID_A, "read V", 2);
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_2));
    assert_int_equal(state_of(&b, ID_A).n_volumes, 2);
    /* The guest has it, nobody else. */
    assert_non_null(vol.ops->snapshot(&cx, vol.drv, VOLUME_2, SNAPSHOT, true));
    for (int i = 0; i < 2; i++) {
        unplug_volume(&b, ID_A, VOLUME_2);
        unplug_volume(&b, ID_A, VOLUME_1);
    }
    assert_int_equal(state_of(&b, ID_A).n_volumes, 0);
    assert_ok(&cx, vol.ops->snapshot(&cx, vol.drv, VOLUME_1, SNAPSHOT, true));
    assert_ok(&cx, vol.ops->snapshot(&cx, vol.drv, VOLUME_2, SNAPSHOT, true));
    /* In another guest, with what the first wrote. */
    struct spec_server other = spec_of(ID_B, 1);
    other.volumes = uses;
    other.n_volumes = 2;
    boot(&b, &other);
    type(&b, ID_B, "r1-");
    await_console(&b, ID_B, "read V", 1);
    assert_non_null(plug_volume(&b, ID_A, VOLUME_1));
    assert_false(has_volume(&b, ID_A, VOLUME_1));
    /* Off, they are free. */
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_B));
    assert_int_equal(state_of(&b, ID_B).n_volumes, 0);
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    assert_err(&cx, ERR_CONFLICT, plug_volume(&b, ID_B, VOLUME_2));
    end(&b);
}

static void test_read_only_and_odd_volumes(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_use use = {VOLUME_1, 1, true};
    struct spec_server spec = spec_of(ID_A, 1);
    make_volume(VOLUME_1);
    spec.volumes = &use;
    spec.n_volumes = 1;
    boot(&b, &spec);
    type(&b, ID_A, "w1Vr1-");
    await_console(&b, ID_A, "read ", 2);
    assert_null(strstr(console_of(&b, ID_A), "read V\r\nread V"));
    struct volume_access a = {.path = image, .format = "vmdk"};
    struct spec_use odd = {VOLUME_2, -1, false};
    assert_err(&cx, ERR_INVALID, b.ops->plug_volume(&cx, b.drv, ID_A, &odd, &a));
    a.format = "qcow2";
    assert_err(&cx, ERR_INVALID, b.ops->plug_volume(&cx, b.drv, ID_A, &odd, &a));
    a.path = "/no/such/file";
    assert_err(&cx, ERR_NOT_FOUND, b.ops->plug_volume(&cx, b.drv, ID_A, &odd, &a));
    a = (struct volume_access){.path = in_data("raw"), .format = "raw"};
    write_image(a.path, 'x');
    assert_ok(&cx, b.ops->plug_volume(&cx, b.drv, ID_A, &odd, &a));
    assert_true(has_volume(&b, ID_A, VOLUME_2));
    end(&b);
}

static void test_boot_from_volume(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_use uses[] = {{VOLUME_2, -1, false}, {VOLUME_1, 0, false}};
    struct spec_server spec = spec_of(ID_A, 1);
    struct spec_volume from = {
        .id = VOLUME_1, .size_gib = 1, .source.image = {.id = "img", .disk_format = "raw"}};
    assert_ok(&cx, vol.ops->make(&cx, vol.drv, &from, image, NULL));
    make_volume(VOLUME_2);
    spec.image = (struct spec_image){0};
    spec.config_drive = true;
    spec.meta_data = json_own(&cx, json_pack("{s:s}", "uuid", ID_A));
    spec.volumes = uses;
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, NULL));
    assert_err(&cx, ERR_INVALID, start_with(&b, &spec)); /* from nothing */
    spec.n_volumes = 2;
    boot(&b, &spec);
    assert_int_equal(state_of(&b, ID_A).n_volumes, 2);
    type(&b, ID_A, "w0Y");
    await_console(&b, ID_A, "read Y", 1);
    assert_err(&cx, ERR_CONFLICT, b.ops->copy_root(&cx, b.drv, ID_A, in_data("copy"), NULL));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    spec.boot_seq = 2;
    assert_ok(&cx, start_with(&b, &spec));
    await_console(&b, ID_A, "guest: up", 2);
    type(&b, ID_A, "r0-");
    await_console(&b, ID_A, "read Y", 2);
    end(&b);
}

static struct err *plug_nic(const struct guest_backend *b, const struct spec_nic *nic)
{
    AUTO_FD int tap = open_tap(nic->tap);
    return b->ops->plug_nic(&cx, b->drv, ID_A, nic, tap);
}

static void test_nics(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    spec.nics = nics;
    spec.n_nics = 1;
    boot(&b, &spec);
    assert_ok(&cx, plug_nic(&b, &nics[1]));
    struct guest_state s = state_of(&b, ID_A);
    assert_int_equal(s.n_ports, 2);
    assert_true(has(s.ports, s.n_ports, nics[0].port_id));
    assert_true(has(s.ports, s.n_ports, nics[1].port_id));
    for (int i = 0; i < 2; i++) {
        unplug_nic(&b, ID_A, nics[0].port_id);
        unplug_nic(&b, ID_A, nics[1].port_id);
    }
    assert_int_equal(state_of(&b, ID_A).n_ports, 0);
    /* QEMU gave the tap up: it can be opened again. */
    for (size_t i = 0; i < 9; i++)
        assert_ok(&cx, plug_nic(&b, &nics[i]));
    struct err *e = plug_nic(&b, &nics[9]);
    assert_non_null(e);
    assert_int_equal(e->kind, ERR_CONFLICT);
    assert_non_null(strstr(e->message, "all 9 places"));
    assert_int_equal(state_of(&b, ID_A).n_ports, 9);
    /* More after the next start. */
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    spec.boot_seq = 2;
    spec.n_nics = 9;
    assert_ok(&cx, start_with(&b, &spec));
    assert_ok(&cx, plug_nic(&b, &nics[9]));
    assert_int_equal(state_of(&b, ID_A).n_ports, 10);
    end(&b);
}

static void test_pause(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    make_volume(VOLUME_1);
    boot(&b, &spec);
    assert_false(state_of(&b, ID_A).paused);
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->pause(&cx, b.drv, ID_A, true));
    assert_int_equal(state_of(&b, ID_A).power, GUEST_ON);
    assert_true(state_of(&b, ID_A).paused);
    assert_err(&cx, ERR_TIMEOUT, b.ops->unplug_volume(&cx, b.drv, ID_A, VOLUME_1));
    assert_true(has_volume(&b, ID_A, VOLUME_1));
    b = open_all(); /* as after our death */
    assert_true(state_of(&b, ID_A).paused);
    assert_err(&cx, ERR_TIMEOUT, b.ops->unplug_volume(&cx, b.drv, ID_A, VOLUME_1));
    assert_err(&cx, ERR_TIMEOUT, plug_volume(&b, ID_A, VOLUME_1));
    assert_true(has_volume(&b, ID_A, VOLUME_1));
    assert_ok(&cx, b.ops->pause(&cx, b.drv, ID_A, false));
    assert_false(state_of(&b, ID_A).paused);
    /* Now it lets go, and that is seen. */
    for (int i = 0; i < E2E_WAIT_S * 20 && has_volume(&b, ID_A, VOLUME_1); i++)
        usleep(50000);
    assert_false(has_volume(&b, ID_A, VOLUME_1));
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_err(&cx, ERR_CONFLICT, b.ops->pause(&cx, b.drv, ID_A, true));
    end(&b);
}

static void test_suspend(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_use uses[] = {{VOLUME_1, -1, false}};
    struct spec_server spec = spec_of(ID_A, 1);
    make_volume(VOLUME_1);
    spec.nics = nics;
    spec.n_nics = 1;
    boot(&b, &spec);
    assert_ok(&cx, plug_nic(&b, &nics[1]));
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    unplug_nic(&b, ID_A, nics[0].port_id); /* a gap */
    long before = count_of(&b, ID_A);
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->suspend(&cx, b.drv, ID_A));
    struct guest_state s = state_of(&b, ID_A);
    assert_int_equal(s.power, GUEST_OFF);
    assert_true(s.suspended);
    assert_false(s.paused);
    assert_false(s.guest_shutdown);
    assert_true(has(s.volumes, s.n_volumes, VOLUME_1));
    assert_int_equal(s.n_ports, 1);
    assert_ok(&cx, vol.ops->snapshot(&cx, vol.drv, VOLUME_1, SNAPSHOT, true)); /* it's free */
    b = open_all();
    assert_true(state_of(&b, ID_A).suspended);
    /* It wants all that it had. */
    spec.n_nics = 0;
    assert_err(&cx, ERR_CONFLICT, start_with(&b, &spec));
    assert_true(state_of(&b, ID_A).suspended);
    spec.nics = &nics[1];
    spec.n_nics = 1;
    spec.volumes = uses;
    spec.n_volumes = 1;
    assert_ok(&cx, start_with(&b, &spec));
    assert_ok(&cx, start_with(&b, &spec));
    s = state_of(&b, ID_A);
    assert_int_equal(s.power, GUEST_ON);
    assert_int_equal(s.boot_seq, 1);
    assert_false(s.suspended);
    assert_false(s.paused);
    assert_true(has(s.volumes, s.n_volumes, VOLUME_1));
    assert_true(has(s.ports, s.n_ports, nics[1].port_id));
    long after = count_of(&b, ID_A);
    assert_true(after > before); /* goes on; it did not boot again */
    assert_null(strstr(strstr(console_of(&b, ID_A), "guest: up") + 1, "guest: up"));
    assert_int_not_equal(access(in_data("servers/" ID_A "/memory.save"), F_OK), 0);
    unplug_volume(&b, ID_A, VOLUME_1);
    /* A hard reboot has no use for it. */
    assert_ok(&cx, b.ops->suspend(&cx, b.drv, ID_A));
    assert_int_equal(access(in_data("servers/" ID_A "/memory.save"), F_OK), 0);
    spec.boot_seq = 2;
    spec.n_nics = spec.n_volumes = 0;
    assert_ok(&cx, start_with(&b, &spec));
    await_console(&b, ID_A, "guest: up", 2);
    assert_int_not_equal(access(in_data("servers/" ID_A "/memory.save"), F_OK), 0);
    /* Nor has stopping. */
    assert_ok(&cx, b.ops->suspend(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_false(state_of(&b, ID_A).suspended);
    assert_err(&cx, ERR_CONFLICT, b.ops->suspend(&cx, b.drv, ID_A));
    end(&b);
}

static int64_t root_bytes(void)
{
    struct qcow2 q;
    AUTO_FD int fd = open(in_data("servers/" ID_A "/root-1.qcow2"), O_RDONLY | O_CLOEXEC);
    assert_ok(&cx, qcow2_read(&cx, fd, &q));
    return q.size_bytes;
}

static void test_checkpoint(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    boot(&b, &spec);
    type(&b, ID_A, "w0A");
    await_console(&b, ID_A, "read A", 1);
    assert_err(&cx, ERR_CONFLICT, b.ops->checkpoint(&cx, b.drv, ID_A, 1));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, ID_A, 1));
    assert_int_equal(state_of(&b, ID_A).checkpoint, 1);
    /* Larger, and written to. */
    spec.boot_seq = 2;
    spec.root_gib = 2;
    assert_ok(&cx, start_with(&b, &spec));
    assert_int_equal(root_bytes(), 2 * GIB);
    await_console(&b, ID_A, "guest: up", 2);
    type(&b, ID_A, "w0B");
    await_console(&b, ID_A, "read B", 1);
    assert_err(&cx, ERR_CONFLICT, b.ops->restore(&cx, b.drv, ID_A, 1));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->restore(&cx, b.drv, ID_A, 1));
    assert_int_equal(state_of(&b, ID_A).restore_seq, 1);
    assert_int_equal(state_of(&b, ID_A).checkpoint, 1);
    assert_int_equal(root_bytes(), GIB);
    spec.boot_seq = 3;
    spec.root_gib = 1;
    assert_ok(&cx, start_with(&b, &spec));
    await_console(&b, ID_A, "guest: up", 3);
    type(&b, ID_A, "r0-");
    await_console(&b, ID_A, "read A", 2);
    /* Given up while it runs; then nothing brings anything back. */
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, ID_A, 0));
    assert_int_equal(state_of(&b, ID_A).checkpoint, 0);
    struct qcow2 q;
    AUTO_FD int root = open(in_data("servers/" ID_A "/root-1.qcow2"), O_RDONLY | O_CLOEXEC);
    assert_ok(&cx, qcow2_read(&cx, root, &q));
    assert_int_equal(q.n_snapshots, 0);
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->restore(&cx, b.drv, ID_A, 2));
    assert_int_equal(state_of(&b, ID_A).restore_seq, 2);
    end(&b);
}

static void test_rescue(void **state UNUSED)
{
    struct guest_backend b = open_all();
    const char *helper = in_data("rescue-image");
    struct spec_server spec = spec_of(ID_A, 1);
    write_image(helper, 'R');
    boot(&b, &spec);
    type(&b, ID_A, "w0O");
    await_console(&b, ID_A, "read O", 1);
    spec.rescue = (struct spec_rescue){.seq = 4, .image = spec.image};
    assert_err(&cx, ERR_CONFLICT, b.ops->prepare_rescue(&cx, b.drv, &spec, helper));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    spec.boot_seq = 2;
    assert_err(&cx, ERR_CONFLICT, start_with(&b, &spec)); /* there is no disk for it */
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->prepare_rescue(&cx, b.drv, &spec, helper));
    assert_int_equal(state_of(&b, ID_A).rescue_seq, 0);
    assert_ok(&cx, start_with(&b, &spec));
    assert_int_equal(state_of(&b, ID_A).rescue_seq, 4);
    await_console(&b, ID_A, "guest: up", 2);
    type(&b, ID_A, "r0-r1-");
    await_console(&b, ID_A, "read R\r\nread O", 1);
    type(&b, ID_A, "w1P");
    await_console(&b, ID_A, "read P", 1);
    b = open_all();
    assert_int_equal(state_of(&b, ID_A).rescue_seq, 4);
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    spec.rescue = (struct spec_rescue){0};
    spec.boot_seq = 3;
    assert_ok(&cx, start_with(&b, &spec));
    assert_int_equal(state_of(&b, ID_A).rescue_seq, 0);
    assert_int_not_equal(access(in_data("servers/" ID_A "/rescue-4.qcow2"), F_OK), 0);
    await_console(&b, ID_A, "guest: up", 3);
    type(&b, ID_A, "r0-");
    await_console(&b, ID_A, "read P", 2);
    end(&b);
}

/* A guest made from the copy shows what is in it. */
static void assert_copy_has(const struct guest_backend *b, const char *copy, char mark)
{
    struct spec_server spec = spec_of(ID_B, 1);
    struct qcow2 q;
    AUTO_FD int fd = open(copy, O_RDONLY | O_CLOEXEC);
    assert_ok(&cx, qcow2_read(&cx, fd, &q));
    assert_int_equal(q.size_bytes, GIB);
    assert_false(q.backing);
    assert_int_equal(q.n_snapshots, 0);
    spec.image.disk_format = "qcow2";
    spec.image.size_bytes = 0;
    spec.image.virtual_size_bytes = GIB;
    assert_ok(&cx, b->ops->prepare(&cx, b->drv, &spec, copy));
    assert_ok(&cx, start_with(b, &spec));
    await_console(b, ID_B, "guest: up", 1);
    type(b, ID_B, "r0-");
    await_console(b, ID_B, arena_printf(cx.arena, "read %c", mark), 1);
    assert_ok(&cx, b->ops->destroy(&cx, b->drv, ID_B));
    assert_int_equal(unlink(copy), 0);
}

static void test_copies_of_the_root_disk(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    const char *copy = in_data("copy.qcow2");
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_ok(&cx, b.ops->checkpoint(&cx, b.drv, ID_A, 1));
    boot(&b, &spec);
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->copy_root(&cx, b.drv, ID_A, copy, NULL));
    assert_copy_has(&b, copy, 'i'); /* of the image that it stands on */
    type(&b, ID_A, "w0C");
    await_console(&b, ID_A, "read C", 1);
    assert_ok(&cx, b.ops->copy_root(&cx, b.drv, ID_A, copy, NULL));
    assert_copy_has(&b, copy, 'C');
    atomic_bool given_up = true;
    assert_err(&cx, ERR_TIMEOUT, b.ops->copy_root(&cx, b.drv, ID_A, copy, &given_up));
    assert_ok(&cx, b.ops->copy_root(&cx, b.drv, ID_A, copy, NULL));
    assert_copy_has(&b, copy, 'C');
    assert_ok(&cx, b.ops->suspend(&cx, b.drv, ID_A));
    assert_ok(&cx, b.ops->copy_root(&cx, b.drv, ID_A, copy, NULL));
    assert_copy_has(&b, copy, 'C');
    assert_err(&cx, ERR_INVALID, b.ops->copy_root(&cx, b.drv, ID_A, "relative", NULL));
    assert_err(&cx, ERR_NOT_FOUND, b.ops->copy_root(&cx, b.drv, ID_B, copy, NULL));
    assert_non_null(b.ops->copy_root(&cx, b.drv, ID_A, "/no/such/folder/x", NULL));
    end(&b);
}

static void test_open_volumes(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    const char *copy = in_data("copy.qcow2");
    struct volume_seen s;
    make_volume(VOLUME_1);
    boot(&b, &spec);
    assert_err(&cx, ERR_CONFLICT, b.ops->volume_grow(&cx, b.drv, ID_A, VOLUME_1, 2));
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->volume_snapshot(&cx, b.drv, ID_A, VOLUME_1, SNAPSHOT, true));
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->volume_grow(&cx, b.drv, ID_A, VOLUME_1, 3 - i));
    assert_ok(&cx, vol.ops->state(&cx, vol.drv, VOLUME_1, &s));
    assert_int_equal(s.size_gib, 3);
    assert_int_equal(s.n_snapshots, 1);
    assert_string_equal(s.snapshots[0], SNAPSHOT);
    /* A snapshot can be copied meanwhile, the volume through its guest alone. */
    struct spec_volume of = {
        .id = VOLUME_2, .size_gib = 1, .source = {.volume_id = VOLUME_1, .snapshot_id = SNAPSHOT}};
    assert_ok(&cx, vol.ops->make(&cx, vol.drv, &of, NULL, NULL));
    assert_ok(&cx, vol.ops->remove(&cx, vol.drv, VOLUME_2));
    of.source.snapshot_id = NULL;
    of.size_gib = 3;
    assert_non_null(vol.ops->make(&cx, vol.drv, &of, NULL, NULL));
    assert_ok(&cx, b.ops->volume_copy(&cx, b.drv, ID_A, VOLUME_1, copy, NULL));
    assert_ok(&cx, vol.ops->make(&cx, vol.drv, &of, NULL, copy));
    assert_ok(&cx, vol.ops->state(&cx, vol.drv, VOLUME_2, &s));
    assert_int_equal(s.size_gib, 3);
    assert_int_equal(s.n_snapshots, 0);
    for (int i = 0; i < 2; i++)
        assert_ok(&cx, b.ops->volume_snapshot(&cx, b.drv, ID_A, VOLUME_1, SNAPSHOT, false));
    assert_ok(&cx, vol.ops->state(&cx, vol.drv, VOLUME_1, &s));
    assert_int_equal(s.n_snapshots, 0);
    assert_err(&cx, ERR_CONFLICT, b.ops->volume_copy(&cx, b.drv, ID_A, VOLUME_2, copy, NULL));
    end(&b);
}

static void test_consoles(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    char greeting[13] = {0};
    boot(&b, &spec);
    AUTO_FD int vnc = -1, serial = -1, bad = -1;
    assert_ok(&cx, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_VNC, &vnc));
    assert_int_equal(read(vnc, greeting, 12), 12);
    assert_string_equal(greeting, "RFB 003.008\n");
    assert_ok(&cx, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_SERIAL, &serial));
    assert_int_equal(write(serial, "r0-", 3), 3);
    do { /* the line of its start may not be at its end */
        assert_int_equal(read(serial, greeting, 1), 1);
    } while (greeting[0] == '\r' || greeting[0] == '\n');
    assert_int_equal(greeting[0], 'r');
    /* Another socket in the screen's place is not taken for it. */
    const char *at = in_data("servers/" ID_A "/run/vnc.sock");
    assert_int_equal(unlink(at), 0);
    assert_int_equal(symlink("../serial.sock", at), 0);
    assert_err(&cx, ERR_CONFLICT, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_VNC, &bad));
    assert_int_equal(unlink(at), 0);
    assert_int_equal(link(in_data("servers/" ID_A "/serial.sock"), at), 0);
    assert_err(&cx, ERR_CONFLICT, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_VNC, &bad));
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_err(&cx, ERR_CONFLICT, b.ops->connect(&cx, b.drv, ID_A, CONSOLE_VNC, &bad));
    end(&b);
}

/* A disk of the host's that is full: the guest waits until there is room, and isn't "paused". */
static void test_full_disk(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    const char *small = in_data("small"), *ballast = in_data("small/ballast");
    struct spec_use use = {VOLUME_1, 1, false};
    assert_int_equal(mkdir(small, 0700), 0);
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("none", small, "tmpfs", 0, "size=1m"), 0);
    make_volume(VOLUME_1);
    assert_ok(&cx, vol.ops->copy(&cx, vol.drv, VOLUME_1, in_data("small/disk")));
    const struct volume_access a = {.path = in_data("small/disk"), .format = "qcow2"};
    AUTO_FD int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static char block[4096];
    while (write(fd, block, sizeof(block)) > 0)
        ;
    spec.volumes = &use;
    spec.n_volumes = 1;
    assert_ok(&cx, b.ops->prepare(&cx, b.drv, &spec, image));
    assert_ok(&cx, b.ops->start(&cx, b.drv, &spec, NULL, &a));
    await_console(&b, ID_A, "guest: up", 1);
    type(&b, ID_A, "w1F");
    sleep(1);
    assert_null(strstr(console_of(&b, ID_A), "read F"));
    assert_false(state_of(&b, ID_A).paused);
    b = open_all();
    assert_false(state_of(&b, ID_A).paused);
    assert_int_equal(unlink(ballast), 0);
    close_fd_p(&fd);
    await_console(&b, ID_A, "read F", 1);
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    assert_int_equal(umount(small), 0);
    end(&b);
}

static const json_t *diagnosed(const struct guest_backend *b)
{
    struct buf text;
    struct jw w;
    json_t *j;
    buf_init(&text, cx.arena);
    jw_init(&w, &text);
    jw_obj(&w);
    assert_ok(&cx, b->ops->diagnostics(&cx, b->drv, ID_A, &w));
    jw_obj_end(&w);
    assert_ok(&cx, json_read(&cx, buf_cstr(&text), text.len, &j));
    return j;
}

static void test_diagnostics(void **state UNUSED)
{
    struct guest_backend b = open_all();
    struct spec_server spec = spec_of(ID_A, 1);
    make_volume(VOLUME_1);
    spec.nics = nics;
    spec.n_nics = 1;
    boot(&b, &spec);
    assert_ok(&cx, plug_volume(&b, ID_A, VOLUME_1));
    type(&b, ID_A, "r0-");
    await_console(&b, ID_A, "read i", 1);
    const json_t *d, *cpu;
    for (int i = 0; i < E2E_WAIT_S * 10; i++) { /* until it has run for a while */
        d = diagnosed(&b);
        cpu = json_array_get(json_get(d, "cpu_details"), 0);
        if (json_get_int(d, "uptime", -1) > 0 && json_get_int(cpu, "time", 0) > 100000000)
            break;
        usleep(100000);
    }
    const json_t *nic = json_array_get(json_get(d, "nic_details"), 0);
    const json_t *disk = json_array_get(json_get(d, "disk_details"), 0);
    assert_string_equal(json_get_str(d, "state"), "running");
    assert_string_equal(json_get_str(d, "hypervisor"), "qemu");
    assert_in_range(json_get_int(d, "uptime", -1), 1, 3600);
    assert_int_equal(json_get_int(d, "num_cpus", 0), 1);
    assert_int_equal(json_get_int(d, "num_nics", 0), 1);
    assert_int_equal(json_get_int(d, "num_disks", 0), 2);
    assert_int_equal(json_array_size(json_get(d, "disk_details")), 2);
    assert_true(json_get_int(cpu, "time", 0) > 100000000);
    assert_in_range(json_get_int(cpu, "utilisation", -1), 0, 100);
    assert_string_equal(json_get_str(nic, "mac_address"), nics[0].mac);
    assert_true(json_is_integer(json_get(nic, "rx_octets")));
    assert_true(json_is_null(json_get(nic, "tx_rate")));
    assert_true(json_get_int(disk, "read_bytes", 0) >= 1024);
    assert_int_equal(json_get_int(disk, "errors_count", -1), 0);
    assert_int_equal(json_get_int(json_get(d, "memory_details"), "maximum", 0), 32);
    assert_in_range(json_get_int(json_get(d, "memory_details"), "used", 0), 1, 64);
    assert_ok(&cx, b.ops->pause(&cx, b.drv, ID_A, true));
    assert_string_equal(json_get_str(diagnosed(&b), "state"), "paused");
    assert_ok(&cx, b.ops->stop(&cx, b.drv, ID_A));
    d = diagnosed(&b);
    assert_string_equal(json_get_str(d, "state"), "shutdown");
    assert_int_equal(json_get_int(d, "uptime", -1), 0);
    assert_int_equal(json_array_size(json_get(d, "nic_details")), 0);
    end(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, NULL, clean)

int main(void)
{
    ctx_init(&cx);
    const struct CMUnitTest tests[] = {
        TEST(test_volumes),
        TEST(test_read_only_and_odd_volumes),
        TEST(test_boot_from_volume),
        TEST(test_nics),
        TEST(test_pause),
        TEST(test_suspend),
        TEST(test_checkpoint),
        TEST(test_rescue),
        TEST(test_copies_of_the_root_disk),
        TEST(test_open_volumes),
        TEST(test_consoles),
        TEST(test_full_disk),
        TEST(test_diagnostics),
    };
    int failed = cmocka_run_group_tests(tests, begin, volumes_scene_end);
    ctx_release(&cx);
    return failed;
}
