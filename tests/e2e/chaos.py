# SPDX-License-Identifier: EUPL-1.2
"""Servers are created, stopped, started and deleted while api and node are killed with SIGKILL, 40 times.

Afterwards each server is in the state last asked for and acknowledged, and nothing is left over or missing.
The seed of a run is printed; CHAOS_SEED repeats its choices (not its timing). CHAOS_KILLS, CHAOS_SERVERS change its size.
The same with volumes is in chaos_volumes.py.
"""
import http.client
import os
import random
import subprocess
import time

from chaos_volumes import fake_volumes, real_volumes
from cloud import Cloud, Failure, check, main, wait_for
from killer import SEED, Killer

KILLS = int(os.environ.get("CHAOS_KILLS", "50"))


class Fleet:
    """The servers, and what was last acknowledged of each."""

    def __init__(self, session, image, flavor, network, rng):
        self.s, self.image, self.flavor, self.network, self.random = session, image, flavor, network, rng
        self.wanted = {}  # id → "ACTIVE" or "SHUTOFF"
        self.deleted = set()

    def find(self, name):
        r = self.s.retry("GET", f"/compute/v2.1/servers?name=^{name}$")
        return [x["id"] for x in r.json["servers"]] if r.status == 200 else []

    def create(self, name):
        """A lost answer is settled by looking for the name: a 202 that was sent must be there."""
        body = {"server": {"name": name, "imageRef": self.image, "flavorRef": self.flavor,
                           "networks": [{"uuid": self.network}]}}
        for _ in range(50):
            try:
                r = self.s.call("POST", "/compute/v2.1/servers", body)
                if r.status == 202:
                    self.wanted[r.json["server"]["id"]] = "ACTIVE"
                    return r.json["server"]["id"]
                check(r.status in (500, 503), f"create: {r.status} {r.body[:300]}")
            except (OSError, http.client.HTTPException):
                pass
            there = self.find(name)
            if there:
                self.wanted[there[0]] = "ACTIVE"
                return there[0]
            time.sleep(0.02)
        raise Failure(f"server {name} could not be created")

    def act(self, server, action, result):
        """409 means that it is busy with what was asked before: asked again until it takes it."""
        end = time.monotonic() + 60
        while True:
            r = self.s.retry("POST", f"/compute/v2.1/servers/{server}/action", {action: None})
            if r.status == 202:
                self.wanted[server] = result
                return
            check(r.status == 409 and time.monotonic() < end, f"{action} of {server}: {r.status} {r.body[:300]}")
            if self.at_rest(server) == result:  # an earlier try, whose answer was lost, has been heard
                self.wanted[server] = result
                return
            time.sleep(0.05)

    def at_rest(self, server):
        """Its status, or None while it is on its way to another."""
        r = self.s.retry("GET", f"/compute/v2.1/servers/{server}")
        found = r.json["server"] if r.status == 200 else {"OS-EXT-STS:task_state": "gone"}
        return None if found["OS-EXT-STS:task_state"] else found["status"]

    def one_step(self):
        server = self.random.choice(list(self.wanted))
        if self.at_rest(server) not in ("ACTIVE", "SHUTOFF"):
            return
        what = self.random.random()
        if what < 0.15 and len(self.wanted) > 2:
            r = self.s.retry("DELETE", f"/compute/v2.1/servers/{server}")
            check(r.status in (204, 404), f"delete: {r.status} {r.body[:300]}")
            del self.wanted[server]
            self.deleted.add(server)
        elif self.wanted[server] == "ACTIVE":
            self.act(server, "os-stop", "SHUTOFF")
        else:
            self.act(server, "os-start", "ACTIVE")

    def as_wanted(self):
        for server, status in self.wanted.items():
            if self.s.status(server) != status:
                return False
        return all(self.s.status(server) == "HTTP 404" for server in self.deleted)

    def differences(self):
        out = [f"{i}: {self.s.status(i)}, wanted {w}" for i, w in self.wanted.items() if self.s.status(i) != w]
        return out + [f"{i}: {self.s.status(i)}, wanted gone" for i in self.deleted if self.s.status(i) != "HTTP 404"]


def nothing_left_over(session, fleet):
    ids = set(fleet.wanted)
    servers = session.must(200, "GET", "/compute/v2.1/servers")["servers"]
    check({s["id"] for s in servers} == ids, f"servers differ: {len(servers)} listed, {len(ids)} wanted")
    ports = session.must(200, "GET", "/network/v2.0/ports")["ports"]
    bound = [p for p in ports if p["device_owner"].startswith("compute:")]
    check(sorted(p["device_id"] for p in bound) == sorted(ids), "ports and servers differ")
    addresses = [ip["ip_address"] for p in ports for ip in p["fixed_ips"]]
    check(len(addresses) == len(set(addresses)), "an address is given twice")
    limits = session.must(200, "GET", "/compute/v2.1/limits")["limits"]["absolute"]
    check(limits["totalInstancesUsed"] == len(ids), f"quota: {limits['totalInstancesUsed']} used of {len(ids)}")


