# SPDX-License-Identifier: EUPL-1.2
"""A server moves from host to host, and at each step that the product knows somebody dies: an agent of the two, every API,
a host by its power. After each: no guest twice, none lost, nothing left over, nothing stuck.

colvert-held (src/cmd/held.c) stands at a named step until it is let go, so who dies, dies there. Guests that boot nothing, but
run in QEMU. MOVE_KILLS=all: each step with each victim; or some of them, as "live source open-root target" (words that a case's
name has).
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import cloud
from cloud import TOP, Failure, check, wait_for
from held import LOST, VICTIMS, Holds

os.environ["COLVERT_SHUTDOWN_TIMEOUT_S"] = "1"  # these guests never hear the button
sys.path.insert(0, f"{TOP}/tools")
from cluster import Cluster  # noqa: E402
from cluster.memory import words_of  # noqa: E402

COMPUTE = "/compute/v2.1"
NEW = {"OpenStack-API-Version": "compute 2.60"}

# Who comes to a step, and its name: in the order in which a move passes them.
BEGINS = [("api", "begin"), ("api", "begin-committed"), ("target", "act-prepare"), ("target", "tell-ready"), ("api", "ready"),
          ("api", "ready-committed"), ("target", "told-ready")]
ENDS = [("source", "say-end"), ("target", "hear-end"), ("target", "placed-root"), ("target", "record-arrived"),
        ("target", "recorded-arrived"), ("target", "heard-end"), ("source", "said-end"), ("source", "record-sent"),
        ("source", "recorded-sent"), ("source", "tell-sent"), ("api", "switch"), ("api", "switch-committed"),
        ("source", "told-sent"), ("target", "act-start")]
ARRIVES = [("target", "started"), ("target", "tell-on"), ("api", "arrived"), ("api", "arrived-committed"), ("target", "told-on")]
GOES = [("source", "act-stop"), ("source", "act-destroy"), ("source", "tell-absent"), ("source", "told-absent")]
LIVE = [*BEGINS, ("source", "act-send"), ("source", "open-mirror"), ("source", "opened-mirror"), ("target", "receive-mirror"),
        ("target", "made-mirror"), ("source", "did-blockdev-add"), ("source", "did-blockdev-mirror"), ("source", "stop-guest"),
        ("source", "stopped-guest"), ("source", "did-block-job-cancel"), ("source", "did-job-dismiss"),
        ("target", "settled-part"), ("source", "open-memory"), ("target", "receive-memory"), ("source", "send-memory"),
        ("source", "did-migrate"), ("target", "received-file"), ("source", "sent-file"), *ENDS, ("target", "placed-memory"),
        ("target", "load-memory"), ("target", "loaded-memory"), *ARRIVES, *GOES]
COLD = [*BEGINS, ("source", "act-shut-down"), ("source", "act-stop"), ("source", "act-send"), ("source", "open-root"),
        ("target", "receive-root"), ("target", "received-file"), ("target", "settled-part"), ("source", "sent-file"), *ENDS,
        *ARRIVES]
CONFIRM = [("api", "confirm"), ("api", "confirm-committed"), ("source", "act-destroy"), ("source", "tell-absent"),
           ("source", "told-absent")]
REVERT = [("api", "revert"), ("api", "revert-committed"), ("target", "act-stop"), ("target", "act-destroy"),
          ("target", "tell-absent"), ("api", "returned"), ("api", "returned-committed"), ("target", "told-absent"),
          ("source", "act-start"), ("source", "started"), ("source", "tell-on")]
KINDS = {"live": LIVE, "cold": COLD, "resize": COLD, "confirm": CONFIRM, "revert": REVERT}

# The target's guest runs: power lost from there on is a guest's that has no way back to what its memory held.
RUNS_THERE = [("target", "loaded-memory"), *ARRIVES, *GOES]
MARK_AT, MARK_BYTES = 32 << 20, 16

# The source waits for an answer of the target, which the guest stands for; nobody is there any more who would give it.
WAITS = [("live", ("target", "made-mirror")), ("live", ("target", "received-file")), ("live", ("target", "hear-end")),
         ("cold", ("target", "received-file"))]
# The few of a run without MOVE_KILLS: around what decides where the server is, and what left something behind once.
FEW = [("live", ("api", "begin"), "api"), ("live", ("target", "act-prepare"), "target"),
       ("live", ("source", "opened-mirror"), "source"), ("live", ("source", "did-migrate"), "target-power"),
       ("live", ("target", "recorded-arrived"), "source-power"), ("live", ("source", "recorded-sent"), "source"),
       ("live", ("api", "switch"), "api"), ("live", ("target", "load-memory"), "target"),
       ("live", ("source", "act-destroy"), "source-power"), ("cold", ("source", "sent-file"), "target"),
       ("cold", ("api", "switch-committed"), "source-power"), ("resize", ("source", "tell-sent"), "api"),
       ("resize", ("target", "act-start"), "target-power"), ("confirm", ("source", "act-destroy"), "source"),
       ("revert", ("target", "tell-absent"), "target-power")]


class Region:
    """What the cases share: the first makes it."""
    cluster = admin = server = volume = holds = None
    flavors = {}


def host():
    return Region.cluster.host_of(Region.admin, Region.server)


def other():
    return next(h for h in Region.cluster.hosts if h is not host())


def shown():
    r = Region.admin.retry("GET", f"{COMPUTE}/servers/{Region.server}")
    check(r.status == 200, f"the server is lost: {r.status} {r.body[:300]}")
    return r.json["server"]


def migrations():
    """The newest first."""
    return Region.admin.retry("GET", f"{COMPUTE}/os-migrations?instance_uuid={Region.server}").json["migrations"]


def act(body):
    """Lost or refused where the APIs die: what came of it is looked at later."""
    try:
        return Region.admin.call("POST", f"{COMPUTE}/servers/{Region.server}/action", body, NEW)
    except OSError:
        return None


def must_act(body):
    r = act(body)
    check(r and r.status in (202, 204), f"{body}: {r and r.body[:300]}")


def qemus(h):
    """Pids of this guest's processes."""
    return [p for p in h.processes() if "qemu-system" in (words := words_of(p))[0] and Region.server in " ".join(words)]


