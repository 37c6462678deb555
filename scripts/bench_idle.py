"""What an idle cluster of this machine costs: its processes and their memory, without a job, with 1 and with 10.

    python scripts/bench_idle.py [--dashboard] [--jobs 0 1 2 10] [--hosts N]

Starts three nodes in a folder of its own, then jobs that wait for rows, and share a process unless they get hosts of
their own. Memory is the proportional set size (PSS): pages that processes share count once. Linux only.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from process_watch import process_name

from cluster.leader.placement import has_wanted_hosts
from cluster.local.cluster import ClusterOptions, all_processes, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import parse_job

JOB = """
job: waiting-{number}
schema: {{time: TIMESTAMP, key: SYMBOL, value: LONG}}
time: time
key: [key]
metrics: [value > 10]
source: {{type: ndjson, path: rows.ndjson, follow: true}}
hosts: {hosts}
"""

SETTLING_S = 10.0
"""Seconds after which nothing is being started any more."""


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
    parser.add_argument("--jobs", type=int, nargs="+", default=[0, 1, 2, 10], help="numbers of jobs, ascending")
    parser.add_argument("--hosts", default="shared", help="hosts of each job")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("the proportional set size is known on Linux only")
    with tempfile.TemporaryDirectory(prefix="tocsin-idle-") as name:
        home = Home(Path(name))
        prepare_environment(home)
        (Path(name) / "rows.ndjson").touch()
        with local_cluster(home, ClusterOptions(has_dashboard=arguments.dashboard)):
            from cluster.client.client import Client

            client, submitted = Client(home), 0
            for count in arguments.jobs:
                for number in range(submitted, count):
                    client.submit(parse_job(JOB.format(number=number, hosts=arguments.hosts), Path(name)))
                    client.wait(f"waiting-{number}", has_wanted_hosts, 60)
                    client.open_for_queries(f"waiting-{number}")
                submitted = count
                time.sleep(SETTLING_S)
                print_table(f"three nodes, {count} jobs that wait, hosts: {arguments.hosts}", home)


if __name__ == "__main__":
    main()
