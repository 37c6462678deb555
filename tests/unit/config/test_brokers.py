"""Settings of sources of brokers: what may be said, what is refused, and the jobs of the pages."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SourceError
from actors.source.access import broker_access
from actors.source.open import open_source
from config import ConfigError
from config.brokers import KafkaSource
from config.load import parse_job
from tests.support.jobs import make_trades_job
from tests.support.repository import ROOT

KAFKA = {"type": "kafka", "brokers": ["127.0.0.1:9092"], "topic": "readings", "format": "json"}
NATS = {"type": "nats", "servers": "nats://127.0.0.1:4222", "stream": "readings", "format": "csv"}
REDIS = {"type": "redis", "url": "redis://127.0.0.1:6379/0", "streams": ["readings"], "format": "fields"}

PAGES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, text in enumerate(re.findall(r"```yaml\n(job: .*?)```", page.read_text(), re.DOTALL))
    if page.stem in ("brokers", "sources", "push")
]


@pytest.mark.parametrize("text", PAGES)
def test_a_job_of_a_page_is_one(text: str) -> None:
    assert parse_job(text, "/base").name


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (KAFKA | {"brokers": []}, "source.brokers: must not be empty"),
        (KAFKA | {"brokers": ["a"]}, "source.brokers[0]: 'a' is no address of a broker; write HOST:PORT"),
        (KAFKA | {"brokers": ["a:x"]}, "is no address of a broker"),
        (KAFKA | {"security": {"username": "a"}}, "source.security.password: a username needs"),
        (KAFKA | {"start": "yesterday"}, "neither `earliest`, `latest` nor a time"),
        (KAFKA | {"format": {"type": "csv", "header": True}}, "source.format.header: messages have no header"),
        (KAFKA | {"format": "fields"}, "no such type, 'fields'"),
        (
            KAFKA | {"security": {"username": "a", "password": "secret"}},
            "a job file holds no secrets: write `env:NAME`",
        ),
        (KAFKA | {"security": {"password": "env:A"}}, "source.security.username: a password needs"),
        (KAFKA | {"security": {"ca": "ca.pem"}}, "source.security.tls: certificates are for TLS"),
        (KAFKA | {"security": {"tls": True, "key": "a"}}, "`certificate` and `key` belong together"),
        (NATS | {"servers": "127.0.0.1:4222"}, "source.servers: '127.0.0.1:4222' is no URL of a server"),
        (REDIS | {"url": "redis://:secret@127.0.0.1"}, "source.url: a job file holds no secrets"),
        (REDIS | {"url": "redis://127.0.0.1:many"}, "source.url: 'redis://127.0.0.1:many' is no URL"),
        (KAFKA | {"topic": "a/b"}, "source.topic: 'a/b' is no name of a topic"),
        (KAFKA | {"topic": ".."}, "source.topic: '..' is no name of a topic"),
        (NATS | {"stream": "a.b"}, "source.stream: 'a.b' is no name of a stream"),
        (NATS | {"subjects": ["a", "a..b"]}, "source.subjects[1]: 'a..b' is no subject"),
        (NATS | {"subjects": "a.b*"}, "source.subjects: 'a.b*' is no filter; * stands for a whole word"),
        (NATS | {"subjects": "a.>.b"}, "source.subjects: 'a.>.b' is no filter"),
        (NATS | {"subjects": "a b"}, "source.subjects: 'a b' is no subject"),
        (REDIS | {"url": "redis://127.0.0.1/readings"}, "source.url: 'readings' is no database of Redis"),
        (REDIS | {"streams": ["a", "a"]}, "source.streams: a stream is named twice"),
    ],
)
def test_a_mistake_in_a_source_of_a_broker_is_named(source: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        make_trades_job(source)


def test_files_and_secrets_are_relative_to_the_job_file() -> None:
    security = {"username": "a", "password": "file:secret", "tls": True, "ca": "ca.pem"}
    text = (ROOT / "docs" / "brokers.md").read_text()
    job = next(one for one in re.findall(r"```yaml\n(job: .*?)```", text, re.DOTALL) if "security" in one)
    found = parse_job(re.sub(r"security: \{.*\}", f"security: {security}", job), "/base").source
    assert isinstance(found, KafkaSource)
    assert (found.security.password, found.security.ca) == ("file:/base/secret", "/base/ca.pem")


def test_a_job_that_begins_at_the_newest_begins_when_it_is_submitted_and_stays_the_same_job() -> None:
    job = make_trades_job(KAFKA | {"start": "latest"})
    begun = job.begun(1_767_225_600_000_000)
    assert isinstance(begun.source, KafkaSource)
    assert (begun.source.start, begun.source.start_ms) == ("2026-01-01T00:00:00+00:00", 1_767_225_600_000)
    assert begun.fingerprint == job.fingerprint == make_trades_job(KAFKA).fingerprint
    assert begun.begun(0) is begun


@pytest.mark.parametrize(("source", "count"), [(NATS, 1), (NATS | {"subjects": ["a", "b"]}, 2), (REDIS, 1)])
def test_there_is_a_partition_for_each_split_that_a_broker_has(source: dict[str, Any], count: int) -> None:
    assert make_trades_job(source, partition_by="split").partitions == count
    with pytest.raises(ConfigError, match="say how many partitions the topic has"):
        make_trades_job(KAFKA, partition_by="split")
    assert make_trades_job(KAFKA, partition_by="split", partitions=5).partitions == 5


def test_secrets_are_looked_up_where_the_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("right\n")

    def secret(reference: str, allowed: AllowedPaths = EVERYTHING) -> str:
        source = make_trades_job(KAFKA | {"security": {"username": "a", "password": reference}}).source
        assert isinstance(source, KafkaSource)
        return broker_access(source, allowed, {"PASSWORD": "known"}).secrets["password"]

    assert (secret("env:PASSWORD"), secret(f"file:{tmp_path / 'secret'}")) == ("known", "right")
    for reference, text in (("env:OTHER", "variable OTHER of"), ("file:/nowhere", "cannot be read: No such file")):
        with pytest.raises(SourceError, match=text):
            secret(reference)
    with pytest.raises(SourceError, match="may not be touched by a job"):
        secret(f"file:{tmp_path / 'secret'}", AllowedPaths.below([tmp_path / "other"]))


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [(KAFKA, "confluent_kafka", "kafka"), (NATS, "nats", "nats"), (REDIS, "redis", "redis")],
)
def test_a_client_that_is_not_installed_is_named_with_its_extra(
    source: dict[str, Any], module: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=re.escape(f"pip install 'tocsin[{extra}]'")):
        open_source(make_trades_job(source), tmp_path)
