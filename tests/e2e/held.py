# SPDX-License-Identifier: EUPL-1.2
"""A region whose processes stand at a named step of a server's move until they are let go (colvert-held, src/cmd/held.c), so
that who dies there, dies there. Made known by this environment before the cluster starts its processes."""
import os
import signal
import tempfile
import threading

from cloud import TOP, wait_for

COLVERT = f"{TOP}/build/release/src/cmd/colvert-held"
VICTIMS = ("source", "target", "api", "source-power", "target-power")
LOST = "target-lost"  # its power, for good


class Holds:
    def __init__(self, cluster):
        """Processes started from here on are held where it is asked for."""
        self.cluster = cluster
        cluster.colvert = COLVERT
        self.dir = tempfile.mkdtemp(prefix="holds-", dir=cluster.dir)
        os.chmod(self.dir, 0o777)
        os.environ["COLVERT_HOLDS"] = self.dir

    def killed_at(self, ask, at, victim, hosts):
        """
        ask() goes on in a thread of its own. at: ("source", "target" or "api", step): once that is there, the victim dies, the
        others go on, and the victim (but LOST) is back. hosts: source, target.
        """
        who, step = at
        path = f"{self.dir}/{who if who == 'api' else self.host(who, hosts).name}.{step}"
        with open(path, "x", encoding="ascii"):
            pass
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            wait_for(f"{who} is at {step}", lambda: os.path.exists(f"{path}.held"), 60, 0.01)
            self.die(victim, hosts)
        finally:
            for p in (path, f"{path}.held"):
                if os.path.exists(p):
                    os.unlink(p)
        if victim != LOST:
            self.live_again(victim, hosts)
        asking.join()

    @staticmethod
    def host(who, hosts):
        source, target = hosts
        return source if who.startswith("source") else target

    def die(self, victim, hosts):
        if victim == "api":
            for n in (1, 2):
                self.cluster.book.end(f"api{n}", signal.SIGKILL)
        elif "-" in victim:
            self.host(victim, hosts).kill()
        else:
            self.host(victim, hosts).stop_agent(signal.SIGKILL)

    def live_again(self, victim, hosts):
        if victim == "api":
            self.cluster.start_api(0)
            self.cluster.start_api(1)
            wait_for("the APIs are back", self.cluster.healthy, 30)
            return
        self.host(victim, hosts).start()
        self.host(victim, hosts).start_agent()
