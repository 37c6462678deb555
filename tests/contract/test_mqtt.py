"""What a source of MQTT promises, shown with the real broker: killed, cut off, paused, and saying things twice."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from cluster.local.speed import slowness
from config.settings import JobSettings
from tests.contract.test_http_push import make_certificate
from tests.support.brokers import Server, free_port, running
from tests.support.jobs import make_trades_job
from tests.support.mosquitto import Way, mosquitto_command
from tests.support.pushing import fed, until
from tests.support.repository import ROOT


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "broker").mkdir()
    with running(mosquitto_command(tmp_path / "broker")) as server:
        yield server


def job_of(port: int, **settings: Any) -> JobSettings:
    form = {"type": "json", "columns": {"sym": "$topic[1]"}}
    source = {"type": "mqtt", "url": f"mqtt://127.0.0.1:{port}", "topics": ["site/+/qty"], "format": form}
    return make_trades_job(source | settings)


def publish(
    port: int,
    numbers: Sequence[int],
    topic: str = "site/A/qty",
    *,
    raw: bytes | None = None,
    directory: Path | None = None,
) -> None:
    """Publish messages, and return when the broker has them; `directory` has the files of one that is secured."""
    from paho.mqtt import client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if directory is not None:
        client.tls_set(str(directory / "c.pem"), str(directory / "c.pem"), str(directory / "k.pem"))
        client.username_pw_set("reader", "right")
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        sent = []
        for number in numbers:
            payload = json.dumps({"time": number, "qty": number}) if raw is None else raw
            sent.append(client.publish(topic, payload, qos=1))
        for one in sent:
            one.wait_for_publish(20)
            assert one.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def rows_of(numbers: Sequence[int], sym: str = "A") -> list[Any]:
    return [(number, sym, number) for number in numbers]


def test_messages_are_rows_with_their_topic_and_a_session_keeps_what_comes_meanwhile(
    broker: Server, tmp_path: Path
) -> None:
    job = job_of(broker.port)
    with fed(job, tmp_path) as one:
        assert one.feed.has_begun.wait(20 * slowness())
        publish(broker.port, [7], "site/B/qty")
        publish(broker.port, [8], "site/B/other")
        publish(broker.port, [1], raw=b"\xff{")
        publish(broker.port, [1], raw=b"")
        publish(broker.port, range(100))
        assert one.rows(102) == rows_of([7], "B") + rows_of(range(100))
        assert [letter.raw for letter in one.letters] == [b"\xff{"]
        end = one.table.bounds(0).next_offset
    publish(broker.port, range(100, 120))
    with fed(job, tmp_path) as one:
        assert one.rows(20, end) == rows_of(range(100, 120))
        assert one.source.read(0, 0, 1000).next_offset == end + 20


def test_what_was_kept_and_not_acknowledged_is_kept_once(broker: Server, tmp_path: Path) -> None:
    way = Way(broker.port)
    job = job_of(way.port)
    with fed(job, tmp_path) as one:
        assert one.feed.has_begun.wait(20 * slowness())
        way.loses = True
        publish(broker.port, range(15))
        assert one.rows(15) == rows_of(range(15))
        # The broker has heard of none of them, and sends them again.
        way.loses = False
        way.cut()
        publish(broker.port, range(15, 30))
        assert one.rows(30) == rows_of(range(30))
        way.loses = True
        publish(broker.port, range(30, 40))
        assert one.rows(40) == rows_of(range(40))
        way.cut()
    # It is known in another process too.
    way.loses = False
    with fed(job, tmp_path) as one:
        publish(broker.port, range(40, 50))
        assert one.rows(50) == rows_of(range(50))
    way.close()


def test_nothing_is_missing_or_doubled_when_the_broker_is_killed(broker: Server, tmp_path: Path) -> None:
    with fed(job_of(broker.port), tmp_path) as one:
        assert one.feed.has_begun.wait(20 * slowness())
        for turn in range(2):
            publish(broker.port, range(turn * 50, turn * 50 + 50))
            # Not everything that this broker has acknowledged is on its disk already; what it has of ours may be less.
            one.rows(turn * 50 + 50)
            broker.kill()
            broker.start()
            until(lambda: is_connected(broker))
        publish(broker.port, range(100, 150))
        assert one.rows(150) == rows_of(range(150))


def is_connected(broker: Server) -> bool:
    """Return whether a session of a job is there, as the connections of the system show."""
    import psutil

    pairs = psutil.net_connections("tcp")
    return any(one.laddr and one.laddr.port == broker.port and one.status == "ESTABLISHED" for one in pairs)


@pytest.mark.slow
def test_a_broker_that_says_nothing_is_left_and_found_again(broker: Server, tmp_path: Path) -> None:
    with fed(job_of(broker.port), tmp_path) as one:
        assert one.feed.has_begun.wait(20 * slowness())
        broker.pause()
        until(lambda: says(one, "does not answer"))
        broker.go_on()
        publish(broker.port, range(20))
        assert one.rows(20) == rows_of(range(20))
        until(lambda: not says(one, "MQTT"))


def says(one: Any, words: str) -> bool:
    """Return whether the reader of a job is told why nothing comes."""
    try:
        one.source.read(0, one.table.bounds(0).next_offset, 10)
    except SourceError as error:
        return words in str(error)
    return False


def test_why_nothing_comes_is_said(tmp_path: Path) -> None:
    with fed(job_of(free_port()), tmp_path) as one:
        until(lambda: says(one, "MQTT does not answer"))
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "names").write_text("")
    lines = ["allow_anonymous false", f"password_file {tmp_path}/broker/names"]
    with running(mosquitto_command(tmp_path / "broker", *lines)) as server:
        security = {"username": "reader", "password": "env:SECRET"}
        with (
            fed(job_of(server.port, security=security), tmp_path, environment={"SECRET": "wrong"}) as one,
        ):
            until(lambda: says(one, "refuses the connection: Not authorized"))
        with pytest.raises(SourceError, match="SECRET"), fed(job_of(server.port, security=security), tmp_path):
            pass


def secured(directory: Path) -> list[str]:
    """Make certificates and a name with a password; return the lines of a broker that wants all of these."""
    make_certificate(directory)
    names = directory / "names"
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([program, "-b", "-c", str(names), "reader", "right"], check=True, capture_output=True)
    files = [f"cafile {directory}/c.pem", f"certfile {directory}/c.pem", f"keyfile {directory}/k.pem"]
    return [*files, "require_certificate true", "allow_anonymous false", f"password_file {names}"]


def test_messages_come_over_tls_to_who_has_a_certificate_and_the_password(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    own = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    right = {"username": "reader", "password": "env:SECRET", "tls": True, "ca": str(tmp_path / "c.pem"), **own}
    with running(mosquitto_command(tmp_path / "broker", *secured(tmp_path))) as server:
        job = job_of(0, url=f"mqtts://127.0.0.1:{server.port}", security=right)
        with fed(job, tmp_path / "a", environment={"SECRET": "right"}) as one:
            assert one.feed.has_begun.wait(20 * slowness())
            publish(server.port, range(5), directory=tmp_path)
            assert one.rows(5) == rows_of(range(5))
        with fed(job, tmp_path / "b", environment={"SECRET": "wrong"}) as one:
            until(lambda: says(one, "refuses the connection: Not authorized"))
        for place, security, reason in (
            ("c", {"username": "reader", "password": "env:SECRET", "tls": True, **own}, "CERTIFICATE_VERIFY_FAILED"),
            ("d", {"username": "reader", "password": "env:SECRET", "tls": True, "ca": right["ca"]}, "does not answer"),
            # The URL alone says that it is TLS.
            ("e", {"username": "reader", "password": "env:SECRET"}, "CERTIFICATE_VERIFY_FAILED"),
        ):
            other = job_of(0, url=f"mqtts://127.0.0.1:{server.port}", security=security)
            with fed(other, tmp_path / place, environment={"SECRET": "right"}) as one:
                until(lambda one=one, reason=reason: says(one, reason))  # type: ignore[misc]


@pytest.mark.slow
def test_nothing_is_missing_or_doubled_when_a_run_is_killed_again_and_again(broker: Server, tmp_path: Path) -> None:
    job = job_of(broker.port).model_dump(mode="json", by_alias=True, exclude_unset=True) | {"metrics": ["qty > -1"]}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "cluster", "run", str(tmp_path / "job.yaml"), "--json", "--directory"]
    command += [str(tmp_path / "run"), "--limit", "0"]
    subprocess.run([*command, "--until-idle", "1s"], cwd=ROOT, capture_output=True, check=True)
    for turn in range(3):
        process = subprocess.Popen([*command, "--follow"], cwd=ROOT, stdout=subprocess.DEVNULL)
        until(lambda: is_connected(broker))
        for part in range(4):
            publish(broker.port, range(turn * 2000 + part * 500, turn * 2000 + part * 500 + 500))
        process.kill()
        process.wait()
    ended = subprocess.run([*command, "--until-idle", "3s"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = sorted(json.loads(line)["offset"] for line in ended.stdout.splitlines())
    assert found == list(range(6000))
