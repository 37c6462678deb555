"""What `tocsin status` shows, also of what does not answer."""

from typing import Any

import pytest

from cluster.show.status import show_job, show_offsets, show_status

LEADER = {"member": "member-1", "alive": True, "pid": 11, "role": "leader", "term": 3, "commit_index": 40}

STATUS: dict[str, Any] = {
    "leader": "member-1",
    "epoch": 2,
    "members": [LEADER, {"member": "member-2", "alive": False}],
    "jobs": [{"job": "trades", "status": "running", "owners": ["host-0", "host-1", ""]}],
}


def make_stat(number: int, **changed: Any) -> dict[str, Any]:
    plain = {
        "partition": number, "committed": {0: 50}, "row_count": 50, "late_row_count": 1, "anomaly_count": 7,
        "dead_letter_count": 2, "size_bytes": 409_600, "state_size_bytes": 20_480, "degraded": None,
    }  # fmt: skip
    return plain | changed


def test_a_dead_member_is_shown_as_one_that_gives_no_answer() -> None:
    lines = show_status(STATUS).splitlines()
    assert lines[0] == "leader member-1, epoch 2"
    assert lines[4].split() == ["member-1", "leader", "11", "3", "40"]
    assert lines[5].split() == ["member-2", "no", "answer", "-", "-", "-"]


def test_jobs_are_shown_with_their_partitions_and_hosts() -> None:
    assert show_status(STATUS).splitlines()[-1].split() == ["trades", "running", "3", "2"]


def test_a_group_without_leader_or_jobs_is_shown() -> None:
    text = show_status({"leader": None, "epoch": 2, "members": [{"member": "member-2", "alive": False}], "jobs": []})
    assert text.splitlines()[0] == "leader -, epoch 2"
    assert len(text.splitlines()) == 5


def test_a_job_shows_its_partitions_and_their_trouble() -> None:
    job = {
        "name": "trades",
        "runner": {"phase": "running", "epoch": 2, "opened_us": 0, "failure_count": 3, "trouble": "the disk is full"},
        "partitions": [make_stat(0), make_stat(1, degraded="full")],
        "owners": ["host-0", "host-1"],
    }
    lines = show_job(job).splitlines()
    assert (
        lines[0] == "trades: running under epoch 2, open since 1970-01-01T00:00:00.000Z, 0 rows sent again, 3 restarts"
    )
    assert lines[1] == "last trouble: the disk is full"
    assert lines[4].split() == ["0", "host-0", "0:50", "50", "1", "7", "2", "400", "20"]
    assert lines[5].split()[-1] == "full"


def test_a_job_that_nobody_runs_shows_its_partitions_all_the_same() -> None:
    text = show_job({"name": "trades", "runner": None, "partitions": [make_stat(0)], "owners": ["host-0"]})
    assert len(text.splitlines()) == 3


def test_partitions_that_are_not_open_are_counted() -> None:
    job = {"name": "trades", "runner": None, "partitions": [make_stat(1)], "owners": ["host-0", "host-1", ""]}
    assert show_job(job).splitlines()[-1].startswith("1 partitions are not open;")


@pytest.mark.parametrize(
    ("offsets", "text"),
    [({}, "-"), ({0: 5}, "0:5"), ({0: 5, 1: 7}, "0:5 1:7"), (dict.fromkeys(range(5), 10), "50 in 5 splits")],
)
def test_offsets_are_shown_one_by_one_while_they_are_few(offsets: dict[int, int], text: str) -> None:
    assert show_offsets(offsets) == text
