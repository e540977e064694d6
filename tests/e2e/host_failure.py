# SPDX-License-Identifier: EUPL-1.2
"""Hosts that fail: power that goes, a network that is cut. Highly available servers start elsewhere within a minute, and never
run twice. Real guests of the smallest kind; tools/cluster makes the region."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime

import cloud
from cloud import TOP, check, wait_for

sys.path.insert(0, f"{TOP}/tools")
from cluster import Cluster  # noqa: E402

WITHIN_S = 60
OLD = {"OpenStack-API-Version": "compute 2.11"}  # in which hosts are named


class Region:
    """What the tests share: the first makes it."""
    cluster = admin = image = net = None
    servers = {}


def region():
    r = Region
    r.cluster = Cluster(tempfile.mkdtemp(prefix="colvert-failure-"), hosts=2)
    r.cluster.start()
    r.admin = r.cluster.login("admin")
    # Nothing boots from it: that QEMU runs it is all that is looked at.
    disk = f"{r.cluster.dir}/empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
    with open(disk, "rb") as f:
        r.image = r.admin.image("empty", f.read(), "qcow2")
    r.net, _ = r.admin.network("net", "10.9.0.0/24")
    flavor = r.admin.must(200, "POST", "/compute/v2.1/flavors", {"flavor": {
        "name": "small", "vcpus": 1, "ram": 64, "disk": 1}})["flavor"]["id"]
    for name, ha in (("ha", "True"), ("plain", "False")):
        r.servers[name] = r.admin.server(name=name, imageRef=r.image, flavorRef=flavor, networks=[{"uuid": r.net}],
                                         metadata={"HA_Enabled": ha}, availability_zone="nova:h1")
        r.admin.wait_status(r.servers[name], "ACTIVE")
    wait_for("the guests run on h1", lambda: qemu(host("h1"), "ha") and qemu(host("h1"), "plain"))


def host(name):
    return next(h for h in Region.cluster.hosts if h.name == name)


def qemu(on, name):
    """The pid of a server's QEMU on this host; None: there is none."""
    for pid in on.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
        except OSError:
            continue
        if b"qemu-system" in words and Region.servers[name].encode() in words:
            return pid
    return None


def shown(name):
    return Region.admin.must(200, "GET", f"/compute/v2.1/servers/{Region.servers[name]}")["server"]


def moves_of(name):
    path = f"/compute/v2.1/os-migrations?instance_uuid={Region.servers[name]}"
    return Region.admin.must(200, "GET", path)["migrations"]


def is_on(name, where):
    s = shown(name)
    return s["status"] == "ACTIVE" and s["OS-EXT-SRV-ATTR:host"] == where.name


def never_twice(name, hosts, until, patience_s):
    """Looks at both hosts' processes all the while; when the first one ended, and the other was first seen."""
    ended = begun = None
    end = time.monotonic() + patience_s
    source, target = hosts
    while time.monotonic() < end:
        here, there = qemu(source, name), qemu(target, name)
        now = time.monotonic()
        check(not (here and there), f"{name} runs on {source.name} and {target.name}")
        ended = ended or (None if here else now)
        begun = begun or (now if there else None)
        if begun and until():
            return ended, begun
        time.sleep(0.1)
    check(False, f"{name}: not on {target.name} after {patience_s} s: {shown(name)}")
    return None


def logged(path, words, server):
    """When a log line with these words speaks of the server: seconds since 1970."""
    with open(path, encoding="utf-8") as f:
        for line in reversed(f.readlines()):
            if words in line and Region.servers[server] in line:
                return datetime.fromisoformat(re.match(r"\S+", line)[0].replace("Z", "+00:00")).timestamp()
    return None


def power_lost():
    """Everything on h1 ends at once."""
    h1, h2 = host("h1"), host("h2")
    died = time.monotonic()
    h1.kill()
    _, begun = never_twice("ha", (h1, h2), lambda: is_on("ha", h2), WITHIN_S + 20)
    took = begun - died
    print(f"    from death to a guest elsewhere: {took:.1f} s", flush=True)
    check(took < WITHIN_S, f"it took {took:.1f} s")
    check(shown("plain")["OS-EXT-SRV-ATTR:host"] == "h1", "the other server moved, and nobody vouched for it")
    r = moves_of("ha")
    check(len(r) == 1 and r[0]["status"] == "done" and r[0]["source_compute"] == "h1", f"migrations: {r}")
    actions = Region.admin.must(200, "GET", f"/compute/v2.1/servers/{Region.servers['ha']}/os-instance-actions")
    check("evacuate" in [a["action"] for a in actions["instanceActions"]], f"actions: {actions}")


