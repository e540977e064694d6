# SPDX-License-Identifier: EUPL-1.2
"""What the rows run against: an OpenStack's endpoints, of a Colvert of the bench's own or of another cloud."""
import http.client
import json
import os
import socket
import sys
import time
import urllib.parse

from cloud import Failure, check

JSON = {"Content-Type": "application/json"}
# What a service is called in a catalogue, and where its API begins below the endpoint's address.
SERVICES = {"identity": (("identity",), "v3"), "compute": (("compute",), ""), "network": (("network",), "v2.0"),
            "image": (("image",), "v2"), "volume": (("block-storage", "volumev3"), "")}


def settings_of(environ):
    """OS_CLOUD's entry of clouds.yaml, or the OS_* variables: what the stock clients take, of password log-ins."""
    if environ.get("OS_CLOUD"):
        try:
            import yaml
        except ImportError:
            sys.exit("OS_CLOUD needs python3-yaml: apt-get install python3-yaml")
        places = [environ.get("OS_CLIENT_CONFIG_FILE"), "clouds.yaml", os.path.expanduser("~/.config/openstack/clouds.yaml"),
                  "/etc/openstack/clouds.yaml"]
        path = next((p for p in places if p and os.path.exists(p)), None)
        check(path, "OS_CLOUD is set, and there is no clouds.yaml")
        with open(path, encoding="utf-8") as f:
            cloud = yaml.safe_load(f)["clouds"].get(environ["OS_CLOUD"])
        check(cloud, f"{path} has no cloud {environ['OS_CLOUD']}")
        return {**cloud["auth"], "region_name": cloud.get("region_name")}
    names = ("auth_url", "username", "password", "project_name", "project_id", "user_domain_name", "user_domain_id",
             "project_domain_name", "project_domain_id", "region_name")
    return {n: environ.get(f"OS_{n.upper()}") for n in names}


def domain(s, kind):
    if s.get(f"{kind}_domain_id"):
        return {"id": s[f"{kind}_domain_id"]}
    return {"name": s.get(f"{kind}_domain_name") or "Default"}


