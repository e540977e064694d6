/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * No include guard: each inclusion defines one resource's static table, <name>_fields and
 * <name>_state; the .c file then writes const struct resource <name>_resource = { …,
 * RESOURCE_FIELDS(<name>) }.
 */
#ifndef RESOURCE_FIELDS
#define RESOURCE_FIELDS(r)                                                                         \
    .fields = r##_fields, .n_fields = sizeof(r##_fields) / sizeof(r##_fields[0]),                  \
    .row_size = sizeof(struct r), .state = &r##_state
#endif

static const struct field RESOURCE_CAT(RESOURCE, _, fields)[] = {
#define FIELD(member_, wire_, kind_, ...)                                                          \
    {.member = #member_,                                                                           \
     .wire = wire_,                                                                                \
     .kind = KIND_##kind_,                                                                         \
     .offset = offsetof(struct RESOURCE, member_),                                                 \
     __VA_ARGS__},
#include RESOURCE_DEF
#undef FIELD
};
static struct resource_state RESOURCE_CAT(RESOURCE, _, state);

#undef RESOURCE
#undef RESOURCE_DEF
