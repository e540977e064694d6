# SPDX-License-Identifier: EUPL-1.2
"""Bad input gets each service's own error shape, a status that fits, and words that help."""
import json
import os
import socket
import subprocess
import tempfile

from cloud import Cloud, check, main, wait_for

UNKNOWN = "5b0c0d2e-0000-4000-8000-123456789abc"


def shape(service, r):
    """The message, if the body has the service's shape."""
    j = r.json
    check(isinstance(j, dict), f"no JSON object: {r.body[:200]}")
    if service == "identity":
        check(set(j) == {"error"} and {"code", "message", "title"} <= set(j["error"]), f"shape: {j}")
        check(j["error"]["code"] == r.status, f"code: {j}")
        return j["error"]["message"]
    if service == "network":
        check(set(j) == {"NeutronError"} and {"type", "message", "detail"} == set(j["NeutronError"]), f"shape: {j}")
        return j["NeutronError"]["message"]
    if service == "image":
        check({"message", "code", "title"} <= set(j), f"shape: {j}")
        return j["message"]
    if service == "placement":
        check(set(j) == {"errors"} and {"status", "title", "detail", "code", "request_id"} <= set(j["errors"][0]), f"shape: {j}")
        check(j["errors"][0]["status"] == r.status, f"status: {j}")
        return j["errors"][0]["detail"]
    check(len(j) == 1, f"shape: {j}")
    (name, fault), = j.items()
    names = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
             409: "conflictingRequest", 413: "overLimit", 415: "badMediaType"}
    check(name == names.get(r.status, name) and fault["code"] == r.status and fault["message"], f"shape: {j}")
    return fault["message"]


def expect(status, service, r, *words):
    check(r.status == status, f"{r.status}, expected {status}: {r.body[:300]}")
    message = shape(service, r)
    for word in words:
        check(word.lower() in message.lower(), f"'{word}' is not in the message: {message}")


CREATE = {
    "identity": ("/identity/v3/projects", "project"), "image": ("/image/v2/images", None),
    "network": ("/network/v2.0/networks", "network"), "compute": ("/compute/v2.1/servers", "server"),
    "volume": ("/volume/v3/volumes", "volume"),
}


def everywhere():
    with Cloud("badinput") as cloud:
        admin, demo = cloud.login("admin"), cloud.login("demo")
        flavor = demo.flavor("m1.tiny")
        image = demo.image("good", os.urandom(1024))
        net, sub = demo.network("good", "10.6.0.0/24")
        for service, (path, name) in CREATE.items():
            s = admin if service == "identity" else demo

            def wrapped(body, name=name):
                return {name: body} if name else body
            expect(400, service, s.call("POST", path, '{"a": '), "json")
            expect(400, service, s.call("POST", path, ""))
            expect(400, service, s.call("POST", path, "[]"))
            expect(400, service, s.call("POST", path, '{"x": 1, "x": 2}'))
            good = {"name": "n", "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": net}]} if service == "compute" else {"name": "n"}
            if service == "volume":
                good["size"] = 1
            if service in ("network", "compute"):
                expect(400, service, s.post(path, wrapped({**good, "no_such_member": 1})), "no_such_member")
            expect(400, service, s.post(path, wrapped({**good, "name": 12345})), "name")
            expect(400, service, s.post(path, wrapped({**good, "name": "x" * 300})), "name")
            r = s.call("POST", path, json.dumps(wrapped({**good, "name": "x" * (3 << 20)})))
            check(r.status == 413, f"{service}: 3 MiB of body: {r.status}")
            for bad in ("-1", "not-a-uuid", "9223372036854775808", UNKNOWN, "%00", "..%2f..%2fetc"):
                r = s.get(f"{path}/{bad}")
                check(r.status in (400, 404), f"GET {path}/{bad}: {r.status}")
            expect(404, service, s.get(f"{path}/{UNKNOWN}"))
            r = cloud.raw("GET", path)
            expect(401, service, r)
            check("www-authenticate" in r.headers, "401 without WWW-Authenticate")
            expect(401, service, cloud.raw("GET", path, headers={"X-Auth-Token": "forged"}))
            parts = s.token.split(".")
            for i in range(len(parts)):
                altered = list(parts)
                altered[i] = altered[i][:-4] + ("AAAA" if altered[i][-4:] != "AAAA" else "BBBB")
                expect(401, service, cloud.raw("GET", path, headers={"X-Auth-Token": ".".join(altered)}))
            expect(405, service, s.call("DELETE", path))
        refused(cloud, admin, demo, image, net, sub, flavor)


