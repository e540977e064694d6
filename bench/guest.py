# SPDX-License-Identifier: EUPL-1.2
"""How long a guest's first instruction is in coming, through the whole cloud and through bare QEMU: a boot sector that
writes one character to the serial line. Needs root: the guests' networks are in a namespace of their own."""
import glob
import os
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


def bare(machine, image):
    """One start of the machine with nothing but this disk, and its end."""
    with tempfile.TemporaryDirectory(prefix="colvert-bench-") as folder:
        began = time.perf_counter()
        qemu = subprocess.Popen([*machine, "-nodefaults", "-no-user-config", "-display", "none", "-device", "VGA",
                                 "-drive", f"file={image},format=raw,if=virtio,snapshot=on", "-serial", f"file:{folder}/console"],
                                stdin=subprocess.DEVNULL)
        try:
            return until_written(f"{folder}/console", began)
        finally:
            qemu.kill()
            qemu.wait()


def machine_of(server_id):
    """The guest's QEMU, without its devices."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = command_line(int(pid))
        if line and "qemu" in os.path.basename(line[0]) and any(server_id in part for part in line):
            return [line[0]] + [part for i, option in enumerate(line)
                                if option in MACHINE or line[i + 1:i + 2] and line[i + 1].startswith("memory-backend")
                                for part in line[i:i + 2]]
    return None


def guest_rows(bench):
    if os.geteuid() != 0:
        return
    rounds, through_all, by_itself = 1 if bench.args.quick else 5, bench.row("guest"), bench.row("bareqemu")
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
            machine = wait_for("the guest's QEMU", lambda s=server: machine_of(s), 10)
            demo.wait_status(server, "ACTIVE")
            demo.must(204, "DELETE", f"/compute/v2.1/servers/{server}")
            wait_for("the server is gone", lambda s=server: demo.get(f"/compute/v2.1/servers/{s}").status == 404)
            alone = bare(machine, image.name)
            if i:
                for row, seconds in ((through_all, took), (by_itself, alone)):
                    row.rounds.append({"n": 1, "p50_ms": seconds * 1e3})
