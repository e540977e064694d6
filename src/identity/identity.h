/* SPDX-License-Identifier: EUPL-1.2 */
/* What the wiring needs of the identity service. */
#pragma once

#include "resource/api.h"
#include "store/lease.h"

extern const struct service identity_service;

struct identity_config {
    const char *region;
    const char *public_url; /* "http://127.0.0.1:5000": in the catalogue; NULL: as the client
                               addressed us */
    int64_t token_ttl_s;    /* default 3600 */
    int64_t token_key_days; /* a key signs no longer; 0: until another is made by hand */
    int64_t lockout_attempts, lockout_s, unique_last_passwords; /* 0: off */
    int64_t password_expires_days;                              /* 0: never */
    bool change_password_upon_first_use; /* a password that an administrator chose */
    bool forbid_rescope;                 /* a scoped token is not good for another */
    uint64_t argon2_mem_kib, argon2_ops; /* OWASP: 19456 KiB, 2 */
};
/* Once, at start, before requests. Texts are kept by reference. */
void identity_configure(const struct identity_config *cfg);

/* For api_hooks. */
struct err *identity_authenticate(struct ctx *cx, struct tx *tx, const char *token,
                                  struct actor *ret);

struct identity_bootstrap {
    const char *admin_password; /* NULL: keep the present one, or make one */
    const char *public_url, *region;
    const char *demo_password; /* NULL: no demo user and project */
    bool keep_passwords;       /* of users that are there already: the two above are for new ones */
    const char *const
        *service_types; /* "compute", … with their paths: NULL-terminated pairs type, path */
};
/* Idempotent: domain default, roles, admin, catalogue, first token key. ret_password: the new admin
 * password, NULL if kept. */
MUST_USE struct err *identity_bootstrap(struct ctx *cx, struct store *s,
                                        const struct identity_bootstrap *b,
                                        const char **ret_password);
/* The id of the operator's own project, which bootstrap made. */
MUST_USE struct err *identity_admin_project(struct ctx *cx, struct store *s, const char **ret_id);
/* Signs from now on; older keys go on verifying. */
MUST_USE struct err *identity_new_token_key(struct ctx *cx, struct tx *tx);
/* A new key when the last one is too old; those go whose tokens are all over. By the lease's
 * holder.
 */
MUST_USE struct err *identity_rotate_keys(struct ctx *cx, struct store *s,
                                          const struct lease *lease, size_t *ret_changed);
/* Public halves of the token keys, as a JSON array [{"id","public_key"}] (agents verify calls of
 * the control plane). */
MUST_USE struct err *identity_token_keys(struct ctx *cx, struct tx *tx, struct jw *w);
