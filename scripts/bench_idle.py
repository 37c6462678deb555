"""What an idle cluster of this machine costs: its processes and their memory, without a job and with two idle hosts.

    python scripts/bench_idle.py [--dashboard]

Starts three nodes in a folder of its own, then a job of two hosts that waits for rows. Memory is the proportional set
size (PSS): pages that processes share count once. Linux only.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from cluster.local.cluster import ClusterOptions, all_processes, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import parse_job

JOB = """
job: waiting
schema: {time: TIMESTAMP, key: SYMBOL, value: LONG}
time: time
key: [key]
metrics: [value > 10]
source: {type: ndjson, path: rows.ndjson, follow: true}
hosts: 2
"""

SETTLING_S = 10.0
"""Seconds after which nothing is being started any more."""


def process_name(process: psutil.Process) -> str:
    """Return what a process is."""
    words = process.cmdline()
    modules = [word for word in words if word.startswith(("cluster.", "ray::"))]
    return modules[0] if modules else Path(words[0]).name if words else process.name()


def print_table(title: str, home: Home) -> None:
    """Print the processes of a home by kind."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for process in all_processes(home):
        name = process_name(process)
        counts[name] += 1
        sizes[name] += process.memory_full_info().pss
    print(f"\n{title}")
    for name, size in sizes.most_common():
        print(f"  {name:40} {counts[name]:3} {size / 2**20:8.0f} MiB")
    print(f"  {'all':40} {counts.total():3} {sizes.total() / 2**20:8.0f} MiB", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dashboard", action="store_true")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("the proportional set size is known on Linux only")
    with tempfile.TemporaryDirectory(prefix="tocsin-idle-") as name:
        home = Home(Path(name))
        prepare_environment(home)
        (Path(name) / "rows.ndjson").touch()
        with local_cluster(home, ClusterOptions(has_dashboard=arguments.dashboard)):
            from cluster.client.client import Client

            time.sleep(SETTLING_S)
            print_table("three nodes, no job", home)
            client = Client(home)
            client.submit(parse_job(JOB, Path(name)))
            client.open_for_queries("waiting")
            time.sleep(SETTLING_S)
            print_table("three nodes, a job of two hosts that waits", home)


if __name__ == "__main__":
    main()
