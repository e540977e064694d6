# SPDX-License-Identifier: EUPL-1.2
"""The cables of a cluster: a namespace with two bridges, in which the control plane stands. `fabric` joins the hosts with
each other and with the control plane; `outside` is the world beyond the region's routers."""
import os
import subprocess

from .parts import run

CENTRE = "192.168.50.254"
OUTSIDE = "203.0.113.0/24"
OUTSIDE_GATEWAY = "203.0.113.1"


def exists(netns):
    return os.path.exists(f"/run/netns/{netns}")


def card(bridge, number):
    """A MAC address."""
    return f"0a:00:00:00:{int(bridge == 'outside'):02x}:{number:02x}"


class Fabric:
    def __init__(self, name, outside):
        self.netns, self.outside = f"{name}-net", outside

    def ip(self, *words):
        run("ip", "-n", self.netns, *words)

    def start(self):
        if exists(self.netns):
            return
        run("ip", "netns", "add", self.netns)
        self.ip("link", "set", "lo", "up")
        self.bridge("fabric", f"{CENTRE}/24")
        if self.outside:
            self.bridge("outside", f"{OUTSIDE_GATEWAY}/{OUTSIDE.split('/')[1]}")

    def bridge(self, name, address):
        """Its address is its own: else it were one of its ports', and another when that goes."""
        self.ip("link", "add", name, "address", card(name, 255), "type", "bridge")
        self.ip("addr", "add", address, "dev", name)
        self.ip("link", "set", name, "up")
        self.whole_checksums(name)

    def whole_checksums(self, link):
        """The switches' userspace datapath takes packets as they are."""
        if self.outside:
            run("nsenter", f"--net=/run/netns/{self.netns}", "ethtool", "-K", link, "tx", "off")

    def cable(self, host, bridge, inside, far):
        """`inside` in the host's namespace, at the other end a port of the bridge. The host's card has its address after a loss of
        power too, and the others know it still."""
        run("ip", "-n", host.netns, "link", "add", inside, "address", card(bridge, host.number), "type", "veth", "peer", "name", far,
            "netns", self.netns)
        self.ip("link", "set", far, "master", bridge, "up")
        self.whole_checksums(far)
        run("ip", "-n", host.netns, "link", "set", inside, "up")

    def add_host(self, host):
        self.remove_host(host)
        run("ip", "netns", "add", host.netns)
        run("ip", "-n", host.netns, "link", "set", "lo", "up")
        self.cable(host, "fabric", "fab0", host.name)
        run("ip", "-n", host.netns, "addr", "add", f"{host.address}/24", "dev", "fab0")
        if self.outside:
            self.cable(host, "outside", "ext0", f"{host.name}-ext")

    def remove_host(self, host):
        if exists(host.netns):
            subprocess.run(["ip", "netns", "del", host.netns], check=False)
            # The namespace goes once its last process is gone, its cables a little later: not at all before the next.
            for far in (host.name, f"{host.name}-ext"):
                subprocess.run(["ip", "-n", self.netns, "link", "del", far], check=False, stderr=subprocess.DEVNULL)

    def cut(self, host, is_cut):
        """The host is alone with itself, or no longer."""
        self.ip("link", "set", host.name, "down" if is_cut else "up")

    def stop(self):
        if exists(self.netns):
            run("ip", "netns", "del", self.netns)
