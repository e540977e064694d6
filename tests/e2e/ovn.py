# SPDX-License-Identifier: EUPL-1.2
"""Two hosts, real guests, and OVN between them: one writer, a server on each host, ways in, out and between."""
import os
import signal
import subprocess
import sys
import tempfile

from cloud import TOP, check, wait_for
from ovn_cloud import OvnCloud, daemons, daemons_down, names

TINY = os.environ.get("TINY", f"{TOP}/build/images/tiny.qcow2")
NAME = f"co{os.getpid()}"
OUTSIDE, HOSTS = names(NAME)


class Region:
    """What the tests share: the first makes it."""
    dir = cloud = admin = key = image = None
    servers, addresses = {}, {}


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout


def says(name, *words):
    """What the guest answers by its floating IP, once it does."""
    r = Region

    def ask():
        try:
            p = subprocess.run(
                ["ip", "netns", "exec", OUTSIDE, "ssh", "-F", "none", "-i", r.key, "-o", "BatchMode=yes", "-o",
                 "ConnectTimeout=5", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no", "-o",
                 "UserKnownHostsFile=/dev/null", f"root@{r.addresses[name]}", *words],
                capture_output=True, text=True, check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return None
        return p.stdout if p.returncode == 0 else None
    return wait_for(f"{name} answers to {' '.join(words)}", ask, 240, 0.5)


def region():
    """OVN's daemons, a control plane with its writer, two hosts: only these are hosts."""
    r = Region
    r.dir = tempfile.mkdtemp(prefix="colvert-ovn-")
    daemons(f"{r.dir}/ovn", NAME)
    r.cloud = OvnCloud("ovn", f"{r.dir}/ovn", NAME).start()
    r.admin = r.cloud.login("admin")
    hypervisors = r.admin.must(200, "GET", "/compute/v2.1/os-hypervisors")["hypervisors"]
    check(sorted(h["hypervisor_hostname"] for h in hypervisors) == ["h1", "h2"], f"hosts: {hypervisors}")


def guests():
    """A server on each host, in one network behind a router."""
    r = Region
    r.key = f"{r.dir}/key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.key)
    with open(f"{r.key}.pub", encoding="ascii") as f:
        r.admin.must(200, "POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "key", "public_key": f.read()}})
    with open(TINY, "rb") as f:
        r.image = r.admin.image("tiny", f.read(), "qcow2")
    group = r.admin.must(201, "POST", "/network/v2.0/security-groups", {"security_group": {"name": "open"}})["security_group"]
    for protocol in ("tcp", "icmp"):
        r.admin.must(201, "POST", "/network/v2.0/security-group-rules", {"security_group_rule": {
            "security_group_id": group["id"], "direction": "ingress", "protocol": protocol}})
    net, sub = r.admin.network("net", "10.9.0.0/24")
    public = r.admin.must(200, "GET", "/network/v2.0/networks?router:external=true")["networks"][0]["id"]
    router = r.admin.must(201, "POST", "/network/v2.0/routers", {"router": {
        "name": "router", "external_gateway_info": {"network_id": public}}})["router"]["id"]
    r.admin.must(200, "PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": sub})
    for host in ("h1", "h2"):
        r.servers[host] = r.admin.server(
            name=f"on-{host}", imageRef=r.image, flavorRef=r.admin.flavor("m1.tiny"), networks=[{"uuid": net}],
            key_name="key", security_groups=[{"name": "open"}], availability_zone=f"nova:{host}")
    for host, server in r.servers.items():
        r.admin.wait_status(server, "ACTIVE")
        port = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={server}")["ports"][0]
        r.addresses[host] = r.admin.must(201, "POST", "/network/v2.0/floatingips", {"floatingip": {
            "floating_network_id": public, "port_id": port["id"]}})["floatingip"]["floating_ip_address"]
        r.addresses[f"{host} inside"] = port["fixed_ips"][0]["ip_address"]
    for host in r.servers:  # the name and the key came from the metadata service of its host
        check(says(host, "hostname").strip() == f"on-{host}", "another guest answers")
    status = r.admin.must(200, "GET", f"/network/v2.0/routers/{router}")["router"]["status"]
    check(status == "ACTIVE", f"the router is {status}")


def between():
    """From one host's guest to the other's, and out."""
    says("h1", "ping", "-c", "2", Region.addresses["h2 inside"])
    says("h2", "ping", "-c", "2", "203.0.113.1")


def writer_killed():
    """Another one takes its place, and what was wanted meanwhile is done."""
    r = Region
    pid = r.cloud.kill("network")
    check(pid, "there is no writer")
    port = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={r.servers['h1']}")["ports"][0]
    r.admin.must(200, "PUT", f"/network/v2.0/ports/{port['id']}", {"port": {"security_groups": []}})
    closed = ["ip", "netns", "exec", OUTSIDE, "ping", "-c", "1", "-W", "1", r.addresses["h1"]]
    wait_for("no group lets anybody in", lambda: subprocess.run(closed, check=False, capture_output=True).returncode, 60)
    r.admin.must(200, "PUT", f"/network/v2.0/ports/{port['id']}", {"port": {"security_groups": port["security_groups"]}})
    says("h1", "hostname")


def agents_killed():
    """Guests and their ways stand while agents start again."""
    r = Region
    r.cloud.kill("node")
    r.cloud.kill_second()
    says("h2", "hostname")
    r.cloud.start_second()
    r.admin.must(202, "POST", f"/compute/v2.1/servers/{r.servers['h2']}/action", {"reboot": {"type": "HARD"}})
    r.admin.wait_status(r.servers["h2"], "ACTIVE")
    says("h2", "ping", "-c", "2", r.addresses["h1 inside"])


def gone():
    """Nothing of a deleted server is left in OVN's databases and switches."""
    r = Region
    for server in r.servers.values():
        r.admin.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
        wait_for("it is gone", lambda s=server: r.admin.get(f"/compute/v2.1/servers/{s}").status == 404, 60)
    wait_for("their ports are gone", lambda: '""' not in run(
        "ovn-nbctl", f"--db=unix:{r.dir}/ovn/nb.sock", "--format=csv", "--no-headings", "--columns=type", "list",
        "Logical_Switch_Port"), 60)
    for h in HOSTS:
        wait_for("no tap is plugged", lambda h=h: "tap" not in run(
            "ovs-vsctl", f"--db=unix:{r.dir}/ovn/{h}/db.sock", "list-ports", "br-int"), 60)


def stop():
    r = Region
    if r.cloud:
        r.cloud.clean()
    if r.dir:
        daemons_down(f"{r.dir}/ovn")
        if not os.environ.get("KEEP"):
            subprocess.run(["rm", "-rf", r.dir], check=False)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if os.geteuid() != 0:
        print("needs root: it makes network namespaces")
        return 77
    failed = 0
    tests = [region, guests, between, writer_killed, agents_killed, gone]
    if not os.path.exists(TINY):
        subprocess.run([f"{TOP}/images/build-tiny", TINY], check=True)
    try:
        for n, test in enumerate(tests):
            try:
                test()
                print(f"ok {n + 1} - {test.__name__}: {test.__doc__}", flush=True)
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {n + 1} - {test.__name__}: {e}", flush=True)
                if Region.cloud:
                    sys.stderr.write(Region.cloud.log_tail())
                break
    finally:
        stop()
    return 1 if failed else 0


sys.exit(main())
