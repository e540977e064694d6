/* SPDX-License-Identifier: EUPL-1.2 */
/* What lists of providers and of candidates ask for: amounts, traits, aggregates. */
#include "placement/impl.h"

static struct err *bad_value(struct call *c, const char *name, const char *value,
                             const char *reason)
{
    return fail_type(c->cx, ERR_INVALID, "placement.query.bad_value",
                     "Invalid query string parameter %s=%s: %s", name, value, reason);
}

/* ---------------------------------------------------------------- resources=VCPU:2,MEMORY_MB:512
 */

static struct err *read_amount(struct call *c, const char *part, const char *all, struct wish *w)
{
    const char *colon = strchr(part, ':');
    int64_t amount;
    if (!colon || !str_to_i64(colon + 1, 1, INT32_MAX, &amount))
        return bad_value(c, "resources", all, "CLASS:AMOUNT is needed, such as VCPU:2");
    const char *name = arena_strndup(c->cx->arena, part, (size_t)(colon - part));
    int room = room_find(name);
    if (room < 0 && !class_known(name))
        return bad_value(c, "resources", all,
                         arena_printf(c->cx->arena, "there is no resource class %s", name));
    if (room < 0)
        w->elsewhere = true;
    else
        w->amounts[room] = amount;
    w->has_amounts = true;
    return NULL;
}

static struct err *read_resources(struct call *c, const char *text, struct wish *w)
{
    char **parts;
    size_t n = str_split(c->cx, text, ',', &parts);
    for (size_t i = 0; i < n; i++)
        TRY(read_amount(c, parts[i], text, w));
    return NULL;
}

/* ---------------------------------------------------------------- required=, member_of= */

/* "A", "!A", "in:A,B", "!in:A,B" */
static struct any_of read_any(struct call *c, const char *text)
{
    struct any_of a = {.none = *text == '!'};
    text += a.none;
    text += str_starts(text, "in:") ? strlen("in:") : 0;
    a.n = str_split(c->cx, text, ',', &a.names);
    return a;
}

static struct err *add(struct call *c, const char *name, const char *text, struct any_of *list,
                       size_t *n)
{
    if (*n == CONDITIONS_MAX)
        return bad_value(c, name, text, "there are too many of them");
    list[(*n)++] = read_any(c, text);
    return NULL;
}

static struct err *check_traits(struct call *c, const char *text, const struct any_of *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (!trait_valid(a->names[i]))
            return bad_value(c, "required", text,
                             arena_printf(c->cx->arena, "no such trait: %s", a->names[i]));
    return NULL;
}

/* "A,!B": all of them; "in:A,B": one. */
static struct err *read_required(struct call *c, const char *text, struct wish *w)
{
    char **parts = (char *[]){(char *)(uintptr_t)text};
    bool one = str_starts(text, "in:");
    size_t n = one ? 1 : str_split(c->cx, text, ',', &parts);
    if (one && c->microversion < 39)
        return bad_value(c, "required", text, "'in:' is known since 1.39");
    for (size_t i = 0; i < n; i++) {
        if (*parts[i] == '!' && c->microversion < 22)
            return bad_value(c, "required", text, "'!' is known since 1.22");
        TRY(add(c, "required", parts[i], w->traits, &w->n_traits));
        TRY(check_traits(c, text, &w->traits[w->n_traits - 1]));
    }
    return NULL;
}

static struct err *read_member_of(struct call *c, const char *text, struct wish *w)
{
    TRY(add(c, "member_of", text, w->aggregates, &w->n_aggregates));
    const struct any_of *a = &w->aggregates[w->n_aggregates - 1];
    if (a->none && c->microversion < 32)
        return bad_value(c, "member_of", text, "'!' is known since 1.32");
    for (size_t i = 0; i < a->n; i++)
        if (!uuid_valid(a->names[i]))
            return bad_value(c, "member_of", text, "uuids are needed");
    return NULL;
}

/* ---------------------------------------------------------------- all of them */

static struct err *read_uuid(struct call *c, const char *name, const char *text, const char **ret)
{
    *ret = text;
    return uuid_valid(text) ? NULL : bad_value(c, name, text, "a uuid is needed");
}

static struct err *read_one(struct call *c, const char *name, const char *value, struct wish *w)
{
    static const struct {
        const char *name;
        unsigned since;
    } args[] = {{"member_of", 3}, {"resources", 4}, {"in_tree", 14}, {"required", 17}};
    for (size_t i = 0; i < ARRAY_LEN(args); i++)
        if (str_eq(args[i].name, name) && c->microversion < args[i].since)
            return bad_value(c, name, value,
                             arena_printf(c->cx->arena, "it is known since 1.%u", args[i].since));
    if (str_eq(name, "name"))
        w->name = value;
    else if (str_eq(name, "uuid"))
        return read_uuid(c, name, value, &w->uuid);
    else if (str_eq(name, "in_tree"))
        return read_uuid(c, name, value, &w->in_tree);
    else if (str_eq(name, "resources"))
        return read_resources(c, value, w);
    else if (str_eq(name, "member_of"))
        return read_member_of(c, value, w);
    else if (str_eq(name, "required") || str_eq(name, "root_required"))
        return read_required(c, value, w); /* a host is its own root */
    else if (str_eq(name, "limit"))
        return str_to_i64(value, 1, INT32_MAX, &w->limit)
                   ? NULL
                   : bad_value(c, name, value, "a number above 0 is needed");
    else if (str_eq(name, "group_policy"))
        return NULL; /* of one group nothing can be told apart */
    else
        return fail(c->cx, ERR_INVALID,
                    "Invalid query string parameters: '%s' is not known here; hosts are single "
                    "providers, so groups with suffixes make no sense",
                    name);
    return NULL;
}

struct err *wish_read(struct call *c, struct wish *ret)
{
    *ret = (struct wish){0};
    for (size_t i = 0; i < c->rq->n_args; i++)
        TRY(read_one(c, c->rq->args[i].name, c->rq->args[i].value, ret));
    return NULL;
}

/* ---------------------------------------------------------------- does it fit? */

static bool has_any(const struct any_of *a, const char *const *names, size_t n)
{
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < n; k++)
            if (str_eq(a->names[i], names[k]))
                return true;
    return false;
}

static bool fits_all(const struct any_of *list, size_t n_list, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n_list; i++)
        if (has_any(&list[i], names, n) == list[i].none)
            return false;
    return true;
}

static bool has_room(const struct wish *w, const struct place_host *h)
{
    for (size_t i = 0; i < ROOMS; i++) {
        const struct room_kind *r = &room_kinds[i];
        if (w->amounts[i] && (w->amounts[i] > room_of(h, r->total) ||
                              w->amounts[i] > room_of(h, r->can) - room_of(h, r->used)))
            return false;
    }
    return !w->elsewhere;
}

bool wish_fits(const struct wish *w, const struct provider *p)
{
    return (!w->name || str_eq(w->name, p->h.name)) && (!w->uuid || str_eq(w->uuid, p->h.id)) &&
           (!w->in_tree || str_eq(w->in_tree, p->h.id)) && has_room(w, &p->h) &&
           fits_all(w->traits, w->n_traits, p->h.traits, p->h.n_traits) &&
           fits_all(w->aggregates, w->n_aggregates, p->aggregates, p->n_aggregates);
}
