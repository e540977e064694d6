/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * Addresses and names for guests: dnsmasq's configuration as text (pure functions of the spec), and
 * the dnsmasq process of a namespace. A network's dnsmasq answers DHCPv4 and DHCPv6 for known ports
 * only, and DNS for their names; a router's announces IPv6 prefixes, because a router advertisement
 * makes its sender the default gateway.
 */
#pragma once

#include "node/spec.h"

/* dnsmasq.conf of a network; *ret NULL when no subnet has DHCP. link: index of br0, a new bridge
 * needs a new process. */
MUST_USE struct err *dhcp_conf_text(struct ctx *cx, const struct spec_network *spec, int link,
                                    const char **ret);
/* A line for each port. */
MUST_USE struct err *dhcp_hosts_text(struct ctx *cx, const struct spec_network *spec,
                                     const char **ret);
/* The options that ports have of their own: dnsmasq leaves out a line that it doesn't understand.
 */
MUST_USE struct err *dhcp_options_text(struct ctx *cx, const struct spec_network *spec,
                                       const char **ret);
/* The names of the ports' addresses, as in /etc/hosts. */
MUST_USE struct err *dhcp_names_text(struct ctx *cx, const struct spec_network *spec,
                                     const char **ret);
/* What a network's routers announce, a line a subnet: "PREFIX MODE [DNS,…]". "" when nothing. */
MUST_USE struct err *dhcp_ra_lines(struct ctx *cx, const struct spec_network *spec,
                                   const char **ret);

struct ra_link {
    const char *name;  /* the router's link into the network */
    const char *lines; /* dhcp_ra_lines of the network */
    int link;          /* its index */
};
/* dnsmasq.conf of a router; *ret NULL when nothing is announced. */
MUST_USE struct err *ra_conf_text(struct ctx *cx, const struct ra_link *links, size_t n,
                                  const char **ret);

/* conf NULL: none runs. The others are read again while it runs. */
struct dnsmasq_files {
    const char *conf, *hosts, *options, *names;
};
/* The one dnsmasq of the namespace runs with these. Files are in /run/colvert/NETNS. */
MUST_USE struct err *dnsmasq_apply(struct ctx *cx, const char *netns,
                                   const struct dnsmasq_files *files);
/* Stopped and its files gone; absent is success. */
MUST_USE struct err *dnsmasq_remove(struct ctx *cx, const char *netns);

/* Small files beside dnsmasq's: content replaced in one step if it differs; reading an absent one
 * gives "". */
MUST_USE struct err *run_file_write(struct ctx *cx, const char *netns, const char *name,
                                    const char *text);
MUST_USE struct err *run_file_read(struct ctx *cx, const char *netns, const char *name,
                                   const char **ret);
