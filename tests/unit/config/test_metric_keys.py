"""Windows and keys that metrics have for themselves, as job files say them."""

from typing import Any

import pytest

from config import ConfigError, make_job
from config.form import key_columns_of, stored_form
from config.library_checks import library_faults
from tests.support.jobs import make_trades_job

PLAIN: dict[str, Any] = {
    "job": "disks",
    "schema": {"time": "TIMESTAMP", "host": "SYMBOL", "disk": "SYMBOL", "used": "DOUBLE"},
    "time": "time",
    "key": ["host", "disk"],
    "source": {"rows": []},
}


@pytest.mark.parametrize(
    ("metric", "settings", "said"),
    [
        ({"key": ["hots"]}, {}, r"metrics\[0\].key\[0\]: no column 'hots' in the schema; did you mean 'host'"),
        ({"key": ["host", "HOST"]}, {}, r"metrics\[0\].key\[1\]: 'HOST' is named twice"),
        ({"key": []}, {}, r"metrics\[0\].key: needs all rows there are in one partition, .* all of one host, disk: no"),
        ({"key": ["used"]}, {"key": []}, r"metrics\[0\].key: needs all rows of one used .*; set `partitions: 1`"),
        ({"window": {"size": 7, "offset": 7}}, {}, r"metrics\[0\].window.offset: 7 is not below the step, 7 units"),
        ({"window": {"size": "1us"}}, {}, r"metrics\[0\].window.size: '1us' is no whole number of units"),
        (
            {"key": ["host"]},
            {"key": ["file", "host"], "schema": PLAIN["schema"] | {"file": "SYMBOL"}, "source": {"path": "*.csv"}},
            r"metrics\[0\].key: each file is a split, as the job's key has 'file'; .*; add 'file', or leave it out of",
        ),
    ],
)
def test_a_window_or_a_key_that_cannot_be_is_refused(
    metric: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_job(PLAIN | {"metrics": [{"when": "used > 1"} | metric]} | settings)


def test_a_text_may_name_the_columns_of_its_metrics_own_key_alone() -> None:
    told = {"when": "used > 1", "key": ["host"], "summary": "{host}: {used}"}
    assert library_faults(make_job(PLAIN | {"metrics": [told]})) == []
    (fault,) = library_faults(make_job(PLAIN | {"metrics": [told | {"summary": "{disk}"}]}))
    assert "'disk' is neither part of the key nor of the metric" in str(fault)


def test_rows_find_their_partition_by_the_columns_that_all_keys_have() -> None:
    metrics = [{"when": "used > 1", "key": ["DISK", "host", "used"]}, {"when": "used > 2", "key": "host"}, "used > 3"]
    job = make_job(PLAIN | {"metrics": metrics})
    assert job.route_columns == ("host",)
    assert job.all_key_columns == ("host", "disk", "used")
    assert job.keys == (("disk", "host", "used"), ("host",), ("host", "disk"))
    assert job.partitions_of_key(("a", "x")) == job.partitions_of_key(("a", "y"))
    form = stored_form(job.to_bytes())
    assert form.all_key_columns == job.all_key_columns
    assert [key_columns_of(form, kind) for kind in range(4)] == [*job.keys, job.key_columns]
    assert type(job).from_bytes(job.to_bytes()) == job


def test_a_job_whose_metrics_have_nothing_of_their_own_is_the_job_it_was() -> None:
    job = make_trades_job({"rows": []}, metrics=["qty < 4"], window=None)
    assert job.fingerprint == "abe52110224053970be5504d1242f99b"
    assert (job.route_columns, job.all_key_columns) == (("sym",), ("sym",))


def test_a_window_of_a_metric_without_an_aggregate_is_refused() -> None:
    def said(**metric: Any) -> list[str]:
        return [
            str(fault) for fault in library_faults(make_job(PLAIN | {"metrics": [{"window": {"size": 5}} | metric]}))
        ]

    (text,) = said(when="used > 1")
    assert "has no effect: the metric has no aggregate, and tests each row by itself; leave it out" in text
    assert said(when="avg(used) > 1") == []
