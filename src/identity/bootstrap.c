/* SPDX-License-Identifier: EUPL-1.2 */
/* The first rows of a region: domain, roles, administrator, catalogue, token key. Running it again
 * completes what is missing. */
#include "identity/resources.h"

static struct err *ensure_domain(struct ctx *cx, struct tx *tx)
{
    struct domain *d = NULL;
    TRY(res_get(cx, tx, &domain_resource, "default", (void **)&d));
    if (d)
        return NULL;
    d = res_new(cx, &domain_resource);
    *d = (struct domain){.id = "default",
                         .name = "Default",
                         .description = "The default domain",
                         .enabled = true,
                         .tags = "[]",
                         .options = "{}",
                         .extra = "{}"};
    return res_insert(cx, tx, &domain_resource, d);
}

/* A new one implies the other (NULL: none); what an operator makes of it later stays. */
static struct err *ensure_role(struct ctx *cx, struct tx *tx, const char *name,
                               const char *implied_id, const char **ret_id)
{
    struct role *r = NULL;
    TRY(res_first_by(cx, tx, &roles_by_name, (void **)&r, V_TEXT(name)));
    if (!r) {
        r = res_new(cx, &role_resource);
        r->id = uuid_new_hex(cx);
        r->name = name;
        r->options = "{\"immutable\":true}";
        r->extra = "{}";
        TRY(res_insert(cx, tx, &role_resource, r));
        if (implied_id)
            TRY(db_run(cx, tx, &stmt_imply, V_TEXT(r->id), V_TEXT(implied_id)));
    }
    *ret_id = r->id;
    return NULL;
}

static struct err *role_assign(struct ctx *cx, struct tx *tx, const char *user_id,
                               const char *target_type, const char *target_id, const char *role_id)
{
    const struct grant g = {.actor_type = "user",
                            .actor_id = user_id,
                            .target_type = target_type,
                            .target_id = target_id,
                            .role_id = role_id};
    return grant_add(cx, tx, &g);
}

static struct err *ensure_project(struct ctx *cx, struct tx *tx, const char *name, const char *what,
                                  const char **ret_id)
{
    struct project *p = NULL;
    TRY(res_first_by(cx, tx, &projects_by_name, (void **)&p, V_TEXT("default"), V_TEXT(name)));
    if (!p) {
        p = res_new(cx, &project_resource);
        *p = (struct project){.id = uuid_new_hex(cx),
                              .name = name,
                              .domain_id = "default",
                              .description = what,
                              .enabled = true,
                              .parent_id = "default",
                              .tags = "[]",
                              .options = "{}",
                              .extra = "{}"};
        TRY(res_insert(cx, tx, &project_resource, p));
    }
    *ret_id = p->id;
    return NULL;
}

/* hash NULL: the password stays. */
static struct err *ensure_user(struct ctx *cx, struct tx *tx, const char *name,
                               const char *project_id, const char *hash, const char **ret_id)
{
    struct user *u = NULL;
    TRY(res_first_by(cx, tx, &users_by_name, (void **)&u, V_TEXT("default"), V_TEXT(name)));
    if (!u) {
        u = res_new(cx, &user_resource);
        *u = (struct user){.id = uuid_new_hex(cx),
                           .name = name,
                           .domain_id = "default",
                           .enabled = true,
                           .default_project_id = project_id,
                           .options = "{}",
                           .extra = "{}",
                           .password_hash = hash};
        TRY(res_insert(cx, tx, &user_resource, u));
    } else if (hash) {
        u->password_hash = hash;
        TRY(token_revoke(cx, tx, "user", u->id));
        TRY(res_update(cx, tx, &user_resource, u));
    }
    *ret_id = u->id;
    return NULL;
}

static struct err *ensure_region(struct ctx *cx, struct tx *tx, const char *name)
{
    struct region *r = NULL;
    TRY(res_get(cx, tx, &region_resource, name, (void **)&r));
    if (r)
        return NULL;
    r = res_new(cx, &region_resource);
    r->id = name;
    r->description = "";
    r->extra = "{}";
    return res_insert(cx, tx, &region_resource, r);
}

static struct err *ensure_endpoints(struct ctx *cx, struct tx *tx,
                                    const struct identity_bootstrap *b, const char *service_id,
                                    const char *path)
{
    void **rows;
    size_t n;
    const char *url = b->public_url ? arena_printf(cx->arena, "%s%s", b->public_url, path) : path;
    TRY(res_select_by(cx, tx, &endpoints_of_service, &rows, &n, V_TEXT(service_id)));
    for (size_t i = 0; i < n; i++) {
        struct endpoint *e = rows[i];
        if (!str_eq(e->region_id, b->region) || str_eq(e->url, url))
            continue;
        e->url = url;
        TRY(res_update(cx, tx, &endpoint_resource, e));
    }
    if (n)
        return NULL;
    for (const char *const *interface = endpoint_interfaces; *interface; interface++) {
        struct endpoint *e = res_new(cx, &endpoint_resource);
        *e = (struct endpoint){.id = uuid_new_hex(cx),
                               .interface = *interface,
                               .region_id = b->region,
                               .service_id = service_id,
                               .url = url,
                               .enabled = true,
                               .extra = "{}"};
        TRY(res_insert(cx, tx, &endpoint_resource, e));
    }
    return NULL;
}

