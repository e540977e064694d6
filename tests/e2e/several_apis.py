# SPDX-License-Identifier: EUPL-1.2
"""Two `colvert api` on one PostgreSQL, and an agent: run by tests/with-postgres.

A region is moved from SQLite to PostgreSQL and used by two processes there. Servers are created and deleted while one of
them is killed, PostgreSQL stands still, and PostgreSQL crashes and comes back: nothing acknowledged is lost, nothing is
stuck, nobody waits without an end. STALL_S: how long PostgreSQL is away (default 4).
"""
import glob
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from cloud import Failure, Reply, Session, check, children, main, reserve_port, wait_for, TOP

STALL_S = float(os.environ.get("STALL_S", "4"))
HANG_S = 30  # no request may take longer, whatever happens
HOST = "one"


class Postgres:
    """The server that tests/with-postgres started: stopped, let go on, crashed, started again."""

    def __init__(self):
        self.url = os.environ["COLVERT_TEST_POSTGRES"]
        self.dir = re.search(r"host=([^&]*)", self.url)[1]
        self.own = None

    def processes(self):
        with open(f"{self.dir}/data/postmaster.pid", encoding="ascii") as f:
            pid = int(f.readline())
        return [pid, *children(pid)]

    def stand_still(self, for_s):
        stopped = self.processes()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(for_s)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def crash(self):
        pid = self.processes()[0]
        os.kill(pid, signal.SIGQUIT)
        if self.own:
            self.own.wait()
        wait_for("PostgreSQL has ended", lambda: self.has_ended(pid), 20)

    @staticmethod
    def has_ended(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    def start(self):
        binary = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))[-1]
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        with open(f"{self.dir}/again.log", "ab") as log:
            self.own = subprocess.Popen([*user, binary, "-D", f"{self.dir}/data", "-k", self.dir, "-c", "listen_addresses=",
                                         "-c", "fsync=off", "-c", "max_connections=60"],
                                        cwd=self.dir, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})

    def stop(self):
        if self.own:
            self.own.send_signal(signal.SIGINT)
            self.own.wait(20)


