/* SPDX-License-Identifier: EUPL-1.2 */
/* Commands, DHCP, connections and frames for the drivers' end-to-end tests. */
#include "node/drivers/net/e2e.h"
#include "node/drivers/net/addr.h"
#include "node/drivers/net/netns.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

char sh_out[65536];

/* Of the test's own: namespace helpers need one for errors. */
static struct ctx *scratch(void)
{
    static struct ctx cx;
    if (!cx.arena)
        ctx_init(&cx);
    return &cx;
}

int sh(const char *netns, const char *fmt, ...)
{
    char command[4096];
    int pipes[2], status;
    size_t len = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int back;
        if (netns_enter(scratch(), netns, &back))
            _exit(99);
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(98);
    }
    close(pipes[1]);
    for (ssize_t got; len < sizeof(sh_out) - 1; len += (size_t)got) {
        got = read(pipes[0], sh_out + len, sizeof(sh_out) - 1 - len);
        if (got <= 0)
            break;
    }
    sh_out[len] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

struct err *stage_answer(struct ctx *cx, void *arg, const struct metadata_ask *ask,
                         struct buf *ret_body, const char **ret_content_type, int *ret_status)
{
    struct stage *s = arg;
    (void)cx;
    pthread_mutex_lock(&s->lock);
    snprintf(s->md_network, sizeof(s->md_network), "%s", ask->network_id);
    snprintf(s->md_source, sizeof(s->md_source), "%s", ask->source_ip);
    snprintf(s->md_path, sizeof(s->md_path), "%s", ask->path);
    pthread_mutex_unlock(&s->lock);
    *ret_status = str_eq(ask->path, "/absent") ? 404 : 200;
    if (str_eq(ask->path, "/later") && !ask->waited_us)
        *ret_status = METADATA_LATER;
    *ret_content_type = "text/plain";
    if (ask->body)
        buf_printf(ret_body, "you said %.*s", (int)ask->body_size, ask->body);
    else
        buf_printf(ret_body, "you are %s", ask->source_ip);
    return NULL;
}

