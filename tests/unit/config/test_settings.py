"""Settings as values: bytes, fingerprints, and what libraries are built from."""

import re
from typing import Any

import msgpack
import pytest

from actors.detectors import make_detector
from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import LifecycleSettings
from config import ConfigError, JobSettings, make_job
from config.detector_specs import detector_specs
from config.settings import FORMAT_VERSION
from config.specs import engine_spec, store_config
from tests.support.jobs import make_trades_job

SOURCE = {"type": "stream", "name": "trades"}


def test_settings_survive_bytes() -> None:
    job = make_trades_job(
        {"type": "inline", "rows": [["2018-10-08", "A", 6], [5, None, 1]]},
        detectors=[{"type": "new_value", "watch": "qty", "learn": {"rows": 100}}],
        events={"store": True, "series": [{"limit": {"duration": "7d", "size": "64MiB"}}]},
    )
    assert JobSettings.from_bytes(job.to_bytes()) == job
    assert JobSettings.from_bytes(job.to_bytes()).to_bytes() == job.to_bytes()


def test_stored_settings_keep_what_null_meant_when_they_were_stored() -> None:
    content = msgpack.unpackb(make_trades_job(SOURCE).to_bytes())
    assert content["job"]["engine"].pop("nulls") == "unknown"
    assert JobSettings.from_bytes(msgpack.packb(content)).engine.nulls == "smallest"
    del content["job"]["engine"]
    assert JobSettings.from_bytes(msgpack.packb(content)).engine.nulls == "smallest"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_trades_job(SOURCE).hosts = 5


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"x", msgpack.packb(5), msgpack.packb({}), msgpack.packb({"version": 1})]
)
def test_torn_or_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="are no job settings"):
        JobSettings.from_bytes(data)


def test_every_cut_of_the_bytes_is_refused() -> None:
    data = make_trades_job(SOURCE).to_bytes()
    for size in range(len(data)):
        with pytest.raises(ConfigError):
            JobSettings.from_bytes(data[:size])


def test_another_format_is_refused() -> None:
    content = msgpack.unpackb(make_trades_job(SOURCE).to_bytes()) | {"version": FORMAT_VERSION + 1}
    with pytest.raises(ConfigError, match="job settings of format 2; this version reads format 1"):
        JobSettings.from_bytes(msgpack.packb(content))


def test_the_fingerprint_is_of_what_is_computed() -> None:
    job = make_trades_job(SOURCE)
    same = [
        {"hosts": 3},
        {"linger": "5m"},
        {"flush": {"rows": 5}},
        {"snapshot_interval_rows": 7},
        {"limits": {"batch_rows_max": 9}},
        {"metrics": [{"when": when, "id": f"m{number}", "severity": "error", "labels": {"team": "a"},
                      "summary": "{sym}", "runbook": "x"} for number, when in enumerate(["qty < 4"])]},
    ]  # fmt: skip
    other = [{"key": []}, {"metrics": ["qty < 5"]}, {"partitions": 8}, {"engine": {"nulls": "smallest"}}]
    assert {make_trades_job(SOURCE, **change).fingerprint for change in same} == {job.fingerprint}
    assert len({job.fingerprint, *(make_trades_job(SOURCE, **change).fingerprint for change in other)}) == 5


def test_how_a_sink_delivers_is_no_part_of_what_is_computed_and_what_it_takes_is() -> None:
    def fingerprint(**sink: Any) -> str:
        metric = {"when": "qty > 8", "for": 5}
        return make_trades_job(SOURCE, metrics=[metric], window=None, sinks=[sink]).fingerprint

    plain = {"type": "ndjson", "path": "/out"}
    same = [{"name": "x"}, {"where": {"severity": "error"}}, {"on": "node-1"}]
    assert {fingerprint(**plain, **one) for one in same} == {fingerprint(**plain)}
    assert fingerprint(**plain, only="episodes") != fingerprint(**plain)


def test_the_bounds_of_times_are_part_of_what_is_computed() -> None:
    bounds = {"limits": {"time_max": "2050-01-01"}}
    assert make_trades_job(SOURCE, **bounds).fingerprint != make_trades_job(SOURCE).fingerprint


