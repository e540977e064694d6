/* SPDX-License-Identifier: EUPL-1.2 */
/* Headers and snapshot tables of disk files: refused, or read; never beyond what there is. */
#include "node/drivers/tools/qcow2.h"
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    struct qcow2 q;
    if (fd < 0)
        fd = memfd_create("disk", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, 0) == 0);
    must(pwrite(fd, data, size, 0) == (ssize_t)size);
    struct err *e = qcow2_read(&cx, fd, &q);
    must(!e || e->kind == ERR_INVALID);
    if (e)
        return 0;
    must(q.size_bytes >= 0 && q.n_snapshots <= size / 40);
    for (size_t i = 0; i < q.n_snapshots; i++) {
        must(q.snapshots[i].name && q.snapshots[i].size_bytes >= 0);
        must(qcow2_snapshot(&q, q.snapshots[i].name) != NULL);
    }
    return 0;
}
