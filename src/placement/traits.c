/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Traits: what hosts can do. A host has some by itself (its CPU's, what this cloud does); an
 * administrator adds others, standard ones or CUSTOM_ ones that were made before.
 */
#include "placement/impl.h"

#define CUSTOM "CUSTOM_"

/* os-traits' namespaces. */
static const char *const namespaces[] = {"COMPUTE_", "HW_", "MISC_", "OWNER_", "STORAGE_"};

static bool is_standard(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
        if (str_starts(name, namespaces[i]))
            return true;
    return false;
}

bool trait_valid(const char *name)
{
    if (strlen(name) > 255 || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
        return false;
    return is_standard(name) || (str_starts(name, CUSTOM) && name[strlen(CUSTOM)]);
}

/* ---------------------------------------------------------------- all traits */

struct names {
    const char **all;
    size_t n;
};

static bool is_in(const struct names *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->all[i], name))
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those that hosts have, and (unless associated) those made and given to none. */
static struct err *collect(struct call *c, bool associated, struct names *ret)
{
    struct provider *providers;
    struct db_rows made = {0};
    size_t n, most = 0;
    TRY(providers_load(c, &providers, &n));
    if (!associated)
        TRY(compute_traits(c->cx, c->tx, &made));
    for (size_t i = 0; i < n; i++)
        most += providers[i].h.n_traits;
    *ret = (struct names){arena_new_array(c->cx->arena, const char *, most + made.n_rows + 1), 0};
    const char *const *last = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct place_host *h = &providers[i].h;
        for (size_t k = 0; h->traits != last && k < h->n_traits; k++) /* many share one list */
            if (!is_in(ret, h->traits[k]))
                ret->all[ret->n++] = h->traits[k];
        last = h->traits;
    }
    for (size_t i = 0; i < made.n_rows; i++)
        if (!is_in(ret, db_text(&made, i, 0)))
            ret->all[ret->n++] = db_text(&made, i, 0);
    qsort(ret->all, ret->n, sizeof(*ret->all), compare_names);
    return NULL;
}

/* name=startswith:CUSTOM_ or name=in:A,B */
static struct err *read_filter(struct call *c, const char **ret_prefix, struct names *ret_in)
{
    const char *text = http_arg(c->rq, "name");
    char **parts;
    *ret_prefix = NULL;
    *ret_in = (struct names){0};
    if (text && str_starts(text, "startswith:")) {
        *ret_prefix = text + strlen("startswith:");
    } else if (text && str_starts(text, "in:")) {
        ret_in->n = str_split(c->cx, text + strlen("in:"), ',', &parts);
        ret_in->all = (const char **)parts;
    } else if (text) {
        return fail_type(c->cx, ERR_INVALID, "placement.query.bad_value",
                         "Badly formatted name parameter. Expected name query string parameter in "
                         "form: ?name=[in|startswith]:[name1,name2|prefix]. Got: \"%s\"",
                         text);
    }
    return NULL;
}

struct err *trait_list(struct call *c)
{
    const char *prefix, *associated = http_arg(c->rq, "associated");
    struct names all, in;
    bool only = false;
    if (associated && !str_to_bool(associated, &only))
        return fail_type(c->cx, ERR_INVALID, "placement.query.bad_value",
                         "The query parameter 'associated' only accepts 'true' or 'false'");
    TRY(read_filter(c, &prefix, &in));
    TRY(collect(c, only, &all));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "traits");
    for (size_t i = 0; i < all.n; i++)
        if ((!prefix || str_starts(all.all[i], prefix)) && (!in.all || is_in(&in, all.all[i])))
            jw_str(&w, all.all[i]);
    jw_arr_end(&w);
    jw_obj_end(&w);
    return NULL;
}

struct err *trait_show(struct call *c)
{
    struct names all;
    TRY(collect(c, false, &all));
    if (!is_in(&all, call_param(c, "name")))
        return fail(c->cx, ERR_NOT_FOUND, "No such trait: %s", call_param(c, "name"));
    call_reply_empty(c, 204);
    return NULL;
}

struct err *trait_update(struct call *c)
{
    const char *name = call_param(c, "name");
    bool made;
    if (!str_starts(name, CUSTOM) || !trait_valid(name))
        return fail(c->cx, ERR_INVALID,
                    "The trait is invalid. A valid trait must be no longer than 255 characters, "
                    "start with the prefix \"CUSTOM_\" and use following characters: \"A\"-\"Z\", "
                    "\"0\"-\"9\" and \"_\"");
    TRY(compute_trait_make(c->cx, c->tx, name, &made));
    http_reply_header(c->rp, c->cx, "Location",
                      arena_printf(c->cx->arena, "%s/placement/traits/%s", c->rq->base_url, name));
    call_reply_empty(c, made ? 201 : 204);
    return NULL;
}

struct err *trait_delete(struct call *c)
{
    const char *name = call_param(c, "name");
    if (!str_starts(name, CUSTOM))
        return fail(c->cx, ERR_INVALID, "Cannot delete standard trait %s", name);
    TRY(compute_trait_drop(c->cx, c->tx, name));
    call_reply_empty(c, 204);
    return NULL;
}

/* ---------------------------------------------------------------- of a host */

static void reply_traits(struct call *c, const struct provider *p)
{
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "traits");
    for (size_t i = 0; i < p->h.n_traits; i++)
        jw_str(&w, p->h.traits[i]);
    jw_arr_end(&w);
    jw_kint(&w, "resource_provider_generation", p->h.generation);
    jw_obj_end(&w);
}

struct err *provider_traits(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    reply_traits(c, &p);
    return NULL;
}

/* A custom one must have been made. */
static struct err *check_given(struct call *c, const json_t *v, const struct names *known)
{
    const char *name = json_string_value(v);
    if (!name || !trait_valid(name) || (str_starts(name, CUSTOM) && !is_in(known, name)))
        return fail(c->cx, ERR_INVALID, "No such trait: %s", json_python(c->cx, v));
    return NULL;
}

struct err *provider_set_traits(struct call *c)
{
    struct provider p;
    struct names known;
    TRY(provider_find(c, &p));
    const json_t *list = json_get(c->json, "traits");
    if (!json_is_array(list))
        return fail(c->cx, ERR_INVALID, "JSON does not validate: 'traits' is a required property");
    TRY(check_generation(c, &p));
    TRY(collect(c, false, &known));
    size_t n = json_array_size(list);
    const char **names = arena_new_array(c->cx->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        TRY(check_given(c, json_array_get(list, i), &known));
        names[i] = json_string_value(json_array_get(list, i));
    }
    TRY(compute_host_set_traits(c->cx, c->tx, p.h.id, names, n));
    TRY(provider_find(c, &p));
    reply_traits(c, &p);
    return NULL;
}

struct err *provider_drop_traits(struct call *c)
{
    struct provider p;
    TRY(provider_find(c, &p));
    TRY(compute_host_set_traits(c->cx, c->tx, p.h.id, NULL, 0));
    call_reply_empty(c, 204);
    return NULL;
}
