/* SPDX-License-Identifier: EUPL-1.2 */
/* For tests that start a server twice on one port: others that run meanwhile don't get it. */
#pragma once

#include "base/test.h"
#include <netinet/in.h>
#include <sys/socket.h>

/* Bound on 127.0.0.1, and not listened on, so that a server still may. Until the socket is closed.
 */
static inline int port_reserve(uint16_t *ret_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}
