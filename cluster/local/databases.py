"""Databases on disk, as people look after them: one shard by its directory or as JOB/PARTITION.

Joins what the shard, the store and the partition know of themselves. Only `compact` needs the shard to itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack

from actors.lmdb_file import DATA_FILE, DataFileError, check_data_file
from actors.partition.anomalies import Anomaly, AnomalyFilter
from actors.partition.anomaly_table import scan_anomalies
from actors.partition.check import check_partition, read_marks
from actors.partition.gaps import Gap
from actors.shard import Shard, ShardMissingError
from actors.shard.errors import shard_errors
from actors.shard.shard import META_TABLE
from actors.shard.upkeep import measure_shard, open_beside
from actors.store import Event
from actors.store.check.checking import check_store
from actors.store.check.findings import DAMAGE, Finding
from actors.store.query.contents import SeriesFacts, StoreFacts, read_facts
from actors.store.query.planner import QueryParams, QueryResult
from actors.store.query.reader import StoreReader
from cluster.client.event_pages import stream_events
from cluster.client.event_query import join_type
from cluster.client.nodes import PAGE_EVENT_COUNT
from cluster.errors import ClusterError
from cluster.local.home import Home
from cluster.show.event_layout import show_id, show_timestamp
from cluster.show.text import show_gap, show_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCheck:
    """What a check has walked over and found."""

    entry_count: int
    """Entries of all tables."""

    block_count: int
    """Blocks of events decoded."""

    event_count: int
    """Events in the logs."""

    findings: tuple[Finding, ...]
    """What is wrong; empty when nothing is."""


def find_database(home: Home, name: str) -> Path:
    """Return the directory of a shard that was named by its path or as JOB/PARTITION.

    Raises:
        ClusterError: there is no such shard.
    """
    path = Path(name).expanduser()
    if (path / DATA_FILE).exists():
        return path
    job, _, number = name.rpartition("/")
    partitions = home.partitions_directory(job or name)
    if job and number.isascii() and number.isdigit():
        directory = partitions / f"{int(number):04d}"
        if (directory / DATA_FILE).exists():
            return directory
    kept = _shards_below(path)
    if kept:
        # What `tocsin run --directory` keeps.
        raise ClusterError(f"{name!r} is no shard, but has some; name one: {', '.join(map(str, kept))}")
    known = [int(one.name) for one in _shards_below(partitions.parent)]
    if known:
        listed = ", ".join(f"{job or name}/{one}" for one in known)
        raise ClusterError(f"{name!r} is no shard; this job's are {listed}")
    raise ClusterError(f"{name!r} is no shard; give its directory, or JOB/PARTITION as trades/0")


def _shards_below(directory: Path) -> list[Path]:
    """Return the shards of a job's directory."""
    found = (one.parent for one in (directory / "partitions").glob(f"*/{DATA_FILE}"))
    return sorted(one for one in found if re.fullmatch("[0-9]+", one.name))


def measure_database(directory: Path) -> dict[str, Any]:
    """Return what a database takes and holds, as plain data.

    Raises:
        ShardError: it is no shard, or another version's.
    """
    with open_beside(directory) as shard:
        measure = measure_shard(shard)
        marks = read_marks(shard)
        meta = _read_meta(shard)
        reader = _reader_of(shard)
        store = None if reader is None else read_facts(reader)
    return {
        "directory": str(directory),
        "identifier": meta.get("identifier"),
        "format": meta.get("format"),
        "owner": measure.owner,
        "readers": list(measure.reading_processes),
        "file_bytes": measure.file_size_bytes,
        "map_bytes": measure.map_size_bytes,
        "page_bytes": measure.page_size_bytes,
        "pages": measure.page_count,
        "free_pages": measure.free_page_count,
        "transaction": measure.transaction_id,
        "tables": [
            {"table": one.name, "entries": one.entry_count, "bytes": one.size_bytes, "depth": one.depth}
            for one in measure.tables
        ],
        "partition": None
        if marks is None
        else {
            "format": marks.version,
            "epoch": marks.epoch,
            "next_offset": dict(marks.committed),
            "engine": dict(marks.engine),
            "watermark_us": dict(marks.watermarks),
            "gaps": [asdict(gap) for gap in marks.gaps],
        },
        "events": None if store is None else _store_record(store),
    }


def show_database(found: Mapping[str, Any]) -> str:
    """Return what `measure_database` found as text for people."""
    in_use = f"in use by process {found['owner']}" if found["owner"] else "not in use"
    if found["readers"]:
        in_use += f", read by {', '.join(map(str, found['readers']))}"
    free = found["free_pages"] * found["page_bytes"]
    lines = [
        f"{found['directory']}: {found['identifier'] or 'no identifier'}, format {found['format']}, {in_use}",
        f"{found['file_bytes']} bytes, {free} of them free, the map is {found['map_bytes']};"
        f" {found['transaction']} commits",
    ]
    partition, events = found["partition"], found["events"]
    if partition is not None:
        marks = ", ".join(f"split {split} at {offset}" for split, offset in sorted(partition["next_offset"].items()))
        lines.append(f"partition: format {partition['format']}, epoch {partition['epoch']}, {marks or 'no split yet'}")
        lines += [show_gap(Gap(**gap)) for gap in partition["gaps"]]
    if events is not None:
        lines.append(
            f"events: format {events['format']}, {events['types']} types, {events['latest']} latest,"
            f" {events['flushes']} flushes"
        )
        names = ("order_by", "types", "events", "event_bytes", "runs", "oldest", "newest")
        rows = [[_cell(one[name]) for name in names] for one in events["series"]]
        lines += ["", show_rows(("series by", *names[1:]), rows)]
    rows = [[str(one[name]) for name in ("table", "entries", "bytes")] for one in found["tables"]]
    return "\n".join([*lines, "", show_rows(("table", "entries", "bytes"), rows)])


