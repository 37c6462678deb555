"""Silences as they are typed and shown."""

from typing import Any

import pytest

from cluster.client.silences import show_silences, silence_records, typed_silence
from cluster.errors import ClusterError
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
