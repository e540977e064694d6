# SPDX-License-Identifier: EUPL-1.2
"""Hosts on other machines: join tokens, certificates on both sides, renewal, removal. Real processes over loopback."""
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading

import cloud
from cloud import Cloud, check, wait_for

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.S)


class Region(Cloud):
    def __init__(self, name, *options):
        self.hosts_reserved = cloud.reserve_port()
        self.hosts_port = self.hosts_reserved.getsockname()[1]
        self.nodes = []
        super().__init__(name, options=["--hosts-listen", f"127.0.0.1:{self.hosts_port}", *options])

    def hosts_url(self):
        return f"https://127.0.0.1:{self.hosts_port}"

    def admin_command(self, *words, options=()):
        """Exit status and what it says."""
        head, rest = (words[:2], words[2:]) if words[0] == "host" else (words[:1], words[1:])
        p = subprocess.run([self.colvert, "admin", *head, *self.arguments(), *options, *rest], text=True,
                           capture_output=True, check=False)
        return p.returncode, p.stdout + p.stderr

    def token(self, name, *more):
        status, said = self.admin_command("host", "add", name, *more)
        check(status == 0, f"host add {name}: {said}")
        return re.search(r"^cvj1\.\S+$", said, re.M).group(0)

    def node(self, name):
        n = Node(self, name)
        self.nodes.append(n)
        return n

    def joined(self, name):
        n = self.node(name).start("--join", self.token(name))
        wait_for(f"{name} is up", lambda: n.alive() or self.host_state(name) == "up", 30)
        return n

    def host_state(self, name):
        _, said = self.admin_command("host", "show", name)
        got = re.search(r"^state: (.*)$", said, re.M)
        return got.group(1) if got else said

    def restart_api(self):
        before = self.role_pid("api")
        self.kill("api")
        wait_for("the API is back", lambda: self.role_pid("api") not in (None, before) and self.healthy(), 30)

    def clean(self):
        for n in self.nodes:
            n.stop()
        super().clean()


