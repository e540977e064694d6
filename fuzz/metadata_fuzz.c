/* SPDX-License-Identifier: EUPL-1.2 */
/* What a guest may send to the metadata service: framed within bounds; its path answered from the
 * table, or not found. */
#include "node/drivers/net/metadata_request.h"
#include "node/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(struct ctx *cx, const uint8_t *data, size_t size)
{
    struct metadata_request rq;
    size = size < METADATA_REQUEST_BYTES ? size : METADATA_REQUEST_BYTES;
    char *copy = arena_alloc(cx->arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    int status = metadata_request_parse(copy, size, &rq);
    must(status == 0 || status == -1 || (status >= 400 && status < 500));
    if (status)
        return;
    must(rq.path[0] == '/' && strlen(rq.path) < METADATA_PATH_BYTES);
    must(rq.body_at + rq.body_size <= size && rq.body_size <= METADATA_BODY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char meta[] =
        "{\"hostname\":\"web\",\"keys\":[{\"name\":\"k\",\"data\":\"ssh-ed25519 A\"}]}";
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    json_t *j = NULL;
    must(!json_read(&cx, meta, strlen(meta), &j));
    struct spec_nic nic = {.mac = "fa:16:3e:00:00:01"};
    const struct spec_server s = {.id = "99999999-2222-4333-8444-555555555555",
                                  .hostname = "web",
                                  .meta_data = j,
                                  .nics = &nic,
                                  .n_nics = 1,
                                  .user_data = "x",
                                  .user_data_size = 1,
                                  .image = {.id = "img"}};
    frame(&cx, data, size);
    struct buf b;
    const char *type = NULL;
    buf_init(&b, cx.arena);
    bool found = metadata_render(&cx, &s, size && data[0] & 1 ? "10.0.0.5" : "fd00::5",
                                 arena_strndup(cx.arena, (const char *)data, size), &b, &type);
    must(type && (found || b.len == 0));
    return 0;
}