def test_shards_made_before_there_was_a_choice_of_partitions_are_those_of_the_same_job() -> None:
    assert make_trades_job(SOURCE).fingerprint == "337f60f583f255939b541f910fca8300"
    assert make_trades_job(SOURCE, partition_by="split").fingerprint != make_trades_job(SOURCE).fingerprint


def test_a_job_without_a_list_to_explode_is_the_job_that_it_was() -> None:
    plain = make_trades_job({"type": "ndjson", "path": "/a.ndjson", "missing": "null"})
    assert plain.fingerprint == "c67b647f0dde8e8faeff5babe7f617b7"
    lists = [{"explode": "qty"}, {"explode": "qty", "explode_rows_max": 5}, {}]
    assert len({make_trades_job({"path": "/a.ndjson", "missing": "null"} | one).fingerprint for one in lists}) == 3


def test_a_format_is_a_name_or_a_mapping_with_its_options() -> None:
    named, mapped = (make_trades_job({"type": "stdin", "format": one}) for one in ("ndjson", {"type": "json"}))
    assert named == mapped
    file = make_trades_job({"path": "/a.txt", "format": {"type": "csv", "separator": ";"}})
    assert file == make_trades_job({"type": "csv", "path": "/a.txt", "separator": ";"})
    log = {"type": "log", "format": "journal", "templates": [{"id": 1, "text": "takes <qty>"}]}
    plain = {"job": "a", "source": {"type": "stdin", "format": log}, "metrics": ["qty = '1'"]}
    assert "qty" in make_job(plain).row_schema.names


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("jason", "source.format: no such type, 'jason'; did you mean 'json'"),
        ({"type": "csv", "delimiter": ";"}, "source.format.delimiter: unknown key 'delimiter'"),
        ({"type": "json", "columns": {"quantity": "q"}}, "source.format.columns.quantity: no column 'quantity'"),
        ({"type": "json", "explode_rows_max": 5}, "source.format.explode_rows_max: there is no list to explode"),
        ({"type": "csv", "header": False, "columns": {"qty": "q"}}, "source.format.columns: records without a header"),
        (None, "source.format"),
    ],
)
def test_a_mistake_in_a_format_is_named_by_its_place(form: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        make_trades_job({"type": "stdin", "format": form})


@pytest.mark.parametrize(
    ("source", "key", "count"),
    [
        ({"rows": []}, ["sym"], 1),
        ({"type": "stream", "name": "trades", "splits": 3}, ["sym"], 3),
        ({"path": "a.csv"}, ["sym"], 1),
    ],
)
def test_there_is_a_partition_for_each_split(source: dict[str, Any], key: list[str], count: int) -> None:
    job = make_trades_job(source, key=key, partition_by="split")
    assert job.partitions == count
    assert job.partitions_of_key(["A"]) == tuple(range(count))
    with pytest.raises(ConfigError, match=f"partitions: with `partition_by: split` .* the source has {count}"):
        make_trades_job(source, key=key, partition_by="split", partitions=count + 1)


def test_what_has_no_fixed_splits_is_not_partitioned_by_them() -> None:
    schema = {"time": "TIMESTAMP", "file": "SYMBOL", "qty": "INT"}
    source = {"path": "logs/*.csv"}
    assert make_trades_job(source, schema=schema, key=["file"], partition_by="split", partitions=7).partitions == 7
    with pytest.raises(ConfigError, match="partition_by: files that are followed become more splits"):
        make_trades_job(source | {"follow": True}, schema=schema, key=["file"], partition_by="split")


def test_where_sources_and_sinks_are_is_no_part_of_what_is_computed() -> None:
    sinks = [{"type": "ndjson", "path": "out"}]
    placed = make_trades_job(SOURCE | {"on": "a"}, sinks=[sinks[0] | {"on": ["a", "b"]}])
    assert placed.fingerprint == make_trades_job(SOURCE, sinks=sinks).fingerprint
    assert (placed.source_nodes, placed.host_ties) == (("a",), (("a", "b"),))
    assert make_trades_job({"path": "a.csv", "on": "every"}).source_nodes == ()
    assert make_trades_job({"path": "a.csv", "on": "a"}, partition_by="split").host_ties == (("a",),)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (SOURCE | {"on": "every"}, "source.on: a stream table is on one node; name it"),
        (SOURCE | {"on": ["a", "b"]}, "source.on: a stream table is on one node; name it"),
        ({"path": "a.csv", "on": ["every", "a"]}, "source.*on: 'every' means all nodes; leave the other names out"),
    ],
)
def test_places_that_mean_nothing_are_refused(source: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_trades_job(source)


def test_the_metrics_of_a_machine_are_on_one_node() -> None:
    job = {"job": "m", "source": {"type": "host_metrics", "on": ["a", "b"]}, "metrics": ["value > 90"]}
    with pytest.raises(ConfigError, match=r"what a machine measures of itself is on one node; name it, or set `part"):
        make_job(job)
    each = make_job(job | {"partition_by": "split"})
    assert (each.partitions, each.split_nodes, each.host_ties) == (2, ("a", "b"), ())
    with pytest.raises(ConfigError, match="tables on several nodes are one split each; leave `splits` out"):
        make_trades_job(SOURCE | {"on": ["a", "b"], "splits": 2}, partition_by="split")
    with pytest.raises(ConfigError, match="hosts are on each of these nodes; leave `on` of the sinks out"):
        make_job(job | {"partition_by": "split", "sinks": [{"path": "out", "on": "a"}]})
    alone = make_job(job | {"source": {"type": "host_metrics", "on": "a"}, "partition_by": "split"})
    assert (alone.partitions, alone.host_ties) == (1, (("a",),))


@pytest.mark.parametrize("name", ["type", "metric", "offset", "ordinal", "detail"])
@pytest.mark.parametrize("column", ["time", "key"])
def test_columns_that_anomalies_have_are_neither_time_nor_key(name: str, column: str) -> None:
    schema = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT", name: "TIMESTAMP" if column == "time" else "STRING"}
    changed = {"time": name} if column == "time" else {"key": ["sym", name]}
    with pytest.raises(ConfigError, match=f"anomalies have a column '{name}' of their own"):
        make_trades_job(SOURCE, schema=schema, **changed)


def test_the_engine_is_built_from_a_job() -> None:
    window = {"size": "3s", "step": "1s"}
    job = make_trades_job(
        SOURCE, job="my-job", metrics=["sum(qty)>5", {"when": "qty<4", "describe": "small"}], window=window
    )
    spec = engine_spec(job)
    assert spec.anomaly_descriptions == ("sum(qty) > 5", "small")
    assert (spec.window_size, spec.step) == (3000, 1000)
    assert AnomalyDetectionEngine.from_spec(spec).settings.descriptions == spec.anomaly_descriptions


def test_detectors_are_built_from_a_job() -> None:
    plain = {
        "type": "new_value",
        "watch": ["sym", "qty"],
        "learn": {"duration": "5m", "until": "1970-01-02"},
        "expire_after": "7d",
    }
    together = {"type": "new_value_combination", "watch": ["sym", "qty"], "report": "once"}
    several = {
        "type": "new_value_combination",
        "name": "pairs",
        "watch": [["sym", "qty"], ["time", "qty"]],
        "event": "sym",
    }
    first, second, third = detector_specs(make_trades_job(SOURCE, detectors=[plain, together, several]))
    assert (first.name, first.learn.duration, first.learn.until, first.learn.row_count) == (
        "new_value",
        300_000,
        86_400_000,
        None,
    )
    assert (first.variables, first.expire_after) == (("sym", "qty"), 604_800_000)  # type: ignore[attr-defined]
    assert (second.combinations, second.report) == ((("sym", "qty"),), "once")  # type: ignore[attr-defined]
    assert third.combinations == (("sym", "qty"), ("time", "qty"))  # type: ignore[attr-defined]
    assert (third.name, third.event_id_columns) == ("pairs", ("sym",))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({"options": {"speed": 5}}, "detector 'new_value' has no option 'speed'"),
        ({"learn": {"until": "soon"}}, "Invalid isoformat string: 'soon'"),
        ({"expire_after": "5us"}, "no whole number of units"),
    ],
)
def test_a_detector_that_cannot_be_built_is_told(detector: dict[str, object], message: str) -> None:
    job = make_trades_job(SOURCE, detectors=[{"type": "new_value", "watch": "qty"} | detector])
    with pytest.raises(ConfigError, match=message):
        detector_specs(job)