static json_t *json_of(struct stage *s, const char *text)
{
    json_t *j;
    char *copy = arena_strdup(s->cx.arena, text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    assert_ok(&s->cx, json_read(&s->cx, copy, strlen(copy), &j));
    return j;
}

struct err *network_up(struct ctx *cx, const struct net_backend *net,
                       const struct spec_network *spec)
{
    struct err *e = net->ops->network_apply(cx, net->drv, spec);
    return e || !net->ops->network_serve ? e : net->ops->network_serve(cx, net->drv, spec);
}

struct spec_network *network_of(struct stage *s, const char *json)
{
    struct spec_network *spec = arena_new_of(s->cx.arena, struct spec_network);
    assert_ok(&s->cx, spec_network_read(&s->cx, json_of(s, json), spec));
    return spec;
}

struct spec_router *router_of(struct stage *s, const char *json)
{
    struct spec_router *spec = arena_new_of(s->cx.arena, struct spec_router);
    assert_ok(&s->cx, spec_router_read(&s->cx, json_of(s, json), spec));
    return spec;
}

char *printed(struct stage *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = arena_vprintf(s->cx.arena, fmt, ap);
    va_end(ap);
    return text;
}

static bool ask_dhcp(struct stage *s, const char *guest, const char *mac, int tries)
{
    static const char script[] =
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n"
        "echo \"ip=$ip/$mask host=$hostname mtu=$mtu routes=$staticroutes router=$router "
        "dns=$dns\"\n"
        "ip addr flush dev eth0 scope global\nip addr add $ip/$mask dev eth0\n"
        "set -- $staticroutes\nwhile [ -n \"$1\" ]; do ip route replace $1 via $2; shift 2; done\n";
    char path[128];
    snprintf(path, sizeof(path), "%s/udhcpc", s->dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(script, f);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
    int rc = sh(guest,
                "ip link set eth0 address %s; busybox udhcpc -i eth0 -n -q -f -t %d -T 1 "
                "-O mtu -s %s 2>&1",
                mac, tries, path);
    return rc == 0;
}

bool guest_dhcp(struct stage *s, const char *guest, const char *mac)
{
    return ask_dhcp(s, guest, mac, E2E_WAIT_S);
}

bool guest_dhcp_refused(struct stage *s, const char *guest, const char *mac)
{
    return !ask_dhcp(s, guest, mac, 2);
}

bool guest_solicits(const char *guest, const char *mac, const char *address)
{
    struct ctx *cx = scratch();
    struct mac m;
    uint8_t want[16], got[1500];
    /* SOLICIT; client identifier: DUID-LL of the MAC; an identity association without times. */
    uint8_t ask[34] = {1, 7, 7, 7, 0, 1, 0, 10, 0,  3, 0, 1, 0,
                       0, 0, 0, 0, 0, 0, 3, 0,  12, 0, 0, 0, 1};
    assert_ok(cx, mac_parse(cx, mac, &m));
    memcpy(ask + 12, m.bytes, 6);
    assert_int_equal(inet_pton(AF_INET6, address, want), 1);
    AUTO_NETNS int back = -1;
    assert_ok(cx, netns_enter(cx, guest, &back));
    AUTO_FD int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 self = {.sin6_family = AF_INET6, .sin6_port = htons(546)};
    struct sockaddr_in6 all = {
        .sin6_family = AF_INET6, .sin6_port = htons(547), .sin6_scope_id = if_nametoindex("eth0")};
    inet_pton(AF_INET6, "ff02::1:2", &all.sin6_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof(self)), 0);
    for (int i = 0; i < E2E_WAIT_S; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(sendto(fd, ask, sizeof(ask), 0, (struct sockaddr *)&all, sizeof(all)),
                         sizeof(ask));
        if (poll(&p, 1, 1000) <= 0)
            continue;
        ssize_t n = recv(fd, got, sizeof(got), 0);
        return n > 16 && got[0] == 2 && memmem(got, (size_t)n, want, sizeof(want));
    }
    return false;
}

int dns_ask(const char *guest, const char *server, const char *name, int type, int *ret_n)
{
    struct ctx *cx = scratch();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    uint8_t ask[300] = {7, 7, 1, 0, 0, 1}, got[1500];
    size_t n = 12;
    assert_int_equal(inet_pton(AF_INET, server, &at.sin_addr), 1);
    for (const char *p = name; *p; p += strcspn(p, "."), p += *p == '.') {
        size_t label = strcspn(p, ".");
        ask[n++] = (uint8_t)label;
        memcpy(ask + n, p, label);
        n += label;
    }
    ask[n + 2] = (uint8_t)type;
    ask[n + 4] = 1;
    n += 5;
    AUTO_NETNS int back = -1;
    assert_ok(cx, netns_enter(cx, guest, &back));
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    for (int i = 0; i < E2E_WAIT_S; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        send(fd, ask, n, 0); /* refused, while nobody listens */
        if (poll(&p, 1, 1000) <= 0)
            continue;
        if (recv(fd, got, sizeof(got), 0) < 12)
            continue;
        assert_memory_equal(got, ask, 2);
        *ret_n = got[6] << 8 | got[7];
        return got[3] & 15;
    }
    fail_msg("%s does not answer %s about %s", server, guest, name);
    return -1;
}

bool can_ping(const char *guest, const char *to)
{
    int64_t until = mono_us(scratch()) + E2E_WAIT_S * 1000000LL;
    int rc;
    while ((rc = sh(guest, "busybox ping -c 2 -W 1 -A %s", to)) && mono_us(scratch()) < until)
        ;
    return rc == 0;
}

bool cannot_ping(const char *guest, const char *to)
{
    return sh(guest, "ping -c 3 -i 0.2 -W 0.5 %s", to) != 0;
}

int tcp_listen(const char *guest, int port)
{
    struct ctx *cx = scratch();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    AUTO_NETNS int back = -1;
    assert_ok(cx, netns_enter(cx, guest, &back));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int connect_for(const char *guest, const char *to, int port, int timeout_ms)
{
    struct ctx *cx = scratch();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int error = 0;
    socklen_t size = sizeof(error);
    assert_int_equal(inet_pton(AF_INET, to, &at.sin_addr), 1);
    AUTO_NETNS int back = -1;
    assert_ok(cx, netns_enter(cx, guest, &back));
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 &&
        (errno != EINPROGRESS || poll(&p, 1, timeout_ms) != 1 ||
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error))
        return -1;
    return TAKE_FD(fd);
}

int tcp_connect(const char *guest, const char *to, int port)
{
    return connect_for(guest, to, port, E2E_WAIT_S * 1000);
}

bool cannot_connect(const char *guest, const char *to, int port)
{
    AUTO_FD int fd = connect_for(guest, to, port, 1200); /* asks twice */
    return fd < 0;
}

int tcp_accept(int listener, char *ret_peer)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, E2E_WAIT_S * 1000), 1);
    int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_non_null(inet_ntop(AF_INET, &peer.sin_addr, ret_peer, INET_ADDRSTRLEN));
    return fd;
}

static void put(struct frame *f, const void *data, size_t size)
{
    assert_true(f->len + size <= sizeof(f->data));
    memcpy(f->data + f->len, data, size);
    f->len += size;
}

static void put_ether(struct frame *f, const char *dst, const char *src, uint16_t type)
{
    struct ctx *cx = scratch();
    struct mac mac;
    if (dst) {
        assert_ok(cx, mac_parse(cx, dst, &mac));
        put(f, mac.bytes, 6);
    } else {
        put(f, "\xff\xff\xff\xff\xff\xff", 6);
    }
    assert_ok(cx, mac_parse(cx, src, &mac));
    put(f, mac.bytes, 6);
    uint16_t be = htons(type);
    put(f, &be, 2);
}

