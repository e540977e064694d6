# SPDX-License-Identifier: EUPL-1.2
"""The rows, each declared once: its name, how it is measured, what it should be, and what it is called in the figures of
/work/shared/baseline. And the table that they become."""
import statistics
import time

MB = 1e6
# key: (name, method, aim, baseline's key). aim: (figure, "≤" or "≥", limit) or, of another row's figure, (…, factor, key, added).
ROWS = {
    "idle": ("memory, idle", "PSS of all processes, after start", ("pss_mb", "≤", 32), None),
    "bare": ("bare Argon2id", "crypto_pwhash_str_verify, 19 MiB, 2 passes", None, None),
    "password1": ("password token, c1", "POST /auth/tokens", ("cpu_ms", "≤", 1.05, "bare"), "keystone.auth_password.c1"),
    "password4": ("password token, c4", "POST /auth/tokens", ("cpu_ms", "≤", 1.05, "bare"), None),
    "valid1": ("token validation, c1", "GET /auth/tokens", None, "keystone.validate_token.c1"),
    "valid4": ("token validation, c4", "GET /auth/tokens", ("rps", "≥", 10000), None),
    "alone": ("GET /flavors, alone", "GET /flavors, c1", None, None),
    "busy": ("GET /flavors, 8 log in", "the same while 8 clients ask for password tokens", ("p99_ms", "≤", 1.0, "alone"), None),
    "fsync": ("bare commit", "4 KiB appended and fdatasync, as SQLite's log has it, on this disk", None, None),
    "port1": ("port create, c1", "POST /ports, commit on disk", ("p50_ms", "≤", 3), "neutron.create_port"),
    "port4": ("port create, c4", "POST /ports, commit on disk", None, "neutron.create_ports.c4"),
    "port16": ("port create, c16", "POST /ports, commit on disk", None, None),
    "group16": ("  commits an fdatasync, c16", "strace counts the calls of 80 × POST /ports", None, None),
    "ports": ("list {n} ports", "GET /ports of one network", ("cpu_ms", "≤", 5), "neutron.list_1000_ports.c1"),
    "list0": ("list 0 servers", "GET /servers", None, "nova.servers.0.c1"),
    "detail0": ("list 0 servers in detail", "GET /servers/detail", None, "nova.servers_detail.0.c1"),
    "posted": ("server create → accepted", "POST /servers, one after the other", ("p50_ms", "≤", 5), "nova.boot_post_accepted"),
    "active": ("server create → ACTIVE", "the same, show until ACTIVE", ("p50_ms", "≤", 50), "nova.boot_to_active"),
    "deleted": ("server delete → gone", "DELETE, show until 404", None, "nova.delete_to_gone"),
    "volume": ("volume create → available", "POST /volumes, show until available", ("p50_ms", "≤", 20), "cinder.create_to_available"),
    "burst": ("{n} servers at once, all ACTIVE", "POST /servers by 8 clients, until all are ACTIVE", ("p50_ms", "≤", 1000), None),
    "burstpost": ("  of which POST, c8", "as above", None, None),
    "list100": ("list {n} servers", "GET /servers", None, "nova.servers.100.c1.second_run"),
    "detail100": ("list {n} servers in detail", "GET /servers/detail", ("cpu_ms", "≤", 0.5), "nova.servers_detail.100.c1.second_run"),
    "onepost": ("{n} servers by one POST, all ACTIVE", "POST /servers min_count, until all are ACTIVE", ("p50_ms", "≤", 1000), None),
    "list1000": ("list {n} servers", "GET /servers", None, "nova.servers.1000.c1"),
    "detail1000": ("list {n} servers in detail", "GET /servers/detail", ("cpu_ms", "≤", 5), "nova.servers_detail.1000.c1"),
    "show1": ("server show, c1", "GET /servers/ID", None, "nova.server_show.c1"),
    "show4": ("server show, c4", "GET /servers/ID", ("rps", "≥", 5000), None),
    "cp": ("cp + md5sum + sha512sum, {n} MiB", "one after the other, the copy on disk", None, None),
    "upload": ("image upload, {n} MiB", "PUT /images/ID/file", ("mb_s", "≥", 0.8, "cp"), "glance.upload_MBps"),
    "sendfile": ("sendfile, {n} MiB", "one process to another, loopback", None, None),
    "download": ("image download, {n} MiB", "GET /images/ID/file", ("mb_s", "≥", 0.8, "sendfile"), "glance.download_MBps"),
    "loaded": ("memory, after all this", "PSS of all processes", None, None),
    "bareqemu": ("bare QEMU → first instruction", "the same machine on its own, until its boot sector writes to the serial line", None, None),
    "sameqemu": ("the same QEMU → first instruction", "the guest's whole command line by itself, its devices included", None, None),
    "guest": ("server create → first instruction", "POST /servers, real driver, until the boot sector writes to the console",
              ("p50_ms", "≤", 1.0, "bareqemu", 50), None),
}


