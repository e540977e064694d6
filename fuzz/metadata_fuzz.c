/* SPDX-License-Identifier: EUPL-1.2 */
/* Paths a guest may ask the metadata service for: answered from the table, or not found. */
#include "node/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    struct buf b;
    const char *type = NULL;
    buf_init(&b, cx.arena);
    bool found = metadata_render(&cx, &s, size && data[0] & 1 ? "10.0.0.5" : "fd00::5",
                                 arena_strndup(cx.arena, (const char *)data, size), &b, &type);
    must(type && (found || b.len == 0));
    return 0;
}
