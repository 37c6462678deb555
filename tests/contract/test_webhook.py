"""Webhooks: what is posted, and what happens when the receiver does not take it."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.allowed import AllowedPaths
from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.open import SinkPlaces, open_sinks
from actors.sink.protocol import Sink
from tests.support.partition_jobs import make_partition_job
from tests.support.receiver import Receiver, receiving
from tests.support.sink_records import sink_records

RECORDS = sink_records(5)
EPISODE = replace(
    RECORDS[4],
    id=AnomalyId(split=0, offset=4, ordinal=1 << 28),
    detail=json.dumps({"episode": {"state": "firing", "start": 1538960461000, "last_true": 1538960463500}}),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def sink_for(receiver: Receiver, places: SinkPlaces | None = None, **settings: Any) -> Sink:
    """Return a webhook of a job to a receiver."""
    metric = {"when": "qty > 8", "id": "big", "severity": "error", "summary": "{sym}: {qty}", "for": "1s"}
    job = make_partition_job(
        metrics=[metric], window=None, sinks=[{"type": "webhook", "url": receiver.url, **settings}]
    )
    (sink,) = open_sinks(job, places or SinkPlaces(environment={"KEY": "k", "TOKEN": "Bearer t"}, now_s=lambda: 7))
    return sink


def test_a_request_says_what_is_wrong_and_who_it_is(receiver: Receiver) -> None:
    sink_for(receiver, only="both", secret="env:KEY", headers={"Authorization": "env:TOKEN", "X-Team": "a"}).write(
        [RECORDS[0], EPISODE]
    )
    first, second = receiver.posted
    assert first.data == {
        "id": "trades/0-0-0", "job": "trades", "kind": "anomaly", "time": "2018-10-08T01:01:01.003Z",
        "key": {"sym": "A"}, "type": 0, "metric": "qty > 8", "detail": {"values": {"qty": 9}}, "split": 0, "offset": 0,
        "ordinal": 0, "rule": "big", "severity": "error", "summary": "A: 9",
    }  # fmt: skip
    assert (second.data["kind"], second.data["state"], second.data["id"]) == (
        "episode",
        "firing",
        "trades/0-4-268435456",
    )
    assert second.data["detail"]["episode"]["start"] == "2018-10-08T01:01:01.000Z"
    assert (first.headers["idempotency-key"], first.headers["content-type"]) == ("trades/0-0-0", "application/json")
    assert (first.headers["authorization"], first.headers["x-team"]) == ("Bearer t", "a")
    expected = hmac.new(b"k", b"7." + first.body, hashlib.sha256).hexdigest()
    assert first.headers["tocsin-signature"] == f"t=7,v1={expected}"


def test_a_body_is_a_template_whose_lone_places_are_values(receiver: Receiver) -> None:
    body = {"text": "{sym} {severity} {state}", "n": "{qty}", "deep": [{"at": "{time}"}, 5, None, True]}
    sink_for(receiver, body=body).write(RECORDS[:1])
    deep = [{"at": "2018-10-08T01:01:01.003Z"}, 5, None, True]
    assert receiver.posted[0].data == {"text": "A error -", "n": 9, "deep": deep}


@pytest.mark.parametrize("failure", [500, 429, 404, 301, 307, None])
def test_what_was_taken_before_a_failure_is_not_posted_again(receiver: Receiver, failure: int | None) -> None:
    receiver.answer = lambda number: failure if number == 3 else 204
    sink = sink_for(receiver)
    with pytest.raises(SinkError) as caught:
        sink.write(RECORDS)
    assert caught.value.taken_count == 2
    assert "trades/0-2-0" in str(caught.value) if failure else "no answer" in str(caught.value)
    sink.write(RECORDS[2:])
    assert [one.data["offset"] for one in receiver.posted] == [0, 1, 2, 3, 4]
    assert {one.path for one in receiver.posted} == {"/hook"}


def test_only_what_is_wanted_is_posted_and_the_rest_is_done_with(receiver: Receiver) -> None:
    mixed = [*RECORDS, EPISODE]
    sink_for(receiver, only="episodes").write(mixed)
    assert [one.data["kind"] for one in receiver.posted] == ["episode"]
    sink_for(receiver, name="a", only="both", where={"key": {"sym": "B*"}}).write(mixed)
    sink_for(receiver, name="b", only="both", where={"severity": "critical"}).write(mixed)
    sink_for(receiver, name="c", only="both", where={"metric": ["small", "qty*"]}).write(mixed)
    assert len(receiver.posted) == 1
    sink_for(receiver, name="d", where={"metric": "b?g", "severity": ["error"], "key": {"sym": ["A"]}}).write(mixed)
    assert len(receiver.posted) == 6
    # What is not wanted before the one that fails counts as done with.
    receiver.answer = lambda _: 503
    with pytest.raises(SinkError) as caught:
        sink_for(receiver, name="e", only="episodes").write(mixed)
    assert caught.value.taken_count == 5


def test_a_secret_that_is_not_there_keeps_everything_waiting(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="the variable NO_KEY of `secret` is not set"):
        sink_for(receiver, secret="env:NO_KEY").write(RECORDS)
    path = tmp_path / "key"
    sink = sink_for(receiver, secret=f"file:{path}")
    with pytest.raises(SinkError, match="No such file"):
        sink.write(RECORDS)
    path.write_text("k\n")
    sink.write(RECORDS[:1])
    assert "tocsin-signature" in receiver.posted[0].headers
    with pytest.raises(SinkError, match="waits meanwhile"):
        sink_for(receiver, SinkPlaces(allowed=AllowedPaths.below([str(tmp_path / "x")])), secret=f"file:{path}").write(
            RECORDS
        )


def test_nobody_there_is_said_in_plain_words() -> None:
    with receiving() as made:
        pass
    with pytest.raises(SinkError) as caught:
        sink_for(made).write(RECORDS)
    assert "no answer" in str(caught.value)
    assert "0x" not in str(caught.value)
    assert "Pool" not in str(caught.value)
