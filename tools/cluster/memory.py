# SPDX-License-Identifier: EUPL-1.2
"""Memory of a cluster's parts: PSS, so that pages that several processes share count once in the sum."""
import os

NAMES = {"node": "agent", "api": "api"}


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def words_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def kind_of(pid):
    words = words_of(pid)
    program = os.path.basename(words[0]) or "kernel"
    if program == "colvert":
        return f"colvert {words[1]}"
    return "qemu" if program.startswith("qemu-system") else program


def family(pid):
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                for child in f.read().split():
                    yield from family(int(child))
    except OSError:
        pass


def memory(cluster):
    """Rows of (where, what, processes, KiB)."""
    sums = {}

    def add(where, what, pid):
        n, kib = sums.get((where, what), (0, 0))
        sums[where, what] = (n + 1, kib + pss_kib(pid))

    for name in cluster.central_names():
        for pid in family(cluster.book.pid(name) or 0) if cluster.book.pid(name) else ():
            add("control plane", name, pid)
    for host in cluster.hosts:
        for pid in host.processes():
            kind = kind_of(pid)
            if kind not in ("sh", "sleep"):
                add(host.name, kind, pid)
    return [(where, what, n, kib) for (where, what), (n, kib) in sums.items()]


def table(cluster):
    lines, total = [], 0
    for where, what, n, kib in memory(cluster):
        total += kib
        lines.append(f"  {where:14} {what + (f' ({n})' if n > 1 else ''):28} {kib / 1024:8.1f} MB")
    return "\n".join([*lines, f"  {'all':14} {'':28} {total / 1024:8.1f} MB"])
