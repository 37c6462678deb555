"""How long commands take that ask an idle cluster of this machine, beside what Python itself takes.

    python scripts/bench_commands.py [--rounds 15]

Starts three nodes in a folder of its own, and a job that has found anomalies and waits for more rows. Then it runs each
command in turn, with files in the cache of the system, beside `python -c pass` and `python -c "import polars"`. Figures
are medians of wall and CPU time of the command's own process; ratios are to `pass` and to `import polars`. Aim: 0.5 s.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from actors.partition.anomalies import AnomalyFilter
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from config.load import parse_job

JOB = """
job: asked
schema: {time: TIMESTAMP, key: SYMBOL, value: LONG}
time: time
key: [key]
metrics: [value > 10]
source: {type: ndjson, path: rows.ndjson, follow: true}
partitions: 4
"""

ROW_COUNT = 1000
"""Rows of the job, half of which are anomalies."""

START_TIMEOUT_S = 120.0
"""Seconds until the job has found them."""


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return the seconds that it takes, and those that it works."""
    started_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return wall_s, used.ru_utime + used.ru_stime


def write_rows(path: Path) -> None:
    """Write the rows of the job."""
    lines = (
        f'{{"time": "2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z", "key": "k{n % 7}", "value": {n % 2 * 20}}}\n'
        for n in range(ROW_COUNT)
    )
    path.write_text("".join(lines))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="runs of each command")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-commands-") as name:
        home = Home(Path(name))
        prepare_environment(home)
        write_rows(Path(name) / "rows.ndjson")
        with local_cluster(home, ClusterOptions()):
            from cluster.client.client import Client

            client, started_s = Client(home), time.monotonic()
            client.submit(parse_job(JOB, Path(name)))
            while len(client.anomalies("asked", AnomalyFilter(), ROW_COUNT)) < ROW_COUNT // 2:
                if time.monotonic() - started_s > START_TIMEOUT_S:
                    sys.exit(f"the job found too little: {client.runner_status('asked')}")
                time.sleep(0.2)
            measure(home, arguments.rounds)


def measure(home: Home, round_count: int) -> None:
    """Run all commands in turn and print their medians."""
    tocsin = [sys.executable, "-m", "cluster", "--home", str(home.directory)]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import polars'": [sys.executable, "-c", "import polars"],
        "tocsin status": [*tocsin, "status"],
        "tocsin status asked": [*tocsin, "status", "asked"],
        "tocsin query anomalies --limit 20": [*tocsin, "query", "anomalies", "asked", "--limit", "20"],
        "tocsin query anomalies --limit 20 --newest": [
            *(*tocsin, "query", "anomalies", "asked", "--limit", "20", "--newest")
        ],
    }
    taken: dict[str, list[tuple[float, float]]] = {text: [] for text in commands}
    for number in range(round_count + 1):
        for text, command in commands.items():
            times = run_once(command)
            # The first round fills the cache of the system.
            if number:
                taken[text].append(times)
    medians = {
        text: (median(wall for wall, _ in times), median(cpu for _, cpu in times)) for text, times in taken.items()
    }
    (least, _), (polars, _) = medians["python -c pass"], medians["python -c 'import polars'"]
    print(f"load {os.getloadavg()[0]:.1f}, {round_count} rounds")
    print(f"{'command':44} {'wall s':>7} {'CPU s':>7} {'x pass':>7} {'x polars':>8}")
    for text, (wall, cpu) in medians.items():
        print(f"{text:44} {wall:7.3f} {cpu:7.3f} {wall / least:7.1f} {wall / polars:8.2f}")


if __name__ == "__main__":
    main()