@pytest.mark.parametrize(
    "detector",
    [
        {"type": "new_event", "event": "sym"},
        {"type": "value_range", "watch": "qty", "learn": {"rows": 9}},
        {"type": "charset", "watch": "sym"},
        {"type": "event_sequence", "event": "sym", "options": {"length": 3}},
        {"type": "count_vector", "event": "sym", "options": {"window_ticks": "5m"}},
        {
            "type": "rule",
            "options": {"rules": [{"name": "big", "conditions": [{"column": "qty", "operator": ">", "value": 5}]}]},
        },
    ],
    ids=lambda detector: detector["type"],
)
def test_every_type_of_detector_can_be_had(detector: dict[str, object]) -> None:
    job = make_trades_job(SOURCE, detectors=[detector])
    (spec,) = detector_specs(JobSettings.from_bytes(job.to_bytes()))
    assert make_detector(spec, job.row_schema, job.time_column, job.key_columns).fingerprint


def test_the_event_store_is_built_from_a_job() -> None:
    events = {
        "series": [
            {"order_by": "source_timestamp", "types": [["a", "*"]], "limit": {"max_entries": 5, "size": "1MiB"}}
        ],
        "latest": ["b"],
        "conditions": [{"types": [["a"]], "condition": {"type": "json", "data_type": "number"}}],
    }
    config = store_config(make_trades_job(SOURCE, events=events), identifier="trades/0")
    assert config.identifier == "trades/0"
    assert [(str(series.order_by), series.limit.max_entries, series.limit.size) for series in config.series] == [
        ("SOURCE_TIMESTAMP", 5, 1 << 20)
    ]
    assert len(config.conditions) == 1


