"""Settings of sinks, and what is said of metrics: what is refused, with the way out."""

import json
import re
from typing import Any

import pytest

from actors.engine import LifecycleSettings
from config import ConfigError, make_job, parse_job
from config.sinks import SinkWhere
from config.specs import engine_spec

JOB: dict[str, Any] = {
    "job": "hot",
    "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "load": "DOUBLE"},
    "time": "time",
    "key": "host",
    "metrics": [{"when": "load > 80", "for": "5s"}],
    "source": {"type": "stream", "name": "loads"},
}
URL = "http://127.0.0.1:8000/hook"
KAFKA = {"type": "kafka", "brokers": "a:1", "topic": "a"}
NATS = {"type": "nats", "servers": "nats://a", "subject": "a.{host}"}
REDIS = {"type": "redis", "url": "redis://a", "stream": "a"}


def error_of(**change: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make_job(JOB | change)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ({"url": URL}, "`type` is missing; use one of ndjson, webhook, stdout"),
        ({"type": "webhook"}, "sinks[0].url: missing"),
        ({"type": "webhook", "url": "127.0.0.1:8000"}, "'127.0.0.1:8000' is no address; write it like http://"),
        ({"type": "webhook", "url": "ftp://a/b"}, "is no address"),
        ({"type": "webhook", "url": "http://a b/c"}, "is no address"),
        ({"type": "webhook", "url": "http://a:99999/"}, "is no address"),
        ({"type": "webhook", "url": "http://me:pw@a/"}, "a job file holds no secrets: give `headers: {Authorization"),
        ({"type": "webhook", "url": URL, "secret": "hunter2"}, "a job file holds no secrets: write `env:NAME`"),
        ({"type": "webhook", "url": URL, "ca": "/ca.pem"}, "an address of http has no certificate"),
        ({"type": "webhook", "url": URL, "headers": {"a b": "c"}}, "'a b' cannot be the name of a header"),
        ({"type": "webhook", "url": URL, "headers": {"a": "c\nd: e"}}, "holds letters that no header can"),
        ({"type": "webhook", "url": URL, "headers": {"Idempotency-Key": "1"}}, "follows from what is sent; leave it"),
        ({"type": "webhook", "url": URL, "timeout": "5m"}, "timeout"),
        ({"type": "webhook", "url": URL, "body": {"a": ["{sym}"]}}, "sinks[0].body.a[0]: nothing is called 'sym' here"),
        ({"type": "webhook", "url": URL, "body": {"a": "{"}}, "the brace at letter 1 is not closed"),
        ({"type": "alertmanager", "url": "localhost:9093"}, "is no address; write it like http://127.0.0.1:9093"),
        ({"type": "alertmanager", "url": URL, "only": "both"}, "sinks[0].only"),
        ({"type": "alertmanager", "url": "http://a/api/v2/alerts"}, "is more than the address; write it like http://"),
        ({"type": "alertmanager", "url": URL, "refresh": "1h30m"}, "sinks[0].refresh"),
        ({"type": "alertmanager", "url": URL, "labels": {"a-b": "c"}}, "sinks[0].labels.a-b"),
        ({"type": "alertmanager", "url": URL, "labels": {"a": "{load}"}}, "'load' changes while an episode lasts"),
        ({"type": "alertmanager", "url": URL, "annotations": {"a": "{lod}"}}, "nothing is called 'lod' here"),
        ({"type": "notify", "url": "mailto://me:pw@a"}, "a job file holds no secrets: write `env:NAME`"),
        ({"type": "notify", "url": "env:A", "text": "{sym}"}, "sinks[0].text: nothing is called 'sym' here"),
        (
            {"type": "sql", "url": "mysql://a/b"},
            "'mysql://a/b' is no address of a database that this sink knows; write",
        ),
        ({"type": "sql", "url": "sqlite:///:memory:"}, "names no file; write sqlite:///alarms.db"),
        ({"type": "sql", "url": "sqlite:///a.db?mode=ro"}, "names no file"),
        ({"type": "sql", "url": "postgresql://a:5432/b"}, "PostgreSQL wants a name; add `security: {username: NAME"),
        ({"type": "sql", "url": "postgresql://me:pw@a/b"}, "a job file holds no secrets: log in by `security"),
        ({"type": "sql", "url": "postgresql://a/", "security": {"username": "a"}}, "with the name of a database"),
        ({"type": "sql", "url": "sqlite:///a.db", "security": {"username": "a"}}, "asks nobody to log in; leave it"),
        ({"type": "sql", "url": "sqlite:///a.db", "table": "a b"}, "sinks[0].table"),
        ({"type": "sql", "url": "sqlite:///a.db", "columns": {"id": "{id}"}}, "is what rows are known by; leave it"),
        ({"type": "sql", "url": "sqlite:///a.db", "columns": {"a": "{sym}"}}, "sinks[0].columns.a: nothing is called"),
        ({"type": "parquet", "path": "a", "roll": {"after": 0}}, "sinks[0].roll.after"),
        ({"type": "parquet", "path": "a", "roll": {"size": "big"}}, "sinks[0].roll.size"),
        (KAFKA | {"brokers": "a"}, "sinks[0].brokers: 'a' is no address of a broker; write HOST:PORT"),
        (KAFKA | {"topic": "a b"}, "'a b' is no name of a topic; write at most 249 letters"),
        (KAFKA | {"key": "{sym}"}, "sinks[0].key: nothing is called 'sym' here"),
        (KAFKA | {"timeout": "10ms"}, "sinks[0].timeout"),
        (KAFKA | {"security": {"username": "a"}}, "a username needs a `password`"),
        (NATS | {"servers": "http://a"}, "is no URL of a server; write nats://HOST:PORT"),
        (NATS | {"subject": "a..b"}, "'a..b' is no subject; write words with a full stop between two"),
        (NATS | {"subject": "a b"}, "is no subject"),
        (NATS | {"subject": "a.*"}, "'a.*' has * or >, which only filters have; write the subject itself"),
        (NATS | {"subject": "a.{sym}"}, "sinks[0].subject: nothing is called 'sym' here"),
        (NATS | {"subject": "a.{"}, "sinks[0].subject: the brace at letter 3 is not closed"),
        (NATS | {"stream": "a.b"}, "'a.b' is no name of a stream; write no blanks"),
        (REDIS | {"url": "redis://a/alarms"}, "'alarms' is no database of Redis, which have numbers; write redis://"),
        (REDIS | {"url": "redis://me:pw@a/0"}, "a job file holds no secrets: log in by `security"),
        (REDIS | {"field": "id"}, "the field `id` holds the id of a record; name another one"),
        (REDIS | {"maxlen": 0}, "sinks[0].maxlen"),
        ({"type": "stdout", "body": {"a": "{"}}, "the brace at letter 1 is not closed"),
        ({"type": "std"}, "no such type, 'std'; did you mean 'stdout'?"),
        ({"path": "out", "where": {"key": {"hst": "a"}}}, "'hst' is no key column; did you mean 'host'?"),
        ({"path": "out", "where": {"severity": "bad"}}, "sinks[0].where.severity"),
        ({"path": "out", "only": "alarms"}, "sinks[0].only"),
    ],
)
def test_a_sink_that_nobody_means_is_refused(sink: dict[str, Any], message: str) -> None:
    assert message in error_of(sinks=[sink])


