"""Notifications by a mail server and a web server on loopback: what people are told, and what happens if it fails."""

import email
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from typing import Any

import pytest

from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.open import SinkPlaces, open_sinks
from actors.sink.protocol import Sink, SinkRecord
from tests.support.brokers import free_port, needs
from tests.support.partition_jobs import make_partition_job
from tests.support.receiver import Receiver, receiving

EPISODE = {"state": "firing", "start": 1538960461000, "fired_at": 1538960462000, "end": None, "peak": 9}
RECORDS = [
    SinkRecord(
        partition=0,
        id=AnomalyId(split=0, offset=offset, ordinal=1 << 28),
        time=1538960461003,
        key=("A",),
        type=0,
        metric="qty > 8",
        detail=json.dumps({"episode": EPISODE, "values": {"qty": offset}}),
    )
    for offset in range(4)
]


@dataclass
class Mailbox:
    """A mail server; one that is `full` refuses everything from the second letter on."""

    port: int
    letters: list[Message] = field(default_factory=list)
    is_full: bool = False

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - named by the server
        if self.is_full and self.letters:
            return "552 the mailbox is full"
        self.letters.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    needs("aiosmtpd", "apprise")
    from aiosmtpd.controller import Controller

    # Others' servers are given time between two letters.
    monkeypatch.setattr("apprise.plugins.email.NotifyEmail.request_rate_per_sec", 0)
    mailbox = Mailbox(free_port())
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    yield mailbox
    controller.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    needs("apprise")
    with receiving() as made:
        yield made


def sink_to(address: str, **settings: Any) -> Sink:
    metric = {"when": "qty > 8", "id": "big", "severity": "error", "summary": "{sym}: {qty}", "for": "1s"}
    sink = {"type": "notify", "url": "env:PLACE", **settings}
    job = make_partition_job(metrics=[metric], window=None, sinks=[sink])
    (found,) = open_sinks(job, SinkPlaces(environment={"PLACE": address}))
    return found


def mail(box: Mailbox) -> str:
    return f"mailto://127.0.0.1:{box.port}?from=tocsin@example.org&to=ops@example.org&format=text"


def text_of(letter: Message) -> str:
    parts = [part for part in letter.walk() if part.get_content_type() == "text/plain"]
    content = parts[0].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r", "")


def test_people_get_a_letter_for_each_episode(mailbox: Mailbox) -> None:
    ended = {**EPISODE, "state": "resolved", "end": 1538960470000}
    over = replace(RECORDS[1], detail=json.dumps({"episode": ended, "values": {"qty": 9}}))
    sink_to(mail(mailbox)).write([RECORDS[0], over, replace(RECORDS[2], detail='{"values": {"qty": 9}}')])
    assert [str(email.header.make_header(email.header.decode_header(one["Subject"]))) for one in mailbox.letters] == [
        "[firing] big",
        "[resolved] big",
    ]
    assert text_of(mailbox.letters[1]).strip().splitlines() == [
        "A: 9",
        "sym A",
        "2018-10-08T01:01:01.000Z to 2018-10-08T01:01:10.000Z",
        "trades/0-1-268435456",
    ]


def test_a_mail_server_that_refuses_one_gets_what_follows_later_in_order(mailbox: Mailbox) -> None:
    sink = sink_to(mail(mailbox))
    mailbox.is_full = True
    with pytest.raises(SinkError, match="trades/0-1-268435456 was not sent") as caught:
        sink.write(RECORDS)
    assert caught.value.taken_count == 1
    mailbox.is_full = False
    sink.write(RECORDS[1:])
    assert [text_of(one).splitlines()[0] for one in mailbox.letters] == ["A: 0", "A: 1", "A: 2", "A: 3"]


def test_title_and_text_are_templates(receiver: Receiver) -> None:
    sink = sink_to(f"json://127.0.0.1:{receiver.port}/hook", title="{severity} {sym}", text="{state} since {start}")
    sink.write(RECORDS[:1])
    told = receiver.posted[0].data
    assert (told["title"], told["message"], told["type"]) == (
        "error A",
        "firing since 2018-10-08T01:01:01.000Z",
        "failure",
    )


@pytest.mark.parametrize("failure", [500, 403, None])
def test_a_service_that_fails_is_tried_again_from_there(receiver: Receiver, failure: int | None) -> None:
    receiver.answer = lambda number: failure if number == 2 else 200
    sink = sink_to(f"json://127.0.0.1:{receiver.port}/hook?secret=s3cret", text="{id}")
    with pytest.raises(SinkError) as caught:
        sink.write(RECORDS)
    assert caught.value.taken_count == 1
    assert "s3cret" not in str(caught.value)
    sink.write(RECORDS[1:])
    assert [one.data["message"] for one in receiver.posted] == [f"trades/0-{at}-268435456" for at in range(4)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nothing://s3cret", r"cannot read the address \(nothing\)"),
        ("s3cret", r"cannot read the address \(no scheme\)"),
        ("json://a json://s3cret", "several services are a sink each"),
        ("", "several services are a sink each"),
    ],
)
def test_an_address_that_is_none_is_said_without_its_secrets(address: str, message: str) -> None:
    needs("apprise")
    with pytest.raises(SinkError, match=message) as caught:
        sink_to(address).write(RECORDS)
    assert "s3cret" not in str(caught.value)
