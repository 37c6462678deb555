"""Anomalies are numbered, stored and found by where they come from."""

from pathlib import Path

import polars as pl

from actors.model import AnomalyId
from actors.partition.anomalies import AnomalyFilter, newest_place
from actors.partition.anomaly_table import (
    decode_entry,
    encode_entries,
    merge_anomalies,
    newest_anomalies,
    scan_anomalies,
)
from actors.shard import Shard


def raised(*rows: tuple[int, str, int, int, int]) -> pl.DataFrame:
    """Return an anomaly frame of (time, sym, type, offset, ordinal)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return pl.DataFrame(
        {
            "time": pl.Series(columns[0], dtype=pl.Int64),
            "sym": pl.Series(columns[1], dtype=pl.String),
            "type": pl.Series(columns[2], dtype=pl.Int32),
            "metric": pl.Series([f"metric {kind}" for kind in columns[2]], dtype=pl.String),
            "offset": pl.Series(columns[3], dtype=pl.Int64),
            "ordinal": pl.Series(columns[4], dtype=pl.Int32),
        }
    )


def test_ordinals_of_a_row_go_on_from_the_engine_to_the_detectors() -> None:
    engine = raised((10, "A", 0, 5, 0), (10, "A", 1, 5, 1), (11, "B", 0, 7, 0))
    detector = raised((10, "A", 2, 5, 0), (12, "C", 2, 6, 0))
    merged = merge_anomalies([engine, detector])
    assert merged.select("offset", "ordinal", "type").rows() == [(5, 0, 0), (5, 1, 1), (5, 2, 2), (6, 0, 2), (7, 0, 0)]


def test_an_entry_is_read_as_it_was_written() -> None:
    merged = merge_anomalies([raised((10, "A", 0, 5, 3))])
    ((key, value),) = encode_entries(("sym",), 2, merged)
    anomaly = decode_entry(key, value)
    assert anomaly.id == AnomalyId(split=2, offset=5, ordinal=3)
    assert (anomaly.time, anomaly.key, anomaly.type, anomaly.metric) == (10, ("A",), 0, "metric 0")


def test_entries_sort_as_their_ids_do() -> None:
    ids = [(0, 255, 0), (0, 256, 0), (0, 256, 1), (1, 0, 0), (256, 0, 0)]
    keys = []
    for split, offset, ordinal in ids:
        frame = merge_anomalies([raised((0, "A", 0, offset, ordinal))])
        keys.append(encode_entries(("sym",), split, frame)[0][0])
    assert keys == sorted(keys)


def test_a_scan_filters_and_pages(tmp_path: Path) -> None:
    frame = merge_anomalies([raised(*((offset * 10, "AB"[offset % 2], 0, offset, 0) for offset in range(6)))])
    with Shard.open(tmp_path) as shard:
        table = shard.table("anomalies")
        for key, value in encode_entries(("sym",), 0, frame):
            shard.write(lambda txn, key=key, value=value: txn.put(key, value, db=table))
        with shard.read() as txn:
            of_b = scan_anomalies(txn, table, AnomalyFilter(key=("B",), time_to=30), 10)
            after = AnomalyId(split=0, offset=2, ordinal=0)
            page = scan_anomalies(txn, table, AnomalyFilter(after=after), 2)
    assert [anomaly.id.offset for anomaly in of_b] == [1, 3]
    assert [anomaly.id.offset for anomaly in page] == [3, 4]


def test_the_newest_come_by_time_whatever_their_split_and_page_exactly(tmp_path: Path) -> None:
    times = {0: (30, 10, None, 30), 1: (20, 40)}
    with Shard.open(tmp_path) as shard:
        table = shard.table("anomalies")
        for split, of_split in times.items():
            frame = merge_anomalies([raised(*((time, "A", 0, offset, 0) for offset, time in enumerate(of_split)))])
            for key, value in encode_entries(("sym",), split, frame):
                shard.write(lambda txn, key=key, value=value: txn.put(key, value, db=table))
        with shard.read() as txn:
            pages = [newest_anomalies(txn, table, AnomalyFilter(), 4)]
            pages.append(newest_anomalies(txn, table, AnomalyFilter(older_than=newest_place(pages[0][-1])), 4))
    shown = [[(anomaly.time, anomaly.id.split, anomaly.id.offset) for anomaly in page] for page in pages]
    assert shown == [[(40, 1, 1), (30, 0, 3), (30, 0, 0), (20, 1, 0)], [(10, 0, 1), (None, 0, 2)]]
