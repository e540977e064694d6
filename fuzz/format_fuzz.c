/* SPDX-License-Identifier: EUPL-1.2 */
/* Disk headers: refused, or of a bounded size; never read beyond what there is. */
#include "image/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t sizes[] = {0, 1, 65536, 1 << 20, (int64_t)1 << 40, INT64_MAX / 2};
    if (!size)
        return 0;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    int64_t total = max_i64(sizes[data[0] % ARRAY_LEN(sizes)], (int64_t)size - 1);
    size_t head = size - 1 < IMAGE_HEAD_BYTES ? size - 1 : IMAGE_HEAD_BYTES;
    const char *const formats[] = {"qcow2", "raw"};
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct image_format f;
        struct err *e = image_format_check(&cx, formats[i], data + 1, head, total, &f);
        must(!e || e->kind == ERR_INVALID);
        if (e || f.unbootable || i == 1)
            continue;
        must(f.virtual_size > 0 && f.virtual_size <= (int64_t)1 << 50);
        must(head >= 72 && memcmp(data + 1, "QFI\xfb", 4) == 0);
        must(memcmp(data + 1 + 8, "\0\0\0\0\0\0\0\0\0\0\0\0", 12) == 0); /* no backing file */
    }
    return 0;
}
