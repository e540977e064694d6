/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Resources declared once: a .def table of FIELD rows gives the struct, the SQL table, strict
 * decoding, encoding, filters, sorting, paging and the OpenAPI schema. This header has the types;
 * declare_struct.h and declare_fields.h turn a .def into C.
 *
 *   FIELD(member, "wire name", KIND, attributes…)
 */
#pragma once

#include "store/store.h"

/* Kinds, their C type in the struct, and their column. */
typedef const char *ctype_UUID; /* TEXT */
typedef const char *ctype_STR;  /* TEXT; NULL pointer is SQL NULL */
typedef int64_t ctype_INT;      /* BIGINT; INT_NULL is SQL NULL */
typedef bool ctype_BOOL;        /* BIGINT 0/1, never NULL */
typedef int64_t ctype_TIME;     /* BIGINT microseconds; 0 is SQL NULL */
typedef const char *ctype_JSON; /* TEXT, any JSON; .check validates */
typedef const char *ctype_MAP;  /* TEXT, a JSON object of strings; .max bounds keys and values */
typedef const char *ctype_LIST; /* TEXT, a JSON array of strings */
#define INT_NULL INT64_MIN

enum field_kind {
    KIND_UUID,
    KIND_STR,
    KIND_INT,
    KIND_BOOL,
    KIND_TIME,
    KIND_JSON,
    KIND_MAP,
    KIND_LIST
};

enum field_flags {
    F_CREATE = 1 << 0, /* a client may give it at creation */
    F_UPDATE = 1 << 1, /* … and change it later */
    F_RW = F_CREATE | F_UPDATE,
    F_RO = 0,
    F_REQ = 1 << 2,        /* required at creation */
    F_NULL = 1 << 3,       /* may be null, in JSON and SQL */
    F_BRIEF = 1 << 4,      /* also in the short list form */
    F_ADMIN = 1 << 5,      /* shown to administrators only */
    F_ADMIN_SET = 1 << 6,  /* set by administrators only */
    F_HIDDEN = 1 << 7,     /* a column that is never shown */
    F_VIRTUAL = 1 << 8,    /* no column: shown through .encode, or only read from the body */
    F_FILTER = 1 << 9,     /* a list filter of this name */
    F_SORT = 1 << 10,      /* a sort key */
    F_LAX = 1 << 11,       /* numbers and booleans also as strings, as the field's API takes them */
    F_NOT_SHOWN = 1 << 12, /* accepted and kept in the struct, not encoded (F_VIRTUAL input) */
    F_REPEAT =
        1 << 13, /* not to be changed, but an update may repeat what it is (virtual: anything) */
    F_NULL_DFLT = 1 << 14 /* null in a body stands for the default */
};

struct row {
    uint64_t set[2];    /* which fields the body gave, by index */
    int64_t generation; /* compare-and-swap; 0: not stored yet */
    bool partial;       /* some columns were not read: never written back */
    void *extra;        /* what .prepare loaded for encoding */
};

struct view {
    bool brief;
    bool admin;
    unsigned microversion; /* minor: 2.26 is 26 */
    const char
        *base_url; /* "http://host:port/compute/v2.1": of the service, without trailing slash */
    const char *const *fields; /* only these wire names (neutron's fields=); NULL: all */
    size_t n_fields;
    const struct actor *actor;
    void *call; /* the struct call, for hooks that want it */
};

