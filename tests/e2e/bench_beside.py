#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""The bench's rows against another OpenStack, which here is a second Colvert: both stand in one table, nothing is left."""
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from cloud import TOP, Cloud, check, main  # noqa: E402

LISTS = (("/compute/v2.1/servers", "servers"), ("/network/v2.0/ports", "ports"), ("/network/v2.0/networks", "networks"),
         ("/image/v2/images", "images"), ("/volume/v3/volumes", "volumes"))


def names(demo, path, kind):
    return [x["name"] for x in demo.must(200, "GET", path.replace("/v3/", f"/v3/{demo.project_id}/"))[kind]]


def run(cloud, **environ):
    figures = f"{cloud.dir}/figures"
    env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
    done = subprocess.run([f"{TOP}/bench/run", "--quick", "--json", figures], env={**env, **environ}, capture_output=True,
                          text=True, check=False)
    check(done.returncode == 0, f"bench/run ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    check(not done.stderr, f"a row failed: {done.stderr[-2000:]}")
    with open(figures, encoding="utf-8") as f:
        return done.stdout, json.load(f)


def beside_another():
    with Cloud("beside") as cloud:
        demo = cloud.login("demo").authenticate()
        before = {kind: names(demo, path, kind) for path, kind in LISTS}
        clouds = {"clouds": {"second": {"auth": {"auth_url": f"http://127.0.0.1:{cloud.port}/identity", "username": "demo",
                                                 "password": cloud.demo_password, "project_name": "demo"}}}}
        with open(f"{cloud.dir}/clouds.yaml", "w", encoding="utf-8") as f:
            json.dump(clouds, f)  # JSON is YAML
        shown, got = run(cloud, OS_CLOUD="second", OS_CLIENT_CONFIG_FILE=f"{cloud.dir}/clouds.yaml", OTHER_PIDS=str(cloud.up.pid))
        check("| second" in shown, "the other has no column")
        for name in ("password token, c1", "list 10 servers in detail", "port create, c4", "volume create → available",
                     "server create → ACTIVE", "server show, c4", "image upload, 16 MiB"):
            check(got["second"][name]["rounds"] and got["colvert"][name]["rounds"], f"{name}: not of both")
        check(got["second"]["list 10 servers in detail"]["rounds"][0]["cpu_ms"] > 0, "the other's CPU time is unknown")
        for path, kind in LISTS:
            check(names(demo, path, kind) == before[kind], f"{kind} are left")


def by_variables():
    """The stock variables, and an account with no room for the servers: the other rows are there."""
    with Cloud("beside") as cloud:
        admin = cloud.login("admin").authenticate()
        demo = cloud.login("demo").authenticate()
        admin.must(200, "PUT", f"/compute/v2.1/os-quota-sets/{demo.project_id}", {"quota_set": {"instances": 0}})
        env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
        done = subprocess.run([f"{TOP}/bench/run", "--quick", "--only", "servers"], capture_output=True, text=True, check=False,
                              env={**env, "OS_AUTH_URL": f"http://127.0.0.1:{cloud.port}/identity/v3", "OS_USERNAME": "demo",
                                   "OS_PASSWORD": cloud.demo_password, "OS_PROJECT_NAME": "demo", "OS_USER_DOMAIN_ID": "default",
                                   "OS_PROJECT_DOMAIN_ID": "default"})
        check(done.returncode == 0, f"bench/run ended with {done.returncode}: {done.stderr[-2000:]}")
        check("Quota exceeded" in done.stderr, f"the quota's refusal is not told: {done.stderr[-500:]}")
        row = next(line for line in done.stdout.splitlines() if "list 0 servers in detail" in line)
        check(row.split("|")[11].strip().endswith(" ms"), f"no figure of the other: {row}")


if __name__ == "__main__":
    main(beside_another, by_variables)
