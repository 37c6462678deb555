"""What is wrong with the notifications of a job file is said with the value and the way out."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config import ConfigError, JobSettings, make_job
from config.notifications import MuteSettings

HOOK = {"type": "webhook", "url": "http://127.0.0.1:1/hook", "only": "episodes"}
JOB: dict[str, Any] = {
    "job": "hot",
    "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE"},
    "time": "time",
    "key": ["host"],
    "metrics": [
        {"when": "load > 99", "for": 1, "id": "down"},
        {"when": "load > 90", "for": 1, "id": "high", "inhibited_by": ["down"], "labels": {"peak": "{peak}"}},
    ],
    "source": {"rows": []},
    "sinks": [HOOK],
    "notifications": {"group_by": ["host"], "group_wait": "30s", "repeat_after": "4h", "rate": {"max": 9, "per": "1m"}},
}


def notes(**notifications: Any) -> dict[str, Any]:
    return {"notifications": notifications}


def metrics(**second: Any) -> dict[str, Any]:
    return {"metrics": [JOB["metrics"][0], {"when": "load > 90", "for": 1, "id": "high", **second}]}


def test_a_policy_is_kept_as_it_is() -> None:
    job = make_job(JOB)
    assert JobSettings.from_bytes(job.to_bytes()) == job
    assert job.follows_policy(job.sinks[0])
    assert job.fingerprint == make_job(JOB | notes(group_by=["metric"])).fingerprint
    assert job.inhibiting_types == {0}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (notes(group_by=["hots"]), "'hots' is nothing to group by; did you mean 'host'"),
        (notes(group_by=["labels.peak"]), "'peak' changes while an episode lasts"),
        (notes(group_by=["host", "host"]), "'host' is named twice"),
        (notes(repeat_after="10s", group_wait="1m"), "10 s is shorter than `group_wait`, 60 s"),
        (notes(mute={"timezone": "Europe/Berln", "weekdays": "sat"}), "'Europe/Berln' is no time zone"),
        (notes(mute={"hours": "25:00-26:00"}), "'25:00-26:00' is no span of hours"),
        (notes(mute={"hours": "08:00-08:00"}), "'08:00-08:00' is no span of hours"),
        (notes(mute={"holidays": ["2026-13-01"]}), "'2026-13-01' is no date"),
        (notes(mute={"holidays": ["20261225"]}), "'20261225' is no date"),
        (notes(mute={"holidays": ["2026-W52-5"]}), "'2026-W52-5' is no date"),
        (notes(mute={"weekdays": ["sunnday"]}), "'sunnday' is no day"),
        (notes(mute={"timezone": "UTC"}), "nothing would be muted"),
        (notes(mute={"weekdays": "mon-sun"}), "nobody would ever be told; leave days out, or give `hours`"),
        (notes(rate={"max": 5, "per": "10ms"}), "0.01 s is too short"),
        (metrics(inhibited_by="absent"), "give `absent` a time"),
        (metrics(inhibited_by="dwn"), "nothing with episodes has the id 'dwn'; did you mean 'down'"),
        (metrics(inhibited_by={"id": "down", "equal": ["hst"]}), "'hst' is no key column"),
        (metrics(inhibited_by="high"), "'high' would be inhibited by itself"),
        ({"sinks": [{**HOOK, "only": "both"}]}, "no sink follows this"),
        ({"sinks": [{**HOOK, "only": "both", "policy": True}]}, "give this sink `only: episodes`"),
        ({"sinks": [HOOK, {"path": "out", "policy": True}]}, "a sink of type 'ndjson' is for programs"),
        ({"sinks": [HOOK | {"policy": True}], "notifications": None}, "the job has no policy"),
        ({"notifications": None}, "it keeps people from being told; give `notifications`"),
    ],
)
def test_mistakes_are_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_job(JOB | changed)
    assert words in str(caught.value)


def test_a_policy_that_is_faulty_is_not_asked_for_besides() -> None:
    with pytest.raises(ConfigError) as caught:
        make_job(JOB | {"sinks": [{**HOOK, "policy": False}]})
    assert "no sink follows this" in str(caught.value)
    assert "give `notifications`" not in str(caught.value)


def test_metrics_do_not_inhibit_one_another_in_a_circle() -> None:
    first = {"when": "load > 99", "for": 1, "id": "down", "inhibited_by": "high"}
    with pytest.raises(ConfigError, match="'down' would be inhibited by itself, perhaps through others"):
        make_job(JOB | {"metrics": [first, JOB["metrics"][1]]})


@pytest.mark.parametrize(
    ("mute", "moment", "is_muted"),
    [
        ({"hours": "22:00-06:00"}, "2026-12-01T21:59:59", False),
        ({"hours": "22:00-06:00"}, "2026-12-01T22:00:00", True),
        ({"hours": "22:00-06:00"}, "2026-12-02T05:59:59", True),
        ({"hours": "22:00-06:00"}, "2026-12-02T06:00:00", False),
        ({"weekdays": "sat-sun"}, "2026-12-05T12:00:00", True),
        ({"weekdays": "sat-sun"}, "2026-12-07T00:00:00", False),
        # The night of a Friday is over on Saturday.
        ({"weekdays": "fri", "hours": "22:00-06:00"}, "2026-12-05T03:00:00", True),
        ({"weekdays": "fri", "hours": "22:00-06:00"}, "2026-12-04T03:00:00", False),
        ({"weekdays": "fri", "hours": "22:00-06:00"}, "2026-12-04T12:00:00", False),
        ({"weekdays": "fri", "hours": "22:00-06:00", "holidays": ["2026-12-25"]}, "2026-12-25T12:00:00", True),
        ({"holidays": ["2026-12-25"]}, "2026-12-26T00:00:00", False),
        ({"hours": "12:00-24:00"}, "2026-12-25T23:59:00", True),
        ({"hours": "12:00-24:00"}, "2026-12-25T00:00:00", False),
    ],
)
def test_times_are_those_of_the_zone(mute: dict[str, Any], moment: str, is_muted: bool) -> None:
    zone = "America/New_York"
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
    assert MuteSettings(**mute, timezone=zone).mutes(int(at.timestamp()) * 1_000_000) is is_muted
