"""Silences as they are typed and shown."""

from typing import Any

import pytest

from cluster.client.silences import check_fits, show_silences, silence_records, typed_silence
from cluster.errors import ClusterError
from cluster.leader.notices.rules import Facts, fits_silence
from config import make_job
from raft.commands import SilenceAdded, SilenceExpired
from raft.group import GroupState, answer_to, apply

TYPED: dict[str, Any] = {
    "job": "hot",
    "metrics": ["load-*"],
    "severities": [],
    "keys": ["host=web-*"],
    "labels": [],
    "lasts": "2h",
    "until": None,
    "who": "ann",
    "why": "new disks",
}


def test_a_silence_is_what_was_typed() -> None:
    wanted = typed_silence(**TYPED)
    assert wanted.end_us - wanted.start_us == 2 * 3600 * 1_000_000
    assert (wanted.job, wanted.metric, wanted.key) == ("hot", ("load-*",), (("host", "web-*"),))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lasts": None}, "give one of --for and --until"),
        ({"lasts": None, "until": "2001-01-01"}, "'2001-01-01' is over"),
        ({"lasts": None, "until": "soon"}, "'soon' is no time"),
        ({"lasts": "2 fortnights"}, "fortnights"),
        ({"lasts": "0s"}, "--for 0s is too short"),
        ({"lasts": "500000w"}, "--for 500000w is too long"),
        ({"keys": ["web"]}, "--key 'web' names no value"),
        ({"severities": ["bad"]}, "'bad' is no severity"),
        ({"job": None, "metrics": [], "keys": []}, "this would silence everything"),
    ],
)
def test_mistakes_are_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        typed_silence(**(TYPED | changed))


def added(number: int, start_us: int, end_us: int) -> SilenceAdded:
    return SilenceAdded(request_id=f"s{number}", job="*", start_us=start_us, end_us=end_us, who="ann", why="")


def test_silences_that_are_over_are_shown_for_a_day_and_then_forgotten() -> None:
    day_us = 24 * 3600 * 1_000_000
    state, _ = apply(GroupState(), added(1, 0, 10))
    state, _ = apply(state, added(2, 20, 2 * day_us))
    assert [one["id"] for one in silence_records(state.silences, 20, are_all=False)] == ["s2"]
    assert [one["id"] for one in silence_records(state.silences, 20, are_all=True)] == ["s1", "s2"]
    state, _ = apply(state, added(3, day_us + 20, day_us + 30))
    assert sorted(state.silences) == ["s2", "s3"]


def test_a_silence_ends_when_it_is_expired_and_only_once() -> None:
    state, _ = apply(GroupState(), added(1, 0, 100))
    state, _ = apply(state, SilenceExpired(request_id="a", silence_id="s1", end_us=50))
    assert state.silences["s1"].end_us == 50
    state, _ = apply(state, SilenceExpired(request_id="b", silence_id="s1", end_us=60))
    assert "is over already" in str(answer_to(state, "b"))


def test_a_table_says_what_is_silenced_for_how_long_and_why() -> None:
    wanted = typed_silence(**TYPED)
    state, _ = apply(GroupState(), wanted)
    records = silence_records(state.silences, wanted.start_us, are_all=False)
    text = show_silences(records, wanted.start_us, as_json=False)
    assert "metric load-*, host=web-*" in text
    assert "new disks" in text


def test_patterns_of_one_column_are_alternatives() -> None:
    wanted = typed_silence(**(TYPED | {"metrics": [], "keys": ["host=web-1", "host=web-2", "site=a"]}))
    state, _ = apply(GroupState(), wanted)
    silence = state.silences[wanted.request_id]

    def fits(host: str, site: str) -> bool:
        key = {"host": host, "site": site}
        facts = Facts(metric="m", severity="", key=key, labels={}, group=(), is_wanted=True, inhibitors=(), inhibits=())
        return fits_silence(silence, facts)

    assert [fits("web-1", "a"), fits("web-2", "a"), fits("web-2", "b"), fits("web-3", "a")] == [
        True,
        True,
        False,
        False,
    ]
    records = silence_records(state.silences, wanted.start_us, are_all=False)
    assert records[0]["key"] == {"host": ["web-1", "web-2"], "site": "a"}
    assert "host=web-1 or web-2, site=a" in show_silences(records, wanted.start_us, as_json=False)


def test_a_silence_that_never_ends_is_listed_beside_others() -> None:
    state, _ = apply(GroupState(), added(1, 0, 1 << 62))
    state, _ = apply(state, added(2, 0, 100))
    records = silence_records(state.silences, 1, are_all=False)
    assert [one["id"] for one in records] == ["s2", "s1"]
    assert "s1" in show_silences(records, 1, as_json=False)


JOB: dict[str, Any] = {
    "job": "hot",
    "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE"},
    "time": "time",
    "key": ["host"],
    "metrics": [
        {"when": "load > 99", "id": "down", "severity": "critical", "labels": {"team": "ops"}},
        {"when": "load > 90"},
    ],
    "ticks": "10s",
    "absent": "5m",
    "source": {"rows": []},
    "sinks": [{"type": "webhook", "url": "http://127.0.0.1:1/hook", "only": "episodes"}],
    "notifications": {},
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"keys": ["hots=web-1"]}, "nothing in job 'hot' has the key column 'hots'; did you mean 'host'"),
        ({"labels": ["tema=ops"]}, "has the label 'tema'; did you mean 'team'"),
        ({"severities": ["error"]}, "has the severity 'error'; use one of critical"),
        ({"metrics": ["dwn"]}, "no metric or detector of job 'hot' fits 'dwn'; did you mean 'down'"),
        ({"metrics": ["down", "load > 9"]}, "fits 'load > 9'; did you mean 'load > 90'"),
    ],
)
def test_a_silence_that_can_fit_nothing_of_its_job_is_refused(changed: dict[str, Any], words: str) -> None:
    wanted = typed_silence(**(TYPED | {"metrics": []} | changed))
    with pytest.raises(ClusterError, match=words):
        check_fits(make_job(JOB), wanted)


def test_a_silence_of_a_job_that_tells_nobody_by_a_policy_is_refused() -> None:
    job = {name: value for name, value in JOB.items() if name != "notifications"}
    with pytest.raises(ClusterError, match="no sink of job 'hot' follows `notifications`"):
        check_fits(make_job(job), typed_silence(**TYPED))


def test_a_silence_of_anything_that_a_job_has_is_taken() -> None:
    given = {"metrics": ["d*", "load > 90", "absent*"], "labels": ["team=*"], "severities": ["critical"]}
    check_fits(make_job(JOB), typed_silence(**(TYPED | given)))
