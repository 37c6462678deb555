"""What commands show of episodes, late rows and the reasons of anomalies."""

from datetime import datetime

import pytest

from actors.engine.episodes.episode import Episode, EpisodeState
from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly
from actors.partition.rejected_records import LateRow
from cluster.errors import ClusterError
from cluster.show.episodes import before, episode_frame, explained, late_frame, show_explained
from cluster.show.present import show_anomalies
from tests.support.partition_jobs import make_partition_job

JOB = make_partition_job(metrics=[{"when": "sum(qty) > 9", "for": 5}])
PLACE = AnomalyId(split=0, offset=7, ordinal=1)
DETAIL = '{"values": {"sum(qty)": 10}, "window": {"start": 1000, "end": 1020, "rows": 2}}'
ANOMALY = Anomaly(id=PLACE, time=1020, key=("A",), type=0, metric="sum(qty) > 9", detail=DETAIL)


def test_the_reasons_of_an_anomaly_are_told() -> None:
    assert show_explained(explained(JOB, PLACE, [ANOMALY])).splitlines() == [
        "sum(qty) > 9",
        "  at 1970-01-01T00:00:01.020Z, sym A, anomaly 0/7/1",
        "  window from 1970-01-01T00:00:01.000Z to before 1970-01-01T00:00:01.020Z, 2 rows",
        "  sum(qty)  = 10",
    ]


def test_an_anomaly_that_there_is_not_is_refused() -> None:
    with pytest.raises(ClusterError, match="has no anomaly 0/7/0"):
        explained(JOB, AnomalyId(split=0, offset=7, ordinal=0), [ANOMALY])


@pytest.mark.parametrize(
    ("place", "below"),
    [((0, 7, 1), (0, 7, 0)), ((0, 7, 0), (0, 6, 2**32 - 1)), ((1, 0, 0), (0, 2**64 - 1, 2**32 - 1)), ((0, 0, 0), None)],
)
def test_the_id_before_an_id_is_the_greatest_below(place: tuple[int, int, int], below: tuple[int, ...] | None) -> None:
    found = before(AnomalyId(split=place[0], offset=place[1], ordinal=place[2]))
    assert (found and (found.split, found.offset, found.ordinal)) == below


def test_tables_for_people_leave_out_the_details_of_metrics() -> None:
    assert "values" not in show_anomalies(JOB, [ANOMALY], as_json=False)
    assert "values" in show_anomalies(JOB, [ANOMALY], as_json=False, is_wide=True)


def test_episodes_are_shown_with_their_times() -> None:
    one = Episode(
        split=0, offset=3, type=0, key=("A",), start=1000, state=EpisodeState.FIRING, fired_at=1005, last_true=1010,
        count=4, peak=12,
    )  # fmt: skip
    row = episode_frame(JOB, [one]).row(0, named=True)
    assert (row["sym"], row["metric"], row["state"], row["count"], row["peak"]) == (
        "A",
        "sum(qty) > 9",
        "firing",
        4,
        12,
    )
    assert (row["start"], row["end"]) == (datetime(1970, 1, 1, 0, 0, 1), None)
    assert episode_frame(JOB, []).is_empty()


def test_episodes_of_metrics_that_are_gone_are_shown() -> None:
    one = Episode(split=0, offset=3, type=1, key=("A",), start=1000, last_true=1010, count=4)
    assert episode_frame(JOB, [one])["metric"].to_list() == [None]


def test_late_rows_are_shown_with_the_reason() -> None:
    late = LateRow(split=1, offset=5, late_by=30, row=(1000, "A", 4, "ann"))
    row = late_frame(JOB, [late]).row(0, named=True)
    assert row == {
        "split": 1, "offset": 5, "reason": "late by 30 ticks", "time": datetime(1970, 1, 1, 0, 0, 1), "sym": "A",
        "qty": 4, "user": "ann",
    }  # fmt: skip
    assert late_frame(JOB, []).columns == list(row)