def check_database(directory: Path) -> DatabaseCheck:
    """Walk over everything in a database and return what is wrong.

    Raises:
        ShardError: it is no shard, or another version's.
    """
    with shard_errors(directory):
        try:
            check_data_file(directory)
        except DataFileError as error:
            damage = Finding(table="data.mdb", place="the file", fault=str(error))
            return DatabaseCheck(entry_count=0, block_count=0, event_count=0, findings=(damage,))
    with open_beside(directory) as shard:
        findings: list[Finding] = []
        entry_count = sum(_walk_table(shard, name, findings) for name in shard.table_names())
        findings += check_partition(shard)
        reader = _reader_of(shard)
        store = None if reader is None else check_store(reader)
        return DatabaseCheck(
            entry_count=entry_count,
            block_count=0 if store is None else store.block_count,
            event_count=0 if store is None else store.event_count,
            findings=(*findings, *(() if store is None else store.findings)),
        )


@contextmanager
def database_events(directory: Path, params: QueryParams) -> Iterator[Iterator[Event]]:
    """Open a database and give the events on disk that are asked for, however many.

    Raises:
        ClusterError: it holds no events.
    """
    with open_beside(directory) as shard:
        reader = _reader_of(shard)
        if reader is None:
            raise ClusterError(f"{directory} has no events; its job stores none")

        def ask(partitions: Sequence[int], wanted: QueryParams) -> dict[int, QueryResult]:
            return dict.fromkeys(partitions, reader.query(wanted))

        yield stream_events([0], params, ask)


def first_events(directory: Path, params: QueryParams) -> list[Event]:
    """Return the first events on disk that are asked for."""
    with database_events(directory, params) as events:
        return list(islice(events, PAGE_EVENT_COUNT))


@contextmanager
def database_anomalies(directory: Path, wanted: AnomalyFilter) -> Iterator[Iterator[Anomaly]]:
    """Open a database and give its anomalies, however many.

    Raises:
        ClusterError: it holds none.
    """
    with open_beside(directory) as shard:
        if "anomalies" not in shard.table_names():
            raise ClusterError(f"{directory} has no anomalies; it is no partition's")
        yield _scan(shard, wanted)


def _scan(shard: Shard, wanted: AnomalyFilter) -> Iterator[Anomaly]:
    table = shard.table("anomalies")
    while True:
        with shard.read() as txn:
            page = scan_anomalies(txn, table, wanted, PAGE_EVENT_COUNT)
        if not page:
            return
        yield from page
        wanted = AnomalyFilter(
            time_from=wanted.time_from, time_to=wanted.time_to, key=wanted.key, type=wanted.type, after=page[-1].id
        )


def _walk_table(shard: Shard, name: str, findings: list[Finding]) -> int:
    """Read every entry of a table and return their number."""
    table, count, last = shard.table(name), 0, b""
    try:
        with shard.read() as txn, txn.cursor(table) as cursor:
            for key, _ in cursor:
                if count and bytes(key) <= last:
                    findings.append(Finding(table=name, place=f"key {bytes(key)!r}", fault="is out of order"))
                last = bytes(key)
                count += 1
    except DAMAGE as error:
        findings.append(Finding(table=name, place=f"after key {last!r}", fault=f"cannot be read: {error}"))
    return count


def _reader_of(shard: Shard) -> StoreReader | None:
    try:
        return StoreReader(shard)
    except ShardMissingError:
        return None


def _read_meta(shard: Shard) -> dict[str, Any]:
    table = shard.table(META_TABLE)
    with shard.read() as txn, txn.cursor(table) as cursor:
        return {bytes(key).decode(): msgpack.unpackb(value) for key, value in cursor}


def _store_record(store: StoreFacts) -> dict[str, Any]:
    return {
        "format": store.format,
        "flushes": store.flush_number,
        "types": store.type_count,
        "latest": store.latest_count,
        "splits": [
            {
                "split": one.server,
                "blocks": one.block_count,
                "last_id": "/".join(map(str, one.last_id)),
                "last_timestamp": show_timestamp(one.last_timestamp),
            }
            for one in store.servers
        ],
        "series": [_series_record(one) for one in store.series],
    }


def _series_record(series: SeriesFacts) -> dict[str, Any]:
    by_source = series.order_by.value == "SOURCE_TIMESTAMP"

    def end(event: Event | None) -> dict[str, str] | None:
        if event is None:
            return None
        time = event.source_timestamp if by_source else event.timestamp
        return {"id": show_id(event), "time": "" if time is None else show_timestamp(time)}

    return {
        "order_by": "source" if by_source else "time",
        "types": " ".join(join_type(pattern) for pattern in series.patterns),
        "active": series.is_active,
        "events": series.entry_count,
        "event_bytes": round(series.entry_size_bytes, 1),
        "runs": series.run_count,
        "oldest": end(series.oldest),
        "newest": end(series.newest),
    }


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["time"])
    return "-" if value is None else str(value)
