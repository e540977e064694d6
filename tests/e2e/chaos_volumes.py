# SPDX-License-Identifier: EUPL-1.2
"""Volumes are made in every way, attached, detached, grown, copied and deleted while api and node are killed with SIGKILL.

Afterwards nothing is stuck, each acknowledged request has come true, every volume has the data that it was made from,
attachments, quota and disks are those of what is there. Run by chaos.py, which see for the seed; CHAOS_VOLUME_KILLS,
CHAOS_VOLUME_REAL_KILLS change the size.
"""
import collections
import http.client
import json
import os
import random
import subprocess
import time

from cloud import Cloud, Failure, check, wait_for
from killer import SEED, Killer

VOLUMES = "/volume/v3/volumes"
SNAPSHOTS = "/volume/v3/snapshots"
SERVERS = "/compute/v2.1/servers"
IMAGES = "/image/v2/images"
VERSION = {"OpenStack-API-Version": "volume 3.44"}
TAKEN = (200, 201, 202, 204)


class Volume:
    def __init__(self, origin, size):
        self.origin, self.size = origin, size
        self.server = None  # that has it
        self.root = self.goes = False  # the server's root disk; goes with its server


class Storage:
    """What was acknowledged, and requests at random that change it."""

    def __init__(self, session, rng, images, flavor, network, most):
        """images: what volumes are made of, servers of the last one. most: volumes, servers, uploads at a time."""
        self.s, self.random, self.images, self.flavor, self.network = session, rng, images, flavor, network
        self.most_volumes, self.most_servers, self.most_uploads = most
        self.volumes, self.snapshots, self.uploads, self.servers = {}, {}, {}, set()
        self.dropped = {}  # snapshot → its volume
        self.done = collections.Counter()
        self.n = 0
        self.trace = []

    # ---- requests ----

    def ask(self, method, path, body, heard):
        got = self.asked(method, path, body, heard)
        self.trace.append(f"{time.strftime('%X')} {method} {path} {body or ''}: {got}")
        return got

    def asked(self, method, path, body, heard):
        """What the answer, or heard(), gives; None where it is refused: things are on their way. Where an answer
        was lost, heard() tells whether the request was taken."""
        end = time.monotonic() + 120
        lost = False
        while True:
            try:
                r = self.s.call(method, path, body, headers=VERSION)
                if r.status in TAKEN:
                    return r.json or True
                check(r.status in (400, 403, 404, 409, 500, 503), f"{method} {path}: {r.status} {r.body[:300]}")
                if r.status not in (500, 503):
                    return (heard() or None) if lost else None
            except (OSError, http.client.HTTPException):
                pass
            lost = True
            got = heard()
            if got:
                self.trace.append(f"{time.strftime('%X')} {method} {path}: its answer was lost, but it was heard")
                return got
            check(time.monotonic() < end, f"{method} {path}: no answer")
            time.sleep(0.02)

    def show(self, path, kind):
        r = self.s.retry("GET", path)
        check(r.status in (200, 404), f"GET {path}: {r.status} {r.body[:300]}")
        return r.json[kind] if r.status == 200 else None

    def volume(self, volume):
        return self.show(f"{VOLUMES}/{volume}", "volume")

    def create(self, kind, path, body):
        """By a name of its own, which tells whether it was made."""
        self.n += 1
        body["name"] = f"{kind}-{self.n}"

        def named():
            r = self.s.retry("GET", f"{path}?name={body['name']}")
            found = r.json[kind + "s"] if r.status == 200 else []
            return {kind: found[0]} if found else None
        got = self.ask("POST", path, {kind: body}, named)
        return got[kind]["id"] if got else None

    def make(self, origin, size, **source):
        made = self.create("volume", VOLUMES, {"size": size, **source})
        if made:
            self.volumes[made] = Volume(origin, size)
        return made

    def some(self, condition=lambda v: True):
        found = sorted(i for i, v in self.volumes.items() if condition(v))
        return self.random.choice(found) if found else None

    def blank(self):
        return self.make("blank", 1)

    def from_image(self):
        image = self.random.choice(sorted(self.images))
        return self.make(f"image {image}", self.random.choice([1, 2]), imageRef=image)

    def from_volume(self):
        source = self.some()
        return source and self.make(self.volumes[source].origin, self.volumes[source].size, source_volid=source)

    def from_snapshot(self):
        if not self.snapshots:
            return None
        snapshot = self.random.choice(sorted(self.snapshots))
        origin, size, _ = self.snapshots[snapshot]
        return self.make(origin, size, snapshot_id=snapshot)

    def snapshot(self):
        volume = self.some()
        if not volume:
            return None
        made = self.create("snapshot", SNAPSHOTS, {"volume_id": volume, "force": True})
        if made:
            self.snapshots[made] = (self.volumes[volume].origin, self.volumes[volume].size, volume)
        return made

    def drop_snapshot(self):
        if not self.snapshots:
            return None
        snapshot = self.random.choice(sorted(self.snapshots))
        path = f"{SNAPSHOTS}/{snapshot}"

        def going():
            found = self.show(path, "snapshot")
            return not found or found["status"] == "deleting"
        got = self.ask("DELETE", path, None, going)
        if got:
            self.dropped[snapshot] = self.snapshots.pop(snapshot)[2]
        return got

    def extend(self):
        volume = self.some()
        if not volume:
            return None
        size = self.volumes[volume].size + 1

        def larger():
            found = self.volume(volume)
            return found["size"] == size or found["status"] == "extending"
        got = self.ask("POST", f"{VOLUMES}/{volume}/action", {"os-extend": {"new_size": size}}, larger)
        if got:
            self.volumes[volume].size = size
        return got

    def upload(self):
        volume = self.some()
        if not volume or len(self.uploads) >= self.most_uploads:
            return None
        self.n += 1
        name = f"upload-{self.n}"

        def named():
            found = self.s.retry("GET", f"{IMAGES}?name={name}").json["images"]
            return {"os-volume_upload_image": {"image_id": found[0]["id"]}} if found else None
        got = self.ask("POST", f"{VOLUMES}/{volume}/action", {"os-volume_upload_image": {
            "image_name": name, "disk_format": "qcow2", "container_format": "bare", "force": True}}, named)
        if got:
            self.uploads[got["os-volume_upload_image"]["image_id"]] = self.volumes[volume].origin
        return got

    def attached(self, server):
        found = self.show(f"{SERVERS}/{server}/os-volume_attachments", "volumeAttachments")
        return {a["volumeId"] for a in found or []}

    def attach(self):
        volume = self.some(lambda v: not v.server)
        if not volume or not self.servers:
            return None
        server = self.random.choice(sorted(self.servers))
        got = self.ask("POST", f"{SERVERS}/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}},
                       lambda: volume in self.attached(server) and self.volume(volume)["status"] != "detaching")
        if got:
            self.volumes[volume].server = server
        return got

    def detach(self):
        volume = self.some(lambda v: v.server and not v.root)
        if not volume:
            return None
        server = self.volumes[volume].server

        def letting_go():
            return self.volume(volume)["status"] == "detaching" or volume not in self.attached(server)
        got = self.ask("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{volume}", None, letting_go)
        if got:
            self.volumes[volume].server = None
        return got

    def delete(self):
        volume = self.some(lambda v: not v.server)
        if not volume or any(s[2] == volume for s in self.snapshots.values()):
            return None

        def going():
            found = self.volume(volume)
            return not found or found["status"] == "deleting"
        got = self.ask("DELETE", f"{VOLUMES}/{volume}", None, going)
        if got:
            del self.volumes[volume]
        return got

    def boot(self):
        """From a volume that is there, or from one made for it of an image."""
        if len(self.servers) >= self.most_servers:
            return None
        image = self.images[-1]
        own = self.some(lambda v: not v.server and v.origin == f"image {image}")
        goes = self.random.random() < 0.5
        disk = {"boot_index": 0, "destination_type": "volume", "delete_on_termination": goes}
        disk.update({"source_type": "volume", "uuid": own} if own else
                    {"source_type": "image", "uuid": image, "volume_size": 1})
        server = self.create("server", SERVERS, {"flavorRef": self.flavor, "networks": [{"uuid": self.network}],
                                                 "block_device_mapping_v2": [disk]})
        if not server:
            return None
        self.servers.add(server)
        for volume in self.attached(server):
            self.volumes.setdefault(volume, Volume(f"image {image}", 1))
            v = self.volumes[volume]
            v.server, v.root, v.goes = server, True, goes
        check(any(v.server == server for v in self.volumes.values()), f"server {server} has no root volume")
        return server

    def end(self, server=None):
        if not self.servers or (not server and len(self.servers) < 2):
            return None
        server = server or self.random.choice(sorted(self.servers))
        path = f"{SERVERS}/{server}"

        def going():
            found = self.show(path, "server")
            return not found or found["OS-EXT-STS:task_state"] == "deleting"
        kept = self.kept_by_snapshots(server)
        got = self.ask("DELETE", path, None, going)
        if not got:
            return None
        self.servers.discard(server)
        for volume, v in list(self.volumes.items()):
            if v.server == server:
                if v.goes and volume not in kept:
                    del self.volumes[volume]
                v.server, v.root, v.goes = None, False, False
        if kept:
            wait_for(f"server {server} is gone", lambda: not self.show(path, "server"))
        return got

    def kept_by_snapshots(self, server):
        """Volumes that were to go with the server, but have snapshots: none that is just going, which would make it
        a matter of luck."""
        goes = {i for i, v in self.volumes.items() if v.server == server and v.goes}
        for snapshot, volume in list(self.dropped.items()):
            if volume in goes:
                wait_for(f"snapshot {snapshot} is gone", lambda s=snapshot: not self.show(f"{SNAPSHOTS}/{s}", "snapshot"))
                del self.dropped[snapshot]
        return goes & {s[2] for s in self.snapshots.values()}

    def one_step(self):
        deeds = [self.blank, self.from_image, self.from_volume, self.from_snapshot, self.snapshot, self.extend,
                 self.upload, self.attach, self.attach, self.detach, self.boot]
        if len(self.volumes) >= self.most_volumes:
            deeds = [self.delete, self.end, self.drop_snapshot, self.delete, self.drop_snapshot]
        deed = self.random.choice(deeds + [self.delete, self.drop_snapshot, self.detach, self.end, self.attach])
        if deed():
            self.done[deed.__name__] += 1

    # ---- what must be true in the end ----

    def list(self, path, kind):
        return self.s.must(200, "GET", path, headers=VERSION)[kind]

    def differences(self):
        out = []
        volumes = {v["id"]: v for v in self.list(f"{VOLUMES}/detail", "volumes")}
        for i in volumes.keys() | self.volumes.keys():
            v, is_ = self.volumes.get(i), volumes.get(i)
            want = (("in-use" if v.server else "available"), v.size) if v else "gone"
            got = (is_["status"], is_["size"]) if is_ else "gone"
            if got != want:
                out.append(f"volume {i}: {got}, wanted {want}")
        out += self.differ("snapshot", {s["id"]: s["status"] for s in self.list(SNAPSHOTS, "snapshots")}, self.snapshots,
                           "available")
        out += self.differ("server", {s["id"]: s["status"] for s in self.list(f"{SERVERS}/detail", "servers")},
                           self.servers, "ACTIVE")
        out += self.differ("image", {i["id"]: i["status"] for i in self.list(f"{IMAGES}?limit=100",
                                                                            "images")},
                           list(self.uploads) + list(self.images), "active")
        return out

    @staticmethod
    def differ(kind, found, wanted, status):
        return [f"{kind} {i}: {found.get(i, 'gone')}, wanted {status if i in wanted else 'gone'}"
                for i in found.keys() | set(wanted) if (found.get(i) != status) or i not in wanted]

    def settle(self):
        try:
            wait_for("all as acknowledged", lambda: not self.differences(), 240, 0.25)
        except Failure:
            differences = self.differences()[:8]
            for i in {d.split()[1].rstrip(":") for d in differences}:
                print("\n".join(t for t in self.trace if i in t), flush=True)
            raise Failure("not as acknowledged: " + "; ".join(differences)) from None
        self.check_attachments()
        self.check_quota()

    def check_attachments(self):
        found = {(a["volume_id"], a["instance"]) for a in self.list("/volume/v3/attachments/detail", "attachments")}
        wanted = {(i, v.server) for i, v in self.volumes.items() if v.server}
        check(found == wanted, f"attachments that differ: {found ^ wanted}")
        for server in self.servers:
            has = self.attached(server)
            check({(i, server) for i in has} == {w for w in wanted if w[1] == server}, f"server {server} has {has}")

    def check_quota(self):
        path = f"/volume/v3/os-quota-sets/{self.s.project_id}?usage=true"
        usage = {k: v["in_use"] for k, v in self.list(path, "quota_set").items() if isinstance(v, dict)}
        snapshots = sum(s[1] for s in self.snapshots.values())
        wanted = {"volumes": len(self.volumes), "snapshots": len(self.snapshots),
                  "gigabytes": sum(v.size for v in self.volumes.values()) + snapshots}
        check({k: usage[k] for k in wanted} == wanted, f"quota in use: {usage}, wanted {wanted}")

    def delete_all(self):
        for server in list(self.servers):
            wait_for(f"{server} deleted", lambda s=server: self.end(s))
        self.settle()
        for snapshot in list(self.snapshots):
            self.s.must(202, "DELETE", f"{SNAPSHOTS}/{snapshot}")
        self.snapshots = {}
        self.settle()
        for volume in list(self.volumes):
            self.s.must(202, "DELETE", f"{VOLUMES}/{volume}")
        self.volumes = {}
        self.settle()


