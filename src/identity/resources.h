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
#define RESOURCE user_group
#define RESOURCE_DEF "identity/user_group.def"
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

#define RESOURCE endpoint_group
#define RESOURCE_DEF "identity/endpoint_group.def"
#include "resource/declare_struct.h"
#define RESOURCE credential
#define RESOURCE_DEF "identity/credential.def"
#include "resource/declare_struct.h"
#define RESOURCE policy
#define RESOURCE_DEF "identity/policy.def"
#include "resource/declare_struct.h"
#define RESOURCE consumer
#define RESOURCE_DEF "identity/consumer.def"
#include "resource/declare_struct.h"

#define RESOURCE trust
#define RESOURCE_DEF "identity/trust.def"
#include "resource/declare_struct.h"
#define RESOURCE access_rule
#define RESOURCE_DEF "identity/access_rule.def"
#include "resource/declare_struct.h"
#define RESOURCE registered_limit
#define RESOURCE_DEF "identity/registered_limit.def"
#include "resource/declare_struct.h"
#define RESOURCE project_limit
#define RESOURCE_DEF "identity/project_limit.def"
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
/* Finds the user, compares, counts a failure; any refusal is the same ERR_UNAUTHENTICATED, but for
 * a good password that has expired. Own transactions. */
MUST_USE struct err *password_login(struct ctx *cx, struct store *s, const json_t *user,
                                    bool expired_too, struct user **ret);
/* Too many failures in a row lock a user; a log-in that succeeds by all its methods forgets them.
 */
bool login_locked(struct ctx *cx, const struct user *u);
MUST_USE struct err *login_failed(struct ctx *cx, struct store *s, const struct user *u);
MUST_USE struct err *login_succeeded(struct ctx *cx, struct store *s, const struct user *u);
/* When a password that the user sets now will expire; 0: never. */
int64_t password_expiry(struct ctx *cx, const struct user *u);
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
    const char *const *parents; /* of the project, its domain not counted; NULL: none */
    const char *credential_id;  /* issued for this application credential */
    bool credential_unrestricted;
    bool credential_limited; /* to its access rules */
    const char *trust_id;    /* issued for this trust, with what the trustor has */
    const char *trustor_id, *trustee_id;
    const char *holder_id, *holder_domain_id; /* whose roles these are: the first trustor */
    const char *const *methods;               /* NULL-terminated */
    const char *const *roles;                 /* names, NULL-terminated, implied ones too */
    const char *const *role_ids;
    const char *audit_id, *parent_audit_id;
    int64_t issued_us, expires_us;
};
MUST_USE struct err *token_sign(struct ctx *cx, struct tx *tx, const struct token *t,
                                const char **ret_text);
/* ERR_UNAUTHENTICATED: forged, expired, revoked, or by a key that is gone. */
MUST_USE struct err *token_verify(struct ctx *cx, struct tx *tx, const char *text,
                                  struct token *ret);
/*
 * Ends every token issued so far that rests on the subject: "token" and its audit id; "user",
 * "project", "domain", "credential", "trust" and the id; "grant" and "USER:TARGET" for the user's
 * roles there; "below" and "USER:TARGET" for those inherited from there.
 */
MUST_USE struct err *token_revoke(struct ctx *cx, struct tx *tx, const char *kind,
                                  const char *subject);

/* ---- auth.c, auth_scope.c, auth_body.c */
struct err *auth_refused(struct ctx *cx);
struct err *auth_malformed(struct ctx *cx, const char *what, const char *where);
/* ret_counted: the trust that it is for has a number of uses. */
MUST_USE struct err *scope_to(struct ctx *cx, struct tx *tx, const json_t *scope,
                              const struct user *u, struct token *t, bool *ret_counted);
MUST_USE struct err *scope_credential(struct ctx *cx, struct tx *tx,
                                      const struct application_credential *a, const json_t *scope,
                                      struct token *t);
MUST_USE struct err *token_body(struct call *c, struct tx *tx, int status, const struct token *t);

/* ---- totp.c */
/* {"id" or "name", "passcode"}: as password_login. */
MUST_USE struct err *totp_check(struct ctx *cx, struct store *s, const json_t *user,
                                struct user **ret);

/* ---- trusts.c */
/* ERR_NOT_FOUND too when it has expired or is used up. */
MUST_USE struct err *trust_find(struct ctx *cx, struct tx *tx, const char *id, struct trust **ret);
/* The user whose roles it hands on: the trustor, of the first one in a chain. */
MUST_USE struct err *trust_holder(struct ctx *cx, struct tx *tx, const struct trust *t,
                                  const char **ret);

/* ---- access_rules.c */
/* The rules of an application credential, as an array. */
/* Gives it these: [{"path", "method", "service"} or {"id"}]. */
MUST_USE struct err *access_rules_take(struct call *c, const char *credential_id,
                                       const char *user_id, const json_t *rules);
/* Leaves to the actor what they allow. */
MUST_USE struct err *access_rules_allow(struct ctx *cx, struct tx *tx, const char *credential_id,
                                        struct actor *actor);
MUST_USE struct err *access_rules_write(struct ctx *cx, struct tx *tx, const char *credential_id,
                                        struct jw *w);