def test_host_metrics_bring_their_own_columns() -> None:
    job = make_job({"job": "m", "metrics": ["value > 5"], "source": {"type": "host_metrics"}})
    assert job.row_schema.names == ("time", "key", "kind", "name", "value")
    assert (job.time_column, job.key_columns) == ("time", ("key",))
    with pytest.raises(ConfigError, match="host metrics have the columns time: TIMESTAMP"):
        make_job(
            {
                "job": "m",
                "metrics": ["v > 5"],
                "schema": {"time": "TIMESTAMP", "v": "INT"},
                "source": {"type": "host_metrics"},
            }
        )


def test_a_metric_may_have_episodes() -> None:
    metric = {"when": "qty > 8", "for": "30s", "keep_firing": "1m", "clear": "qty < 5"}
    job = make_trades_job(SOURCE, metrics=[metric, "qty > 9"])
    found = engine_spec(job).lifecycles
    assert found == (LifecycleSettings(hold=30_000, keep_firing=60_000, clear="qty < 5"), None)
    assert JobSettings.from_bytes(job.to_bytes()) == job


@pytest.mark.parametrize(
    ("metric", "message"),
    [({"for": "3 parsecs"}, r"metrics\[0\].for"), ({"keep_firing": "1us"}, r"metrics\[0\].keep_firing: .*units")],
)
def test_durations_of_episodes_are_checked(metric: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trades_job(SOURCE, metrics=[{"when": "qty > 8"} | metric])


@pytest.mark.parametrize("given", [2, -1, "1", True])
def test_a_job_has_one_standby_or_none(given: object) -> None:
    with pytest.raises(ConfigError, match="standby"):
        make_trades_job(SOURCE, standby=given)


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ({"path": "/t.csv", "on": "node-1"}, "the source is on node-1 alone"),
        ({"type": "stream", "name": "rows", "on": ["node-1", "node-2"]}, "each split is on one node alone"),
    ],
)
def test_a_standby_needs_splits_that_another_node_can_read(source: dict[str, object], where: str) -> None:
    partitions = 2 if "type" in source else 1
    with pytest.raises(ConfigError, match=f"standby: {where}, and no other could read what a standby needs; leave"):
        make_trades_job(source, standby=1, partition_by="split", partitions=partitions)
    make_trades_job({"path": "/t.csv", "on": ["node-1", "node-2"]}, standby=1, partition_by="split", partitions=1)
