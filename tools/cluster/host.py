# SPDX-License-Identifier: EUPL-1.2
"""A host of a cluster: namespaces of network, processes, mounts and name, so that two agents of one machine meet
nowhere, and that the end of the first process in it is the host's power loss."""
import glob
import os
import shutil
import signal
import subprocess

from .parts import run, started_at, wait_until

# Adopts what its processes leave behind, and buries it. /run is the host's own: namespaces' names are kept there.
INIT = 'hostname "$1" && mount -t tmpfs -o mode=755 host-run /run && mkdir /run/netns && : >"$2" && sleep infinity & wait; wait'


class Host:
    def __init__(self, cluster, number):
        self.cluster, self.book, self.number = cluster, cluster.book, number
        self.name = f"h{number}"
        self.netns = f"{cluster.name}-{self.name}"
        self.data = f"{cluster.dir}/{self.name}"
        self.address = f"192.168.50.{number}"
        self.uid_first = 200000 + 5000 * number

    # ---- power

    def start(self):
        """The machine, and its cable; not the agent."""
        c = self.cluster
        if self.book.pid(self.name):
            return
        c.fabric.add_host(self)
        up = f"{c.dir}/{self.name}.up"
        if os.path.exists(up):
            os.unlink(up)
        self.book.start(self.name, ["nsenter", f"--net=/run/netns/{self.netns}", "unshare", "--mount", "--pid", "--uts", "--fork",
                                    "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", INIT, "sh",
                                    self.name, up], f"{c.dir}/{self.name}.log")
        wait_until(f"{self.name} is up", lambda: os.path.exists(up) or self.check_up())
        if c.ovn:
            c.ovn.start_host(self)

    def check_up(self):
        if not self.book.pid(self.name):
            raise RuntimeError(f"{self.name} did not come up, see {self.cluster.dir}/{self.name}.log")
        return False

    def init(self):
        """The host's first process, as this machine numbers it; None: the host is off."""
        pid = self.book.pid(self.name)
        if not pid:
            return None
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            found = f.read().split()
        return int(found[0]) if found else None

    def kill(self):
        """Its power is lost: everything in it ends at once. What is on its disks stays."""
        init, began = self.init(), None
        if init:
            began = started_at(init)
            os.kill(init, signal.SIGKILL)
            wait_until(f"{self.name} is off", lambda: started_at(init) != began)
        self.book.end(self.name, signal.SIGKILL)
        self.book.end(f"{self.name}-agent", signal.SIGKILL)
        self.cluster.fabric.remove_host(self)

    # ---- what runs in it

    def inside(self, *words):
        return ["nsenter", "--target", str(self.init()), "--net", "--mount", "--pid", "--uts", "--", *words]

    def run(self, *words, **kw):
        return run(*self.inside(*words), **kw)

    def processes(self):
        """Pids on this machine of all that runs in the host."""
        init = self.init()
        if not init:
            return []
        ours = os.readlink(f"/proc/{init}/ns/pid")
        found = []
        for path in glob.glob("/proc/[0-9]*"):
            try:
                if os.readlink(f"{path}/ns/pid") == ours:
                    found.append(int(path.rsplit("/", 1)[1]))
            except OSError:
                pass
        return found

    def agent_words(self):
        c = self.cluster
        return [c.colvert, "node", "--data", self.data, "--driver", c.driver, "--agent-listen", f"{self.address}:7000",
                "--guest-uid-first", str(self.uid_first), *c.node_options(self)]

    def start_agent(self):
        if self.book.pid(f"{self.name}-agent"):
            return
        more = ["--api-urls", self.cluster.hosts_urls()]
        if not os.path.exists(f"{self.data}/node/enrolment.json"):
            more += ["--api", self.cluster.hosts_urls().split(",", maxsplit=1)[0], "--join", self.cluster.join_token(self.name)]
        self.book.start(f"{self.name}-agent", self.inside(*self.agent_words(), *more), f"{self.data}.log")

    def agent_pid(self):
        """The agent itself; what is in the book waits for it in front of the host's door."""
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read().split(b"\0")[1:2] == [b"node"]:
                        return pid
            except OSError:
                pass
        return None

    def stop_agent(self, how=signal.SIGTERM):
        pid = self.agent_pid()
        if pid:
            began = started_at(pid)
            os.kill(pid, how)
            wait_until(f"{self.name}'s agent ends", lambda: started_at(pid) != began)
        self.book.end(f"{self.name}-agent")

    def purge(self):
        """Guests, networks, cgroups."""
        if self.init() and os.path.isdir(f"{self.data}/node"):
            subprocess.run(self.inside(*self.agent_words()[:2], "--purge", *self.agent_words()[2:]), check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        for folder in glob.glob(f"/sys/fs/cgroup/*/colvert/{self.instance()}") + glob.glob(
                f"/sys/fs/cgroup/colvert/{self.instance()}"):
            for path, _, _ in os.walk(folder, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass

    def instance(self):
        """The agent's own short name for its data folder, in cgroups."""
        h = 1469598103934665603
        for byte in self.data.encode():
            h = (h ^ byte) * 1099511628211 % (1 << 64)
        return f"i{(h ^ h >> 32) & 0xffffffff:08x}"

    def forget(self):
        shutil.rmtree(self.data, ignore_errors=True)
