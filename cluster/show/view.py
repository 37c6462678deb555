"""The live terminal view of a job: rows per second, lag, partitions, leader, latest anomalies.

`Viewer` asks the cluster and turns the answers into something that rich can draw; `watch` draws it until told to stop.
Where the output is no terminal a line is printed each period instead.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from actors.errors import TocsinError
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.partition import PartitionStat
from actors.sink.lines import anomaly_rows
from cluster.client.client import Client
from cluster.leader.member_status import MemberView, newest_leader
from cluster.show.status import show_offsets
from cluster.show.text import show_cell
from config.settings import JobSettings

PERIOD_S = 0.5
"""Seconds between two looks."""

LATEST_COUNT = 10
"""Anomalies shown."""


class Viewer:
    """Asks for one job's state again and again, and draws it."""

    def __init__(self, client: Client, job: str) -> None:
        self._client = client
        self._job = job
        self._settings: JobSettings = client.settings(job)
        self._rows_before: tuple[float, int] | None = None
        self._rate = 0.0
        self.notes: list[str] = []
        """Lines that tell what has happened, newest last."""

    def look(self) -> "LiveView":
        """Ask members and hosts; whoever does not answer is left out."""
        members = self._client.members()
        try:
            stats = self._client.partition_stats(self._job)
            wanted = AnomalyFilter()
            latest = self._client.anomalies(self._job, wanted, LATEST_COUNT, newest_first=True, wait_s=0.0)
        except TocsinError:
            stats, latest = [], []
        if stats:
            self._measure(stats)
        return LiveView(self._settings, members, stats, latest, self._rate, list(self.notes))

    def _measure(self, stats: list[PartitionStat]) -> None:
        rows = sum(max(stat.received.values(), default=0) for stat in stats) // len(stats)
        now = time.monotonic()
        if self._rows_before is not None and now > self._rows_before[0] and rows >= self._rows_before[1]:
            self._rate = (rows - self._rows_before[1]) / (now - self._rows_before[0])
        self._rows_before = (now, rows)


class LiveView:
    """One look at a job, ready to be drawn."""

    def __init__(
        self,
        settings: JobSettings,
        members: list[MemberView],
        stats: list[PartitionStat],
        latest: list[Anomaly],
        rate: float,
        notes: list[str],
    ) -> None:
        self._settings = settings
        self._members = members
        self._stats = stats
        self._latest = latest
        self._rate = rate
        self._notes = notes
        self._leader = newest_leader(members)

    @property
    def anomaly_count(self) -> int:
        """Anomalies in all partitions that answered."""
        return sum(stat.anomaly_count for stat in self._stats)

    @property
    def row_count(self) -> int:
        """Records that every partition has received."""
        return min((sum(stat.received.values()) for stat in self._stats), default=0)

    def line(self) -> str:
        return (
            f"leader {self._leader_text()}  {self._rate:8.0f} rows/s  {self.row_count} rows  lag {self._lag()}  "
            f"{self.anomaly_count} anomalies"
        )

    def draw(self) -> Group:
        """Return the view for a terminal."""
        parts: list[Any] = [Text(f"tocsin  {self._settings.name}", style="bold"), self._summary(), self._partitions()]
        parts.append(self._anomalies())
        if self._notes:
            parts.append(Panel("\n".join(self._notes), title="events", title_align="left"))
        return Group(*parts)

    def _leader_text(self) -> str:
        if self._leader is None or self._leader.leader is None:
            return "none"
        return f"{self._leader.member_id} (epoch {self._leader.leader.epoch})"

    def _lag(self) -> int:
        if self._leader is None or self._leader.leader is None:
            return 0
        runner = self._leader.leader.jobs.get(self._settings.name)
        sent = 0 if runner is None or runner.pump is None else sum(runner.pump.positions.values())
        committed = min((sum(stat.committed.values()) for stat in self._stats), default=0)
        return max(sent - committed, 0)

    def _summary(self) -> Text:
        alive = sum(view.status is not None for view in self._members)
        style = "green" if self._leader is not None else "bold red"
        return Text.assemble(
            ("leader ", "dim"),
            (self._leader_text(), style),
            ("   members ", "dim"),
            f"{alive} of {len(self._members)}",
            ("   rows/s ", "dim"),
            f"{self._rate:.0f}",
            ("   lag ", "dim"),
            f"{self._lag()} rows",
            ("   anomalies ", "dim"),
            f"{self.anomaly_count}",
        )

    def _partitions(self) -> Table:
        table = Table(title="partitions", title_justify="left", expand=True)
        for name in ("partition", "rows", "committed", "late", "anomalies", "dead letters", "KiB"):
            table.add_column(name, justify="right")
        for stat in self._stats:
            committed = show_offsets(stat.committed)
            counts = (stat.late_row_count, stat.anomaly_count, stat.dead_letter_count, stat.size_bytes // 1024)
            table.add_row(str(stat.partition), str(stat.row_count), committed, *map(str, counts))
        return table

    def _anomalies(self) -> Table:
        table = Table(title="latest anomalies", title_justify="left", expand=True)
        names = [self._settings.time_column, *self._settings.all_key_columns, "metric"]
        for name in names:
            table.add_column(name, no_wrap=True)
        for row in anomaly_rows(self._settings, self._latest):
            table.add_row(*(show_cell(row[name]) for name in names))
        return table


def watch(
    client: Client,
    job: str,
    seconds: float | None,
    *,
    is_plain: bool = False,
    viewer: Viewer | None = None,
    on_look: Callable[[LiveView], None] | None = None,
) -> None:
    """Draw a job's view until the time is over, or the user interrupts."""
    viewer = viewer or Viewer(client, job)
    deadline = None if seconds is None else time.monotonic() + seconds
    console = Console()
    live = None if is_plain or not console.is_terminal else Live(console=console, refresh_per_second=4)
    try:
        if live is not None:
            live.start()
        while deadline is None or time.monotonic() < deadline:
            view = viewer.look()
            if live is not None:
                live.update(view.draw())
            else:
                print(view.line(), file=sys.stdout, flush=True)
            if on_look is not None:
                on_look(view)
            time.sleep(PERIOD_S if live is not None else 2 * PERIOD_S)
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.stop()
