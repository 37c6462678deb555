"""What a standby gives and costs: hosts killed until rows come again, and throughput and CPU with it and without.

    python scripts/bench_standby.py [--kills 5] [--rows 2000000] [--rounds 2]

Needs root and `ip`: the cluster is two machines, which are network namespaces. A job of four partitions on two hosts
reads a generated file, without a standby and with one in turn. Printed: for each way the medians of rows per second of
wall-clock time and of CPU time for a row, of all processes together; then, for each way, the time from the SIGKILL of a
host to the next rows, and how each anomaly table compares with an undisturbed run.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from failover_drill import make_trades, trades_job

from cluster.client.client import Client
from cluster.errors import ClusterError
from cluster.local.home import Home
from config.settings import JobSettings
from tests.support.namespaces import Machine, Machines, ip

RECOVERY_S = 120.0
"""Seconds after which a job that was hit will not go on any more."""


class Bench:
    """Runs jobs on one cluster."""

    def __init__(self, machines: list[Machine], path: Path) -> None:
        self._machines = machines
        self._path = path
        self._client = Client(Home(machines[0].directory / "home"))

    def job(self, name: str, standby: int, batch_rows: int) -> JobSettings:
        """Return the job under a name."""
        return trades_job(name, self._path, standby=standby, snapshot_rows=1_000_000, batch_rows=batch_rows)

    def _cpu_s(self) -> float:
        total = 0.0
        for machine in self._machines:
            for pid in machine.pids():
                try:
                    times = psutil.Process(pid).cpu_times()
                except psutil.NoSuchProcess:
                    continue
                total += times.user + times.system
        return total

    def throughput(self, name: str, standby: int) -> tuple[float, float]:
        """Run the file once; return rows per second, and CPU microseconds for a row."""
        before_s = self._cpu_s()
        self._client.submit(self.job(name, standby, 50_000))
        first_us = 0
        while not first_us and str(self._client.job(name).status) == "running":
            runner = self._client.runner_status(name)
            first_us = 0 if runner is None or runner.first_pumped_us is None else runner.first_pumped_us
            time.sleep(0.02)
        summary = self._client.wait_finished(name, 600)
        if summary.pump is None or summary.finished_us is None:
            raise SystemExit(f"the job failed: {summary.failed}")
        cpu_us = (self._cpu_s() - before_s) * 1e6
        rows = summary.pump.row_count
        self._client.end_hosts(name)
        return rows / ((summary.finished_us - first_us) / 1e6), cpu_us / rows

    def kill(self, name: str, standby: int, kill_count: int) -> tuple[list[float], list[tuple[bytes, bytes]]]:
        """Run the file, killing hosts on the way; return the times to the next rows, and the anomaly table."""
        self._client.submit(self.job(name, standby, 2_000))
        took_s: list[float] = []
        for number in range(kill_count):
            if not self._is_ready(name, standby):
                break
            time.sleep(0.3)
            hosts = sorted(set(self._client.job(name).owners))
            if str(self._client.job(name).status) != "running":
                break
            took = self._kill(name, hosts[number % len(hosts)])
            if took is not None:
                took_s.append(took)
        self._client.wait_finished(name, 600)
        entries = self._client.anomaly_entries(name)
        self._client.end_hosts(name)
        return took_s, entries

    def _is_ready(self, name: str, standby: int) -> bool:
        """Wait until rows go and copies are level, and return whether the job still runs."""
        end_s = time.monotonic() + RECOVERY_S
        while str(self._client.job(name).status) == "running" and time.monotonic() < end_s:
            job, runner = self._client.job(name), self._client.runner_status(name)
            ready = sum(one.is_ready for one in job.standbys.values())
            goes = runner is not None and runner.pump is not None and str(runner.phase) == "running"
            if goes and runner is not None and (not standby or ready == job.partition_count):
                return True
            time.sleep(0.05)
        return False

    def _kill(self, name: str, host: str) -> float | None:
        before = self._client.runner_status(name)
        failures = 0 if before is None else before.failure_count
        killed_s = time.monotonic()
        self._client.kill_host(name, host)
        reached = -1
        while str(self._client.job(name).status) == "running":
            try:
                runner = self._client.runner_status(name)
            except ClusterError:
                runner = None
            if runner is not None and runner.pump is not None and runner.failure_count > failures:
                if 0 <= reached < runner.pump.row_count:
                    took_s = time.monotonic() - killed_s
                    print(f"  killed {host}: rows after {took_s:.2f} s", flush=True)
                    return took_s
                if reached < 0 or runner.pump.row_count < reached:
                    reached = runner.pump.row_count
            if time.monotonic() - killed_s > RECOVERY_S:
                raise SystemExit(f"{host} was killed and no rows came: {runner}")
            time.sleep(0.01)
        return None


def run(machine: Machine, *words: str) -> None:
    """Run a command of Tocsin on a machine."""
    command = [sys.executable, "-m", "cluster", "--home", str(machine.directory / "home"), *words]
    subprocess.run(machine.command(*command), check=True, stdout=subprocess.DEVNULL, timeout=300)


def form(machines: list[Machine], path: Path) -> None:
    """Make one cluster of the machines."""
    first, *others = machines
    allowed = ("--allow-path", str(path.parent))
    run(first, "up", "--node-address", first.address, *allowed)
    for machine in others:
        password = machine.directory / "password"
        password.write_bytes((first.directory / "home" / "password").read_bytes())
        password.chmod(0o600)
        words = ("--node-address", machine.address, "--password-file", str(password), *allowed)
        run(machine, "join", f"{first.address}:7100", *words)


def main() -> int:
    """Measure; exit code 1 when anything is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ways", default="0,1", help="without a standby (0), with one (1), or both")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    with tempfile.TemporaryDirectory(prefix="tocsin-standby-") as directory:
        place = Path(directory)
        path = place / "trades.parquet"
        make_trades(path, options.rows, 1000, 1)
        with Machines(place, 2) as machines:
            ip("addr", "add", f"10.99.{os.getpid() % 250}.250/24", "dev", machines[0].bridge)
            form(machines, path)
            return measure(Bench(machines, path), path, options)


