"""Job files: what is accepted, and what is told about what is not."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from config import ConfigError, JobSettings, load_job, parse_job
from config.document import read_document
from config.schema import job_file_schema

EXAMPLES = sorted((Path(__file__).parents[3] / "config" / "examples").glob("*.yaml"))

JOB = """\
job: trades
schema: {time: TIMESTAMP, sym: SYMBOL, qty: INT}
time: time
key: sym
metrics:
  - sum(qty) > 5
  - when: qty < 4
    describe: small
window: {size: 3s}
source: {path: data/*.csv, columns: {qty: quantity}}
sinks: [{type: ndjson, path: out}]
"""


def parse(*changes: tuple[str, str]) -> JobSettings:
    text = JOB
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_job(text, "/base", name="job.yaml")


def error_of(*changes: tuple[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(*changes)
    return str(caught.value)


def test_short_forms_stand_for_long_ones() -> None:
    job = parse()
    assert job.key == ("sym",)
    assert [(metric.when, metric.describe) for metric in job.metrics] == [("sum(qty) > 5", None), ("qty < 4", "small")]
    assert job.window is not None
    assert job.window.arguments(job.row_schema[job.time].type)[:2] == (3000, 3000)
    assert job.source.type == "csv"


def test_paths_are_relative_to_the_job_file() -> None:
    job = parse(("data/*.csv", "[data, /abs/x.csv]"), ("{path: [data", "{type: csv, path: [data"))
    assert job.source.path == ("/base/data", "/abs/x.csv")  # type: ignore[union-attr]
    assert job.sinks[0].path == "/base/out"


def test_defaults_are_sensible() -> None:
    job = parse()
    assert (job.partitions, job.hosts, job.group, job.engine.garbage_size) == (4, "shared", None, 2000)
    assert (job.events.store, job.events.anomalies, len(job.events.series)) == (False, True, 2)


def test_column_names_ignore_case() -> None:
    job = parse(("time: time", "time: TIME"), ("key: sym", "key: Sym"))
    assert (job.time_column, job.key_columns) == ("time", ("sym",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key: sym", "keys: sym", "keys (line 4): unknown key 'keys'; did you mean 'key'?"),
        ("size: 3s", "size: 3s, stpe: 1s", "window.stpe (line 9): unknown key 'stpe'; did you mean 'step'?"),
        ("{path:", "{paht:", "source (line 10): `type` is missing; use one of"),
        ("path: out", "pth: out", "sinks[0].pth (line 11): unknown key 'pth'; did you mean 'path'?"),
        ("time: time\n", "", "time (line 1): missing; it must be given"),
        ("time: time\n", "time: sym\n", "time (line 3): column 'sym' is SYMBOL; the time column must be a time"),
        ("time: time\n", "time: tme\n", "time (line 3): no column 'tme' in the schema; did you mean 'time'?"),
        ("key: sym", "key: [sym, sym]", "key[1] (line 4): 'sym' is named twice"),
        ("key: sym", "key: time", "key (line 4): 'time' is named twice, or is the time column"),
        ("qty: INT", "qty: INTEGER", "schema.qty (line 2): no column type 'INTEGER'; use one of BOOL, INT"),
        ("qty: INT", "SYM: INT", "schema (line 2): columns 'sym' and 'SYM' have one name"),
        ("size: 3s", "size: 3x", "window.size (line 9): '3x' is no duration"),
        ("size: 3s", "size: 3us", "window.size (line 9): '3us' is no whole number of units"),
        ("size: 3s", "size: 0", "window.size (line 9): must be more than 0, not 0"),
        ("size: 3s", "size: 3s, offset: 3s", "window.offset (line 9): '3s' is not below the step, 3000 units"),
        ("window: {size: 3s}\n", "", "window (line 1): missing, but a metric has an aggregate"),
        ("sum(qty) > 5", "sum(qyt) > 5", "metrics[0] (line 6): there is no column `qyt`\n    sum(qyt) > 5\n        ^"),
        ("qty < 4", "next(qty) < 4", "metrics[1] (line 7): `next` cannot be used"),
        ("qty: quantity", "quantity: qty", "source.columns.quantity (line 10): no column 'quantity' in the schema; w"),
        ("columns: {", "time_format: iso, columns: {", "source.time_format (line 10): no time format 'iso'; use auto"),
        ("columns: {", "separator: ab, columns: {", "source.separator (line 10): must have at most 1 character"),
        ("columns: {", "header: false, columns: {", "source.columns (line 10): a file without a header has no names"),
        ("job: trades", "job: 5", "job (line 1): must be text, not 5; put it in quotes"),
        ("job: trades", "job: 5trades", "job (line 1): '5trades' cannot be used"),
        ("key: sym", "partitions: 0", "partitions (line 4): must be more than 0, not 0"),
        ("key: sym", "partitions: 2.5", "partitions (line 4): must be a whole number, not 2.5"),
        ("key: sym", "hosts: true", "hosts (line 4): must be `shared`, or a whole number of at least 1, not True"),
        ("key: sym", "hosts: 0", "hosts (line 4): must be `shared`, or a whole number of at least 1, not 0"),
        ("key: sym", "hosts: shard", "hosts (line 4): must be `shared`, or a whole number of at least 1, not 'shard'"),
        ("key: sym", "linger: 0", "linger (line 4): must be at least 1, not 0"),
        ("key: sym", "linger: soon", "linger (line 4): 'soon' is no duration"),
        ("key: sym", "group: 1", "group (line 4): must be more than 1, not 1"),
        ("key: sym", "engine: {nulls: largest}", "engine.nulls (line 4): must be one of 'smallest' or 'unknown', not"),
        ("key: sym", "flush: 5", "flush (line 4): must be a mapping of keys, not 5"),
        ("key: sym", "detectors: [{type: new_valu}]", "detectors[0].type (line 4): no such type, 'new_valu'; did you"),
        ("key: sym", "detectors: [{type: new_value, watch: qyt}]", "detectors[0].watch (line 4): no column 'qyt'"),
        ("key: sym", "detectors: [{type: new_value}]", "detectors[0] (line 4): detector 'new_value' watches no column"),
        ("key: sym", "events: {type: ['{sim}']}", "events.type[0] (line 4): no column 'sim' in the schema; did you m"),
        ("key: sym", "events: {latest: [['*', a]]}", "events.latest[0] (line 4): `*` may only be the last part"),
        ("key: sym", "events: {conditions: [{condition: {type: jsn}}]}", "events (line 4): conditions[0].condition.t"),
        ("key: sym", "limits: {time_max: 1800-01-01}", "limits.time_max (line 4): '1800-01-01' is not after time_min"),
        ("key: sym", "limits: {time_min: soon}", "limits.time_min (line 4): 'soon' is no time"),
        ("key: sym", "limits: {stream_bytes_max: 5 PB}", "limits.stream_bytes_max (line 4): '5 PB' is no size"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_path_and_line(old: str, new: str, message: str) -> None:
    assert error_of((old, new)).startswith(f"job.yaml: {message}")


def test_everything_wrong_is_told_at_once() -> None:
    error = error_of(("key: sym", "hosts: no\npartitions: x\ngroup: 0"))
    assert error.count("job.yaml: ") == 3


WRONG = """\
job: 5trades
schema: {time: TIMESTAMP, sym: SYMBL, qty: INT, qty: LONG, note: TEXT}
time: tme
key: [sym, sim]
metrcs:
  - sum(qyt) > 5
  - {when: avg(qty) > 3, clear: qty <}
  - mavg(qty) > 1
  - note == 5
window: {size: 3x, step: 1s}
engine: {nulls: largest, garbage: 5}
source: {type: csvv, path: a.csv, folow: true, time_format: iso}
detectors:
  - {type: new_valu, watch: qyt}
  - {type: oracle, depth: 5}
  - {type: new_value, watch: [sym, qyt], learn: {rows: 0}}
sinks:
  - {type: pager, url: "http://x"}
  - {type: ndjson, pth: out}
events: {store: true, series: [{order_by: timestmp}], latest: [["*", a]]}
limits: {time_min: soon, time_max: later, map_size_bytes_max: 5 PB}
partitions: 0
tags: !!set {a}
"""

PATHS = (
    *("job", "schema.sym", "schema.qty", "schema.note", "time", "key[1]"),
    *("metrcs", "metrcs[0]", "metrcs[1].clear", "metrcs[2]", "window.size", "engine.garbage", "engine.nulls"),
    *("source.type", "source.folow", "source.time_format"),
    *(
        "detectors[0].type",
        "detectors[0].watch",
        "detectors[1].type",
        "detectors[2].learn.rows",
        "detectors[2].watch[1]",
    ),
    *("sinks[0].type", "sinks[1].pth", "events.series[0].order_by", "events.latest[0]"),
    *("limits.time_min", "limits.time_max", "limits.map_size_bytes_max", "partitions", "tags"),
)


def test_every_mistake_of_every_kind_is_told_once_and_nothing_that_follows_from_one() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_job(WRONG, "/base", name="job.yaml")
    paths = [problem.path for problem in caught.value.problems]
    assert sorted(paths) == sorted(PATHS)
    assert len([line for line in str(caught.value).splitlines() if line.startswith("job.yaml: ")]) == len(PATHS)


@pytest.mark.parametrize("kind", ["FLOAT", "5"])
def test_metrics_of_a_column_whose_type_is_none_are_something_to_do(kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(("qty: INT", f"qty: {kind}"))
    assert [problem.path for problem in caught.value.problems] == ["schema.qty"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ndjson, path: out", "pager, to: x", "sinks[0].type (line 11): no such type, 'pager'; use one of ndjson"),
        ("{path: data", "{type: pulsar, at: x", "source.type (line 10): no such type, 'pulsar'; use one of inline"),
        ("key: sym", "detectors: [{type: oracle, depth: 5}]", "detectors[0].type (line 4): no such type, 'oracle'"),
    ],
)  # fmt: skip
def test_an_unknown_type_is_told_instead_of_its_keys(old: str, new: str, message: str) -> None:
    error = error_of((old, new))
    assert error.startswith(f"job.yaml: {message}")
    assert "unknown key" not in error


def test_a_job_that_does_nothing_is_refused() -> None:
    text = JOB[: JOB.index("metrics:")] + JOB[JOB.index("source:") :]
    with pytest.raises(ConfigError, match="the job would do nothing"):
        parse_job(text, "/base")


@pytest.mark.parametrize("text", ["", "5", "[1]", "word"])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a job file is a mapping; begin with `job: NAME`"):
        parse_job(text, "/base")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the job file .*: No such file"):
        load_job(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"job: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_job(tmp_path / "bad.yaml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_job_files(path: Path) -> None:
    job = load_job(path)
    assert job.name == path.stem
    assert JobSettings.from_bytes(job.to_bytes()) == job


@pytest.fixture(scope="module")
def editor() -> Draft202012Validator:
    """Return what editors do with the schema, which takes seconds to check and is checked once."""
    schema = json.loads(json.dumps(job_file_schema()))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_editors_accept_the_examples(editor: Draft202012Validator, path: Path) -> None:
    editor.validate(read_document(path.read_text(), path.name).data)


@pytest.mark.parametrize(
    ("old", "new"), [("key: sym", "keys: sym"), ("size: 3s", "siez: 3s"), ("sym: SYMBOL", "sym: 5")]
)
def test_editors_refuse_what_is_wrong(editor: Draft202012Validator, old: str, new: str) -> None:
    editor.validate(read_document(JOB, "f").data)
    with pytest.raises(jsonschema.ValidationError):
        editor.validate(read_document(JOB.replace(old, new), "f").data)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["time", "3s", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(job_file_schema()["properties"])), JUNK)
def test_any_value_of_any_key_is_settings_or_a_config_error(key: str, value: object) -> None:
    data = read_document(JOB, "f").data | {key: value}
    try:
        assert parse_job(json.dumps(data), "/base").fingerprint
    except ConfigError as error:
        if not error.problems:
            raise AssertionError("an error without problems") from error


@pytest.mark.parametrize("metric", ["sym >= 500", "sym + 1 > 2", "abs(sym) > 1"])
def test_where_a_text_stands_for_a_number_the_way_out_is_the_schema(metric: str) -> None:
    error = error_of(("qty < 4", metric))
    assert "Write `double(sym)`, or give `sym` a type of numbers in the schema, such as INT or DOUBLE." in error


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "{path: a.csv, format: xml}",
            "no such format, 'xml'; use one of csv, json, ndjson, log, influx, msgpack, avro, parquet",
        ),
        ("{type: csv, path: a.txt, format: json}", "the type 'csv' says the format already; leave one of them out"),
    ],
)
def test_a_format_that_is_none_is_refused_once_with_those_there_are(source: str, text: str) -> None:
    job = f"job: a\nschema: {{time: TIMESTAMP, qty: INT}}\ntime: time\nmetrics: [qty > 3]\nsource: {source}\n"
    with pytest.raises(ConfigError) as caught:
        parse_job(job, "/base", name="job.yaml")
    assert [(problem.path, problem.text) for problem in caught.value.problems] == [("source.format", text)]
