"""How a host feeds sinks: in parts, from where each is, and what it has them do as time passes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SinkError
from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.model import AnomalyId
from actors.sink.open import ChosenSink, SinkPlaces, open_sinks
from actors.sink.protocol import OpenEpisodes, SinkRecord
from tests.support.memory_sink import MemorySink
from tests.support.partition_jobs import feed_sinks, make_batch, make_partition_job

JOB: dict[str, Any] = {
    "metrics": [{"when": "qty > 8", "for": 2}],
    "window": None,
    "partitions": 1,
    "flush": {"rows": 1000, "period_ms": 100},
}
ROWS = [(1000 + at, sym, 9, "ann") for at in range(4) for sym in ("A", "B")]


class Keeper(MemorySink):
    """A sink that notes which episodes it is told to go on, and may be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[list[Any]] = []
        self.is_broken = False

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        if self.is_broken:
            raise SinkError("out of order")
        super().write(anomalies)

    def keep(self, open_episodes: OpenEpisodes) -> None:
        self.kept.append([(one.partition, one.key[0]) for one in open_episodes()])


def fed(directory: Path, sink: dict[str, Any], places: SinkPlaces | None = None) -> PartitionHost:
    """Return a host that has applied the rows and not delivered anything."""
    job = make_partition_job(**JOB, sinks=[sink])
    host = PartitionHost(job.to_bytes(), str(directory), places or SinkPlaces())
    host.open(1, [0], {0: 0}, {}, 0)
    rows = make_batch(job, 0, ROWS)
    batch = HostBatch(
        split=0, start=0, end=len(ROWS), partitions=(0,), rows={0: (rows.frame, rows.offsets)}, dead_letters={}
    )
    host.apply(1, batch, 0)
    host.flush(1, 0)
    return host


def test_a_sink_is_given_what_goes_on_whether_or_not_anything_comes(tmp_path: Path) -> None:
    host = fed(tmp_path, {"path": "out", "only": "episodes"})
    feed_sinks(host, [keeper := Keeper()])
    assert [host.deliver(0), host.deliver(0)] == [10, 0]
    assert keeper.kept == [[(0, "A"), (0, "B")]] * 2
    host.close()


def test_a_sink_that_takes_nothing_has_nothing_else_to_do(tmp_path: Path) -> None:
    host = fed(tmp_path, {"path": "out"})
    feed_sinks(host, [keeper := Keeper()])
    keeper.is_broken = True
    with pytest.raises(SinkError, match="out of order"):
        host.deliver(0)
    assert keeper.kept == []
    host.close()


def test_what_was_printed_before_the_pipe_broke_is_not_printed_again(tmp_path: Path) -> None:
    lines: list[str] = []

    def print_line(line: str) -> None:
        if len(lines) == 3 and "broken" not in lines:
            lines.append("broken")
            raise BrokenPipeError(32, "Broken pipe")
        lines.append(line)

    host = fed(tmp_path, {"type": "stdout"}, SinkPlaces(print_line=print_line))
    with pytest.raises(SinkError, match="the standard output takes nothing: Broken pipe"):
        host.deliver(0)
    assert host.deliver(0) == 5
    assert [json.loads(line)["offset"] for line in lines if line != "broken"] == list(range(8))
    host.close()


def test_a_process_without_a_standard_output_prints_nothing(tmp_path: Path) -> None:
    host = fed(tmp_path, {"type": "stdout"})
    with pytest.raises(SinkError, match="this process has no standard output"):
        host.deliver(0)
    host.close()


@pytest.mark.parametrize(
    ("sink", "sizes"),
    [
        ({"type": "stdout"}, [50]),
        ({"type": "webhook", "url": "http://a/b"}, [20, 20, 10]),
        # What is not wanted is done with beside what is.
        ({"type": "webhook", "url": "http://a/b", "where": {"key": {"sym": "A"}}}, [39, 11]),
        ({"type": "webhook", "url": "http://a/b", "where": {"key": {"sym": "C"}}}, [50]),
        ({"type": "notify", "url": "env:A", "only": "anomalies"}, [1] * 20),
        ({"type": "notify", "url": "env:A"}, [50]),
    ],
)
def test_a_mark_is_written_the_more_often_the_longer_a_record_takes(sink: dict[str, Any], sizes: list[int]) -> None:
    records = [
        SinkRecord(
            partition=0,
            id=AnomalyId(split=0, offset=at, ordinal=0),
            time=at,
            key=("AB"[at % 2],),
            type=0,
            metric="qty > 8",
        )
        for at in range(50)
    ]
    (chosen,) = open_sinks(make_partition_job(**JOB, sinks=[sink]))
    assert isinstance(chosen, ChosenSink)
    assert [len(part) for part in chosen.parts(records)] == sizes
    assert list(chosen.parts([])) == []


def test_what_is_done_as_time_passes_keeps_no_job_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Keeper, open_episodes: OpenEpisodes) -> None:
        raise SinkError("nobody answers")

    host = fed(tmp_path, {"path": "out", "only": "episodes"})
    feed_sinks(host, [Keeper()])
    monkeypatch.setattr(Keeper, "keep", fail)
    with pytest.raises(SinkError, match="nobody answers"):
        host.deliver(0)
    assert host.deliver(0, is_last=True) == 0
    assert caplog.records[-1].reason == "nobody answers"  # type: ignore[attr-defined]
    host.close()
