# SPDX-License-Identifier: EUPL-1.2
"""PostgreSQL of a cluster: a server of its own in the cluster's folder, reached by a unix socket only."""
import glob
import os
import pwd
import signal

from .parts import run, wait_until


class Postgres:
    def __init__(self, folder, book, reader_gid):
        self.dir, self.book, self.reader_gid = f"{folder}/postgres", book, reader_gid
        self.url = f"postgresql:///postgres?host={self.dir}&user=colvert"
        found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
        if not found:
            raise RuntimeError("no PostgreSQL server: install the package postgresql")
        self.bin = os.path.dirname(max(found, key=lambda p: float(p.split("/")[4])))
        self.environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

    def as_postgres(self, *words):
        """The server refuses to run as root."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]

    def start(self):
        if not os.path.exists(f"{self.dir}/data/PG_VERSION"):
            os.makedirs(self.dir, exist_ok=True)
            os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, self.reader_gid)
            os.chmod(self.dir, 0o750)
            run(*self.as_postgres(f"{self.bin}/initdb", "-D", f"{self.dir}/data", "-U", "colvert", "--auth=trust",
                                  "--encoding=UTF8", "--locale=C", "--no-sync"), env=self.environment, cwd="/")
        self.book.start("postgres", self.as_postgres(
            f"{self.bin}/postgres", "-D", f"{self.dir}/data", "-k", self.dir, "-c", "listen_addresses=", "-c", "fsync=off",
            "-c", "full_page_writes=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB"),
            f"{self.dir}.log", env=self.environment, cwd="/")
        wait_until("PostgreSQL answers", self.ready)

    def ready(self):
        if not self.book.pid("postgres"):
            raise RuntimeError(f"PostgreSQL ended, see {self.dir}.log")
        try:
            run(f"{self.bin}/pg_isready", "-q", "-h", self.dir, "-U", "colvert", "-d", "postgres", env=self.environment)
            return True
        except RuntimeError:
            return False

    def stop(self):
        self.book.end("postgres", signal.SIGINT)