def by_hand():
    """What is not highly available moves with an operator's word only."""
    path = f"/compute/v2.1/servers/{Region.servers['plain']}/action"
    got = Region.admin.call("POST", path, {"evacuate": {"onSharedStorage": False}})
    check(got.status == 400 and b"set --down" in got.body, f"evacuate: {got.status} {got.body}")
    Region.admin.must(200, "PUT", "/compute/v2.1/os-services/force-down",
                      {"host": "h1", "binary": "nova-compute", "forced_down": True}, headers=OLD)
    Region.admin.must(200, "POST", path, {"evacuate": {"onSharedStorage": False}})
    wait_for("the other one runs on h2", lambda: is_on("plain", host("h2")), 60)


def back_again():
    """h1 clears up before it starts anything."""
    h1 = host("h1")
    Region.admin.must(200, "PUT", "/compute/v2.1/os-services/force-down",
                      {"host": "h1", "binary": "nova-compute", "forced_down": False}, headers=OLD)
    h1.start()
    h1.start_agent()
    wait_for("nothing is left on h1", lambda: not any(
        os.path.exists(f"{h1.data}/node/servers/{server}") for server in Region.servers.values()), 60)
    wait_for("h1 is up", Region.cluster.hosts_up, 60)


def cut_off():
    """h2 is alone with its guests, its agent is killed, too: the guard ends them before h1 starts them."""
    h1, h2 = host("h1"), host("h2")
    wait_for("both run on h2", lambda: qemu(h2, "ha") and qemu(h2, "plain"), 30)
    os.kill(h2.agent_pid(), signal.SIGKILL)
    Region.cluster.fabric.cut(h2, True)
    cut = time.monotonic()
    ended, begun = never_twice("ha", (h2, h1), lambda: is_on("ha", h1), WITHIN_S + 20)
    print(f"    cut off: ended after {ended - cut:.1f} s, elsewhere after {begun - cut:.1f} s", flush=True)
    check(ended < begun, "it was begun before it ended")
    check(begun - cut < WITHIN_S, f"it took {begun - cut:.1f} s")
    guard = logged(f"{h2.data}.log", "guest ended", "ha")
    start = logged(f"{h1.data}.log", " start server=", "ha")
    check(guard and start and guard < start, f"the guard ended it at {guard}, h1 began at {start}")
    print(f"    {start - guard:.1f} s between its end and its start", flush=True)
    check(qemu(h2, "plain"), "the other guest on h2 was ended, too")


def together_again():
    h2 = host("h2")
    Region.cluster.fabric.cut(h2, False)
    Region.cluster.book.end(f"{h2.name}-agent")
    h2.start_agent()
    wait_for("h2 has no trace of it", lambda: not os.path.exists(f"{h2.data}/node/servers/{Region.servers['ha']}"), 60)
    check(qemu(h2, "plain"), "the other guest did not outlive all this")
    check(qemu(host("h1"), "ha"), "it does not run on h1")


def outage():
    """Nobody answers for longer than a lease, whichever host asks: the guest ends, and starts where it was."""
    c, h1, h2 = Region.cluster, host("h1"), host("h2")
    was, moves = qemu(h2, "plain"), moves_of("ha")
    for n in (1, 2):
        c.book.end(f"api{n}", signal.SIGKILL)
    wait_for("the guest ends", lambda: qemu(h1, "ha") is None, 40)
    for n in range(2):
        c.start_api(n)
    wait_for("the APIs answer", c.healthy, 30)
    wait_for("it runs again", lambda: qemu(h1, "ha") and is_on("ha", h1), 60)
    check(qemu(h2, "plain") == was, "the other guest was ended, too")
    check(moves_of("ha") == moves, f"it was moved: {moves_of('ha')}")


def figures():
    text = Region.cluster.raw("GET", "/metrics").body.decode()
    check('colvert_evacuations{status="done"} 3' in text, re.findall(r"colvert_(?:evac|hosts).*", text))


def nothing_left():
    Region.cluster.stop()


def run():
    cloud.main_in_cluster(Region, region, power_lost, by_hand, back_again, cut_off, together_again, outage, figures, nothing_left)


if __name__ == "__main__":
    run()
