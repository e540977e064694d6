/* SPDX-License-Identifier: EUPL-1.2 */
/* The guest's disks with the real qemu-img, and its config drive. */
#include "base/test.h"
#include "node/drivers/qemu/disk.h"
#include "node/drivers/tools/files.h"
#include "node/drivers/tools/qcow2.h"
#include "node/drivers/tools/tool.h"
#include <sys/stat.h>

#define ID "11111111-aaaa-4aaa-8aaa-000000000001"

static char base_dir[] = "/tmp/colvert-disk-XXXXXX";
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

static bool exists(const char *name)
{
    return faccessat(dir, name, F_OK, 0) == 0;
}

static const char *in_dir(struct ctx *cx, const char *name)
{
    return arena_printf(cx->arena, "%s/%s", base_dir, name);
}

static json_t *disk_info(struct ctx *cx, const char *name)
{
    struct buf out;
    buf_init(&out, cx->arena);
    const char *argv[] = {"qemu-img", "info", "--output=json", in_dir(cx, name), NULL};
    json_t *j;
    assert_ok(cx, tool_run(cx, argv, 20000, &out));
    assert_ok(cx, json_read(cx, buf_cstr(&out), out.len, &j));
    return j;
}

static struct overlay_wish wish(const struct spec_image *image, const char *path)
{
    return (struct overlay_wish){
        .name = "root-1.qcow2", .image = image, .image_path = path, .size_gib = 1};
}

static void test_overlays(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static char zero[4096];
    const struct spec_image image = {.id = "img",
                                     .disk_format = "raw",
                                     .size_bytes = sizeof(zero),
                                     .virtual_size_bytes = sizeof(zero)};
    assert_ok(&cx, file_write(&cx, dir, "image", zero, sizeof(zero), 0600));
    struct overlay_wish w = wish(&image, in_dir(&cx, "image"));
    assert_ok(&cx, overlay_make(&cx, dir, &w));
    assert_ok(&cx, overlay_make(&cx, dir, &w));
    json_t *info = disk_info(&cx, "root-1.qcow2");
    assert_int_equal(json_get_int(info, "virtual-size", 0), 1 << 30);
    assert_string_equal(json_get_str(info, "backing-filename"), w.image_path);
    assert_string_equal(json_get_str(info, "backing-filename-format"), "raw");
    /* Never smaller than the image. */
    w.name = root_disk_name(&cx, 2);
    w.size_gib = 0;
    assert_ok(&cx, overlay_make(&cx, dir, &w));
    assert_int_equal(json_get_int(disk_info(&cx, "root-2.qcow2"), "virtual-size", 0), 4096);
    w.name = rescue_disk_name(&cx, 3);
    assert_ok(&cx, overlay_make(&cx, dir, &w));
    assert_ok(&cx, file_write(&cx, dir, ".disk-0123.tmp", "half", 4, 0600));
    assert_ok(&cx, overlays_tidy(&cx, dir, "root-2.qcow2", "rescue-3.qcow2"));
    assert_false(exists("root-1.qcow2"));
    assert_false(exists(".disk-0123.tmp"));
    assert_true(exists("root-2.qcow2"));
    assert_true(exists("rescue-3.qcow2"));
    assert_ok(&cx, overlays_tidy(&cx, dir, "root-2.qcow2", NULL));
    assert_false(exists("rescue-3.qcow2"));
    unlinkat(dir, "root-2.qcow2", 0);
    unlinkat(dir, "image", 0);
}

/* Its reference to the image is kept, though qemu-img is never to look there. */
static void test_overlay_snapshots(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    const struct spec_image image = {.id = "img", .disk_format = "raw", .size_bytes = 4};
    const struct qemu_img img = {.program = "qemu-img", .uid = 610099};
    assert_ok(&cx, file_write(&cx, dir, "image", "1234", 4, 0600));
    struct overlay_wish w = wish(&image, in_dir(&cx, "image"));
    struct qcow2 q;
    assert_ok(&cx, overlay_make(&cx, dir, &w));
    AUTO_FD int fd = openat(dir, w.name, O_RDWR | O_CLOEXEC);
    assert_ok(&cx, disk_snapshot(&cx, &img, fd, DISK_SNAPSHOT_MAKE, "checkpoint-1"));
    assert_ok(&cx, disk_resize(&cx, &img, fd, 2 * GIB, false));
    assert_ok(&cx, qcow2_read(&cx, fd, &q));
    assert_int_equal(q.size_bytes, 2 * GIB);
    assert_int_equal(q.n_snapshots, 1);
    assert_int_equal(q.snapshots[0].size_bytes, GIB);
    assert_ok(&cx, disk_snapshot(&cx, &img, fd, DISK_SNAPSHOT_GO_BACK, "checkpoint-1"));
    assert_ok(&cx, disk_snapshot(&cx, &img, fd, DISK_SNAPSHOT_DROP, "checkpoint-1"));
    assert_non_null(disk_snapshot(&cx, &img, fd, DISK_SNAPSHOT_GO_BACK, "checkpoint-1"));
    assert_ok(&cx, qcow2_read(&cx, fd, &q));
    assert_int_equal(q.size_bytes, GIB);
    assert_int_equal(q.n_snapshots, 0);
    assert_true(q.backing);
    json_t *info = disk_info(&cx, w.name);
    assert_string_equal(json_get_str(info, "backing-filename"), w.image_path);
    assert_string_equal(json_get_str(info, "backing-filename-format"), "raw");
    unlinkat(dir, w.name, 0);
    unlinkat(dir, "image", 0);
}

