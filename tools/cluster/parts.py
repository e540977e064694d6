# SPDX-License-Identifier: EUPL-1.2
"""What a cluster consists of on this machine: processes that outlive who started them, and namespaces."""
import ctypes
import json
import os
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000


def started_at(pid):
    """
    The kernel's number for when this process began: a pid alone may be another's by now. None: it is gone, with all its
    threads: while one is left, its sockets still take connections though the process shows as a zombie.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    return None if fields[0] == "Z" and len(threads) == 1 else int(fields[19])


def wait_until(what, condition, timeout_s=60, pause_s=0.05):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"after {timeout_s} s still not: {what}")
        time.sleep(pause_s)


def run(*words, **kw):
    p = subprocess.run(words, capture_output=True, text=True, check=False, **kw)
    if p.returncode:
        raise RuntimeError(f"{' '.join(words)}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def enter_netns(name):
    """This process's next sockets are in that namespace; those that it has stay where they are."""
    with open(f"/run/netns/{name}", "rb") as f:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(f.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")


class Book:
    """The processes that were started, kept in a file: whoever has the file can stop them, and nothing else."""

    def __init__(self, path):
        self.path = path
        self.kept = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.kept = json.load(f)

    def save(self):
        with open(f"{self.path}.new", "w", encoding="utf-8") as f:
            json.dump(self.kept, f, indent=1)
        os.rename(f"{self.path}.new", self.path)

    def note(self, name, pid):
        self.kept.setdefault("processes", {})[name] = [pid, started_at(pid)]
        self.save()

    def pid(self, name):
        """None: it does not run."""
        pid, began = self.kept.get("processes", {}).get(name, (None, None))
        return pid if pid and began is not None and started_at(pid) == began else None

    def names(self):
        return list(self.kept.get("processes", {}))

    def start(self, name, words, log, **kw):
        if self.pid(name):
            return self.pid(name)
        with open(log, "ab") as out:
            p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **kw)
        self.note(name, p.pid)
        return p.pid

    def end(self, name, how=signal.SIGTERM, patience_s=20):
        pid = self.pid(name)
        if pid:
            os.kill(pid, how)
            self.wait_gone(name, pid, patience_s)
        if self.kept.get("processes", {}).pop(name, None):
            self.save()

    def wait_gone(self, name, pid, patience_s):
        end = time.monotonic() + patience_s
        while self.pid(name):
            self.reap(pid)
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                end += patience_s
            time.sleep(0.02)
        self.reap(pid)

    @staticmethod
    def reap(pid):
        """Only what this very process started is its child."""
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
