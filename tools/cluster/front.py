# SPDX-License-Identifier: EUPL-1.2
"""The balancer before the cluster's `colvert api`: takes connections on the machine's loopback and in the cluster's
namespace, and passes each to the next process that answers there.

usage: front.py NETNS PORT API_PORT…
"""
import asyncio
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from cluster.parts import enter_netns  # noqa: E402


def listener(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(1024)
    return s


async def copy(reader, writer):
    """One direction; the other one may go on when this one ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


class Front:
    def __init__(self, ports):
        self.ports, self.turn = ports, 0

    async def connect(self):
        for _ in self.ports:
            self.turn += 1
            try:
                return await asyncio.open_connection("127.0.0.1", self.ports[self.turn % len(self.ports)])
            except OSError:
                pass
        return None, None

    async def serve(self, reader, writer):
        to_read, to_write = await self.connect()
        if to_write:
            await asyncio.gather(copy(reader, to_write), copy(to_read, writer))
            to_write.close()
        writer.close()


async def main():
    netns, port, *ports = sys.argv[1:]
    front = Front([int(p) for p in ports])
    outside = listener(int(port))
    enter_netns(netns)
    servers = [await asyncio.start_server(front.serve, sock=s) for s in (outside, listener(int(port)))]
    await asyncio.gather(*(s.serve_forever() for s in servers))


asyncio.run(main())
