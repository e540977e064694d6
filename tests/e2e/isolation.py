# SPDX-License-Identifier: EUPL-1.2
"""Two tenants with the same subnet and the same addresses: neither reads, lists, changes or reaches anything of the other."""
import json
import os
import subprocess

from cloud import Cloud, check, main, wait_for

CIDR = "10.5.0.0/24"


def available(s, kind, i):
    wait_for(f"{kind} {i} is available",
             lambda: s.get(f"/volume/v3/{kind}/{i}").json[kind[:-1]]["status"] == "available", 60)


def furnish(s, name, image_data, disk_format="raw", flavor="m1.tiny"):
    """One of each thing that a tenant can own: kind → (path, id)."""
    own = {}
    image = s.image(f"{name}-image", image_data, disk_format)
    s.call("PATCH", f"/image/v2/images/{image}", [{"op": "replace", "path": "/visibility", "value": "private"}],
           headers={"Content-Type": "application/openstack-images-v2.1-json-patch"})
    net, sub = s.network(f"{name}-net", CIDR)
    group = s.must(201, "POST", "/network/v2.0/security-groups", {"security_group": {"name": f"{name}-group"}})["security_group"]
    rule = s.must(201, "POST", "/network/v2.0/security-group-rules",
                  {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", "protocol": "icmp"}})
    public = s.must(200, "GET", "/network/v2.0/networks?router:external=True")["networks"][0]["id"]
    router = s.must(201, "POST", "/network/v2.0/routers",
                    {"router": {"name": f"{name}-router", "external_gateway_info": {"network_id": public}}})["router"]["id"]
    s.must(200, "PUT", f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": sub})
    port = s.must(201, "POST", "/network/v2.0/ports", {"port": {
        "network_id": net, "fixed_ips": [{"subnet_id": sub, "ip_address": "10.5.0.77"}]}})["port"]["id"]
    fip = s.must(201, "POST", "/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public}})["floatingip"]["id"]
    pool = s.must(201, "POST", "/network/v2.0/subnetpools",
                  {"subnetpool": {"name": f"{name}-pool", "prefixes": ["10.64.0.0/16"]}})["subnetpool"]["id"]
    s.must(200, "POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "same-name"}})
    server = s.server(name=f"{name}-server", imageRef=image, flavorRef=s.flavor(flavor), networks=[{"uuid": net}],
                      metadata={"secret": name})
    s.wait_status(server, "ACTIVE")
    volume = s.must(202, "POST", "/volume/v3/volumes", {"volume": {
        "size": 1, "name": f"{name}-volume", "metadata": {"secret": name}}})["volume"]["id"]
    available(s, "volumes", volume)
    snapshot = s.must(202, "POST", "/volume/v3/snapshots", {"snapshot": {
        "volume_id": volume, "name": f"{name}-snapshot"}})["snapshot"]["id"]
    available(s, "snapshots", snapshot)
    own["volumes"] = ("/volume/v3/volumes", volume)
    own["snapshots"] = ("/volume/v3/snapshots", snapshot)
    own["images"] = ("/image/v2/images", image)
    own["networks"] = ("/network/v2.0/networks", net)
    own["subnets"] = ("/network/v2.0/subnets", sub)
    own["ports"] = ("/network/v2.0/ports", port)
    own["security_groups"] = ("/network/v2.0/security-groups", group["id"])
    own["security_group_rules"] = ("/network/v2.0/security-group-rules", rule["security_group_rule"]["id"])
    own["routers"] = ("/network/v2.0/routers", router)
    own["floatingips"] = ("/network/v2.0/floatingips", fip)
    own["subnetpools"] = ("/network/v2.0/subnetpools", pool)
    own["servers"] = ("/compute/v2.1/servers", server)
    return own


BODIES = {
    "networks": {"network": {"name": "taken"}}, "subnets": {"subnet": {"name": "taken"}}, "ports": {"port": {"name": "taken"}},
    "security_groups": {"security_group": {"name": "taken"}}, "routers": {"router": {"name": "taken"}},
    "floatingips": {"floatingip": {"port_id": None}}, "subnetpools": {"subnetpool": {"name": "taken"}},
    "servers": {"server": {"name": "taken"}}, "volumes": {"volume": {"name": "taken"}}, "snapshots": {"snapshot": {"name": "taken"}},
}
BELOW = {
    "images": ["/file", "/members"], "servers": ["/metadata", "/ips", "/os-instance-actions", "/os-interface", "/os-security-groups"],
    "volumes": ["/metadata", "/metadata/secret"], "snapshots": ["/metadata"],
    "networks": [], "subnets": [], "ports": [], "routers": [], "floatingips": [], "subnetpools": [],
    "security_groups": [], "security_group_rules": [],
}


def looks_absent(s, foreign):
    """Every verb on every foreign id is 404, exactly as for an id that does not exist."""
    for kind, (path, i) in foreign.items():
        calls = [("GET", f"{path}/{i}", None), ("DELETE", f"{path}/{i}", None)]
        if kind in BODIES:
            calls.append(("PUT", f"{path}/{i}", BODIES[kind]))
        calls += [("GET", f"{path}/{i}{sub}", None) for sub in BELOW[kind]]
        if kind == "servers":
            calls += [("POST", f"{path}/{i}/action", {"os-stop": None}), ("POST", f"{path}/{i}/action", {"reboot": {"type": "HARD"}}),
                      ("POST", f"{path}/{i}/action", {"os-getConsoleOutput": {}})]
        if kind == "volumes":
            calls += [("POST", f"{path}/{i}/action", {"os-extend": {"new_size": 2}}), ("POST", f"{path}/{i}/action", {"os-reserve": {}}),
                      ("POST", f"{path}/{i}/action", {"os-volume_upload_image": {"image_name": "taken"}})]
        if kind == "routers":
            calls.append(("PUT", f"{path}/{i}/add_router_interface", {"subnet_id": foreign["subnets"][1]}))
        for method, url, body in calls:
            r = s.call(method, url, body)
            check(r.status == 404, f"{method} {url} ({kind} of another tenant): {r.status} {r.body[:200]}")
            ghost = s.call(method, url.replace(i, "5b0c0d2e-0000-4000-8000-123456789abc"), body)
            check(ghost.status == 404, f"{method} {url} with an unknown id: {ghost.status}")
            same = r.body.replace(i.encode(), b"ID") == ghost.body.replace(b"5b0c0d2e-0000-4000-8000-123456789abc", b"ID")
            check(same, f"{method} {url}: a foreign id answers otherwise than an unknown one:\n{r.body}\n{ghost.body}")


def lists_nothing_of(s, foreign):
    ids = {i for _, i in foreign.values()}
    for path in sorted({p for p, _ in foreign.values()}) + ["/compute/v2.1/servers/detail", "/volume/v3/volumes/detail"]:
        for query in ["", "?limit=1000", f"?id={next(iter(ids))}", "?all_tenants=1", "?tenant_id=x"]:
            r = s.get(path + query)
            check(r.status in (200, 400, 403), f"GET {path}{query}: {r.status}")
            listed = json.dumps([v for v in (r.json or {}).values() if isinstance(v, list)])  # links repeat the query
            for i in ids:
                check(i not in listed, f"GET {path}{query} shows {i} of another tenant")


def cannot_use(s, own, foreign):
    """Foreign things can't be named in one's own requests."""
    flavor = s.flavor("m1.tiny")
    attempts = [
        ("POST", "/network/v2.0/ports", {"port": {"network_id": foreign["networks"][1]}}),
        ("POST", "/network/v2.0/subnets", {"subnet": {"network_id": foreign["networks"][1], "cidr": "10.9.0.0/24", "ip_version": 4}}),
        ("PUT", f"/network/v2.0/routers/{own['routers'][1]}/add_router_interface", {"subnet_id": foreign["subnets"][1]}),
        ("PUT", f"/network/v2.0/routers/{own['routers'][1]}/add_router_interface", {"port_id": foreign["ports"][1]}),
        ("PUT", f"/network/v2.0/floatingips/{own['floatingips'][1]}", {"floatingip": {"port_id": foreign["ports"][1]}}),
        ("PUT", f"/network/v2.0/ports/{own['ports'][1]}", {"port": {"security_groups": [foreign["security_groups"][1]]}}),
        ("POST", "/network/v2.0/security-group-rules", {"security_group_rule": {
            "security_group_id": foreign["security_groups"][1], "direction": "ingress", "protocol": "tcp"}}),
        ("POST", "/network/v2.0/security-group-rules", {"security_group_rule": {
            "security_group_id": own["security_groups"][1], "direction": "ingress", "remote_group_id": foreign["security_groups"][1]}}),
        ("POST", "/compute/v2.1/servers", {"server": {"name": "x", "flavorRef": flavor, "imageRef": foreign["images"][1],
                                                      "networks": [{"uuid": own["networks"][1]}]}}),
        ("POST", "/compute/v2.1/servers", {"server": {"name": "x", "flavorRef": flavor, "imageRef": own["images"][1],
                                                      "networks": [{"uuid": foreign["networks"][1]}]}}),
        ("POST", "/compute/v2.1/servers", {"server": {"name": "x", "flavorRef": flavor, "imageRef": own["images"][1],
                                                      "networks": [{"port": foreign["ports"][1]}]}}),
        ("POST", "/volume/v3/volumes", {"volume": {"source_volid": foreign["volumes"][1]}}),
        ("POST", "/volume/v3/volumes", {"volume": {"snapshot_id": foreign["snapshots"][1]}}),
        ("POST", "/volume/v3/volumes", {"volume": {"size": 1, "imageRef": foreign["images"][1]}}),
        ("POST", "/volume/v3/snapshots", {"snapshot": {"volume_id": foreign["volumes"][1]}}),
        ("POST", "/volume/v3/os-volume-transfer", {"transfer": {"volume_id": foreign["volumes"][1]}}),
        ("POST", f"/compute/v2.1/servers/{own['servers'][1]}/os-volume_attachments",
         {"volumeAttachment": {"volumeId": foreign["volumes"][1]}}),
    ]
    for method, url, body in attempts:
        r = s.call(method, url, body)
        check(r.status in (400, 404), f"{method} {url} {body}: {r.status} {r.body[:200]}")


def both_ways(cloud, image_data, disk_format="raw"):
    admin = cloud.login("admin")
    one, two = admin.new_project("one"), admin.new_project("two")
    first, second = furnish(one, "one", image_data, disk_format), furnish(two, "two", image_data, disk_format)
    for s, own, foreign in ((one, first, second), (two, second, first)):
        looks_absent(s, foreign)
        lists_nothing_of(s, foreign)
        cannot_use(s, own, foreign)
    for s, own in ((one, first), (two, second)):
        for path, i in own.values():
            check(s.get(f"{path}/{i}").status == 200, f"{path}/{i} is gone or changed for its owner")
    return (one, first), (two, second)


def api_isolation():
    with Cloud("isolate") as cloud:
        both_ways(cloud, os.urandom(2048))


def guests_do_not_meet():
    """Real guests at the same address: each namespace reaches its own only, and no router leads across."""
    image = os.environ.get("IMAGE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/images/tiny.qcow2"))
    with open(image, "rb") as f:
        data = f.read()
    with Cloud("isolq", "qemu") as cloud:
        admin = cloud.login("admin")
        places = []
        for name in ("one", "two"):
            s = admin.new_project(name)
            image_id = s.image("tiny", data, "qcow2")
            net, sub = s.network(name, CIDR)
            group = s.must(200, "GET", "/network/v2.0/security-groups?name=default")["security_groups"][0]["id"]
            s.must(201, "POST", "/network/v2.0/security-group-rules",
                   {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "icmp"}})
            port = s.must(201, "POST", "/network/v2.0/ports", {"port": {
                "network_id": net, "fixed_ips": [{"subnet_id": sub, "ip_address": "10.5.0.10"}]}})["port"]
            server = s.server(name=f"{name}-guest", imageRef=image_id, flavorRef=s.flavor("m1.tiny"), networks=[{"port": port["id"]}])
            s.wait_status(server, "ACTIVE")
            places.append((s, net, port["mac_address"], server))
        for s, net, mac, server in places:
            ns = f"cv-n-{net[:11]}"
            wait_for(f"the guest of {s.project} answers in its network", lambda ns=ns: subprocess.run(
                ["ip", "netns", "exec", ns, "ping", "-c1", "-W1", "10.5.0.10"], capture_output=True, check=False).returncode == 0, 120, 1)
            seen = subprocess.run(["ip", "-n", ns, "neigh", "show", "10.5.0.10"], capture_output=True, text=True, check=True).stdout
            check(mac in seen, f"in the network of {s.project}, 10.5.0.10 is another's: {seen}")
        for s, _, _, server in places:
            s.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
        for s, _, _, server in places:
            wait_for("the guest is gone", lambda s=s, server=server: s.status(server) == "HTTP 404", 60)


if __name__ == "__main__":
    main(api_isolation, guests_do_not_meet)
