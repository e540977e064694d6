/* SPDX-License-Identifier: EUPL-1.2 */
/* Members: the projects a shared image is shared with. The owner adds and removes them, each member
 * accepts or rejects. */
#include "image/resources.h"

#define MEMBERS_MAX 128

const struct res_where members_of_image = {&member_resource, "image_id = $1",
                                           "created_at, member_id"};
const struct stmt stmt_members_forget = {"image_members_forget",
                                         "DELETE FROM image_members WHERE image_id = $1"};

static const char *key_of(struct ctx *cx, const char *image_id, const char *project_id)
{
    return arena_printf(cx->arena, "%s/%s", image_id, project_id);
}

struct err *member_find(struct ctx *cx, struct tx *tx, const char *image_id, const char *project_id,
                        struct member **ret)
{
    return res_get(cx, tx, &member_resource, key_of(cx, image_id, project_id ? project_id : ""),
                   (void **)ret);
}

static bool is_owner(const struct call *c, const struct image *i)
{
    return c->actor->admin || str_eq(i->owner, c->actor->project_id);
}

static struct err *image_of(struct call *c, struct image **ret)
{
    return res_find_visible(c->cx, c->tx, &image_resource, call_param(c, "image_id"), c->actor,
                            (void **)ret);
}

struct err *member_list(struct call *c)
{
    struct image *i = NULL;
    void **rows;
    size_t n;
    struct view v = call_view(c);
    TRY(image_of(c, &i));
    if (!str_eq(i->visibility, "shared"))
        return fail(c->cx, ERR_FORBIDDEN, "Only shared images have members.");
    TRY(res_select_by(c->cx, c->tx, &members_of_image, &rows, &n, V_TEXT(i->id)));
    struct jw w = call_json(c, 200);
    jw_obj(&w);
    jw_karr(&w, "members");
    for (size_t k = 0; k < n; k++)
        if (is_owner(c, i) || str_eq(ROW(member, rows, k)->member_id, c->actor->project_id))
            res_encode(c->cx, &w, &member_resource, rows[k], &v);
    jw_arr_end(&w);
    jw_kstr(&w, "schema", "/v2/schemas/members");
    jw_obj_end(&w);
    return NULL;
}

static struct err *check_room(struct call *c, const struct image *i)
{
    void **rows;
    size_t n;
    TRY(res_select_by(c->cx, c->tx, &members_of_image, &rows, &n, V_TEXT(i->id)));
    if (n < MEMBERS_MAX)
        return NULL;
    return fail(c->cx, ERR_TOO_LARGE,
                "The limit has been exceeded on the number of allowed image members for this "
                "image. Attempted: %zu, Maximum: %d",
                n + 1, MEMBERS_MAX);
}

struct err *member_create(struct call *c)
{
    struct image *i = NULL;
    struct member *m = NULL;
    const char *project = json_get_str(c->json, "member");
    TRY(image_own(c, &i));
    if (!project || !*project || strlen(project) > 64)
        return fail(c->cx, ERR_INVALID,
                    "The body names the project to share with: {\"member\": \"<project id>\"}");
    if (!str_eq(i->visibility, "shared"))
        return fail(c->cx, ERR_FORBIDDEN, "Only shared images have members.");
    TRY(check_room(c, i));
    TRY(member_find(c->cx, c->tx, i->id, project, &m));
    if (m)
        return fail(c->cx, ERR_EXISTS, "Image member %s already exists", project);
    m = res_new(c->cx, &member_resource);
    m->id = key_of(c->cx, i->id, project);
    m->member_id = project;
    m->image_id = i->id;
    m->status = "pending";
    TRY(res_insert(c->cx, c->tx, &member_resource, m));
    return call_reply_row(c, 200, &member_resource, m);
}

/* The owner sees every member, a member itself. */
static struct err *member_of(struct call *c, struct image **ret_image, struct member **ret)
{
    const char *project = call_param(c, "member_id");
    TRY(image_of(c, ret_image));
    TRY(member_find(c->cx, c->tx, (*ret_image)->id, project, ret));
    if (!*ret || (!is_owner(c, *ret_image) && !str_eq(project, c->actor->project_id)))
        return fail(c->cx, ERR_NOT_FOUND, "%s not found in the member list of the image %s.",
                    project, (*ret_image)->id);
    return NULL;
}

struct err *member_show(struct call *c)
{
    struct image *i = NULL;
    struct member *m = NULL;
    TRY(member_of(c, &i, &m));
    return call_reply_row(c, 200, &member_resource, m);
}

struct err *member_update(struct call *c)
{
    struct image *i = NULL;
    struct member *m = NULL;
    TRY(member_of(c, &i, &m));
    if (!c->actor->admin && !str_eq(m->member_id, c->actor->project_id))
        return fail(c->cx, ERR_FORBIDDEN,
                    "Only the member itself accepts or rejects a shared image.");
    if (!json_get_str(c->json, "status"))
        return fail(c->cx, ERR_INVALID,
                    "The body says what becomes of the image: {\"status\": \"accepted\"}");
    json_t *body = json_own(c->cx, json_copy(c->json));
    if (str_eq(json_get_str(body, "member"), m->member_id)) /* clients repeat who they are */
        json_object_del(body, "member");
    TRY(res_decode(c->cx, c->service->family, &member_resource, body, DECODE_UPDATE, 0,
                   c->actor->admin, m));
    TRY(res_update(c->cx, c->tx, &member_resource, m));
    return call_reply_row(c, 200, &member_resource, m);
}

struct err *member_delete(struct call *c)
{
    struct image *i = NULL;
    struct member *m = NULL;
    TRY(image_own(c, &i));
    TRY(member_of(c, &i, &m));
    TRY(res_delete(c->cx, c->tx, &member_resource, m));
    call_reply_empty(c, 204);
    return NULL;
}
