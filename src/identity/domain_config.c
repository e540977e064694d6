/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * A domain's configuration: settings for another source of users (LDAP), kept and given back as
 * they are. Users of every domain are Colvert's own: nothing here changes who may log in.
 */
#include "identity/resources.h"

#define VALUE_MAX 65535

const struct stmt stmt_config = {
    "domain_config", "SELECT section, name, value FROM domain_configs WHERE domain_id = $1 AND ($2 "
                     "= '' OR section = $2) AND ($3 = '' OR name = $3) ORDER BY section, name"};
const struct stmt stmt_config_set = {
    "domain_config_set",
    "INSERT INTO domain_configs (domain_id, section, name, value) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (domain_id, section, name) DO UPDATE SET value = excluded.value"};
const struct stmt stmt_config_forget = {
    "domain_config_forget", "DELETE FROM domain_configs WHERE domain_id = $1 AND ($2 = '' OR "
                            "section = $2) AND ($3 = '' OR name = $3)"};

static const struct option {
    const char *section, *name, *dflt;
    bool secret;
} options[] = {
#define OPTION(section, name, dflt) {#section, #name, dflt, false},
#define SECRET(section, name, dflt) {#section, #name, dflt, true},
#include "identity/domain_options.def"
#undef OPTION
#undef SECRET
};

/* Name NULL: any of the section. */
static const struct option *find_option(const char *section, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (str_eq(options[i].section, section) && (!name || str_eq(options[i].name, name)))
            return &options[i];
    return NULL;
}

static struct err *unsupported(struct ctx *cx, const char *section, const char *name)
{
    if (!find_option(section, NULL))
        return fail(cx, ERR_FORBIDDEN,
                    "Invalid domain specific configuration: Group %s is not supported for domain "
                    "specific configurations.",
                    section);
    if (name && !find_option(section, name))
        return fail(cx, ERR_FORBIDDEN,
                    "Invalid domain specific configuration: Option %s in group %s is not supported "
                    "for domain specific configurations.",
                    name, section);
    return NULL;
}

/* ---------------------------------------------------------------- which part */

/* Of the path: all, a section, or one of its options ("": not named). */
struct part {
    const char *domain, *section, *name;
};

static const char *param_or_empty(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->n_params; i++)
        if (str_eq(c->params[i].name, name))
            return c->params[i].value;
    return "";
}

static struct err *part_of(struct call *c, struct part *p)
{
    void *row;
    *p = (struct part){call_param(c, "domain_id"), param_or_empty(c, "group"),
                       param_or_empty(c, "option")};
    TRY(res_find(c->cx, c->tx, &domain_resource, p->domain, &row));
    return *p->section ? unsupported(c->cx, p->section, *p->name ? p->name : NULL) : NULL;
}

static struct err *rows_of(struct call *c, const struct part *p, struct db_rows *rows)
{
    const struct db_value params[] = {V_TEXT(p->domain), V_TEXT(p->section), V_TEXT(p->name)};
    return db_query(c->cx, c->tx, &stmt_config, params, 3, rows);
}

static struct err *none(struct call *c, const struct part *p)
{
    const char *what =
        *p->name      ? arena_printf(c->cx->arena, "option %s in group %s", p->name, p->section)
        : *p->section ? arena_printf(c->cx->arena, "group %s", p->section)
                      : "any options";
    return fail(c->cx, ERR_NOT_FOUND, "Could not find %s in domain configuration for domain %s.",
                what, p->domain);
}

/* ---------------------------------------------------------------- showing it */

/* {"config": {"ldap": {"url": …}}}, or of one option {"config": {"url": …}}. */
static struct err *reply_part(struct call *c, int status, const struct part *p, size_t *ret_shown)
{
    struct db_rows rows;
    const char *open = NULL;
    *ret_shown = 0;
    TRY(rows_of(c, p, &rows));
    struct jw w = call_json(c, status);
    jw_obj(&w);
    jw_kobj(&w, "config");
    for (size_t i = 0; i < rows.n_rows; i++) {
        const char *section = db_text(&rows, i, 0), *name = db_text(&rows, i, 1);
        const struct option *o = find_option(section, name);
        if (!o || o->secret)
            continue;
        if (!*p->name && !str_eq(open, section)) {
            if (open)
                jw_obj_end(&w);
            jw_kobj(&w, section);
            open = section;
        }
        jw_kraw(&w, name, db_text(&rows, i, 2));
        ++*ret_shown;
    }
    if (open)
        jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *domain_config_show(struct call *c)
{
    struct part p;
    size_t shown;
    TRY(part_of(c, &p));
    TRY(reply_part(c, 200, &p, &shown));
    return shown ? NULL : none(c, &p);
}

struct err *config_defaults(struct call *c)
{
    const char *section = param_or_empty(c, "group"), *name = param_or_empty(c, "option"),
               *open = NULL;
    if (*section)
        TRY(unsupported(c->cx, section, *name ? name : NULL));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "config");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];
        if (o->secret || (*section && !str_eq(o->section, section)) ||
            (*name && !str_eq(o->name, name)))
            continue;
        if (!*name && !str_eq(open, o->section)) {
            if (open)
                jw_obj_end(&w);
            jw_kobj(&w, o->section);
            open = o->section;
        }
        jw_kraw(&w, o->name, o->dflt);
    }
    if (open)
        jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return NULL;
}