def storage_of(cloud, images, flavor, most):
    """images: data, disk format."""
    s = cloud.login("demo").authenticate()
    admin = cloud.login("admin")
    admin.must(200, "PUT", f"/volume/v3/os-quota-sets/{s.project_id}",
               {"quota_set": {"volumes": 100, "snapshots": 100, "gigabytes": 1000}})
    ids = [s.image(f"chaos-{i}", *image) for i, image in enumerate(images)]
    network, _ = s.network("chaos", "10.7.0.0/24")
    return Storage(s, random.Random(SEED), ids, s.flavor(flavor), network, most)


def let_loose(cloud, storage, kills, pause_s, steps_pause_s):
    print(f"seed {SEED}", flush=True)
    killer = Killer(cloud, kills, pause_s)
    killer.start()
    while killer.is_alive():
        storage.one_step()
        time.sleep(steps_pause_s)
    killer.finish()
    print("done: " + ", ".join(f"{n} {name}" for name, n in sorted(storage.done.items())), flush=True)
    storage.settle()


# ---- the fake driver: disks are lines of a file ----


def fake_disks(cloud):
    """volume → size, snapshots, where its data came from."""
    out = {}
    with open(f"{cloud.data}/node/fake-volumes", encoding="utf-8") as f:
        for line in f:
            words = line.split()
            n = int(words[2])
            out[words[0]] = (int(words[1]), frozenset(words[3:3 + n]), " ".join(words[3 + n:]))
    return out


