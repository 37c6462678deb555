"""Packages that only some jobs need: each is named with its extra, where it is used and by `tocsin check`."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.errors import SourceError
from actors.extras import EXTRAS, missing_extra, need
from cluster.cli import cli
from tests.support.repository import ROOT

JOB = """
job: trades
schema: {time: TIMESTAMP, sym: SYMBOL, qty: INT}
time: time
key: [sym]
metrics: [{when: qty > 5, for: 1m}]
source: {type: csv, path: trades.csv.zst}
sinks:
  - {type: kafka, brokers: ["127.0.0.1:9092"], topic: alarms}
  - {type: nats, servers: ["nats://127.0.0.1:4222"], subject: alarms, stream: alarms}
  - {type: redis, url: "redis://127.0.0.1:6379/0", stream: alarms}
  - {type: notify, url: "env:NOTIFY"}
  - {type: sql, url: "sqlite:///alarms.db"}
"""


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for extra in EXTRAS.values():
        for modules in extra.modules:
            for module in modules:
                monkeypatch.setitem(sys.modules, module, None)


def test_each_extra_is_one_of_the_project_and_brings_what_is_imported() -> None:
    given = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) | {"pandas"} == set(given)
    for name, extra in EXTRAS.items():
        assert sorted(extra.packages) == sorted(re.split("[>=;]", text)[0] for text in given[name])
        assert missing_extra(name) is None


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_missing_is_an_error_with_the_way_to_it() -> None:
    for name in EXTRAS:
        with pytest.raises(SourceError, match=re.escape(f"not installed here: pip install 'tocsin[{name}]'")):
            need(name, SourceError)
    assert missing_extra("sql") == (
        "a database needs the packages sqlalchemy and pg8000, which are not installed here: pip install 'tocsin[sql]'"
    )


@pytest.mark.usefixtures("nothing_installed")
def test_check_names_every_package_that_a_job_lacks(tmp_path: Path) -> None:
    job_file = tmp_path / "job.yaml"
    job_file.write_text(JOB)
    said = CliRunner().invoke(cli, ["check", str(job_file)])
    for extra in ("zstd", "kafka", "nats", "redis", "notify", "sql"):
        assert f"pip install 'tocsin[{extra}]'" in said.output
    missing = json.loads(CliRunner().invoke(cli, ["check", "--json", str(job_file)]).output)["missing"]
    assert [text.split(":")[0] for text in missing][:2] == ["the source", "sink kafka 127.0.0.1"]
    assert len(missing) == 6


def test_check_says_nothing_of_packages_that_are_there(tmp_path: Path) -> None:
    job_file = tmp_path / "job.yaml"
    job_file.write_text(JOB)
    assert "pip install" not in CliRunner().invoke(cli, ["check", str(job_file)]).output


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("source", "extra"),
    [
        ('{type: mqtt, url: "mqtt://127.0.0.1:1883", topics: [a], format: json}', "mqtt"),
        ('{type: kafka, brokers: ["127.0.0.1:9092"], topic: a, format: json}', "kafka"),
        ("{path: 's3://rows/a.csv'}", "s3"),
        ("{path: 'gs://rows/*.csv'}", "gs"),
        ("{path: a.avro}", "avro"),
    ],
)
def test_check_names_the_package_of_a_source(source: str, extra: str, tmp_path: Path) -> None:
    job_file = tmp_path / "job.yaml"
    text = re.sub("source: .*", f"source: {source}", JOB).split("sinks:")[0]
    job_file.write_text(text)
    assert (
        f"the source: {EXTRAS[extra].what} needs the package"
        in CliRunner().invoke(cli, ["check", str(job_file)]).output
    )
