/* SPDX-License-Identifier: EUPL-1.2 */
/* For the image service's tests: a store of images in a folder of its own, uploads, patches. */
#pragma once

#include "image/resources.h"
#include "resource/test_golden.h"
#include <dirent.h>

#define IMAGES "/image/v2/images"
#define SIZE_MAX_BYTES (4 << 20)

static struct test_api t;
static char image_dir[] = "/tmp/colvert-images-XXXXXX";

static inline const char *fmt(const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    const char *s = arena_vprintf(t.cx.arena, f, ap);
    va_end(ap);
    return s;
}

static inline const char *reply_header(const struct test_reply *r, const char *name)
{
    for (size_t i = 0; i < r->answer.n_headers; i++)
        if (str_eq(r->answer.headers[i].name, name))
            return r->answer.headers[i].value;
    return NULL;
}

static inline const char *image_path(const char *id)
{
    return fmt(IMAGES "/%s", id);
}

/* extra: further members, ", 'name': 'x'". */
static inline const char *new_image(const char *token, const char *extra)
{
    struct test_reply r =
        test_expect(&t, 201, token, "POST", IMAGES,
                    "{'disk_format': 'raw', 'container_format': 'bare'%s}", extra);
    return test_str(&t, &r, "id");
}

/* Any body under any content type; a Range header when `range`. */
static inline struct test_reply raw_call(const char *token, const char *method, const char *path,
                                         const char *type, const void *body, size_t size,
                                         const char *range)
{
    const struct http_pair headers[] = {
        {"X-Auth-Token", token}, {"Content-Type", type}, {"Range", range}};
    const struct http_call call = {.method = method,
                                   .url = fmt("%s%s", t.url, path),
                                   .headers = headers,
                                   .n_headers = range ? 3 : 2,
                                   .body = body,
                                   .body_size = size};
    struct test_reply r = {0};
    assert_ok(&t.cx, http_client_call(&t.cx, t.client, &call, &r.answer));
    r.status = r.answer.status;
    r.text = buf_cstr(&r.answer.body);
    if (*r.text == '{')
        assert_ok(&t.cx, json_read(&t.cx, r.text, r.answer.body.len, &r.json));
    return r;
}

static inline struct test_reply upload(const char *token, const char *id, const void *data,
                                       size_t size)
{
    return raw_call(token, "PUT", fmt("%s/file", image_path(id)), "application/octet-stream", data,
                    size, NULL);
}

/* Single quotes for double ones. */
static inline struct test_reply patch(const char *token, const char *id, const char *body)
{
    char *copy = arena_strdup(t.cx.arena, body);
    for (char *p = copy; *p; p++)
        *p = (char)(*p == '\'' ? '"' : *p);
    return raw_call(token, "PATCH", image_path(id), "application/openstack-images-v2.1-json-patch",
                    copy, strlen(copy), NULL);
}

static inline size_t files(void)
{
    DIR *d = opendir(image_dir);
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline size_t count(const char *token, const char *query)
{
    struct test_reply r =
        test_expect(&t, 200, token, "GET", fmt(IMAGES "?limit=1000&%s", query), NULL);
    return json_array_size(test_at(&r, "images"));
}

static inline int images_setup(void **state UNUSED)
{
    static const struct service *const services[] = {&engine_service, &image_service};
    assert_non_null(mkdtemp(image_dir));
    test_api_start(&t, services, ARRAY_LEN(services));
    const struct image_config cfg = {.dir = image_dir, .size_max_bytes = SIZE_MAX_BYTES};
    assert_ok(&t.cx, image_configure(&t.cx, &cfg));
    return 0;
}

static inline int images_teardown(void **state UNUSED)
{
    DIR *d = opendir(image_dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    test_api_stop(&t);
    return rmdir(image_dir);
}
