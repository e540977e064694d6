/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The supervisor of one machine: folders, bootstrap, clouds.yaml, then api (unprivileged) and node,
 * started again whenever they end. Guests are no children of it: they run on through its own
 * restart.
 */
#include "cmd/wiring.h"
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FALLBACK_UID 64700
#define RESTART_MAX_MS 5000
#define LIVED_US 100000 /* long enough to have been at work: no crash loop */

struct child {
    const char *role;
    pid_t pid; /* 0: not running */
    int64_t started_us, restart_at_us;
    int backoff_ms;
    uid_t uid;
    gid_t gid;
};

struct supervisor {
    struct ctx cx;
    const struct settings *s;
    const char *self;
    uid_t uid; /* of the control plane */
    gid_t gid;
    struct child children[3]; /* n of them */
    size_t n;
    bool stopping;
    sigset_t old_mask;
};

/* ---------------------------------------------------------------- folders and files */

static struct err *make_dir(struct ctx *cx, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return fail(cx, ERR_UNAVAILABLE, "cannot make the folder %s: %m", path);
    if (chmod(path, mode) < 0 || (geteuid() == 0 && chown(path, uid, gid) < 0))
        return fail(cx, ERR_UNAVAILABLE, "cannot set owner and mode of %s: %m", path);
    return NULL;
}

static struct err *make_parents(struct ctx *cx, const char *path)
{
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/'))
        if (mkdir(arena_strndup(cx->arena, path, (size_t)(p - path)), 0755) < 0 && errno != EEXIST)
            return fail(cx, ERR_UNAVAILABLE, "cannot make the folder %.*s: %m", (int)(p - path),
                        path);
    return NULL;
}

static struct err *write_file(struct ctx *cx, const char *path, const char *text, mode_t mode)
{
    const char *tmp = arena_printf(cx->arena, "%s.new", path);
    AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) < 0 || rename(tmp, path) < 0)
        return fail(cx, ERR_UNAVAILABLE, "cannot write %s: %m", path);
    return NULL;
}

static struct err *random_text(struct ctx *cx, const char **ret)
{
    uint8_t raw[24];
    rng_bytes(rng_system(), raw, sizeof(raw));
    *ret = base64url_encode(cx, raw, sizeof(raw));
    return NULL;
}

/* The secret in a file, made on first use. */
static struct err *file_secret(struct ctx *cx, const char *path, const char **ret, bool *ret_new)
{
    char text[128] = "";
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    *ret_new = n <= 0;
    if (n > 0) {
        text[strcspn(text, "\n")] = 0;
        *ret = arena_strdup(cx->arena, text);
        return NULL;
    }
    TRY(random_text(cx, ret));
    return write_file(cx, path, *ret, 0600);
}

static void cloud(struct buf *b, const char *name, const char *url, const char *user,
                  const char *project, const char *password, const char *region)
{
    buf_printf(
        b,
        "  %s:\n    auth:\n      auth_url: %s/identity/v3\n      username: %s\n      password: %s\n"
        "      project_name: %s\n      user_domain_name: Default\n      project_domain_name: "
        "Default\n"
        "    region_name: %s\n    identity_api_version: 3\n",
        name, url, user, password, project, region);
}

static struct err *write_clouds(struct supervisor *v, const char *admin_password,
                                const char *demo_password)
{
    const struct settings *s = v->s;
    struct buf b;
    buf_init(&b, v->cx.arena);
    const char *url = *s->public_url ? s->public_url
                                     : arena_printf(v->cx.arena, "http%s://%s",
                                                    *s->tls_cert ? "s" : "", s->listen);
    buf_str(&b, "clouds:\n");
    cloud(&b, "colvert-admin", url, "admin", "admin", admin_password, s->region);
    cloud(&b, "demo", url, "demo", "demo", demo_password, s->region);
    return write_file(&v->cx, arena_printf(v->cx.arena, "%s/clouds.yaml", s->data), buf_cstr(&b),
                      0600);
}

/* ---------------------------------------------------------------- bootstrap, as the control
 * plane's user */