def running():
    """Hosts with a process of this guest."""
    return [h for h in Region.cluster.hosts if qemus(h)]


def stands(h):
    """All of it was sent to the other host: the process has given up its disks, and waits for its end."""
    with open(f"{h.data}/node/servers/{Region.server}/guest.json", encoding="utf-8") as f:
        return json.load(f)["sent_seq"] > 0


def once():
    """There is one process of the guest at most that could run it."""
    both = running()
    try:
        check(len(both) < 2 or any(stands(h) for h in both), "the guest runs on both hosts")
    except FileNotFoundError:  # one of them is being removed
        pass


def memory(new=None):
    """What lies at one place of the guest's memory, for which it has no use; new: is put there."""
    files = [f"/proc/{pid}/fd/{n}" for pid in qemus(host()) for n in os.listdir(f"/proc/{pid}/fd")]
    with open(next(f for f in files if "memfd:memory" in os.readlink(f)), "r+b", buffering=0) as f:
        f.seek(MARK_AT)
        if new:
            f.write(new)
        return new or f.read(MARK_BYTES)


def settled():
    """At rest; never on two hosts on the way there."""
    once()
    s = shown()
    if s["OS-EXT-STS:task_state"]:
        return None
    return s


def settles(what, how=settled, seconds=120):
    try:
        return wait_for(what, how, seconds, 0.1)
    except Failure as e:
        s = shown()
        at = f"{s['status']} {s['OS-EXT-STS:task_state']} on {s['OS-EXT-SRV-ATTR:host']}"
        raise Failure(f"{e}: {at}, {migrations()[:1]}") from e


# ---- what is left


def taps(h):
    """Of guests; there is one server."""
    found = subprocess.run(h.inside("sh", "-c", "for n in /run/netns/*; do nsenter --net=$n ip -br link; done"),
                           capture_output=True, text=True, check=False)
    return [line.split()[0] for line in found.stdout.splitlines() if line.startswith("tap")]


def folder(h):
    path = f"{h.data}/node/servers/{Region.server}"
    return sorted(os.listdir(path)) if os.path.isdir(path) else None


def held_in_placement():
    r = Region.admin.get(f"/placement/allocations/{Region.server}", headers={"OpenStack-API-Version": "placement 1.28"})
    return sorted(r.json["allocations"])


def provider(h):
    return Region.admin.must(200, "GET", f"/placement/resource_providers?name={h.name}")["resource_providers"][0]["uuid"]


def traces(h):
    """All that there is of the server on this host."""
    found = [f"folder {folder(h)}"] if folder(h) is not None else []
    found += [f"tap {t}" for t in taps(h)]
    return found + (["QEMU"] if h in running() else [])