class Region:
    """Processes by name. Requests go to the processes in turn; a test that wants one says which."""

    def __init__(self):
        self.colvert = os.environ.get("COLVERT", f"{TOP}/build/release/src/cmd/colvert")
        self.dir = tempfile.mkdtemp(prefix="colvert-apis-")
        os.chmod(self.dir, 0o755)
        self.data = f"{self.dir}/data"
        for folder in ("", "/control", "/node"):
            os.mkdir(f"{self.data}{folder}", 0o755)
        self.sockets = [reserve_port(), reserve_port()]
        self.ports = [s.getsockname()[1] for s in self.sockets]
        self.state = f"sqlite:{self.data}/control/state.db"
        self.admin_password, self.demo_password = "an administrator's password", "a tenant's password"
        self.running, self.turn = {}, 0
        self.slowest_s = 0.0
        self.lock = threading.Lock()

    def run(self, *words, status=0):
        r = subprocess.run([self.colvert, *words], capture_output=True, text=True, check=False, timeout=60,
                           env={**os.environ, "COLVERT_STATE": self.state})
        check(r.returncode == status, f"colvert {' '.join(words)}: {r.returncode}\n{r.stdout}{r.stderr}")
        return r.stdout + r.stderr

    def start(self, name, role, *options):
        with open(f"{self.dir}/{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen([self.colvert, role, "--data", self.data, *options], stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, env={**os.environ, "COLVERT_STATE": self.state})

    def start_api(self, n):
        self.start(f"api{n}", "api", "--listen", f"127.0.0.1:{self.ports[n]}")
        wait_for(f"api {n} answers", lambda: self.healthy(n), 30)

    def start_node(self):
        urls = ",".join(f"http://127.0.0.1:{p}" for p in self.ports)
        self.start("node", "node", "--driver", "fake", "--node-name", HOST, "--api-urls", urls)

    def end(self, name, how=signal.SIGTERM):
        p = self.running.pop(name)
        p.send_signal(how)
        p.wait(30)
        return p.returncode

    def one(self, n, method, path, body=None, headers=None, timeout=HANG_S):
        c = http.client.HTTPConnection("127.0.0.1", self.ports[n], timeout=timeout)
        began = time.monotonic()
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Reply(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        except TimeoutError as e:
            raise Failure(f"{method} {path} hangs for {timeout} s") from e
        finally:
            c.close()
            with self.lock:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def raw(self, method, path, body=None, headers=None):
        """For Session: to the next process; an error is 503 and says when to come again."""
        with self.lock:
            self.turn += 1
            n = self.turn % len(self.ports)
        r = self.one(n, method, path, body, headers)
        check(r.status not in (500, 502, 504), f"{method} {path}: {r.status} {r.body[:300]}")
        check(r.status != 503 or "retry-after" in r.headers, f"{method} {path}: 503 without Retry-After")
        return r

    def healthy(self, n):
        try:
            return self.one(n, "GET", "/healthz", timeout=20).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def clean(self):
        for name in list(self.running):
            self.end(name, signal.SIGKILL)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


class Worker(threading.Thread):
    """Creates servers and deletes each second one; whatever was acknowledged must come true."""

    def __init__(self, session, name, body, until):
        super().__init__(name=name)
        self.s, self.body, self.until = session, body, until
        self.kept, self.deleted, self.failure = [], [], None

    def create(self, name):
        """A lost answer is settled by looking for the name."""
        while True:
            try:
                r = self.s.call("POST", "/compute/v2.1/servers", {"server": {**self.body, "name": name}})
                if r.status == 202:
                    return r.json["server"]["id"]
                check(r.status == 503, f"create: {r.status} {r.body[:300]}")
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
            found = self.s.retry("GET", f"/compute/v2.1/servers?name=^{name}$", timeout_s=60).json["servers"]
            if found:
                return found[0]["id"]

    def run(self):
        try:
            n = 0
            while not self.until.is_set():
                n += 1
                server = self.create(f"{self.name}-{n}")
                if n % 2:
                    self.kept.append(server)
                    continue
                r = self.s.retry("DELETE", f"/compute/v2.1/servers/{server}", timeout_s=60)
                check(r.status in (204, 404), f"delete: {r.status} {r.body[:300]}")
                self.deleted.append(server)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e


class Cloud:
    """What the tests share: made by the first, used by the others."""
    region = postgres = admin = server = None


def set_up():
    r, c = Region(), Cloud
    c.region, c.postgres = r, Postgres()
    r.run("admin", "bootstrap", "--data", r.data, "--bootstrap-password", r.admin_password, "--demo-password", r.demo_password)
    secret = re.search(r"secret, shown this once: (\S+)", r.run("admin", "host-add", "--data", r.data, HOST))[1]
    with open(f"{r.data}/node/secret", "w", encoding="ascii") as f:
        f.write(secret)
    r.start_api(0)


def moving():
    """A region that lives in SQLite goes on in PostgreSQL."""
    r, c = Cloud.region, Cloud
    # SQLite is for one: a second one says so instead of missing what the first one does.
    second = r.run("api", "--data", r.data, "--listen", f"127.0.0.1:{r.ports[1]}", status=1)
    check("several need PostgreSQL" in second, second)
    single = Session(r, "admin", r.admin_password, "admin")
    r.ports, ports = r.ports[:1], r.ports
    image = single.image("tiny", b"an image's bytes" * 1000)
    before = single.must(200, "GET", "/image/v2/images")["images"]
    move = ["admin", "migrate-state", "--from", r.state, "--to", c.postgres.url]
    busy = r.run(*move, status=1)
    check("stop every" in busy, busy)
    check(r.end("api0") == 0, "api 0 did not end well")
    said = r.run(*move)
    check("counts and checksums agree" in said, said)
    old = r.run("api", "--data", r.data, "--listen", f"127.0.0.1:{r.ports[0]}", status=1)
    check("has been moved" in old, old)
    r.state, r.ports = c.postgres.url, ports
    r.start_api(0)
    r.start_api(1)
    c.admin = single  # its token, too, was moved
    check(c.admin.must(200, "GET", "/image/v2/images")["images"] == before, "the images are not those of before")
    network, _ = c.admin.network("net", "10.1.0.0/16")
    c.server = {"imageRef": image, "flavorRef": c.admin.flavor("m1.tiny"), "networks": [{"uuid": network}]}
    quota = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
    c.admin.authenticate()
    c.admin.must(200, "PUT", f"/compute/v2.1/os-quota-sets/{c.admin.project_id}", quota)
    c.admin.must(200, "PUT", f"/network/v2.0/quotas/{c.admin.project_id}", {"quota": {"port": -1}})


def wakes():
    """A long poll at one process ends by what is committed at the other."""
    r, s = Cloud.region, Cloud.admin
    with open(f"{r.data}/node/secret", encoding="ascii") as f:
        headers = {"Authorization": f"Bearer {f.read()}"}
    r.one(0, "PUT", f"/node/v1/hosts/{HOST}", json.dumps({"vcpus": 64, "memory_mib": 1 << 20, "disk_gib": 1 << 20}),
          {**headers, "Content-Type": "application/json"})
    items = f"/node/v1/hosts/{HOST}/items"
    seen = r.one(0, "GET", f"{items}?since=0", headers=headers).json["revision"]
    got = {}

    def poll():
        began = time.monotonic()
        got["reply"] = r.one(0, "GET", f"{items}?since={seen}&wait=60", headers=headers, timeout=90)
        got["after_s"] = time.monotonic() - began
    t = threading.Thread(target=poll)
    t.start()
    wait_for("the poll is parked", lambda: re.search(rb"^colvert_http_parked 1$", r.one(0, "GET", "/metrics").body, re.M))
    made = r.one(1, "POST", "/compute/v2.1/servers", json.dumps({"server": {**Cloud.server, "name": "waker"}}),
                 {"X-Auth-Token": s.token, "Content-Type": "application/json"})
    check(made.status == 202, f"create: {made.status} {made.body[:300]}")
    t.join()
    check(got["reply"].status == 200 and got["reply"].json["items"], f"the poll: {got['reply'].body[:300]}")
    check(got["after_s"] < 50, "the poll was not woken, its time was over")
    r.start_node()
    server = made.json["server"]["id"]
    s.wait_status(server, "ACTIVE")
    s.retry("DELETE", f"/compute/v2.1/servers/{server}")
    wait_for("it is gone", lambda: s.status(server) == "HTTP 404")


def under_load(trouble):
    r, until = Cloud.region, threading.Event()
    workers = [Worker(Session(r, "admin", r.admin_password, "admin"), f"{trouble.__name__}-{i}", Cloud.server, until)
               for i in range(3)]
    for w in workers:
        w.start()
    try:
        wait_for("servers are made", lambda: all(len(w.kept) >= 2 or w.failure for w in workers))
        trouble()
        made = [len(w.kept) for w in workers]
        wait_for("servers are made again", lambda: all(len(w.kept) >= n + 2 or w.failure for w, n in zip(workers, made)))
    finally:
        until.set()
        for w in workers:
            w.join()
    for w in workers:
        if w.failure:
            raise Failure(f"{w.name}: {w.failure}") from w.failure
    s = Cloud.admin
    kept = [x for w in workers for x in w.kept]
    for server in kept:
        s.wait_status(server, "ACTIVE", 60)
    for server in (x for w in workers for x in w.deleted):
        wait_for(f"server {server} is gone", lambda i=server: s.status(i) == "HTTP 404", 60)
    # A create whose answer was lost may have been made twice: it must be as well as the others.
    for server in s.retry("GET", "/compute/v2.1/servers").json["servers"]:
        s.wait_status(server["id"], "ACTIVE", 60)
        check(s.retry("DELETE", f"/compute/v2.1/servers/{server['id']}", timeout_s=60).status in (204, 404), "delete")
    wait_for("all are gone", lambda: not s.retry("GET", "/compute/v2.1/servers").json["servers"], 60)
    ports = s.retry("GET", "/network/v2.0/ports?device_owner=compute:nova").json["ports"]
    check(not ports, f"{len(ports)} ports are left over")
    print(f"        {len(kept)} servers kept, slowest request so far {r.slowest_s:.1f} s", flush=True)


def killed_api():
    """One process of two is killed under load; the other does its work, the agent's too; then it is back."""
    r = Cloud.region

    def one_is_killed():
        r.end("api0", signal.SIGKILL)
        time.sleep(2)
        r.start_api(0)
    under_load(one_is_killed)


def standing_postgres():
    """PostgreSQL answers nothing for a while, and then goes on."""
    def it_stands_still():
        Cloud.postgres.stand_still(STALL_S)
    under_load(it_stands_still)


def crashed_postgres():
    """PostgreSQL crashes, is away for a while, and recovers."""
    def it_crashes():
        Cloud.postgres.crash()
        time.sleep(STALL_S / 2)
        Cloud.postgres.start()
    under_load(it_crashes)


def moving_back():
    """All of it returns to a file."""
    r = Cloud.region
    check(not [p.poll() for p in r.running.values() if p.poll() is not None], "a process ended by itself")
    images = Cloud.admin.must(200, "GET", "/image/v2/images")["images"]
    for name in list(r.running):
        check(r.end(name) == 0, f"{name} did not end well")
    file = f"{r.data}/control/back.db"
    said = r.run("admin", "migrate-state", f"--from={r.state}", f"--to=sqlite:{file}")
    check("counts and checksums agree" in said, said)
    check(sqlite3.connect(file).execute("PRAGMA foreign_key_check").fetchall() == [], "references to nothing")
    r.state = f"sqlite:{file}"
    r.start_api(0)
    r.ports = r.ports[:1]
    check(Cloud.admin.must(200, "GET", "/image/v2/images")["images"] == images, "the images are not those of before")


if __name__ == "__main__":
    if "COLVERT_TEST_POSTGRES" not in os.environ:
        os.execv(f"{TOP}/tests/with-postgres", ["with-postgres", sys.executable, *sys.argv])
    try:
        set_up()
        main(moving, wakes, killed_api, standing_postgres, crashed_postgres, moving_back)
    finally:
        Cloud.region.clean()
        Cloud.postgres.stop()
