"""Kill processes of a loaded cluster at random moments, and count what is missing or doubled at the end.

    python scripts/failover_drill.py [--kills 20] [--victim KIND] [--stop] [--rows 3000000] [--seconds S] [--seed 1]

A job replays a generated file on a local cluster of three members and two hosts. At random moments processes are killed
by SIGKILL (with `--stop`, stopped by SIGSTOP, so that they neither end nor answer); the drill waits for the group to
recover, until each node has a leader's process that stands by, and kills again until the file is through (it is
replayed under a new job name as often as the kills need). Nobody is killed later than `--seconds` say. Printed: the
time from each kill to the first rows afterwards (for leaders, to the election, too), when `tocsin status` said that
something is wrong and how long it took to answer, and the comparison of each anomaly table with one undisturbed run.
`--table FILE` appends a line of JSON for each kill. The kinds:

    leader   the node that leads, with its leader's process      raylet   Ray's raylet
    host     a host of the job                                   gcs      Ray's control store
    node     the process of any node                             head     the node with Ray's head, and all of that Ray
    member   the process of a node that does not lead            any      one of these, chosen anew for each kill
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cluster.errors import ClusterError, NoAnswerError
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from cluster.local.speed import has_passed
from cluster.node.ray_keeper import RayRecord
from cluster.node.status import NodeStatus
from cluster.show.status import cluster_status
from config.load import parse_job
from config.settings import JobSettings

VICTIMS = ("leader", "host", "node", "member", "head", "raylet", "gcs")

RECOVERY_S = 180.0
"""Seconds after which a cluster that was hit will not recover any more, on a machine of usual speed."""

JOB = """
job: {name}
schema: {{time: TIMESTAMP, sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [sym]
metrics:
  - qty < 4
  - sum(qty) > 150000
  - avg(qty) > 40 * qty
  - price > 1.05 * prev(price)
window: {{size: 3s, step: 3s}}
source: {{type: parquet, path: {path}}}
partitions: 4
hosts: 2
standby: {standby}
group: 2
snapshot_interval_rows: {snapshot_rows}
limits: {{batch_rows_max: {batch_rows}}}
"""


def trades_job(
    name: str, path: Path, *, standby: int = 0, snapshot_rows: int = 200_000, batch_rows: int = 20_000
) -> JobSettings:
    """Return a job over such a file."""
    fields = {"standby": standby, "snapshot_rows": snapshot_rows, "batch_rows": batch_rows}
    return parse_job(JOB.format(name=name, path=path, **fields), path.parent)


def make_trades(path: Path, row_count: int, key_count: int, seed: int) -> None:
    """Write a Parquet file of trades, one row a millisecond."""
    random_numbers = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "time": np.arange(row_count) + 1_538_960_461_000,
            "sym": random_numbers.integers(0, key_count, row_count),
            "price": 100 * np.exp(random_numbers.normal(0, 0.02, row_count)),
            "qty": random_numbers.integers(1, 1000, row_count),
        }
    ).with_columns(pl.format("S{}", pl.col("sym")).alias("sym"))
    frame.write_parquet(path, row_group_size=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look at the cluster; nothing is known where nobody answers."""

    epoch: int = 0
    generation: int = 0
    """Of Ray's head, 0 while it starts."""

    head: str = ""
    """Node that carries it."""

    failure_count: int = 0
    row_count: int = 0


Killed = tuple[str, Callable[[Seen], bool]]
"""What was killed, and what tells that the cluster has noticed it and is over it."""


class Drill:
    """One drill on one cluster."""

    def __init__(self, home: Home, path: Path, seed: int, seconds: float, *, stops: bool) -> None:
        from cluster.client.client import Client

        self._client = Client(home)
        self._asking = Client(home)
        self._home = home
        self._path = path
        self._random = random.Random(seed)
        self._elected_s: list[float] = []
        self._resumed_s: dict[str, list[float]] = {}
        self._status_s: list[float] = []
        self._signal = signal.SIGSTOP if stops else signal.SIGKILL
        self.kills: list[dict[str, object]] = []
        self._last_kill_s = time.monotonic() + seconds

    def job(self, name: str) -> JobSettings:
        """Return the job under a name."""
        return trades_job(name, self._path)

    def run(self, name: str, kill_count: int, victim: str) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Run the file once, killing on the way; return the number of kills and the anomaly table."""
        job = self.job(name)
        self._client.submit(job)
        kills = 0
        while not self._is_over(name):
            if kills >= kill_count or self.is_late:
                time.sleep(0.2)
                continue
            self._wait_until_pumping(name)
            time.sleep(self._random.uniform(0.1, 2.0))
            if self._is_over(name):
                break
            self._kill(name, self._random.choice(VICTIMS) if victim == "any" else victim)
            kills += 1
        summary = self._client.wait_finished(name, 600)
        if summary.failed is not None:
            raise SystemExit(f"the job failed: {summary.failed}")
        return kills, self._entries(name)

    def _entries(self, name: str) -> list[tuple[bytes, bytes]]:
        """Return the anomaly table; what was killed last may still be on its way back."""
        asked_s = time.monotonic()
        while True:
            try:
                return self._client.anomaly_entries(name)
            except NoAnswerError as error:
                self._give_up_after(asked_s, f"nobody answers: {error}")

    @property
    def is_late(self) -> bool:
        """Whether there is no time for another kill."""
        return time.monotonic() >= self._last_kill_s

    def _is_over(self, name: str) -> bool:
        return str(self._client.job(name).status) != "running"

    def _wait_until_pumping(self, name: str) -> None:
        started_s = time.monotonic()
        while not has_passed(started_s, RECOVERY_S) and not self._is_over(name):
            runner = self._client.runner_status(name)
            # Who was killed before must be back: two failures at once are another matter.
            are_back = all(status is not None and status.child.address for _, status in self._client.statuses())
            if are_back and runner is not None and runner.first_pumped_us is not None:
                return
            time.sleep(0.02)

    def _kill(self, name: str, victim: str) -> None:
        over = threading.Event()
        said: list[str] = []
        asking = threading.Thread(target=self._ask_status, args=(name, over, said))
        asking.start()
        try:
            self._kill_and_wait(name, victim)
        finally:
            over.set()
            asking.join()
        print(f"    {said[0] if said else 'nothing was said'}", flush=True)

    def _ask_status(self, name: str, over: threading.Event, said: list[str]) -> None:
        """Ask for the status again and again, as people would; note how long that takes, and what is wrong first."""
        started_s = time.monotonic()
        while not over.wait(0.5):
            asked_s = time.monotonic()
            try:
                problems = cluster_status(self._asking, name).problems
            except ClusterError as error:
                problems = (str(error),)
            answered_s = time.monotonic()
            self._status_s.append(answered_s - asked_s)
            said += [f"status after {answered_s - started_s:.1f} s: {problems[0]}"] if problems else []

    def _kill_and_wait(self, name: str, victim: str) -> None:
        before = self._look(name)
        killed_s = time.monotonic()
        killed, is_over = getattr(self, f"_kill_{victim}")(name, before)
        while True:
            is_finished, found = self._is_over(name), self._look(name)
            # A job that has nobody to start its hosts again, because it is over, needs none.
            if (is_over(found) and (found.row_count or is_finished)) or (is_finished and victim == "host"):
                break
            self._give_up_after(killed_s, f"{killed} was {self._done} and the cluster did not recover: {found}")
        back_s = time.monotonic() - killed_s
        reached = self._look(name)
        while not self._is_over(name):
            found = self._look(name)
            if found.row_count and (found.epoch, found.row_count) != (reached.epoch, reached.row_count):
                took_s = time.monotonic() - killed_s
                self._resumed_s.setdefault(victim, []).append(took_s)
                self._note(victim, killed, back_s, took_s)
                print(f"  {self._done} {killed}: rows after {took_s:.2f} s", flush=True)
                return
            self._give_up_after(killed_s, f"{killed} was {self._done} and no rows came: {found}")
        self._note(victim, killed, back_s, None)
        print(f"  {self._done} {killed}: the job was over; back after {back_s:.2f} s", flush=True)

    @property
    def _done(self) -> str:
        return "stopped" if self._signal == signal.SIGSTOP else "killed"

    def _note(self, victim: str, killed: str, back_s: float, took_s: float | None) -> None:
        """Keep a line of the table."""
        took = None if took_s is None else round(took_s, 2)
        kill = {"victim": victim, "what": killed, "how": self._done, "back_s": round(back_s, 2), "rows_s": took}
        self.kills.append({**kill, "load": os.getloadavg()[0]})

    def _give_up_after(self, killed_s: float, reason: str) -> None:
        if has_passed(killed_s, RECOVERY_S):
            raise SystemExit(reason)
        time.sleep(0.02)

    def _look(self, name: str) -> Seen:
        try:
            state, runner = self._client.state(), self._client.runner_status(name)
        except ClusterError:
            return Seen()
        head = state.head
        return Seen(
            epoch=state.epoch,
            generation=head.generation if head is not None and head.address else 0,
            head=head.node if head is not None else "",
            failure_count=0 if runner is None else runner.failure_count,
            row_count=0 if runner is None or runner.pump is None else runner.pump.row_count,
        )

    def _kill_leader(self, name: str, before: Seen) -> Killed:
        from cluster.client.chaos import wait_for_leader

        found = [status for _, status in self._client.statuses() if status is not None and status.led_epoch is not None]
        if not found:
            raise NoAnswerError("nobody leads just now")
        killed_us = time.time_ns() // 1000
        for pid in (found[0].child.pid, found[0].pid):
            os.kill(pid, self._signal)
        leader = wait_for_leader(self._client, before.epoch + 1).leader
        assert leader is not None, "it leads"
        elected_s = (leader.led_since_us - killed_us) / 1e6
        self._elected_s.append(elected_s)
        return f"leader {found[0].name} (elected {elected_s:.2f} s)", lambda seen: seen.epoch > before.epoch

    def _kill_host(self, name: str, before: Seen) -> Killed:
        killed = self._random.choice(self._client.hosts(name))
        os.kill(int(self._client.host_pid(name, killed)), self._signal)
        was = (before.epoch, before.failure_count)
        return killed, lambda seen: (seen.epoch, seen.failure_count) != was

    def _kill_node(self, name: str, before: Seen) -> Killed:
        return self._kill_process(lambda found: True, before)

    def _kill_member(self, name: str, before: Seen) -> Killed:
        return self._kill_process(lambda found: found.led_epoch is None, before)

    def _kill_process(self, may_be: Callable[[NodeStatus], bool], before: Seen) -> Killed:
        found = [status for _, status in self._client.statuses() if status is not None and may_be(status)]
        victim = self._random.choice(found)
        os.kill(victim.pid, self._signal)
        epoch_min = before.epoch + (victim.led_epoch is not None)

        def is_back(seen: Seen) -> bool:
            now = dict(self._client.statuses()).get(victim.name)
            return now is not None and now.pid != victim.pid and seen.epoch >= epoch_min

        return f"process of {victim.name}", is_back

    def _kill_raylet(self, name: str, before: Seen) -> Killed:
        return self._kill_ray(before, "raylet")

    def _kill_gcs(self, name: str, before: Seen) -> Killed:
        return self._kill_ray(before, "gcs_server")

    def _kill_head(self, name: str, before: Seen) -> Killed:
        status = dict(self._client.statuses()).get(before.head)
        if status is not None:
            os.kill(status.pid, self._signal)
        return self._kill_ray(before, "gcs_server", "raylet")

    def _kill_ray(self, before: Seen, *kinds: str) -> Killed:
        record = RayRecord.read(self._home.member_directory(self._client.group_id, before.head))
        for kind in kinds if record is not None else ():
            assert record is not None
            os.kill(record.pids[kind], self._signal)
        return f"{' and '.join(kinds)} of {before.head}", lambda seen: seen.generation > before.generation

    def report(self) -> str:
        """Return the figures."""

        def spread(values: list[float]) -> str:
            return f"median {statistics.median(values):.2f}, worst {max(values):.2f}" if values else "none"

        lines = [f"a status took, s             {spread(self._status_s)}"]
        lines += [f"elected after, s             {spread(self._elected_s)}"]
        lines += [f"rows again after, s: {kind:<7} {spread(times)}" for kind, times in self._resumed_s.items()]
        return "\n".join(lines)


def main() -> int:
    """Run the drill; exit code 1 when anything is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victim", choices=(*VICTIMS, "any"), default="any")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--stop", action="store_true", help="stop processes instead of killing them")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="the last kill is not later")
    parser.add_argument("--table", type=Path, help="file that takes a line for each kill")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-drill-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        path = place / "trades.parquet"
        make_trades(path, options.rows, options.keys, options.seed)
        with local_cluster(home, ClusterOptions(has_dashboard=False)):
            return drill(home, path, options)


