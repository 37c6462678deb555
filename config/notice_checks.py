"""Checks of a job's `notifications`: what they name has to be there, and somebody has to be told."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.templates import TemplateError, parse_template
from config.base import fault, suggest
from config.errors import Path
from config.notifications import ABSENT, GROUP_WORDS, LABEL
from config.rules import RuleSettings

if TYPE_CHECKING:
    from config.settings import JobSettings


def check_notifications(job: "JobSettings") -> None:
    """Check who follows the policy, what it groups by, and who inhibits whom.

    Raises:
        SettingError: something that is named is not there, or cannot be what it is named for.
    """
    _check_sinks(job)
    _check_groups(job)
    _check_inhibitors(job)
    _check_circles(job)


def _check_sinks(job: "JobSettings") -> None:
    for index, sink in enumerate(job.sinks):
        if sink.policy is None:
            continue
        path = ("sinks", index, "policy")
        if job.notifications is None:
            raise fault(path, "the job has no policy; give `notifications`, or leave `policy` out")
        if sink.policy and not sink.notifies:
            kind = getattr(sink, "type")  # noqa: B009
            text = f"a sink of type {kind!r} is for programs, which get everything; only webhook and notify can follow"
            raise fault(path, text)
        if sink.policy and job.sink_takes(sink) != (False, True):
            raise fault(path, "people are told of episodes; give this sink `only: episodes`, too")
    if job.notifications is None:
        return
    if not job.has_episodes:
        text = "no metric has episodes, so nobody would be told; give one `for`, `keep_firing` or `clear`; or `absent`"
        raise fault(("notifications",), text)
    if not any(map(job.follows_policy, job.sinks)):
        text = "no sink follows this; give a sink of type notify, or a webhook with `only: episodes`"
        raise fault(("notifications",), text)


def _check_groups(job: "JobSettings") -> None:
    rules = [(path, rule) for path, rule in _rules(job) if job.makes_episodes(rule)]
    labels = {label for _, rule in rules for label in rule.labels}
    known = (*job.all_key_columns, *GROUP_WORDS, *(f"{LABEL}{label}" for label in sorted(labels)))
    names = () if job.notifications is None else job.notifications.group_by
    for index, name in enumerate(names):
        if name not in known:
            text = f"{name!r} is nothing to group by; {suggest(name, known)}"
            raise fault(("notifications", "group_by", index), text)
        label = name.removeprefix(LABEL)
        for path, rule in rules if name.startswith(LABEL) else ():
            _check_stays(job, (*path, "labels", label), rule.labels.get(label, ""))


def _rules(job: "JobSettings") -> Iterator[tuple[Path, RuleSettings]]:
    for name, rules in (("metrics", job.metrics), ("detectors", job.detectors)):
        for number, rule in enumerate(rules):
            yield (name, number), rule


def _check_stays(job: "JobSettings", path: Path, text: str) -> None:
    """Check that a label stays the same while an episode lasts."""
    try:
        places = parse_template(text).places
    except TemplateError:
        # That is said of all texts.
        return
    for place in places:
        if place.name not in (*job.all_key_columns, "job", "rule", "severity", "key"):
            text = f"{place.name!r} changes while an episode lasts, which would change groups; name key columns"
            raise fault(path, text)


def _check_inhibitors(job: "JobSettings") -> None:
    known = [rule.id for _, rule in _rules(job) if rule.id is not None and job.makes_episodes(rule)]
    known += [ABSENT] if job.absent is not None else []
    for path, rule in _rules(job):
        path = (*path, "inhibited_by")
        if rule.inhibited_by and job.notifications is None:
            raise fault(path, "it keeps people from being told; give `notifications`, or leave it out")
        for place, one in enumerate(rule.inhibited_by):
            if one.id == ABSENT and ABSENT not in known:
                raise fault((*path, place), "no key of the job is ever absent; give `absent` a time, or leave this out")
            if one.id not in known:
                way = suggest(one.id, known) if known else "give a metric an `id`, and `for`, `keep_firing` or `clear`"
                raise fault((*path, place), f"nothing with episodes has the id {one.id!r}; {way}")
            both = inhibiting_columns(job, rule, one.id)
            for column in one.equal or ():
                if column not in both:
                    way = suggest(column, both) if both else "they have none in common"
                    raise fault((*path, place, "equal"), f"{column!r} is no key column of both; {way}")


def inhibiting_columns(job: "JobSettings", rule: RuleSettings, name: str) -> tuple[str, ...]:
    """Return the key columns that a rule and the one of an id have in common."""
    keys = dict(zip(map(id, job.metrics), job.keys, strict=True))
    other = next((known for _, known in _rules(job) if known.id == name), None)
    theirs = keys.get(id(other), job.key_columns)
    return tuple(column for column in keys.get(id(rule), job.key_columns) if column in theirs)


def _check_circles(job: "JobSettings") -> None:
    """Check that no two rules keep one another silent."""
    above = {rule.id: tuple(one.id for one in rule.inhibited_by) for _, rule in _rules(job) if rule.id is not None}
    for path, rule in _rules(job):
        seen, ahead = set(), [one.id for one in rule.inhibited_by]
        while ahead:
            name = ahead.pop()
            if name == rule.id:
                text = f"{name!r} would be inhibited by itself, perhaps through others; leave one of them out"
                raise fault((*path, "inhibited_by"), text)
            if name not in seen:
                seen.add(name)
                ahead += above.get(name, ())