class Stack:
    """label names its column; pids are its processes, where they run on this machine and CPU time is to be had."""

    def __init__(self, label, settings, pids=()):
        check(settings.get("auth_url") and settings.get("username") and settings.get("password"),
              "which OpenStack? auth_url, username and password are needed (OS_CLOUD, or OS_AUTH_URL, …)")
        self.label, self.settings, self.pids = label, settings, list(pids)
        self.made = []  # (service, path) of what is to be deleted, newest last
        self.kept = {}
        self.authenticate()

    def login_body(self):
        s = self.settings
        user = {"name": s["username"], "password": s["password"], "domain": domain(s, "user")}
        project = {"id": s["project_id"]} if s.get("project_id") else {"name": s["project_name"], "domain": domain(s, "project")}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}}

    def auth_url(self):
        url = self.settings["auth_url"].rstrip("/")
        return url if url.endswith("/v3") else url + "/v3"

    def authenticate(self):
        status, headers, body = self.exchange("POST", self.auth_url() + "/auth/tokens", json.dumps(self.login_body()), JSON)
        check(status == 201, f"log-in at {self.auth_url()}: {status} {body[:300]}")
        self.token = headers["x-subject-token"]
        token = json.loads(body)["token"]
        self.project_id, self.endpoints = token["project"]["id"], {}
        region = self.settings.get("region_name")
        for name, (types, root) in SERVICES.items():
            for entry in token["catalog"]:
                for e in entry["endpoints"] if entry["type"] in types else ():
                    if e["interface"] == "public" and region in (None, e["region_id"], e.get("region")):
                        url = e["url"].rstrip("/")
                        self.endpoints[name] = url if not root or url.endswith("/" + root) else f"{url}/{root}"
        self.endpoints["identity"] = self.auth_url()

    def url(self, service, path=""):
        check(service in self.endpoints, f"{self.label} has no {service} service")
        return self.endpoints[service] + path

    def connection(self, url):
        """Kept, one for each address: for steps whose time is measured."""
        u = urllib.parse.urlsplit(url)
        if u.netloc not in self.kept:
            kind = http.client.HTTPSConnection if u.scheme == "https" else http.client.HTTPConnection
            self.kept[u.netloc] = kind(u.netloc, timeout=120)
        return self.kept[u.netloc], u.path + (f"?{u.query}" if u.query else "")

    def exchange(self, method, url, body=None, headers=None):
        for last in (False, True):
            connection, path = self.connection(url)
            try:
                connection.request(method, path, body, headers or {})
                r = connection.getresponse()
                return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                connection.close()  # it was kept too long
                if last:
                    raise

    def call(self, method, service, path, body=None, expect=None):
        status, _, data = self.exchange(method, self.url(service, path), json.dumps(body) if body is not None else None,
                                        {"X-Auth-Token": self.token, **JSON})
        check(expect is None or status in (expect if isinstance(expect, tuple) else (expect,)),
              f"{self.label}: {method} {self.url(service, path)}: {status} {data[:300]}")
        return status, json.loads(data) if data[:1] in (b"{", b"[") else None

    def make(self, service, path, body, expect=201):
        """POST of one thing that clean() deletes; its members."""
        _, got = self.call("POST", service, path, body, expect)
        kind = next(iter(body)) if len(body) == 1 else None
        got = got[kind] if kind in got else got
        self.made.append((service, f"{path}/{got['id']}"))
        return got

    def gone(self, service, path, timeout_s=120):
        end = time.monotonic() + timeout_s
        while self.call("GET", service, path)[0] != 404:
            check(time.monotonic() < end, f"{self.label}: {path} stays")
            time.sleep(0.002 if self.pids else 0.1)

    def clean(self):
        """Newest first; what is used by something that is still going is asked for again."""
        self.authenticate()
        for service, path in reversed(self.made):
            end = time.monotonic() + 120
            while True:
                status = self.call("DELETE", service, path)[0]
                if status in (404,) or (status < 300 and service not in ("compute", "volume")):
                    break
                if time.monotonic() > end:
                    print(f"{self.label}: {service} {path} could not be deleted: {status}", file=sys.stderr)
                    break
                time.sleep(0.05)
        self.made = []

    # ------------------------------------------------------------ streams

    def stream_connection(self, url):
        u = urllib.parse.urlsplit(url)
        check(u.scheme == "http", f"{url}: images are streamed over plain HTTP only")
        s = socket.create_connection((u.hostname, u.port or 80), 600)
        return s, u

    def upload(self, service, path, file_path):
        """Seconds of one PUT of the file, by sendfile."""
        s, u = self.stream_connection(self.url(service, path))
        with s, open(file_path, "rb") as f:
            began = time.perf_counter()
            s.sendall(f"PUT {u.path} HTTP/1.1\r\nHost: {u.netloc}\r\nX-Auth-Token: {self.token}\r\nContent-Type: application/octet-stream"
                      f"\r\nContent-Length: {os.path.getsize(file_path)}\r\nConnection: close\r\n\r\n".encode())
            s.sendfile(f)
            answer = s.recv(65536)
            took = time.perf_counter() - began
        check(b" 204 " in answer.split(b"\r\n")[0], f"{self.label}: upload: {answer[:300]}")
        return took

    def download(self, service, path, size):
        """Seconds until all of the body came; it is dropped."""
        s, u = self.stream_connection(self.url(service, path))
        with s:
            began = time.perf_counter()
            s.sendall(f"GET {u.path} HTTP/1.1\r\nHost: {u.netloc}\r\nX-Auth-Token: {self.token}\r\nConnection: close\r\n\r\n".encode())
            return drain(s, size, began)


def drain(s, size, began):
    head, room = b"", bytearray(1 << 20)
    while b"\r\n\r\n" not in head:
        got = s.recv(65536)
        if not got:
            raise Failure(f"download: {head[:300]}")
        head += got
    check(head.startswith(b"HTTP/1.1 200"), f"download: {head[:300]}")
    n = len(head) - head.index(b"\r\n\r\n") - 4
    while n < size:
        got = s.recv_into(room)
        check(got > 0, f"download: it ended after {n} of {size} bytes")
        n += got
    return time.perf_counter() - began