/* Disks of ours are qemu-img's equals, of every size. */
static void test_new_disks(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    static const int64_t sizes[] = {1,          GIB / 2,        GIB / 2 + 512,
                                    4096 * GIB, 5000 * GIB + 1, 2048 * 1024 * GIB};
    AUTO_FD int fd = -1;
    assert_ok(&cx, file_create(&cx, dir, "disk", &fd));
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        const char *base = i % 2 ? arena_printf(cx.arena, "/%0*d", 1022, 0) : NULL;
        const char *argv[] = {"qemu-img", "check", "-q", in_dir(&cx, "disk"), NULL};
        struct qcow2 q;
        assert_ok(&cx, qcow2_create(&cx, fd, sizes[i / 2], base, "qcow2"));
        assert_ok(&cx, qcow2_read(&cx, fd, &q));
        assert_int_equal(q.size_bytes, (sizes[i / 2] + 511) / 512 * 512);
        assert_int_equal(q.backing, base != NULL);
        json_t *info = disk_info(&cx, "disk");
        assert_int_equal(json_get_int(info, "virtual-size", 0), q.size_bytes);
        assert_string_equal(json_get_str(info, "format"), "qcow2");
        if (base)
            assert_string_equal(json_get_str(info, "backing-filename"), base);
        else
            assert_ok(&cx, tool_run(&cx, argv, 20000, NULL));
    }
    assert_err(&cx, ERR_INVALID, qcow2_create(&cx, fd, 2048 * 1024 * GIB + 1, NULL, NULL));
    assert_err(&cx, ERR_INVALID,
               qcow2_create(&cx, fd, GIB, arena_printf(cx.arena, "/%0*d", 1023, 0), "raw"));
    AUTO_FD int none = openat(dir, "disk", O_RDONLY | O_CLOEXEC);
    assert_err(&cx, ERR_UNAVAILABLE, qcow2_create(&cx, none, GIB, NULL, NULL));
    unlinkat(dir, "disk", 0);
}

static void test_overlay_refusals(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    assert_ok(&cx, file_write(&cx, dir, "image", "1234", 4, 0600));
    struct spec_image image = {.id = "img", .disk_format = "raw", .size_bytes = 4};
    struct overlay_wish w = wish(&image, in_dir(&cx, "image"));
    w.image_path = in_dir(&cx, "none");
    assert_err(&cx, ERR_NOT_FOUND, overlay_make(&cx, dir, &w));
    w.image_path = "json:{}";
    assert_err(&cx, ERR_NOT_FOUND, overlay_make(&cx, dir, &w));
    w.image_path = in_dir(&cx, "image");
    image.size_bytes = 5; /* cut short */
    assert_err(&cx, ERR_CONFLICT, overlay_make(&cx, dir, &w));
    image.size_bytes = 4;
    image.disk_format = "vmdk";
    assert_err(&cx, ERR_INVALID, overlay_make(&cx, dir, &w));
    const char **names;
    size_t n;
    assert_ok(&cx, dir_names(&cx, dir, &names, &n));
    assert_int_equal(n, 1); /* nothing half made */
    unlinkat(dir, "image", 0);
}

static const char *iso_file(struct ctx *cx, const char *path)
{
    struct buf out;
    buf_init(&out, cx->arena);
    const char *argv[] = {"isoinfo", "-R", "-i", in_dir(cx, CONFIG_DRIVE_NAME), "-x", path, NULL};
    assert_ok(cx, tool_run(cx, argv, 20000, &out));
    return buf_cstr(&out);
}

static void test_config_drive(void **state UNUSED)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct spec_server s = {.id = ID, .hostname = "one"};
    s.meta_data = json_own(
        &cx, json_pack("{s:s, s:{s:s}}", "uuid", ID, "public_keys", "mine", "ssh-ed25519 AAAA"));
    s.network_data = json_own(&cx, json_pack("{s:[]}", "links"));
    s.user_data = "#!/bin/sh\necho hi\n";
    s.user_data_size = strlen(s.user_data);
    assert_ok(&cx, config_drive_make(&cx, dir, base_dir, &s));
    assert_ok(&cx, config_drive_make(&cx, dir, base_dir, &s));
    assert_string_equal(iso_file(&cx, "/openstack/latest/meta_data.json"),
                        json_text(&cx, s.meta_data));
    assert_string_equal(iso_file(&cx, "/openstack/latest/network_data.json"), "{\"links\":[]}");
    assert_string_equal(iso_file(&cx, "/openstack/latest/vendor_data.json"), "{}");
    assert_string_equal(iso_file(&cx, "/openstack/latest/user_data"), s.user_data);
    assert_string_equal(iso_file(&cx, "/ec2/latest/user-data"), s.user_data);
    assert_non_null(strstr(iso_file(&cx, "/ec2/latest/meta-data.json"),
                           "\"openssh-key\":\"ssh-ed25519 AAAA\""));
    char label[9] = {0};
    AUTO_FD int fd = openat(dir, CONFIG_DRIVE_NAME, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, label, 8, 32808), 8); /* where guests look */
    assert_string_equal(label, "config-2");
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    const char **names;
    size_t n;
    assert_ok(&cx, dir_names(&cx, dir, &names, &n));
    assert_int_equal(n, 1); /* the staging folder is gone */
    assert_ok(&cx, config_drive_remove(&cx, dir));
    assert_ok(&cx, config_drive_remove(&cx, dir));
    assert_false(exists(CONFIG_DRIVE_NAME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlays),     cmocka_unit_test(test_overlay_snapshots),
        cmocka_unit_test(test_new_disks),    cmocka_unit_test(test_overlay_refusals),
        cmocka_unit_test(test_config_drive),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
