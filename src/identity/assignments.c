/* SPDX-License-Identifier: EUPL-1.2 */
/* GET /v3/role_assignments: the grants as they were made, or (effective) what they come to: one row
 * for each member of a group, each project below an inherited one, each role that is implied. */
#include "identity/resources.h"

/* $1 user, $2 group, $3 role, $4 project, $5 domain, $6 system, $7 'projects': inherited only,
 * 'none': not inherited, $8 'tree': the projects below $4 too. '' stands for any. */
#define TREE                                                                                       \
    "tree(id) AS (SELECT CAST($4 AS TEXT) UNION SELECT p.id FROM projects p JOIN tree t ON "       \
    "p.parent_id = t.id WHERE $8 = 'tree'), "
#define NAMED_ROWS                                                                                 \
    "SELECT x.actor_type, x.actor_id, x.target_type, x.target_id, x.role_id, x.inherited, x.via, " \
    "x.from_type, x.from_id, x.prior_id, r.name, r.domain_id, rd.name, COALESCE(u.name, g.name), " \
    "ad.id, ad.name, COALESCE(p.name, d.name), pd.id, pd.name FROM found x "                       \
    "JOIN roles r ON r.id = x.role_id LEFT JOIN domains rd ON rd.id = r.domain_id "                \
    "LEFT JOIN users u ON x.actor_type = 'user' AND u.id = x.actor_id "                            \
    "LEFT JOIN user_groups g ON x.actor_type = 'group' AND g.id = x.actor_id "                     \
    "LEFT JOIN domains ad ON ad.id = COALESCE(u.domain_id, g.domain_id) "                          \
    "LEFT JOIN projects p ON x.target_type = 'project' AND p.id = x.target_id "                    \
    "LEFT JOIN domains pd ON pd.id = p.domain_id "                                                 \
    "LEFT JOIN domains d ON x.target_type = 'domain' AND d.id = x.target_id "                      \
    "WHERE ($1 = '' OR (x.actor_type = 'user' AND x.actor_id = $1)) AND ($2 = '' OR "              \
    "(x.actor_type "                                                                               \
    "= 'group' AND x.actor_id = $2)) AND ($3 = '' OR x.role_id = $3) AND ($4 = '' OR "             \
    "(x.target_type = 'project' AND x.target_id IN (SELECT id FROM tree))) AND ($5 = '' OR "       \
    "(x.target_type = 'domain' AND x.target_id = $5)) AND ($6 = '' OR x.target_type = 'system') "  \
    "AND ($7 = '' OR ($7 = 'projects') = (x.inherited = 1)) "
#define IN_ORDER                                                                                   \
    "ORDER BY x.actor_type DESC, x.actor_id, x.target_type, x.target_id, r.name, x.via, "          \
    "x.from_id, "                                                                                  \
    "x.prior_id"

const struct stmt stmt_assignments = {
    "assignments",
    "WITH RECURSIVE " TREE "found AS (SELECT a.*, '' AS via, '' AS from_type, '' AS from_id, '' AS "
    "prior_id FROM role_assignments a) " NAMED_ROWS IN_ORDER};
