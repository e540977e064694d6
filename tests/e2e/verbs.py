#!/usr/bin/python3
# SPDX-License-Identifier: EUPL-1.2
"""Walks every verb of the stock `openstack` client for the services that are offered.

usage: verbs.py [--driver fake|qemu] [--clouds FILE] [--only WORD]
Starts a cloud of its own, or (--clouds) uses a running one, such as the demo's build/demo/clouds.yaml with its
clouds "demo" and "colvert-admin". Steps stand in verbs.txt. Each verb the client has must be walked there, or be
listed there with the reason why it is not offered; the last line counts.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from importlib import metadata

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cloud import TOP, Cloud, Failure, check, wait_for  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = ("openstack.common", "openstack.identity.v3", "openstack.image.v2", "openstack.network.v2",
          "openstack.compute.v2", "openstack.volume.v3")
CLOUDS = {"demo": "demo", "admin": "colvert-admin"}


def client_verbs():
    """What the installed client can say, as words: "server add port"."""
    found = metadata.entry_points()
    return {e.name.replace("_", " ") for g in GROUPS for e in found.select(group=g)}


class Client:
    """The stock client, imported once: each command runs in a fork, as it keeps clients for a process's life."""

    def __init__(self):
        from openstackclient import shell
        self.shell = shell

    def child(self, argv, out, err):
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            status = self.shell.OpenStackShell().run(argv) or 0
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 1
        except BaseException as e:  # pylint: disable=broad-except
            print(repr(e), file=sys.stderr)
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def run(self, who, words):
        sys.stdout.flush()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                self.child(["--os-cloud", CLOUDS[who], *words], out, err)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for f in (out, err):
                f.seek(0)
                texts.append(f.read().decode(errors="replace"))
        return status, *texts


class Walk:
    def __init__(self, client, verbs):
        self.client, self.verbs, self.names = client, verbs, {}
        self.walked, self.refused, self.failed = set(), {}, {}

    def verb_of(self, words):
        """The longest beginning that is a verb."""
        plain, rest = [], list(words)
        while rest and rest[0].startswith("--os-"): # the client's own options, with a value each
            rest = rest[2:]
        for w in rest:
            if w.startswith("-"):
                break
            plain.append(w)
        for n in range(len(plain), 0, -1):
            if " ".join(plain[:n]) in self.verbs:
                return " ".join(plain[:n])
        return None

    def filled(self, text):
        def value(m):
            check(m[1] in self.names, f"verbs.txt: nothing was kept as {m[1]}")
            return self.names[m[1]]
        return re.sub(r"\{([\w-]+)\}", value, text)

    def wait(self, who, text):
        """await COMMAND… = VALUE: shows until the value comes, or until it is gone."""
        command, _, wanted = text.rpartition(" = ")
        words = shlex.split(self.filled(command))

        def now():
            status, out, _ = self.client.run(who, words)
            got = out.strip() if status == 0 else "gone"
            check(wanted == got or not got.lower().startswith("error"), f"{command}: {got}")
            return got == wanted
        wait_for(text, now, 300, 0.3)

    def step(self, who, text):
        """COMMAND [=> NAME] [!! TEXT]: keeps the output as NAME; must fail with TEXT."""
        command, _, wrong = text.partition(" !! ")
        command, _, keep = command.partition(" => ")
        words = shlex.split(self.filled(command))
        verb = self.verb_of(words)
        check(verb, f"verbs.txt: the client has no such verb: {command}")
        status, out, err = self.client.run(who, words)
        if wrong:
            check(status != 0 and wrong in err, f"{command}: must be refused with '{wrong}': {err.strip()[:300]}")
            return verb
        check(status == 0, f"{command}: {err.strip()[-500:]}")
        if keep:
            check(out.strip(), f"{command}: said nothing")
            self.names[keep] = out.strip()
        return verb

    def line(self, number, text):
        if text.startswith("not offered: "):
            verbs, _, reason = text[len("not offered: "):].partition(" -- ")
            pattern = re.compile(verbs)
            for v in self.verbs:
                if pattern.fullmatch(v):
                    self.refused[v] = reason
            return
        who, _, rest = text.partition(": ")
        check(who in CLOUDS, f"verbs.txt:{number}: who?")
        try:
            if rest.startswith("await "):
                self.wait(who, rest[len("await "):])
                return
            self.walked.add(self.step(who, rest))
        except Failure as e:
            self.failed[f"{number}: {text}"] = str(e)
            print(f"FAILED  verbs.txt:{number}: {e}", flush=True)


def lines(only):
    """A block begins at a line "## WORD" and stands by itself."""
    block = ""
    with open(f"{HERE}/verbs.txt", encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if line.startswith("## "):
                block = line[3:]
            elif line and not line.startswith("#") and (not only or only in block):
                yield number, line


def walk(only):
    w = Walk(Client(), client_verbs())
    began = time.monotonic()
    for number, line in lines(only):
        w.line(number, line)
    missing = sorted(w.verbs - w.walked - set(w.refused))
    both = sorted(w.walked & set(w.refused))
    for v in sorted(w.refused):
        print(f"not offered  {v}: {w.refused[v]}")
    if not only:
        for v in missing:
            print(f"FAILED  {v}: neither walked nor listed as not offered")
        for v in both:
            print(f"FAILED  {v}: walked, but listed as not offered")
    bad = len(w.failed) + (0 if only else len(missing) + len(both))
    print(f"{len(w.walked)} verbs walked, {len(w.refused)} not offered, {time.monotonic() - began:.0f} s")
    print(f"tests: {len(w.walked)} {bad}")
    return bad


def own_files(folder, real):
    """What the steps name: an image, one to boot from, a blob. Real guests must hear when a device is to go."""
    for name in ("disk.raw", "boot.raw"):
        with open(f"{folder}/{name}", "wb") as f:
            f.write(os.urandom(1 << 20))
    if real:
        tiny = f"{TOP}/build/images/tiny.qcow2"
        subprocess.run([f"{TOP}/images/build-tiny", tiny], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["qemu-img", "convert", "-O", "raw", tiny, f"{folder}/boot.raw"], check=True)
    with open(f"{folder}/blob.json", "w", encoding="ascii") as f:
        f.write('{"access": "a", "secret": "b"}')
    with open(f"{folder}/filters.json", "w", encoding="ascii") as f:
        f.write('{"interface": "public"}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--driver", choices=("fake", "qemu"), default="fake")
    p.add_argument("--clouds")
    p.add_argument("--only", help="blocks of verbs.txt whose title has this word")
    args = p.parse_args()
    for name in [n for n in os.environ if n.startswith("OS_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="colvert-verbs-") as folder:
        own_files(folder, args.clouds or args.driver == "qemu")
        os.environ["OS_CLIENT_CONFIG_FILE"] = os.path.abspath(args.clouds) if args.clouds else ""
        os.chdir(folder)
        try:
            if args.clouds:
                bad = walk(args.only)
            else:
                with Cloud("verbs", args.driver) as cloud:
                    os.environ["OS_CLIENT_CONFIG_FILE"] = f"{cloud.data}/clouds.yaml"
                    bad = walk(args.only)
        except Failure as e:
            sys.exit(f"verbs: {e}")
        os.chdir("/")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
