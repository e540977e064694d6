# SPDX-License-Identifier: EUPL-1.2
"""Several hosts: PostgreSQL, two `colvert api`, OVN, agents that joined with tokens, real guests. tools/cluster makes it."""
import os
import signal
import subprocess
import sys
import tempfile

import cloud
from cloud import TOP, Failure, check, wait_for

sys.path.insert(0, f"{TOP}/tools")
from cluster import Cluster  # noqa: E402
from cluster.parts import started_at  # noqa: E402

TINY = f"{TOP}/build/images/tiny.qcow2"


class Region:
    """What the tests share: the first makes it."""
    cluster = admin = image = key = None
    servers, addresses = {}, {}


def ssh(address, *words, timeout=60):
    r = Region
    return subprocess.run(r.cluster.outside(
        "ssh", "-F", "none", "-i", r.key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "-o",
        "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"root@{address[0]}", *words, host=address[1]),
        capture_output=True, text=True, check=False, timeout=timeout)


def says(address, *words):
    """What the guest answers, once it does."""
    def ask():
        try:
            p = ssh(address, *words)
        except subprocess.TimeoutExpired:
            return None
        last.append(f"{p.returncode} {p.stdout}{p.stderr}")
        return [p.stdout] if p.returncode == 0 else None
    last = [""]
    try:
        return wait_for(f"{address[0]} answers to {' '.join(words)}", ask, 120, 0.5)[0]
    except Failure as e:
        raise Failure(f"{e}: {last[-1]}") from e


def end_of_process():
    """One whose first thread has ended is not gone: a killed api's sockets take connections until its last thread is."""
    p = subprocess.Popen([sys.executable, "-c", """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)"""], stdin=subprocess.PIPE)

    def state():
        with open(f"/proc/{p.pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    wait_for("its first thread has ended", lambda: state() == "Z", 20)
    check(started_at(p.pid), "it is taken for gone")
    p.kill()
    wait_for("it is gone", lambda: not started_at(p.pid), 20)
    p.wait()


def region():
    """Hosts join, both APIs know them, and what a tenant needs is made."""
    r = Region
    r.cluster = Cluster(tempfile.mkdtemp(prefix="colvert-cluster-"), hosts=2, net="ovn")
    r.cluster.start()
    r.admin = r.cluster.login("admin")
    hypervisors = r.admin.must(200, "GET", "/compute/v2.1/os-hypervisors")["hypervisors"]
    check(sorted(h["hypervisor_hostname"] for h in hypervisors) == ["h1", "h2"], f"hosts: {hypervisors}")
    r.key = f"{r.cluster.dir}/key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.key], check=True)
    with open(f"{r.key}.pub", encoding="ascii") as f:
        r.admin.must(200, "POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "key", "public_key": f.read()}})
    with open(TINY, "rb") as f:
        r.image = r.admin.image("tiny", f.read(), "qcow2")
    group = r.admin.must(201, "POST", "/network/v2.0/security-groups", {"security_group": {"name": "open"}})["security_group"]
    for protocol in ("tcp", "icmp"):
        r.admin.must(201, "POST", "/network/v2.0/security-group-rules", {"security_group_rule": {
            "security_group_id": group["id"], "direction": "ingress", "protocol": protocol}})


def make_network(name, cidr):
    admin = Region.admin
    net, sub = admin.network(name, cidr)
    public = admin.must(200, "GET", "/network/v2.0/networks?router:external=true")["networks"][0]["id"]
    router = admin.must(201, "POST", "/network/v2.0/routers", {"router": {
        "name": name, "external_gateway_info": {"network_id": public}}})["router"]["id"]
    admin.must(200, "PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": sub})
    return net, public


def make_server(name, net, host):
    r = Region
    server = r.admin.server(name=name, imageRef=r.image, flavorRef=r.admin.flavor("m1.tiny"), networks=[{"uuid": net}],
                            key_name="key", security_groups=[{"name": "open"}], availability_zone=f"nova:{host}")
    r.admin.wait_status(server, "ACTIVE")
    r.servers[name] = server
    return server


def give_address(server, public):
    """A floating IP, and the host that it is asked from where networks are a host's own."""
    r = Region
    port = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={server}")["ports"][0]["id"]
    ip = r.admin.must(201, "POST", "/network/v2.0/floatingips", {"floatingip": {
        "floating_network_id": public, "port_id": port}})["floatingip"]["floating_ip_address"]
    return ip, r.cluster.host_of(r.admin, server)


def guests():
    """A server on each host, on one network, each with a floating IP and the key."""
    r = Region
    net, public = make_network("net", "10.1.0.0/24")
    for n, host in enumerate(("h1", "h2"), 1):
        server = make_server(f"s{n}", net, host)
        r.addresses[f"s{n}"] = give_address(server, public)
    for name, address in r.addresses.items():
        check(says(address, "hostname").strip() == name, "another guest answers")
    for name, host in (("s1", "h1"), ("s2", "h2")):
        check(r.addresses[name][1].name == host, f"{name} is on {r.addresses[name][1].name}")
        fetched = r.cluster.host_named(host).data + ".log"
        with open(fetched, encoding="utf-8") as f:
            check(f.read().count('"fetching image"') == 1, f"{host} did not fetch the image once")


def they_talk():
    """From host to host, both ways."""
    r = Region
    for name, other in (("s1", "s2"), ("s2", "s1")):
        ports = r.admin.must(200, "GET", f"/network/v2.0/ports?device_id={r.servers[other]}")["ports"]
        says(r.addresses[name], f"ping -c 2 -W 2 {ports[0]['fixed_ips'][0]['ip_address']}")


def bound(server):
    """OVN's names of the hosts that may have its port."""
    port = Region.admin.must(200, "GET", f"/network/v2.0/ports?device_id={server}")["ports"][0]["id"]
    return subprocess.run(
        ["ovn-nbctl", f"--db=unix:{Region.cluster.ovn.dir}/nb.sock", "get", "Logical_Switch_Port", port, "options:requested-chassis"],
        check=True, capture_output=True, text=True).stdout.strip().strip('"')


def moved():
    """Pinged all the while, a guest goes to the other host and back; its port is bound to where it is."""
    r = Region
    server, (ip, home) = r.servers["s1"], r.addresses["s1"]
    check(bound(server) == home.name, f"bound to {bound(server)}")
    ping = subprocess.Popen(r.cluster.outside("ping", "-D", "-i", "0.1", ip, host=home), stdout=subprocess.PIPE, text=True)
    for to in [h for h in r.cluster.hosts if h is not home] + [home]:
        r.admin.must(202, "POST", f"/compute/v2.1/servers/{server}/action", {
            "os-migrateLive": {"host": to.name, "block_migration": "auto"}}, headers={"OpenStack-API-Version": "compute 2.60"})
        wait_for(f"it is on {to.name}", lambda to=to: r.cluster.host_of(r.admin, server) is to, 120)
        r.admin.wait_status(server, "ACTIVE")
        wait_for(f"it is bound to {to.name}", lambda to=to: bound(server) == to.name, 60)
        r.addresses["s1"] = (ip, to)
        check(says(r.addresses["s1"], "hostname").strip() == "s1", "another guest answers")
    ping.send_signal(signal.SIGINT)
    answers = ping.communicate()[0]
    check(" 0 duplicates" in answers or "duplicates" not in answers, answers[-300:])
    if os.environ.get("PINGS"):
        with open(os.environ["PINGS"], "w", encoding="ascii") as f:
            f.write(answers)


def attach(server, volume):
    admin = Region.admin
    admin.must(200, "POST", f"/compute/v2.1/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
    volume_is(volume, "in-use")


def detach(server, volume):
    Region.admin.must(202, "DELETE", f"/compute/v2.1/servers/{server}/os-volume_attachments/{volume}")
    volume_is(volume, "available")


def volume_is(volume, status):
    def now():
        r = Region.admin.get(f"/volume/v3/volumes/{volume}")
        got = r.json["volume"]["status"] if r.status == 200 else f"HTTP {r.status}"
        check(not got.startswith("error") or status.startswith("error"), f"volume {volume}: {r.body[:400]}")
        return got == status
    wait_for(f"volume {volume} is {status}", now, 90)


def shared_volumes():
    """A volume's data is there for servers of both hosts, one after the other; a deleted one's is gone."""
    r = Region
    volume = r.admin.must(202, "POST", "/volume/v3/volumes", {"volume": {"size": 1, "name": "shared"}})["volume"]["id"]
    volume_is(volume, "available")
    for name, other in (("s1", "s2"), ("s2", "s1")):
        attach(r.servers[name], volume)
        says(r.addresses[name], f"test -b /dev/vdb && echo written by {name} >/dev/vdb && sync")
        detach(r.servers[name], volume)
        attach(r.servers[other], volume)
        got = says(r.addresses[other], "test -b /dev/vdb && head -n 1 /dev/vdb").strip()
        check(got == f"written by {name}", f"{other} reads '{got}'")
        detach(r.servers[other], volume)
    shown = r.admin.must(200, "GET", f"/volume/v3/volumes/{volume}")["volume"]
    file = f"{r.cluster.shared}/volumes/{volume}/disk.qcow2"
    check(os.path.exists(file), f"no {file}: {shown}")
    r.admin.must(202, "DELETE", f"/volume/v3/volumes/{volume}")
    volume_is(volume, "HTTP 404")
    check(os.listdir(f"{r.cluster.shared}/volumes") == [], "something is left in the pool")


def one_api_gone():
    """The region goes on with the other one; agents, too."""
    r = Region
    r.cluster.book.end("api1", 9)
    for _ in range(4):
        r.admin.must(200, "GET", "/compute/v2.1/servers")
    r.admin.must(202, "POST", f"/compute/v2.1/servers/{r.servers['s2']}/action", {"os-stop": None})
    r.admin.wait_status(r.servers["s2"], "SHUTOFF")
    r.cluster.start_api(0)
    wait_for("both are back", r.cluster.healthy, 30)


def host_of_volume(volume):
    shown = Region.admin.must(200, "GET", f"/volume/v3/volumes/{volume}")["volume"]
    return shown["os-vol-host-attr:host"].partition("@")[0]


def volume_managed_by(host):
    """It is the host's that used it last."""
    r = Region
    volume = r.admin.must(202, "POST", "/volume/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    volume_is(volume, "available")
    server = next(r.servers[n] for n, a in r.addresses.items() if a[1].name == host)
    attach(server, volume)
    detach(server, volume)
    check(host_of_volume(volume) == host, f"it is on {host_of_volume(volume)}")
    return volume


def host_killed():
    """A host without power is down soon, and the others do not care; with power again it goes on."""
    r = Region
    h1 = r.cluster.hosts[0]
    volume = volume_managed_by("h1")
    h1.kill()

    def state():
        return {h["hypervisor_hostname"]: h["state"]
                for h in r.admin.must(200, "GET", "/compute/v2.1/os-hypervisors")["hypervisors"]}
    wait_for("h1 is down", lambda: state() == {"h1": "down", "h2": "up"}, 60)
    # What h1 had is h2's to use once h1's lease is over.
    r.admin.must(202, "POST", f"/compute/v2.1/servers/{r.servers['s2']}/action", {"os-start": None})
    r.admin.wait_status(r.servers["s2"], "ACTIVE")
    wait_for("it has another host", lambda: host_of_volume(volume) == "h2", 90)
    attach(r.servers["s2"], volume)
    detach(r.servers["s2"], volume)
    h1.start()
    h1.start_agent()
    wait_for("h1 is up", lambda: state() == {"h1": "up", "h2": "up"}, 60)
    r.admin.wait_status(r.servers["s1"], "SHUTOFF", 60)
    for server in r.servers.values():
        r.admin.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
        wait_for("it is gone", lambda s=server: r.admin.get(f"/compute/v2.1/servers/{s}").status == 404, 60)


def nothing_left():
    r = Region
    print(r.cluster.memory(), flush=True)
    r.cluster.stop()


def run():
    if not os.path.exists(TINY):
        subprocess.run([f"{TOP}/images/build-tiny", TINY], check=True)
    cloud.main_in_cluster(Region, end_of_process, region, guests, they_talk, moved, shared_volumes, one_api_gone, host_killed, nothing_left)


if __name__ == "__main__":
    run()