const struct stmt stmt_assignments_effective = {
    "assignments_effective",
    "WITH RECURSIVE " TREE "below(top, id) AS (SELECT parent_id, id FROM projects UNION SELECT "
    "b.top, p.id FROM below b JOIN projects p ON p.parent_id = b.id), "
    "people(user_id, via, target_type, target_id, role_id, inherited) AS (SELECT actor_id, '', "
    "target_type, target_id, role_id, inherited FROM role_assignments WHERE actor_type = 'user' "
    "AND "
    "($1 = '' OR actor_id = $1) UNION ALL SELECT m.user_id, m.group_id, a.target_type, "
    "a.target_id, "
    "a.role_id, a.inherited FROM role_assignments a JOIN group_members m ON m.group_id = "
    "a.actor_id "
    "WHERE a.actor_type = 'group' AND ($1 = '' OR m.user_id = $1)), "
    "placed(user_id, via, target_type, target_id, role_id, inherited, from_type, from_id) AS "
    "(SELECT user_id, via, target_type, target_id, role_id, 0, '', '' FROM people WHERE inherited "
    "= "
    "0 UNION ALL SELECT x.user_id, x.via, 'project', b.id, x.role_id, 1, x.target_type, "
    "x.target_id "
    "FROM people x JOIN below b ON b.top = x.target_id WHERE x.inherited = 1), "
    "closed AS (SELECT user_id, via, target_type, target_id, role_id, inherited, from_type, "
    "from_id, '' AS prior_id FROM placed UNION SELECT c.user_id, c.via, c.target_type, "
    "c.target_id, "
    "i.implied_id, c.inherited, c.from_type, c.from_id, i.prior_id FROM closed c JOIN "
    "implied_roles "
    "i ON i.prior_id = c.role_id), "
    "found AS (SELECT 'user' AS actor_type, user_id AS actor_id, target_type, target_id, role_id, "
    "inherited, via, from_type, from_id, prior_id FROM closed) " NAMED_ROWS
    "AND r.domain_id IS NULL " IN_ORDER};

/* The columns of NAMED_ROWS, in order. */
enum {
    ACTOR_TYPE,
    ACTOR,
    TARGET_TYPE,
    TARGET,
    ROLE,
    INHERITED,
    VIA,
    FROM_TYPE,
    FROM,
    PRIOR,
    ROLE_NAME,
    ROLE_DOMAIN,
    ROLE_DOMAIN_NAME,
    ACTOR_NAME,
    ACTOR_DOMAIN,
    ACTOR_DOMAIN_NAME,
    TARGET_NAME,
    TARGET_DOMAIN,
    TARGET_DOMAIN_NAME
};

struct listing {
    struct call *c;
    const struct db_rows *rows;
    bool names;
};

static void named(struct jw *w, const struct listing *l, const char *key, size_t i, int id,
                  int name, int domain)
{
    jw_kobj(w, key);
    jw_kstr(w, "id", db_text(l->rows, i, (size_t)id));
    if (l->names) {
        jw_kstr(w, "name", db_text(l->rows, i, (size_t)name));
        if (domain && db_text(l->rows, i, (size_t)domain)) {
            jw_kobj(w, "domain");
            jw_kstr(w, "id", db_text(l->rows, i, (size_t)domain));
            jw_kstr(w, "name", db_text(l->rows, i, (size_t)domain + 1));
            jw_obj_end(w);
        }
    }
    jw_obj_end(w);
}

/* Where the grant that this comes from stands. */
static const char *grant_link(const struct listing *l, size_t i)
{
    const struct db_rows *r = l->rows;
    struct arena *a = l->c->cx->arena;
    bool inherited = db_int(r, i, INHERITED) == 1;
    const char *type = *db_text(r, i, FROM_TYPE) ? db_text(r, i, FROM_TYPE)
                                                 : db_text(r, i, TARGET_TYPE),
               *id = *db_text(r, i, FROM) ? db_text(r, i, FROM) : db_text(r, i, TARGET),
               *via = db_text(r, i, VIA), *prior = db_text(r, i, PRIOR);
    const char *where = str_eq(type, "system") ? "system" : arena_printf(a, "%ss/%s", type, id);
    const char *who =
        *via ? arena_printf(a, "groups/%s", via)
             : arena_printf(a, "%ss/%s", db_text(r, i, ACTOR_TYPE), db_text(r, i, ACTOR));
    return arena_printf(
        a, "%s%s/%s/%s/roles/%s%s", call_base_url(l->c), inherited ? "/OS-INHERIT" : "", where, who,
        *prior ? prior : db_text(r, i, ROLE), inherited ? "/inherited_to_projects" : "");
}

static void write_links(struct jw *w, const struct listing *l, size_t i)
{
    const struct db_rows *r = l->rows;
    struct arena *a = l->c->cx->arena;
    const char *base = call_base_url(l->c), *via = db_text(r, i, VIA),
               *prior = db_text(r, i, PRIOR);
    jw_kobj(w, "links");
    jw_kstr(w, "assignment", grant_link(l, i));
    if (*via)
        jw_kstr(w, "membership",
                arena_printf(a, "%s/groups/%s/users/%s", base, via, db_text(r, i, ACTOR)));
    if (*prior)
        jw_kstr(w, "prior_role",
                arena_printf(a, "%s/roles/%s/implies/%s", base, prior, db_text(r, i, ROLE)));
    jw_obj_end(w);
}

