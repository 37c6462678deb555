"""Accepted values: they hold from their place on, whatever happens in between."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.host import PartitionHost
from actors.partition.acceptances import Acceptance, AcceptanceError, find_acceptance
from actors.partition.anomaly_table import decode_entry
from actors.partition.assembly import build_detectors
from actors.partition.partition import Partition
from config import JobSettings
from tests.support.partition_jobs import make_batch, make_partition_job, read_table

DETECTORS: list[dict[str, Any]] = [
    {"type": "new_value", "watch": "user", "event": "qty", "learn": {"until": "1970-01-01T00:00:01"}},
    {"type": "event_sequence", "event": "user", "learn": {"rows": 1}, "options": {"length": 2}},
    {"type": "new_value_combination", "watch": [["qty", "user"]], "learn": {"rows": 1}},
    {"type": "value_range", "watch": "qty", "learn": {"rows": 1}},
    {"type": "new_event", "event": "user", "learn": {"rows": 1}},
    {"type": "stability", "watch": "user", "event": "qty"},
]


def make_job(*, detectors: list[dict[str, Any]] | None = None, **settings: Any) -> JobSettings:
    plain = {"metrics": [], "window": None, "partitions": 1, "detectors": detectors or DETECTORS[:1]}
    return make_partition_job(**plain | settings)


JOB = make_job()
ROWS = [(2000 + at, "AB"[at % 2], 1, ("ann", "bob", "cid")[at % 3]) for at in range(40)]


def accepting(
    job: JobSettings, position: int, *, key: str = "A", value: str = "ann", name: str = "one", event: str = "1"
) -> Acceptance:
    found = find_acceptance(
        build_detectors(job), job.row_schema, job.key_columns, key=[key], event=event, variable="user", value=value
    )
    return found.placed(name, {0: position})


def send(partition: Partition, end: int, *, size: int = 7, epoch: int = 1) -> None:
    start = partition.received[0]
    while start < end:
        count = min(size, end - start)
        partition.apply(epoch, make_batch(JOB, start, ROWS[start : start + count]), 0)
        start += count


def reported(partition: Partition) -> dict[str, list[int]]:
    """Return the offsets of the anomalies of each value of key A."""
    found: dict[str, list[int]] = {}
    for entry in partition.queries.anomaly_entries():
        anomaly = decode_entry(*entry)
        if anomaly.key == ("A",):
            found.setdefault(json.loads(anomaly.detail or "")["value"], []).append(anomaly.id.offset)
    return found


def run(directory: Path, *acceptances: Acceptance, size: int = 7) -> tuple[Any, Any]:
    with Partition.open(JOB, 0, directory) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, acceptances)
        send(partition, 40, size=size)
        partition.flush(1, 0)
        return partition.queries.anomaly_entries(), read_table(partition, "detectors")


def test_a_value_counts_as_known_from_its_place_on_for_its_key(tmp_path: Path) -> None:
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [accepting(JOB, 13)])
        send(partition, 40)
        partition.flush(1, 0)
        assert reported(partition) == {
            "ann": [0, 6, 12],
            "bob": [4, 10, 16, 22, 28, 34],
            "cid": [2, 8, 14, 20, 26, 32, 38],
        }


@pytest.mark.parametrize("size", [1, 2, 13, 40])
def test_the_cut_into_batches_changes_nothing(tmp_path: Path, size: int) -> None:
    values = (accepting(JOB, 13), accepting(JOB, 13, key="B", value="bob", name="two"))
    assert run(tmp_path / "one", *values, size=size) == run(tmp_path / "other", *values)


def test_an_acceptance_that_is_told_again_changes_nothing(tmp_path: Path) -> None:
    expected = run(tmp_path / "once", accepting(JOB, 13))
    assert run(tmp_path / "twice", accepting(JOB, 13), accepting(JOB, 13)) == expected


@pytest.mark.parametrize("flushed_at", [0, 5, 12, 13, 14, 15, 30])
@pytest.mark.parametrize("is_told_again", [True, False])
def test_a_crash_changes_nothing(tmp_path: Path, flushed_at: int, is_told_again: bool) -> None:
    expected = run(tmp_path / "undisturbed", accepting(JOB, 13))
    with Partition.open(JOB, 0, tmp_path / "crashed") as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [accepting(JOB, 13)])
        send(partition, flushed_at)
        partition.flush(1, 0)
        send(partition, min(flushed_at + 9, 40), size=3)
    with Partition.open(JOB, 0, tmp_path / "crashed") as partition:
        partition.begin(2, {0: 0}, 0)
        partition.accept(2, [accepting(JOB, 13)] if is_told_again else [])
        send(partition, 40, epoch=2)
        partition.flush(2, 0)
        assert (partition.queries.anomaly_entries(), read_table(partition, "detectors")) == expected


@pytest.mark.parametrize("taken_at", [5, 13, 20])
def test_a_snapshot_brings_what_was_accepted(tmp_path: Path, taken_at: int) -> None:
    with Partition.open(JOB, 0, tmp_path / "saved") as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [accepting(JOB, 13)])
        send(partition, taken_at)
        snapshot = partition.snapshot()
    with Partition.open(JOB, 0, tmp_path / "restored") as partition:
        partition.restore(snapshot, 0)
        partition.begin(1, {0: 0}, 0)
        send(partition, 40)
        partition.flush(1, 0)
        assert read_table(partition, "detectors") == run(tmp_path / "whole", accepting(JOB, 13))[1]


def test_a_key_of_another_partition_is_left_to_it(tmp_path: Path) -> None:
    job = make_job(partitions=16)
    with Partition.open(job, 3, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [accepting(job, 0)])
        partition.flush(1, 0)
        assert read_table(partition, "detectors") == []


def find(variable: str, value: str, *, event: str = "-", key: tuple[str, ...] = ("A",), name: str | None = None) -> Any:
    job = make_job(detectors=DETECTORS)
    found = find_acceptance(
        build_detectors(job), job.row_schema, job.key_columns, key=key, event=event, variable=variable, value=value,
        name=name,
    )  # fmt: skip
    return found.groups, found.value


def test_words_mean_the_detectors_that_know_the_variable() -> None:
    assert find("user", "bob", event="5") == (((0, ("A", 5)), (5, ("A", 5))), "bob")
    assert find("user", "bob", event="5", name="stability") == (((5, ("A", 5)),), "bob")
    assert find("user", "bob") == (((4, ("A",)),), "bob")
    assert find("user", '["ann", "bob"]') == (((1, ("A",)),), ["ann", "bob"])
    assert find("qty, user", '[5, "bob"]') == (((2, ("A",)),), [5, "bob"])
    assert find("qty", "5") == (((3, ("A",)),), 5)


def test_words_that_do_not_fit_one_detector_are_meant_for_those_that_they_fit() -> None:
    by_number = {"type": "new_value", "watch": "user", "event": "qty", "learn": {"rows": 1}}
    by_text = {"type": "new_value", "name": "texts", "watch": "user", "event": "sym", "learn": {"rows": 1}}
    job = make_job(detectors=[by_number, by_text])
    words: dict[str, Any] = {"key": ["A"], "variable": "user", "value": "bob"}
    found = find_acceptance(build_detectors(job), job.row_schema, job.key_columns, event="A", **words)
    assert [number for number, _ in found.groups] == [1]
    with pytest.raises(AcceptanceError, match="'A'"):
        find_acceptance(build_detectors(job), job.row_schema, job.key_columns, event="A", name="new_value", **words)


def find_by(columns: list[str], event: str) -> Any:
    watched = {"type": "new_value", "watch": "user", "event": columns, "learn": {"rows": 1}}
    types = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", "user": "STRING", "place": "LONG"}
    job = make_job(detectors=[watched], schema=types)
    found = find_acceptance(
        build_detectors(job), job.row_schema, ["sym"], key=["A"], event=event, variable="user", value="bob"
    )
    return found.groups[0][1]


def test_an_event_of_key_columns_and_one_of_several_columns_are_named_by_their_values() -> None:
    assert find_by(["sym"], "A") == find_by(["sym"], "-") == ("A",)
    assert find_by(["SYM", "qty"], '["A", 5]') == find_by(["sym", "qty"], "5") == ("A", 5)
    assert find_by(["qty", "place"], "[5, 7]") == ("A", 5, 7)


@pytest.mark.parametrize(
    ("columns", "event", "message"),
    [
        (["sym"], "B", "in key columns the values of the key"),
        (["qty", "place"], "5", "a JSON list if it has several columns"),
        (["qty", "place"], "[5]", "a JSON list if it has several columns"),
        (["qty", "place"], '["x", 5]', "column 'qty' is INT, which cannot hold 'x'"),
        (["qty"], "-", "Give an event id to those that learn by event"),
    ],
)
def test_an_event_of_other_columns_or_keys_is_refused_with_the_way_out(
    columns: list[str], event: str, message: str
) -> None:
    with pytest.raises(AcceptanceError, match=message):
        find_by(columns, event)


@pytest.mark.parametrize(
    ("variable", "value", "settings", "message"),
    [
        ("usr", "bob", {}, r"no detector can accept this value of 'usr'; there is new_value: user; event_sequence"),
        ("user", "bob", {"event": "x"}, "column 'qty' is INT, which cannot hold 'x'"),
        ("qty", "five", {}, "column 'qty' is INT, which cannot hold 'five'"),
        ("qty, user", "[5", {}, "is no JSON list"),
        ("user", "bob", {"key": ()}, "0 values of the key are given, but the key columns are: sym"),
        ("user", "bob", {"event": "5", "name": "rule"}, "there is none"),
        ("qty", "nan", {}, "column 'qty' is INT, which cannot hold 'nan'"),
        ("qty", str(2**70), {}, "column 'qty' is INT, which cannot hold '1180591620717411303424'"),
        ("qty, user", '[5, "bob", 6]', {}, "is not a combination of qty, user"),
        ("qty, user", '["5", "bob"]', {}, "column 'qty' is INT, which cannot hold '5'"),
        ("user", '["ann"]', {}, "is not a sequence of 2 event ids"),
        ("user", '["ann", null]', {}, "column 'user' is STRING, which cannot hold None"),
    ],
)
def test_words_that_fit_no_detector_are_refused(
    variable: str, value: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(AcceptanceError, match=message):
        find(variable, value, **settings)


@pytest.mark.parametrize("kind", ["new_value", "event_sequence", "new_value_combination", "value_range", "new_event"])
def test_every_kind_follows_what_was_accepted(kind: str, tmp_path: Path) -> None:
    words = {
        "new_value": ("user", "bob", "2"),
        "event_sequence": ("user", '["ann", "bob"]', "-"),
        "new_value_combination": ("qty, user", '[2, "bob"]', "-"),
        "value_range": ("qty", "2", "-"),
        "new_event": ("user", "bob", "-"),
    }[kind]
    job = make_job(detectors=[one for one in DETECTORS if one["type"] == kind])
    found = find_acceptance(
        build_detectors(job), job.row_schema, job.key_columns, key=["A"], event=words[2], variable=words[0],
        value=words[1],
    )  # fmt: skip
    rows = [(2000, "A", 1, "ann"), (2001, "A", 2, "bob"), (2002, "A", 1, "ann"), (2003, "A", 2, "bob")]
    with Partition.open(job, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [Acceptance.from_bytes(found.placed("one", {0: 3}).to_bytes())])
        partition.apply(1, make_batch(job, 0, rows), 0)
        partition.flush(1, 0)
        offsets = {decode_entry(*entry).id.offset for entry in partition.queries.anomaly_entries()}
    assert 1 in offsets
    assert 3 not in offsets


def test_a_value_accepted_by_an_earlier_version_that_fits_no_row_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    useless = replace(accepting(JOB, 0), value=["no", "text"])
    with Partition.open(JOB, 0, tmp_path) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.accept(1, [useless])
        send(partition, 10)
        partition.flush(1, 0)
        assert partition.committed == {0: 10}
    assert "an accepted value fits no row" in caplog.text


def test_torn_bytes_are_no_acceptance() -> None:
    data = accepting(JOB, 13).to_bytes()
    with pytest.raises(AcceptanceError, match="are no acceptance"):
        Acceptance.from_bytes(data[:-1])
    with pytest.raises(AcceptanceError, match="format 7; this version reads format 1"):
        Acceptance.from_bytes(data[:1] + b"\x07" + data[2:])


def test_a_host_tells_partitions_that_come_later(tmp_path: Path) -> None:
    host = PartitionHost(JOB.to_bytes(), str(tmp_path))
    host.accept(1, [accepting(JOB, 13).to_bytes()])
    host.open(1, [0], {0: 0}, {}, 0)
    host.flush(1, 0)
    assert [key for key, _ in read_table(host._partitions[0], "detectors")] == [b"\xff\xffone"]
    host.close()
