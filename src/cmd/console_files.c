/* SPDX-License-Identifier: EUPL-1.2 */
/* noVNC's page and its scripts, as Debian's package novnc lays them: what the URL of a screen
 * opens. Files of one folder by plain names, nothing else. */
#include "cmd/wiring.h"
#include <sys/stat.h>

static const char *folder = "";

void console_files_configure(const char *dir)
{
    folder = dir;
}

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".ttf", "font/ttf"},
                                           {".woff", "font/woff"},
                                           {".oga", "audio/ogg"},
                                           {".mp3", "audio/mpeg"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_ends(name, types[i][0]))
            return types[i][1];
    return NULL;
}

/* Letters, digits, and '-', '_', '.' but not in front. */
static bool plain(const char *s)
{
    return *s && *s != '.' &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == 0;
}

static struct err *console_file(struct call *c)
{
    struct buf path;
    struct stat st;
    buf_init(&path, c->cx->arena);
    buf_str(&path, folder);
    bool ok = true;
    for (size_t i = 0; i < c->n_params; i++) {
        ok = ok && plain(c->params[i].value);
        buf_printf(&path, "/%s", c->params[i].value);
    }
    const char *type = ok ? type_of(buf_cstr(&path)) : NULL;
    AUTO_FD int fd = type ? open(buf_cstr(&path), O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fail(c->cx, ERR_NOT_FOUND,
                    "No such page; screens are shown by noVNC: is the package novnc installed "
                    "(setting novnc_dir)?");
    c->rp->status = 200;
    c->rp->content_type = type;
    c->rp->file_fd = TAKE_FD(fd);
    c->rp->file_offset = 0;
    c->rp->file_size = st.st_size;
    http_reply_header(c->rp, c->cx, "X-Content-Type-Options", "nosniff");
    http_reply_header(c->rp, c->cx, "Referrer-Policy", "no-referrer"); /* the URL has a token */
    return NULL;
}

#define FILE_ROUTE(pattern_)                                                                       \
    ROUTE(GET, "/console" pattern_, console_file, "console:page", .rule = RULE_PUBLIC,             \
          .flags = RT_WORKER, .doc = "noVNC's files.")
static const struct route routes[] = {
    FILE_ROUTE("/{a}"),
    FILE_ROUTE("/{a}/{b}"),
    FILE_ROUTE("/{a}/{b}/{c}"),
    FILE_ROUTE("/{a}/{b}/{c}/{d}"),
    FILE_ROUTE("/{a}/{b}/{c}/{d}/{e}"),
};

const struct service console_files_service = {
    .name = "console", .family = &family_node, SERVICE_LIST(routes, routes)};
