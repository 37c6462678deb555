"""What a partition keeps of the reasons of anomalies, and who is told."""

from pathlib import Path

from actors.partition.anomalies import AnomalyFilter
from actors.partition.partition import Partition
from tests.support.partition_jobs import LEARNING, SINKS, make_batch, make_partition_job

ROWS = [(1000, "A", 9, "ann"), (1005, "A", 1, "bob"), (1025, "A", 2, "cid"), (1026, "A", 3, "eve")]
METRICS = {"metrics": ["qty > 8", "sum(qty) > 9"], "window": {"size": 20}}


def details(directory: Path, **settings: object) -> list[tuple[int, str | None]]:
    """Return type and detail of the anomalies that `ROWS` raise."""
    job = make_partition_job(**METRICS, **SINKS, **settings)
    with Partition.open(job, 0, directory) as partition:
        partition.begin(1, {0: 0}, 0)
        partition.apply(1, make_batch(job, 0, ROWS), 0)
        partition.flush(1, 0)
        found = partition.queries.anomalies(AnomalyFilter(), 100)
        assert partition.outbox(0, 100) == found
    return [(anomaly.type, anomaly.detail) for anomaly in found]


def test_the_values_and_the_window_of_an_anomaly_are_kept(tmp_path: Path) -> None:
    window = '{"values": {"sum(qty)": 10}, "window": {"start": 1000, "end": 1020, "rows": 2}}'
    assert details(tmp_path) == [(0, '{"values": {"qty": 9}}'), (1, window)]


def test_a_job_may_do_without_them(tmp_path: Path) -> None:
    assert details(tmp_path, engine={"explain": "none"}) == [(0, None), (1, None)]


def test_detectors_keep_their_own_details(tmp_path: Path) -> None:
    found = details(tmp_path, **LEARNING)
    assert [kind for kind, _ in found] == [0, 1, 2]
    assert '"sum(qty)": 10' in str(found[1][1])
    assert "eve" in str(found[2][1])