def wanted_disks(storage):
    return {i: (v.size, frozenset(s for s, (_, _, of) in storage.snapshots.items() if of == i), v.origin)
            for i, v in storage.volumes.items()}


def same_disks(cloud, storage):
    try:
        wait_for("disks as wanted", lambda: fake_disks(cloud) == wanted_disks(storage))
    except Failure:
        raise Failure(f"disks: {fake_disks(cloud)}, wanted {wanted_disks(storage)}") from None


def fake_volumes():
    with Cloud("chaosv") as cloud:
        storage = storage_of(cloud, [(os.urandom(4096), "raw"), (os.urandom(4096), "raw")], "m1.tiny", (10, 4, 8))
        for deed in (storage.from_image, storage.boot, storage.boot):
            deed()
        let_loose(cloud, storage, int(os.environ.get("CHAOS_VOLUME_KILLS", "25")), (0.1, 0.5), 0.02)
        same_disks(cloud, storage)
        for image, origin in storage.uploads.items():
            data = storage.s.call("GET", f"{IMAGES}/{image}/file").body
            check(origin.encode() in data, f"image {image}: of something else than '{origin}'")
        storage.delete_all()
        same_disks(cloud, storage)


# ---- QEMU: disks are files ----


MIB = 1 << 20
GIB = 1 << 30


