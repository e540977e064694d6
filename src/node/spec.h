/* SPDX-License-Identifier: EUPL-1.2 */
/* What the control plane wants of this host, as decoded from the watch. Plain data in an arena.
 * README.md has the wire form. */
#pragma once

#include "base/base.h"

#define SPEC_PASSWORD_MAX ((size_t)1020) /* as much as nova takes */

struct spec_image {
    const char *id, *sha512, *disk_format; /* "raw" or "qcow2" */
    int64_t size_bytes, virtual_size_bytes;
};

/* A volume in a server: its disk, whole, as a virtio block device. */
struct spec_use {
    const char *volume_id; /* the guest sees its first 20 characters as the serial number */
    int64_t boot_index;    /* 0: the root disk; -1: not booted from */
    bool read_only;
};

/* A disk to boot from instead of the root disk, which becomes the second one. */
struct spec_rescue {
    int64_t seq; /* 0: none; grows with each rescue */
    struct spec_image image;
};

struct spec_nic {
    const char *port_id, *network_id, *mac, *tap;
    int64_t mtu;
};

/* On its way from one host to another. Only a server without it, and one that leaves, runs. */
enum move_role {
    MOVE_NONE,
    MOVE_OUT, /* it is sent to the peer, standing still in the end; then the control plane decides */
    MOVE_IN,  /* it comes from the peer: made ready here, and not started */
    MOVE_KEPT /* it runs elsewhere; what is here is kept as it is, off */
};
struct spec_move {
    enum move_role role;
    int64_t seq;       /* grows with each move */
    bool live;         /* out: as it runs; else it goes off first */
    const char *peer;  /* the other host's id */
    const char *url;   /* out: where its agent listens */
    const char *token; /* out: what that asks for; NULL: certificates */
};

struct spec_server {
    const char *id, *name, *hostname, *project_id, *user_id;
    int64_t revision;
    bool power_on;
    int64_t boot_seq, reset_seq, build_seq;
    int64_t vcpus, memory_mib, root_gib;
    struct spec_image image; /* id NULL: boots from the volume with boot_index 0 */
    bool config_drive;
    struct spec_nic *nics;
    size_t n_nics;
    struct spec_use *volumes;
    size_t n_volumes;
    bool paused;    /* on, with its vCPUs stopped */
    bool suspended; /* power_on false: its memory is kept in a file, for the next start */
    struct spec_rescue rescue;
    struct spec_move move;
    int64_t checkpoint;    /* a way back for the root disk is kept under this number; 0: none */
    const char *public_ip; /* floating IP of the address it asks metadata from; not in the spec */
    int64_t restore_seq;   /* how often the root disk was to go back to its checkpoint */
    const json_t *meta_data, *network_data, *vendor_data; /* objects */
    const char *user_data;                                /* decoded bytes, may be NULL */
    size_t user_data_size;
    const char *password_data; /* what the guest left of its password; NULL: nothing, as yet */
    bool ha; /* another host may start it when this one is silent: it runs under a lease only */
    int64_t run_until_us; /* not to be begun after this (boot_us); 0: no limit; not in the spec */
};

struct spec_route {
    const char *destination, *nexthop;
};

struct spec_subnet {
    const char *id, *cidr, *gateway_ip, *dhcp_ip; /* the last two may be NULL */
    int ip_version;
    bool enable_dhcp;
    const char **dns_nameservers;
    size_t n_dns;
    struct spec_route *host_routes;
    size_t n_host_routes;
    const char *ipv6_ra_mode, *ipv6_address_mode; /* NULL: none */
};

struct spec_rule {
    bool ingress;
    int ip_version;             /* 4 or 6 */
    const char *protocol;       /* NULL: any; a name nft knows, or a number */
    int64_t port_min, port_max; /* -1: any; ICMP: type and code */
    const char **remotes;       /* addresses or prefixes */
    size_t n_remotes;
    bool any_remote; /* false with n_remotes 0: matches nothing */
};