def alone_on(h):
    """It runs here, with nothing left over of a move, and is nowhere else; what it holds is held once."""
    r = Region
    elsewhere = next(o for o in r.cluster.hosts if o is not h)
    where = f"the server is all on {h.name}"
    try:
        wait_for(where, lambda: running() == [h] and not traces(elsewhere), 60)
        wait_for(f"{where}, with one tap", lambda: len(taps(h)) == 1, 30)
        wait_for(f"{where}, without parts of a move", lambda: not [n for n in folder(h) if n.startswith(".move")], 30)
    except Failure as e:
        raise Failure(f"{e}: {[(o.name, traces(o)) for o in r.cluster.hosts]}") from e
    roots = [n for n in folder(h) if n.startswith("root-")]
    check(len(roots) == 1 and "memory.save" not in folder(h), f"its folder has {folder(h)}")
    check(held_in_placement() == [provider(h)], f"allocations: {held_in_placement()}")
    flavor = r.admin.must(200, "GET", f"{COMPUTE}/flavors/{flavor_id()}")["flavor"]
    for o in r.cluster.hosts:
        used = r.admin.must(200, "GET", f"/placement/resource_providers/{provider(o)}/usages")["usages"]
        want = (flavor["vcpus"], flavor["ram"], flavor["disk"]) if o is h else (0, 0, 0)
        check((used["VCPU"], used["MEMORY_MB"], used["DISK_GB"]) == want, f"{o.name} holds {used}, not {want}")
    limits = r.admin.must(200, "GET", f"{COMPUTE}/limits")["limits"]["absolute"]
    quota = (limits["totalInstancesUsed"], limits["totalCoresUsed"], limits["totalRAMUsed"])
    check(quota == (1, flavor["vcpus"], flavor["ram"]), f"of the quota is used {quota}")
    ports = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={r.server}")["ports"]
    check([p["binding:host_id"] for p in ports] == [h.name], f"its ports: {ports}")
    volume = r.admin.must(200, "GET", f"/volume/v3/volumes/{r.volume}")["volume"]
    check(volume["status"] == "in-use" and [a["server_id"] for a in volume["attachments"]] == [r.server], f"its volume: {volume}")


def flavor_id():
    return shown()["flavor"]["id"]


# ---- what is asked for


def begin(kind, to):
    """The request, from where the server is."""
    if kind == "live":
        return {"os-migrateLive": {"host": to.name, "block_migration": "auto"}}
    if kind == "resize":
        return {"resize": {"flavorRef": next(f for f in Region.flavors.values() if f != flavor_id())}}
    return {"migrate": {"host": to.name}}


def room(h, is_there):
    """For more than it has: without, what is resized there goes to the other host."""
    path = f"/placement/resource_providers/{provider(h)}/inventories/MEMORY_MB"
    inventory = Region.admin.must(200, "GET", path)
    inventory["reserved"] = 0 if is_there else inventory["total"] - 1
    Region.admin.must(200, "PUT", path, inventory)


def as_said(victim):
    """At rest; one whose host lost its power may be called ACTIVE until that host says otherwise."""
    s = settled()
    return s if s and not (victim.endswith("-power") and s["status"] == "ACTIVE" and host() not in running()) else None


def on_again(victim):
    """A guest whose host lost its power is off, or starts again with it; anything else runs."""
    s = settles("the server is at rest", lambda: as_said(victim))
    check(s["status"] in ("ACTIVE", "VERIFY_RESIZE") or (s["status"] == "SHUTOFF" and victim.endswith("-power")),
          f"it is {s['status']}, {s.get('fault')}, {migrations()[:1]}")
    if s["status"] == "SHUTOFF":
        must_act({"os-start": None})
        s = settles("the server is on")
    return s


def moved(kind, source, target):
    """Where it says that it is, it is; and its migration ended as it says."""
    s, last = shown(), migrations()
    status = last[0]["status"] if last else None
    there = host() is target
    good = {"live": "completed"}.get(kind, "finished")
    if there:
        check(status == good, f"it is there, and its migration is {status}")
        check((s["status"] == "VERIFY_RESIZE") == (kind != "live"), f"it is there, and {s['status']}")
    else:
        check(host() is source and status not in ("preparing", "running", "migrating", "post-migrating"),
              f"it is on {host().name}, and its migration is {status}")
        check(s["status"] == "ACTIVE", f"it stays, and is {s['status']}")
    return there


def to_verify(kind, target):
    must_act(begin(kind, target))
    s = settles("the server moves")
    check(s["status"] == "VERIFY_RESIZE" and host() is target, f"it is {s['status']} on {host().name}")


def confirm(victim):
    must_act({"confirmResize": None})
    check(on_again(victim)["status"] == "ACTIVE", f"it is {shown()['status']}")


def went_on(at, victim, there, mark):
    """A guest that moved live, or was to, has the memory that it had, unless power was lost where that was."""
    if victim == "source-power" and not there:
        return
    if victim == "target-power" and at in RUNS_THERE:
        return
    check(memory() == mark, "it was started anew")


