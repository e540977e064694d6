/* SPDX-License-Identifier: EUPL-1.2 */
/* See settings.h. */
#include "cmd/settings.h"
#include <ctype.h>

enum kind { TEXT, NUMBER, FLAG };

static const struct row {
    const char *key;
    enum kind kind;
    const char *dflt;
    int64_t min, max;
    const char *doc;
    size_t offset;
} rows[] = {
#define SETTING(member, kind, dflt, min, max, doc)                                                 \
    {#member, kind, dflt, min, max, doc, offsetof(struct settings, member)},
#include "cmd/settings.def"
#undef SETTING
};

static const char default_file[] = "/etc/colvert/colvert.conf";

/* Settings are read once, at start; their texts live as long as the process. */
static const char *keep(const char *text)
{
    static struct arena *kept;
    kept = kept ? kept : arena_new();
    return arena_strdup(kept, text);
}

static struct err *set(struct ctx *cx, struct settings *s, const struct row *r, const char *value,
                       const char *where)
{
    void *p = (char *)s + r->offset;
    switch (r->kind) {
    case TEXT:
        *(const char **)p = keep(value);
        return NULL;
    case NUMBER:
        if (!str_to_i64(value, r->min, r->max, p))
            return fail(cx, ERR_INVALID,
                        "%s: %s must be a number from %" PRId64 " to %" PRId64 ", not '%s'", where,
                        r->key, r->min, r->max, value);
        return NULL;
    case FLAG:
        if (!str_to_bool(value, p))
            return fail(cx, ERR_INVALID, "%s: %s must be true or false, not '%s'", where, r->key,
                        value);
        return NULL;
    }
    return NULL;
}

void settings_defaults(struct settings *s)
{
    AUTO_CTX struct ctx cx;
    ctx_init(&cx);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        must(!set(&cx, s, &rows[i], rows[i].dflt, "default"));
}

/* "key-name" or "key_name" */
static const struct row *find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t k = 0;
        while (k < len && rows[i].key[k] &&
               (name[k] == rows[i].key[k] || (name[k] == '-' && rows[i].key[k] == '_')))
            k++;
        if (k == len && !rows[i].key[k])
            return &rows[i];
    }
    return NULL;
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    char *end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = 0;
    return s;
}

static struct err *read_line(struct ctx *cx, struct settings *s, char *line, const char *where)
{
    line = trim(line);
    if (!*line || *line == '#')
        return NULL;
    char *eq = strchr(line, '=');
    if (!eq)
        return fail(cx, ERR_INVALID, "%s: expected 'key = value'", where);
    *eq = 0;
    const char *key = trim(line);
    const struct row *r = find(key, strlen(key));
    if (!r)
        return fail(cx, ERR_INVALID,
                    "%s: unknown setting '%s' ('colvert schema config' lists them)", where, key);
    return set(cx, s, r, trim(eq + 1), where);
}

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

struct err *settings_read(struct ctx *cx, struct settings *s, const char *path)
{
    __attribute__((cleanup(close_file))) FILE *f = fopen(path ? path : default_file, "re");
    char line[4096];
    if (!f && !path && errno == ENOENT)
        return NULL;
    if (!f)
        return fail(cx, ERR_INVALID, "cannot read the configuration %s: %m",
                    path ? path : default_file);
    for (int n = 1; fgets(line, sizeof(line), f); n++)
        TRY(read_line(cx, s, line,
                      arena_printf(cx->arena, "%s:%d", path ? path : default_file, n)));
    return NULL;
}

static const char *variable_of(const struct row *r, char *buf, size_t size)
{
    snprintf(buf, size, "COLVERT_%s", r->key);
    for (char *p = buf; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return buf;
}

struct err *settings_environment(struct ctx *cx, struct settings *s)
{
    char name[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *value = getenv(variable_of(&rows[i], name, sizeof(name)));
        if (value)
            TRY(set(cx, s, &rows[i], value, arena_strdup(cx->arena, name)));
    }
    return NULL;
}

void settings_forget_environment(void)
{
    char name[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        unsetenv(variable_of(&rows[i], name, sizeof(name)));
}

/* The state's URL may hold the database's password; a token lets a host join. */
static bool is_secret(const struct row *r)
{
    return str_ends(r->key, "_password") || str_eq(r->key, "state") || str_eq(r->key, "join");
}

static struct err *one_option(struct ctx *cx, struct settings *s, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '='), *value = eq ? eq + 1 : NULL;
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    if (len == 6 && strncmp(name, "config", 6) == 0) { /* read before all others */
        *i += eq ? 0 : 1;
        return NULL;
    }
    const struct row *r = find(name, len);
    if (!r)
        return fail(cx, ERR_INVALID, "unknown option --%.*s ('colvert --help' lists them)",
                    (int)len, name);
    if (!value && r->kind == FLAG)
        value = "true";
    else if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return fail(cx, ERR_INVALID, "option --%s needs a value", name);
    return set(cx, s, r, value, "command line");
}

struct err *settings_args(struct ctx *cx, struct settings *s, int argc, char **argv, int *ret_rest)
{
    const char *config = NULL;
    for (int i = 0; i < argc; i++) {
        if (str_eq(argv[i], "--config") && i + 1 < argc)
            config = argv[i + 1];
        else if (str_starts(argv[i], "--config="))
            config = argv[i] + strlen("--config=");
    }
    TRY(settings_read(cx, s, config));
    TRY(settings_environment(cx, s));
    int i = 0;
    for (; i < argc && str_starts(argv[i], "--"); i++)
        TRY(one_option(cx, s, argc, argv, &i));
    *ret_rest = i;
    return NULL;
}

void settings_print(FILE *out)
{
    fprintf(out, "# Colvert's settings with their defaults: %s\n", default_file);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        fprintf(out, "\n# %s\n#%s = %s\n", rows[i].doc, rows[i].key, rows[i].dflt);
}

void settings_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char name[64];
        snprintf(name, sizeof(name), "--%s", rows[i].key);
        for (char *p = name; *p; p++)
            *p = *p == '_' ? '-' : *p;
        fprintf(out, "  %-26s %s%s%s%s\n", name, rows[i].doc, *rows[i].dflt ? " [" : "",
                rows[i].dflt, *rows[i].dflt ? "]" : "");
    }
}

const char **settings_to_args(struct ctx *cx, const struct settings *s, size_t *ret_n)
{
    const char **args = arena_new_array(cx->arena, const char *, ARRAY_LEN(rows) + 1);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const void *p = (const char *)s + rows[i].offset;
        const char *value = rows[i].kind == TEXT ? *(const char *const *)p
                            : rows[i].kind == NUMBER
                                ? arena_printf(cx->arena, "%" PRId64, *(const int64_t *)p)
                                : (*(const bool *)p ? "true" : "false");
        if (!str_eq(value, rows[i].dflt) && !is_secret(&rows[i]))
            args[n++] = arena_printf(cx->arena, "--%s=%s", rows[i].key, value);
    }
    *ret_n = n;
    return args;
}