def measure(bench: Bench, path: Path, options: argparse.Namespace) -> int:
    """Run everything in turn and print it."""
    from actors.source.open import open_source
    from cluster.local.compare import compare, undisturbed_entries

    ways = [int(way) for way in options.ways.split(",")]
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for round_number in range(options.rounds):
        for standby in ways:
            figures = bench.throughput(f"round-{round_number}-{standby}", standby)
            found[standby].append(figures)
            print(f"standby {standby}: {figures[0] / 1e6:.3f} M rows/s, {figures[1]:.2f} us of CPU a row", flush=True)
    if options.rounds and len(ways) == 2:
        rate, cpu = ([statistics.median(one[kind] for one in found[way]) for way in (0, 1)] for kind in (0, 1))
        print(f"with a standby: {rate[1] / rate[0]:.2f} times the rows/s, {cpu[1] / cpu[0]:.2f} times the CPU")
    wrong = 0
    if options.kills:
        job = bench.job("undisturbed", 0, 2_000)
        source = open_source(job, path.parent)
        expected = undisturbed_entries(job, source, {0: options.rows}, lambda: time.time_ns() // 1000)
    for standby in ways if options.kills else ():
        took_s, entries = bench.kill(f"kills-{standby}", standby, options.kills)
        result = compare(entries, expected)
        wrong += result.missing_count + result.doubled_count + result.different_count
        spread = f"median {statistics.median(took_s):.2f}, worst {max(took_s):.2f}" if took_s else "none"
        print(f"standby {standby}: {len(took_s)} hosts killed, rows again after, s: {spread}; equal: {result.is_equal}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