def end_of_a_move(kind, at, victim, source, target):
    """It was moved cold, and that is confirmed, or taken back; True: it is there."""
    to_verify("cold", target)
    Region.holds.killed_at(lambda: act({f"{kind}Resize": None}), at, victim, (source, target))
    if on_again(victim)["status"] == "VERIFY_RESIZE":  # it was not heard
        check(at[1] == kind and victim == "api", f"it is not {kind}ed")
        must_act({f"{kind}Resize": None})
        on_again(victim)
    check(host() is (target if kind == "confirm" else source), f"it is on {host().name}")
    return host() is target


def move(kind, at, victim, source, target):
    """It moves, or stays; True: it is there."""
    mark, body = memory(os.urandom(MARK_BYTES)), begin(kind, target)
    room(source, kind != "resize")
    try:
        Region.holds.killed_at(lambda: act(body), at, victim, (source, target))
        if victim == LOST:
            settles("the server is at rest without the other host")
            check(host() is source, "it is on a host that is lost")
            Region.holds.live_again(victim, (source, target))
        on_again(victim)
    finally:
        room(source, True)
    there = moved(kind, source, target)
    if there and kind != "live":
        confirm(victim)
    if kind == "live":
        went_on(at, victim, there, mark)
    return there


def case(kind, at, victim):
    if settles("the server is at rest")["status"] == "SHUTOFF":
        on_again("source-power")
    source, target = host(), other()
    began = time.monotonic()
    how = end_of_a_move if kind in ("confirm", "revert") else move
    there = how(kind, at, victim, source, target)
    alone_on(host())
    print(f"# {kind}: {' '.join(at)}, {victim} dies: {'there' if there else 'stays'} ({time.monotonic() - began:.1f} s)", flush=True)


# ---- the tests


def region():
    """Two hosts, and a server that has a root disk of its own, and a volume that hosts share."""
    r = Region
    r.cluster = Cluster(tempfile.mkdtemp(prefix="colvert-kills-"), hosts=2)
    r.holds = Holds(r.cluster)
    r.cluster.start()
    r.admin = r.cluster.login("admin")
    disk = f"{r.cluster.dir}/empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
    with open(disk, "rb") as f:
        image = r.admin.image("empty", f.read(), "qcow2")
    net, _ = r.admin.network("net", "10.9.0.0/24")
    for name, ram in (("small", 64), ("more", 80)):
        r.flavors[name] = r.admin.must(200, "POST", f"{COMPUTE}/flavors", {"flavor": {
            "name": name, "vcpus": 1, "ram": ram, "disk": 1}})["flavor"]["id"]
    r.server = r.admin.server(name="moved", imageRef=image, flavorRef=r.flavors["small"], networks=[{"uuid": net}],
                              availability_zone="nova:h1")
    r.admin.wait_status(r.server, "ACTIVE")
    r.volume = r.admin.must(202, "POST", "/volume/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    wait_for("the volume is made", lambda: volume_status() == "available", 60)
    r.admin.must(200, "POST", f"{COMPUTE}/servers/{r.server}/os-volume_attachments", {
        "volumeAttachment": {"volumeId": r.volume}})
    wait_for("it is attached", lambda: volume_status() == "in-use", 60)
    alone_on(host())


def volume_status():
    return Region.admin.must(200, "GET", f"/volume/v3/volumes/{Region.volume}")["volume"]["status"]


def cases():
    """Of each kind; without MOVE_KILLS the few that tell most."""
    wanted = os.environ.get("MOVE_KILLS", "")
    every = [(kind, at, victim) for kind, steps in KINDS.items() for at in steps for victim in VICTIMS]
    every += [(kind, at, LOST) for kind, at in WAITS]
    if not wanted:
        return FEW
    if wanted == "all":
        return every
    return [c for c in every if all(w in f"{c[0]} {' '.join(c[1])} {c[2]}".split() for w in wanted.split())]


def killed():
    bad = []
    for kind, at, victim in cases():
        try:
            case(kind, at, victim)
        except (Failure, OSError, RuntimeError, StopIteration) as e:
            bad.append(f"{kind}: {' '.join(at)}, {victim} dies: {e}")
            print(f"# FAILED {bad[-1]}", flush=True)
            if os.environ.get("MOVE_KILLS_STOP"):
                break
    check(not bad, "\n".join(bad))


def nothing_left():
    r = Region
    r.admin.must(204, "DELETE", f"{COMPUTE}/servers/{r.server}")
    wait_for("it is gone", lambda: r.admin.get(f"{COMPUTE}/servers/{r.server}").status == 404, 60)
    wait_for("nothing is left", lambda: not [t for h in r.cluster.hosts for t in traces(h)], 30)
    r.cluster.stop()


def run():
    cloud.main_in_cluster(Region, region, killed, nothing_left, log_lines=60)


if __name__ == "__main__":
    run()