static void drop_to(uid_t uid, gid_t gid)
{
    if (geteuid() != 0 || uid == 0)
        return;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        dprintf(STDERR_FILENO, "colvert: cannot drop privileges: %s\n", strerror(errno));
        _exit(1);
    }
    must(getuid() == uid && setuid(0) < 0);
}

static struct err *bootstrap_child(struct supervisor *v, const struct settings *s,
                                   const char *secret, const char *writer_secret)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return fail(&v->cx, ERR_UNAVAILABLE, "cannot fork: %m");
    if (pid == 0) {
        const char *password = NULL;
        drop_to(v->uid, v->gid);
        struct err *e = bootstrap_region(&v->cx, s, secret, writer_secret, true, &password);
        _exit(e ? complain(&v->cx, e) : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(&v->cx, ERR_UNAVAILABLE,
                    "the region could not be set up; the reason stands above");
    return NULL;
}

static bool has_writer(const struct settings *s)
{
    return str_eq(s->network_driver, "ovn") && !str_eq(s->driver, "fake");
}

static struct err *set_up(struct supervisor *v)
{
    struct ctx *cx = &v->cx;
    struct settings s = *v->s;
    const char *admin, *demo, *secret, *writer_secret = NULL;
    bool fresh, ignored;
    TRY(make_parents(cx, s.data));
    TRY(make_dir(cx, s.data, 0755, 0, 0));
    TRY(make_dir(cx, control_dir(cx, &s), 0700, v->uid, v->gid));
    TRY(make_dir(cx, node_dir(cx, &s), 0711, 0, 0));
    TRY(file_secret(cx, arena_printf(cx->arena, "%s/node/secret", s.data), &secret, &ignored));
    if (has_writer(&s)) {
        TRY(make_dir(cx, writer_dir(cx, &s), 0700, 0, 0));
        TRY(file_secret(cx, arena_printf(cx->arena, "%s/secret", writer_dir(cx, &s)),
                        &writer_secret, &ignored));
    }
    const char *admin_file = arena_printf(cx->arena, "%s/admin-password", s.data);
    const char *demo_file = arena_printf(cx->arena, "%s/demo-password", s.data);
    if (*s.bootstrap_password && access(admin_file, F_OK) < 0)
        TRY(write_file(cx, admin_file, s.bootstrap_password, 0600));
    if (*s.demo_password && access(demo_file, F_OK) < 0)
        TRY(write_file(cx, demo_file, s.demo_password, 0600));
    TRY(file_secret(cx, admin_file, &admin, &fresh));
    TRY(file_secret(cx, demo_file, &demo, &ignored));
    if (fresh)
        fprintf(stdout, "Password of the administrator (kept in %s): %s\n", admin_file, admin);
    s.bootstrap_password = admin;
    s.demo_password = demo;
    TRY(bootstrap_child(v, &s, secret, writer_secret));
    return write_clouds(v, admin, demo);
}

/* ---------------------------------------------------------------- children */

static void run_child(struct supervisor *v, struct child *c)
{
    size_t n;
    const char **options = settings_to_args(&v->cx, v->s, &n);
    const char **argv = arena_new_array(v->cx.arena, const char *, n + 3);
    argv[0] = v->self;
    argv[1] = c->role;
    memcpy(argv + 2, options, n * sizeof(*argv));
    settings_forget_environment();
    if (str_eq(c->role, "api") && *v->s->state)
        setenv("COLVERT_STATE", v->s->state, 1);
    sigprocmask(SIG_SETMASK, &v->old_mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    drop_to(c->uid, c->gid);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* cleared by the change of user */
    if (c->uid)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "colvert: cannot start %s: %s\n", c->role, strerror(errno));
    _exit(127);
}

static void start_child(struct supervisor *v, struct child *c)
{
    c->started_us = mono_us(&v->cx);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_child(v, c);
    if (pid < 0) {
        c->restart_at_us = c->started_us + 1000000;
        return;
    }
    c->pid = pid;
    c->restart_at_us = 0;
    log_event(&v->cx, LOG_INFO, "started", "role", c->role, "pid", log_i64(&v->cx, pid), NULL);
}

/* Lived long: start at once; died young: wait longer each time. */
static void plan_restart(struct supervisor *v, struct child *c, int status)
{
    int64_t now = mono_us(&v->cx);
    c->pid = 0;
    if (v->stopping)
        return;
    c->backoff_ms = now - c->started_us > LIVED_US ? 0
                    : c->backoff_ms                ? (int)min_i64(c->backoff_ms * 2, RESTART_MAX_MS)
                                                   : 20;
    c->restart_at_us = now + c->backoff_ms * 1000LL;
    log_event(&v->cx, LOG_WARN, "ended; starting it again", "role", c->role,
              WIFSIGNALED(status) ? "signal" : "exit",
              log_i64(&v->cx, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)),
              "in_ms", log_i64(&v->cx, c->backoff_ms), NULL);
}

