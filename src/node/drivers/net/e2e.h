/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * The stage of the drivers' end-to-end tests: guests are namespaces whose eth0 is a veth, its other
 * end named and placed like the tap of a port. Specs are JSON, read as the agent reads them. The
 * same tests run on each driver: e2e_kernel.c and ../ovn/e2e_ovn.c are what differs.
 */
#pragma once

#include "base/test.h"
#include "node/drivers/driver.h"
#include <netinet/in.h>

#ifndef HOST_NS
#define HOST_NS "cvt-host" /* has 203.0.113.1 on br-ext: what is outside */
#endif
#define E2E_WAIT_S 60 /* at most, for what has to come: machines are busy */

/* What comes in its own time. */
#define WITHIN(condition)                                                                          \
    do {                                                                                           \
        int tries_ = E2E_WAIT_S * 20;                                                              \
        while (!(condition) && --tries_)                                                           \
            usleep(50000);                                                                         \
        if (!tries_)                                                                               \
            fail_msg("after %d s still not: %s; said last: %s", E2E_WAIT_S, #condition, sh_out);   \
    } while (0)

/* Namespaces of the worlds that are compared; a cloud may run on the machine meanwhile. */
#define WORLD "cv-n-(aaaaaaaa-11|bbbbbbbb-22|eeeeeeee-99)|cv-r-5[ab]5[ab]5[ab]5[ab]-00"

struct stage {
    struct ctx cx;
    char dir[64]; /* data folder */
    struct net_backend net;
    pthread_mutex_t lock; /* of what follows: the metadata thread writes */
    char md_network[64], md_source[64], md_path[256];
};

/* The metadata service of the test: notes who asked for what. */
struct err *stage_answer(struct ctx *cx, void *arg, const struct metadata_ask *ask,
                         struct buf *ret_body, const char **ret_content_type, int *ret_status);
/* Another instance of the driver, as a new agent would make it. */
MUST_USE struct err *stage_driver(struct stage *s, struct net_backend *ret);
/* A port without IPv6 addresses may use its link-local one. */
extern const bool stage_link_local;
/* IPv6 subnets of one network may differ in their modes. */
extern const bool stage_mixed_modes;
/* A forwarded port is reached from behind its router, too. */
extern const bool stage_forwards_inside;

/* Takes out of a test's arguments what the stage needs. */
void stage_arguments(int *argc, char **argv);
int stage_group_setup(void **state);
int stage_group_teardown(void **state);
int stage_setup(void **state);    /* root only */
int stage_teardown(void **state); /* fails when anything is left */

/* Runs a shell command in a namespace (NULL: the test's own); its exit status. sh_out is what it
 * printed. */
int sh(const char *netns, const char *fmt, ...) PRINTF_LIKE(2, 3);
extern char sh_out[65536];

/* A spec from JSON in which ' stands for ". */
/* Applied and served. */
struct err *network_up(struct ctx *cx, const struct net_backend *net,
                       const struct spec_network *spec);
struct spec_network *network_of(struct stage *s, const char *json);
struct spec_router *router_of(struct stage *s, const char *json);
char *printed(struct stage *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A guest's namespace with eth0 in the network, by the first characters of network and port; its
 * link is up and has its own address. */
void guest_plug(const char *guest, const char *network, const char *port, const char *mac);

/* By the first characters of its id. */
bool router_has_route(const char *router, const char *destination, const char *via);

/* What has to come is waited for, E2E_WAIT_S at most; what must not is only for a moment. */

/* DHCP as a client does it; what came is set up, and in sh_out. */
bool guest_dhcp(struct stage *s, const char *guest, const char *mac);
bool guest_dhcp_refused(struct stage *s, const char *guest, const char *mac);
/* The answer to a DHCPv6 SOLICIT (RFC 8415) offers this address. */
bool guest_solicits(const char *guest, const char *mac, const char *address);
/* A server's answer (DNS over udp; type: 1 A, 28 AAAA) to the guest: its code; how many records. */
int dns_ask(const char *guest, const char *server, const char *name, int type, int *ret_n);
bool can_ping(const char *guest, const char *to);
bool cannot_ping(const char *guest, const char *to);
/* A socket that takes connections on any address of the guest. */
int tcp_listen(const char *guest, int port);
/* A connected, non-blocking socket; -1: refused, or nobody there. */
int tcp_connect(const char *guest, const char *to, int port);
bool cannot_connect(const char *guest, const char *to, int port);
/* The next connection; ret_peer, of INET_ADDRSTRLEN bytes: from where. */
int tcp_accept(int listener, char *ret_peer);

/* Frames sent by one guest to another. */
struct frame {
    uint8_t data[512];
    size_t len;
};
struct frame frame_udp(const char *src_mac, const char *dst_mac, const char *src_ip,
                       const char *dst_ip, int sport, int dport);
struct frame frame_arp(const char *src_mac, const char *sender_mac, const char *sender_ip,
                       const char *target_ip);
struct frame frame_icmp6(const char *src_mac, const char *src_ip, const char *dst_ip, int type,
                         const char *target);
struct frame frame_tagged(const struct frame *f); /* the same with a priority tag, VLAN 0 */
bool frame_passes(const char *from, const char *to, const struct frame *f);
bool frame_stopped(const char *from, const char *to, const struct frame *f);

/* The kernel driver's alone: everything of ours on the machine, as text to compare. */
const char *snapshot(struct stage *s);