class Row:
    """Rounds of one measurement. Each is a dict with some of rps, p50_ms, p99_ms, cpu_ms, mb_s; n counts requests."""

    def __init__(self, key, n=None):
        name, self.method, self.aim, self.baseline = ROWS[key]
        self.key, self.name, self.rounds, self.failed = key, name.format(n=n) if n else name, [], None

    def median(self, figure):
        values = [r[figure] for r in self.rounds if figure in r]
        return statistics.median(values) if values else None

    def spread(self):
        """Of the CPU time, or of what else there is: (max - min) / median."""
        for figure in ("cpu_ms", "p50_ms", "mb_s"):
            values = [r[figure] for r in self.rounds if figure in r]
            if len(values) > 1 and statistics.median(values) > 0:
                return (max(values) - min(values)) / statistics.median(values)
        return None

    def limit(self, rows):
        """What the aim's figure may be; None where the row that it refers to was not measured."""
        _, _, limit, *of = self.aim
        if not of:
            return limit
        other = rows.get(of[0])
        value = other.median(self.aim[0]) if other else None
        return None if value is None else value * limit + (of[1] if len(of) > 1 else 0)

    def verdict(self, rows):
        """"met", "missed" or nothing to say."""
        value, limit = (self.median(self.aim[0]), self.limit(rows)) if self.aim else (None, None)
        if value is None or limit is None:
            return ""
        return "met" if (value <= limit if self.aim[1] == "≤" else value >= limit) else "missed"

    def aim_text(self, rows):
        if not self.aim:
            return ""
        limit = self.limit(rows)
        unit = {"cpu_ms": " CPU ms", "rps": "/s", "p50_ms": " ms", "p99_ms": " ms p99", "pss_mb": " MB", "mb_s": " MB/s"}[self.aim[0]]
        return f"{self.aim[1]} {figure(limit)}{unit}" if limit is not None else ""


def figure(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def cpu_or_memory(row):
    if row.median("pss_mb") is not None:
        return f"{row.median('pss_mb'):.1f} MB"
    if row.median("per_sync") is not None:
        return f"{row.median('per_sync'):.2f}"
    return figure(row.median("cpu_ms"))


def beside(rate, p50, cpu, mb_s=None):
    """Another stack's figures in one cell."""
    parts = [f"{figure(mb_s)} MB/s" if mb_s else f"{figure(rate)}/s" if rate else "", f"{figure(p50)} ms" if p50 else "",
             f"{figure(cpu)} CPU ms" if cpu else ""]
    return ", ".join(p for p in parts if p)


def beside_row(row):
    if row is None:
        return ""
    if row.failed:
        return row.failed
    return beside(row.median("rps"), row.median("p50_ms"), row.median("cpu_ms"), row.median("mb_s"))


def beside_baseline(row, results):
    b = results.get(row.baseline) if row.baseline else None
    if not b:
        return ""
    return beside(b.get("rps"), b.get("ms_p50"), b.get("cpu_ms_per_req") or b.get("cpu_ms_per_cycle") or b.get("cpu_ms"), b.get("MBps"))


def table(rows, others=(), baseline=None):
    """rows: key → Row. others: (label, rows) of further stacks. baseline: (label, results) of a file of figures."""
    head = ["work", "rounds", "requests", "req/s", "p50 ms", "p99 ms", "CPU ms/req", "spread", "aim", ""]
    head += [label for label, _ in others] + ([baseline[0]] if baseline else []) + ["method"]
    keys = [k for k in ROWS if k in rows or any(k in other for _, other in others)]
    lines = [head]
    for key in keys:
        r = rows.get(key) or Row(key)
        spread = r.spread()
        rate = f"{figure(r.median('mb_s'))} MB/s" if r.median("mb_s") else figure(r.median("rps"))
        line = [r.name, str(len(r.rounds) or ""), str(sum(x["n"] for x in r.rounds) or ""), rate, figure(r.median("p50_ms")),
                figure(r.median("p99_ms")), cpu_or_memory(r), "" if spread is None else f"{spread * 100:.0f} %",
                r.aim_text(rows), r.failed or r.verdict(rows)]
        line += [beside_row(other.get(key)) for _, other in others]
        lines.append(line + ([beside_baseline(r, baseline[1])] if baseline else []) + [r.method])
    left = {0, *range(8, len(head))}
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for n, line in enumerate(lines):
        print("| " + " | ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))) + " |")
        if n == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


# ------------------------------------------------------------ what is read of this machine


def cpu_ms(pids):
    """User and system time of these processes so far, to the nanosecond: each one's own clock (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids) * 1e3


def pss_mb(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total / 1024
