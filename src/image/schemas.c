/* SPDX-License-Identifier: EUPL-1.2 */
/* JSON schemas of what the API takes and gives, written from the tables. */
#include "image/resources.h"

static void schema_of(struct jw *w, const struct resource *res)
{
    jw_obj(w);
    jw_kstr(w, "name", res->name);
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

struct err *image_schema(struct call *c)
{
    const char *name = call_param(c, "schema");
    const struct resource *const all[] = {&image_resource, &member_resource};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        bool plural = str_eq(name, all[i]->plural);
        if (!plural && !str_eq(name, all[i]->name))
            continue;
        struct jw w = call_json(c, 200);
        if (plural) {
            jw_obj(&w);
            jw_kstr(&w, "name", all[i]->plural);
            jw_kobj(&w, "properties");
            jw_kobj(&w, all[i]->plural);
            jw_kstr(&w, "type", "array");
            jw_key(&w, "items");
        }
        schema_of(&w, all[i]);
        for (int k = 0; plural && k < 3; k++)
            jw_obj_end(&w);
        return NULL;
    }
    return fail(c->cx, ERR_NOT_FOUND, "There is no schema '%s'", name);
}