/* Passwords have no rules of their own here, which is what these say. */
struct err *password_rules_show(struct call *c)
{
    static const char *const rules[] = {"password_regex", "password_regex_description"};
    const char *name = param_or_empty(c, "option");
    bool found = false;
    if (!str_eq(call_param(c, "domain_id"), "default"))
        return fail(c->cx, ERR_FORBIDDEN,
                    "Reading security compliance information for any domain other than the default "
                    "domain is not allowed or supported.");
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_kobj(&w, "config");
    if (!*name)
        jw_kobj(&w, "security_compliance");
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (*name && !str_eq(rules[i], name))
            continue;
        jw_knull(&w, rules[i]);
        found = true;
    }
    if (!*name)
        jw_obj_end(&w);
    jw_obj_end(&w);
    jw_obj_end(&w);
    return found ? NULL : unsupported(c->cx, "security_compliance", name);
}

/* ---------------------------------------------------------------- changing it */

static struct err *invalid(struct call *c, const char *reason)
{
    return fail(c->cx, ERR_FORBIDDEN, "Invalid domain specific configuration: %s.", reason);
}

static struct err *set_option(struct call *c, const char *domain, const char *section,
                              const char *name, const json_t *value)
{
    const char *text = json_text(c->cx, value);
    TRY(unsupported(c->cx, section, name));
    if (strlen(text) > VALUE_MAX)
        return fail(c->cx, ERR_INVALID, "The value of option %s in group %s is too long", name,
                    section);
    return db_run(c->cx, c->tx, &stmt_config_set, V_TEXT(domain), V_TEXT(section), V_TEXT(name),
                  V_TEXT(text));
}

static struct err *set_section(struct call *c, const char *domain, const char *section,
                               const json_t *values)
{
    const char *name;
    json_t *value;
    TRY(unsupported(c->cx, section, NULL));
    if (!json_is_object(values))
        return invalid(c, arena_printf(c->cx->arena,
                                       "The value of group %s specified in the config should be a "
                                       "dictionary of options",
                                       section));
    json_object_foreach((json_t *)(uintptr_t)values, name, value)
        TRY(set_option(c, domain, section, name, value));
    return NULL;
}

static struct err *set_all(struct call *c, const char *domain, const json_t *config)
{
    const char *section;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)config, section, values)
        TRY(set_section(c, domain, section, values));
    return NULL;
}

static struct err *config_of_body(struct call *c, const json_t **ret)
{
    *ret = json_get(c->json, "config");
    if (!json_is_object(*ret))
        return fail(c->cx, ERR_INVALID,
                    "Invalid input for field 'config': 'config' is a required property");
    return json_object_size(*ret) ? NULL : invalid(c, "No options specified");
}

/* All of it anew. */
struct err *domain_config_put(struct call *c)
{
    const json_t *config;
    struct db_rows before;
    struct part p;
    size_t shown;
    TRY(part_of(c, &p));
    TRY(config_of_body(c, &config));
    TRY(rows_of(c, &p, &before));
    TRY(db_run(c->cx, c->tx, &stmt_config_forget, V_TEXT(p.domain), V_TEXT(""), V_TEXT("")));
    TRY(set_all(c, p.domain, config));
    return reply_part(c, before.n_rows ? 200 : 201, &p, &shown);
}

/* A part named by the path must be there already, and the body be of it alone. */
static struct err *update_part(struct call *c, const struct part *p, const json_t *config)
{
    struct db_rows before;
    const char *only = *p->name ? p->name : p->section;
    const json_t *value = json_get(config, only);
    if (json_object_size(config) != 1 || !value)
        return invalid(c, arena_printf(c->cx->arena,
                                       "Trying to update %s %s, so that, and only that, must be "
                                       "specified in the config",
                                       *p->name ? "option" : "group", only));
    TRY(rows_of(c, p, &before));
    if (!before.n_rows)
        return none(c, p);
    return *p->name ? set_option(c, p->domain, p->section, p->name, value)
                    : set_section(c, p->domain, p->section, value);
}

/* Answered with the whole configuration. */
struct err *domain_config_update(struct call *c)
{
    const json_t *config;
    struct part p;
    size_t shown;
    TRY(part_of(c, &p));
    TRY(config_of_body(c, &config));
    TRY(*p.section ? update_part(c, &p, config) : set_all(c, p.domain, config));
    const struct part whole = {p.domain, "", ""};
    return reply_part(c, 200, &whole, &shown);
}

struct err *domain_config_delete(struct call *c)
{
    struct db_rows before;
    struct part p;
    TRY(part_of(c, &p));
    TRY(rows_of(c, &p, &before));
    if (!before.n_rows)
        return none(c, &p);
    TRY(db_run(c->cx, c->tx, &stmt_config_forget, V_TEXT(p.domain), V_TEXT(p.section),
               V_TEXT(p.name)));
    call_reply_empty(c, 204);
    return NULL;
}