def has_pattern(path, byte):
    """The first MiB of the disk, which a guest may have open."""
    out = subprocess.run(["qemu-io", "-r", "-U", "-f", "qcow2", "-c", f"read -P {byte} 0 1M", path], check=False,
                         capture_output=True, text=True)
    return out.returncode == 0 and "failed" not in out.stdout + out.stderr


def disk_files(cloud):
    """volume → size, snapshots, path."""
    out = {}
    top = f"{cloud.data}/node/volumes"
    for volume in set(os.listdir(top)) - {".lock"}:
        path = f"{top}/{volume}/disk.qcow2"
        info = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], check=False, capture_output=True)
        if info.returncode == 0:
            info = json.loads(info.stdout)
            out[volume] = (info["virtual-size"] / GIB, frozenset(s["name"] for s in info.get("snapshots", [])))
        else:
            out[volume] = "no disk"
    return out


def same_files(cloud, storage, patterns):
    wanted = {i: d[:2] for i, d in wanted_disks(storage).items()}
    try:
        wait_for("disks as wanted", lambda: disk_files(cloud) == wanted)
    except Failure:
        raise Failure(f"disks: {disk_files(cloud)}, wanted {wanted}") from None
    for volume, v in storage.volumes.items():
        check(v.origin not in patterns or has_pattern(f"{cloud.data}/node/volumes/{volume}/disk.qcow2", patterns[v.origin]),
              f"volume {volume} has other data than {v.origin}")


