/* SPDX-License-Identifier: EUPL-1.2 */
/* Private to identity/: its resources and what its files share. */
#pragma once

#include "identity/identity.h"

#define RESOURCE domain
#define RESOURCE_DEF "identity/domain.def"
#include "resource/declare_struct.h"
#define RESOURCE project
#define RESOURCE_DEF "identity/project.def"
#include "resource/declare_struct.h"
#define RESOURCE user
#define RESOURCE_DEF "identity/user.def"
#include "resource/declare_struct.h"
#define RESOURCE role
#define RESOURCE_DEF "identity/role.def"
#include "resource/declare_struct.h"
#define RESOURCE region
#define RESOURCE_DEF "identity/region.def"
#include "resource/declare_struct.h"
#define RESOURCE catalog_service
#define RESOURCE_DEF "identity/catalog_service.def"
#include "resource/declare_struct.h"
#define RESOURCE endpoint
#define RESOURCE_DEF "identity/endpoint.def"
#include "resource/declare_struct.h"

#define RESOURCE application_credential
#define RESOURCE_DEF "identity/application_credential.def"
#include "resource/declare_struct.h"

const struct identity_config *identity_settings(void);

/* Handlers, statements and selections of all topics. */
#define API(method, path, handler, ...) struct err *handler(struct call *c);
#define STMT(name) extern const struct stmt name;
#define ROWS(name) extern const struct res_where name;
#include "identity/topics.def"

/* ---- password.c */
/* Argon2id with the configured cost. ERR_INVALID for a password that is too long. */
MUST_USE struct err *password_hash(struct ctx *cx, const char *password, const char **ret_hash);
bool password_matches(const char *hash, const char *password);
/* Takes as long as a real comparison: an unknown user can't be told from a wrong password by the
 * time. */
void password_waste_time(void);
/* Finds the user, compares, counts failures, locks; any refusal is the same ERR_UNAUTHENTICATED.
 * Own transactions. */
MUST_USE struct err *password_login(struct ctx *cx, struct store *s, const json_t *user,
                                    struct user **ret);
/* By "id", or by "name" and "domain"; *ret NULL: there is none. */
MUST_USE struct err *password_find_user(struct ctx *cx, struct tx *tx, const json_t *user,
                                        struct user **ret);
/* .before hook of user create and update: c->state = the hash or NULL. */
struct err *hash_given_password(struct call *c);
struct err *change_own_password_before(struct call *c);
MUST_USE struct err *password_remember(struct ctx *cx, struct tx *tx, const char *user_id,
                                       const char *hash);

/* ---- token.c */
struct token {
    const char *user_id, *user_name, *user_domain_id, *user_domain_name;
    const char *project_id, *project_name, *project_domain_id, *project_domain_name;
    const char *domain_id, *domain_name; /* domain scope */
    bool system_scope;
    const char *credential_id; /* issued for this application credential */
    bool credential_unrestricted;
    const char *const *methods; /* NULL-terminated */
    const char *const *roles;   /* names, NULL-terminated, implied ones too */
    const char *const *role_ids;
    const char *audit_id;
    int64_t issued_us, expires_us;
};
MUST_USE struct err *token_sign(struct ctx *cx, struct tx *tx, const struct token *t,
                                const char **ret_text);
/* ERR_UNAUTHENTICATED: forged, expired, revoked, or by a key that is gone. */
MUST_USE struct err *token_verify(struct ctx *cx, struct tx *tx, const char *text,
                                  struct token *ret);
/* Revokes: one token by its audit id, or every token issued so far for a user, a project, or a user
 * in a project ("u:p"). */
MUST_USE struct err *token_revoke(struct ctx *cx, struct tx *tx, const char *kind,
                                  const char *subject);

/* Every token that carries the role. */
MUST_USE struct err *token_revoke_role(struct ctx *cx, struct tx *tx, const char *role_id);

/* ---- application_credentials.c */
/* .before hook: the secret, given or made, and its hash. */
struct err *credential_secret(struct call *c);
/* Whoever knows the secret acts as the user; any refusal is the same ERR_UNAUTHENTICATED. Own
 * transactions. */
MUST_USE struct err *credential_login(struct ctx *cx, struct store *s, const json_t *given,
                                      struct user **ret,
                                      struct application_credential **ret_credential);

/* ---- roles.c */
/* Role names and ids of a user on a project, domain or the system, implied ones included; *ret_n 0:
 * none. */
struct role_set {
    const char **names, **ids;
    size_t n;
};
MUST_USE struct err *roles_of(struct ctx *cx, struct tx *tx, const char *user_id,
                              const char *target_type, const char *target_id, struct role_set *ret);
MUST_USE struct err *role_assign(struct ctx *cx, struct tx *tx, const char *user_id,
                                 const char *target_type, const char *target_id,
                                 const char *role_id);
MUST_USE struct err *assignments_forget(struct ctx *cx, struct tx *tx,
                                        const char *column_value_user, const char *target_id,
                                        const char *role_id);

/* Leaves in the set, the user's roles now, what the credential was given of it. */
MUST_USE struct err *credential_roles(struct ctx *cx, struct tx *tx,
                                      const struct application_credential *a, struct role_set *set);

/* ---- catalog.c */
/* The catalogue array of a token for this project (NULL: none), as seen under base_url. */
MUST_USE struct err *catalog_write(struct ctx *cx, struct tx *tx, const char *project_id,
                                   const char *base_url, struct jw *w);

/* ---- resources.c: hooks of the fields, links */
void user_links_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
bool user_has_default_project(const void *row, const struct view *v);
bool user_has_description(const void *row, const struct view *v);
void endpoint_url_encode(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
extern const char *const endpoint_interfaces[];
/* {"self": …} */
void identity_self_link(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                        const char *id);
/* Of a list that has no further page: "links": {"self", "previous": null, "next": null}. */
void identity_page_links(struct call *c, struct jw *w);
/* "links": {"self": …} */
void identity_links(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                    const char *id);
