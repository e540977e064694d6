/* SPDX-License-Identifier: EUPL-1.2 */
/* See cgroup.h. */
#include "node/drivers/qemu/cgroup.h"
#include "node/drivers/tools/files.h"
#include <signal.h>
#include <sys/stat.h>

#define PARENT "colvert"
#define PERIOD_US 100000
#define WAIT_STEP_US 5000
#define WAIT_STEPS 1000 /* 5 s */
#define READ_MAX ((size_t)1 << 20)

static const struct {
    unsigned bit;
    const char *name;
} controllers[] = {{CGROUP_MEMORY, "memory"}, {CGROUP_CPU, "cpu"}, {CGROUP_PIDS, "pids"}};

/* "name" among the comma- or blank-separated words of a list. */
static bool has_word(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ", \n");
        if (n == len && memcmp(p, name, n) == 0)
            return true;
        p += n;
        p += strspn(p, ", \n");
    }
    return false;
}

static unsigned controllers_in(const char *list)
{
    unsigned bits = 0;
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
        if (has_word(list, controllers[i].name))
            bits |= controllers[i].bit;
    return bits;
}

static bool read_text(const char *path, char *out, size_t size)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    out[n > 0 ? n : 0] = 0;
    return n >= 0;
}

static bool write_text(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* One line: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
 * (proc(5)). */
static bool parse_mount(const char *line, size_t len, struct cgroup_tree *ret)
{
    char text[1024], mount[256], type[32], options[512];
    if (len >= sizeof(text))
        return false;
    memcpy(text, line, len);
    text[len] = 0;
    const char *rest = strstr(text, " - ");
    if (!rest || sscanf(text, "%*s %*s %*s %*s %255s", mount) != 1 ||
        sscanf(rest, " - %31s %*s %511s", type, options) != 2)
        return false;
    *ret = (struct cgroup_tree){.v2 = str_eq(type, "cgroup2")};
    memcpy(ret->mount, mount, sizeof(mount));
    if (str_eq(type, "cgroup"))
        ret->controllers = controllers_in(options);
    return ret->v2 || ret->controllers;
}

static void add_tree(struct cgroups *c, const struct cgroup_tree *tree)
{
    unsigned taken = 0;
    for (size_t i = 0; i < c->n_trees; i++)
        taken |= c->trees[i].controllers;
    if (c->n_trees == CGROUP_MAX_TREES || !(tree->controllers & ~taken))
        return;
    c->trees[c->n_trees] = *tree;
    c->trees[c->n_trees++].controllers &= ~taken;
}

void cgroups_find(const char *mountinfo, const char *instance, struct cgroups *ret)
{
    *ret = (struct cgroups){0};
    must(strlen(instance) < sizeof(ret->instance));
    memcpy(ret->instance, instance, strlen(instance) + 1);
    for (int v2 = 1; v2 >= 0; v2--) {
        for (const char *line = mountinfo, *end; *line; line = *end ? end + 1 : end) {
            end = strchrnul(line, '\n');
            struct cgroup_tree tree;
            if (!parse_mount(line, (size_t)(end - line), &tree) || tree.v2 != (v2 == 1))
                continue;
            if (tree.v2) {
                char path[300], list[256];
                snprintf(path, sizeof(path), "%s/cgroup.controllers", tree.mount);
                tree.controllers = read_text(path, list, sizeof(list)) ? controllers_in(list) : 0;
            }
            add_tree(ret, &tree);
        }
    }
}

static const char *guest_path(struct ctx *cx, const struct cgroups *c, size_t tree, const char *id)
{
    return arena_printf(cx->arena, "%s/" PARENT "/%s/%s", c->trees[tree].mount, c->instance, id);
}

/* v2: children get only what their parent hands down. Best effort, read back by the caller's
 * writes. */
static void hand_down(struct ctx *cx, const struct cgroup_tree *t, const char *path)
{
    for (size_t i = 0; t->v2 && i < ARRAY_LEN(controllers); i++)
        if (t->controllers & controllers[i].bit)
            write_text(arena_printf(cx->arena, "%s/cgroup.subtree_control", path),
                       arena_printf(cx->arena, "+%s", controllers[i].name));
}

static bool make_parents(struct ctx *cx, const struct cgroups *c, size_t tree)
{
    const struct cgroup_tree *t = &c->trees[tree];
    const char *top = arena_printf(cx->arena, "%s/" PARENT, t->mount);
    const char *own = arena_printf(cx->arena, "%s/%s", top, c->instance);
    hand_down(cx, t, t->mount);
    if (mkdir(top, 0755) != 0 && errno != EEXIST)
        return false;
    hand_down(cx, t, top);
    if (mkdir(own, 0755) != 0 && errno != EEXIST)
        return false;
    hand_down(cx, t, own);
    return true;
}

/* Another agent of this machine may tidy up the common parent just now. */
static bool make_all(struct ctx *cx, const struct cgroups *c, size_t tree, const char *path)
{
    for (int tries = 0; tries < 5; tries++) {
        bool parents = make_parents(cx, c, tree);
        if (parents && (mkdir(path, 0755) == 0 || errno == EEXIST))
            return true;
        if (errno != ENOENT)
            break;
    }
    return false;
}

struct err *cgroups_open(struct ctx *cx, const char *instance, struct cgroups *ret)
{
    AUTO_FD int root = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct buf text;
    buf_init(&text, cx->arena);
    TRY(file_read(cx, root, "mountinfo", READ_MAX, &text));
    struct cgroups found;
    cgroups_find(buf_cstr(&text), instance, &found);
    return cgroups_use(cx, &found, ret);
}

/* What a v2 tree really hands down; in a container it may be less than its root has. */
static void narrow(struct ctx *cx, const struct cgroups *c, struct cgroup_tree *t)
{
    char list[256];
    const char *path =
        arena_printf(cx->arena, "%s/" PARENT "/%s/cgroup.subtree_control", t->mount, c->instance);
    if (t->v2)
        t->controllers &= read_text(path, list, sizeof(list)) ? controllers_in(list) : 0;
}

struct err *cgroups_use(struct ctx *cx, const struct cgroups *found, struct cgroups *ret)
{
    *ret = *found;
    ret->n_trees = 0;
    for (size_t i = 0; i < found->n_trees; i++) {
        struct cgroup_tree tree = found->trees[i];
        if (!make_parents(cx, found, i))
            continue;
        narrow(cx, found, &tree);
        if (tree.controllers)
            ret->trees[ret->n_trees++] = tree;
    }
    if (ret->n_trees == 0)
        return fail(
            cx, ERR_UNAVAILABLE,
            "guests cannot be limited: no control group hierarchy with memory, cpu or pids "
            "can be written. Run the agent as root, with /sys/fs/cgroup mounted read-write");
    return NULL;
}

/* Writes one limit where the tree has the controller; the first one refused becomes the error. */
static struct err *set(struct ctx *cx, const struct cgroup_tree *t, const char *path,
                       unsigned controller, const char *v1, const char *v2, const char *value)
{
    const char *name = t->v2 ? v2 : v1;
    if (!(t->controllers & controller) || !name)
        return NULL;
    const char *file = arena_printf(cx->arena, "%s/%s", path, name);
    if (!write_text(file, value))
        return fail(cx, ERR_UNAVAILABLE, "cannot write %s to %s: %m", value, file);
    return NULL;
}

static struct err *set_limits(struct ctx *cx, const struct cgroup_tree *t, const char *path,
                              const struct cgroup_limits *lim)
{
    /* Half a CPU on top for QEMU's own threads, so that a guest gets what it was promised. */
    int64_t quota_us = lim->vcpus * PERIOD_US + PERIOD_US / 2;
    const char *memory = arena_printf(cx->arena, "%" PRId64, lim->memory_bytes);
    const char *pids = arena_printf(cx->arena, "%" PRId64, lim->pids);
    const char *shares = arena_printf(cx->arena, "%" PRId64, min_i64(1024 * lim->vcpus, 262144));
    const char *weight = arena_printf(cx->arena, "%" PRId64, min_i64(100 * lim->vcpus, 10000));
    const char *quota = arena_printf(cx->arena, "%" PRId64, quota_us);
    const char *max = arena_printf(cx->arena, "%" PRId64 " %d", quota_us, PERIOD_US);
    TRY(set(cx, t, path, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", memory));
    TRY(set(cx, t, path, CGROUP_PIDS, "pids.max", "pids.max", pids));
    TRY(set(cx, t, path, CGROUP_CPU, "cpu.shares", NULL, shares));
    TRY(set(cx, t, path, CGROUP_CPU, "cpu.cfs_quota_us", NULL, quota));
    TRY(set(cx, t, path, CGROUP_CPU, NULL, "cpu.weight", weight));
    return set(cx, t, path, CGROUP_CPU, NULL, "cpu.max", max);
}

static struct err *make_one(struct ctx *cx, const struct cgroups *c, size_t tree, const char *id,
                            const struct cgroup_limits *lim, int *ret_fd)
{
    const char *path = guest_path(cx, c, tree, id);
    if (!make_all(cx, c, tree, path))
        return fail(cx, ERR_UNAVAILABLE, "cannot create control group %s: %m", path);
    TRY(set_limits(cx, &c->trees[tree], path, lim));
    const char *join = c->trees[tree].v2 ? "cgroup.procs" : "tasks";
    *ret_fd = open(arena_printf(cx->arena, "%s/%s", path, join), O_WRONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot use control group %s: %m", path);
    return NULL;
}

struct err *cgroup_make(struct ctx *cx, const struct cgroups *c, const char *id,
                        const struct cgroup_limits *lim, int ret_fds[CGROUP_MAX_TREES],
                        size_t *ret_n)
{
    for (size_t i = 0; i < c->n_trees; i++) {
        struct err *e = make_one(cx, c, i, id, lim, &ret_fds[i]);
        if (e) {
            while (i-- > 0)
                close(ret_fds[i]);
            return e;
        }
    }
    *ret_n = c->n_trees;
    return NULL;
}

/* Kills what is there now; true when nothing was. */
static bool kill_once(struct ctx *cx, const char *path)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct buf b;
    buf_init(&b, cx->arena);
    if (fd < 0 || file_read(cx, fd, "cgroup.procs", READ_MAX, &b))
        return true;
    bool empty = true;
    char *at = NULL;
    for (char *line = b.len ? strtok_r(b.data, "\n", &at) : NULL; line;
         line = strtok_r(NULL, "\n", &at)) {
        int64_t pid;
        if (str_to_i64(line, 2, INT32_MAX, &pid)) {
            empty = false;
            kill((pid_t)pid, SIGKILL);
        }
    }
    return empty;
}

struct err *cgroup_kill(struct ctx *cx, const struct cgroups *c, const char *id)
{
    for (size_t i = 0; i < c->n_trees; i++) {
        const char *path = guest_path(cx, c, i, id);
        int steps = 0;
        while (!kill_once(cx, path)) {
            if (++steps > WAIT_STEPS)
                return fail(cx, ERR_TIMEOUT, "processes of guest %s do not end", id);
            usleep(WAIT_STEP_US);
        }
    }
    return NULL;
}

struct err *cgroup_remove(struct ctx *cx, const struct cgroups *c, const char *id)
{
    for (size_t i = 0; i < c->n_trees; i++) {
        const char *path = guest_path(cx, c, i, id);
        for (int steps = 0; rmdir(path) != 0 && errno != ENOENT; steps++) {
            if (steps > WAIT_STEPS || errno != EBUSY)
                return fail(cx, ERR_UNAVAILABLE, "cannot remove control group %s: %m", path);
            usleep(WAIT_STEP_US);
        }
    }
    return NULL;
}

void cgroups_tidy(const struct cgroups *c)
{
    for (size_t i = 0; i < c->n_trees; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/" PARENT "/%s", c->trees[i].mount, c->instance);
        rmdir(path);
        snprintf(path, sizeof(path), "%s/" PARENT, c->trees[i].mount);
        rmdir(path);
    }
}

struct err *cgroup_list(struct ctx *cx, const struct cgroups *c, const char ***ret_ids,
                        size_t *ret_n)
{
    const char **ids = NULL;
    size_t n_ids = 0;
    for (size_t i = 0; i < c->n_trees; i++) {
        AUTO_FD int fd = open(guest_path(cx, c, i, "."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        const char **names;
        size_t n;
        TRY(dir_names(cx, fd, &names, &n));
        const char **more = arena_new_array(cx->arena, const char *, n_ids + n + 1);
        if (n_ids)
            memcpy(more, ids, n_ids * sizeof(*ids));
        ids = more;
        for (size_t k = 0; k < n; k++)
            if (strlen(names[k]) == 36 && uuid_valid(names[k]))
                ids[n_ids++] = names[k];
    }
    *ret_ids = ids;
    *ret_n = n_ids;
    return NULL;
}
