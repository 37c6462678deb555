"""The job of the page about notifications runs as it stands there, but for the address of the receiver."""

import re
from pathlib import Path
from typing import Any

import pytest

from cluster.local.embedded import run_file
from tests.support.receiver import Posted, receiving
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "notifications.md").read_text()
JOB = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
HOSTS = ("web-1", "web-2", "web-3")
ROWS = "time,site,host,load\n" + "".join(
    f"2026-01-01 00:0{at // 60}:{at % 60:02},fra,{host},{load if at < 60 else 10}\n"
    for at in range(0, 90, 10)
    for host, load in zip(HOSTS, (100, 90, 85), strict=True)
)
"""Three hosts of one site are hot for a minute; the first is down besides."""


def run(job: str, directory: Path, now_s: int) -> list[Posted]:
    (directory / "loads").mkdir()
    (directory / "loads" / "one.csv").write_text(ROWS)
    with receiving() as receiver:
        (directory / "job.yaml").write_text(job.replace("https://chat.example.org/hook", receiver.url))
        with run_file(directory / "job.yaml", directory / "run", lambda: now_s * 1_000_000) as (_, running):
            running.run()
        return receiver.posted


WEDNESDAY = 1_798_022_400
"""2026-12-23, noon in UTC, in seconds."""


def said(posted: list[Posted]) -> list[Any]:
    return [
        (one.data["group"]["metric"], one.data["firing"], one.data["resolved"], one.data["severity"]) for one in posted
    ]


def test_what_belongs_together_is_told_at_once(tmp_path: Path) -> None:
    posted = run(JOB, tmp_path, WEDNESDAY)
    # Groups wait until the run ends, and everything is over by then, also what inhibits.
    assert said(posted) == [("down", 0, 1, "critical"), ("load-high", 0, 3, "warning")]
    assert sorted(item["key"]["host"] for item in posted[1].data["items"]) == sorted(2 * HOSTS)
    assert posted[1].data["summary"] == "site fra, metric load-high: 3 resolved"
    assert [one.headers["idempotency-key"] for one in posted] == [one.data["id"] for one in posted]


def test_nobody_is_told_on_a_holiday(tmp_path: Path) -> None:
    assert run(JOB, tmp_path, WEDNESDAY + 2 * 86_400) == []


@pytest.mark.parametrize("body", ['{text: "{group} {state} {host} {severity}", count: "{resolved}"}'])
def test_templates_have_what_items_have_in_common(body: str, tmp_path: Path) -> None:
    posted = run(JOB.replace("only: episodes}", f"only: episodes, body: {body}}}"), tmp_path, WEDNESDAY)
    assert posted[0].data["count"] == 1
    assert posted[0].data["text"].endswith("web-1 critical")
    assert posted[1].data["text"].endswith("- warning")


def test_what_a_rate_holds_back_is_counted_in_a_digest(tmp_path: Path) -> None:
    job = JOB.replace("max: 20", "max: 1").replace("[site, metric]", "[host, metric]")
    posted = run(job, tmp_path, WEDNESDAY)
    assert [one.data["kind"] for one in posted] == ["group", "digest"]
    assert posted[1].data["held"] == [{"metric": "load-high", "began": 3, "ended": 3}]
    assert "load-high: 3 began, 3 ended" in posted[1].data["summary"]