def test_two_sinks_of_one_place_need_names() -> None:
    hook = {"type": "webhook", "url": URL}
    assert "is that of another sink; give one of them a `name`" in error_of(sinks=[hook, hook])
    job = make_job(JOB | {"sinks": [hook, hook | {"name": "second"}]})
    assert [sink.identity for sink in job.sinks] == [f"webhook {URL}", "webhook second"]


def test_a_sink_that_takes_episodes_asks_for_them() -> None:
    quiet = make_job(JOB | {"metrics": ["load > 80"], "sinks": [{"path": "out"}]})
    asked = make_job(JOB | {"metrics": ["load > 80"], "sinks": [{"path": "out", "only": "episodes"}]})
    assert [quiet.has_episodes, asked.has_episodes] == [False, True]
    assert [engine_spec(job).lifecycles for job in (quiet, asked)] == [(), (LifecycleSettings(is_implied=True),)]
    message = error_of(metrics=[], events={"store": True}, sinks=[{"path": "out", "only": "episodes"}])
    assert "the job has no metric, no detector and no `absent`, so there are no episodes" in message


def test_what_a_sink_takes_follows_from_the_job_unless_it_says_so() -> None:
    def takes(deliver: bool, **sink: Any) -> list[tuple[bool, bool]]:
        job = make_job(JOB | {"episodes": {"deliver": deliver}, "sinks": [{"path": "out", **sink}]})
        return [job.sink_takes(one) for one in job.sinks]

    assert takes(False) == [(True, False)]
    assert takes(True) == [(True, True)]
    assert takes(False, only="episodes") == [(False, True)]
    assert takes(True, only="anomalies") == [(True, False)]
    assert takes(False, only="both") == [(True, True)]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"id": "a b"}, "metrics[0].id"),
        ({"severity": "page"}, "metrics[0].severity"),
        ({"labels": {"a-b": "c"}}, "'a-b' is no label; write letters, digits and underscores"),
        ({"summary": "{hst} is hot"}, "metrics[0].summary: nothing is called 'hst' here; did you mean 'host'?"),
        ({"describe": "{src} is silent"}, "metrics[0].describe: nothing is called 'src' here"),
        ({"runbook": "http://wiki/{}"}, "a place {} is empty"),
        ({"summary": "{summary}"}, "nothing is called 'summary' here"),
        ({"summary": "{id}"}, "nothing is called 'id' here"),
        ({"describe": "{metric}"}, "nothing is called 'metric' here"),
        ({"labels": {"a": "b", "c": "{labels.a}"}}, "nothing is called 'labels.a' here"),
        ({"labels": {"a": "{load:zz}"}}, "'zz' in {load:zz} is no format"),
    ],
)
def test_what_is_said_of_a_metric_is_looked_at(rule: dict[str, Any], message: str) -> None:
    assert message in error_of(metrics=[JOB["metrics"][0] | rule])


