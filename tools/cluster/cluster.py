# SPDX-License-Identifier: EUPL-1.2
"""
The whole region: PostgreSQL and two `colvert api` in a namespace of their own, a balancer on the machine's loopback, and hosts
(host.py) that joined with tokens and speak with certificates, over the fabric between them.

Starting is completing: what runs already is left as it is. Everything that was started is in DIR/cluster.json.
"""
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time

from .fabric import CENTRE, OUTSIDE, Fabric
from .host import Host
from .memory import table
from .ovn import Ovn
from .parts import Book, run, wait_until
from .postgres import Postgres

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{TOP}/tests/e2e")
from cloud import Reply, Session  # noqa: E402

API_UID = 64700  # as `colvert up` has it where there is no user of the name
APIS = 2


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """net: "ovn", or "kernel" (each host's networks are its own). driver: of guests, "qemu" or "fake"."""

    def __init__(self, folder, hosts=3, net="kernel", driver="qemu", port=0, options=()):
        self.dir = os.path.abspath(folder)
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.book = Book(f"{self.dir}/cluster.json")
        kept = self.book.kept
        kept.setdefault("name", f"cc{secrets.token_hex(3)}")
        kept.setdefault("port", port or free_port())
        kept.setdefault("hosts", hosts)
        kept.setdefault("net", net)
        kept.setdefault("driver", driver)
        kept.setdefault("options", list(options))
        kept.setdefault("admin_password", secrets.token_urlsafe(18))
        kept.setdefault("demo_password", secrets.token_urlsafe(18))
        self.book.save()
        os.chmod(self.book.path, 0o600)
        self.name, self.port, self.net, self.driver, self.options = (
            kept[k] for k in ("name", "port", "net", "driver", "options"))
        self.admin_password, self.demo_password = kept["admin_password"], kept["demo_password"]
        self.colvert = os.environ.get("COLVERT", f"{TOP}/build/release/src/cmd/colvert")
        self.fabric = Fabric(self.name, outside=self.net == "ovn")
        self.ovn = Ovn(self) if self.net == "ovn" else None
        self.postgres = Postgres(self.dir, self.book, API_UID)
        self.data = f"{self.dir}/data"
        self.shared = f"{self.dir}/shared"
        self.hosts = [Host(self, n) for n in range(1, kept["hosts"] + 1)]

    # ---- starting

    def start(self):
        self.fabric.start()
        self.postgres.start()
        if self.ovn:
            self.ovn.start()
        self.bootstrap()
        for n in range(APIS):
            self.start_api(n)
        self.start_front()
        if self.ovn:
            self.ovn.start_writer()
        wait_until("the APIs answer", self.healthy)
        self.write_clouds()
        self.make_pool()
        for host in self.hosts:
            host.start()
            host.start_agent()
        wait_until("all hosts are up", self.hosts_up, 120, 0.2)
        if self.ovn:
            wait_until("all hosts have networks", lambda: all(self.ovn.chassis(h) for h in self.hosts))
        return self

    def environment(self):
        return {**os.environ, "COLVERT_STATE": self.postgres.url, "COLVERT_BOOTSTRAP_PASSWORD": self.admin_password,
                "COLVERT_DEMO_PASSWORD": self.demo_password}

    def as_api(self, *words):
        return ["setpriv", f"--reuid={API_UID}", f"--regid={API_UID}", "--clear-groups", *words]

    def admin(self, *words):
        return run(*self.as_api(self.colvert, "admin", *words[:2 if words[0] == "host" else 1], "--data", self.data,
                                "--hosts-listen", f"{CENTRE}:6000", "--external-cidr", OUTSIDE, *self.region_options(),
                                *words[2 if words[0] == "host" else 1:]), env=self.environment())

    def region_options(self):
        return [*self.options, *(self.ovn.options() if self.ovn else ())]

    def bootstrap(self):
        for folder, uid in ((self.data, 0), (f"{self.data}/control", API_UID)):
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o755)
                os.chown(folder, uid, uid)
        if not self.book.kept.get("bootstrapped"):
            self.admin("bootstrap")
            self.book.kept["bootstrapped"] = True
            self.book.save()

    def api_port(self, n):
        return 5001 + n

    def hosts_urls(self):
        return ",".join(f"https://{CENTRE}:{6000 + n}" for n in range(APIS))

    def start_api(self, n):
        self.book.start(f"api{n + 1}", ["nsenter", f"--net=/run/netns/{self.fabric.netns}", *self.as_api(
            self.colvert, "api", "--data", self.data, "--listen", f"127.0.0.1:{self.api_port(n)}", "--hosts-listen",
            f"{CENTRE}:{6000 + n}", "--external-cidr", OUTSIDE, *self.region_options())], f"{self.dir}/api{n + 1}.log",
            env=self.environment())

    def start_front(self):
        self.book.start("front", [sys.executable, f"{HERE}/front.py", self.fabric.netns, str(self.port),
                                  *(str(self.api_port(n)) for n in range(APIS))], f"{self.dir}/front.log")

    def join_token(self, host_name):
        said = self.admin("host", "add", host_name)
        return next(line for line in said.splitlines() if line.startswith("cvj1."))

    def make_pool(self):
        """What hosts would mount: on one machine they have it all anyway."""
        if self.driver == "qemu":
            os.makedirs(self.shared, exist_ok=True)
            run(self.colvert, "admin", "pool-make", self.shared)

    def node_options(self, host):
        options = ["--shared-dir", self.shared] if self.driver == "qemu" else []
        return options + (self.ovn.options() if self.ovn else ["--external-cidr", OUTSIDE])

    def write_clouds(self):
        text = "clouds:\n"
        for cloud, user, password in (("colvert-admin", "admin", self.admin_password), ("demo", "demo", self.demo_password)):
            text += (f"  {cloud}:\n    auth:\n      auth_url: http://127.0.0.1:{self.port}/identity/v3\n      username: {user}\n"
                     f"      password: {password}\n      project_name: {user}\n      user_domain_name: Default\n"
                     "      project_domain_name: Default\n    region_name: RegionOne\n    identity_api_version: 3\n")
        with open(f"{self.dir}/clouds.yaml", "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)

    # ---- its state

    def raw(self, method, path, body=None, headers=None, timeout=60):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Reply(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def login(self, user="demo", password=None, project=None):
        if password is None:
            password = self.admin_password if user == "admin" else self.demo_password
        return Session(self, user, password, project or user)

    def healthy(self):
        for name in self.central_names():
            if not self.book.pid(name):
                raise RuntimeError(f"{name} ended, see {self.dir}/{name}.log")
        try:
            return all(self.raw("GET", "/healthz", timeout=5).status == 200 for _ in range(APIS))
        except (OSError, http.client.HTTPException):
            return False

    def central_names(self):
        return ["postgres", *(f"api{n + 1}" for n in range(APIS)), "front", *(self.ovn.names() if self.ovn else ())]

    def hosts_up(self):
        for host in self.hosts:
            if not self.book.pid(f"{host.name}-agent"):
                raise RuntimeError(f"the agent of {host.name} ended, see {host.data}.log")
        r = self.login("admin").get("/compute/v2.1/os-hypervisors")
        return r.status == 200 and sum(h["state"] == "up" for h in r.json["hypervisors"]) >= len(self.hosts)

    def memory(self):
        return table(self)

    def outside(self, *words, host=None):
        """A command as the world beyond the routers runs it: with kernel networks, that is each host itself."""
        return ["nsenter", f"--net=/run/netns/{self.fabric.netns}", *words] if self.ovn else host.inside(*words)

    def host_named(self, name):
        return next(h for h in self.hosts if h.name == name)

    def host_of(self, admin, server_id):
        shown = admin.must(200, "GET", f"/compute/v2.1/servers/{server_id}")["server"]
        return self.host_named(shown["OS-EXT-SRV-ATTR:host"])

    # ---- stopping

    def stop(self):
        for host in self.hosts:
            host.stop_agent()
            host.purge()
            host.kill()
        for name in [n for n in self.book.names() if n != "postgres"]:
            self.book.end(name)
        self.postgres.stop()
        self.fabric.stop()
        left = self.left_over()
        if left:
            raise RuntimeError("left over:\n" + "\n".join(left))

    def left_over(self):
        """What a stopped cluster must not have."""
        own = [os.getpid(), os.getppid()]
        found = [f"process {n}" for n in self.book.names() if self.book.pid(n)]
        found += [f"namespace {n}" for n in os.listdir("/run/netns") if n.startswith(f"{self.name}-")]
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) not in own):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f"{self.dir}/".encode() in f.read():
                        found.append(f"process {pid}")
            except OSError:
                pass
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            found += [f"mount {line.split()[4]}" for line in f if f" {self.dir}/" in line]
        for host in self.hosts:
            p = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", host.instance()], capture_output=True,
                               text=True, check=False)
            found += [f"cgroup {path}" for path in p.stdout.split()]
        return found

    def clean(self):
        self.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(RuntimeError, None, None)
            raise

    def __exit__(self, kind, value, trace):
        if kind:
            sys.stderr.write(self.log_tail())
        self.clean()

    def log_tail(self, lines=15):
        text = ""
        for name in sorted(n for n in os.listdir(self.dir) if n.endswith(".log")):
            with open(f"{self.dir}/{name}", encoding="utf-8", errors="replace") as f:
                text += f"--- {name}\n" + "".join(f.readlines()[-lines:])
        return text
