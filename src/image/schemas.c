/* SPDX-License-Identifier: EUPL-1.2 */
/* JSON schemas of what the API takes and gives, written from the tables. */
#include "image/metadefs.h"

static void schema_of(struct jw *w, const char *name, const struct resource *res)
{
    jw_obj(w);
    jw_kstr(w, "name", name);
    if (res == &metadef_part_resource) {
        metadef_write_members(w, name);
        jw_kbool(w, "additionalProperties", false);
        jw_obj_end(w);
        return;
    }
    jw_kobj(w, "properties");
    for (size_t i = 0; i < res->n_fields; i++) {
        const struct field *f = &res->fields[i];
        if (f->flags & F_HIDDEN)
            continue;
        jw_kobj(w, f->wire);
        jw_karr(w, "type");
        jw_str(w, field_json_type(f));
        if (f->flags & F_NULL)
            jw_str(w, "null");
        jw_arr_end(w);
        jw_kstr(w, "description", f->doc);
        if (!(f->flags & F_RW))
            jw_kbool(w, "readOnly", true);
        jw_obj_end(w);
    }
    jw_obj_end(w);
    if (res->extra == EXTRA_KEEP)
        jw_kraw(w, "additionalProperties", "{\"type\":\"string\"}");
    jw_obj_end(w);
}

struct schema {
    const char *one, *many; /* names in paths and documents; many NULL: only one */
    const char *name, *names;
    const struct resource *res;
};

static struct err *reply(struct call *c, const struct schema *all, size_t n)
{
    const char *asked = call_param(c, "schema");
    for (size_t i = 0; i < n; i++) {
        bool plural = str_eq(asked, all[i].many);
        if (!plural && !str_eq(asked, all[i].one))
            continue;
        struct jw w = call_json(c, 200);
        if (plural) {
            jw_obj(&w);
            jw_kstr(&w, "name", all[i].names);
            jw_kobj(&w, "properties");
            jw_kobj(&w, all[i].names);
            jw_kstr(&w, "type", "array");
            jw_key(&w, "items");
        }
        schema_of(&w, all[i].name, all[i].res);
        for (int k = 0; plural && k < 3; k++)
            jw_obj_end(&w);
        return NULL;
    }
    return fail(c->cx, ERR_NOT_FOUND, "There is no schema '%s'", asked);
}

struct err *image_schema(struct call *c)
{
    static const struct schema all[] = {
        {"image", "images", "image", "images", &image_resource},
        {"member", "members", "member", "members", &member_resource},
        {"task", "tasks", "task", "tasks", &task_resource},
    };
    return reply(c, all, ARRAY_LEN(all));
}

struct err *image_metadef_schema(struct call *c)
{
    static const struct schema all[] = {
        {"namespace", "namespaces", "namespace", "namespaces", &metadef_namespace_resource},
        {"object", "objects", "object", "objects", &metadef_part_resource},
        {"property", "properties", "property", "properties", &metadef_part_resource},
        {"tag", "tags", "tag", "tags", &metadef_part_resource},
        {"resource_type", "resource_types", "resource_type_association",
         "resource_type_associations", &metadef_association_resource},
    };
    return reply(c, all, ARRAY_LEN(all));
}
