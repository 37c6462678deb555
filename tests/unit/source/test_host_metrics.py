"""Samples of a machine, from readings that stand in the test."""

from pathlib import Path

import pytest

from actors.errors import SourceError
from actors.source.open import open_host_feed, open_source, open_stream_table, stream_table_name
from actors.source.transport.host_metrics import SCHEMA, HostSampler, Readings, plain_name, read_host
from config import make_job
from tests.support.canonical import is_canonical
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

SECOND_US = 1_000_000


def sampler_of(*readings: Readings, count: int = 10) -> HostSampler:
    waiting = iter(readings)
    return HostSampler(lambda: next(waiting), process_count_max=count, process_percent_min=5.0)


def test_a_sample_has_one_row_a_key() -> None:
    readings = Readings(cpu_percents={"0": 12.5, "1": 3.0}, levels={("memory", "memory_percent"): 40.0})
    assert sampler_of(readings).sample(1_234_567).rows() == [
        (1234, "cpu/0", "cpu_percent", None, 12.5),
        (1234, "cpu/1", "cpu_percent", None, 3.0),
        (1234, "memory", "memory_percent", None, 40.0),
    ]


def test_rates_are_differences_to_the_sample_before() -> None:
    sent = ("network/eth0/sent", "network_bytes_per_s")
    sampler = sampler_of(*[Readings(counters={sent: float(value)}) for value in (1000, 3000, 500, 600)])
    samples = [sampler.sample(2 * SECOND_US * number).rows() for number in range(4)]
    assert samples[0] == []
    assert samples[1] == [(2000, *sent, None, 1000.0)]
    assert samples[2] == []
    assert samples[3] == [(6000, *sent, None, 50.0)]


def test_two_samples_at_one_time_have_no_rates() -> None:
    readings = Readings(counters={("network/lo/sent", "network_bytes_per_s"): 5.0})
    sampler = sampler_of(readings, readings)
    sampler.sample(SECOND_US)
    assert sampler.sample(SECOND_US).height == 0


def test_the_busiest_processes_are_reported_by_name() -> None:
    before = {(1, 0.0, "sh"): 1.0, (2, 0.0, "sh"): 1.0, (3, 0.0, "idle"): 1.0, (4, 0.0, "my job"): 1.0}
    after = {
        (1, 0.0, "sh"): 1.2,
        (2, 0.0, "sh"): 1.3,
        (3, 0.0, "idle"): 1.04,
        (4, 0.0, "my job"): 2.0,
        (4, 9.0, "new"): 1.0,
    }
    sampler = sampler_of(Readings(process_seconds=before), Readings(process_seconds=after))
    sampler.sample(0)
    found = [(*row[:4], round(row[4])) for row in sampler.sample(SECOND_US).rows()]
    assert found == [
        (1000, "process", "process_percent", "my_job", 100),
        (1000, "process", "process_percent", "sh", 50),
    ]


def test_the_number_of_processes_is_bounded() -> None:
    readings = [Readings(process_seconds={(n, 0.0, f"p{n}"): used * n for n in range(9)}) for used in (0, 1)]
    sampler = sampler_of(*readings, count=2)
    sampler.sample(0)
    assert sampler.sample(SECOND_US)["name"].to_list() == ["p7", "p8"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [("eth0", "eth0"), ("kworker/0:1", "kworker/0:1"), ("my job\n", "my_job"), ("é", "unnamed"), ("x" * 99, "x" * 64)],
)
def test_names_are_plain_and_short(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_this_machine_can_be_read() -> None:
    sampler = HostSampler(read_host, process_percent_min=0.0)
    sampler.sample(0)
    sample = sampler.sample(SECOND_US)
    assert is_canonical(SCHEMA, sample)
    assert {"cpu/0", "memory"} <= set(sample["key"])
    assert sample.select("key", "name").is_duplicated().sum() == 0


def test_a_feed_fills_the_stream_table_that_the_job_reads(tmp_path: Path) -> None:
    job = make_job({"job": "machine", "metrics": ["value > 95"], "source": {"type": "host_metrics"}})
    assert stream_table_name(job) == "machine-host-metrics"
    with open_stream_table(job, tmp_path) as table:
        feed = open_host_feed(job, table)
        assert feed.period_ms == 1000
        count = feed.feed(SECOND_US)
        source = open_source(job, tmp_path, {table.name: table})
        assert read_split(source).next_offset == count > 0


def test_a_job_without_a_stream_has_no_table_and_no_feed(tmp_path: Path) -> None:
    job = make_trades_job({"rows": []})
    assert stream_table_name(job) is None
    with pytest.raises(SourceError, match="reads inline, not a stream table"):
        open_stream_table(job, tmp_path)


def test_a_stream_that_nobody_writes_is_read_from_its_folder(tmp_path: Path) -> None:
    job = make_trades_job({"type": "stream", "name": "trades"})
    with open_stream_table(job, tmp_path) as table:
        table.append([(1, "A", 6)])
        with pytest.raises(SourceError, match="reads stream, not host metrics"):
            open_host_feed(job, table)
    source = open_source(job, tmp_path)
    assert read_split(source).rows == ((0, (1, "A", 6)),)
    source.close()


def test_a_stream_of_other_columns_is_refused(tmp_path: Path) -> None:
    job = make_trades_job({"type": "stream", "name": "trades"})
    other = make_trades_job(
        {"type": "stream", "name": "trades"}, schema={"time": "DATE", "sym": "SYMBOL", "qty": "INT"}
    )
    with open_stream_table(job, tmp_path) as table, pytest.raises(ValueError, match="time: TIMESTAMP"):
        open_source(other, tmp_path, {"trades": table})
