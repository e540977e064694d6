/* SPDX-License-Identifier: EUPL-1.2 */
/* Requests for certificates from strangers who hold a join token: whatever is issued has the name
 * that was meant. */
#include "http/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ctx setup_cx;
static const char *ca_key;
static struct pki_cert ca;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CTX struct ctx cx;
    struct pki_cert cert, read;
    if (!ca_key) {
        ctx_init(&setup_cx);
        must(!pki_key_new(&setup_cx, &ca_key));
        must(!pki_ca_new(&setup_cx, ca_key, "Colvert", 3600, &ca));
    }
    ctx_init(&cx);
    const char *text = arena_strndup(cx.arena, (const char *)data, size);
    if (!pki_issue(&cx, ca.pem, ca_key, text, "a.host.colvert", 60, &cert)) {
        must(!pki_read(&cx, cert.pem, &read));
        must(str_eq(read.sha256, cert.sha256));
    }
    /* What an agent is told by a stranger before it trusts anybody. */
    if (!pki_read(&cx, text, &read))
        must(!pki_find(&cx, text, read.sha256, &cert));
    return 0;
}
