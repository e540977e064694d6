/* SPDX-License-Identifier: EUPL-1.2 */
/* Specs for the drivers' end-to-end tests, as JSON in which ' stands for ", and what they make. */
#pragma once

#include "node/drivers/net/e2e.h"

#define NET_A "aaaaaaaa-11"
#define NET_B "bbbbbbbb-22"
#define NET_C "cccccccc-33"
#define NET_X "eeeeeeee-99"
#define TAIL "11-4000-8000-000000000000" /* makes a UUID of the first characters */
#define MAC_A1 "fa:16:3e:00:0a:01"
#define MAC_A2 "fa:16:3e:00:0a:02"
#define MAC_B1 "fa:16:3e:00:0b:01"
#define PORT_A1 "a1a1a1a1-00"
#define PORT_A2 "a2a2a2a2-00"
#define PORT_B1 "b1b1b1b1-00"
#define ANY_OUT                                                                                    \
    "{'direction':'egress','ethertype':'IPv4'},{'direction':'egress','ethertype':'IPv6'}"
#define ANY_IN                                                                                     \
    "{'direction':'ingress','ethertype':'IPv4'},{'direction':'ingress','ethertype':'IPv6'}"

char *port_json(struct stage *s, const char *id, const char *mac, const char *ips,
                const char *rules, const char *more);
char *ip4_json(struct stage *s, const char *ip);
char *network_json(struct stage *s, const char *id, const char *ports);
void apply_network(struct stage *s, const char *json);
void apply_router(struct stage *s, const char *json);
void expect_out(const char *what);
void two_guests(struct stage *s, const char *rules1, const char *rules2);
void plug_two(struct stage *s);
char *router_json(struct stage *s, const char *id, const char *net, const char *ext_ip,
                  const char *floating);
char *floating_json(struct stage *s, const char *ip, const char *fixed);
void external_network(struct stage *s);
