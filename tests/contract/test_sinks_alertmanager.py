"""Alerts at a real Alertmanager: they fire, are refreshed, and are resolved; and what it tells its own receivers."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.open import ChosenSink, SinkPlaces, open_sinks
from actors.sink.protocol import SinkRecord
from cluster.local.speed import slowness
from tests.support.brokers import Server, alertmanager_command, running
from tests.support.partition_jobs import make_partition_job
from tests.support.receiver import Receiver, receiving

METRIC = {
    "when": "qty > 8",
    "id": "big",
    "severity": "error",
    "labels": {"team": "{sym}-ops"},
    "summary": "{sym}: {qty}",
    "runbook": "http://wiki/big",
    "for": "1s",
}


@dataclass
class Alerts:
    """An Alertmanager and the receiver that it tells."""

    server: Server
    told: Receiver

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def active(self, sym: str) -> list[Any]:
        """Return the alerts about a key that it has and that have not ended."""
        found = urllib3.request("GET", f'{self.url}/api/v2/alerts?filter=sym="{sym}"').json()
        return [one for one in found if one["status"]["state"] == "active"]

    def notified(self, sym: str) -> list[Any]:
        """Return what it has told of a key, in order."""
        found = [alert for one in self.told.posted for alert in one.data["alerts"]]
        return [one for one in found if one["labels"]["sym"] == sym]


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerts]:
    with ExitStack() as stack:
        told = stack.enter_context(receiving())
        directory = tmp_path_factory.mktemp("alertmanager")
        yield Alerts(stack.enter_context(running(alertmanager_command(directory, told.url))), told)


def sink_at(url: str, now_s: Callable[[], int] = lambda: int(time.time()), **settings: Any) -> ChosenSink:
    sink = {"type": "alertmanager", "url": url, "timeout": "2s", **settings}
    job = make_partition_job(metrics=[METRIC], window=None, sinks=[sink])
    (found,) = open_sinks(job, SinkPlaces(now_s=now_s))
    assert isinstance(found, ChosenSink)
    return found


def notice(sym: str, state: str, start_s: float, end_s: float | None = None) -> SinkRecord:
    """Return what is said of an episode of a key, at the time of its start and end."""
    start, end = (None if at is None else int(at * 1000) for at in (start_s, end_s))
    episode = {"state": state, "start": start, "fired_at": start, "end": end, "last_true": start, "count": 3, "peak": 9}
    return SinkRecord(
        partition=0,
        id=AnomalyId(split=0, offset=start or 0, ordinal=1 << 28),
        time=start,
        key=(sym,),
        type=0,
        metric="qty > 8",
        detail=json.dumps({"episode": episode, "values": {"qty": 9}}),
    )


def until(condition: Callable[[], Any]) -> Any:
    due_s = time.monotonic() + 20 * slowness()
    while not (found := condition()):
        assert time.monotonic() < due_s, "it takes too long"
        time.sleep(0.02)
    return found


def test_an_episode_is_an_alert_that_fires_and_is_resolved(alerts: Alerts) -> None:
    now = time.time()
    sink = sink_at(alerts.url, annotations={"peak": "{peak:.1f}"}, labels={"room": "a"})
    sink.write([notice("A", "firing", now - 60)])
    (found,) = alerts.active("A")
    labels = {"alertname": "big", "severity": "error", "sym": "A", "team": "A-ops", "tocsin_job": "trades", "room": "a"}
    assert found["labels"] == labels
    assert found["annotations"] == {
        "id": f"trades/0-{int((now - 60) * 1000)}-268435456",
        "peak": "9.0",
        "runbook_url": "http://wiki/big",
        "state": "firing",
        "summary": "A: 9",
    }
    assert until(lambda: alerts.notified("A"))[0]["status"] == "firing"
    sink.write([notice("A", "resolved", now - 60, now - 1)])
    assert alerts.active("A") == []
    _, over = until(lambda: len(alerts.notified("A")) > 1 and alerts.notified("A"))
    assert (over["status"], over["labels"]) == ("resolved", labels)
    assert over["startsAt"] < over["endsAt"]
    sink.close()


def test_an_alert_is_sent_again_until_it_ends(alerts: Alerts) -> None:
    now = time.time()
    clock = [int(now)]
    sink = sink_at(alerts.url, lambda: clock[0], refresh="30s")
    firing = notice("B", "firing", now - 60)
    sink.write([firing])
    (first,) = alerts.active("B")
    sink.keep(lambda: [firing, replace(firing, key=("not this",), type=5, detail="no episode")])
    # It forgets all alerts when it is started anew.
    alerts.server.kill()
    clock[0] += 30
    with pytest.raises(SinkError, match="no answer"):
        sink.keep(lambda: [firing])
    alerts.server.start()
    sink.keep(lambda: [firing])
    (again,) = until(lambda: alerts.active("B"))
    assert again["endsAt"] > first["endsAt"]
    assert {name: again[name] for name in ("labels", "startsAt")} == {
        name: first[name] for name in ("labels", "startsAt")
    }
    clock[0] += 29
    sink.keep(lambda: pytest.fail("that is not due"))
    sink.close()


def test_an_alert_never_ends_before_it_starts_and_never_in_the_future(alerts: Alerts) -> None:
    now = time.time()
    sink = sink_at(alerts.url)
    # The clock of who sends rows is ahead; the episode ends where it begins.
    sink.write([notice("C", "firing", now + 5000), notice("C", "resolved", now + 5000, now + 4000)])
    assert alerts.active("C") == []
    sink.write([notice("D", "firing", now - 10), notice("D", "resolved", now - 10, now - 500)])
    assert alerts.active("D") == []
    sink.write([notice("D", "firing", now - 5)])
    assert len(alerts.active("D")) == 1
    sink.close()


def test_an_episode_without_data_is_not_resolved(alerts: Alerts) -> None:
    sink = sink_at(alerts.url)
    now = time.time()
    sink.write([notice("E", "firing", now - 10), notice("E", "no data", now - 10)])
    (found,) = alerts.active("E")
    assert found["annotations"]["state"] == "no data"
    sink.close()


def test_one_that_says_nothing_is_waited_for_in_bounded_time(alerts: Alerts) -> None:
    now = time.time()
    sink = sink_at(alerts.url, timeout="200ms")
    alerts.server.pause()
    try:
        with pytest.raises(SinkError, match="no answer") as caught:
            sink.write([notice("F", "firing", now)])
    finally:
        alerts.server.go_on()
    assert caught.value.taken_count == 0
    until(lambda: alerts.active("F") or sink.write([notice("F", "firing", now)]))


def test_only_what_is_wanted_is_refreshed(alerts: Alerts) -> None:
    now = time.time()
    sink = sink_at(alerts.url, where={"key": {"sym": "H*"}})
    sink.keep(lambda: [notice("G", "firing", now), notice("H", "firing", now)])
    assert (len(alerts.active("G")), len(alerts.active("H"))) == (0, 1)


def test_what_is_refused_is_said(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: 400
        with pytest.raises(SinkError, match="answers 400 to trades/0-1000-268435456: this is why"):
            sink_at(f"http://127.0.0.1:{receiver.port}/").write([notice("A", "firing", 1)])


def test_an_absence_is_an_alert_of_its_own(tmp_path: Path) -> None:
    with receiving() as told:
        job = make_partition_job(
            metrics=[METRIC], window=None, ticks=10, absent=25, sinks=[{"type": "alertmanager", "url": told.url}]
        )
        (sink,) = open_sinks(job, SinkPlaces(now_s=lambda: int(time.time())))
        sink.write([replace(notice("A", "firing", 1000), type=1, metric="absent for 25")])
        sink.close()
    (alert,) = told.posted[0].data
    assert alert["labels"] == {"alertname": "absent for 25", "sym": "A", "tocsin_job": "trades"}
