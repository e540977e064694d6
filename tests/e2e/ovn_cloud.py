# SPDX-License-Identifier: EUPL-1.2
"""A cloud of two hosts with OVN between them, whose daemons tests/ovn-cloud started in a folder."""
import os
import subprocess

from cloud import TOP, Cloud, wait_for


def names(prefix):
    """Of the namespaces: outside, and the hosts'."""
    return f"{prefix}-out"[:15], [f"{prefix}-h1"[:15], f"{prefix}-h2"[:15]]


def daemons(folder, prefix):
    outside, hosts = names(prefix)
    subprocess.run([f"{TOP}/tests/ovn-cloud", "up", folder, outside, *hosts], check=True)
    subprocess.run(["ip", "-n", outside, "addr", "add", "203.0.113.1/24", "dev", "br-ext"], check=True)


def daemons_down(folder):
    subprocess.run([f"{TOP}/tests/ovn-cloud", "down", folder], check=False)


class OvnCloud(Cloud):
    """`colvert up` is the control plane, its network writer and host h1; h2 is an agent of its own."""

    def __init__(self, name, folder, prefix, options=()):
        self.hosts = names(prefix)[1]
        self.second = None
        super().__init__(name, "qemu", [
            *options, "--network-driver", "ovn", "--ovn-nb", f"unix:{folder}/nb.sock", "--ovn-sb", f"unix:{folder}/sb.sock",
            "--ovs-db", f"unix:{folder}/{self.hosts[0]}/db.sock", "--node-name", "h1", "--netns", self.hosts[0]], isolated=True)
        self.second_dir = f"{self.dir}/h2"
        self.shared = f"{self.dir}/shared"  # volumes that both hosts reach
        self.options += ["--shared-dir", self.shared]
        self.second_arguments = [
            "--data", self.second_dir, "--listen", f"127.0.0.1:{self.port}", "--node-name", "h2", "--network-driver", "ovn",
            "--ovs-db", f"unix:{folder}/{self.hosts[1]}/db.sock", "--netns", self.hosts[1], "--guest-uid-first", "300000", "--shared-dir", self.shared]

    def start(self):
        if not os.path.exists(self.shared):
            os.makedirs(self.shared)
            subprocess.run([self.colvert, "admin", "pool-make", self.shared], check=True, capture_output=True)
        super().start()
        if not os.path.exists(self.second_dir):
            made = subprocess.run([self.colvert, "admin", "host-add", *self.arguments(), "h2"], check=True,
                                  capture_output=True, text=True).stdout
            os.makedirs(f"{self.second_dir}/node")
            with open(f"{self.second_dir}/node/secret", "x", encoding="ascii",
                      opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(made.split()[-1])
        self.start_second()
        wait_for("two hosts are up", lambda: self.has_host(2), 60)
        return self

    def start_second(self):
        with open(f"{self.dir}/log", "ab") as log:
            self.second = subprocess.Popen([self.colvert, "node", *self.second_arguments], stdout=log, stderr=log,
                                           stdin=subprocess.DEVNULL)

    def kill_second(self):
        self.second.kill()
        self.second.wait()

    def stop(self):
        if self.second:
            self.second.terminate()
            self.second.wait()
            self.second = None
            subprocess.run([self.colvert, "node", "--purge", *self.second_arguments], check=False, capture_output=True)
        super().stop()
