"""What can be asked of a partition: everything that is committed, and its events, those that wait for a flush too.

Queries come from any thread while rows are applied. Each reads the shard in a transaction of its own.
"""

from typing import Any, Final

from actors.detectors.groups import GroupId
from actors.detectors.verdicts import VariableVerdict
from actors.engine.episodes.episode import Episode
from actors.partition.acceptances import Acceptance
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.anomaly_table import AnomalyTable, newest_anomalies, scan_anomalies
from actors.partition.detection import near_groups, read_verdicts
from actors.partition.episode_table import EpisodeFilter, EpisodeTable
from actors.partition.rejected_records import LateRow, RecordTable, scan_late, scan_letters
from actors.shard import Shard
from actors.source.protocol import DeadLetter
from actors.store import Event, EventStore
from actors.store.query.planner import QueryParams, QueryResult
from config.settings import JobSettings

QUERIES: Final = frozenset(
    {
        "anomalies",
        "anomaly_entries",
        "dead_letters",
        "episodes",
        "event_page",
        "late_rows",
        "near_groups",
        "ready",
        "verdicts",
    }
)
"""What others may ask of a partition: methods of `PartitionQueries`."""


class PartitionQueries:
    """Reads of one open partition."""

    def __init__(
        self,
        job: JobSettings,
        shard: Shard,
        table: Any,
        *,
        anomalies: AnomalyTable,
        episodes: EpisodeTable,
        dead_letters: RecordTable,
        late_rows: RecordTable,
        store: EventStore | None,
    ) -> None:
        self._job = job
        self._shard = shard
        self._table = table
        self._anomalies = anomalies
        self._episodes = episodes
        self._dead_letters = dead_letters
        self._late_rows = late_rows
        self._store = store

    def events(self, params: QueryParams) -> list[Event]:
        """Return stored events, pending ones included; none when the job stores no events."""
        return list(self.event_page(params).events)

    def event_page(self, params: QueryParams) -> QueryResult:
        """Return stored events, pending ones included, and whether more would have matched."""
        return QueryResult((), False) if self._store is None else self._store.query(params)

    def ready(self) -> None:
        """Return nothing: that it is answered says that the partition is open and its files are there."""

    def verdicts(self) -> list[VariableVerdict]:
        """Return how the variables that the job follows behave."""
        return read_verdicts(self._job, self._shard)

    def near_groups(self, acceptance: Acceptance) -> list[GroupId]:
        """Return the groups that an acceptance means, or those that are most like it."""
        return near_groups(self._shard, acceptance)

    def anomalies(self, wanted: AnomalyFilter, count_max: int, *, newest_first: bool = False) -> list[Anomaly]:
        """Return anomalies, in the order of ids or, newest first, in that of times."""
        with self._shard.read() as txn:
            scan = newest_anomalies if newest_first else scan_anomalies
            return scan(txn, self._table, wanted, count_max, render=self._anomalies.render)

    def anomaly_entries(self) -> list[tuple[bytes, bytes]]:
        """Return the anomaly table as it is stored, to compare runs byte by byte."""
        with self._shard.read() as txn, txn.cursor(self._table) as cursor:
            return [(bytes(key), bytes(value)) for key, value in cursor]

    def dead_letters(self, count_max: int) -> list[DeadLetter]:
        """Return dead letters, oldest first."""
        with self._shard.read() as txn:
            return scan_letters(self._dead_letters, txn, count_max)

    def late_rows(self, count_max: int) -> list[LateRow]:
        """Return rows that the metrics discarded, oldest first."""
        with self._shard.read() as txn:
            return scan_late(self._late_rows, txn, count_max)

    def episodes(self, wanted: EpisodeFilter, count_max: int, *, newest_first: bool = False) -> list[Episode]:
        """Return episodes, in the order of the rows that began them or, newest first, in that of their starts."""
        with self._shard.read() as txn:
            return self._episodes.scan(txn, wanted, count_max, newest_first=newest_first)
