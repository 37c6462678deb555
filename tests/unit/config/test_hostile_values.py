"""Values of settings that nobody means: numbers without end, Booleans as numbers, no time at all, impossible paths."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from config import ConfigError, JobSettings, load_job, make_job, parse_job

JOB: dict[str, Any] = {
    "job": "trades",
    "schema": {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"},
    "time": "time",
    "metrics": ["qty > 5"],
    "source": {"path": "/data.csv"},
}
LONG = 1 << 63


def make(**settings: Any) -> JobSettings:
    return make_job(JOB | settings)


def error_of(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make(**settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"engine": {"garbage_size": LONG}}, "engine.garbage_size"),
        ({"limits": {"batch_rows_max": LONG}}, "limits.batch_rows_max"),
        ({"flush": {"rows": LONG}}, "flush.rows"),
        ({"hosts": 10**400}, "hosts"),
        ({"group": LONG}, "group"),
        ({"source": {"type": "inline", "rows": [[0, "A", -LONG - 1]]}}, "source.rows[0][2]"),
        ({"detectors": [{"type": "stability", "watch": "qty", "options": {"value_count_max": LONG}}]}, "detectors[0]."),
    ],
)
def test_a_number_beyond_64_bits_is_refused_where_it_stands(settings: dict[str, Any], path: str) -> None:
    message = error_of(**settings)
    assert f"job: {path}" in message
    assert "has more than 64 bits" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warm_start": {"last": True}}, "must be a number, not True"),
        ({"warm_start": {"last": float("inf")}}, "finite"),
        ({"events": {"series": [{"limit": {"duration": True}}]}}, "must be a number, not True"),
        ({"linger": True}, "must be a number, not True"),
        ({"window": {"size": "-5s"}}, "window.size: '-5s' is no duration; write a number of units"),
        ({"ticks": "soon"}, "ticks: 'soon' is no duration"),
        ({"job": "j" * 101}, "must have at most 100 characters"),
        ({"metrics": [None]}, "metrics[0]: a metric is a text, or a mapping with `when`, not nothing"),
        ({"metrics": [5]}, "a metric is a text, or a mapping with `when`, not 5"),
        ({"ticks": "0s"}, "ticks: '0s' is no time at all"),
        ({"ticks": "10s", "absent": "0ms"}, "absent: '0ms' is no time at all"),
        ({"ticks": LONG - 1}, "more than 2**60 units of the TIMESTAMP column 'time'"),
        ({"ticks": "10s", "absent": LONG - 1}, "more than 2**60 units"),
        ({"sinks": [{"path": "a\0b"}]}, "'a\\x00b' holds NUL"),
        ({"source": {"path": "/data.csv", "record_size_bytes_max": "2GiB"}}, "must be at most 1073741824"),
    ],
)
def test_a_value_that_nobody_means_is_refused(settings: dict[str, Any], message: str) -> None:
    assert message in error_of(**settings)


def test_what_follows_from_faulty_ticks_is_left_out() -> None:
    message = error_of(ticks="10 parsecs", absent="1m", engine={"idle_key_ttl": "1d"})
    assert message.startswith("job: ticks: '10 parsecs' is no duration")
    assert "\n" not in message


def test_sizes_have_units_wherever_they_stand() -> None:
    assert make(source={"path": "/data.csv", "record_size_bytes_max": "2MiB"}).source.record_size_bytes_max == 2 << 20  # type: ignore[union-attr]


def test_an_impossible_path_of_a_job_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="give another path"):
        load_job("a\0b.yaml")


LOG = {"job": "l", "metrics": ["isValid(message)"]}


@pytest.mark.parametrize(
    "source",
    [
        {"path": "a.log", "format": "syslog"},
        {"type": "log", "path": "a.txt", "format": "("},
        {"path": "a.log", "templates": [{"id": "a", "text": ""}]},
    ],
)
def test_a_faulty_log_lacks_no_columns_besides(source: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_job(LOG | {"source": source})
    assert [problem.path.split(".")[0] for problem in caught.value.problems] == ["source"]


def test_a_faulty_detector_is_something_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        make(metrics=[], detectors=[{"type": "new_value", "watch": "qyt", "learn": {"rows": 1}}])
    assert [problem.path for problem in caught.value.problems] == ["detectors[0].watch"]


def test_what_is_missing_by_itself_is_said() -> None:
    with pytest.raises(ConfigError, match="the job would do nothing"):
        make(metrics=[])


def test_a_variable_that_stands_twice_is_named() -> None:
    with pytest.raises(ConfigError, match="the variable 'x' stands twice in '<x> and <x>'"):
        make_job(LOG | {"source": {"path": "a.log", "templates": [{"id": "a", "text": "<x> and <x>"}]}})


OF_ONE_CELL = pl.DataFrame({"a": [1]})
"""Compares its cells with whatever it is compared with."""


@pytest.mark.parametrize("value", [OF_ONE_CELL, object(), object, "\ud800", {1, 2}, b"x", np.int64(3), print])
@pytest.mark.parametrize("key", ["job", "schema", "time", "metrics", "source", "window", "partitions"])
def test_what_is_no_plain_value_is_refused_where_it_stands(key: str, value: Any) -> None:
    assert f"job: {key}" in error_of(**{key: value})


def test_what_is_no_plain_value_in_a_row_is_refused_where_it_stands() -> None:
    for value in (OF_ONE_CELL, object(), "\ud800", np.int64(3)):
        assert "job: source.rows[0][1]" in error_of(source={"type": "inline", "rows": [[0, value, 1]]})


@pytest.mark.parametrize("value", [None, 5, [], b"x", object(), ""])
def test_what_is_no_path_no_text_or_no_mapping_is_refused(value: Any) -> None:
    for use in (load_job, lambda given: parse_job("job: j", given), make_job):
        with pytest.raises(ConfigError):
            use(value)
    if value != "":
        with pytest.raises(ConfigError, match="is no text of a job file"):
            parse_job(value, ".")