struct spec_address {
    const char *ip, *subnet_id, *mac; /* subnet_id: fixed addresses; mac: address pairs */
};

struct spec_dhcp_option {
    const char *name, *value; /* a name that dnsmasq may know, or a number */
    int ip_version;
};

struct spec_port {
    const char *id, *mac, *tap, *device_id, *hostname, *dns_domain; /* the last two may be NULL */
    bool admin_state_up, port_security;
    /* For the writer: hosts that may have it plugged, by OVN's names: where its guest runs, then
     * where it is about to. None: any. */
    const char **chassis;
    size_t n_chassis;
    struct spec_address *fixed_ips, *pairs;
    size_t n_fixed_ips, n_pairs;
    struct spec_dhcp_option *options;
    size_t n_options;
    struct spec_rule *rules;
    size_t n_rules;
};

struct spec_network {
    const char *id, *dns_domain; /* dns_domain of its guests; NULL: none */
    int64_t revision, mtu;
    bool external;
    struct spec_subnet *subnets;
    size_t n_subnets;
    struct spec_port *ports;
    size_t n_ports;
};

struct spec_ip {
    const char *ip, *scope; /* scope: the address scope of its subnet; NULL: none */
    int64_t prefix;
};

struct spec_interface {
    const char *port_id, *network_id, *mac;
    struct spec_ip *ips;
    size_t n_ips;
};

struct spec_floating {
    const char *id, *floating_ip, *fixed_ip;
    const char *port_id;  /* whose address fixed_ip is; NULL: not told */
    const char *protocol; /* NULL: the whole address; else one port of it: */
    int64_t floating_port, fixed_port;
};

/* Where a volume's first bytes come from. All NULL: it is blank. */
struct spec_source {
    struct spec_image image;             /* id NULL: none */
    const char *volume_id, *snapshot_id; /* a volume on this host, as it is or as it was then */
};

struct spec_volume {
    const char *id;
    int64_t revision;
    int64_t size_gib; /* grows only */
    struct spec_source source;
    const char **snapshots; /* ids of those that are to exist */
    size_t n_snapshots;
    const char *server_id; /* what may have it open; NULL: nothing */
    const char *pool_id;   /* the shared storage that it lies on; NULL: this host's own disk */
    bool remove;           /* its data goes: of shared storage only then */
};

/* An image that is wanted here before anything stands on it. */
struct spec_cached {
    const char *id;
    int64_t revision;
    struct spec_image image;
};

/* The disk of a server or a volume that becomes an image: copied at one instant, sent, forgotten.
 */
struct spec_export {
    const char *id; /* the image's */
    int64_t revision;
    const char *server_id, *volume_id; /* one of them: a server's is its root disk */
    const char *disk_format;           /* "qcow2" or "raw" */
};

struct spec_router {
    const char *id;
    int64_t revision;
    bool admin_state_up, enable_snat;
    bool has_external;
    struct {
        const char *network_id, *port_id, *ip, *gateway, *mac, *scope;
        int64_t prefix;
    } external;
    struct spec_interface *interfaces;
    size_t n_interfaces;
    struct spec_floating *floating;
    size_t n_floating;
    struct spec_route *routes;
    size_t n_routes;
};

/* Strict: a member that is missing, unknown in type, or not what it must be (names, addresses) is
 * ERR_INVALID. */
MUST_USE struct err *spec_server_read(struct ctx *cx, const json_t *j, struct spec_server *ret);
MUST_USE struct err *spec_network_read(struct ctx *cx, const json_t *j, struct spec_network *ret);
MUST_USE struct err *spec_router_read(struct ctx *cx, const json_t *j, struct spec_router *ret);
MUST_USE struct err *spec_volume_read(struct ctx *cx, const json_t *j, struct spec_volume *ret);
MUST_USE struct err *spec_image_read(struct ctx *cx, const json_t *j, struct spec_cached *ret);
MUST_USE struct err *spec_export_read(struct ctx *cx, const json_t *j, struct spec_export *ret);