def real_volumes():
    """Few, with data that tells where they come from; guests that boot meanwhile let go of them in the end."""
    image = os.environ.get("IMAGE", f"{os.path.dirname(os.path.abspath(__file__))}/../../build/images/tiny.qcow2")
    with open(image, "rb") as f:
        tiny = f.read()
    with Cloud("chaosvq", "qemu", ["--shutdown-timeout-s", "5"]) as cloud:
        storage = storage_of(cloud, [(bytes([0xa1]) * MIB, "raw"), (bytes([0xb2]) * MIB, "raw"), (tiny, "qcow2")],
                             "m1.tiny", (6, 2, 2))
        patterns = {f"image {storage.images[0]}": 0xa1, f"image {storage.images[1]}": 0xb2, "blank": 0}
        check(storage.boot(), "no server is made")  # which boots meanwhile
        let_loose(cloud, storage, int(os.environ.get("CHAOS_VOLUME_REAL_KILLS", "10")), (0.3, 1.5), 0.1)
        same_files(cloud, storage, patterns)
        for image, origin in storage.uploads.items():
            path = f"{cloud.dir}/{image}"
            with open(path, "wb") as f:
                f.write(storage.s.call("GET", f"{IMAGES}/{image}/file").body)
            check(origin not in patterns or has_pattern(path, patterns[origin]), f"image {image}: other data than {origin}")
        storage.delete_all()
        same_files(cloud, storage, patterns)
