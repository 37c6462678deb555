"""The policy where clocks stand still."""

import random

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