static struct err *ensure_service(struct ctx *cx, struct tx *tx, const struct identity_bootstrap *b,
                                  const char *type, const char *path)
{
    static const char *const names[][2] = {{"identity", "keystone"},   {"compute", "nova"},
                                           {"image", "glance"},        {"network", "neutron"},
                                           {"volumev3", "cinderv3"},   {"placement", "placement"},
                                           {"block-storage", "cinder"}};
    struct catalog_service *s = NULL;
    const char *name = type;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        name = str_eq(type, names[i][0]) ? names[i][1] : name;
    TRY(res_first_by(cx, tx, &services_by_type, (void **)&s, V_TEXT(type)));
    if (!s) {
        s = res_new(cx, &catalog_service_resource);
        *s = (struct catalog_service){
            .id = uuid_new_hex(cx), .type = type, .name = name, .enabled = true, .extra = "{}"};
        TRY(res_insert(cx, tx, &catalog_service_resource, s));
    }
    return ensure_endpoints(cx, tx, b, s->id, path);
}

static struct err *ensure_key(struct ctx *cx, struct tx *tx)
{
    struct db_rows rows;
    TRY(db_query(cx, tx, &stmt_keys, NULL, 0, &rows));
    return rows.n_rows ? NULL : identity_new_token_key(cx, tx);
}

static struct err *ensure_demo(struct ctx *cx, struct tx *tx, const char *hash, const char *member)
{
    const char *project, *user;
    TRY(ensure_project(cx, tx, "demo", "A project to try things in", &project));
    TRY(ensure_user(cx, tx, "demo", project, hash, &user));
    return role_assign(cx, tx, user, "project", project, member);
}

static struct err *ensure_all(struct ctx *cx, struct tx *tx, const struct identity_bootstrap *b,
                              const char *admin_hash, const char *demo_hash)
{
    const char *admin, *member, *reader, *service, *project, *user;
    TRY(ensure_domain(cx, tx));
    TRY(ensure_role(cx, tx, "reader", NULL, &reader));
    TRY(ensure_role(cx, tx, "member", reader, &member));
    TRY(ensure_role(cx, tx, "admin", member, &admin));
    TRY(ensure_role(cx, tx, "service", NULL, &service));
    TRY(ensure_project(cx, tx, "admin", "The operator's own project", &project));
    TRY(ensure_user(cx, tx, "admin", project, admin_hash, &user));
    TRY(role_assign(cx, tx, user, "project", project, admin));
    TRY(role_assign(cx, tx, user, "domain", "default", admin));
    TRY(role_assign(cx, tx, user, "system", "system", admin));
    if (demo_hash)
        TRY(ensure_demo(cx, tx, demo_hash, member));
    TRY(ensure_region(cx, tx, b->region));
    for (const char *const *s = b->service_types; s && s[0]; s += 2)
        TRY(ensure_service(cx, tx, b, s[0], s[1]));
    return ensure_key(cx, tx);
}

static struct err *user_exists(struct ctx *cx, struct store *s, const char *name, bool *ret)
{
    AUTO_TXN struct tx *tx = NULL;
    struct user *u = NULL;
    TRY(tx_read(cx, s, &tx));
    TRY(res_first_by(cx, tx, &users_by_name, (void **)&u, V_TEXT("default"), V_TEXT(name)));
    *ret = u != NULL;
    return NULL;
}

/* The hash to set, or NULL: a password that somebody may have changed since is left alone at a mere
 * start. */
static struct err *hash_for(struct ctx *cx, struct store *s, const struct identity_bootstrap *b,
                            const char *name, const char *password, const char **ret_hash)
{
    bool exists = false;
    *ret_hash = NULL;
    TRY(user_exists(cx, s, name, &exists));
    return password && !(exists && b->keep_passwords) ? password_hash(cx, password, ret_hash)
                                                      : NULL;
}

struct err *identity_bootstrap(struct ctx *cx, struct store *s, const struct identity_bootstrap *b,
                               const char **ret_password)
{
    const char *admin_hash = NULL, *demo_hash = NULL, *password = b->admin_password;
    bool exists = false;
    uint8_t secret[18];
    for (size_t i = 0; i < identity_service.n_resources; i++)
        resource_init(identity_service.resources[i]);
    TRY(user_exists(cx, s, "admin", &exists));
    if (!password && !exists) {
        rng_bytes(rng_system(), secret, sizeof(secret));
        password = base64url_encode(cx, secret, sizeof(secret));
    }
    TRY(hash_for(cx, s, b, "admin", password, &admin_hash));
    TRY(hash_for(cx, s, b, "demo", b->demo_password, &demo_hash));
    AUTO_TXN struct tx *tx = NULL;
    TRY(tx_write(cx, s, &tx));
    TRY(ensure_all(cx, tx, b, admin_hash, demo_hash));
    *ret_password = password;
    return tx_commit(cx, &tx);
}

struct err *identity_admin_project(struct ctx *cx, struct store *s, const char **ret_id)
{
    AUTO_TXN struct tx *tx = NULL;
    struct project *p = NULL;
    TRY(tx_read(cx, s, &tx));
    TRY(res_first_by(cx, tx, &projects_by_name, (void **)&p, V_TEXT("default"), V_TEXT("admin")));
    if (!p)
        return fail(cx, ERR_NOT_FOUND,
                    "There is no project 'admin': run 'colvert admin bootstrap'");
    *ret_id = p->id;
    return NULL;
}
