# SPDX-License-Identifier: EUPL-1.2
"""Servers move between two hosts: live, cold and back, with a shared volume, by a drain; and somebody is killed in
the middle. After each of it one guest runs, with its memory and its disk."""
import os
import subprocess
import sys
import tempfile

import cloud
from cloud import TOP, Failure, check, wait_for
from held import Holds

sys.path.insert(0, f"{TOP}/tools")
from cluster import Cluster  # noqa: E402

TINY = f"{TOP}/build/images/tiny.qcow2"
COMPUTE = "/compute/v2.1"
# A counter that lives in the guest's memory, and a file on its disk.
PREPARE = ("echo kept >/root/mark; sync; (n=0; while sleep 0.1; do n=$((n+1)); echo $n >/run/m; mv /run/m /run/n; done) "
           "</dev/null >/dev/null 2>&1 & until [ -e /run/n ]; do sleep 0.1; done; cat /run/n")


class Region:
    """What the tests share: the first makes it."""
    cluster = admin = key = server = ip = volume = holds = None


def host():
    return Region.cluster.host_of(Region.admin, Region.server)


def other():
    return next(h for h in Region.cluster.hosts if h is not host())


def guest(command, seconds=300):
    """What the guest answers, once it does."""
    r = Region

    def ask():
        try:
            p = subprocess.run(r.cluster.outside(
                "ssh", "-F", "none", "-i", r.key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "-o",
                "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"root@{r.ip}", command, host=host()),
                capture_output=True, text=True, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return None
        last.append(f"{p.returncode} {p.stdout}{p.stderr}")
        return [p.stdout.strip()] if p.returncode == 0 else None
    last = [""]
    try:
        return wait_for(f"the guest answers to '{command}'", ask, seconds, 0.5)[0]
    except Failure as e:
        raise Failure(f"{e}: {last[0]}") from e


def act(body, version="2.60"):
    r = Region.admin.call("POST", f"{COMPUTE}/servers/{Region.server}/action", body,
                          {"OpenStack-API-Version": f"compute {version}"})
    check(r.status in (202, 204), f"{body}: {r.status} {r.body[:300]}")


def shown():
    return Region.admin.must(200, "GET", f"{COMPUTE}/servers/{Region.server}")["server"]


def status():
    return shown()["status"]


def settles(want="ACTIVE", seconds=120):
    Region.admin.wait_status(Region.server, want, seconds)


def migrations():
    """The newest first."""
    return Region.admin.must(200, "GET", f"{COMPUTE}/os-migrations?instance_uuid={Region.server}")["migrations"]


def running():
    """Hosts with a process of this guest."""
    return [h for h in Region.cluster.hosts
            if any(Region.server in " ".join(words) and "qemu-system" in words[0] for words in processes(h))]


def processes(h):
    for pid in h.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0]:
            yield words


def alone(where):
    wait_for("the guest is on one host only", lambda: running() == [where], 60)


def intact(at_least):
    """Its memory went on, and its disk is its own; returns the counter."""
    n = int(guest(f"until [ $(cat /run/n) -gt {at_least} ]; do sleep 0.1; done; cat /run/n"))
    check(n > at_least, f"the counter is {n}, was {at_least}")
    check(guest("cat /root/mark; sync") == "kept", "the disk is another")
    # That it got no time to run for long says something of the machine below, not of its state.
    bad = guest("dmesg | grep -i -e 'oops' -e 'BUG:' -e 'I/O error' | grep -v 'soft lockup' || true")
    check(not bad, f"the kernel is not well: {bad}")
    return n


def region():
    """Two hosts, an image, a network, a server with a counter in its memory and a shared volume."""
    r = Region
    r.cluster = Cluster(tempfile.mkdtemp(prefix="colvert-migrate-"), hosts=2)
    r.cluster.start()
    r.admin = r.cluster.login("admin")
    r.key = f"{r.cluster.dir}/key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.key], check=True)
    with open(f"{r.key}.pub", encoding="ascii") as f:
        r.admin.must(200, "POST", f"{COMPUTE}/os-keypairs", {"keypair": {"name": "key", "public_key": f.read()}})
    with open(TINY, "rb") as f:
        image = r.admin.image("tiny", f.read(), "qcow2")
    group = r.admin.must(201, "POST", "/network/v2.0/security-groups", {"security_group": {"name": "open"}})["security_group"]
    r.admin.must(201, "POST", "/network/v2.0/security-group-rules", {"security_group_rule": {
        "security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}})
    net, sub = r.admin.network("net", "10.1.0.0/24")
    public = r.admin.must(200, "GET", "/network/v2.0/networks?router:external=true")["networks"][0]["id"]
    router = r.admin.must(201, "POST", "/network/v2.0/routers", {"router": {
        "name": "r", "external_gateway_info": {"network_id": public}}})["router"]["id"]
    r.admin.must(200, "PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": sub})
    r.server = r.admin.server(name="moved", imageRef=image, flavorRef=r.admin.flavor("m1.tiny"), networks=[{"uuid": net}],
                              key_name="key", security_groups=[{"name": "open"}], availability_zone="nova:h1")
    settles()
    port = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={r.server}")["ports"][0]["id"]
    r.ip = r.admin.must(201, "POST", "/network/v2.0/floatingips", {"floatingip": {
        "floating_network_id": public, "port_id": port}})["floatingip"]["floating_ip_address"]
    guest(PREPARE)


def live():
    """Its memory goes on elsewhere; nothing is left behind."""
    before, to = int(guest("cat /run/n")), other()
    act({"os-migrateLive": {"host": to.name, "block_migration": "auto"}})
    wait_for("it is there", lambda: host() is to, 120)
    settles()
    intact(before)
    alone(to)
    check(migrations()[0]["status"] == "completed", f"{migrations()}")


def live_with_volume():
    """A volume on shared storage is opened there instead."""
    r = Region
    volume = r.admin.must(202, "POST", "/volume/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    wait_for("the volume is made", lambda: r.admin.must(
        200, "GET", f"/volume/v3/volumes/{volume}")["volume"]["status"] == "available", 60)
    r.admin.must(200, "POST", f"{COMPUTE}/servers/{r.server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
    wait_for("it is attached", lambda: r.admin.must(
        200, "GET", f"/volume/v3/volumes/{volume}")["volume"]["status"] == "in-use", 60)
    guest("until [ -b /dev/vdb ]; do sleep 0.1; done; echo before >/dev/vdb; sync")
    live()
    check(guest("head -n 1 /dev/vdb; echo after >/dev/vdb; sync; head -n 1 /dev/vdb") == "before\nafter", "the volume is another")
    r.admin.must(202, "DELETE", f"{COMPUTE}/servers/{r.server}/os-volume_attachments/{volume}")
    wait_for("it is detached", lambda: r.admin.must(
        200, "GET", f"/volume/v3/volumes/{volume}")["volume"]["status"] == "available", 60)


def cold():
    """Off on the way; taken back, it is as it was; moved again and confirmed, it is there."""
    was = host()
    act({"migrate": None})
    settles("VERIFY_RESIZE", 180)
    check(host() is not was, "it did not move")
    check(guest("cat /root/mark") == "kept", "its disk is another")
    guest("echo gone >/root/mark; sync")
    act({"revertResize": None})
    settles()
    check(host() is was and guest("cat /root/mark") == "kept", "it is not as it was")
    act({"migrate": None})
    settles("VERIFY_RESIZE", 180)
    act({"confirmResize": None})
    settles()
    check(host() is not was and guest("cat /root/mark") == "kept", "it did not move")
    alone(host())
    guest(PREPARE)


def kill(at, victim):
    """Somebody dies while the server is on its way; it stays or arrives, whole. True: it is there."""
    r = Region
    before, was, to = int(guest("cat /run/n")), host(), other()
    r.holds.killed_at(lambda: act({"os-migrateLive": {"host": to.name, "block_migration": "auto"}}), at, victim, (was, to))
    wait_for("it is at rest", lambda: not shown()["OS-EXT-STS:task_state"], 180)
    there = host() is to
    print(f"# {victim} killed at {' '.join(at)}: {'there' if there else 'stays'}, {migrations()[0]['status']}", flush=True)
    if victim == "source-power" and not there:  # its memory is lost with the power
        if status() == "SHUTOFF":
            act({"os-start": None})
            settles()
        check(guest("cat /root/mark; cat /run/n || true") == "kept", "its disk is another, or it did not start anew")
        guest(PREPARE)
    else:
        intact(before)
    alone(host())
    return there


def killed():
    """Whoever dies, at steps that tell much (move_kills.py has them all, without a look inside): no guest twice, none lost."""
    r = Region
    r.holds = Holds(r.cluster)
    for n in (1, 2):
        r.cluster.book.end(f"api{n}")
    r.holds.live_again("api", ())
    for h in r.cluster.hosts:
        h.stop_agent()
        h.start_agent()
    check(not kill(("target", "received-file"), "source-power"), "it went without its memory")
    kill(("source", "did-migrate"), "source")
    check(kill(("target", "recorded-arrived"), "target"), "it did not arrive")
    check(kill(("api", "switch"), "api"), "it did not arrive")
    check(kill(("target", "load-memory"), "target-power"), "it did not arrive")


def drained():
    """One command empties a host."""
    r = Region
    before, was = int(guest("cat /run/n")), host()
    said = r.cluster.admin("host", "drain", was.name, "--wait")
    check("is empty" in str(said), f"drain said: {said}")
    check(host() is not was, "it is still there")
    settles()
    intact(before)
    alone(host())


def nothing_left():
    r = Region
    r.admin.must(204, "DELETE", f"{COMPUTE}/servers/{r.server}")
    wait_for("it is gone", lambda: r.admin.get(f"{COMPUTE}/servers/{r.server}").status == 404, 60)
    wait_for("no guest is left", lambda: not running(), 30)
    r.cluster.stop()


def run():
    if not os.path.exists(TINY):
        subprocess.run([f"{TOP}/images/build-tiny", TINY], check=True)
    cloud.main_in_cluster(Region, region, live, live_with_volume, cold, killed, drained, nothing_left, log_lines=60)


if __name__ == "__main__":
    run()
