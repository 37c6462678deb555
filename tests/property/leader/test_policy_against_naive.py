"""The policy says what a naive one says, and nothing twice, wherever it loses its memory."""

import random
from typing import Any

import pytest

from raft.records import SilenceRecord
from tests.support.naive_notices import NaivePolicy
from tests.support.notice_case import NoticeCase, make_notice, make_notice_job, make_silence

NIGHT = 1_700_000_000 // 86_400 * 86_400 + 22 * 3600
"""Ten o'clock in the evening, in seconds."""

POLICIES: dict[str, dict[str, Any]] = {
    "each": {},
    "waits": {"group_wait": "7s", "repeat_after": "30s"},
    "groups": {"group_by": ["site"], "group_wait": "4s", "repeat_after": "25s", "items_max": 3},
    "rate": {"group_by": ["site", "metric"], "rate": {"max": 2, "per": "10s"}, "repeat_after": "20s"},
    "rate of each": {"group_wait": "3s", "rate": {"max": 3, "per": "15s"}},
    "mute": {"group_by": ["severity"], "group_wait": "2s", "mute": {"hours": "22:00-22:01"}, "repeat_after": "15s"},
}
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_says_what_a_naive_one_says(name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    job = make_notice_job(**POLICIES[name])
    case = NoticeCase(job, rng, crash_chance=rng.choice((0.0, 0.05, 0.2)))
    naive = NaivePolicy(job)
    going_on: dict[tuple[int, tuple[str, str]], int] = {}
    silences: dict[str, SilenceRecord] = {}
    number = 0
    for now in range(NIGHT - 40, NIGHT + 100):
        for _ in range(rng.choice((0, 0, 0, 1, 1, 3))):
            number += 1
            name_of_one = (rng.randrange(3), (rng.choice("ab"), rng.choice("xyz")))
            begun = going_on.get(name_of_one)
            state = "firing" if begun is None else rng.choice(("resolved", "resolved", "no data"))
            begun = going_on.setdefault(name_of_one, number)
            if state == "resolved":
                del going_on[name_of_one]
            one = make_notice(number, begun, *name_of_one, state)
            case.arriving.append(one)
            naive.take(now, (begun, name_of_one), one, is_over=state == "resolved")
        if rng.random() < 0.05:
            about = rng.choice(({"metric": ("hi*",)}, {"key": (("host", "x"),)}, {"severity": ("critical",)}, {}))
            silences[str(len(silences))] = make_silence(now, now + rng.randrange(1, 25), **about)
        expected = naive.step(now, list(silences.values()))
        case.run(now, silences)
        assert case.said(now) == expected, now - NIGHT
        assert case.policy.withheld == {reason: count for reason, count in naive.withheld.items() if count}
        assert case.policy.never == dict(naive.never)
