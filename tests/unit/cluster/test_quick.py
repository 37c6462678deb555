"""Commands that ask a cluster start quickly: they load nothing that only those need who work on rows."""

import subprocess
import sys

import pytest

from tests.support.partition_jobs import make_partition_job

SLOW = {"aiohttp", "lmdb", "numpy", "polars", "psutil", "pydantic", "pysyncobj", "ray"} | {
    "cryptography.x509",
    "raft.commands",
}
"""What takes long to import."""

WORKING = {"aiohttp", "lark", "lmdb", "matplotlib", "numpy", "pysyncobj", "ray", "yaml"} | {
    "actors.detectors",
    "actors.engine.engine",
    "actors.engine.language",
    "actors.shard.shard",
    "actors.store.store",
    "config.load",
}
"""What only those need who work on rows or read job files."""


def loaded(modules: str, unwanted: set[str]) -> str:
    code = f"import sys, {modules}; print(sorted({unwanted} & {{*sys.modules}}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "modules",
    ["cluster.cli", "cluster.client.client", "cluster.show.status", "cluster.show.nodes", "cluster.commands.jobs"],
)
def test_what_asks_a_cluster_loads_nothing_slow(modules: str) -> None:
    assert loaded(modules, SLOW) == "[]\n"


def test_what_shows_anomalies_loads_nothing_that_finds_them() -> None:
    modules = "actors.partition.anomaly_table, cluster.show.frame_output, cluster.show.present, config.settings"
    assert loaded(f"cluster.cli, cluster.client.client, {modules}", WORKING) == "[]\n"


QUERY = """
import sys
from actors.model import AnomalyId
from actors.partition.anomalies import Anomaly, AnomalyFilter
from cluster.client import client
from cluster.node.values import decode_value, encode_value
from config.form import stored_form

class Client(client.Client):
    def __init__(self, *_): pass
    def form(self, name): return stored_form(bytes.fromhex(sys.argv[1]))
    def _collect(self, name, query, arguments, wait_s=0.0):
        place = AnomalyId(split=0, offset=1, ordinal=0)
        found = [Anomaly(id=place, time=7, key=("A",), type=0, metric="m", detail='{"window": {"start": 1}}')]
        decode_value(encode_value(list(arguments.values())))
        return decode_value(encode_value({0: found}))[0]

client.Client = Client
from cluster.cli import cli
from cluster.commands.target import Target

Target.access = lambda self: None
cli(["query", "anomalies", "trades", "--newest", "--from", "1970-01-01", *sys.argv[2:]], standalone_mode=False)
print(sorted(%r & {*sys.modules}))
"""


@pytest.mark.parametrize("words", [[], ["--wide"], ["--json", "--columns", "sym,detail"]], ids=["", "wide", "json"])
def test_a_query_of_anomalies_loads_nothing_slow(words: list[str]) -> None:
    spec = make_partition_job().to_bytes().hex()
    command = [sys.executable, "-c", QUERY % SLOW, spec, *words]
    *shown, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert modules == "[]"
    assert "1970-01-01T00:00:00.001Z" in shown[-1] if words else shown[-1].split()[-3:] == ["A", "0", "m"]