static uint32_t sum16(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)(data[i] << 8) + (i + 1 < len ? data[i + 1] : 0u);
    return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

struct frame frame_udp(const char *src_mac, const char *dst_mac, const char *src_ip,
                       const char *dst_ip, int sport, int dport)
{
    struct frame f = {0};
    static unsigned serial;
    uint8_t ip[20] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17};
    uint8_t udp[40] = {
        (uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8), (uint8_t)dport, 0, 40};
    inet_pton(AF_INET, src_ip, ip + 12);
    inet_pton(AF_INET, dst_ip, ip + 16);
    put_sum(ip + 10, sum16(ip, 20, 0));
    serial++;
    memcpy(udp + 8, &serial, sizeof(serial));
    put_ether(&f, dst_mac, src_mac, ETHERTYPE_IP);
    put(&f, ip, 20);
    put(&f, udp, 40);
    return f;
}

struct frame frame_arp(const char *src_mac, const char *sender_mac, const char *sender_ip,
                       const char *target_ip)
{
    struct frame f = {0};
    struct ctx *cx = scratch();
    struct mac mac;
    uint8_t ip[4];
    assert_ok(cx, mac_parse(cx, sender_mac, &mac));
    put_ether(&f, NULL, src_mac, ETHERTYPE_ARP);
    put(&f, "\0\1\x08\0\6\4\0\2", 8);
    put(&f, mac.bytes, 6);
    inet_pton(AF_INET, sender_ip, ip);
    put(&f, ip, 4);
    put(&f, "\0\0\0\0\0\0", 6);
    inet_pton(AF_INET, target_ip, ip);
    put(&f, ip, 4);
    return f;
}

struct frame frame_icmp6(const char *src_mac, const char *src_ip, const char *dst_ip, int type,
                         const char *target)
{
    struct frame f = {0};
    uint8_t ip[40] = {0x60, 0, 0, 0, 0, 24, 58, 255}, icmp[24] = {(uint8_t)type};
    inet_pton(AF_INET6, src_ip, ip + 8);
    inet_pton(AF_INET6, dst_ip, ip + 24);
    inet_pton(AF_INET6, target, icmp + 8);
    put_sum(icmp + 2, sum16(icmp, 24, sum16(ip + 8, 32, 24 + 58)));
    put_ether(&f, "32:33:00:00:00:01", src_mac, ETHERTYPE_IPV6);
    f.data[0] = 0x33; /* multicast */
    put(&f, ip, 40);
    put(&f, icmp, 24);
    return f;
}

struct frame frame_tagged(const struct frame *f)
{
    struct frame t = {0};
    put(&t, f->data, 12);
    put(&t, "\x81\0\0\0", 4);
    put(&t, f->data + 12, f->len - 12);
    return t;
}

static int packet_socket(const char *netns, int *ret_index)
{
    struct ctx *cx = scratch();
    AUTO_NETNS int back = -1;
    assert_ok(cx, netns_enter(cx, netns, &back));
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    assert_true(fd >= 0);
    *ret_index = (int)if_nametoindex("eth0");
    struct sockaddr_ll sa = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = *ret_index};
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static bool arrives_once(int out, int in, const struct frame *f, int64_t wait_us)
{
    uint8_t got[2048];
    assert_int_equal(send(out, f->data, f->len, 0), f->len);
    /* The tag may be taken off on the way: what follows the addresses and the type must be there.
     */
    const uint8_t *tail = f->data + f->len - 24;
    int64_t until = mono_us(scratch()) + wait_us;
    for (int64_t left; (left = until - mono_us(scratch())) > 0;) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, (int)(left / 1000) + 1) <= 0)
            break;
        ssize_t n = recv(in, got, sizeof(got), 0);
        for (ssize_t i = 14; i + 24 <= n; i++)
            if (memcmp(got + i, tail, 24) == 0)
                return true;
    }
    return false;
}

static bool arrives(const char *from, const char *to, const struct frame *f, int tries,
                    int64_t wait_us)
{
    int index;
    AUTO_FD int out = packet_socket(from, &index), in = packet_socket(to, &index);
    while (tries--)
        if (arrives_once(out, in, f, wait_us))
            return true;
    return false;
}

/* The first frame between two hosts may be lost while they look for each other. */
bool frame_passes(const char *from, const char *to, const struct frame *f)
{
    return arrives(from, to, f, 2 * E2E_WAIT_S, 500000);
}

bool frame_stopped(const char *from, const char *to, const struct frame *f)
{
    return !arrives(from, to, f, 1, 300000);
}
