# SPDX-License-Identifier: EUPL-1.2
"""PYTHONPATH=tools python3 -m cluster start|stop|memory DIR [--hosts N] [--net kernel|ovn] [--driver qemu|fake] [--port PORT]"""
import argparse
import shutil
import sys

from .cluster import Cluster


def main():
    p = argparse.ArgumentParser(prog="cluster", description="A region of several hosts on this machine.")
    p.add_argument("what", choices=("start", "stop", "memory"))
    p.add_argument("dir")
    p.add_argument("--hosts", type=int, default=3)
    p.add_argument("--net", choices=("kernel", "ovn"), default="kernel")
    p.add_argument("--driver", choices=("qemu", "fake"), default="qemu")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--keep", action="store_true", help="stop: leave the folder")
    args = p.parse_args()
    cluster = Cluster(args.dir, args.hosts, args.net, args.driver, args.port)
    try:
        if args.what == "start":
            cluster.start()
            print(f"export OS_CLIENT_CONFIG_FILE={cluster.dir}/clouds.yaml OS_CLOUD=demo")
        elif args.what == "memory":
            print(cluster.memory())
        else:
            cluster.stop()
            if not args.keep:
                shutil.rmtree(cluster.dir)
    except RuntimeError as e:
        sys.exit(f"cluster: {e}")


main()