def run(cloud, servers, kills, pause_s, flavor, image_data, disk_format, steps_pause_s):
    print(f"seed {SEED}", flush=True)
    s = cloud.login("demo")
    s.authenticate()
    cloud.login("admin").must(200, "PUT", f"/compute/v2.1/os-quota-sets/{s.project_id}",
                              {"quota_set": {"instances": 100, "cores": 100, "ram": 100000}})
    image = s.image("chaos", image_data, disk_format)
    network, _ = s.network("chaos", "10.7.0.0/24")
    fleet = Fleet(s, image, s.flavor(flavor), network, random.Random(SEED))
    steady = fleet.create("steady")
    s.wait_status(steady, "ACTIVE")
    pid_before = guest_pid(cloud, steady)
    check(pid_before or cloud.driver != "qemu", "the steady guest's process is not found")
    del fleet.wanted[steady]
    killer = Killer(cloud, kills, pause_s)
    killer.start()
    for i in range(servers - 1):
        fleet.create(f"chaos-{i}")
    while killer.is_alive():
        fleet.one_step()
        time.sleep(steps_pause_s)
    killer.finish()
    fleet.wanted[steady] = "ACTIVE"
    try:
        wait_for("every server as wanted", fleet.as_wanted, 180, 0.5)
    except Failure:
        raise Failure("not as wanted: " + "; ".join(fleet.differences()[:8])) from None
    nothing_left_over(s, fleet)
    check(guest_pid(cloud, steady) == pid_before, "a guest that ran did not keep running")
    return s, fleet


def guest_pids(cloud):
    """server id → pid of QEMUs of this cloud: each one's working folder is its guest's."""
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            place = os.readlink(f"/proc/{pid}/cwd")
            name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        except OSError:
            continue
        if name.startswith("qemu-system") and place.startswith(f"{cloud.data}/node/servers/"):
            check(os.path.basename(place) not in out, f"two QEMUs for {place}")
            out[os.path.basename(place)] = int(pid)
    return out


def guest_folders(cloud):
    return {name for name in os.listdir(f"{cloud.data}/node/servers") if not name.startswith(".")}


def guest_pid(cloud, server):
    return guest_pids(cloud).get(server) if cloud.driver == "qemu" else None


def fake_driver():
    with Cloud("chaos") as cloud:
        s, fleet = run(cloud, int(os.environ.get("CHAOS_SERVERS", "30")), KILLS, (0.1, 0.5), "m1.tiny", os.urandom(4096),
                       "raw", 0.02)
        for server in list(fleet.wanted):
            s.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
            del fleet.wanted[server]
        wait_for("all gone", lambda: not s.must(200, "GET", "/compute/v2.1/servers")["servers"], 60)
        nothing_left_over(s, fleet)


def real_guests():
    """Few, and nothing of a deleted one is left on the host."""
    image = os.environ.get("IMAGE", f"{os.path.dirname(cloud_file())}/../../build/images/tiny.qcow2")
    with open(image, "rb") as f:
        data = f.read()
    with Cloud("chaosq", "qemu", ["--shutdown-timeout-s", "5"]) as cloud:
        s, fleet = run(cloud, 4, int(os.environ.get("CHAOS_REAL_KILLS", "15")), (0.5, 2.0), "m1.tiny", data, "qcow2", 0.5)
        running = {i for i, w in fleet.wanted.items() if w == "ACTIVE"}
        check(set(guest_pids(cloud)) == running, f"guests running: {set(guest_pids(cloud))}, wanted {running}")
        folders = guest_folders(cloud)
        check(folders == set(fleet.wanted), f"folders of guests: {folders}, wanted {set(fleet.wanted)}")
        before = guest_pids(cloud)
        cloud.kill_all()
        cloud.start()
        check(guest_pids(cloud) == before, "guests did not outlive the supervisor")
        lost = {i: (s.status(i), w) for i, w in fleet.wanted.items() if fleet.at_rest(i) != w}
        check(not lost, f"with the supervisor these states were lost: {lost}")
        for server in list(fleet.wanted):
            s.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
        wait_for("all gone", lambda: not s.must(200, "GET", "/compute/v2.1/servers")["servers"], 60)
        check(not guest_pids(cloud), "a guest still runs")
        check(not guest_folders(cloud), "a guest's folder is left")
        taps = subprocess.run(["sh", "-c", "for n in $(ip netns list | cut -d' ' -f1 | grep ^cv-n-); do ip -n $n -br link; done"],
                              capture_output=True, text=True, check=False).stdout
        own = s.must(200, "GET", "/network/v2.0/networks?name=chaos")["networks"][0]["id"][:11]
        check("tap" not in subprocess.run(["ip", "-n", f"cv-n-{own}", "-br", "link"], capture_output=True, text=True,
                                          check=False).stdout, f"a tap is left: {taps}")


def cloud_file():
    return os.path.abspath(__file__)


if __name__ == "__main__":
    main(fake_driver, real_guests, fake_volumes, real_volumes)