def drill(home: Home, path: Path, options: argparse.Namespace) -> int:
    """Run jobs until there were enough kills, compare each, and print the report."""
    from actors.source.open import open_source
    from cluster.local.compare import compare, undisturbed_entries

    running = Drill(home, path, options.seed, options.seconds, stops=options.stop)
    job = running.job("undisturbed")
    expected = undisturbed_entries(
        job, open_source(job, path.parent), {0: options.rows}, lambda: time.time_ns() // 1000
    )
    kills = missing = doubled = different = runs = 0
    while kills < options.kills and not (runs and running.is_late):
        runs += 1
        count, found = running.run(f"drill-{runs}", options.kills - kills, options.victim)
        kills += count
        result = compare(found, expected)
        missing += result.missing_count
        doubled += result.doubled_count
        different += result.different_count
        if options.table is not None:
            write_table(options.table, running.kills[-count:] if count else [], asdict(result))
        print(f"run {runs}: {count} kills, {len(found)} anomalies, equal: {result.is_equal}", flush=True)
    print(running.report())
    print(f"kills {kills}, missing {missing}, doubled {doubled}, different {different}")
    return int(bool(missing or doubled or different))


def write_table(path: Path, kills: list[dict[str, object]], result: dict[str, object]) -> None:
    """Append a line for each kill of a run of the file, with what the whole run lacked or had twice."""
    with path.open("a") as table:
        for kill in kills:
            table.write(json.dumps({**kill, **result}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