def test_a_file_of_sqlite_is_relative_to_the_job_file() -> None:
    job = JOB | {"sinks": [{"type": "sql", "url": "sqlite:///data/a.db"}, {"type": "sql", "url": "sqlite:////b.db"}]}
    found = parse_job(json.dumps(job), "/home/me").sinks
    assert [sink.place for sink in found] == ["sqlite:////home/me/data/a.db alarms", "sqlite:////b.db alarms"]


def test_labels_of_alerts_stay_the_same_while_an_episode_lasts() -> None:
    sinks = [{"type": "alertmanager", "url": "http://a:9093", "where": {"severity": "error"}}]
    changing = {**JOB["metrics"][0], "labels": {"load": "{load:.0f}"}}
    assert "metrics[0].labels.load: 'load' changes" in error_of(metrics=[changing | {"severity": "error"}], sinks=sinks)
    # What the sink does not take may change.
    make_job(JOB | {"metrics": [changing], "sinks": sinks})
    file = {"schema": {**JOB["schema"], "rule": "SYMBOL"}, "key": ["rule"], "sinks": [{"type": "parquet", "path": "a"}]}
    assert "Parquet files have a column 'rule' of their own" in error_of(**file)
    odd = {"schema": {**JOB["schema"], "alertname": "SYMBOL"}, "key": ["alertname"], "sinks": sinks}
    assert "'alertname' would be the label 'alertname', which another one is" in error_of(**odd)


@pytest.mark.parametrize(
    ("when", "summary", "message"),
    [
        ("load > 80", "{load} {host} {time} {count}", None),
        ("load > 80", "{rack}", "'rack' is neither part of the key nor of the metric, so it has no value; name a key"),
        ("avg(load) > 80", "{load}", "'load' is neither part of the key nor of the metric"),
        ("avg(load) > 80", "{avg( load ):.1f}", None),
        ("avg(load) > 80", "{sum(load)}", "name a key column or one of avg(load)"),
    ],
)
def test_a_name_that_never_has_a_value_is_refused(when: str, summary: str, message: str | None) -> None:
    job = JOB | {"schema": {**JOB["schema"], "rack": "SYMBOL"}, "window": {"size": "1m"}}
    for change in (
        {"metrics": [{"when": when, "for": "5s", "summary": summary}]},
        {"metrics": [{"when": when}], "sinks": [{"type": "webhook", "url": URL, "body": {"a": summary}}]},
    ):
        text = json.dumps(job | change)
        if message is None:
            parse_job(text, "/tmp")
            continue
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse_job(text, "/tmp")


def test_an_id_is_unique_among_metrics_and_detectors() -> None:
    detector = {"type": "new_value", "watch": "load", "learn": {"rows": 5}, "id": "a"}
    message = error_of(metrics=[{"when": "load > 8", "id": "a"}], detectors=[detector])
    assert "detectors[0].id: 'a' is the id of another metric or detector" in message


@pytest.mark.parametrize(
    ("where", "takes"),
    [
        ({}, True),
        ({"severity": "error"}, False),
        ({"severity": ["warning", "info"]}, True),
        ({"metric": "disk*"}, True),
        ({"metric": ["load", "net"]}, False),
        ({"key": {"host": "web-?"}}, True),
        ({"key": {"host": "NULL"}}, False),
        ({"key": {"rack": "NULL"}}, True),
        ({"metric": "disk*", "key": {"host": "db*"}}, False),
    ],
)
def test_a_sink_takes_what_fits_all_that_is_given(where: dict[str, Any], takes: bool) -> None:
    assert SinkWhere.model_validate(where).takes("warning", "disk.full", {"host": "web-1", "rack": None}) is takes
