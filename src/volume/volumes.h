/* SPDX-License-Identifier: EUPL-1.2 */
/*
 * What compute needs of the volume service: volumes for servers, and their attachments. Implemented
 * by volume/, called by compute/ in its transaction. A volume lies on one host, and what uses it
 * runs there; or it lies on storage that several hosts reach, a pool (host_id is NULL then), and
 * what uses it runs on one of these.
 */
#pragma once

#include "resource/api.h"

struct volume_info {
    const char *id, *name, *status, *project_id, *zone, *host_id, *pool_id, *type_name;
    int64_t size_gib;
    bool bootable, read_only;
    const char *image_metadata; /* JSON object of strings: of the image it was made from; "{}" */
};

/* A volume the actor may see; ERR_NOT_FOUND in cinder's words. */
MUST_USE struct err *volume_find(struct ctx *cx, struct tx *tx, const char *id,
                                 const struct actor *actor, struct volume_info *ret);
/* A snapshot likewise: of which volume, how large, where it lies. */
struct snapshot_info {
    const char *id, *volume_id, *status, *host_id, *pool_id, *name;
    int64_t size_gib;
    bool bootable;
    const char *image_metadata;
};
MUST_USE struct err *volume_snapshot_find(struct ctx *cx, struct tx *tx, const char *id,
                                          const struct actor *actor, struct snapshot_info *ret);

/* One at most is set; none: blank. */
struct volume_request {
    const char *image_id, *snapshot_id, *volume_id;
    const char *name, *type; /* may be NULL */
    int64_t size_gib;        /* 0: as large as the source */
    const char *host_id;     /* where the server is */
};
/* As POST /volumes, for a server that is being made: quota, checks and the word to the host. */
MUST_USE struct err *volume_create_for(struct call *c, const struct volume_request *rq,
                                       struct volume_info *ret);
/* As POST /snapshots, in-use volumes included: for an image of a server that boots from it. */
MUST_USE struct err *volume_snapshot_for(struct call *c, const char *volume_id, const char *name,
                                         const char **ret_snapshot_id);

enum use_state { USE_ATTACHING, USE_ATTACHED, USE_DETACHING };

/* One attachment of a server. */
struct volume_use {
    const char *id, *volume_id, *server_id, *host_id, *pool_id;
    const char *device; /* "/dev/vdb" */
    const char *tag;    /* NULL: none */
    enum use_state state;
    int64_t boot_index; /* 0: the root disk; -1: not booted from */
    bool read_only, delete_on_termination;
    bool ready; /* the volume's data is there */
    int64_t size_gib;
    bool bootable;
    const char *volume_status, *volume_name, *image_metadata;
    const char *volume_error; /* what its host said of it last; NULL: nothing bad */
};

struct use_request {
    const char *volume_id, *server_id;
    const char *device, *tag; /* NULL: the next free one; none */
    int64_t boot_index;
    bool delete_on_termination;
    const char *host_id; /* where the server is; NULL: nowhere */
    bool born; /* asked for with its server, which has a deadline of its own: this has none */
};
/* available → attaching. ERR_INVALID in nova's words where it is not free, ERR_NOT_FOUND. A volume
 * made for this server may still be creating. */
MUST_USE struct err *volume_attach(struct call *c, const struct use_request *rq,
                                   struct volume_use *ret);
/* Attachments of these servers, by server, then boot index 0 first, then in their order. */
MUST_USE struct err *volume_uses_of(struct ctx *cx, struct tx *tx, const char *const *server_ids,
                                    size_t n, struct volume_use **ret, size_t *ret_n);
/* in-use → detaching. The caller tells the host of the server (fleet_touch). */
MUST_USE struct err *volume_detach(struct call *c, const struct volume_use *use);
MUST_USE struct err *volume_use_keep(struct call *c, const struct volume_use *use,
                                     bool delete_on_termination);

/* What the host says. Repeated calls change nothing. The guest has it (or is off, and will): */
MUST_USE struct err *volume_attached(struct ctx *cx, struct tx *tx, const struct volume_use *use);
/* … or has let it go: the attachment is over, the volume available again. */
MUST_USE struct err *volume_detached(struct ctx *cx, struct tx *tx, const struct volume_use *use);
/* The server is gone: all its attachments are over; volumes made to go with it go. */
MUST_USE struct err *volume_uses_release(struct ctx *cx, struct tx *tx, const char *server_id);
/* The server has another host: its volumes of a pool are managed there. */
enum rehost {
    REHOST_WAIT, /* once the host before has said that it let go: its guest waits */
    REHOST_NOW /* that does nothing with them any more: a guest that came live, a lease that is over
                */
};
MUST_USE struct err *volume_uses_rehost(struct ctx *cx, struct tx *tx, const char *server_id,
                                        const char *host_id, enum rehost how);
/* Bytes of volumes promised on hosts' own disks, or on one's, in GiB: for placement. */
MUST_USE struct err *volume_use_by_host(struct ctx *cx, struct tx *tx, const char *host_id,
                                        struct db_rows *ret);
/* The same one by one, snapshots too: rows of id, host id, project id, user id, GiB. Of one host,
 * one of them, or one project (and user); a NULL matches all. */
MUST_USE struct err *volume_holds(struct ctx *cx, struct tx *tx, const char *host_id,
                                  const char *id, const char *project_id, const char *user_id,
                                  struct db_rows *ret);