def refused(cloud, admin, demo, image, net, sub, flavor):
    # over quota
    p = demo.authenticate().project_id
    admin.must(200, "PUT", f"/compute/v2.1/os-quota-sets/{p}", {"quota_set": {"instances": 1}})
    server = demo.server(name="one", imageRef=image, flavorRef=flavor, networks=[{"uuid": net}])
    expect(403, "compute", demo.post("/compute/v2.1/servers", {"server": {
        "name": "two", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": net}]}}), "quota", "instances")
    admin.must(200, "PUT", f"/network/v2.0/quotas/{p}", {"quota": {"network": 1}})
    expect(409, "network", demo.post("/network/v2.0/networks", {"network": {"name": "more"}}), "quota", "network")
    # in use
    demo.wait_status(server, "ACTIVE")
    expect(409, "network", demo.delete(f"/network/v2.0/networks/{net}"), "in use")
    expect(409, "network", demo.delete(f"/network/v2.0/subnets/{sub}"))
    group = demo.must(200, "GET", "/network/v2.0/security-groups?name=default")["security_groups"][0]["id"]
    expect(409, "network", demo.delete(f"/network/v2.0/security-groups/{group}"))
    # names that must be unique
    demo.must(200, "POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "twice"}})
    expect(409, "compute", demo.post("/compute/v2.1/os-keypairs", {"keypair": {"name": "twice"}}), "twice")
    expect(409, "identity", admin.post("/identity/v3/projects", {"project": {"name": "demo"}}), "demo")
    expect(409, "network", demo.post("/network/v2.0/security-groups", {"security_group": {"name": "default"}}), "default")
    # another's business
    expect(403, "identity", demo.get("/identity/v3/users"))
    expect(403, "compute", demo.get("/compute/v2.1/os-hypervisors"))
    expect(403, "network", demo.post("/network/v2.0/networks", {"network": {"name": "x", "router:external": True}}))
    wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
        "name": "demo", "domain": {"id": "default"}, "password": cloud.demo_password}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}
    expect(401, "identity", cloud.raw("POST", "/identity/v3/auth/tokens", json.dumps(wrong), {"Content-Type": "application/json"}))
    images(cloud, demo)
    # logged out
    gone = cloud.login("demo").authenticate()
    gone.must(204, "DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": gone.token})
    expect(401, "compute", gone.get("/compute/v2.1/servers"))


def images(cloud, demo):
    with tempfile.TemporaryDirectory() as d:
        for name, options in (("backed", ["-b", f"{d}/base.qcow2", "-F", "qcow2"]), ("outside", ["-o", f"data_file={d}/outside.raw"])):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{d}/base.qcow2", "16M"], check=True)
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, f"{d}/{name}.qcow2", "16M"], check=True)
            with open(f"{d}/{name}.qcow2", "rb") as f:
                data = f.read()
            i = demo.must(201, "POST", "/image/v2/images", {"name": name, "disk_format": "qcow2", "container_format": "bare"})["id"]
            r = demo.call("PUT", f"/image/v2/images/{i}/file", data, headers={"Content-Type": "application/octet-stream"})
            expect(400, "image", r, "qcow2")
            check(demo.get(f"/image/v2/images/{i}").json["status"] == "queued", "a refused image is not queued any more")
    expect(400, "image", demo.post("/image/v2/images", {"name": "x", "disk_format": "floppy", "container_format": "bare"}), "floppy")
    # cut off in the middle
    i = demo.must(201, "POST", "/image/v2/images", {"name": "cut", "disk_format": "raw", "container_format": "bare"})["id"]
    with socket.create_connection(("127.0.0.1", cloud.port)) as s:
        s.sendall((f"PUT /image/v2/images/{i}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {demo.token}\r\n"
                   "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n").encode() + b"x" * 5000)
    image = demo.get(f"/image/v2/images/{i}").json
    check(image["status"] == "queued" and image["size"] is None, f"a cut upload left {image}")
    r = demo.call("PUT", f"/image/v2/images/{i}/file", b"whole", headers={"Content-Type": "application/octet-stream"})
    check(r.status == 204 and demo.get(f"/image/v2/images/{i}").json["size"] == 5, "it can't be uploaded again")
    check(not [f for f in os.listdir(f"{cloud.data}/control/images") if os.path.getsize(f"{cloud.data}/control/images/{f}") == 5000],
          "the cut upload's file is left")


def expired_token():
    with Cloud("expired", options=["--token-ttl-s", "2"]) as cloud:
        s = cloud.login("demo").authenticate()
        check(s.get("/image/v2/images").status == 200, "a fresh token is refused")
        wait_for("the token has expired", lambda: s.get("/image/v2/images").status == 401, 10)
        expect(401, "image", s.get("/image/v2/images"))
        expect(401, "compute", s.get("/compute/v2.1/servers"))


if __name__ == "__main__":
    main(everywhere, expired_token)
