/* SPDX-License-Identifier: EUPL-1.2 */
/* Tokens from strangers: none but the one that was signed is taken. */
#include "identity/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ctx setup_cx;
static struct store *store;
static const char *good;

static void try_setup(struct err *e)
{
    if (e) {
        fprintf(stderr, "%s\n", err_chain(&setup_cx, e));
        abort();
    }
}

static void setup(void)
{
    static const char *const names[] = {"member", NULL};
    static const struct service *const services[] = {&engine_service, &identity_service};
    struct token t = {.user_id = "u",
                      .user_name = "u",
                      .user_domain_id = "d",
                      .user_domain_name = "d",
                      .audit_id = "a",
                      .methods = names,
                      .roles = names,
                      .role_ids = names};
    struct tx *tx = NULL;
    ctx_init(&setup_cx);
    for (size_t i = 0; i < identity_service.n_resources; i++)
        resource_init(identity_service.resources[i]);
    struct migration first = {1, "first", api_ddl(&setup_cx, services, ARRAY_LEN(services))};
    try_setup(store_open(&setup_cx, "sqlite::memory:", 1, &store));
    try_setup(store_migrate(&setup_cx, store, &first, 1));
    try_setup(tx_write(&setup_cx, store, &tx));
    try_setup(identity_new_token_key(&setup_cx, tx));
    t.issued_us = now_us(&setup_cx);
    t.expires_us = t.issued_us + (int64_t)86400 * 1000000;
    try_setup(token_sign(&setup_cx, tx, &t, &good));
    try_setup(tx_commit(&setup_cx, &tx));
}

static void check(struct ctx *cx, const char *text)
{
    AUTO_TXN struct tx *tx = NULL;
    struct token t;
    try_setup(tx_read(cx, store, &tx));
    struct err *e = token_verify(cx, tx, text, &t);
    must(e ? e->kind == ERR_UNAUTHENTICATED : str_eq(text, good));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CTX struct ctx cx;
    if (!store)
        setup();
    ctx_init(&cx);
    check(&cx, arena_strndup(cx.arena, (const char *)data, size));
    if (size < 3)
        return 0;
    /* The good one with a piece replaced: position, length, text. */
    char *text = arena_strdup(cx.arena, good);
    size_t len = strlen(text) - 1,
           at = ((size_t)data[0] << 8 | data[1]) % len; /* its last letter has unused bits */
    for (size_t i = 0; i + 2 < size && at + i < len; i++)
        if (data[i + 2])
            text[at + i] = (char)data[i + 2];
    check(&cx, text);
    return 0;
}
