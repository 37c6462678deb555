"""Log jobs: which columns they have, what detectors watch, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from config import ConfigError, JobSettings, load_job, make_job
from config.detector_specs import detector_specs

TEMPLATES = [
    {"id": "login", "text": "login of <user> from <*> port <port>"},
    {"id": 17, "regex": r"(?P<Size>\d+) bytes(?: of (\S+))? (?P<user>\w+)"},
]


def make_log_job(source: dict[str, Any] | None = None, **settings: Any) -> JobSettings:
    plain = {"job": "logs", "events": {"store": True}}
    return make_job(plain | {"source": {"path": "a.log", "templates": TEMPLATES} | (source or {})} | settings)


def test_columns_come_from_format_and_templates() -> None:
    job = make_log_job({"format": "journal"}, key=["host"])
    assert list(job.schema_types) == [
        "time", "host", "process", "pid", "event_id", "user", "var_0", "port", "Size", "message",
    ]  # fmt: skip
    assert (job.time, job.schema_types["time"], job.source.type) == ("time", "TIMESTAMP", "log")
    assert JobSettings.from_bytes(job.to_bytes()) == job


def test_a_log_without_templates_has_no_events() -> None:
    assert list(make_log_job({"templates": []}).schema_types) == ["time", "message"]


def test_a_star_watches_every_variable_that_tells_rows_of_an_event_apart() -> None:
    schema = {"time": "TIMESTAMP", "event_id": "SYMBOL", "user": "SYMBOL", "from": "SYMBOL", "port": "INT"}
    kinds = ["new_value", "value_range", "charset"]
    job = make_log_job(
        {"columns": {"from": "var_0"}},
        schema=schema,
        time="time",
        key="user",
        detectors=[{"type": kind, "watch": "*", "event": "event_id", "learn": {"rows": 9}} for kind in kinds],
    )
    assert [spec.variables for spec in detector_specs(job)] == [("from", "port"), ("port",), ("from",)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "(?P<time"}, r"source\.format: '\(\?P<time' is no regular expression"),
        ({"format": r"(?P<time>\S+) (.*)"}, r"source\.format: .* has a group without a name"),
        ({"format": r"(?P<time>.)(?P<variables>.)"}, "a group 'variables', which templates give"),
        ({"format": ".*"}, "names no field; use iso, journal, syslog"),
        ({"format": "(?P<time>(?=x).*)"}, "cannot be used: look-around"),
        ({"format": "syslog"}, r"source\.year: times of '%b %d %H:%M:%S' tell no year"),
        ({"year": 2026}, "times of 'auto' tell the year already; leave `year` out"),
        ({"record_start": "["}, r"source\.record_start: '\[' is no regular expression"),
        ({"templates": [{"id": 1}]}, r"source\.templates\[0\]: template 1 needs either `text` or `regex`"),
        ({"templates": [{"id": 1, "text": "x", "regex": "y"}]}, "needs either"),
        ({"templates": [{"id": 1, "text": " "}]}, "the text of a template is empty"),
        ({"templates": [{"id": 1, "text": "<a> <a>"}]}, "the variable 'a' stands twice in '<a> <a>'"),
        ({"templates": [{"id": 1, "regex": "(?P<var_0>.)(.)"}]}, "has two variables 'var_0'"),
        ({"templates": [{"id": 1, "text": "<a> <A>"}]}, "has two variables 'A'"),
        ({"format": r"(?P<Time>\S+) (?P<time>\S+)"}, "has two variables 'time'"),
        ({"templates": [{"id": 1, "text": "<Message>"}]}, "a variable may not be called 'Message'"),
        ({"templates": "templates.yaml"}, r"source\.templates"),
        ({"unmatch": "x"}, "unknown key 'unmatch'; did you mean 'unmatched'"),
    ],
)
def test_what_cannot_be_read_is_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_log_job(source)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"schema": {"time": "DATETIME", "usr": "SYMBOL"}},
            r"schema\.usr: no line has a field 'usr'; did you mean 'user'",
        ),
        ({"schema": {"time": "DATETIME", "event_id": "INT"}}, "column 'event_id' is INT, which cannot hold 'login'"),
    ],
)
def test_a_column_that_no_line_can_fill_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_log_job(time="time", **settings)


def test_a_star_needs_templates() -> None:
    with pytest.raises(ConfigError, match="stands for the variables of templates"):
        make_log_job({"templates": []}, detectors=[{"type": "new_value", "watch": "*"}])


def write_job(folder: Path, templates: str) -> Path:
    (folder / "templates.yaml").write_text(templates)
    path = folder / "job.yaml"
    path.write_text("job: logs\nevents: {store: true}\nsource:\n  path: a.log\n  templates: templates.yaml\n")
    return path


@pytest.mark.parametrize("text", ["- {id: a, text: x <y>}\n", "templates:\n- {id: a, text: x <y>}\n"])
def test_templates_may_stand_in_a_file_of_their_own_and_become_part_of_the_job(tmp_path: Path, text: str) -> None:
    job = load_job(write_job(tmp_path, text))
    assert job.schema_types == {"time": "TIMESTAMP", "event_id": "SYMBOL", "y": "STRING", "message": "STRING"}


def test_a_file_of_templates_that_holds_none_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.templates.*line 5.*templates\.yaml: a file of templates is a list"):
        load_job(write_job(tmp_path, "a: b"))
    (tmp_path / "templates.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot read the file of templates"):
        load_job(tmp_path / "job.yaml")
