# SPDX-License-Identifier: EUPL-1.2
"""The contract that the program declares (colvert schema openapi), held against the program that runs.

Every route is called: without a token, by the wrong role, with ids that don't exist, with a broken body. Every answer has a
declared status and its service's error shape; what lists show is what the tables declare; no route is left out.
"""
import json
import re
import subprocess

from bad_input import UNKNOWN, shape
from cloud import Cloud, check, main

VERBS = ("get", "head", "post", "put", "patch", "delete")
FAMILIES = {"identity": "identity", "image": "image", "network": "network", "compute": "compute", "volume": "volume", "placement": "placement"}
MAJOR = {"compute": 2, "volume": 3, "placement": 1}
# Members that come with a page, not from a table.
AROUND = {"links", "first", "next", "schema"}


def declared(cloud):
    out = subprocess.run([cloud.colvert, "schema", "openapi"], capture_output=True, check=True).stdout
    return json.loads(out)


def routes(api):
    for path, verbs in api["paths"].items():
        for verb in VERBS:
            if verb in verbs:
                yield verb.upper(), path, verbs[verb]


def filled(path, project=UNKNOWN):
    """Cinder's paths begin with the token's project, where they name one."""
    return re.sub(r"\{[^}]*\}", UNKNOWN, path.replace("/volume/v3/{project_id}", f"/volume/v3/{project}"))


def service_of(path):
    if path == "/console/websocket":
        return "compute"
    return FAMILIES.get(path.split("/")[1], "identity")


def version_header(path, o):
    """The version that brought the route."""
    service, since = service_of(path), o.get("x-since-microversion")
    return {"OpenStack-API-Version": f"{service} {MAJOR[service]}.{since}"} if since else {}


def call(cloud, method, path, o, token=None, body=None):
    headers = {"Content-Type": "application/json", **version_header(path, o)}
    if token:
        headers["X-Auth-Token"] = token
    return cloud.raw(method, path, body, headers)


def expect_error(method, path, r, statuses):
    check(r.status in statuses, f"{method} {path}: {r.status}, expected one of {statuses}: {r.body[:300]}")
    if method != "HEAD" and r.status >= 400:
        shape(service_of(path), r)


def no_token(cloud, api):
    for method, path, o in routes(api):
        if o["x-rule"] != "public":
            expect_error(method, filled(path), call(cloud, method, filled(path), o, body="{}" if method in ("POST", "PUT", "PATCH") else None),
                         (401,))


def wrong_role(cloud, api):
    member = cloud.login("demo").authenticate().token
    for method, path, o in routes(api):
        if o["x-rule"] == "admin":
            expect_error(method, filled(path), call(cloud, method, filled(path), o, member, "{}" if method in ("POST", "PUT", "PATCH") else None),
                         (403,))
        if o["x-rule"] == "agent":
            expect_error(method, filled(path), call(cloud, method, filled(path), o, member, "{}" if method != "GET" else None), (401,))


def unknown_ids(cloud, api):
    """As administrator, who may do all: what does not exist is said so, and nothing is ever a fault of the server."""
    login = cloud.login("admin").authenticate()
    admin, project = login.token, login.project_id
    for method, path, o in routes(api):
        if o["x-rule"] == "agent":
            continue
        for body in ([None] if method in ("GET", "HEAD", "DELETE") else ["{}", "[]", '{"x": 1}', "{", "null", '"text"']):
            if path.endswith("/auth/tokens") and method == "DELETE":
                continue  # would end this token
            r = call(cloud, method, filled(path, project), o, admin, body)
            check(r.status < 500 or r.status == 501, f"{method} {path} {body}: {r.status} {r.body[:300]}")
            if r.status >= 400 and method != "HEAD":
                shape(service_of(path), r)
            if "{" in path and method == "DELETE" and "quota" not in path:
                check(r.status in (404, 400, 409, 410), f"DELETE of what does not exist: {path}: {r.status} {r.body[:200]}")
            if body and method in ("POST", "PUT", "PATCH") and body == "{" and r.status < 400:
                raise AssertionError(f"{method} {path} took broken JSON: {r.status}")


def members_of(api, schema):
    while "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def lists_are_declared(cloud, api):
    """A list's members are declared: what is shown beyond is a row that the table does not know."""
    demo = cloud.login("demo").authenticate()
    seen = 0
    for method, path, o in routes(api):
        content = o["responses"].get("200", {}).get("content", {})
        if method != "GET" or "{" in path or not content or o["x-rule"] not in ("project reader", "project member"):
            continue
        declared_page = members_of(api, next(iter(content.values()))["schema"]).get("properties", {})
        r = demo.call("GET", path, headers=version_header(path, o))
        check(r.status == 200, f"GET {path}: {r.status} {r.body[:200]}")
        for key, value in r.json.items():
            if not isinstance(value, list) or key.endswith("_links") or key not in declared_page:
                continue
            row = members_of(api, members_of(api, declared_page[key]).get("items", {}))
            if "properties" not in row or row.get("additionalProperties"):
                continue
            for item in value:
                extra = set(item) - set(row["properties"]) - AROUND
                check(not extra, f"GET {path} shows undeclared {sorted(extra)}")
                seen += 1
    check(seen > 5, f"only {seen} listed rows were looked at")


def every_route_answered(cloud, api):
    text = cloud.raw("GET", "/metrics").body.decode()
    answered = set(re.findall(r'colvert_api_answers_total\{service="[^"]*",method="([A-Z]+)",route="([^"]*)"', text))
    missing = [f"{m} {p}" for m, p, _ in routes(api) if (m, p) not in answered and not p.startswith("/metrics")]
    check(not missing, f"never answered: {missing[:10]}")


def contract():
    with Cloud("contract", options=["--argon2-mem-kib", "8192"]) as cloud:
        api = declared(cloud)
        check(sum(1 for _ in routes(api)) > 200, "hardly any route is declared")
        demo = cloud.login("demo")
        image = demo.image("contract", b"x" * 4096)
        net, _ = demo.network("contract", "10.8.0.0/24")
        demo.wait_status(demo.server(name="contract", imageRef=image, flavorRef=demo.flavor("m1.tiny"), networks=[{"uuid": net}]),
                         "ACTIVE")
        no_token(cloud, api)
        wrong_role(cloud, api)
        unknown_ids(cloud, api)
        lists_are_declared(cloud, api)
        every_route_answered(cloud, api)


if __name__ == "__main__":
    main(contract)