static void reap(struct supervisor *v)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < v->n; i++)
            if (v->children[i].pid == pid)
                plan_restart(v, &v->children[i], status);
}

static int start_due(struct supervisor *v)
{
    int64_t now = mono_us(&v->cx), next = now + 3600LL * 1000000;
    for (size_t i = 0; i < v->n; i++) {
        struct child *c = &v->children[i];
        if (!c->pid && c->restart_at_us <= now)
            start_child(v, c);
        else if (!c->pid)
            next = min_i64(next, c->restart_at_us);
    }
    return (int)((next - now) / 1000 + 1);
}

static void signal_children(struct supervisor *v, int sig)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->children[i].pid)
            kill(v->children[i].pid, sig);
}

static bool any_child(const struct supervisor *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->children[i].pid)
            return true;
    return false;
}

/* Type=notify services are told when the first children run;
 * https://www.freedesktop.org/software/systemd/man/sd_notify.html */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof(a.sun_path))
        return;
    memcpy(a.sun_path, path, strlen(path));
    if (a.sun_path[0] == '@')
        a.sun_path[0] = 0;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t ignored UNUSED =
        fd < 0 ? 0 : sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a, len);
}

static void watch(struct supervisor *v, int signals)
{
    int64_t kill_at = 0;
    struct pollfd p = {.fd = signals, .events = POLLIN};
    while (!v->stopping || any_child(v)) {
        int wait_ms = v->stopping ? 200 : start_due(v);
        if (poll(&p, 1, wait_ms) > 0) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
                info.ssi_signo != SIGCHLD && !v->stopping) {
                v->stopping = true;
                notify("STOPPING=1");
                kill_at = mono_us(&v->cx) + 10LL * 1000000;
                signal_children(v, SIGTERM);
            }
        }
        reap(v);
        if (v->stopping && mono_us(&v->cx) > kill_at)
            signal_children(v, SIGKILL);
        arena_reset(v->cx.arena);
    }
}

static void find_user(struct supervisor *v)
{
    struct passwd *pw = getpwnam(v->s->api_user);
    v->uid = geteuid() ? getuid() : pw ? pw->pw_uid : FALLBACK_UID;
    v->gid = geteuid() ? getgid() : pw ? pw->pw_gid : FALLBACK_UID;
}

int up_main(const struct settings *s, const char *self)
{
    struct supervisor v = {.s = s, .self = self};
    sigset_t set;
    ctx_init(&v.cx);
    log_set_role("up");
    find_user(&v);
    v.children[0] = (struct child){.role = "api", .uid = v.uid, .gid = v.gid};
    v.children[1] = (struct child){.role = "node"};
    v.children[2] = (struct child){.role = "network"};
    v.n = has_writer(s) ? 3 : 2;
    struct err *e = set_up(&v);
    if (e)
        return complain(&v.cx, e);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &v.old_mask);
    AUTO_FD int signals = signalfd(-1, &set, SFD_CLOEXEC);
    start_due(&v);
    notify("READY=1");
    watch(&v, signals);
    ctx_release(&v.cx);
    return 0;
}
