"""What `tocsin check` says about a job's notifications: who follows the policy, and what that means."""

from collections.abc import Mapping
from typing import Any

from actors.durations import show_duration
from config.settings import JobSettings


def policy_report(job: JobSettings) -> dict[str, Any] | None:
    """Return a job's policy as plain values, `None` where there is none."""
    if (policy := job.notifications) is None:
        return None
    rules = (*job.metrics, *job.detectors)
    return {
        "sinks": [sink.identity for sink in job.sinks if job.follows_policy(sink)],
        "others": [sink.identity for sink in job.sinks if not job.follows_policy(sink)],
        "group_by": list(policy.group_by),
        "group_wait_s": policy.group_wait,
        "repeat_after_s": policy.repeat_after,
        "rate": None if policy.rate is None else {"max": policy.rate.max, "per_s": policy.rate.per},
        "mute": [one.words for one in policy.mute],
        "inhibited": {
            rule.id or f"{number}": [one.id for one in rule.inhibited_by]
            for number, rule in enumerate(rules)
            if rule.inhibited_by
        },
    }


def policy_lines(policy: Mapping[str, Any]) -> list[str]:
    """Return what a policy means, for people."""
    how = [f"together by {', '.join(policy['group_by'])}" if policy["group_by"] else "of each episode by itself"]
    how += [f"after {_duration(policy['group_wait_s'])}"] if policy["group_wait_s"] else []
    if policy["repeat_after_s"] is not None:
        how.append(f"again after {_duration(policy['repeat_after_s'])}")
    if (rate := policy["rate"]) is not None:
        how.append(f"at most {rate['max']} in {_duration(rate['per_s'])}")
    lines = [f"told {', '.join(how)}: {', '.join(policy['sinks'])}"]
    lines += [f"  nobody is told: {words}" for words in policy["mute"]]
    lines += [f"  {name}: not while {' or '.join(by)} has an episode" for name, by in policy["inhibited"].items()]
    lines += [f"told everything at once: {', '.join(policy['others'])}"] if policy["others"] else []
    return lines


def _duration(seconds: float) -> str:
    return show_duration(round(seconds * 1e9))
