/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Application of rules. The tables are replaced as a whole, in one transaction: no packet meets
 * half of them. An empty chain named after the text's digest tells later that they are in place,
 * also after a restart.
 */
#include "node/drivers/net/netns.h"
#include "node/drivers/net/nft.h"

#include <malloc.h>
#include <nftables/libnftables.h>
#include <sodium.h>

#define LARGE_BYTES                                                                                \
    ((size_t)65536) /* of rules, which libnftables blows up a hundredfold: given back at once */

/* libnftables promises nothing about threads, and its calls take milliseconds. */
static pthread_mutex_t nft_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *version_of(struct ctx *cx, const char *text)
{
    uint8_t digest[16];
    char hex[33];
    crypto_generichash(digest, sizeof(digest), (const uint8_t *)text, strlen(text), NULL, 0);
    hex_encode(digest, sizeof(digest), hex);
    return arena_printf(cx->arena, "v_%s", hex);
}

static const char *transaction(struct ctx *cx, const char *text, const char *version)
{
    static const char *const families[] = {"bridge", "inet", "ip"};
    struct buf b;
    buf_init(&b, cx->arena);
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        buf_printf(&b, "table %s colvert\ndelete table %s colvert\n", families[i], families[i]);
    buf_str(&b, text);
    buf_printf(&b, "table inet colvert {\n\tchain %s {\n\t}\n}\n", version);
    return buf_cstr(&b);
}

struct err *nft_apply(struct ctx *cx, const char *netns, const char *text)
{
    const char *version = version_of(cx, text);
    AUTO_LOCK(&nft_lock);
    AUTO_NETNS int back = -1;
    TRY(netns_enter(cx, netns, &back));
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft || nft_ctx_buffer_error(nft) || nft_ctx_buffer_output(nft)) {
        nft_ctx_free(nft);
        return fail(cx, ERR_UNAVAILABLE, "cannot start libnftables");
    }
    struct err *e = NULL;
    const char *list = arena_printf(cx->arena, "list chain inet colvert %s\n", version);
    if (nft_run_cmd_from_buffer(nft, list) != 0) {
        nft_ctx_free(nft); /* its cache knows the old tables */
        nft = nft_ctx_new(NFT_CTX_DEFAULT);
        must(nft && !nft_ctx_buffer_error(nft) && !nft_ctx_buffer_output(nft));
        if (nft_run_cmd_from_buffer(nft, transaction(cx, text, version)) != 0)
            e = fail(cx, ERR_UNAVAILABLE, "the rules of %s were refused: %s", netns,
                     nft_ctx_get_error_buffer(nft));
    }
    nft_ctx_free(nft);
    if (strlen(text) > LARGE_BYTES)
        malloc_trim(0);
    return e;
}