struct field {
    const char *member; /* also the column */
    const char *wire;
    enum field_kind kind;
    size_t offset;
    unsigned flags;
    int64_t min, max; /* length of strings in characters, range of numbers; max 0: 255 for STR, none
                         for others */
    const char *dflt; /* default as text: a string, a number, "true", or JSON */
    const char *const *values; /* NULL-terminated: the only ones allowed */
    const char *ref;           /* plural of the resource it names (documentation) */
    const char *also;          /* a second wire name for the same value: project_id and tenant_id */
    const char *query; /* another name in queries, as filter and sort key: "image" for imageRef */
    unsigned since, until; /* microversions; 0: any */
    const char *fk;        /* "table(id)" for a foreign key */
    /* Further validation: NULL, or the reason why not. May give another form to keep (owned by cx).
     */
    const char *(*check)(struct ctx *cx, const json_t *v, json_t **ret_canonical);
    /* Writes the value (not the key) instead of the default form. */
    void (*encode)(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
    bool (*shown)(const void *row, const struct view *v); /* NULL: by the flags alone */
    bool (*offered)(const struct view *v); /* the same, alike for all rows of a reply */
    const int *needs; /* columns beside its own that .encode and .shown look at: NEEDS(…) */
    const int *(*needs_in)(const struct view *v); /* further ones, that not every view shows */
    const char *doc;
};
/* Of fields, by index: NEEDS(server_f_state, server_f_fault_code). */
#define NEEDS(...) ((const int[]){__VA_ARGS__, -1})

struct res_index {
    const char *name, *columns;
    bool unique;
    const char *where; /* partial; NULL: all rows */
};

enum extra_members { EXTRA_REJECT, EXTRA_IGNORE, EXTRA_KEEP };

/* What a selection reads of a row. */
struct projection {
    const struct field **fields;
    size_t n_fields;
    const char *columns; /* "id, name, …, generation" in the fields' order */
    const void *empty;   /* a row that nothing was read into */
    bool partial;
};

/* SQL texts, built once by resource_init(). */
struct resource_state {
    bool ready;
    struct projection whole;
    const char *insert, *get, *update, *del;
};

struct resource {
    const char *name,
        *plural;       /* wrap bodies and lists: "server", "servers"; unwrapped: see .bare */
    const char *table; /* NULL: only a body, never stored */
    const struct field *fields;
    size_t n_fields, row_size;
    struct resource_state *state;
    bool bare;                  /* bodies are not wrapped in {"name": …} (image) */
    enum extra_members extra;   /* members that no field names; EXTRA_KEEP: into .extra_member */
    int extra_member;           /* index of the field that takes them: MAP (texts only) or JSON; a
                                   hidden one's members are shown beside the fields */
    int owner;                  /* index of the project field, or -1: belongs to nobody */
    const char *key;            /* column of the primary key; NULL: "id" */
    const char *schema;         /* image: its lists' schema, below /v2/schemas; NULL: .plural */
    const char *not_found;      /* message with one %s for the id */
    const char *not_found_type; /* the service's own error type */
    const struct res_index *indexes;
    size_t n_indexes;
    enum time_style time_style;
    /* Whether somebody who does not own it may see it (shared, public). NULL: no. */
    bool (*visible)(struct ctx *cx, struct tx *tx, const void *row, const struct actor *actor);
    /* What .prepare and .encode_more look at. Where it is not NULL all hooks have said what they
     * need, and lists read no column that the reply doesn't: their rows have others empty. */
    const int *needs;
    /* Loads, for all rows at once, what encoding needs beside the row itself (into row.extra). */
    struct err *(*prepare)(struct ctx *cx, struct tx *tx, void *const *rows, size_t n,
                           const struct view *v);
    /* Members beyond the fields: links. */
    void (*encode_more)(struct ctx *cx, struct jw *w, const void *row, const struct view *v);
    /* A first sort order for lists; NULL: created_at, id where there is one, else the key. */
    const char *dflt_sort; /* "created_at:desc,id:desc" */
    const char *doc;
};

static inline bool row_given(const struct row *r, int field)
{
    return r->set[field / 64] >> (field % 64) & 1;
}
static inline void row_give(struct row *r, int field)
{
    r->set[field / 64] |= (uint64_t)1 << (field % 64);
}
const struct field *resource_field(const struct resource *res,
                                   const char *wire); /* NULL: none; knows .also */
int resource_field_index(const struct resource *res, const struct field *f);
static inline struct row *row_of(void *row)
{
    return row; /* struct row is the first member of each resource's struct */
}

/* ---- decode.c */
struct family; /* how an API family words and renders errors: family.h */
enum decode_mode { DECODE_CREATE, DECODE_UPDATE };
/*
 * Strict: unknown, read-only, too new, missing, null, mistyped, too long members are refused in the
 * family's words. CREATE fills defaults. UPDATE changes only what is given; row holds the stored
 * values before.
 */
MUST_USE struct err *res_decode(struct ctx *cx, const struct family *fam,
                                const struct resource *res, const json_t *obj,
                                enum decode_mode mode, unsigned microversion, bool admin,
                                void *row);
/* Takes the object out of its wrapper {"server": {…}} (or as it is for bare ones), then the same.
 */
MUST_USE struct err *res_decode_body(struct ctx *cx, const struct family *fam,
                                     const struct resource *res, const json_t *body,
                                     enum decode_mode mode, unsigned microversion, bool admin,
                                     void *row);
/* How Python prints a value: 'text', None, True, ['a'] — clients match messages that contain it. */
const char *json_python(struct ctx *cx, const json_t *j);

/* Ready .check hooks. */
const char *check_uuid(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_ip(struct ctx *cx, const json_t *v, json_t **ret); /* canonical by RFC 5952 */
const char *check_ipv4(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_ipv6(struct ctx *cx, const json_t *v, json_t **ret);
const char *check_cidr(struct ctx *cx, const json_t *v, json_t **ret); /* host bits cleared */
const char *check_mac(struct ctx *cx, const json_t *v, json_t **ret);  /* lower case with colons */
const char *check_object(struct ctx *cx, const json_t *v, json_t **ret);

/* ---- openapi.c */
/* JSON Schema's name of a field's type; KIND_JSON may be any and has none of its own. */
const char *field_json_type(const struct field *f);

/* ---- encode.c */
/* The object; .prepare must have been called (res_prepare). */
void res_encode(struct ctx *cx, struct jw *w, const struct resource *res, const void *row,
                const struct view *v);
/* What is the same for many rows, found out once. */
struct encode_step {
    const struct field *field;
    const char *key; /* "name": as it is written */
    size_t key_size;
};
struct encoder {
    const struct resource *res;
    const struct view *view;
    struct encode_step *steps;
    size_t n_steps;
};
struct encoder res_encoder(struct ctx *cx, const struct resource *res, const struct view *v);
void res_encode_by(struct ctx *cx, struct jw *w, const struct encoder *e, const void *row);
MUST_USE struct err *res_prepare(struct ctx *cx, struct tx *tx, const struct resource *res,
                                 void *const *rows, size_t n, const struct view *v);

/* ---- sql.c */
void resource_init(
    const struct resource *res); /* builds the SQL texts; asserts that the table is sound */
const char *resource_ddl(struct ctx *cx, const struct resource *res);
void *res_new(struct ctx *cx,
              const struct resource *res); /* zeroed, INTs that may be NULL are INT_NULL */
MUST_USE struct err *res_insert(struct ctx *cx, struct tx *tx, const struct resource *res,
                                void *row);
/* *ret is NULL when there is none. */
MUST_USE struct err *res_get(struct ctx *cx, struct tx *tx, const struct resource *res,
                             const char *id, void **ret);
/* ERR_NOT_FOUND in the resource's words when there is none. */
MUST_USE struct err *res_find(struct ctx *cx, struct tx *tx, const struct resource *res,
                              const char *id, void **ret);
/* As res_find, within what the actor may see: a stranger's id looks like one that doesn't exist. */
MUST_USE struct err *res_find_visible(struct ctx *cx, struct tx *tx, const struct resource *res,
                                      const char *id, const struct actor *actor, void **ret);
struct err *res_not_found(struct ctx *cx, const struct resource *res, const char *id);
/* Every column, where the generation is still the row's (else ERR_STALE); updated_at is set if
 * there is one. */
MUST_USE struct err *res_update(struct ctx *cx, struct tx *tx, const struct resource *res,
                                void *row);
MUST_USE struct err *res_delete(struct ctx *cx, struct tx *tx, const struct resource *res,
                                void *row);

/* A declared selection of rows: "SELECT … FROM table WHERE <where> [ORDER BY <order>]". */
struct res_where {
    const struct resource *res;
    const char *where; /* "network_id = $1" */
    const char *order; /* may be NULL */
    /* Members, NULL at the end: only these are read, the others are empty. NULL: whole rows. */
    const char *const *only;
};
MUST_USE struct err *res_select(struct ctx *cx, struct tx *tx, const struct res_where *q,
                                const struct db_value *params, size_t n_params, void ***ret_rows,
                                size_t *ret_n);
#define res_select_by(cx, tx, q, ret_rows, ret_n, ...)                                             \
    res_select(cx, tx, q, (const struct db_value[]){__VA_ARGS__},                                  \
               sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value), ret_rows, \
               ret_n)
/* The first such row or NULL. */
MUST_USE struct err *res_first(struct ctx *cx, struct tx *tx, const struct res_where *q,
                               const struct db_value *params, size_t n_params, void **ret);
#define res_first_by(cx, tx, q, ret, ...)                                                          \
    res_first(cx, tx, q, (const struct db_value[]){__VA_ARGS__},                                   \
              sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value), ret)
const char *res_where_sql(struct ctx *cx, const struct res_where *q);

/*
 * Statements with IN_BATCH in them ("id IN " IN_BATCH, no other parameters) are run until all ids
 * had their turn, many of them at once where there are many. Sorted within each turn only.
 */
#define IN_BATCH "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
MUST_USE struct err *db_each_in(struct ctx *cx, struct tx *tx, const struct stmt *st,
                                const char *const *ids, size_t n, db_row_fn *fn, void *arg);
MUST_USE struct err *res_select_in(struct ctx *cx, struct tx *tx, const struct res_where *q,
                                   const char *const *ids, size_t n, void ***ret_rows,
                                   size_t *ret_n);
/* Of a selection without parameters, the rows whose field is one of these ids. Where fewer rows
 * than ids are selected in all, that is quicker than looking for each id. */
MUST_USE struct err *res_select_of(struct ctx *cx, struct tx *tx, const struct res_where *q,
                                   int field, const char *const *ids, size_t n, void ***ret_rows,
                                   size_t *ret_n);
/* Row i of an array res_select gave, as its type. */
#define ROW(type, rows, i) ((struct type *)(rows)[i])

/* ---- for list.c */
/* The columns that this encoder, and whoever looks at these fields (may be NULL), needs. */
struct projection res_needed(struct ctx *cx, const struct encoder *e, const int *more);
void *res_row_from(struct ctx *cx, const struct resource *res, const struct projection *p,
                   const struct db_value *cells, size_t n);
struct db_value res_value(const struct resource *res, const struct field *f, const void *row);
