# SPDX-License-Identifier: EUPL-1.2
"""A whole Colvert for a test: started in folders and a namespace of its own, stopped without a trace."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failure(Exception):
    """What a test says when it does not hold."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(what, condition, timeout_s=120, pause_s=0.1):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + timeout_s
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failure(f"after {timeout_s} s still not: {what}")
        time.sleep(pause_s)


def reserve_port():
    """A socket whose port is ours while it lives: bound only, so that a server may listen on it again and again."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


def children(pid):
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                out += [int(p) for p in f.read().split()]
        except OSError:
            pass
    return out


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return []


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None


class Cloud:
    """driver: "fake" or "qemu" (then as root, with a namespace that stands for the host; isolated: this very process
    is in one)."""

    def __init__(self, name, driver="fake", options=(), isolated=False):
        self.colvert = os.environ.get("COLVERT", f"{TOP}/build/release/src/cmd/colvert")
        self.dir = tempfile.mkdtemp(prefix=f"colvert-{name}-")
        os.chmod(self.dir, 0o755)
        self.data = f"{self.dir}/data"
        self.reserved = reserve_port()
        self.port = self.reserved.getsockname()[1]
        self.netns = f"cvt-{name}-{os.getpid()}"[:15] if driver == "qemu" and not isolated else None
        self.driver = driver
        self.options = list(options)
        self.up = None
        self.more_hosts = []
        self.admin_password = "an administrator's password"
        self.demo_password = "a tenant's password"

    def arguments(self):
        args = ["--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--driver", self.driver,
                "--bootstrap-password", self.admin_password, "--demo-password", self.demo_password]
        if self.netns:
            args += ["--netns", self.netns]
        return args + self.options

    def start(self):
        if self.netns and not os.path.exists(f"/run/netns/{self.netns}"):
            subprocess.run(["ip", "netns", "add", self.netns], check=True)
            subprocess.run(["ip", "-n", self.netns, "link", "set", "lo", "up"], check=True)
        with open(f"{self.dir}/log", "ab") as log:
            self.up = subprocess.Popen([self.colvert, "up", *self.arguments()], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL)
        wait_for("the API answers", lambda: self.healthy() or self.alive(), 120, 0.02)
        wait_for("a host is up", self.has_host, 120, 0.1)
        return self

    def alive(self):
        check(self.up.poll() is None, f"colvert up ended with {self.up.poll()}:\n{self.log_tail()}")

    def healthy(self):
        try:
            return self.raw("GET", "/healthz", timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill_all(self):
        """The supervisor, by SIGKILL; its api ends by itself, and must not be taken for the next one's."""
        self.up.kill()
        self.up.wait()
        wait_for("the API is gone", lambda: not self.healthy(), 60, 0.02)

    def has_host(self, n=1):
        self.alive()
        try:
            r = self.login("admin").get("/compute/v2.1/os-hypervisors")
        except (OSError, http.client.HTTPException):
            return False
        return r.status == 200 and sum(h["state"] == "up" for h in r.json["hypervisors"]) >= n

    def add_host(self, name):
        """One more, with simulated guests, in a folder of its own: until the cloud stops."""
        check(self.driver == "fake", "one machine has room for one host's networks")
        made = subprocess.run([self.colvert, "admin", "host-add", *self.arguments(), name], check=True,
                              capture_output=True, text=True)
        data = f"{self.dir}/{name}"
        os.makedirs(f"{data}/node")
        with open(f"{data}/node/secret", "x", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(made.stdout.split()[-1])
        with open(f"{self.dir}/log", "ab") as log:
            self.more_hosts.append(subprocess.Popen(
                [self.colvert, "node", "--data", data, "--listen", f"127.0.0.1:{self.port}", "--driver", "fake",
                 "--node-name", name], stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        wait_for(f"host {name} is up", lambda: self.has_host(1 + len(self.more_hosts)), 30, 0.1)

    def log_tail(self, lines=40):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def role_pid(self, role):
        """The process of a role, or None while it is being started again."""
        for pid in children(self.up.pid):
            if command_line(pid)[1:2] == [role]:
                return pid
        return None

    def kill(self, role):
        pid = self.role_pid(role)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid

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

    def stop(self):
        for node in self.more_hosts:
            node.terminate()
            node.wait()
        self.more_hosts = []
        if self.up and self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
            try:
                self.up.wait(60)
            except subprocess.TimeoutExpired:
                self.up.kill()
                self.up.wait()
        if self.driver == "qemu":
            subprocess.run([self.colvert, "node", "--purge", *self.arguments()], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.netns:
            subprocess.run(["ip", "netns", "del", self.netns], check=False)

    def clean(self):
        self.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind:
            sys.stderr.write(self.log_tail())
        self.clean()


class Session:
    """A user in a project. Requests are sent once; a lost connection is the caller's to judge, see retry()."""

    def __init__(self, cloud, user, password, project):
        self.cloud, self.user, self.password, self.project = cloud, user, password, project
        self.token = self.project_id = None

    def authenticate(self):
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": self.user, "domain": {"id": "default"}, "password": self.password}}},
            "scope": {"project": {"name": self.project, "domain": {"id": "default"}}}}}
        r = self.cloud.raw("POST", "/identity/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
        check(r.status == 201, f"log-in as {self.user}: {r.status} {r.body[:300]}")
        self.token = r.headers["x-subject-token"]
        self.project_id = r.json["token"]["project"]["id"]
        return self

    def call(self, method, path, body=None, headers=None):
        if not self.token:
            self.authenticate()
        h = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        h.update(headers or {})
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        return self.cloud.raw(method, path, data, h)

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.call("POST", path, body, **kw)

    def put(self, path, body, **kw):
        return self.call("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.call("DELETE", path, **kw)

    def must(self, status, method, path, body=None, **kw):
        r = self.call(method, path, body, **kw)
        check(r.status == status, f"{method} {path}: {r.status}, expected {status}: {r.body[:500]}")
        return r.json

    def retry(self, method, path, body=None, timeout_s=60):
        """Until there is an answer: for requests that may be repeated without harm."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                r = self.call(method, path, body)
                if r.status not in (500, 503):
                    return r
            except (OSError, http.client.HTTPException):
                pass
            check(time.monotonic() < end, f"{method} {path}: no answer within {timeout_s} s")
            time.sleep(0.02)

    def new_project(self, name):
        """As administrator: a project and a user of its own."""
        project = self.must(201, "POST", "/identity/v3/projects", {"project": {"name": name}})["project"]
        user = self.must(201, "POST", "/identity/v3/users",
                         {"user": {"name": name, "password": f"{name}'s password"}})["user"]
        roles = self.must(200, "GET", "/identity/v3/roles?name=member")["roles"]
        self.must(204, "PUT", f"/identity/v3/projects/{project['id']}/users/{user['id']}/roles/{roles[0]['id']}")
        return Session(self.cloud, name, f"{name}'s password", name)

    def image(self, name, data, disk_format="raw"):
        image = self.must(201, "POST", "/image/v2/images",
                          {"name": name, "disk_format": disk_format, "container_format": "bare"})
        r = self.call("PUT", f"/image/v2/images/{image['id']}/file", data,
                      headers={"Content-Type": "application/octet-stream"})
        check(r.status == 204, f"upload: {r.status} {r.body[:300]}")
        return image["id"]

    def network(self, name, cidr):
        net = self.must(201, "POST", "/network/v2.0/networks", {"network": {"name": name}})["network"]
        sub = self.must(201, "POST", "/network/v2.0/subnets",
                        {"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": cidr, "name": name}})["subnet"]
        return net["id"], sub["id"]

    def flavor(self, name):
        for f in self.must(200, "GET", "/compute/v2.1/flavors")["flavors"]:
            if f["name"] == name:
                return f["id"]
        raise Failure(f"no flavor {name}")

    def server(self, **members):
        return self.must(202, "POST", "/compute/v2.1/servers", {"server": members})["server"]["id"]

    def status(self, server_id):
        r = self.retry("GET", f"/compute/v2.1/servers/{server_id}")
        return r.json["server"]["status"] if r.status == 200 else f"HTTP {r.status}"

    def wait_status(self, server_id, status, timeout_s=240):
        def now():
            got = self.status(server_id)
            if got == "ERROR" and status != "ERROR":
                raise Failure(f"server {server_id} is in ERROR: {self.get('/compute/v2.1/servers/' + server_id).body[:600]}")
            return got == status
        wait_for(f"server {server_id} is {status}", now, timeout_s)


def main(*tests):
    """Runs the tests named on the command line, or all, and counts them."""
    failed = 0
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    for test in chosen:
        began = time.monotonic()
        try:
            test()
            print(f"ok      {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as e:  # pylint: disable=broad-exception-caught
            failed += 1
            print(f"FAILED  {test.__name__}: {e if isinstance(e, Failure) else traceback.format_exc()}", flush=True)
    print(f"tests: {len(chosen) - failed} {failed}")
    sys.exit(1 if failed else 0)


def main_in_cluster(region, *tests, log_lines=15):
    """The same with what they share in region.cluster (None until the first has made it), which stops with them."""
    try:
        main(*tests)
    except BaseException as e:
        if region.cluster:
            if not isinstance(e, SystemExit) or e.code:
                sys.stderr.write(region.cluster.log_tail(log_lines))
            region.cluster.clean()
        raise