class Node:
    """`colvert node` of another machine, as far as one machine can show it: a data folder of its own."""

    def __init__(self, region, name):
        self.region, self.name = region, name
        self.data = f"{region.dir}/{name}"
        self.log = f"{region.dir}/{name}.log"
        self.process = None

    def command(self, *options):
        return [self.region.colvert, "node", "--data", self.data, "--driver", "fake", "--node-name", "ignored",
                *options]

    def start(self, *options):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("--api", self.region.hosts_url(), *options), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        return self

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def alive(self):
        check(self.process.poll() is None, f"the node ended: {self.said()[-800:]}")

    def fails(self, why, *options):
        """It does not start, and says why."""
        p = subprocess.run(self.command(*options), text=True, capture_output=True, check=False, timeout=30)
        check(p.returncode == 1, f"the node ended with {p.returncode}: {p.stderr}")
        check(why in p.stderr, f"expected '{why}' in: {p.stderr}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def enrolment(self):
        with open(f"{self.data}/node/enrolment.json", encoding="utf-8") as f:
            return json.load(f)

    def fingerprint(self):
        pem = PEM.search(self.enrolment()["certificate"]).group(0)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def identity(self):
        return Identity(self.region, self.enrolment())


class Identity:
    """Speaks to the control plane with this key and certificate, as an agent does."""

    def __init__(self, region, enrolment, cert=None, key=None):
        self.region, self.id = region, enrolment["host_id"]
        self.context = ssl.create_default_context(cadata=enrolment["authorities"])
        cert = enrolment["certificate"] if cert is None else cert
        if cert:
            with tempfile.NamedTemporaryFile("w", dir=region.dir) as f:
                f.write(cert + (key or enrolment["key"]))
                f.flush()
                self.context.load_cert_chain(f.name)

    def call(self, method, path, body=None, timeout=30):
        raw = socket.create_connection(("127.0.0.1", self.region.hosts_port), timeout)
        with self.context.wrap_socket(raw, server_hostname="control.colvert") as s:
            c = http.client.HTTPConnection("control.colvert")
            c.sock = s
            c.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            r = c.getresponse()
            return cloud.Reply(r.status, {}, r.read())

    def items(self, host=None, more="?since=0"):
        return self.call("GET", f"/node/v1/hosts/{host or self.id}/items{more}")


def make_server(region, host):
    admin = region.login("admin")
    image = admin.image("tiny", b"x" * 512)
    body = {"server": {"name": "one", "imageRef": image, "flavorRef": admin.flavor("m1.tiny"),
                       "networks": "none", "availability_zone": f"nova:{host}"}}
    r = admin.call("POST", "/compute/v2.1/servers", body, {"OpenStack-API-Version": "compute 2.37"})
    check(r.status == 202, f"POST servers: {r.status} {r.body[:400]}")
    server = r.json["server"]["id"]
    admin.wait_status(server, "ACTIVE", 60)
    return admin, server


def test_join():
    """A host joins, runs a guest, is asked for its console over TLS, and goes on after a restart without its token."""
    with Region("enrol-join") as region:
        far = region.joined("far")
        kept = os.stat(f"{far.data}/node/enrolment.json")
        check(stat.S_IMODE(kept.st_mode) == 0o600, "the key is for its owner only")
        admin, server = make_server(region, "far")
        shown = admin.must(200, "GET", f"/compute/v2.1/servers/{server}")["server"]
        check(shown["OS-EXT-SRV-ATTR:host"] == "far", f"it is on {shown['OS-EXT-SRV-ATTR:host']}")
        said = admin.must(200, "POST", f"/compute/v2.1/servers/{server}/action", {"os-getConsoleOutput": {}})
        check("output" in said, f"no console: {said}")
        with open_screen(region, admin, server) as screen:
            seen = b""
            while got := screen.recv(100):
                seen += got
            check(b"login:" in seen, f"the guest's serial line: {seen}")
        _, hosts = region.admin_command("host", "show", "far")
        check(re.search("^agent: https://", hosts, re.M), f"its agent has no TLS: {hosts}")
        far.stop()
        far.start()
        admin.must(202, "POST", f"/compute/v2.1/servers/{server}/action", {"os-stop": None})
        admin.wait_status(server, "SHUTOFF", 60)
        check(region.admin_command("host", "remove", "far")[0] == 1, "a host with servers was removed")
        secret = re.compile(r"cvj1\.[\w-]{40}|BEGIN [A-Z ]*PRIVATE")
        check(not secret.search(far.said() + region.log_tail(100000)), "a secret is in a log")


def test_tokens():
    """What a token is not good for, and what is said then."""
    with Region("enrol-tokens") as region:
        url = ["--api", region.hosts_url()]
        token = region.token("one")
        one = region.node("one").start("--join", token)
        wait_for("it has joined", lambda: one.alive() or region.host_state("one") == "up", 30)
        other = region.node("other")
        other.fails("has been used already", *url, "--join", token)
        other.fails("has not joined", *url)
        other.fails("is no join token", *url, "--join", "cvj1.nothing")
        fresh = region.token("two")
        other.fails("over TLS only", "--api", f"http://127.0.0.1:{region.hosts_port}", "--join", fresh)
        other.fails("cannot reach", "--api", f"https://127.0.0.1:{region.port}", "--join", fresh)
        head, secret, _ = fresh.split(".")
        other.fails("another certificate authority", *url, "--join", f"{head}.{secret}.{'0' * 64}")
        newer = region.token("two")
        other.fails("is unknown", *url, "--join", fresh)
        other.fails("is unknown", *url, "--join", f"{head}.{'A' * 43}.{newer.split('.')[2]}")
        status, said = region.admin_command("host", "add", "one")
        check(status == 1 and "has joined already" in said, f"a name taken: {said}")
        short = region.token("three", "--ttl", "1")
        wait_for("the token expires", lambda: region.host_state("three") == "token expired", 30)
        other.fails("has expired", *url, "--join", short)
        other.start("--join", newer)
        wait_for("the newest one is good", lambda: other.alive() or region.host_state("two") == "up", 30)
        # Installed anew: what it joined with before ends when it joins again.
        before = one.identity()
        check(before.items().status == 200, "its own items")
        again = region.token("one", "--again")
        check(before.items().status == 200, "until it joins again")
        one.stop()
        one.start("--join", again)
        wait_for("the older certificate ends", lambda: before.items().status == 401, 30)
        wait_for("it is up again", lambda: one.alive() or one.identity().items().status == 200, 30)


def test_isolation():
    """A host sees and tells its own; who it is, its certificate says."""
    with Region("enrol-alone") as region:
        a, b = region.joined("a"), region.joined("b")
        ia, ib = a.identity(), b.identity()
        check(ia.items().status == 200 and ib.items().status == 200, "each sees its own")
        check(ia.items("a").status == 200, "by its name, too")
        for method, rest, body in (("GET", "/items?since=0", None), ("POST", "/reports", {"reports": []}),
                                   ("PUT", "", {"vcpus": 1, "memory_mib": 1, "disk_gib": 1}),
                                   ("POST", "/certificate", {"request": ""}),
                                   ("GET", f"/images/{ia.id}/file", None)):
            for host in (ib.id, "b"):
                r = ia.call(method, f"/node/v1/hosts/{host}{rest}", body)
                check(r.status == 403, f"{method} {rest} of another host: {r.status} {r.body[:200]}")
        nobody = Identity(region, a.enrolment(), cert="")
        check(nobody.items().status == 401, "without a certificate")
        r = ia.call("PUT", f"/node/v1/hosts/{ia.id}",
                    {"vcpus": 1, "memory_mib": 1, "disk_gib": 1, "agent_url": "http://127.0.0.1:1"})
        check(r.status == 400, f"an agent without TLS: {r.status}")
        check(ia.call("GET", "/identity/v3").status == 404, "the APIs are elsewhere")
        check(ia.call("POST", f"/node/v1/hosts/{ia.id}/certificate", {"request": "x"}).status == 400, "no request")
        # The same name, by an authority that is not the region's.
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", f"/CN={ia.id}.host.colvert", "-keyout", "-"], text=True, capture_output=True, check=True).stdout
        forged = Identity(region, a.enrolment(), cert=PEM.search(made).group(0), key=made.split("-----BEGIN CERT")[0])
        check(forged.items().status == 401, "a certificate of another authority")
        # At the APIs' own address there are neither certificates nor a way in without a secret.
        for secret in ("", "x" * 32):
            r = region.raw("GET", f"/node/v1/hosts/{ia.id}/items", headers={"Authorization": f"Bearer {secret}"})
            check(r.status == 401, f"by a secret: {r.status}")
        check(region.raw("GET", "/node/v1/authorities").status == 404, "joining at the APIs' address")


def ask_agent(port, context, name, path):
    """The status of the answer; None: there is none."""
    raw = socket.create_connection(("127.0.0.1", port), 10)
    try:
        with context.wrap_socket(raw, server_hostname=name) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            got = s.recv(100).split()
            return int(got[1]) if got else None
    except (ssl.SSLError, ConnectionError):
        return None


def test_agent_is_private():
    """An agent speaks to the control plane, and to hosts that it named: neither plain HTTP nor a stranger gets a word, and another
    host only hears that there is nothing for it."""
    with Region("enrol-agent") as region:
        a, b = region.joined("a"), region.joined("b")
        _, said = region.admin_command("host", "show", "a")
        port = int(re.search(r"^agent: https://127\.0\.0\.1:(\d+)$", said, re.M).group(1))
        name, server = f"{a.enrolment()['host_id']}.host.colvert", "11111111-2222-4333-8444-555555555555"
        stranger = Identity(region, a.enrolment(), cert="")
        check(ask_agent(port, stranger.context, name, "/") is None, "a stranger was answered")
        for path, expected in ((f"/servers/{server}/console", (401,)), (f"/servers/{server}/serial", (401,)), ("/", (401,)),
                               (f"/moves/{server}/1/file/memory", (401, 403, 404, 405))):
            status = ask_agent(port, b.identity().context, name, path)
            check(status in expected, f"{path} for another host: {status}")
        with socket.create_connection(("127.0.0.1", port), 10) as raw:
            try:
                raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                got = raw.recv(100)
            except ConnectionError:
                got = b""
            check(not got.startswith(b"HTTP"), f"plain HTTP was answered: {got}")


def test_renewal():
    """Certificates are renewed by themselves, and the authority is changed under a host that goes on."""
    with Region("enrol-renew", "--host-cert-ttl-s", "6") as region:
        far = region.joined("far")
        prints, keys = [far.fingerprint()], [far.enrolment()["key"]]
        for _ in range(2):
            wait_for("another certificate", lambda: far.alive() or far.fingerprint() not in prints, 30)
            prints.append(far.fingerprint())
            keys.append(far.enrolment()["key"])
        check(len(set(keys)) == 3, "each certificate has a key of its own")
        check(region.host_state("far") == "up", "it is up")
        first = PEM.findall(far.enrolment()["authorities"])
        check(len(first) == 1, "one authority")
        check(region.admin_command("rotate-ca")[0] == 0, "rotate-ca")
        region.restart_api()
        wait_for("it trusts the next one", lambda: len(PEM.findall(far.enrolment()["authorities"])) == 2, 30)
        check(region.admin_command("rotate-ca")[0] == 0, "rotate-ca again")
        region.restart_api()

        def changed():
            far.alive()
            got = PEM.findall(far.enrolment()["authorities"])
            return got[0] != first[0] and got[1] == first[0] and region.host_state("far") == "up"
        wait_for("the next one is in use", changed, 30)
        check(far.identity().items().status == 200, "it goes on")


def open_screen(region, admin, server):
    """The websocket of a server's serial line: its bytes come from the host's agent."""
    made = admin.call("POST", f"/compute/v2.1/servers/{server}/remote-consoles",
                      {"remote_console": {"protocol": "serial", "type": "serial"}},
                      {"OpenStack-API-Version": "compute 2.8"})
    check(made.status == 200, f"remote-consoles: {made.status} {made.body[:300]}")
    path = "/console/" + made.json["remote_console"]["url"].split("/console/")[1]
    s = socket.create_connection(("127.0.0.1", region.port), 20)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Protocol: binary\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        got = s.recv(1)
        check(got, f"no websocket: {head}")
        head += got
    check(head.startswith(b"HTTP/1.1 101"), f"no websocket: {head}")
    return s


def test_removal():
    """A removed host's certificate is refused at once, what it has open is ended; so is an expired one refused."""
    with Region("enrol-remove") as region:
        far, near = region.joined("far"), region.joined("near")
        identity = far.identity()
        revision = identity.items().json["revision"]
        ended = threading.Event()

        def poll():
            try:
                identity.items(more=f"?since={revision}&wait=60")
            except (OSError, http.client.HTTPException):
                pass
            ended.set()
        waiting = threading.Thread(target=poll)
        waiting.start()
        status, said = region.admin_command("host", "remove", "far")
        check(status == 0, f"host remove: {said}")
        r = identity.items()
        check(r.status == 401, f"right after its removal: {r.status}")
        check(ended.wait(10), "its long poll goes on")
        waiting.join()
        wait_for("the agent says why", lambda: "its host was removed" in far.said(), 30)
        check(near.identity().items().status == 200, "others go on")
        check(region.admin_command("host", "remove", "far")[0] == 1, "it is removed once")


def test_revocation():
    """A machine that is no longer trusted: its certificate ends at once, whatever runs there."""
    with Region("enrol-revoke") as region:
        far = region.joined("far")
        identity = far.identity()
        admin, server = make_server(region, "far")
        status, said = region.admin_command("host", "revoke", "far")
        check(status == 0, f"host revoke: {said}")
        check(identity.items().status == 401, "right after")
        far.stop()
        far.start("--join", region.token("far"))
        wait_for("it has joined again", lambda: far.alive() or far.identity().items().status == 200, 30)
        admin.must(202, "POST", f"/compute/v2.1/servers/{server}/action", {"os-stop": None})
        admin.wait_status(server, "SHUTOFF", 60)


if __name__ == "__main__":
    cloud.main(test_join, test_tokens, test_isolation, test_agent_is_private, test_renewal, test_removal,
               test_revocation)