static void write_row(struct jw *w, const struct listing *l, size_t i)
{
    const struct db_rows *r = l->rows;
    const char *type = db_text(r, i, TARGET_TYPE);
    jw_obj(w);
    named(w, l, "role", i, ROLE, ROLE_NAME, ROLE_DOMAIN);
    named(w, l, db_text(r, i, ACTOR_TYPE), i, ACTOR, ACTOR_NAME, ACTOR_DOMAIN);
    jw_kobj(w, "scope");
    if (str_eq(type, "system"))
        jw_kraw(w, "system", "{\"all\":true}");
    else
        named(w, l, type, i, TARGET, TARGET_NAME, TARGET_DOMAIN);
    if (db_int(r, i, INHERITED))
        jw_kstr(w, "OS-INHERIT:inherited_to", "projects");
    jw_obj_end(w);
    write_links(w, l, i);
    jw_obj_end(w);
}

/* A filter that is there without a value is meant. */
static bool flag(const struct call *c, const char *name)
{
    const char *text = http_arg(c->rq, name);
    bool b = true;
    return text && (!str_to_bool(text, &b) || b);
}

static const char *arg(const struct call *c, const char *name)
{
    const char *text = http_arg(c->rq, name);
    return text ? text : "";
}

/* Filters that exclude each other, or together find nothing ever. */
static struct err *check_filters(struct call *c, bool effective, bool tree)
{
    static const char *const apart[][3] = {
        {"scope.domain.id", "scope.project.id", "Specify a domain or project, not both"},
        {"scope.domain.id", "scope.system", "Specify system or domain, not both"},
        {"scope.project.id", "scope.system", "Specify system or project, not both"},
        {"user.id", "group.id", "Specify a user or group, not both"}};
    for (size_t i = 0; i < ARRAY_LEN(apart); i++)
        if (*arg(c, apart[i][0]) && *arg(c, apart[i][1]))
            return fail(c->cx, ERR_INVALID, "%s", apart[i][2]);
    if (effective && *arg(c, "group.id"))
        return fail(c->cx, ERR_INVALID,
                    "Combining effective and group filter will always result in an empty list.");
    if (effective && *arg(c, "scope.domain.id") && *arg(c, "scope.OS-INHERIT:inherited_to"))
        return fail(c->cx, ERR_INVALID,
                    "Combining effective, domain and inherited filters will always result in an "
                    "empty list.");
    if (tree && !*arg(c, "scope.project.id"))
        return fail(c->cx, ERR_INVALID,
                    "scope.project.id must be specified if include_subtree is also specified");
    return NULL;
}

struct err *assignment_list(struct call *c)
{
    bool effective = flag(c, "effective"), tree = flag(c, "include_subtree");
    struct db_rows rows;
    struct listing l = {c, &rows, flag(c, "include_names")};
    TRY(check_filters(c, effective, tree));
    const struct db_value params[] = {V_TEXT(arg(c, "user.id")),
                                      V_TEXT(arg(c, "group.id")),
                                      V_TEXT(arg(c, "role.id")),
                                      V_TEXT(arg(c, "scope.project.id")),
                                      V_TEXT(arg(c, "scope.domain.id")),
                                      V_TEXT(arg(c, "scope.system")),
                                      V_TEXT(arg(c, "scope.OS-INHERIT:inherited_to")),
                                      V_TEXT(tree ? "tree" : "")};
    TRY(db_query(c->cx, c->tx, effective ? &stmt_assignments_effective : &stmt_assignments, params,
                 ARRAY_LEN(params), &rows));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "role_assignments");
    for (size_t i = 0; i < rows.n_rows; i++)
        write_row(&w, &l, i);
    jw_arr_end(&w);
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}