/* ---- application_credentials.c */
/* .before hook: the secret, given or made, and its hash. */
struct err *app_credential_secret(struct call *c);
/* Whoever knows the secret acts as the user; any refusal is the same ERR_UNAUTHENTICATED. Own
 * transactions. */
MUST_USE struct err *app_credential_login(struct ctx *cx, struct store *s, const json_t *given,
                                          struct user **ret,
                                          struct application_credential **ret_credential);

/* ---- users.c */
/* Whether a yes-or-no option is on. */
bool user_option(struct ctx *cx, const struct user *u, const char *name);

/* ---- domains.c: for domains that are spoken of as projects */
MUST_USE struct err *domain_add(struct call *c, struct domain *d);
MUST_USE struct err *domain_change(struct call *c, const struct domain *before, struct domain *d);
MUST_USE struct err *domain_take_away(struct call *c, struct domain *d);

/* ---- projects.c, project_tree.c, project_tags.c */
/* A domain too, as a project with is_domain that is not stored. */
MUST_USE struct err *project_find(struct call *c, const char *id, struct project **ret);
/* The one that the path names, if the actor may see it. */
MUST_USE struct err *project_visible(struct call *c, struct project **ret);
/* This project and those above it, nearest first, without the domain; NULL-terminated. */
MUST_USE struct err *project_parents(struct ctx *cx, struct tx *tx, const char *from,
                                     const char *domain_id, const char *const **ret);
const char *check_project_tags(struct ctx *cx, const json_t *v, json_t **ret);
int tag_index(struct ctx *cx, const char *tags, const char *tag); /* -1: it has it not */

/* ---- users.c, projects.c, groups.c, roles.c: with all that hangs on them, tokens too */
MUST_USE struct err *user_remove(struct ctx *cx, struct tx *tx, struct user *u);
MUST_USE struct err *project_remove(struct ctx *cx, struct tx *tx, struct project *p);
MUST_USE struct err *user_group_remove(struct ctx *cx, struct tx *tx, struct user_group *g);
MUST_USE struct err *role_remove(struct ctx *cx, struct tx *tx, struct role *r);

/* ---- grants.c */
struct grant {
    const char *actor_type, *actor_id;   /* "user" or "group" */
    const char *target_type, *target_id; /* "project", "domain", or "system" twice */
    const char *role_id;
    bool inherited; /* by the projects below, instead of holding there */
};
MUST_USE struct err *grant_add(struct ctx *cx, struct tx *tx, const struct grant *g);
MUST_USE struct err *grants_forget(struct ctx *cx, struct tx *tx, const char *actor_type,
                                   const char *actor_id);
MUST_USE struct err *grants_forget_target(struct ctx *cx, struct tx *tx, const char *target_id);

/* By name, both lists NULL-terminated. */
struct role_set {
    const char **names, **ids;
    size_t n;
};
/* What a user may use on a project, a domain or the system: through groups, inherited and implied
 * too. */
MUST_USE struct err *roles_of(struct ctx *cx, struct tx *tx, const char *user_id,
                              const char *target_type, const char *target_id, struct role_set *ret);
/* Leaves in the set, a user's roles now, what was handed on of it: [{"id": …}] and what these
 * imply. */
MUST_USE struct err *roles_restrict(struct ctx *cx, struct tx *tx, const char *given_json,
                                    struct role_set *set);
/* Of [{"id", "name"}]; what isn't there is NULL. */
MUST_USE struct err *roles_read(struct ctx *cx, const char *json, struct role_set *ret);

/* ---- catalog.c */
/* "/volume/v3/%(project_id)s" → "http://host:port/volume/v3/<id>"; project_id NULL: left as it is.
 */
const char *catalog_url(struct ctx *cx, const char *url, const char *base_url,
                        const char *project_id);
/* The catalogue array of a token for this project (NULL: none), as seen under base_url. */
MUST_USE struct err *catalog_write(struct ctx *cx, struct tx *tx, const char *project_id,
                                   const char *base_url, struct jw *w);

/* ---- resources.c: hooks of the fields, links */
extern const char *const endpoint_interfaces[];
/* {"self": …} */
void identity_self_link(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                        const char *id);
/* Of a list that has no further page: "links": {"self", "previous": null, "next": null}. */
void identity_page_links(struct call *c, struct jw *w);
/* "links": {"self": …} */
void identity_links(struct jw *w, struct ctx *cx, const struct view *v, const char *plural,
                    const char *id);
/* ERR_FORBIDDEN, in the words for a policy that does not allow the call. */
struct err *identity_forbidden(struct call *c);
/* For calls below /users/{user_id}: the user's own, or an administrator's. */
MUST_USE struct err *identity_self_or_admin(struct call *c);
/* A token that acts for somebody else, or with a part of what the user may, neither learns nor makes
 * nor ends what could do more. */
MUST_USE struct err *identity_not_delegated(struct call *c);
/* A domain that was not given is the actor's; it must exist. */
MUST_USE struct err *identity_take_domain(struct call *c, const char **domain_id);
/* "options" of domains, projects and roles; the members given, null takes one away. */
const char *check_resource_options(struct ctx *cx, const json_t *v, json_t **ret);
const char *merge_options(struct ctx *cx, const char *before, const char *given);
/* ERR_FORBIDDEN for what is immutable, unless the call changes options alone. */
MUST_USE struct err *check_mutable(struct call *c, const char *options, const char *type,
                                   const char *id);
