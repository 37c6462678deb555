"""The policy where clocks stand still."""

import random

import pytest

from tests.support.notice_case import SECOND, NoticeCase, make_notice, make_notice_job


def test_digests_of_one_moment_tell_of_different_things() -> None:
    job = make_notice_job(rate={"max": 1, "per": "1m"})
    case = NoticeCase(job, random.Random(1), crash_chance=0.0)
    told = []
    for number in range(4):
        case.arriving += [make_notice(2 * number + at, number, at, ("a", f"h{number}"), "firing") for at in (0, 1)]
        case.run(100, {})
        decision = case.policy.decide(100 * SECOND, {}, is_last=True)
        for intent in decision.intents:
            case.policy.begin([intent])
            case.intents[intent.id] = intent
            told.append(sum(began for _, _, began, _ in intent.counts))
    case.run(100, {})
    assert sum(told) == 7
    assert case.policy.counted == 0


@pytest.mark.parametrize("settings", [{}, {"group_by": ["metric"], "group_wait": 2}])
@pytest.mark.parametrize(("begun", "over", "is_told"), [(1, 9, False), (1, 8, False), (0, 9, True), (1, 10, True)])
def test_what_was_inhibited_until_its_end_is_not_told_when_both_end_together(
    settings: dict[str, object], begun: int, over: int, is_told: bool
) -> None:
    case = NoticeCase(make_notice_job(**settings), random.Random(1), crash_chance=0.0)
    key = ("a", "web-1")
    case.arriving += [make_notice(1, 1, 0, key, "firing"), make_notice(2, begun, 2, key, "firing")]
    for now in range(1, 6):
        case.run(now, {})
    case.arriving += [make_notice(9, 1, 0, key, "resolved"), make_notice(over, begun, 2, key, "resolved")]
    for now in range(9, 14):
        case.run(now, {})
    told = {item.notice.offset for sent in case.received.values() for item in sent.intent.items}
    assert {1, 9} <= told
    assert (2 in told) is is_told
    assert case.policy.never == ({} if is_told else {"inhibited": 1})
