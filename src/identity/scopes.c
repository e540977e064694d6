/* SPDX-License-Identifier: EUPL-1.2 */
/* Where a user has something to do: the projects and domains that a log-in may be for. */
#include "identity/resources.h"

/* What user $1 may use directly or through groups, with what is implied. */
#define MINE                                                                                       \
    "WITH RECURSIVE mine(type, id, inherited, role_id) AS (SELECT target_type, target_id, "        \
    "inherited, role_id FROM role_assignments WHERE (actor_type = 'user' AND actor_id = $1) OR "   \
    "(actor_type = 'group' AND actor_id IN (SELECT group_id FROM group_members WHERE user_id = "   \
    "$1)) UNION SELECT m.type, m.id, m.inherited, i.implied_id FROM mine m JOIN implied_roles i "  \
    "ON i.prior_id = m.role_id), "                                                                 \
    "good(type, id, inherited) AS (SELECT m.type, m.id, m.inherited FROM mine m JOIN roles r ON "  \
    "r.id = m.role_id WHERE r.domain_id IS NULL) "
#define PROJECTS                                                                                   \
    MINE ", below(id) AS (SELECT p.id FROM projects p JOIN good g ON g.inherited = 1 AND "         \
         "p.parent_id = g.id UNION SELECT p.id FROM projects p JOIN below b ON p.parent_id = "     \
         "b.id) SELECT id FROM good WHERE inherited = 0 AND type = 'project' UNION SELECT id "     \
         "FROM below"
#define DOMAINS MINE "SELECT id FROM good WHERE inherited = 0 AND type = 'domain'"

const struct stmt stmt_user_project_ids = {"user_project_ids", PROJECTS};

static struct err *reply(struct call *c, const char *user_id, const struct resource *res,
                         const char *where)
{
    const struct db_value user = V_TEXT(user_id);
    const struct list_more more = {.where = where, .params = &user, .n_params = 1};
    return call_reply_list(c, res, &more);
}

struct err *user_projects(struct call *c)
{
    TRY(identity_self_or_admin(c));
    return reply(c, call_param(c, "user_id"), &project_resource, "id IN (" PROJECTS ")");
}

struct err *auth_projects(struct call *c)
{
    return reply(c, c->actor->user_id, &project_resource, "enabled = 1 AND id IN (" PROJECTS ")");
}

struct err *auth_domains(struct call *c)
{
    return reply(c, c->actor->user_id, &domain_resource, "enabled = 1 AND id IN (" DOMAINS ")");
}

struct err *auth_system(struct call *c)
{
    struct role_set roles;
    TRY(roles_of(c->cx, c->tx, c->actor->user_id, "system", "system", &roles));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kraw(&w, "system", roles.n ? "[{\"all\":true}]" : "[]");
    identity_page_links(c, &w);
    jw_obj_end(&w);
    return NULL;
}
