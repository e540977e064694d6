# SPDX-License-Identifier: EUPL-1.2
"""OVN of a cluster, without systemd and kernel module: its databases and northd beside the control plane; on each host
a switch of the userspace datapath and ovn-controller, with their sockets where Debian has them, in the host's own /run."""
import os

from .fabric import CENTRE
from .parts import run, wait_until

SB = f"tcp:{CENTRE}:6642"
LOG = ("-vconsole:off", "-vfile:info")


class Ovn:
    def __init__(self, cluster):
        self.cluster, self.book = cluster, cluster.book
        self.dir = f"{cluster.dir}/ovn"

    # ---- beside the control plane

    def central(self, name, *words):
        """In the namespace that the hosts' controllers reach."""
        self.book.start(name, ["nsenter", f"--net=/run/netns/{self.cluster.fabric.netns}", *words, *LOG,
                               f"--log-file={self.dir}/{name}.log", f"--unixctl={self.dir}/{name}.ctl"],
                        f"{self.dir}/{name}.out", env={**os.environ, "OVS_RUNDIR": self.dir, "OVN_RUNDIR": self.dir})

    def names(self):
        return ["ovn-nb", "ovn-sb", "ovn-northd", "network"]

    def start(self):
        os.makedirs(self.dir, exist_ok=True)
        for name in ("nb", "sb"):
            if not os.path.exists(f"{self.dir}/{name}.db"):
                run("ovsdb-tool", "create", f"{self.dir}/{name}.db", f"/usr/share/ovn/ovn-{name}.ovsschema")
        self.central("ovn-nb", "ovsdb-server", f"{self.dir}/nb.db", f"--remote=punix:{self.dir}/nb.sock")
        self.central("ovn-sb", "ovsdb-server", f"{self.dir}/sb.db", f"--remote=punix:{self.dir}/sb.sock",
                     f"--remote=ptcp:6642:{CENTRE}")
        wait_until("OVN's databases are up", lambda: all(os.path.exists(f"{self.dir}/{n}.sock") for n in ("nb", "sb")))
        self.central("ovn-northd", "ovn-northd", f"--ovnnb-db=unix:{self.dir}/nb.sock", f"--ovnsb-db=unix:{self.dir}/sb.sock")

    def start_writer(self):
        """What writes the region's networks into the northbound database: an agent beside the control plane."""
        c = self.cluster
        secret = f"{c.data}/network/secret"
        if not os.path.exists(secret):
            os.makedirs(os.path.dirname(secret), 0o700, exist_ok=True)
            with open(secret, "x", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(c.admin("network-add").split()[-1])
        urls = ",".join(f"http://127.0.0.1:{c.api_port(n)}" for n in range(2))
        self.book.start("network", ["nsenter", f"--net=/run/netns/{c.fabric.netns}", c.colvert, "network", "--data", c.data,
                                    "--api-urls", urls, *self.options()], f"{c.dir}/network.log")

    def options(self):
        """Of every process of the region."""
        return ["--network-driver", "ovn", "--ovn-nb", f"unix:{self.dir}/nb.sock", "--ovn-sb", f"unix:{self.dir}/sb.sock"]

    # ---- on a host

    def start_host(self, host):
        """On one that has just been powered on. The underlay's link stands in a bridge of the userspace datapath, which
        has the tunnels' address."""
        files = f"{host.data}.ovs"
        os.makedirs(files, exist_ok=True)
        if host.run("sh", "-c", "test -e /run/openvswitch/db.sock && echo runs || true").strip():
            return
        host.run("mkdir", "-p", "/run/openvswitch", "/run/ovn")
        if os.path.exists(f"{files}/conf.db"):
            os.unlink(f"{files}/conf.db")
        run("ovsdb-tool", "create", f"{files}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")

        def daemon(name, *words):
            host.run(*words, "--detach", "--no-chdir", f"--pidfile=/run/openvswitch/{name}.pid", *LOG,
                     f"--log-file={files}/{name}.log")
        daemon("ovsdb-server", "ovsdb-server", f"{files}/conf.db", "--remote=punix:/run/openvswitch/db.sock",
               "--unixctl=/run/openvswitch/ovsdb.ctl")
        # Not the link's: the host's own network stack would take the link's packets a second time.
        mac = f"0e:00:00:00:32:{host.number:02x}"
        host.run("ovs-vsctl", "--no-wait", "init", "--", "set", "Open_vSwitch", ".", f"external_ids:system-id={host.name}",
                 f"external_ids:hostname={host.name}", f"external_ids:ovn-remote={SB}", "external_ids:ovn-encap-type=geneve",
                 f"external_ids:ovn-encap-ip={host.address}", "external_ids:ovn-bridge-datapath-type=netdev",
                 "external_ids:ovn-bridge-mappings=external:br-ext", "external_ids:ovn-monitor-all=true",
                 *self.bridge("br-phy", "fab0", f"other-config:hwaddr={mac}"), *self.bridge("br-ext", "ext0"))
        daemon("ovs-vswitchd", "ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--unixctl=/run/openvswitch/vswitchd.ctl")
        host.run("ovs-vsctl", "--timeout=20", "set", "Bridge", "br-ext", "external_ids:made-by=cluster")
        host.run("ip", "addr", "flush", "dev", "fab0")
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", "br-phy")
        host.run("ip", "link", "set", "br-phy", "up")
        daemon("ovn-controller", "ovn-controller", "unix:/run/openvswitch/db.sock")

    @staticmethod
    def bridge(name, port, *more):
        return ["--", "--may-exist", "add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev", "fail_mode=standalone", *more,
                "--", "--may-exist", "add-port", name, port]

    def chassis(self, host):
        """The host's controller has registered."""
        return run("ovn-sbctl", f"--db=unix:{self.dir}/sb.sock", "--bare", "--columns=_uuid", "find", "Chassis",
                   f"name={host.name}").strip()
