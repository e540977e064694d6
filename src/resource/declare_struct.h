/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * No include guard: each inclusion declares one resource.
 *   #define RESOURCE server
 *   #define RESOURCE_DEF "compute/server.def"
 *   #include "resource/declare_struct.h"
 * gives struct server, enum server_f_<member>, and names server_resource (defined by its .c file).
 */
#ifndef RESOURCE_CAT
#define RESOURCE_CAT_(a, b, c) a##b##c
#define RESOURCE_CAT(a, b, c) RESOURCE_CAT_(a, b, c)
#endif

struct RESOURCE {
    struct row row;
#define FIELD(member, wire, kind, ...) ctype_##kind member;
#include RESOURCE_DEF
#undef FIELD
};

enum {
#define FIELD(member, wire, kind, ...) RESOURCE_CAT(RESOURCE, _f_, member),
#include RESOURCE_DEF
#undef FIELD
    RESOURCE_CAT(RESOURCE, _f_, count_)
};

extern const struct resource RESOURCE_CAT(RESOURCE, _, resource);

#undef RESOURCE
#undef RESOURCE_DEF
