/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Private to image/: metadata definitions, a catalogue of what properties of images, flavors and
 * volumes mean. Namespaces hold objects, properties and tags ("parts"), and say which types of
 * resources they are for.
 */
#pragma once

#include "image/resources.h"

#define RESOURCE metadef_namespace
#define RESOURCE_DEF "image/metadef_namespace.def"
#include "resource/declare_struct.h"
#define RESOURCE metadef_part
#define RESOURCE_DEF "image/metadef_part.def"
#include "resource/declare_struct.h"
#define RESOURCE metadef_type
#define RESOURCE_DEF "image/metadef_type.def"
#include "resource/declare_struct.h"
#define RESOURCE metadef_association
#define RESOURCE_DEF "image/metadef_association.def"
#include "resource/declare_struct.h"

/* ---- metadef_checks.c: what a definition may say */
const char *check_metadef_property(struct ctx *cx, const json_t *v);
const char *check_metadef_object(struct ctx *cx, const json_t *v);
const char *check_metadef_tag(struct ctx *cx, const json_t *v);
const char *check_metadef_properties(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_metadef_objects(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_metadef_tags(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_metadef_types(struct ctx *cx, const json_t *v, json_t **ret);

/* The members of a definition as a JSON schema has them: "properties" and "required". */
void metadef_write_members(struct jw *w, const char *kind);

/* ---- metadef_namespaces.c */
/* The path's namespace, if the actor sees it. */
MUST_USE struct err *metadef_namespace_of(struct call *c, struct metadef_namespace **ret);

/* ---- metadef_parts.c */
enum metadef_kind { METADEF_OBJECT, METADEF_PROPERTY, METADEF_TAG };
/* As a part of this kind says it (name included); ERR_EXISTS when there is one of the name. */
MUST_USE struct err *metadef_part_add(struct call *c, const struct metadef_namespace *ns,
                                      enum metadef_kind kind, const char *name, const json_t *body);
/* All of a namespace's parts as members "properties", "objects", "tags"; none of an empty kind. */
MUST_USE struct err *metadef_parts_write(struct call *c, const struct metadef_namespace *ns,
                                         const char *prefix, struct jw *w);

/* ---- metadef_types.c */
MUST_USE struct err *metadef_associate(struct call *c, const struct metadef_namespace *ns,
                                       const json_t *association, struct metadef_association **ret);
/* The prefix of the query's resource_type in this namespace; "" without. */
MUST_USE struct err *metadef_prefix_asked(struct call *c, const struct metadef_namespace *ns,
                                          const char **ret);
