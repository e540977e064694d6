# SPDX-License-Identifier: EUPL-1.2
"""How long a guest's first instruction is in coming, through the whole cloud, through the guest's QEMU by itself and through
one with no more than a disk: a boot sector that writes one character to the serial line. Needs root: the guests' networks are
in a namespace of their own."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from cloud import Cloud, check, command_line, wait_for

# mov dx, 0x3f8; mov al, '!'; out dx, al; again: hlt; jmp again
BOOT_SECTOR = (b"\xba\xf8\x03\xb0\x21\xee\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"
# What of the guest's command line makes the machine, and not what is plugged into it.
MACHINE = ("-machine", "-accel", "-cpu", "-m", "-smp")


def until_written(path, began, timeout_s=60):
    """Seconds until the file has something in it."""
    while True:
        try:
            if os.path.getsize(path):
                return time.perf_counter() - began
        except OSError:
            pass
        check(time.perf_counter() - began < timeout_s, f"nothing came to {path}")
        time.sleep(0.001)


def started(line, folder):
    """Seconds from the start of this QEMU until its boot sector has spoken; then it is ended."""
    began = time.perf_counter()
    qemu = subprocess.Popen(line, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        return until_written(f"{folder}/console", began)
    finally:
        qemu.kill()
        qemu.wait()


def bare(line, image):
    """The machine with nothing but this disk."""
    machine = [line[0]] + [part for option, value in options(line)
                           if option in MACHINE or value.startswith("memory-backend") for part in (option, value)]
    with tempfile.TemporaryDirectory(prefix="colvert-bench-") as folder:
        return started([*machine, "-nodefaults", "-no-user-config", "-display", "none", "-device", "VGA",
                        "-drive", f"file={image},format=raw,if=virtio,snapshot=on", "-serial", f"file:{folder}/console"], folder)


def by_itself(line, image):
    """All of the guest's command line; what Colvert opens for it is made by name, the tap leads nowhere."""
    with tempfile.TemporaryDirectory(prefix="colvert-bench-") as folder:
        os.mkdir(f"{folder}/run")
        shutil.copy(image, f"{folder}/root")
        out = [line[0]]
        for option, value in options(line):
            if option in ("-S", "-add-fd"):
                continue
            value = re.sub(r"/dev/fdset/\d+", f"{folder}/console", value)
            if option == "-chardev":
                value = re.sub(r"id=(\w+),fd=\d+", r"id=\1,path=\1.sock", value)
            elif option == "-netdev":
                value = re.sub(r"tap,id=(\w+),.*", r"stream,id=\1,server=on,addr.type=unix,addr.path=\1.net", value)
            elif option == "-blockdev":
                node = {"node-name": json.loads(value)["node-name"], "driver": "raw"}
                value = json.dumps({**node, "file": {"driver": "file", "filename": f"{folder}/root"}})
            out += [option, value] if value else [option]
        return started(out, folder)


def options(line):
    """Pairs of an option and its value, "" where it has none."""
    at = 1
    while at < len(line) and line[at]:
        has_value = at + 1 < len(line) and not line[at + 1].startswith("-")
        yield line[at], line[at + 1] if has_value else ""
        at += 2 if has_value else 1


def qemu_of(server_id):
    """The command line of the guest's QEMU."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = command_line(int(pid))
        if line and "qemu" in os.path.basename(line[0]) and any(server_id in part for part in line):
            return line
    return None


def guest_rows(bench):
    if os.geteuid() != 0:
        return
    rounds, rows = 1 if bench.args.quick else 5, [bench.row(key) for key in ("guest", "bareqemu", "sameqemu")]
    with Cloud("bench-guest", driver="qemu") as cloud, tempfile.NamedTemporaryFile(prefix="colvert-bench-") as image:
        demo = cloud.login("demo").authenticate()
        data = BOOT_SECTOR.ljust(1 << 20, b"\0")
        image.write(data)
        image.flush()
        members = {"imageRef": demo.image("boot-sector", data), "flavorRef": demo.flavor("m1.tiny"),
                   "networks": [{"uuid": demo.network("bench", "10.64.0.0/24")[0]}]}
        # The first brings the image to the host.
        for i in range(rounds + 1):
            began = time.perf_counter()
            server = demo.server(name=f"guest-{i}", **members)
            took = until_written(f"{cloud.data}/node/servers/{server}/console.log", began)
            line = wait_for("the guest's QEMU", lambda s=server: qemu_of(s), 10)
            demo.wait_status(server, "ACTIVE")
            demo.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
            wait_for("the server is gone", lambda s=server: demo.get(f"/compute/v2.1/servers/{s}").status == 404)
            alone = bare(line, image.name), by_itself(line, image.name)
            if i:
                for row, seconds in zip(rows, (took, *alone)):
                    row.rounds.append({"n": 1, "p50_ms": seconds * 1e3})
